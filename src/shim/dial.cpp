#include "shim/dial.hpp"

#include "shim/held.hpp"
#include "shim/probe.hpp"
#include "shim/session.hpp"
#include "sys/internal_fds.hpp"
#include "sys/learnt.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/sessions.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"
#include "sys/upstreams.hpp"

#include <algorithm>
#include <array>

namespace socksify::shim {

namespace log = sys::log;
namespace real = socksify::real;
namespace upstreams = sys::upstreams;
using log::Level;

namespace {

/// Errors that tell of the program's own call, not of the way to a proxy: they are its to see, and end the
/// matter.
bool is_the_programs(int error) noexcept {
    switch (error) {
    case EAFNOSUPPORT:
    case EALREADY:
    case EBADF:
    case EFAULT:
    case EINVAL:
    case EISCONN:
    case ENOTSOCK:
    case EPROTOTYPE: return true;
    default: return false;
    }
}

/// What this machine lacks says nothing of the proxy.
bool is_want(int error) noexcept { return error == ENOBUFS || error == ENOMEM; }

/// No failure: the call may be made again when the descriptor is ready.
bool is_for_later(int error) noexcept { return error == EAGAIN || error == EINTR; }

const char* name_of(Phase phase) noexcept {
    switch (phase) {
    case Phase::greeting: return "greeting";
    case Phase::authentication: return "authentication";
    case Phase::features: return "LIST-FEATURES";
    case Phase::command: return "request";
    case Phase::over: return "end";
    }
    return "";
}

const char* name_of(Failure failure) noexcept {
    switch (failure) {
    case Failure::none: return "no failure";
    case Failure::no_acceptable_method: return "the proxy accepts none of our authentication methods";
    case Failure::method_not_offered: return "the proxy chose an authentication method that was not offered";
    case Failure::authentication_refused: return "the proxy refused the user name or the password";
    case Failure::token_refused: return "the proxy knows the session's token no more";
    case Failure::features_refused: return "the proxy refused LIST-FEATURES";
    case Failure::features_not_a_list: return "the answer to LIST-FEATURES is no feature list";
    case Failure::not_held: return "the connection was not held after the feature list";
    case Failure::not_announced: return "its feature list rules this out";
    case Failure::command_refused: return "the proxy refused the request";
    case Failure::closed: return "the proxy closed the connection";
    case Failure::malformed: return "the proxy does not speak SOCKS5";
    }
    return "";
}

double milliseconds_since(Dial::Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Dial::Clock::now() - start).count();
}

} // namespace

namespace {
constexpr std::size_t most_down = 64;
} // namespace

Dial::Dial(Purpose purpose, const sys::Rules& rules, std::span<const std::size_t> upstreams,
           const Endpoint& destination, Carrier carrier)
    : rules_(rules),
      upstreams_(upstreams),
      destination_(destination),
      carrier_(std::move(carrier)),
      own_domain_(carrier_.domain),
      purpose_(purpose) {
    for (std::size_t i = 0; i < std::min(upstreams_.size(), most_down); ++i)
        if (sys::upstreams::is_down(upstreams_[i])) down_ |= std::uint64_t{1} << i;
}

/// Once each time it goes on, and after what may have taken long.
void Dial::look_at_clock() {
    now_ = Clock::now();
    if (started_ == Clock::time_point{}) started_ = now_;
}

sys::worker::Wait Dial::advance() {
    look_at_clock();
    for (;;) {
        Wait waiting;
        switch (state_) {
        case State::next_upstream: try_next_upstream(); break;
        case State::next_address: try_next_address(); break;
        case State::connecting: waiting = check_connecting(); break;
        case State::shaking: waiting = shake(); break;
        case State::over: return {.over = true};
        }
        if (waiting) return *waiting;
        if (std::exchange(postponed_, false)) return {.deadline = now_};
    }
}

void Dial::begin() {
    may_block_ = false;
    look_at_clock();
    try {
        try_next_upstream();
        if (state_ == State::next_address) try_next_address();
    } catch (const std::bad_alloc&) {
        abandon(ENOMEM);
        throw;
    }
    may_block_ = true;
    postponed_ = false;
}

void Dial::abandon(int error) noexcept {
    error_ = error;
    state_ = State::over;
    handshake_.reset();
    give_low_water_back();
    if (carrier_.domain != own_domain_) change_family(own_domain_);
    else sys::disconnect(carrier_.fd);
    try {
        give_claim_back();
    } catch (const std::bad_alloc&) {
        // It is void after a while.
    }
}

void Dial::await_peer() noexcept {
    handshake_->await_peer();
    awaits_peer_ = true;
    deadline_ = Clock::time_point::max();
    state_ = State::shaking;
}

Dial::Wait Dial::wait(std::uint32_t events) {
    if ((events & EPOLLIN) != 0 && low_water_ == 0) low_water_ = sys::lower_low_water(carrier_.fd);
    return sys::worker::Wait{.fd = carrier_.fd, .events = events, .deadline = deadline_};
}

void Dial::give_low_water_back() noexcept {
    if (const int octets = std::exchange(low_water_, 0); octets > 1) sys::set_low_water(carrier_.fd, octets);
}

void Dial::end(int error) {
    give_low_water_back();
    start_probe_if_claimed();
    give_claim_back();
    error_ = error;
    state_ = State::over;
    // What the kernel leaves behind after a failed connect(): a socket that can be connected again.
    if (error != 0 && carrier_.domain != own_domain_) change_family(own_domain_);
    else if (error != 0 && touched_) sys::disconnect(carrier_.fd);
    if (error == 0 && may_be_held_)
        held::connected(rules_, {upstream_, carrier_.fd, own_domain_, plan_, is_on_held(), held_has_failed_});
    if (error == 0 && purpose_ == Purpose::connect && plan_->may_use_session && !is_on_held())
        session::connected(rules_, upstream_, session_.get(), carrier_.fd);
    if (purpose_ == Purpose::probe || nobody_waits() || !log::enabled(Level::info)) return;
    if (error == 0)
        log::line(Level::info, "%s: %s%s after %.1f ms", destination_.text().c_str(), done_by(),
                  purpose_ == Purpose::direct ? "" : config().name.c_str(), milliseconds_since(started_));
    else
        log::line(Level::info, "%s: failed after %.1f ms: %s", destination_.text().c_str(),
                  milliseconds_since(started_), strerrordesc_np(error));
}

/// What has been done, before the proxy's name.
const char* Dial::done_by() const noexcept {
    switch (purpose_) {
    case Purpose::direct: return "connected directly";
    case Purpose::listen:
    case Purpose::bind: return awaits_peer_ ? "a peer via " : "listens via ";
    case Purpose::accept: return "accepted via ";
    case Purpose::connect:
    case Purpose::associate:
    case Purpose::hold:
    case Purpose::open_session:
    case Purpose::probe: break;
    }
    return "connected via ";
}

/// Only to a proxy that has just let us in. Best while the program waits for its command's answer: a process
/// that lives for one connection may be gone soon after.
void Dial::start_probe_if_claimed() {
    if (!claim_ || purpose_ != Purpose::connect || !handshake_) return;
    if (handshake_->plan().exchange != Exchange::command) return;
    if (handshake_->phase() != Phase::command && handshake_->phase() != Phase::over) return;
    if (start_probe(rules_, upstream_, *claim_, policy::as_who(handshake_->method()), question_))
        claim_.reset();
}

void Dial::resolve_direct() {
    postponed_ = !may_block_ && !upstreams::are_known(destination_);
    if (postponed_) return;
    found_ = upstreams::addresses(destination_);
    look_at_clock();
    address_count_ = found_.size();
    error_ = EHOSTUNREACH;
    state_ = State::next_address;
}

/// The next one to try, as `upstream_`. Those that were down a moment ago come last: better than nothing.
bool Dial::find_upstream() {
    for (; next_upstream_ < 2 * upstreams_.size(); ++next_upstream_) {
        const bool again = next_upstream_ >= upstreams_.size();
        const auto i = again ? next_upstream_ - upstreams_.size() : next_upstream_;
        const bool was_down = i < most_down && (down_ >> i & 1) != 0;
        upstream_ = upstreams_[i];
        if (was_down == again) return true;
    }
    return false;
}

void Dial::try_next_upstream() {
    if (purpose_ == Purpose::direct) return resolve_direct();
    if (!find_upstream()) return end(error_ != 0 ? error_ : EHOSTUNREACH);
    const auto& upstream = config();
    literal_.host = proxy_ ? proxy_->host : upstream.host;
    literal_.port = proxy_ ? proxy_->port : upstream.port;
    const auto& proxy = literal_;
    const bool is_unix = !upstream.socket_path.empty();
    postponed_ = !may_block_ && !is_unix && !upstreams::are_known(proxy);
    if (postponed_) return;
    ++next_upstream_;
    handshake_.reset();
    found_.clear();
    address_count_ = 1;
    if (!is_unix && proxy.host.is_name()) {
        found_ = upstreams::addresses(proxy);
        look_at_clock();
        address_count_ = found_.size();
    }
    next_address_ = 0;
    if (address_count_ == 0) {
        log::line(Level::info, "%s: no address for %s", upstream.name.c_str(), upstream.host.text().c_str());
        return upstream_failed(EHOSTUNREACH);
    }
    // An address of the socket's own family needs no other socket.
    if (found_.size() > 1)
        std::stable_partition(found_.begin(), found_.end(), [this](const Endpoint& endpoint) {
            return (endpoint.host.type() == AddressType::ipv6) == (carrier_.domain == AF_INET6);
        });
    state_ = State::next_address;
}

void Dial::upstream_failed(int error) {
    if (nobody_waits()) return end(error); // the program is told nothing, and nothing follows
    upstreams::mark_down(upstream_);
    give_claim_back();
    error_ = error;
    if (purpose_ == Purpose::direct) return end(error);
    state_ = State::next_upstream;
}

void Dial::try_next_address() {
    if (next_address_ == address_count_) return upstream_failed(error_);
    if (!plan_attempt() || (held::any() && take_held())) return;
    const auto& to = address(next_address_++);
    const auto timeout = purpose_ == Purpose::direct ? std::chrono::minutes(2) : config().connect_timeout;
    deadline_ = now_ + timeout;
    // Whether it is connected the greeting finds out; who has none to send, or has sent it, has to ask.
    is_greeting_ = purpose_ != Purpose::direct;
    const int error = reach(to);
    if (error == 0 || error == EINPROGRESS) {
        touched_ = true;
        state_ = is_greeting_ ? State::shaking : State::connecting;
        return;
    }
    log::line(Level::info, "%s: %s", to.text().c_str(), strerrordesc_np(error));
    error_ = error;
    if (is_the_programs(error)) {
        touched_ = false;
        return end(error);
    }
}

void Dial::disconnect() {
    // A stream of AF_UNIX can't be taken back to where it was.
    if (carrier_.domain == AF_UNIX) change_family(own_domain_);
    else sys::disconnect(carrier_.fd);
}

int Dial::reach(const Endpoint& to) {
    if (purpose_ != Purpose::direct && !config().socket_path.empty()) {
        if (carrier_.domain != AF_UNIX && !change_family(AF_UNIX)) return errno;
        const int error = connect_without_waiting(sys::unix_address(config().socket_path));
        return error == EAGAIN || error == ENOENT ? ECONNREFUSED
                                                  : error; // its backlog is full, or nobody listens
    }
    if (carrier_.domain == AF_UNIX && !change_family(own_domain_)) return errno;
    const bool is_v6 = to.host.type() == AddressType::ipv6;
    if (is_v6 && carrier_.domain == AF_INET && !change_family(AF_INET6)) return errno;
    const auto address = sys::to_address(to, carrier_.domain);
    const bool fast_open = purpose_ != Purpose::direct && plan_->fast_open;
    int error = fast_open ? connect_with_messages(*address) : connect_without_waiting(*address);
    if (error == ENETUNREACH && !is_v6 && carrier_.domain == AF_INET6) {
        // IPV6_V6ONLY keeps it from an IPv4 proxy; the option can change as long as the socket is not bound.
        int off = 0;
        if (real::setsockopt(carrier_.fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0)
            error = connect_without_waiting(*address);
    }
    return error;
}

int Dial::connect_without_waiting(const sys::Address& to) const {
    const sys::NonBlocking for_this_call(carrier_.blocking ? carrier_.fd : -1);
    return real::connect(carrier_.fd, to.get(), to.size) == 0 ? 0 : errno;
}

/// TCP Fast Open. Without a cookie of the server's, or without leave of the kernel, it is a connect() like
/// any other; the cookie comes with that one.
int Dial::connect_with_messages(const sys::Address& to) {
    const auto out = handshake_->step().out;
    const auto sent = real::sendto(carrier_.fd, out.data(), out.size(),
                                   MSG_FASTOPEN | MSG_DONTWAIT | MSG_NOSIGNAL, to.get(), to.size);
    if (sent >= 0) {
        log::line(Level::trace, "%s: sent %zd octets with the SYN", config().name.c_str(), sent);
        handshake_->sent(static_cast<std::size_t>(sent));
        is_greeting_ = false;
        return EINPROGRESS;
    }
    return errno == EOPNOTSUPP ? connect_without_waiting(to) : errno;
}

bool Dial::change_family(int domain) {
    const int other = sys::open_like(carrier_.fd, domain);
    if (other < 0) return false;
    return replace_socket(carrier_.parked ? sys::make_internal(other) : other, domain);
}

/// `other`, which is ours, takes the place of the socket.
bool Dial::replace_socket(int other, int domain) {
    if (carrier_.parked) {
        carrier_.fd = other;
        carrier_.parked->replace_hidden(other);
    } else {
        const bool replaced = sys::replace_description(other, carrier_.fd);
        sys::close_internal(other);
        if (!replaced) return false;
    }
    carrier_.domain = domain;
    return true;
}

Dial::Wait Dial::check_connecting() {
    const auto ready = sys::poll_now(carrier_.fd, POLLOUT);
    if (ready == 0 && now_ < deadline_) return wait(EPOLLOUT);
    const bool has_failed = (ready & (POLLERR | POLLHUP)) != 0;
    if (const int error = ready == 0 ? ETIMEDOUT : has_failed ? sys::take_error(carrier_.fd) : 0; error != 0)
        on_unreachable(error);
    else if (purpose_ == Purpose::direct) end(0);
    else {
        const bool is_sent = handshake_->step().what != ClientHandshake::Step::What::send;
        deadline_ = now_ + (is_sent ? patience_for_reply() : config().handshake_timeout);
        state_ = State::shaking;
    }
    return {};
}

void Dial::on_unreachable(int error) {
    // Accepted and cut before we looked: refused, for all that one can see.
    error_ = error == ECONNRESET ? ECONNREFUSED : error;
    log::line(Level::info, "%s: %s", address(next_address_ - 1).text().c_str(), strerrordesc_np(error_));
    handshake_.reset();
    disconnect();
    state_ = State::next_address;
}

Dial::Wait Dial::shake() {
    using What = ClientHandshake::Step::What;
    std::array<std::uint8_t, 1024> buffer; // a list of features may take several
    for (;;) {
        const auto phase = handshake_->phase();
        const auto step = handshake_->step();
        int not_sent = 0;
        switch (step.what) {
        case What::done:
        case What::failed: on_shaken(); return {};
        case What::send: {
            const auto sent =
                real::send(carrier_.fd, step.out.data(), step.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent >= 0) {
                if (log::enabled(Level::trace))
                    log::line(Level::trace, "%s: sent %zd octets of the %s", config().name.c_str(), sent,
                              name_of(phase));
                handshake_->sent(static_cast<std::size_t>(sent));
                if (std::exchange(is_greeting_, false)) deadline_ = now_ + config().handshake_timeout;
                if (phase == Phase::features || purpose_ == Purpose::probe)
                    deadline_ = std::min(deadline_, now_ + config().discover_timeout);
                else if (phase == Phase::command || is_pipelined()) deadline_ = now_ + patience_for_reply();
                if (handshake_->step().what != What::receive) continue;
                start_probe_if_claimed(); // the answer can't be here yet
                return wait(EPOLLIN);
            }
            not_sent = errno;
            if (is_for_later(not_sent) && now_ < deadline_) return wait(EPOLLOUT);
            if (is_greeting_ && !is_want(not_sent)) {
                on_unreachable(is_for_later(not_sent) ? ETIMEDOUT : not_sent);
                return {};
            }
            // The proxy may have said why before it closed: read first, look at errors second.
            break;
        }
        case What::receive: break;
        }
        const auto room = step.what == What::receive ? std::min(step.room, buffer.size()) : 1;
        const auto received = real::recv(carrier_.fd, buffer.data(), room, MSG_DONTWAIT);
        const int error = received < 0 ? errno : 0;
        if (const int want = is_want(error) ? error : not_sent; is_want(want) && received < 0) {
            handshake_.reset();
            end(want);
            return {};
        }
        if (received > 0 && step.what == What::receive) {
            if (log::enabled(Level::trace))
                log::line(Level::trace, "%s: received %zd octets in the %s", config().name.c_str(), received,
                          name_of(phase));
            handshake_->received({buffer.data(), static_cast<std::size_t>(received)});
            if (is_pipelined() && phase != Phase::command && handshake_->phase() == Phase::command &&
                purpose_ != Purpose::probe)
                deadline_ = now_ + patience_for_reply();
        } else if (is_for_later(error)) {
            if (now_ < deadline_) {
                start_probe_if_claimed();
                return wait(EPOLLIN);
            }
            on_silence();
            if (!handshake_) return {};
        } else if (received == 0) {
            handshake_->ended();
        } else {
            handshake_->broken_off();
        }
    }
}

void Dial::on_silence() {
    const auto phase = handshake_->phase();
    if (is_on_held() && !is_acknowledged_) return on_held_silence();
    log::line(Level::info, "%s: no answer to the %s", config().name.c_str(), name_of(phase));
    // Silence on LIST-FEATURES is one of the ways to have none; and a list may have come whole but for the
    // rest of its END.
    if (phase == Phase::features) handshake_->broken_off();
    const bool got_reply = phase == Phase::features && handshake_->failure() != Failure::closed;
    if (purpose_ == Purpose::probe && is_pipelined() && !got_reply) return on_question_shaken(true);
    if (phase == Phase::features) return;
    if (is_pipelined() && !is_on_held() && !nobody_waits()) return try_sequentially();
    handshake_.reset();
    if (phase == Phase::command) return end(ETIMEDOUT);
    disconnect();
    upstream_failed(ETIMEDOUT);
}

void Dial::try_this_address_again() {
    handshake_.reset();
    disconnect();
    --next_address_;
    state_ = State::next_address;
}

/// Another proxy may have taken the place of the one that took it: then a destination that is slow to answer
/// is tried twice rather than that one waited for.
Dial::Clock::duration Dial::patience_for_reply() const {
    if (is_on_held()) return patience_on_held();
    return plan_->is_trial ? std::min(config().discover_timeout, config().handshake_timeout)
                           : config().handshake_timeout;
}

/// What is said by `plan_`.
void Dial::begin_handshake(const Endpoint& destination) {
    may_be_held_ = plan_->may_be_held && !held::is_given_up(upstream_);
    session_ = nullptr;
    if (plan_->may_use_session && !without_session_)
        session_ = sys::sessions::with([&](const auto& sessions) { return sessions.find(upstream_, now_); });
    if (session_) handshake_.emplace(policy::by_session(plan_->handshake, *session_), destination);
    else handshake_.emplace(plan_->handshake, destination);
}

/// The proxy has been started anew, or never knew the token: the password tells.
void Dial::try_without_session() {
    log::line(Level::info, "%s: trying once more, by password", config().name.c_str());
    sys::sessions::with([&](auto& sessions) { sessions.refused(upstream_, session_, now_); });
    sys::worker::wake(); // for the control connection
    without_session_ = true;
    try_this_address_again();
}

/// The proxy may have lost what came behind the greeting, or have done what it would have done anyway.
void Dial::try_sequentially() {
    log::line(Level::info, "%s: trying once more, one message after the other", config().name.c_str());
    sequentially_ = true;
    try_this_address_again();
}

void Dial::on_shaken() {
    if (purpose_ == Purpose::hold) return on_hold_shaken();
    if (purpose_ == Purpose::probe) {
        if (handshake_->failure() != Failure::none)
            log::line(Level::info, "%s: %s", config().name.c_str(), name_of(handshake_->failure()));
        return on_question_shaken(false);
    }
    const auto failure = handshake_->failure();
    if (purpose_ == Purpose::open_session) // another try is for the next one to need it
        return end(failure == Failure::none ? 0 : ECONNABORTED);
    if (is_on_held() && may_be_for_held(failure)) return try_without_held();
    if (!awaits_peer_) learn();
    // Pipelined, it got no such answer in that time.
    const auto came_soon = [&] {
        return now_ < deadline_ - config().handshake_timeout + config().discover_timeout;
    };
    if (sequentially_ && came_soon() && (failure == Failure::none || failure == Failure::command_refused))
        learn_of_pipelining(policy::Pipelining::refused, policy::as_who(handshake_->method()));
    if (failure == Failure::none) {
        upstreams::mark_up(upstream_);
        return end(0);
    }
    log::line(Level::info, "%s: %s%s%s", config().name.c_str(), name_of(failure),
              failure == Failure::command_refused ? ": " : "",
              failure == Failure::command_refused ? describe(handshake_->reply()).data() : "");
    if (awaits_peer_) // nobody has come, or the proxy is gone
        return end(failure == Failure::command_refused ? to_errno(handshake_->reply()) : ECONNABORTED);
    if (session_ && policy::may_be_for_session(handshake_->phase(), failure)) return try_without_session();
    if (is_pipelined() && policy::may_be_for_pipelining(failure, plan_->relies_on_features))
        return try_sequentially();
    if (purpose_ == Purpose::associate && failure == Failure::command_refused && !as_ipv4_ &&
        handshake_->plan().destination.host.type() == AddressType::ipv6 &&
        (handshake_->reply() == Reply::address_type_not_supported ||
         handshake_->reply() == Reply::general_failure)) {
        as_ipv4_ = true;
        return try_this_address_again();
    }
    // A connection that was to be held and is not, or a command that fails on it alone, contradicts the list,
    // too.
    const bool relied =
        plan_->relies_on_features || handshake_->plan().exchange == Exchange::features_then_command;
    const auto consequence = policy::consequence_of(*handshake_, relied);
    using Next = policy::Consequence::Next;
    // CONNECT is refused so for a destination's sake, too.
    if (purpose_ == Purpose::associate && consequence.next == Next::give_up &&
        consequence.error == EOPNOTSUPP)
        upstreams::with_features([&](auto& cache) {
            cache.remember_refusal(upstream_, handshake_->command(), Clock::now(), config().feature_lifetime);
        });
    switch (consequence.next) {
    case Next::give_up: return end(consequence.error);
    case Next::next_upstream: disconnect(); return upstream_failed(consequence.error);
    case Next::again_plainly:
        if (handshake_->phase() != Phase::features) {
            log::line(Level::info, "%s: that contradicts its feature list; trying without",
                      config().name.c_str());
            upstreams::with_features([&](auto& cache) { cache.forget(upstream_, Clock::now()); });
            sys::learnt::share(rules_.config, upstream_);
            held::give_up(upstream_);
            plainly_ = true;
        }
        try_this_address_again();
    }
}

int drive(Dial& dial, Dial::Clock::time_point patience) {
    for (;;) {
        const auto wait = dial.advance();
        if (wait.over) return 0;
        const auto now = dial.now();
        if (now >= patience) return EINPROGRESS;
        pollfd interest{wait.fd, static_cast<short>(wait.events),
                        0}; // POLLIN and POLLOUT are EPOLLIN and EPOLLOUT
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(std::min(wait.deadline, patience) - now).count();
        const int ready = sys::poll_with_signals(
            interest, static_cast<int>(std::clamp<decltype(left)>(left, 0, 3'600'000)));
        if (ready < 0 && errno == EINTR && sys::some_handler_interrupts()) return EINTR;
    }
}

} // namespace socksify::shim
