// The relay as a whole: its listeners, its configuration, its end.
#pragma once

#include "relay/listener.hpp"

namespace socksify::relay {

class Server {
public:
    Server(asio::io_context& io, Config config);

    /// All addresses of the configuration, or none. On failure: why, as a sentence.
    tl::expected<void, std::string> listen();
    /// A socket that listens already.
    void add_listener(Fd socket, const Endpoint& wanted);

    /// Connections that stand keep the configuration that they began with. On failure, nothing has changed.
    tl::expected<void, std::string> reload(Config config);

    /// Takes no more connections. Closes after `most` what has not ended by itself, and calls `then` when
    /// everything has ended, or a moment later although something has not: `has_ended` tells.
    void drain(milliseconds most, std::function<void()> then);
    [[nodiscard]] bool has_ended() const noexcept { return context_.ongoing.size() == 0; }

    [[nodiscard]] const Log& log() const noexcept { return context_.log; }
    [[nodiscard]] milliseconds drain_time() const noexcept { return config_->timeouts.drain; }
    [[nodiscard]] std::chrono::microseconds busy_poll() const noexcept { return config_->limits.busy_poll; }
    /// Whether a stream has poured through a tunnel since the last call.
    [[nodiscard]] bool take_poured() noexcept { return std::exchange(context_.depot.poured, false); }
    /// Work on other threads that nobody waits for any more, and whose end can't be hastened.
    [[nodiscard]] bool busy() const noexcept { return context_.users.busy() || context_.resolver.busy(); }

private:
    void use(Config config);
    void expect_end_within(milliseconds time, std::function<void()> otherwise);

    Context context_;
    std::shared_ptr<const Config> config_;
    std::vector<std::shared_ptr<Listener>> listeners_;
    Timer patience_;
};

/// As many descriptors as the system lets this process have; each connection needs two.
void raise_descriptor_limit(const Log& log, const LimitValues& limits);

} // namespace socksify::relay
