#include "sys/fd_table.hpp"

#include "sys/fd_marks.hpp"
#include "sys/keep_errno.hpp"
#include "sys/listener.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"
#include "sys/sparse.hpp"
#include "sys/unanswered.hpp"

#include <algorithm>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

namespace socksify::sys {

std::uint64_t cookie_of(int fd) noexcept {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return real::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

namespace {

// By number. Apart from what is not zero at first, so that it takes no room in the file: .bss, of which only
// pages that are written to are real. Plain pointers, atomic where they are touched: see FdMarks.
SOCKSIFY_SPARSE(2) constinit std::array<Socket*, FdMarks::capacity> slots{};

} // namespace

namespace {

constexpr std::size_t sockets_at_once = 4;
constinit SlotTable<Socket, slots, sockets_at_once> table{};
constinit std::atomic<int> end_of_numbers{0}; // above each that there has ever been a socket for

bool is_in_table(int fd) noexcept { return static_cast<unsigned>(fd) < FdMarks::capacity; }

} // namespace

void Socket::empty() noexcept {
    parked.reset();
    listener.reset();
    unanswered.reset();
}

SocketRef::SocketRef(Socket::State state, std::uint64_t cookie, const Address& peer, int domain,
                     std::shared_ptr<Parked> parked)
    : socket_(&table.take()) {
    socket_->state = state;
    socket_->cookie = cookie;
    socket_->peer = peer;
    socket_->domain = domain;
    socket_->over_unix = false;
    socket_->parked = std::move(parked);
    socket_->local.size = 0;
    socket_->upstream = Socket::no_upstream;
    socket_->second_connect_succeeds.store(false);
    socket_->error.store(0);
    socket_->come_alive();
}

void SocketRef::let_go() noexcept { table.drop(socket_); }

namespace fds {
namespace {

struct WatchTable {
    std::unordered_map<int, std::vector<Watch>> watches;
};

constinit Mutex watch_mutex{LockRank::polled};
// Under `watch_mutex`. Made at the first need and never destroyed: threads may call us while the process
// exits.
constinit WatchTable* watch_table = nullptr;

} // namespace

SocketRef find(int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::known)) return {};
    const KeepErrno keep;
    SocketRef socket(table.acquire(fd));
    if (socket && cookie_of(fd) != socket->cookie) {
        forget(fd); // closed behind our back, and perhaps somebody else's by now
        return {};
    }
    return socket;
}

void put(int fd, const SocketRef& socket) noexcept {
    if (!is_in_table(fd)) return;
    table.put(fd, &socket.unseen());
    if (socket->is_stand_in()) fd_marks.set(fd, FdMarks::stand_in);
    else fd_marks.clear(fd, FdMarks::stand_in);
    if (socket->unanswered) fd_marks.set(fd, FdMarks::unanswered);
    else fd_marks.clear(fd, FdMarks::unanswered);
    fd_marks.set(fd, FdMarks::known); // last: whoever sees it sees the others
    for (int end = end_of_numbers.load(); end <= fd;)
        if (end_of_numbers.compare_exchange_weak(end, fd + 1)) break;
}

void forget(int fd) noexcept {
    const auto marks = fd_marks.of(fd);
    if (marks == 0) return;
    fd_marks.clear(fd, FdMarks::shared | FdMarks::failed);
    if ((marks & FdMarks::known) != 0) forget_socket(fd);
    if ((marks & FdMarks::watched) == 0) return;
    const std::lock_guard lock(watch_mutex);
    if (watch_table != nullptr) watch_table->watches.erase(fd);
    fd_marks.clear(fd, FdMarks::watched);
}

void forget_socket(int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::known)) return;
    fd_marks.clear(fd, FdMarks::known | FdMarks::failed | FdMarks::stand_in | FdMarks::unanswered);
    table.drop(table.remove(fd));
}

void copy(int from, int to) noexcept {
    forget(to);
    if (!fd_marks.has(from, FdMarks::known)) return;
    if (const SocketRef socket(table.acquire(from)); socket) put(to, socket);
}

std::vector<std::pair<int, SocketRef>> all(bool (*wanted)(const Socket&)) {
    std::vector<std::pair<int, SocketRef>> found;
    for (int fd = 0; fd < end_of_numbers.load(); ++fd)
        if (SocketRef socket(table.acquire(fd)); socket && wanted(*socket))
            found.emplace_back(fd, std::move(socket));
    return found;
}

void visit_in_child(void (*visit)(const Socket&)) {
    for (int fd = 0; fd < end_of_numbers.load(); ++fd)
        if (const auto* socket = table.peek(fd); socket != nullptr) visit(*socket);
}

void watch(int epoll, int fd, const epoll_event& event) {
    const std::lock_guard lock(watch_mutex);
    if (watch_table == nullptr) watch_table = new WatchTable;
    auto& watches = watch_table->watches[fd];
    const auto same =
        std::find_if(watches.begin(), watches.end(), [&](const Watch& w) { return w.epoll == epoll; });
    if (same != watches.end()) same->event = event;
    else watches.push_back({epoll, event});
    fd_marks.set(fd, FdMarks::watched);
}

void unwatch(int epoll, int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::watched)) return;
    const std::lock_guard lock(watch_mutex);
    if (watch_table == nullptr) return;
    const auto at = watch_table->watches.find(fd);
    if (at == watch_table->watches.end()) return;
    std::erase_if(at->second, [&](const Watch& w) { return w.epoll == epoll; });
    if (!at->second.empty()) return;
    watch_table->watches.erase(at);
    fd_marks.clear(fd, FdMarks::watched);
}

Watches watches(int fd) noexcept {
    Watches found;
    if (!fd_marks.has(fd, FdMarks::watched)) return found;
    const std::lock_guard lock(watch_mutex);
    if (watch_table == nullptr) return found;
    const auto at = watch_table->watches.find(fd);
    if (at == watch_table->watches.end()) return found;
    found.size = std::min(at->second.size(), most_watches);
    std::copy_n(at->second.begin(), found.size, found.all.begin());
    return found;
}

} // namespace fds
} // namespace socksify::sys
