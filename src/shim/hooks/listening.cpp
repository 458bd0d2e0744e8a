// bind, listen, accept.
#include "shim/listening.hpp"

#include "shim/hooks/hook.hpp"
#include "shim/lifetime.hpp"

EXPORT int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
    const int result = real::bind(fd, address, size);
    return shim::settle([&] { return shim::after_bind(fd, address, size, result); }, [&] { return result; });
}

EXPORT int listen(int fd, int backlog) {
    return shim::settle([&] { return shim::listen(fd, backlog); }, [&] { return real::listen(fd, backlog); });
}

EXPORT int accept(int fd, sockaddr* address, socklen_t* size) {
    return shim::accept(fd, address, size, [&](sockaddr* from, socklen_t* from_size) {
        return shim::begun(real::accept(fd, from, from_size));
    });
}

EXPORT int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    return shim::accept(fd, address, size, [&](sockaddr* from, socklen_t* from_size) {
        return shim::begun(real::accept4(fd, from, from_size, flags));
    });
}
