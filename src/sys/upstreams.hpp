// What this process has learnt of its proxies: their addresses, which of them are down, and what they can do.
#pragma once

#include "policy/feature_cache.hpp"
#include "sys/address.hpp"
#include "sys/mutex.hpp"

#include <chrono>
#include <mutex>

namespace socksify::sys::upstreams {

using Clock = std::chrono::steady_clock;

/// The addresses behind a host name or literal, resolved by the machine's own resolver and remembered for a
/// minute. Empty if there are none. May block. Throws std::bad_alloc.
std::vector<Endpoint> addresses(const Endpoint& endpoint);
/// Whether `addresses` would answer without blocking.
bool are_known(const Endpoint& endpoint) noexcept;
/// Whether `endpoint` is one of the addresses that `addresses({host, port})` gave last. Never blocks.
bool is_known_address(const Host& host, std::uint16_t port, const Endpoint& endpoint) noexcept;

/// The local address that a connection to `to` would have; 0.0.0.0 if there is no way there. Sends nothing.
Host source_address_for(const Endpoint& to) noexcept;

/// One that could not be reached or spoken to is passed over for a while where the rules give another.
void mark_down(std::size_t upstream) noexcept;
void mark_up(std::size_t upstream) noexcept;
bool is_down(std::size_t upstream) noexcept;

namespace detail {
extern constinit Mutex features_mutex;
policy::FeatureCache& features(); ///< under the lock
} // namespace detail

/// Runs `use(FeatureCache&)` under the cache's lock: it must make no system call.
template <class Use>
auto with_features(Use use) {
    const std::lock_guard lock(detail::features_mutex);
    return use(detail::features());
}

} // namespace socksify::sys::upstreams
