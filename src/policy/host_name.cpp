#include "policy/host_name.hpp"

#include <algorithm>

namespace socksify::policy {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_label(std::string_view label) noexcept {
    return !label.empty() && label.size() <= 63 && std::all_of(label.begin(), label.end(), [](char c) {
        return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '_';
    });
}

bool is_number(std::string_view label) noexcept {
    if (label.starts_with("0x") || label.starts_with("0X"))
        return label.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
    return std::all_of(label.begin(), label.end(), is_digit);
}

} // namespace

FoldedName::FoldedName(std::string_view name) noexcept {
    if (name.ends_with('.')) name.remove_suffix(1);
    if (name.size() > text_.size()) return;
    std::transform(name.begin(), name.end(), text_.begin(), lower);
    size_ = name.size();
}

bool is_host_name(std::string_view name) noexcept {
    if (name.ends_with('.')) name.remove_suffix(1);
    if (name.size() > 253) return false;
    for (;;) {
        const auto dot = name.find('.');
        const auto label = name.substr(0, dot);
        if (!is_label(label)) return false;
        if (dot == std::string_view::npos) return !is_number(label);
        name.remove_prefix(dot + 1);
    }
}

bool is_below(std::string_view name, std::string_view domain) noexcept {
    return name.size() > domain.size() + 1 && name.ends_with(domain) &&
           name[name.size() - domain.size() - 1] == '.';
}

} // namespace socksify::policy
