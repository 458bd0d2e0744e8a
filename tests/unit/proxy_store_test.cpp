#include "policy/proxy_store.hpp"

#include "support/octets.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace socksify;
using namespace socksify::policy;
using namespace socksify::test;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds today{1'800'000'000};

/// Memory as floor 2 maps it: zero-filled, shared with the children.
class Block {
public:
    Block()
        : memory_(static_cast<std::byte*>(mmap(nullptr, ProxyStore::octets_needed(), PROT_READ | PROT_WRITE,
                                               MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
        REQUIRE(memory_ != MAP_FAILED);
    }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    ~Block() { munmap(memory_, ProxyStore::octets_needed()); }

    [[nodiscard]] std::span<std::byte> memory() const noexcept {
        return {memory_, ProxyStore::octets_needed()};
    }
    [[nodiscard]] ProxyStore store() const noexcept { return ProxyStore::format_or_open(memory()); }

private:
    std::byte* memory_;
};

Learnt none(Pipelining pipelining = Pipelining::tolerated, std::chrono::seconds left = 600s) {
    Learnt learnt;
    learnt.known = Known::none;
    learnt.pipelining = pipelining;
    learnt.left = left;
    return learnt;
}

Learnt listed(std::string_view mark, std::chrono::seconds left = 600s) {
    FeatureList list;
    list.add(Tag::server, static_cast<std::uint8_t>(ServerInfo::hostname), as_bytes(mark));
    list.add(Tag::command, 0x01);
    Learnt learnt;
    learnt.known = Known::listed;
    learnt.features = std::make_shared<const FeatureList>(std::move(list));
    learnt.at.method = Method::password;
    learnt.at.client = Host::parse("2001:db8::5").value();
    learnt.left = left;
    return learnt;
}

std::string mark_of(const std::optional<Learnt>& learnt) {
    if (!learnt) return "nothing";
    if (learnt->known != Known::listed) return "none";
    return std::string(*learnt->features->text(Tag::server, static_cast<std::uint8_t>(ServerInfo::hostname)));
}

/// Where the only record of a store is.
std::span<std::byte> only_record(const Block& block) {
    for (std::size_t i = 0; i < ProxyStore::records; ++i) {
        const auto record = block.memory().subspan(ProxyStore::records_at + i * ProxyStore::record_octets,
                                                   ProxyStore::record_octets);
        for (const auto octet : record)
            if (octet != std::byte{0}) return record;
    }
    FAIL("no record");
    return {};
}

} // namespace

TEST_CASE("what one process has put another one finds, as it was") {
    const Block block;
    auto mine = block.store();
    REQUIRE(mine.valid());
    mine.put("a:1", listed("here"), today);
    const auto found = block.store().find("a:1", today + 10s);
    REQUIRE(found);
    CHECK(mark_of(found) == "here");
    CHECK(*found->features == *listed("here").features);
    CHECK(found->at.method == Method::password);
    CHECK(found->at.client == Host::parse("2001:db8::5").value());
    CHECK(found->pipelining == Pipelining::unknown);
    CHECK(found->left == 590s);
    CHECK(mark_of(mine.find("a:2", today)) == "nothing");
    CHECK(mark_of(mine.find("", today)) == "nothing");

    mine.put("b:1", none(), today);
    CHECK(mine.find("b:1", today)->known == Known::none);
    CHECK(mine.find("b:1", today)->pipelining == Pipelining::tolerated);
    CHECK(mark_of(mine.find("a:1", today)) == "here");
}

TEST_CASE("what is newer takes the place of what was there for that proxy") {
    const Block block;
    auto store = block.store();
    store.put("a:1", listed("one"), today);
    store.put("a:1", listed("two", 900s), today + 1s);
    CHECK(mark_of(store.find("a:1", today + 700s)) == "two");
    store.put("a:1", Learnt{}, today + 2s); // forgotten
    CHECK(mark_of(store.find("a:1", today + 2s)) == "nothing");
}

TEST_CASE(
    "two records of one proxy, as two writers at one time leave them, are forgotten and replaced as one") {
    const Block block;
    auto store = block.store();
    const auto everywhere = [&] {
        store.put("a:1", listed("one"), today);
        const auto record = only_record(block);
        for (std::size_t i = 0; i < ProxyStore::records; ++i)
            std::memmove(&block.memory()[ProxyStore::records_at + i * ProxyStore::record_octets],
                         record.data(), record.size());
    };
    everywhere();
    store.put("a:1", listed("two", 10s), today);
    CHECK(mark_of(store.find("a:1", today)) == "two");
    CHECK(mark_of(store.find("a:1", today + 10s)) == "nothing"); // and not the other "one"
    everywhere();
    store.put("a:1", Learnt{}, today);
    CHECK(mark_of(store.find("a:1", today)) == "nothing");
}

TEST_CASE("a record is too old, or from a clock that has been set back") {
    const Block block;
    auto store = block.store();
    store.put("a:1", listed("x", 600s), today);
    CHECK(mark_of(store.find("a:1", today + 599s)) == "x");
    CHECK(mark_of(store.find("a:1", today + 600s)) == "nothing");
    CHECK(mark_of(store.find("a:1", today - ProxyStore::longest_life)) == "nothing");
    store.put("b:1", listed("x", 0s), today);
    CHECK(mark_of(store.find("b:1", today)) == "nothing");
    store.put("c:1", listed("x", std::chrono::seconds::max()), today);
    CHECK(store.find("c:1", today)->left == ProxyStore::longest_life);
}

TEST_CASE("what does not fit is not kept, and what was there is no more") {
    const Block block;
    auto store = block.store();
    store.put("a:1", listed("x"), today);
    auto big = listed("y");
    FeatureList list;
    const std::vector<std::uint8_t> value(255, 'v');
    for (int i = 0; i < 8; ++i) list.add(Tag::server, 0x77, value);
    big.features = std::make_shared<const FeatureList>(list);
    store.put("a:1", big, today);
    CHECK(mark_of(store.find("a:1", today)) == "nothing");
    const std::string long_key(3000, 'k');
    store.put(long_key, listed("x"), today);
    CHECK(mark_of(store.find(long_key, today)) == "nothing");
}

TEST_CASE("one octet that is wrong, and the record is none") {
    const Block block;
    auto store = block.store();
    store.put("a:1", listed("x"), today);
    const auto record = only_record(block);
    const std::size_t used = 40 + 3 + listed("x").features->octets().size();
    for (std::size_t i = 0; i < used; ++i)
        for (const unsigned bit : {1U, 128U}) {
            INFO("octet ", i);
            record[i] ^= static_cast<std::byte>(bit);
            CHECK(mark_of(store.find("a:1", today)) == "nothing");
            record[i] ^= static_cast<std::byte>(bit);
        }
    CHECK(mark_of(store.find("a:1", today)) == "x");
    // And a damaged one is written over.
    record[50] ^= std::byte{1};
    store.put("a:1", listed("y"), today);
    CHECK(mark_of(store.find("a:1", today)) == "y");
}

TEST_CASE("a record that is half of one writer's and half of another's is none") {
    const Block first, second, mixed;
    auto one = first.store();
    auto two = second.store();
    one.put("a:1", listed("this is the first one"), today);
    two.put("a:1", listed("and that the second  ", 700s), today);
    const auto a = first.memory(), b = second.memory(), out = mixed.memory();
    const auto used = only_record(first).data() - a.data() + 40 + 3 + 24 + 3;
    for (std::ptrdiff_t cut = only_record(first).data() - a.data() + 8; cut < used - 8; cut += 8) {
        std::copy(a.begin(), a.begin() + cut, out.begin());
        std::copy(b.begin() + cut, b.end(), out.begin() + cut);
        INFO("cut at ", cut);
        const auto found = mark_of(mixed.store().find("a:1", today));
        CHECK((found == "nothing" || std::memcmp(out.data(), b.data(), b.size()) == 0));
    }
}

TEST_CASE("as many proxies as there is room for, and then the one that goes first makes room") {
    const Block block;
    auto store = block.store();
    for (int i = 0; i < 1000; ++i)
        store.put(std::to_string(i), listed(std::to_string(i), std::chrono::seconds(1000 + i)), today);
    int kept = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto found = mark_of(store.find(std::to_string(i), today));
        if (found == "nothing") continue;
        CHECK(found == std::to_string(i));
        ++kept;
    }
    CHECK(kept == int{ProxyStore::records});
    CHECK(mark_of(store.find("999", today)) == "999");
    store.put("later", Learnt{}, today); // nothing to say, and nobody's place to take
    CHECK(mark_of(store.find("999", today)) == "999");
}

TEST_CASE("memory of another kind holds nothing, and is left as it is") {
    const Block block;
    std::memcpy(block.memory().data(), "whatever", 8);
    auto store = block.store();
    CHECK_FALSE(store.valid());
    store.put("a:1", listed("x"), today);
    CHECK(mark_of(store.find("a:1", today)) == "nothing");
    CHECK(std::memcmp(block.memory().data(), "whatever\0\0", 10) == 0);
    CHECK_FALSE(ProxyStore::format_or_open({}).valid());
    const Block other;
    CHECK_FALSE(ProxyStore::format_or_open(other.memory().first(4096)).valid());
    CHECK_FALSE(ProxyStore::format_or_open(other.memory().subspan(4)).valid());
}

TEST_CASE("octets at random are no record") {
    const Block block;
    auto store = block.store();
    std::mt19937 random(1);
    for (auto& octet : block.memory().subspan(ProxyStore::records_at))
        octet = static_cast<std::byte>(random());
    for (int i = 0; i < 100; ++i) CHECK(mark_of(store.find(std::to_string(i), today)) == "nothing");
    store.put("a:1", listed("x"), today);
    CHECK(mark_of(store.find("a:1", today)) == "x");
}

TEST_CASE("many write and read at the same time, and whoever finds something finds it whole") {
    const Block block;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&block, t] {
            auto store = block.store();
            const std::string mark(static_cast<std::size_t>(20 + t), static_cast<char>('a' + t));
            for (int i = 0; i < 20'000; ++i) {
                if (t < 2) store.put("a:1", listed(mark), today);
                const auto found = mark_of(store.find("a:1", today));
                if (found == "nothing") continue;
                CHECK((found == std::string(20, 'a') || found == std::string(21, 'b')));
            }
        });
    for (auto& thread : threads) thread.join();
    auto store = block.store();
    store.put("a:1", listed("the last one"), today);
    CHECK(mark_of(store.find("a:1", today)) == "the last one");
}

TEST_CASE("a writer that is killed at any time leaves nothing that is taken for something") {
    const Block block;
    for (int i = 0; i < 20; ++i) {
        const auto child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            auto store = block.store();
            for (unsigned turn = 0;; ++turn)
                store.put("a:1", listed(turn % 2 != 0 ? "odd, and longer than the other" : "even"), today);
        }
        usleep(static_cast<useconds_t>(300 + 37 * i));
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        const auto found = mark_of(block.store().find("a:1", today));
        CHECK((found == "nothing" || found == "even" || found == "odd, and longer than the other"));
    }
}

TEST_CASE("a proxy is known by where it is and by the user name, not by a password") {
    Upstream upstream;
    upstream.host = Host::name("proxy.example").value();
    upstream.username = "ann";
    upstream.password = "secret";
    const auto key = store_key(upstream);
    CHECK(key == std::string("proxy.example:1080\0ann", 22));
    upstream.password = "other";
    CHECK(store_key(upstream) == key);
    upstream.port = 1081;
    CHECK(store_key(upstream) != key);
    upstream.socket_path = "/run/proxy.sock";
    CHECK(store_key(upstream) == std::string("/run/proxy.sock\0ann", 19));
}
