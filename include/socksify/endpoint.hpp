// Who to talk to: a host (IPv4, IPv6 or a name) and a port, as values and as octets (RFC 1928 §5).
#pragma once

#include "socksify/bytes.hpp"

#include <optional>
#include <string>

namespace socksify {

/// ATYP (RFC 1928 §4). Values that are not listed here exist on the wire; readers answer `malformed`.
enum class AddressType : std::uint8_t { ipv4 = 1, domain_name = 3, ipv6 = 4 };

/// An IPv4 address, an IPv6 address, or a name of 1..255 octets without NUL. Kept in place, never allocated.
/// A default-constructed host is 0.0.0.0.
class Host {
public:
    static constexpr std::size_t longest_name = 255;

    constexpr Host() noexcept : Host(AddressType::ipv4, std::array<std::uint8_t, 4>{}) {}
    constexpr Host(const Host& other) noexcept : type_(other.type_), size_(other.size_) { copy(other); }
    constexpr Host& operator=(const Host& other) noexcept {
        if (this == &other) return *this;
        type_ = other.type_;
        size_ = other.size_;
        copy(other);
        return *this;
    }
    ~Host() = default;

    static constexpr Host ipv4(std::array<std::uint8_t, 4> octets) noexcept {
        return {AddressType::ipv4, octets};
    }
    static constexpr Host ipv6(std::array<std::uint8_t, 16> octets) noexcept {
        return {AddressType::ipv6, octets};
    }

    /// A name as it is, unchecked but for length and NUL; nothing if it can't be sent as ATYP 03.
    static constexpr std::optional<Host> name(std::string_view text) noexcept {
        if (text.empty() || text.size() > longest_name || text.find('\0') != std::string_view::npos)
            return {};
        Host host;
        host.type_ = AddressType::domain_name;
        host.size_ = static_cast<std::uint8_t>(text.size());
        for (std::size_t i = 0; i < text.size(); ++i) host.octets_[i] = static_cast<std::uint8_t>(text[i]);
        return host;
    }

    /// A literal ("192.0.2.1", "2001:db8::1", "[2001:db8::1]") or, failing that, a name.
    static std::optional<Host> parse(std::string_view text);

    [[nodiscard]] constexpr AddressType type() const noexcept { return type_; }
    [[nodiscard]] constexpr bool is_name() const noexcept { return type_ == AddressType::domain_name; }
    /// 4, 16 or 1..255 octets, in wire order, without the length octet of a name.
    [[nodiscard]] constexpr Bytes octets() const noexcept { return {octets_.data(), size_}; }
    /// The name's text; empty for an address.
    [[nodiscard]] std::string_view name() const noexcept {
        return is_name() ? as_text(octets()) : std::string_view{};
    }
    /// 0.0.0.0, :: or ::ffff:0.0.0.0.
    [[nodiscard]] bool is_unspecified() const noexcept;
    /// 127.0.0.0/8, ::1, ::ffff:127.0.0.0/104, "localhost" and "*.localhost" (RFC 6761 §6.3).
    [[nodiscard]] bool is_loopback() const noexcept;
    /// The octets of an address, those of an IPv4-mapped one without the prefix: 4 or 16.
    [[nodiscard]] constexpr Bytes unmapped_octets() const noexcept {
        return is_mapped() ? octets().subspan(mapped_prefix.size()) : octets();
    }
    /// An IPv4-mapped IPv6 address as the IPv4 address it stands for; any other host as it is.
    [[nodiscard]] Host unmapped() const noexcept;
    /// "192.0.2.1", "2001:db8::1" (no brackets) or the name.
    [[nodiscard]] std::string text() const;

    friend bool operator==(const Host& a, const Host& b) noexcept {
        return a.type_ == b.type_ && a.size_ == b.size_ &&
               std::memcmp(a.octets_.data(), b.octets_.data(), a.size_) == 0;
    }

private:
    template <std::size_t Size>
    constexpr Host(AddressType type, std::array<std::uint8_t, Size> octets) noexcept
        : type_(type), size_(Size) {
        if (std::is_constant_evaluated()) octets_.fill(0);
        for (std::size_t i = 0; i < Size; ++i) octets_[i] = octets[i];
    }
    /// What counts, not the whole place: hosts are handed about a lot, and most are addresses.
    constexpr void copy(const Host& other) noexcept {
        if (std::is_constant_evaluated()) octets_ = other.octets_;
        else if (size_ <= longest_address) std::memcpy(octets_.data(), other.octets_.data(), longest_address);
        else std::memcpy(octets_.data(), other.octets_.data(), longest_name);
    }

    static constexpr std::size_t longest_address = 16;
    static constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    [[nodiscard]] constexpr bool is_mapped() const noexcept {
        return type_ == AddressType::ipv6 &&
               std::equal(mapped_prefix.begin(), mapped_prefix.end(), octets_.begin());
    }

    AddressType type_;
    std::uint8_t size_;
    std::array<std::uint8_t, longest_name> octets_; ///< the first `size_` of them
};

/// A host and a port (host order).
struct Endpoint {
    Host host;
    std::uint16_t port = 0;

    /// "192.0.2.1:80", "[2001:db8::1]:80" or "name:80".
    [[nodiscard]] std::string text() const;
    /// The reverse of `text()`. Nothing if there is no host, no port, or a port above 65535.
    static std::optional<Endpoint> parse(std::string_view text);

    friend bool operator==(const Endpoint&, const Endpoint&) noexcept = default;
};

/// ATYP, ADDR and PORT as they stand in requests, replies and datagrams: 7 octets (IPv4), 19 (IPv6) or 4 +
/// length (name).
constexpr std::size_t longest_endpoint = 1 + 1 + Host::longest_name + 2;

template <std::size_t Capacity>
constexpr void put_endpoint(Message<Capacity>& out, const Endpoint& endpoint) noexcept {
    const auto octets = endpoint.host.octets();
    const auto type = static_cast<std::uint8_t>(endpoint.host.type());
    switch (endpoint.host.type()) {
    case AddressType::ipv4: out.put8(type).put(octets.first<4>()); break;
    case AddressType::ipv6: out.put8(type).put(octets.first<16>()); break;
    case AddressType::domain_name:
        out.put8(type, static_cast<std::uint8_t>(octets.size())).put(octets);
        break;
    }
    out.put16(endpoint.port);
}

/// Whether the endpoint that begins so is whole, and how long it is. `need_more` never asks for an octet
/// beyond it. An unknown ATYP is `malformed`.
constexpr Measured measure_endpoint(Bytes in) noexcept {
    // The shortest form with a given ATYP tells how much may be asked for before the length octet is known.
    if (in.empty()) return need_more(2);
    std::size_t size = 0;
    switch (static_cast<AddressType>(in[0])) {
    case AddressType::ipv4: size = 1 + 4 + 2; break;
    case AddressType::ipv6: size = 1 + 16 + 2; break;
    case AddressType::domain_name:
        if (in.size() < 2) return need_more(1);
        size = 2U + in[1] + 2;
    }
    if (size == 0) return malformed();
    if (in.size() < size) return need_more(size - in.size());
    return {Outcome::complete, size};
}
/// Reads ATYP, ADDR and PORT, measured and whole. False if they are nobody's: a name with a NUL in it.
inline bool read_endpoint(Bytes whole, Endpoint& endpoint) noexcept {
    const auto host = whole.subspan(1);
    switch (static_cast<AddressType>(whole[0])) {
    case AddressType::ipv4:
        endpoint.host = Host::ipv4(first_octets<4>(host));
        endpoint.port = get16(host.subspan(4));
        return true;
    case AddressType::ipv6:
        endpoint.host = Host::ipv6(first_octets<16>(host));
        endpoint.port = get16(host.subspan(16));
        return true;
    case AddressType::domain_name: break;
    }
    const std::size_t length = host[0];
    const auto name = Host::name(as_text(host.subspan(1, length)));
    if (!name && length != 0) return false;
    endpoint.host = name.value_or(Host{}); // sent by some servers as "no address"
    endpoint.port = get16(host.subspan(1 + length));
    return true;
}
/// Both at once.
Parsed<Endpoint> parse_endpoint(Bytes in) noexcept;

} // namespace socksify
