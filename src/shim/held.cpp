#include "shim/held.hpp"

#include "policy/hold_policy.hpp"
#include "shim/dial.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"
#include "sys/round_trip.hpp"
#include "sys/untouched_socket.hpp"

#include <algorithm>
#include <array>
#include <netinet/in.h>

namespace socksify::shim::held {

namespace detail {
constinit std::atomic<unsigned> ready{0};
constinit std::atomic<std::uint64_t> given_up{0};
} // namespace detail

namespace {

namespace log = sys::log;
namespace real = socksify::real;
using log::Level;
using policy::HoldPolicy;
using Clock = sys::worker::Clock;

constexpr std::size_t most_in_process = 8;

/// One that waits for its command.
struct Held {
    const policy::Upstream& config;
    std::size_t upstream;
    int own_domain; ///< of the program's sockets that it can stand for
    int domain;
    sys::UntouchedSocket untouched;
    std::uint64_t cookie; ///< by which to know it: the program's raw system calls close any number
    Clock::time_point made;
    Clock::time_point until;
    sys::OwnDescriptor fd;

    [[nodiscard]] bool is_alive() const noexcept {
        return sys::cookie_of(fd.get()) == cookie && sys::is_quiet(fd.get());
    }
};
using HeldPointer = std::unique_ptr<Held>;

struct State {
    HoldPolicy policy;
    unsigned making = 0;
};

constinit sys::Mutex mutex{sys::LockRank::held};
struct Pool {
    std::array<HeldPointer, most_in_process> ready;
    std::vector<State> states; ///< by upstream
    unsigned making = 0;
    bool is_watched = false;
};
constinit Pool* pool = nullptr; // under mutex; never destroyed: threads may connect while the process exits

void forget_in_child() {
    *pool = {};
    detail::ready.store(0);
}

// From here to claim_lacking(): with the lock held.

State& state_of(std::size_t upstream) {
    if (pool == nullptr) {
        pool = new Pool;
        sys::at_fork_in_child(forget_in_child);
    }
    if (upstream >= pool->states.size()) pool->states.resize(upstream + 1);
    return pool->states[upstream];
}

/// Of an upstream that something is known of.
HoldPolicy& policy_of(std::size_t upstream) noexcept { return pool->states[upstream].policy; }

HeldPointer take_out(HeldPointer& place) noexcept {
    detail::ready.fetch_sub(1);
    return std::move(place);
}

/// False, and `held` remains the caller's, if there is no room.
bool put_in(HeldPointer& held) noexcept {
    const auto place = std::find(pool->ready.begin(), pool->ready.end(), nullptr);
    if (place == pool->ready.end()) return false;
    *place = std::move(held);
    detail::ready.fetch_add(1);
    return true;
}

template <class Wanted>
std::size_t count_ready(Wanted wanted) noexcept {
    return static_cast<std::size_t>(std::count_if(pool->ready.begin(), pool->ready.end(),
                                                  [&](const auto& h) { return h && wanted(*h); }));
}

/// How many more are to be made for that upstream; they count as in the making from now on.
unsigned claim_lacking(std::size_t upstream, unsigned most) noexcept {
    auto& state = pool->states[upstream];
    const auto here = state.making + count_ready([&](const Held& h) { return h.upstream == upstream; });
    const auto in_all = pool->making + count_ready([](const Held&) { return true; });
    const std::size_t wanted = state.policy.wanted(most);
    if (wanted <= here || in_all >= most_in_process) return 0;
    const auto lacking = static_cast<unsigned>(std::min(wanted - here, most_in_process - in_all));
    state.making += lacking;
    pool->making += lacking;
    return lacking;
}

void give_back(std::size_t upstream, unsigned claimed) noexcept {
    const std::lock_guard lock(mutex);
    pool->states[upstream].making -= claimed;
    pool->making -= claimed;
}

/// Tells the policy, and gives the upstream up if that has had enough.
template <class Tell>
void tell_policy(std::size_t upstream, Tell tell) noexcept {
    bool is_hopeless = false;
    {
        const std::lock_guard lock(mutex);
        if (pool == nullptr || upstream >= pool->states.size()) return;
        tell(policy_of(upstream));
        is_hopeless = policy_of(upstream).is_hopeless();
    }
    if (is_hopeless) give_up(upstream);
}

/// Closes those that nobody has taken.
class Watch final : public sys::worker::Task {
public:
    sys::worker::Wait run() override {
        const auto now = Clock::now();
        auto next = Clock::time_point::max();
        std::array<HeldPointer, most_in_process> old;
        {
            const std::lock_guard lock(mutex);
            for (std::size_t i = 0; i < old.size(); ++i) {
                auto& place = pool->ready[i];
                if (!place) continue;
                if (place->until <= now) old[i] = take_out(place);
                else next = std::min(next, place->until);
            }
            if (pool->making > 0) next = std::min(next, now + HoldPolicy::shortest_idle);
            pool->is_watched = next != Clock::time_point::max();
        }
        for (const auto& held : old)
            if (held) on_unused(*held, now);
        return {.over = next == Clock::time_point::max(), .deadline = next};
    }
    void finish() noexcept override {}
    void abandon(int) noexcept override {
        const std::lock_guard lock(mutex);
        pool->is_watched = false; // the next one that is made has them watched again
    }

private:
    static void on_unused(const Held& held, Clock::time_point now) noexcept {
        log::line(Level::trace, "%s: nobody has used the held connection", held.config.name.c_str());
        const bool is_alive = held.is_alive();
        tell_policy(held.upstream,
                    [&](HoldPolicy& policy) { is_alive ? policy.unused() : policy.broken(now - held.made); });
    }
};

/// Makes one.
class Making final : public sys::worker::Task {
public:
    Making(const sys::Rules& rules, const Success& like)
        : rules_(rules), plan_(like.plan), upstream_(like.upstream), domain_(like.domain) {}

    sys::worker::Wait run() override {
        if (!dial_ && !begin()) return {.over = true};
        return dial_->advance();
    }
    void finish() noexcept override {
        try {
            if (dial_) dial_->error() == 0 ? put_ready() : on_failure(dial_->error());
        } catch (const std::bad_alloc&) {
            // One less.
        }
        give_back(upstream_, 1);
    }
    void abandon(int) noexcept override { give_back(upstream_, 1); }

private:
    [[nodiscard]] const policy::Upstream& config() const { return rules_.config.upstreams[upstream_]; }

    bool begin() {
        int fd = sys::open_with_room(
            [&] { return real::socket(domain_, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP); });
        if (fd < 0) return false;
        fd_.reset(sys::make_internal(fd));
        untouched_ = sys::UntouchedSocket::describe(fd_.get());
        if (!untouched_) {
            give_up(upstream_);
            return false;
        }
        dial_.emplace(Dial::Purpose::hold, rules_, std::span<const std::size_t>(&upstream_, 1), Endpoint{},
                      Carrier{fd_.get(), domain_, false, {}});
        dial_->adopt_plan(*plan_);
        return true;
    }

    void put_ready() {
        const auto now = Clock::now();
        HeldPointer held(new Held{.config = config(),
                                  .upstream = upstream_,
                                  .own_domain = domain_,
                                  .domain = dial_->carrier().domain,
                                  .untouched = *untouched_,
                                  .cookie = sys::cookie_of(fd_.get()),
                                  .made = now,
                                  .until = {},
                                  .fd = {}});
        held->fd.reset(fd_.release());
        log::line(Level::trace, "%s: holds a connection ready", config().name.c_str());
        const std::lock_guard lock(mutex);
        auto& policy = policy_of(upstream_);
        policy.made(now - begun_);
        held->until = now + policy.idle_time();
        if (!policy.is_hopeless()) put_in(held);
    }

    void on_failure(int error) noexcept {
        log::line(Level::info, "%s: no connection could be held: %s", config().name.c_str(),
                  strerrordesc_np(error));
        // EOPNOTSUPP: it does not hold what it has announced.
        const auto age = error == EOPNOTSUPP ? HoldPolicy::Duration{} : HoldPolicy::longest_idle;
        tell_policy(upstream_, [&](HoldPolicy& policy) { policy.broken(age); });
    }

    const sys::Rules& rules_;
    std::shared_ptr<const policy::Plan> plan_;
    std::size_t upstream_;
    int domain_;
    Clock::time_point begun_ = Clock::now();
    sys::OwnDescriptor fd_;
    std::optional<sys::UntouchedSocket> untouched_;
    std::optional<Dial> dial_;
};

template <class Task, class... Arguments>
bool post(Arguments&&... arguments) {
    std::unique_ptr<sys::worker::Task> task = std::make_unique<Task>(std::forward<Arguments>(arguments)...);
    return sys::worker::post(task);
}

void have_them_watched() {
    {
        const std::lock_guard lock(mutex);
        if (std::exchange(pool->is_watched, true)) return;
    }
    try {
        if (post<Watch>()) return;
    } catch (const std::bad_alloc&) {
        Watch().abandon(ENOMEM);
        throw;
    }
    Watch().abandon(errno);
}

/// The newest: the others may grow too old, if that many are not wanted any more.
HeldPointer take_newest(std::size_t upstream, int domain) noexcept {
    const std::lock_guard lock(mutex);
    if (pool == nullptr) return {};
    HeldPointer* newest = nullptr;
    for (auto& place : pool->ready)
        if (place && place->upstream == upstream && place->own_domain == domain &&
            place->until > Clock::now() && (newest == nullptr || place->made > (*newest)->made))
            newest = &place;
    return newest != nullptr ? take_out(*newest) : HeldPointer{};
}

void put_back(HeldPointer held) noexcept {
    const std::lock_guard lock(mutex);
    put_in(held);
}

} // namespace

std::optional<Connection> take(std::size_t upstream, int domain, int socket, int flags) noexcept {
    const sys::KeepErrno keep;
    while (auto held = take_newest(upstream, domain)) {
        const int fd = held->fd.get();
        if (!held->is_alive()) {
            log::line(Level::info, "%s: the proxy has ended the held connection", held->config.name.c_str());
            const auto age = Clock::now() - held->made;
            tell_policy(upstream, [&](HoldPolicy& policy) { policy.broken(age); });
            continue;
        }
        if (!held->untouched.can_replace(socket)) {
            put_back(std::move(held));
            return {};
        }
        if (!held->untouched.dress(fd, socket, flags)) continue;
        log::line(Level::info, "%s: takes a connection that is held", held->config.name.c_str());
        return Connection{held->fd.release(), held->domain};
    }
    return {};
}

void connected(const sys::Rules& rules, const Success& success) noexcept {
    const sys::KeepErrno keep;
    const auto upstream = success.upstream;
    const auto& hold = rules.config.upstreams[upstream].hold;
    unsigned lacking = 0;
    bool is_hopeless = false;
    try {
        const std::lock_guard lock(mutex);
        auto& state = state_of(upstream);
        if (success.on_held) state.policy.used();
        // It was alive when it was taken, so this is not for having waited.
        if (success.held_has_failed) state.policy.broken(HoldPolicy::longest_idle);
        state.policy.connected(Clock::now());
        is_hopeless = state.policy.is_hopeless();
        lacking = claim_lacking(upstream, hold.most);
    } catch (const std::bad_alloc&) {
        return;
    }
    if (is_hopeless) return give_up(upstream);
    if (lacking > 0 && !hold.however_near && sys::round_trip(success.fd) < HoldPolicy::near) {
        log::line(Level::trace, "%s: near enough to hold no connections",
                  rules.config.upstreams[upstream].name.c_str());
        give_back(upstream, lacking);
        return give_up(upstream);
    }
    try {
        if (lacking > 0) have_them_watched();
        while (lacking > 0 && post<Making>(rules, success)) --lacking;
    } catch (const std::bad_alloc&) {
        // Fewer, then.
    }
    if (lacking > 0) give_back(upstream, lacking);
}

void give_up(std::size_t upstream) noexcept {
    if (upstream < 64) detail::given_up.fetch_or(std::uint64_t{1} << upstream);
    std::array<HeldPointer, most_in_process> theirs; // closed without the lock
    const std::lock_guard lock(mutex);
    if (pool == nullptr) return;
    for (std::size_t i = 0; i < theirs.size(); ++i)
        if (auto& place = pool->ready[i]; place && place->upstream == upstream) theirs[i] = take_out(place);
}

void begin_anew(std::size_t upstream) noexcept {
    if (upstream >= 64 || !is_given_up(upstream)) return;
    detail::given_up.fetch_and(~(std::uint64_t{1} << upstream));
    const std::lock_guard lock(mutex);
    if (pool != nullptr && upstream < pool->states.size()) pool->states[upstream].policy = {};
}

} // namespace socksify::shim::held
