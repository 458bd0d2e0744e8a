#include "relay/waiting_peers.hpp"

#include <poll.h>
#include <sys/random.h>

namespace socksify::relay {
namespace {

/// A peer that has said all it has to say waits like any other; one that was reset does not.
bool is_gone(Socket& socket) {
    pollfd one{socket.native_handle(), 0, 0};
    return ::poll(&one, 1, 0) != 0;
}

std::uint32_t random_id() {
    std::uint32_t id = 0;
    while (id == 0)
        if (::getrandom(&id, sizeof id, 0) != sizeof id) id = 0; // a signal came before the first randomness
    return id;
}

} // namespace

void reset(Socket& socket) {
    ErrorCode ignored;
    socket.set_option(asio::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
}

std::uint32_t WaitingPeers::add(Peer peer) {
    auto id = random_id();
    while (all_.contains(id)) id = random_id();
    all_.emplace(id, std::move(peer));
    watch(id);
    return id;
}

std::optional<WaitingPeers::Peer> WaitingPeers::take(std::uint32_t id, const PeerOwner& who) {
    const auto found = all_.find(id);
    if (found == all_.end() || found->second.owner != who) return {};
    std::optional<Peer> peer(std::move(found->second));
    all_.erase(found);
    ErrorCode ignored;
    peer->socket.cancel(ignored); // the watch
    peer->on_end(id, true);
    return peer;
}

void WaitingPeers::drop(std::uint32_t id) {
    const auto found = all_.find(id);
    if (found == all_.end()) return;
    reset(found->second.socket);
    all_.erase(found);
}

void WaitingPeers::watch(std::uint32_t id) {
    all_.at(id).socket.async_wait(Socket::wait_error, [this, id](const ErrorCode& error) {
        if (error) return; // cancelled, or closed
        const auto found = all_.find(id);
        if (found == all_.end()) return;
        if (!is_gone(found->second.socket)) return watch(id); // urgent data wakes us too
        const auto on_end = std::move(found->second.on_end);
        all_.erase(found);
        on_end(id, false);
    });
}

} // namespace socksify::relay
