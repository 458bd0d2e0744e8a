// Whether to look again, rather than to sleep, when nothing is ready.
//
// Of the time that an exchange of small messages takes through the relay, most goes into putting a processor
// to sleep and waking it up again, several times for each connection. Where the answer is on its way it is
// cheaper to stay awake for it. Where it isn't, looking is waste: so only who has just waited for a short time
// looks, and whoever is idle sleeps. To look may be in vain for longer than that: nothing comes, or somebody else
// has taken the processor meanwhile, for milliseconds. The more often that happens, the more short waits in
// a row have to be slept before the next try.
#pragma once

#include <algorithm>
#include <chrono>

namespace socksify::relay {

class BusyPoll {
public:
    using Duration = std::chrono::steady_clock::duration;

    /// After `waited` of the present wait; at most `most` of it, and 0 is never.
    [[nodiscard]] bool looks_again(Duration waited, Duration most) const noexcept {
        return looks() && waited < most;
    }
    /// The wait has ended, by looking or by sleeping.
    void ended(Duration waited, Duration most) noexcept {
        const bool was_short = waited < most;
        if (looks()) wanted_ = was_short ? std::max(wanted_ / 2, 1U) : std::min(wanted_ * 2, most_wanted);
        short_waits_ = was_short ? std::min(short_waits_ + 1, most_wanted) : 0;
    }

private:
    static constexpr unsigned most_wanted = 256;

    [[nodiscard]] bool looks() const noexcept { return short_waits_ >= wanted_; }

    unsigned short_waits_ = 0; ///< in a row
    unsigned wanted_ = 1;      ///< of them, before it looks
};

} // namespace socksify::relay
