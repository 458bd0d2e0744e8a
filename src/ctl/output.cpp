#include "ctl/output.hpp"

#include <cstdio>

namespace socksify::ctl {
namespace {

constexpr char32_t no_character = 0xffffffff;

/// The character at the front of `text` and its size in octets; `no_character` and 1 for what is not UTF-8
/// (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF).
struct Character {
    char32_t code = no_character;
    std::size_t size = 1;
};
Character first_character(Bytes text) noexcept {
    const std::uint8_t lead = text[0];
    if (lead < 0x80) return {lead, 1};
    const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
    char32_t code = lead & (0x7fU >> size);
    for (const auto octet : text.subspan(1, size - 1)) {
        if ((octet & 0xc0) != 0x80) return {};
        code = code << 6 | (octet & 0x3fU);
    }
    constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
    if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
    return {code, size};
}

/// C0, DEL, C1; marks, embeddings and isolates of direction; line and paragraph separators; invisible ones.
bool is_harmless(char32_t c) noexcept {
    if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return false;
    return !(c == 0xad || c == 0x061c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
             (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || c >= 0xe0000);
}

std::string printed(const char* format, unsigned long number) {
    char text[24];
    std::snprintf(text, sizeof text, format,
                  number); // NOLINT(clang-diagnostic-format-nonliteral): ours, below
    return text;
}

} // namespace

std::string serialized(const Json& json) {
    return json.dump(2, ' ', true, Json::error_handler_t::replace) + '\n';
}

std::string shown(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto [code, size] = first_character(as_bytes(text));
        if (code == no_character || (code < 0xa0 && !is_harmless(code)))
            for (const auto octet : as_bytes(text.substr(0, size))) out += printed("\\x%02lx", octet);
        else if (!is_harmless(code)) out += printed("\\u{%04lx}", code);
        else out += text.substr(0, size);
        text.remove_prefix(size);
    }
    return out;
}

std::string hex(Bytes octets, std::size_t most) {
    std::string out;
    for (const auto octet : octets.first(std::min(octets.size(), most)))
        out += printed(out.empty() ? "%02lx" : " %02lx", octet);
    if (octets.size() > most) out += " … (" + std::to_string(octets.size()) + " octets)";
    return out;
}

std::string hex_digits(Bytes octets) {
    std::string out;
    for (const auto octet : octets) out += printed("%02lx", octet);
    return out;
}

std::string joined(const std::vector<std::string>& words, std::string_view none) {
    if (words.empty()) return std::string(none);
    std::string out;
    for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
    return out;
}

std::string table(const Rows& rows) {
    std::size_t width = 0;
    for (const auto& [name, text] : rows) width = std::max(width, name.size());
    std::string out;
    for (const auto& [name, text] : rows) {
        out += "  " + name + std::string(width - name.size() + 2, ' ');
        for (const char c : text) {
            out += c;
            if (c == '\n') out.append(width + 4, ' ');
        }
        out += '\n';
    }
    return out;
}

std::string counted(std::size_t number, std::string_view what) {
    return std::to_string(number) + " " + std::string(what) + (number == 1 ? "" : "s");
}

std::string duration(double milliseconds) {
    char text[32];
    if (milliseconds >= 1000) std::snprintf(text, sizeof text, "%.1f s", milliseconds / 1000);
    else std::snprintf(text, sizeof text, milliseconds >= 10 ? "%.0f ms" : "%.2f ms", milliseconds);
    return text;
}

} // namespace socksify::ctl
