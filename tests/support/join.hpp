// The two handshake machines joined in memory, and a client joined to a proxy that says what a test wrote
// down.
#pragma once

#include "socksify/handshake.hpp"

#include "support/octets.hpp"

#include <doctest/doctest.h>

#include <limits>

namespace socksify::test {

/// The relay as a value: what a server that keeps the rules does with the server machine.
struct Proxy {
    MethodList methods{Method::none};
    std::string username;
    std::string password;
    SessionGrant session; ///< what OPEN SESSION gets, and whose token is good
    bool lists_features = true;
    bool holds = true;
    FeatureList features;
    Reply reply = Reply::succeeded; ///< to anything but LIST-FEATURES
    Endpoint bound;
    Octets first_data; ///< what the destination says as soon as it is connected
};

/// One connection, seen by the proxy: it answers what has arrived, in order.
class Served {
public:
    explicit Served(const Proxy& proxy) : proxy_(proxy) {}

    void arrive(Bytes octets) {
        inbox_ = std::move(inbox_) + octets;
        for (;;) {
            const auto event = machine_.take(inbox_);
            if (event.kind == ServerHandshake::Event::Kind::need_more) return;
            if (closed) return;
            answer(event);
            inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(event.size));
        }
    }

    [[nodiscard]] const Octets& unread() const noexcept {
        return inbox_;
    } ///< after the handshake: early data
    [[nodiscard]] const ServerHandshake& machine() const noexcept { return machine_; }

    Octets outbox;
    bool closed = false;
    std::vector<Request> requests;

private:
    void say(Bytes octets) { outbox = std::move(outbox) + octets; }

    void answer(const ServerHandshake::Event& event) {
        using Kind = ServerHandshake::Event::Kind;
        switch (event.kind) {
        case Kind::need_more: return;
        case Kind::greeting:
            say(machine_.choose(proxy_.methods));
            closed = machine_.method() == Method::no_acceptable;
            return;
        case Kind::password: {
            const bool right =
                machine_.username() == proxy_.username && machine_.password() == proxy_.password;
            say(machine_.authenticated(right));
            closed = !right;
            return;
        }
        case Kind::token: {
            const bool right = hex(machine_.token()) == hex(proxy_.session.token);
            say(machine_.authenticated(right));
            closed = !right;
            return;
        }
        case Kind::request: return serve(machine_.request());
        case Kind::unknown_address_type:
            say(machine_.reply(Reply::address_type_not_supported));
            closed = true;
            return;
        case Kind::malformed: closed = true; return;
        }
    }

    void serve(const Request& request) {
        requests.push_back(request);
        if (request.command == Command::list_features) {
            if (!proxy_.lists_features) {
                say(machine_.reply(Reply::command_not_supported));
                closed = true;
                return;
            }
            const bool hold = proxy_.holds && (request.flag & flag_hold) != 0;
            say(machine_.reply(Reply::succeeded, {}, hold));
            say(proxy_.features.encode());
            closed = !hold;
            return;
        }
        if (request.command == Command::open_session && proxy_.reply == Reply::succeeded)
            return say(machine_.session_opened(proxy_.session));
        say(machine_.reply(proxy_.reply, proxy_.bound));
        closed = proxy_.reply != Reply::succeeded;
        if (!closed) say(proxy_.first_data);
    }

    Proxy proxy_;
    ServerHandshake machine_;
    Octets inbox_;
};

/// A proxy whose answers are written down: after each message of the client the next of them.
class Scripted {
public:
    enum class Then : std::uint8_t { closes, stays };

    Scripted(std::initializer_list<std::string_view> answers, Then then) : then_(then) {
        for (const auto answer : answers) answers_.push_back(octets(answer));
    }
    explicit Scripted(std::vector<Octets> answers, Then then) : answers_(std::move(answers)), then_(then) {}

    void arrive(Bytes octets) {
        messages.push_back(copy(octets));
        if (next_ < answers_.size()) outbox = std::move(outbox) + answers_[next_++];
        if (next_ >= answers_.size()) closed = then_ == Then::closes;
    }

    Octets outbox;
    bool closed = false;
    std::vector<Octets> messages; ///< as the client sent them

private:
    std::vector<Octets> answers_;
    Then then_;
    std::size_t next_ = 0;
};

constexpr auto all_at_once = std::numeric_limits<std::size_t>::max();

struct Talk {
    std::size_t round_trips = 0; ///< how often the client had to wait for the proxy
    bool waits = false;          ///< the client waits for octets that the proxy will never send
};

/// Drives the client until it is done, has failed, or waits in vain. `piece`: octets per delivery, both ways.
template <class Peer>
Talk join(ClientHandshake& client, Peer& peer, std::size_t piece = all_at_once) {
    using What = ClientHandshake::Step::What;
    Talk talk;
    bool sending = false;
    for (;;) {
        const auto step = client.step();
        switch (step.what) {
        case What::done:
        case What::failed: return talk;
        case What::send: {
            REQUIRE(!step.out.empty());
            const auto sent = copy(step.out.first(std::min(piece, step.out.size())));
            client.sent(sent.size());
            peer.arrive(sent);
            sending = true;
            break;
        }
        case What::receive: {
            REQUIRE(step.room > 0);
            talk.round_trips += sending ? 1 : 0;
            sending = false;
            if (peer.outbox.empty() && !peer.closed) {
                talk.waits = true;
                return talk;
            }
            if (peer.outbox.empty()) {
                client.ended();
                break;
            }
            const auto count = std::min({piece, step.room, peer.outbox.size()});
            const auto received = copy(Bytes(peer.outbox).first(count));
            peer.outbox.erase(peer.outbox.begin(), peer.outbox.begin() + static_cast<std::ptrdiff_t>(count));
            client.received(received);
            break;
        }
        }
    }
}

/// The proxy has not let the client in, for that reason: it has closed, and the request went nowhere.
inline void check_not_let_in(const ClientHandshake& client, const Served& served, Failure failure) {
    CHECK(client.step().what == ClientHandshake::Step::What::failed);
    CHECK(client.failure() == failure);
    CHECK(client.phase() == Phase::authentication);
    CHECK(served.requests.empty());
    CHECK(served.closed);
}

} // namespace socksify::test
