// connect() on a blocking socket, and what the socket says of itself afterwards.
#include "victim.hpp"

#include <csignal>
#include <sys/time.h>

using namespace victim;

namespace {

/// To each destination, on a socket of its own.
void plain(const Arguments& destinations) {
    for (const auto& text : destinations) {
        const auto to = address_of(text);
        const int fd = tcp_socket(to.family());
        const bool connected = told("connect", connect_to(fd, to)) == 0;
        say("blocking: %s", (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0 ? "yes" : "no");
        observe_error(fd);
        observe_peer(fd);
        observe_local(fd);
        observe_poll(fd);
        if (connected) observe_echo(fd);
        close(fd);
    }
}

/// A second connect() on the same socket, after a success and after a failure, and one to somewhere else.
void again(const Arguments& destinations) {
    const int fd = tcp_socket(address_of(destinations[0]).family());
    for (const auto& text : destinations) told("connect", connect_to(fd, address_of(text)));
    observe_peer(fd);
    observe_echo(fd);
    close(fd);
}

/// With the options and flags that a program sets before.
void options_survive(const Arguments& destinations) {
    const auto to = address_of(destinations[0]);
    const int fd = tcp_socket(to.family(), SOCK_CLOEXEC);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    const int octets = 100; // more than any reply of a proxy's has
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &octets, sizeof octets);
    told("connect", connect_to(fd, to));
    const auto show = [fd](const char* name, int level, int option) {
        int value = -1;
        socklen_t size = sizeof value;
        getsockopt(fd, level, option, &value, &size);
        say("%s = %d", name, value);
    };
    show("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY);
    show("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
    show("SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT);
    say("FD_CLOEXEC: %s", (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ? "set" : "not set");
    close(fd);
}

void on_alarm(int) {}

/// A signal during connect(): EINTR, and the connection goes on being made.
void interrupted(const Arguments& destinations) {
    struct sigaction action {};
    action.sa_handler = on_alarm; // no SA_RESTART
    sigaction(SIGALRM, &action, nullptr);
    const auto to = address_of(destinations[0]);
    const int fd = tcp_socket(to.family());
    const itimerval soon{{0, 0}, {0, 100'000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    told("connect", connect_to(fd, to));
    observe_peer(fd);
    close(fd);
}

/// SO_SNDTIMEO: EINPROGRESS when the time is up.
void send_timeout(const Arguments& destinations) {
    const auto to = address_of(destinations[0]);
    const int fd = tcp_socket(to.family());
    const timeval limit{0, 200'000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const Stopwatch watch;
    told("connect", connect_to(fd, to));
    say("in time: %s", watch.milliseconds() < 1000 ? "yes" : "no");
    close(fd);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"plain", plain, 1},
                {"again", again, 1},
                {"options_survive", options_survive, 1},
                {"interrupted", interrupted, 1},
                {"send_timeout", send_timeout, 1}});
}
