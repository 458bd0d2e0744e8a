#include "policy/session_cache.hpp"

#include "support/octets.hpp"

#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::policy;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t proxy = 3;

SessionGrant grant_of(std::uint32_t lifetime = 300) {
    SessionGrant grant;
    grant.token.put(test::Octets(16, 7));
    grant.lifetime = lifetime;
    return grant;
}

struct Scene {
    SessionCache sessions;
    SessionCache::Time now{1h};

    /// Until one is to be opened.
    bool connect_twice() {
        const bool first = sessions.open_now(proxy, now);
        return sessions.open_now(proxy, now) && !first;
    }
    /// Until then the next connect asks for none.
    void check_asked_again_after(SessionCache::Time::duration time) {
        now += time - 1s;
        CHECK_FALSE(sessions.open_now(proxy, now));
        now += 1s;
        CHECK(sessions.open_now(proxy, now));
    }
    [[nodiscard]] bool has_one(std::size_t upstream = proxy) const {
        return sessions.find(upstream, now) != nullptr;
    }
};

} // namespace

TEST_CASE("a session is for who connects twice, and asked for once") {
    Scene scene;
    CHECK_FALSE(scene.has_one());
    CHECK(scene.connect_twice());
    CHECK_FALSE(scene.sessions.open_now(proxy, scene.now));
    CHECK_FALSE(scene.sessions.open_now(proxy - 1, scene.now)); // another proxy's first
    const auto session = scene.sessions.opened(proxy, grant_of());
    CHECK(scene.sessions.find(proxy, scene.now + 1000h) == session);
    CHECK_FALSE(scene.has_one(proxy - 1));
    CHECK_FALSE(scene.has_one(proxy + 1));
    scene.now += 1h;
    CHECK_FALSE(scene.sessions.open_now(proxy, scene.now));
}

TEST_CASE("a claim whose owner is gone is void after a while") {
    Scene scene;
    REQUIRE(scene.connect_twice());
    scene.check_asked_again_after(30s);
}

TEST_CASE("a token outlives its control connection for its lifetime, and then the next may be asked for") {
    Scene scene;
    REQUIRE(scene.connect_twice());
    const auto session = scene.sessions.opened(proxy, grant_of(60));
    scene.now += 1h;
    scene.sessions.control_ended(proxy, session, scene.now);
    scene.now += 59s;
    CHECK(scene.has_one());
    scene.now += 1s;
    CHECK_FALSE(scene.has_one());
    CHECK(scene.sessions.open_now(proxy, scene.now));
}

TEST_CASE("a token that was good and is refused is replaced sooner than one that never was") {
    for (const bool has_worked : {true, false}) {
        Scene scene;
        REQUIRE(scene.connect_twice());
        const auto session = scene.sessions.opened(proxy, grant_of());
        session->has_worked = has_worked;
        scene.sessions.refused(proxy, session, scene.now);
        CHECK_FALSE(scene.has_one());
        CHECK(session->is_refused);
        CHECK_FALSE(scene.sessions.open_now(proxy, scene.now));
        scene.now += SessionCache::after_refusal;
        CHECK(scene.sessions.open_now(proxy, scene.now) == has_worked);
        scene.now += SessionCache::after_failure;
        CHECK(scene.sessions.open_now(proxy, scene.now));
    }
}

TEST_CASE("what comes late of an older session leaves the newer one alone") {
    Scene scene;
    REQUIRE(scene.connect_twice());
    const auto older = scene.sessions.opened(proxy, grant_of());
    const auto newer = scene.sessions.opened(proxy, grant_of(0));
    scene.sessions.refused(proxy, older, scene.now);
    scene.sessions.control_ended(proxy, older, scene.now);
    CHECK(scene.sessions.find(proxy, scene.now) == newer);
}

TEST_CASE("a proxy that gives no session is not asked again for a while") {
    Scene scene;
    REQUIRE(scene.connect_twice());
    scene.sessions.failed(proxy, scene.now);
    scene.check_asked_again_after(SessionCache::after_failure);
}

TEST_CASE("a child has its parent's token, but not its claim") {
    Scene scene;
    REQUIRE(scene.connect_twice());
    auto child = scene.sessions;
    child.leave_to_parent();
    CHECK(child.open_now(proxy, scene.now));
    const auto session = scene.sessions.opened(proxy, grant_of());
    child = scene.sessions;
    child.leave_to_parent();
    CHECK(child.find(proxy, scene.now) == session);
}
