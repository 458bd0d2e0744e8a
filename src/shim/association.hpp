// The agreement with a proxy that it carries a socket's datagrams (UDP ASSOCIATE), and how it is come by.
#pragma once

#include "sys/datagram.hpp"

namespace socksify::shim {

/// Makes sure that there is an association for datagrams on `way`, or that one is under way. On a blocking
/// socket, without MSG_DONTWAIT in `flags`, it is waited for; on any other the worker gets it, and what is
/// sent meanwhile waits in the Datagram's queue. 0, or the errno for the program: at once if the proxy has
/// said that it does not carry datagrams. Throws std::bad_alloc.
int associate(int fd, sys::Datagram& datagram, const sys::Way& way, int flags);

/// Whether the proxy still holds to it: looked at by the worker, or else now and then. If not, it is ended,
/// and the next call may get ECONNREFUSED once.
bool is_alive(sys::Datagram& datagram, const sys::Association& association);

/// What the worker has to tell of the association, once; 0 for nothing. The kernel's error, by which `fd`
/// woke the program (sys/raise_error.hpp), is taken back.
int take_told_error(int fd, sys::Datagram& datagram) noexcept;
/// The errno for a program whose call on `fd` the kernel has just refused with errno: its word for what the
/// worker has to tell is not the true one. 0: the number was closed behind our back, by stdio for one, and is
/// a file's by now; from now on it is not ours.
int error_for_program(int fd, sys::Datagram& datagram) noexcept;

/// IPV6_V6ONLY keeps a socket from a relay's port on IPv4. It can change as long as the socket is not bound;
/// that others could send to it by IPv4 then does no harm: nobody but the relay is heard.
void reach_ipv4(int fd) noexcept;

/// The program's connect(): `fd` hears nobody but `relay` from now on, and of errors on the way there. 0 or
/// errno.
int listen_to(int fd, const sys::Address& relay);

/// `message` as it leaves by `association`, with the header before it: `pieces` has room for one more than it
/// has.
msghdr carried_by(const sys::Datagram& datagram, const sys::Association& association, const sys::Way& way,
                  const msghdr& message, iovec* pieces) noexcept;
/// `message` as it leaves for where `way` leads without a proxy.
msghdr carried_directly(const sys::Way& way, const msghdr& message) noexcept;

/// Sends it so. As sendmsg(2).
ssize_t send_on(int fd, const sys::Datagram& datagram, const sys::Way& way, const msghdr& message, int flags);
ssize_t send_directly(int fd, const sys::Way& way, const msghdr& message, int flags);

} // namespace socksify::shim
