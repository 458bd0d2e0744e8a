#include "sys/peers.hpp"

#include "sys/shared_block.hpp"

#include <array>
#include <cstring>

namespace socksify::sys::peers {
namespace {

constexpr std::size_t places = 16384;
constexpr std::size_t address_words = 4; // a sockaddr_in6 is 28 octets

/// `cookie` is 0 while the rest is being written; a reader that sees the same cookie before and after has
/// seen one peer.
struct Place {
    std::atomic<std::uint64_t> cookie;
    std::array<std::atomic<std::uint64_t>, address_words> address;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

Place* place_of(std::uint64_t cookie) noexcept {
    static constinit SharedBlock block("socksify-peers", places * sizeof(Place));
    auto* all = static_cast<Place*>(
        block.get([](void*) { return true; })); // zeros are empty places, and nothing can be wrong
    return all != nullptr ? &all[cookie % places] : nullptr;
}

socklen_t size_of(int family) noexcept {
    if (family == AF_INET) return sizeof(sockaddr_in);
    return family == AF_INET6 ? sizeof(sockaddr_in6) : 0;
}

} // namespace

void remember(std::uint64_t cookie, const Address& peer) noexcept {
    auto* place = cookie != 0 ? place_of(cookie) : nullptr;
    if (place == nullptr) return;
    std::array<std::uint64_t, address_words> words{};
    std::memcpy(words.data(), &peer.storage, sizeof words); // zeros behind an address that is shorter
    place->cookie.store(0);
    for (std::size_t i = 0; i < words.size(); ++i) place->address[i].store(words[i]);
    place->cookie.store(cookie);
}

std::optional<Address> recall(std::uint64_t cookie) noexcept {
    const auto* place = cookie != 0 ? place_of(cookie) : nullptr;
    if (place == nullptr || place->cookie.load() != cookie) return {};
    std::array<std::uint64_t, address_words> words;
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = place->address[i].load();
    if (place->cookie.load() != cookie) return {};
    Address peer;
    std::memcpy(&peer.storage, words.data(), sizeof words);
    peer.size = size_of(peer.family());
    return peer.size != 0 ? std::optional(peer) : std::nullopt;
}

} // namespace socksify::sys::peers
