// One SOCKS5 handshake, seen from each side, without any I/O: a machine says what to send and takes what was
// received. Both machines live here so that a test can join them in memory.
#pragma once

#include "socksify/features.hpp"
#include "socksify/session.hpp"

namespace socksify {

/// What the client wants of one connection to the proxy.
enum class Exchange : std::uint8_t {
    command,               ///< the command alone
    features,              ///< LIST-FEATURES alone (a probe)
    features_then_command, ///< LIST-FEATURES with FLAG 01, and the command on the held connection
    hold,         ///< LIST-FEATURES with FLAG 01: it is done when the connection waits for its command
    held_command, ///< the command, on a connection on which `hold` was done
};

struct ClientPlan {
    Exchange exchange = Exchange::command;
    Command command = Command::connect;
    std::uint8_t flag = 0; ///< of the command; only what the server has announced
    Endpoint destination;
    /// Of features_then_command: of these and the command the first one is sent that the list doesn't rule
    /// out.
    std::span<const Request> otherwise; ///< owned by the caller while the machine lives
    /// DST of LIST-FEATURES; 0.0.0.0:0 asks for no specific host.
    Endpoint host_of_interest;
    MethodList methods{Method::none}; ///< offered, in this order: none, password and session
    std::string_view username;        ///< for Method::password; the caller's, too
    std::string_view password;
    Bytes token; ///< for Method::session; the caller's, too
    /// The greeting and all messages up to the first command in one send, without an answer in between. Only
    /// for a server that is known to take that, and only with one method offered: with more it means nothing.
    bool pipelined = false;
};

/// Where a handshake stands, or stood when it failed.
enum class Phase : std::uint8_t { greeting, authentication, features, command, over };

/// Why a handshake failed. The connection is of no more use after any of them.
enum class Failure : std::uint8_t {
    none,
    no_acceptable_method,   ///< FF, or a plan without methods: then nothing is sent
    method_not_offered,     ///< the server chose what the client did not offer
    authentication_refused, ///< RFC 1929 STATUS other than 0
    token_refused,          ///< the same to a session's token
    features_refused,       ///< REP other than 0 to LIST-FEATURES
    features_not_a_list,    ///< REP 0, and then octets that are no FDL
    not_held,               ///< the FDL came, but the connection was not held for a command
    not_announced,          ///< the FDL came, and has no such command: nothing more is sent
    command_refused,        ///< REP other than 0: see `reply()`
    closed,                 ///< the server closed the connection before the handshake was over
    malformed,              ///< not SOCKS5
};

/// The client's side. Ask `step()`, do what it says, tell what came of it, until it says done or failed:
///
///     send     → write `out` (in one send), then `sent(n)`
///     receive  → read at most `room` octets (never more: the next one may be the program's), then
///     `received(octets)`,
///                or `ended()` when the server closed, or `broken_off()`
///
/// A BIND is answered twice (RFC 1928 §6), and done twice: when the server listens, `bound()` is where. Then
/// `await_peer()`, and when it is done once more `bound()` is who has come, and the next octet is that
/// peer's.
///
/// An OPEN SESSION is done when `session()` has its token; the connection then only has to stay.
class ClientHandshake {
public:
    explicit ClientHandshake(const ClientPlan& plan);
    /// The same plan for another destination.
    ClientHandshake(const ClientPlan& plan, const Endpoint& destination);

    struct Step {
        enum class What : std::uint8_t { send, receive, done, failed } what;
        Bytes out;            ///< of `send`; valid until the next call
        std::size_t room = 0; ///< of `receive`
    };
    [[nodiscard]] Step step() const noexcept;
    void sent(std::size_t octets) noexcept;
    void received(Bytes in);
    void ended();
    /// In place of `ended()`: the connection was reset, or the caller waits no longer. What the server would
    /// have said is not known.
    void broken_off();
    /// Of a BIND that is done for the first time: goes on to its second reply.
    void await_peer() noexcept;

    /// With what is or will be asked for: the command, or what has taken its place.
    [[nodiscard]] const ClientPlan& plan() const noexcept { return plan_; }
    [[nodiscard]] Command command() const noexcept { return plan_.command; }
    [[nodiscard]] Phase phase() const noexcept { return phase_; }
    [[nodiscard]] Failure failure() const noexcept { return failure_; }
    /// REP of the last reply that came, to whatever command.
    [[nodiscard]] Reply reply() const noexcept { return reply_.reply; }
    /// BND of the command's reply. Zeros from many servers: never show it without a look.
    [[nodiscard]] const Endpoint& bound() const noexcept { return reply_.bound; }
    /// FLAG of that reply: what was granted of the plan's.
    [[nodiscard]] std::uint8_t granted() const noexcept { return reply_.flag; }
    /// Of an OPEN SESSION that is done.
    [[nodiscard]] const SessionGrant& session() const noexcept { return session_; }
    /// The method that the server chose; `no_acceptable` until it did.
    [[nodiscard]] Method method() const noexcept { return method_; }
    /// Whether a whole FDL came. It may have come although the handshake failed (`not_held`).
    [[nodiscard]] bool has_features() const noexcept { return has_features_; }
    [[nodiscard]] FeatureList take_features() noexcept { return std::move(features_); }

private:
    enum class State : std::uint8_t {
        send_greeting,
        send_password,
        send_token,
        send_list_features,
        send_command,
        await_method,
        await_password_reply,
        await_token_reply,
        await_features_reply,
        await_features,
        await_command_reply,
        await_peer_reply,
        await_session,
        done,
        failed,
    };
    void begin();
    void begin(State state);
    void fail(Failure failure) noexcept;
    void after_authentication();
    void on_method(Method method);
    void on_features_reply(const ReplyMessage& reply);
    void on_features_complete();
    [[nodiscard]] bool settle_on_command();
    void on_command_reply(const ReplyMessage& reply);
    /// Takes one message from the front of `unread()`; false if there is no whole one, or none is awaited.
    bool take_message();
    [[nodiscard]] Bytes unread() const noexcept { return in_.bytes().subspan(in_read_); }
    void put_message(State state);
    [[nodiscard]] std::size_t room() const noexcept;

    ClientPlan plan_;
    Message<3 + (3 + 255 + 255) + (3 + longest_endpoint)> out_; // one of each, pipelined
    std::size_t out_sent_ = 0;
    Message<3 + longest_endpoint> in_;
    std::size_t in_read_ = 0;
    ReplyMessage reply_{Reply::succeeded, 0, {}};
    SessionGrant session_;
    FeatureReader reader_;
    FeatureList features_;
    Method method_ = Method::no_acceptable;
    State state_ = State::send_greeting;
    Phase phase_ = Phase::greeting;
    Failure failure_ = Failure::none;
    unsigned ahead_ = 0;                 ///< messages that have left before their turn
    std::optional<std::size_t> lacking_; ///< octets of the message that has begun to come
    bool held_ = false;
    bool has_features_ = false;
    bool peer_is_due_ = false; ///< of a BIND: its second reply has not come
};

inline ClientHandshake::Step ClientHandshake::step() const noexcept {
    switch (state_) {
    case State::send_greeting:
    case State::send_password:
    case State::send_token:
    case State::send_list_features:
    case State::send_command: return {Step::What::send, out_.bytes().subspan(out_sent_), 0};
    case State::await_method:
    case State::await_password_reply:
    case State::await_token_reply:
    case State::await_features_reply:
    case State::await_features:
    case State::await_command_reply:
    case State::await_peer_reply:
    case State::await_session: return {Step::What::receive, {}, room()};
    case State::done: return {Step::What::done, {}, 0};
    case State::failed: break;
    }
    return {Step::What::failed, {}, 0};
}

/// The server's side. `take()` reads at most one message from the front of what the connection has brought
/// and leaves the rest alone, so pipelined, split and early octets all work. Each answer is a message to
/// send, in order.
class ServerHandshake {
public:
    struct Event {
        enum class Kind : std::uint8_t {
            need_more,
            greeting, ///< answer with `choose`
            password, ///< `username()`, `password()` until the next call; answer with `authenticated`
            token,    ///< `token()` until the next call; answer with `authenticated`
            request,  ///< `request()`; answer with `reply`
            unknown_address_type, ///< a request whose end can't be found: answer with `reply`, then close
            malformed,            ///< not SOCKS5: close without a word
        } kind;
        std::size_t size = 0; ///< octets of the input that the message took
    };
    Event take(Bytes in) noexcept;

    [[nodiscard]] const MethodList& offered() const noexcept { return greeting_.methods; }
    /// The first of `allowed` that the client offered, and the answer to it. FF if there is none: then close.
    Message<2> choose(const MethodList& allowed) noexcept;
    [[nodiscard]] Method method() const noexcept { return method_; }

    [[nodiscard]] std::string_view username() const noexcept { return credentials_.username; }
    [[nodiscard]] std::string_view password() const noexcept { return credentials_.password; }
    [[nodiscard]] Bytes token() const noexcept { return token_.token; }
    Message<2> authenticated(bool accepted) noexcept;

    [[nodiscard]] const Request& request() const noexcept { return request_; }
    /// The answer to `request()`. After a LIST-FEATURES with `hold`, one more command may come. A BIND that
    /// succeeded is answered once more, when its peer has come or none will.
    RequestMessage reply(Reply reply, const Endpoint& bound = {}, bool hold = false) noexcept;
    /// The answer to a LISTEN that succeeded; `granted` of its FLAG. Notes follow (listen.hpp).
    RequestMessage listening(const Endpoint& bound, std::uint8_t granted) noexcept;
    /// The answer to an OPEN SESSION that succeeded. Nothing follows on this connection.
    Message<RequestMessage::capacity() + SessionGrantMessage::capacity()>
    session_opened(const SessionGrant& grant) noexcept;

private:
    enum class State : std::uint8_t { greeting, chosen, password, token, checked, request, over };

    State state_ = State::greeting;
    Greeting greeting_;
    PasswordRequest credentials_;
    TokenRequest token_;
    Request request_;
    Method method_ = Method::no_acceptable;
};

} // namespace socksify
