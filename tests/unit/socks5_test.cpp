#include "socksify/socks5.hpp"

#include "support/readers.hpp"

using namespace socksify;
using namespace socksify::test;

namespace {

const auto write = [](const auto& message) { return copy(encode(message)); };
const auto ipv4_zero = Endpoint{};

} // namespace

TEST_CASE("a greeting keeps its methods in their order") {
    check_codec(parse_greeting, write, octets("05 01 00"));
    check_codec(parse_greeting, write, octets("05 03 02 80 00"));
    const auto greeting = parse_greeting(octets("05 02 02 00")).value;
    CHECK(greeting.methods.size() == 2);
    CHECK(greeting.methods[0] == Method::password);
    CHECK(greeting.methods[1] == Method::none);
    CHECK(!greeting.methods.contains(Method::gssapi));
}

TEST_CASE("a greeting of all 255 methods fits") {
    auto all = octets("05 ff");
    for (unsigned method = 0; method < 255; ++method) all.push_back(static_cast<std::uint8_t>(method));
    check_codec(parse_greeting, write, all);
}

TEST_CASE("a method that is offered twice counts once, and the greeting still ends where it ends") {
    const auto twice = octets("05 03 00 02 00");
    check_reader(parse_greeting, twice);
    CHECK(hex(encode(parse_greeting(twice).value)) == "05 02 00 02");
}

TEST_CASE("a greeting of no method or of another protocol is refused at its first wrong octet") {
    check_malformed(parse_greeting, octets("05 00"));
    check_malformed(parse_greeting, octets("04"));
    check_malformed(parse_greeting, octets("47")); // "GET / HTTP/1.1"
    check_malformed(parse_greeting, octets("00"));
}

TEST_CASE("the server's choice is read, whatever it is") {
    for (const auto* const message : {"05 00", "05 02", "05 97", "05 ff"})
        check_codec(parse_method_reply, write, octets(message));
    CHECK(parse_method_reply(octets("05 ff")).value.method == Method::no_acceptable);
    check_malformed(parse_method_reply, octets("04"));
    check_malformed(parse_method_reply, octets("48"));
}

TEST_CASE("user name and password are read with any length that an octet can say") {
    const auto with_lengths = [](std::size_t user, std::size_t pass) {
        const std::string username(user, 'u');
        const std::string password(pass, 'p');
        return copy(encode(PasswordRequest{username, password}));
    };
    check_codec(parse_password_request, write, octets("01 02 6d 65 06 73 65 63 72 65 74"));
    check_codec(parse_password_request, write, with_lengths(1, 1));
    check_codec(parse_password_request, write, with_lengths(0, 0));
    check_codec(parse_password_request, write, with_lengths(255, 0));
    check_codec(parse_password_request, write, with_lengths(0, 255));
    check_codec(parse_password_request, write, with_lengths(255, 255));
    CHECK(hex(with_lengths(300, 300)) == hex(with_lengths(255, 255)));
}

TEST_CASE("RFC 1929 has a version of its own, which is 1") {
    CHECK(hex(encode(PasswordRequest{"a", "b"})) == "01 01 61 01 62");
    CHECK(hex(encode(PasswordReply{true})) == "01 00");
    check_malformed(parse_password_request, octets("05"));
}

TEST_CASE("a password's status is believed whatever version the server writes before it") {
    check_codec(parse_password_reply, write, octets("01 00"));
    check_codec(parse_password_reply, write, octets("01 01"));
    check_reader(parse_password_reply, octets("05 00"));
    CHECK(parse_password_reply(octets("05 00")).value.accepted);
    CHECK(!parse_password_reply(octets("01 ff")).value.accepted);
}

TEST_CASE("a reply split after ATYP waits for the address, and for no octet more") {
    check_codec(parse_reply, write, octets("05 00 00 01 c0 00 02 01 1f 90"));
    check_codec(parse_reply, write,
                octets("05 00 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 1f 90"));
    check_codec(parse_reply, write, octets("05 05 00 03 03 62 6e 64 00 00"));
    CHECK(parse_reply(octets("05 00 00 01")).size == 6);
    CHECK(parse_reply(octets("05 00 00 03")).size == 1);
    CHECK(parse_reply(octets("05 00 00 03 07")).size == 9);
    CHECK(parse_reply(octets("05 00 00 04")).size == 18);
}

TEST_CASE("a request of any command and any flag is read") {
    check_codec(parse_request, write, octets("05 01 00 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 01 bb"));
    check_codec(parse_request, write, octets("05 02 00 01 00 00 00 00 00 00"));
    check_codec(parse_request, write,
                octets("05 03 04 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"));
    check_codec(parse_request, write, octets("05 f3 ff 01 c0 00 02 09 00 35"));
    const auto request = parse_request(octets("05 f3 ff 01 c0 00 02 09 00 35")).value;
    CHECK(request.command == static_cast<Command>(0xf3));
    CHECK(request.flag == 0xff);
    CHECK(request.destination.port == 53);
}

TEST_CASE("the longest name fits into a request and into a reply") {
    const auto name = Host::name(std::string(255, 'n')).value();
    check_codec(parse_request, write, copy(encode(Request{Command::connect, 0, {name, 1}})));
    check_codec(parse_reply, write, copy(encode(ReplyMessage{Reply::succeeded, 0, {name, 1}})));
}

TEST_CASE("a request with an address type that nobody knows can be told from garbage") {
    const auto unknown = octets("05 01 00 02 00 00");
    check_malformed(parse_request, unknown);
    CHECK(is_unknown_address_type(unknown));
    CHECK(!is_unknown_address_type(octets("04 01 00 02")));
    CHECK(!is_unknown_address_type(octets("05 01 00 03")));
    CHECK(!is_unknown_address_type(octets("05 01 00")));
    CHECK(!is_unknown_address_type({}));
    check_malformed(parse_request, octets("04"));
    check_malformed(parse_reply, octets("04"));
    check_malformed(parse_reply, octets("05 00 00 00"));
}

TEST_CASE("REP is known from two octets") {
    CHECK(!early_reply_code({}));
    CHECK(!early_reply_code(octets("05")));
    CHECK(early_reply_code(octets("05 07")) == Reply::command_not_supported);
    CHECK(early_reply_code(octets("05 07 00 01")) == Reply::command_not_supported);
    CHECK(!early_reply_code(octets("48 54 54 50")));
}

TEST_CASE("LIST-FEATURES asks to hold the connection, and is granted it, by FLAG 01") {
    CHECK(hex(encode(Request{Command::list_features, flag_hold, ipv4_zero})) ==
          "05 10 01 01 00 00 00 00 00 00");
    CHECK(hex(encode(ReplyMessage{Reply::succeeded, flag_hold, ipv4_zero})) ==
          "05 00 01 01 00 00 00 00 00 00");
    check_codec(parse_request, write, octets("05 10 01 01 00 00 00 00 00 00"));
    check_codec(parse_reply, write, octets("05 00 01 01 00 00 00 00 00 00"));
    CHECK(parse_request(octets("05 10 01 01 00 00 00 00 00 00")).value.command == Command::list_features);
}

TEST_CASE("ENHANCED_UDP_MODE may be entered with nothing but zeros behind the command") {
    CHECK(hex(encode(Request{Command::enhanced_udp, 0, ipv4_zero})) == "05 04 00 01 00 00 00 00 00 00");
    check_codec(parse_request, write, octets("05 04 00 01 00 00 00 00 00 00"));
    check_reader(parse_request, octets("05 04 00 00 00 00 00 00 00 00"));
    CHECK(parse_request(octets("05 04 00 00 00 00 00 00 00 00")).value.destination == ipv4_zero);
    check_malformed(parse_request, octets("05 01 00 00 00 00 00 00 00 00"));
}

TEST_CASE("a method list holds none twice and never more than a greeting can say") {
    MethodList methods{Method::none, Method::password, Method::none};
    CHECK(methods.size() == 2);
    for (unsigned method = 0; method <= 255; ++method) methods.add(static_cast<Method>(method));
    CHECK(methods.size() == 255);
    CHECK(encode(Greeting{methods}).size() == 257);
}
