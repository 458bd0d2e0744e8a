// What a key of a JSON document may hold, as data: it holds parser, messages, schema and manual together.
#pragma once

#include <span>
#include <string_view>

namespace socksify::policy {

struct KeyInfo {
    std::string_view object; ///< where it may stand: "" the document, "rules[]" an item of rules, "log"
    std::string_view key;
    std::string_view allowed;  ///< its values, in words
    std::string_view fallback; ///< its value when it is not there, as JSON; empty if there is none
};

} // namespace socksify::policy
