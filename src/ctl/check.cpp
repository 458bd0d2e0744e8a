#include "ctl/commands.hpp"
#include "ctl/file.hpp"
#include "ctl/lint.hpp"
#include "ctl/rules_source.hpp"
#include "ctl/surroundings.hpp"
#include "ctl/words.hpp"

namespace socksify::ctl {
namespace {

constexpr std::size_t largest_file = 1024 * 1024; ///< as sys::read_rules_file() has it

/// A file's problem with its place, for those that have one.
struct Problem {
    std::optional<policy::ConfigError> error;
    std::string text;
};

Json to_json(const Problem& problem, const std::string& file) {
    Json out{{"text", problem.text}, {"file", file}};
    if (!problem.error) return out;
    const auto& error = *problem.error;
    if (error.line != 0) {
        out["line"] = error.line;
        out["column"] = error.column;
    }
    out["key"] = error.key;
    out["found"] = error.found;
    out["allowed"] = error.allowed;
    if (!error.suggestion.empty()) out["suggestion"] = error.suggestion;
    return out;
}

Json to_json(const Warning& warning, const std::string& file) {
    Json out{{"text", warning.text}, {"file", file}};
    if (warning.position.line != 0) {
        out["line"] = warning.position.line;
        out["column"] = warning.position.column;
    }
    if (!warning.key.empty()) out["key"] = warning.key;
    return out;
}

/// The rules' problems again, where they can be had with their positions.
std::vector<Problem> problems_of(const RulesSource& source, const Options& options, const std::string& text) {
    std::vector<Problem> out;
    std::vector<policy::ConfigError> errors;
    if (source.is_file && !text.empty()) {
        if (auto config = policy::parse_config(text); !config) errors = std::move(config.error());
    } else if (!options.proxy_url.empty()) {
        if (auto config = policy::config_from_url(options.proxy_url); !config)
            errors.push_back(config.error());
    }
    for (const auto& error : errors) out.push_back({error, error.text(source.rules.source)});
    if (errors.empty())
        for (const auto& problem : source.rules.problems) out.push_back({{}, problem});
    return out;
}

std::string summary(const policy::Config& config) {
    std::vector<std::string> upstreams;
    for (const auto& upstream : config.upstreams) upstreams.push_back(described(upstream));
    return table({{"upstreams", joined(upstreams)},
                  {"rules", std::to_string(config.rules.size())},
                  {"default", route_text(config, config.otherwise)},
                  {"loopback", std::string(name_of(config.loopback))}});
}

} // namespace

Answer check(const Options& options) {
    const auto source = load_rules(options);
    const auto& rules = source.rules;
    std::string text;
    if (source.is_file)
        if (const auto file = File::open(rules.source)) text = file->text(largest_file);

    std::vector<Problem> problems;
    std::vector<Warning> warnings;
    if (rules.usable) {
        const auto document =
            source.is_file ? policy::json::parse(text) : tl::unexpected(policy::json::SyntaxError{});
        const auto* tree = document ? &*document : nullptr;
        warnings = look_around(source, tree);
        if (tree != nullptr)
            for (auto& warning : lint(rules.config, *tree)) warnings.push_back(std::move(warning));
    } else {
        problems = problems_of(source, options, text);
    }

    Answer answer;
    answer.fine = rules.usable;
    answer.json = {{"source", rules.source}, {"why", source.why}, {"usable", rules.usable}};
    answer.json["places"] = Json::array();
    answer.json["errors"] = Json::array();
    answer.json["warnings"] = Json::array();

    answer.text = "rules: " + shown(rules.source) + " (" + source.why + ")\n";
    Rows places;
    for (const auto& place : source.places) {
        places.emplace_back(place.name, place.state);
        answer.json["places"].push_back(
            {{"place", place.name}, {"state", place.state}, {"used", place.is_used}});
    }
    answer.text += table(places);
    for (const auto& problem : problems) {
        answer.text += shown(problem.text) + '\n';
        answer.json["errors"].push_back(to_json(problem, rules.source));
    }
    for (const auto& warning : warnings) {
        answer.text += shown(warning.line(rules.source)) + '\n';
        answer.json["warnings"].push_back(to_json(warning, rules.source));
    }
    if (!rules.usable) {
        answer.text += "Not usable: everything is refused until that is right.\n";
        return answer;
    }
    answer.json["upstreams"] = Json::array();
    for (const auto& upstream : rules.config.upstreams)
        answer.json["upstreams"].push_back({{"name", upstream.name}, {"url", url_of(upstream)}});
    answer.json["rules"] = rules.config.rules.size();
    answer.json["default"] = route_text(rules.config, rules.config.otherwise);
    answer.text += summary(rules.config);
    answer.text +=
        warnings.empty() ? "Fine.\n" : "Usable, with " + counted(warnings.size(), "warning") + ".\n";
    return answer;
}

} // namespace socksify::ctl
