#include "policy/dns_message.hpp"

#include "doctest/doctest.h"

using namespace socksify;
using namespace socksify::policy;

namespace {

using Octets = std::vector<std::uint8_t>;

const Octets query_for_a_b{0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 1, 'b', 0, 0, 1, 0, 1};

Octets with(Octets octets, std::size_t at, std::uint8_t value) {
    octets[at] = value;
    return octets;
}

} // namespace

TEST_CASE("a question is read whole, waits for the rest at every cut, and leaves what follows alone") {
    const auto whole = parse_dns_question(query_for_a_b);
    REQUIRE(whole);
    CHECK(whole.size == query_for_a_b.size());
    CHECK(whole.value.id == 0x1234);
    CHECK(whole.value.name == "a.b");
    CHECK(whole.value.type == 1);
    for (std::size_t cut = 0; cut < query_for_a_b.size(); ++cut)
        CHECK(parse_dns_question(Bytes(query_for_a_b).first(cut)).outcome == Outcome::need_more);
    auto trailing = query_for_a_b;
    trailing.insert(trailing.end(), {0, 0, 41});
    CHECK(parse_dns_question(trailing).size == query_for_a_b.size());
}

TEST_CASE("a response, two questions, a compressed name or a dot in a label is not a question") {
    CHECK(parse_dns_question(with(query_for_a_b, 2, 0x81)).outcome == Outcome::malformed);
    CHECK(parse_dns_question(with(query_for_a_b, 5, 2)).outcome == Outcome::malformed);
    CHECK(parse_dns_question(with(query_for_a_b, 12, 0xc0)).outcome == Outcome::malformed);
    CHECK(parse_dns_question(with(query_for_a_b, 13, '.')).outcome == Outcome::malformed);
}

TEST_CASE("an answer carries the id, the question and the address") {
    const auto question = parse_dns_question(query_for_a_b).value;
    const auto response = encode_dns_response(question, DnsCode::no_error, Host::ipv4({198, 18, 0, 7}));
    const Octets expected{0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0,  1, 'a', 1,   'b', 0, 0, 1,
                          0,    1,    0xc0, 12,   0, 1, 0, 1, 0, 0, 0, 60, 0, 4,   198, 18,  0, 7};
    CHECK(response == expected);
}

TEST_CASE("no data is an answer without answers, and no such name says so") {
    const auto question = parse_dns_question(query_for_a_b).value;
    CHECK(encode_dns_response(question, DnsCode::no_error, {})[7] == 0);
    CHECK((encode_dns_response(question, DnsCode::no_such_name, {})[3] & 15) == 3);
}

TEST_CASE("a name that DNS can't carry gives no response") {
    DnsQuestion question;
    question.name = std::string(64, 'x') + ".org";
    CHECK(encode_dns_response(question, DnsCode::no_error, {}).empty());
    question.name = "a..b";
    CHECK(encode_dns_response(question, DnsCode::no_error, {}).empty());
}

TEST_CASE("reverse names are read for both families, in full length only") {
    CHECK(reversed_address("7.0.18.198.in-addr.arpa") == Host::ipv4({198, 18, 0, 7}));
    CHECK(reversed_address("7.0.18.198.IN-ADDR.ARPA.") == Host::ipv4({198, 18, 0, 7}));
    CHECK_FALSE(reversed_address("18.198.in-addr.arpa"));
    CHECK_FALSE(reversed_address("9.7.0.18.198.in-addr.arpa"));
    CHECK_FALSE(reversed_address("256.0.18.198.in-addr.arpa"));
    std::string name;
    for (int i = 0; i < 31; ++i) name += "0.";
    CHECK(reversed_address("1." + name + "ip6.arpa") ==
          Host::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
    CHECK_FALSE(reversed_address(name + "ip6.arpa"));
    CHECK_FALSE(reversed_address("www.example.org"));
}

TEST_CASE("a query is what is read as a question, and no name that DNS can't carry") {
    auto question = parse_dns_question(query_for_a_b).value;
    CHECK(encode_dns_query(question) == query_for_a_b);
    question.recursion_desired = false;
    CHECK(parse_dns_question(encode_dns_query(question)).value.recursion_desired == false);
    question.name = "a..b";
    CHECK(encode_dns_query(question).empty());
}

TEST_CASE("of a response, code and number of answers; a query or a piece is none") {
    const auto question = parse_dns_question(query_for_a_b).value;
    const auto some =
        parse_dns_summary(encode_dns_response(question, DnsCode::no_error, Host::ipv4({1, 2, 3, 4})));
    REQUIRE(some);
    CHECK(some.value.code == 0);
    CHECK(some.value.answers == 1);
    const auto none = parse_dns_summary(encode_dns_response(question, DnsCode::no_such_name, {}));
    CHECK(none.value.code == 3);
    CHECK(none.value.answers == 0);
    CHECK(parse_dns_summary(query_for_a_b).outcome == Outcome::malformed);
    CHECK(parse_dns_summary(Bytes(query_for_a_b).first(11)).outcome == Outcome::need_more);
}
