#include "policy/located_json.hpp"

#include "doctest/doctest.h"

#include <ostream>

using namespace socksify::policy;
using json::Kind;
using json::parse;
using json::Position;

namespace {

json::Value must_parse(std::string_view text) {
    auto value = parse(text);
    REQUIRE_MESSAGE(value.has_value(), text);
    return std::move(*value);
}

json::SyntaxError must_fail(std::string_view text) {
    const auto value = parse(text);
    REQUIRE_MESSAGE(!value.has_value(), text);
    return value.error();
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

} // namespace

namespace socksify::policy::json {
std::ostream& operator<<(std::ostream& out, const Position& position) {
    return out << position.line << ':' << position.column;
}
} // namespace socksify::policy::json

TEST_CASE("each kind of value knows where it begins") {
    const auto value = must_parse(R"({
  "text": "x", "number": 443, "whole": -7,
  "list": [true, null,false ,
           1.5e3],
  "object": {"inner": []}
})");
    CHECK(value.position == Position{1, 1});
    REQUIRE(value.members.size() == 5);
    CHECK(value.members[0].position == Position{2, 3});
    CHECK(value.members[0].value.position == Position{2, 11});
    CHECK(value.members[0].value.text == "x");
    CHECK(value.members[1].position == Position{2, 16});
    CHECK(value.members[1].value.position == Position{2, 26});
    CHECK(value.members[1].value.text == "443");
    CHECK(value.members[1].value.number == 443);
    CHECK(value.members[2].value.position == Position{2, 40});
    const auto& list = value.members[3].value;
    CHECK(list.position == Position{3, 11});
    REQUIRE(list.items.size() == 4);
    CHECK(list.items[0].position == Position{3, 12});
    CHECK(list.items[0].boolean);
    CHECK(list.items[1].position == Position{3, 18});
    CHECK(list.items[1].kind == Kind::null);
    CHECK(list.items[2].position == Position{3, 23});
    CHECK_FALSE(list.items[2].boolean);
    CHECK(list.items[3].position == Position{4, 12});
    CHECK(list.items[3].text == "1.5e3");
    CHECK(value.members[4].value.members[0].position == Position{5, 14});
    CHECK(value.members[4].value.members[0].value.position == Position{5, 23});
}

TEST_CASE("comments, also next to a number, do not shift positions") {
    const auto value = must_parse("// first\n/* second\n line */ [ 1/**/,2//,\n , /*,*/3 ] // last");
    REQUIRE(value.items.size() == 3);
    CHECK(value.position == Position{3, 10});
    CHECK(value.items[0].position == Position{3, 12});
    CHECK(value.items[1].position == Position{3, 18});
    CHECK(value.items[2].position == Position{4, 9});
}

TEST_CASE("a comment ends at a carriage return too, as nlohmann has it") {
    CHECK(must_parse("[1, // one\r2]").items[1].number == 2);
    CHECK(must_parse("[1,\r\n2]").items[1].position == Position{2, 1});
}

TEST_CASE("columns count characters, not octets") {
    CHECK(must_parse(R"(["bücher", 1])").items[1].position == Position{1, 12});
    CHECK(must_parse("[\"\\u00fc\",\t1]").items[1].position == Position{1, 12});
}

TEST_CASE("a leading byte order mark has no width, one elsewhere is an error") {
    CHECK(must_parse("\xef\xbb\xbf[1]").items[0].position == Position{1, 2});
    CHECK(must_fail("[1]\xef\xbb\xbf").position == Position{1, 4});
    CHECK(must_fail("\xef\xbb[1]").found ==
          "syntax error while parsing value - invalid BOM; must be 0xEF 0xBB 0xBF if given");
}

TEST_CASE("a NUL does not hide what follows it") {
    // nlohmann takes NUL for the end of the input.
    CHECK(must_fail(std::string_view("{}\0garbage", 10)).position == Position{1, 3});
    CHECK(must_fail(std::string_view("// \0\n{}", 7)).position == Position{1, 4});
}

TEST_CASE("what follows the value is an error") {
    CHECK(must_fail("{} {}").position == Position{1, 4});
    CHECK(must_fail("1 2").position == Position{1, 3});
}

TEST_CASE("a syntax error stands where the wrong token begins") {
    CHECK(must_fail("{\"a\": 1\n \"b\": 2}").position == Position{2, 2});
    CHECK(must_fail("[1,,2]").position == Position{1, 4});
    CHECK(must_fail("{\"a\" 1}").position == Position{1, 6});
    CHECK(must_fail("[1 /* never closed").position == Position{1, 4});
    CHECK(must_fail("[\n  'one'\n]").position == Position{2, 3});
    CHECK(must_fail("").position == Position{1, 1});
    CHECK(must_fail("[1,\n").position == Position{2, 1});
}

TEST_CASE("the commonest mistake is told in its own words") {
    CHECK(must_fail("[1, 2,]").found == "a separator with nothing after it");
    CHECK(must_fail("{\"a\": 1,\n}").found == "a separator with nothing after it");
    CHECK(must_fail("{\"a\": }").found == "a separator with nothing after it");
    CHECK(must_fail("[1").found ==
          "syntax error while parsing array - unexpected end of input; expected ']'");
}

TEST_CASE("a broken string is not quoted in the error, for it may be a password") {
    for (const auto* text :
         {R"({"password": "hunter2)", "{\"password\": \"hunter2\n\"}", R"({"password": "hunter2\q"})",
          R"({"password": hunter2})", "{\"password\": \"hunter2\xff\"}",
          R"({"password": "; last read: 'hunter2)", R"({"password": "hunter2" "hunter2"})"}) {
        const auto error = must_fail(text);
        CHECK_MESSAGE(error.found.find("hunter") == std::string::npos, error.found);
    }
}

TEST_CASE("a number beyond all numbers is an error without its digits") {
    CHECK(must_fail("[1e999]").found == "a number too large to represent");
    CHECK(must_parse("[18446744073709551616]").items[0].number == 18446744073709551616.0);
}

TEST_CASE("hostile nesting ends at the limit") {
    CHECK(must_parse(nested(json::deepest_nesting)).kind == Kind::array);
    CHECK(must_fail(nested(json::deepest_nesting + 1)).position.column == json::deepest_nesting + 1);
    CHECK_FALSE(parse(std::string(1 << 20, '[')));
    std::string objects;
    while (objects.size() < (1 << 20)) objects += "{\"\":";
    CHECK_FALSE(parse(objects));
}

TEST_CASE("both members with one key are kept, in order") {
    const auto value = must_parse(R"({"a": 1, "a": 2})");
    REQUIRE(value.members.size() == 2);
    CHECK(value.members[1].value.number == 2);
}
