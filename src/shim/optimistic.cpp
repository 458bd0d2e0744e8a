#include "shim/optimistic.hpp"

#include "policy/plan.hpp"
#include "sys/fd_marks.hpp"
#include "sys/learnt.hpp"
#include "sys/log.hpp"
#include "sys/parked.hpp"
#include "sys/peers.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"
#include "sys/unanswered.hpp"
#include "sys/upstreams.hpp"

#include <algorithm>
#include <climits>
#include <numeric>
#include <vector>

namespace socksify::shim {
namespace {

namespace log = sys::log;
namespace upstreams = sys::upstreams;
using sys::Socket;
using sys::Unanswered;
using Clock = upstreams::Clock;
using State = Unanswered::State;

// --- which connects ---

/// What is known of a proxy for this destination. Nothing if it depends on what is not known beforehand.
std::optional<policy::Found> look_up(std::size_t upstream, const Host& destination, Clock::time_point now) {
    const auto& config = sys::rules().config.upstreams[upstream];
    return upstreams::with_features([&](const auto& cache) -> std::optional<policy::Found> {
        if (cache.depends_on(upstream, Scope::client_address)) return {};
        policy::Circumstances at;
        at.destination = destination;
        return policy::look_up(cache, upstream, config, at, now);
    });
}

/// The plan, where nothing is left to be decided between its messages; else null.
policy::ReadyPlans::Pointer settled_plan(std::size_t upstream, const Endpoint& destination) {
    const auto& rules = sys::rules();
    const auto& config = rules.config.upstreams[upstream];
    if (config.discover == policy::Discover::off) return nullptr;
    const auto now = Clock::now();
    const auto type = destination.host.type();
    auto plan = upstreams::ready_plan(upstream, type, now);
    if (!plan) {
        auto found = look_up(upstream, destination.host, now);
        if (found && found->known.known == policy::Known::unknown &&
            sys::learnt::recall(rules.config, upstream))
            found = look_up(upstream, destination.host, now);
        if (!found) return nullptr;
        plan = std::make_shared<const policy::Plan>(
            policy::make_plan(config, found->known, Command::connect, destination, found->only_method));
        if (!policy::leaves_a_question(config, found->known))
            upstreams::keep_plan(upstream, type, found->known, plan);
    }
    return policy::may_be_optimistic(*plan) ? plan : nullptr;
}

/// Of the proxy, for a socket of `domain`; nothing if that needs a look-up or another socket.
std::optional<sys::Address> address_of(std::size_t upstream, int domain) {
    const auto& config = sys::rules().config.upstreams[upstream];
    const Endpoint proxy{config.host, config.port};
    if (!config.socket_path.empty() || !upstreams::are_known(proxy)) return {};
    const auto all = upstreams::addresses(proxy);
    const auto found = std::find_if(all.begin(), all.end(), [domain](const Endpoint& one) {
        return (one.host.type() == AddressType::ipv6) == (domain == AF_INET6);
    });
    if (found != all.end()) return sys::to_address(*found, domain);
    return all.empty() || domain != AF_INET6 ? std::nullopt : sys::to_address(all.front(), domain);
}

} // namespace

namespace {

// --- waiting ---

/// The sooner of two limits, as poll() takes it.
int milliseconds_until(Clock::time_point deadline) {
    if (deadline == Clock::time_point::max()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

/// Until `is_enough(state)`, or until it is over. 0, EAGAIN past the deadline, or EINTR.
template <class IsEnough>
int wait_until(int fd, Unanswered& unanswered, Clock::time_point deadline, IsEnough is_enough) {
    for (;;) {
        const auto state = unanswered.advance();
        if (unanswered.is_over() || is_enough(state)) return 0;
        const int left = milliseconds_until(deadline);
        if (left == 0) return EAGAIN;
        pollfd interest{fd, static_cast<short>(state == State::unsent ? POLLOUT : POLLIN), 0};
        if (sys::poll_with_signals(interest, left) < 0 && (errno != EINTR || sys::some_handler_interrupts()))
            return errno;
    }
}

constexpr bool has_left(State state) noexcept { return state != State::unsent; }
constexpr bool has_answered(State state) noexcept { return state > State::sent; }

/// Until when a call on `fd` waits: not at all, or as long as SO_RCVTIMEO or SO_SNDTIMEO allow.
Clock::time_point patience_of(int fd, int flags, int option) {
    if ((flags & MSG_DONTWAIT) != 0 || (real::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0) return {};
    timeval limit{};
    socklen_t size = sizeof limit;
    if (real::getsockopt(fd, SOL_SOCKET, option, &limit, &size) != 0) return Clock::time_point::max();
    const auto time = std::chrono::seconds(limit.tv_sec) + std::chrono::microseconds(limit.tv_usec);
    return time.count() == 0 ? Clock::time_point::max() : Clock::now() + time;
}

/// What the call gets after the wait. When it is over, and the program told of an error, the number is like
/// any other.
Verdict<ssize_t> verdict_after(int fd, Unanswered& unanswered, int waited) {
    if (waited != 0) return Verdict<ssize_t>::fail(waited);
    if (!unanswered.is_over()) return Verdict<ssize_t>::pass();
    // Until then close() has something to see to.
    if (unanswered.has_let_go()) sys::fd_marks.clear(fd, sys::FdMarks::unanswered);
    const int error = unanswered.take_error();
    return error == 0 ? Verdict<ssize_t>::pass() : Verdict<ssize_t>::fail(error);
}

/// The socket of a number that is marked; a mark without one is an old one.
sys::SocketRef find_unanswered(int fd) noexcept {
    auto socket = sys::find_socket(fd);
    if (socket && socket->unanswered) return socket;
    sys::fd_marks.clear(fd, sys::FdMarks::unanswered);
    return {};
}

std::size_t size_of_pieces(const msghdr& message) noexcept {
    return std::accumulate(message.msg_iov, message.msg_iov + message.msg_iovlen, std::size_t{0},
                           [](std::size_t sum, const iovec& piece) { return sum + piece.iov_len; });
}

/// What is left of `message` behind `done` octets, sent as a blocking call does it; how much that is in all.
ssize_t send_rest(int fd, const msghdr& message, std::size_t done, int flags) {
    std::vector<iovec> rest(message.msg_iov, message.msg_iov + message.msg_iovlen);
    auto skipped = done;
    for (auto& piece : rest) {
        const auto some = std::min(skipped, piece.iov_len);
        piece = {static_cast<char*>(piece.iov_base) + some, piece.iov_len - some};
        skipped -= some;
    }
    auto remaining = message;
    remaining.msg_iov = rest.data();
    const auto sent = real::sendmsg(fd, &remaining, flags);
    return static_cast<ssize_t>(done) + std::max<ssize_t>(sent, 0);
}

template <class IsMeant>
void await_replies(IsMeant is_meant) noexcept {
    if (!Unanswered::has_any()) return;
    try {
        for (const auto& [fd, socket] :
             sys::fds::all([](const Socket& one) { return one.unanswered != nullptr; }))
            if (is_meant(fd)) await_reply(fd);
    } catch (const std::bad_alloc&) {
        // Then the other process has a connection that is broken.
    }
}

} // namespace

Verdict<> connect_optimistically(int fd, int domain, bool is_blocking, const sys::Address& peer,
                                 const Route& route) {
    if (!route.optimistic) return Verdict<>::pass();
    const auto upstream =
        std::find_if_not(route.upstreams.begin(), route.upstreams.end(), upstreams::is_down);
    if (upstream == route.upstreams.end()) return Verdict<>::pass();
    const auto plan = settled_plan(*upstream, route.destination);
    if (!plan) return Verdict<>::pass();
    const auto proxy = address_of(*upstream, domain);
    if (!proxy || !sys::worker::ready()) return Verdict<>::pass();
    const auto unanswered = Unanswered::make(fd, plan->handshake, route.destination, *upstream);
    if (!unanswered) return Verdict<>::pass();

    const auto cookie = sys::cookie_of(fd);
    const sys::SocketRef entry(Socket::State::connected, cookie, peer, domain);
    entry.unseen().upstream = *upstream;
    entry.unseen().unanswered = std::make_shared<sys::UnansweredUse>(unanswered);
    entry->second_connect_succeeds.store(!is_blocking);
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    // Registered after those of our locks, so run before them.
    pthread_once(&once,
                 [] { pthread_atfork([] { await_replies([](int) { return true; }); }, nullptr, nullptr); });
    if (unanswered->connect(*proxy, plan->fast_open, is_blocking) != 0) return Verdict<>::pass();
    sys::fds::put(fd, entry);
    sys::peers::remember(cookie, peer);
    if (log::enabled(log::Level::info))
        log::line(log::Level::info, "%s: via %s, which has not answered yet",
                  route.destination.text().c_str(), sys::rules().config.upstreams[*upstream].name.c_str());
    return is_blocking ? Verdict<>::done(0) : Verdict<>::fail(EINPROGRESS);
}

Verdict<> connect_again_optimistically(int fd, const Socket& socket) {
    auto& unanswered = **socket.unanswered;
    const auto state = unanswered.advance();
    if (state == State::broken && !unanswered.is_promised() &&
        socket.second_connect_succeeds.exchange(false)) {
        // As of the kernel's own: once more the error, and the next connect() begins anew.
        const int own = unanswered.take_error();
        const int error = own != 0 ? own : sys::take_error(fd);
        sys::fds::forget_socket(fd);
        sys::disconnect(fd);
        return Verdict<>::fail(error != 0 ? error : ECONNABORTED);
    }
    if (state == State::unsent && !unanswered.is_promised() && sys::poll_now(fd, POLLOUT) == 0)
        return Verdict<>::fail(EALREADY);
    return Verdict<>::pass();
}

void forget_optimism(const Socket& socket) noexcept {
    if (socket.unanswered) (*socket.unanswered)->cancel();
}

// --- the program's calls ---

Verdict<ssize_t> before_write(int fd, int flags) {
    const auto socket = find_unanswered(fd);
    if (!socket) return Verdict<ssize_t>::pass();
    auto& unanswered = **socket->unanswered;
    const auto deadline = patience_of(fd, flags, SO_SNDTIMEO);
    const sys::CancellationHeld held;
    return verdict_after(fd, unanswered, wait_until(fd, unanswered, deadline, has_left));
}

Verdict<ssize_t> write_unanswered(int fd, const msghdr& message, int flags) {
    const auto socket = find_unanswered(fd);
    if (!socket) return Verdict<ssize_t>::pass();
    if (const auto sent = (*socket->unanswered)->send_with_syn(message, flags); sent && *sent > 0) {
        const bool waits = patience_of(fd, flags, SO_SNDTIMEO) != Clock::time_point{};
        const auto done = static_cast<ssize_t>(*sent);
        return Verdict<ssize_t>::done(
            waits && *sent < size_of_pieces(message) ? send_rest(fd, message, *sent, flags) : done);
    }
    return before_write(fd, flags);
}

Verdict<ssize_t> before_read(int fd, int flags) {
    const auto socket = find_unanswered(fd);
    if (!socket || (flags & MSG_ERRQUEUE) != 0) return Verdict<ssize_t>::pass();
    auto& unanswered = **socket->unanswered;
    const auto deadline = patience_of(fd, flags, SO_RCVTIMEO);
    return verdict_after(fd, unanswered, wait_until(fd, unanswered, deadline, has_answered));
}

Verdict<> pending_after_reply(int fd, int* octets) {
    const auto socket = find_unanswered(fd);
    if (!socket || octets == nullptr || has_answered((*socket->unanswered)->advance()))
        return Verdict<>::pass();
    *octets = 0;
    return Verdict<>::done(0);
}

void before_shutdown(int fd) {
    const auto socket = find_unanswered(fd);
    if (!socket) return;
    const sys::CancellationHeld held;
    wait_until(fd, **socket->unanswered, patience_of(fd, 0, SO_SNDTIMEO), has_left);
}

int unanswered_error(const Socket& socket) {
    (*socket.unanswered)->advance();
    return (*socket.unanswered)->take_error();
}

std::optional<int> own_option(const Socket& socket, int level, int name) noexcept {
    return (*socket.unanswered)->own_option(level, name);
}

void on_option_set(const Socket& socket, int level, int name) noexcept {
    (*socket.unanswered)->on_option_set(level, name);
}

bool is_promised(const Socket& socket) noexcept {
    const auto& unanswered = *socket.unanswered;
    return unanswered->is_promised() && !unanswered->is_over();
}

Endpoint bound_of(const Socket& socket) {
    (*socket.unanswered)->advance();
    return (*socket.unanswered)->bound();
}

void await_reply(int fd) {
    const auto socket = find_unanswered(fd);
    if (!socket) return;
    auto& unanswered = **socket->unanswered;
    const sys::CancellationHeld held;
    const Unanswered::AwaitingReply awaiting(unanswered);
    for (;;) {
        const auto state = unanswered.advance();
        if (has_answered(state)) return;
        // Another thread may take the reply before we look, and then nothing comes. Whatever signal comes:
        // there is no errno for who waits here.
        constexpr int look_again = 10; // milliseconds
        pollfd interest{fd, static_cast<short>(state == State::unsent ? POLLOUT : POLLIN), 0};
        sys::poll_with_signals(interest, look_again);
    }
}

void await_replies_for_exec() noexcept {
    await_replies([](int fd) {
        const int flags = real::fcntl(fd, F_GETFD);
        return flags >= 0 && (flags & FD_CLOEXEC) == 0;
    });
}

} // namespace socksify::shim
