#include "relay/listening.hpp"

#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/write.hpp>

namespace socksify::relay {
namespace {

using namespace std::chrono_literals;

/// After a failure that the next accept would find again: no descriptors, no memory, no room.
constexpr auto pause_time = 100ms;
/// Notes that the client has not read, in octets: enough for those of the peers that may wait.
constexpr std::size_t most_notes = 64 * 1024;

} // namespace

Listening::Listening(Context& context, std::shared_ptr<const Config> config, Limits::Listener ticket,
                     OpenPort port, const Story& story, Socket& client)
    : context_(context),
      config_(std::move(config)),
      ticket_(std::move(ticket)),
      acceptor_(std::move(port.acceptor)),
      port_(port.told.port),
      client_host_(story.client.host),
      user_(story.user),
      client_(client),
      backlog_(config_->limits.backlog),
      room_(context.io.get_executor(), Clock::time_point::max()),
      news_(context.io.get_executor(), Clock::time_point::max()),
      pause_(context.io.get_executor()) {}

bool Listening::has_room() const noexcept { return waiting_.size() < backlog_ && notes_.size() < most_notes; }

Task<> Listening::accept() {
    ErrorCode error;
    while (acceptor_.is_open()) {
        if (!has_room()) {
            co_await room_.async_wait(into(error));
            continue;
        }
        Socket peer(context_.io.get_executor());
        Tcp::endpoint from;
        co_await acceptor_.async_accept(peer, from, into(error));
        if (!acceptor_.is_open()) break;
        if (error) {
            if (error != asio::error::connection_aborted) co_await pause();
            continue;
        }
        while (acceptor_.is_open() && !offer(peer, from_asio(from))) co_await pause();
    }
}

Task<> Listening::pause() {
    ErrorCode ignored;
    pause_.expires_after(pause_time);
    co_await pause_.async_wait(into(ignored));
}

/// False if the relay has no room for it now.
bool Listening::offer(Socket& peer, const Endpoint& from) {
    const Endpoint address{from.host.unmapped(), from.port};
    const Caller caller{client_host_, user_, Operation::bind};
    if (!may_come(*config_, caller, {}, address.host, port_)) {
        reset(peer);
        return true;
    }
    auto ticket = context_.limits.admit(client_host_, config_->limits);
    if (!ticket) return false;
    const auto on_end = [this](std::uint32_t id, bool accepted) {
        waiting_.erase(id);
        room_.cancel();
        if (!accepted) note({NoteType::gone, id, {}});
    };
    const auto id = context_.waiting_peers.add(
        {std::move(peer), address, {client_host_, user_}, std::move(*ticket), on_end});
    waiting_.insert(id);
    ++peers_;
    note({NoteType::peer, id, address});
    return true;
}

void Listening::note(const Note& note) {
    const auto octets = encode(note);
    notes_.insert(notes_.end(), octets.bytes().begin(), octets.bytes().end());
    news_.cancel();
}

Task<> Listening::write_notes() {
    ErrorCode error;
    while (acceptor_.is_open()) {
        if (notes_.empty()) {
            co_await news_.async_wait(into(error));
            continue;
        }
        const auto out = std::exchange(notes_, {});
        co_await asio::async_write(client_, asio::buffer(out), into(error));
        if (error) break; // the session sees it too
        room_.cancel();
    }
}

void Listening::set_backlog(std::uint32_t backlog) {
    backlog_ = std::clamp<std::uint32_t>(backlog, 1, config_->limits.backlog);
    room_.cancel();
}

void Listening::close() {
    if (!acceptor_.is_open()) return;
    ErrorCode ignored;
    acceptor_.close(ignored);
    for (const auto id : waiting_) context_.waiting_peers.drop(id);
    waiting_.clear();
    room_.cancel();
    news_.cancel();
    pause_.cancel();
}

} // namespace socksify::relay
