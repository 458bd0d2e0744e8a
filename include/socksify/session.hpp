// Sessions: who has authenticated once shows a token on later connections, an extension of this project
// (doc/wire.md §9). A connection that is authenticated asks for the token, and stays as the session's control
// connection; method A0 shows it. Only after an FDL announced both: `FeatureList::sessions`.
#pragma once

#include "socksify/socks5.hpp"

namespace socksify {

constexpr std::size_t shortest_token = 16;
constexpr std::size_t longest_token = 255;
/// Random octets of the server's. Who has them is let in: a secret, like a password.
using SessionToken = Message<longest_token>;

// --- server → client, behind the reply to OPEN SESSION: LEN, TOKEN, LIFETIME (4) ---

struct SessionGrant {
    SessionToken token;
    std::uint32_t lifetime = 0; ///< seconds that the token outlives the control connection
};
using SessionGrantMessage = Message<1 + longest_token + 4>;
constexpr SessionGrantMessage encode(const SessionGrant& grant) noexcept {
    SessionGrantMessage out;
    out.put8(static_cast<std::uint8_t>(grant.token.size())).put(grant.token);
    return out.put32(grant.lifetime);
}
/// A token that could be guessed, LEN below 16, is `malformed`.
constexpr Parsed<SessionGrant> parse_session_grant(Bytes in) noexcept {
    if (in.empty()) return need_more(1 + shortest_token + 4);
    const std::size_t length = in[0];
    if (length < shortest_token) return malformed();
    const std::size_t size = 1 + length + 4;
    if (in.size() < size) return need_more(size - in.size());
    SessionGrant grant;
    grant.token.put(in.subspan(1, length));
    grant.lifetime = get32(in.subspan(1 + length));
    return complete(grant, size);
}

// --- client → server, with method A0: VER, LEN, TOKEN. The answer is RFC 1929's: VER, STATUS ---

struct TokenRequest {
    Bytes token; ///< somebody else's memory
};
using TokenMessage = Message<2 + longest_token>;
/// The token is cut at 255 octets.
constexpr TokenMessage encode(const TokenRequest& request) noexcept {
    const auto token = request.token.first(std::min(request.token.size(), longest_token));
    TokenMessage out;
    return out.put8(password_version).put8(static_cast<std::uint8_t>(token.size())).put(token);
}
/// The view points into `in`. A token of any length is one: which of them are good the server knows.
constexpr Parsed<TokenRequest> parse_token_request(Bytes in) noexcept {
    if (!in.empty() && in[0] != password_version) return malformed();
    if (in.size() < 2) return need_more(2 - in.size());
    const std::size_t size = 2U + in[1];
    if (in.size() < size) return need_more(size - in.size());
    return complete(TokenRequest{in.subspan(2, in[1])}, size);
}

} // namespace socksify
