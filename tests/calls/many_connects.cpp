// Many connect()s at once: as many descriptors as without the library, and threads that don't get in each
// other's way.
#include "victim.hpp"

#include <atomic>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <thread>

using namespace victim;

namespace {

void limit_descriptors(rlim_t soft, rlim_t hard) {
    const rlimit limit{soft, hard};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) give_up("setrlimit");
}

/// Starts `count` connects, waits for all of them, and has each echo one octet.
void at_once(const Address& to, int count) {
    const int instance = epoll_create1(EPOLL_CLOEXEC);
    std::vector<int> sockets;
    int refused = 0;
    for (int i = 0; i < count; ++i) {
        const int fd = socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            told("socket", fd);
            break;
        }
        epoll_event event{};
        event.events = EPOLLOUT | EPOLLONESHOT;
        event.data.fd = fd;
        epoll_ctl(instance, EPOLL_CTL_ADD, fd, &event);
        if (connect_to(fd, to) != -1 || errno != EINPROGRESS) {
            if (refused++ == 0) told("connect", -1);
        }
        sockets.push_back(fd);
    }
    say("sockets: %zu, not under way: %d", sockets.size(), refused);
    int connected = 0;
    int failed = 0;
    const Stopwatch watch;
    while (connected + failed < static_cast<int>(sockets.size()) - refused && watch.milliseconds() < 20'000) {
        std::array<epoll_event, 64> events;
        const int ready = epoll_wait(instance, events.data(), static_cast<int>(events.size()), 1000);
        for (int i = 0; i < ready; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if ((events[static_cast<std::size_t>(i)].events & EPOLLOUT) == 0) continue;
            // A fresh socket's wake (EPOLLHUP) was of before: registered, but not connecting yet.
            so_error(fd) == 0 ? ++connected : ++failed;
        }
    }
    say("connected: %d, failed: %d", connected, failed);
    int echoes = 0;
    for (const int fd : sockets)
        if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) say("send = -1 %s", error_name(errno).c_str());
    for (const int fd : sockets) {
        char octet = 0;
        pollfd readable{fd, POLLIN, 0};
        if (poll(&readable, 1, patience) == 1 && recv(fd, &octet, 1, 0) == 1 && octet == 'x') ++echoes;
    }
    say("echoes: %d", echoes);
    for (const int fd : sockets) close(fd);
    const int next = dup(STDIN_FILENO);
    say("the next number is %d after the instance's", next - instance);
    close(next);
}

/// DESTINATION COUNT: with a soft limit of 1024 and a hard one above it, as every login session has.
void parked(const Arguments& words) {
    limit_descriptors(1024, 8192);
    at_once(address_of(words[0]), std::stoi(std::string(words[1])));
}

/// With no room above the soft limit.
void parked_without_room(const Arguments& words) {
    limit_descriptors(1024, 1024);
    at_once(address_of(words[0]), std::stoi(std::string(words[1])));
}

/// With numbers above 1024 in use, where select() and fd_set end.
void above_1024(const Arguments& words) {
    limit_descriptors(8192, 8192);
    std::vector<int> ballast;
    while (ballast.empty() || ballast.back() < 2000) ballast.push_back(dup(STDIN_FILENO));
    at_once(address_of(words[0]), std::stoi(std::string(words[1])));
}

/// The number of descriptors that a process can have, all of them sockets with a connect() under way. The
/// last refused for want of descriptors works when one is free again.
void until_refused(const Arguments& words) {
    limit_descriptors(64, 8192);
    const auto to = address_of(words[0]);
    std::vector<int> sockets;
    for (;;) {
        const int fd = socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd < 0) break;
        sockets.push_back(fd);
        if (connect_to(fd, to) != -1 || errno != EINPROGRESS) told("connect", -1);
    }
    told("socket", -1);
    say("sockets: %zu", sockets.size());
    for (const int fd : sockets) {
        await_end_of_connect(fd);
        if (const int error = so_error(fd); error != 0) say("SO_ERROR = %s", error_name(error).c_str());
    }
    close(sockets.back());
    const int again = tcp_socket(to.family());
    told("connect", connect_to(again, to));
    observe_echo(again);
}

/// Each thread alternates blocking and non-blocking connects.
void threads(const Arguments& words) {
    limit_descriptors(1024, 8192); // which the library raises for a moment, in each thread
    const auto to = address_of(words[0]);
    constexpr int count = 64;
    std::atomic<int> well{0};
    std::vector<std::thread> all;
    for (int i = 0; i < count; ++i)
        all.emplace_back([&, i] {
            for (int round = 0; round < 8; ++round) {
                const bool blocking = (i + round) % 2 == 0;
                const int fd = tcp_socket(to.family(), blocking ? 0 : SOCK_NONBLOCK);
                if (connect_to(fd, to) != 0 && (blocking || errno != EINPROGRESS))
                    return told("connect", -1), void();
                if (!blocking) await_end_of_connect(fd);
                char octet = static_cast<char>('a' + round);
                if (send(fd, &octet, 1, MSG_NOSIGNAL) != 1) return told("send", -1), void();
                pollfd readable{fd, POLLIN, 0};
                char back = 0;
                if (poll(&readable, 1, patience) != 1 || recv(fd, &back, 1, 0) != 1 || back != octet)
                    return told("recv", -1), void();
                Address peer;
                peer.size = sizeof peer.storage;
                if (getpeername(fd, peer.get(), &peer.size) != 0 || text_of(peer) != words[0])
                    return say("a wrong peer"), void();
                close(fd);
            }
            ++well;
        });
    for (auto& thread : all) thread.join();
    say("%d of %d threads did well", well.load(), count);
}

/// NAME PORT [MILLISECONDS]: each thread resolves and connects; then there is time for a question in the
/// background.
void threads_by_name(const Arguments& words) {
    constexpr int count = 64;
    std::atomic<int> well{0};
    std::vector<std::thread> all;
    const std::string name(words[0]), port(words[1]);
    for (int i = 0; i < count; ++i)
        all.emplace_back([&] {
            addrinfo hints{};
            hints.ai_family = AF_INET;
            hints.ai_socktype = SOCK_STREAM;
            addrinfo* list = nullptr;
            if (getaddrinfo(name.c_str(), port.c_str(), &hints, &list) != 0) return;
            const int fd = tcp_socket(AF_INET);
            if (connect(fd, list->ai_addr, list->ai_addrlen) == 0) ++well;
            freeaddrinfo(list);
            close(fd);
        });
    for (auto& thread : all) thread.join();
    say("%d of %d threads did well", well.load(), count);
    if (words.size() > 2) pause(std::stoi(std::string(words[2])));
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"parked", parked, 2},
                {"parked_without_room", parked_without_room, 2},
                {"above_1024", above_1024, 2},
                {"until_refused", until_refused, 1},
                {"threads", threads, 1},
                {"threads_by_name", threads_by_name, 2}});
}
