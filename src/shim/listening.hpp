// bind, listen and accept: a program behind the proxy takes connections at the proxy's address.
//
// Which listeners go to a proxy, the first of these that holds:
//
//   1. a rule that speaks of listeners ("operation": "bind") decides; on loopback, "loopback" does
//   2. one that follows a proxied connection goes to the same proxy: it is bound to that connection's own
//      address (a server's for data, by PASV), or, beside an FTP control connection, to any address and port
//      (active FTP, RFC 959 §3.2)
//   3. `socksify --listen` sends all others, as the rules and the default have it
//   4. it stays on this machine's own addresses
//
// bind() is the kernel's own, and what it was bound to is remembered; the proxy is asked (BIND) by listen(),
// or earlier by getsockname(), because what a program is told there it may tell others (PORT, EPRT). Both
// wait for the answer, on a non-blocking socket too: no later call could say why there is no listener. From
// there on the worker has it: see sys/listener.hpp. BIND takes one peer, so it is sent again, for the same
// port, as soon as one has come.
#pragma once

#include "shim/verdict.hpp"
#include "sys/listener.hpp"
#include "sys/parked.hpp"

#include <sys/socket.h>

namespace socksify::shim {

/// What bind() has answered, `result` and errno, with what the kernel can't know: an address that we have
/// told as the program's own, but which is the proxy's, can be bound to.
Verdict<> after_bind(int fd, const sockaddr* address, socklen_t size, int result);
Verdict<> listen(int fd, int backlog);
/// getsockname() of a socket that is State::bound or State::listening.
sys::Address listening_address(int fd, const sys::Socket& socket);

/// The listener behind `fd`, if its peers come through a proxy. For any other number one relaxed load.
std::shared_ptr<sys::Listener> listener_of(int fd) noexcept;
/// Of `taken`, which came from `from`: if it is a knock, the peer's connection takes its number and its
/// address the place of `from`. 0; EAGAIN if there is nobody behind it; ENOMEM. `taken` is closed if it isn't
/// 0.
int admit(const sys::Listener& listener, int taken, sys::Address& from);

/// Ends what `admit` has let in.
void drop(int taken) noexcept;

/// `real_accept(address, size)` is accept() or accept4(). A cancellation passes through.
template <class RealAccept>
int accept(int fd, sockaddr* address, socklen_t* size, RealAccept real_accept) {
    const auto listener = listener_of(fd);
    if (!listener) [[likely]]
        return real_accept(address, size);
    for (;;) {
        sys::Address from;
        from.size = sizeof from.storage;
        const int taken = real_accept(reinterpret_cast<sockaddr*>(&from.storage), &from.size);
        if (taken < 0) return -1;
        const int error = admit(*listener, taken, from);
        if (error == EAGAIN) continue;
        if (error != 0) return errno = error, -1;
        if (address == nullptr) return taken;
        const bool has_size = !sys::is_nowhere(size);
        if (has_size && static_cast<int>(*size) >= 0) {
            sys::put_address(from, address, size);
            return taken;
        }
        // As in the kernel, a connection that can't be told of is lost.
        drop(taken);
        return errno = has_size ? EINVAL : EFAULT, -1;
    }
}

} // namespace socksify::shim
