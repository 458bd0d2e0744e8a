// fcntl flags and the descriptor's number around a non-blocking connect().
#include "victim.hpp"

#include <sys/ioctl.h>

using namespace victim;

namespace {

void show(int fd, const char* when) {
    const int status = fcntl(fd, F_GETFL);
    say("%s: O_NONBLOCK %s, O_RDWR %s, O_ASYNC %s, O_APPEND %s, FD_CLOEXEC %s", when,
        (status & O_NONBLOCK) != 0 ? "set" : "not set", (status & O_ACCMODE) == O_RDWR ? "yes" : "no",
        (status & O_ASYNC) != 0 ? "set" : "not set", (status & O_APPEND) != 0 ? "set" : "not set",
        (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ? "set" : "not set");
}

/// DESTINATION TYPE_FLAGS: with "cloexec" or without.
void survive(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK | (words[1] == "cloexec" ? SOCK_CLOEXEC : 0));
    show(fd, "before");
    told("connect", connect_to(fd, to));
    show(fd, "during");
    await_end_of_connect(fd);
    show(fd, "after");
    observe_echo(fd);
    close(fd);
}

/// Every flag turned over while the connect() is under way.
int connect_and_change(const Address& to) {
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    told("F_SETFD", fcntl(fd, F_SETFD, FD_CLOEXEC));
    told("F_SETFL", fcntl(fd, F_SETFL, O_APPEND));
    return fd;
}

void changed_under_way(const Arguments& words) {
    const int fd = connect_and_change(address_of(words[0]));
    show(fd, "during");
    await_end_of_connect(fd);
    show(fd, "after");
    observe_echo(fd);
    close(fd);
}

/// The socket is still the program's when connect() has failed. DESTINATION refuses.
void changed_before_failure(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = connect_and_change(to);
    await_end_of_connect(fd);
    observe_error(fd);
    show(fd, "after");
    told("connect", connect_to(fd, to));
    show(fd, "after another");
    close(fd);
}

/// Non-blocking by ioctl, as libevent and Python do it, and blocking again in time.
void by_ioctl(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family());
    int on = 1;
    told("FIONBIO", ioctl(fd, FIONBIO, &on));
    told("connect", connect_to(fd, to));
    on = 0;
    told("FIONBIO", ioctl(fd, FIONBIO, &on));
    show(fd, "during");
    await_end_of_connect(fd);
    show(fd, "after");
    observe_echo(fd);
    close(fd);
}

/// The next descriptor gets the number that it would have got, at each moment.
void numbers(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    const auto next_after = [fd](const char* when) {
        const int next = dup(STDIN_FILENO);
        say("%s: the next is %d further", when, next - fd);
        close(next);
    };
    next_after("before");
    told("connect", connect_to(fd, to));
    next_after("during");
    await_end_of_connect(fd);
    next_after("after");
    observe_echo(fd);
    close(fd);
    next_after("closed");
}

/// A program that closes everything above stderr, and then works with sockets.
void close_all(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int first = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(first, to));
    for (int fd = 3; fd < 20000; ++fd) close(fd);
    const int second = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(second, to));
    await_end_of_connect(second);
    observe_error(second);
    observe_peer(second);
    observe_echo(second);
    close(second);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"survive", survive, 2},
                {"changed_under_way", changed_under_way, 1},
                {"changed_before_failure", changed_before_failure, 1},
                {"by_ioctl", by_ioctl, 1},
                {"numbers", numbers, 1},
                {"close_all", close_all, 1}});
}
