// What the commands answer with, and how text that others wrote (a proxy, a file name) is shown without harm.
#pragma once

#include "socksify/bytes.hpp"

#include <nlohmann/json.hpp>
#include <string>

namespace socksify::ctl {

/// Keys stay in the order in which they were put in. socksifyctl(1) documents them: they are an interface.
using Json = nlohmann::ordered_json;

/// A command's result, in both forms.
struct Answer {
    std::string text; ///< lines, each with its newline
    Json json = Json::object();
    bool fine = true; ///< exit status 0, else 1
};

/// The JSON text with its newline, in ASCII alone: whatever a proxy sent, no terminal takes it for a command.
std::string serialized(const Json& json);

/// Text for a terminal: all that is not plain UTF-8, and what would move the cursor or turn the direction of
/// writing, as \xNN or \u{NNNN}.
std::string shown(std::string_view text);

/// "05 07 00 01". The first `most` octets; then "… (N octets)" if there are more.
std::string hex(Bytes octets, std::size_t most = 64);
/// "05070001", all of them.
std::string hex_digits(Bytes octets);

/// "a, b, c"; `none` if there are none.
std::string joined(const std::vector<std::string>& words, std::string_view none = "none");

/// Lines of two columns, indented: a name, and a text of one or more lines.
using Rows = std::vector<std::pair<std::string, std::string>>;
std::string table(const Rows& rows);

/// "1 rule", "2 rules".
std::string counted(std::size_t number, std::string_view what);

/// "0.21 ms", "3.1 s".
std::string duration(double milliseconds);

} // namespace socksify::ctl
