// How a variable of the environment tells of sockets that the next program has, too (exec): records, of fields.
#pragma once

#include "sys/address.hpp"
#include "sys/real.hpp"

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace socksify::sys::inherited {

constexpr char between_fields = ',', between_records = ';';

/// A value with one of them in it can't be told.
inline bool can_be_written(std::string_view value) noexcept {
    return value.find_first_of(",;") == std::string_view::npos;
}

inline std::string text_of(const Address& address) {
    const auto endpoint = to_endpoint(address.get(), address.size);
    return endpoint ? endpoint->text() : std::string();
}

inline std::optional<Address> address(std::string_view text, int domain) {
    const auto endpoint = Endpoint::parse(text);
    return endpoint ? to_address(*endpoint, domain) : std::nullopt;
}

/// 0 if it is none.
template <class Number>
Number number(std::string_view text) noexcept {
    Number value{};
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

/// What stands before the next `end`, which is taken off `text` with it.
inline std::string_view take(std::string_view& text, char end) noexcept {
    const auto at = std::min(text.find(end), text.size());
    const auto field = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    return field;
}

/// Whether `fd` stays open in the next program.
inline bool is_inheritable(int fd) noexcept {
    const int flags = real::fcntl(fd, F_GETFD);
    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

} // namespace socksify::sys::inherited
