// Host names as rules and caches compare them: case doesn't count (RFC 4343), nor does a dot at the end (RFC
// 1034 §3.1).
#pragma once

#include "socksify/endpoint.hpp"

namespace socksify::policy {

/// A name in lower case without a dot at its end. Kept in place, so that a look-up allocates nothing.
class FoldedName {
public:
    /// Of a host that is no name, or of a text that is longer than a name: empty.
    explicit FoldedName(std::string_view name) noexcept;
    explicit FoldedName(const Host& host) noexcept : FoldedName(host.name()) {}

    [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), size_}; }

private:
    std::array<char, Host::longest_name> text_{};
    std::size_t size_ = 0;
};

/// Whether `name` can be a host's: labels of 1..63 letters, digits, - and _, at most 253 octets in all, and
/// no number as the last label: resolvers take such a name (10.1, 0x7f.1) for an address.
bool is_host_name(std::string_view name) noexcept;

/// Whether `name` lies below `domain`, at any depth; a domain is not below itself. Both are folded.
bool is_below(std::string_view name, std::string_view domain) noexcept;

} // namespace socksify::policy
