// Every key of the relay's configuration, its values in words, and its default.
#include "relay/config.hpp"

namespace socksify::relay {
namespace {

using policy::KeyInfo;

constexpr std::string_view flag = "true or false";
constexpr std::string_view seconds = "seconds, from 0.001 to 86400";
constexpr std::string_view seconds_or_none = "seconds, from 0.001 to 31536000 (a year), or 0 for no limit";
constexpr std::string_view own_addresses = "an IPv4 or IPv6 address, or a list of one of each";
constexpr std::string_view zeros = R"(["0.0.0.0", "::"])";
constexpr std::string_view text255 = "a text of at most 255 octets";
constexpr std::string_view octets = "octets in hexadecimal digits";

constexpr std::array keys{
    KeyInfo{"", "$schema", "a text, for editors", ""},
    KeyInfo{"", "listen",
            R"(an address with a port such as "127.0.0.1:1080" or "[::1]:1080", or a list of them)",
            R"("127.0.0.1:1080")"},
    KeyInfo{"", "insecure_open", flag, "false"},
    KeyInfo{"", "auth", "an object", "{}"},
    KeyInfo{"", "features", "an object", "{}"},
    KeyInfo{"", "server", "an object", "{}"},
    KeyInfo{"", "hosts", "an object: names, and for each an address or a list of addresses", "{}"},
    KeyInfo{"", "rules", "a list of objects", "[]"},
    KeyInfo{"", "inbound", "an object", "{}"},
    KeyInfo{"", "guard_own_host", flag, "true"},
    KeyInfo{"", "limits", "an object", "{}"},
    KeyInfo{"", "timeouts", "an object", "{}"},
    KeyInfo{"", "log", "an object", "{}"},
    KeyInfo{"", "test_behaviour", "an object", "{}"},

    KeyInfo{"auth", "methods", R"("none" or "password", or a list of them)", R"("none")"},
    KeyInfo{
        "auth", "users",
        R"(an object: names of 1 to 255 octets, and for each what "socksify-relay --hash-password" prints)",
        "{}"},
    KeyInfo{"auth", "remember", "whole seconds, from 0 to 86400", "300"},

    KeyInfo{"features", "list_features", flag, "true"},
    KeyInfo{"features", "hold", flag, "true"},
    KeyInfo{"features", "names", flag, "true"},
    KeyInfo{"features", "ipv4", flag, "true"},
    KeyInfo{"features", "ipv6", flag, "true"},
    KeyInfo{"features", "udp", flag, "true"},
    KeyInfo{"features", "bind", flag, "false"},
    KeyInfo{"features", "listen", flag, "false"},
    KeyInfo{"features", "sessions", flag, "false"},
    KeyInfo{"features", "fast_open", flag, "false"},
    KeyInfo{"features", "per_destination", flag, "false"},

    KeyInfo{"server", "hostname", text255, R"("")"},
    KeyInfo{"server", "url", text255, R"("")"},
    KeyInfo{"server", "opaque_id", text255, R"("")"},
    KeyInfo{"server", "load", flag, "false"},

    KeyInfo{"rules[]", "client",
            R"(an IPv4 or IPv6 address, a network such as "10.0.0.0/8", or a list of them)", ""},
    KeyInfo{"rules[]", "user", "the name of a user, or a list of them", ""},
    KeyInfo{
        "rules[]", "destination",
        R"(a name, "*.example.org", "*", an IPv4 or IPv6 address, a network such as "10.0.0.0/8", or a list of them)",
        ""},
    KeyInfo{"rules[]", "port", R"(a number from 0 to 65535, a range such as "8000-8999", or a list of them)",
            ""},
    KeyInfo{"rules[]", "operation", R"("connect", "udp" or "bind", or a list of them)", ""},
    KeyInfo{"rules[]", "action", R"("allow" or "deny")", ""},
    KeyInfo{"rules[]", "comment", "a text, for people", ""},

    KeyInfo{"inbound", "address", own_addresses, zeros},
    KeyInfo{"inbound", "advertise", own_addresses, zeros},
    KeyInfo{"inbound", "ports", R"(a number from 1 to 65535, a range such as "8000-8999", or a list of them)",
            R"("1024-65535")"},

    KeyInfo{"limits", "connections", "a number from 1 to 1000000", "8192"},
    KeyInfo{"limits", "per_client", "a number from 1 to 1000000", "4096"},
    KeyInfo{"limits", "handshakes", "a number from 1 to 1000000", "1024"},
    KeyInfo{"limits", "lookups", "a number from 1 to 256", "16"},
    KeyInfo{"limits", "associations", "a number from 1 to 1000000", "1024"},
    KeyInfo{"limits", "destinations", "a number from 1 to 1000000", "1024"},
    KeyInfo{"limits", "listeners", "a number from 1 to 1000000", "32"},
    KeyInfo{"limits", "backlog", "a number from 1 to 65535", "128"},
    KeyInfo{"limits", "sessions", "a number from 1 to 1000000", "1024"},
    KeyInfo{"limits", "sessions_per_user", "a number from 1 to 1000000", "64"},
    KeyInfo{"limits", "busy_poll_us", "microseconds, a number from 0 to 1000", "100"},

    KeyInfo{"timeouts", "handshake", seconds, "15"},
    KeyInfo{"timeouts", "held", seconds, "60"},
    KeyInfo{"timeouts", "connect", seconds, "20"},
    KeyInfo{"timeouts", "idle", seconds_or_none, "86400"},
    KeyInfo{"timeouts", "udp_idle", seconds_or_none, "86400"},
    KeyInfo{"timeouts", "bind", seconds_or_none, "86400"},
    KeyInfo{"timeouts", "close", "seconds, from 0.001 to 5", "5"},
    KeyInfo{"timeouts", "drain", seconds, "30"},
    KeyInfo{"timeouts", "session", "whole seconds, from 0 to 86400", "300"},
    KeyInfo{"timeouts", "keepalive", "whole seconds, from 1 to 32767, or 0 for none", "300"},

    KeyInfo{"log", "level", R"("off", "error", "warning", "info" or "debug")", R"("info")"},

    KeyInfo{"test_behaviour", "list_features",
            R"("honest", "refuse", "general_failure", "close", "silence", "four_octets" or "garbage")",
            R"("honest")"},
    KeyInfo{"test_behaviour", "list_end", R"("whole", "tag_only" or "none")", R"("whole")"},
    KeyInfo{"test_behaviour", "list_instead", octets, R"("")"},
    KeyInfo{"test_behaviour", "list_also", octets, R"("")"},
    KeyInfo{"test_behaviour", "break_hold", flag, "false"},
    KeyInfo{"test_behaviour", "reply_delay_ms", "milliseconds, a number from 0 to 60000", "0"},
    KeyInfo{"test_behaviour", "associate_bound", R"("honest", "unspecified", "other_family" or "no_port")",
            R"("honest")"},
    KeyInfo{"test_behaviour", "datagram_source", R"("honest", "name" or "client")", R"("honest")"},
};

constexpr auto packed = policy::pack_keys<keys>();

} // namespace

policy::KeyTable known_keys() noexcept { return policy::KeyTable(packed); }

} // namespace socksify::relay
