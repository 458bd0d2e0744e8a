// connect() on a non-blocking socket, watched in each of the ways that programs do it: exactly one wake, not
// before the connection stands, and with the right events.
#include "victim.hpp"

#include <atomic>
#include <functional>
#include <sys/epoll.h>
#include <sys/select.h>
#include <thread>

using namespace victim;

namespace {

constexpr unsigned all_events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP;
constexpr int quiet = 100; ///< milliseconds in which no second wake may come

using Start = std::function<void()>;

/// Each way of watching calls `start`, which is connect(), and tells what it saw.
using Watch = void (*)(int fd, const Start& start);

/// The end of a stand-in may wake a watcher twice, with the same events: its kernel tells the hang-up, and
/// then that its buffer is free. Nobody can tell that from two looks at one event, so it counts once.
void tell_wakes(std::vector<unsigned> wakes) {
    wakes.erase(
        std::unique(wakes.begin(), wakes.end(),
                    [](unsigned one, unsigned next) { return one == next && (next & EPOLLHUP) != 0; }),
        wakes.end());
    for (const auto events : wakes) say("woken: %s", event_names(events).c_str());
    say("wakes: %zu", wakes.size());
}

/// An epoll instance with one registration.
class Epoll {
public:
    explicit Epoll(int fd, unsigned events) : instance_(epoll_create1(EPOLL_CLOEXEC)) {
        control(EPOLL_CTL_ADD, fd, events);
    }
    ~Epoll() { close(instance_); }
    Epoll(const Epoll&) = delete;
    Epoll& operator=(const Epoll&) = delete;

    void control(int operation, int fd, unsigned events) const {
        epoll_event event{};
        event.events = events;
        event.data.u32 = 42;
        if (epoll_ctl(instance_, operation, fd, &event) != 0) told("epoll_ctl", -1);
    }
    /// The events of the next wake; 0 if there is none.
    [[nodiscard]] unsigned wait(int timeout) const {
        epoll_event event{};
        if (epoll_wait(instance_, &event, 1, timeout) != 1) return 0;
        if (event.data.u32 != 42) say("a wake with somebody else's data");
        return event.events;
    }
    /// The first wake, and all that follow at once.
    [[nodiscard]] std::vector<unsigned> wakes() const {
        std::vector<unsigned> seen;
        for (int timeout = patience; const unsigned events = wait(timeout); timeout = quiet) {
            seen.push_back(events);
            if (seen.size() == 5) break;
        }
        return seen;
    }
    /// A fresh TCP socket is ready as soon as it is registered (EPOLLOUT and EPOLLHUP): not what is watched
    /// for here.
    void discard() const { [[maybe_unused]] const auto discarded = wait(0); }
    [[nodiscard]] int fd() const { return instance_; }

private:
    int instance_;
};

void by_poll(int fd, const Start& start) {
    start();
    const auto events = poll_events(fd, patience);
    say("woken: %s", event_names(events).c_str());
}

void by_select(int fd, const Start& start) {
    start();
    fd_set readable, writable, exceptional;
    for (auto* set : {&readable, &writable, &exceptional}) {
        FD_ZERO(set);
        FD_SET(fd, set);
    }
    timeval limit{patience / 1000, 0};
    const int count = select(fd + 1, &readable, &writable, &exceptional, &limit);
    say("select = %d:%s%s%s", count, FD_ISSET(fd, &readable) ? " readable" : "",
        FD_ISSET(fd, &writable) ? " writable" : "", FD_ISSET(fd, &exceptional) ? " exceptional" : "");
}

/// Level-triggered wakes never stop; one is enough.
void by_level(int fd, const Start& start) {
    start();
    const Epoll epoll(fd, all_events);
    tell_wakes({epoll.wait(patience)});
}

void by_level_registered_before(int fd, const Start& start) {
    const Epoll epoll(fd, all_events);
    epoll.discard();
    start();
    tell_wakes({epoll.wait(patience)});
}

void by_edge(int fd, const Start& start) {
    start();
    const Epoll epoll(fd, all_events | EPOLLET);
    tell_wakes(epoll.wakes());
}

void by_edge_registered_before(int fd, const Start& start) {
    const Epoll epoll(fd, all_events | EPOLLET);
    epoll.discard();
    start();
    tell_wakes(epoll.wakes());
}

/// The events that the fresh socket had are not collected before: connect() takes them away.
void by_edge_never_collected(int fd, const Start& start) {
    const Epoll epoll(fd, all_events | EPOLLET);
    start();
    tell_wakes(epoll.wakes());
}

void by_oneshot_registered_before(int fd, const Start& start) {
    const Epoll epoll(fd, 0);
    start();
    epoll.control(EPOLL_CTL_MOD, fd, all_events | EPOLLONESHOT);
    tell_wakes(epoll.wakes());
}

void by_exclusive_registered_before(int fd, const Start& start) {
    const Epoll epoll(fd, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLEXCLUSIVE);
    epoll.discard();
    start();
    tell_wakes(epoll.wakes());
}

/// Registered for nothing but what is always reported, and for more while the connection is made.
void by_changed_interest(int fd, const Start& start) {
    const Epoll epoll(fd, 0);
    start();
    epoll.control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET);
    epoll.control(EPOLL_CTL_MOD, fd, all_events | EPOLLET);
    tell_wakes(epoll.wakes());
}

/// An instance that a registration was taken away from hears nothing.
void by_none_deleted_before(int fd, const Start& start) {
    const Epoll deleted(fd, all_events | EPOLLET);
    deleted.control(EPOLL_CTL_DEL, fd, 0);
    start();
    by_poll(fd, [] {});
    say("the other instance: %s", event_names(deleted.wait(quiet)).c_str());
}

void by_two_instances(int fd, const Start& start) {
    const Epoll level(fd, all_events);
    const Epoll edge(fd, all_events | EPOLLET);
    level.discard();
    edge.discard();
    start();
    tell_wakes(edge.wakes());
    tell_wakes({level.wait(patience)});
}

void by_nested_epoll(int fd, const Start& start) {
    const Epoll inner(fd, all_events | EPOLLET);
    inner.discard();
    const Epoll outer(inner.fd(), EPOLLIN);
    start();
    say("outer: %s", event_names(outer.wait(patience)).c_str());
    tell_wakes(inner.wakes());
}

/// epoll_wait() has begun when connect() comes.
void by_thread_in_epoll_wait(int fd, const Start& start) {
    const Epoll epoll(fd, all_events | EPOLLET);
    epoll.discard();
    std::vector<unsigned> seen;
    std::thread waiter([&] { seen = epoll.wakes(); });
    pause(50);
    start();
    waiter.join();
    tell_wakes(seen);
}

/// Another thread begins to poll while the connection is made.
void by_thread_in_poll(int fd, const Start& start) {
    start();
    unsigned seen = 0;
    std::thread waiter([&] { seen = poll_events(fd, patience); });
    waiter.join();
    say("woken: %s", event_names(seen).c_str());
}

/// poll() has begun when connect() comes, with no interest but in hanging up, which a fresh socket does all
/// the time.
void by_thread_in_poll_before(int fd, const Start& start) {
    unsigned seen = 0;
    std::thread waiter([&] { seen = poll_events(fd, patience); });
    waiter.join();
    say("before: %s", event_names(seen).c_str());
    by_thread_in_poll(fd, start);
}

struct Watcher {
    std::string_view name;
    Watch watch;
};
constexpr Watcher watchers[] = {
    {"poll", by_poll},
    {"select", by_select},
    {"epoll_level", by_level},
    {"epoll_level_before", by_level_registered_before},
    {"epoll_edge", by_edge},
    {"epoll_edge_before", by_edge_registered_before},
    {"epoll_edge_never_collected", by_edge_never_collected},
    {"epoll_oneshot", by_oneshot_registered_before},
    {"epoll_exclusive", by_exclusive_registered_before},
    {"epoll_changed", by_changed_interest},
    {"epoll_deleted", by_none_deleted_before},
    {"epoll_two", by_two_instances},
    {"epoll_nested", by_nested_epoll},
    {"thread_in_epoll_wait", by_thread_in_epoll_wait},
    {"thread_in_poll", by_thread_in_poll},
    {"thread_in_poll_before", by_thread_in_poll_before},
};

void aftermath(int fd, bool expect_connection) {
    observe_error(fd);
    observe_error(fd);
    observe_peer(fd);
    observe_local(fd);
    if (expect_connection) observe_echo(fd);
}

} // namespace

/// WATCHER DESTINATION [MILLISECONDS]: the last is how long the way there takes at least.
int main(int argc, char** argv) {
    const Arguments words(argv + 1, argv + argc);
    if (words.size() < 2) give_up("WATCHER DESTINATION [MILLISECONDS]");
    const auto to = address_of(words[1]);
    const long way = words.size() > 2 ? std::stol(std::string(words[2])) : 0;
    for (const auto& watcher : watchers) {
        if (watcher.name != words[0]) continue;
        const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
        Stopwatch since_connect;
        watcher.watch(fd, [&] {
            since_connect = {};
            told("connect", connect_to(fd, to));
            if (since_connect.milliseconds() > 50) say("connect() took its time");
        });
        say("too early: %s", since_connect.milliseconds() < way ? "yes" : "no");
        Address peer;
        peer.size = sizeof peer.storage;
        aftermath(fd, getpeername(fd, peer.get(), &peer.size) == 0);
        close(fd);
        return 0;
    }
    give_up("no such watcher");
}
