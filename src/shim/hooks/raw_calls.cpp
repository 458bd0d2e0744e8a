// syscall(): the same doors by their numbers.
#include "shim/hooks/hook.hpp"

#include <array>
#include <cstdarg>
#include <sys/syscall.h>

namespace {

template <class Type>
Type as(long argument) {
    if constexpr (std::is_pointer_v<Type>) return reinterpret_cast<Type>(argument);
    else return static_cast<Type>(argument);
}

} // namespace

EXPORT long syscall(long number, ...) {
    std::va_list list;
    va_start(list, number);
    std::array<long, 6> a;
    for (auto& argument : a) argument = va_arg(list, long);
    va_end(list);
    switch (number) {
    case SYS_accept4:
        return ::accept4(as<int>(a[0]), as<sockaddr*>(a[1]), as<socklen_t*>(a[2]), as<int>(a[3]));
    case SYS_bind: return ::bind(as<int>(a[0]), as<const sockaddr*>(a[1]), as<socklen_t>(a[2]));
    case SYS_close: return ::close(as<int>(a[0]));
    case SYS_close_range: return ::close_range(as<unsigned>(a[0]), as<unsigned>(a[1]), as<int>(a[2]));
    case SYS_connect: return ::connect(as<int>(a[0]), as<const sockaddr*>(a[1]), as<socklen_t>(a[2]));
    case SYS_dup: return ::dup(as<int>(a[0]));
    case SYS_dup3: return ::dup3(as<int>(a[0]), as<int>(a[1]), as<int>(a[2]));
    case SYS_epoll_ctl:
        return ::epoll_ctl(as<int>(a[0]), as<int>(a[1]), as<int>(a[2]), as<epoll_event*>(a[3]));
    case SYS_execve: return ::execve(as<const char*>(a[0]), as<char* const*>(a[1]), as<char* const*>(a[2]));
    case SYS_execveat:
        return ::execveat(as<int>(a[0]), as<const char*>(a[1]), as<char* const*>(a[2]),
                          as<char* const*>(a[3]), as<int>(a[4]));
    case SYS_fcntl: return ::fcntl(as<int>(a[0]), as<int>(a[1]), a[2]);
    case SYS_getpeername: return ::getpeername(as<int>(a[0]), as<sockaddr*>(a[1]), as<socklen_t*>(a[2]));
    case SYS_getsockname: return ::getsockname(as<int>(a[0]), as<sockaddr*>(a[1]), as<socklen_t*>(a[2]));
    case SYS_getsockopt:
        return ::getsockopt(as<int>(a[0]), as<int>(a[1]), as<int>(a[2]), as<void*>(a[3]),
                            as<socklen_t*>(a[4]));
    case SYS_setsockopt:
        return ::setsockopt(as<int>(a[0]), as<int>(a[1]), as<int>(a[2]), as<const void*>(a[3]),
                            as<socklen_t>(a[4]));
    case SYS_ioctl: return ::ioctl(as<int>(a[0]), as<unsigned long>(a[1]), as<void*>(a[2]));
    case SYS_listen: return ::listen(as<int>(a[0]), as<int>(a[1]));
    case SYS_read: return ::read(as<int>(a[0]), as<void*>(a[1]), as<size_t>(a[2]));
    case SYS_readv: return ::readv(as<int>(a[0]), as<const iovec*>(a[1]), as<int>(a[2]));
    case SYS_recvfrom:
        return ::recvfrom(as<int>(a[0]), as<void*>(a[1]), as<size_t>(a[2]), as<int>(a[3]),
                          as<sockaddr*>(a[4]), as<socklen_t*>(a[5]));
    case SYS_recvmmsg:
        return ::recvmmsg(as<int>(a[0]), as<mmsghdr*>(a[1]), as<unsigned>(a[2]), as<int>(a[3]),
                          as<timespec*>(a[4]));
    case SYS_recvmsg: return ::recvmsg(as<int>(a[0]), as<msghdr*>(a[1]), as<int>(a[2]));
    case SYS_write: return ::write(as<int>(a[0]), as<const void*>(a[1]), as<size_t>(a[2]));
    case SYS_writev: return ::writev(as<int>(a[0]), as<const iovec*>(a[1]), as<int>(a[2]));
    case SYS_sendmmsg:
        return ::sendmmsg(as<int>(a[0]), as<mmsghdr*>(a[1]), as<unsigned>(a[2]), as<int>(a[3]));
    case SYS_sendmsg: return ::sendmsg(as<int>(a[0]), as<const msghdr*>(a[1]), as<int>(a[2]));
    case SYS_sendto:
        return ::sendto(as<int>(a[0]), as<const void*>(a[1]), as<size_t>(a[2]), as<int>(a[3]),
                        as<const sockaddr*>(a[4]), as<socklen_t>(a[5]));
    case SYS_preadv2: // the offset is in one register, or, with the next one, in two
        return ::preadv2(as<int>(a[0]), as<const iovec*>(a[1]), as<int>(a[2]), as<off_t>(a[3]),
                         as<int>(a[5]));
    case SYS_pwritev2:
        return ::pwritev2(as<int>(a[0]), as<const iovec*>(a[1]), as<int>(a[2]), as<off_t>(a[3]),
                          as<int>(a[5]));
#ifdef SYS_sendfile
    case SYS_sendfile: return ::sendfile(as<int>(a[0]), as<int>(a[1]), as<off_t*>(a[2]), as<size_t>(a[3]));
#endif
    case SYS_splice:
        return ::splice(as<int>(a[0]), as<off64_t*>(a[1]), as<int>(a[2]), as<off64_t*>(a[3]),
                        as<size_t>(a[4]), as<unsigned>(a[5]));
    case SYS_pidfd_getfd: return ::pidfd_getfd(as<int>(a[0]), as<int>(a[1]), as<unsigned>(a[2]));
    case SYS_socketpair: return ::socketpair(as<int>(a[0]), as<int>(a[1]), as<int>(a[2]), as<int*>(a[3]));
    case SYS_shutdown: return ::shutdown(as<int>(a[0]), as<int>(a[1]));
    case SYS_socket: return ::socket(as<int>(a[0]), as<int>(a[1]), as<int>(a[2]));
#ifdef SYS_accept
    case SYS_accept: return ::accept(as<int>(a[0]), as<sockaddr*>(a[1]), as<socklen_t*>(a[2]));
#endif
#ifdef SYS_dup2
    case SYS_dup2: return ::dup2(as<int>(a[0]), as<int>(a[1]));
#endif
    // A ring connects and sends without any call that could be judged: programs that ask for one must do
    // without, as on a kernel that has none.
    case SYS_io_uring_setup: errno = ENOSYS; return -1;
    default: return real::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}
