#include "shim/lifetime.hpp"

#include <algorithm>
#include <linux/close_range.h>

namespace socksify::shim {

constinit sys::Mutex two_parked_mutex{sys::LockRank::two_parked};

int close_range(unsigned first, unsigned last, int flags) {
    // Close-on-exec is what ours are anyway.
    if (first > last || (static_cast<unsigned>(flags) & CLOSE_RANGE_CLOEXEC) != 0)
        return real::close_range(first, last, flags);
    unsigned from = first;
    const auto marked_until = std::min(last, static_cast<unsigned>(sys::FdMarks::capacity) - 1);
    for (unsigned number = first; number <= marked_until; ++number) {
        const int fd = static_cast<int>(number);
        if (sys::fd_marks.of(fd) == 0) continue;
        if (from < number && real::close_range(from, number - 1, flags) != 0) return -1;
        if (!sys::is_internal(fd)) close_number(fd, [fd] { return real::close(fd); });
        from = number + 1;
    }
    return from <= last && from != 0 ? real::close_range(from, last, flags) : 0;
}

} // namespace socksify::shim
