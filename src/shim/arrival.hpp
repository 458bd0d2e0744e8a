// Where the octets of a datagram land that has, or may have, a proxy's header before it.
#pragma once

#include "socksify/datagram.hpp"

#include <array>
#include <cstddef>
#include <sys/socket.h>
#include <sys/uio.h>
#include <vector>

namespace socksify::shim {

constexpr std::size_t longest_datagram_header = 3 + longest_endpoint;

/// Octets of all pieces together.
std::size_t size_of(const iovec* pieces, std::size_t count) noexcept;

/// Octets that arrive in three places: where a header is expected, in the program's own pieces, and behind
/// them. A header longer than expected begins in the program's first piece: then the payload is moved, and up
/// to as many octets behind its end are not what they were, within the room that the program gave.
class Arrival {
public:
    /// `message` is the program's; `expected` octets of header, 255 at most. Throws std::bad_alloc.
    void expect(const msghdr& message, std::size_t expected);

    [[nodiscard]] iovec* pieces() noexcept { return pieces_; }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    /// Octets of the program's own pieces.
    [[nodiscard]] std::size_t room() const noexcept { return room_; }

    using Beginning = std::array<std::uint8_t, longest_datagram_header>;
    /// The first octets of `size` that came, at most as many as a header may have. `into` is used if they are
    /// not in one place.
    [[nodiscard]] Bytes begin(std::size_t size, Beginning& into) const noexcept;

    /// Brings the payload, which begins `header` octets from the start of `size`, to where the program looks
    /// for it. Throws std::bad_alloc.
    void settle(std::size_t size, std::size_t header);

private:
    static constexpr std::size_t few = 10;

    iovec* pieces_ = nullptr;
    std::size_t count_ = 0;
    std::size_t expected_ = 0;
    std::size_t room_ = 0;
    std::array<iovec, few> few_;
    std::vector<iovec> many_;
    std::array<std::uint8_t, 255> head_;
    std::array<std::uint8_t, longest_datagram_header> tail_;
};

} // namespace socksify::shim
