#include "ctl/lint.hpp"

#include <algorithm>
#include <bitset>

namespace socksify::ctl {
namespace {

using namespace policy;
using json::Value;

/// The texts of a member that holds one or a list of them.
std::vector<const Value*> one_or_many(const Value* value) {
    std::vector<const Value*> out;
    if (value == nullptr) return out;
    if (value->kind != json::Kind::array) return {value};
    for (const auto& item : value->items) out.push_back(&item);
    return out;
}

/// Hosts that stand for all that a destination matches: another destination covers it if it matches them all.
/// A network lies between its first and its last address. A wildcard is the name that it is written as, which
/// is no host's name, so that only a wildcard at or above it can match; so is "*", which only "*" matches.
std::vector<Host> witnesses(std::string_view destination) {
    const auto slash = destination.rfind('/');
    const auto host = Host::parse(destination.substr(0, slash));
    if (!host) return {};
    if (slash == std::string_view::npos || host->is_name()) return {*host};
    unsigned prefix = 0;
    for (const char digit : destination.substr(slash + 1))
        prefix = prefix * 10 + static_cast<unsigned>(digit - '0');
    std::array<std::uint8_t, 16> last{};
    std::copy(host->octets().begin(), host->octets().end(), last.begin());
    for (std::size_t bit = prefix; bit < host->octets().size() * 8; ++bit)
        last[bit / 8] = static_cast<std::uint8_t>(last[bit / 8] | 0x80U >> bit % 8);
    if (host->type() == AddressType::ipv4) return {*host, Host::ipv4({last[0], last[1], last[2], last[3]})};
    return {*host, Host::ipv6(last)};
}

bool covers_destination(const Rule& earlier, std::string_view destination) {
    if (earlier.destinations.empty()) return true;
    const auto hosts = witnesses(destination);
    return !hosts.empty() &&
           std::any_of(earlier.destinations.begin(), earlier.destinations.end(), [&](const auto& one) {
               return std::all_of(hosts.begin(), hosts.end(),
                                  [&](const Host& host) { return one.matches(Target(host)); });
           });
}

bool covers_ports(const Rule& earlier, const Rule& later) {
    if (earlier.ports.empty()) return true;
    if (later.ports.empty()) return false;
    std::bitset<65536> covered;
    for (const auto range : earlier.ports)
        for (unsigned port = range.first; port <= range.last; ++port) covered.set(port);
    return std::all_of(later.ports.begin(), later.ports.end(), [&](PortRange range) {
        for (unsigned port = range.first; port <= range.last; ++port)
            if (!covered.test(port)) return false;
        return true;
    });
}

template <class Enum>
bool covers(const Constraint<Enum>& earlier, const Constraint<Enum>& later, std::initializer_list<Enum> all) {
    return std::all_of(all.begin(), all.end(),
                       [&](Enum value) { return !later.allows(value) || earlier.allows(value); });
}

bool covers_programs(const Rule& earlier, const Rule& later) {
    if (earlier.programs.empty()) return true;
    return !later.programs.empty() &&
           std::all_of(later.programs.begin(), later.programs.end(), [&](const auto& program) {
               return std::any_of(earlier.programs.begin(), earlier.programs.end(),
                                  [&](const auto& one) { return covers_program(one, program); });
           });
}

/// All constraints but the destination.
bool covers_but_destination(const Rule& earlier, const Rule& later) {
    return covers(earlier.operations, later.operations, {Operation::connect, Operation::bind}) &&
           covers(earlier.protocols, later.protocols, {Protocol::tcp, Protocol::udp, Protocol::other}) &&
           covers_ports(earlier, later) && covers_programs(earlier, later);
}

bool is_loopback(std::string_view destination) {
    const auto hosts = witnesses(destination);
    return !hosts.empty() &&
           std::all_of(hosts.begin(), hosts.end(), [](const Host& host) { return host.is_loopback(); });
}

bool same(const Action& a, const Action& b) noexcept {
    return a.kind == b.kind && a.upstreams == b.upstreams && a.optimistic == b.optimistic;
}

std::string rule_name(const Config& config, std::size_t index) {
    return "rule " + std::to_string(index + 1) + " (line " + std::to_string(config.rules[index].line) + ")";
}

class Linter {
public:
    Linter(const Config& config, const Value& document) : config_(config), document_(document) {}

    std::vector<Warning> lint() {
        unused_upstreams();
        if (const auto* rules = member(document_, "rules"))
            for (std::size_t i = 0; i < std::min(config_.rules.size(), rules->items.size()); ++i)
                lint_rule(i, rules->items[i]);
        std::stable_sort(out_.begin(), out_.end(), [](const Warning& a, const Warning& b) {
            return std::pair(a.position.line, a.position.column) <
                   std::pair(b.position.line, b.position.column);
        });
        return std::move(out_);
    }

private:
    void unused_upstreams() {
        const auto uses = [](const Action& action, std::size_t upstream) {
            return std::find(action.upstreams.begin(), action.upstreams.end(), upstream) !=
                   action.upstreams.end();
        };
        const auto* upstreams = member(document_, "upstreams");
        for (std::size_t i = 0; i < config_.upstreams.size() && upstreams != nullptr; ++i) {
            const bool used = uses(config_.otherwise, i) ||
                              std::any_of(config_.rules.begin(), config_.rules.end(),
                                          [&](const Rule& rule) { return uses(rule.action, i); });
            if (!used)
                out_.push_back({upstreams->members[i].position, "upstreams." + config_.upstreams[i].name,
                                "no rule leads here, nor does the default"});
        }
    }

    /// Why connections through it are never optimistic; empty if they may be.
    static std::string_view rules_optimism_out(const Upstream& upstream) {
        if (upstream.discover == Discover::off) return "is never asked for its features (discover: off)";
        if (upstream.pipelining == Pipeline::off) return "is not sent messages ahead (pipelining: off)";
        return upstream.socket_path.empty() ? "" : "listens on an AF_UNIX socket";
    }

    void vain_optimism(const Rule& rule, const std::string& key, const Value& value) {
        const auto* optimistic = member(value, "optimistic");
        if (optimistic == nullptr || !optimistic->boolean) return;
        const auto warn = [&](const std::string& why) {
            out_.push_back({optimistic->position, key + ".optimistic", "without effect: " + why});
        };
        if (rule.action.kind != Action::Kind::via) return warn("the route is no proxy");
        if (!rule.protocols.allows(Protocol::tcp) || !rule.operations.allows(Operation::connect))
            return warn("the rule is not for TCP connections");
        for (const auto upstream : rule.action.upstreams)
            if (rules_optimism_out(config_.upstreams[upstream]).empty()) return;
        const auto& first = config_.upstreams[rule.action.upstreams.front()];
        warn(first.name + " " + std::string(rules_optimism_out(first)));
    }

    void lint_rule(std::size_t index, const Value& value) {
        const auto& rule = config_.rules[index];
        const auto key = "rules[" + std::to_string(index) + "]";
        vain_optimism(rule, key, value);
        auto destinations = one_or_many(member(value, "destination"));

        if (config_.loopback != Loopback::rules && !destinations.empty()) {
            const auto others =
                std::stable_partition(destinations.begin(), destinations.end(),
                                      [](const Value* one) { return is_loopback(one->text); });
            for (auto one = destinations.begin(); one != others; ++one)
                out_.push_back({(*one)->position, key + ".destination",
                                quoted((*one)->text) +
                                    " is this machine itself, for which \"loopback\" decides before "
                                    "any rule does (\"loopback\": \"rules\" would change that)"});
            destinations.erase(destinations.begin(), others);
            if (destinations.empty()) return;
        }
        if (destinations.empty()) { // everywhere
            static const Value everywhere = [] {
                Value star;
                star.text = "*";
                return star;
            }();
            destinations.push_back(&everywhere);
        }

        std::vector<std::optional<std::size_t>> covered_by;
        for (const auto* destination : destinations)
            covered_by.push_back(covering_rule(index, destination->text));
        if (std::all_of(covered_by.begin(), covered_by.end(),
                        [](const auto& by) { return by.has_value(); })) {
            out_.push_back({value.position, key,
                            "it never decides anything: " + rules_text(covered_by) + " already cover" +
                                (is_one(covered_by) ? "s" : "") + " all that it could match"});
            return;
        }
        for (std::size_t i = 0; i < destinations.size(); ++i)
            if (covered_by[i] && !same(config_.rules[*covered_by[i]].action, rule.action))
                out_.push_back({destinations[i]->position, key + ".destination",
                                quoted(destinations[i]->text) + " never gets as far as this: " +
                                    rule_name(config_, *covered_by[i]) + " already covers it"});
    }

    [[nodiscard]] std::optional<std::size_t> covering_rule(std::size_t index,
                                                           std::string_view destination) const {
        for (std::size_t i = 0; i < index; ++i)
            if (covers_but_destination(config_.rules[i], config_.rules[index]) &&
                covers_destination(config_.rules[i], destination))
                return i;
        return {};
    }

    using Covering = std::vector<std::optional<std::size_t>>;
    static bool is_one(const Covering& all) {
        return std::all_of(all.begin(), all.end(), [&](const auto& one) { return one == all.front(); });
    }
    [[nodiscard]] std::string rules_text(const Covering& all) const {
        std::string out;
        for (std::size_t i = 0; i < all.size(); ++i)
            if (std::find(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(i), all[i]) ==
                all.begin() + static_cast<std::ptrdiff_t>(i))
                out += (out.empty() ? "" : ", ") + rule_name(config_, *all[i]);
        return out;
    }

    const Config& config_;
    const Value& document_;
    std::vector<Warning> out_;
};

} // namespace

std::string Warning::line(std::string_view file) const {
    std::string out(file);
    if (position.line != 0)
        out += ":" + std::to_string(position.line) + ":" + std::to_string(position.column);
    return out + ": warning: " + (key.empty() ? "" : key + ": ") + text;
}

std::vector<Warning> lint(const Config& config, const Value& document) {
    return Linter(config, document).lint();
}

const Value* member(const Value& object, std::string_view key) noexcept {
    for (const auto& one : object.members)
        if (one.key == key) return &one.value;
    return nullptr;
}

bool covers_program(std::string_view earlier, std::string_view later) noexcept {
    if (earlier == later) return true;
    const bool is_path = later.starts_with('/');
    const bool has_wildcard = later.find_first_of("*?") != std::string_view::npos;
    // Taken as a text, a * in `later` is matched by a * in `earlier`, which then matches whatever it stands
    // for. But it must not be taken for the one character of a ?, nor for a name in which a bare pattern
    // finds the last /.
    if (has_wildcard && earlier.find('?') != std::string_view::npos) return false;
    if (has_wildcard && is_path && !earlier.starts_with('/')) return false;
    return matches_program(earlier, later);
}

} // namespace socksify::ctl
