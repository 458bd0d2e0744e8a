#include "relay/server.hpp"

#include <algorithm>
#include <sys/resource.h>
#include <utility>

namespace socksify::relay {
namespace {

using namespace std::chrono_literals;

/// For coroutines to see that their sockets are closed. One that waits for a look-up doesn't see it.
constexpr auto grace_time = 500ms;

} // namespace

Server::Server(asio::io_context& io, Config config)
    : context_(io, config.limits.lookups), patience_(io.get_executor()) {
    use(std::move(config));
}

void Server::use(Config config) {
    context_.log.set_level(config.log_level);
    config_ = std::make_shared<const Config>(std::move(config));
    for (const auto& listener : listeners_) listener->use(config_);
}

tl::expected<void, std::string> Server::listen() {
    std::vector<std::pair<Fd, Endpoint>> opened;
    for (const auto& address : config_->listen) {
        const bool listens = std::any_of(listeners_.begin(), listeners_.end(),
                                         [&](const auto& listener) { return listener->wanted() == address; });
        if (listens) continue;
        auto socket = open_listener(address, config_->features.fast_open);
        if (!socket) return tl::unexpected(std::move(socket.error()));
        opened.emplace_back(std::move(*socket), address);
    }
    for (auto& [socket, address] : opened) add_listener(std::move(socket), address);
    return {};
}

void Server::add_listener(Fd socket, const Endpoint& wanted) {
    listeners_.push_back(std::make_shared<Listener>(context_, config_, std::move(socket), wanted));
    listeners_.back()->start();
}

tl::expected<void, std::string> Server::reload(Config config) {
    if (context_.winding_down)
        return tl::unexpected<std::string>("the relay is draining, it takes no more connections");
    const auto before = config_;
    use(std::move(config));
    if (auto listens = listen(); !listens) {
        use(*before);
        return listens;
    }
    std::erase_if(listeners_, [&](const auto& listener) {
        const auto& wanted = config_->listen;
        const bool stays = std::find(wanted.begin(), wanted.end(), listener->wanted()) != wanted.end();
        if (!stays) listener->close();
        return !stays;
    });
    return {};
}

void Server::drain(milliseconds most, std::function<void()> then) {
    context_.winding_down = true;
    for (const auto& listener : listeners_) listener->close();
    listeners_.clear();
    context_.limits.cancel_waiting();
    context_.ticker.stop();
    if (has_ended()) return then();
    context_.ongoing.when_empty = [this, then] {
        patience_.cancel();
        then();
    };
    expect_end_within(most, [this, then = std::move(then)] {
        context_.ongoing.close();
        expect_end_within(grace_time, then);
    });
    context_.ongoing.wind_down();
}

void Server::expect_end_within(milliseconds time, std::function<void()> otherwise) {
    patience_.expires_after(time);
    patience_.async_wait([call = std::move(otherwise)](const ErrorCode& error) {
        if (!error) call();
    });
}

void raise_descriptor_limit(const Log& log, const LimitValues& limits) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const auto wanted = 2 * static_cast<rlim_t>(limits.connections);
    if (limit.rlim_cur < wanted)
        log.warning("descriptors").add("allowed", limit.rlim_cur).add("limits.connections_need", wanted);
}

} // namespace socksify::relay
