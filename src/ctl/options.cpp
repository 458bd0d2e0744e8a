#include "ctl/options.hpp"

#include "policy/config_error.hpp"

#include <array>
#include <optional>
#include <utility>

namespace socksify::ctl {
namespace {

using Command = Options::Command;
using policy::quoted;

constexpr std::array<std::pair<std::string_view, Command>, 4> commands{{{"check", Command::check},
                                                                        {"explain", Command::explain},
                                                                        {"features", Command::features},
                                                                        {"doctor", Command::doctor}}};

/// "https://example.org/index.html" → "example.org:443", "2001:db8::1:443" → "[2001:db8::1]:443", …; empty if
/// there is no guess.
std::string meant_by(std::string text) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> ports{{{"http", "80"},
                                                                                  {"https", "443"},
                                                                                  {"ssh", "22"},
                                                                                  {"git", "9418"},
                                                                                  {"ftp", "21"},
                                                                                  {"redis", "6379"},
                                                                                  {"postgresql", "5432"},
                                                                                  {"ws", "80"}}};
    std::string port = "443";
    if (const auto scheme_end = text.find("://"); scheme_end != std::string::npos) {
        for (const auto& [scheme, number] : ports)
            if (text.compare(0, scheme_end, scheme) == 0) port = number;
        text.erase(0, scheme_end + 3);
    }
    text.erase(std::min(text.find_first_of("/?#"), text.size()));
    text.erase(0, text.rfind('@') + 1); // npos + 1 is 0
    if (Endpoint::parse(text)) return text;
    if (const auto colon = text.rfind(':'); colon != std::string::npos) {
        auto bracketed = "[" + text.substr(0, colon) + "]" + text.substr(colon);
        if (Endpoint::parse(bracketed)) return bracketed;
    }
    const auto host = Host::parse(text);
    return host ? Endpoint{*host, 0}.text().substr(0, Endpoint{*host, 0}.text().size() - 1) + port
                : std::string();
}

class OptionsReader {
public:
    explicit OptionsReader(std::span<const char* const> arguments) : rest_(arguments) {}

    tl::expected<Options, std::string> read() {
        while (!rest_.empty() && error_.empty()) {
            const std::string_view word = take();
            if (only_operands_ || word == "-" || !word.starts_with('-')) read_operand(word);
            else if (word == "--") only_operands_ = true;
            else read_option(word);
        }
        if (error_.empty()) check();
        if (!error_.empty()) return tl::unexpected(std::move(error_));
        return std::move(options_);
    }

private:
    std::string_view take() {
        const std::string_view word = rest_.front();
        rest_ = rest_.subspan(1);
        return word;
    }
    void fail(std::string why) {
        if (error_.empty()) error_ = std::move(why);
    }
    [[nodiscard]] bool is(Command command) const { return has_command_ && options_.command == command; }

    void read_option(std::string_view word) {
        // --name=VALUE and -cVALUE
        std::optional<std::string_view> attached;
        auto name = word;
        if (const auto equals = word.find('='); word.starts_with("--") && equals != std::string_view::npos) {
            name = word.substr(0, equals);
            attached = word.substr(equals + 1);
        } else if (!word.starts_with("--") && word.size() > 2) {
            name = word.substr(0, 2);
            attached = word.substr(2);
        }
        const auto flag = [&](bool& value) {
            if (attached) fail(quoted(word) + ": " + std::string(name) + " takes no value");
            value = true;
        };
        const auto value = [&](std::string& to, std::string_view what) {
            if (!attached && !rest_.empty()) attached = take();
            if (!attached || attached->empty())
                return fail(std::string(name) + " wants " + std::string(what));
            to = *attached;
        };
        bool ignored = false;
        if (name == "--json") flag(options_.json);
        else if (name == "-v" || name == "--verbose") flag(options_.verbose);
        else if (name == "-h" || name == "--help") flag(ignored), help_ = Command::help;
        else if (name == "-V" || name == "--version") flag(ignored), help_ = Command::version;
        else if (name == "-c" || name == "--config") value(options_.config_file, "a rules file");
        else if (name == "-p" || name == "--proxy")
            value(options_.proxy_url, "a proxy's URL, such as socks5://proxy.example:1080");
        else if (name == "--udp" && is(Command::explain)) flag(options_.udp);
        else if (name == "--ask" && is(Command::explain)) flag(options_.ask);
        else if (name == "--program" && is(Command::explain))
            value(options_.program, "the path of an executable, or its name");
        else if (name == "--library" && is(Command::doctor))
            value(options_.library, "the path of libsocksify.so");
        else fail_unknown(name);
    }

    void fail_unknown(std::string_view name) {
        constexpr std::array of_explain{"--udp", "--ask", "--program"};
        for (const auto* known : of_explain)
            if (name == known) return fail(std::string(name) + " belongs to explain, and stands behind it");
        if (name == "--library") return fail("--library belongs to doctor, and stands behind it");
        policy::Guess guess(name);
        for (const auto* known : {"--json", "--verbose", "--help", "--version", "--config", "--proxy"})
            guess.consider(known);
        if (is(Command::explain))
            for (const auto* known : of_explain) guess.consider(known);
        if (is(Command::doctor)) guess.consider("--library");
        fail("unknown option " + quoted(name) + question(guess));
    }

    static std::string question(const policy::Guess& guess) {
        const auto best = guess.best();
        return best.empty() ? "" : "; did you mean " + best + "?";
    }

    void read_operand(std::string_view word) {
        if (!has_command_) return read_command(word);
        switch (options_.command) {
        case Command::check:
            if (!options_.config_file.empty() || word.empty()) return fail("check takes one file");
            options_.config_file = word;
            break;
        case Command::explain: read_destination(word); break;
        case Command::features:
            if (!options_.upstream.empty() || word.empty())
                return fail("features takes the name of one upstream; without one, it asks them all");
            options_.upstream = word;
            break;
        case Command::doctor:
            if (word.empty()) return fail("doctor wants a command");
            options_.command_line.emplace_back(word);
            // All else is the command's own.
            for (; !rest_.empty(); rest_ = rest_.subspan(1))
                options_.command_line.emplace_back(rest_.front());
            break;
        case Command::help:
        case Command::version: break;
        }
    }

    void read_command(std::string_view word) {
        policy::Guess guess(word);
        for (const auto& [name, command] : commands) {
            if (word == name) {
                has_command_ = true;
                options_.command = command;
                return;
            }
            guess.consider(name);
        }
        if (word == "help") {
            help_ = Command::help;
            has_command_ = true;
            return;
        }
        const auto asked = question(guess);
        fail("unknown command " + quoted(word) +
             (asked.empty() ? "; there are check, explain, features and doctor" : asked));
    }

    void read_destination(std::string_view word) {
        if (has_destination_) return fail("explain takes one HOST:PORT");
        has_destination_ = true;
        if (const auto endpoint = Endpoint::parse(word)) {
            options_.destination = {endpoint->host.unmapped(), endpoint->port};
            return;
        }
        auto guess = meant_by(std::string(word));
        // "explain example.org 443"
        if (!rest_.empty() && Endpoint::parse(std::string(word) + ":" + rest_.front()))
            guess = std::string(word) + ":" + rest_.front();
        fail("explain wants HOST:PORT, not " + quoted(word) +
             (guess.empty() ? "" : "; did you mean " + guess + "?"));
    }

    void check() {
        if (help_) {
            options_.command = *help_;
            return;
        }
        if (!has_command_) return fail("which command? There are check, explain, features and doctor");
        if (!options_.config_file.empty() && !options_.proxy_url.empty())
            return fail("either rules (a file) or one proxy (-p)");
        if (is(Command::explain) && !has_destination_)
            return fail("explain wants a destination, HOST:PORT, such as example.org:443");
        if (is(Command::doctor) && options_.command_line.empty())
            return fail("doctor wants a command, such as curl");
    }

    std::span<const char* const> rest_;
    Options options_;
    std::optional<Command> help_;
    std::string error_;
    bool has_command_ = false;
    bool has_destination_ = false;
    bool only_operands_ = false;
};

} // namespace

tl::expected<Options, std::string> parse_options(std::span<const char* const> arguments) {
    return OptionsReader(arguments).read();
}

const std::string_view usage =
    R"(Usage: socksifyctl [OPTION…] check [FILE]
       socksifyctl [OPTION…] explain HOST:PORT [--program PATH] [--udp] [--ask]
       socksifyctl [OPTION…] features [UPSTREAM]
       socksifyctl [OPTION…] doctor [--library PATH] COMMAND [ARGUMENT…]

check      says what is wrong with the rules, and what is legal but surely not meant
explain    says what would become of a connection: by which rule, by which way, and with which words
features   asks the proxies what they can do (LIST-FEATURES)
doctor     says whether the library can get into a command, and what else stands in the way

  -c FILE    these rules                              -p URL     no rules but one proxy
             Without either, rules are looked for as the library does it; check shows where.
  --json     for scripts                              -v         more: features shows the octets of the list
  --program PATH   explain: for this program's connections       --udp   explain: datagrams in place of TCP
  --ask            explain: ask the proxy for its features first
  --library PATH   doctor: another libsocksify.so
  --help     --version

Exit status: 0 fine, 1 a problem was found, 2 wrong usage. Manual: socksifyctl(1), socksify.json(5).
)";

} // namespace socksify::ctl
