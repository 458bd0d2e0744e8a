#include "shim/session.hpp"

#include "shim/dial.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/sessions.hpp"
#include "sys/socket_options.hpp"

namespace socksify::shim::session {
namespace {

namespace log = sys::log;
namespace real = socksify::real;
using sys::worker::Clock;

/// A token is good from the address that it was given to: the family of the connection that showed the way.
int domain_like(int fd) noexcept {
    const auto peer = sys::peer_address(fd);
    const auto proxy = peer ? sys::to_endpoint(peer->get(), peer->size) : std::nullopt;
    return proxy && proxy->host.unmapped().type() == AddressType::ipv6 ? AF_INET6 : AF_INET;
}

/// Asks for the token, and then waits for the end of its connection.
class ControlTask final : public sys::worker::Task {
public:
    ControlTask(const sys::Rules& rules, std::size_t upstream, int domain)
        : rules_(rules), upstream_(upstream), domain_(domain) {}

    sys::worker::Wait run() override {
        if (has_news()) return {.over = true};
        if (!session_) {
            if (!dial_ && !begin()) return {.over = true};
            const auto wait = dial_->advance();
            if (!wait.over || dial_->error() != 0) return wait;
            keep_token();
            dial_.reset();
        }
        return {.over = sys::has_ended(control_.get()), .fd = control_.get(), .events = EPOLLIN};
    }
    void finish() noexcept override {
        const auto now = Clock::now();
        sys::sessions::with([&](auto& sessions) {
            session_ ? sessions.control_ended(upstream_, session_, now) : sessions.failed(upstream_, now);
        });
        log::line(log::Level::info, "%s: %s", config().name.c_str(),
                  session_ ? "the session's connection has ended" : "no session");
    }
    void abandon(int) noexcept override { finish(); }
    /// The token has been refused.
    [[nodiscard]] bool has_news() const noexcept override { return session_ && session_->is_refused.load(); }

private:
    bool begin() {
        const int fd = real::socket(domain_, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) return false;
        control_.reset(sys::make_internal(fd));
        dial_.emplace(Dial::Purpose::open_session, rules_, std::span(&upstream_, 1), Endpoint{},
                      Carrier{control_.get(), domain_, false, {}});
        return true;
    }
    void keep_token() {
        session_ =
            sys::sessions::with([&](auto& sessions) { return sessions.opened(upstream_, dial_->session()); });
        const int on = 1;
        real::setsockopt(control_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        log::line(log::Level::info, "%s: has a session", config().name.c_str());
    }
    [[nodiscard]] const policy::Upstream& config() const { return rules_.config.upstreams[upstream_]; }

    const sys::Rules& rules_;
    std::size_t upstream_; ///< the one that dial_ tries
    int domain_;
    sys::OwnDescriptor control_;
    std::optional<Dial> dial_; ///< until it has the token
    std::shared_ptr<policy::Session> session_;
};

} // namespace

void connected(const sys::Rules& rules, std::size_t upstream, policy::Session* used, int fd) noexcept {
    if (used != nullptr) {
        log::line(log::Level::info, "%s: has let us in by a token",
                  rules.config.upstreams[upstream].name.c_str());
        return used->has_worked.store(true, std::memory_order_relaxed);
    }
    const sys::KeepErrno keep;
    const auto now = Clock::now();
    try {
        if (!sys::sessions::with([&](auto& sessions) { return sessions.open_now(upstream, now); })) return;
        std::unique_ptr<sys::worker::Task> task =
            std::make_unique<ControlTask>(rules, upstream, domain_like(fd));
        sys::worker::post(task);
    } catch (const std::bad_alloc&) {
        // As where there can be no worker: the claim is void after a while.
    }
}

} // namespace socksify::shim::session
