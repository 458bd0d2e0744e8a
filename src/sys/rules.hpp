// The rules that this process lives by: found, read and checked once, at the first network call.
#pragma once

#include "policy/config.hpp"

#include <atomic>
#include <string>
#include <vector>

namespace socksify::sys {

struct Rules {
    policy::Config config;
    std::string source; ///< the file, or the variable that held a URL; for people
    std::string url;    ///< of the proxy, if they were made from that; else empty
    std::string file; ///< absolute path of the file that they were read from, or should have been; else empty
    std::string program; ///< absolute path of the running executable; empty if it can't be told
    bool listen = false; ///< $SOCKSIFY_LISTEN is 1: listeners too go where connections would
    /// Whether these are rules that somebody wrote. Otherwise everything is refused (with ENETUNREACH), and
    /// `problems` says why, a line each.
    bool usable = false;
    /// Not usable for want of something (a descriptor, memory) that may be there the next time.
    bool for_now = false;
    std::vector<std::string> problems;
};

/// Where rules come from, in this order: $SOCKSIFY_CONFIG (set but empty: no file),
/// $XDG_CONFIG_HOME/socksify/socksify.json
/// (~/.config if unset), /etc/socksify/socksify.json, $SOCKSIFY_PROXY, $ALL_PROXY or $all_proxy with a socks5
/// URL. A file that is there but can't be read or is wrong is a problem, never a reason to look further.
Rules find_rules();
/// As `find_rules`, from this file.
Rules read_rules_file(const std::string& path);
/// As `find_rules`, from this URL, which `source` names.
Rules rules_from_url(const std::string& url, const std::string& source);

namespace detail {
extern constinit std::atomic<const Rules*> published_rules;
const Rules& find_own_rules();
} // namespace detail

/// The process's own. The first call reads them, and says on stderr, once, why they are not usable; so does
/// the next if that was for now. What it gives stays for good. Throws std::bad_alloc.
inline const Rules& rules() {
    if (const auto* known = detail::published_rules.load(std::memory_order_acquire)) return *known;
    return detail::find_own_rules();
}

} // namespace socksify::sys
