#include "relay/tokens.hpp"

#include "relay/password.hpp"

#include <algorithm>
#include <cstring>
#include <unistd.h>

namespace socksify::relay {

Tokens::Session::Session(Bytes of_token, const Host& at, const std::string& of_user,
                         std::string password_hash, std::chrono::seconds for_long)
    : client(at), user(of_user), hash(std::move(password_hash)), lifetime(for_long) {
    std::copy(of_token.begin(), of_token.end(), token.begin());
}

Tokens::Session::~Session() { explicit_bzero(token.data(), token.size()); }

Tokens::Id Tokens::id_of(Bytes token) noexcept {
    Id id = 0;
    std::memcpy(&id, token.data(), sizeof id);
    return id;
}

bool Tokens::has_room(const LimitValues& most, const std::string& user) const noexcept {
    const auto of_user = std::count_if(sessions_.begin(), sessions_.end(),
                                       [&](const auto& entry) { return entry.second.user == user; });
    return sessions_.size() < most.sessions && of_user < most.sessions_per_user;
}

std::optional<Tokens::Opened> Tokens::open(const Config& config, const Host& client, const std::string& user,
                                           Clock::time_point now) {
    std::erase_if(sessions_, [&](const auto& entry) { return now >= entry.second.until; });
    const auto hash = config.auth.users.find(user);
    if (hash == config.auth.users.end() || !has_room(config.limits, user)) return {};
    std::array<std::uint8_t, token_size> token;
    if (::getentropy(token.data(), token.size()) != 0) return {};
    const auto lifetime = config.timeouts.session;
    const auto [session, is_new] =
        sessions_.try_emplace(id_of(token), token, client.unmapped(), user, hash->second, lifetime);
    if (!is_new) return {}; // 64 random bits that were there before
    Opened opened;
    opened.control = std::make_unique<Control>(*this, session->first);
    opened.grant.token.put(token);
    opened.grant.lifetime = static_cast<std::uint32_t>(lifetime.count());
    explicit_bzero(token.data(), token.size());
    return opened;
}

std::optional<std::string> Tokens::user_of(Bytes token, const Config& config, const Host& client,
                                           Clock::time_point now) const {
    if (token.size() != token_size) return {};
    const auto found = sessions_.find(id_of(token));
    if (found == sessions_.end()) return {};
    const auto& session = found->second;
    const bool is_right = equal_in_constant_time(as_text(token), as_text(session.token));
    const auto hash = config.auth.users.find(session.user);
    const bool is_user = hash != config.auth.users.end() && hash->second == session.hash;
    if (!is_right || !is_user || now >= session.until || session.client != client.unmapped()) return {};
    return session.user;
}

Tokens::Control::~Control() {
    if (const auto session = tokens_.sessions_.find(id_); session != tokens_.sessions_.end())
        session->second.until = Clock::now() + session->second.lifetime;
}

} // namespace socksify::relay
