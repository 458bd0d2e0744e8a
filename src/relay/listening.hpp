// What a LISTEN has opened: takes peers while there is room, and tells the client of each (doc/wire.md §8).
//
// The session owns it, and runs its coroutines beside its own. A peer that may not come is reset. Further
// ones stay in the kernel's queue while `backlog` of them wait, the relay has as many connections as it may,
// or the client does not read its notes.
#pragma once

#include "relay/open_port.hpp"
#include "relay/tunnel.hpp"
#include "socksify/listen.hpp"

#include <unordered_set>

namespace socksify::relay {

class Listening {
public:
    /// `client` is where notes go to; it outlives this.
    Listening(Context& context, std::shared_ptr<const Config> config, Limits::Listener ticket, OpenPort port,
              const Story& story, Socket& client);
    ~Listening() { close(); }

    /// Until it is closed.
    Task<> accept();
    Task<> write_notes();
    /// How many peers may wait; less or more than the configuration allows is brought to that.
    void set_backlog(std::uint32_t backlog);
    /// Peers that wait are reset.
    void close();

    [[nodiscard]] std::uint64_t peers() const noexcept { return peers_; }

private:
    [[nodiscard]] bool has_room() const noexcept;
    bool offer(Socket& peer, const Endpoint& address);
    Task<> pause();
    void note(const Note& note);

    Context& context_;
    std::shared_ptr<const Config> config_;
    Limits::Listener ticket_;
    Acceptor acceptor_;
    std::uint16_t port_;
    Host client_host_;
    std::string user_;
    Socket& client_;
    std::unordered_set<std::uint32_t> waiting_;
    std::uint32_t backlog_;
    std::vector<std::uint8_t> notes_; ///< not sent yet
    std::uint64_t peers_ = 0;
    Timer room_; ///< never expires: whoever waits for room waits to be cancelled
    Timer news_; ///< the same, for notes
    Timer pause_;
};

} // namespace socksify::relay
