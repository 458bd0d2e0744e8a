// One client, from its first octet to its command's answer. After CONNECT, ACCEPT and the second answer to
// BIND a tunnel takes its place; after UDP ASSOCIATE and LISTEN it stays, and what these have opened ends
// with it.
//
//   greeting → (password or token) → request ─ LIST-FEATURES, held → request …
//                                   ─ LIST-FEATURES, anything refused → polite end
//                                   ─ CONNECT → tunnel
//                                   ─ UDP ASSOCIATE → the client's end, or the association's
//                                   ─ BIND → the peer comes → tunnel
//                                          → the client's end, or that of its patience
//                                   ─ LISTEN → the client's end
//                                   ─ ACCEPT → tunnel
//                                   ─ OPEN SESSION → the client's end
//
// What the client sends too early waits in its buffer, or in the kernel; it is looked at when its turn comes,
// and what is left behind CONNECT belongs to the destination. A *polite end* closes for writing, then reads
// until the client has closed as well: a close with unread octets is a reset, and that could destroy the
// answer on its way.
//
// Time: one timer closes the connection when a phase lasts too long. While the relay itself works (CONNECT)
// it is off.
#pragma once

#include "relay/association.hpp"
#include "relay/listening.hpp"
#include "socksify/handshake.hpp"

namespace socksify::relay {

class Session : public std::enable_shared_from_this<Session>, public Ongoing {
public:
    Session(Context& context, std::shared_ptr<const Config> config, Limits::Connection ticket,
            Limits::Handshake handshake_ticket, Socket client, const Endpoint& address);
    ~Session() override;

    void start();
    void wind_down() override;
    void close() override;

private:
    using Event = ServerHandshake::Event;
    /// What becomes of the connection.
    enum class End : std::uint8_t { handed_over, held, politely, at_once };

    Task<> run();
    Task<End> serve();
    Task<bool> authenticate();
    Task<bool> authenticate_by_token();
    Task<End> connect();
    Task<End> associate();
    Task<End> bind();
    Task<End> listen();
    Task<End> accept();
    Task<End> open_session();
    /// The answer to the client, and a tunnel in this session's place.
    Task<End> join(Socket remote, const Endpoint& address, const Endpoint& told);
    Task<End> answer_list_features();
    Task<End> refuse(Reply reply, std::string_view why);
    [[nodiscard]] bool grants_hold() const noexcept;

    /// The client's next message; `malformed` also for one that never comes.
    Task<Event::Kind> next();
    /// One octet more at least; false at the end.
    Task<bool> read_more();
    /// False if the connection is gone.
    Task<bool> send(Bytes octets);
    Task<> end_politely();
    /// The peer of a BIND; nothing if the client goes before it comes, or waits no longer.
    Task<std::optional<Connected>> await_peer(const PortWish& wish);
    /// Meanwhile: what it sends waits, and its end is the end.
    Task<> watch_client();
    Task<> read_notes();
    /// Reads until there is no more.
    Task<> discard();
    void stop_discarding();

    void expect_within(milliseconds time);
    [[nodiscard]] Caller caller(Operation operation) const {
        return {story_.client.host, story_.user, operation};
    }
    [[nodiscard]] LogLine tell(std::string_view event) const;

    Context& context_;
    std::shared_ptr<const Config> config_;
    Limits::Connection ticket_;
    Limits::Handshake handshake_ticket_;
    Socket client_;
    Timer patience_;
    Clock::time_point due_{}; ///< when that expires
    Story story_;
    ServerHandshake handshake_;
    bool held_ = false;            ///< between two commands
    std::optional<Acceptor> port_; ///< of a BIND that waits for its peer
    std::unique_ptr<Listening> listening_;
    std::unique_ptr<Tokens::Control> control_; ///< of a session that it has opened
    std::array<std::uint8_t, 1024>
        in_; ///< room for the longest message; its octets from begin_ to end_ are unread
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace socksify::relay
