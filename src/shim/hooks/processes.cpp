// exec, spawn, and what runs a shell.
#include "shim/processes.hpp"

#include "shim/hooks/hook.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <spawn.h>

using shim::ChildEnvironment;

EXPORT int execve(const char* path, char* const* arguments, char* const* environment) {
    return real::execve(path, arguments, ChildEnvironment(environment).get());
}

EXPORT int execv(const char* path, char* const* arguments) {
    return real::execve(path, arguments, ChildEnvironment(environ).get());
}

EXPORT int execvp(const char* file, char* const* arguments) {
    return real::execvpe(file, arguments, ChildEnvironment(environ).get());
}

EXPORT int execvpe(const char* file, char* const* arguments, char* const* environment) {
    return real::execvpe(file, arguments, ChildEnvironment(environment).get());
}

EXPORT int fexecve(int fd, char* const* arguments, char* const* environment) {
    return real::fexecve(fd, arguments, ChildEnvironment(environment).get());
}

EXPORT int execveat(int directory, const char* path, char* const* arguments, char* const* environment,
                    int flags) {
    return real::execveat(directory, path, arguments, ChildEnvironment(environment).get(), flags);
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
    return real::posix_spawn(pid, path, actions, attributes, arguments, ChildEnvironment(environment).get());
}

EXPORT int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                        const posix_spawnattr_t* attributes, char* const* arguments,
                        char* const* environment) {
    return real::posix_spawnp(pid, file, actions, attributes, arguments, ChildEnvironment(environment).get());
}

EXPORT int system(const char* command) {
    shim::restore_own_environment();
    return real::system(command);
}

EXPORT FILE* popen(const char* command, const char* mode) {
    shim::restore_own_environment();
    return real::popen(command, mode);
}
