#include "socksify/endpoint.hpp"

#include <arpa/inet.h>

namespace socksify {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(const Host& host) noexcept {
    return host.type() == AddressType::ipv6 &&
           std::memcmp(host.octets().data(), mapped_prefix.data(), mapped_prefix.size()) == 0;
}

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

bool is_localhost_name(std::string_view name) noexcept {
    constexpr std::string_view localhost = "localhost";
    if (name.ends_with('.')) name.remove_suffix(1);
    if (name.size() < localhost.size()) return false;
    if (!equals_ignoring_case(name.substr(name.size() - localhost.size()), localhost)) return false;
    return name.size() == localhost.size() || name[name.size() - localhost.size() - 1] == '.';
}

} // namespace

std::optional<Host> Host::parse(std::string_view text) {
    const bool bracketed = text.size() >= 2 && text.front() == '[' && text.back() == ']';
    if (bracketed) text = text.substr(1, text.size() - 2);
    if (text.find('\0') != std::string_view::npos) return {};
    const std::string terminated(text);
    std::array<std::uint8_t, 16> v6{};
    if (inet_pton(AF_INET6, terminated.c_str(), v6.data()) == 1) return ipv6(v6);
    // No name has a colon or a bracket: a misspelt address is no name.
    if (bracketed || text.find_first_of(":[]") != std::string_view::npos) return {};
    std::array<std::uint8_t, 4> v4{};
    if (inet_pton(AF_INET, terminated.c_str(), v4.data()) == 1) return ipv4(v4);
    return name(text);
}

bool Host::is_unspecified() const noexcept {
    if (is_name()) return false;
    const auto host = unmapped();
    for (const auto octet : host.octets())
        if (octet != 0) return false;
    return true;
}

bool Host::is_loopback() const noexcept {
    if (is_name()) return is_localhost_name(name());
    const auto host = unmapped();
    if (host.type() == AddressType::ipv4) return host.octets()[0] == 127;
    for (std::size_t i = 0; i < 15; ++i)
        if (host.octets()[i] != 0) return false;
    return host.octets()[15] == 1;
}

Host Host::unmapped() const noexcept {
    if (!is_mapped(*this)) return *this;
    std::array<std::uint8_t, 4> v4{};
    std::memcpy(v4.data(), octets_.data() + mapped_prefix.size(), v4.size());
    return ipv4(v4);
}

std::string Host::text() const {
    if (is_name()) return std::string(name());
    char out[INET6_ADDRSTRLEN];
    inet_ntop(type_ == AddressType::ipv4 ? AF_INET : AF_INET6, octets_.data(), out, sizeof out);
    return out;
}

std::string Endpoint::text() const {
    const bool bracketed = host.type() == AddressType::ipv6;
    std::string out(bracketed ? "[" : "");
    out += host.text();
    out += bracketed ? "]:" : ":";
    out += std::to_string(port);
    return out;
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos || colon + 1 == text.size() || text.size() - colon > 6) return {};
    const auto host_text = text.substr(0, colon);
    if (host_text.find(':') != std::string_view::npos && host_text.front() != '[')
        return {}; // an IPv6 address wants brackets
    std::uint32_t port = 0;
    for (const char c : text.substr(colon + 1)) {
        if (c < '0' || c > '9') return {};
        port = port * 10 + static_cast<std::uint32_t>(c - '0');
    }
    if (port > 65535) return {};
    const auto host = Host::parse(host_text);
    if (!host) return {};
    return Endpoint{*host, static_cast<std::uint16_t>(port)};
}

Parsed<Endpoint> parse_endpoint(Bytes in) noexcept {
    // The shortest form with a given ATYP tells how much may be asked for before the length octet is known.
    if (in.empty()) return need_more(2);
    const auto fixed = [&](std::size_t length) -> Parsed<Endpoint> {
        if (const auto size = 1 + length + 2; in.size() < size) return need_more(size - in.size());
        Endpoint endpoint;
        if (length == 4) {
            std::array<std::uint8_t, 4> octets{};
            std::memcpy(octets.data(), in.data() + 1, octets.size());
            endpoint.host = Host::ipv4(octets);
        } else {
            std::array<std::uint8_t, 16> octets{};
            std::memcpy(octets.data(), in.data() + 1, octets.size());
            endpoint.host = Host::ipv6(octets);
        }
        endpoint.port = get16(in.subspan(1 + length));
        return complete(endpoint, 1 + length + 2);
    };
    switch (static_cast<AddressType>(in[0])) {
    case AddressType::ipv4: return fixed(4);
    case AddressType::ipv6: return fixed(16);
    case AddressType::domain_name: {
        if (in.size() < 2) return need_more(1);
        const std::size_t length = in[1];
        const std::size_t size = 2 + length + 2;
        if (in.size() < size) return need_more(size - in.size());
        // An empty name is sent by some servers as "no address"; a NUL in a name is nobody's.
        const auto host = length == 0 ? Host{} : Host::name(as_text(in.subspan(2, length)));
        if (!host) return malformed();
        return complete(Endpoint{*host, get16(in.subspan(2 + length))}, size);
    }
    }
    return malformed();
}

} // namespace socksify
