// What this process has learnt of its proxies: their addresses, which of them are down, and what they can do.
#pragma once

#include "policy/plan.hpp"
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
struct Learnt {
    policy::FeatureCache features;
    policy::ReadyPlans plans;
};
Learnt& learnt(); ///< under the lock
} // namespace detail

/// Runs `use(FeatureCache&)` under the cache's lock: it must make no system call.
template <class Use>
auto with_features(Use use) {
    const std::lock_guard lock(detail::features_mutex);
    return use(detail::learnt().features);
}

/// The plan of an earlier connect() to an address of this type, if it still holds; else null.
inline policy::ReadyPlans::Pointer ready_plan(std::size_t upstream, AddressType type, Clock::time_point now) {
    const std::lock_guard lock(detail::features_mutex);
    const auto& [features, plans] = detail::learnt();
    return plans.find(upstream, type, features, now);
}
inline void keep_plan(std::size_t upstream, AddressType type, const policy::Knowledge& known,
                      policy::ReadyPlans::Pointer plan) {
    const std::lock_guard lock(detail::features_mutex);
    detail::learnt().plans.keep(upstream, type, known, std::move(plan));
}

} // namespace socksify::sys::upstreams
