// The sessions that this process has with its proxies (policy/session_cache.hpp).
#pragma once

#include "policy/session_cache.hpp"
#include "sys/mutex.hpp"

#include <mutex>

namespace socksify::sys::sessions {

namespace detail {
extern constinit Mutex mutex;
policy::SessionCache& cache(); ///< under the lock
} // namespace detail

/// Runs `use(SessionCache&)` under the cache's lock: it must make no system call.
template <class Use>
auto with(Use use) {
    const std::lock_guard lock(detail::mutex);
    return use(detail::cache());
}

} // namespace socksify::sys::sessions
