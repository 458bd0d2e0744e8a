// What a program asks of a socket, and sets.
#include "shim/socket_calls.hpp"

#include "shim/hooks/hook.hpp"
#include "shim/lifetime.hpp"

EXPORT int socket(int domain, int type, int protocol) {
    return shim::settle([&] { return shim::open_socket(domain); },
                        [&] { return shim::begun(real::socket(domain, type, protocol)); });
}

EXPORT int socketpair(int domain, int type, int protocol, int* pair) noexcept {
    const int result = real::socketpair(domain, type, protocol, pair);
    if (result != 0) return result;
    shim::begun(pair[0]);
    shim::begun(pair[1]);
    return result;
}

EXPORT int getsockopt(int fd, int level, int name, void* value, socklen_t* size) {
    auto* const libc = real::getsockopt.get();
    return shim::settle([&] { return shim::getsockopt(fd, level, name, value, size); },
                        [&] { return libc(fd, level, name, value, size); });
}

EXPORT int setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
    auto* const libc = real::setsockopt.get();
    return shim::settle([&] { return shim::setsockopt(fd, level, name, value, size); },
                        [&] { return libc(fd, level, name, value, size); });
}

EXPORT int shutdown(int fd, int how) noexcept {
    return shim::settle([&] { return shim::shutdown(fd, how); }, [&] { return real::shutdown(fd, how); });
}

EXPORT int getsockname(int fd, sockaddr* address, socklen_t* size) {
    auto* const libc = real::getsockname.get();
    return shim::settle([&] { return shim::getsockname(fd, address, size); },
                        [&] { return libc(fd, address, size); });
}

EXPORT int getpeername(int fd, sockaddr* address, socklen_t* size) {
    auto* const libc = real::getpeername.get();
    return shim::settle([&] { return shim::getpeername(fd, address, size); },
                        [&] { return libc(fd, address, size); });
}
