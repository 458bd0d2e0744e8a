#include "relay/options.hpp"

#include <charconv>

namespace socksify::relay {
namespace {

using Mode = Options::Mode;

class OptionsReader {
public:
    explicit OptionsReader(std::span<const char* const> arguments) noexcept : rest_(arguments) {}

    tl::expected<Options, std::string> read() {
        while (!rest_.empty() && error_.empty()) {
            const std::string_view word = take();
            if (const auto equals = word.find('=');
                word.starts_with("--") && equals != std::string_view::npos) {
                attached_ = word.substr(equals + 1);
                read_option(word.substr(0, equals));
                if (attached_ && error_.empty())
                    error_ = std::string(word.substr(0, equals)) + " takes no value";
            } else {
                read_option(word);
            }
        }
        check();
        if (!error_.empty()) return tl::unexpected(std::move(error_));
        return std::move(options_);
    }

private:
    std::string_view take() {
        const std::string_view word = rest_.front();
        rest_ = rest_.subspan(1);
        return word;
    }
    std::string_view value_of(std::string_view option) {
        if (attached_) return *std::exchange(attached_, std::nullopt);
        if (!rest_.empty()) return take();
        error_ = std::string(option) + " wants a value";
        return {};
    }
    void set_mode(Mode mode) {
        if (options_.mode != Mode::serve && options_.mode != mode) error_ = "one thing at a time";
        options_.mode = mode;
    }

    void read_option(std::string_view word) {
        if (word == "--help" || word == "-h") set_mode(Mode::help);
        else if (word == "--version") set_mode(Mode::version);
        else if (word == "--hash-password") set_mode(Mode::hash_password);
        else if (word == "--embedded") set_mode(Mode::embedded);
        else if (word == "--config" || word == "-c") options_.config_file = value_of(word);
        else if (word == "--check") {
            set_mode(Mode::check);
            const bool has_file =
                attached_ || (!rest_.empty() && !std::string_view(rest_.front()).starts_with('-'));
            if (has_file) options_.config_file = value_of(word);
        } else if (word == "--watch-pid") read_pid(value_of(word));
        else if (word == "--allow-loopback") of_embedded_ = word, options_.allow_loopback = true;
        else if (word == "--host") {
            of_embedded_ = word;
            const auto text = value_of(word);
            if (error_.empty() && !add_host(options_.hosts, text))
                error_ = "--host wants NAME=ADDRESS, not " + policy::quoted(text);
        } else error_ = "unknown option " + policy::quoted(word);
    }

    void read_pid(std::string_view text) {
        of_embedded_ = "--watch-pid";
        const auto [end, failure] =
            std::from_chars(text.data(), text.data() + text.size(), options_.watch_pid);
        if (error_.empty() &&
            (failure != std::errc{} || end != text.data() + text.size() || options_.watch_pid <= 0))
            error_ = "--watch-pid wants a process id, not " + policy::quoted(text);
    }

    void check() {
        if (!error_.empty() || options_.mode == Mode::help || options_.mode == Mode::version) return;
        if (options_.mode == Mode::embedded && options_.watch_pid == 0)
            error_ = "--embedded wants --watch-pid";
        if (options_.mode != Mode::embedded && !of_embedded_.empty())
            error_ = std::string(of_embedded_) + " belongs to --embedded";
    }

    std::span<const char* const> rest_;
    std::optional<std::string_view> attached_; ///< VALUE of --option=VALUE, until somebody takes it
    std::string_view of_embedded_;             ///< an option that only --embedded has
    Options options_;
    std::string error_;
};

} // namespace

tl::expected<Options, std::string> parse_options(std::span<const char* const> arguments) {
    return OptionsReader(arguments).read();
}

const std::string_view usage =
    R"(Usage: socksify-relay [--config FILE]
       socksify-relay --check [FILE]
       socksify-relay --hash-password
       socksify-relay --embedded --watch-pid PID [--allow-loopback] [--host NAME=ADDRESS]…

A SOCKS5 server that tells its features (LIST-FEATURES) and can hold a connection for one more command.

  -c, --config FILE     the configuration (/etc/socksify/relay.json)
  --check [FILE]        say what is wrong in the configuration, and end
  --hash-password       read a password, print what goes into "users"
  --embedded            on a port of 127.0.0.1 that is free, with credentials that nobody knows; print the proxy's URL
  --watch-pid PID       …and end when this process has ended
  --allow-loopback      …and let connections come back to this host
  --host NAME=ADDRESS   …and take this for the address of NAME
  --version, --help

SIGHUP reads the configuration again; SIGTERM takes no more connections, and ends when the last has ended.
Manual: socksify-relay(8)
)";

} // namespace socksify::relay
