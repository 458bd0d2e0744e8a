#include "shim/dns_exchange.hpp"

#include "policy/rules.hpp"
#include "shim/dial.hpp"
#include "sys/internal_fds.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"

#include <algorithm>

namespace socksify::shim {
namespace {

namespace log = sys::log;
using Clock = Dial::Clock;

constexpr auto patience = std::chrono::seconds(5); // of resolv.conf(5), for one attempt

/// A stream to the server, or nothing there.
class Connection {
public:
    explicit Connection(const Endpoint& server) {
        const auto& rules = sys::rules();
        const auto& [host, port] = server;
        const auto decision = policy::route(
            rules.config, {host, port, policy::Operation::connect, policy::Protocol::tcp, rules.program});
        const auto& action = *decision.action;
        if (action.kind == policy::Action::Kind::block) return;
        open();
        if (fd_ < 0) return;
        const bool is_direct = action.kind == policy::Action::Kind::direct;
        Dial dial(is_direct ? Dial::Purpose::direct : Dial::Purpose::connect, rules, action.upstreams, server,
                  {fd_, domain_, false, {}});
        is_connected_ = drive(dial, Clock::time_point::max()) == 0 && dial.error() == 0;
        deadline_ = Clock::now() + patience;
    }
    ~Connection() { sys::close_internal(fd_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    [[nodiscard]] bool is_connected() const noexcept { return is_connected_; }

    [[nodiscard]] bool send(Bytes octets) const {
        while (!octets.empty()) {
            const auto size = real::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
            if (size > 0) octets = octets.subspan(static_cast<std::size_t>(size));
            else if (errno != EAGAIN || !wait(POLLOUT)) return false;
        }
        return true;
    }
    [[nodiscard]] bool receive(std::span<std::uint8_t> into) const {
        while (!into.empty()) {
            const auto size = real::recv(fd_, into.data(), into.size(), 0);
            if (size > 0) into = into.subspan(static_cast<std::size_t>(size));
            else if (size == 0 || errno != EAGAIN || !wait(POLLIN)) return false;
        }
        return true;
    }

private:
    void open() noexcept {
        constexpr int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
        fd_ = real::socket(domain_, type, 0);
        if (fd_ < 0) fd_ = real::socket(domain_ = AF_INET, type, 0);
        if (fd_ >= 0) fd_ = sys::make_internal(fd_);
    }
    [[nodiscard]] bool wait(short events) const {
        for (;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
            pollfd interest{fd_, events, 0};
            const int ready = left > 0 ? real::poll(&interest, nfds_t{1}, static_cast<int>(left)) : 0;
            if (ready >= 0 || errno != EINTR) return ready > 0;
        }
    }

    int fd_ = -1;
    int domain_ = AF_INET6;
    bool is_connected_ = false;
    Clock::time_point deadline_{};
};

} // namespace

DnsExchange ask_resolver(Bytes query) {
    using Outcome = DnsExchange::Outcome;
    const auto& resolver = sys::rules().config.resolver;
    if (!resolver) return {};
    log::line(log::Level::info, "%s: asked for a name", resolver->text().c_str());
    DnsExchange exchange{Outcome::failed, {}};
    const Connection connection(*resolver);
    // RFC 7766 §8: the length goes with the message, in one segment.
    std::vector<std::uint8_t> framed{static_cast<std::uint8_t>(query.size() >> 8),
                                     static_cast<std::uint8_t>(query.size())};
    framed.insert(framed.end(), query.begin(), query.end());
    std::array<std::uint8_t, 2> size{};
    if (!connection.is_connected() || !connection.send(framed) || !connection.receive(size)) return exchange;
    exchange.response.resize(get16(size));
    constexpr std::size_t header = 12;
    if (exchange.response.size() < header || !connection.receive(exchange.response) ||
        !std::equal(query.begin(), query.begin() + 2, exchange.response.begin()))
        return exchange;
    exchange.outcome = Outcome::answered;
    return exchange;
}

} // namespace socksify::shim
