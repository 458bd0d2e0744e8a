// What every reader promises, whatever its message: whole, cut at any point, octet by octet, and with more
// behind it.
#pragma once

#include "support/octets.hpp"

#include <doctest/doctest.h>

namespace socksify::test {

/// `read` is a function from Bytes to Parsed<…>; `message` is one whole message.
template <class Read>
void check_reader(Read read, const Octets& message) {
    INFO("message: ", hex(message));
    const auto whole = read(Bytes(message));
    REQUIRE(whole.outcome == Outcome::complete);
    CHECK(whole.size == message.size());

    for (const auto& behind : {octets("00"), octets("ff"), octets("05 01 00"), message}) {
        const auto more = message + behind;
        const auto parsed = read(Bytes(more));
        CHECK(parsed.outcome == Outcome::complete);
        CHECK(parsed.size == message.size());
    }

    for (std::size_t cut = 0; cut < message.size(); ++cut) {
        INFO("cut after ", cut, " octets");
        const auto start = copy(Bytes(message).first(cut));
        const auto parsed = read(Bytes(start));
        REQUIRE(parsed.outcome == Outcome::need_more);
        CHECK(parsed.size >= 1);
        CHECK(cut + parsed.size <= message.size()); // the octet after the message is somebody else's
    }

    Octets received;
    for (;;) {
        const auto parsed = read(Bytes(received));
        if (parsed.outcome == Outcome::complete) break;
        REQUIRE(parsed.outcome == Outcome::need_more);
        REQUIRE(received.size() + parsed.size <= message.size());
        received = received + Bytes(message).subspan(received.size(), parsed.size);
    }
    CHECK(received == message);
}

/// Also that writing what was read gives the same octets, with more behind the message as without.
template <class Read, class Write>
void check_codec(Read read, Write write, const Octets& message) {
    check_reader(read, message);
    CHECK(hex(write(read(Bytes(message)).value)) == hex(message));
    const auto more = message + octets("05 ff 00 01");
    CHECK(hex(write(read(Bytes(more)).value)) == hex(message));
}

/// `octets` can't become a message, however many follow.
template <class Read>
void check_malformed(Read read, const Octets& octets) {
    INFO("octets: ", hex(octets));
    CHECK(read(Bytes(octets)).outcome == Outcome::malformed);
    const auto more = octets + Octets(600, 0);
    CHECK(read(Bytes(more)).outcome == Outcome::malformed);
}

} // namespace socksify::test
