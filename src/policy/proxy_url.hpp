// socks5://[user[:password]@]host[:port] or socks5://[…@]localhost/path/of/a/socket, as it stands in rules
// files, on command lines and in ALL_PROXY.
#pragma once

#include "policy/config_error.hpp"
#include "socksify/endpoint.hpp"

#include <tl/expected.hpp>

namespace socksify::policy {

constexpr std::uint16_t default_proxy_port = 1080; ///< IANA "socks"
constexpr std::size_t longest_credential = 255;    ///< RFC 1929 §2: ULEN and PLEN are one octet
constexpr std::string_view proxy_url_form =
    "socks5://[user[:password]@]host[:port]; socks5h:// means the same: names go to the proxy unresolved; "
    "socks5://localhost/PATH is an AF_UNIX socket; %XX stands for an octet of user, password and path";

struct ProxyUrl {
    Host host;
    std::uint16_t port = default_proxy_port;
    std::string socket_path; ///< absolute; else empty
    std::string username;
    std::optional<std::string> password; ///< "user:@host" has one, which is empty
};

constexpr std::size_t longest_socket_path = 107; ///< sun_path (unix(7)), with its NUL

/// Decodes %XX in user, password and path. An error shows nothing that stands before the @.
tl::expected<ProxyUrl, Misfit> parse_proxy_url(std::string_view url);

} // namespace socksify::policy
