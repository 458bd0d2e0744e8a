#include "socksify/endpoint.hpp"

#include <arpa/inet.h>

namespace socksify {
namespace {

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
    return !is_name() &&
           std::ranges::all_of(unmapped_octets(), [](std::uint8_t octet) { return octet == 0; });
}

bool Host::is_loopback() const noexcept {
    if (is_name()) return is_localhost_name(name());
    const auto octets = unmapped_octets();
    if (octets.size() == 4) return octets[0] == 127;
    const auto before_last = octets.first(octets.size() - 1);
    return octets.back() == 1 &&
           std::ranges::all_of(before_last, [](std::uint8_t octet) { return octet == 0; });
}

Host Host::unmapped() const noexcept {
    return is_mapped() ? ipv4(first_octets<4>(unmapped_octets())) : *this;
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
    const auto measured = measure_endpoint(in);
    Parsed<Endpoint> parsed; // in place, which spares copies
    parsed.outcome = measured.outcome;
    parsed.size = measured.size;
    if (parsed && !read_endpoint(in, parsed.value)) parsed.outcome = Outcome::malformed;
    return parsed;
}

} // namespace socksify
