// What the decisions answer, and how a hook settles it.
#pragma once

#include "sys/keep_errno.hpp"

#include <new>
#include <type_traits>

namespace socksify::shim {

/// What a call returns to say that it failed: -1, or a null pointer; of no meaning for what no call returns.
template <class Result>
constexpr Result failed_result() noexcept {
    if constexpr (std::is_integral_v<Result>) return -1;
    else return {};
}

/// pass: the real call is the answer. Otherwise: `result`, with errno if it is not 0.
template <class Result = int>
struct Verdict {
    bool passed = false;
    Result result{};
    int error = 0;

    static constexpr Verdict pass() noexcept { return {true, {}, 0}; }
    static constexpr Verdict done(Result result) noexcept { return {false, result, 0}; }
    static constexpr Verdict fail(int error, Result result = failed_result<Result>()) noexcept {
        return {false, result, error};
    }
};

/// Runs `decide` and, if it passes, `real`. errno is touched by a failure alone. No exception leaves: want of
/// memory is ENOMEM; nothing else is thrown, and a cancellation must not be caught.
template <class Decide, class Real>
auto settle(Decide decide, Real real) -> decltype(real()) {
    using Result = decltype(real());
    Verdict<Result> verdict;
    {
        const sys::KeepErrno keep;
        try {
            verdict = decide();
        } catch (const std::bad_alloc&) {
            verdict = Verdict<Result>::fail(ENOMEM);
        }
    }
    if (verdict.passed) return real();
    if (verdict.error != 0) errno = verdict.error;
    return verdict.result;
}

} // namespace socksify::shim
