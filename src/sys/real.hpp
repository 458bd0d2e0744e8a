// The one way to reach libc from a process whose libc calls we have taken over: `real::close(fd)`.
//
// Each function is looked up once, at its first use, with RTLD_NEXT, so that another preloaded library behind
// us keeps its turn. Nothing here is `noexcept`: a cancellation that starts in the real call must pass
// through. In a static program (SOCKSIFY_STATIC) there is nobody else: `real::close` is libc's.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <resolv.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <wordexp.h>

extern "C" int pidfd_getfd(int process, int fd, unsigned flags) noexcept; // <sys/pidfd.h> forgets the "C"

namespace socksify::real {

namespace detail {
/// Once in the life of a program: see sys/inheritance.hpp.
void first_call() noexcept;
} // namespace detail

/// A name as a template's argument: a pointer to it in each object would be a relocation in every program.
template <std::size_t size>
struct Name {
    // NOLINTNEXTLINE(google-explicit-constructor): its purpose
    constexpr Name(const char (&text)[size]) noexcept { std::copy_n(text, size, octets); }
    char octets[size];
};

template <class Signature, Name name>
class Function {
public:
    /// Also what makes `real::close(fd)` a call: of the function itself, with its own parameter types.
    operator Signature*() const noexcept { return get(); } // NOLINT(google-explicit-constructor): its purpose

    /// For a hook that asks what is known of a number before it makes the call: at the first one in the life
    /// of a program, there may be more to know afterwards.
    [[nodiscard]] Signature* get() const noexcept {
        auto* found = found_.load(std::memory_order_relaxed);
        if (found == nullptr) [[unlikely]] {
            const int kept = errno;
            found = reinterpret_cast<Signature*>(dlsym(RTLD_NEXT, name.octets));
            found_.store(found, std::memory_order_relaxed);
            detail::first_call();
            errno = kept;
        }
        return found;
    }

private:
    mutable std::atomic<Signature*> found_{nullptr};
};

// The types carry attributes (nonnull, …) that a template argument drops; none of them changes a call.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
#ifdef SOCKSIFY_STATIC
#define SOCKSIFY_REAL(name) inline constexpr auto* name = &::name;
#else
#define SOCKSIFY_REAL(name) inline constinit const Function<decltype(::name), #name> name{};
#endif
SOCKSIFY_REAL(accept)
SOCKSIFY_REAL(accept4)
SOCKSIFY_REAL(bind)
SOCKSIFY_REAL(chroot)
SOCKSIFY_REAL(close)
SOCKSIFY_REAL(close_range)
SOCKSIFY_REAL(closefrom)
SOCKSIFY_REAL(connect)
SOCKSIFY_REAL(dup)
SOCKSIFY_REAL(dup2)
SOCKSIFY_REAL(dup3)
SOCKSIFY_REAL(epoll_ctl)
SOCKSIFY_REAL(epoll_wait)
SOCKSIFY_REAL(execve)
SOCKSIFY_REAL(execveat)
SOCKSIFY_REAL(execvpe)
SOCKSIFY_REAL(fcntl)
SOCKSIFY_REAL(fcntl64)
SOCKSIFY_REAL(fdopen)
SOCKSIFY_REAL(fexecve)
SOCKSIFY_REAL(freeaddrinfo)
SOCKSIFY_REAL(getaddrinfo)
SOCKSIFY_REAL(getaddrinfo_a)
SOCKSIFY_REAL(gethostbyaddr)
SOCKSIFY_REAL(gethostbyaddr_r)
SOCKSIFY_REAL(gethostbyname)
SOCKSIFY_REAL(gethostbyname2)
SOCKSIFY_REAL(gethostbyname2_r)
SOCKSIFY_REAL(gethostbyname_r)
SOCKSIFY_REAL(gethostid)
SOCKSIFY_REAL(getnameinfo)
SOCKSIFY_REAL(getnetbyaddr)
SOCKSIFY_REAL(getnetbyaddr_r)
SOCKSIFY_REAL(getnetbyname)
SOCKSIFY_REAL(getnetbyname_r)
SOCKSIFY_REAL(getpeername)
SOCKSIFY_REAL(getsockname)
SOCKSIFY_REAL(getsockopt)
SOCKSIFY_REAL(ioctl)
SOCKSIFY_REAL(listen)
SOCKSIFY_REAL(pidfd_getfd)
SOCKSIFY_REAL(poll)
SOCKSIFY_REAL(popen)
SOCKSIFY_REAL(posix_spawn)
SOCKSIFY_REAL(posix_spawnp)
SOCKSIFY_REAL(ppoll)
SOCKSIFY_REAL(preadv2)
SOCKSIFY_REAL(preadv64v2)
SOCKSIFY_REAL(pwritev2)
SOCKSIFY_REAL(pwritev64v2)
SOCKSIFY_REAL(rcmd)
SOCKSIFY_REAL(rcmd_af)
SOCKSIFY_REAL(read)
SOCKSIFY_REAL(readv)
SOCKSIFY_REAL(recv)
SOCKSIFY_REAL(recvfrom)
SOCKSIFY_REAL(recvmmsg)
SOCKSIFY_REAL(recvmsg)
SOCKSIFY_REAL(res_nquery)
SOCKSIFY_REAL(res_nquerydomain)
SOCKSIFY_REAL(res_nsearch)
SOCKSIFY_REAL(res_nsend)
SOCKSIFY_REAL(res_query)
SOCKSIFY_REAL(res_querydomain)
SOCKSIFY_REAL(res_search)
SOCKSIFY_REAL(res_send)
SOCKSIFY_REAL(rexec)
SOCKSIFY_REAL(rexec_af)
SOCKSIFY_REAL(send)
SOCKSIFY_REAL(sendfile)
SOCKSIFY_REAL(sendfile64)
SOCKSIFY_REAL(sendmmsg)
SOCKSIFY_REAL(sendmsg)
SOCKSIFY_REAL(sendto)
SOCKSIFY_REAL(setegid)
SOCKSIFY_REAL(seteuid)
SOCKSIFY_REAL(setgid)
SOCKSIFY_REAL(setregid)
SOCKSIFY_REAL(setresgid)
SOCKSIFY_REAL(setresuid)
SOCKSIFY_REAL(setreuid)
SOCKSIFY_REAL(setsockopt)
SOCKSIFY_REAL(setuid)
SOCKSIFY_REAL(shutdown)
SOCKSIFY_REAL(socket)
SOCKSIFY_REAL(socketpair)
SOCKSIFY_REAL(splice)
SOCKSIFY_REAL(syscall)
SOCKSIFY_REAL(system)
SOCKSIFY_REAL(wordexp)
SOCKSIFY_REAL(write)
SOCKSIFY_REAL(writev)
#undef SOCKSIFY_REAL
#pragma GCC diagnostic pop

} // namespace socksify::real
