// Which rules are in force, and why those.
#pragma once

#include "ctl/options.hpp"
#include "policy/located_json.hpp"
#include "sys/rules.hpp"

namespace socksify::ctl {

/// Somewhere that rules are looked for.
struct Place {
    std::string name;  ///< "$SOCKSIFY_CONFIG", or a file
    std::string state; ///< "not set", "not there", "used", …
    bool is_used = false;
};

struct RulesSource {
    sys::Rules rules;          ///< as the library has them
    std::vector<Place> places; ///< in the order of looking; empty if -c or -p named the rules
    std::string why;           ///< why these, in a few words
    bool is_file = false;      ///< `rules.source` is a path
};

/// Reads the rules that `options` name, or finds them as the library would.
RulesSource load_rules(const Options& options);

/// Adds an error that is about all of the rules, for commands that need them.
std::string why_unusable(const RulesSource& source);

/// One upstream as people may see it: "bastion (socks5://proxy.example:1080, as alice)". Never its password.
std::string described(const policy::Upstream& upstream);
/// "via bastion, then backup", "direct" or "block".
std::string route_text(const policy::Config& config, const policy::Action& action);
/// "socks5://proxy.example:1080".
std::string url_of(const policy::Upstream& upstream);

} // namespace socksify::ctl
