// The server's transitions, all of them:
//
//   greeting → chosen ─ choose: 00 → request, 02 → password, A0 → token, FF → over
//   password, token → checked ─ authenticated: yes → request, no → over
//   request → over ─ reply: LIST-FEATURES held → request, else over (BIND: reply once more)
#include "socksify/handshake.hpp"

namespace socksify {
namespace {

template <class Value>
ServerHandshake::Event event(const Parsed<Value>& message, ServerHandshake::Event::Kind kind) noexcept {
    using Kind = ServerHandshake::Event::Kind;
    switch (message.outcome) {
    case Outcome::complete: return {kind, message.size};
    case Outcome::need_more: return {Kind::need_more, 0};
    case Outcome::malformed: break;
    }
    return {Kind::malformed, 0};
}

} // namespace

ServerHandshake::Event ServerHandshake::take(Bytes in) noexcept {
    switch (state_) {
    case State::greeting: {
        const auto message = parse_greeting(in);
        if (message) {
            greeting_ = message.value;
            state_ = State::chosen;
        }
        return event(message, Event::Kind::greeting);
    }
    case State::password: {
        const auto message = parse_password_request(in);
        if (message) {
            credentials_ = message.value;
            state_ = State::checked;
        }
        return event(message, Event::Kind::password);
    }
    case State::token: {
        const auto message = parse_token_request(in);
        if (message) {
            token_ = message.value;
            state_ = State::checked;
        }
        return event(message, Event::Kind::token);
    }
    case State::request: {
        const auto message = parse_request(in);
        if (message) {
            request_ = message.value;
            state_ = State::over;
        } else if (message.outcome == Outcome::malformed && is_unknown_address_type(in)) {
            state_ = State::over;
            return {Event::Kind::unknown_address_type, in.size()};
        }
        return event(message, Event::Kind::request);
    }
    case State::chosen:
    case State::checked:
    case State::over: break;
    }
    return {Event::Kind::need_more, 0}; // an answer is due first: what has come meanwhile keeps
}

Message<2> ServerHandshake::choose(const MethodList& allowed) noexcept {
    method_ = Method::no_acceptable;
    for (std::size_t i = allowed.size(); i-- > 0;)
        if (greeting_.methods.contains(allowed[i])) method_ = allowed[i];
    switch (method_) {
    case Method::none: state_ = State::request; break;
    case Method::password: state_ = State::password; break;
    case Method::session: state_ = State::token; break;
    default: state_ = State::over; break;
    }
    return encode(MethodReply{method_});
}

Message<2> ServerHandshake::authenticated(bool accepted) noexcept {
    credentials_ = {};
    token_ = {};
    state_ = accepted ? State::request : State::over;
    return encode(PasswordReply{accepted});
}

RequestMessage ServerHandshake::reply(Reply reply, const Endpoint& bound, bool hold) noexcept {
    hold = hold && reply == Reply::succeeded && request_.command == Command::list_features;
    state_ = hold ? State::request : State::over;
    return encode(ReplyMessage{reply, hold ? flag_hold : std::uint8_t{0}, bound});
}

RequestMessage ServerHandshake::listening(const Endpoint& bound, std::uint8_t granted) noexcept {
    state_ = State::over;
    return encode(ReplyMessage{Reply::succeeded, granted, bound});
}

Message<RequestMessage::capacity() + SessionGrantMessage::capacity()>
ServerHandshake::session_opened(const SessionGrant& grant) noexcept {
    state_ = State::over;
    Message<RequestMessage::capacity() + SessionGrantMessage::capacity()> out;
    return out.put(encode(ReplyMessage{Reply::succeeded, 0, {}})).put(encode(grant));
}

} // namespace socksify
