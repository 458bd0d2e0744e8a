#include "sys/sessions.hpp"

namespace socksify::sys::sessions::detail {

constinit Mutex mutex{LockRank::sessions};

policy::SessionCache& cache() {
    static constinit policy::SessionCache* all =
        nullptr; // never destroyed: threads may ask while the process exits
    if (all == nullptr) {
        all = new policy::SessionCache;
        at_fork_in_child([] { all->leave_to_parent(); });
    }
    return *all;
}

} // namespace socksify::sys::sessions::detail
