// What a program sees when one of the library's own calls fails. For each call that can fail, and each way in
// which it can: a child has its 1st fail and goes through a scenario, the next child has the 2nd fail, and so
// on until the scenario is through before its turn has come. (faults.cpp makes them fail.)
//
//   SCENARIO HOST:PORT GOOD-HOST:PORT [FUNCTION]
//
// The port counts up: each child has a destination of its own; what works afterwards is tried at the good
// one. With a FUNCTION, only that one fails, and only after the library has read its rules.
//
// For each child a line: what failed, and what the program was told, step by step. Then it is asked whether
// all is well afterwards: whether the next connect works, and whether the process has what it had before.
#include "faults.hpp"
#include "victim.hpp"

#include <csignal>
#include <dirent.h>
#include <dlfcn.h>
#include <map>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

using namespace victim;

namespace {

constexpr int longest_child = 6000; ///< milliseconds; above all of the rules' timeouts

// --- what can fail ---

struct Fault {
    const char* function;
    std::vector<int> errors;
};
const std::vector<Fault> faults{
    {"F_DUPFD_CLOEXEC", {EMFILE, ENOMEM}},
    {"F_GETFL", {EPERM}},
    {"F_SETFL", {EPERM}},
    {"access", {EACCES}},
    {"close", {EINTR, EIO}},
    {"connect", {EPERM, EADDRNOTAVAIL, ENOBUFS}},
    {"dup3", {EBUSY, EINTR, EMFILE}},
    {"epoll_create1", {EMFILE, ENOMEM}},
    {"epoll_ctl", {ENOMEM, ENOSPC}},
    {"epoll_wait", {EINTR}},
    {"eventfd", {EMFILE, ENOMEM}},
    {"fcntl", {EPERM}},
    {"fstat", {ENOMEM}},
    {"ftruncate", {EINTR, ENOSPC}},
    {"getaddrinfo", {EMFILE, ENOMEM}},
    {"getpeername", {ENOBUFS}},
    {"getrlimit", {EPERM}},
    {"getsockname", {ENOBUFS}},
    {"getsockopt", {ENOBUFS}},
    {"mkdir", {EACCES}},
    {"mmap", {ENOMEM}},
    {"open", {EMFILE, ENFILE, EINTR, ENOMEM, EACCES}},
    {"openat", {EMFILE, ENOMEM}},
    {"poll", {EINTR, ENOMEM}},
    {"ppoll", {EINTR, ENOMEM}},
    {"pread", {EIO}},
    {"pthread_create", {EAGAIN}},
    {"read", {EINTR, EIO, faults_short}},
    {"readlink", {EACCES, ENOMEM}},
    {"realpath", {EACCES, ENOMEM}},
    {"recv", {EINTR, EAGAIN, ENOMEM, faults_short}},
    {"recvmsg", {EINTR, ENOMEM}},
    {"send", {EINTR, EAGAIN, ENOBUFS, faults_short}},
    {"sendmsg", {EINTR, ENOBUFS, EPERM}},
    {"setrlimit", {EPERM}},
    {"setsockopt", {ENOMEM, EPERM}},
    {"socket", {EMFILE, ENOBUFS}},
    {"socketpair", {EMFILE, ENOMEM}},
    {"stat", {EACCES, ENOMEM}},
    {"strdup", {ENOMEM}},
    {"write", {EINTR, EAGAIN, faults_short}},
};

// --- what a child tells: one line, written whole at the end ---

std::string story;

[[gnu::format(printf, 1, 2)]] void note(const char* format, ...) {
    const int kept = errno;
    std::array<char, 256> text;
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text.data(), text.size(), format, arguments);
    va_end(arguments);
    if (!story.empty()) story += "; ";
    story += text.data();
    errno = kept;
}

void note_result(const char* step, int error) { note("%s %s", step, error_name(error).c_str()); }

bool echoes(int fd, std::string_view word = "ping") {
    if (send(fd, word.data(), word.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(word.size())) return false;
    std::string back;
    while (back.size() < word.size()) {
        std::array<char, 64> piece;
        pollfd readable{fd, POLLIN, 0};
        if (poll(&readable, 1, patience) != 1) return false;
        const auto size = recv(fd, piece.data(), piece.size(), MSG_DONTWAIT);
        if (size <= 0) return false;
        back.append(piece.data(), static_cast<std::size_t>(size));
    }
    return back == word;
}
void note_echo(int fd) {
    if (!echoes(fd)) note("no echo");
}

void note_peer(int fd, const Address& expected) {
    Address peer;
    peer.size = sizeof peer.storage;
    if (getpeername(fd, peer.get(), &peer.size) != 0) note_result("getpeername", errno);
    else if (text_of(peer) != text_of(expected)) note("another peer");
}

/// Of a connect() under way.
int outcome_by_poll(int fd) {
    pollfd writable{fd, POLLOUT, 0};
    int ready = 0;
    do ready = poll(&writable, 1, patience);
    while (ready < 0 && errno == EINTR);
    if (ready == 1) return so_error(fd);
    note("never woken");
    return ETIMEDOUT;
}

/// A connect() by whatever way that ends with `error`, and what is to be seen then.
void conclude(int fd, const Address& to, int error) {
    note_result("connect", error);
    if (error != 0) return;
    note_echo(fd);
    note_peer(fd, to);
}

int nonblocking_socket(const Address& to) {
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

void note_flags(int fd) {
    int value = 0;
    socklen_t size = sizeof value;
    if ((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0) note("blocking");
    if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) note("FD_CLOEXEC");
    if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) != 0 || value == 0) note("no TCP_NODELAY");
}

// --- the scenarios ---

using Run = void (*)(const Address& to);

void blocking(const Address& to) {
    const int fd = tcp_socket(to.family());
    conclude(fd, to, connect_to(fd, to) == 0 ? 0 : errno);
    if ((fcntl(fd, F_GETFL) & (O_NONBLOCK | O_APPEND | O_ASYNC)) != 0) note("flags of a file");
    close(fd);
}

int held = 0; ///< connections that the library may have ready at the end

/// As often as it takes to have a connection held, until one fails: it may be the making of a held one, or
/// its use. The last ones have an option of their own.
void often(const Address& to) {
    held = 4;
    for (int i = 0; i < 5; ++i) {
        const bool has_options = i >= 3, is_nonblocking = i == 4;
        const int fd = is_nonblocking ? nonblocking_socket(to) : tcp_socket(to.family());
        const int octets = 20000;
        if (has_options) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
        int error = connect_to(fd, to) == 0 ? 0 : errno;
        if (error == EINPROGRESS) error = outcome_by_poll(fd);
        if (error != 0 || has_options) conclude(fd, to, error);
        if (is_nonblocking) note_flags(fd);
        close(fd);
        if (error != 0) return;
        pause(5);
    }
}

/// Watched by poll(), with all that a program may ask of the socket meanwhile.
void by_poll(const Address& to) {
    const int fd = nonblocking_socket(to);
    int error = connect_to(fd, to) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        int value = 1;
        if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value) != 0)
            note_result("setsockopt", errno);
        Address local;
        local.size = sizeof local.storage;
        if (getsockname(fd, local.get(), &local.size) != 0) note_result("getsockname", errno);
        error = outcome_by_poll(fd);
    }
    conclude(fd, to, error);
    note_flags(fd);
    close(fd);
}

/// epoll, edge-triggered, registered before; closed together.
void by_edge(const Address& to) {
    const int fd = nonblocking_socket(to);
    const int instance = epoll_create1(EPOLL_CLOEXEC);
    epoll_event interest{};
    interest.events = EPOLLIN | EPOLLOUT | EPOLLET;
    const bool registered = epoll_ctl(instance, EPOLL_CTL_ADD, fd, &interest) == 0;
    if (!registered) note_result("epoll_ctl", errno);
    [[maybe_unused]] const int discarded = epoll_wait(instance, &interest, 1, 0);
    int error = connect_to(fd, to) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        if (!registered) error = outcome_by_poll(fd);
        else if (epoll_wait(instance, &interest, 1, patience) == 1) error = so_error(fd);
        else note("never woken");
    }
    conclude(fd, to, error);
    note_flags(fd);
    close(fd);
    close(instance);
}

void at_once(const Address& to) {
    constexpr int count = 6;
    const int instance = epoll_create1(EPOLL_CLOEXEC);
    std::array<int, count> sockets;
    std::map<int, int> outcomes;
    int under_way = 0;
    for (int& fd : sockets) {
        fd = nonblocking_socket(to);
        epoll_event interest{};
        interest.data.fd = fd;
        if (connect_to(fd, to) != 0 && errno != EINPROGRESS) {
            ++outcomes[errno];
            continue;
        }
        interest.events = EPOLLOUT;
        if (epoll_ctl(instance, EPOLL_CTL_ADD, fd, &interest) != 0) note_result("epoll_ctl", errno);
        else ++under_way;
    }
    while (under_way > 0) {
        epoll_event event{};
        if (epoll_wait(instance, &event, 1, patience) != 1) {
            note("never woken");
            break;
        }
        --under_way;
        const int error = so_error(event.data.fd);
        epoll_ctl(instance, EPOLL_CTL_DEL, event.data.fd, nullptr);
        ++outcomes[error];
        if (error == 0) note_echo(event.data.fd);
    }
    for (const auto& [error, times] : outcomes) note("connect %s", error_name(error).c_str());
    for (const int fd : sockets) close(fd);
    close(instance);
}

/// To a destination that refuses: the second attempt on the socket is as good as the first.
void refused(const Address& to) {
    const int fd = nonblocking_socket(to);
    for (int attempt = 0; attempt < 2; ++attempt) {
        int error = connect_to(fd, to) == 0 ? 0 : errno;
        if (error == EINPROGRESS) error = outcome_by_poll(fd);
        note_result("connect", error);
    }
    note_flags(fd);
    close(fd);
}

/// connect(AF_UNSPEC) while it is under way, and once more.
void given_up(const Address& to) {
    const int fd = nonblocking_socket(to);
    int error = connect_to(fd, to) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        sockaddr nobody{};
        nobody.sa_family = AF_UNSPEC;
        if (connect(fd, &nobody, sizeof nobody) != 0) note_result("disconnect", errno);
        error = connect_to(fd, to) == 0 ? 0 : errno;
        if (error == EALREADY || error == EINPROGRESS) error = outcome_by_poll(fd);
    }
    conclude(fd, to, error);
    note_flags(fd);
    close(fd);
}

void on_alarm(int) {}

/// A blocking connect() that a signal ends, and that goes on.
void interrupted(const Address& to) {
    struct sigaction action {};
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, nullptr);
    const int fd = tcp_socket(to.family());
    const itimerval soon{{0, 0}, {0, 15'000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    int error = connect_to(fd, to) == 0 ? 0 : errno;
    if (error == EINTR) error = outcome_by_poll(fd);
    conclude(fd, to, error);
    if ((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0) note("not blocking");
    close(fd);
}

/// Two numbers before, a third meanwhile; the first is closed.
void duplicated(const Address& to) {
    const int fd = nonblocking_socket(to);
    const int before = dup(fd);
    int error = connect_to(fd, to) == 0 ? 0 : errno;
    const bool under_way = error == EINPROGRESS;
    const int meanwhile = dup(fd);
    if (meanwhile < 0) note_result("dup", errno);
    close(fd);
    if (under_way) error = outcome_by_poll(before);
    conclude(before, to, error);
    if (meanwhile >= 0) {
        // One of the two may have failed alone.
        if (const int its = so_error(meanwhile); its != 0) note_result("connect", its);
        else if (error == 0) note_echo(meanwhile);
        close(meanwhile);
    }
    close(before);
}

/// Parent and child both hold a connect() under way.
void forked(const Address& to) {
    const int fd = nonblocking_socket(to);
    int error = connect_to(fd, to) == 0 ? 0 : errno;
    const bool under_way = error == EINPROGRESS;
    const pid_t child = fork();
    if (child == 0) {
        if (under_way) error = outcome_by_poll(fd);
        _exit(error);
    }
    if (under_way) error = outcome_by_poll(fd);
    int status = 0;
    waitpid(child, &status, 0);
    note("child %s", WIFEXITED(status) ? error_name(WEXITSTATUS(status)).c_str() : "ended badly");
    conclude(fd, to, error);
    close(fd);
}

/// A word to the destination's port for datagrams, and back. What is lost is sent again.
void exchange(int fd, const Address* to) {
    constexpr int attempts = 3, wait = 400;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        const auto sent =
            to != nullptr ? sendto(fd, "ping", 4, 0, to->get(), to->size) : send(fd, "ping", 4, 0);
        if (sent != 4) {
            note_result("send", errno);
            continue;
        }
        pollfd readable{fd, POLLIN, 0};
        if (poll(&readable, 1, wait) != 1) continue;
        std::array<char, 64> piece;
        const auto size = recv(fd, piece.data(), piece.size(), 0);
        if (size == 4) return;
        note_result("recv", size < 0 ? errno : EPROTO);
    }
    note("nothing comes");
}

Address port_for_datagrams(const Address& to) {
    auto there = to;
    reinterpret_cast<sockaddr_in*>(&there.storage)->sin_port = htons(7);
    return there;
}

/// Connected, and blocking: the first send waits for the association.
void datagrams(const Address& to) {
    const int fd = socket(to.family(), SOCK_DGRAM, 0);
    if (connect_to(fd, port_for_datagrams(to)) != 0) note_result("connect", errno);
    else exchange(fd, nullptr);
    close(fd);
}

/// Neither: the worker gets the association.
void datagrams_to(const Address& to) {
    const int fd = socket(to.family(), SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const auto there = port_for_datagrams(to);
    exchange(fd, &there);
    close(fd);
}

/// A listener, which is the proxy's: there somebody comes again and again. `to` only says which family.
void listens(const Address& to) {
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    Address any;
    any.storage.ss_family = static_cast<sa_family_t>(to.family());
    any.size = to.size;
    if (bind(fd, any.get(), any.size) != 0) note_result("bind", errno);
    else if (listen(fd, 4) != 0) note_result("listen", errno);
    else {
        int peer = -1;
        pollfd readable{fd, POLLIN, 0};
        for (int attempt = 0; peer < 0 && poll(&readable, 1, patience) == 1 && attempt < 3; ++attempt) {
            peer = accept(fd, nullptr, nullptr);
            if (peer < 0) note_result("accept", errno);
        }
        if (peer < 0) note("nobody comes");
        else note_echo(peer);
        close(peer);
    }
    close(fd);
}

std::string code_name(int code) {
    switch (code) {
    case EAI_SYSTEM: return error_name(errno);
    case EAI_MEMORY: return "EAI_MEMORY";
    case EAI_AGAIN: return "EAI_AGAIN";
    default: return std::to_string(code);
    }
}

/// By a name, and back to it.
void by_name(const Address& to) {
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const auto text = text_of(to);
    const auto port = text.substr(text.rfind(':') + 1);
    if (const int code = getaddrinfo("echo.test", port.c_str(), &hints, &list); code != 0)
        return note("getaddrinfo %s", code_name(code).c_str());
    Address named;
    named.size = list->ai_addrlen;
    std::memcpy(&named.storage, list->ai_addr, named.size);
    freeaddrinfo(list);
    std::array<char, 64> host{};
    if (const int code =
            getnameinfo(named.get(), named.size, host.data(), host.size(), nullptr, 0, NI_NAMEREQD);
        code != 0)
        note("getnameinfo %s", code_name(code).c_str());
    else if (std::string_view(host.data()) != "echo.test") note("another name");
    blocking(named);
}

/// A program that this one starts with an environment of nothing; it is `dial`.
void executed(const Address& to) {
    const auto destination = text_of(to);
    const auto self = [] {
        std::array<char, 4096> path{};
        const auto size = readlink("/proc/self/exe", path.data(), path.size() - 1);
        return std::string(path.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    }();
    const auto dial = self.substr(0, self.rfind('/')) + "/dial";
    const pid_t child = fork();
    if (child == 0) {
        const char* const arguments[] = {dial.c_str(), destination.c_str(), nullptr};
        const char* const nothing[] = {nullptr};
        const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, STDOUT_FILENO);
        execve(dial.c_str(), const_cast<char* const*>(arguments), const_cast<char* const*>(nothing));
        _exit(errno);
    }
    int status = 0;
    waitpid(child, &status, 0);
    note("exec %s", WIFEXITED(status) ? error_name(WEXITSTATUS(status)).c_str() : "ended badly");
}

struct Named {
    std::string_view name;
    Run run;
};
constexpr Named scenarios[] = {
    {"blocking", blocking},
    {"often", often},
    {"poll", by_poll},
    {"edge", by_edge},
    {"many", at_once},
    {"refused", refused},
    {"given_up", given_up},
    {"interrupted", interrupted},
    {"duplicated", duplicated},
    {"forked", forked},
    {"name", by_name},
    {"datagrams", datagrams},
    {"datagrams_to", datagrams_to},
    {"listens", listens},
    {"executed", executed},
};

// --- before and after ---

/// What this process has, but for the worker's two descriptors.
struct Belongings {
    std::map<std::string, int> descriptors{};
    rlimit limit{};
    sigset_t mask{};

    static Belongings now() {
        Belongings all;
        auto* directory = opendir("/proc/self/fd");
        const auto own = std::to_string(dirfd(directory));
        while (const auto* entry = readdir(directory)) {
            std::array<char, 64> target{};
            if (entry->d_name[0] == '.' || entry->d_name == own) continue;
            if (readlinkat(dirfd(directory), entry->d_name, target.data(), target.size() - 1) < 0) continue;
            const std::string kind(target.data());
            if (kind.find("eventpoll") == std::string::npos && kind.find("eventfd") == std::string::npos)
                ++all.descriptors[kind.substr(0, kind.find('['))];
            else ++all.descriptors["the worker's"];
        }
        closedir(directory);
        getrlimit(RLIMIT_NOFILE, &all.limit);
        pthread_sigmask(SIG_SETMASK, nullptr, &all.mask);
        return all;
    }
    /// Other threads of the library's make room for a descriptor now and then.
    [[nodiscard]] bool differs_from(const Belongings& before) const {
        return has_more_than(before) || limit.rlim_cur != before.limit.rlim_cur;
    }
    [[nodiscard]] bool has_more_than(const Belongings& before) const {
        return std::any_of(descriptors.begin(), descriptors.end(), [&](const auto& entry) {
            const auto at = before.descriptors.find(entry.first);
            return entry.second > (at != before.descriptors.end() ? at->second : 0) +
                                      (entry.first == "the worker's" ? 2 : 0) +
                                      (entry.first == "socket:" ? held : 0);
        });
    }
};

void compare(const Belongings& before) {
    auto after = Belongings::now();
    for (const Stopwatch since; after.differs_from(before) && since.milliseconds() < 1500;
         after = Belongings::now())
        pause(2);
    if (after.has_more_than(before))
        for (const auto& [kind, count] : after.descriptors) note("has %d %s", count, kind.c_str());
    if (after.limit.rlim_cur != before.limit.rlim_cur)
        note("another limit: %lu", static_cast<unsigned long>(after.limit.rlim_cur));
    for (int number = 1; number < 32; ++number)
        if (sigismember(&after.mask, number) != sigismember(&before.mask, number))
            note("another signal mask: %d", number);
}

/// Two more connects, in both ways, when nothing fails any more.
void connect_again(const Address& to) {
    const int fd = tcp_socket(to.family());
    note_result("again", connect_to(fd, to) == 0 ? echoes(fd) ? 0 : EPROTO : errno);
    close(fd);
    const int other = nonblocking_socket(to);
    int error = connect_to(other, to) == 0 ? 0 : errno;
    if (error == EINPROGRESS) error = outcome_by_poll(other);
    note_result("and again", error != 0 ? error : echoes(other) ? 0 : EPROTO);
    close(other);
}

constexpr int did_not_fail = 100;
bool only_after_rules = false;

std::string title(const Fault& fault, long nth, int error, bool and_all_later, const Address& to) {
    return std::string(fault.function) + " " + std::to_string(nth) + (and_all_later ? "+ " : " ") +
           (error == faults_short ? "short" : error_name(error)) + ", " + text_of(to);
}

[[noreturn]] void be_child(Run run, const Address& to, const Address& good, const Fault& fault, long nth,
                           int error, bool and_all_later) {
    if (only_after_rules) {
        const int fd = tcp_socket(AF_INET);
        if (connect_to(fd, address_of("127.0.0.1:9")) == 0) give_up("somebody is there");
        close(fd);
    }
    const auto before = Belongings::now();
    reinterpret_cast<FaultsArm*>(dlsym(RTLD_DEFAULT, "faults_arm"))(fault.function, nth, error,
                                                                    and_all_later);
    run(to);
    reinterpret_cast<FaultsDisarm*>(dlsym(RTLD_DEFAULT, "faults_disarm"))();
    const bool failed =
        reinterpret_cast<FaultsFailed*>(dlsym(RTLD_DEFAULT, "faults_failed"))() || story.find("exec E") == 0;
    connect_again(good);
    compare(before);
    if (failed || nth == 0) say("%s: %s", title(fault, nth, error, and_all_later, to).c_str(), story.c_str());
    _exit(failed ? 0 : did_not_fail);
}

/// False if the call was not made that often.
bool try_one(Run run, Address& to, const Address& good, const Fault& fault, long nth, int error,
             bool and_all_later) {
    auto* port = &reinterpret_cast<sockaddr_in*>(&to.storage)->sin_port;
    *port = htons(static_cast<std::uint16_t>(ntohs(*port) + 1));
    const pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) be_child(run, to, good, fault, nth, error, and_all_later);
    int status = 0;
    const Stopwatch since;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (since.milliseconds() > longest_child) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            say("%s: hangs", title(fault, nth, error, and_all_later, to).c_str());
            return true;
        }
        usleep(300);
    }
    if (WIFSIGNALED(status))
        say("%s: %s", title(fault, nth, error, and_all_later, to).c_str(), strsignal(WTERMSIG(status)));
    return !WIFEXITED(status) || WEXITSTATUS(status) != did_not_fail;
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 4) give_up("SCENARIO HOST:PORT GOOD-HOST:PORT [FUNCTION]");
    if (dlsym(RTLD_DEFAULT, "faults_arm") == nullptr) give_up("libfaults.so is not preloaded");
    const auto* const scenario = std::find_if(std::begin(scenarios), std::end(scenarios),
                                              [&](const Named& one) { return one.name == argv[1]; });
    if (scenario == std::end(scenarios)) give_up("no such scenario");
    rlimit limit{}; // so that there is room above it
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 256;
    setrlimit(RLIMIT_NOFILE, &limit);
    auto to = address_of(argv[2]);
    const auto good = address_of(argv[3]);
    try_one(scenario->run, to, good, {"nothing", {}}, 0, 0, false);
    only_after_rules = argc > 4;
    for (const auto& fault : faults) {
        if (argc > 4 && std::string_view(argv[4]) != fault.function) continue;
        for (const int error : fault.errors) {
            long nth = 1;
            while (nth < 500 && try_one(scenario->run, to, good, fault, nth, error, false)) ++nth;
            if (nth > 1 && error != faults_short) try_one(scenario->run, to, good, fault, 1, error, true);
        }
    }
    return 0;
}
