// One thread for all that must not hold the program up: parked connects and discovery.
//
// It is started at the first need, never in a constructor; all signals are blocked in it, so it takes none
// that is meant for the program; it ends when it has been idle for a while, so it never keeps a process
// alive; after fork() the child has none until it needs one. Its two descriptors are made once in a process
// and kept, so that a wake-up can't hit a number that is somebody else's by now.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

namespace socksify::sys::worker {

using Clock = std::chrono::steady_clock;

/// What a task waits for next.
struct Wait {
    bool over = false;        ///< nothing: call `finish`
    int fd = -1;              ///< a descriptor, or -1 for none
    std::uint32_t events = 0; ///< EPOLLIN, EPOLLOUT
    Clock::time_point deadline = Clock::time_point::max();
};

/// Something that the worker carries on, always from the worker's own thread.
class Task {
public:
    virtual ~Task() = default;
    /// Goes on as far as it can without waiting. Called at first, when the fd is ready, at the deadline, and
    /// after wake().
    virtual Wait run() = 0;
    /// It is over: hands the outcome on. The worker no longer looks at the fd.
    virtual void finish() noexcept = 0;
    /// No memory to go on with: as `finish`, with a failure.
    virtual void abandon(int error) noexcept = 0;
    /// Whether run() is to be called after a wake(): nobody waits for the outcome any more, say.
    [[nodiscard]] virtual bool has_news() const noexcept { return false; }
};

/// Makes sure that a worker can be had: false, with errno, if there can be no thread or no descriptors for
/// it.
bool ready() noexcept;
/// Hands a task over. After ready() this fails only for want of memory (std::bad_alloc) or of a thread
/// (false, errno); then the task is still the caller's.
bool post(std::unique_ptr<Task>& task);
/// Has the worker look for tasks with news.
void wake() noexcept;

} // namespace socksify::sys::worker
