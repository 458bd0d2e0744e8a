// Datagrams of the program, by way of a proxy: one message in, one datagram out, with the addresses that the
// program uses.
#pragma once

#include "shim/route.hpp"
#include "shim/verdict.hpp"

#include <sys/socket.h>

namespace socksify::shim {

/// connect() of a UDP socket, made in `domain`, to what `route` leads to. Nothing is sent, and no association
/// made, before the first send.
Verdict<> connect_datagram(int fd, int domain, const sys::Address& given, const Route& route);
/// connect(AF_UNSPEC).
void disconnect_datagram(int fd) noexcept;

/// sendmsg() on a UDP socket: passes for a socket and a destination that no proxy has to do with. `message`
/// may lack an address.
Verdict<ssize_t> send_datagram(int fd, const msghdr& message, int flags);
/// recvmsg(): passes for a socket that has nothing to do with a proxy. What does not come from the
/// association's relay or from where the rules let datagrams go directly is not received at all.
Verdict<ssize_t> receive_datagram(int fd, msghdr& message, int flags);
/// sendmmsg() and recvmmsg(): by as few system calls as can be.
Verdict<> send_datagrams(int fd, mmsghdr* messages, unsigned count, int flags);
Verdict<> receive_datagrams(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout);
/// FIONREAD: the octets of the next datagram.
Verdict<> pending_octets(int fd, int* octets);

/// Whether what is written to it, or read from it, may have a header.
bool is_carried(int fd) noexcept;
/// SO_ERROR, where the kernel does not know it; 0 for nothing.
int datagram_error(int fd) noexcept;
/// Whom the program has connected a UDP socket to.
std::optional<sys::Address> datagram_peer(int fd) noexcept;

/// UDP_SEGMENT and UDP_GRO: the kernel would cut or join datagrams whose headers it does not know.
bool joins_datagrams(int level, int name) noexcept;

} // namespace socksify::shim
