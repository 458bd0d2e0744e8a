// Locks that survive fork(): before it, every lock here is taken in one order; after it, parent and child let
// go.
//
// A lock is held for a few loads and stores, with signals held back, so fork() waits for next to nothing.
// The child of a program with threads may then use the library as freely as it may use malloc.
#pragma once

#include "sys/signals_held.hpp"

#include <atomic>
#include <cstdint>

namespace socksify::sys {

/// The lock itself: taken and let go of by an instruction each, unless somebody has it already; then a futex
/// is waited for. It is any thread's to let go of, so a child of fork() may.
class FutexLock {
public:
    void lock() noexcept {
        auto before = State::free;
        if (!state_.compare_exchange_strong(before, State::taken, std::memory_order_acquire)) [[unlikely]]
            wait();
    }
    void unlock() noexcept {
        if (state_.exchange(State::free, std::memory_order_release) == State::awaited) [[unlikely]]
            wake();
    }
    void renew() noexcept { state_.store(State::free); }

private:
    enum class State : std::uint32_t { free, taken, awaited };
    void wait() noexcept;
    void wake() noexcept;

    std::atomic<State> state_{State::free};
};

/// The order in which locks may nest, and in which fork() takes them. Each is one lock's alone.
enum class LockRank : unsigned {
    two_parked,
    rules,
    polled,
    features,
    sessions,
    upstreams,
    held,
    worker,
    own_descriptors,
    limit,
    memory,
    count
};

class Mutex {
public:
    constexpr explicit Mutex(LockRank rank) noexcept : rank_(rank) {}
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;

    void lock() noexcept {
        signals::hold();
        if (!enlisted_.load(std::memory_order_acquire)) [[unlikely]]
            enlist();
        lock_.lock();
    }
    void unlock() noexcept {
        lock_.unlock();
        signals::release();
    }

private:
    friend struct AtFork;
    void enlist() noexcept;

    FutexLock lock_;
    LockRank rank_;
    std::atomic<bool> enlisted_{false};
};

/// A lock without a rank: of an object that many can exist of. After fork() its owner must make it anew in
/// the child.
class ObjectMutex {
public:
    constexpr ObjectMutex() noexcept = default;
    ObjectMutex(const ObjectMutex&) = delete;
    ObjectMutex& operator=(const ObjectMutex&) = delete;

    void lock() noexcept {
        signals::hold();
        lock_.lock();
    }
    void unlock() noexcept {
        lock_.unlock();
        signals::release();
    }
    void renew_in_child() noexcept { lock_.renew(); }

private:
    FutexLock lock_;
};

/// How often this process, and those that it comes from, have forked since the library was first used.
unsigned fork_count() noexcept;

/// Has every fork() from now on wait for who holds forks: see forks_held.hpp.
void obey_forks() noexcept;

/// Runs in the child of every fork(), when the locks are free again. At most eight; registered once each.
void at_fork_in_child(void (*handler)()) noexcept;

} // namespace socksify::sys
