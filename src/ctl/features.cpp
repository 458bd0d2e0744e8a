#include "ctl/commands.hpp"
#include "ctl/probe.hpp"
#include "ctl/rules_source.hpp"
#include "ctl/words.hpp"
#include "sys/learnt.hpp"

#include <algorithm>

namespace socksify::ctl {
namespace {

/// A list taken apart for people. Unknown entries, and values that the draft gives no meaning, stay as
/// octets.
class ListText {
public:
    explicit ListText(const FeatureList& list) : list_(list) {
        for (const auto& feature : list.entries()) take(feature);
    }

    [[nodiscard]] Rows rows() const {
        // Not to be listed is not to be missing: "Servers may prefer not to advertise all the features they
        // support".
        constexpr std::string_view unsaid = "not said";
        Rows out{{"versions", joined(versions_, unsaid)},
                 {"addresses", joined(addresses_, unsaid)},
                 {"methods", joined(methods_, unsaid)},
                 {"commands", joined(commands_, unsaid)},
                 {"hold", list_.persistent()
                              ? "LIST-FEATURES can hold the connection for the command that follows"
                              : "no: LIST-FEATURES wants a connection of its own"},
                 {"pipelining", ahead_text(list_.ahead())},
                 {"fast open", list_.fast_open() ? "the same with the SYN (TCP Fast Open)" : "not said"},
                 {"sessions", sessions_text()},
                 {"holds for", scope_text()}};
        for (const auto& [name, text] : server_) out.emplace_back(name, text);
        for (const auto& text : extensions_) out.emplace_back("extensions", text);
        for (const auto& text : unknown_) out.emplace_back("unknown", text);
        return out;
    }

    [[nodiscard]] Json json() const {
        Json out{{"versions", versions_},
                 {"address_types", types_json_},
                 {"methods", methods_json_},
                 {"commands", commands_json_},
                 {"persistent", list_.persistent()},
                 {"scope", scope_},
                 {"pipelining", static_cast<unsigned>(list_.ahead())},
                 {"fast_open", list_.fast_open()},
                 {"sessions", sessions_json()},
                 {"server", server_json_},
                 {"extension_sets", sets_json_},
                 {"unknown", unknown_json_}};
        const auto whole = list_.encode();
        out["octets"] = hex_digits(whole);
        return out;
    }

private:
    static std::string ahead_text(Ahead ahead) {
        switch (ahead) {
        case Ahead::unsaid: return "not said";
        case Ahead::messages: return "greeting, password and request in one segment";
        case Ahead::data: return "greeting, password and request in one segment, and data behind them";
        }
        return "";
    }
    [[nodiscard]] std::string sessions_text() const {
        const auto terms = list_.sessions();
        if (!terms) return "not said";
        return "a token in place of the password, for " + counted(terms->lifetime, "second") +
               " after its connection has ended" +
               (terms->most == 0 ? "" : "; at most " + std::to_string(terms->most) + " of one user");
    }
    [[nodiscard]] Json sessions_json() const {
        const auto terms = list_.sessions();
        if (!terms) return nullptr;
        return {{"lifetime", terms->lifetime}, {"most", terms->most}};
    }
    static std::string with_value(const std::string& name, Bytes value) {
        return value.empty() ? name : name + " [" + hex(value) + "]";
    }

    void take(const Feature& feature) {
        switch (static_cast<Tag>(feature.tag)) {
        case Tag::fdl:
            if (feature.subtag != subtag_scope) return take_unknown(feature);
            for (const auto one : feature.value) add_once(scope_, name_of(static_cast<Scope>(one)));
            return;
        case Tag::socks: return take_version(feature);
        case Tag::address:
            addresses_.push_back(
                with_value(name_of(static_cast<AddressType>(feature.subtag)), feature.value));
            types_json_.push_back(item(feature, name_of(static_cast<AddressType>(feature.subtag))));
            return;
        case Tag::authentication:
            methods_.push_back(with_value(name_of(static_cast<Method>(feature.subtag)), feature.value));
            methods_json_.push_back(item(feature, name_of(static_cast<Method>(feature.subtag))));
            return;
        case Tag::command:
            commands_.push_back(with_value(name_of(static_cast<Command>(feature.subtag)), feature.value));
            commands_json_.push_back(item(feature, name_of(static_cast<Command>(feature.subtag))));
            return;
        case Tag::server: return take_server(feature);
        case Tag::extension:
            if (feature.subtag == subtag_pipelining && list_.ahead() != Ahead::unsaid) return;
            if (feature.subtag == subtag_fast_open && list_.fast_open()) return;
            if (feature.subtag == subtag_sessions && list_.sessions()) return;
            if (feature.subtag != subtag_extension_set) return take_unknown(feature);
            extensions_.push_back(shown(as_text(feature.value)));
            sets_json_.push_back(std::string(as_text(feature.value)));
            return;
        case Tag::end: return;
        }
        take_unknown(feature);
    }

    /// The minor version is the first octet of the value; none is 0.
    void take_version(const Feature& feature) {
        versions_.push_back(std::to_string(feature.subtag) + "." +
                            std::to_string(feature.value.empty() ? 0 : feature.value[0]));
    }

    void take_server(const Feature& feature) {
        const std::string text(as_text(feature.value));
        const auto add = [&](std::string name, const char* key) {
            server_.emplace_back(std::move(name), shown(text));
            server_json_[key] = text;
        };
        switch (static_cast<ServerInfo>(feature.subtag)) {
        case ServerInfo::hostname: return add("host name", "hostname");
        case ServerInfo::url: return add("URL", "url");
        case ServerInfo::opaque_id: return add("id", "opaque_id");
        case ServerInfo::load: return add("load", "load");
        }
        take_unknown(feature);
    }

    void take_unknown(const Feature& feature) {
        const std::array head{feature.tag, feature.subtag};
        unknown_.push_back(hex(head) + (feature.value.empty() ? "" : ": " + hex(feature.value)));
        unknown_json_.push_back(
            {{"tag", feature.tag}, {"subtag", feature.subtag}, {"value", hex_digits(feature.value)}});
    }

    static Json item(const Feature& feature, const std::string& name) {
        return {{"code", feature.subtag}, {"name", name}, {"value", hex_digits(feature.value)}};
    }
    static void add_once(std::vector<std::string>& to, std::string text) {
        if (std::find(to.begin(), to.end(), text) == to.end()) to.push_back(std::move(text));
    }

    [[nodiscard]] std::string scope_text() const {
        if (scope_.empty()) return "every connection";
        return "connections with the same " + joined(scope_);
    }

    const FeatureList& list_;
    std::vector<std::string> versions_;
    std::vector<std::string> addresses_;
    std::vector<std::string> methods_;
    std::vector<std::string> commands_;
    std::vector<std::string> scope_;
    std::vector<std::string> extensions_;
    std::vector<std::string> unknown_;
    Rows server_;
    Json types_json_ = Json::array();
    Json methods_json_ = Json::array();
    Json commands_json_ = Json::array();
    Json server_json_ = Json::object();
    Json sets_json_ = Json::array();
    Json unknown_json_ = Json::array();
};

/// What the library makes of a proxy without a list.
std::string what_then(const policy::Upstream& upstream) {
    if (upstream.discover == policy::Discover::off)
        return "the library never asks it (discover: off), and speaks RFC 1928 alone";
    return "each program notes that for " +
           counted(static_cast<std::size_t>(upstream.feature_lifetime.count()), "second") +
           " (feature_lifetime), and speaks RFC 1928 alone meanwhile; \"discover\": \"off\" spares the "
           "question";
}

/// What is in the store for all of the user's programs.
void show_learnt(const policy::Upstream& upstream, Rows& rows, Json& json) {
    const auto learnt = sys::learnt::look_up(upstream);
    if (!learnt) return;
    const char* const known = learnt->known == policy::Known::listed ? "a feature list"
                              : learnt->known == policy::Known::none ? "that it has no LIST-FEATURES"
                                                                     : "nothing of its features";
    const auto pipelining = [&]() -> std::string_view {
        switch (learnt->pipelining) {
        case policy::Pipelining::unknown: return "nothing";
        case policy::Pipelining::refused: return "one message after the other";
        case policy::Pipelining::tolerated: return "greeting to request in one segment";
        }
        return "";
    }();
    rows.emplace_back("your programs", std::string("know ") + known +
                                           ", and of pipelining: " + std::string(pipelining) + "; for " +
                                           counted(static_cast<std::size_t>(learnt->left.count()), "second") +
                                           " more");
    json["learnt"] = {{"features", learnt->known == policy::Known::listed ? "listed"
                                   : learnt->known == policy::Known::none ? "none"
                                                                          : "unknown"},
                      {"pipelining", learnt->pipelining == policy::Pipelining::refused     ? "refused"
                                     : learnt->pipelining == policy::Pipelining::tolerated ? "tolerated"
                                                                                           : "unknown"},
                      {"seconds_left", learnt->left.count()}};
}

void show(const policy::Upstream& upstream, bool shared, const Probe& probe, bool verbose, Answer& answer) {
    const bool is_usable = probe.outcome != Probe::Outcome::unusable;
    Json json{{"name", upstream.name},
              {"url", url_of(upstream)},
              {"usable", is_usable},
              {"reached", probe.is_reached},
              {"address", probe.address.text()}};
    Rows rows;
    if (probe.is_reached) {
        rows.emplace_back("reached", probe.address.text() + " in " + duration(probe.connect_ms));
        json["client"] = probe.client.text();
        json["connect_ms"] = probe.connect_ms;
    }
    if (probe.round_trip_ms > 0) {
        rows.emplace_back("round trip", duration(probe.round_trip_ms));
        json["round_trip_ms"] = probe.round_trip_ms;
    }
    if (probe.method != Method::no_acceptable) {
        rows.emplace_back("let us in by", name_of(probe.method));
        json["method"] = {{"code", static_cast<unsigned>(probe.method)}, {"name", name_of(probe.method)}};
    }
    json["list_features"] = word_for(probe);
    switch (probe.outcome) {
    case Probe::Outcome::unusable:
        rows.emplace_back("problem", probe.problem + (probe.advice.empty() ? "" : "\n" + probe.advice));
        json["problem"] = probe.problem;
        json["advice"] = probe.advice;
        answer.fine = false;
        break;
    case Probe::Outcome::no_features:
        rows.emplace_back("features", "no LIST-FEATURES: " + describe_refusal(probe));
        rows.emplace_back("so", what_then(upstream));
        if (probe.refusal == Probe::Refusal::replied || probe.refusal == Probe::Refusal::cut_short)
            json["reply"] = static_cast<unsigned>(probe.reply);
        break;
    case Probe::Outcome::listed: {
        const ListText list(probe.features);
        json["features_ms"] = probe.features_ms;
        json["features"] = list.json();
        for (auto& row : list.rows()) rows.push_back(std::move(row));
        if (verbose) rows.emplace_back("octets", hex(probe.answer, probe.answer.size()));
        break;
    }
    }
    if (shared) show_learnt(upstream, rows, json);
    if (is_usable) json["answer"] = hex_digits(probe.answer);
    answer.text += described(upstream) + ":\n" + table(rows);
    answer.json["upstreams"].push_back(std::move(json));
}

std::string unknown_upstream(const policy::Config& config, const std::string& name) {
    policy::Guess guess(name);
    std::vector<std::string> names;
    for (const auto& upstream : config.upstreams) {
        guess.consider(upstream.name);
        names.push_back(upstream.name);
    }
    const auto best = guess.best();
    return "there is no upstream " + policy::quoted(name) +
           (best.empty() ? "; the rules have " + joined(names) : "; did you mean " + best + "?");
}

} // namespace

Answer features(const Options& options) {
    const auto source = load_rules(options);
    const auto& config = source.rules.config;
    Answer answer;
    answer.json = {{"source", source.rules.source}, {"usable", source.rules.usable}};
    answer.json["upstreams"] = Json::array();
    if (!source.rules.usable) {
        answer.fine = false;
        answer.json["problems"] = source.rules.problems;
        answer.text = why_unusable(source);
        return answer;
    }
    bool is_known = options.upstream.empty();
    for (const auto& upstream : config.upstreams) {
        if (!options.upstream.empty() && upstream.name != options.upstream) continue;
        is_known = true;
        show(upstream, config.learnt_by == policy::LearntBy::user, probe(upstream), options.verbose, answer);
    }
    if (!is_known) throw WrongUsage{unknown_upstream(config, options.upstream)};
    if (config.upstreams.empty()) answer.text = "The rules have no upstreams: there is nobody to ask.\n";
    return answer;
}

} // namespace socksify::ctl
