// What this user's other processes have learnt of the proxies, in the memory that all of them share
// (policy/proxy_store.hpp). Each process's own FeatureCache stands before it: the store is looked at when
// that knows nothing, and written when it has learnt something. Both keep errno, and do nothing where the
// rules say "process", or where there is no such memory.
#pragma once

#include "policy/feature_cache.hpp"
#include "sys/rules.hpp"

namespace socksify::sys::learnt {

/// What the store knows of the upstream goes into the cache; whether that is anything. Throws std::bad_alloc.
bool recall(const policy::Config& config, std::size_t upstream);
/// What the cache knows of it goes into the store, for those who come after. Throws std::bad_alloc.
void share(const policy::Config& config, std::size_t upstream);

/// What the store has, for people.
std::optional<policy::Learnt> look_up(const policy::Upstream& upstream);

} // namespace socksify::sys::learnt
