#include "launcher/options.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

namespace socksify::launcher {
namespace {

using Failure = tl::unexpected<std::string>;

Failure wrong_usage(const std::string& why) {
    return Failure(
        why +
        "\nUsage: socksify [OPTION…] [--] COMMAND [ARGUMENT…]\n"
        "Options: -p URL, -c FILE, --relay, -l, -q, -v, -vv, -vvv, -o FILE, --shell, --help, --version");
}

std::string absolute(const std::string& path) {
    char here[PATH_MAX];
    return path.starts_with('/') || getcwd(here, sizeof here) == nullptr ? path
                                                                         : std::string(here) + "/" + path;
}

/// Why `path` can't be a rules file; empty if it can.
std::string complaint_about_rules(const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0)
        return path + (errno == ENOENT ? ": no such file" : ": " + std::string(strerrordesc_np(errno)));
    return S_ISDIR(status.st_mode) || access(path.c_str(), R_OK) != 0 ? path + ": cannot be read" : "";
}

bool can_be_written(const std::string& path) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

enum Long : int { relay = 256, shell, help, version };
constexpr std::array<option, 6> long_options{{{"listen", no_argument, nullptr, 'l'},
                                              {"relay", no_argument, nullptr, Long::relay},
                                              {"shell", no_argument, nullptr, Long::shell},
                                              {"help", no_argument, nullptr, Long::help},
                                              {"version", no_argument, nullptr, Long::version},
                                              {nullptr, 0, nullptr, 0}}};

} // namespace

tl::expected<Options, std::string> parse_options(int count, char** arguments) {
    Options options;
    std::string ways;
    bool quiet = false;
    unsigned verbosity = 0;
    opterr = 0;
    const auto show = [&](Options::Show what) { options.show = what; };
    for (int found = 0;
         (found = getopt_long(count, arguments, "+:p:c:o:lqv", long_options.data(), nullptr)) != -1;) {
        switch (found) {
        case 'p':
            if (*optarg == '\0') return wrong_usage("-p wants the URL of a proxy");
            options.proxy = optarg;
            ways += " -p";
            break;
        case 'c':
            options.config = absolute(optarg);
            ways += " -c";
            break;
        case 'l': options.listen = true; break;
        case 'o': options.log_file = absolute(optarg); break;
        case 'q': quiet = true; break;
        case 'v': ++verbosity; break;
        case Long::relay:
            options.relay = true;
            ways += " --relay";
            break;
        case Long::shell: show(Options::Show::shell); break;
        case Long::help: show(Options::Show::help); return options;
        case Long::version: show(Options::Show::version); return options;
        case ':': return wrong_usage(std::string("-") + static_cast<char>(optopt) + " wants an argument");
        default:
            return wrong_usage("unknown option " + (optopt > 0 && optopt < Long::relay
                                                        ? std::string("-") + static_cast<char>(optopt)
                                                        : std::string(arguments[optind - 1])));
        }
    }
    if (ways.rfind(' ') != ways.find(' ')) return wrong_usage("one way is enough:" + ways);
    if (!options.config.empty())
        if (const auto complaint = complaint_about_rules(options.config); !complaint.empty())
            return Failure(complaint);
    if (!options.log_file.empty() && !can_be_written(options.log_file))
        return Failure(options.log_file + ": cannot be written");
    constexpr std::array levels{"", "info", "debug", "trace"};
    options.log_level = quiet ? "off" : levels[verbosity < levels.size() ? verbosity : levels.size() - 1];
    options.command = optind;
    const bool has_command = optind < count;
    if (options.show == Options::Show::shell && has_command) return wrong_usage("--shell takes no COMMAND");
    if (options.show == Options::Show::nothing && !has_command) return wrong_usage("no COMMAND");
    return options;
}

const char* const usage = R"text(Usage: socksify [OPTION…] [--] COMMAND [ARGUMENT…]
       eval "$(socksify [OPTION…] --shell)"

Runs COMMAND, unchanged, with its network connections going through a SOCKS5 proxy.

One of:
  -p URL     everything but loopback through this proxy: socks5://[USER:PASSWORD@]HOST[:PORT]
  -c FILE    by the rules in FILE
  --relay    through a relay of its own, started on this machine for COMMAND and ended with it
Without: by the rules in $SOCKSIFY_CONFIG, else ~/.config/socksify/socksify.json, else /etc/socksify/socksify.json,
else through $SOCKSIFY_PROXY or $ALL_PROXY; if there is none of them, nothing leaves.

Also:
  -l, --listen  the command's listeners too: they take connections at the proxy's address, except on loopback
  -v         each decision and its reason on standard error; -vv and -vvv tell more
  -q         nothing at all, not even errors
  -o FILE    tell it to FILE instead

  --shell    print what makes all commands of a running shell go this way
  --help     this text
  --version  the version

A COMMAND that the library can't be in (linked statically, in Go, set-user-ID) is not started, unless a rule lets it
connect directly.

Examples:
  socksify -p socks5://proxy.example:1080 curl https://example.org/
  socksify -v git clone https://example.org/project.git

socksifyctl says why a destination goes which way. Manual: socksify(1), socksifyctl(1), socksify.json(5).
)text";

} // namespace socksify::launcher
