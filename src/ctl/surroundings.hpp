// What surrounds the rules on this machine and makes them mean something else than was meant: who may read
// and write the files, and which programs really run behind the names of rules.
#pragma once

#include "ctl/lint.hpp"
#include "ctl/rules_source.hpp"

namespace socksify::ctl {

/// `document` is null for rules from a URL.
std::vector<Warning> look_around(const RulesSource& source, const policy::json::Value* document);

} // namespace socksify::ctl
