// Locks that survive fork(): before it, every lock here is taken in one order; after it, parent and child let
// go.
//
// A lock is held for a few loads and stores, with signals held back, so fork() waits for next to nothing.
// The child of a program with threads may then use the library as freely as it may use malloc.
#pragma once

#include "sys/signals_held.hpp"

#include <atomic>
#include <pthread.h>

namespace socksify::sys {

/// The order in which locks may nest, and in which fork() takes them. Each is one lock's alone.
enum class LockRank : unsigned {
    two_parked,
    rules,
    descriptors,
    datagrams,
    features,
    upstreams,
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

    void lock() noexcept;
    void unlock() noexcept {
        pthread_mutex_unlock(&mutex_);
        signals::release();
    }

private:
    friend struct AtFork;
    void enlist() noexcept;

    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
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
        pthread_mutex_lock(&mutex_);
    }
    void unlock() noexcept {
        pthread_mutex_unlock(&mutex_);
        signals::release();
    }
    void renew_in_child() noexcept { pthread_mutex_init(&mutex_, nullptr); }

private:
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

/// How often this process, and those that it comes from, have forked since the library was first used.
unsigned fork_count() noexcept;

/// Runs in the child of every fork(), when the locks are free again. At most eight; registered once each.
void at_fork_in_child(void (*handler)()) noexcept;

} // namespace socksify::sys
