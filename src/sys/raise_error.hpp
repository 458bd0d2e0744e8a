// An error on a UDP socket of the program's that the kernel knows nothing of: no proxy could be had, or it
// has ended. Whoever sleeps in poll(), select(), epoll_wait() or a call of receiving must wake, as after an
// ICMP message.
#pragma once

namespace socksify::sys {

/// Has the kernel report an error on `fd`, so that it is readable with POLLERR. The errno is ECONNREFUSED:
/// what is true is the caller's to tell in its place. Sends an empty datagram to a port of this machine's
/// where nobody listens, and the kernel answers with an ICMP message. A connected socket is connected to that
/// port from then on, and keeps its own. May wait for some milliseconds. False if it can't be done: no
/// loopback.
bool raise_error(int fd) noexcept;

} // namespace socksify::sys
