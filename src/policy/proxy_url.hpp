// socks5://[user[:password]@]host[:port], as it stands in rules files, on command lines and in ALL_PROXY.
#pragma once

#include "policy/config_error.hpp"
#include "socksify/endpoint.hpp"

#include <tl/expected.hpp>

namespace socksify::policy {

constexpr std::uint16_t default_proxy_port = 1080; ///< IANA "socks"
constexpr std::size_t longest_credential = 255;    ///< RFC 1929 §2: ULEN and PLEN are one octet
constexpr std::string_view proxy_url_form =
    "socks5://[user[:password]@]host[:port]; socks5h:// means the same: names go to the proxy unresolved; "
    "%XX stands for an octet of user and password";

struct ProxyUrl {
    Host host;
    std::uint16_t port = default_proxy_port;
    std::string username;
    std::optional<std::string> password; ///< "user:@host" has one, which is empty
};

/// Decodes %XX in user and password. An error shows nothing that stands before the @.
tl::expected<ProxyUrl, Misfit> parse_proxy_url(std::string_view url);

} // namespace socksify::policy
