// What to say to a proxy, given what is known of it: every decision that a Feature Description List takes
// part in.
#pragma once

#include "policy/config.hpp"
#include "policy/feature_cache.hpp"
#include "policy/session_cache.hpp"
#include "socksify/handshake.hpp"

#include <span>

namespace socksify::policy {

/// Whether, and where, LIST-FEATURES is asked on the way to a destination.
enum class Ask : std::uint8_t {
    no,
    on_this_connection, ///< with FLAG 01: the draft's persistent connection then carries the command
    on_its_own,         ///< by the worker, off the program's path
};

struct Plan {
    /// An errno: the proxy can't do it, as it said itself. No connection is made.
    int refusal = 0;
    /// The destination is a name, the proxy takes none, and the rules let us resolve it here. `only_ipv4` if
    /// the proxy takes no IPv6 address either.
    bool resolve_first = false;
    bool only_ipv4 = false;
    /// What is pipelined may go with the SYN.
    bool fast_open = false;
    /// Connections that the proxy holds may carry it: see shim/held.hpp.
    bool may_be_held = false;
    /// It authenticates by password, for which a session's token would do.
    bool may_use_session = false;
    /// A list has a part in it: a refusal may contradict that.
    bool relies_on_features = false;
    /// Pipelined, though the proxy has not said to this process that it may be.
    bool is_trial = false;
    /// The proxy's list says that it takes what the program sends behind the messages.
    bool takes_early_data = false;
    /// Refers to the upstream's credentials.
    ClientPlan handshake;
    /// What the handshake's refers to, if there is any.
    std::vector<Request> otherwise{};
};

/// Pipelined if the upstream is known to take it. Then one method is offered: the one that the upstream has
/// chosen before, or, where that is not known but the rules say "always", the password if there is one.
/// `only_method` restricts what is offered: a list whose SCOPE has the method holds for a connection with
/// that method.
Plan make_plan(const Upstream& upstream, const Knowledge& known, Command command, const Endpoint& destination,
               std::optional<Method> only_method = {});

/// Of several ways to ask for the same, the first that `features` doesn't rule out; `first` if it rules out
/// all of them. Without a list, what only a list can announce is ruled out.
const Request& pick(const Request& first, std::span<const Request> otherwise, const FeatureList* features);

/// Whether connect() need not wait for the proxy's answer ("optimistic" in a rule): the plan leaves nothing
/// to be decided between its messages, and the proxy takes what the program sends behind them.
bool may_be_optimistic(const Plan& plan) noexcept;

/// What the cache has for a connection through an upstream.
struct Found {
    Circumstances at; ///< which an answer has to hold for
    Knowledge known;
    std::optional<Method> only_method{}; ///< the list holds for a connection with this one
};
/// `at` without its method: that is the one to expect.
Found look_up(const FeatureCache& cache, std::size_t index, const Upstream& upstream, Circumstances at,
              FeatureCache::Time now);

/// Whether something is left to be asked on the next connect(): for a list, or, of a proxy that has none, how
/// it takes several messages at once.
bool leaves_a_question(const Upstream& upstream, const Knowledge& known) noexcept;
bool leaves_pipelining_to_ask(const Upstream& upstream, const Knowledge& known) noexcept;

/// The methods that the upstream's credentials allow, cheapest first, less those that `features` rules out.
MethodList methods_to_offer(const Upstream& upstream, const FeatureList* features);

/// The same plan by the session's token, which is to live as long.
ClientPlan by_session(ClientPlan plan, const Session& session);

/// The plans of connects that were, for those that come: make_plan() says the same again for another
/// destination with an address of the same type, as long as nothing else is known of the upstream.
///
/// A value, as the cache is: whoever locks that, locks this.
class ReadyPlans {
public:
    using Pointer = std::shared_ptr<const Plan>;

    /// Null if there is none that still holds.
    [[nodiscard]] Pointer find(std::size_t upstream, AddressType type, const FeatureCache& cache,
                               FeatureCache::Time now) const noexcept;
    /// Of a plan that `known` has led to. One that refuses, or needs a look-up first, is for once.
    void keep(std::size_t upstream, AddressType type, const Knowledge& known, Pointer plan);

private:
    struct Ready {
        Pointer plan;
        std::uint64_t generation = 0;
        FeatureCache::Time until{};
    };
    std::vector<std::array<Ready, 3>> ready_; // by upstream, and by the type of the destination's address
};

/// What a proxy knows of the client after authentication: a session's user is the password's.
constexpr Method as_who(Method method) noexcept {
    return method == Method::session ? Method::password : method;
}

/// Whether to ask now, when nothing is known. `held_before`: whether the last list, if there was one,
/// announced held connections; a proxy that is known to hold is asked on the program's own connection, at the
/// price of one round trip and of no connection; one that is known not to is asked on its own.
constexpr Ask how_to_ask(Discover discover, std::optional<bool> held_before) noexcept {
    switch (discover) {
    case Discover::off: return Ask::no;
    case Discover::in_line: return held_before.value_or(true) ? Ask::on_this_connection : Ask::on_its_own;
    case Discover::background: return held_before.value_or(false) ? Ask::on_this_connection : Ask::on_its_own;
    }
    return Ask::no;
}
static_assert(how_to_ask(Discover::background, {}) == Ask::on_its_own);
static_assert(how_to_ask(Discover::in_line, false) == Ask::on_its_own);

/// What a failed handshake says, and what to do about it.
struct Consequence {
    enum class Next : std::uint8_t {
        give_up,       ///< the proxy answered for the destination: `error` is final
        next_upstream, ///< the proxy itself is of no use
        again_plainly, ///< a fresh connection, without what we believed or asked
    } next;
    int error; ///< errno
};

/// `relied_on_features`: the handshake was planned with a list, so a refusal may contradict it.
Consequence consequence_of(const ClientHandshake& handshake, bool relied_on_features);

/// Whether a pipelined exchange may have failed for being pipelined. The same on a fresh connection, one
/// message after the other, tells.
bool may_be_for_pipelining(Failure failure, bool relied_on_features) noexcept;

/// Whether an exchange by a session's token may have failed for that: it has not come to its command. The
/// same by password, on a fresh connection, tells.
constexpr bool may_be_for_session(Phase phase, Failure failure) noexcept {
    return failure != Failure::none && (phase == Phase::greeting || phase == Phase::authentication);
}

/// What a pipelined exchange that is over has shown of the server. Silence is the caller's to judge: there
/// the second message was lost.
enum class PipeliningSeen : std::uint8_t {
    tolerated, ///< what came behind the greeting was answered
    refused,
    nothing, ///< closed behind the greeting's answer: some servers answer a command so, or its absence
};
PipeliningSeen seen_of_pipelining(const ClientHandshake& burst) noexcept;

/// Whether `failure` of an exchange that asked LIST-FEATURES, in `phase`, tells that the proxy has no such
/// command (every way that real servers say no; doc/wire.md).
constexpr bool says_no_features(Phase phase, Failure failure) noexcept {
    return phase == Phase::features && failure != Failure::none && failure != Failure::not_held &&
           failure != Failure::not_announced;
}

} // namespace socksify::policy
