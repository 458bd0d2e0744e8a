#include "policy/match.hpp"

#include <algorithm>
#include <charconv>

namespace socksify::policy {
namespace {

template <class Number>
std::optional<Number> parse_whole(std::string_view text) noexcept {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return {};
    return number;
}

tl::unexpected<Misfit> misfit(std::string found, std::string suggestion = {}) {
    return tl::unexpected(Misfit{std::move(found), std::move(suggestion)});
}

/// Sets all bits behind the first `prefix` to 0. Whether one of them was set.
bool clear_host_bits(std::array<std::uint8_t, 16>& octets, std::size_t size, unsigned prefix) noexcept {
    bool was_set = false;
    for (std::size_t i = prefix / 8; i < size; ++i) {
        const auto kept =
            i == prefix / 8 ? static_cast<std::uint8_t>(0xff00U >> prefix % 8) : std::uint8_t{0};
        was_set |= (octets[i] & ~kept) != 0;
        octets[i] &= kept;
    }
    return was_set;
}

Host to_host(AddressType family, const std::array<std::uint8_t, 16>& octets) noexcept {
    return family == AddressType::ipv4 ? Host::ipv4({octets[0], octets[1], octets[2], octets[3]})
                                       : Host::ipv6(octets);
}

} // namespace

tl::expected<Destination, Misfit> Destination::parse(std::string_view text) {
    Destination out;
    if (text == "*") return out;

    if (const auto slash = text.rfind('/');
        slash != std::string_view::npos && text.find("://") == std::string_view::npos) {
        if (auto set = out.set_network(text.substr(0, slash), text.substr(slash + 1)); !set)
            return tl::unexpected(std::move(set.error()));
        return out;
    }
    if (const auto host = Host::parse(text); host && !host->is_name()) {
        out.set_network(text, host->type() == AddressType::ipv4 ? "32" : "128");
        return out;
    }

    out.kind_ = Kind::name;
    auto name = text;
    if (name.starts_with("*.")) {
        out.kind_ = Kind::subdomains;
        name.remove_prefix(2);
    }
    if (!is_host_name(name)) {
        if (name.starts_with('.') && is_host_name(name.substr(1)))
            return misfit(quoted(text), "*" + std::string(text));
        if (const auto with_port = Endpoint::parse(text))
            return misfit(quoted(text) + ", which has a port in it: that is a key of its own",
                          with_port->host.text());
        if (std::any_of(name.begin(), name.end(),
                        [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
            return misfit(quoted(text) + ", which programs look up in its ASCII form (xn--…)");
        return misfit(quoted(text));
    }
    out.name_ = FoldedName(name).text();
    return out;
}

tl::expected<void, Misfit> Destination::set_network(std::string_view address, std::string_view prefix) {
    const auto written = std::string(address) + "/" + std::string(prefix);
    const auto host = Host::parse(address);
    if (!host || host->is_name()) return misfit(quoted(written) + ", which has no address before the /");

    const auto bits = static_cast<unsigned>(host->octets().size() * 8);
    const auto length = parse_whole<unsigned>(prefix);
    if (!length || *length > bits)
        return misfit(quoted(written) + ", where the prefix is not a number from 0 to " +
                      std::to_string(bits));

    std::copy(host->octets().begin(), host->octets().end(), network_.begin());
    kind_ = Kind::network;
    family_ = host->type();
    prefix_ = static_cast<std::uint8_t>(*length);
    if (clear_host_bits(network_, host->octets().size(), prefix_))
        return misfit(quoted(written) + ", which has bits set behind its prefix",
                      to_host(family_, network_).text() + "/" + std::to_string(prefix_));

    // Targets are compared unmapped, so ::ffff:10.0.0.0/104 has to be 10.0.0.0/8.
    if (const auto v4 = host->unmapped(); v4.type() != host->type() && prefix_ >= 96) {
        std::copy(v4.octets().begin(), v4.octets().end(), network_.begin());
        family_ = AddressType::ipv4;
        prefix_ = static_cast<std::uint8_t>(prefix_ - 96);
    }
    return {};
}

bool Destination::matches(const Target& target) const noexcept {
    switch (kind_) {
    case Kind::everything: return true;
    case Kind::name: return target.is_name() && target.name() == name_;
    case Kind::subdomains: return target.is_name() && is_below(target.name(), name_);
    case Kind::network: {
        if (target.address().type() != family_) return false;
        const auto octets = target.address().octets();
        const std::size_t whole = prefix_ / 8;
        if (std::memcmp(octets.data(), network_.data(), whole) != 0) return false;
        return prefix_ % 8 == 0 ||
               ((octets[whole] ^ network_[whole]) & (0xff00U >> prefix_ % 8) & 0xffU) == 0;
    }
    }
    return false;
}

tl::expected<PortRange, Misfit> PortRange::parse(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_whole<std::uint16_t>(text.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_whole<std::uint16_t>(text.substr(dash + 1));
    if (!first || !last) return misfit(quoted(text));
    if (*first > *last)
        return misfit(quoted(text) + ", whose end lies before its start",
                      std::to_string(*last) + "-" + std::to_string(*first));
    return PortRange{*first, *last};
}

bool matches_program(std::string_view pattern, std::string_view path) noexcept {
    if (!pattern.starts_with('/'))
        path.remove_prefix(path.rfind('/') + 1); // npos + 1 is 0: without a slash, nothing goes

    // The text that the last * stands for grows until the rest fits; an earlier * never has to give back.
    constexpr auto none = std::string_view::npos;
    std::size_t at = 0;
    std::size_t in = 0;
    std::size_t star = none;
    std::size_t star_end = 0;
    while (in < path.size()) {
        if (at < pattern.size() && pattern[at] == '*') {
            star = at++;
            star_end = in;
        } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == path[in])) {
            ++at;
            ++in;
        } else if (star != none) {
            at = star + 1;
            in = ++star_end;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', at) == none;
}

} // namespace socksify::policy
