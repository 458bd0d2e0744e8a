// The relay's small parts: log lines, command line, passwords, the order of addresses.
#include "relay/log.hpp"
#include "relay/options.hpp"
#include "relay/password.hpp"
#include "relay/race.hpp"
#include "relay/resolver.hpp"

#include <cerrno>
#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::relay;

namespace {

std::vector<Host> hosts(std::initializer_list<const char*> texts) {
    std::vector<Host> out;
    for (const auto* text : texts) out.push_back(*Host::parse(text));
    return out;
}

auto parse(std::initializer_list<const char*> words) {
    const std::vector<const char*> arguments(words);
    return parse_options(arguments);
}

} // namespace

TEST_CASE("a value in the log cannot be taken for more than a value") {
    CHECK(log_value("plain-text_1.2:3") == "plain-text_1.2:3");
    CHECK(log_value("") == "\"\"");
    CHECK(log_value("two words") == "\"two words\"");
    CHECK(log_value("a=b") == "\"a=b\"");
    CHECK(log_value("say \"hi\\\"") == R"("say \"hi\\\"")");
    CHECK(log_value("line\nbreak\x1b[0m\xc3\xa4\x7f") == R"("line\x0abreak\x1b[0m\xc3\xa4\x7f")");
}

TEST_CASE("the log's levels") {
    Log log;
    CHECK(log.wants(LogLevel::info));
    CHECK_FALSE(log.wants(LogLevel::debug));
    log.set_level(LogLevel::off);
    CHECK_FALSE(log.wants(LogLevel::error));
    CHECK_FALSE(log.wants(LogLevel::off));
}

TEST_CASE("addresses alternate between the families, beginning with that of the first (RFC 8305 section 4)") {
    CHECK(alternate_families(hosts({"::1", "::2", "::3", "10.0.0.1"})) ==
          hosts({"::1", "10.0.0.1", "::2", "::3"}));
    CHECK(alternate_families(hosts({"10.0.0.1", "10.0.0.2", "::1"})) ==
          hosts({"10.0.0.1", "::1", "10.0.0.2"}));
    CHECK(alternate_families({}).empty());
}

TEST_CASE("of several errors the one that says most about the destination is told") {
    CHECK(more_telling(ENETUNREACH, ECONNREFUSED) == ECONNREFUSED);
    CHECK(more_telling(ECONNREFUSED, ETIMEDOUT) == ECONNREFUSED);
    CHECK(more_telling(EAFNOSUPPORT, ENETUNREACH) == ENETUNREACH);
    CHECK(more_telling(0, EMFILE) == EMFILE);
}

TEST_CASE("texts are equal or not, whatever their lengths") {
    CHECK(equal_in_constant_time("", ""));
    CHECK(equal_in_constant_time("abc", "abc"));
    for (const auto* wrong : {"", "a", "abd", "abcd", "abcabc"})
        CHECK_FALSE(equal_in_constant_time(wrong, "abc"));
    CHECK_FALSE(equal_in_constant_time("a", ""));
}

TEST_CASE("a hash fits its password and no other") {
    const auto hash = hash_token("secret");
    REQUIRE(is_password_hash(hash));
    CHECK(matches_hash("secret", hash));
    CHECK_FALSE(matches_hash("secres", hash));
    CHECK_FALSE(matches_hash("", hash));
    // crypt stops at a NUL.
    CHECK_FALSE(matches_hash(std::string("secret\0x", 8), hash));
    CHECK(hash_token("secret") != hash);
    CHECK(is_password_hash(hash_password("secret")));
}

TEST_CASE("what is no hash is not taken for one") {
    for (const auto* wrong :
         {"", "$", "secret", "abcdefghijklm" /* DES */, "$6$salt", "$6$salt$", "$9zz$salt$hash", "*", "!"})
        CHECK_FALSE_MESSAGE(is_password_hash(wrong), wrong);
}

TEST_CASE("random text is of its length, and never the same") {
    CHECK(random_hexadecimal(16).size() == 32);
    CHECK(random_hexadecimal(16) != random_hexadecimal(16));
}

TEST_CASE("the command line") {
    CHECK(parse({})->mode == Options::Mode::serve);
    CHECK(parse({})->config_file == "/etc/socksify/relay.json");
    CHECK(parse({"--config", "a.json"})->config_file == "a.json");
    CHECK(parse({"--config=a.json"})->config_file == "a.json");
    CHECK(parse({"-c", "a.json", "--check"})->mode == Options::Mode::check);
    CHECK(parse({"--check", "b.json"})->config_file == "b.json");
    CHECK(parse({"--check=b.json"})->config_file == "b.json");
    const auto embedded = parse({"--embedded", "--watch-pid", "7", "--allow-loopback", "--host", "a.test=::1",
                                 "--host=a.test=10.0.0.1"});
    REQUIRE(embedded.has_value());
    CHECK(embedded->mode == Options::Mode::embedded);
    CHECK(embedded->watch_pid == 7);
    CHECK(embedded->allow_loopback);
    CHECK(embedded->hosts.at("a.test") == hosts({"::1", "10.0.0.1"}));
}

TEST_CASE("a wrong command line says what is wrong") {
    CHECK(parse({"--embedded"}).error() == "--embedded wants --watch-pid");
    CHECK(parse({"--embedded", "--watch-pid", "0"}).error() == "--watch-pid wants a process id, not \"0\"");
    CHECK(parse({"--host", "a=1.2.3.4"}).error() == "--host belongs to --embedded");
    CHECK(parse({"--version=1"}).error() == "--version takes no value");
    CHECK(parse({"-c"}).error() == "-c wants a value");
    CHECK(parse({"--check", "--version"}).error() == "one thing at a time");
}
