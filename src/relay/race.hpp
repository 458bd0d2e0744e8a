// Happy Eyeballs (RFC 8305 §5): the addresses are tried one after the other, each a moment after the one
// before it or as soon as that has failed; the first connection that stands wins, and the others are dropped.
#pragma once

#include "relay/io.hpp"

#include <optional>
#include <tl/expected.hpp>
#include <vector>

namespace socksify::relay {

class Race : public std::enable_shared_from_this<Race> {
public:
    static constexpr std::chrono::milliseconds stagger{250};

    /// The winner, or the errno that tells most of why there is none (ETIMEDOUT at `deadline`).
    static Task<tl::expected<Socket, int>> run(Executor executor, std::vector<Tcp::endpoint> addresses,
                                               Clock::time_point deadline);

    Race(const Executor& executor, std::vector<Tcp::endpoint> addresses, Clock::time_point deadline);

private:
    /// One address needs no race.
    static Task<tl::expected<Socket, int>> run_alone(Executor executor, Tcp::endpoint address,
                                                     Clock::time_point deadline);
    void start_next();
    void attempt(const Tcp::endpoint& address);
    void over(std::size_t number, const ErrorCode& error);
    void failed(int error);
    void stop();

    Executor executor_;
    std::vector<Tcp::endpoint> addresses_;
    std::size_t next_ = 0;
    std::size_t running_ = 0;
    std::vector<std::optional<Socket>> attempts_; ///< by number; empty again when lost
    std::optional<Socket> winner_;
    int error_ = 0;
    bool stopped_ = false;
    Timer stagger_;
    Timer finish_; ///< expires at the deadline; cancelled when the race is decided
};

/// Of two attempts' errors, the one that says more about the destination: that it refused says more than that
/// it can't be reached by one of the families.
int more_telling(int a, int b) noexcept;

} // namespace socksify::relay
