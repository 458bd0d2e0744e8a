#include "shim/processes.hpp"

#include "policy/rules.hpp"
#include "sys/address.hpp"
#include "sys/inheritance.hpp"
#include "sys/initial_environment.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/program_file.hpp"
#include "sys/real.hpp"
#include "sys/rules.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string_view>
#include <sys/mman.h>
#include <utility>

namespace socksify::shim {
namespace {

constexpr std::string_view preload = "LD_PRELOAD=";

constexpr std::string_view config = "SOCKSIFY_CONFIG=";

/// What the next process finds its rules, and its voice, by. That they lie below HOME needs no HOME: where
/// this process found them is handed on as SOCKSIFY_CONFIG.
constexpr std::array<std::string_view, 8> needed{
    preload,      config,      "SOCKSIFY_PROXY=", "SOCKSIFY_LISTEN=", "SOCKSIFY_LOG=", "SOCKSIFY_LOG_FILE=",
    "ALL_PROXY=", "all_proxy="};

/// Statically linked, part of every Debian, and harmless: dpkg runs it after each library.
bool opens_no_sockets(std::string_view program) noexcept { return program == "/usr/sbin/ldconfig"; }

bool names(std::string_view entry, std::string_view variable) noexcept { return entry.starts_with(variable); }

bool has_library(char* const* list) noexcept {
    for (; list != nullptr && *list != nullptr; ++list)
        if (sys::preloads_us(*list)) return true;
    return false;
}

const char* find(char* const* list, std::string_view variable) noexcept {
    for (; list != nullptr && *list != nullptr; ++list)
        if (names(*list, variable)) return *list;
    return nullptr;
}

constexpr std::size_t largest_environment = 1024 * 1024;

/// Whether a program with this list would look for the user's rules file somewhere else than we did.
bool looks_elsewhere(char* const* list) noexcept {
    if (find(list, config) != nullptr) return false;
    for (const std::string_view variable : {"HOME=", "XDG_CONFIG_HOME="}) {
        const char* ours = find(environ, variable);
        const char* its = find(list, variable);
        if ((ours == nullptr) != (its == nullptr) || (ours != nullptr && std::strcmp(ours, its) != 0))
            return true;
    }
    return false;
}

/// Memory for one list. It goes from caller to caller. A child of vfork() that execs never gives it back, but
/// it has the thread of its parent: that one finds it there.
constexpr std::size_t block_size = 4 * largest_environment; // untouched pages cost nothing
[[gnu::tls_model("initial-exec")]] constinit thread_local char* block_of_thread = nullptr;
constinit std::atomic<char*> spare_block{nullptr};

char* take_block() noexcept {
    if (block_of_thread == nullptr) block_of_thread = spare_block.exchange(nullptr);
    if (block_of_thread != nullptr) return block_of_thread;
    void* memory =
        mmap(nullptr, block_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? nullptr : block_of_thread = static_cast<char*>(memory);
}

void give_block_back() noexcept {
    if (char* other = spare_block.exchange(std::exchange(block_of_thread, nullptr)))
        munmap(other, block_size);
}

/// Writes a list and its strings into one block, from both ends of it. What has no room is left out.
class ListWriter {
public:
    ListWriter(char* begin, char* end) noexcept : list_(reinterpret_cast<const char**>(begin)), end_(end) {}

    void add(const char* entry) noexcept {
        if (reinterpret_cast<char*>(list_ + size_ + 2) <= end_) list_[size_++] = entry;
    }
    /// A copy that lives as long as the list.
    const char* keep(std::string_view text) noexcept {
        end_ -= text.size() + 1;
        *std::copy(text.begin(), text.end(), end_) = '\0';
        return end_;
    }
    /// "VARIABLE=VALUE", of two parts.
    void add(std::string_view variable, std::string_view value) noexcept {
        const auto room = end_ - reinterpret_cast<char*>(list_ + size_ + 2);
        if (room <= static_cast<std::ptrdiff_t>(variable.size() + value.size())) return;
        end_ -= variable.size() + value.size() + 1;
        *std::copy(value.begin(), value.end(), std::copy(variable.begin(), variable.end(), end_)) = '\0';
        add(end_);
    }
    char* const* list() noexcept {
        list_[size_] = nullptr;
        return const_cast<char* const*>(list_); // exec*() promise not to write to it
    }
    [[nodiscard]] bool has(std::string_view variable) noexcept { return find(list(), variable) != nullptr; }

private:
    const char** list_;
    std::size_t size_ = 0;
    char* end_;
};

/// What the rules need: their own place, or the proxy's, and the variables that hold passwords.
void add_what_rules_need(ListWriter& to) {
    const auto& rules = sys::rules();
    if (!rules.file.empty() && !to.has(config)) to.add(config, rules.file);
    // A program that writes its title over its environment (nginx) leaves nothing to find the proxy by.
    constexpr std::array<std::string_view, 3> urls{"SOCKSIFY_PROXY=", "ALL_PROXY=", "all_proxy="};
    if (!rules.url.empty() &&
        std::none_of(urls.begin(), urls.end(), [&](auto variable) { return to.has(variable); }))
        to.add(urls[0], rules.url);
    if (rules.listen && !to.has("SOCKSIFY_LISTEN=")) to.add("SOCKSIFY_LISTEN=", "1");
    for (const auto& upstream : rules.config.upstreams) {
        const auto& variable = upstream.password_source.environment;
        if (!variable.empty() && !to.has(variable + "=")) to.add(variable + "=", upstream.password);
    }
}

} // namespace

ChildEnvironment::ChildEnvironment(char* const* given) noexcept : list_(given) {
    Inheritance inheritance;
    try {
        inheritance = sys::inheritance();
    } catch (const std::bad_alloc&) {
        // The child will not know of them.
    }
    const bool inherits = std::any_of(inheritance.begin(), inheritance.end(),
                                      [](const std::string& entry) { return !entry.empty(); });
    if (!has_library(given) || looks_elsewhere(given) || inherits) build(given, inheritance);
}

ChildEnvironment::~ChildEnvironment() {
    const sys::KeepErrno keep;
    if (block_of_thread != nullptr) give_block_back();
}

void ChildEnvironment::build(char* const* given, const Inheritance& inheritance) noexcept {
    const sys::KeepErrno keep;
    char* initial = take_block();
    if (initial == nullptr) {
        error_ = ENOMEM;
        return;
    }
    const auto initial_size = sys::read_initial_environment(initial, largest_environment);
    const char* library_entry = nullptr;
    sys::for_each_entry(initial, initial_size, [&](const char* entry) {
        if (sys::preloads_us(entry)) library_entry = entry;
    });
    // Out of reach (see read_initial_environment), overwritten by a program's title, or never there, because
    // /etc/ld.so.preload has us: then the file that we come from.
    std::array<char, 4096> own_entry;
    if (library_entry == nullptr) {
        Dl_info own{};
        if (dladdr(reinterpret_cast<const void*>(&take_block), &own) == 0) return;
        const int size = std::snprintf(own_entry.data(), own_entry.size(), "LD_PRELOAD=%s", own.dli_fname);
        if (size < 0 || static_cast<std::size_t>(size) >= own_entry.size()) return;
    }
    ListWriter to(initial + largest_environment, initial + block_size);
    if (library_entry == nullptr) library_entry = to.keep(own_entry.data());
    const char* theirs = find(given, preload);
    if (theirs != nullptr && sys::preloads_us(theirs)) to.add(theirs);
    else if (theirs == nullptr) to.add(library_entry);
    else {
        std::array<char, 8192> joined;
        const int size =
            std::snprintf(joined.data(), joined.size(), "%s:%s", library_entry, theirs + preload.size());
        if (size < 0 || static_cast<std::size_t>(size) >= joined.size()) to.add(library_entry);
        else to.add("", joined.data());
    }
    for (auto* entry = given; entry != nullptr && *entry != nullptr; ++entry)
        if (!names(*entry, preload) && !sys::is_inheritance(*entry)) to.add(*entry);
    for (const auto& entry : inheritance)
        if (!entry.empty()) to.add("", entry);
    sys::for_each_entry(initial, initial_size, [&](const char* entry) {
        for (const auto variable : needed)
            if (names(entry, variable) && !to.has(variable)) to.add(entry);
    });
    try {
        add_what_rules_need(to);
    } catch (const std::bad_alloc&) {
        // The child will find no rules, and refuse everything.
    }
    list_ = to.list();
}

int refusal_to_execute(const char* path, const ChildEnvironment& environment) {
    if (environment.error() != 0) return environment.error();
    if (sys::is_nowhere(path)) return 0;
    const char* its_preload = find(environment.get(), preload);
    try {
        const auto program = sys::look_at_program(
            path, its_preload != nullptr ? std::string_view(its_preload).substr(preload.size()) : "");
        const bool may_run = program.error == 0 && program.obstacle == sys::Obstacle::none;
        if (may_run || opens_no_sockets(program.path) ||
            policy::is_always_direct(sys::rules().config, program.path))
            return 0;
        if (program.error != 0)
            return program.error == EINTR ? EAGAIN : program.error; // execve(2) has no EINTR
        sys::log::line(sys::log::Level::error, "%s is not started: %s", program.path.c_str(),
                       sys::explain(program).c_str());
        return EACCES;
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
}

int refusal_to_execute_by_name(const char* file, const ChildEnvironment& environment) {
    if (sys::is_nowhere(file)) return 0;
    try {
        return refusal_to_execute(sys::find_in_path(file).c_str(), environment);
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
}

std::string path_at(int directory, const char* path, int flags) {
    const bool by_descriptor = (flags & AT_EMPTY_PATH) != 0 && *path == '\0';
    if (!by_descriptor && (*path == '/' || directory == AT_FDCWD)) return path;
    auto out = "/proc/self/fd/" + std::to_string(directory);
    if (!by_descriptor) (out += '/') += path;
    return out;
}

int restore_own_environment() {
    if (has_library(environ)) return 0;
    const ChildEnvironment whole(environ);
    if (whole.error() != 0) return whole.error();
    const sys::KeepErrno keep;
    for (auto* entry = whole.get(); entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const auto variable = text.substr(0, text.find('=') + 1);
        if (variable.empty() || find(environ, variable) == *entry) continue;
        try {
            const std::string name(variable.substr(0, variable.size() - 1));
            if (setenv(name.c_str(), text.substr(variable.size()).data(), 1) != 0) return errno;
        } catch (const std::bad_alloc&) {
            return ENOMEM;
        }
    }
    return 0;
}

} // namespace socksify::shim
