// A Dial that takes a connection which the proxy holds (held.hpp), and one that makes such a connection.
#include "shim/dial.hpp"

#include "shim/held.hpp"
#include "sys/fd_marks.hpp"
#include "sys/log.hpp"
#include "sys/untouched_socket.hpp"

#include <algorithm>

namespace socksify::shim {

namespace log = sys::log;
using log::Level;

/// Where one is ready for this connect(), nothing but the request has to be said.
bool Dial::take_held() {
    const bool is_first_try = next_address_ == 0 && !held_has_failed_ && carrier_.domain == own_domain_;
    if (!may_be_held_ || !is_first_try) return false;
    // Another number with the same socket would keep it; a parked one's are known, and all are moved.
    if (!carrier_.parked && sys::fd_marks.has(carrier_.fd, sys::FdMarks::shared)) return false;
    const auto held = held::take(upstream_, own_domain_, carrier_.fd, carrier_.flags);
    if (!held || !replace_socket(held->fd, held->domain)) return false;
    ++next_address_;
    touched_ = true;
    is_greeting_ = false;
    auto plan = handshake_->plan();
    plan.exchange = Exchange::held_command;
    handshake_.emplace(plan);
    deadline_ = now_ + config().handshake_timeout;
    state_ = State::shaking;
    return true;
}

/// The proxy has ended it meanwhile, or is gone, or does not take a command there. Or it would say the same
/// anywhere: a fresh connection tells.
bool Dial::may_be_for_held(Failure failure) const noexcept {
    return failure == Failure::closed || failure == Failure::malformed ||
           (failure == Failure::command_refused && handshake_->reply() == Reply::general_failure);
}

void Dial::try_without_held() {
    log::line(Level::info, "%s: the held connection is of no use; trying a fresh one", config().name.c_str());
    held_has_failed_ = true;
    try_this_address_again();
}

/// For the request to be acknowledged. A path that has forgotten the connection (a NAT, a machine that was
/// asleep) says nothing.
Dial::Clock::duration Dial::patience_on_held() const {
    return std::min<Clock::duration>(std::chrono::seconds(1), config().handshake_timeout);
}

void Dial::on_held_silence() {
    is_acknowledged_ = sys::is_acknowledged(carrier_.fd);
    if (!is_acknowledged_) return try_without_held();
    deadline_ = now_ + config().handshake_timeout; // it is the destination that is slow
}

void Dial::adopt_plan(const policy::Plan& plan) {
    policy::Plan hold;
    hold.fast_open = plan.fast_open;
    hold.handshake = plan.handshake;
    hold.handshake.exchange = Exchange::hold;
    hold.handshake.host_of_interest = {};
    plan_ = std::make_shared<const policy::Plan>(std::move(hold));
}

/// The list that has come on the way is newer than the one that led here.
void Dial::on_hold_shaken() {
    const auto failure = handshake_->failure();
    if (handshake_->has_features() && !held::is_given_up(upstream_)) learn();
    if (failure == Failure::none) return end(0);
    end(failure == Failure::not_held ? EOPNOTSUPP : ECONNABORTED);
}

} // namespace socksify::shim
