#include "sys/fd_table.hpp"

#include "sys/fd_marks.hpp"
#include "sys/keep_errno.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace socksify::sys {

constinit FdMarks fd_marks;

std::uint64_t cookie_of(int fd) noexcept {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return real::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

namespace fds {
namespace {

struct Table {
    std::unordered_map<int, SocketRef> sockets;
    std::unordered_map<int, std::vector<Watch>> watches;
};

constinit Mutex mutex{LockRank::descriptors};
// Made at the first need and never destroyed: threads may call us while the process exits.
constinit Table* table = nullptr;

Table& the_table() {
    if (table == nullptr) table = new Table;
    return *table;
}

} // namespace

SocketRef find(int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::known)) return {};
    const KeepErrno keep;
    SocketRef socket;
    {
        const std::lock_guard lock(mutex);
        if (table == nullptr) return {};
        if (const auto at = table->sockets.find(fd); at != table->sockets.end()) socket = at->second;
    }
    if (socket && cookie_of(fd) != socket->cookie) {
        forget(fd); // closed behind our back, and perhaps somebody else's by now
        return {};
    }
    return socket;
}

void put(int fd, SocketRef socket) {
    const std::lock_guard lock(mutex);
    the_table().sockets[fd].swap(socket);
    fd_marks.set(fd, FdMarks::known);
}

void forget(int fd) noexcept {
    const auto marks = fd_marks.of(fd);
    if (marks == 0) return;
    fd_marks.clear(fd, FdMarks::shared);
    fd_marks.clear(fd, FdMarks::failed);
    if ((marks & (FdMarks::known | FdMarks::watched)) == 0) return;
    SocketRef dropped; // destroyed outside the lock: it may own a parked connection
    {
        const std::lock_guard lock(mutex);
        if (table == nullptr) return;
        if (const auto at = table->sockets.find(fd); at != table->sockets.end()) {
            dropped = std::move(at->second);
            table->sockets.erase(at);
        }
        table->watches.erase(fd);
        fd_marks.clear(fd, FdMarks::known);
        fd_marks.clear(fd, FdMarks::watched);
    }
}

void forget_socket(int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::known)) return;
    fd_marks.clear(fd, FdMarks::failed);
    SocketRef dropped;
    const std::lock_guard lock(mutex);
    if (const auto at = table->sockets.find(fd); at != table->sockets.end()) {
        dropped = std::move(at->second);
        table->sockets.erase(at);
    }
    fd_marks.clear(fd, FdMarks::known);
}

void copy(int from, int to) {
    forget(to);
    if (!fd_marks.has(from, FdMarks::known)) return;
    const std::lock_guard lock(mutex);
    auto& sockets = the_table().sockets;
    const auto at = sockets.find(from);
    if (at == sockets.end()) return;
    auto socket = at->second;
    sockets[to].swap(socket);
    fd_marks.set(to, FdMarks::known);
}

void visit_in_child(void (*visit)(const Socket&)) {
    if (table == nullptr) return;
    for (const auto& [fd, socket] : table->sockets) visit(*socket);
}

void watch(int epoll, int fd, const epoll_event& event) {
    const std::lock_guard lock(mutex);
    auto& watches = the_table().watches[fd];
    const auto same =
        std::find_if(watches.begin(), watches.end(), [&](const Watch& w) { return w.epoll == epoll; });
    if (same != watches.end()) same->event = event;
    else watches.push_back({epoll, event});
    fd_marks.set(fd, FdMarks::watched);
}

void unwatch(int epoll, int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::watched)) return;
    const std::lock_guard lock(mutex);
    if (table == nullptr) return;
    const auto at = table->watches.find(fd);
    if (at == table->watches.end()) return;
    std::erase_if(at->second, [&](const Watch& w) { return w.epoll == epoll; });
    if (!at->second.empty()) return;
    table->watches.erase(at);
    fd_marks.clear(fd, FdMarks::watched);
}

Watches watches(int fd) noexcept {
    Watches found;
    if (!fd_marks.has(fd, FdMarks::watched)) return found;
    const std::lock_guard lock(mutex);
    if (table == nullptr) return found;
    const auto at = table->watches.find(fd);
    if (at == table->watches.end()) return found;
    found.size = std::min(at->second.size(), most_watches);
    std::copy_n(at->second.begin(), found.size, found.all.begin());
    return found;
}

} // namespace fds
} // namespace socksify::sys
