#include "relay/listener.hpp"

#include "relay/session.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <system_error>

namespace socksify::relay {
namespace {

using namespace std::chrono_literals;

constexpr auto pause_time = 100ms;
constexpr auto quiet_time = 10s;

/// There was one, and it is gone, or somebody else's.
bool goes_by(int error) noexcept {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ECONNABORTED;
}

} // namespace

tl::expected<Fd, std::string> open_listener(const Endpoint& address, bool fast_open) {
    const auto failure = [&] {
        return tl::unexpected("cannot listen on " + address.text() + ": " +
                              std::generic_category().message(errno));
    };
    const auto where = to_asio(address);
    Fd fd(::socket(where.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return failure();
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // [::] and 0.0.0.0 are two addresses, wherever the system's default stands.
    if (address.host.type() == AddressType::ipv6)
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(fd.get(), where.data(), static_cast<socklen_t>(where.size())) != 0) return failure();
    // As many as may be under way; a kernel that has none does without.
    const int pending = 256;
    if (fast_open) setsockopt(fd.get(), IPPROTO_TCP, TCP_FASTOPEN, &pending, sizeof pending);
    if (::listen(fd.get(), SOMAXCONN) != 0) return failure();
    return fd;
}

Endpoint address_of(const Fd& listener) {
    Tcp::endpoint where;
    auto size = static_cast<socklen_t>(where.capacity());
    if (getsockname(listener.get(), where.data(), &size) != 0) return {};
    where.resize(size);
    return from_asio(where);
}

Listener::Listener(Context& context, std::shared_ptr<const Config> config, Fd socket, const Endpoint& wanted)
    : context_(context),
      config_(std::move(config)),
      wanted_(wanted),
      acceptor_(context.io.get_executor()),
      pause_(context.io.get_executor()) {
    send_at_once(socket.get());
    look_after(socket.get(), config_->timeouts.keepalive);
    context_.log.info("listening").add("address", address_of(socket));
    acceptor_.assign(wanted.host.type() == AddressType::ipv4 ? Tcp::v4() : Tcp::v6(), socket.release());
}

void Listener::use(std::shared_ptr<const Config> config) {
    config_ = std::move(config);
    look_after(acceptor_.native_handle(), config_->timeouts.keepalive);
}

void Listener::start() { spawn(context_, shared_from_this(), accept()); }

void Listener::close() {
    ErrorCode ignored;
    acceptor_.close(ignored);
    pause_.cancel();
}

Task<> Listener::accept() {
    while (acceptor_.is_open()) {
        if (!context_.limits.has_room_for_handshake(config_->limits)) {
            co_await context_.limits.wait_for_room();
            continue;
        }
        // Asio would look for another one at once, and an accept() in vain is as dear as one that is not.
        ErrorCode error;
        co_await acceptor_.async_wait(Acceptor::wait_read, into(error));
        if (!acceptor_.is_open()) break;
        Tcp::endpoint address;
        auto size = static_cast<socklen_t>(address.capacity());
        Fd fd(::accept4(acceptor_.native_handle(), address.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) {
            error.assign(errno, asio::system_category());
            if (!goes_by(errno)) co_await pause(error);
            continue;
        }
        address.resize(size);
        Socket client(context_.io.get_executor());
        client.assign(address.protocol(), fd.get(), error);
        if (error) {
            co_await pause(error);
            continue;
        }
        fd.release();
        take(std::move(client), from_asio(address));
    }
}

void Listener::take(Socket client, const Endpoint& address) {
    auto ticket = context_.limits.admit(address.host, config_->limits);
    if (!ticket) {
        if (Clock::now() < quiet_until_) return;
        quiet_until_ = Clock::now() + quiet_time;
        context_.log.warning("limit")
            .add("client", address)
            .add("reached",
                 ticket.error() == Refusal::connections ? "limits.connections" : "limits.per_client");
        return;
    }
    context_.ticker.tick();
    std::make_shared<Session>(context_, config_, std::move(*ticket), context_.limits.begin_handshake(),
                              std::move(client), address)
        ->start();
}

Task<> Listener::pause(const ErrorCode& error) {
    // No descriptors, no memory, or the network is down: the next accept would say the same at once, for
    // ever.
    if (Clock::now() >= quiet_until_) {
        quiet_until_ = Clock::now() + quiet_time;
        context_.log.error("accept").add("error", error.message());
    }
    ErrorCode ignored;
    pause_.expires_after(pause_time);
    co_await pause_.async_wait(into(ignored));
}

} // namespace socksify::relay
