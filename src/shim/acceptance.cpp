#include "shim/acceptance.hpp"

#include "shim/knock.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"

namespace socksify::shim {
namespace {

using std::chrono::milliseconds;

constexpr unsigned most_tries = 5;
constexpr milliseconds first_pause{100}; // and twice as long each time

} // namespace

sys::worker::Wait Acceptance::run() {
    for (;;) {
        if (place_.listener().is_closed()) return {.over = true};
        const auto now = Dial::Clock::now();
        switch (stage_) {
        case Stage::begin: stage_ = begin() ? Stage::dialling : Stage::failed; break;
        case Stage::dialling: {
            const auto wait = dial_->advance();
            if (!wait.over) return wait;
            // Once more around, with no descriptor: it may be the program's next, and then nobody's here.
            stage_ = Stage::dialled;
            return {.deadline = now};
        }
        case Stage::dialled:
            if (dial_->error() == 0) pass_on(std::move(place_), connection_.get(), peer_, domain_);
            // Refused, it has gone meanwhile, or another process has taken it.
            if (dial_->error() == 0 || dial_->was_refused()) return {.over = true};
            stage_ = Stage::failed;
            break;
        case Stage::failed:
            if (++tries_ == most_tries) {
                sys::log::line(sys::log::Level::error, "%s: a peer is lost", peer_.text().c_str());
                return {.over = true};
            }
            until_ = now + first_pause * (1U << (tries_ - 1));
            stage_ = Stage::pausing;
            break;
        case Stage::pausing:
            if (now < until_) return {.deadline = until_};
            stage_ = Stage::begin;
            break;
        }
    }
}

bool Acceptance::begin() {
    dial_.reset();
    connection_.reset();
    const int fd = sys::open_with_room(
        [&] { return real::socket(domain_, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
    if (fd < 0) return false;
    connection_.reset(sys::make_internal(fd));
    dial_.emplace(Dial::Purpose::accept, sys::rules(), std::vector{room_.upstream}, peer_,
                  Carrier{connection_.get(), domain_, false, {}});
    dial_->accept_peer(id_, room_.proxy);
    return true;
}

void Acceptance::abandon(int error) noexcept {
    sys::log::line(sys::log::Level::error, "a peer is lost: %s", strerrordesc_np(error));
}

} // namespace socksify::shim
