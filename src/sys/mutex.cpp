#include "sys/mutex.hpp"

#include "sys/forks_held.hpp"
#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <array>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

namespace socksify::sys {
namespace {

constinit std::array<std::atomic<Mutex*>, static_cast<unsigned>(LockRank::count)> enlisted{};
constinit std::array<std::atomic<void (*)()>, 8> handlers{};
constinit std::atomic<unsigned> forks{0};
constinit pthread_once_t once = PTHREAD_ONCE_INIT;
/// Held by whoever adds to `enlisted`, and by a fork() that has taken all that stand there: what is not
/// enlisted then is nobody's, because a lock is enlisted before it is taken for the first time. Nothing is
/// taken inside it.
constinit FutexLock enlisting;

/// Those that this thread's fork() took: others may be used for the first time meanwhile.
[[gnu::tls_model("initial-exec")]] constinit thread_local std::array<Mutex*, enlisted.size()> taken{};

} // namespace

void FutexLock::wait() noexcept {
    const KeepErrno keep;
    while (state_.exchange(State::awaited, std::memory_order_acquire) != State::free)
        real::syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, static_cast<unsigned>(State::awaited), nullptr);
}

void FutexLock::wake() noexcept {
    const KeepErrno keep;
    real::syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1);
}

struct AtFork {
    static void prepare() noexcept {
        signals::hold();
        forks.fetch_add(1); // in both: the child's copy is made after it
        while (!take_all()) {
        }
        ForksHeld::hold_all_back(); // last: nobody who waits for it has one of our locks
    }
    static void in_parent() noexcept {
        ForksHeld::let_all_go();
        enlisting.unlock();
        let_go();
        signals::release();
    }
    static void in_child() noexcept {
        in_parent(); // this thread took them: it may let go of them in either process
        for (auto& handler : handlers)
            if (auto* run = handler.load()) run();
    }
    static void enlist() { pthread_atfork(prepare, in_parent, in_child); }

private:
    /// False, and none is taken, if another one has come meanwhile: it may have to be taken before others.
    static bool take_all() noexcept {
        for (std::size_t i = 0; i < enlisted.size(); ++i)
            if ((taken[i] = enlisted[i].load()) != nullptr) taken[i]->lock_.lock();
        enlisting.lock();
        for (std::size_t i = 0; i < enlisted.size(); ++i)
            if (taken[i] != enlisted[i].load()) {
                enlisting.unlock();
                let_go();
                return false;
            }
        return true;
    }
    static void let_go() noexcept {
        for (std::size_t i = taken.size(); i-- > 0;)
            if (taken[i] != nullptr) taken[i]->lock_.unlock();
    }
};

void obey_forks() noexcept { pthread_once(&once, AtFork::enlist); }

void Mutex::enlist() noexcept {
    // Not under a lock of ours: fork() might be waiting for it while it holds the lock that pthread_atfork
    // wants.
    obey_forks();
    enlisting.lock();
    enlisted[static_cast<unsigned>(rank_)].store(this);
    enlisted_.store(true, std::memory_order_release);
    enlisting.unlock();
}

unsigned fork_count() noexcept { return forks.load(); }

void at_fork_in_child(void (*handler)()) noexcept {
    obey_forks();
    for (auto& slot : handlers) {
        void (*empty)() = nullptr;
        if (slot.load() == handler || slot.compare_exchange_strong(empty, handler) || empty == handler)
            return;
    }
}

} // namespace socksify::sys
