// Pool addresses for names: a name that must not be resolved here gets an address that stands for it.
//
// Goal: one name = one index = one IPv4 and one IPv6 pool address, in every process that maps the same
// memory, and never one address for two names. The memory is a file that floor 2 maps; parents, children and
// siblings write to it at the same time and may die at any instruction.
//
// So there is no lock, no pointer and nothing to repair. A slot is one 64-bit word that goes from 0 to its
// value once, by compare-and-exchange, when the name that it refers to is already in place; its number is the
// index. The names lie in an arena that only grows. Whoever dies before the exchange leaks the octets that it
// took from the arena, and nothing else.
//
//     0         signature     the layout and its version; 0 is a block that nobody has formatted yet
//     8         arena used    octets
//     16        slots         131072 words: 0 = free, else (1 + place in the arena) << 32 | hash of the name
//     16 + 1 Mi arena         names: length (1 octet), then 1..255 octets, lower case, no trailing dot
//
// Words are in host order: the file does not leave its host. Nothing in it is trusted: a place or a length
// that points outside, or a name that does not hash to what its slot says, is a damaged slot, which names
// nothing and is never used again.
#pragma once

#include "socksify/endpoint.hpp"

#include <atomic>

namespace socksify::policy {

/// A handle on somebody else's memory: copy it freely, keep the memory mapped. Safe for any number of threads
/// and processes at once.
class NamePool {
public:
    static constexpr std::uint32_t slots = 1U << 17; ///< the addresses of 198.18.0.0/15 (RFC 2544)
    static constexpr std::size_t arena_octets = std::size_t{8} << 20;
    static constexpr std::size_t slots_at = 16;
    static constexpr std::size_t arena_at = slots_at + std::size_t{slots} * 8;
    /// Of the block that floor 2 maps, aligned to 8.
    static constexpr std::size_t octets_needed() noexcept { return arena_at + arena_octets; }

    /// Zero-filled memory becomes an empty pool; a pool is opened. Anything else, and memory that is too
    /// small or not aligned, gives an invalid pool, which holds no name and takes none.
    static NamePool format_or_open(std::span<std::byte> memory) noexcept;
    [[nodiscard]] bool valid() const noexcept { return memory_ != nullptr; }

    /// The index of `name`, a new one if it has none yet. Nothing if the pool is full, or the name empty,
    /// longer than 255 octets (a trailing dot not counted) or with a NUL in it.
    [[nodiscard]] std::optional<std::uint32_t> add(std::string_view name) noexcept;
    /// The name as it was stored. Nothing if the index is out of range, free or damaged.
    [[nodiscard]] std::optional<Host> name_at(std::uint32_t index) const noexcept;

    /// The index that `address` (IPv4, IPv6, IPv4-mapped) stands for, if it is of the pool's ranges; a name
    /// may or may not be there. The first and the last address are in the range, but never handed out.
    static std::optional<std::uint32_t> index_of(const Host& address) noexcept;
    static Host ipv4(std::uint32_t index) noexcept; ///< 198.18.0.0 + index
    static Host ipv6(std::uint32_t index) noexcept; ///< fd53:6f63:6b73:: + index ("So", "ck", "s")

private:
    using Word = std::uint64_t;
    using AtomicWord = std::atomic_ref<Word>;
    static_assert(AtomicWord::is_always_lock_free && AtomicWord::required_alignment == 8);

    explicit NamePool(std::byte* memory) noexcept : memory_(memory) {}
    [[nodiscard]] AtomicWord word(std::size_t at) const noexcept {
        return AtomicWord(*reinterpret_cast<Word*>(memory_ + at));
    }
    [[nodiscard]] AtomicWord slot(std::uint32_t index) const noexcept {
        return word(slots_at + std::size_t{index} * 8);
    }
    [[nodiscard]] Word store(std::string_view name, std::uint32_t hash) noexcept;
    [[nodiscard]] std::string_view text_of(Word slot_value) const noexcept;

    std::byte* memory_;
};

} // namespace socksify::policy
