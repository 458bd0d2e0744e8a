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

TEST_CASE("one wait in vain, and the next one is slept") {
    BusyPoll poll;
    poll.ended(10us, 50us);
    poll.ended(50us, 50us);
    CHECK_FALSE(poll.looks_again(0us, 50us));
    poll.ended(20us, 50us);
    CHECK(poll.looks_again(0us, 50us));
}

TEST_CASE("with a bound of nothing nobody looks again") {
    BusyPoll poll;
    poll.ended(0us, 0us);
    CHECK_FALSE(poll.looks_again(0us, 0us));
}
