// dup, dup2, dup3 and fcntl(F_DUPFD) of a socket before, while and after connect(): all numbers are one
// socket.
#include "victim.hpp"

using namespace victim;

namespace {

constexpr int high = 700; ///< a number that nothing else has

using Duplicate = int (*)(int fd);
struct Way {
    std::string_view name;
    Duplicate make;
};
// <fcntl.h> makes fcntl64 of it, where files are large.
extern "C" int plain_fcntl(int fd, int command, ...) __asm__("fcntl");

constexpr Way ways[] = {
    {"fcntl", [](int fd) { return plain_fcntl(fd, F_DUPFD, high); }},
    {"dup", [](int fd) { return dup(fd); }},
    {"dup2", [](int fd) { return dup2(fd, high); }},
    {"dup3", [](int fd) { return dup3(fd, high, O_CLOEXEC); }},
    {"F_DUPFD", [](int fd) { return fcntl(fd, F_DUPFD, high); }},
    {"F_DUPFD_CLOEXEC", [](int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, high); }},
};

Duplicate way(std::string_view name) {
    for (const auto& one : ways)
        if (one.name == name) return one.make;
    give_up("no such way to duplicate");
}

void show(int fd, const char* which) {
    say("%s: FD_CLOEXEC %s, O_NONBLOCK %s", which, (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ? "set" : "not set",
        (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 ? "set" : "not set");
    observe_peer(fd);
    observe_poll(fd);
}

/// Both numbers serve, and one still does when the other is closed.
void use(int original, int duplicate) {
    observe_error(original);
    show(original, "original");
    show(duplicate, "duplicate");
    observe_echo(original, "one");
    observe_echo(duplicate, "two");
    told("close", close(original));
    observe_echo(duplicate, "three");
    observe_peer(duplicate);
    told("close", close(duplicate));
    told("close", close(duplicate));
}

/// HOW DESTINATION MILLISECONDS: connected by the original, watched through a duplicate that was there
/// before.
void before(const Arguments& words) {
    const auto to = address_of(words[1]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    const int duplicate = told_fd("duplicate", way(words[0])(fd));
    const Stopwatch watch;
    told("connect", connect_to(fd, to));
    await_end_of_connect(duplicate);
    say("too early: %s", watch.milliseconds() < std::stol(std::string(words[2])) ? "yes" : "no");
    await_end_of_connect(fd);
    use(fd, duplicate);
}

/// HOW DESTINATION: the same with a blocking connect().
void before_blocking(const Arguments& words) {
    const auto to = address_of(words[1]);
    const int fd = tcp_socket(to.family());
    const int duplicate = told_fd("duplicate", way(words[0])(fd));
    told("connect", connect_to(fd, to));
    told("connect by the duplicate", connect_to(duplicate, to));
    use(fd, duplicate);
}

void during(const Arguments& words) {
    const auto to = address_of(words[1]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    const Stopwatch watch;
    told("connect", connect_to(fd, to));
    const int duplicate = told_fd("duplicate", way(words[0])(fd));
    await_end_of_connect(duplicate);
    say("too early: %s", watch.milliseconds() < std::stol(std::string(words[2])) ? "yes" : "no");
    use(fd, duplicate);
}

void after(const Arguments& words) {
    const auto to = address_of(words[1]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    await_end_of_connect(fd);
    use(fd, told_fd("duplicate", way(words[0])(fd)));
}

/// HOW DESTINATION: the original is closed while the connect() is under way; the duplicate becomes connected.
void original_closed(const Arguments& words) {
    const auto to = address_of(words[1]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    const int duplicate = told_fd("duplicate", way(words[0])(fd));
    told("close", close(fd));
    await_end_of_connect(duplicate);
    observe_error(duplicate);
    show(duplicate, "duplicate");
    observe_echo(duplicate);
    close(duplicate);
}

/// HOW REFUSED: the error is one for both numbers, and is read once.
void failed(const Arguments& words) {
    const auto to = address_of(words[1]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    const int duplicate = told_fd("duplicate", way(words[0])(fd));
    await_end_of_connect(duplicate);
    observe_error(duplicate);
    observe_error(fd);
    show(fd, "original");
    show(duplicate, "duplicate");
    close(fd);
    close(duplicate);
}

/// DESTINATION OTHER: a connected socket takes the number of one whose connect() is under way, and of a
/// connected one.
void replaced(const Arguments& words) {
    const auto to = address_of(words[0]);
    const auto other = address_of(words[1]);
    const int good = tcp_socket(to.family());
    told("connect", connect_to(good, to));
    const int under_way = tcp_socket(other.family(), SOCK_NONBLOCK);
    told("connect", connect_to(under_way, other));
    told_fd("dup2", dup2(good, under_way));
    show(under_way, "in its place");
    observe_echo(under_way);
    const int blocking = tcp_socket(to.family());
    told("connect", connect_to(blocking, to));
    told_fd("dup3", dup3(under_way, blocking, 0));
    close(good);
    close(under_way);
    show(blocking, "in its place");
    observe_echo(blocking);
    const int file = open("/dev/null", O_RDWR);
    told_fd("dup2", dup2(file, blocking));
    observe_peer(blocking);
    told("getsockopt", so_error(blocking));
}

/// Arguments that make no sense leave everything as it was.
void bad_arguments(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family());
    told("connect", connect_to(fd, to));
    told("dup of nothing", dup(-1));
    told("dup2 of nothing", dup2(-1, fd));
    told("dup2 of a closed one", dup2(900, fd));
    told("dup2 to nowhere", dup2(fd, -1));
    told("dup2 beyond the limit", dup2(fd, 1 << 24));
    told("dup3 to itself", dup3(fd, fd, 0));
    told("dup3 with a strange flag", dup3(fd, 800, O_APPEND));
    told("F_DUPFD from nowhere", fcntl(fd, F_DUPFD, -1));
    told("F_DUPFD beyond the limit", fcntl(fd, F_DUPFD, 1 << 24));
    say("dup2 to itself: %s", dup2(fd, fd) == fd ? "the same" : "another");
    observe_peer(fd);
    observe_echo(fd);
    close(fd);
    told("dup2 of a closed one to itself", dup2(fd, fd));
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"before", before, 3},
                {"before_blocking", before_blocking, 2},
                {"during", during, 3},
                {"after", after, 2},
                {"original_closed", original_closed, 2},
                {"failed", failed, 2},
                {"replaced", replaced, 2},
                {"bad_arguments", bad_arguments, 1}});
}
