// Which rule a connection falls under, and what to answer when a program asks for a name's address.
#pragma once

#include "policy/config.hpp"

namespace socksify::policy {

/// What a program is about to do. Refers to its owner's memory.
struct Query {
    const Host& host;
    std::uint16_t port; ///< host order; 0 in a bind: any
    Operation operation;
    Protocol protocol;
    std::string_view program; ///< absolute path of the executable; empty: unknown, and no "program" matches
};

/// Of Decision::rule, where no rule decided.
constexpr int by_default = -1;
constexpr int by_loopback = -2;

struct Decision {
    const Action* action; ///< never null; lives as long as the Config
    int rule;             ///< index into Config::rules, `by_default` or `by_loopback`
};

/// The first rule that matches decides. Allocates nothing; thousands of rules cost little more than ten
/// (rule_index.hpp). A connection to 0.0.0.0 or :: is loopback: the kernel takes them for this machine.
Decision route(const Config& config, const Query& query) noexcept;

/// As `route`, of a socket that listens: only a rule that speaks of listeners ("operation": "bind"), or
/// "loopback". Nothing if there is none.
std::optional<Decision> route_listener(const Config& config, const Query& query) noexcept;

enum class NameAnswer : std::uint8_t { locally, from_pool };

/// When a program asks for `name`, port and protocol are not known yet. `locally` only if each connection to
/// it would be direct whatever they are; then the machine's resolver may be asked. For an address: `locally`.
NameAnswer answer_name(const Config& config, const Host& name, std::string_view program) noexcept;

/// Whether each connection that `program` can make would be direct: then nothing is lost if the library is
/// not in it. Loopback counts as direct unless the rules speak of it.
bool is_always_direct(const Config& config, std::string_view program) noexcept;

/// Why it was decided so: "rule 3 (line 17)", counted from 1, with the rule's comment if there is one; "the
/// default"; "loopback".
std::string reason(const Config& config, const Decision& decision);

/// One sentence for people: "rule 3 (line 17) matches: via bastion, then backup".
std::string explain(const Config& config, const Query& query);

} // namespace socksify::policy
