#include "policy/hold_policy.hpp"

#include "doctest/doctest.h"

#include <initializer_list>

using namespace std::chrono_literals;
using socksify::policy::HoldPolicy;

namespace {

constexpr unsigned most = 4;

/// A process whose connects have these intervals.
class Process {
public:
    HoldPolicy policy;

    void connects(std::initializer_list<HoldPolicy::Duration> intervals) {
        for (const auto interval : intervals) policy.connected(now_ += interval);
    }
    void connects(int times, HoldPolicy::Duration interval) {
        for (int i = 0; i < times; ++i) policy.connected(now_ += interval);
    }

private:
    HoldPolicy::Time now_{1000h};
};

} // namespace

TEST_CASE("nothing is held for a process that connects once, or seldom") {
    Process process;
    CHECK(process.policy.wanted(most) == 0);
    process.connects({0s});
    CHECK(process.policy.wanted(most) == 0);
    process.connects(100, 11s);
    CHECK(process.policy.wanted(most) == 0);
}

TEST_CASE("a second connect within some seconds has one held") {
    Process process;
    process.connects({0s, 5s});
    CHECK(process.policy.wanted(most) == 1);
    CHECK(process.policy.wanted(0) == 0);
}

TEST_CASE("as many are held as connects come while one is made, and no more") {
    Process process;
    process.policy.made(100ms);
    process.connects(20, 1s);
    CHECK(process.policy.wanted(most) == 1);
    process.connects(50, 60ms);
    CHECK(process.policy.wanted(most) == 2);
    process.connects(50, 10ms);
    CHECK(process.policy.wanted(most) == most);
    process.connects(50, 5s);
    CHECK(process.policy.wanted(most) == 1);
}

TEST_CASE("connects all at once have more held one by one, up to the most") {
    Process process;
    for (const unsigned wanted : {0, 1, 2, 3, 4, 4, 4}) {
        process.connects({0s});
        CHECK(process.policy.wanted(most) == wanted);
    }
}

TEST_CASE("one that nobody has used has the next wait for more connects in a row") {
    Process process;
    process.connects({0s, 1s});
    REQUIRE(process.policy.wanted(most) == 1);
    process.policy.unused();
    for (int pair = 0; pair < 3; ++pair) {
        process.connects({60s, 1s});
        CHECK(process.policy.wanted(most) == 0);
    }
    process.connects({1s});
    CHECK(process.policy.wanted(most) == 1);
    process.policy.used();
    process.connects({60s, 1s});
    CHECK(process.policy.wanted(most) == 1);
}

TEST_CASE("however many nobody has used, a process that goes on connecting gets one") {
    Process process;
    for (int i = 0; i < 1'000'000; ++i) process.policy.unused();
    process.connects(40, 1s);
    CHECK(process.policy.wanted(most) > 0);
}

TEST_CASE("a proxy that ends them early has them wait for less long") {
    HoldPolicy policy;
    CHECK(policy.idle_time() == HoldPolicy::longest_idle);
    policy.broken(10s);
    CHECK(policy.idle_time() == 5s);
    policy.used();
    CHECK(policy.idle_time() == 5s);
    policy.broken(19s); // late to notice: no reason to wait longer again
    CHECK(policy.idle_time() == 5s);
    policy.broken(1100ms);
    CHECK(policy.idle_time() == HoldPolicy::shortest_idle);
}

TEST_CASE("a proxy that ends them at once, or again and again, is hopeless") {
    Process at_once;
    at_once.connects({0s, 0s});
    at_once.policy.broken(1ms);
    CHECK(at_once.policy.is_hopeless());
    CHECK(at_once.policy.wanted(most) == 0);

    HoldPolicy again;
    again.broken(5s);
    again.broken(5s);
    CHECK_FALSE(again.is_hopeless());
    again.used();
    again.broken(5s);
    CHECK_FALSE(again.is_hopeless());
    again.broken(5s);
    again.broken(5s);
    CHECK(again.is_hopeless());
}
