// Whether to look again, rather than to sleep, when nothing is ready.
//
// Of the time that an exchange of small messages takes through the relay, most goes into putting a processor
// to sleep and waking it up again, several times for each connection. Where the answer is on its way it is
// cheaper to stay awake for it. Where it isn't, looking is waste: so the last wait says whether the next one is
// worth it, and whoever is idle sleeps. The bound is small; one wait in vain costs that much, and no more follows.
#pragma once

#include <chrono>

namespace socksify::relay {

class BusyPoll {
public:
    using Duration = std::chrono::steady_clock::duration;

    /// After `waited` of the present wait; at most `most` of it, and 0 is never.
    [[nodiscard]] bool looks_again(Duration waited, Duration most) const noexcept {
        return was_short_ && waited < most;
    }
    /// The wait has ended, by looking or by sleeping.
    void ended(Duration waited, Duration most) noexcept { was_short_ = waited < most; }

private:
    bool was_short_ = false;
};

} // namespace socksify::relay
