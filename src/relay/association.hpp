// The datagrams of one client (RFC 1928 §§4, 7).
//
//   client ⇄ inside socket ⇄ outside socket for IPv4, outside socket for IPv6 ⇄ destinations
//
// *Inside* is bound to the address at which the client has reached the relay, *outside* to any. An outside
// socket comes when there is something to send by it, and has one port as long as the association lives,
// whatever the destination.
//
// Who may send: the client's address, that of its control connection; from the port that its request named,
// if it named one along with its own address or none, otherwise from that which the first datagram comes from
// (§7 speaks of the address only, but others may share it). Who may answer: destinations.hpp.
//
// A name is resolved once, as long as it is remembered. Datagrams to it wait in the meantime, a few; all
// other datagrams are never kept, and never copied: batch.hpp.
//
// Who owns it: its coroutines, and whoever has asked for it, who ends it when the control connection ends.
// That is not the association's business, so that one connection may have several. It ends itself when
// nothing has gone through it for long enough, and says so by `on_end`. After end() no datagram goes through
// it, and its coroutines end one by one.
#pragma once

#include "relay/connect.hpp"
#include "relay/destinations.hpp"
#include "relay/tunnel.hpp"

namespace socksify::relay {

/// Who may send datagrams to an association.
class Sender {
public:
    /// `address` is the control connection's other end, `expected` what the request has as DST: "the address
    /// and port that the client expects to use to send UDP datagrams on" (RFC 1928 §4). An address that is
    /// not the client's is what it has on the other side of a NAT, and so is the port then.
    Sender(const asio::ip::address& address, const Endpoint& expected);

    [[nodiscard]] bool is(const Udp::endpoint& source) const {
        return source.address() == endpoint_.address() &&
               (source.port() == endpoint_.port() || endpoint_.port() == 0);
    }
    /// `source`, which `is` the sender, has sent something sensible: nobody else is it from now on.
    void settle(const Udp::endpoint& source) { endpoint_ = source; }
    /// Port 0 until one is known.
    [[nodiscard]] const Udp::endpoint& endpoint() const noexcept { return endpoint_; }

private:
    Udp::endpoint endpoint_;
};

class Association : public std::enable_shared_from_this<Association>, public Ongoing {
public:
    /// For the client at the other end of `control`. `story` tells who it is, and `expected` is the request's
    /// DST. On failure: what the client and the log are told.
    static tl::expected<std::shared_ptr<Association>, NotConnected> open(Context& context,
                                                                         std::shared_ptr<const Config> config,
                                                                         const Socket& control, Story story,
                                                                         const Endpoint& expected);
    Association(Context& context, std::shared_ptr<const Config> config, Limits::Association ticket,
                DatagramSocket inside, const Sender& client, Story story);
    ~Association() override;

    /// Where the client is to send to.
    [[nodiscard]] Endpoint bound() const;
    /// It lives on by itself until it is ended.
    void start();
    /// `by` is for the log. Once ended it stays so.
    void end(std::string_view by);
    void close() override { end("shutdown"); }
    /// Called at the end, whoever ends it.
    std::function<void()> on_end;

private:
    struct Outside {
        std::optional<DatagramSocket> socket;
        Outbox* outbox = nullptr; ///< empty between two batches
    };
    /// A name that is being resolved, or waits for its turn.
    struct Lookup {
        std::string key; ///< as in Destinations
        Endpoint destination;
        Clock::time_point deadline; ///< `timeouts.connect` from when it was asked for, turn or not
        std::vector<std::vector<std::uint8_t>> waiting; ///< payloads
        bool under_way = false;
    };

    Task<> carry_up();
    Task<> carry_down(Outside& outside);
    template <class Act>
    void or_drop(Act act);
    void send_up(std::span<std::uint8_t> datagram, const Udp::endpoint& source);
    void send_to(const Finding& finding, std::span<std::uint8_t> payload);
    void send_down(std::span<std::uint8_t> datagram, const Udp::endpoint& source);
    void flush_up();
    void batch_is_over(const Outbox::Sent& sent, Outbox::Sent& total);

    /// What is known of a destination, now at the latest; nothing for a name that is being resolved.
    const Finding* find(Bytes key, const Endpoint& destination);
    [[nodiscard]] Finding judge(const Endpoint& destination, const Host& address);
    void wait_for(Bytes key, const Endpoint& destination, Bytes payload);
    void start_lookups();
    Task<> look_up(std::shared_ptr<Lookup> lookup);
    [[nodiscard]] Finding choose(const Endpoint& destination, const std::vector<Host>& addresses);
    Outside* outside_for(const Udp::endpoint& address);

    void watch_idleness();
    void tell_drops();
    [[nodiscard]] Caller caller() const { return {story_.client.host, story_.user, Operation::udp}; }
    [[nodiscard]] bool has_ended() const noexcept { return !inside_.is_open(); }

    Context& context_;
    std::shared_ptr<const Config> config_;
    Limits::Association ticket_;
    DatagramSocket inside_;
    Sender client_;
    Story story_;
    Outside v4_;
    Outside v6_;
    Destinations destinations_;
    std::vector<std::shared_ptr<Lookup>> lookups_;
    std::size_t waiting_octets_ = 0; ///< in all of them
    unsigned generation_ = 0;        ///< of the relay's own addresses, at the batch's beginning
    Outbox::Sent up_;
    Outbox::Sent down_;
    Drops drops_;
    Timer idle_;
    Clock::time_point begun_ = Clock::now();
    Clock::time_point now_ = begun_; ///< at the batch's beginning
    Clock::time_point last_move_ = begun_;
    Clock::time_point quiet_until_{}; ///< when the log may be told of drops again
};

/// BND of the reply to UDP ASSOCIATE, as `test_behaviour` spoils it.
Endpoint spoil_bound(const Endpoint& bound, const TestBehaviour& test);

} // namespace socksify::relay
