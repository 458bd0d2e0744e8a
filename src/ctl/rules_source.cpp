#include "ctl/rules_source.hpp"

#include "ctl/output.hpp"
#include "ctl/words.hpp"

#include <cstdlib>
#include <unistd.h>

namespace socksify::ctl {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::string user_file() {
    if (const auto base = variable("XDG_CONFIG_HOME"); base.starts_with('/'))
        return base + "/socksify/socksify.json";
    if (const auto home = variable("HOME"); home.starts_with('/'))
        return home + "/.config/socksify/socksify.json";
    return {};
}

/// What stands at each of the places where sys::find_rules() looks, in its order. It decides; this only
/// describes.
std::vector<Place> places_around(const std::string& used) {
    std::vector<Place> out;
    bool is_found = false;
    const auto add = [&](std::string name, std::string state, const std::string& source) {
        const bool is_it = !is_found && source == used;
        if (is_found) state = "not looked at (" + state + ")";
        if (is_it) state = "used";
        is_found |= is_it;
        out.push_back({std::move(name), std::move(state), is_it});
    };

    const char* named = std::getenv("SOCKSIFY_CONFIG");
    const bool no_file = named != nullptr && *named == '\0';
    add("$SOCKSIFY_CONFIG",
        named == nullptr ? "not set"
        : no_file        ? "set, but empty: no rules file"
                         : shown(named),
        named == nullptr || no_file ? "$" : named);
    const auto add_file = [&](const std::string& path) {
        const bool is_there = ::access(path.c_str(), F_OK) == 0;
        add(shown(path), no_file ? "passed over" : is_there ? "there" : "not there", no_file ? "$" : path);
    };
    if (const auto path = user_file(); !path.empty()) add_file(path);
    add_file("/etc/socksify/socksify.json");

    const auto proxy = variable("SOCKSIFY_PROXY");
    add("$SOCKSIFY_PROXY", proxy.empty() ? "not set" : "set", "SOCKSIFY_PROXY");
    for (const char* name : {"ALL_PROXY", "all_proxy"}) {
        const auto url = variable(name);
        const bool is_socks = url.starts_with("socks5://") || url.starts_with("socks5h://");
        add(std::string("$") + name,
            url.empty() ? "not set"
            : is_socks  ? "set"
                        : "set, but not to a socks5 URL",
            name);
    }
    return out;
}

std::string why(const std::vector<Place>& places) {
    std::string before;
    for (const auto& place : places) {
        if (place.is_used)
            return before.empty() ? "it is named by " + place.name : "it is the first that is there";
        before += place.name;
    }
    return "nothing is there";
}

} // namespace

RulesSource load_rules(const Options& options) {
    RulesSource out;
    if (!options.config_file.empty()) {
        out.rules = sys::read_rules_file(options.config_file);
        out.why = "named on the command line";
        out.is_file = true;
    } else if (!options.proxy_url.empty()) {
        out.rules = sys::rules_from_url(options.proxy_url, "-p");
        out.why = "named on the command line";
    } else {
        out.rules = sys::find_rules();
        out.places = places_around(out.rules.source);
        out.why = why(out.places);
        const char* named = std::getenv("SOCKSIFY_CONFIG");
        out.is_file = out.rules.source.starts_with('/') || (named != nullptr && out.rules.source == named);
    }
    return out;
}

std::string why_unusable(const RulesSource& source) {
    std::string out;
    for (const auto& problem : source.rules.problems) out += shown(problem) + '\n';
    return out;
}

std::string route_text(const policy::Config& config, const policy::Action& action) {
    if (action.kind != policy::Action::Kind::via) return std::string(name_of(action.kind));
    std::string out;
    for (const auto upstream : action.upstreams)
        out += (out.empty() ? "via " : ", then ") + config.upstreams[upstream].name;
    return out;
}

std::string url_of(const policy::Upstream& upstream) {
    if (!upstream.socket_path.empty()) return "socks5://localhost" + upstream.socket_path;
    return "socks5://" + Endpoint{upstream.host, upstream.port}.text();
}

std::string described(const policy::Upstream& upstream) {
    auto out = upstream.name + " (" + shown(url_of(upstream));
    if (!upstream.username.empty()) out += ", as " + shown(upstream.username);
    return out + ")";
}

} // namespace socksify::ctl
