// REP codes (RFC 1928 §6), what they mean to a program (errno), and the way back for a server.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string_view>

namespace socksify {

/// REP. Any other octet can arrive; it is kept as it is and treated as a general failure.
enum class Reply : std::uint8_t {
    succeeded = 0x00,
    general_failure = 0x01,
    not_allowed_by_ruleset = 0x02,
    network_unreachable = 0x03,
    host_unreachable = 0x04,
    connection_refused = 0x05,
    ttl_expired = 0x06,
    command_not_supported = 0x07,
    address_type_not_supported = 0x08,
    timed_out = 0x09, ///< not in RFC 1928; SOCKS6 and some servers
    // This project's, to requests that only its FDL makes possible (doc/wire.md §8).
    port_in_use = 0xa0,
    port_not_permitted = 0xa1,
    no_such_peer = 0xa2,
    session_required = 0xa3,
    too_many = 0xa4,
};

/// The errno that `connect()` shows for a REP, or `bind()`, `listen()` and `accept()` of a listener that the
/// proxy has. 0 for `succeeded`.
/// A failure that no RFC names tells nothing of the destination: ECONNABORTED, which the kernel gives for
/// nothing else.
constexpr int to_errno(Reply reply) noexcept {
    switch (reply) {
    case Reply::succeeded: return 0;
    case Reply::general_failure: return ECONNABORTED;
    case Reply::not_allowed_by_ruleset: return EACCES;
    case Reply::network_unreachable: return ENETUNREACH;
    case Reply::host_unreachable: return EHOSTUNREACH;
    case Reply::connection_refused: return ECONNREFUSED;
    case Reply::ttl_expired: return ETIMEDOUT;
    case Reply::command_not_supported: return EOPNOTSUPP;
    case Reply::address_type_not_supported: return EAFNOSUPPORT;
    case Reply::timed_out: return ETIMEDOUT;
    case Reply::port_in_use: return EADDRINUSE;
    case Reply::port_not_permitted: return EACCES;
    case Reply::no_such_peer: return ECONNABORTED;
    case Reply::session_required: return EACCES;
    case Reply::too_many: return ENOBUFS;
    }
    // Tor's extended errors: the onion service can't be reached (socks-extensions, ExtendedErrors).
    if (static_cast<std::uint8_t>(reply) >= 0xf0 && static_cast<std::uint8_t>(reply) <= 0xf7)
        return EHOSTUNREACH;
    return ECONNABORTED;
}
static_assert(to_errno(Reply::connection_refused) == ECONNREFUSED);
static_assert(to_errno(Reply::command_not_supported) == EOPNOTSUPP);
static_assert(to_errno(static_cast<Reply>(0xf0)) == EHOSTUNREACH);
static_assert(to_errno(static_cast<Reply>(0x55)) == ECONNABORTED);

/// The REP that a server sends when its own `connect()` failed with `error` (an errno value).
constexpr Reply to_reply(int error) noexcept {
    switch (error) {
    case 0: return Reply::succeeded;
    case ENETUNREACH:
    case ENETDOWN: return Reply::network_unreachable;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ETIMEDOUT: return Reply::host_unreachable;
    case ECONNREFUSED: return Reply::connection_refused;
    case EACCES:
    case EPERM: return Reply::not_allowed_by_ruleset;
    case EAFNOSUPPORT: return Reply::address_type_not_supported;
    default: return Reply::general_failure;
    }
}
static_assert(to_reply(ECONNREFUSED) == Reply::connection_refused);

/// A short English name, as logs show it; "unassigned" for a code that no document defines.
constexpr std::string_view describe(Reply reply) noexcept {
    switch (reply) {
    case Reply::succeeded: return "succeeded";
    case Reply::general_failure: return "general SOCKS server failure";
    case Reply::not_allowed_by_ruleset: return "connection not allowed by ruleset";
    case Reply::network_unreachable: return "network unreachable";
    case Reply::host_unreachable: return "host unreachable";
    case Reply::connection_refused: return "connection refused";
    case Reply::ttl_expired: return "TTL expired";
    case Reply::command_not_supported: return "command not supported";
    case Reply::address_type_not_supported: return "address type not supported";
    case Reply::timed_out: return "timed out";
    case Reply::port_in_use: return "port in use";
    case Reply::port_not_permitted: return "port not permitted";
    case Reply::no_such_peer: return "no such peer";
    case Reply::session_required: return "session required";
    case Reply::too_many: return "too many";
    }
    return "unassigned";
}

} // namespace socksify
