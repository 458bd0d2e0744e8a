// UDP sockets with an association, or a peer behind a proxy, that go on in the next program (exec).
//
// The control connection has the close-on-exec flag that the sockets have: it is inherited with them, and
// ends with the last process that has one. What is known of them goes along in a variable of the environment,
// for each number: cookies, by which the next program believes it, the control connection's number, the
// relay's address, and the program's peer.
#pragma once

#include "sys/datagram.hpp"

#include <string>
#include <string_view>

namespace socksify::sys {

constexpr std::string_view inherited_datagrams_variable = "SOCKSIFY_DATAGRAMS=";

/// The variable and its value; empty if there is nothing to hand over. Throws std::bad_alloc.
std::string inheritable_datagrams();
/// What that has told. Throws std::bad_alloc.
void adopt_datagrams(std::string_view records);
/// The numbers of `datagram` have changed, or their close-on-exec flags: its control connection follows them.
/// Under the Datagram's lock, or before anybody else knows of it.
void follow_close_on_exec(Datagram& datagram) noexcept;
/// The same by a number, after fcntl(F_SETFD) or dup2().
void close_on_exec_changed(int fd) noexcept;

} // namespace socksify::sys
