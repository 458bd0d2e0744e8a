// Not a victim but a library that is preloaded behind ours: what libsocksify.so asks of libc comes by here,
// and one of its calls, or all from one on, fails. Calls of anybody else pass, and so do those that ours
// hands on for the program.
//
// Which call it is, is decided in the process itself (see faults.hpp): a victim forks, arms, and looks at
// what came of it.
#include "faults.hpp"

#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <netdb.h>
#include <new>
#include <poll.h>
#include <pthread.h>
#include <string_view>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

struct Range {
    std::uintptr_t begin = 0, end = 0;
};

std::atomic<const char*> armed{nullptr};
long first = 0;
int failure = 0;
bool from_then_on = false;
/// Also of the children that the process forks from then on.
struct Record {
    std::atomic<long> made{0};
    std::atomic<bool> failed{false};
};
Record* record = nullptr;
Range ours;

int find_library(dl_phdr_info* info, std::size_t, void*) {
    if (std::string_view(info->dlpi_name).find("libsocksify.so") == std::string_view::npos) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& part = info->dlpi_phdr[i];
        if (part.p_type == PT_LOAD && (part.p_flags & PF_X) != 0)
            ours = {info->dlpi_addr + part.p_vaddr, info->dlpi_addr + part.p_vaddr + part.p_memsz};
    }
    return 1;
}

bool is_ours(const void* caller) {
    const auto at = reinterpret_cast<std::uintptr_t>(caller);
    return at >= ours.begin && at < ours.end;
}

/// The program's own call of `name`, which ours hands on.
bool is_handed_on(const void* caller, const char* name) {
    Dl_info info;
    return dladdr(caller, &info) != 0 && info.dli_sname != nullptr && std::strcmp(info.dli_sname, name) == 0;
}

/// What becomes of a call of `name`, which the tables call `what`: 0, or the failure.
int fate(const char* what, const char* name, const void* caller) {
    const char* wanted = armed.load(std::memory_order_relaxed);
    if (wanted == nullptr || std::strcmp(wanted, what) != 0 || !is_ours(caller) || is_handed_on(caller, name))
        return 0;
    const long turn = record->made.fetch_add(1) + 1;
    if (turn != first && !(from_then_on && turn > first)) return 0;
    record->failed.store(true);
    return failure;
}

template <class Function>
Function next(const char* name) {
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

} // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void faults_arm(const char* function, long nth, int error, bool and_all_later) {
    dl_iterate_phdr(find_library, nullptr);
    first = nth;
    failure = error;
    from_then_on = and_all_later;
    void* shared = next<decltype(&mmap)>("mmap")(nullptr, sizeof(Record), PROT_READ | PROT_WRITE,
                                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    record = new (shared) Record;
    armed.store(function);
}
EXPORT void faults_disarm() { armed.store(nullptr); }
EXPORT bool faults_failed() { return record->failed.load(); }

// A call that fails with -1 and errno; `what` names it in the tables.
#define FAULT(what, result, name, parameters, arguments)                                                     \
    EXPORT result name parameters {                                                                          \
        static const auto real = next<result(*) parameters>(#name);                                          \
        if (const int error = fate(what, #name, __builtin_return_address(0))) {                              \
            errno = error;                                                                                   \
            return static_cast<result>(-1);                                                                  \
        }                                                                                                    \
        return real arguments;                                                                               \
    }

// One that moves octets: the failure may be that it moves one alone.
#define FAULT_OF_OCTETS(name, parameters, size, arguments)                                                   \
    EXPORT ssize_t name parameters {                                                                         \
        static const auto real = next<ssize_t(*) parameters>(#name);                                         \
        const int error = fate(#name, #name, __builtin_return_address(0));                                   \
        if (error == faults_short && size > 1) size = 1;                                                     \
        else if (error != 0 && error != faults_short) return (errno = error, -1);                            \
        return real arguments;                                                                               \
    }

FAULT("access", int, access, (const char* path, int mode), (path, mode))
FAULT("dup3", int, dup3, (int fd, int target, int flags), (fd, target, flags))
FAULT("epoll_create1", int, epoll_create1, (int flags), (flags))
FAULT("epoll_wait", int, epoll_wait, (int epoll, epoll_event* events, int most, int timeout),
      (epoll, events, most, timeout))
FAULT("eventfd", int, eventfd, (unsigned value, int flags), (value, flags))
FAULT("fstat", int, fstat64, (int fd, struct stat64* status), (fd, status))
FAULT("ftruncate", int, ftruncate64, (int fd, off64_t size), (fd, size))
FAULT("getpeername", int, getpeername, (int fd, sockaddr* address, socklen_t* size), (fd, address, size))
FAULT("getrlimit", int, getrlimit64, (__rlimit_resource_t resource, rlimit64* limit), (resource, limit))
FAULT("getsockname", int, getsockname, (int fd, sockaddr* address, socklen_t* size), (fd, address, size))
FAULT("memfd_create", int, memfd_create, (const char* name, unsigned flags), (name, flags))
FAULT("mkdir", int, mkdir, (const char* path, mode_t mode), (path, mode))
FAULT("poll", int, poll, (pollfd * interests, nfds_t count, int timeout), (interests, count, timeout))
FAULT("ppoll", int, ppoll, (pollfd * interests, nfds_t count, const timespec* timeout, const sigset_t* mask),
      (interests, count, timeout, mask))
FAULT("pread", ssize_t, pread64, (int fd, void* to, size_t size, off64_t offset), (fd, to, size, offset))
FAULT("readlink", ssize_t, readlink, (const char* path, char* to, size_t size), (path, to, size))
FAULT("recvmsg", ssize_t, recvmsg, (int fd, msghdr* message, int flags), (fd, message, flags))
FAULT("sendmsg", ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags))
FAULT("setsockopt", int, setsockopt, (int fd, int level, int name, const void* value, socklen_t size),
      (fd, level, name, value, size))
FAULT("socket", int, socket, (int domain, int type, int protocol), (domain, type, protocol))
FAULT("socketpair", int, socketpair, (int domain, int type, int protocol, int* pair),
      (domain, type, protocol, pair))
FAULT("stat", int, stat64, (const char* path, struct stat64* status), (path, status))

FAULT_OF_OCTETS(read, (int fd, void* to, size_t size), size, (fd, to, size))
FAULT_OF_OCTETS(recv, (int fd, void* to, size_t size, int flags), size, (fd, to, size, flags))
FAULT_OF_OCTETS(send, (int fd, const void* from, size_t size, int flags), size, (fd, from, size, flags))
FAULT_OF_OCTETS(write, (int fd, const void* from, size_t size), size, (fd, from, size))

/// The kernel lets go of the number whatever it says.
EXPORT int close(int fd) {
    static const auto real = next<int (*)(int)>("close");
    const int error = fate("close", "close", __builtin_return_address(0));
    const int result = real(fd);
    if (error == 0) return result;
    errno = error;
    return -1;
}

/// What tells a socket from another (SO_COOKIE) is asked for all the time, and fails for none that is one.
EXPORT int getsockopt(int fd, int level, int name, void* value, socklen_t* size) {
    static const auto real = next<int (*)(int, int, int, void*, socklen_t*)>("getsockopt");
    const bool of_identity = level == SOL_SOCKET && name == SO_COOKIE;
    if (const int error = of_identity ? 0 : fate("getsockopt", "getsockopt", __builtin_return_address(0)))
        return (errno = error, -1);
    return real(fd, level, name, value, size);
}

/// connect() to nobody ends a connection, and nothing can keep it from that.
EXPORT int connect(int fd, const sockaddr* address, socklen_t size) {
    static const auto real = next<int (*)(int, const sockaddr*, socklen_t)>("connect");
    const bool is_an_end = address->sa_family == AF_UNSPEC;
    if (const int error = is_an_end ? 0 : fate("connect", "connect", __builtin_return_address(0)))
        return (errno = error, -1);
    return real(fd, address, size);
}

/// Only a new registration takes memory.
EXPORT int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
    static const auto real = next<int (*)(int, int, int, epoll_event*)>("epoll_ctl");
    const bool is_new = operation == EPOLL_CTL_ADD;
    if (const int error = is_new ? fate("epoll_ctl", "epoll_ctl", __builtin_return_address(0)) : 0)
        return (errno = error, -1);
    return real(epoll, operation, fd, event);
}

/// A limit may always be lowered.
EXPORT int setrlimit64(__rlimit_resource_t resource, const rlimit64* limit) {
    static const auto real = next<int (*)(int, const rlimit64*)>("setrlimit64");
    const bool raises = limit->rlim_cur == limit->rlim_max;
    if (const int error = raises ? fate("setrlimit", "setrlimit64", __builtin_return_address(0)) : 0)
        return (errno = error, -1);
    return real(resource, limit);
}

namespace {

const char* name_of_control(int command) {
    switch (command) {
    case F_DUPFD_CLOEXEC: return "F_DUPFD_CLOEXEC";
    case F_GETFL: return "F_GETFL";
    case F_SETFL: return "F_SETFL";
    default: return "fcntl";
    }
}

using Control = int (*)(int fd, int command, void* argument);

} // namespace

#define FAULT_OF_CONTROL(name)                                                                               \
    EXPORT int name(int fd, int command, ...) {                                                              \
        static const auto real = next<Control>(#name);                                                       \
        std::va_list arguments;                                                                              \
        va_start(arguments, command);                                                                        \
        void* argument = va_arg(arguments, void*);                                                           \
        va_end(arguments);                                                                                   \
        if (const int error = fate(name_of_control(command), #name, __builtin_return_address(0)))            \
            return (errno = error, -1);                                                                      \
        return real(fd, command, argument);                                                                  \
    }
FAULT_OF_CONTROL(fcntl)
FAULT_OF_CONTROL(fcntl64)

#define FAULT_OF_OPEN(name, what, first_parameters, path_arguments)                                          \
    EXPORT int name first_parameters {                                                                       \
        std::va_list arguments;                                                                              \
        va_start(arguments, flags);                                                                          \
        const auto mode = va_arg(arguments, mode_t);                                                         \
        va_end(arguments);                                                                                   \
        if (const int error = fate(what, #name, __builtin_return_address(0))) return (errno = error, -1);    \
        return path_arguments;                                                                               \
    }
FAULT_OF_OPEN(open64, "open", (const char* path, int flags, ...),
              (next<int (*)(const char*, int, mode_t)>("open64")(path, flags, mode)))
FAULT_OF_OPEN(openat64, "openat", (int directory, const char* path, int flags, ...),
              (next<int (*)(int, const char*, int, mode_t)>("openat64")(directory, path, flags, mode)))

#define FAULT_OF_MMAP(name)                                                                                  \
    EXPORT void* name(void* at, size_t size, int protection, int flags, int fd, off64_t offset) {            \
        static const auto real = next<void* (*)(void*, size_t, int, int, int, off64_t)>(#name);              \
        if (const int error = fate("mmap", #name, __builtin_return_address(0)))                              \
            return (errno = error, MAP_FAILED);                                                              \
        return real(at, size, protection, flags, fd, offset);                                                \
    }
FAULT_OF_MMAP(mmap64)
FAULT_OF_MMAP(mmap)

// Those that say it in their own way.

EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                          void* data) {
    static const auto real = next<decltype(&pthread_create)>("pthread_create");
    if (const int error = fate("pthread_create", "pthread_create", __builtin_return_address(0))) return error;
    return real(thread, attributes, run, data);
}

EXPORT int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** list) {
    static const auto real = next<decltype(&getaddrinfo)>("getaddrinfo");
    if (const int error = fate("getaddrinfo", "getaddrinfo", __builtin_return_address(0))) {
        errno = error;
        return EAI_SYSTEM;
    }
    return real(node, service, hints, list);
}

EXPORT char* realpath(const char* path, char* to) {
    static const auto real = next<decltype(&realpath)>("realpath");
    if (const int error = fate("realpath", "realpath", __builtin_return_address(0)))
        return (errno = error, nullptr);
    return real(path, to);
}

EXPORT char* strdup(const char* text) {
    static const auto real = next<decltype(&strdup)>("strdup");
    if (const int error = fate("strdup", "strdup", __builtin_return_address(0)))
        return (errno = error, nullptr);
    return real(text);
}
