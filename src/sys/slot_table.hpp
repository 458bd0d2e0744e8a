// Number → what is known of it, looked up without a lock and without a system call.
//
// A slot holds a pointer to an entry. Whoever follows it counts itself as a user of the entry, and looks
// whether the pointer is still there. If not, what it has counted itself in may be free, or another number's
// by now: so the memory of an entry is never anything but an entry's, and one is free when its last user has
// gone. Users are the slots that point to it, whoever has acquired it, and for a moment those who came too
// late.
//
//   take()         free → the caller's, its only user
//   come_alive()   it says what it has to say, and is to be emptied when its last user has gone
//   put()          it can be found
//   acquire()      found: one user more
//   drop()         one less; after the last it is emptied, and free
//
// The free ones are a list whose head is followed in the same way. So nobody's pointer to the first one can
// be to one that was taken and put back meanwhile, with another behind it: it would be put back by the last
// user, and whoever looks at it is one.
//
// No thread waits for another, and a signal handler may use the table whatever it has interrupted. fork()
// alone is waited for: its child finds slots and list as they were at one moment. A user of that moment, in
// another thread, is counted there for ever.
#pragma once

#include "sys/forks_held.hpp"
#include "sys/mutex.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <utility>

namespace socksify::sys {

/// The base of what stands in a SlotTable. An `Entry` has, for the table: `void empty() noexcept`.
template <class Entry>
class SlotEntry {
public:
    SlotEntry(const SlotEntry&) = delete;
    SlotEntry& operator=(const SlotEntry&) = delete;

    /// One user more. For who is one, or looks afterwards whether it came in time.
    void share() const noexcept { state_.fetch_add(1); }
    /// For who has taken it: it is complete.
    void come_alive() noexcept { state_.fetch_or(alive); }
    [[nodiscard]] bool is_alive() const noexcept { return (state_.load() & alive) != 0; }

protected:
    SlotEntry() = default;
    ~SlotEntry() = default;

private:
    template <class, auto&, std::size_t>
    friend class SlotTable;

    /// One user less. Whether it was the last one of an entry that was alive, and it is the caller's to empty:
    /// who is late may be the last user of one that is free, and is none any more of one that was taken since.
    [[nodiscard]] bool let_go() noexcept {
        if (state_.fetch_sub(1) != (alive | 1)) return false;
        auto unused = alive;
        return state_.compare_exchange_strong(unused, 0);
    }

    static constexpr unsigned alive = 1U << 31; // complete, and not emptied yet
    mutable std::atomic<unsigned> state_{0};    // and the number of users
    Entry* next_free_ = nullptr;
};

/// `slots`: an array of `Entry*`, zero at first, one for each number that may be asked for. Plain pointers,
/// atomic where they are touched, and an object of its own: it may be apart from what is not zero at first
/// (sys/sparse.hpp). `at_once`: how many entries are made when there is none.
template <class Entry, auto& slots, std::size_t at_once = 1>
class SlotTable {
public:
    /// A free one, of which the caller is the only user. Throws std::bad_alloc.
    Entry& take() {
        if (auto* one = take_free()) return *one;
        obey_forks();
        auto* made = new Batch;
        for (std::size_t i = 1; i < at_once; ++i) put_back(made->entries[i]);
        made->next = made_.load();
        while (!made_.compare_exchange_weak(made->next, made)) {
        }
        made->entries[0].share();
        return made->entries[0];
    }

    void drop(Entry* one) noexcept {
        if (one == nullptr || !one->let_go()) return;
        one->empty();
        put_back(*one);
    }

    /// What stands there, with the caller as one user more; null if there is nothing.
    Entry* acquire(int number) noexcept { return acquire(slot(number)); }

    /// The same without counting, for who is alone and needs none.
    [[nodiscard]] Entry* peek(int number) const noexcept { return slot(number).load(); }

    /// Puts `one`, or nothing, there. The slot is a user of it; what stood there loses one.
    void put(int number, Entry* one) noexcept {
        if (one != nullptr) one->share();
        drop(exchange(number, one));
    }

    /// The same, but what stood there is handed out with the slot's count: the caller drops it.
    Entry* remove(int number) noexcept { return exchange(number, nullptr); }

    /// Puts `one` there unless there is something: then false.
    bool put_first(int number, Entry& one) noexcept {
        one.share();
        {
            const ForksHeld meanwhile;
            Entry* none = nullptr;
            if (slot(number).compare_exchange_strong(none, &one)) return true;
        }
        drop(&one);
        return false;
    }

    /// Calls `visit(entry)` for each that was ever made, alive or not.
    template <class Visit>
    void for_each_made(Visit visit) const {
        for (auto* batch = made_.load(); batch != nullptr; batch = batch->next)
            for (auto& entry : batch->entries) visit(entry);
    }

private:
    using Slot = std::atomic_ref<Entry*>;
    struct Batch {
        std::array<Entry, at_once> entries;
        Batch* next = nullptr;
    };

    static Slot slot(int number) noexcept { return Slot(slots[static_cast<std::size_t>(number)]); }

    template <class Place>
    Entry* acquire(const Place& place) noexcept {
        for (;;) {
            auto* one = place.load();
            if (one == nullptr) return nullptr;
            one->share();
            if (place.load() == one) return one;
            drop(one); // it went meanwhile, and may be another's by now
        }
    }

    Entry* exchange(int number, Entry* by) noexcept {
        const ForksHeld meanwhile;
        return slot(number).exchange(by);
    }

    Entry* take_free() noexcept {
        for (;;) {
            auto* one = acquire(free_);
            if (one == nullptr) return nullptr;
            {
                const ForksHeld meanwhile;
                auto* first = one;
                if (free_.compare_exchange_strong(first, one->next_free_)) return one;
            }
            drop(one);
        }
    }

    void put_back(Entry& one) noexcept {
        const ForksHeld meanwhile;
        one.next_free_ = free_.load();
        while (!free_.compare_exchange_weak(one.next_free_, &one)) {
        }
    }

    std::atomic<Entry*> free_{nullptr};
    std::atomic<Batch*> made_{nullptr};
};

} // namespace socksify::sys
