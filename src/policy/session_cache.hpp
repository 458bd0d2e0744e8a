// The sessions that a process has with its proxies (doc/wire.md §9): the token that spares it the password,
// and whether it is time to ask for one.
//
// One session for each upstream, which is a proxy and credentials. It is asked for when a process connects by
// password for the second time, so that one that lives for a single connect, as curl, does not pay for what
// it can't use. Its token is good as long as the control connection stands, and for its lifetime after that.
// Whoever finds that it is refused says so, and a connect by password opens the next, a while later: a proxy
// that was started anew has forgotten it, but one that sees the process come from several addresses would
// refuse the next as well. One that has never taken the token is left alone for longer.
//
// A value: no clock, no lock (floor 2 has one around it). After fork the child's copy has the tokens, but
// neither the control connections nor the claims: `leave_to_parent`.
#pragma once

#include "socksify/session.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

namespace socksify::policy {

/// A token, and what its users have seen of it.
struct Session {
    explicit Session(Bytes octets) noexcept { token.put(octets); }

    SessionToken token;
    std::atomic<bool> has_worked{false};
    std::atomic<bool> is_refused{false}; ///< its control connection is of no use
};

class SessionCache {
public:
    using Time = std::chrono::steady_clock::time_point;
    using Lifetime = std::chrono::seconds;

    static constexpr Lifetime longest_question{30}; ///< then a claim is void: its owner is gone
    static constexpr Lifetime after_refusal{60};
    static constexpr Lifetime after_failure{
        600}; ///< until a proxy is asked again that gave none, or a bad one
    static constexpr unsigned connects_before = 2;

    /// Null if there is none.
    [[nodiscard]] std::shared_ptr<Session> find(std::size_t upstream, Time now) const;

    /// A connect by password is over, where a session could have been used. True for one caller, when it is
    /// time to open one; it then calls `opened` or `failed`.
    [[nodiscard]] bool open_now(std::size_t upstream, Time now);
    std::shared_ptr<Session> opened(std::size_t upstream, const SessionGrant& grant);
    void failed(std::size_t upstream, Time now);
    /// The control connection of `session` has ended, if it is still that one.
    void control_ended(std::size_t upstream, const std::shared_ptr<Session>& session, Time now);

    /// The proxy does not take it, if it is still that one.
    void refused(std::size_t upstream, const std::shared_ptr<Session>& session, Time now);

    /// In the child of a fork.
    void leave_to_parent() noexcept;

private:
    struct Entry {
        std::shared_ptr<Session> session;
        Time until{}; ///< of the session
        Lifetime lifetime{0};
        Time ask_from{}; ///< for the next one
        unsigned connects = 0;
    };
    Entry& entry_of(std::size_t upstream);

    std::vector<Entry> entries_; // by upstream
};

} // namespace socksify::policy
