// The relay's datagrams in parts: who may send, which destinations are remembered, what is dropped, and
// batches.
#include "relay/access.hpp"
#include "relay/association.hpp"
#include "support/octets.hpp"

#include <cerrno>
#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::relay;
using test::hex;
using test::octets;

namespace {

asio::ip::address address(std::string_view text) { return to_asio(*Host::parse(text)); }

Udp::endpoint endpoint(std::string_view text) {
    const auto parsed = *Endpoint::parse(text);
    return {to_asio(parsed.host), parsed.port};
}

Sender sender(std::string_view client, std::string_view expected) {
    return {address(client), *Endpoint::parse(expected)};
}

/// ATYP, ADDR and PORT.
std::vector<std::uint8_t> key(std::string_view text) {
    Message<longest_endpoint> out;
    put_endpoint(out, *Endpoint::parse(text));
    return {out.bytes().begin(), out.bytes().end()};
}

Finding at(std::string_view text) { return {endpoint(text), {}, 0}; }
Finding nowhere(Drop why) { return {{}, why, 0}; }

/// A UDP socket on a port of 127.0.0.1 that is free.
struct Bound {
    Bound()
        : fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
          address(endpoint("127.0.0.1:0")) {
        REQUIRE(::bind(fd.get(), address.data(), static_cast<socklen_t>(address.size())) == 0);
        auto size = static_cast<socklen_t>(address.capacity());
        REQUIRE(::getsockname(fd.get(), address.data(), &size) == 0);
    }
    void send(Bytes payload, const Udp::endpoint& to) const {
        REQUIRE(::sendto(fd.get(), payload.data(), payload.size(), 0, to.data(),
                         static_cast<socklen_t>(to.size())) == static_cast<ssize_t>(payload.size()));
    }
    Fd fd;
    Udp::endpoint address;
};

} // namespace

// --- who may send ---

TEST_CASE("the first port that sends is the client's, and then no other") {
    auto client = sender("192.0.2.1", "0.0.0.0:0");
    CHECK(client.endpoint().port() == 0);
    CHECK(client.is(endpoint("192.0.2.1:1000")));
    CHECK(client.is(endpoint("192.0.2.1:1001")));
    CHECK_FALSE(client.is(endpoint("192.0.2.2:1000")));
    CHECK_FALSE(client.is(endpoint("[2001:db8::1]:1000")));
    client.settle(endpoint("192.0.2.1:1000"));
    CHECK(client.is(endpoint("192.0.2.1:1000")));
    CHECK_FALSE(client.is(endpoint("192.0.2.1:1001")));
}

TEST_CASE("a port in the request is the client's, if the address there is its own or none") {
    for (const auto* expected : {"192.0.2.1:1000", "0.0.0.0:1000", "[::]:1000", "[::ffff:192.0.2.1]:1000"}) {
        INFO(expected);
        const auto client = sender("192.0.2.1", expected);
        CHECK(client.is(endpoint("192.0.2.1:1000")));
        CHECK_FALSE(client.is(endpoint("192.0.2.1:1001")));
    }
    CHECK_FALSE(sender("2001:db8::1", "[2001:db8::1]:1000").is(endpoint("[2001:db8::1]:1001")));
}

TEST_CASE("an address in the request that is not the client's says nothing") {
    for (const auto* expected : {"10.0.0.1:1000", "[2001:db8::1]:1000", "a.example:1000", "localhost:1000"}) {
        INFO(expected);
        const auto client = sender("192.0.2.1", expected);
        CHECK(client.is(endpoint("192.0.2.1:1001")));
        CHECK_FALSE(client.is(endpoint("10.0.0.1:1000")));
    }
}

// --- destinations ---

TEST_CASE("a destination is remembered, and so is that there is none") {
    Destinations all(10);
    CHECK(all.find(key("192.0.2.1:53")) == nullptr);
    all.remember(key("192.0.2.1:53"), at("192.0.2.1:53"));
    all.remember(key("a.example:53"), at("192.0.2.7:53"));
    all.remember(key("bad.example:53"), nowhere(Drop::denied));
    REQUIRE(all.find(key("a.example:53")) != nullptr);
    CHECK(all.find(key("a.example:53"))->address == endpoint("192.0.2.7:53"));
    CHECK_FALSE(all.find(key("a.example:53"))->obstacle);
    CHECK(all.find(key("bad.example:53"))->obstacle == Drop::denied);
    CHECK(all.find(key("a.example:54")) == nullptr);
    CHECK(all.size() == 3);
}

TEST_CASE("an address that is sent to may answer from any port, others may not") {
    Destinations all(10);
    all.remember(key("192.0.2.1:69"), at("192.0.2.1:69"));
    all.remember(key("[2001:db8::1]:69"), at("[2001:db8::1]:69"));
    all.remember(key("192.0.2.9:69"), {endpoint("192.0.2.9:69"), Drop::denied, 0});
    CHECK(all.may_answer(address("192.0.2.1")));
    CHECK(all.may_answer(address("2001:db8::1")));
    CHECK_FALSE(all.may_answer(address("192.0.2.2")));
    CHECK_FALSE(all.may_answer(address("192.0.2.9")));
    CHECK_FALSE(all.may_answer({}));
}

TEST_CASE("beyond the most, what was not used for the longest time is forgotten") {
    Destinations all(2);
    all.remember(key("192.0.2.1:1"), at("192.0.2.1:1"));
    all.remember(key("192.0.2.2:1"), at("192.0.2.2:1"));
    CHECK(all.find(key("192.0.2.1:1")) != nullptr); // used again
    all.remember(key("192.0.2.3:1"), at("192.0.2.3:1"));
    CHECK(all.size() == 2);
    CHECK(all.find(key("192.0.2.2:1")) == nullptr);
    CHECK_FALSE(all.may_answer(address("192.0.2.2")));
    CHECK(all.may_answer(address("192.0.2.1")));
    CHECK(all.may_answer(address("192.0.2.3")));
}

TEST_CASE("an address may answer as long as one of its destinations is remembered") {
    Destinations all(2);
    all.remember(key("192.0.2.1:1"), at("192.0.2.1:1"));
    all.remember(key("a.example:2"), at("192.0.2.1:2"));
    all.remember(key("192.0.2.3:1"), at("192.0.2.3:1"));
    CHECK(all.may_answer(address("192.0.2.1")));
    all.remember(key("192.0.2.4:1"), at("192.0.2.4:1"));
    CHECK_FALSE(all.may_answer(address("192.0.2.1")));
}

TEST_CASE("what is found out anew takes the place of what was known") {
    Destinations all(2);
    all.remember(key("a.example:1"), nowhere(Drop::unresolved));
    all.remember(key("a.example:1"), at("192.0.2.1:1"));
    CHECK(all.size() == 1);
    CHECK(all.may_answer(address("192.0.2.1")));
    all.remember(key("a.example:1"), at("192.0.2.2:1"));
    CHECK_FALSE(all.may_answer(address("192.0.2.1")));
    all.remember(key("a.example:1"), {endpoint("192.0.2.2:1"), Drop::denied, 1});
    CHECK_FALSE(all.may_answer(address("192.0.2.2")));
    CHECK(all.find(key("a.example:1"))->generation == 1);
}

TEST_CASE("one destination is room enough") {
    Destinations all(1);
    for (int i = 1; i < 50; ++i) {
        const auto text = "192.0.2." + std::to_string(i) + ":1";
        all.remember(key(text), at(text));
        CHECK(all.find(key(text)) != nullptr);
        CHECK(all.size() == 1);
    }
}

TEST_CASE("the name of an address is the one that was sent to last") {
    Destinations all(10);
    all.remember(key("192.0.2.1:1"), at("192.0.2.1:1"));
    CHECK_FALSE(all.name_of(endpoint("192.0.2.1:1")).has_value());
    all.remember(key("a.example:1"), at("192.0.2.1:1"));
    all.remember(key("b.example:1"), at("192.0.2.1:1"));
    all.find(key("a.example:1"));
    REQUIRE(all.name_of(endpoint("192.0.2.1:1")).has_value());
    CHECK(hex(*all.name_of(endpoint("192.0.2.1:1"))) == hex(key("a.example:1")));
    CHECK_FALSE(all.name_of(endpoint("192.0.2.1:2")).has_value());
}

// --- drops ---

TEST_CASE("drops are counted by reason, and told once as news") {
    Drops drops;
    CHECK_FALSE(drops.has_news());
    drops.count(Drop::stranger);
    drops.count(Drop::overflow, 3);
    drops.count(Drop::overflow, 0);
    CHECK(drops.has_news());
    CHECK(drops.total() == 4);
    CHECK(drops.total(Drop::overflow) == 3);
    CHECK(drops.total(Drop::denied) == 0);
    Log log;
    log.set_level(LogLevel::off);
    auto line = log.debug("dropped");
    drops.tell_news(line);
    CHECK_FALSE(drops.has_news());
    CHECK(drops.total() == 4);
}

TEST_CASE("what the kernel says becomes a reason") {
    CHECK(to_drop(EMSGSIZE) == Drop::too_long);
    CHECK(to_drop(EAGAIN) == Drop::overflow);
    CHECK(to_drop(ENOBUFS) == Drop::overflow);
    CHECK(to_drop(ENETUNREACH) == Drop::unsent);
    CHECK(to_drop(EPERM) == Drop::unsent);
}

// --- BND and groups ---

TEST_CASE("BND is spoilt as configured") {
    const auto spoilt = [](AssociateBound how, std::string_view bound) {
        TestBehaviour test;
        test.associate_bound = how;
        return spoil_bound(*Endpoint::parse(bound), test).text();
    };
    CHECK(spoilt(AssociateBound::honest, "192.0.2.1:7") == "192.0.2.1:7");
    CHECK(spoilt(AssociateBound::unspecified, "192.0.2.1:7") == "0.0.0.0:7");
    CHECK(spoilt(AssociateBound::unspecified, "[2001:db8::1]:7") == "[::]:7");
    CHECK(spoilt(AssociateBound::other_family, "192.0.2.1:7") == "[::]:7");
    CHECK(spoilt(AssociateBound::other_family, "[2001:db8::1]:7") == "0.0.0.0:7");
    CHECK(spoilt(AssociateBound::no_port, "192.0.2.1:7") == "192.0.2.1:0");
}

TEST_CASE("groups are told from hosts") {
    for (const auto* group : {"224.0.0.1", "239.255.255.255", "ff02::fb", "::ffff:224.0.0.251"})
        CHECK_MESSAGE(is_group(*Host::parse(group)), group);
    for (const auto* other : {"223.255.255.255", "240.0.0.1", "fe80::1", "2001:db8::1", "a.example"})
        CHECK_FALSE_MESSAGE(is_group(*Host::parse(other)), other);
}

// --- batches ---

TEST_CASE("a batch takes in what has come, and an outbox sends it on with another header") {
    const Bound far;
    const Bound near;
    const Bound end;
    Batch batch;
    Outbox outbox;
    Drops drops;
    CHECK(batch.receive(near.fd.get()) == 0);
    far.send(octets("61 62 63"), near.address);
    far.send({}, near.address);
    REQUIRE(batch.receive(near.fd.get()) == 2);
    CHECK(hex(batch.datagram(0)) == "61 62 63");
    CHECK(batch.datagram(1).empty());
    CHECK(batch.source(0) == far.address);
    for (std::size_t i = 0; i < 2; ++i) {
        auto* const begin = batch.datagram(i).data() - 2;
        begin[0] = 0xaa;
        begin[1] = static_cast<std::uint8_t>(i);
        outbox.put({begin, 2 + batch.datagram(i).size()}, batch.datagram(i).size(), end.address);
    }
    const auto sent = outbox.send(near.fd.get(), drops);
    CHECK(sent.datagrams == 2);
    CHECK(sent.octets == 3);
    REQUIRE(batch.receive(end.fd.get()) == 2);
    CHECK(hex(batch.datagram(0)) == "aa 00 61 62 63");
    CHECK(hex(batch.datagram(1)) == "aa 01");
    CHECK(batch.source(1) == near.address);
    CHECK(outbox.send(near.fd.get(), drops).datagrams == 0);
    CHECK(drops.total() == 0);
}

TEST_CASE("a batch is never more than its room, and the rest comes with the next") {
    const Bound far;
    const Bound near;
    Batch batch;
    for (std::uint8_t i = 0; i < Batch::most + 5; ++i) far.send(Bytes(&i, 1), near.address);
    CHECK(batch.receive(near.fd.get()) == Batch::most);
    CHECK(batch.datagram(Batch::most - 1)[0] == Batch::most - 1);
    CHECK(batch.receive(near.fd.get()) == 5);
    CHECK(batch.datagram(0)[0] == Batch::most);
}

TEST_CASE("the largest datagrams keep clear of each other") {
    const Bound far;
    const Bound near;
    const int room = 1024 * 1024;
    setsockopt(near.fd.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    Batch batch;
    const std::vector<std::uint8_t> first(65507, 1);
    const std::vector<std::uint8_t> second(65507, 2);
    far.send(first, near.address);
    far.send(second, near.address);
    REQUIRE(batch.receive(near.fd.get()) == 2);
    std::fill_n(batch.datagram(1).data() - Batch::headroom, Batch::headroom, std::uint8_t{3});
    CHECK(std::equal(first.begin(), first.end(), batch.datagram(0).begin(), batch.datagram(0).end()));
    CHECK(std::equal(second.begin(), second.end(), batch.datagram(1).begin(), batch.datagram(1).end()));
}

TEST_CASE("a datagram that can't be sent holds up none of the others") {
    const Bound near;
    const Bound end;
    Outbox outbox;
    Drops drops;
    std::vector<std::uint8_t> small(10, 7);
    std::vector<std::uint8_t> huge(65535, 7);
    outbox.put(huge, huge.size(), end.address);
    outbox.put(small, small.size(), end.address);
    outbox.put(small, small.size(), endpoint("127.0.0.1:0"));
    outbox.put(huge, huge.size(), end.address);
    outbox.put(small, small.size(), end.address);
    const auto sent = outbox.send(near.fd.get(), drops);
    CHECK(sent.datagrams == 2);
    CHECK(sent.octets == 20);
    CHECK(drops.total(Drop::too_long) == 2);
    CHECK(drops.total(Drop::unsent) == 1);
    CHECK(drops.total() == 3);
}
