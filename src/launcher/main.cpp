// The launcher: puts libsocksify.so in front of a command and becomes that command, so that its exit status,
// its signals and its process id are the command's own.
//
// It stands before every command that somebody runs through it, so it is short on the way there: a few system
// calls and one exec. Rules are read only where one of them might let a program go without the library.
#include "launcher/options.hpp"
#include "launcher/shell_code.hpp"
#include "policy/rules.hpp"
#include "sys/installation.hpp"
#include "sys/program_file.hpp"
#include "sys/rules.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace socksify::launcher {
namespace {

// 125: the launcher itself failed; 126 and 127 as a shell has them.
constexpr int launcher_failed = 125;
constexpr int cannot_be_executed = 126;
constexpr int not_found = 127;

[[noreturn]] void fail(int status, const std::string& why) {
    std::fprintf(stderr, "socksify: %s\n", why.c_str());
    std::exit(status);
}

/// The one line that the relay writes when it listens. It lives as long as the process `watched`.
std::string start_relay(const std::string& relay, pid_t watched) {
    if (access(relay.c_str(), X_OK) != 0)
        fail(launcher_failed, relay + " is missing, there is no --relay without it");
    int ends[2];
    if (pipe(ends) != 0) fail(launcher_failed, std::string("pipe: ") + strerrordesc_np(errno));
    const auto pid = std::to_string(watched);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(relay.c_str(), relay.c_str(), "--embedded", "--watch-pid", pid.c_str(), nullptr);
        _exit(not_found);
    }
    close(ends[1]);
    std::string line;
    char octets[512];
    for (ssize_t size = 0; child > 0 && (size = read(ends[0], octets, sizeof octets)) > 0;)
        line.append(octets, static_cast<std::size_t>(size));
    close(ends[0]);
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail(launcher_failed, "the embedded relay did not start");
    if (!line.starts_with("socks5://") || !line.ends_with('\n'))
        fail(launcher_failed, "the embedded relay did not say where it listens");
    line.pop_back();
    return line;
}

/// ld.so only warns of a library that it cannot load; then everything would leave by the direct way.
void check_library(const sys::Installation& here) {
    if (access(here.library.c_str(), R_OK) != 0) fail(launcher_failed, here.library + " is missing");
    if (here.preload.find_first_of(": ") != std::string::npos)
        fail(launcher_failed, here.preload + ": LD_PRELOAD can hold no path with a colon or a blank");
}

/// LD_PRELOAD with the library in front. socksify within socksify: it is there already.
std::string preload_with(const std::string& library) {
    const char* variable = std::getenv("LD_PRELOAD");
    const std::string before = variable != nullptr ? variable : "";
    if (before.empty()) return library;
    const bool is_there =
        before.starts_with(library) &&
        (before.size() == library.size() || before[library.size()] == ':' || before[library.size()] == ' ');
    return is_there ? before : library + ":" + before;
}

/// What is set for the command, or for a shell.
Variables variables_for(const Options& options, const sys::Installation& here, pid_t relay_watches) {
    Variables set;
    const auto proxy = options.relay ? start_relay(here.relay, relay_watches) : options.proxy;
    if (!proxy.empty()) {
        set.emplace_back("SOCKSIFY_PROXY", proxy);
        set.emplace_back("SOCKSIFY_CONFIG", ""); // set but empty: no rules file
    } else if (!options.config.empty()) {
        set.emplace_back("SOCKSIFY_CONFIG", options.config);
    }
    if (options.listen) set.emplace_back("SOCKSIFY_LISTEN", "1");
    if (!options.log_level.empty()) set.emplace_back("SOCKSIFY_LOG", options.log_level);
    if (!options.log_file.empty()) set.emplace_back("SOCKSIFY_LOG_FILE", options.log_file);
    set.emplace_back("LD_PRELOAD", preload_with(here.preload));
    return set;
}

/// The file that will be executed, or the end.
std::string find_program(const std::string& command) {
    auto path = sys::find_in_path(command.c_str());
    struct stat status {};
    if (path.find('/') == std::string::npos || stat(path.c_str(), &status) != 0)
        fail(not_found, command + ": command not found");
    if (S_ISDIR(status.st_mode)) fail(cannot_be_executed, command + ": is a directory");
    if (access(path.c_str(), X_OK) != 0) fail(cannot_be_executed, command + ": not executable");
    return path;
}

int run(const Options& options, char** command) {
    const auto here = sys::installation();
    check_library(here);
    const auto path = find_program(*command);
    for (const auto& [name, value] : variables_for(options, here, getpid()))
        setenv(name.c_str(), value.c_str(), 1);
    const char* preload = std::getenv("LD_PRELOAD");
    const auto program = sys::look_at_program(path.c_str(), preload != nullptr ? preload : "");
    if (program.error != 0) fail(cannot_be_executed, program.path + ": " + strerrordesc_np(program.error));
    if (program.obstacle != sys::Obstacle::none &&
        !policy::is_always_direct(sys::find_rules().config, program.path))
        fail(cannot_be_executed, program.path + " is not started: " + sys::explain(program));
    execvp(*command, command);
    fail(errno == ENOENT ? not_found : cannot_be_executed,
         std::string(*command) + ": " + strerrordesc_np(errno));
}

int print_shell_code(const Options& options) {
    const auto here = sys::installation();
    check_library(here);
    const auto code = shell_code(variables_for(options, here, getppid()), here.preload);
    return std::fputs(code.c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? 0 : launcher_failed;
}

} // namespace
} // namespace socksify::launcher

int main(int count, char** arguments) {
    using namespace socksify::launcher;
    const auto options = parse_options(count, arguments);
    if (!options) {
        std::fprintf(stderr, "socksify: %s\n", options.error().c_str());
        return 2;
    }
    switch (options->show) {
    case Options::Show::help: std::fputs(usage, stdout); return 0;
    case Options::Show::version: std::puts("socksify " SOCKSIFY_VERSION); return 0;
    case Options::Show::shell: return print_shell_code(*options);
    case Options::Show::nothing: return run(*options, arguments + options->command);
    }
    return 2;
}
