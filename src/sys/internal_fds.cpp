#include "sys/internal_fds.hpp"

#include "sys/fd_marks.hpp"
#include "sys/keep_errno.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <mutex>
#include <sys/syscall.h>
#include <utility>

namespace socksify::sys {
namespace {

// One thread at a time raises the limit, and none forks meanwhile: a raised limit must not be taken for the
// program's own, nor be inherited.
constinit Mutex limit_mutex{LockRank::limit};

constexpr int lowest = STDERR_FILENO + 1; // a program may have closed those, and open its own there

} // namespace

RoomAboveSoftLimit::RoomAboveSoftLimit() noexcept {
    limit_mutex.lock();
    if (getrlimit(RLIMIT_NOFILE, &limit_) != 0 || limit_.rlim_cur >= limit_.rlim_max) return;
    auto raised = limit_;
    raised.rlim_cur = std::min<rlim_t>(limit_.rlim_max, FdMarks::capacity);
    if (raised.rlim_cur > limit_.rlim_cur) raised_ = setrlimit(RLIMIT_NOFILE, &raised) == 0;
}

RoomAboveSoftLimit::~RoomAboveSoftLimit() {
    const KeepErrno keep;
    if (raised_) setrlimit(RLIMIT_NOFILE, &limit_);
    limit_mutex.unlock();
}

int RoomAboveSoftLimit::floor() const noexcept {
    const auto soft = static_cast<int>(std::min<rlim_t>(limit_.rlim_cur, FdMarks::capacity));
    return std::max(raised_ ? soft : soft - std::min(soft / 4, 4096), lowest);
}

int duplicate_internally(int fd, const RoomAboveSoftLimit& room) noexcept {
    int high = real::fcntl(fd, F_DUPFD_CLOEXEC, room.floor());
    if (high < 0 && errno == EMFILE)
        high = real::fcntl(fd, F_DUPFD_CLOEXEC, lowest); // among the program's, then
    if (high >= 0) fd_marks.set(high, FdMarks::internal);
    return high;
}

int make_internal(int fd, const RoomAboveSoftLimit& room) noexcept {
    const int high = duplicate_internally(fd, room);
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
    real::syscall(SYS_close, fd); // close() is a cancellation point, and this is where objects end
}

namespace {

constinit Mutex own_mutex{LockRank::own_descriptors};
constinit OwnDescriptor* first_own = nullptr; // under own_mutex

} // namespace

int OwnDescriptor::exchange(int fd) noexcept {
    const std::lock_guard lock(own_mutex);
    const int former = std::exchange(fd_, fd);
    if (former >= 0) {
        (before_ != nullptr ? before_->next_ : first_own) = next_;
        if (next_ != nullptr) next_->before_ = before_;
    }
    if (fd >= 0) {
        next_ = first_own;
        before_ = nullptr;
        if (next_ != nullptr) next_->before_ = this;
        first_own = this;
    }
    return former;
}

void OwnDescriptor::reset(int fd) noexcept {
    const int former = exchange(fd);
    if (fd >= 0) at_fork_in_child(close_in_child);
    const KeepErrno keep;
    close_internal(former);
}

int OwnDescriptor::release() noexcept { return exchange(-1); }

void OwnDescriptor::close_in_child() {
    for (auto* own = std::exchange(first_own, nullptr); own != nullptr; own = own->next_)
        close_internal(std::exchange(own->fd_, -1));
}

bool is_internal(int fd) noexcept { return fd_marks.has(fd, FdMarks::internal); }

} // namespace socksify::sys
