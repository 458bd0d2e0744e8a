// What the processes of one user have learnt of their proxies, for those that come after them.
//
// Goal: a process that lives for one connect, such as curl, profits from what the one before it has learnt.
// The memory is a file that floor 2 maps; any number of processes read and write it at the same time, and may
// die at any instruction.
//
// There is no lock, and nobody waits: each record carries a checksum of all its octets. One that is half
// written, that two have written at the same time, or that was damaged does not match its checksum, and is
// none. The loss is a question to the proxy. A reader copies a record before it looks whether it is whole, so
// what it believes can't change under its eyes; and what it believes is read as if a stranger had sent it.
//
//     0      signature   the layout and its version; 0 is a block that nobody has formatted yet
//     64     records     64 of 2048 octets:
//
//               0   checksum of all that follows, up to the list's end
//               8   expires, in seconds of the wall clock
//              16   octets of the key, octets of the list (2 each)
//              20   known, pipelining, method, kind of address (1 each)
//              24   the client's address (16)
//              40   key, list (without END)
//
// Words are in host order: the file does not leave its host. A proxy's record is one of eight that its key's
// hash names; the newest goes in the place of one that is void, or else of the one that expires first. The
// key names the proxy and the user name; nothing is made of a password.
#pragma once

#include "policy/config.hpp"
#include "policy/feature_cache.hpp"

#include <atomic>

namespace socksify::policy {

/// A handle on somebody else's memory: copy it freely, keep the memory mapped. Safe for any number of threads
/// and processes at once.
class ProxyStore {
public:
    static constexpr std::size_t records = 64;
    static constexpr std::size_t record_octets = 2048;
    static constexpr std::size_t records_at = 64;
    static constexpr std::size_t ways = 8; ///< places for one key
    static constexpr std::chrono::seconds longest_life{365 * 24 * 60 * 60};
    /// Of the block that floor 2 maps, aligned to 8.
    static constexpr std::size_t octets_needed() noexcept { return records_at + records * record_octets; }

    /// Zero-filled memory becomes an empty store; a store is opened. Anything else, and memory that is too
    /// small or not aligned, gives an invalid one, which holds nothing and takes nothing.
    static ProxyStore format_or_open(std::span<std::byte> memory) noexcept;
    [[nodiscard]] bool valid() const noexcept { return memory_ != nullptr; }

    /// `now` is the wall clock's, since its epoch. Throws std::bad_alloc.
    [[nodiscard]] std::optional<Learnt> find(std::string_view key, std::chrono::seconds now) const;
    /// What does not fit is not kept, nor is what lasts no second; what was there for `key` goes in any case.
    void put(std::string_view key, const Learnt& learnt, std::chrono::seconds now) noexcept;

    using Record = std::array<std::uint64_t, record_octets / 8>;
    /// What a record says for `key`, whatever its checksum. Throws std::bad_alloc.
    static std::optional<Learnt> parse(const Record& record, std::string_view key, std::chrono::seconds now);

private:
    explicit ProxyStore(std::byte* memory) noexcept : memory_(memory) {}
    [[nodiscard]] std::atomic_ref<std::uint64_t> word(std::size_t record, std::size_t index) const noexcept {
        return std::atomic_ref<std::uint64_t>(
            *reinterpret_cast<std::uint64_t*>(memory_ + records_at + record * record_octets + index * 8));
    }
    [[nodiscard]] bool read(std::size_t record, Record& into) const noexcept;
    static std::uint64_t checksum(const Record& record) noexcept;
    static bool is_for(const Record& record, std::string_view key) noexcept;

    std::byte* memory_;
};

/// What the store knows an upstream by: where it is, and the user name.
std::string store_key(const Upstream& upstream);

} // namespace socksify::policy
