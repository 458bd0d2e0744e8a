// A program that listens beside a connection of its own, as FTP in active mode does: it tells the server
// where, and the server comes (far.py, `caller`). CALLER is that server.
#include "victim.hpp"

#include <atomic>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <thread>

using namespace victim;

namespace {

Address name_of(int fd, decltype(getsockname)* name) {
    Address address;
    address.size = sizeof address.storage;
    if (name(fd, address.get(), &address.size) != 0) give_up("no address");
    return address;
}

bool is_anywhere(const Address& address) {
    const auto text = text_of(address);
    return text.starts_with("0.0.0.0:") || text.starts_with("[::]:");
}

/// The connection to the caller, and what listens beside it.
class Scene {
public:
    explicit Scene(std::string_view caller, int flags = 0, int backlog = 16) {
        const auto to = address_of(caller);
        control_ = tcp_socket(to.family());
        if (connect_to(control_, to) != 0) give_up("no caller");
        listener = tcp_socket(to.family(), flags);
        Address any;
        any.storage.ss_family = static_cast<sa_family_t>(to.family());
        any.size = to.size;
        told("bind", bind(listener, any.get(), any.size));
        if (backlog > 0) told("listen", listen(listener, backlog));
    }

    /// With another listener.
    [[nodiscard]] Scene beside(int fd) const { return {fd, control_}; }
    /// What another program had.
    Scene(int fd, int control) : listener(fd), control_(control) {}

    /// Becomes another program, which has it in `scenario`.
    [[noreturn]] void become(const char* scenario) const {
        const auto numbers = words(scenario, listener);
        execl(numbers[0].c_str(), numbers[0].c_str(), numbers[1].c_str(), numbers[2].c_str(),
              numbers[3].c_str(), nullptr);
        give_up("exec");
    }
    /// What starts a program that has it as number `fd`, in `scenario`.
    [[nodiscard]] std::vector<std::string> words(const char* scenario, int fd) const {
        return {"/proc/self/exe", scenario, std::to_string(fd), std::to_string(control_)};
    }

    /// Asks the caller to come, in the way of `verb`, and returns as what it has come: an address for each
    /// time.
    std::vector<std::string> call(const char* verb, int times = 1) const {
        auto where = text_of(name_of(listener, getsockname));
        if (is_anywhere(name_of(listener, getsockname))) {
            const auto here = text_of(name_of(control_, getsockname));
            where = here.substr(0, here.rfind(':')) + where.substr(where.rfind(':'));
        }
        const auto wish = std::string(verb) + " " + where + " " + std::to_string(times) + "\n";
        if (write(control_, wish.data(), wish.size()) < 0) give_up("the caller is gone");
        std::vector<std::string> answers;
        for (int i = 0; i < times; ++i) {
            std::string line;
            for (char octet = 0; read(control_, &octet, 1) == 1 && octet != '\n';) line += octet;
            answers.push_back(line);
        }
        return answers;
    }

    int listener;

private:
    int control_;
};

/// Accepts, and says whether it is who has said that it came.
int accept_and_tell(int listener, const std::string& who, int flags = 0) {
    Address peer;
    peer.size = sizeof peer.storage;
    const int fd = told_fd("accept4", accept4(listener, peer.get(), &peer.size, flags));
    if (fd < 0) return fd;
    say("from who has come: %s, %u octets",
        text_of(peer) == who ? "yes" : (text_of(peer) + " for " + who).c_str(), peer.size);
    say("getpeername the same: %s", text_of(name_of(fd, getpeername)) == text_of(peer) ? "yes" : "no");
    const auto here = text_of(name_of(fd, getsockname));
    const auto port = here.substr(here.rfind(':'));
    say("getsockname has the listener's port: %s",
        text_of(name_of(listener, getsockname)).ends_with(port) ? "yes" : "no");
    return fd;
}

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    getsockopt(fd, level, name, &value, &size);
    return value;
}

void blocking(const Arguments& words) {
    Scene scene(words[0]);
    say("SO_ACCEPTCONN of the listener = %d", option(scene.listener, SOL_SOCKET, SO_ACCEPTCONN));
    const auto who = scene.call("visit");
    const int fd = accept_and_tell(scene.listener, who[0]);
    say("SO_ACCEPTCONN of the peer = %d", option(fd, SOL_SOCKET, SO_ACCEPTCONN));
    observe_echo(fd);
    const auto again = scene.call("visit");
    observe_echo(told_fd("accept", accept(scene.listener, nullptr, nullptr)));
    close(scene.listener);
    observe_echo(fd, "after the listener");
}

/// Peers that come before listen() has a name, and before accept().
/// As `blocking`, of a user who has no rights of its own.
void unprivileged(const Arguments& words) {
    constexpr uid_t nobody = 65534;
    if (setuid(nobody) != 0) give_up("setuid");
    blocking(words);
}

void early(const Arguments& words) {
    Scene scene(words[0], 0, 0);
    const auto before = text_of(name_of(scene.listener, getsockname));
    told("listen", listen(scene.listener, 8));
    say("getsockname before listen() is true: %s",
        text_of(name_of(scene.listener, getsockname)) == before ? "yes" : "no");
    const auto who = scene.call("greet");
    pause(100);
    const int fd = accept_and_tell(scene.listener, who[0]);
    char octets[16] = {};
    told("read", read(fd, octets, sizeof octets));
    say("'%s'", octets);
}

/// As an FTP server does in passive mode: a listener beside the connection that has come, at its own address.
void beside_a_peer(const Arguments& words) {
    Scene scene(words[0]);
    scene.call("visit");
    const int fd = told_fd("accept", accept(scene.listener, nullptr, nullptr));
    auto here = name_of(fd, getsockname);
    reinterpret_cast<sockaddr_in*>(here.get())->sin_port = 0; // the same place in both families
    Scene beside = scene.beside(tcp_socket(here.family()));
    told("bind", bind(beside.listener, here.get(), here.size));
    told("listen", listen(beside.listener, 4));
    const auto who = beside.call("visit");
    observe_echo(accept_and_tell(beside.listener, who[0]));
}

/// A listener at ADDRESS, and no more.
void at(const Arguments& words) {
    const auto where = address_of(words[0]);
    const int listener = tcp_socket(where.family());
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    told("bind", bind(listener, where.get(), where.size));
    told("listen", listen(listener, 4));
}

/// Beside a connection to CALLER.
void refused_beside(const Arguments& words) {
    const Scene scene(words[0]);
    static_cast<void>(scene);
}

/// The program takes no part in who may come.
void filtered(const Arguments& words) {
    Scene scene(words[0]);
    const int ignored = 0;
    told("SO_DETACH_FILTER",
         setsockopt(scene.listener, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored));
}

/// Another program has the peer's connection, as number FD, and says whether it is PEER's.
void executed(const Arguments& words) {
    const int fd = std::stoi(std::string(words[0]));
    say("getpeername the same: %s", text_of(name_of(fd, getpeername)) == words[1] ? "yes" : "no");
    observe_echo(fd);
}

void executes(const Arguments& words) {
    Scene scene(words[0]);
    const auto who = scene.call("visit");
    const auto fd = std::to_string(accept(scene.listener, nullptr, nullptr));
    execl("/proc/self/exe", "listening", "executed", fd.c_str(), who[0].c_str(), nullptr);
    say("execl: %s", error_name(errno).c_str());
}

Scene scene_of(const Arguments& words) {
    return {std::stoi(std::string(words[0])), std::stoi(std::string(words[1]))};
}

/// Another program has the listener: FD CONTROL.
void goes_on(const Arguments& words) {
    auto scene = scene_of(words);
    const auto who = scene.call("visit");
    observe_echo(accept_and_tell(scene.listener, who[0]));
    scene.call("visit", 3);
    for (int i = 0; i < 3; ++i) observe_echo(told_fd("accept", accept(scene.listener, nullptr, nullptr)));
}

/// As inetd's servers, by which the listener is not looked at before accept(): a peer waits.
void takes(const Arguments& words) {
    observe_echo(told_fd("accept", accept(scene_of(words).listener, nullptr, nullptr)));
    goes_on(words);
}

/// This process becomes the other program.
void becomes(const Arguments& words) { Scene(words[0]).become("goes_on"); }

void becomes_with_a_peer(const Arguments& words) {
    Scene scene(words[0]);
    scene.call("visit");
    say("poll: %s", event_names(poll_events(scene.listener, patience)).c_str());
    scene.become("takes");
}

void wait_for(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    say("child %d", status);
}

/// One child after the other has it, and this process again.
void lends(const Arguments& words) {
    Scene scene(words[0]);
    const pid_t child = fork();
    if (child == 0) scene.become("goes_on");
    wait_for(child);
    for (const bool as_input : {false, true}) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        if (as_input) posix_spawn_file_actions_adddup2(&actions, scene.listener, 0);
        auto arguments = scene.words("goes_on", as_input ? 0 : scene.listener);
        std::vector<char*> pointers;
        for (auto& argument : arguments) pointers.push_back(argument.data());
        pointers.push_back(nullptr);
        pid_t spawned = -1;
        char* none[] = {nullptr};
        told("posix_spawn", posix_spawn(&spawned, pointers[0], &actions, nullptr, pointers.data(), none));
        wait_for(spawned);
    }
    const auto who = scene.call("visit");
    observe_echo(accept_and_tell(scene.listener, who[0]));
}

/// Its number has been closed in the process that listens, and it goes on in the one that was started.
void gives_away(const Arguments& words) {
    Scene scene(words[0]);
    int go[2];
    if (pipe(go) != 0) give_up("no pipe");
    const pid_t child = fork();
    if (child == 0) {
        char octet = 0;
        if (read(go[0], &octet, 1) < 0) give_up("read");
        scene.become("goes_on");
    }
    close(scene.listener);
    told("write", write(go[1], "+", 1));
    wait_for(child);
}

/// The process that listens ends, and the other program goes on: FD CONTROL.
void survives(const Arguments& words) {
    while (getppid() == getpgrp()) pause(1);
    goes_on(words);
}

void ends(const Arguments& words) {
    int over[2];
    if (pipe(over) != 0) give_up("no pipe");
    if (fork() == 0) {
        setpgid(0, 0);
        const Scene scene(words[0]);
        if (fork() == 0) scene.become("survives");
        pause(50);
        std::_Exit(0);
    }
    wait(nullptr);
    close(over[1]);
    char octet = 0;
    told("read", read(over[0], &octet, 1));
}

/// Another program has no such number: FD CONTROL.
void lacks(const Arguments& words) {
    const int fd = std::stoi(std::string(words[0]));
    told("accept", accept(fd, nullptr, nullptr));
    say("%d sockets", count_sockets());
}

void keeps(const Arguments& words) {
    Scene scene(words[0]);
    told("F_SETFD", fcntl(scene.listener, F_SETFD, FD_CLOEXEC));
    const pid_t child = fork();
    if (child == 0) scene.become("lacks");
    wait_for(child);
    const auto who = scene.call("visit");
    observe_echo(accept_and_tell(scene.listener, who[0]));
}

void leaves(const Arguments& words) {
    Scene scene(words[0]);
    scene.call("leave");
    const int fd = told_fd("accept", accept(scene.listener, nullptr, nullptr));
    char octet = 0;
    told("read", read(fd, &octet, 1));
}

void nonblocking(const Arguments& words) {
    Scene scene(words[0], SOCK_NONBLOCK);
    told("accept", accept(scene.listener, nullptr, nullptr));
    observe_poll(scene.listener);
    const auto who = scene.call("visit");
    say("poll: %s", event_names(poll_events(scene.listener, patience)).c_str());
    const int fd = accept_and_tell(scene.listener, who[0], SOCK_NONBLOCK | SOCK_CLOEXEC);
    say("non-blocking %d, close-on-exec %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0,
        (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    told("accept", accept(scene.listener, nullptr, nullptr));
    scene.call("visit");
    fd_set ready;
    FD_ZERO(&ready);
    FD_SET(scene.listener, &ready);
    timeval limit{5, 0};
    told("select", select(scene.listener + 1, &ready, nullptr, nullptr, &limit));
    const int other = told_fd("accept", accept(scene.listener, nullptr, nullptr));
    say("non-blocking %d, close-on-exec %d", (fcntl(other, F_GETFL) & O_NONBLOCK) != 0,
        (fcntl(other, F_GETFD) & FD_CLOEXEC) != 0);
}

void edges(const Arguments& words) {
    Scene scene(words[0], SOCK_NONBLOCK);
    const int epoll = epoll_create1(0);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    told("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, scene.listener, &event));
    for (int round = 0; round < 2; ++round) {
        told("epoll_wait", epoll_wait(epoll, &event, 1, 0));
        scene.call("visit", 3);
        int accepted = 0;
        while (accepted < 3 && epoll_wait(epoll, &event, 1, patience) == 1)
            while (accept(scene.listener, nullptr, nullptr) >= 0) ++accepted;
        say("accepted %d", accepted);
    }
}

void options(const Arguments& words) {
    Scene scene(words[0]);
    const int on = 1;
    setsockopt(scene.listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(scene.listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    scene.call("visit");
    const int fd = accept(scene.listener, nullptr, nullptr);
    say("TCP_NODELAY = %d, SO_KEEPALIVE = %d", option(fd, IPPROTO_TCP, TCP_NODELAY),
        option(fd, SOL_SOCKET, SO_KEEPALIVE));
}

void threads(const Arguments& words) {
    Scene scene(words[0]);
    std::atomic<int> echoed{0};
    std::vector<std::thread> all;
    for (int i = 0; i < 4; ++i)
        all.emplace_back([&] {
            for (int j = 0; j < 3; ++j) {
                const int fd = accept(scene.listener, nullptr, nullptr);
                char octet = 'x';
                if (write(fd, &octet, 1) == 1 && read(fd, &octet, 1) == 1) ++echoed;
                close(fd);
            }
        });
    scene.call("visit", 12);
    for (auto& thread : all) thread.join();
    say("echoed %d", echoed.load());
}

void forked(const Arguments& words) {
    Scene scene(words[0]);
    int echoed[2];
    if (pipe(echoed) != 0) give_up("no pipe");
    for (int i = 0; i < 3; ++i)
        if (fork() == 0) {
            for (int j = 0; j < 2; ++j) {
                Address peer;
                peer.size = sizeof peer.storage;
                const int fd = accept(scene.listener, peer.get(), &peer.size);
                char octet = text_of(peer) == text_of(name_of(fd, getpeername)) ? '+' : '-';
                if (write(fd, &octet, 1) != 1 || read(fd, &octet, 1) != 1) octet = '?';
                if (write(echoed[1], &octet, 1) != 1) std::_Exit(1);
                close(fd);
            }
            std::_Exit(0);
        }
    scene.call("visit", 6);
    std::string all(6, ' ');
    for (auto& octet : all)
        if (read(echoed[0], &octet, 1) != 1) break;
    say("echoed %s", all.c_str());
    while (wait(nullptr) > 0) {
    }
}

/// Accepts until nobody has come for a while, and tells of each by an octet.
void accept_as_worker(int listener, int told) {
    const int epoll = epoll_create1(0);
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    while (epoll_wait(epoll, &event, 1, 700) == 1)
        for (int fd; (fd = accept(listener, nullptr, nullptr)) >= 0; close(fd)) {
            fcntl(fd, F_SETFL, 0);
            char octet = '+';
            if (write(fd, &octet, 1) != 1 || read(fd, &octet, 1) != 1) octet = '-';
            if (write(told, &octet, 1) != 1) std::_Exit(1);
        }
}

/// Two sockets at one port, by SO_REUSEPORT, each with its own peers.
void same_port(const Arguments& words) {
    Scene scene(words[0], SOCK_NONBLOCK, 0);
    const auto again = [&] {
        const int on = 1;
        const int other = tcp_socket(AF_INET, SOCK_NONBLOCK);
        told("SO_REUSEPORT", setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
        return other;
    };
    close(scene.listener);
    const auto any = address_of("0.0.0.0:" + std::string(words[1]));
    const int both[] = {again(), again()};
    for (const int one : both) {
        told("bind", bind(one, any.get(), any.size));
        told("listen", listen(one, 8));
    }
    scene.listener = both[0];
    scene.call("visit", 8);
    int accepted = 0;
    for (const int one : both)
        while (accept(one, nullptr, nullptr) >= 0) ++accepted;
    say("accepted %d", accepted);
    close(both[0]);
    scene.listener = both[1];
    scene.call("visit");
    observe_echo(told_fd("accept", accept(both[1], nullptr, nullptr)));
}

/// A daemon: the process that has called listen() ends, its children go on. So does one of those.
void inherited(const Arguments& words) {
    int told[2];
    if (pipe(told) != 0) give_up("no pipe");
    if (fork() == 0) {
        Scene scene(words[0], SOCK_NONBLOCK);
        const pid_t first = getpid();
        for (int i = 0; i < 3; ++i)
            if (fork() == 0) {
                std::thread worker([&] { accept_as_worker(scene.listener, told[1]); });
                while (getppid() == first) pause(1);
                if (i == 0) scene.call("visit", 3);
                worker.join();
                std::_Exit(0);
            }
        pause(50);
        std::_Exit(0);
    }
    close(told[1]);
    std::string all;
    for (char octet = 0; read(told[0], &octet, 1) == 1;) all += octet;
    say("echoed %s", all.c_str());
    wait(nullptr);
}

void closing(const Arguments& words) {
    Scene scene(words[0]);
    const int other = dup(scene.listener);
    close(scene.listener);
    scene.listener = other;
    scene.call("visit");
    observe_echo(told_fd("accept", accept(other, nullptr, nullptr)));
    int error = 0;
    std::thread waiting([&] { error = accept(other, nullptr, nullptr) < 0 ? errno : 0; });
    pause(100);
    told("shutdown", shutdown(other, SHUT_RD));
    waiting.join();
    say("accept ends with %s", error_name(error).c_str());
}

/// A port that is asked for: PORT. A client on this machine comes in, too.
void local(const Arguments& words) {
    const auto port = address_of("127.0.0.1:" + std::string(words[0]));
    const auto any = address_of("0.0.0.0:" + std::string(words[0]));
    const int listener = tcp_socket(AF_INET);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    told("bind", bind(listener, any.get(), any.size));
    if (told("listen", listen(listener, 4)) != 0) return;
    const auto here = text_of(name_of(listener, getsockname));
    say("the port: %s", here.substr(here.rfind(':') + 1).c_str());
    const int client = tcp_socket(AF_INET);
    told("connect", connect_to(client, port));
    const int fd = accept_and_tell(listener, text_of(name_of(client, getsockname)));
    char octet = 'x';
    told("write", write(client, &octet, 1));
    told("read", read(fd, &octet, 1));
}

/// A socket that does not block, at that port.
int bound_to(std::string_view port) {
    const auto any = address_of("0.0.0.0:" + std::string(port));
    const int fd = tcp_socket(AF_INET, SOCK_NONBLOCK);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    told("bind", bind(fd, any.get(), any.size));
    return fd;
}

/// A listener at PORT that nobody comes to.
void patient(const Arguments& words) {
    const int listener = bound_to(words[0]);
    for (const int backlog : {4, 7}) {
        told("listen", listen(listener, backlog));
        pause(150);
    }
    told("accept", accept(listener, nullptr, nullptr));
}

/// At PORT, in a thread whose cancellation is pending: listen() is no cancellation point.
void cancelled(const Arguments& words) {
    const int listener = bound_to(words[0]);
    int result = -1;
    std::thread([&] {
        pthread_cancel(pthread_self());
        result = listen(listener, 4);
    }).join();
    say("listen = %d", result);
    told("accept", accept(listener, nullptr, nullptr));
}

/// At PORT, and the queue is full when a peer comes: what has waited in vain goes with the listener.
void crowded(const Arguments& words) {
    const int listener = bound_to(words[0]);
    told("listen", listen(listener, 1));
    const auto here = address_of("127.0.0.1:" + std::string(words[0]));
    std::array<int, 2> clients;
    for (int& client : clients) {
        client = tcp_socket(AF_INET);
        told("connect", connect_to(client, here));
    }
    pause(400);
    close(listener);
    for (const int client : clients) close(client);
    const Stopwatch since; // the kernel would knock once more after a second
    while (count_sockets() > 0 && since.milliseconds() < 400) pause(5);
    say("%d sockets", count_sockets());
}

void arguments(const Arguments& words) {
    Scene scene(words[0], SOCK_NONBLOCK);
    Address peer;
    auto negative = static_cast<socklen_t>(-1);
    told("accept, a negative size", accept(scene.listener, peer.get(), &negative));
    told("accept4, unknown flags", accept4(scene.listener, nullptr, nullptr, 1));
    told("listen again", listen(scene.listener, 1));
    told("bind again", bind(scene.listener, peer.get(), peer.size));
    told("connect", connect_to(scene.listener, address_of(words[0])));
}

constexpr Scenario scenarios[] = {
    {"blocking", blocking, 1},
    {"unprivileged", unprivileged, 1},
    {"early", early, 1},
    {"leaves", leaves, 1},
    {"nonblocking", nonblocking, 1},
    {"edges", edges, 1},
    {"options", options, 1},
    {"threads", threads, 1},
    {"forked", forked, 1},
    {"closing", closing, 1},
    {"local", local, 1},
    {"arguments", arguments, 1},
    {"patient", patient, 1},
    {"executes", executes, 1},
    {"executed", executed, 2},
    {"inherited", inherited, 1},
    {"same_port", same_port, 2},
    {"goes_on", goes_on, 2},
    {"takes", takes, 2},
    {"becomes", becomes, 1},
    {"becomes_with_a_peer", becomes_with_a_peer, 1},
    {"lends", lends, 1},
    {"gives_away", gives_away, 1},
    {"survives", survives, 2},
    {"ends", ends, 1},
    {"at", at, 1},
    {"refused_beside", refused_beside, 1},
    {"filtered", filtered, 1},
    {"beside_a_peer", beside_a_peer, 1},
    {"lacks", lacks, 2},
    {"keeps", keeps, 1},
    {"cancelled", cancelled, 1},
    {"crowded", crowded, 1},
};

} // namespace

int main(int argc, char** argv) { return run(argc, argv, scenarios); }
