// bind, listen, accept.
#include "shim/listening.hpp"

#include "shim/hooks/hook.hpp"
#include "shim/lifetime.hpp"

EXPORT int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
    const int result = real::bind(fd, address, size);
    return shim::settle([&] { return shim::after_bind(fd, address, size, result); }, [&] { return result; });
}

EXPORT int listen(int fd, int backlog) {
    auto* const libc = real::listen.get();
    return shim::settle([&] { return shim::listen(fd, backlog); }, [&] { return libc(fd, backlog); });
}

EXPORT int accept(int fd, sockaddr* address, socklen_t* size) {
    auto* const libc = real::accept.get();
    return shim::accept(fd, address, size, [&](sockaddr* from, socklen_t* from_size) {
        return shim::begun(libc(fd, from, from_size));
    });
}

EXPORT int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    auto* const libc = real::accept4.get();
    return shim::accept(fd, address, size, [&](sockaddr* from, socklen_t* from_size) {
        return shim::begun(libc(fd, from, from_size, flags));
    });
}
