// What the relay does, as a value, and how it is read from JSON.
//
// Every key is in config_keys.cpp with its default; conf/relay.json, conf/relay.schema.json and the manual
// are tested against that list.
#pragma once

#include "policy/config_error.hpp"
#include "policy/key_info.hpp"
#include "relay/access.hpp"
#include "relay/log.hpp"
#include "socksify/socks5.hpp"

#include <chrono>
#include <map>

namespace socksify::relay {

using std::chrono::milliseconds;

struct Authentication {
    /// In the relay's order of preference; before those of the file the one for sessions, where these are
    /// on.
    MethodList methods{Method::none};
    std::map<std::string, std::string> users; ///< name → hash (crypt(5))
    std::chrono::seconds remember{300};       ///< how long a password that was right need not be hashed again
};

/// What the relay can do. Each that is off makes it a lesser server.
struct Offered {
    bool list_features = true;
    bool hold = true; ///< LIST-FEATURES may hold the connection for one more command
    bool names = true;
    bool ipv4 = true;
    bool ipv6 = true;
    bool udp = true;        ///< UDP ASSOCIATE
    bool bind = false;      ///< BIND: a peer comes to the client
    bool listen = false;    ///< LISTEN and ACCEPT: many do
    bool sessions = false;  ///< who has shown a password gets a token for later connections
    bool fast_open = false; ///< what comes with a SYN is taken (RFC 7413), if the kernel does
    bool per_destination =
        false; ///< the feature list says whether the rules let CONNECT and datagrams to the host of interest

    friend bool operator==(const Offered&, const Offered&) = default;
};

/// What the feature list tells of the server; an empty text is not told.
struct ServerTexts {
    std::string hostname;
    std::string url;
    std::string opaque_id;
    bool load = false; ///< connections as a fraction of the most that are taken

    friend bool operator==(const ServerTexts&, const ServerTexts&) = default;
};

/// Where the listeners are that clients ask for. Of each family one address at most.
struct Inbound {
    std::vector<Host> address{Host::ipv4({}),
                              Host::ipv6({})}; ///< that is listened on; zeros: all of the host's
    std::vector<Host> advertise{Host::ipv4({}),
                                Host::ipv6({})}; ///< that clients are told; zeros: see open_port.hpp
    std::vector<policy::PortRange> ports{{1024, 65535}};
};

struct LimitValues {
    unsigned connections = 8192;  ///< in all; one more is closed at once
    unsigned per_client = 4096;   ///< the same, for one IPv4 address or one IPv6 /64
    unsigned handshakes = 1024;   ///< that have not come to a command yet; at the limit nothing is accepted
    unsigned lookups = 16;        ///< names that are resolved at the same time
    unsigned associations = 1024; ///< for datagrams, of one client
    unsigned destinations = 1024; ///< that an association remembers
    unsigned listeners = 32;      ///< for peers, of one user or client
    unsigned sessions = 1024;     ///< in all
    unsigned sessions_per_user = 64;
    unsigned backlog = 128;                   ///< peers that wait at one of them to be accepted
    std::chrono::microseconds busy_poll{100}; ///< see busy_poll.hpp; 0: none

    friend bool operator==(const LimitValues&, const LimitValues&) = default;
};

struct Timeouts {
    milliseconds handshake{15'000};
    milliseconds held{60'000};         ///< a held connection that waits for its next command
    milliseconds connect{20'000};      ///< name and all addresses together
    milliseconds idle{86'400'000};     ///< a tunnel through which nothing goes; 0: for ever
    milliseconds udp_idle{86'400'000}; ///< the same for an association
    milliseconds bind{86'400'000};     ///< until the peer of a BIND comes; 0: for ever
    milliseconds close{
        5'000}; ///< to get a refusal out, and again until the client closes (RFC 1928 §6: 10 s in all)
    milliseconds drain{30'000};          ///< after SIGTERM
    std::chrono::seconds session{300};   ///< that a token outlives its control connection
    std::chrono::seconds keepalive{300}; ///< TCP's own look whether a silent side is still there; 0: none

    friend bool operator==(const Timeouts&, const Timeouts&) = default;
};

/// How LIST-FEATURES is answered (WIRE.md d.11).
enum class FeaturesAnswer : std::uint8_t {
    honest,
    refuse,
    general_failure,
    close,
    silence,
    four_octets,
    garbage
};
constexpr std::array<std::string_view, 7> features_answer_words{
    "honest", "refuse", "general_failure", "close", "silence", "four_octets", "garbage"};
static_assert(features_answer_words[static_cast<std::size_t>(FeaturesAnswer::garbage)] == "garbage");

/// How the feature list ends: FF 00 00, FF alone, or with the connection.
enum class ListEnd : std::uint8_t { whole, tag_only, none };
constexpr std::array<std::string_view, 3> list_end_words{"whole", "tag_only", "none"};

/// BND of the reply to UDP ASSOCIATE: the truth; 0.0.0.0 or :: of its family; zeros of the other family; port
/// 0.
enum class AssociateBound : std::uint8_t { honest, unspecified, other_family, no_port };
constexpr std::array<std::string_view, 4> associate_bound_words{"honest", "unspecified", "other_family",
                                                                "no_port"};

/// Whom a datagram to the client names as its source: the true one; the name that the client has sent to, if
/// it has; the client itself, as antinat does.
enum class DatagramSource : std::uint8_t { honest, name, client };
constexpr std::array<std::string_view, 3> datagram_source_words{"honest", "name", "client"};

/// Ways to be a bad server, for the tests of clients.
struct TestBehaviour {
    FeaturesAnswer list_features = FeaturesAnswer::honest;
    ListEnd list_end = ListEnd::whole;
    std::vector<std::uint8_t> list_instead; ///< octets in place of the whole list; empty: the true one
    std::vector<std::uint8_t> list_also;    ///< octets of entries before END
    bool break_hold = false;                ///< a held connection is closed all the same
    milliseconds reply_delay{0};            ///< before each message to the client
    AssociateBound associate_bound = AssociateBound::honest;
    DatagramSource datagram_source = DatagramSource::honest;

    friend bool operator==(const TestBehaviour&, const TestBehaviour&) = default;
};

/// Addresses of a name that are not asked of DNS; names as `policy::FoldedName` has them.
using HostsTable = std::map<std::string, std::vector<Host>, std::less<>>;

struct Config {
    std::vector<Endpoint> listen{{Host::ipv4({127, 0, 0, 1}), 1080}};
    bool insecure_open = false; ///< listen beyond loopback although nobody has to authenticate
    Authentication auth;
    Offered features;
    ServerTexts server;
    HostsTable hosts;
    AccessRules rules;
    Inbound inbound;
    bool guard_own_host = true; ///< see access.hpp
    LimitValues limits;
    Timeouts timeouts;
    LogLevel log_level = LogLevel::info;
    TestBehaviour test;
};

/// Reads a file's text. On failure: all errors that can be found, in the order of the file, at least one.
tl::expected<Config, std::vector<policy::ConfigError>> parse_config(std::string_view json_text);

/// Reads the file. On failure: one line for each error, ready to be shown.
tl::expected<Config, std::vector<std::string>> load_config(const std::string& path);

/// All keys of the file.
policy::KeyTable known_keys() noexcept;

/// Adds `text`, "NAME=ADDRESS", to the table; false if it isn't that.
bool add_host(HostsTable& hosts, std::string_view text);

} // namespace socksify::relay
