#include "shim/dns_exchange.hpp"

#include "policy/rules.hpp"
#include "shim/dial.hpp"
#include "sys/internal_fds.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <array>
#include <memory>

namespace socksify::shim {
namespace {

namespace log = sys::log;
using Clock = Dial::Clock;

constexpr auto patience = std::chrono::seconds(5); // of resolv.conf(5), for one attempt

/// A socket for the way that the rules have to `server`, or a direct one; -1 if they block it, or there is
/// none to be had.
struct Opened {
    explicit Opened(const Endpoint& server, bool directly = false) {
        const auto& rules = sys::rules();
        const auto& [host, port] = server;
        is_direct = directly;
        if (!directly) {
            const auto& action = *policy::route(rules.config, {host, port, policy::Operation::connect,
                                                               policy::Protocol::tcp, rules.program})
                                      .action;
            if (action.kind == policy::Action::Kind::block) return;
            is_direct = action.kind == policy::Action::Kind::direct;
            upstreams = action.upstreams;
        }
        constexpr int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
        fd = real::socket(domain, type, 0);
        if (fd < 0) fd = real::socket(domain = AF_INET, type, 0);
        if (fd >= 0) fd = sys::make_internal(fd);
    }
    [[nodiscard]] Dial dial(const Endpoint& server) const {
        return {is_direct ? Dial::Purpose::direct : Dial::Purpose::connect, sys::rules(), upstreams, server,
                Carrier{fd, domain, false, {}}};
    }

    bool is_direct = false;
    std::span<const std::size_t> upstreams; ///< of the rules, and so for ever
    int fd = -1;
    int domain = AF_INET6;
};

/// A stream to the server, or nothing there.
class Connection {
public:
    explicit Connection(const Endpoint& server) {
        const Opened opened(server);
        fd_ = opened.fd;
        if (fd_ < 0) return;
        auto dial = opened.dial(server);
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
    [[nodiscard]] bool wait(short events) const {
        for (;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
            pollfd interest{fd_, events, 0};
            const int ready = left > 0 ? real::poll(&interest, nfds_t{1}, static_cast<int>(left)) : 0;
            if (ready >= 0 || errno != EINTR) return ready > 0;
        }
    }

    int fd_ = -1;
    bool is_connected_ = false;
    Clock::time_point deadline_{};
};

/// RFC 7766 §8: the length goes with the message, in one segment.
std::vector<std::uint8_t> framed(Bytes query) {
    std::vector<std::uint8_t> out;
    out.reserve(2 + query.size());
    out.push_back(static_cast<std::uint8_t>(query.size() >> 8));
    out.push_back(static_cast<std::uint8_t>(query.size()));
    out.insert(out.end(), query.begin(), query.end());
    return out;
}

/// The exchange as the worker carries it on.
class ExchangeTask final : public sys::worker::Task {
public:
    ExchangeTask(int fd, Dial dial, Bytes query, std::function<void(Bytes)> then)
        : fd_(fd), dial_(std::move(dial)), query_(framed(query)), then_(std::move(then)) {}
    ~ExchangeTask() override { sys::close_internal(fd_); }
    ExchangeTask(const ExchangeTask&) = delete;
    ExchangeTask& operator=(const ExchangeTask&) = delete;

    sys::worker::Wait run() override {
        if (!is_connected_) {
            const auto wait = dial_.advance();
            if (!wait.over || dial_.error() != 0) return wait;
            is_connected_ = true;
            deadline_ = Clock::now() + patience;
        }
        if (Clock::now() >= deadline_) return {.over = true};
        while (sent_ < query_.size()) {
            const auto size = real::send(fd_, query_.data() + sent_, query_.size() - sent_, MSG_NOSIGNAL);
            if (size < 0) return wait_or_end(EPOLLOUT);
            sent_ += static_cast<std::size_t>(size);
        }
        for (;;) {
            const std::size_t wanted = response_.size() < 2 ? 2 : 2 + std::size_t{get16(response_)};
            if (response_.size() >= 2 && response_.size() == wanted) return {.over = true};
            std::array<std::uint8_t, 4096> octets;
            const auto size =
                real::recv(fd_, octets.data(), std::min(octets.size(), wanted - response_.size()), 0);
            if (size == 0) return {.over = true};
            if (size < 0) return wait_or_end(EPOLLIN);
            response_.insert(response_.end(), octets.begin(), octets.begin() + size);
        }
    }
    void finish() noexcept override {
        constexpr std::size_t header = 12;
        const bool is_whole = response_.size() >= 2 + header &&
                              response_.size() == 2 + std::size_t{get16(response_)} &&
                              std::equal(query_.begin() + 2, query_.begin() + 4, response_.begin() + 2);
        then_(is_whole ? Bytes(response_).subspan(2) : Bytes());
    }
    void abandon(int) noexcept override { then_({}); }

private:
    [[nodiscard]] sys::worker::Wait wait_or_end(std::uint32_t events) const {
        if (errno != EAGAIN) return {.over = true};
        return {.fd = fd_, .events = events, .deadline = deadline_};
    }

    int fd_;
    Dial dial_;
    std::vector<std::uint8_t> query_; // framed
    std::vector<std::uint8_t> response_;
    std::size_t sent_ = 0;
    std::function<void(Bytes)> then_;
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
    std::array<std::uint8_t, 2> size{};
    if (!connection.is_connected() || !connection.send(framed(query)) || !connection.receive(size))
        return exchange;
    exchange.response.resize(get16(size));
    constexpr std::size_t header = 12;
    if (exchange.response.size() < header || !connection.receive(exchange.response) ||
        !std::equal(query.begin(), query.begin() + 2, exchange.response.begin()))
        return exchange;
    exchange.outcome = Outcome::answered;
    return exchange;
}

namespace {

bool ask_later(const Endpoint& server, bool directly, Bytes query, std::function<void(Bytes)> then) {
    if (!sys::worker::ready()) return false;
    const Opened opened(server, directly);
    if (opened.fd < 0) return false;
    std::unique_ptr<sys::worker::Task> task =
        std::make_unique<ExchangeTask>(opened.fd, opened.dial(server), query, std::move(then));
    return sys::worker::post(task);
}

} // namespace

bool ask_resolver_later(Bytes query, std::function<void(Bytes)> then) {
    const auto& resolver = sys::rules().config.resolver;
    return resolver && ask_later(*resolver, false, query, std::move(then));
}

bool ask_server_later(const Endpoint& server, Bytes query, std::function<void(Bytes)> then) {
    return ask_later(server, true, query, std::move(then));
}

} // namespace socksify::shim
