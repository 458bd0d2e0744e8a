// connect() in a process that has connected often, so that the library may have a connection ready that the
// proxy holds. What the program has done to its socket before must be there afterwards.
#include "victim.hpp"

#include <atomic>
#include <csignal>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>

using namespace victim;

namespace {

constexpr int moment = 100; ///< milliseconds, in which the library makes what it wants to have ready

void connect_and_close(const Address& to) {
    const int fd = tcp_socket(to.family());
    if (connect_to(fd, to) != 0) give_up("no connection");
    close(fd);
}

/// The first connect has the library ask for the features, the second is the first that counts, the third has
/// a connection held, and the fourth takes it and has another one held. The address of them all.
Address warm_up(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (int i = 0; i < 4; ++i) {
        connect_and_close(to);
        pause(moment);
    }
    return to;
}

void show(int fd, const char* name, int level, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    if (getsockopt(fd, level, option, &value, &size) != 0) told(name, -1);
    else say("%s = %d", name, value);
}

void set(int fd, int level, int option, int value) {
    if (setsockopt(fd, level, option, &value, sizeof value) != 0) give_up("setsockopt");
}

void plain(const Arguments& words) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family());
    told("connect", connect_to(fd, to));
    observe_error(fd);
    observe_peer(fd);
    observe_local(fd);
    observe_poll(fd);
    observe_echo(fd);
    told("connect", connect_to(fd, to));
    close(fd);
}

void nonblocking(const Arguments& words) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    observe_local(fd);
    await_end_of_connect(fd);
    observe_error(fd);
    observe_peer(fd);
    observe_echo(fd);
    say("blocking: %s", (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0 ? "yes" : "no");
    close(fd);
}

void options(const Arguments& words) {
    const auto to = warm_up(words);
    for (const int flags : {0, int{SOCK_NONBLOCK | SOCK_CLOEXEC}}) {
        const int fd = tcp_socket(to.family(), flags);
        set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set(fd, SOL_SOCKET, SO_RCVBUF, 20000);
        set(fd, SOL_SOCKET, SO_SNDBUF, 30000);
        set(fd, SOL_SOCKET, SO_PRIORITY, 3);
        set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 17);
        set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
        set(fd, IPPROTO_IP, IP_TOS, 0x10);
        const linger lingers{1, 3};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &lingers, sizeof lingers);
        if (connect_to(fd, to) != 0 && errno == EINPROGRESS) await_end_of_connect(fd);
        show(fd, "SO_ERROR", SOL_SOCKET, SO_ERROR);
        show(fd, "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
        show(fd, "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF);
        show(fd, "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF);
        show(fd, "SO_PRIORITY", SOL_SOCKET, SO_PRIORITY);
        show(fd, "SO_LINGER", SOL_SOCKET, SO_LINGER);
        show(fd, "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY);
        show(fd, "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE);
        show(fd, "TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL);
        show(fd, "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT);
        show(fd, "IP_TOS", IPPROTO_IP, IP_TOS);
        say("F_GETFL = %#o, F_GETFD = %d", static_cast<unsigned>(fcntl(fd, F_GETFL)), fcntl(fd, F_GETFD));
        observe_echo(fd);
        close(fd);
        pause(moment);
    }
}

/// Without any, all options are as on any new socket.
void no_options(const Arguments& words) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family());
    told("connect", connect_to(fd, to));
    for (const int option : {SO_KEEPALIVE, SO_PRIORITY, SO_OOBINLINE, SO_REUSEADDR, SO_RCVLOWAT, SO_TYPE,
                             SO_DOMAIN, SO_PROTOCOL})
        show(fd, "an option of SOL_SOCKET", SOL_SOCKET, option);
    for (const int option : {TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_SYNCNT, TCP_USER_TIMEOUT})
        show(fd, "an option of TCP", IPPROTO_TCP, option);
    say("F_GETFL = %#o, F_GETFD = %d", static_cast<unsigned>(fcntl(fd, F_GETFL)), fcntl(fd, F_GETFD));
    close(fd);
}

/// Registered before the connect().
void watched(const Arguments& words) {
    const auto to = warm_up(words);
    for (const int flags : {0, int{SOCK_NONBLOCK}})
        for (const unsigned how : {0U, static_cast<unsigned>(EPOLLET)}) {
            const int epoll = epoll_create1(0);
            const int fd = tcp_socket(to.family(), flags);
            epoll_event interest{.events = EPOLLIN | EPOLLOUT | how, .data = {.u64 = 42}};
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest);
            told("connect", connect_to(fd, to));
            epoll_event event{};
            told("epoll_wait", epoll_wait(epoll, &event, 1, patience));
            say("events: %s, data %lu", event_names(event.events).c_str(), event.data.u64);
            send(fd, "ping", 4, MSG_NOSIGNAL);
            await_end_of_connect(fd);
            do event = {};
            while (epoll_wait(epoll, &event, 1, patience) == 1 && (event.events & EPOLLIN) == 0);
            say("events: %s, data %lu", event_names(event.events).c_str(), event.data.u64);
            told("EPOLL_CTL_DEL", epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr));
            close(fd);
            close(epoll);
            pause(moment);
        }
}

using Peculiar = void(int fd, const Address& to);

void connect_peculiar(const Arguments& words, Peculiar* make) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family());
    make(fd, to);
    told("connect", connect_to(fd, to));
    observe_echo(fd);
    close(fd);
}

/// What is decided with the SYN, or can't be asked for again.
void segment_size(const Arguments& words) {
    connect_peculiar(words, [](int fd, const Address&) { set(fd, IPPROTO_TCP, TCP_MAXSEG, 600); });
}
void marked(const Arguments& words) {
    connect_peculiar(words, [](int fd, const Address&) { set(fd, SOL_SOCKET, SO_MARK, 7); });
}
void device(const Arguments& words) {
    connect_peculiar(
        words, [](int fd, const Address&) { setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "socks0", 7); });
}
void bound(const Arguments& words) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family());
    Address local;
    local.storage.ss_family = to.storage.ss_family;
    local.size = to.size;
    told("bind", bind(fd, local.get(), local.size));
    Address before, after;
    before.size = after.size = sizeof before.storage;
    getsockname(fd, before.get(), &before.size);
    told("connect", connect_to(fd, to));
    getsockname(fd, after.get(), &after.size);
    const auto port_of = [](const Address& address) {
        return reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port;
    };
    say("the port is the same: %s", port_of(before) == port_of(after) ? "yes" : "no");
    close(fd);
}
void duplicated(const Arguments& words) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family());
    const int other = dup(fd);
    told("connect", connect_to(fd, to));
    observe_peer(other, "getpeername of the other");
    observe_echo(other);
    close(fd);
    close(other);
}
void owned(const Arguments& words) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family());
    fcntl(fd, F_SETOWN, getpid());
    told("connect", connect_to(fd, to));
    say("the owner is the same: %s", fcntl(fd, F_GETOWN) == getpid() ? "yes" : "no");
    close(fd);
}

/// The same socket for a second connect().
void refused(const Arguments& words) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family());
    told("connect", connect_to(fd, address_of(words[1])));
    observe_error(fd);
    observe_peer(fd);
    told("connect", connect_to(fd, to));
    observe_echo(fd);
    close(fd);
}

void forked(const Arguments& words) {
    const auto to = warm_up(words);
    const auto connect_in = [&](const char* who) {
        const int fd = tcp_socket(to.family());
        told(who, connect_to(fd, to));
        observe_echo(fd);
        close(fd);
    };
    if (fork() == 0) {
        connect_in("connect in the child");
        _exit(0);
    }
    wait(nullptr);
    connect_in("connect in the parent");
}

void on_alarm(int) {}

/// A signal meanwhile: EINTR, and the connect() goes on.
void interrupted(const Arguments& words) {
    const auto to = warm_up(words);
    struct sigaction action {};
    action.sa_handler = on_alarm; // no SA_RESTART
    sigaction(SIGALRM, &action, nullptr);
    const int fd = tcp_socket(to.family());
    const itimerval soon{{0, 0}, {0, 50'000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    told("connect", connect_to(fd, to));
    await_end_of_connect(fd);
    observe_error(fd);
    observe_peer(fd);
    observe_echo(fd);
    close(fd);
}

/// Parent and child both have it under way.
void forked_meanwhile(const Arguments& words) {
    const auto to = warm_up(words);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    const pid_t child = fork();
    await_end_of_connect(fd);
    if (child == 0) {
        say("the child: %s", error_name(so_error(fd)).c_str());
        _exit(0);
    }
    wait(nullptr);
    observe_error(fd);
    observe_peer(fd);
    observe_echo(fd);
    close(fd);
}

/// The child's copies must not keep alive what the parent has closed, nor be in a program that it starts.
void inherited(const Arguments& words) {
    warm_up(words);
    if (fork() == 0) {
        say("sockets in a child: %d", count_sockets());
        execl("/proc/self/exe", "held", "sockets", nullptr);
    }
    wait(nullptr);
}
void sockets(const Arguments&) { say("sockets in a program: %d", count_sockets()); }

/// Who has given its rights away must not use what they gave.
void other_user(const Arguments& words) {
    const auto to = warm_up(words);
    constexpr uid_t nobody = 65534;
    if (setuid(nobody) != 0) give_up("setuid");
    const int fd = tcp_socket(to.family());
    told("connect", connect_to(fd, to));
    observe_echo(fd);
    close(fd);
}

void at_once(const Arguments& words) {
    const auto to = warm_up(words);
    std::atomic<int> ready{0}, well{0};
    const auto connect_one = [&] {
        const int fd = tcp_socket(to.family());
        ++ready;
        while (ready < 2) {
        }
        well += connect_to(fd, to) == 0;
        close(fd);
    };
    std::thread one(connect_one), two(connect_one);
    one.join();
    two.join();
    say("%d of 2 did well", well.load());
}

void threads(const Arguments& words) {
    const auto to = address_of(words[0]);
    constexpr int count = 16, times = 20;
    std::atomic<int> well{0};
    std::vector<std::thread> all;
    for (int i = 0; i < count; ++i)
        all.emplace_back([&, i] {
            for (int n = 0; n < times; ++n) {
                const int fd = tcp_socket(to.family(), n % 2 == 0 ? 0 : SOCK_NONBLOCK);
                if (connect_to(fd, to) != 0 && errno == EINPROGRESS) await_end_of_connect(fd);
                std::array<char, 8> word{}, back{};
                std::snprintf(word.data(), word.size(), "%d.%d", i, n);
                pollfd readable{fd, POLLIN, 0};
                well += so_error(fd) == 0 && send(fd, word.data(), word.size(), MSG_NOSIGNAL) > 0 &&
                        poll(&readable, 1, patience) == 1 && recv(fd, back.data(), back.size(), 0) > 0 &&
                        word == back;
                close(fd);
            }
        });
    for (auto& thread : all) thread.join();
    say("%d of %d did well", well.load(), count * times);
}

/// Long after the last connect(), nothing is left that was held.
void idle(const Arguments& words) {
    warm_up(words);
    pause(22'000);
    say("sockets: %d", count_sockets());
}

} // namespace

int main(int argc, char** argv) {
    const int status = run(argc, argv,
                           {{"plain", plain, 1},
                            {"nonblocking", nonblocking, 1},
                            {"options", options, 1},
                            {"no_options", no_options, 1},
                            {"watched", watched, 1},
                            {"segment_size", segment_size, 1},
                            {"marked", marked, 1},
                            {"device", device, 1},
                            {"bound", bound, 1},
                            {"duplicated", duplicated, 1},
                            {"owned", owned, 1},
                            {"refused", refused, 2},
                            {"interrupted", interrupted, 1},
                            {"forked", forked, 1},
                            {"forked_meanwhile", forked_meanwhile, 1},
                            {"inherited", inherited, 1},
                            {"sockets", sockets},
                            {"other_user", other_user, 1},
                            {"at_once", at_once, 1},
                            {"threads", threads, 1},
                            {"idle", idle, 1}});
    pause(moment); // for the library's thread, so that what the proxy sees does not depend on who was faster
    return status;
}
