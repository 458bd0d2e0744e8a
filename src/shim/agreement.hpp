// What a listener of the program's has with a proxy: that it listens, and passes on who comes (doc/wire.md
// §8).
//
//   make()     on the program's thread: BIND or LISTEN, as the proxy's list says, until it is answered
//   serve()    from there on the worker carries it on:
//
//     LISTEN   binding → bound → listening          notes come on the connection; each peer gets an Acceptance
//                 ▲        └──┐       │
//                 └─ pausing ◄┴───────┘             refused, or the connection has ended
//     BIND        ▲        │  └→ awaiting → arrived    the connection is the peer's; another one for the next
//                 └────────┴──────────────────┘
//
// Each time that it is asked anew it may be the other command: the list has come meanwhile, or was wrong. The
// port stays the same. Peers that a LISTEN tells of are accepted while there is room among those on their way
// to accept(); others wait at the proxy, of which BACKLOG allows as many once more.
#pragma once

#include "shim/acceptance.hpp"
#include "socksify/listen.hpp"

#include <array>
#include <deque>
#include <string>

namespace socksify::shim {

/// What a listener wants of a proxy.
struct ListenWish {
    std::vector<std::size_t> upstreams; ///< of one of them
    Endpoint wanted;                    ///< the one peer that may come, or zeros, and the port, or 0
    std::optional<Host> told;           ///< where the peer knows the program to be, if it knows it already
    bool one_peer = false;              ///< will come, if any: BIND is the shorter way
    bool both_families = false;         ///< of peers, if the proxy can do that
};

class Agreement final : public sys::worker::Task {
public:
    /// `domain` is that of the program's socket.
    Agreement(int domain, ListenWish wish);

    /// On this thread, until the proxy listens. 0 or errno.
    int make();
    /// What has been agreed, for an agreement that takes this one's place: see `anew`.
    [[nodiscard]] std::string terms() const;
    /// The proxy that they name; nothing if the rules of this program don't have it.
    static std::optional<std::size_t> upstream_of(const sys::Listener& listener) noexcept;
    /// In place of make() and serve(): on the terms of `listener`, the worker is to ask. Null if there is no
    /// such proxy in the rules.
    static std::unique_ptr<Agreement> anew(std::shared_ptr<sys::Listener> listener);
    /// Where the proxy listens, as getsockname() shows it.
    [[nodiscard]] sys::Address local() const;
    /// Before it is the worker's.
    void serve(std::shared_ptr<sys::Listener> listener) noexcept;

    sys::worker::Wait run() override;
    void finish() noexcept override {}
    void abandon(int error) noexcept override;
    [[nodiscard]] bool has_news() const noexcept override;

private:
    enum class Stage : std::uint8_t {
        binding,   ///< until the proxy listens
        bound,     ///< it does, or has refused
        awaiting,  ///< until the peer of a BIND comes
        arrived,   ///< one has, or the proxy has given up
        listening, ///< notes come
        pausing,   ///< until `until_`, and until there is room
    };
    struct Waiting {
        std::uint32_t id;
        Endpoint peer;
    };

    sys::worker::Wait go_on();
    bool begin();
    int try_once();
    void end_connection() noexcept;
    void begin_service() noexcept;
    void pause_before_next_try();
    sys::worker::Wait listen_on();
    bool tell_backlog() noexcept;
    bool read_notes();
    void take(const Note& note);
    void accept_waiting();
    void forget_notes(std::size_t size) noexcept;
    [[nodiscard]] std::optional<Endpoint> proxy() const noexcept;

    int domain_;
    ListenWish wish_;
    std::optional<std::size_t> agreed_; ///< the upstream that listens
    std::shared_ptr<sys::Listener> listener_;
    sys::OwnDescriptor control_;
    std::optional<Dial> dial_;
    std::array<std::uint8_t, 2 * longest_note> notes_{}; ///< not understood yet
    std::size_t notes_size_ = 0;
    std::deque<Waiting> waiting_; ///< at the proxy, and not asked for yet
    int told_backlog_ = 0;
    Stage stage_ = Stage::binding;
    bool waits_for_room_ = false;
    sys::worker::Clock::time_point until_{};
    std::chrono::milliseconds pause_;
};

} // namespace socksify::shim
