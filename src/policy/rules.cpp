#include "policy/rules.hpp"

#include <algorithm>

namespace socksify::policy {
namespace {

// constexpr, so that nothing is constructed at load or destroyed at exit, while other threads still connect.
constexpr Action direct{Action::Kind::direct, {}};
constexpr Action block{Action::Kind::block, {}};

bool is_loopback(const Query& query) noexcept {
    return query.host.is_loopback() || (query.operation == Operation::connect && query.host.is_unspecified());
}

template <class Values, class Matches>
bool none_or_any(const Values& values, Matches matches) {
    return values.empty() || std::any_of(values.begin(), values.end(), matches);
}

bool allows_destination(const Rule& rule, const Target& target) noexcept {
    return none_or_any(rule.destinations, [&](const Destination& one) { return one.matches(target); });
}
bool allows_port(const Rule& rule, std::uint16_t port) noexcept {
    return none_or_any(rule.ports, [&](PortRange range) { return range.contains(port); });
}
bool allows_program(const Rule& rule, std::string_view program) noexcept {
    return none_or_any(rule.programs, [&](const std::string& one) { return matches_program(one, program); });
}

/// The cheap constraints first.
bool matches(const Rule& rule, const Query& query, const Target& target) noexcept {
    return rule.operations.allows(query.operation) && rule.protocols.allows(query.protocol) &&
           allows_port(rule, query.port) && allows_destination(rule, target) &&
           allows_program(rule, query.program);
}

/// Calls `visit(number)` for the rules that may match, in order, until it returns true.
template <class Visit>
void visit_rules(const Config& config, const Target& target, std::optional<std::uint16_t> port,
                 std::string_view program, Visit visit) {
    if (config.index.size() == config.rules.size()) return config.index.visit(target, port, program, visit);
    for (std::size_t i = 0; i < config.rules.size(); ++i)
        if (visit(i)) return;
}

std::string describe(const Config& config, const Action& action) {
    switch (action.kind) {
    case Action::Kind::direct: return "direct";
    case Action::Kind::block: return "block";
    case Action::Kind::via: break;
    }
    std::string out;
    for (const auto upstream : action.upstreams) {
        out += out.empty() ? "via " : ", then ";
        out += config.upstreams[upstream].name;
    }
    return out;
}

} // namespace

Decision route(const Config& config, const Query& query) noexcept {
    if (config.loopback != Loopback::rules && is_loopback(query))
        return {config.loopback == Loopback::direct ? &direct : &block, by_loopback};
    Decision decision{&config.otherwise, by_default};
    if (config.rules.empty()) return decision;
    const Target target(query.host);
    visit_rules(config, target, query.port, query.program, [&](std::size_t i) {
        if (!matches(config.rules[i], query, target)) return false;
        decision = {&config.rules[i].action, static_cast<int>(i)};
        return true;
    });
    return decision;
}

std::optional<Decision> route_listener(const Config& config, const Query& query) noexcept {
    if (config.loopback != Loopback::rules && is_loopback(query)) return route(config, query);
    const Target target(query.host);
    for (std::size_t i = 0; i < config.rules.size(); ++i)
        if (!config.rules[i].operations.empty() && matches(config.rules[i], query, target))
            return Decision{&config.rules[i].action, static_cast<int>(i)};
    return {};
}

NameAnswer answer_name(const Config& config, const Host& name, std::string_view program) noexcept {
    constexpr auto answer = [](bool only_direct) {
        return only_direct ? NameAnswer::locally : NameAnswer::from_pool;
    };
    if (!name.is_name()) return NameAnswer::locally;
    if (config.loopback != Loopback::rules && name.is_loopback())
        return answer(config.loopback == Loopback::direct);

    const Target target(name);
    auto found = answer(config.otherwise.kind == Action::Kind::direct);
    visit_rules(config, target, {}, program, [&](std::size_t i) {
        const auto& rule = config.rules[i];
        const bool may_match = rule.operations.allows(Operation::connect) &&
                               allows_destination(rule, target) && allows_program(rule, program);
        if (!may_match) return false;
        const bool is_direct = rule.action.kind == Action::Kind::direct;
        if (is_direct && !(rule.ports.empty() && rule.protocols.empty())) return false;
        found = answer(is_direct); // nothing gets past this rule, or not all is direct
        return true;
    });
    return found;
}

bool is_always_direct(const Config& config, std::string_view program) noexcept {
    if (config.loopback == Loopback::block) return false;
    for (const auto& rule : config.rules) {
        if (!allows_program(rule, program)) continue;
        if (rule.action.kind != Action::Kind::direct) return false;
        const bool is_for_all = rule.operations.empty() && rule.protocols.empty() && rule.ports.empty() &&
                                rule.destinations.empty();
        if (is_for_all) return true; // nothing gets past this rule
    }
    return config.otherwise.kind == Action::Kind::direct;
}

std::string reason(const Config& config, const Decision& decision) {
    if (decision.rule == by_loopback) return "loopback";
    if (decision.rule == by_default) return "the default";
    const auto index = static_cast<std::size_t>(decision.rule);
    const auto& rule = config.rules[index];
    auto out = "rule " + std::to_string(index + 1) + " (line " + std::to_string(rule.line);
    if (!rule.comment.empty()) out += ", " + quoted(rule.comment);
    return out + ")";
}

std::string explain(const Config& config, const Query& query) {
    const auto decision = route(config, query);
    const auto what = describe(config, *decision.action);
    if (decision.rule == by_loopback) return "this machine itself, so \"loopback\" applies: " + what;
    if (decision.rule == by_default) return "no rule matches, so the default applies: " + what;
    return reason(config, decision) + " matches: " + what;
}

} // namespace socksify::policy
