// Whether one TCP socket can take the place of another without the program noticing.
//
// A socket that is connected already can't have everything that the program gave to its own: what counts
// when a connection is made (an address, a mark, a device) comes too late. So what a new socket is like is
// noted before it is used, and what differs from that on the program's is what the program has done to it.
// All of that has to be an option which a connected socket takes as well; else the program's socket stays
// where it is.
//
// The kernel knows a socket by more than its options: by its owner, which is whose process made it and what
// filters go by, and by its network namespace. Those have to be the same.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <sys/types.h>

namespace socksify::sys {

class UntouchedSocket {
public:
    /// Of `fd`, a new TCP socket. Nothing on a kernel that does not tell namespaces apart (before Linux
    /// 5.14).
    static std::optional<UntouchedSocket> describe(int fd) noexcept;

    /// Whether `to`, the connected socket that was like this, could have been `from`, an unconnected one of
    /// the program's.
    [[nodiscard]] bool can_replace(int from) const noexcept;
    /// What the program has set on `from`, and its `flags` (F_GETFL), for `to` as well. False if `to` does
    /// not take it; it is of no use then.
    [[nodiscard]] bool dress(int to, int from, int flags) const noexcept;

private:
    struct Value {
        std::array<unsigned char, 16> octets{};
        std::uint32_t size = 0; ///< 0: there is no such option
        friend bool operator==(const Value&, const Value&) = default;
    };
    struct Origin {
        uid_t user = 0;
        gid_t group = 0;
        std::uint64_t network = 0;
        friend bool operator==(const Origin&, const Origin&) = default;
    };
    static std::optional<Origin> origin_of(int fd) noexcept;
    static Value read(int fd, int level, int name) noexcept;

    static constexpr std::size_t fixed_count = 20, movable_count = 31;
    std::array<Value, fixed_count> fixed_{};
    std::array<Value, movable_count> movable_{};
    Origin origin_;
};

/// Whether a connected socket of which nothing is expected is still good: nothing has come, no end and no
/// error.
bool is_quiet(int fd) noexcept;
/// Whether the other side has acknowledged all that was sent. False for one that has gone without a word.
bool is_acknowledged(int fd) noexcept;

} // namespace socksify::sys
