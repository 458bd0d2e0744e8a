// The table behind what is known of descriptors, by itself: one that is found must be the one that was put
// there. `scripts/test tsan` sees the races.
#include "sys/slot_table.hpp"

#include "support/threads.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace socksify::sys;

using socksify::test::on_threads;

namespace {

constexpr std::size_t numbers = 4;

struct Note : SlotEntry<Note> {
    std::uint64_t text = 0;
    std::uint64_t same = 0; ///< as `text`, as long as it may be found

    void empty() noexcept {
        same = ~text;
        ++emptied;
    }
    static inline std::atomic<std::size_t> emptied{0};
};

/// A table of each test's own. The slots are an object apart, as the library's are.
template <int test>
struct Notes {
    static inline std::array<Note*, numbers> slots{};
    using Table = SlotTable<Note, slots, 2>;
    static inline Table table{};
};

template <class Table>
Note& write(Table& table, std::uint64_t text) {
    auto& note = table.take();
    note.text = note.same = text;
    note.come_alive();
    return note;
}

/// Writes one and puts it under `number`, as its only user.
template <class Table>
void publish(Table& table, int number, std::uint64_t text) {
    auto& note = write(table, text);
    table.put(number, &note);
    table.drop(&note);
}

template <class Table>
std::size_t made(const Table& table) {
    std::size_t count = 0;
    table.for_each_made([&](const Note&) { ++count; });
    return count;
}

/// Each text tells under which number it was put.
std::uint64_t text_for(int number, std::uint64_t turn) {
    return turn * numbers + static_cast<std::uint64_t>(number);
}

/// One turn of a thread that puts, finds and removes under all numbers. False if it found what was never
/// there.
template <class Table>
bool use(Table& table, std::uint64_t turn) {
    const int number = static_cast<int>(turn * 7 % numbers);
    publish(table, number, text_for(number, turn));
    bool good = true;
    for (int other = 0; other < static_cast<int>(numbers); ++other)
        if (auto* found = table.acquire(other)) {
            good = good && found->text % numbers == static_cast<std::uint64_t>(other) &&
                   found->same == found->text && found->is_alive();
            table.drop(found);
        }
    if (turn % 3 == 0) table.drop(table.remove(number));
    return good;
}

} // namespace

TEST_CASE("an entry is emptied when its last user has gone, and no earlier") {
    auto& table = Notes<1>::table;
    const auto before = Note::emptied.load();
    publish(table, 0, 5);
    auto* found = table.acquire(0);
    REQUIRE(found != nullptr);
    table.put(1, found);
    table.drop(table.remove(0));
    CHECK(table.acquire(0) == nullptr);
    publish(table, 1, 6);
    CHECK(found->text == 5);
    CHECK(found->same == 5);
    CHECK(Note::emptied == before);
    table.drop(found);
    CHECK(Note::emptied == before + 1);
    CHECK(table.peek(1)->text == 6);
}

TEST_CASE("free entries are used before more are made") {
    auto& table = Notes<2>::table;
    for (std::uint64_t turn = 0; turn < 100; ++turn) publish(table, static_cast<int>(turn % 2), turn);
    CHECK(made(table) <= 4); // two that are found, one that is being written, made by twos
}

TEST_CASE("of two that are first under a number, one is") {
    auto& table = Notes<3>::table;
    auto& first = write(table, 1);
    auto& second = write(table, 2);
    CHECK(table.put_first(0, first));
    CHECK_FALSE(table.put_first(0, second));
    CHECK(table.peek(0) == &first);
    const auto before = Note::emptied.load();
    table.drop(&second);
    CHECK(Note::emptied == before + 1);
    table.drop(&first);
    CHECK(Note::emptied == before + 1); // the slot's
}

TEST_CASE("threads that put and remove under the same numbers find what was put there, and whole") {
    auto& table = Notes<4>::table;
    constexpr std::uint64_t threads = 8, turns = 20'000;
    std::atomic<unsigned> wrong{0};
    on_threads(threads, [&](std::uint64_t thread) {
        for (std::uint64_t turn = 0; turn < turns; ++turn)
            wrong += use(table, turn * threads + thread) ? 0 : 1;
    });
    CHECK(wrong == 0);
    // In slots, and for each thread the few that it writes, has found, or has just made.
    CHECK(made(table) <= numbers + 8 * threads);
}

TEST_CASE("a fork while other threads change the table leaves the child with one that is whole") {
    auto& table = Notes<5>::table;
    // Enough for all: with a sanitizer, the child of a process with threads must not ask for memory.
    std::vector<Note*> stock;
    for (std::uint64_t i = 0; i < 64; ++i) stock.push_back(&write(table, i));
    for (auto* note : stock) table.drop(note);
    std::atomic<bool> over{false};
    std::atomic<unsigned> wrong{0};
    std::thread forking([&] {
        for (unsigned i = 0; i < 100; ++i) {
            const auto child = fork();
            if (child == 0) {
                alarm(20); // what was held, and will never be let go
                bool good = true;
                for (std::uint64_t turn = 0; turn < 200; ++turn) good = use(table, turn) && good;
                _exit(good ? 0 : 1);
            }
            int status = 0;
            waitpid(child, &status, 0);
            wrong += status == 0 ? 0 : 1;
        }
        over = true;
    });
    on_threads(4, [&](std::uint64_t thread) {
        for (std::uint64_t turn = 0; !over; ++turn) {
            wrong += use(table, turn * 4 + thread) ? 0 : 1;
            std::this_thread::yield();
        }
    });
    forking.join();
    CHECK(wrong == 0);
}

TEST_CASE("a fork waits for a change that is half done") {
    obey_forks();
    std::atomic<bool> first{false}, second{false}, over{false};
    std::thread changing([&] {
        {
            const ForksHeld meanwhile;
            first = true;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            second = true;
        }
        while (!over) std::this_thread::yield();
    });
    while (!first) std::this_thread::yield();
    const auto child = fork();
    if (child == 0) _exit(second ? 0 : 1);
    int status = 0;
    waitpid(child, &status, 0);
    over = true;
    changing.join();
    CHECK(status == 0);
}

TEST_CASE("a fork does not wait for ever for a change that a signal handler has interrupted") {
    auto& table = Notes<6>::table;
    publish(table, 0, 1); // and with it, forks obey
    const auto child = [] {
        const ForksHeld interrupted;
        return fork();
    }();
    if (child == 0) {
        alarm(20);
        publish(table, 0, 2);
        _exit(table.peek(0)->text == 2 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0);
}
