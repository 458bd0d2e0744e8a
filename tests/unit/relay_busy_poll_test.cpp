#include "relay/busy_poll.hpp"

#include <doctest/doctest.h>

using socksify::relay::BusyPoll;
using namespace std::chrono_literals;

TEST_CASE("who has been idle sleeps at once") {
    BusyPoll poll;
    CHECK_FALSE(poll.looks_again(0us, 50us));
    poll.ended(1s, 50us);
    CHECK_FALSE(poll.looks_again(0us, 50us));
}

TEST_CASE("after a short wait, asleep or not, the next one is spent looking, as long as that is allowed") {
    BusyPoll poll;
    poll.ended(49us, 50us);
    CHECK(poll.looks_again(0us, 50us));
    CHECK(poll.looks_again(49us, 50us));
    CHECK_FALSE(poll.looks_again(50us, 50us));
}

TEST_CASE("one wait in vain, and the next ones are slept") {
    BusyPoll poll;
    poll.ended(10us, 50us);
    poll.ended(50us, 50us);
    CHECK_FALSE(poll.looks_again(0us, 50us));
    poll.ended(20us, 50us);
    CHECK_FALSE(poll.looks_again(0us, 50us));
    poll.ended(20us, 50us);
    CHECK(poll.looks_again(0us, 50us));
}

TEST_CASE("where somebody else takes the processor whenever it looks, it hardly looks") {
    BusyPoll poll;
    unsigned looked = 0;
    for (int i = 0; i < 10'000; ++i) {
        const bool looks = poll.looks_again(0us, 50us);
        looked += looks ? 1 : 0;
        poll.ended(looks ? 3ms : 20us, 50us);
    }
    CHECK(looked < 50);
    for (int i = 0; i < 256; ++i) poll.ended(20us, 50us);
    CHECK(poll.looks_again(0us, 50us)); // it tries now and then
    for (int i = 0; i < 8; ++i) poll.ended(20us, 50us);
    poll.ended(1s, 50us);
    poll.ended(20us, 50us);
    poll.ended(20us, 50us);
    CHECK(poll.looks_again(0us, 50us)); // and what it has found in time is forgiven
}

TEST_CASE("with a bound of nothing nobody looks again") {
    BusyPoll poll;
    poll.ended(0us, 0us);
    CHECK_FALSE(poll.looks_again(0us, 0us));
}
