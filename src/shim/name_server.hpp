// Questions that a program sends to a name server by itself (dig, c-ares, Node): answered in the name
// server's place, from the name pool or by the rules' resolver. Nobody else hears of them.
#pragma once

#include "shim/verdict.hpp"
#include "sys/datagram.hpp"

namespace socksify::shim {

/// Whether datagrams to `destination` are taken for questions: see "dns" in the rules.
bool is_name_server(const Endpoint& destination);

/// A datagram from `fd` to such a one. Passes if it is no question, or one about a name that the rules let go
/// directly: then `is_direct` says so. Otherwise it counts as sent, and the answer comes to the socket like
/// any other datagram, from `answering_address()` with a header before it that names the server.
Verdict<ssize_t> answer_datagram(int fd, const sys::Way& server, const msghdr& message, bool& is_direct);

/// Whether a datagram from `source` is such an answer.
bool is_answering(const sys::Address& source) noexcept;

} // namespace socksify::shim
