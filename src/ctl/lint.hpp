// What is legal in a rules file but surely not meant.
//
// Knows values alone, no files: a rule that can't be reached, an upstream that nobody uses. Rules are
// compared one by one: that several together cover a later one is not seen, and what is warned of is always
// true.
#pragma once

#include "policy/config.hpp"
#include "policy/located_json.hpp"

namespace socksify::ctl {

struct Warning {
    policy::json::Position position; ///< line 0: the rules have no lines
    std::string key;                 ///< as in ConfigError: rules[2].destination
    std::string text;

    /// "socksify.json:17:9: warning: rules[2]: …", without a newline.
    [[nodiscard]] std::string line(std::string_view file) const;
};

/// `document` is what `config` was read from. In the order of the document.
std::vector<Warning> lint(const policy::Config& config, const policy::json::Value& document);

/// The member of an object; null if it is not there or `object` is none.
const policy::json::Value* member(const policy::json::Value& object, std::string_view key) noexcept;

/// Whether every program that `later` matches is matched by `earlier` as well. False when in doubt.
bool covers_program(std::string_view earlier, std::string_view later) noexcept;

} // namespace socksify::ctl
