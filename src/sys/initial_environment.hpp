// The environment that this process was started with, which clearenv() does not reach (/proc/self/environ).
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace socksify::sys {

/// Reads it into `to`, NUL after each entry. The octets read; 0 if it can't be read: there is no /proc, or
/// the process has changed its identity. Allocates nothing.
std::size_t read_initial_environment(char* to, std::size_t room) noexcept;
/// Keeps a copy, from which it is read from then on: for a process that is about to change its identity.
void keep_initial_environment() noexcept;

/// Calls `visit(entry)` for each whole entry of such a block; the entries are C strings.
template <class Visit>
void for_each_entry(const char* block, std::size_t size, Visit visit) {
    for (const char* end = block + size; block < end;) {
        const auto length = strnlen(block, static_cast<std::size_t>(end - block));
        if (block + length == end) return; // cut off
        visit(block);
        block += length + 1;
    }
}

/// Whether "NAME=VALUE" preloads this library.
inline bool preloads_us(std::string_view entry) noexcept {
    return entry.starts_with("LD_PRELOAD=") && entry.find("libsocksify.so") != std::string_view::npos;
}

} // namespace socksify::sys
