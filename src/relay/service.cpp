#include "relay/service.hpp"

#include <csignal>
#include <sched.h>
#include <unistd.h>

namespace socksify::relay {

Service::Service(asio::io_context& io, Server& server)
    : io_(io), server_(server), signals_(io, SIGTERM, SIGINT, SIGHUP) {
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr); // whoever started us may have blocked what we wait for
}

void Service::run() {
    await_signal();
    while (!io_.stopped()) {
        io_.poll();
        wait();
    }
    // What comes now is too late to change anything. As soon as `signals_` is gone it would end us with the
    // wrong status.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    if (server_.busy()) ::_exit(0); // to go would be to wait for those threads
}

void Service::wait() {
    if (server_.take_poured()) { // a stream wants no haste: the more has gathered, the fewer calls it takes
        io_.run_one();
        return;
    }
    const auto begun = Clock::now();
    const auto most = server_.busy_poll();
    std::size_t ready = 0;
    while (ready == 0 && !io_.stopped() && busy_poll_.looks_again(Clock::now() - begun, most)) {
        ::sched_yield(); // to whom we wait for, maybe
        ready = io_.poll();
    }
    if (ready == 0) io_.run_one();
    busy_poll_.ended(Clock::now() - begun, most);
}

void Service::await_signal() {
    signals_.async_wait([this](const ErrorCode& error, int number) {
        if (error) return;
        await_signal();
        on_signal(number);
    });
}

void Service::on_signal(int number) {
    if (number == SIGHUP) {
        if (on_hangup) on_hangup();
    } else {
        drain(server_.drain_time());
    }
}

void Service::drain(milliseconds most) {
    if (std::exchange(draining_, true)) {
        server_.log().info("stopped").add("why", "second signal");
        ::_exit(0);
    }
    server_.log().info("draining");
    server_.drain(most, [this] {
        server_.log().info("stopped");
        signals_.cancel();
        if (on_end) on_end();
        // Whoever still waits for a look-up holds on to objects that are about to go.
        if (!server_.has_ended()) ::_exit(0);
    });
}

} // namespace socksify::relay
