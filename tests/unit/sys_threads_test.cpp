// What floor 2 keeps for the whole process, under many threads at once. `scripts/test tsan` sees the races.
#include "sys/fd_table.hpp"
#include "sys/upstreams.hpp"
#include "sys/worker.hpp"

#include "support/threads.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace socksify;
using namespace socksify::sys;
using namespace std::chrono_literals;

using socksify::test::on_threads;

namespace {

/// Whether the table tells of a socket of our own what we told it, from its making to its end.
bool live_a_socket() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto cookie = cookie_of(fd);
    const auto is_known = [&](int number) {
        const auto found = fds::find(number);
        return found && found->cookie == cookie;
    };
    bool good = fd >= 0 && !fds::find(fd);
    fds::put(fd, SocketRef(Socket::State::connected, cookie, Address{}, AF_INET));
    const int other = dup(fd);
    fds::copy(fd, other);
    fds::watch(0, other, {});
    good = good && is_known(fd) && is_known(other) && fds::watches(other).size == 1;
    fds::forget(other);
    close(other);
    good = good && is_known(fd);
    fds::forget(fd);
    good = good && !fds::find(fd);
    close(fd);
    return good;
}

/// Takes each of the locks.
bool use_all() {
    upstreams::mark_down(1);
    const bool down = upstreams::is_down(1);
    upstreams::with_features([](auto& features) {
        const auto now = std::chrono::steady_clock::now();
        return features.find(0, {}, now).known;
    });
    return live_a_socket() && down;
}

/// Waits once for time to pass, and tells which thread it has been on.
class Nap : public worker::Task {
public:
    struct Outcomes {
        std::atomic<std::size_t> finished{0};
        std::atomic<std::size_t> cancelled{0};
        std::atomic<std::thread::id> thread{};
        std::atomic<bool> on_one_thread{true};
    };
    Nap(std::shared_ptr<Outcomes> outcomes, worker::Clock::duration time)
        : outcomes_(std::move(outcomes)), until_(worker::Clock::now() + time) {}

    worker::Wait run() override {
        std::thread::id none;
        const auto here = std::this_thread::get_id();
        if (!outcomes_->thread.compare_exchange_strong(none, here) && none != here)
            outcomes_->on_one_thread = false;
        return {.over = has_news() || worker::Clock::now() >= until_, .deadline = until_};
    }
    void finish() noexcept override { ++(has_news() ? outcomes_->cancelled : outcomes_->finished); }
    void abandon(int) noexcept override {}
    [[nodiscard]] bool has_news() const noexcept override { return cancel; }

    static inline std::atomic<bool> cancel{false};

private:
    std::shared_ptr<Outcomes> outcomes_;
    worker::Clock::time_point until_;
};

bool comes_true(const std::function<bool()>& condition) {
    for (unsigned i = 0; i < 10'000; ++i) {
        if (condition()) return true;
        std::this_thread::sleep_for(1ms);
    }
    return false;
}

} // namespace

TEST_CASE("threads that open and close sockets find their own under each number, and no other") {
    std::atomic<unsigned> wrong{0};
    on_threads(8, [&](std::size_t) {
        for (unsigned i = 0; i < 300; ++i) wrong += live_a_socket() ? 0 : 1;
    });
    CHECK(wrong == 0);
}

TEST_CASE("a fork while other threads hold the locks leaves the child with free ones") {
    std::atomic<bool> over{false};
    std::atomic<unsigned> wrong{0};
    std::thread forking([&] {
        for (unsigned i = 0; i < 50; ++i) {
            const auto child = fork();
            if (child == 0) {
                alarm(20); // a lock that nobody will let go
                _exit(use_all() ? 0 : 1);
            }
            int status = 0;
            waitpid(child, &status, 0);
            wrong += status == 0 ? 0 : 1;
        }
        over = true;
    });
    on_threads(4, [&](std::size_t) {
        while (!over) wrong += use_all() ? 0 : 1;
    });
    forking.join();
    upstreams::mark_up(1);
    CHECK(wrong == 0);
}

TEST_CASE("what many threads hand to the worker at once is carried on by one thread, and all of it") {
    const auto outcomes = std::make_shared<Nap::Outcomes>();
    std::atomic<unsigned> not_taken{0};
    on_threads(8, [&](std::size_t number) {
        for (std::size_t i = 0; i < 50; ++i) {
            std::unique_ptr<worker::Task> task = std::make_unique<Nap>(outcomes, (i + number) % 5 * 1ms);
            not_taken += worker::post(task) ? 0 : 1;
        }
    });
    CHECK(not_taken == 0);
    CHECK(comes_true([&] { return outcomes->finished == 400; }));
    CHECK(outcomes->on_one_thread);
}

TEST_CASE("a task that nobody waits for any more ends at the next wake-up, long before its deadline") {
    const auto outcomes = std::make_shared<Nap::Outcomes>();
    std::unique_ptr<worker::Task> task = std::make_unique<Nap>(outcomes, 1h);
    REQUIRE(worker::post(task));
    Nap::cancel = true;
    worker::wake();
    CHECK(comes_true([&] { return outcomes->cancelled == 1; }));
    Nap::cancel = false;
}
