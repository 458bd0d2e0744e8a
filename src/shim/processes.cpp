#include "shim/processes.hpp"

#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <sys/mman.h>

namespace socksify::shim {
namespace {

constexpr std::string_view library = "libsocksify.so";
constexpr std::string_view preload = "LD_PRELOAD=";

/// What the next process finds its rules, and its voice, by. HOME counts: the user's rules file lies below
/// it.
constexpr std::array<std::string_view, 8> needed{
    preload, "SOCKSIFY_CONFIG=", "SOCKSIFY_PROXY=", "SOCKSIFY_LOG=", "SOCKSIFY_LOG_FILE=", "XDG_CONFIG_HOME=",
    "HOME=", "ALL_PROXY="};

bool names(std::string_view entry, std::string_view variable) noexcept { return entry.starts_with(variable); }

bool preloads_us(std::string_view entry) noexcept {
    return names(entry, preload) && entry.find(library) != std::string_view::npos;
}

bool has_library(char* const* list) noexcept {
    for (; list != nullptr && *list != nullptr; ++list)
        if (preloads_us(*list)) return true;
    return false;
}

std::size_t length_of(char* const* list) noexcept {
    std::size_t length = 0;
    while (list != nullptr && list[length] != nullptr) ++length;
    return length;
}

const char* find(char* const* list, std::string_view variable) noexcept {
    for (; list != nullptr && *list != nullptr; ++list)
        if (names(*list, variable)) return *list;
    return nullptr;
}

/// The environment that this process began with, NUL after each entry, read into `to`. The octets read, or 0.
std::size_t read_initial_environment(char* to, std::size_t room) noexcept {
    const int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    std::size_t size = 0;
    for (ssize_t got = 0; size < room && (got = real::read(fd, to + size, room - size)) > 0;)
        size += static_cast<std::size_t>(got);
    real::close(fd);
    return size;
}

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

constexpr std::size_t largest_environment = 1024 * 1024;

} // namespace

ChildEnvironment::ChildEnvironment(char* const* given) noexcept : list_(given) {
    if (!has_library(given)) build(given);
}

ChildEnvironment::~ChildEnvironment() {
    const sys::KeepErrno keep;
    if (memory_ != nullptr) munmap(memory_, size_);
}

void ChildEnvironment::build(char* const* given) noexcept {
    const sys::KeepErrno keep;
    // In one block: the new list, a joined LD_PRELOAD, the initial environment.
    const auto count = length_of(given);
    const auto list_size = (count + needed.size() + 1) * sizeof(char*);
    const char* theirs = find(given, preload);
    const auto joined_room = (theirs != nullptr ? std::strlen(theirs) : 0) + 4096;
    size_ = list_size + joined_room + largest_environment;
    void* memory =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    memory_ = memory;
    auto** list = static_cast<const char**>(memory);
    char* joined = static_cast<char*>(memory) + list_size;
    char* initial = joined + joined_room;
    const auto initial_size = read_initial_environment(initial, largest_environment);

    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i)
        if (!names(given[i], preload)) list[size++] = given[i];
    bool found_library = false;
    for_each_entry(initial, initial_size, [&](const char* entry) {
        for (const auto variable : needed) {
            if (!names(entry, variable) || size >= count + needed.size()) continue;
            if (variable != preload) {
                if (find(given, variable) == nullptr) list[size++] = entry;
                continue;
            }
            if (found_library || !preloads_us(entry) || std::strlen(entry) >= 4096) continue;
            found_library = true;
            list[size++] = joined;
            char* end = stpcpy(joined, entry);
            if (theirs != nullptr) stpcpy(stpcpy(end, ":"), theirs + preload.size());
        }
    });
    // Not started by LD_PRELOAD (/etc/ld.so.preload reaches the child by itself): nothing of ours to put
    // back.
    if (!found_library) return;
    list[size] = nullptr;
    list_ = const_cast<char* const*>(list); // exec*() promise not to write to it
}

void restore_own_environment() {
    if (has_library(environ)) return;
    const ChildEnvironment whole(environ);
    for (const auto variable : needed) {
        const char* entry = find(whole.get(), variable);
        if (entry == nullptr || find(environ, variable) == entry) continue;
        const std::string_view text(entry);
        char name[32];
        name[variable.copy(name, variable.size() - 1)] = '\0';
        setenv(name, text.substr(variable.size()).data(), 1);
    }
}

} // namespace socksify::shim
