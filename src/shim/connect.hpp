// connect(): where to, by which proxy, and on whose time.
#pragma once

#include "shim/verdict.hpp"
#include "sys/fd_table.hpp"

#include <cstdint>
#include <sys/socket.h>

namespace socksify::shim {

/// What the destination sees as its peer, by the BND that the proxy has told: many say zeros, or repeat what
/// they were asked. Then of size 0.
sys::Address as_seen_there(const Endpoint& bound, const sys::Address& peer, int domain);
/// The same of a socket that is connected, as far as it is known by now.
sys::Address seen_there(const sys::Socket& socket);

Verdict<> connect(int fd, const sockaddr* address, socklen_t size);

/// What a send that names its peer may do.
enum class Send : std::uint8_t {
    as_it_is,
    to_connected, ///< to a stream that is connected, or about to be: without the address, and without
                  ///< MSG_FASTOPEN
    as_datagram,  ///< UDP: send_datagram() has the word
};
/// Of a datagram, or of a stream's first data. `address` may be null. Fails where the rules would have it
/// proxied and it can't be: nothing of it may leave another way.
Verdict<Send> before_send(int fd, const sockaddr* address, socklen_t size, int flags);

} // namespace socksify::shim
