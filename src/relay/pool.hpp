// Threads for what can't be awaited: getaddrinfo and crypt. A coroutine hands work over and sleeps until it
// is done, or until it has waited long enough; then the work goes on for nobody.
#pragma once

#include "relay/io.hpp"

#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <csignal>
#include <optional>
#include <type_traits>

namespace socksify::relay {

class Pool {
public:
    /// The threads start with the first work: a relay that resolves no name has none.
    Pool(asio::io_context& io, std::size_t threads) : io_(io), threads_(threads) {}

    /// `work` runs on another thread. Nothing if it isn't done at `deadline`.
    template <class Work>
    Task<std::optional<std::invoke_result_t<Work&>>> run(Work work, Clock::time_point deadline) {
        auto handover = std::make_shared<Handover<std::invoke_result_t<Work&>>>(io_, deadline);
        post([handover, work = std::move(work), executor = io_.get_executor(), this]() mutable {
            handover->result.emplace(work());
            asio::post(executor, [handover] { handover->done.cancel(); });
            --busy_;
        });
        ErrorCode error;
        co_await handover->done.async_wait(into(error));
        // Not the timer's error but the result decides: both may have come at the same moment. But the result
        // may be looked at only when the other thread is through with it, and then it has cancelled the
        // timer.
        if (error != asio::error::operation_aborted) co_return std::nullopt;
        co_return std::move(handover->result);
    }

    /// Work that is under way, or waits for a thread. Its end can't be hastened.
    [[nodiscard]] bool busy() const noexcept { return busy_ != 0; }

private:
    template <class Result>
    struct Handover {
        Handover(asio::io_context& io, Clock::time_point deadline) : done(io.get_executor(), deadline) {}
        Timer done;
        std::optional<Result> result;
    };

    template <class Job>
    void post(Job job) {
        if (!pool_) start();
        ++busy_;
        asio::post(*pool_, std::move(job));
    }

    /// Signals are the main thread's.
    void start() {
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pool_.emplace(threads_);
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    asio::io_context& io_;
    std::size_t threads_;
    std::atomic<unsigned> busy_ = 0;
    std::optional<asio::thread_pool> pool_;
};

} // namespace socksify::relay
