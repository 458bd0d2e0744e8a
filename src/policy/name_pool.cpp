#include "policy/name_pool.hpp"

#include "policy/host_name.hpp"

#include <algorithm>

namespace socksify::policy {
namespace {

constexpr std::size_t signature_at = 0;
constexpr std::size_t arena_used_at = 8;
/// Octets "SockNam" and the version of the layout. Another layout, or other sizes, is another version.
constexpr std::uint64_t signature = 0x01'6d'61'4e'6b'63'6f'53;

constexpr std::uint32_t ipv4_base = 198U << 24 | 18U << 16;
constexpr std::array<std::uint8_t, 12> ipv6_prefix{0xfd, 0x53, 0x6f, 0x63, 0x6b, 0x73, 0, 0, 0, 0, 0, 0};

/// FNV-1a, then half of MurmurHash3's finalizer, since the low bits choose the slot. Part of the layout: all
/// processes must agree.
std::uint32_t hash_of(std::string_view name) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : name) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    return static_cast<std::uint32_t>(hash >> 32);
}

constexpr std::uint32_t hash_in(std::uint64_t slot_value) noexcept {
    return static_cast<std::uint32_t>(slot_value);
}

} // namespace

NamePool NamePool::format_or_open(std::span<std::byte> memory) noexcept {
    const NamePool none(nullptr);
    if (memory.size() < octets_needed()) return none;
    if (reinterpret_cast<std::uintptr_t>(memory.data()) % AtomicWord::required_alignment != 0) return none;
    const NamePool pool(memory.data());
    // A look first: all but one caller find a pool, and need not take the cache line away from the others.
    auto found = pool.word(signature_at).load(std::memory_order_acquire);
    if (found == 0 && pool.word(signature_at).compare_exchange_strong(found, signature)) return pool;
    return found == signature ? pool : none;
}

std::optional<std::uint32_t> NamePool::add(std::string_view name) noexcept {
    const FoldedName folded(name);
    const auto key = folded.text();
    if (!valid() || key.empty() || key.find('\0') != std::string_view::npos) return {};
    const auto hash = hash_of(key);
    Word ours = 0; // not in the arena yet
    for (std::uint32_t probe = 0; probe < slots; ++probe) {
        const std::uint32_t index = (hash + probe) % slots;
        if (index == 0 || index == slots - 1)
            continue; // a network's first and last address look wrong to some
        auto there = slot(index).load(std::memory_order_acquire);
        if (there == 0) {
            if (ours == 0) ours = store(key, hash);
            if (ours == 0) return {};
            if (slot(index).compare_exchange_strong(there, ours, std::memory_order_acq_rel,
                                                    std::memory_order_acquire))
                return index;
        }
        if (hash_in(there) == hash && text_of(there) == key) return index;
    }
    return {};
}

/// Puts the name into the arena, where nobody else will write: the value for its slot. 0 if there is no room.
NamePool::Word NamePool::store(std::string_view name, std::uint32_t hash) noexcept {
    const std::size_t size = 1 + name.size();
    const auto used = word(arena_used_at);
    auto place = used.load(std::memory_order_relaxed);
    do {
        if (place > arena_octets - size) return 0;
    } while (!used.compare_exchange_weak(place, place + size, std::memory_order_relaxed));
    auto* const out = memory_ + arena_at + place;
    out[0] = static_cast<std::byte>(name.size());
    std::memcpy(out + 1, name.data(), name.size());
    return (place + 1) << 32 | hash;
}

/// The name that a slot refers to, as it lies in the arena; empty if the slot is damaged.
std::string_view NamePool::text_of(Word slot_value) const noexcept {
    const std::size_t after_place = slot_value >> 32;
    if (after_place == 0 || after_place >= arena_octets) return {};
    const auto* const entry = memory_ + arena_at + (after_place - 1);
    const auto size = static_cast<std::size_t>(entry[0]);
    if (size > arena_octets - after_place) return {};
    return {reinterpret_cast<const char*>(entry + 1), size};
}

std::optional<Host> NamePool::name_at(std::uint32_t index) const noexcept {
    if (!valid() || index >= slots) return {};
    const auto value = slot(index).load(std::memory_order_acquire);
    if (value == 0) return {};
    // A copy first: what is checked is what is returned, whatever becomes of the memory meanwhile.
    const auto host = Host::name(text_of(value));
    return host && hash_of(host->name()) == hash_in(value) ? host : std::nullopt;
}

std::optional<std::uint32_t> NamePool::index_of(const Host& address) noexcept {
    if (address.is_name()) return {};
    const auto octets = address.unmapped_octets();
    const bool is_v4 = octets.size() == 4;
    if (!is_v4 && !std::equal(ipv6_prefix.begin(), ipv6_prefix.end(), octets.begin())) return {};
    const auto index = is_v4 ? get32(octets) - ipv4_base : get32(octets.subspan(ipv6_prefix.size()));
    return index < slots ? std::optional(index) : std::nullopt;
}

Host NamePool::ipv4(std::uint32_t index) noexcept {
    Message<4> octets;
    octets.put32(ipv4_base + index);
    std::array<std::uint8_t, 4> address{};
    std::copy_n(octets.bytes().begin(), address.size(), address.begin());
    return Host::ipv4(address);
}

Host NamePool::ipv6(std::uint32_t index) noexcept {
    Message<16> octets;
    octets.put(ipv6_prefix).put32(index);
    std::array<std::uint8_t, 16> address{};
    std::copy_n(octets.bytes().begin(), address.size(), address.begin());
    return Host::ipv6(address);
}

} // namespace socksify::policy
