// exec, spawn, and what runs a shell.
#include "shim/processes.hpp"
#include "shim/optimistic.hpp"

#include "shim/hooks/hook.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <spawn.h>

using shim::ChildEnvironment;

namespace {

/// Each way to execute: refused with an errno, or done in the environment that it needs.
template <class Refusal, class Real>
int execute(char* const* environment, Refusal refusal, Real real) {
    const ChildEnvironment whole(environment);
    int error = ENOMEM;
    try {
        error = refusal(whole);
    } catch (const std::bad_alloc&) {
        // There was none for the path.
    }
    if (error != 0) return (errno = error, -1);
    shim::await_replies_for_exec();
    return real(whole.get());
}

} // namespace

EXPORT int execve(const char* path, char* const* arguments, char* const* environment) {
    return execute(
        environment, [&](const auto& whole) { return shim::refusal_to_execute(path, whole); },
        [&](auto* whole) { return real::execve(path, arguments, whole); });
}

EXPORT int execv(const char* path, char* const* arguments) { return execve(path, arguments, environ); }

EXPORT int execvpe(const char* file, char* const* arguments, char* const* environment) {
    return execute(
        environment, [&](const auto& whole) { return shim::refusal_to_execute_by_name(file, whole); },
        [&](auto* whole) { return real::execvpe(file, arguments, whole); });
}

EXPORT int execvp(const char* file, char* const* arguments) { return execvpe(file, arguments, environ); }

EXPORT int fexecve(int fd, char* const* arguments, char* const* environment) {
    return execute(
        environment,
        [&](const auto& whole) {
            return shim::refusal_to_execute(shim::path_at(fd, "", AT_EMPTY_PATH).c_str(), whole);
        },
        [&](auto* whole) { return real::fexecve(fd, arguments, whole); });
}

EXPORT int execveat(int directory, const char* path, char* const* arguments, char* const* environment,
                    int flags) {
    return execute(
        environment,
        [&](const auto& whole) {
            return path == nullptr
                       ? 0
                       : shim::refusal_to_execute(shim::path_at(directory, path, flags).c_str(), whole);
        },
        [&](auto* whole) { return real::execveat(directory, path, arguments, whole, flags); });
}

namespace {

/// The arguments of execl() and its kin as a list on the stack, as libc does it; `rest` is left behind the
/// null pointer.
std::size_t count_list(std::va_list rest) {
    std::size_t count = 1; // the first is named
    while (va_arg(rest, char*) != nullptr) ++count;
    return count;
}

} // namespace

// A macro, because the list must live on the stack of the function that execs: there may be no heap after
// vfork().
#define EXEC_LIST(first, environment_after_list, call)                                                       \
    std::va_list rest;                                                                                       \
    va_start(rest, first);                                                                                   \
    const auto count = count_list(rest);                                                                     \
    va_end(rest);                                                                                            \
    auto** arguments = static_cast<char**>(__builtin_alloca((count + 1) * sizeof(char*)));                   \
    va_start(rest, first);                                                                                   \
    arguments[0] = const_cast<char*>(first);                                                                 \
    for (std::size_t i = 1; i <= count; ++i) arguments[i] = va_arg(rest, char*);                             \
    char* const* environment = (environment_after_list) ? va_arg(rest, char* const*) : environ;              \
    va_end(rest);                                                                                            \
    return call

EXPORT int execl(const char* path, const char* first, ...) {
    EXEC_LIST(first, false, execve(path, arguments, environment));
}
EXPORT int execlp(const char* file, const char* first, ...) {
    EXEC_LIST(first, false, execvpe(file, arguments, environment));
}
EXPORT int execle(const char* path, const char* first, ...) {
    EXEC_LIST(first, true, execve(path, arguments, environment));
}

EXPORT int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                       const posix_spawnattr_t* attributes, char* const* arguments,
                       char* const* environment) {
    const ChildEnvironment whole(environment);
    if (const int error = shim::refusal_to_execute(path, whole); error != 0) return error;
    shim::await_replies_for_exec();
    return real::posix_spawn(pid, path, actions, attributes, arguments, whole.get());
}

EXPORT int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                        const posix_spawnattr_t* attributes, char* const* arguments,
                        char* const* environment) {
    const ChildEnvironment whole(environment);
    if (const int error = shim::refusal_to_execute_by_name(file, whole); error != 0) return error;
    shim::await_replies_for_exec();
    return real::posix_spawnp(pid, file, actions, attributes, arguments, whole.get());
}

EXPORT int system(const char* command) {
    if (const int error = shim::restore_own_environment(); error != 0) return (errno = error, -1);
    shim::await_replies_for_exec();
    return real::system(command);
}

EXPORT FILE* popen(const char* command, const char* mode) {
    if (const int error = shim::restore_own_environment(); error != 0) return (errno = error, nullptr);
    shim::await_replies_for_exec();
    return real::popen(command, mode);
}
