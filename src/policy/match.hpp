// The constraints of a rule, one by one: what a destination, a port and a program are compared with.
#pragma once

#include "policy/config_error.hpp"
#include "policy/host_name.hpp"

#include <tl/expected.hpp>

namespace socksify::policy {

/// A query's host as destinations are compared with it: made once, compared often.
class Target {
public:
    explicit Target(const Host& host) noexcept : host_(host.unmapped()), name_(host) {}

    [[nodiscard]] bool is_name() const noexcept { return host_.is_name(); }
    [[nodiscard]] std::string_view name() const noexcept { return name_.text(); }
    [[nodiscard]] const Host& address() const noexcept { return host_; }

private:
    Host host_;
    FoldedName name_;
};

/// One "destination" of a rule.
class Destination {
public:
    enum class Kind : std::uint8_t {
        everything, ///< "*": each name and each address
        name,       ///< "www.example.org"
        subdomains, ///< "*.example.org": at any depth, but not example.org itself
        network,    ///< "10.0.0.0/8", or one address
    };

    static tl::expected<Destination, Misfit> parse(std::string_view text);

    [[nodiscard]] bool matches(const Target& target) const noexcept;

    [[nodiscard]] Kind kind() const noexcept { return kind_; }
    /// Of a name, and of the domain of `subdomains`: folded.
    [[nodiscard]] std::string_view name() const noexcept { return name_; }
    /// Of a network.
    [[nodiscard]] AddressType family() const noexcept { return family_; }
    [[nodiscard]] unsigned prefix() const noexcept { return prefix_; }
    [[nodiscard]] Bytes network() const noexcept { return network_; }

private:
    tl::expected<void, Misfit> set_network(std::string_view address, std::string_view prefix);

    Kind kind_ = Kind::everything;
    AddressType family_ = AddressType::ipv4;
    std::uint8_t prefix_ = 0;                ///< bits
    std::array<std::uint8_t, 16> network_{}; ///< 4 or 16 octets; a v4-mapped one is kept as IPv4
    std::string name_;                       ///< folded
};

/// One "port" of a rule. Both ends belong to it.
struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0;

    [[nodiscard]] constexpr bool contains(std::uint16_t port) const noexcept {
        return first <= port && port <= last;
    }
    /// "443" or "8000-8999".
    static tl::expected<PortRange, Misfit> parse(std::string_view text);
};

/// One "program" of a rule: an absolute path, or the last part of one. * stands for any run of characters,
/// slashes too, ? for one of them, all else for itself.
bool matches_program(std::string_view pattern, std::string_view path) noexcept;

} // namespace socksify::policy
