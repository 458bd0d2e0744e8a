// Datagrams that an association drops, counted by reason. Nobody is told of a dropped datagram but the log:
// RFC 1928 §7 has it dropped "silently".
#pragma once

#include "relay/log.hpp"

namespace socksify::relay {

enum class Drop : std::uint8_t {
    stranger,   ///< not from the client
    malformed,  ///< no whole header, or an unknown ATYP
    fragment,   ///< FRAG is not 0
    denied,     ///< its destination, by a rule, the guard of the relay's own host, or a switch
    unresolved, ///< its destination's name has no address, or too much waits for one
    uninvited,  ///< to the client, from an address that the client has not sent to
    too_long,   ///< for the network, with the header or without
    overflow,   ///< there is no room in the kernel
    unsent,     ///< no route, or another reason of the kernel's
};
constexpr std::array<std::string_view, 9> drop_words{"stranger", "malformed",  "fragment",
                                                     "denied",   "unresolved", "uninvited",
                                                     "too_long", "overflow",   "unsent"};
static_assert(drop_words[static_cast<std::size_t>(Drop::unsent)] == "unsent");

/// Why the kernel has not sent a datagram.
Drop to_drop(int error) noexcept;

class Drops {
public:
    void count(Drop why, std::uint64_t datagrams = 1) noexcept;
    [[nodiscard]] std::uint64_t total() const noexcept;
    [[nodiscard]] std::uint64_t total(Drop why) const noexcept { return all_[static_cast<std::size_t>(why)]; }

    /// Whether something has come since the last `tell_news`.
    [[nodiscard]] bool has_news() const noexcept { return news_; }
    /// How many since then, by reason.
    void tell_news(LogLine& line);
    /// How many in all, by reason.
    void tell(LogLine& line) const;

private:
    using Counts = std::array<std::uint64_t, drop_words.size()>;

    Counts all_{};
    Counts told_{};
    bool news_ = false;
};

} // namespace socksify::relay
