// "optimistic" in a rule: a connect() that does not wait for the proxy (sys/unanswered.hpp), and what the
// program's other calls on such a socket must see to first.
#pragma once

#include "shim/route.hpp"
#include "shim/verdict.hpp"
#include "sys/fd_table.hpp"

#include <sys/socket.h>

namespace socksify::shim {

/// Passes where an ordinary connect() has to be made: the rule does not say so, or the first proxy that is up
/// is not known to take early data, or what to say to it is not settled.
Verdict<> connect_optimistically(int fd, int domain, bool is_blocking, const sys::Address& peer,
                                 const Route& route);
/// connect() on a socket that has one behind it.
Verdict<> connect_again_optimistically(int fd, const sys::Socket& socket);
/// The socket becomes unconnected, or another thing altogether.
void forget_optimism(const sys::Socket& socket) noexcept;

/// Before a write: what the proxy is to hear first has left. Passes for the program's own call, or does it.
Verdict<ssize_t> write_unanswered(int fd, const msghdr& message, int flags);
/// The same for a call that has no message: it passes, or fails.
Verdict<ssize_t> before_write(int fd, int flags = 0);
/// Before a read: the replies have been taken.
Verdict<ssize_t> before_read(int fd, int flags);
/// FIONREAD: the replies do not count.
Verdict<> pending_after_reply(int fd, int* octets);

/// Before shutdown(): what the program has written is behind the messages.
void before_shutdown(int fd);

// Of a Socket that has an `unanswered`.

/// SO_ERROR, where the kernel does not know it; 0 for nothing.
int unanswered_error(const sys::Socket& socket);
/// An option that is not as the program has set it: as it has.
std::optional<int> own_option(const sys::Socket& socket, int level, int name) noexcept;
void on_option_set(const sys::Socket& socket, int level, int name) noexcept;
/// Whether connect() has said that there is a connection, and no more is known.
bool is_promised(const sys::Socket& socket) noexcept;
/// BND; zeros as long as it is not known.
Endpoint bound_of(const sys::Socket& socket);

/// Before the socket is handed to somebody who does not know of the replies: waits until they have been
/// taken, or will not come.
void await_reply(int fd);
/// The same for all sockets that a program started from here inherits.
void await_replies_for_exec() noexcept;

} // namespace socksify::shim
