// Every key of the rules file. A key that is not here is an error in a file; one that is here but that
// config.cpp doesn't read is an error in the tests.
#include "policy/config.hpp"

namespace socksify::policy {
namespace {

constexpr std::string_view route =
    R"("direct", "block", the name of an upstream, or a list of such names to try in order)";
constexpr std::string_view timeout = "seconds, from 0.001 to 3600";

constexpr KeyInfo keys[]{
    KeyInfo{"", "$schema", "a text, for editors", ""},
    KeyInfo{"", "upstreams", "an object: a name for each proxy, and an object with its settings", "{}"},
    KeyInfo{"", "rules", "a list of objects", "[]"},
    KeyInfo{"", "default", route, ""},
    KeyInfo{"", "loopback", R"("direct", "block" or "rules")", R"("direct")"},
    KeyInfo{"", "dns", R"("system", "all" or "off")", R"("system")"},
    KeyInfo{"", "learnt_by", R"("user" or "process")", R"("user")"},
    KeyInfo{"", "resolver", R"(a DNS server: host[:port], with [ ] around an IPv6 address)", ""},
    KeyInfo{"", "log", "an object", "{}"},

    KeyInfo{"upstreams.*", "url", proxy_url_form, ""},
    KeyInfo{"upstreams.*", "username", "a text of 1 to 255 octets", ""},
    KeyInfo{"upstreams.*", "password", "a text of at most 255 octets", ""},
    KeyInfo{"upstreams.*", "password_file", "the absolute path of a file; its first line is the password",
            ""},
    KeyInfo{"upstreams.*", "password_env", "the name of an environment variable that holds the password", ""},
    KeyInfo{"upstreams.*", "discover", R"("background", "inline" or "off")", R"("background")"},
    KeyInfo{"upstreams.*", "connect_timeout", timeout, "10"},
    KeyInfo{"upstreams.*", "handshake_timeout", timeout, "30"},
    KeyInfo{"upstreams.*", "discover_timeout", timeout, "3"},
    KeyInfo{"upstreams.*", "feature_lifetime", "whole seconds, from 1 to 31536000 (a year)", "3600"},
    KeyInfo{"upstreams.*", "pipelining", R"("auto", "off" or "always")", R"("auto")"},
    KeyInfo{"upstreams.*", "fast_open", R"("auto" or "off")", R"("auto")"},
    KeyInfo{"upstreams.*", "hold", R"("auto", "off", or how many at most, from 1 to 8)", R"("auto")"},
    KeyInfo{"upstreams.*", "sessions", R"("auto" or "off")", R"("auto")"},
    KeyInfo{"upstreams.*", "without_names", R"("fail" or "resolve")", R"("fail")"},

    KeyInfo{"rules[]", "destination",
            R"(a name, "*.example.org", "*", an address, a network such as "10.0.0.0/8", or a list of them)",
            ""},
    KeyInfo{"rules[]", "port", R"(0 to 65535, a range such as "8000-8999", or a list of them)", ""},
    KeyInfo{"rules[]", "operation", R"("connect" or "bind", or a list of them)", ""},
    KeyInfo{"rules[]", "protocol", R"("tcp" or "udp", or a list of them)", ""},
    KeyInfo{"rules[]", "program",
            "the absolute path of an executable or its last part, * and ? allowed, or a list of them", ""},
    KeyInfo{"rules[]", "route", route, ""},
    KeyInfo{"rules[]", "optimistic", "true or false", "false"},
    KeyInfo{"rules[]", "comment", "a text, for people", ""},

    KeyInfo{"log", "level", R"("off", "error", "info", "debug" or "trace")", R"("error")"},
    KeyInfo{"log", "file", "the absolute path of a file; without it, stderr", ""},
};

constexpr auto packed = pack_keys<keys>();

} // namespace

KeyTable known_keys() noexcept { return KeyTable(packed); }

} // namespace socksify::policy
