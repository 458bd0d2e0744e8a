#include "relay/tokens.hpp"

#include "support/octets.hpp"

#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::relay;
using namespace std::chrono_literals;
using test::copy;

namespace {

const Host here = *Host::parse("192.0.2.1");
const Host elsewhere = *Host::parse("192.0.2.2");

Config two_users() {
    Config config;
    config.auth.users = {{"alice", "$6$hers"}, {"bob", "$6$his"}};
    return config;
}

struct Scene {
    Tokens tokens;
    Config config = two_users();
    Clock::time_point now = Clock::now();

    std::optional<Tokens::Opened> open(const std::string& user = "alice") {
        return tokens.open(config, here, user, now);
    }
    [[nodiscard]] std::optional<std::string> user_of(Bytes token, const Host& from = here) const {
        return tokens.user_of(token, config, from, now);
    }
};

} // namespace

TEST_CASE("a token brings its user, as often as it is shown") {
    Scene scene;
    const auto hers = scene.open();
    const auto his = scene.open("bob");
    REQUIRE(hers);
    REQUIRE(his);
    CHECK(hers->grant.token.size() == 32);
    CHECK(hers->grant.lifetime == 300);
    for (int i = 0; i < 3; ++i) CHECK(scene.user_of(hers->grant.token) == "alice");
    CHECK(scene.user_of(his->grant.token) == "bob");
    CHECK(copy(hers->grant.token) != copy(his->grant.token));
    CHECK(scene.user_of(hers->grant.token, *Host::parse("::ffff:192.0.2.1")) == "alice");
}

TEST_CASE("a token that is not whole, not exactly that, or shown from elsewhere brings nobody") {
    Scene scene;
    const auto opened = scene.open();
    REQUIRE(opened);
    const auto token = copy(opened->grant.token);
    CHECK_FALSE(scene.user_of(token, elsewhere));
    CHECK_FALSE(scene.user_of({}));
    CHECK_FALSE(scene.user_of(Bytes(token).first(31)));
    auto longer = token;
    longer.push_back(0);
    CHECK_FALSE(scene.user_of(longer));
    for (std::size_t i = 0; i < token.size(); ++i) {
        auto wrong = token;
        wrong[i] ^= 1;
        CHECK_FALSE(scene.user_of(wrong));
    }
    CHECK(scene.user_of(token));
}

TEST_CASE("a token outlives its control connection by its time, and not by more") {
    Scene scene;
    auto opened = scene.open();
    REQUIRE(opened);
    const auto token = opened->grant.token;
    scene.now += 24h;
    CHECK(scene.user_of(token));
    opened->control.reset();
    scene.now = Clock::now() + 299s;
    CHECK(scene.user_of(token));
    scene.now = Clock::now() + 300s;
    CHECK_FALSE(scene.user_of(token));
    CHECK(scene.tokens.sessions() == 1); // until there is a reason to look
    CHECK(scene.open("bob"));
    CHECK(scene.tokens.sessions() == 1);
}

TEST_CASE("a token without a time of its own ends with its control connection") {
    Scene scene;
    scene.config.timeouts.session = 0s;
    auto opened = scene.open();
    REQUIRE(opened);
    CHECK(opened->grant.lifetime == 0);
    CHECK(scene.user_of(opened->grant.token));
    opened->control.reset();
    scene.now = Clock::now();
    CHECK_FALSE(scene.user_of(opened->grant.token));
}

TEST_CASE("a token is void when its user is gone, or has got another password") {
    Scene scene;
    const auto opened = scene.open();
    REQUIRE(opened);
    scene.config.auth.users["alice"] = "$6$another";
    CHECK_FALSE(scene.user_of(opened->grant.token));
    scene.config.auth.users.erase("alice");
    CHECK_FALSE(scene.user_of(opened->grant.token));
    scene.config = two_users();
    CHECK(scene.user_of(opened->grant.token));
}

TEST_CASE("so many sessions of one user and in all, those whose time runs included") {
    Scene scene;
    scene.config.limits.sessions = 3;
    scene.config.limits.sessions_per_user = 2;
    auto first = scene.open();
    const auto second = scene.open();
    REQUIRE(first);
    REQUIRE(second);
    CHECK_FALSE(scene.open());
    const auto his = scene.open("bob");
    CHECK(his);
    CHECK_FALSE(scene.open("bob"));
    CHECK_FALSE(scene.open("mallory"));
    first->control.reset();
    CHECK_FALSE(scene.open());
    scene.now = Clock::now() + 301s;
    CHECK(scene.open());
}
