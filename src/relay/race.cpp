#include "relay/race.hpp"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

namespace socksify::relay {
namespace {

/// The other side is this host, most likely: it has answered before connect() returned.
bool stands_already(int fd) noexcept {
    pollfd one{fd, POLLOUT, 0};
    return ::poll(&one, 1, 0) == 1 && one.revents == POLLOUT;
}

} // namespace

int more_telling(int a, int b) noexcept {
    const auto rank = [](int error) {
        switch (error) {
        case 0: return 0;
        case EAFNOSUPPORT:
        case EADDRNOTAVAIL:
        case EINVAL: return 1; // of this host rather than the other
        case ENETUNREACH: return 2;
        case EHOSTUNREACH: return 4;
        case ETIMEDOUT: return 5;
        case ECONNREFUSED: return 6;
        default: return 3;
        }
    };
    return rank(b) > rank(a) ? b : a;
}

Race::Race(const Executor& executor, std::vector<Tcp::endpoint> addresses, Clock::time_point deadline)
    : executor_(executor),
      addresses_(std::move(addresses)),
      attempts_(addresses_.size()),
      stagger_(executor),
      finish_(executor, deadline) {}

Task<tl::expected<Socket, int>> Race::run(Executor executor, std::vector<Tcp::endpoint> addresses,
                                          Clock::time_point deadline) {
    if (addresses.size() == 1) co_return co_await run_alone(executor, addresses.front(), deadline);
    const auto race = std::make_shared<Race>(executor, std::move(addresses), deadline);
    race->start_next();
    if (!race->stopped_) {
        ErrorCode ignored;
        co_await race->finish_.async_wait(into(ignored));
    }
    if (race->winner_) co_return std::move(*race->winner_);
    if (!race->stopped_) race->error_ = more_telling(race->error_, ETIMEDOUT);
    race->stop();
    co_return tl::unexpected(race->error_);
}

Task<tl::expected<Socket, int>> Race::run_alone(Executor executor, Tcp::endpoint address,
                                                Clock::time_point deadline) {
    ErrorCode error;
    const auto socket = std::make_shared<Socket>(executor);
    socket->open(address.protocol(), error);
    if (!error) socket->native_non_blocking(true, error);
    if (error) co_return tl::unexpected(error.value());
    const int fd = socket->native_handle();
    const bool stands = ::connect(fd, address.data(), static_cast<socklen_t>(address.size())) == 0;
    if (!stands && errno != EINPROGRESS) co_return tl::unexpected(errno);
    if (stands || stands_already(fd)) co_return std::move(*socket);

    Timer patience(executor, deadline);
    patience.async_wait([weak = std::weak_ptr(socket)](const ErrorCode& aborted) {
        ErrorCode ignored;
        if (const auto late = weak.lock(); late && !aborted) late->close(ignored);
    });
    co_await socket->async_wait(Socket::wait_write, into(error));
    if (!socket->is_open()) co_return tl::unexpected(ETIMEDOUT);
    if (error) co_return tl::unexpected(error.value());
    int result = 0;
    socklen_t size = sizeof result;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &size) != 0) result = errno;
    if (result != 0) co_return tl::unexpected(result);
    co_return std::move(*socket);
}

void Race::start_next() {
    while (!stopped_ && next_ < addresses_.size()) {
        const auto before = running_;
        attempt(addresses_[next_]);
        ++next_;
        if (running_ == before) continue; // failed at once: it takes no turn
        if (next_ == addresses_.size()) return;
        stagger_.expires_after(stagger);
        stagger_.async_wait([self = shared_from_this()](const ErrorCode& error) {
            if (!error) self->start_next();
        });
        return;
    }
    if (running_ == 0) stop();
}

void Race::attempt(const Tcp::endpoint& address) {
    auto& socket = attempts_[next_].emplace(executor_);
    ErrorCode error;
    socket.open(address.protocol(), error);
    if (error) return failed(error.value());
    ++running_;
    socket.async_connect(address, [self = shared_from_this(), number = next_](const ErrorCode& result) {
        self->over(number, result);
    });
}

void Race::over(std::size_t number, const ErrorCode& error) {
    --running_;
    if (stopped_) return;
    if (!error) {
        winner_ = std::move(*attempts_[number]);
        return stop();
    }
    attempts_[number].reset();
    failed(error.value());
    stagger_.cancel();
    start_next();
}

void Race::failed(int error) { error_ = more_telling(error_, error); }

void Race::stop() {
    stopped_ = true;
    for (auto& attempt : attempts_) attempt.reset();
    stagger_.cancel();
    finish_.cancel();
}

} // namespace socksify::relay
