// The client's transitions, all of them:
//
//   (nothing to offer → failed)
//   send_greeting → await_method ─ 00 ────────────────────────────────┐
//                         │        02 → send_password → await_password_reply ─ 00 ─┤
//                         │        A0 → send_token → await_token_reply ─ 00 ───────┤
//                         └ FF, not offered → failed                     └ else → failed
//   ┌───────────────────────────────────────────────────────────────────────────────┘
//   ├ Exchange::command → send_command → await_command_reply ─ REP 0 → done, else failed
//   │                       done, of a BIND: await_peer() → await_peer_reply ─ REP 0 → done, else failed
//   │                       of an OPEN SESSION: REP 0 → await_session → done
//   └ else → send_list_features → await_features_reply ─ REP 0 → await_features ─ END ─┐
//                                        └ else → failed                              │
//     features → done;  held: hold → done, features_then_command, and a command listed → send_command …, else
//     → failed ◄─┘
//
//   Exchange::held_command begins with send_command.
//
// A pipelined plan sends with the greeting what it would send next, up to the first command; where the
// diagram has a send_ state for that, it goes on to the answer at once.
//
// A reply whose REP is a failure is final with its second octet: its address says nothing, and never comes
// from some. `ended()` in an await state fails with `closed`; an FDL may end with the connection when it was
// not held.
#include "socksify/handshake.hpp"

#include <utility>

namespace socksify {

ClientHandshake::ClientHandshake(const ClientPlan& plan) : plan_(plan) { begin(); }

ClientHandshake::ClientHandshake(const ClientPlan& plan, const Endpoint& destination) : plan_(plan) {
    plan_.destination = destination;
    begin();
}

void ClientHandshake::begin() {
    if (plan_.exchange == Exchange::held_command) begin(State::send_command);
    // The rules and the FDL may have no method in common; NMETHODS 0 is no message.
    else if (plan_.methods.empty()) fail(Failure::no_acceptable_method);
    else begin(State::send_greeting);
}

/// How many octets may be read now: what the message under way lacks for certain, and what all those that are
/// due behind it have at least.
std::size_t ClientHandshake::room() const noexcept {
    constexpr std::size_t of_a_choice = 2; // the method, or whether password or token are good
    switch (state_) {
    case State::await_method:
        return lacking_.value_or(of_a_choice) + (ahead_ > 1 ? of_a_choice : 0) +
               (ahead_ > 0 ? shortest_reply : 0);
    case State::await_password_reply:
    case State::await_token_reply: return lacking_.value_or(of_a_choice) + (ahead_ > 0 ? shortest_reply : 0);
    case State::await_features:
        return 4096; // nothing but the list can come: the server waits for us, or closes
    case State::await_session: return parse_session_grant(unread()).size;
    default: return lacking_.value_or(shortest_reply);
    }
}

void ClientHandshake::begin(State state) {
    state_ = state;
    switch (state) {
    case State::send_greeting: phase_ = Phase::greeting; break;
    case State::send_password:
    case State::send_token: phase_ = Phase::authentication; break;
    case State::send_list_features: phase_ = Phase::features; break;
    case State::send_command: phase_ = Phase::command; break;
    case State::done: phase_ = Phase::over; return;
    default: return;
    }
    if (ahead_ > 0) {
        --ahead_;
        return sent(0);
    }
    out_.clear();
    out_sent_ = 0;
    put_message(state);
    if (state != State::send_greeting || !plan_.pipelined || plan_.methods.size() != 1) return;
    if (plan_.methods[0] != Method::none) {
        put_message(plan_.methods[0] == Method::session ? State::send_token : State::send_password);
        ++ahead_;
    }
    put_message(plan_.exchange == Exchange::command ? State::send_command : State::send_list_features);
    ++ahead_;
}

void ClientHandshake::put_message(State state) {
    switch (state) {
    case State::send_greeting: put_greeting(out_, plan_.methods); break;
    case State::send_password: out_.put(encode(PasswordRequest{plan_.username, plan_.password})); break;
    case State::send_token: out_.put(encode(TokenRequest{plan_.token})); break;
    case State::send_list_features: {
        const bool hold = plan_.exchange != Exchange::features;
        put_request(out_, Command::list_features, hold ? flag_hold : std::uint8_t{0}, plan_.host_of_interest);
        break;
    }
    case State::send_command: put_request(out_, plan_.command, plan_.flag, plan_.destination); break;
    default: break;
    }
}

void ClientHandshake::fail(Failure failure) noexcept {
    state_ = State::failed;
    failure_ = failure;
}

void ClientHandshake::sent(std::size_t octets) noexcept {
    out_sent_ += octets;
    if (out_sent_ < out_.size()) return;
    switch (state_) {
    case State::send_greeting: state_ = State::await_method; break;
    case State::send_password: state_ = State::await_password_reply; break;
    case State::send_token: state_ = State::await_token_reply; break;
    case State::send_list_features: state_ = State::await_features_reply; break;
    case State::send_command: state_ = State::await_command_reply; break;
    default: break;
    }
}

void ClientHandshake::received(Bytes in) {
    if (state_ == State::await_features) {
        const auto list = reader_.feed(in);
        if (list.outcome == Outcome::malformed) return fail(Failure::features_not_a_list);
        if (!list) return;
        // On a held connection the server waits for our command now: anything more is not what the draft
        // describes.
        if (held_ && list.size < in.size()) return fail(Failure::features_not_a_list);
        return on_features_complete();
    }
    in_.put(in.first(std::min(in.size(), in_.capacity() - in_.size())));
    while (take_message()) {
    }
    in_.drop_front(std::exchange(in_read_, 0));
}

bool ClientHandshake::take_message() {
    const auto parsed = [this](const auto& message, auto then) {
        lacking_.reset();
        switch (message.outcome) {
        case Outcome::need_more: lacking_ = message.size; return false;
        case Outcome::malformed: fail(Failure::malformed); return false;
        case Outcome::complete: break;
        }
        in_read_ += message.size; // what follows is the next message's
        then(message.value);
        return in_read_ < in_.size();
    };
    switch (state_) {
    case State::await_method:
        return parsed(parse_method_reply(unread()), [this](MethodReply reply) { on_method(reply.method); });
    case State::await_password_reply:
        return parsed(parse_password_reply(unread()), [this](PasswordReply reply) {
            if (!reply.accepted) return fail(Failure::authentication_refused);
            after_authentication();
        });
    case State::await_token_reply:
        return parsed(parse_password_reply(unread()), [this](PasswordReply reply) {
            if (!reply.accepted) return fail(Failure::token_refused);
            after_authentication();
        });
    case State::await_session:
        return parsed(parse_session_grant(unread()), [this](const SessionGrant& session) {
            session_ = session;
            begin(State::done);
        });
    case State::await_features_reply:
    case State::await_command_reply:
    case State::await_peer_reply: {
        const bool of_features = state_ == State::await_features_reply;
        auto message = parse_reply(unread());
        // A failure needs no address to be final: neither one of an ATYP that anybody knows, nor a whole one,
        // nor the end of the connection.
        if (!message)
            if (const auto code = early_reply_code(unread()); code && *code != Reply::succeeded)
                message = complete(ReplyMessage{*code, 0, {}}, unread().size());
        return parsed(message, [&](const ReplyMessage& reply) {
            of_features ? on_features_reply(reply) : on_command_reply(reply);
        });
    }
    default: return false;
    }
}

void ClientHandshake::ended() {
    if (state_ == State::await_features && !held_ && reader_.ended() == Outcome::complete)
        return on_features_complete();
    broken_off(); // held, the server meant to stay, and a cut list is a cut list
}

void ClientHandshake::broken_off() {
    switch (state_) {
    case State::await_features:
        // Between two entries there is no telling what would have followed; after a bare FF there is.
        if (!reader_.saw_end()) return fail(Failure::features_not_a_list);
        held_ = false;
        return on_features_complete();
    case State::done:
    case State::failed: return;
    default: return fail(Failure::closed);
    }
}

void ClientHandshake::on_method(Method method) {
    method_ = method;
    if (method == Method::no_acceptable) return fail(Failure::no_acceptable_method);
    if (!plan_.methods.contains(method)) return fail(Failure::method_not_offered);
    switch (method) {
    case Method::none: return after_authentication();
    case Method::password: return begin(State::send_password);
    case Method::session: return begin(State::send_token);
    case Method::gssapi:
    case Method::no_acceptable: break;
    }
    fail(Failure::method_not_offered); // we know no more methods: a plan that offers one is wrong
}

void ClientHandshake::after_authentication() {
    begin(plan_.exchange == Exchange::command ? State::send_command : State::send_list_features);
}

void ClientHandshake::on_features_reply(const ReplyMessage& reply) {
    reply_ = reply;
    if (reply.reply != Reply::succeeded) return fail(Failure::features_refused);
    held_ = plan_.exchange != Exchange::features && (reply.flag & flag_hold) != 0;
    state_ = State::await_features;
}

void ClientHandshake::on_features_complete() {
    features_ = reader_.take();
    has_features_ = true;
    if (plan_.exchange == Exchange::features) return begin(State::done);
    if (!held_) return fail(Failure::not_held);
    if (plan_.exchange == Exchange::hold) return begin(State::done);
    if (!settle_on_command()) return fail(Failure::not_announced);
    begin(State::send_command);
}

/// With the list that has come. False if it leaves nothing to ask for.
bool ClientHandshake::settle_on_command() {
    if (plan_.otherwise.empty()) return features_.supports(plan_.command) != Support::no;
    if (!features_.rules_out({plan_.command, plan_.flag, plan_.destination})) return true;
    for (const auto& [command, flag, destination] : plan_.otherwise) {
        if (features_.rules_out({command, flag, destination})) continue;
        plan_.command = command;
        plan_.flag = flag;
        plan_.destination = destination;
        return true;
    }
    return false;
}

void ClientHandshake::on_command_reply(const ReplyMessage& reply) {
    reply_ = reply;
    if (reply.reply != Reply::succeeded) return fail(Failure::command_refused);
    if (plan_.command == Command::open_session) {
        state_ = State::await_session;
        return;
    }
    peer_is_due_ = plan_.command == Command::bind && state_ == State::await_command_reply;
    begin(State::done);
}

void ClientHandshake::await_peer() noexcept {
    if (state_ != State::done || !peer_is_due_) return;
    state_ = State::await_peer_reply;
    phase_ = Phase::command;
}

} // namespace socksify
