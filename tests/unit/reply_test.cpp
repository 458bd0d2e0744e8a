#include "socksify/reply.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace socksify;

TEST_CASE("every REP of RFC 1928 has the errno that connect() would show") {
    CHECK(to_errno(Reply::succeeded) == 0);
    CHECK(to_errno(Reply::general_failure) == ECONNABORTED);
    CHECK(to_errno(Reply::not_allowed_by_ruleset) == EACCES);
    CHECK(to_errno(Reply::network_unreachable) == ENETUNREACH);
    CHECK(to_errno(Reply::host_unreachable) == EHOSTUNREACH);
    CHECK(to_errno(Reply::connection_refused) == ECONNREFUSED);
    CHECK(to_errno(Reply::ttl_expired) == ETIMEDOUT);
    CHECK(to_errno(Reply::command_not_supported) == EOPNOTSUPP);
    CHECK(to_errno(Reply::address_type_not_supported) == EAFNOSUPPORT);
}

TEST_CASE("what a listener of the proxy's is refused has the errno of bind(), listen() or accept()") {
    CHECK(to_errno(Reply::port_in_use) == EADDRINUSE);
    CHECK(to_errno(Reply::port_not_permitted) == EACCES);
    CHECK(to_errno(Reply::no_such_peer) == ECONNABORTED);
    CHECK(to_errno(static_cast<Reply>(0x9f)) == ECONNABORTED);
    CHECK(to_errno(static_cast<Reply>(0xa5)) == ECONNABORTED);
}

TEST_CASE("no octet but 0 means success, and each has an errno and a name") {
    for (unsigned octet = 1; octet <= 0xff; ++octet) {
        INFO(octet);
        const auto reply = static_cast<Reply>(octet);
        CHECK(to_errno(reply) > 0);
        CHECK(!describe(reply).empty());
    }
}

TEST_CASE("Tor's extended errors say that the onion service can't be reached, their neighbours don't") {
    CHECK(to_errno(static_cast<Reply>(0xef)) == ECONNABORTED);
    for (unsigned octet = 0xf0; octet <= 0xf7; ++octet)
        CHECK(to_errno(static_cast<Reply>(octet)) == EHOSTUNREACH);
    CHECK(to_errno(static_cast<Reply>(0xf8)) == ECONNABORTED);
}

TEST_CASE("what the relay's connect() said arrives at the program") {
    for (const int error : {0, ENETUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES, EAFNOSUPPORT}) {
        INFO(error);
        CHECK(to_errno(to_reply(error)) == error);
    }
    CHECK(to_reply(EPERM) == Reply::not_allowed_by_ruleset);
    CHECK(to_reply(ENETDOWN) == Reply::network_unreachable);
    CHECK(to_reply(EHOSTDOWN) == Reply::host_unreachable);
    CHECK(to_reply(ETIMEDOUT) == Reply::host_unreachable);
}

TEST_CASE("an error that no REP stands for never becomes a success") {
    for (int error = 1; error < 134; ++error) {
        INFO(error);
        CHECK(to_reply(error) != Reply::succeeded);
    }
}

TEST_CASE("each assigned REP has a name of its own") {
    std::set<std::string> names;
    for (unsigned octet = 0; octet <= 9; ++octet) names.emplace(describe(static_cast<Reply>(octet)));
    for (unsigned octet = 0xa0; octet <= 0xa4; ++octet) names.emplace(describe(static_cast<Reply>(octet)));
    CHECK(names.size() == 15);
    CHECK(names.count("unassigned") == 0);
    CHECK(describe(static_cast<Reply>(0x55)) == "unassigned");
}
