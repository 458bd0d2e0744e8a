// The trace that `-v` asks for: one line per decision, to stderr or to a file, never to stdout.
//
// SOCKSIFY_LOG is off, error, info, debug or trace; the default is `error`, which speaks at most once in a
// process. SOCKSIFY_LOG_FILE names a file to append to. The rules file's "log" counts where a variable is not
// set. A line is one write() of at most 1 KiB, so lines of several processes don't mix. Without a file, lines
// go to fd 2, unless that is a socket or a file open for reading too: a program that closed its stderr may
// keep a database there.
#pragma once

#include <atomic>
#include <cstdarg>

namespace socksify::sys::log {

enum class Level : unsigned char { off, error, info, debug, trace };

/// What the rules file says, where the environment says nothing. `path` may be empty.
void set_defaults(Level level, const char* path) noexcept;

namespace detail {
constexpr unsigned char unread = 0xff;
extern constinit std::atomic<unsigned char> threshold; ///< a Level, or `unread`
unsigned char read_environment() noexcept;
} // namespace detail

/// Whether a line of this level would be written: one load, once the environment has been read. Ask first
/// where making the line's words costs anything.
inline bool enabled(Level level) noexcept {
    auto now = detail::threshold.load(std::memory_order_relaxed);
    if (now == detail::unread) [[unlikely]]
        now = detail::read_environment();
    return static_cast<unsigned char>(level) <= now;
}
/// printf-like. Keeps errno. Never allocates.
[[gnu::format(printf, 2, 3)]] void line(Level level, const char* format, ...) noexcept;

} // namespace socksify::sys::log
