// What would become of a connection. The decisions are the library's own (policy::route, answer_name,
// make_plan); this puts them into words, in the order in which a program meets them.
#include "ctl/commands.hpp"
#include "ctl/executable.hpp"
#include "ctl/probe.hpp"
#include "ctl/rules_source.hpp"
#include "ctl/words.hpp"
#include "policy/rules.hpp"
#include "sys/hosts_file.hpp"
#include "sys/names.hpp"

#include <algorithm>
#include <sys/socket.h>

namespace socksify::ctl {
namespace {

using policy::Action;

/// The errno of what the rules refuse; of what they leave to nobody, because there are none; and of what the
/// library can't carry through a proxy.
constexpr int blocked = EACCES;
constexpr int without_rules = ENETUNREACH;

struct Question {
    Endpoint destination; ///< as the rules see it: a name, unless this machine knows its address
    std::string asked;    ///< the host that was asked for, if that is another
    std::string_view
        name; ///< how the name is answered, for JSON: "pool", "locally", "hosts", "loopback", "address"
    std::string name_text; ///< the same in words
    bool is_stray = false; ///< an address of the pool that stands for no name
    policy::Protocol protocol;
    std::string program; ///< as rules compare it: the file that runs, without links
};

Json to_json(const Question& question) {
    Json out{{"host", question.destination.host.text()},
             {"port", question.destination.port},
             {"type", name_of(question.destination.host.type())},
             {"protocol", question.protocol == policy::Protocol::udp ? "udp" : "tcp"},
             {"program", question.program.empty() ? Json() : Json(question.program)}};
    if (!question.asked.empty()) out["asked"] = question.asked;
    return out;
}

/// The file that runs when `program` is started.
std::string running_file(const std::string& program) {
    const auto launch = follow(program);
    if (launch.steps.empty()) {
        if (program.starts_with('/')) return program; // not here; rules can be asked all the same
        throw WrongUsage{"--program: " + launch.error};
    }
    return launch.steps.back().real;
}

/// Finds out what the program's connect() would name: it has asked for the name before, and got some address
/// for it.
void answer_name(Question& question, const policy::Config& config) {
    auto& host = question.destination.host;
    const auto answer = [&](std::string_view word, std::string text, std::optional<Host> meant = {}) {
        question.name = word;
        question.name_text = std::move(text);
        if (!meant) return;
        question.asked = host.text();
        host = *meant;
    };
    if (const auto meaning = sys::names::meaning_of(host); meaning.from_pool) {
        question.is_stray = !meaning.name;
        return answer("pool",
                      host.text() + (meaning.name ? " stands for " + shown(meaning.name->text())
                                                  : " is one of the pool's, but stands for no name"),
                      meaning.name);
    }
    if (!host.is_name()) return answer("address", "");
    if (host.is_loopback())
        return answer("loopback",
                      "answered with this machine's own address, without asking anybody (RFC 6761)",
                      Host::ipv4({127, 0, 0, 1}));
    if (policy::answer_name(config, host, question.program) == policy::NameAnswer::locally)
        return answer("locally", "looked up by this machine, as it is gone to directly in any case");
    if (const auto entry = sys::look_up_this_machine(host.name(), AF_UNSPEC); entry.address)
        return answer("hosts",
                      "known to this machine (/etc/hosts) as " + entry.address->text() +
                          ", which the rules judge",
                      entry.address->unmapped());
    answer("pool", "not looked up here: the program gets an address of 198.18.0.0/15 that stands for it");
}

Question question_of(const Options& options, const policy::Config& config) {
    Question out;
    out.destination = options.destination;
    out.protocol = options.udp ? policy::Protocol::udp : policy::Protocol::tcp;
    if (!options.program.empty()) out.program = running_file(options.program);
    answer_name(out, config);
    return out;
}

class Explainer {
public:
    Explainer(const Options& options, const RulesSource& source)
        : options_(options),
          source_(source),
          config_(source.rules.config),
          question_(question_of(options, config_)) {}

    Answer explain() {
        auto& json = answer_.json;
        json["destination"] = to_json(question_);
        json["source"] = source_.rules.source;
        json["usable"] = source_.rules.usable;
        json["name"] = question_.name;
        answer_.text = shown(options_.destination.text()) + (options_.udp ? " over UDP" : "") +
                       (question_.program.empty() ? "" : ", from " + shown(question_.program)) + ":\n";
        if (!question_.name_text.empty()) add("name", question_.name_text);
        if (!source_.rules.usable) explain_no_rules();
        else if (question_.is_stray) explain_stray_address();
        else explain_route();
        answer_.text += table(rows_);
        return std::move(answer_);
    }

private:
    void add(std::string name, std::string text) { rows_.emplace_back(std::move(name), std::move(text)); }

    void decide(std::string_view action, std::string_view by, int error) {
        answer_.json["action"] = action;
        answer_.json["by"] = by;
        if (error != 0) answer_.json["errno"] = name_of_error(error);
    }
    static std::string refusal(int error) { return "refused with " + name_of_error(error); }

    void explain_no_rules() {
        answer_.fine = false;
        answer_.json["problems"] = source_.rules.problems;
        const bool passes =
            config_.loopback == policy::Loopback::direct && question_.destination.host.is_loopback();
        add("rules", why_unusable(source_) + "so everything" +
                         (config_.loopback == policy::Loopback::direct ? " but loopback" : "") +
                         " is refused");
        add("outcome", passes ? "direct, as it is this machine itself" : refusal(without_rules));
        decide(passes ? "direct" : "block", passes ? "loopback" : "no rules", passes ? 0 : without_rules);
    }

    void explain_stray_address() {
        add("outcome", refusal(EHOSTUNREACH) + ": there is no such host, and it must not be looked for");
        decide("block", "pool", EHOSTUNREACH);
    }

    void explain_route() {
        const auto& [host, port] = question_.destination;
        const policy::Query query{host, port, policy::Operation::connect, question_.protocol,
                                  question_.program};
        const auto decision = policy::route(config_, query);
        if (is_a_proxy()) {
            add("rule", "none is looked at: this is one of the proxies itself");
            add("outcome", "direct");
            return decide("direct", "proxy", 0);
        }
        add("rule", shown(policy::explain(config_, query)));
        if (question_.program.empty() && depends_on_program())
            add("", "rules with a \"program\" were passed over: --program PATH tells whose connection it is");
        const auto by = decision.rule == policy::by_loopback  ? "loopback"
                        : decision.rule == policy::by_default ? "default"
                                                              : "rule";
        if (decision.rule >= 0) {
            const auto index = static_cast<std::size_t>(decision.rule);
            answer_.json["rule"] = index + 1;
            if (source_.is_file) answer_.json["line"] = config_.rules[index].line;
            if (!config_.rules[index].comment.empty()) answer_.json["comment"] = config_.rules[index].comment;
        }
        switch (decision.action->kind) {
        case Action::Kind::direct:
            add("outcome", host.is_name() && question_.name == "pool"
                               ? "direct: looked up by this machine when the program connects"
                               : "direct");
            return decide("direct", by, 0);
        case Action::Kind::block: add("outcome", refusal(blocked)); return decide("block", by, blocked);
        case Action::Kind::via: break;
        }
        decide("via", by, 0);
        answer_.json["upstreams"] = Json::array();
        const auto& upstreams = decision.action->upstreams;
        if (upstreams.size() > 1) add("outcome", "through the first of these that can be reached:");
        for (const auto index : upstreams) explain_upstream(config_.upstreams[index]);
        if (decision.action->optimistic)
            add("optimistic",
                "connect() does not wait for a proxy of which it is known that it takes early data");
        answer_.json["optimistic"] = decision.action->optimistic;
    }

    void explain_upstream(const policy::Upstream& upstream) {
        Json json{
            {"name", upstream.name}, {"url", url_of(upstream)}, {"discover", name_of(upstream.discover)}};
        add("via", described(upstream));
        policy::Knowledge known;
        std::optional<Probe> asked;
        if (options_.ask) {
            asked = probe(upstream, {question_.destination.host, question_.destination.port});
            if (asked->outcome == Probe::Outcome::listed)
                known = {policy::Known::listed,
                         std::make_shared<const FeatureList>(std::move(asked->features))};
            if (asked->outcome == Probe::Outcome::no_features) known.known = policy::Known::none;
        }
        explain_exchange(upstream, known, json);
        if (asked && asked->outcome == Probe::Outcome::unusable) {
            answer_.fine = false;
            add("problem", asked->problem + (asked->advice.empty() ? "" : "\n→ " + asked->advice));
            json["problem"] = asked->problem;
        }
        add("features", features_text(upstream, known, asked));
        json["features"] = known.known == policy::Known::listed ? "listed"
                           : known.known == policy::Known::none ? "none"
                                                                : "unknown";
        answer_.json["upstreams"].push_back(std::move(json));
    }

    void explain_exchange(const policy::Upstream& upstream, const policy::Knowledge& known, Json& json) {
        const bool is_udp = question_.protocol == policy::Protocol::udp;
        const auto command = is_udp ? Command::udp_associate : Command::connect;
        const auto plan = policy::make_plan(upstream, known, command, question_.destination);
        std::vector<std::string> methods;
        for (std::size_t i = 0; i < plan.handshake.methods.size(); ++i)
            methods.push_back(name_of(plan.handshake.methods[i]));
        if (plan.refusal != 0) {
            add("outcome", refusal(plan.refusal) + " without a connection: its feature list rules this out");
            json["errno"] = name_of_error(plan.refusal);
            return;
        }
        const auto type = question_.destination.host.type();
        add("offered", joined(methods));
        add("sent", plan.handshake.pipelined ? "greeting to request in one send"
                                             : "one message after the other, as far as is known");
        json["pipelined"] = plan.handshake.pipelined;
        if (plan.may_be_held)
            add("held", "up to " + std::to_string(upstream.hold.most) +
                            " connections ready, once the program connects often" +
                            (upstream.hold.however_near ? "" : " and if the proxy is not near"));
        json["may_be_held"] = plan.may_be_held;
        if (plan.may_use_session)
            add("session", "a token takes the password's place once a program has connected twice");
        json["session"] = plan.may_use_session;
        json["takes_early_data"] = policy::may_be_optimistic(plan);
        const std::string told = is_udp ? "UDP ASSOCIATE, and datagrams for " : "CONNECT to ";
        add("told", plan.resolve_first
                        ? told + "the address that this machine finds for " +
                              shown(question_.destination.text()) +
                              ": the proxy takes no names (without_names: resolve)"
                        : told + shown(question_.destination.text()) + ", address type " +
                              hex(std::array{static_cast<std::uint8_t>(type)}) + " (" + name_of(type) + ")");
        json["command"] = is_udp ? "UDP ASSOCIATE" : "CONNECT";
        json["address_type"] = static_cast<unsigned>(type);
        json["resolved_here"] = plan.resolve_first;
        json["methods"] = Json::array();
        for (std::size_t i = 0; i < plan.handshake.methods.size(); ++i)
            json["methods"].push_back(static_cast<unsigned>(plan.handshake.methods[i]));
    }

    static std::string features_text(const policy::Upstream& upstream, const policy::Knowledge& known,
                                     const std::optional<Probe>& asked) {
        if (known.known == policy::Known::listed) return "asked just now, and taken into account";
        if (known.known == policy::Known::none) return "it has no LIST-FEATURES: " + describe_refusal(*asked);
        std::string unknown = asked ? "not known" : "not known here (--ask would ask now)";
        switch (upstream.discover) {
        case policy::Discover::background:
            return unknown + "; the program's first connection has them asked for beside it, the next ones "
                             "use the answer";
        case policy::Discover::in_line:
            return unknown + "; the program's first connection asks for them itself";
        case policy::Discover::off: return unknown + ", and never asked for (discover: off)";
        }
        return unknown;
    }

    /// As far as it can be told without looking up the proxies' names.
    [[nodiscard]] bool is_a_proxy() const {
        return question_.protocol == policy::Protocol::tcp &&
               std::any_of(config_.upstreams.begin(), config_.upstreams.end(), [&](const auto& upstream) {
                   return Endpoint{upstream.host, upstream.port} == question_.destination;
               });
    }
    [[nodiscard]] bool depends_on_program() const {
        return std::any_of(config_.rules.begin(), config_.rules.end(),
                           [](const auto& rule) { return !rule.programs.empty(); });
    }

    const Options& options_;
    const RulesSource& source_;
    const policy::Config& config_;
    Question question_;
    Rows rows_;
    Answer answer_;
};

} // namespace

Answer explain(const Options& options) {
    const auto source = load_rules(options);
    return Explainer(options, source).explain();
}

} // namespace socksify::ctl
