#include "sys/worker.hpp"

#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <list>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sys/eventfd.h>
#include <utility>

namespace socksify::sys::worker {
namespace {

constexpr auto idle_time = std::chrono::seconds(2);
constexpr std::size_t stack_size =
    256 * 1024; // getaddrinfo() for a proxy's name wants most of it; untouched pages cost nothing

/// Goes from list to list as it is: the worker needs no memory for it.
struct Record {
    std::unique_ptr<Task> task{};
    Wait wait{};
    std::list<Record>::iterator place{};
};
using Records = std::list<Record>;

constinit Mutex mutex{LockRank::worker};
constinit bool running = false;        // under mutex
constinit Records* incoming = nullptr; // under mutex; never destroyed: the process may be exiting
constinit std::atomic<int> epoll_fd{-1};
constinit std::atomic<int> wake_fd{-1};

void forget_in_child() {
    running = false;
    if (incoming != nullptr) incoming = new (std::nothrow) Records; // the parent's tasks are the parent's
    close_internal(epoll_fd.exchange(-1));
    close_internal(wake_fd.exchange(-1));
}

bool make_descriptors() noexcept {
    if (wake_fd.load() >= 0) return true;
    const int epoll = open_with_room([] { return epoll_create1(EPOLL_CLOEXEC); });
    if (epoll < 0) return false;
    const int event = open_with_room([] { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
    if (event < 0) {
        const KeepErrno keep;
        real::close(epoll);
        return false;
    }
    const int high_epoll = make_internal(epoll);
    const int high_event = make_internal(event);
    epoll_event interest{};
    interest.events = EPOLLIN; // data.ptr stays null: no record
    if (real::epoll_ctl(high_epoll, EPOLL_CTL_ADD, high_event, &interest) != 0) {
        close_internal(high_epoll); // without a way to wake it, the worker would be late for everything
        close_internal(high_event);
        errno = ENOMEM; // or ENOSPC, max_user_watches: no errno of connect()
        return false;
    }
    int none = -1;
    if (!epoll_fd.compare_exchange_strong(none, high_epoll)) { // another thread was faster
        close_internal(high_epoll);
        close_internal(high_event);
        return true;
    }
    wake_fd.store(high_event);
    at_fork_in_child(forget_in_child);
    return true;
}

/// The thread's own view: its tasks, and what it waits for.
class Loop {
public:
    void run() {
        for (;;) {
            if (!take_incoming() && records_.empty() && may_end()) return;
            wait();
        }
    }

private:
    bool take_incoming() {
        Records fresh;
        {
            const std::lock_guard lock(mutex);
            if (incoming == nullptr || incoming->empty()) return false;
            fresh.swap(*incoming);
        }
        while (!fresh.empty()) {
            auto& record = fresh.front();
            records_.splice(records_.end(), fresh, fresh.begin());
            go_on(record);
        }
        return true;
    }

    bool may_end() {
        if (Clock::now() - last_busy_ < idle_time) return false;
        const std::lock_guard lock(mutex);
        if (incoming != nullptr && !incoming->empty()) return false;
        running = false;
        return true;
    }

    void wait() {
        std::array<epoll_event, 64> events;
        const int count =
            real::epoll_wait(epoll_fd.load(), events.data(), static_cast<int>(events.size()), timeout());
        if (!records_.empty()) last_busy_ = Clock::now();
        bool woken = false;
        for (int i = 0; i < count; ++i) {
            if (auto* record = static_cast<Record*>(events[static_cast<std::size_t>(i)].data.ptr))
                go_on(*record);
            else woken = true;
        }
        if (woken) {
            std::uint64_t counter = 0;
            [[maybe_unused]] const auto ignored = real::read(wake_fd.load(), &counter, sizeof counter);
        }
        const auto now = Clock::now();
        for (auto next = records_.begin(); next != records_.end();) {
            auto& record = *next++; // go_on() may end this one, but no other
            if (record.wait.deadline <= now || (woken && record.task->has_news())) go_on(record);
        }
    }

    [[nodiscard]] int timeout() const {
        const auto now = Clock::now();
        auto until = now + idle_time;
        for (const auto& record : records_) until = std::min(until, record.wait.deadline);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
        return static_cast<int>(std::clamp<decltype(left)>(left, 0, 60'000));
    }

    void go_on(Record& record) noexcept {
        int error = 0;
        const auto before = record.wait;
        try {
            record.wait = record.task->run();
        } catch (const std::bad_alloc&) {
            error = ENOMEM;
        }
        if (error == 0 && !record.wait.over && listen(record, before)) return;
        if (error == 0 && !record.wait.over) error = errno;
        // Before the outcome is handed on: the description lives on under the program's number, and would
        // report to us.
        if (before.fd >= 0) real::epoll_ctl(epoll_fd.load(), EPOLL_CTL_DEL, before.fd, nullptr);
        if (record.wait.fd >= 0 && record.wait.fd != before.fd)
            real::epoll_ctl(epoll_fd.load(), EPOLL_CTL_DEL, record.wait.fd, nullptr);
        error != 0 ? record.task->abandon(error) : record.task->finish();
        records_.erase(record.place);
    }

    /// Brings the registration from what it was to what the record waits for now.
    static bool listen(Record& record, const Wait& before) noexcept {
        const auto& now = record.wait;
        if (before.fd >= 0 && before.fd != now.fd)
            real::epoll_ctl(epoll_fd.load(), EPOLL_CTL_DEL, before.fd, nullptr);
        if (now.fd < 0) return true;
        epoll_event interest{};
        interest.events = now.events;
        interest.data.ptr = &record;
        const int fd = epoll_fd.load();
        // A description that was disconnected and connected anew keeps its registration, but one that was
        // replaced lost it.
        if (before.fd == now.fd && real::epoll_ctl(fd, EPOLL_CTL_MOD, now.fd, &interest) == 0) return true;
        if (real::epoll_ctl(fd, EPOLL_CTL_ADD, now.fd, &interest) == 0) return true;
        errno = ENOMEM; // or ENOSPC, max_user_watches: no errno of connect()
        return false;
    }

    Records records_;
    Clock::time_point last_busy_ = Clock::now();
};

void* thread_main(void*) {
    signals::hold(); // for good: it takes none anyway, and each lock is cheaper so
    Loop().run();
    return nullptr;
}

bool start_thread() noexcept {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    const int failed = pthread_create(&thread, &attributes, thread_main, nullptr);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = failed;
    return failed == 0;
}

} // namespace

bool ready() noexcept { return make_descriptors(); }

bool post(std::unique_ptr<Task>& task) {
    if (!ready()) return false;
    Records fresh(1);
    auto& record = fresh.front();
    record.place = fresh.begin();
    bool start = false;
    {
        const std::lock_guard lock(mutex);
        if (incoming == nullptr) incoming = new Records;
        record.task = std::move(task);
        incoming->splice(incoming->end(), fresh);
        start = !std::exchange(running, true);
    }
    if (!start) {
        wake();
        return true;
    }
    if (start_thread()) return true;
    const int error = errno;
    Records stranded; // ours, and those of callers who counted on our thread
    {
        const std::lock_guard lock(mutex);
        running = false;
        stranded.swap(*incoming);
    }
    for (auto& other : stranded) {
        if (&other == &record) task = std::move(other.task);
        else other.task->abandon(error);
    }
    errno = error;
    return false;
}

void wake() noexcept {
    const KeepErrno keep;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto ignored = real::write(wake_fd.load(), &one, sizeof one);
}

} // namespace socksify::sys::worker
