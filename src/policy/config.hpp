// The rules file as a value: which proxies there are, and what goes where. Read from JSON or from one URL;
// reading files and environment variables is the next floor's work.
#pragma once

#include "policy/config_error.hpp"
#include "policy/key_info.hpp"
#include "policy/match.hpp"
#include "policy/proxy_url.hpp"
#include "policy/rule_index.hpp"

#include <chrono>
#include <vector>

namespace socksify::policy {

/// When an upstream is asked for its features (LIST-FEATURES).
enum class Discover : std::uint8_t {
    background, ///< off the program's path, on a connection of its own
    in_line,    ///< "inline": on the program's own connection, which is held and then carries the CONNECT
    off,        ///< never; only RFC 1928 is spoken
};

/// Whether greeting, password and request go to an upstream in one send.
enum class Pipeline : std::uint8_t {
    automatic, ///< "auto": if it has said, or shown, that it takes that
    off,
    always, ///< the user says that it does
};

/// Whether the messages to an upstream go with the SYN (TCP Fast Open, RFC 7413).
enum class FastOpen : std::uint8_t {
    automatic, ///< "auto": pipelined, if its list says that it takes that
    off,
};

/// How many connections to an upstream are held ready, if its list says that it holds them, for a process
/// that connects often.
struct Hold {
    unsigned most = 4;         ///< 0: "off"
    bool however_near = false; ///< a number was given; "auto": where a round trip takes some time
};

/// Whether a session's token takes the password's place, where the proxy's list announces sessions.
enum class Sessions : std::uint8_t { automatic, off };

/// What becomes of a name when the upstream takes addresses only.
enum class WithoutNames : std::uint8_t { fail, resolve };

/// Where a password comes from. At most one is set; none is an empty password.
struct PasswordSource {
    std::string literal;
    std::string file;        ///< absolute path; the password is its first line
    std::string environment; ///< a variable's name
};

/// One proxy.
struct Upstream {
    std::string name;
    Host host;
    std::uint16_t port = default_proxy_port;
    std::string socket_path; ///< absolute path of an AF_UNIX socket; then host and port mean nothing
    std::string username;    ///< 0..255 octets; empty: no password is offered to the proxy (method 00 only)
    PasswordSource password_source;
    std::string password; ///< empty as parsed; floor 2 fills it from the source, with at most 255 octets
    Discover discover = Discover::background;
    std::chrono::milliseconds connect_timeout{10'000};   ///< for the TCP connection to the proxy
    std::chrono::milliseconds handshake_timeout{30'000}; ///< for authentication, and again for the command
    std::chrono::milliseconds discover_timeout{3'000};   ///< for the list of features
    std::chrono::seconds feature_lifetime{3'600}; ///< how long that list, or the lack of one, is believed
    Pipeline pipelining = Pipeline::automatic;
    FastOpen fast_open = FastOpen::automatic;
    Hold hold;
    Sessions sessions = Sessions::automatic;
    WithoutNames without_names = WithoutNames::fail;
    unsigned line = 0; ///< in the rules file; 0 if it came from a URL
};

enum class Protocol : std::uint8_t { tcp, udp, other };
enum class Operation : std::uint8_t { connect, bind };

/// Values of a small enum; the empty set is a constraint that isn't there.
template <class Enum>
class Constraint {
public:
    constexpr void add(Enum value) noexcept { bits_ |= bit(value); }
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
    [[nodiscard]] constexpr bool allows(Enum value) const noexcept {
        return empty() || (bits_ & bit(value)) != 0;
    }

private:
    static constexpr unsigned bit(Enum value) noexcept { return 1U << static_cast<unsigned>(value); }
    unsigned bits_ = 0;
};

struct Action {
    enum class Kind : std::uint8_t { direct, block, via };
    Kind kind = Kind::block;
    std::vector<std::size_t> upstreams; ///< of `via`: indices into Config::upstreams, in order; not empty
    bool optimistic = false; ///< of `via`: connect() does not wait for a proxy that takes early data
};

/// All constraints must hold; one that is empty holds always.
struct Rule {
    std::vector<Destination> destinations;
    std::vector<PortRange> ports;
    Constraint<Operation> operations;
    Constraint<Protocol> protocols;
    std::vector<std::string> programs; ///< for matches_program()
    Action action;
    std::string comment;
    unsigned line = 0;
};

/// What becomes of this machine's own addresses and names, before any rule is looked at.
enum class Loopback : std::uint8_t { direct, block, rules };

/// Which questions that a program sends to port 53 by itself are answered from the name pool.
enum class Dns : std::uint8_t {
    system, ///< those to the machine's own name servers (resolv.conf)
    all,    ///< all
    off,    ///< none: they are datagrams and connections like any other
};

/// Who profits from what is learnt of the proxies: this user's processes, or the one that has learnt it.
enum class LearntBy : std::uint8_t { user, process };

enum class LogLevel : std::uint8_t { off, error, info, debug, trace };
struct Log {
    LogLevel level = LogLevel::error;
    std::string file; ///< absolute path; empty: stderr
};

/// A default-constructed one blocks everything but loopback.
struct Config {
    std::vector<Upstream> upstreams;
    std::vector<Rule> rules; ///< the first that matches wins
    RuleIndex index;         ///< of the rules, where they are many; else empty
    Action otherwise;        ///< "default": if none matches
    Loopback loopback = Loopback::direct;
    Dns dns = Dns::system;
    LearntBy learnt_by = LearntBy::user;
    std::optional<Endpoint> resolver; ///< a DNS server, for questions that the name pool can't answer
    Log log;
};

/// Reads a rules file's text. On failure: all errors that can be found (one to 100), in the file's order.
tl::expected<Config, std::vector<ConfigError>> parse_config(std::string_view json_text);

/// One upstream, "proxy", that everything but loopback goes through: for -p, SOCKSIFY_PROXY and ALL_PROXY.
tl::expected<Config, ConfigError> config_from_url(std::string_view url);

/// All keys of the rules file. Schema, manual and shipped file are tested against this list.
KeyTable known_keys() noexcept;

} // namespace socksify::policy
