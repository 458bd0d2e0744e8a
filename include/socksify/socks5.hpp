// The messages of RFC 1928 and RFC 1929, each as a value, a writer and a reader with three answers.
#pragma once

#include "socksify/endpoint.hpp"
#include "socksify/reply.hpp"

#include <algorithm>
#include <initializer_list>

namespace socksify {

constexpr std::uint8_t socks_version = 5;
constexpr std::uint8_t password_version = 1; ///< of RFC 1929's messages

/// METHOD (RFC 1928 §3; IANA "SOCKS Methods"). A0 to AF are this project's, like such commands.
enum class Method : std::uint8_t {
    none = 0x00,
    gssapi = 0x01,
    password = 0x02,
    session = 0xa0, ///< session.hpp
    no_acceptable = 0xff,
};

/// CMD (RFC 1928 §4; draft-ietf-aft-socks-ext-00; draft-ietf-aft-mcast-fw-traversal-01 for 04).
/// A0 to AF are this project's, and mean nothing before an FDL with `extension_set` announced them.
enum class Command : std::uint8_t {
    connect = 0x01,
    bind = 0x02,
    udp_associate = 0x03,
    enhanced_udp = 0x04,
    list_features = 0x10,
    open_session = 0xa0, ///< session.hpp
    listen = 0xa1,       ///< this and ACCEPT: listen.hpp
    accept = 0xa2,
};

/// FLAG (the octet that RFC 1928 calls RSV) of LIST-FEATURES: hold the connection for one more command.
constexpr std::uint8_t flag_hold = 0x01;

/// Methods in order of preference, at most 255, none twice.
class MethodList {
public:
    constexpr MethodList() noexcept = default;
    constexpr MethodList(std::initializer_list<Method> methods) noexcept {
        for (const auto method : methods) add(method);
    }
    constexpr void add(Method method) noexcept {
        if (!contains(method) && octets_.size() < octets_.capacity())
            octets_.put8(static_cast<std::uint8_t>(method));
    }
    [[nodiscard]] constexpr bool contains(Method method) const noexcept {
        for (const auto octet : octets_.bytes())
            if (octet == static_cast<std::uint8_t>(method)) return true;
        return false;
    }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return octets_.size(); }
    [[nodiscard]] constexpr bool empty() const noexcept { return octets_.empty(); }
    [[nodiscard]] constexpr Method operator[](std::size_t i) const noexcept {
        return static_cast<Method>(octets_.bytes()[i]);
    }
    [[nodiscard]] constexpr Bytes octets() const noexcept { return octets_; }

private:
    Message<255> octets_;
};

// --- client → server: VER, NMETHODS, METHODS (RFC 1928 §3) ---

struct Greeting {
    MethodList methods;
};
using GreetingMessage = Message<2 + 255>;
template <std::size_t Capacity>
constexpr void put_greeting(Message<Capacity>& out, const MethodList& methods) noexcept {
    out.put8(socks_version, static_cast<std::uint8_t>(methods.size()));
    for (const auto method : methods.octets()) out.put8(method); // one or two, as a rule
}
constexpr GreetingMessage encode(const Greeting& greeting) noexcept {
    GreetingMessage out;
    put_greeting(out, greeting.methods);
    return out;
}
/// NMETHODS of 0 is `malformed`.
constexpr Parsed<Greeting> parse_greeting(Bytes in) noexcept {
    if (!in.empty() && in[0] != socks_version) return malformed();
    if (in.size() < 2) return need_more(2 - in.size());
    if (in[1] == 0) return malformed();
    const std::size_t size = 2U + in[1];
    if (in.size() < size) return need_more(size - in.size());
    Greeting greeting;
    for (const auto octet : in.subspan(2, in[1])) greeting.methods.add(static_cast<Method>(octet));
    return complete(greeting, size);
}

// --- server → client: VER, METHOD (RFC 1928 §3) ---

struct MethodReply {
    Method method = Method::no_acceptable;
};
constexpr Message<2> encode(MethodReply reply) noexcept {
    Message<2> out;
    return out.put8(socks_version).put8(static_cast<std::uint8_t>(reply.method));
}
constexpr Parsed<MethodReply> parse_method_reply(Bytes in) noexcept {
    if (!in.empty() && in[0] != socks_version) return malformed();
    if (in.size() < 2) return need_more(2 - in.size());
    return complete(MethodReply{static_cast<Method>(in[1])}, 2);
}

// --- client → server: VER, ULEN, UNAME, PLEN, PASSWD (RFC 1929 §2) ---

/// Views into somebody else's memory; each 0..255 octets (0 is outside the RFC, but Tor takes it).
struct PasswordRequest {
    std::string_view username;
    std::string_view password;
};
using PasswordMessage = Message<3 + 255 + 255>;
/// Each field is cut at 255 octets; the rules file refuses longer ones.
inline PasswordMessage encode(const PasswordRequest& request) noexcept {
    const auto username = as_bytes(request.username.substr(0, 255));
    const auto password = as_bytes(request.password.substr(0, 255));
    PasswordMessage out;
    out.put8(password_version).put8(static_cast<std::uint8_t>(username.size())).put(username);
    return out.put8(static_cast<std::uint8_t>(password.size())).put(password);
}
/// The views point into `in`.
inline Parsed<PasswordRequest> parse_password_request(Bytes in) noexcept {
    if (!in.empty() && in[0] != password_version) return malformed();
    if (in.size() < 2) return need_more(2 - in.size());
    const std::size_t password_at = 2U + in[1] + 1U;
    if (in.size() < password_at) return need_more(password_at - in.size());
    const std::size_t size = password_at + in[password_at - 1];
    if (in.size() < size) return need_more(size - in.size());
    return complete(
        PasswordRequest{as_text(in.subspan(2, in[1])), as_text(in.subspan(password_at, in[password_at - 1]))},
        size);
}

// --- server → client: VER, STATUS (RFC 1929 §2) ---

struct PasswordReply {
    bool accepted = false;
};
constexpr Message<2> encode(PasswordReply reply) noexcept {
    Message<2> out;
    return out.put8(password_version).put8(reply.accepted ? 0 : 1);
}
/// VER is not looked at: some servers answer 05 there, and curl ignores it too.
constexpr Parsed<PasswordReply> parse_password_reply(Bytes in) noexcept {
    if (in.size() < 2) return need_more(2 - in.size());
    return complete(PasswordReply{in[1] == 0}, 2);
}

// --- client → server: VER, CMD, FLAG, ATYP, DST.ADDR, DST.PORT (RFC 1928 §4; FLAG:
// draft-ietf-aft-socks-pro-v5-00) ---

struct Request {
    Command command = Command::connect;
    std::uint8_t flag = 0;
    Endpoint destination;
};
using RequestMessage = Message<3 + longest_endpoint>;
template <std::size_t Capacity>
constexpr void put_request(Message<Capacity>& out, Command command, std::uint8_t flag,
                           const Endpoint& destination) noexcept {
    out.put8(socks_version, static_cast<std::uint8_t>(command), flag);
    put_endpoint(out, destination);
}
constexpr RequestMessage encode(const Request& request) noexcept {
    RequestMessage out;
    put_request(out, request.command, request.flag, request.destination);
    return out;
}
/// Any CMD and any FLAG is read; what to do with them is the server's business. An unknown ATYP is
/// `malformed`: the message has no known end. `is_unknown_address_type` tells it from the rest. To enter
/// ENHANCED_UDP_MODE "all other fields" are "unused and SHOULD be 0": there ATYP 00 stands for 0.0.0.0:0.
Parsed<Request> parse_request(Bytes in) noexcept;
constexpr bool is_unknown_address_type(Bytes in) noexcept {
    return in.size() >= 4 && in[0] == socks_version && in[3] != 1 && in[3] != 3 && in[3] != 4;
}

// --- server → client: VER, REP, FLAG, ATYP, BND.ADDR, BND.PORT (RFC 1928 §6) ---

struct ReplyMessage {
    Reply reply = Reply::general_failure;
    std::uint8_t flag = 0;
    Endpoint bound;
};
constexpr RequestMessage encode(const ReplyMessage& reply) noexcept {
    RequestMessage out;
    out.put8(socks_version).put8(static_cast<std::uint8_t>(reply.reply)).put8(reply.flag);
    put_endpoint(out, reply.bound);
    return out;
}
constexpr std::size_t shortest_reply = 5; ///< ATYP and the octet after it are in every form
/// `need_more` never asks for an octet beyond the message, so a client that reads exactly what is lacking
/// leaves the next octet to the program.
Parsed<ReplyMessage> parse_reply(Bytes in) noexcept;
/// REP alone, as soon as two octets are there: a failure is final even when the address never comes
/// (shadowsocks-libev answers with four octets, 3proxy before it has read the request).
constexpr std::optional<Reply> early_reply_code(Bytes in) noexcept {
    if (in.size() < 2 || in[0] != socks_version) return {};
    return static_cast<Reply>(in[1]);
}

} // namespace socksify
