#include "sys/log.hpp"

#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <sys/stat.h>

namespace socksify::sys::log {

using detail::threshold;
using detail::unread;

namespace {

constexpr const char* level_variable = "SOCKSIFY_LOG";
constexpr const char* file_variable = "SOCKSIFY_LOG_FILE";
constinit std::atomic<int> file{-1};

Level level_of(std::string_view name) noexcept {
    constexpr std::string_view names[] = {"off", "error", "info", "debug", "trace"};
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (names[i] == name) return static_cast<Level>(i);
    return Level::error;
}

/// Several threads may come here at once: the first one's is the file.
void open_file(const char* path) noexcept {
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0) return;
    const int own = make_internal(fd);
    int none = -1;
    if (!file.compare_exchange_strong(none, own)) close_internal(own);
}

bool stderr_is_for_people() noexcept {
    struct stat status {};
    if (fstat(STDERR_FILENO, &status) != 0 || S_ISSOCK(status.st_mode)) return false;
    if (!S_ISREG(status.st_mode)) return true;
    return (real::fcntl(STDERR_FILENO, F_GETFL) & O_ACCMODE) == O_WRONLY;
}

} // namespace

constinit std::atomic<unsigned char> detail::threshold{unread};

unsigned char detail::read_environment() noexcept {
    const KeepErrno keep;
    const char* wanted = secure_getenv(level_variable);
    const auto level = static_cast<unsigned char>(wanted != nullptr ? level_of(wanted) : Level::error);
    if (const char* path = secure_getenv(file_variable); path != nullptr && level > 0) open_file(path);
    // Another thread may have been here, and read the rules' "log" since.
    auto before = unread;
    return threshold.compare_exchange_strong(before, level) ? level : before;
}

void set_defaults(Level level, const char* path) noexcept {
    const KeepErrno keep;
    enabled(Level::error); // the environment goes first
    if (secure_getenv(level_variable) != nullptr) return;
    if (*path != '\0' && level != Level::off && file.load() < 0) open_file(path);
    threshold.store(static_cast<unsigned char>(level));
}

void line(Level level, const char* format, ...) noexcept {
    if (!enabled(level)) return;
    const KeepErrno keep;
    char text[1024];
    const int head = std::snprintf(text, sizeof text, "socksify[%d] ", static_cast<int>(getpid()));
    std::va_list arguments;
    va_start(arguments, format);
    const int body =
        std::vsnprintf(text + head, sizeof text - static_cast<std::size_t>(head), format, arguments);
    va_end(arguments);
    const auto size = std::min(sizeof text - 1, static_cast<std::size_t>(head + std::max(body, 0)));
    text[size] = '\n';
    const int to = file.load(std::memory_order_relaxed);
    if (to < 0 && !stderr_is_for_people()) return;
    [[maybe_unused]] const auto ignored = real::write(to >= 0 ? to : STDERR_FILENO, text, size + 1);
}

} // namespace socksify::sys::log
