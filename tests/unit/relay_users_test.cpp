#include "relay/password.hpp"
#include "relay/users.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::relay;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<const Config> config_with(const std::string& password, std::chrono::seconds remember = 300s) {
    auto config = std::make_shared<Config>();
    config->auth.methods = {Method::password};
    config->auth.users = {{"alice", hash_token(password)}, {"bob", hash_token("bobs")}};
    config->auth.remember = remember;
    return config;
}

bool check(asio::io_context& io, Users& users, std::shared_ptr<const Config> config, std::string user,
           std::string password, Clock::time_point deadline = Clock::now() + 1min) {
    bool answer = false;
    asio::co_spawn(
        io.get_executor(),
        [](Users& all, std::shared_ptr<const Config> rules, std::string who, std::string word,
           Clock::time_point until, bool& out) -> Task<> {
            out = co_await all.check(std::move(rules), std::move(who), std::move(word), until);
        }(users, std::move(config), std::move(user), std::move(password), deadline, answer),
        asio::detached);
    io.restart();
    io.run();
    return answer;
}

} // namespace

TEST_CASE("users are who they say if their password fits") {
    asio::io_context io;
    Users users(io);
    const auto config = config_with("secret");
    CHECK(check(io, users, config, "alice", "secret"));
    CHECK(check(io, users, config, "alice", "secret")); // remembered
    CHECK_FALSE(check(io, users, config, "alice", "bobs"));
    CHECK_FALSE(check(io, users, config, "alice", ""));
    CHECK_FALSE(check(io, users, config, "mallory", "secret"));
    CHECK_FALSE(check(io, users, config, "", ""));
    CHECK(check(io, users, config, "bob", "bobs"));
}

TEST_CASE("a remembered password is forgotten when the configuration has another one") {
    asio::io_context io;
    Users users(io);
    CHECK(check(io, users, config_with("old"), "alice", "old"));
    const auto config = config_with("new");
    CHECK_FALSE(check(io, users, config, "alice", "old"));
    CHECK(check(io, users, config, "alice", "new"));
}

TEST_CASE("a remembered password does not help a user who is no more") {
    asio::io_context io;
    Users users(io);
    CHECK(check(io, users, config_with("secret"), "alice", "secret"));
    auto without = std::make_shared<Config>(*config_with("x"));
    without->auth.users.erase("alice");
    CHECK_FALSE(check(io, users, without, "alice", "secret"));
}

TEST_CASE("without users nobody is one") {
    asio::io_context io;
    Users users(io);
    CHECK_FALSE(check(io, users, std::make_shared<Config>(), "alice", "secret"));
}

TEST_CASE("who can't wait for the hash is refused") {
    asio::io_context io;
    Users users(io);
    auto slow = std::make_shared<Config>(*config_with("x"));
    slow->auth.users["alice"] = "$6$rounds=300000$saltsalt$" + std::string(86, 'x');
    CHECK_FALSE(check(io, users, slow, "alice", "secret", Clock::now() + 1ms));
}

TEST_CASE("work on a thread gives its result back, or is given up") {
    asio::io_context io;
    Pool pool(io, 1);
    std::optional<int> quick;
    std::optional<int> late = 1;
    asio::co_spawn(
        io.get_executor(),
        [](Pool& threads, std::optional<int>& first, std::optional<int>& second) -> Task<> {
            auto at_once = [] { return 7; };
            first = co_await threads.run(std::move(at_once), Clock::now() + 1min);
            auto slowly = [] {
                const auto until = Clock::now() + 200ms;
                while (Clock::now() < until) {
                }
                return 8;
            };
            second = co_await threads.run(std::move(slowly), Clock::now() + 20ms);
        }(pool, quick, late),
        asio::detached);
    io.run();
    CHECK(quick == 7);
    CHECK_FALSE(late.has_value());
    CHECK(pool.busy());
}
