#include "policy/feature_cache.hpp"

#include "support/octets.hpp"

#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::policy;
using namespace socksify::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t proxy = 3;
constexpr FeatureCache::Lifetime lifetime = 600s;
const FeatureCache::Time start{1000h};

Host host(std::string_view text) { return Host::parse(text).value(); }
const auto mine = host("10.0.0.5");
const auto other_address = host("10.0.0.6");

Circumstances towards(std::string_view destination, const Host& client = mine, Method method = Method::none) {
    return {client, method, destination.empty() ? Host{} : host(destination)};
}
const auto anywhere = towards("");

/// A list that says `mark`, and that it depends on these octets.
FeatureList list(std::string_view mark, std::string_view scope = "") {
    FeatureList features;
    if (!scope.empty()) features.add(Tag::fdl, subtag_scope, octets(scope));
    features.add(Tag::server, static_cast<std::uint8_t>(ServerInfo::hostname), as_bytes(mark));
    return features;
}

/// "none", "unknown" or the mark of the list.
std::string_view found(const FeatureCache& cache, const Circumstances& at, FeatureCache::Time now = start,
                       std::size_t upstream = proxy) {
    const auto knowledge = cache.find(upstream, at, now);
    CHECK((knowledge.features != nullptr) == (knowledge.known == Known::listed));
    switch (knowledge.known) {
    case Known::none: return "none";
    case Known::unknown: return "unknown";
    case Known::listed: break;
    }
    return knowledge.features->text(Tag::server, static_cast<std::uint8_t>(ServerInfo::hostname)).value();
}

} // namespace

TEST_CASE("a list without SCOPE holds for everybody, at that proxy") {
    FeatureCache cache;
    CHECK(found(cache, anywhere) == "unknown");
    cache.remember(proxy, anywhere, list("a"), start, lifetime);
    CHECK(found(cache, anywhere) == "a");
    CHECK(found(cache, towards("example.com", other_address, Method::password)) == "a");
    CHECK(found(cache, anywhere, start, proxy + 1) == "unknown");
    CHECK(found(cache, anywhere, start, 0) == "unknown");
    CHECK(found(cache, anywhere, start, ~std::size_t{0}) == "unknown");
}

TEST_CASE("each circumstance that SCOPE names must be the same, and no other") {
    const auto asked = towards("192.0.2.1", mine, Method::none);
    const auto elsewhere = towards("192.0.2.2", mine, Method::none);
    const auto otherwise = towards("192.0.2.1", mine, Method::password);
    const auto somebody = towards("192.0.2.1", other_address, Method::none);
    for (unsigned scope = 0; scope < 8; ++scope) {
        INFO("scope bits ", scope);
        std::string scope_octets;
        for (unsigned bit = 0; bit < 3; ++bit)
            if ((scope >> bit & 1) != 0) scope_octets.append("0").append(std::to_string(bit + 1));
        FeatureCache cache;
        cache.remember(proxy, asked, list("a", scope_octets), start, lifetime);
        CHECK(found(cache, asked) == "a");
        CHECK(found(cache, somebody) == ((scope & 1) != 0 ? "unknown" : "a"));
        CHECK(found(cache, otherwise) == ((scope & 2) != 0 ? "unknown" : "a"));
        CHECK(found(cache, elsewhere) == ((scope & 4) != 0 ? "unknown" : "a"));
        CHECK(cache.depends_on(proxy, Scope::client_address) == ((scope & 1) != 0));
        CHECK(cache.depends_on(proxy, Scope::authentication_method) == ((scope & 2) != 0));
        CHECK(cache.depends_on(proxy, Scope::destination) == ((scope & 4) != 0));
    }
}

TEST_CASE("a restriction that the draft does not define lets nothing else in") {
    FeatureCache cache;
    cache.remember(proxy, towards("192.0.2.1"), list("a", "04"), start, lifetime);
    CHECK(found(cache, towards("192.0.2.1")) == "a");
    CHECK(found(cache, towards("192.0.2.2")) == "unknown");
    CHECK(found(cache, towards("192.0.2.1", other_address)) == "unknown");
    CHECK(found(cache, towards("192.0.2.1", mine, Method::password)) == "unknown");
    CHECK(cache.depends_on(proxy, Scope::destination));
}

TEST_CASE("an answer for no specific host that depends on the host holds for nobody's host") {
    FeatureCache cache;
    REQUIRE(cache.ask_now(proxy, towards("example.com"), start));
    CHECK(!cache.depends_on(proxy, Scope::destination));
    cache.remember(proxy, anywhere, list("general", "03"), start, lifetime);
    CHECK(cache.depends_on(proxy, Scope::destination));
    CHECK(found(cache, towards("example.com")) == "unknown");
    REQUIRE(cache.ask_now(proxy, towards("example.com"), start));
    CHECK(!cache.ask_now(proxy, towards("example.com"), start));
    cache.remember(proxy, towards("example.com"), list("com", "03"), start, lifetime);
    CHECK(found(cache, towards("example.com")) == "com");
    CHECK(!cache.ask_now(proxy, towards("example.com"), start));
    CHECK(found(cache, towards("example.org")) == "unknown");
    CHECK(cache.ask_now(proxy, towards("example.org"), start));
}

TEST_CASE("one host has several spellings") {
    FeatureCache cache;
    cache.remember(proxy, towards("example.com"), list("name", "03"), start, lifetime);
    cache.remember(proxy, towards("192.0.2.1"), list("address", "01 03"), start, lifetime);
    CHECK(found(cache, towards("Example.COM.")) == "name");
    CHECK(found(cache, towards("::ffff:192.0.2.1", host("::ffff:10.0.0.5"))) == "address");
    CHECK(found(cache, towards("::ffff:192.0.2.1", host("::ffff:10.0.0.6"))) == "unknown");
}

TEST_CASE("what is too old is unknown") {
    FeatureCache cache;
    cache.remember(proxy, anywhere, list("a", "03"), start, lifetime);
    CHECK(found(cache, anywhere, start + lifetime - 1ns) == "a");
    CHECK(found(cache, anywhere, start + lifetime) == "unknown");
    CHECK(cache.depends_on(proxy, Scope::destination)); // the next question is the right one at once
    cache.remember_none(proxy, start, lifetime);
    CHECK(found(cache, anywhere, start + lifetime - 1ns) == "none");
    CHECK(found(cache, anywhere, start + lifetime) == "unknown");
}

TEST_CASE("a lifetime of for ever is no overflow") {
    FeatureCache cache;
    cache.remember(proxy, anywhere, list("a"), start, FeatureCache::Lifetime::max());
    CHECK(found(cache, anywhere, start + 24h * 36500) == "a");
    cache.remember(proxy, anywhere, list("b"), start, 0s);
    CHECK(found(cache, anywhere) == "unknown");
}

TEST_CASE("no LIST-FEATURES is no LIST-FEATURES for anybody, until the proxy lists some") {
    FeatureCache cache;
    cache.remember(proxy, towards("example.com"), list("a", "03"), start, lifetime);
    cache.remember_none(proxy, start, lifetime);
    CHECK(found(cache, towards("example.com")) == "none");
    CHECK(found(cache, towards("example.org", other_address, Method::password)) == "none");
    CHECK(found(cache, anywhere, start, proxy + 1) == "unknown");
    cache.remember(proxy, towards("example.com"), list("b", "03"), start, lifetime);
    CHECK(found(cache, towards("example.com")) == "b");
    CHECK(found(cache, towards("example.org")) == "unknown");
}

TEST_CASE("the newest answer takes the place of those that it contradicts") {
    FeatureCache cache;
    cache.remember(proxy, anywhere, list("old"), start, lifetime);
    cache.remember(proxy, towards("example.com"), list("com", "03"), start, lifetime);
    CHECK(found(cache, towards("example.com")) == "com");
    CHECK(found(cache, towards("example.org")) == "unknown"); // "old" said that it holds for example.com too
    cache.remember(proxy, towards("example.org"), list("org", "03"), start, lifetime);
    CHECK(found(cache, towards("example.com")) == "com");
    cache.remember(proxy, towards("example.net"), list("all"), start, lifetime);
    CHECK(found(cache, towards("example.com")) == "all");
    CHECK(!cache.depends_on(proxy, Scope::destination));
}

TEST_CASE("an answer that was contradicted does not come back when the newer one expires") {
    FeatureCache cache;
    cache.remember(proxy, towards("example.com"), list("com", "03"), start, lifetime);
    cache.remember(proxy, towards("example.net"), list("all"), start, 1s);
    CHECK(found(cache, towards("example.com"), start + 1s) == "unknown");
    cache.remember(proxy, anywhere, list("all"), start, lifetime);
    cache.remember(proxy, towards("example.com"), list("com", "03"), start, 1s);
    CHECK(found(cache, towards("example.com"), start + 1s) == "unknown");
}

TEST_CASE("a question is asked once per proxy and lifetime") {
    FeatureCache cache;
    CHECK(cache.ask_now(proxy, towards("example.com"), start));
    CHECK(!cache.ask_now(proxy, towards("example.com"), start));
    CHECK(!cache.ask_now(proxy, towards("example.org", other_address, Method::password), start));
    CHECK(cache.ask_now(proxy + 1, towards("example.com"), start));
    CHECK(found(cache, towards("example.com")) == "unknown"); // a claim is no knowledge
    cache.remember(proxy, anywhere, list("a"), start, lifetime);
    CHECK(!cache.ask_now(proxy, towards("example.com"), start));
    CHECK(!cache.ask_now(proxy, towards("example.com"), start + lifetime - 1ns));
    CHECK(cache.ask_now(proxy, towards("example.com"), start + lifetime));
    CHECK(!cache.ask_now(proxy, towards("example.com"), start + lifetime));
    cache.remember_none(proxy, start + lifetime, lifetime);
    CHECK(!cache.ask_now(proxy, towards("example.com"), start + 2 * lifetime - 1ns));
    CHECK(cache.ask_now(proxy, towards("example.com"), start + 2 * lifetime));
}

TEST_CASE("a short lifetime does not outlast the claim that led to it") {
    FeatureCache cache;
    REQUIRE(cache.ask_now(proxy, towards("example.com"), start));
    cache.remember(proxy, anywhere, list("a"), start, 1s);
    CHECK(cache.ask_now(proxy, towards("example.com"), start + 1s));
}

TEST_CASE("an asker who failed gives the question back, one who died loses it") {
    FeatureCache cache;
    REQUIRE(cache.ask_now(proxy, towards("example.com"), start));
    cache.give_back(proxy, towards("example.com"));
    REQUIRE(cache.ask_now(proxy, towards("example.com"), start));
    CHECK(!cache.ask_now(proxy, towards("example.com"), start + FeatureCache::longest_question - 1ns));
    CHECK(cache.ask_now(proxy, towards("example.com"), start + FeatureCache::longest_question));
}

TEST_CASE("giving a question back takes no knowledge and nobody else's claim away") {
    FeatureCache cache;
    cache.remember(proxy, anywhere, list("general", "03"), start, lifetime);
    REQUIRE(cache.ask_now(proxy, towards("example.com"), start));
    REQUIRE(cache.ask_now(proxy, towards("example.org"), start));
    REQUIRE(cache.ask_now(proxy + 1, towards("example.com"), start));
    cache.give_back(proxy, towards("example.com"));
    CHECK(found(cache, anywhere) == "general");
    CHECK(!cache.ask_now(proxy, towards("example.org"), start));
    CHECK(!cache.ask_now(proxy + 1, towards("example.com"), start));
    CHECK(cache.ask_now(proxy, towards("example.com"), start));
}

TEST_CASE("after fork the child may ask what its parent is asking") {
    FeatureCache cache;
    cache.remember(proxy, anywhere, list("a"), start, lifetime);
    REQUIRE(cache.ask_now(proxy + 1, anywhere, start));
    auto child = cache;
    child.give_back_all();
    CHECK(found(child, anywhere) == "a");
    CHECK(child.ask_now(proxy + 1, anywhere, start));
    CHECK(!cache.ask_now(proxy + 1, anywhere, start));
}

TEST_CASE("a contradicted list is forgotten, and not asked for again before it would have expired") {
    FeatureCache cache;
    cache.remember(proxy, towards("example.com"), list("a", "03"), start, lifetime);
    cache.remember(proxy + 1, anywhere, list("b"), start, lifetime);
    cache.forget(proxy, start);
    CHECK(found(cache, towards("example.com")) == "unknown");
    CHECK(found(cache, anywhere, start, proxy + 1) == "b");
    CHECK(!cache.ask_now(proxy, towards("example.com"), start));
    CHECK(!cache.ask_now(proxy, towards("example.org"), start + lifetime - 1ns));
    cache.give_back(proxy, towards("example.com"));
    cache.give_back_all();
    CHECK(!cache.ask_now(proxy, towards("example.com"), start));
    CHECK(cache.ask_now(proxy, towards("example.com"), start + lifetime));
    cache.forget(proxy + 2, start); // of which nothing is known
    CHECK(cache.ask_now(proxy + 2, anywhere, start));
}

TEST_CASE("a refused command is remembered for its lifetime, for that proxy and command alone") {
    FeatureCache cache;
    constexpr auto refused = Command::udp_associate;
    CHECK_FALSE(cache.is_refused(proxy, refused, start));
    cache.remember_refusal(proxy, refused, start, lifetime);
    CHECK(cache.is_refused(proxy, refused, start + lifetime - 1ns));
    CHECK_FALSE(cache.is_refused(proxy, refused, start + lifetime));
    CHECK_FALSE(cache.is_refused(proxy, Command::connect, start));
    CHECK_FALSE(cache.is_refused(proxy + 1, refused, start));
    cache.forget(proxy, start); // it came of no list
    cache.remember(proxy, anywhere, list("a"), start, lifetime);
    CHECK(cache.is_refused(proxy, refused, start));
    cache.remember_refusal(proxy, refused, start + 1s, FeatureCache::Lifetime::max());
    CHECK(cache.is_refused(proxy, refused, start + 24h * 36500));
}

TEST_CASE("a list outlives the cache's interest in it") {
    FeatureCache cache;
    cache.remember(proxy, anywhere, list("a"), start, lifetime);
    const auto held = cache.find(proxy, anywhere, start);
    cache.remember_none(proxy, start, lifetime);
    CHECK(held.features->text(Tag::server, 1) == "a");
}

TEST_CASE("the method to expect is the one that was last in use") {
    FeatureCache cache;
    CHECK(!cache.last_method(proxy));
    cache.remember(proxy, towards("", mine, Method::password), list("a", "02"), start, lifetime);
    CHECK(cache.last_method(proxy) == Method::password);
    CHECK(!cache.last_method(proxy - 1));
    CHECK(!cache.last_method(proxy + 1));
}

TEST_CASE("whether a connection will be held is known from the last list, also after it has expired") {
    FeatureCache cache;
    CHECK(!cache.held_before(proxy));
    auto holding = list("a");
    holding.add(Tag::command, 0x10, octets("01"));
    cache.remember(proxy, anywhere, holding, start, 0s);
    CHECK(cache.held_before(proxy) == true);
    cache.remember(proxy, anywhere, list("b"), start, lifetime);
    CHECK(cache.held_before(proxy) == false);
    CHECK(!cache.held_before(proxy + 1));
}

TEST_CASE("a thousand destinations are remembered, then the oldest goes") {
    FeatureCache cache;
    const auto name = [](std::size_t i) { return std::to_string(i).append(".example"); };
    for (std::size_t i = 0; i <= FeatureCache::most_entries; ++i)
        cache.remember(proxy, towards(name(i)), list(name(i), "03"), start, lifetime);
    CHECK(found(cache, towards(name(0))) == "unknown");
    CHECK(found(cache, towards(name(1))) == name(1));
    CHECK(found(cache, towards(name(FeatureCache::most_entries))) == name(FeatureCache::most_entries));
    cache.remember(proxy, towards("new.example"), list("new", "03"), start + lifetime, lifetime);
    CHECK(found(cache, towards("new.example"), start + lifetime) == "new");
    CHECK(found(cache, towards(name(5)), start) == "unknown"); // expired ones made room all at once
}

TEST_CASE("what was seen of pipelining is forgotten with the lifetime, and is each upstream's own") {
    FeatureCache cache;
    CHECK(cache.pipelining_of(proxy, start) == Pipelining::unknown);
    cache.remember_pipelining(proxy, Pipelining::tolerated, Method::password, start, lifetime);
    CHECK(cache.pipelining_of(proxy, start + 599s) == Pipelining::tolerated);
    CHECK(cache.pipelining_of(proxy, start + 600s) == Pipelining::unknown);
    CHECK(cache.pipelining_of(proxy + 1, start) == Pipelining::unknown);
    CHECK(cache.pipelining_of(0, start) == Pipelining::unknown);
    CHECK(cache.last_method(proxy) == Method::password);
}

TEST_CASE("a new list leaves what was seen of pipelining") {
    FeatureCache cache;
    cache.remember_pipelining(proxy, Pipelining::refused, Method::none, start, lifetime);
    cache.remember(proxy, anywhere, list("a"), start, lifetime);
    CHECK(cache.pipelining_of(proxy, start) == Pipelining::refused);
    cache.remember_none(proxy, start, lifetime);
    CHECK(cache.pipelining_of(proxy, start) == Pipelining::refused);
}

TEST_CASE("what one process has learnt another one adopts, and says so") {
    FeatureCache cache;
    cache.remember(proxy, towards("", mine, Method::password), list("a", "01 02"), start, lifetime);
    cache.remember_pipelining(proxy, Pipelining::tolerated, Method::password, start + 100s, lifetime);
    const auto learnt = cache.learnt(proxy, start + 200s);
    CHECK(learnt.known == Known::listed);
    CHECK(learnt.left == 400s);

    FeatureCache other;
    const auto later = start + 10h;
    other.adopt(1, learnt, later);
    CHECK(found(other, towards("", mine, Method::password), later + 399s, 1) == "a");
    CHECK(found(other, towards("", mine, Method::password), later + 400s, 1) == "unknown");
    CHECK(found(other, towards("", other_address, Method::password), later, 1) == "unknown"); // SCOPE
    CHECK(other.find(1, towards("", mine, Method::password), later).adopted);
    CHECK(other.pipelining_of(1, later) == Pipelining::tolerated);
    CHECK(other.last_method(1) == Method::password);

    other.disown(1);
    CHECK(found(other, towards("", mine, Method::password), later, 1) == "unknown");
    other.remember(1, anywhere, list("b"), later, lifetime);
    other.disown(1);
    CHECK(found(other, anywhere, later, 1) == "b"); // its own
    CHECK_FALSE(other.find(1, anywhere, later).adopted);
}

TEST_CASE("what depends on a destination is not for others, nor is a claim, nor what was contradicted") {
    FeatureCache cache;
    CHECK(cache.learnt(proxy, start).known == Known::unknown);
    CHECK(cache.ask_now(proxy, anywhere, start));
    CHECK(cache.learnt(proxy, start).known == Known::unknown);
    cache.remember(proxy, towards("example.com"), list("a", "03"), start, lifetime);
    CHECK(cache.learnt(proxy, start).known == Known::unknown);
    cache.remember(proxy, anywhere, list("b"), start, lifetime);
    CHECK(cache.learnt(proxy, start).known == Known::listed);
    cache.forget(proxy, start);
    CHECK(cache.learnt(proxy, start).known == Known::unknown);
    cache.remember_none(proxy, start, lifetime);
    CHECK(cache.learnt(proxy, start).known == Known::none);
    CHECK(cache.learnt(proxy, start + lifetime).known == Known::unknown);
}

TEST_CASE("one caller tries pipelining, and the next one when nothing has come of it") {
    FeatureCache cache;
    CHECK(cache.try_now(proxy, start));
    CHECK_FALSE(cache.try_now(proxy, start + 29s));
    CHECK(cache.try_now(proxy + 1, start));
    CHECK(cache.try_now(proxy, start + 30s));
    cache.remember_pipelining(proxy, Pipelining::refused, Method::none, start + 30s, lifetime);
    CHECK_FALSE(cache.try_now(proxy, start + 300s));
    CHECK(cache.try_now(proxy, start + 30s + lifetime));
}
