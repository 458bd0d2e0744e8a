#include "sys/fd_table.hpp"

#include "sys/fd_marks.hpp"
#include "sys/keep_errno.hpp"
#include "sys/listener.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"
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

struct SocketTable {
    static constexpr std::size_t chunk_size = 4;

    std::atomic<int> end{0}; ///< above each number that there has ever been a socket for
    Mutex mutex{LockRank::descriptors};
    Socket* free = nullptr; // under mutex

    std::atomic_ref<Socket*> slot(int fd) noexcept {
        return std::atomic_ref(slots[static_cast<std::size_t>(fd)]);
    }
    Socket& take() {
        const std::lock_guard lock(mutex);
        if (free == nullptr) {
            auto* fresh = new Socket[chunk_size];
            for (std::size_t i = chunk_size; i-- > 0;) fresh[i].next_free_ = std::exchange(free, &fresh[i]);
        }
        return *std::exchange(free, free->next_free_);
    }
    void drop(Socket* one) noexcept {
        if (one == nullptr || one->users_.fetch_sub(1) != 1 || !one->alive_.exchange(false)) return;
        one->parked.reset(); // without the lock: they may own descriptors
        one->listener.reset();
        one->unanswered.reset();
        const std::lock_guard lock(mutex);
        one->next_free_ = std::exchange(free, one);
    }
    SocketRef acquire(int fd) noexcept {
        const auto place = slot(fd);
        for (;;) {
            auto* one = place.load();
            if (one == nullptr) return {};
            one->users_.fetch_add(1);
            if (place.load() == one) return SocketRef(one);
            drop(one); // it went meanwhile, and may be another's by now
        }
    }
    /// Puts it, or nothing, in the place of what is there.
    void put(int fd, const SocketRef& socket) noexcept {
        const SignalsHeld held; // once, for both locks
        Socket* before = nullptr;
        {
            const std::lock_guard lock(mutex);
            socket.share();
            before = slot(fd).exchange(socket.socket_);
        }
        drop(before);
        if (socket)
            for (int known = end.load(); known <= fd;)
                if (end.compare_exchange_weak(known, fd + 1)) break;
    }
};

namespace {

constinit SocketTable table{};

bool is_in_table(int fd) noexcept { return static_cast<unsigned>(fd) < FdMarks::capacity; }

} // namespace

SocketRef::SocketRef(Socket::State state, std::uint64_t cookie, const Address& peer, int domain,
                     std::shared_ptr<Parked> parked)
    : socket_(&table.take()) {
    // Counted first: a reader that was late with the last one's end must not find itself the last user.
    socket_->users_.fetch_add(1);
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
    socket_->alive_.store(true);
}

void SocketRef::let_go() noexcept { table.drop(socket_); }

namespace fds {
namespace {

struct WatchTable {
    std::unordered_map<int, std::vector<Watch>> watches;
};

// Under the table's lock. Made at the first need and never destroyed: threads may call us while the process
// exits.
constinit WatchTable* watch_table = nullptr;

} // namespace

SocketRef find(int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::known)) return {};
    const KeepErrno keep;
    auto socket = table.acquire(fd);
    if (socket && cookie_of(fd) != socket->cookie) {
        forget(fd); // closed behind our back, and perhaps somebody else's by now
        return {};
    }
    return socket;
}

void put(int fd, const SocketRef& socket) noexcept {
    if (!is_in_table(fd)) return;
    table.put(fd, socket);
    if (socket->is_stand_in()) fd_marks.set(fd, FdMarks::stand_in);
    else fd_marks.clear(fd, FdMarks::stand_in);
    if (socket->unanswered) fd_marks.set(fd, FdMarks::unanswered);
    else fd_marks.clear(fd, FdMarks::unanswered);
    fd_marks.set(fd, FdMarks::known); // last: whoever sees it sees the others
}

void forget(int fd) noexcept {
    const auto marks = fd_marks.of(fd);
    if (marks == 0) return;
    fd_marks.clear(fd, FdMarks::shared | FdMarks::failed);
    if ((marks & FdMarks::known) != 0) forget_socket(fd);
    if ((marks & FdMarks::watched) == 0) return;
    const std::lock_guard lock(table.mutex);
    if (watch_table != nullptr) watch_table->watches.erase(fd);
    fd_marks.clear(fd, FdMarks::watched);
}

void forget_socket(int fd) noexcept {
    if (!fd_marks.has(fd, FdMarks::known)) return;
    fd_marks.clear(fd, FdMarks::known | FdMarks::failed | FdMarks::stand_in | FdMarks::unanswered);
    table.put(fd, {});
}

void copy(int from, int to) noexcept {
    forget(to);
    if (!fd_marks.has(from, FdMarks::known)) return;
    if (const auto socket = table.acquire(from)) put(to, socket);
}

std::vector<std::pair<int, SocketRef>> all(bool (*wanted)(const Socket&)) {
    std::vector<std::pair<int, SocketRef>> found;
    for (int fd = 0; fd < table.end.load(); ++fd)
        if (auto socket = table.acquire(fd); socket && wanted(*socket))
            found.emplace_back(fd, std::move(socket));
    return found;
}

void visit_in_child(void (*visit)(const Socket&)) {
    for (int fd = 0; fd < table.end.load(); ++fd)
        if (const auto* socket = table.slot(fd).load(); socket != nullptr) visit(*socket);
}

void watch(int epoll, int fd, const epoll_event& event) {
    const std::lock_guard lock(table.mutex);
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
    const std::lock_guard lock(table.mutex);
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
    const std::lock_guard lock(table.mutex);
    if (watch_table == nullptr) return found;
    const auto at = watch_table->watches.find(fd);
    if (at == watch_table->watches.end()) return found;
    found.size = std::min(at->second.size(), most_watches);
    std::copy_n(at->second.begin(), found.size, found.all.begin());
    return found;
}

} // namespace fds
} // namespace socksify::sys
