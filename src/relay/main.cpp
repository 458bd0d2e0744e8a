#include "relay/embedded.hpp"
#include "relay/password.hpp"
#include "relay/service.hpp"

#include <cstdio>
#include <iostream>
#include <termios.h>

namespace socksify::relay {
namespace {

int fail(int status, const std::string& why) {
    std::cerr << "socksify-relay: " << why << '\n';
    return status;
}

/// The first line of standard input, without an echo if that is a terminal.
std::string read_password(const char* prompt) {
    termios before{};
    const bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        auto silent = before;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
        std::cerr << prompt;
    }
    std::string password;
    std::getline(std::cin, password);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        std::cerr << '\n';
    }
    return password;
}

int print_hash() {
    auto password = read_password("Password: ");
    if (isatty(STDIN_FILENO) != 0 && read_password("Again: ") != password)
        return fail(1, "these are two different passwords");
    if (password.empty() || password.size() > 255 || password.find('\0') != std::string::npos)
        return fail(1, "a password has 1 to 255 octets (RFC 1929)");
    const auto hash = hash_password(password);
    wipe(password);
    if (hash.empty()) return fail(1, "libc has no way to hash a password");
    std::cout << hash << '\n';
    return std::cout.flush() ? 0 : fail(1, "standard output cannot be written");
}

int check(const Options& options) {
    const auto config = load_config(options.config_file);
    if (config) {
        std::cout << options.config_file << ": ok\n";
        return 0;
    }
    for (const auto& line : config.error()) std::cerr << line << '\n';
    return 1;
}

void reload(Server& server, const std::string& file) {
    auto config = load_config(file);
    if (!config) {
        for (const auto& line : config.error()) server.log().error("reload_failed").add("why", line);
        return;
    }
    if (auto done = server.reload(std::move(*config)); !done)
        server.log().error("reload_failed").add("why", done.error());
    else server.log().info("reloaded").add("file", file);
}

int serve(const Options& options) {
    auto config = load_config(options.config_file);
    if (!config) {
        for (const auto& line : config.error()) std::cerr << "socksify-relay: " << line << '\n';
        return 1;
    }
    const auto limits = config->limits;
    asio::io_context io(one_thread);
    Server server(io, std::move(*config));
    raise_descriptor_limit(server.log(), limits);
    Service service(io, server);
    if (const auto listens = server.listen(); !listens) return fail(1, listens.error());
    service.on_hangup = [&] { reload(server, options.config_file); };
    service.run();
    return 0;
}

int main(std::span<const char* const> arguments) {
    const auto options = parse_options(arguments);
    if (!options) return fail(2, options.error() + " (socksify-relay --help)");
    switch (options->mode) {
    case Options::Mode::serve: return serve(*options);
    case Options::Mode::check: return check(*options);
    case Options::Mode::hash_password: return print_hash();
    case Options::Mode::embedded: return run_embedded(*options);
    case Options::Mode::help: std::cout << usage; return 0;
    case Options::Mode::version: std::cout << "socksify-relay " SOCKSIFY_VERSION "\n"; return 0;
    }
    return 2;
}

} // namespace
} // namespace socksify::relay

int main(int argc, char** argv) { return socksify::relay::main({argv + 1, argv + argc}); }
