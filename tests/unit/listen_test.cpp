#include "socksify/listen.hpp"

#include "support/readers.hpp"

using namespace socksify;
using namespace socksify::test;

namespace {

const auto write = [](const auto& message) { return copy(encode(message)); };

Endpoint endpoint(std::string_view text) { return Endpoint::parse(text).value(); }

} // namespace

TEST_CASE("a peer that waits: its ID and where it comes from, all address types") {
    const Note note{NoteType::peer, 0xdeadbeef, endpoint("192.0.2.9:40000")};
    const auto* const vector = "01 00 0e de ad be ef 01 c0 00 02 09 9c 40";
    CHECK(hex(encode(note)) == vector);
    check_codec(parse_note, write, octets(vector));
    CHECK(parse_note(octets(vector)).value == note);
    check_codec(parse_note, write,
                octets("01 00 1a 00 00 00 01 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 35"));
    check_codec(parse_note, write,
                copy(encode(Note{NoteType::peer, 7, {Host::name(std::string(255, 'n')).value(), 53}})));
}

TEST_CASE("a peer that has gone, and how many may wait") {
    CHECK(hex(encode(Note{NoteType::gone, 0xdeadbeef, {}})) == "02 00 07 de ad be ef");
    CHECK(hex(encode(Note{NoteType::backlog, 128, {}})) == "03 00 07 00 00 00 80");
    check_codec(parse_note, write, octets("02 00 07 de ad be ef"));
    check_codec(parse_note, write, octets("03 00 07 ff ff ff ff"));
    CHECK(parse_note(octets("03 00 07 ff ff ff ff")).value.value == 0xffffffff);
}

TEST_CASE("a note may have more fields than we know") {
    check_reader(parse_note, octets("02 00 09 de ad be ef 11 22"));
    check_reader(parse_note, octets("01 00 10 de ad be ef 01 c0 00 02 09 9c 40 11 22"));
    CHECK(parse_note(octets("01 00 10 de ad be ef 01 c0 00 02 09 9c 40 11 22")).value.peer ==
          endpoint("192.0.2.9:40000"));
}

TEST_CASE("a note that nobody knows is skipped by its SIZE") {
    for (const auto& note :
         {octets("04 00 03"), octets("ff 00 05 01 02"), octets("00 02 00") + Octets(509, 1)}) {
        check_reader(parse_note, note);
        CHECK(parse_note(note).value.type == static_cast<NoteType>(note[0]));
    }
}

TEST_CASE("a SIZE that can't be true ends the connection") {
    for (const auto* const note : {"04 00 02", "01 00 00", "01 00 0d de ad be ef 01 c0 00 02 09 9c",
                                   "02 00 06", "03 00 03", "03 02 01", "01 ff ff"})
        check_malformed(parse_note, octets(note));
}

TEST_CASE("a peer without an address is none") {
    check_malformed(parse_note, octets("01 00 07 de ad be ef"));
    check_malformed(parse_note, octets("01 00 0e de ad be ef 02 c0 00 02 09 9c 40"));
    check_malformed(parse_note, octets("01 00 0e de ad be ef 04 c0 00 02 09 9c 40"));
}

TEST_CASE("ACCEPT names its peer in place of an IPv4 address") {
    CHECK(hex(encode(accept_request(0xdeadbeef))) == "05 a2 00 01 de ad be ef 00 00");
    for (const std::uint32_t id : {0U, 1U, 0x01020304U, 0xffffffffU}) {
        CHECK(peer_id(accept_request(id)) == id);
        CHECK(peer_id(parse_request(encode(accept_request(id))).value) == id);
    }
    CHECK(!peer_id(Request{Command::accept, 0, endpoint("[2001:db8::1]:0")}));
    CHECK(!peer_id(Request{Command::accept, 0, endpoint("name:0")}));
}
