// Asio has one timerfd for all timers, and programs it whenever a new one is the earliest. Each connection
// has timers, of seconds, that hardly ever expire. While connections come, this one expires each second, so
// that those of others are never the earliest, and cost no system call.
#pragma once

#include "relay/io.hpp"

namespace socksify::relay {

class Ticker {
public:
    explicit Ticker(asio::io_context& io) : timer_(io.get_executor()) {}

    /// A connection comes. A second without one, and it stops.
    void tick() {
        wanted_ = true;
        if (!runs_) go_on();
    }
    void stop() { timer_.cancel(); }

private:
    void go_on() {
        runs_ = std::exchange(wanted_, false);
        if (!runs_) return;
        timer_.expires_after(std::chrono::seconds(1));
        timer_.async_wait([this](const ErrorCode& error) {
            if (!error) go_on();
        });
    }

    Timer timer_;
    bool runs_ = false;
    bool wanted_ = false; ///< in this second
};

} // namespace socksify::relay
