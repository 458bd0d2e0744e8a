// Sessions (doc/wire.md §9): who may come without a password, and by which token.
//
// A session is a user's at the address that has opened it, and lives as long as its control connection, and
// `timeouts.session` after that. It ends earlier for those who come when the user is no longer in the
// configuration, or has got another password: the token stands for the password that it was given for.
//
// A token is random. Its first octets find the session, as a name would, and are no secret; the others are
// compared in constant time. Sessions whose time is over go when the next one is opened.
#pragma once

#include "relay/config.hpp"
#include "relay/io.hpp"
#include "socksify/session.hpp"

#include <optional>
#include <unordered_map>

namespace socksify::relay {

class Tokens {
public:
    Tokens() = default;
    Tokens(const Tokens&) = delete;
    Tokens& operator=(const Tokens&) = delete;

    /// A session's control connection: when this goes, its time begins to run.
    class Control;
    struct Opened {
        SessionGrant grant;
        std::unique_ptr<Control> control;
    };
    /// For `user` of `config`, at the address `client`. Nothing at a limit, or without randomness.
    std::optional<Opened> open(const Config& config, const Host& client, const std::string& user,
                               Clock::time_point now);
    /// Whose the token is that has come from `client`; nothing if it is not good, for whatever reason.
    [[nodiscard]] std::optional<std::string> user_of(Bytes token, const Config& config, const Host& client,
                                                     Clock::time_point now) const;

    [[nodiscard]] std::size_t sessions() const noexcept { return sessions_.size(); }

private:
    using Id = std::uint64_t;
    static constexpr std::size_t token_size = 32;

    struct Session {
        Session(Bytes of_token, const Host& at, const std::string& of_user, std::string password_hash,
                std::chrono::seconds for_long);
        ~Session(); // wipes the token
        Session(const Session&) = delete;
        Session& operator=(const Session&) = delete;

        std::array<std::uint8_t, token_size> token{};
        Host client;
        std::string user;
        std::string hash; ///< of the password that let the user in
        std::chrono::seconds lifetime;
        Clock::time_point until = Clock::time_point::max();
    };
    static Id id_of(Bytes token) noexcept;
    [[nodiscard]] bool has_room(const LimitValues& most, const std::string& user) const noexcept;

    std::unordered_map<Id, Session> sessions_;
};

class Tokens::Control {
public:
    Control(Tokens& tokens, Id id) noexcept : tokens_(tokens), id_(id) {}
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;
    ~Control();

private:
    Tokens& tokens_;
    Id id_;
};

} // namespace socksify::relay
