#include "policy/name_pool.hpp"

#include "support/octets.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

using namespace socksify;
using namespace socksify::policy;
using namespace socksify::test;

namespace {

/// Memory as floor 2 maps it: zero-filled, shared with the children. It ends where a page ends, and the next
/// one can't be touched.
class Block {
public:
    explicit Block(std::size_t size = NamePool::octets_needed())
        : mapped_((size + page - 1) / page * page + page),
          mapping_(static_cast<std::byte*>(
              mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))),
          memory_(mapping_ + mapped_ - page - size, size) {
        REQUIRE(mapping_ != MAP_FAILED);
        REQUIRE(mprotect(mapping_ + mapped_ - page, page, PROT_NONE) == 0);
    }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    ~Block() { munmap(mapping_, mapped_); }

    [[nodiscard]] std::span<std::byte> memory() const noexcept { return memory_; }
    [[nodiscard]] NamePool pool() const noexcept { return NamePool::format_or_open(memory_); }
    [[nodiscard]] std::uint64_t& word(std::size_t at) const noexcept {
        return *reinterpret_cast<std::uint64_t*>(memory_.data() + at);
    }
    [[nodiscard]] std::uint64_t& slot(std::uint32_t index) const noexcept {
        return word(NamePool::slots_at + std::size_t{index} * 8);
    }
    [[nodiscard]] std::byte* arena() const noexcept { return memory_.data() + NamePool::arena_at; }

private:
    static constexpr std::size_t page = 4096;
    std::size_t mapped_;
    std::byte* mapping_;
    std::span<std::byte> memory_;
};

constexpr std::size_t arena_used_at = 8;

std::string name(std::size_t i) { return std::to_string(i).append(".some-department.example.com"); }

std::string stored(const NamePool& pool, std::uint32_t index) {
    const auto host = pool.name_at(index);
    return host ? std::string(host->name()) : std::string();
}

/// Every occupied slot names something, no name is there twice, and each name is found where it is.
void check_sound(const Block& block, std::size_t names_expected) {
    auto pool = block.pool();
    std::set<std::string> names;
    std::size_t wrong = 0;
    for (std::uint32_t index = 0; index < NamePool::slots; ++index) {
        if (block.slot(index) == 0) continue;
        const auto found = stored(pool, index);
        if (found.empty() || !names.insert(found).second || pool.add(found) != index) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(names.size() == names_expected);
}

/// Runs `work(number)` in `count` processes at once; whether all ended well.
template <class Work>
bool in_processes(unsigned count, Work work) {
    std::vector<pid_t> children;
    for (unsigned number = 0; number < count; ++number) {
        const auto child = fork();
        REQUIRE(child >= 0);
        if (child == 0) _exit(work(number) ? 0 : 1);
        children.push_back(child);
    }
    bool well = true;
    for (const auto child : children) {
        int status = 0;
        well = waitpid(child, &status, 0) == child && status == 0 && well;
    }
    return well;
}

} // namespace

TEST_CASE("one name has one index, and an address in each family") {
    const Block block;
    auto pool = block.pool();
    REQUIRE(pool.valid());
    const auto index = pool.add("example.com");
    REQUIRE(index);
    CHECK(pool.add("example.com") == index);
    CHECK(pool.add("example.org") != index);
    CHECK(stored(pool, *index) == "example.com");
    CHECK(NamePool::index_of(NamePool::ipv4(*index)) == index);
    CHECK(NamePool::index_of(NamePool::ipv6(*index)) == index);
}

TEST_CASE("a name is the same name in capitals and with a dot at its end") {
    const Block block;
    auto pool = block.pool();
    const auto index = pool.add("Example.COM.").value();
    CHECK(pool.add("example.com") == index);
    CHECK(pool.add("EXAMPLE.com.") == index);
    CHECK(stored(pool, index) == "example.com");
    CHECK(pool.add("b\xc3\xbc"
                   "cher.example") == pool.add("b\xc3\xbc"
                                               "cher.EXAMPLE"));
}

TEST_CASE("names of 1 to 255 octets are taken, others are not") {
    const Block block;
    auto pool = block.pool();
    const std::string longest(255, 'n');
    CHECK(stored(pool, pool.add("n").value()) == "n");
    CHECK(stored(pool, pool.add(longest).value()) == longest);
    CHECK(pool.add(longest + ".") == pool.add(longest));
    CHECK(!pool.add(""));
    CHECK(!pool.add("."));
    CHECK(!pool.add(longest + "n"));
    CHECK(!pool.add(std::string_view("a\0b", 3)));
}

TEST_CASE("the ranges begin and end where they should") {
    CHECK(NamePool::ipv4(0).text() == "198.18.0.0");
    CHECK(NamePool::ipv4(NamePool::slots - 1).text() == "198.19.255.255");
    CHECK(NamePool::ipv4(0x10203).text() == "198.19.2.3");
    CHECK(NamePool::ipv6(1).text() == "fd53:6f63:6b73::1");
    CHECK(NamePool::ipv6(NamePool::slots - 1).text() == "fd53:6f63:6b73::1:ffff");
    const auto index_of = [](std::string_view text) { return NamePool::index_of(Host::parse(text).value()); };
    CHECK(index_of("198.18.0.0") == 0);
    CHECK(index_of("198.19.255.255") == NamePool::slots - 1);
    CHECK(index_of("::ffff:198.18.1.2") == 0x102);
    CHECK(index_of("fd53:6f63:6b73::1:0") == 0x10000);
    for (const auto* const other :
         {"198.17.255.255", "198.20.0.0", "0.0.0.0", "fd53:6f63:6b73::2:0", "fd53:6f63:6b73:1::1",
          "fd53:6f63:6b72::1", "::1", "::198.18.0.1", "198.18.0.1.example"}) {
        INFO(other);
        CHECK(!index_of(other));
    }
}

TEST_CASE("all processes that open the memory see one pool") {
    const Block block;
    auto first = block.pool();
    const auto index = first.add("example.com").value();
    auto second = block.pool();
    CHECK(stored(second, index) == "example.com");
    CHECK(second.add("example.com") == index);
}

TEST_CASE("memory that holds something else is left alone") {
    const Block block;
    block.word(0) = 0x0123456789abcdef;
    auto pool = block.pool();
    CHECK(!pool.valid());
    CHECK(!pool.add("example.com"));
    CHECK(!pool.name_at(1));
    CHECK(block.word(0) == 0x0123456789abcdef);
    CHECK(block.word(arena_used_at) == 0);
    CHECK(!NamePool::format_or_open({}).valid());
}

TEST_CASE("memory that is too small or not aligned is refused") {
    const Block block(NamePool::octets_needed() + 8);
    CHECK(!NamePool::format_or_open(block.memory().first(NamePool::octets_needed() - 1)).valid());
    CHECK(!NamePool::format_or_open(block.memory().subspan(1)).valid());
    CHECK(NamePool::format_or_open(block.memory().subspan(8)).valid());
}

TEST_CASE("a hundred thousand names fit, and are found within a few steps") {
    constexpr std::size_t count = 100'000;
    const Block block;
    auto pool = block.pool();
    std::vector<std::uint32_t> indexes;
    for (std::size_t i = 0; i < count; ++i) indexes.push_back(pool.add(name(i)).value());
    std::size_t total = 0;
    std::size_t longest = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto index = indexes[i];
        const auto first = static_cast<std::uint32_t>(block.slot(index));
        const std::size_t steps = (index - first) % NamePool::slots;
        total += steps;
        longest = std::max(longest, steps);
        if (pool.add(name(i)) != index || stored(pool, index) != name(i)) FAIL(name(i), " is lost");
    }
    INFO("steps beyond the first slot: ", total, " in all, ", longest,
         " at most"); // measured: 163 045 and 133
    CHECK(total < 3 * count);
    CHECK(longest < 1000);
    std::sort(indexes.begin(), indexes.end());
    CHECK(std::adjacent_find(indexes.begin(), indexes.end()) == indexes.end());
    CHECK(indexes.front() > 0);
    CHECK(indexes.back() < NamePool::slots - 1);
}

TEST_CASE("every address but the first and the last can be handed out, then the pool is full") {
    const Block block;
    auto pool = block.pool();
    const auto short_name = [](std::size_t i) { return std::to_string(i); };
    for (std::size_t i = 0; i < NamePool::slots - 2; ++i) REQUIRE(pool.add(short_name(i)));
    CHECK(block.slot(0) == 0);
    CHECK(block.slot(NamePool::slots - 1) == 0);
    CHECK(!pool.add("one-too-many"));
    CHECK(pool.add(short_name(77)));
}

TEST_CASE("an arena that is full takes no more names and keeps those that it has") {
    const Block block;
    auto pool = block.pool();
    const auto index = pool.add("example.com").value();
    block.word(arena_used_at) = NamePool::arena_octets - 4;
    CHECK(!pool.add("abcd"));
    const auto fits = pool.add("abc").value();
    CHECK(block.word(arena_used_at) == NamePool::arena_octets);
    CHECK(!pool.add("a"));
    CHECK(pool.add("example.com") == index);
    CHECK(stored(pool, fits) == "abc");
}

TEST_CASE("two names with one hash get two addresses") {
    // Of 200 000 names some share all 32 bits. 131 070 of them fit.
    const Block block;
    auto pool = block.pool();
    std::vector<std::uint32_t> hashes;
    for (std::size_t i = 0; i < NamePool::slots - 2; ++i) {
        const auto text = std::to_string(i);
        const auto index = pool.add(text).value();
        hashes.push_back(static_cast<std::uint32_t>(block.slot(index)));
        if (stored(pool, index) != text) FAIL(text, " has another name's address");
    }
    std::sort(hashes.begin(), hashes.end());
    CHECK(std::adjacent_find(hashes.begin(), hashes.end()) != hashes.end());
}

TEST_CASE("a slot that points outside, or at another name, names nothing and is passed over") {
    const Block block;
    auto pool = block.pool();
    const auto index = pool.add("example.com").value();
    const auto good = block.slot(index);
    const auto hash = good & 0xffffffff;
    const auto at = [&](std::uint64_t place) { return place << 32 | hash; };
    const auto other = pool.add("example.org").value();
    for (const auto damaged : {at(0) | 1, at(NamePool::arena_octets), at(NamePool::arena_octets - 1),
                               at(0xffffffff), at(block.slot(other) >> 32), at(5), good ^ 1}) {
        INFO("slot: ", damaged);
        block.slot(index) = damaged;
        CHECK(!pool.name_at(index));
        const auto again = pool.add("example.com");
        REQUIRE(again);
        CHECK(*again != index);
        CHECK(stored(pool, *again) == "example.com");
        block.slot(*again) = 0;
    }
    block.slot(index) = good;
    block.arena()[0] = std::byte{0xff}; // longer than it was
    CHECK(!pool.name_at(index));
    block.arena()[0] = std::byte{0};
    CHECK(!pool.name_at(index));
}

TEST_CASE("whatever the file holds, nothing outside it is touched") {
    // A step too far is a crash: see Block.
    std::mt19937_64 random(20240229);
    const Block block;
    auto pool = block.pool();
    for (std::size_t i = 0; i < 2000; ++i) REQUIRE(pool.add(name(i)));
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < 500; ++i) {
            block.slot(static_cast<std::uint32_t>(random() % NamePool::slots)) = random();
            block.arena()[random() % (1 << 17)] = static_cast<std::byte>(random());
            block.arena()[NamePool::arena_octets - 1 - random() % 300] = static_cast<std::byte>(random());
            const auto near_end = NamePool::arena_octets - random() % 300;
            block.slot(static_cast<std::uint32_t>(random() % NamePool::slots)) =
                near_end << 32 | (random() & 0xffffffff);
        }
        block.word(arena_used_at) = round % 2 == 0 ? random() : random() % NamePool::arena_octets;
        for (std::size_t i = 0; i < 200; ++i) static_cast<void>(pool.add(name(random() % 4000)));
        for (std::uint32_t index = 0; index < NamePool::slots; ++index)
            if (const auto host = pool.name_at(index); host && !host->is_name()) FAIL("no name at ", index);
    }
}

TEST_CASE("a name that was overwritten is not another name") {
    const Block block;
    auto pool = block.pool();
    const auto index = pool.add("aaaaaaa.com").value();
    block.word(arena_used_at) = 0; // a crash of the machine kept a newer slot and an older header
    REQUIRE(pool.add("bbbbbbb.com"));
    CHECK(!pool.name_at(index));
}

TEST_CASE("threads that add the same names at once agree on every address") {
    constexpr std::size_t count = 10'000;
    constexpr std::size_t threads = 8;
    const Block block;
    std::vector<std::vector<std::uint32_t>> seen(threads, std::vector<std::uint32_t>(count));
    std::vector<std::thread> running;
    for (std::size_t number = 0; number < threads; ++number)
        running.emplace_back([&, number] {
            auto pool = block.pool();
            for (std::size_t i = 0; i < count; ++i) {
                const auto which = (i * 7 + number) % count; // not quite in step
                seen[number][which] = pool.add(name(which)).value_or(0);
                if (stored(pool, seen[number][which]) != name(which)) seen[number][which] = 0;
            }
        });
    for (auto& thread : running) thread.join();
    for (const auto& indexes : seen) CHECK(indexes == seen[0]);
    CHECK(std::count(seen[0].begin(), seen[0].end(), 0U) == 0);
    check_sound(block, count);
}

TEST_CASE("two names that want one slot at the same moment get two") {
    // Pairs of names with one first slot, found in a pool of their own.
    std::vector<std::array<std::string, 2>> pairs;
    {
        const Block block;
        auto pool = block.pool();
        std::vector<std::string> by_slot(NamePool::slots);
        for (std::size_t i = 0; i < 100'000; ++i) {
            const auto first =
                static_cast<std::uint32_t>(block.slot(pool.add(name(i)).value())) % NamePool::slots;
            if (by_slot[first].empty()) by_slot[first] = name(i);
            else pairs.push_back({std::exchange(by_slot[first], {}), name(i)});
        }
    }
    const Block block;
    std::atomic<std::size_t> arrived{0};
    const auto add_each = [&](std::size_t which) {
        auto pool = block.pool();
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            arrived.fetch_add(1);
            while (arrived.load() < 2 * (i + 1))
                if (i % 64 == 0) std::this_thread::yield();
            static_cast<void>(pool.add(pairs[i][which]));
        }
    };
    std::thread other([&] { add_each(1); });
    add_each(0);
    other.join();
    CHECK(pairs.size() > 10'000);
    check_sound(block, 2 * pairs.size());
}

TEST_CASE("processes that add names at once agree on every address") {
    constexpr std::size_t shared = 10'000;
    constexpr std::size_t own = 5'000;
    constexpr unsigned processes = 4;
    const Block block; // not even formatted before the fork
    const Block results(processes * shared * sizeof(std::uint64_t));
    const auto result = [&](unsigned number, std::size_t i) -> std::uint64_t& {
        return results.word((number * shared + i) * sizeof(std::uint64_t));
    };
    REQUIRE(in_processes(processes, [&](unsigned number) {
        auto pool = block.pool();
        for (std::size_t i = 0; i < shared; ++i) {
            const auto which = (i * 3 + number) % shared;
            result(number, which) = pool.add(name(which)).value_or(0);
            if (i < own && !pool.add(std::to_string(number).append(".").append(name(i)))) return false;
        }
        return true;
    }));
    std::size_t different = 0;
    for (unsigned number = 1; number < processes; ++number)
        for (std::size_t i = 0; i < shared; ++i) different += result(number, i) != result(0, i) ? 1 : 0;
    CHECK(different == 0);
    CHECK(result(0, 0) != 0);
    check_sound(block, shared + processes * own);
}

TEST_CASE("a writer that is killed at any moment leaves a sound pool") {
    const Block block;
    const Block progress(4096);
    for (unsigned round = 0; round < 40; ++round) {
        progress.word(0) = 0;
        const auto child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            auto pool = block.pool();
            for (std::size_t i = 0;; ++i) { // until it is killed
                static_cast<void>(pool.add(name(round * 1000 + i % 1000)));
                std::atomic_ref(progress.word(0)).store(i + 1);
            }
        }
        while (std::atomic_ref(progress.word(0)).load() < round * 20 + 1) std::this_thread::yield();
        kill(child, SIGKILL);
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
    }
    std::size_t occupied = 0;
    for (std::uint32_t index = 0; index < NamePool::slots; ++index)
        occupied += block.slot(index) != 0 ? 1 : 0;
    check_sound(block, occupied);
    auto pool = block.pool();
    for (std::size_t i = 0; i < 40'000; ++i) REQUIRE(pool.add(name(i)));
    check_sound(block, 40'000);
}
