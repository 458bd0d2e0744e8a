#include "sys/mutex.hpp"

#include <array>
#include <atomic>

namespace socksify::sys {
namespace {

constinit std::array<std::atomic<Mutex*>, static_cast<unsigned>(LockRank::count)> enlisted{};
constinit std::array<std::atomic<void (*)()>, 8> handlers{};
constinit std::atomic<unsigned> forks{0};
constinit pthread_once_t once = PTHREAD_ONCE_INIT;

} // namespace

void prepare_fork() noexcept {
    forks.fetch_add(1); // in both: the child's copy is made after it
    for (auto& mutex : enlisted)
        if (auto* m = mutex.load()) pthread_mutex_lock(&m->mutex_);
}

static void after_fork_in_parent() noexcept {
    for (unsigned i = static_cast<unsigned>(LockRank::count); i-- > 0;)
        if (auto* m = enlisted[i].load()) m->unlock();
}

void after_fork_in_child() noexcept {
    after_fork_in_parent(); // this thread took them: it may let go of them in either process
    for (auto& handler : handlers)
        if (auto* run = handler.load()) run();
}

static void register_handlers() { pthread_atfork(prepare_fork, after_fork_in_parent, after_fork_in_child); }

void Mutex::lock() noexcept {
    pthread_mutex_lock(&mutex_);
    if (!enlisted_) [[unlikely]]
        enlist();
}

void Mutex::enlist() noexcept {
    // The lock is let go first: fork() might be waiting for it while it holds the lock that pthread_atfork
    // wants.
    pthread_mutex_unlock(&mutex_);
    pthread_once(&once, register_handlers);
    pthread_mutex_lock(&mutex_);
    if (enlisted_) return;
    enlisted_ = true;
    enlisted[static_cast<unsigned>(rank_)].store(this);
}

unsigned fork_count() noexcept { return forks.load(); }

void at_fork_in_child(void (*handler)()) noexcept {
    pthread_once(&once, register_handlers);
    for (auto& slot : handlers) {
        void (*empty)() = nullptr;
        if (slot.load() == handler || slot.compare_exchange_strong(empty, handler) || empty == handler)
            return;
    }
}

} // namespace socksify::sys
