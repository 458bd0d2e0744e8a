// Who may go where. An ordered list of rules, the first that matches wins, and nothing matched means yes; but
// a destination on the relay's own host has to be asked for by its address (see `is_guarded`).
//
// A rule is looked at up to three times, each time with more known: for the feature list (no destination
// yet), for a request (a name, not resolved yet), and for each address that is about to be connected to. What
// is not known yet makes a rule a *maybe*, and a verdict that hangs on a maybe is `open`. So a name that no
// rule can let through is never resolved, and a name that resolves to a forbidden address is refused all the
// same.
#pragma once

#include "policy/match.hpp"

#include <array>
#include <vector>

namespace socksify::relay {

enum class Verdict : std::uint8_t { allow, deny, open };

/// What a rule can tell apart: CONNECT, datagrams, and peers that come to a listener of the relay's.
enum class Operation : std::uint8_t { connect, udp, bind };
constexpr std::array<std::string_view, 3> operation_words{"connect", "udp", "bind"};

/// A "destination" or a "client" of a rule.
struct Place {
    policy::Destination destination;
    /// It is a network or one address, and narrower than everything: only such a place opens the relay's own
    /// host.
    bool is_network = false;
};

/// All constraints must hold; one that is empty holds always.
struct AccessRule {
    std::vector<Place> clients; ///< networks only
    std::vector<std::string> users;
    std::vector<Place> destinations;
    std::vector<policy::PortRange> ports;
    std::vector<Operation> operations;
    Verdict action = Verdict::deny; ///< allow or deny
};

/// Who asks, and for what.
struct Caller {
    Host client;
    std::string_view user; ///< empty: not authenticated
    Operation operation = Operation::connect;
};

/// What is asked for. Of `bind` the destination is the peer, but its port is that of the listener.
struct Wanted {
    Endpoint destination;            ///< as the client said it
    std::optional<Host> address;     ///< what it resolved to; nothing: a name that is not resolved yet
    bool address_is_guarded = false; ///< see `is_guarded`
};

class AccessRules {
public:
    void add(AccessRule rule) { rules_.push_back(std::move(rule)); }
    [[nodiscard]] bool empty() const noexcept { return rules_.empty(); }

    [[nodiscard]] Verdict judge(const Caller& caller, const Wanted& wanted) const;
    /// For any destination: `open` if some may be reached and some may not, as far as rules say.
    [[nodiscard]] Verdict judge(const Caller& caller) const;

    [[nodiscard]] bool depend_on_client() const noexcept;
    [[nodiscard]] bool depend_on_user() const noexcept;
    [[nodiscard]] bool depend_on_destination() const noexcept;

private:
    [[nodiscard]] Verdict judge(const Caller& caller, const Wanted* wanted) const;

    std::vector<AccessRule> rules_;
};

/// Loopback, link-local, unspecified and "this network" addresses (RFC 6890), IPv4-mapped ones too: they mean
/// the host that uses them, and through a relay that is the relay. Its other own addresses: see
/// own_addresses.hpp.
bool is_own_by_nature(const Host& address) noexcept;
/// 224.0.0.0/4 and ff00::/8: what goes to a group, the relay's own host may hear as well.
bool is_group(const Host& address) noexcept;

/// "10.0.0.0/8", "2001:db8::1", and what else stands for a place.
tl::expected<Place, policy::Misfit> parse_place(std::string_view text);

} // namespace socksify::relay
