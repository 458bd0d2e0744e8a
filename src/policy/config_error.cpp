#include "policy/config_error.hpp"

#include <algorithm>
#include <array>

namespace socksify::policy {
namespace {

constexpr std::size_t longest_guess = 40; ///< longer than every key; a longer text has no spelling to correct

constexpr char fold(char c) noexcept {
    if (c == '-') return '_';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// How many insertions, deletions, replacements and swaps of neighbours lead from `a` to `b` ("optimal string
/// alignment"). Neither is longer than `longest_guess`.
std::size_t edits(std::string_view a, std::string_view b) noexcept {
    std::array<std::array<std::size_t, longest_guess + 1>, 3> rows{}; // this one and the two above it
    for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        auto& row = rows[i % 3];
        const auto& above = rows[(i + 2) % 3];
        const auto& two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = fold(a[i - 1]) == fold(b[j - 1]);
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
                row[j] = std::min(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a.size() % 3][b.size()];
}

} // namespace

std::string ConfigError::text(std::string_view file) const {
    std::string out(file);
    if (line != 0) out += ":" + std::to_string(line) + ":" + std::to_string(column);
    if (!key.empty()) out += ": " + key;
    out += ": found " + found;
    if (!allowed.empty()) out += "; allowed: " + allowed;
    if (!suggestion.empty()) out += "; did you mean " + quoted(suggestion) + "?";
    return out;
}

std::string quoted(std::string_view text) {
    constexpr std::size_t longest = 60;
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out = "\"";
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        out += "***";
        text.remove_prefix(at);
    }
    auto shown = text.substr(0, longest);
    if (shown.size() < text.size()) // not in the middle of a UTF-8 sequence
        while (!shown.empty() && (static_cast<unsigned char>(text[shown.size()]) & 0xc0) == 0x80)
            shown.remove_suffix(1);
    for (const char c : shown) {
        const auto octet = static_cast<unsigned char>(c);
        if (octet < 0x20 || octet == 0x7f) ((out += "\\x") += digits[octet >> 4]) += digits[octet & 15];
        else if (c == '"' || c == '\\') (out += '\\') += c;
        else out += c;
    }
    return out += shown.size() < text.size() ? "…\"" : "\"";
}

Guess::Guess(std::string_view written) noexcept : written_(written), distance_(written.size() / 3 + 1) {}

void Guess::consider(std::string_view candidate) noexcept {
    if (written_.size() > longest_guess || candidate.size() > longest_guess) return;
    auto distance = edits(written_, candidate);
    // "dest" and "destinations" are one step from "destination", whatever their length says.
    const auto shorter = std::min(written_.size(), candidate.size());
    if (shorter >= 3 && edits(written_.substr(0, shorter), candidate.substr(0, shorter)) == 0)
        distance = std::min<std::size_t>(distance, 1);
    if (distance >= distance_) return;
    best_ = candidate;
    distance_ = distance;
}

} // namespace socksify::policy
