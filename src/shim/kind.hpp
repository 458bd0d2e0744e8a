// What a socket is, as the rules know it.
#pragma once

#include "policy/config.hpp"

#include <optional>

namespace socksify::shim {

struct Kind {
    int domain;
    policy::Protocol protocol; ///< as the rules know it
    bool is_plain_udp;         ///< not UDP-Lite, which the rules take for UDP, but which no proxy carries
    bool is_closed = false;    ///< a stream that is not connected, nor about to be
};

/// Nothing, with errno, if that can't be told. A raw socket is below TCP and UDP, whatever its protocol's
/// number.
std::optional<Kind> kind_of(int fd) noexcept;

/// By errno, after kind_of() or domain_of() has failed: what is no socket is the kernel's to refuse. Of a
/// socket that can't be told what it is, nothing may leave.
bool is_no_socket() noexcept;

} // namespace socksify::shim
