// A server's life as a process: until a signal, or until somebody else says so.
#pragma once

#include "relay/busy_poll.hpp"
#include "relay/server.hpp"

#include <asio/signal_set.hpp>

namespace socksify::relay {

class Service {
public:
    Service(asio::io_context& io, Server& server);

    /// Called at SIGHUP. Without it, SIGHUP is ignored.
    std::function<void()> on_hangup;
    /// Called when everything has ended: who waits for something else on the io_context gives it up now.
    std::function<void()> on_end;

    /// Drains at SIGTERM and SIGINT; at the second one it is over at once. Returns when everything has ended,
    /// or doesn't return: what can't be ended (a look-up that hangs) does not keep the process.
    void run();
    /// Once only; another call is the end at once.
    void drain(milliseconds most);

private:
    /// Until something has been ready, and has been done.
    void wait();
    void await_signal();
    void on_signal(int number);

    asio::io_context& io_;
    Server& server_;
    asio::signal_set signals_;
    BusyPoll busy_poll_;
    bool draining_ = false;
};

} // namespace socksify::relay
