#include "relay/tunnel.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace socksify::relay {
namespace {

using namespace std::chrono_literals;

/// After this time a connection is one that stays. Most are over before.
constexpr milliseconds settling_time = 3s;

/// Octets that the other side's kernel has not acknowledged yet, an end of file included.
int unacknowledged(Socket& side) {
    int octets = 0;
    return ioctl(side.native_handle(), SIOCOUTQ, &octets) == 0 ? octets : 0;
}

} // namespace

Tunnel::Tunnel(Context& context, std::shared_ptr<const Config> config, Limits::Connection ticket,
               Socket client, Socket remote, Bytes early, Story story)
    : context_(context),
      config_(std::move(config)),
      ticket_(std::move(ticket)),
      client_(std::move(client)),
      remote_(std::move(remote)),
      story_(std::move(story)),
      up_(context.depot, client_, remote_),
      down_(context.depot, remote_, client_),
      idle_(context.io.get_executor()) {
    up_.flow.put(early);
    context_.ongoing.add(*this);
}

Tunnel::~Tunnel() {
    context_.log.info("closed")
        .add("id", story_.id)
        .add("client", story_.client)
        .add("destination", story_.destination)
        .add("up", up_.flow.octets())
        .add("down", down_.flow.octets())
        .add_seconds("seconds", std::chrono::duration<double>(Clock::now() - begun_).count())
        .add("by", ending_);
    context_.ongoing.remove(*this);
}

void Tunnel::start() {
    const auto self = shared_from_this();
    spawn(context_, self, carry(up_, down_));
    spawn(context_, self, carry(down_, up_));
    const auto most = config_->timeouts.idle;
    idle_.expires_at(begun_ + (most.count() == 0 ? settling_time : std::min(settling_time, most)));
    idle_.async_wait([weak = weak_from_this()](const ErrorCode& error) {
        if (const auto tunnel = weak.lock(); tunnel && !error) tunnel->settle();
    });
}

/// The client's side has inherited its look from the socket that listens.
void Tunnel::settle() {
    look_after(remote_.native_handle(), config_->timeouts.keepalive);
    watch_idleness();
}

void Tunnel::close() {
    if (client_.is_open() && ending_ == "eof") ending_ = "shutdown";
    ErrorCode ignored;
    client_.close(ignored);
    remote_.close(ignored);
}

Task<> Tunnel::carry(Way& way, const Way& back) {
    ErrorCode error;
    // The other side has hardly said something yet: the first look would be in vain.
    if (way.flow.is_empty()) co_await way.from.async_wait(Socket::wait_read, into(error));
    while (!error && way.from.is_open() && way.to.is_open()) {
        const auto before = way.flow.octets();
        const auto next = way.flow.move(way.from.native_handle(), way.to.native_handle());
        if (way.flow.octets() != before) last_move_ = Clock::now();
        switch (next) {
        case Flow::Next::readable: co_await way.from.async_wait(Socket::wait_read, into(error)); continue;
        case Flow::Next::writable: co_await way.to.async_wait(Socket::wait_write, into(error)); continue;
        case Flow::Next::ended:
            // A socket that was reset says so once, maybe to the other direction's send(); after that it says
            // EOF.
            if (back.unwritable) co_await reset(way.to);
            else if (!back.over) way.to.shutdown(Socket::shutdown_send, error); // or close() does it, at once
            break;
        case Flow::Next::reset: co_await reset(way.to); break;
        // What the sink's host has sent before it went lies in our receive buffer: the other direction brings
        // it home.
        case Flow::Next::unwritable: way.unwritable = true; break;
        }
        break;
    }
    way.over = true;
    if (!back.over) co_return;
    idle_.cancel();
    if (way.unwritable) co_await reset(way.from);
}

Task<> Tunnel::reset(Socket& side) {
    ending_ = "reset";
    Timer wait(context_.io.get_executor());
    const auto patience = Clock::now() + config_->timeouts.close;
    while (side.is_open() && unacknowledged(side) > 0 && Clock::now() < patience) {
        ErrorCode ignored;
        wait.expires_after(10ms);
        co_await wait.async_wait(into(ignored));
    }
    ErrorCode ignored;
    side.set_option(asio::socket_base::linger(true, 0), ignored);
    close();
}

void Tunnel::watch_idleness() {
    const auto most = config_->timeouts.idle;
    if (most.count() == 0) return;
    if (Clock::now() >= last_move_ + most) {
        ending_ = "idle";
        return close();
    }
    idle_.expires_at(last_move_ + most);
    idle_.async_wait([weak = weak_from_this()](const ErrorCode& error) {
        if (const auto self = weak.lock(); self && !error) self->watch_idleness();
    });
}

} // namespace socksify::relay
