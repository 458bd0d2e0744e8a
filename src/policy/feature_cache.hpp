// What is known of each proxy's features, and for whom it holds (draft-ietf-aft-socks-ext-00, SCOPE).
//
// A Feature Description List answers one question, and its SCOPE says on which circumstances of that question
// the answer depends. What is remembered is therefore an answer, the circumstances under which it was given,
// and a lifetime. It holds for another connection when all circumstances that SCOPE names are the same.
//
// A proxy is asked once per lifetime: whoever wants to ask claims the question with `ask_now`. The first
// question is asked for no specific host. When the answer says that it depends on the destination, it holds
// for nobody's destination; `depends_on` is true from then on, and questions carry the destination.
//
// A value: no clock (time is an argument), no lock (floor 2 has one around it), no system call. A copy made
// by fork is whole, but the claims in it belong to the parent: `give_back_all`.
#pragma once

#include "socksify/features.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace socksify::policy {

/// What an FDL may depend on: the circumstances of a question, or of the connection that wants to know.
struct Circumstances {
    Host client;                  ///< our address on the connection to the proxy
    Method method = Method::none; ///< the authentication method used on it
    Host destination;             ///< a default-constructed host (0.0.0.0) is "not for any specific host"
};

enum class Known : std::uint8_t {
    unknown, ///< never asked, or forgotten, or too long ago
    none,    ///< the proxy has no LIST-FEATURES
    listed,
};

/// Whether a proxy takes greeting, password and request in one segment, as seen (doc/wire.md, "Pipelining").
enum class Pipelining : std::uint8_t { unknown, refused, tolerated };

struct Knowledge {
    using Time = std::chrono::steady_clock::time_point;

    Known known = Known::unknown;
    std::shared_ptr<const FeatureList> features; ///< set exactly when `listed`
    bool adopted = false;                        ///< by what another process has seen
    Pipelining pipelining = Pipelining::unknown; ///< whatever a list says of it
    std::optional<Method> method{};              ///< that the proxy chose when last seen
    /// The same is known until then, of any destination, while the cache's generation is this one. In the
    /// past if it depends on circumstances, or is nothing and somebody is to ask.
    Time until = Time::max();
    std::uint64_t generation = 0;
};

/// All that is known of one proxy, for another process of the same user.
struct Learnt {
    Known known = Known::unknown;
    std::shared_ptr<const FeatureList> features; ///< set exactly when `listed`
    Circumstances at;                            ///< under which it was learnt
    Pipelining pipelining = Pipelining::unknown;
    std::chrono::seconds left{0}; ///< until it is too old
};

/// `upstream` is a small number, the upstream's place in the rules.
class FeatureCache {
public:
    using Time = Knowledge::Time;
    using Lifetime = std::chrono::seconds;

    static constexpr std::size_t most_entries = 1024; ///< one more drops the oldest
    static constexpr Lifetime longest_question{30};   ///< then a claim is void: its owner is gone

    /// All that is known of it for a connection at `at`; what the list does not say holds for any.
    [[nodiscard]] Knowledge find(std::size_t upstream, const Circumstances& at, Time now) const;
    /// The same, but for what it has said of itself.
    [[nodiscard]] Knowledge find_unlisted(std::size_t upstream, Time now) const noexcept;
    /// Another one whenever anything was learnt or forgotten.
    [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }

    /// Whether the last list of that upstream depends on `scope`. If on the destination, LIST-FEATURES must
    /// carry it. Outlives the list, so that the question after the expiry is the right one at once.
    [[nodiscard]] bool depends_on(std::size_t upstream, Scope scope) const noexcept;
    /// The method that was in use when the last list came, or when pipelining was tried: the one to expect
    /// before it has been negotiated.
    [[nodiscard]] std::optional<Method> last_method(std::size_t upstream) const noexcept;
    /// Whether the last list announced held connections; nothing if there has been no list.
    [[nodiscard]] std::optional<bool> held_before(std::size_t upstream) const noexcept;

    /// Claims the question: true for one caller, who then asks and calls `remember`, `remember_none` or
    /// `give_back`. False while something is known for `at`, and while somebody else's claim covers it.
    [[nodiscard]] bool ask_now(std::size_t upstream, const Circumstances& at, Time now);
    /// The question got no answer that says anything of the proxy's features (it could not be reached): the
    /// next caller may ask. `at` as it was claimed.
    void give_back(std::size_t upstream, const Circumstances& at);
    /// In the child of a fork, where none of the askers is.
    void give_back_all() noexcept;

    /// `at` is what the question was really asked with: its destination is the DST of LIST-FEATURES, its
    /// method the one that the proxy chose. Takes the place of all that held for `at` until now.
    void remember(std::size_t upstream, const Circumstances& at, FeatureList list, Time now,
                  Lifetime lifetime);
    /// The proxy has no LIST-FEATURES, for anybody.
    void remember_none(std::size_t upstream, Time now, Lifetime lifetime);

    /// What has been seen of its pipelining, and the method that it chose then.
    void remember_pipelining(std::size_t upstream, Pipelining seen, Method method, Time now,
                             Lifetime lifetime);
    [[nodiscard]] Pipelining pipelining_of(std::size_t upstream, Time now) const noexcept;
    /// Claims to try it: true for one caller, if nothing has been seen of it, and for the next one when the
    /// claim is void.
    [[nodiscard]] bool try_now(std::size_t upstream, Time now);

    /// What another process may rely on. `known` is unknown if all depends on a destination.
    [[nodiscard]] Learnt learnt(std::size_t upstream, Time now) const;
    /// As `remember` and its kin, with what another process has learnt. Nobody here has seen it: `find` says
    /// so.
    void adopt(std::size_t upstream, const Learnt& learnt, Time now);
    /// Forgets what was adopted, and only that.
    void disown(std::size_t upstream);

    /// The proxy contradicted what it had listed: nothing is known any more, for any circumstances, and the
    /// proxy is not asked again before what it said would have expired (it would say the same again).
    void forget(std::size_t upstream, Time now);

    /// The proxy has no such command, as it said when it was given one (REP 07): no use in another.
    void remember_refusal(std::size_t upstream, Command command, Time now, Lifetime lifetime);
    [[nodiscard]] bool is_refused(std::size_t upstream, Command command, Time now) const noexcept;

private:
    /// A bit per circumstance that counts.
    using Mask = std::uint8_t;
    enum class State : std::uint8_t { asked, contradicted, none, listed };

    struct Entry {
        std::size_t upstream = 0;
        Time expires;
        Mask scope = 0;
        State state = State::asked;
        std::shared_ptr<const FeatureList> features;
        Circumstances at; ///< each host in one spelling
        bool adopted = false;

        [[nodiscard]] bool covers(const Circumstances& other) const noexcept;
    };
    /// What stays of an upstream's last list when the list itself has expired.
    struct Habits {
        Mask scope = 0;
        std::optional<Method> method;
        std::optional<bool> held;
        Pipelining pipelining = Pipelining::unknown;
        Time pipelining_expires{};
        Time trial_expires{};
    };

    struct Refusal {
        std::size_t upstream;
        Command command;
        Time expires;
    };

    static Mask scope_of(const FeatureList& list);
    Habits& habits_of(std::size_t upstream);
    void add(Entry entry, Time now);

    std::uint64_t generation_ = 0;
    std::vector<Entry> entries_;    // the oldest first
    std::vector<Habits> habits_;    // by upstream
    std::vector<Refusal> refusals_; // one of each upstream and command
};

} // namespace socksify::policy
