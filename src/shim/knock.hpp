// How a peer's connection reaches accept(): put into the listener's queue, and announced by a knock
// (sys/listener.hpp). The worker's.
#pragma once

#include "sys/listener.hpp"

namespace socksify::shim {

/// Hands `connection` on, which stays the caller's; `peer` is who it is from, `domain` that of the program's
/// listener. `place` is given up when the knock has been taken. What can't be handed on is lost, and the log
/// says so. Throws std::bad_alloc.
void pass_on(sys::Place place, int connection, const Endpoint& peer, int domain);

/// As a program is told of it whose socket is of `domain`; zeros in place of an address of the other family.
sys::Address shown(const Endpoint& endpoint, int domain) noexcept;

} // namespace socksify::shim
