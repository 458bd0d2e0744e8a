// Order matters here:
//
//   1. listen, and get hold of the process that is watched: what can fail fails while somebody listens to us
//   2. write the URL, one line
//   3. fork; the parent ends, so that the caller goes on
//   4. in the child let go of everything that was inherited: a shell's $(…) ends when nobody holds its pipe
//   any more
//   5. only now make threads, an epoll descriptor and the like
#include "relay/embedded.hpp"

#include "relay/password.hpp"
#include "relay/service.hpp"

#include <asio/posix/basic_stream_descriptor.hpp>
#include <cstdio>
#include <fcntl.h>
#include <sys/syscall.h>
#include <system_error>

namespace socksify::relay {
namespace {

using namespace std::chrono_literals;

/// For what the command's last octets need.
constexpr auto drain_time = 2s;

int fail(const std::string& why) {
    std::fprintf(stderr, "socksify-relay: %s\n", why.c_str());
    return 1;
}

std::string last_error() { return std::generic_category().message(errno); }

struct Credentials {
    std::string username = random_hexadecimal(8);
    std::string password = random_hexadecimal(16);
};

Config make_config(const Options& options, const Credentials& credentials) {
    Config config;
    config.auth.methods = {Method::password};
    config.auth.users = {{credentials.username, hash_token(credentials.password)}};
    config.auth.remember = 24h;
    config.hosts = options.hosts;
    config.features.bind = true;
    config.features.listen = true;
    config.guard_own_host = !options.allow_loopback;
    config.log_level = LogLevel::off;
    return config;
}

bool write_line(const std::string& line) {
    return ::write(STDOUT_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

/// Of all descriptors, `first` and `second` stay, at numbers of their own.
void let_go_of_others(Fd& first, Fd& second) {
    constexpr int low = STDERR_FILENO + 1;
    // Out of the way first: where a standard descriptor was closed, one of the two may have its number.
    Fd high_first(::fcntl(first.get(), F_DUPFD_CLOEXEC, low + 2));
    Fd high_second(::fcntl(second.get(), F_DUPFD_CLOEXEC, low + 2));
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, standard);
    first.release();
    second.release();
    ::dup3(high_first.release(), low, O_CLOEXEC);
    ::dup3(high_second.release(), low + 1, O_CLOEXEC);
    ::closefrom(low + 2);
    first = Fd(low);
    second = Fd(low + 1);
}

void serve(Config config, Fd listener, const Fd& watched) {
    const Endpoint wanted = config.listen.front();
    const auto limits = config.limits;
    asio::io_context io(one_thread);
    Server server(io, std::move(config));
    raise_descriptor_limit(server.log(), limits);
    server.add_listener(std::move(listener), wanted);
    Service service(io, server);
    asio::posix::basic_stream_descriptor<Executor> watch(io, ::dup(watched.get()));
    watch.async_wait(asio::posix::descriptor_base::wait_read, [&](const ErrorCode& error) {
        if (!error) service.drain(drain_time);
    });
    service.on_end = [&] {
        ErrorCode ignored;
        watch.cancel(ignored);
    };
    service.run();
}

} // namespace

int run_embedded(const Options& options) {
    Fd watched(static_cast<int>(::syscall(SYS_pidfd_open, options.watch_pid, 0)));
    if (!watched) return fail("--watch-pid " + std::to_string(options.watch_pid) + ": " + last_error());
    const Credentials credentials;
    auto config = make_config(options, credentials);
    if (credentials.password.empty() || config.auth.users.begin()->second.empty())
        return fail("no random credentials: " + last_error());
    config.listen = {{Host::ipv4({127, 0, 0, 1}), 0}};
    auto listener = open_listener(config.listen.front());
    if (!listener) return fail(listener.error());

    const auto url = "socks5://" + credentials.username + ":" + credentials.password + "@" +
                     address_of(*listener).text() + "\n";
    if (!write_line(url)) return fail("standard output: " + last_error());
    switch (::fork()) {
    case -1: return fail("fork: " + last_error());
    case 0: break;
    default: ::_exit(0); // without any destructor: what is open is the child's too
    }
    ::setsid();
    [[maybe_unused]] const int moved = ::chdir("/"); // or a file system could not be unmounted
    let_go_of_others(*listener, watched);
    serve(std::move(config), std::move(*listener), watched);
    return 0;
}

} // namespace socksify::relay
