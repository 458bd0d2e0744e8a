// Octets in, octets out: the vocabulary that every codec on this floor shares.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace socksify {

/// Octets that somebody else owns, in wire order.
using Bytes = std::span<const std::uint8_t>;

/// What a reader found at the front of its input.
enum class Outcome : std::uint8_t {
    complete,  ///< one whole message; `size` octets of the input belong to it
    need_more, ///< the start of a message; at least `size` octets are lacking
    malformed, ///< not this protocol: close the connection
};

/// The answer of a reader. The input may hold less or more than one message; nothing is consumed but `size`
/// octets of it.
template <class Value>
struct Parsed {
    Outcome outcome = Outcome::malformed;
    std::size_t size = 0;
    Value value{};

    constexpr explicit operator bool() const noexcept { return outcome == Outcome::complete; }
};

template <class Value>
constexpr Parsed<Value> complete(Value value, std::size_t size) noexcept {
    return {Outcome::complete, size, static_cast<Value&&>(value)};
}

/// A reader's answer without the value. Converts to any `Parsed<T>`, so that it can say `return need_more(3);`.
struct Measured {
    Outcome outcome;
    std::size_t size;
    template <class Value>
    // NOLINTNEXTLINE(google-explicit-constructor): that is its purpose
    constexpr operator Parsed<Value>() const noexcept {
        return {outcome, size, {}};
    }
};
constexpr Measured need_more(std::size_t octets) noexcept { return {Outcome::need_more, octets}; }
constexpr Measured malformed() noexcept { return {Outcome::malformed, 0}; }

/// A message under construction, or kept: at most `Capacity` octets, in place, never allocated.
template <std::size_t Capacity>
class Message {
public:
    constexpr Message() noexcept {
        if (std::is_constant_evaluated()) octets_.fill(0);
        else std::memset(octets_.data(), 0, few); // which are copied whatever is in them
    }
    constexpr Message(const Message& other) noexcept : Message() { copy(other); }
    constexpr Message& operator=(const Message& other) noexcept {
        if (this != &other) copy(other);
        return *this;
    }
    ~Message() = default;

    /// Several in one call: each write of an octet may change the size, for all that a compiler knows.
    template <std::same_as<std::uint8_t>... More>
    constexpr Message& put8(std::uint8_t value, More... more) noexcept {
        auto at = size_;
        size_ += 1 + sizeof...(more);
        octets_[at++] = value;
        ((octets_[at++] = more), ...);
        return *this;
    }
    constexpr Message& put16(std::uint16_t value) noexcept {
        return put8(static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value));
    }
    constexpr Message& put32(std::uint32_t value) noexcept {
        return put16(static_cast<std::uint16_t>(value >> 16)).put16(static_cast<std::uint16_t>(value));
    }
    constexpr Message& put(Bytes octets) noexcept {
        if (std::is_constant_evaluated()) {
            for (const auto octet : octets) put8(octet);
        } else if (!octets.empty()) {
            std::memcpy(octets_.data() + size_, octets.data(), octets.size());
            size_ += octets.size();
        }
        return *this;
    }
    /// So many that no call is needed to copy them.
    template <std::size_t Count>
    requires(Count != std::dynamic_extent) constexpr Message& put(
        std::span<const std::uint8_t, Count> octets) noexcept {
        if (std::is_constant_evaluated()) return put(Bytes(octets));
        std::memcpy(octets_.data() + size_, octets.data(), Count);
        size_ += Count;
        return *this;
    }
    constexpr void clear() noexcept { size_ = 0; }
    /// Takes the first `octets`, of which there are so many, away.
    void drop_front(std::size_t octets) noexcept {
        size_ -= octets;
        if (size_ != 0) std::memmove(octets_.data(), octets_.data() + octets, size_);
    }

    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] static constexpr std::size_t capacity() noexcept { return Capacity; }
    [[nodiscard]] constexpr Bytes bytes() const noexcept { return {octets_.data(), size_}; }
    // NOLINTNEXTLINE(google-explicit-constructor): a view of itself
    constexpr operator Bytes() const noexcept { return bytes(); }

private:
    static constexpr auto few = std::min<std::size_t>(Capacity, 16);

    /// Most are short: those are copied by a few instructions, and not by a call.
    constexpr void copy(const Message& other) noexcept {
        size_ = 0;
        if (std::is_constant_evaluated() || other.size_ > few) {
            put(other);
        } else {
            std::memcpy(octets_.data(), other.octets_.data(), few);
            size_ = other.size_;
        }
    }

    std::array<std::uint8_t, Capacity> octets_; ///< the first `size_` of them
    std::size_t size_ = 0;
};

/// There must be so many.
template <std::size_t Count>
std::array<std::uint8_t, Count> first_octets(Bytes in) noexcept {
    std::array<std::uint8_t, Count> octets;
    std::memcpy(octets.data(), in.data(), Count);
    return octets;
}

constexpr std::uint16_t get16(Bytes in) noexcept {
    return static_cast<std::uint16_t>(std::uint32_t{in[0]} << 8 | std::uint32_t{in[1]});
}
constexpr std::uint32_t get32(Bytes in) noexcept {
    return std::uint32_t{get16(in)} << 16 | std::uint32_t{get16(in.subspan(2))};
}

inline Bytes as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes octets) noexcept {
    return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

} // namespace socksify
