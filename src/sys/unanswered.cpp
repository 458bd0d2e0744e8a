#include "sys/unanswered.hpp"

#include "policy/plan.hpp"
#include "sys/fd_table.hpp"
#include "sys/keep_errno.hpp"
#include "sys/learnt.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/rules.hpp"
#include "sys/socket_options.hpp"
#include "sys/upstreams.hpp"

#include <algorithm>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace socksify::sys {
namespace {

using log::Level;
using worker::Clock;

/// For a program that is going to write, between its connect() and that. For one that waits for the other
/// side to speak, this is lost.
constexpr auto time_for_first_octets = std::chrono::milliseconds(2);

constinit std::atomic<unsigned> not_over{0};

const policy::Upstream& config_of(std::size_t upstream) { return rules().config.upstreams[upstream]; }

/// Octets of the replies to `plan`'s messages, if BND is an IPv4 address. Nobody has a shorter one.
std::size_t least_replies(const ClientPlan& plan) noexcept {
    constexpr std::size_t command_reply = 4 + 4 + 2;
    const bool with_authentication = plan.methods[0] != Method::none;
    return parse_method_reply({}).size + (with_authentication ? parse_password_reply({}).size : 0) +
           command_reply;
}

/// Takes away what is there to be read.
void drain(int fd) noexcept {
    constexpr std::size_t much = 1 << 20;
    while (real::recv(fd, nullptr, much, MSG_DONTWAIT | MSG_TRUNC) > 0) {
    }
}

} // namespace

/// The worker's part.
class Unanswered::Task final : public worker::Task {
public:
    explicit Task(std::shared_ptr<Unanswered> unanswered) noexcept : unanswered_(std::move(unanswered)) {}

    worker::Wait run() override { return unanswered_->go_on(); }
    void finish() noexcept override { unanswered_->let_go(); }
    void abandon(int error) noexcept override {
        {
            const std::lock_guard lock(unanswered_->mutex_);
            unanswered_->break_off(error);
        }
        unanswered_->let_go();
    }
    [[nodiscard]] bool has_news() const noexcept override {
        return unanswered_->is_over() || unanswered_->left_.load();
    }

private:
    std::shared_ptr<Unanswered> unanswered_;
};

std::shared_ptr<Unanswered> Unanswered::make(int fd, const ClientPlan& plan, const Endpoint& destination,
                                             std::size_t upstream) {
    std::shared_ptr<Unanswered> made(new Unanswered(plan, destination, upstream));
    made->lacking_ = least_replies(plan);
    made->borrowed_ = {{{SOL_SOCKET, SO_RCVLOWAT}, {IPPROTO_TCP, TCP_NODELAY}}};
    made->own_.reset(duplicate_internally(fd));
    return made->own_.get() >= 0 ? made : nullptr;
}

int Unanswered::connect(const Address& proxy, bool fast_open, bool is_blocking) {
    std::unique_ptr<worker::Task> task = std::make_unique<Task>(shared_from_this());
    at_fork_in_child(break_all_in_child);
    const int fd = own_.get();
    const auto now = Clock::now();
    int error = 0;
    {
        const int one = 1;
        const bool may_keep_syn =
            fast_open && real::setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one) == 0;
        const NonBlocking for_this_call(is_blocking ? fd : -1);
        if (real::connect(fd, proxy.get(), proxy.size) != 0) error = errno;
        if (error != 0 && error != EINPROGRESS) return error;
        syn_is_kept_ = may_keep_syn && error == 0;
        promised_ = is_blocking || syn_is_kept_; // which shows as writable
    }
    alone_at_ = now + time_for_first_octets;
    deadline_ = now + config_of(upstream_).connect_timeout;
    {
        const std::lock_guard lock(mutex_);
        borrow(borrowed_[1], 1);
        expect();
    }
    not_over.fetch_add(1);
    try {
        if (worker::post(task)) return 0;
        error = errno;
    } catch (const std::bad_alloc&) {
        error = ENOMEM;
    }
    cancel();
    disconnect(fd);
    let_go();
    return error;
}

bool Unanswered::has_any() noexcept { return not_over.load() != 0; }

Unanswered::State Unanswered::advance() {
    const std::lock_guard lock(mutex_);
    const KeepErrno keep;
    while (!is_over() && (state() == State::unsent ? send_messages() : take_replies())) {
    }
    return state();
}

/// Whether something has happened; likewise below.
bool Unanswered::send_messages() {
    const int fd = own_.get();
    const auto ready = poll_now(fd, POLLOUT);
    if ((ready & (POLLERR | POLLHUP)) != 0) return on_failed_connection(), true;
    if (ready == 0) return false;
    const auto out = handshake_.step().out;
    const auto sent = real::send(fd, out.data(), out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) return false;
        return on_error(errno), true;
    }
    on_sent(static_cast<std::size_t>(sent));
    return true;
}

void Unanswered::on_sent(std::size_t octets) {
    syn_is_kept_ = false;
    handshake_.sent(octets);
    if (handshake_.step().what == ClientHandshake::Step::What::send) return; // the rest
    log::line(Level::trace, "%s: the messages have been sent", config_of(upstream_).name.c_str());
    deadline_ = Clock::now() + config_of(upstream_).handshake_timeout;
    state_.store(State::sent, std::memory_order_release);
}

bool Unanswered::take_replies() {
    using What = ClientHandshake::Step::What;
    const auto step = handshake_.step();
    if (step.what != What::receive) return on_reply(ECONNRESET), true;
    std::array<std::uint8_t, 3 + longest_endpoint> octets;
    const auto received =
        real::recv(own_.get(), octets.data(), std::min(step.room, octets.size()), MSG_DONTWAIT);
    if (received < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            const int error = errno;
            handshake_.broken_off();
            return on_reply(error), true;
        }
        lacking_ = std::max(lacking_, step.room);
        expect();
        return false;
    }
    lacking_ -= std::min(lacking_, static_cast<std::size_t>(received));
    if (received == 0) handshake_.ended();
    else handshake_.received({octets.data(), static_cast<std::size_t>(received)});
    return true;
}

/// `error`: for the program, where the reply does not say why.
void Unanswered::on_reply(int error) {
    const auto& name = config_of(upstream_).name;
    const auto failure = handshake_.failure();
    if (failure == Failure::none) {
        log::line(Level::info, "%s: has answered", name.c_str());
        upstreams::mark_up(upstream_);
        return end(State::answered);
    }
    log::line(Level::info, "%s: %s, after connect()", name.c_str(),
              failure == Failure::command_refused ? describe(handshake_.reply()).data()
                                                  : "no answer that makes a connection");
    if (policy::consequence_of(handshake_, true).next == policy::Consequence::Next::again_plainly) {
        upstreams::with_features([&](auto& cache) { cache.forget(upstream_, Clock::now()); });
        learnt::share(rules().config, upstream_);
    }
    break_off(failure == Failure::command_refused ? to_errno(handshake_.reply()) : error);
}

/// The kernel knows why, and tells the program.
void Unanswered::on_failed_connection() noexcept {
    log::line(Level::info, "%s: no connection, after connect()", config_of(upstream_).name.c_str());
    upstreams::mark_down(upstream_);
    end(State::broken);
}

/// The kernel has told us instead of the program.
void Unanswered::on_error(int error) noexcept {
    log::line(Level::info, "%s: %s, after connect()", config_of(upstream_).name.c_str(),
              strerrordesc_np(error));
    break_off(error);
}

void Unanswered::break_off(int error) noexcept {
    if (is_over()) return;
    // As after a reset: end of file, and EPIPE. Nothing of the proxy's is left to be read.
    real::shutdown(own_.get(), SHUT_RDWR);
    drain(own_.get());
    error_.store(error);
    end(State::broken);
}

void Unanswered::end(State state) noexcept {
    state_.store(state, std::memory_order_release);
    not_over.fetch_sub(1);
    give_back();
    worker::wake(); // for the duplicate's end
}

void Unanswered::let_go() noexcept {
    own_.reset();
    has_let_go_.store(true, std::memory_order_release);
}

void Unanswered::cancel() noexcept {
    const std::lock_guard lock(mutex_);
    if (!is_over()) end(State::broken);
}

std::optional<std::size_t> Unanswered::send_with_syn(const msghdr& message, int flags) {
    constexpr std::size_t most_pieces = 8;
    const std::lock_guard lock(mutex_);
    const KeepErrno keep;
    const bool is_plain = (flags & ~(MSG_NOSIGNAL | MSG_DONTWAIT)) == 0 && message.msg_controllen == 0;
    if (!syn_is_kept_ || is_over() || !is_plain || message.msg_iovlen >= most_pieces) return {};
    const auto out = handshake_.step().out;
    std::array<iovec, most_pieces> pieces;
    pieces[0] = {const_cast<std::uint8_t*>(out.data()), out.size()};
    std::copy_n(message.msg_iov, message.msg_iovlen, pieces.begin() + 1);
    msghdr both{};
    both.msg_iov = pieces.data();
    both.msg_iovlen = message.msg_iovlen + 1;
    const auto sent = real::sendmsg(own_.get(), &both, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return {}; // what it is, the next attempt tells
    const auto of_messages = std::min(static_cast<std::size_t>(sent), out.size());
    on_sent(of_messages);
    return static_cast<std::size_t>(sent) - of_messages;
}

Endpoint Unanswered::bound() {
    const std::lock_guard lock(mutex_);
    return state() == State::answered ? handshake_.bound() : Endpoint{};
}

// --- the options ---

void Unanswered::borrow(Borrowed& option, int value) noexcept {
    if (!option.is_out) {
        option.own = sys::option(own_.get(), option.level, option.name);
        if (option.own < 0 || option.is_taken_back) return;
        option.is_out = true;
    }
    real::setsockopt(own_.get(), option.level, option.name, &value, sizeof value);
}

void Unanswered::give_back() noexcept {
    for (auto& option : borrowed_)
        if (std::exchange(option.is_out, false))
            real::setsockopt(own_.get(), option.level, option.name, &option.own, sizeof option.own);
}

void Unanswered::expect() noexcept {
    const bool is_awaited = awaiting_reply_.load() > 0 || left_.load();
    const auto wanted = static_cast<int>(lacking_) + (is_awaited ? 0 : 1);
    if (wanted == std::exchange(readable_with_, wanted)) return;
    borrow(borrowed_[0], wanted);
}

std::optional<int> Unanswered::own_option(int level, int name) noexcept {
    const std::lock_guard lock(mutex_);
    for (const auto& option : borrowed_)
        if (option.is_out && option.level == level && option.name == name) return option.own;
    return {};
}

void Unanswered::on_option_set(int level, int name) noexcept {
    const std::lock_guard lock(mutex_);
    for (auto& option : borrowed_)
        if (option.level == level && option.name == name) {
            option.is_out = false;
            option.is_taken_back = true;
        }
}

// --- the worker ---

worker::Wait Unanswered::go_on() {
    const auto now = Clock::now();
    {
        const std::lock_guard lock(mutex_);
        if (syn_is_kept_ && !left_.load() && now < alone_at_) return {.deadline = alone_at_};
    }
    const auto state = advance();
    const std::lock_guard lock(mutex_);
    if (is_over()) return {.over = true};
    if (now >= deadline_) {
        if (state == State::unsent) upstreams::mark_down(upstream_);
        break_off(ETIMEDOUT);
        return {.over = true};
    }
    if (state == State::unsent) return {.fd = own_.get(), .events = EPOLLOUT, .deadline = deadline_};
    if (!left_.load()) return {.deadline = deadline_};
    // The program has closed it: the other side is told at once, and the reply taken first.
    if (!std::exchange(is_shut_, true)) real::shutdown(own_.get(), SHUT_WR);
    return {.fd = own_.get(), .events = EPOLLIN, .deadline = deadline_};
}

void Unanswered::leave() noexcept {
    if (is_over()) return;
    left_.store(true);
    worker::wake();
}

void Unanswered::break_all_in_child() {
    not_over.store(0);
    fds::visit_in_child([](const Socket& socket) {
        if (socket.unanswered) (**socket.unanswered).become_orphan();
    });
}

void Unanswered::become_orphan() noexcept {
    mutex_.renew_in_child();
    has_let_go_.store(true);
    if (is_over()) return;
    error_.store(ECONNABORTED);
    state_.store(State::broken);
}

} // namespace socksify::sys
