#include "launcher/shell_code.hpp"

#include <cstdlib>
#include <optional>

namespace socksify::launcher {
namespace {

/// One word for any shell.
std::string quoted(const std::string& text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'') out += R"('\'')";
        else out += c;
    }
    return out + "'";
}

std::optional<std::string> value_of(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

/// What `name` was before any of this.
std::optional<std::string> original(const std::string& name, const std::string& library) {
    const auto preload = value_of("LD_PRELOAD").value_or("");
    if (!preload.starts_with(library)) return value_of(name.c_str());
    if (name != "LD_PRELOAD") return {};
    const auto others = preload.substr(library.size());
    return others.size() > 1 ? std::optional(others.substr(1)) : std::nullopt;
}

} // namespace

std::string shell_code(const Variables& set, const std::string& library) {
    std::string on;
    std::string off;
    for (const auto& [name, value] : set) {
        on += "export " + name + "=" + quoted(value) + ";\n";
        const auto before = original(name, library);
        off += before ? " export " + name + "=" + quoted(*before) + ";" : " unset " + name + ";";
    }
    return on + "socksify_off() {" + off + " unset -f socksify_off; };\n" +
           "# This is for: eval \"$(socksify [OPTION…] --shell)\"   The way back: socksify_off\n";
}

} // namespace socksify::launcher
