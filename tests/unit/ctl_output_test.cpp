#include "ctl/output.hpp"

#include "doctest/doctest.h"

using namespace socksify;
using namespace socksify::ctl;

TEST_CASE("text of others never moves the cursor, nor turns the direction of writing") {
    CHECK(shown("plain") == "plain");
    CHECK(shown("Grüße, 世界 🙂") == "Grüße, 世界 🙂");
    CHECK(shown("\x1b[2J\r\n\t\x7f") == "\\x1b[2J\\x0d\\x0a\\x09\\x7f");
    CHECK(shown(std::string_view("a\0b", 3)) == "a\\x00b");
    CHECK(shown("\xc2\x9b") == "\\xc2\\x9b"); // U+009B is CSI to some terminals
    CHECK(shown("\u202e\u2066\u200f\u2028\ufeff") == "\\u{202e}\\u{2066}\\u{200f}\\u{2028}\\u{feff}");
    CHECK(shown("\U000e0041") == "\\u{e0041}"); // tags, which nobody sees
}

TEST_CASE("what is not UTF-8 is shown as octets") {
    CHECK(shown("\xff") == "\\xff");
    CHECK(shown("\xc3") == "\\xc3");          // cut
    CHECK(shown("\xc3\x28") == "\\xc3(");     // no continuation
    CHECK(shown("\xc0\x80") == "\\xc0\\x80"); // overlong
    CHECK(shown("\xe0\x80\x9b") == "\\xe0\\x80\\x9b");
    CHECK(shown("\xed\xa0\x80") == "\\xed\\xa0\\x80");          // a surrogate
    CHECK(shown("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80"); // above U+10FFFF
    CHECK(shown("\xe4\xb8") == "\\xe4\\xb8");
}

TEST_CASE("JSON is ASCII, and takes octets that are no text") {
    const auto text = serialized({{"a", "\x1b\xff\u202e"}});
    for (const char c : text) CHECK((c == '\n' || (c >= ' ' && c <= '~')));
    CHECK(Json::parse(text).contains("a"));
}

TEST_CASE("octets in hexadecimal digits") {
    const std::array<std::uint8_t, 3> octets{0x05, 0xff, 0x00};
    CHECK(hex(octets) == "05 ff 00");
    CHECK(hex(octets, 2) == "05 ff … (3 octets)");
    CHECK(hex_digits(octets) == "05ff00");
    CHECK(hex({}).empty());
}

TEST_CASE("a table's columns stand below each other, further lines of a text too") {
    CHECK(table({{"a", "1"}, {"long", "2\n3"}}) == "  a     1\n  long  2\n        3\n");
    CHECK(table({}).empty());
}
