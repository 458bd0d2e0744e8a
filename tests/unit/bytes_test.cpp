#include "socksify/bytes.hpp"

#include "support/octets.hpp"

#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::test;

TEST_CASE("integers stand in network order") {
    Message<7> out;
    out.put8(0xfe).put16(0x0102).put32(0x80fffe03);
    CHECK(hex(out) == "fe 01 02 80 ff fe 03");
    CHECK(get16(out.bytes().subspan(1)) == 0x0102);
    CHECK(get32(out.bytes().subspan(3)) == 0x80fffe03);
}

TEST_CASE("an integer with its high bit set is not sign-extended") {
    const auto in = octets("ff ff ff fe");
    CHECK(get16(in) == 0xffff);
    CHECK(get32(in) == 0xfffffffe);
}

TEST_CASE("a message holds as much as it says and can start again") {
    Message<3> out;
    CHECK(out.empty());
    out.put(octets("01 02 03"));
    CHECK(out.size() == out.capacity());
    out.clear();
    CHECK(out.empty());
    CHECK(out.bytes().empty());
    out.put8(9);
    CHECK(hex(out) == "09");
}

TEST_CASE("only a complete answer is true") {
    const Parsed<int> lacking = need_more(3);
    CHECK(!lacking);
    CHECK(lacking.outcome == Outcome::need_more);
    CHECK(lacking.size == 3);
    const Parsed<int> wrong = malformed();
    CHECK(!wrong);
    CHECK(wrong.outcome == Outcome::malformed);
    const auto whole = complete(7, 2);
    CHECK(whole);
    CHECK(whole.size == 2);
    CHECK(whole.value == 7);
    CHECK(!Parsed<int>{});
}

TEST_CASE("text and octets are views of the same memory") {
    const std::string_view text("a\0\xff", 3);
    CHECK(hex(as_bytes(text)) == "61 00 ff");
    CHECK(as_text(as_bytes(text)).data() == text.data());
    CHECK(as_text(as_bytes(text)) == text);
}
