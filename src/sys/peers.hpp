// The true peers of proxied connections, for processes that did not make them: after exec, or through
// SCM_RIGHTS or pidfd_getfd, a descriptor arrives without the table that knows it.
//
// A block that all processes of the user share: a place per connection, found by the socket's cookie, which
// is unique while the network namespace lives. Places are taken over by later connections; then getpeername()
// says the proxy's address.
#pragma once

#include "sys/address.hpp"

#include <optional>

namespace socksify::sys::peers {

void remember(std::uint64_t cookie, const Address& peer) noexcept;
std::optional<Address> recall(std::uint64_t cookie) noexcept;

} // namespace socksify::sys::peers
