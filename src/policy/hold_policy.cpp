#include "policy/hold_policy.hpp"

#include <algorithm>

namespace socksify::policy {

namespace {
constexpr unsigned most_counted = 1000;
constexpr unsigned most_unused = 32; // so many connects in a row make up for any past
} // namespace

void HoldPolicy::connected(Time now) noexcept {
    const bool is_first = last_connect_ == Time{};
    const auto since = now - last_connect_;
    last_connect_ = now;
    if (is_first || since > often) {
        in_a_row_ = 0;
        return;
    }
    interval_ = in_a_row_ == 0 ? since : (3 * interval_ + since) / 4;
    in_a_row_ = std::min(in_a_row_ + 1, most_counted);
}

unsigned HoldPolicy::wanted(unsigned most) const noexcept {
    if (is_hopeless() || in_a_row_ <= unused_) return 0;
    most = std::min(most, in_a_row_ - unused_);
    // One, and as many as the program takes while that one's successor is made.
    if (time_to_make_ >= interval_ * static_cast<int>(most)) return most;
    return std::min(most, 1 + static_cast<unsigned>(time_to_make_ / interval_));
}

void HoldPolicy::unused() noexcept { unused_ = std::min(unused_ + 1, most_unused); }

void HoldPolicy::broken(Duration age) noexcept {
    broken_ = age < shortest_idle ? most_broken : broken_ + 1;
    idle_time_ = std::max<Duration>(std::min(idle_time_, age / 2), shortest_idle);
}

} // namespace socksify::policy
