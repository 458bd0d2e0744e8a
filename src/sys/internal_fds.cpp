#include "sys/internal_fds.hpp"

#include "sys/fd_marks.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <mutex>
#include <sys/resource.h>

namespace socksify::sys {
namespace {

// One thread at a time raises the limit, and none forks meanwhile: a raised limit must not be taken for the
// program's own, nor be inherited.
constinit Mutex limit_mutex{LockRank::limit};

/// The soft limit raised to the hard one for the length of a call, so that our own descriptors neither count
/// against the program's limit nor take a number that its next socket() would get.
class RoomAboveSoftLimit {
public:
    RoomAboveSoftLimit() noexcept {
        if (getrlimit(RLIMIT_NOFILE, &limit_) != 0 || limit_.rlim_cur >= limit_.rlim_max) return;
        auto raised = limit_;
        raised.rlim_cur = std::min<rlim_t>(limit_.rlim_max, FdMarks::capacity);
        if (raised.rlim_cur > limit_.rlim_cur) raised_ = setrlimit(RLIMIT_NOFILE, &raised) == 0;
    }
    ~RoomAboveSoftLimit() {
        if (raised_) setrlimit(RLIMIT_NOFILE, &limit_);
    }
    RoomAboveSoftLimit(const RoomAboveSoftLimit&) = delete;
    RoomAboveSoftLimit& operator=(const RoomAboveSoftLimit&) = delete;

    /// The lowest number to take: just above the soft limit, else in its upper part.
    [[nodiscard]] int floor() const noexcept {
        const auto soft = static_cast<int>(std::min<rlim_t>(limit_.rlim_cur, FdMarks::capacity));
        return raised_ ? soft : soft - std::min(soft / 4, 4096);
    }

private:
    const std::lock_guard<Mutex> lock_{limit_mutex};
    rlimit limit_{};
    bool raised_ = false;
};

} // namespace

int duplicate_internally(int fd) noexcept {
    const RoomAboveSoftLimit room;
    int high = real::fcntl(fd, F_DUPFD_CLOEXEC, room.floor());
    if (high < 0 && errno == EMFILE)
        high = real::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1); // among the program's, then
    if (high >= 0) fd_marks.set(high, FdMarks::internal);
    return high;
}

bool make_pair(int (&pair)[2]) noexcept {
    const RoomAboveSoftLimit room;
    return real::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0;
}

int make_internal(int fd) noexcept {
    const int high = duplicate_internally(fd);
    if (high < 0) {
        fd_marks.set(fd, FdMarks::internal);
        return fd;
    }
    real::close(fd);
    return high;
}

void close_internal(int fd) noexcept {
    if (fd < 0) return;
    fd_marks.clear(fd, FdMarks::internal);
    real::close(fd);
}

bool is_internal(int fd) noexcept { return fd_marks.has(fd, FdMarks::internal); }

} // namespace socksify::sys
