// A session with a proxy (doc/wire.md §9): when a process asks for one is in policy/session_cache.hpp, how it
// is used is the Dial's business. Here is who gets the token, and stays for it.
//
// The worker sends OPEN SESSION on a connection of its own, the control connection, and watches that. After
// fork the child has the token and not the connection, so that it ends with the parent; a new program (exec)
// begins by password.
#pragma once

#include "policy/session_cache.hpp"
#include "sys/rules.hpp"

namespace socksify::shim::session {

/// A connect by way of `upstream`, which has sessions, has succeeded on `fd`: by `used`, or, without it, by
/// password. Keeps errno.
void connected(const sys::Rules& rules, std::size_t upstream, policy::Session* used, int fd) noexcept;

} // namespace socksify::shim::session
