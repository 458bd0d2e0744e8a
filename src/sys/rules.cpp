#include "sys/rules.hpp"

#include "sys/initial_environment.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/read_file.hpp"

#include <atomic>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sys/auxv.h>
#include <unistd.h>
#include <unwind.h>

namespace socksify::sys {
namespace {

/// The variables that rules are found by: the program's, and, if it has cleared or rebuilt its environment,
/// those that it was started with.
class Environment {
public:
    Environment() {
        if (getauxval(AT_SECURE) != 0) return;
        for (auto* entry = environ; entry != nullptr && *entry != nullptr; ++entry)
            if (preloads_us(*entry)) return;
        initial_.resize(largest);
        initial_.resize(read_initial_environment(initial_.data(), initial_.size()));
    }

    /// Null if it is not set, or if the program runs with privileges that its user does not have.
    const char* operator()(const char* name) const noexcept {
        if (const char* value = secure_getenv(name)) return value;
        const char* found = nullptr;
        const std::string_view wanted(name);
        for_each_entry(initial_.data(), initial_.size(), [&](const char* entry) {
            if (std::string_view(entry).starts_with(wanted) && entry[wanted.size()] == '=')
                found = entry + wanted.size() + 1;
        });
        return found;
    }

private:
    static constexpr std::size_t largest = 1024 * 1024;

    std::string initial_;
};

/// As it is, if it can't be told. Like own_path() never inlined: what reads the rules would have a PATH_MAX
/// more below it on the stack, which the program keeps for good.
[[gnu::noinline]] std::string without_links(const char* path) {
    char resolved[PATH_MAX];
    return realpath(path, resolved) != nullptr ? resolved : path;
}

/// What a rule's `program` is compared with. Without /proc it is the path that the kernel was given, which
/// may be a link to the file.
[[gnu::noinline]] std::string own_path() {
    char path[PATH_MAX];
    const auto size = readlink("/proc/self/exe", path, sizeof path);
    if (size > 0) return std::string(path, static_cast<std::size_t>(size));
    const auto* given = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
    return given != nullptr ? without_links(given) : std::string();
}

std::string user_file(const Environment& environment) {
    if (const char* base = environment("XDG_CONFIG_HOME"); base != nullptr && *base == '/')
        return std::string(base) + "/socksify/socksify.json";
    if (const char* home = environment("HOME"); home != nullptr && *home == '/')
        return std::string(home) + "/.config/socksify/socksify.json";
    return {};
}

/// Rules that let nothing pass. Loopback stays open only where no rules were meant to say otherwise.
Rules refuse_everything(std::string source, std::vector<std::string> problems, policy::Loopback loopback) {
    Rules none;
    none.source = std::move(source);
    none.problems = std::move(problems);
    none.config.otherwise.kind = policy::Action::Kind::block;
    none.config.loopback = loopback;
    none.program = own_path();
    return none;
}

Rules refuse_for_now(const std::string& source, int error) {
    auto none = refuse_everything(source, {source + ": " + strerrordesc_np(error)}, policy::Loopback::block);
    none.for_now = may_pass(error);
    return none;
}

/// Reads each upstream's password from where the rules say it is. One problem a line; `for_now` if what is
/// lacking may be there the next time.
std::vector<std::string> fetch_passwords(policy::Config& config, const std::string& source, bool& for_now) {
    const Environment environment;
    std::vector<std::string> problems;
    const auto complain = [&](const policy::Upstream& upstream, const std::string& what) {
        problems.push_back(source + ": upstreams." + upstream.name + "." + what);
    };
    for (auto& upstream : config.upstreams) {
        const auto& from = upstream.password_source;
        if (!from.file.empty()) {
            auto text = read_file(from.file);
            if (!text) {
                for_now = for_now || may_pass(errno);
                complain(upstream, "password_file: " + from.file + ": " + strerrordesc_np(errno));
                continue;
            }
            upstream.password = text->substr(0, text->find_first_of("\r\n"));
        } else if (!from.environment.empty()) {
            const char* value = environment(from.environment.c_str());
            if (value == nullptr) {
                complain(upstream, "password_env: the variable " + from.environment + " is not set");
                continue;
            }
            upstream.password = value;
        } else {
            upstream.password = from.literal;
        }
        if (upstream.password.size() > 255)
            complain(upstream, "password: longer than the 255 octets of RFC 1929");
        if (!upstream.username.empty() && upstream.password.empty() &&
            (!from.file.empty() || !from.environment.empty()))
            complain(upstream, "password: empty; RFC 1929 wants 1 to 255 octets");
    }
    return problems;
}

Rules usable(policy::Config config, std::string source) {
    bool for_now = false;
    if (auto problems = fetch_passwords(config, source, for_now); !problems.empty()) {
        auto none = refuse_everything(std::move(source), std::move(problems), policy::Loopback::block);
        none.for_now = for_now;
        return none;
    }
    Rules rules;
    rules.config = std::move(config);
    rules.source = std::move(source);
    rules.program = own_path();
    const char* listen = Environment()("SOCKSIFY_LISTEN");
    rules.listen = listen != nullptr && std::strcmp(listen, "1") == 0;
    rules.usable = true;
    return rules;
}

bool is_socks_url(std::string_view url) noexcept {
    return url.starts_with("socks5://") || url.starts_with("socks5h://");
}

} // namespace

namespace {

Rules read_rules(const std::string& path) {
    const auto text = read_file(path);
    if (!text) return refuse_for_now(path, errno);
    auto config = policy::parse_config(*text);
    if (config) return usable(std::move(*config), path);
    std::vector<std::string> problems;
    for (const auto& error : config.error()) problems.push_back(error.text(path));
    return refuse_everything(path, std::move(problems), policy::Loopback::block);
}

} // namespace

Rules read_rules_file(const std::string& path) {
    auto rules = read_rules(path);
    rules.file = without_links(path.c_str());
    return rules;
}

Rules rules_from_url(const std::string& url, const std::string& source) {
    auto config = policy::config_from_url(url);
    if (config) {
        auto rules = usable(std::move(*config), source);
        rules.url = url;
        return rules;
    }
    return refuse_everything(source, {config.error().text(source)}, policy::Loopback::block);
}

Rules find_rules() {
    const Environment environment;
    const char* named = environment("SOCKSIFY_CONFIG");
    if (named != nullptr && *named != '\0') return read_rules_file(named);
    if (named == nullptr) {
        for (const auto& path : {user_file(environment), std::string("/etc/socksify/socksify.json")}) {
            if (path.empty()) continue;
            if (access(path.c_str(), F_OK) == 0) return read_rules_file(path);
            if (may_pass(errno)) return refuse_for_now(path, errno);
        }
    }
    if (const char* url = environment("SOCKSIFY_PROXY"); url != nullptr && *url != '\0')
        return rules_from_url(url, "SOCKSIFY_PROXY");
    for (const char* name : {"ALL_PROXY", "all_proxy"})
        if (const char* url = environment(name); url != nullptr && is_socks_url(url))
            return rules_from_url(url, name);
    return refuse_everything(
        "no rules",
        {"no rules and no proxy: everything but loopback is refused. Name a proxy (socksify -p "
         "socks5://HOST:PORT, or SOCKSIFY_PROXY) or write rules (see socksify.json(5))"},
        policy::Loopback::direct);
}

namespace {

/// pthread_cancel() unwinds with the libgcc_s that glibc loads, but our frames' clean-up calls the copy of
/// libgcc that is linked into us. That one aborts (_Unwind_SetGR) unless it has set up its tables, which it
/// does when it first walks a stack of its own.
void prepare_for_cancellation() noexcept {
    _Unwind_Backtrace([](_Unwind_Context*, void*) { return _URC_END_OF_STACK; }, nullptr);
}

} // namespace

constinit std::atomic<const Rules*> detail::published_rules{nullptr};

const Rules& detail::find_own_rules() {
    const KeepErrno keep;
    auto mine = std::make_unique<const Rules>(find_rules());
    const Rules* none = nullptr;
    if (mine->for_now) {
        // One for all such times: whoever has it may keep it.
        static constinit std::atomic<const Rules*> for_now{nullptr};
        if (!for_now.compare_exchange_strong(none, mine.get())) return *none;
        log::line(log::Level::error, "%s", mine->problems.front().c_str());
        return *mine.release();
    }
    // Before other threads go by the rules: what they do is to be told, too.
    static_assert(static_cast<int>(log::Level::trace) == static_cast<int>(policy::LogLevel::trace));
    log::set_defaults(static_cast<log::Level>(mine->config.log.level), mine->config.log.file.c_str());
    if (!published_rules.compare_exchange_strong(none, mine.get())) return *none; // another thread was faster
    const auto& first = *mine.release();
    prepare_for_cancellation();
    if (!first.usable)
        log::line(log::Level::error, "%s%s", first.problems.front().c_str(),
                  first.problems.size() > 1 ? " (and more: socksifyctl check)" : "");
    else log::line(log::Level::debug, "rules from %s", first.source.c_str());
    return first;
}

} // namespace socksify::sys
