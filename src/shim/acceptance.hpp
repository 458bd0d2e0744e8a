// ACCEPT of one peer that waits at a proxy, on a connection of its own (doc/wire.md §8).
//
//   begin → dialling → dialled       over: passed on, or refused
//     ▲  └────→ failed ◄─┘           the proxy was not reached, or there was no descriptor: some more times,
//     └─ pausing ◄┘                  for the peer waits there as long as the listener does
#pragma once

#include "shim/dial.hpp"
#include "sys/internal_fds.hpp"
#include "sys/listener.hpp"

namespace socksify::shim {

/// Where peers wait: the proxy that has granted LISTEN.
struct WaitingRoom {
    std::size_t upstream = 0;
    std::optional<Endpoint> proxy; ///< where it is; nothing on a UNIX socket
};

class Acceptance final : public sys::worker::Task {
public:
    /// `domain` is that of the program's listener.
    Acceptance(sys::Place place, const WaitingRoom& room, std::uint32_t id, const Endpoint& peer, int domain)
        : place_(std::move(place)), room_(room), id_(id), peer_(peer), domain_(domain) {}

    sys::worker::Wait run() override;
    void finish() noexcept override {}
    void abandon(int error) noexcept override;
    [[nodiscard]] bool has_news() const noexcept override { return place_.listener().is_closed(); }

private:
    enum class Stage : std::uint8_t { begin, dialling, dialled, failed, pausing };

    bool begin();

    sys::Place place_;
    WaitingRoom room_;
    std::uint32_t id_;
    Endpoint peer_;
    int domain_;
    sys::OwnDescriptor connection_;
    std::optional<Dial> dial_;
    Stage stage_ = Stage::begin;
    unsigned tries_ = 0;
    sys::worker::Clock::time_point until_{};
};

} // namespace socksify::shim
