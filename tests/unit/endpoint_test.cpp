#include "socksify/endpoint.hpp"

#include "support/readers.hpp"

using namespace socksify;
using namespace socksify::test;

namespace {

Octets encoded(const Endpoint& endpoint) {
    Message<longest_endpoint> out;
    put_endpoint(out, endpoint);
    return copy(out);
}

Host host(std::string_view text) { return Host::parse(text).value(); }

const std::string longest(Host::longest_name, 'n');

} // namespace

TEST_CASE("an endpoint of each type is read and written") {
    check_codec(parse_endpoint, encoded, octets("01 c0 00 02 09 00 35"));
    check_codec(parse_endpoint, encoded, octets("03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 01 bb"));
    check_codec(parse_endpoint, encoded, octets("04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 ff ff"));
    check_codec(parse_endpoint, encoded, encoded({Host::name("n").value(), 1}));
    check_codec(parse_endpoint, encoded, encoded({Host::name(longest).value(), 65535}));
    CHECK(encoded({Host::name(longest).value(), 0}).size() == longest_endpoint);
    CHECK(parse_endpoint(octets("01 c0 00 02 09 00 35")).value == Endpoint{host("192.0.2.9"), 53});
}

TEST_CASE("an address type that nobody knows has no end") {
    for (const unsigned type : {0x00U, 0x02U, 0x05U, 0x08U, 0x7fU, 0xffU})
        check_malformed(parse_endpoint, {static_cast<std::uint8_t>(type)});
}

TEST_CASE("a name with a NUL is nobody's host") {
    check_malformed(parse_endpoint, octets("03 03 61 00 62 00 50"));
    CHECK(!Host::name(std::string_view("a\0b", 3)));
    CHECK(!Host::parse(std::string_view("a\0b", 3)));
    CHECK(!Host::parse(std::string_view("192.0.2.1\0", 10)));
}

TEST_CASE("an empty name, as some servers send for no address, is 0.0.0.0") {
    check_reader(parse_endpoint, octets("03 00 00 50"));
    CHECK(parse_endpoint(octets("03 00 00 50")).value == Endpoint{Host{}, 80});
}

TEST_CASE("a name is 1 to 255 octets long") {
    CHECK(!Host::name(""));
    CHECK(Host::name(longest)->name() == longest);
    CHECK(!Host::name(longest + "n"));
    CHECK(!Host::parse(longest + "n"));
}

TEST_CASE("literals of both families and names are told apart") {
    CHECK(host("192.0.2.1").type() == AddressType::ipv4);
    CHECK(host("2001:db8::1").type() == AddressType::ipv6);
    CHECK(host("[2001:db8::1]") == host("2001:db8::1"));
    CHECK(host("::ffff:192.0.2.1").type() == AddressType::ipv6);
    CHECK(host("example.com").is_name());
    CHECK(host("example.com").name() == "example.com");
    CHECK(host("192.0.2.1").name().empty());
    CHECK(host("192.0.2.1.example").is_name());
}

TEST_CASE("a misspelt address is not taken for a name") {
    for (const auto* const text : {"2001:db8::1::2", "[192.0.2.1]", "[example.com]", "[::1", "::1]",
                                   "[[::1]]", "[]", "fe80::1%eth0", "example.com:80", ""}) {
        INFO(text);
        CHECK(!Host::parse(text));
    }
}

TEST_CASE("any number of brackets is refused without climbing into them") {
    CHECK(!Host::parse(std::string(1 << 20, '[') + std::string(1 << 20, ']')));
}

TEST_CASE("hosts are equal when their type and all their octets are") {
    CHECK(host("192.0.2.1") == host("192.0.2.1"));
    CHECK(!(host("192.0.2.1") == host("192.0.2.2")));
    CHECK(!(host("192.0.2.1") == host("::ffff:192.0.2.1")));
    CHECK(!(Host::name("aa").value() == Host::name("aab").value()));
    CHECK(!(Host::name("aaaa").value() == Host::ipv4({'a', 'a', 'a', 'a'})));
    CHECK(Host{} == host("0.0.0.0"));
}

TEST_CASE("a mapped address stands for its IPv4 address, and for nothing else") {
    CHECK(host("::ffff:192.0.2.1").unmapped() == host("192.0.2.1"));
    CHECK(host("::192.0.2.1").unmapped() == host("::192.0.2.1"));
    CHECK(host("::fffe:192.0.2.1").unmapped() == host("::fffe:192.0.2.1"));
    CHECK(host("192.0.2.1").unmapped() == host("192.0.2.1"));
    CHECK(host("example.com").unmapped() == host("example.com"));
}

TEST_CASE("no address in particular has three spellings") {
    for (const auto* const text : {"0.0.0.0", "::", "::ffff:0.0.0.0"}) {
        INFO(text);
        CHECK(host(text).is_unspecified());
    }
    for (const auto* const text : {"0.0.0.1", "::1", "1::", "0.example", "::ffff:0.0.0.1"}) {
        INFO(text);
        CHECK(!host(text).is_unspecified());
    }
}

TEST_CASE("loopback is found however it is written") {
    for (const auto* const text : {"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "localhost",
                                   "LocalHost", "localhost.", "a.localhost", "a.b.LOCALHOST."}) {
        INFO(text);
        CHECK(host(text).is_loopback());
    }
    for (const auto* const text : {"128.0.0.1", "126.255.255.255", "::2", "::ffff:128.0.0.1", "::127.0.0.1",
                                   "notlocalhost", "localhost.example", "localhost..", "localhos"}) {
        INFO(text);
        CHECK(!host(text).is_loopback());
    }
}

TEST_CASE("an endpoint survives being written as text") {
    for (const auto* const text :
         {"192.0.2.1:80", "[2001:db8::1]:443", "example.com:0", "a:65535", "[::]:1"}) {
        INFO(text);
        const auto endpoint = Endpoint::parse(text);
        REQUIRE(endpoint);
        CHECK(endpoint->text() == text);
    }
    CHECK(Endpoint::parse("[::ffff:192.0.2.1]:80")->text() == "[::ffff:192.0.2.1]:80");
}

TEST_CASE("a text that is no endpoint is none") {
    for (const auto* const text :
         {"", ":", ":80", "example.com", "example.com:", "example.com:65536", "a:123456", "a:-1", "a:+1",
          "a: 1", "a:0x50", "2001:db8::1:80", "[2001:db8::1]", "[]:80", "[a]:80", "a:b:80", "[::1:80",
          "a:99999999999999999999"}) {
        INFO(text);
        CHECK(!Endpoint::parse(text));
    }
}
