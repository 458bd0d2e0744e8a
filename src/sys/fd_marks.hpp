// One octet per fd number: what a hook must know before it does anything else. An unmarked number costs one
// relaxed load.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace socksify::sys {

class FdMarks {
public:
    static constexpr int capacity = 1 << 20; ///< numbers above are not marked, and so pass unseen

    enum Mark : std::uint8_t {
        known = 1,        ///< the fd table has an entry
        watched = 2,      ///< some epoll instance has it registered
        internal = 4,     ///< the library's own
        datagram = 16,    ///< a UDP socket that sends through a proxy
        failed = 32,      ///< a connect() that has failed, and no read or write has told so
        stand_in = 64,    ///< of `known`: its connect() is under way or has failed
        shared = 8,       ///< another number refers, or did once, to the same description
        unanswered = 128, ///< of `known`: the proxy's answer has not been taken off the stream
    };

    /// The marks of `fd`; 0 for any number out of range.
    [[nodiscard]] std::uint8_t of(int fd) const noexcept {
        return is_marked_range(fd) ? mark_of(fd).load(std::memory_order_relaxed) : 0;
    }
    [[nodiscard]] bool has(int fd, Mark mark) const noexcept { return (of(fd) & mark) != 0; }
    void set(int fd, Mark mark) noexcept {
        if (is_marked_range(fd)) mark_of(fd).fetch_or(mark);
    }
    void clear(int fd, unsigned mark) noexcept {
        if (is_marked_range(fd)) mark_of(fd).fetch_and(static_cast<std::uint8_t>(~mark));
    }

    /// Marks `fd` as `shared`.
    void share(int fd) noexcept {
        set(fd, shared);
        for (int end = shared_end_.load(); end <= fd;)
            if (shared_end_.compare_exchange_weak(end, fd + 1)) return;
    }
    /// Calls `visit(fd)` for each number that is marked as `shared`.
    template <class Visit>
    void for_each_shared(Visit visit) const {
        for (int fd = 0; fd < shared_end_.load(); ++fd)
            if (has(fd, shared)) visit(fd);
    }

private:
    static bool is_marked_range(int fd) noexcept { return static_cast<unsigned>(fd) < capacity; }
    [[nodiscard]] std::atomic_ref<std::uint8_t> mark_of(int fd) const noexcept {
        return std::atomic_ref(marks_[static_cast<std::size_t>(fd)]);
    }

    // Plain octets, atomic where they are touched: a million atomics take longer to construct than clang 14
    // will wait.
    mutable std::array<std::uint8_t, capacity> marks_{}; // .bss: only pages that are written to are real
    std::atomic<int> shared_end_{0};                     ///< above each number that was ever `shared`
};

extern constinit FdMarks fd_marks;

} // namespace socksify::sys
