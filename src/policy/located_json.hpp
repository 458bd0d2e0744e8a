// JSON that remembers where each key and value stood, so that an error can say so. Skips // and /* comments.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace socksify::policy::json {

/// Both count from 1. Columns count characters; a tab is one, a byte order mark at the start is none.
struct Position {
    unsigned line = 1;
    unsigned column = 1;

    friend constexpr bool operator==(const Position&, const Position&) noexcept = default;
};

enum class Kind : std::uint8_t { null, boolean, number, string, array, object };

struct Member;

/// One value and all that is in it.
struct Value {
    Kind kind = Kind::null;
    bool boolean = false;
    double number = 0;
    Position position;           ///< of its first character
    std::string text;            ///< a string's content, unescaped; a number as it was written
    std::vector<Value> items;    ///< of an array
    std::vector<Member> members; ///< of an object, in file order; a key that stands there twice is here twice
};

struct Member {
    std::string key;
    Position position; ///< of the key's opening quote
    Value value;
};

struct SyntaxError {
    Position position;
    std::string found; ///< in words, never the text itself: it may be part of a password
};

/// Arrays and objects in each other deeper than this are an error, so that no reader needs a deep stack.
constexpr std::size_t deepest_nesting = 32;

/// Reads one JSON text (RFC 8259). Needs up to about 250 octets of memory per octet of a hostile `text`: the
/// caller limits its size.
tl::expected<Value, SyntaxError> parse(std::string_view text);

} // namespace socksify::policy::json
