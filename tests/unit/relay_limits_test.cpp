#include "relay/limits.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <doctest/doctest.h>
#include <list>

using namespace socksify;
using namespace socksify::relay;

namespace {

Host host(std::string_view text) { return *Host::parse(text); }
LimitValues at_most(unsigned connections, unsigned per_client, unsigned handshakes = 1) {
    LimitValues values;
    values.connections = connections;
    values.per_client = per_client;
    values.handshakes = handshakes;
    return values;
}

} // namespace

TEST_CASE("connections are counted in all and for each client, until their ticket goes") {
    asio::io_context io;
    Limits limits(io);
    const auto most = at_most(3, 2);
    std::list<tl::expected<Limits::Connection, Refusal>> tickets;
    const auto admit = [&](std::string_view client) -> tl::expected<Limits::Connection, Refusal>& {
        return tickets.emplace_back(limits.admit(host(client), most));
    };
    REQUIRE(admit("192.0.2.1").has_value());
    REQUIRE(admit("192.0.2.1").has_value());
    REQUIRE_FALSE(admit("192.0.2.1").has_value());
    CHECK(tickets.back().error() == Refusal::per_client);
    REQUIRE(admit("192.0.2.2").has_value());
    REQUIRE_FALSE(admit("192.0.2.3").has_value());
    CHECK(tickets.back().error() == Refusal::connections);
    CHECK(limits.connections() == 3);
    tickets.pop_front();
    CHECK(limits.connections() == 2);
    CHECK(admit("192.0.2.1").has_value());
    tickets.clear();
    CHECK(limits.connections() == 0);
}

TEST_CASE("a ticket that is moved counts once") {
    asio::io_context io;
    Limits limits(io);
    {
        auto ticket = limits.admit(host("192.0.2.1"), at_most(1, 1));
        REQUIRE(ticket.has_value());
        const Limits::Connection moved(std::move(*ticket));
        CHECK(limits.connections() == 1);
    }
    CHECK(limits.connections() == 0);
    CHECK(limits.admit(host("192.0.2.1"), at_most(1, 1)).has_value());
}

TEST_CASE("an IPv6 client is its /64, an IPv4 client its address, mapped or not") {
    asio::io_context io;
    Limits limits(io);
    const auto most = at_most(9, 1);
    const auto first = limits.admit(host("2001:db8::1"), most);
    CHECK_FALSE(limits.admit(host("2001:db8::ffff:1"), most).has_value());
    CHECK(limits.admit(host("2001:db8:0:1::1"), most).has_value());
    const auto v4 = limits.admit(host("192.0.2.1"), most);
    CHECK_FALSE(limits.admit(host("::ffff:192.0.2.1"), most).has_value());
    CHECK(limits.admit(host("::ffff:192.0.2.2"), most).has_value());
}

TEST_CASE("associations are counted for each client, until their ticket goes") {
    asio::io_context io;
    Limits limits(io);
    LimitValues most;
    most.associations = 2;
    std::list<std::optional<Limits::Association>> tickets;
    const auto admit = [&](std::string_view client) {
        return tickets.emplace_back(limits.admit_association(host(client), most)).has_value();
    };
    CHECK(admit("192.0.2.1"));
    CHECK(admit("192.0.2.1"));
    CHECK_FALSE(admit("192.0.2.1"));
    CHECK(admit("2001:db8::1"));
    tickets.pop_front();
    CHECK(admit("192.0.2.1"));
    CHECK_FALSE(admit("192.0.2.1"));
    // Connections are others.
    CHECK(limits.connections() == 0);
    CHECK(limits.admit(host("192.0.2.1"), at_most(1, 1)).has_value());
}

TEST_CASE("whoever waits for room goes on when a handshake is over, once, and all of them") {
    asio::io_context io;
    Limits limits(io);
    const auto most = at_most(9, 9, 1);
    auto handshake = limits.begin_handshake();
    CHECK_FALSE(limits.has_room_for_handshake(most));
    int resumed = 0;
    for (int i = 0; i < 2; ++i)
        asio::co_spawn(
            io.get_executor(),
            [](Limits& all, int& count) -> Task<> {
                co_await all.wait_for_room();
                ++count;
            }(limits, resumed),
            asio::detached);
    io.poll();
    CHECK(resumed == 0);
    handshake.end();
    handshake.end(); // once is enough
    io.poll();
    CHECK(resumed == 2);
    CHECK(limits.has_room_for_handshake(most));
}
