#include "policy/proxy_url.hpp"

#include "policy/host_name.hpp"

#include <algorithm>
#include <charconv>

namespace socksify::policy {
namespace {

tl::unexpected<Misfit> misfit(std::string found, std::string suggestion = {}) {
    return tl::unexpected(Misfit{std::move(found), std::move(suggestion), std::string(proxy_url_form)});
}

/// RFC 3986 §2.1. Nothing if a % is not followed by two hexadecimal digits.
std::optional<std::string> percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const auto digits = text.substr(i + 1, 2);
        unsigned char octet = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), octet, 16);
        if (error != std::errc{} || end - digits.data() != 2) return {};
        out += static_cast<char>(octet);
        i += 2;
    }
    return out;
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (auto& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

tl::expected<std::string, Misfit> parse_credential(std::string_view what, std::string_view encoded) {
    auto decoded = percent_decoded(encoded);
    if (!decoded)
        return misfit("a " + std::string(what) + " with a % that two hexadecimal digits don't follow", "%25");
    if (decoded->size() > longest_credential)
        return misfit("a " + std::string(what) + " of " + std::to_string(decoded->size()) +
                      " octets, more than 255");
    return std::move(*decoded);
}

} // namespace

tl::expected<ProxyUrl, Misfit> parse_proxy_url(std::string_view url) {
    const auto scheme_end = url.find("://");
    if (scheme_end == std::string_view::npos) return misfit("a proxy without a scheme", "socks5://");
    const auto scheme = lower(url.substr(0, scheme_end));
    if (scheme != "socks5" && scheme != "socks5h")
        return misfit("the scheme " + quoted(scheme + "://"), scheme == "socks" ? "socks5://" : "");

    auto rest = url.substr(scheme_end + 3);
    const auto authority_end = std::min(rest.find_first_of("/?#"), rest.size());
    const auto behind = rest.substr(authority_end);
    if (behind.find('@') != std::string_view::npos)
        return misfit("a /, ? or # before the @ (in user and password, they are written %2F, %3F and %23)");
    const bool has_path = behind.size() > 1;
    if (has_path && !behind.starts_with('/')) return misfit("something behind host and port");
    rest = rest.substr(0, authority_end);

    ProxyUrl out;
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
        const auto credentials = rest.substr(0, at);
        rest.remove_prefix(at + 1);
        const auto colon = credentials.find(':');
        auto username = parse_credential("username", credentials.substr(0, colon));
        if (!username) return tl::unexpected(std::move(username.error()));
        out.username = std::move(*username);
        if (colon != std::string_view::npos) {
            auto password = parse_credential("password", credentials.substr(colon + 1));
            if (!password) return tl::unexpected(std::move(password.error()));
            out.password = std::move(*password);
        }
    }

    if (has_path) {
        // As curl has it since 7.84.
        if (lower(rest) != "localhost")
            return misfit("something behind host and port", "socks5://localhost/path");
        auto path = percent_decoded(behind);
        if (!path || path->size() > longest_socket_path || path->find('\0') != std::string::npos)
            return misfit("a path that can be no socket's (at most 107 octets)");
        out.host = *Host::name("localhost");
        out.socket_path = std::move(*path);
        return out;
    }

    // What is behind the last colon may be a password whose "@host" was forgotten: it is never shown.
    auto host_text = rest;
    if (const auto colon = rest.rfind(':');
        colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos) {
        host_text = rest.substr(0, colon);
        const auto port = rest.substr(colon + 1);
        const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
        if (error != std::errc{} || end != port.data() + port.size() || out.port == 0)
            return misfit("a port that is not a number from 1 to 65535");
    }
    if (host_text.empty()) return misfit("no host");
    if (host_text.find(':') != std::string_view::npos && !host_text.starts_with('['))
        return misfit("an IPv6 address without [ ] around it");
    const auto host = Host::parse(host_text);
    if (!host || (host->is_name() && !is_host_name(host->name())))
        return misfit("the host " + quoted(host_text));
    out.host = *host;
    return out;
}

} // namespace socksify::policy
