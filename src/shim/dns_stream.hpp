// Questions by TCP to a name server (RFC 7766): answered in its place, like those by UDP.
#pragma once

#include "sys/address.hpp"

namespace socksify::shim {

/// Connects `fd`, a TCP socket, not to `server` but to a stream of ours on loopback, on which the worker
/// answers: from the name pool, or by the rules' resolver; and by `server` itself what is about names that
/// the rules let go directly. 0 or errno, as connect(2): EINPROGRESS if `fd` does not block, though the
/// connection is there.
int connect_to_answers(int fd, const sys::Address& server);

} // namespace socksify::shim
