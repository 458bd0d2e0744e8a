// What the library is in the life of a process: one thread that comes and goes, and nothing that keeps it
// alive.
#include "victim.hpp"

#include <csignal>
#include <dirent.h>
#include <fstream>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>

using namespace victim;

namespace {

std::vector<std::string> entries(const char* directory) {
    std::vector<std::string> names;
    DIR* const open_directory = opendir(directory);
    while (const auto* entry = readdir(open_directory))
        if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    closedir(open_directory);
    return names;
}
std::size_t threads() { return entries("/proc/self/task").size(); }

int start(const Address& to) {
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    if (connect_to(fd, to) != -1 || errno != EINPROGRESS) told("connect", -1);
    return fd;
}

/// DESTINATION MILLISECONDS: one more thread while there is something to do, none when it has been idle.
void worker_ends(const Arguments& words) {
    const auto to = address_of(words[0]);
    say("threads before: %zu", threads());
    const int fd = start(to);
    say("threads during: %zu", threads());
    await_end_of_connect(fd);
    observe_error(fd);
    pause(std::stoi(std::string(words[1])));
    say("threads after: %zu", threads());
    const int again = start(to);
    await_end_of_connect(again);
    observe_error(again);
    observe_echo(again);
}

/// No signal can be delivered to any thread but the first. DESTINATION never answers.
void worker_blocks_signals(const Arguments& words) {
    start(address_of(words[0]));
    pause(100); // a thread that is being made blocks more than it will
    const auto own = std::to_string(getpid());
    for (const auto& task : entries("/proc/self/task")) {
        if (task == own) continue;
        std::ifstream status("/proc/self/task/" + task + "/status");
        for (std::string line; std::getline(status, line);) {
            if (!line.starts_with("SigBlk:")) continue;
            const auto blocked = std::stoull(line.substr(7), nullptr, 16);
            std::string not_blocked;
            for (int signal = 1; signal <= 64; ++signal)
                if (((blocked >> (signal - 1)) & 1U) == 0) not_blocked += " " + std::to_string(signal);
            say("the worker does not block:%s", not_blocked.c_str());
        }
    }
}

/// setuid() is every thread's business: glibc tells each by a signal, and waits. DESTINATION never answers.
void gives_up_privileges(const Arguments& words) {
    start(address_of(words[0]));
    pause(50);
    told("setgid", setgid(65534));
    told("setuid", setuid(65534));
    const int fd = start(address_of(words[1]));
    await_end_of_connect(fd);
    observe_error(fd);
    observe_echo(fd);
}

/// The library wakes up only after the program has changed root and user.
void changed_before_the_first_call(const Arguments& words) {
    if (chroot("/run/lab/home") != 0 || chdir("/") != 0) give_up("chroot");
    told("setuid", setuid(65534));
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family());
    told("connect", connect_to(fd, to));
    close(fd);
}

/// DESTINATION: every way to another user or group, each in a child that connects afterwards for the first
/// time.
void changes_identity(const Arguments& words) {
    constexpr id_t nobody = 65534;
    struct Way {
        const char* name;
        int (*change)();
    };
    constexpr Way ways[] = {
        {"setuid", [] { return setuid(nobody); }},
        {"seteuid", [] { return seteuid(nobody); }},
        {"setreuid", [] { return setreuid(nobody, nobody); }},
        {"setresuid", [] { return setresuid(nobody, nobody, nobody); }},
        {"setgid", [] { return setgid(nobody); }},
        {"setegid", [] { return setegid(nobody); }},
        {"setregid", [] { return setregid(nobody, nobody); }},
        {"setresgid", [] { return setresgid(nobody, nobody, nobody); }},
    };
    const auto to = address_of(words[0]);
    for (const auto& way : ways) {
        const pid_t pid = fork();
        if (pid == 0) {
            told(way.name, way.change());
            const int fd = tcp_socket(to.family());
            told("connect", connect_to(fd, to));
            std::_Exit(0);
        }
        waitpid(pid, nullptr, 0);
    }
}

volatile std::sig_atomic_t caught = 0;
void on_signal(int) {
    caught = caught + 1;
    if (gettid() != getpid()) caught = 1000;
}

/// A process-wide signal finds the program's own thread, the worker notwithstanding. DESTINATION never
/// answers.
void signals_reach_the_program(const Arguments& words) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, nullptr);
    start(address_of(words[0]));
    for (int i = 0; i < 20; ++i) {
        kill(getpid(), SIGUSR1);
        usleep(1000);
    }
    say("caught: %d", static_cast<int>(caught));
}

/// DESTINATION never answers: exit() does not wait for it.
void exits_promptly(const Arguments& words) {
    for (int round = 0; round < 20; ++round) {
        const Stopwatch watch;
        const pid_t child = fork();
        if (child == 0) {
            start(address_of(words[0]));
            usleep(static_cast<useconds_t>(round) * 50);
            std::exit(0); // with destructors and handlers, while the worker works
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0) say("round %d: status %#x", round, static_cast<unsigned>(status));
        if (watch.milliseconds() > 500) say("round %d: took too long", round);
    }
    say("done");
    std::exit(0);
}

/// DESTINATION answers: exit() at any moment of a connect() that is about to succeed.
void exits_amid_success(const Arguments& words) {
    for (int round = 0; round < 40; ++round) {
        const pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 8; ++i) start(address_of(words[0]));
            usleep(static_cast<useconds_t>(round) * 100);
            std::exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0) say("round %d: status %#x", round, static_cast<unsigned>(status));
    }
    say("done");
}

/// A thread is cancelled in connect(). DESTINATION never answers, OTHER does.
void cancelled(const Arguments& words) {
    for (int round = 0; round < 5; ++round) {
        std::thread connecting([&] { connect_to(tcp_socket(AF_INET), address_of(words[0])); });
        pause(20);
        pthread_cancel(connecting.native_handle());
        connecting.join();
    }
    const int fd = start(address_of(words[1]));
    await_end_of_connect(fd);
    observe_error(fd);
    observe_echo(fd);
}

/// A thread is cancelled before it makes the call, or at any moment of many. DESTINATION never answers, OTHER
/// does.
void cancelled_at_any_moment(const Arguments& words) {
    const auto silent = address_of(words[0]);
    const auto echo = address_of(words[1]);
    const auto observe = [](const char* what, auto call) {
        bool is_over = false;
        std::thread([&] {
            pthread_cancel(pthread_self());
            call();
            is_over = true;
        }).join();
        say("%s: %s", what, is_over ? "returned" : "cancelled");
    };
    observe("blocking", [&] { connect_to(tcp_socket(AF_INET), echo); });
    observe("non-blocking", [&] { connect_to(tcp_socket(AF_INET, SOCK_NONBLOCK), echo); });
    const int under_way = start(silent);
    observe("close", [&] { close(under_way); });
    for (int round = 0; round < 100; ++round) {
        std::thread connecting([&] {
            const int fd = tcp_socket(AF_INET, round % 2 == 0 ? SOCK_NONBLOCK : 0);
            connect_to(fd, echo);
            close(fd);
            pause(patience);
        });
        std::this_thread::sleep_for(std::chrono::microseconds(10 * round));
        pthread_cancel(connecting.native_handle());
        connecting.join();
    }
    const int fd = start(echo);
    await_end_of_connect(fd);
    observe_error(fd);
    observe_echo(fd);
}

Address from_handler;
volatile std::sig_atomic_t handled = 0;
void connect_in_handler(int) {
    const int kept = errno;
    const int fd = socket(AF_INET, SOCK_STREAM | (handled % 2 == 0 ? SOCK_NONBLOCK : 0), 0);
    connect_to(fd, from_handler);
    close(fd);
    handled = handled + 1;
    errno = kept;
}

/// connect() and close() are async-signal-safe (POSIX.1-2017, 2.4.3): whatever they interrupt.
void in_signal_handler(const Arguments& words) {
    from_handler = address_of(words[0]);
    struct sigaction action {};
    action.sa_handler = connect_in_handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, nullptr);
    const itimerval often{{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &often, nullptr);
    int failed = 0;
    while (handled < 200) {
        const int fd = socket(AF_INET, SOCK_STREAM | (handled % 3 == 0 ? SOCK_NONBLOCK : 0), 0);
        if (connect_to(fd, from_handler) != 0 && errno != EINPROGRESS && errno != EINTR) ++failed;
        close(fd);
    }
    const itimerval never{};
    setitimer(ITIMER_REAL, &never, nullptr);
    say("failed: %d", failed);
}

/// No descriptor, thread or child stays behind when all is over. DESTINATION MILLISECONDS.
void leaves_nothing(const Arguments& words) {
    const auto to = address_of(words[0]);
    std::size_t first = 0;
    for (int round = 0; round < 50; ++round) {
        const int fd = start(to);
        await_end_of_connect(fd);
        close(fd);
        const int refused = start(address_of(words[1]));
        await_end_of_connect(refused);
        if (round % 2 == 0) so_error(refused);
        close(refused);
        const int blocking = tcp_socket(to.family());
        connect_to(blocking, to);
        close(blocking);
        if (round == 0) {
            pause(100);
            first = entries("/proc/self/fd").size();
        }
    }
    pause(100);
    const auto last = entries("/proc/self/fd").size();
    say("descriptors: %s", last == first
                               ? "as many as after the first round"
                               : (std::to_string(last) + " instead of " + std::to_string(first)).c_str());
    say("children: %d", waitpid(-1, nullptr, WNOHANG));
}

/// Started with stdin, stdout and stderr closed: the program's own first descriptors get these numbers.
void without_standard_descriptors(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int kept = dup(STDOUT_FILENO);
    for (const int fd : {0, 1, 2}) close(fd);
    const int fd = start(to);
    await_end_of_connect(fd);
    const int error = so_error(fd);
    const int next = dup(fd);
    dup2(kept, STDOUT_FILENO); // only now, for say()
    say("the socket was number %d, the next %d, SO_ERROR = %s", fd, next, error_name(error).c_str());
    observe_echo(fd);
}

/// Each call that succeeds leaves errno alone.
void errno_is_kept(const Arguments& words) {
    const auto to = address_of(words[0]);
    constexpr int mark = EILSEQ;
    const auto expect = [](const char* call, bool good) {
        if (!good || errno != mark)
            say("%s: %s, errno %s", call, good ? "well" : "failed", error_name(errno).c_str());
        errno = mark;
    };
    errno = mark;
    for (const int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
        const int fd = socket(to.family(), SOCK_STREAM | flags, 0);
        expect("socket", fd >= 0);
        const int result = connect_to(fd, to);
        if (flags == 0) expect("connect", result == 0);
        else errno = mark;
        int value = 1;
        socklen_t size = sizeof value;
        Address address;
        const auto check_all = [&] {
            expect("setsockopt", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value) == 0);
            expect("getsockopt", getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &size) == 0);
            expect("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) == 0);
            value = 1;
            address.size = sizeof address.storage;
            expect("getsockname", getsockname(fd, address.get(), &address.size) == 0);
            const int duplicate = dup(fd);
            expect("dup", duplicate >= 0);
            expect("dup2", dup2(fd, duplicate) == duplicate);
            expect("F_GETFL", fcntl(fd, F_GETFL) >= 0);
            expect("close", close(duplicate) == 0);
        };
        check_all();
        await_end_of_connect(fd);
        errno = mark;
        check_all();
        address.size = sizeof address.storage;
        expect("getpeername", getpeername(fd, address.get(), &address.size) == 0);
        expect("close", close(fd) == 0);
    }
    say("done");
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"worker_ends", worker_ends, 2},
                {"worker_blocks_signals", worker_blocks_signals, 1},
                {"signals_reach_the_program", signals_reach_the_program, 1},
                {"gives_up_privileges", gives_up_privileges, 2},
                {"changed_before_the_first_call", changed_before_the_first_call, 1},
                {"exits_promptly", exits_promptly, 1},
                {"exits_amid_success", exits_amid_success, 1},
                {"cancelled", cancelled, 2},
                {"cancelled_at_any_moment", cancelled_at_any_moment, 2},
                {"changes_identity", changes_identity, 1},
                {"in_signal_handler", in_signal_handler, 1},
                {"leaves_nothing", leaves_nothing, 2},
                {"without_standard_descriptors", without_standard_descriptors, 1},
                {"errno_is_kept", errno_is_kept, 1}});
}
