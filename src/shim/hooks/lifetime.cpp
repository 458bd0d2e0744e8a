// The ends and the duplicates of descriptors.
#include "shim/lifetime.hpp"
#include "shim/optimistic.hpp"

#include "shim/hooks/hook.hpp"

#include <algorithm>
#include <cstdarg>

EXPORT int close(int fd) {
    auto* const call = real::close.get();
    return shim::close_number(fd, [&] { return call(fd); });
}

EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
    return shim::close_range(first, last, flags);
}

EXPORT void closefrom(int first) noexcept {
    if (shim::close_range(static_cast<unsigned>(std::max(first, 0)), ~0U, 0) != 0) real::closefrom(first);
}

EXPORT int dup(int fd) {
    auto* const call = real::dup.get();
    return shim::duplicate(fd, -1, [&] { return call(fd); });
}

EXPORT int dup2(int fd, int target) {
    auto* const call = real::dup2.get();
    return shim::duplicate(fd, target, [&] { return call(fd, target); });
}

EXPORT int dup3(int fd, int target, int flags) {
    auto* const call = real::dup3.get();
    return shim::duplicate(fd, target, [&] { return call(fd, target, flags); });
}

namespace {

/// F_DUPFD and F_DUPFD_CLOEXEC are duplicates; everything else is libc's. The one argument is an int or a
/// pointer: read as the wider of the two, as glibc does.
/// Part of the hook, not a function of its own: tests/calls/faults.cpp tells by the caller whose call it is.
template <class Real>
[[gnu::always_inline]] inline int control(const Real& real, int fd, int command, void* argument) {
    if (command != F_DUPFD && command != F_DUPFD_CLOEXEC) {
        const int result = real(fd, command, argument);
        if (command == F_SETFD && result == 0) socksify::sys::close_on_exec_changed(fd);
        return result;
    }
    return shim::duplicate(fd, -1, [&] { return real(fd, command, argument); });
}

} // namespace

EXPORT int fcntl(int fd, int command, ...) {
    std::va_list arguments;
    va_start(arguments, command);
    void* argument = va_arg(arguments, void*);
    va_end(arguments);
    return control(real::fcntl, fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...) {
    std::va_list arguments;
    va_start(arguments, command);
    void* argument = va_arg(arguments, void*);
    va_end(arguments);
    return control(real::fcntl64, fd, command, argument);
}

EXPORT int pidfd_getfd(int process, int fd, unsigned flags) noexcept {
    return shim::begun(real::pidfd_getfd(process, fd, flags));
}

// stdio reads and writes by libc's own calls.
EXPORT FILE* fdopen(int fd, const char* mode) noexcept {
    if (socksify::sys::fd_marks.has(fd, socksify::sys::FdMarks::unanswered)) shim::await_reply(fd);
    return real::fdopen(fd, mode);
}
