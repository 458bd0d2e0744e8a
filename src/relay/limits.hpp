// How much is going on, and whether one more may. Tickets count down when they go.
#pragma once

#include "relay/config.hpp"
#include "relay/io.hpp"

#include <optional>
#include <unordered_map>

namespace socksify::relay {

enum class Refusal : std::uint8_t { connections, per_client };

class Limits {
public:
    explicit Limits(asio::io_context& io) : room_(io.get_executor(), Clock::time_point::max()) {}
    Limits(const Limits&) = delete;
    Limits& operator=(const Limits&) = delete;

    /// A client's connection, from accept to close.
    class Connection;
    /// A connection that has not come to a command yet.
    class Handshake;
    /// What a client may have several of.
    class OfClient;
    using Association = OfClient; ///< for datagrams
    using Listener = OfClient;    ///< for peers

    tl::expected<Connection, Refusal> admit(const Host& client, const LimitValues& most);
    /// Nothing if the client has as many as it may.
    std::optional<Association> admit_association(const Host& client, const LimitValues& most);
    /// Counted for the user, wherever it comes from; for the client where nobody has to say who he is.
    std::optional<Listener> admit_listener(const Host& client, const std::string& user,
                                           const LimitValues& most);
    Handshake begin_handshake();

    [[nodiscard]] bool has_room_for_handshake(const LimitValues& most) const noexcept {
        return handshakes_ < most.handshakes;
    }
    /// Until a handshake is over, or something was cancelled.
    Task<> wait_for_room();
    void cancel_waiting() { room_.cancel(); }

    [[nodiscard]] unsigned connections() const noexcept { return connections_; }
    [[nodiscard]] unsigned handshakes() const noexcept { return handshakes_; }

private:
    /// An IPv4 address, or an IPv6 /64: whoever has one address of it has them all.
    using ClientKey = std::string;
    static ClientKey key_of(const Host& client);
    using PerClient = std::unordered_map<ClientKey, unsigned>;
    /// False, and nothing counted, if there are `most` already.
    static bool count(PerClient& all, const ClientKey& client, unsigned most);
    static void count_down(PerClient& all, const ClientKey& client);
    static std::optional<OfClient> admit(PerClient& all, ClientKey client, unsigned most);

    unsigned connections_ = 0;
    unsigned handshakes_ = 0;
    PerClient per_client_;
    PerClient associations_;
    PerClient listeners_;
    PerClient listeners_of_users_; ///< by name
    Timer room_;                   ///< never expires: whoever waits for room waits to be cancelled
};

class Limits::Connection {
public:
    Connection(Limits& limits, ClientKey client) noexcept : limits_(&limits), client_(std::move(client)) {}
    Connection(Connection&& other) noexcept
        : limits_(std::exchange(other.limits_, nullptr)), client_(std::move(other.client_)) {}
    Connection& operator=(Connection&&) = delete;
    ~Connection();

private:
    Limits* limits_;
    ClientKey client_;
};

class Limits::OfClient {
public:
    OfClient(PerClient& all, ClientKey client) noexcept : all_(&all), client_(std::move(client)) {}
    OfClient(OfClient&& other) noexcept
        : all_(std::exchange(other.all_, nullptr)), client_(std::move(other.client_)) {}
    OfClient& operator=(OfClient&&) = delete;
    ~OfClient();

private:
    PerClient* all_;
    ClientKey client_;
};

class Limits::Handshake {
public:
    explicit Handshake(Limits& limits) noexcept : limits_(&limits) {}
    Handshake(Handshake&& other) noexcept : limits_(std::exchange(other.limits_, nullptr)) {}
    Handshake& operator=(Handshake&&) = delete;
    ~Handshake() { end(); }
    void end() noexcept;

private:
    Limits* limits_;
};

} // namespace socksify::relay
