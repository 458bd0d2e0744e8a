// Sockets that go on in another program.
#include "udp.hpp"

#include <spawn.h>
#include <sys/wait.h>

using namespace victim;

extern char** environ;

namespace {

const char* program = nullptr;

/// FD DESTINATION CONNECTED: what the next program does with it.
void after(const Arguments& words) {
    const int fd = std::atoi(std::string(words[0]).c_str());
    const auto to = address_of(words[1]);
    const bool is_connected = words[2] == "connected";
    if (is_connected) told("write", write(fd, "written", 7));
    else told("sendto", sendto(fd, "written", 7, 0, to.get(), to.size));
    receive(fd);
    exchange(fd, "again", is_connected ? nullptr : &to);
    if (is_connected) observe_peer(fd);
    observe_error(fd);
}

/// In the order of what a reader does first: what came before is still there.
void after_reading(const Arguments& words) {
    std::array<char, 64> octets{};
    const int fd = std::atoi(std::string(words[0]).c_str());
    await_datagram(fd);
    told("read", read(fd, octets.data(), octets.size()));
    say("'%s'", octets.data());
    after(words);
}

std::vector<std::string> words_for(const char* scenario, int fd, std::string_view to, bool connects) {
    return {program, scenario, std::to_string(fd), std::string(to), connects ? "connected" : "not"};
}
std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> out;
    for (auto& word : words) out.push_back(word.data());
    out.push_back(nullptr);
    return out;
}

[[noreturn]] void become(const char* scenario, int fd, std::string_view to, bool connects) {
    auto words = words_for(scenario, fd, to, connects);
    execv(program, pointers(words).data());
    give_up("exec");
}

void wait_for(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    say("child %d", status);
}

int used_socket(std::string_view text, bool connects) {
    const auto to = address_of(text);
    const int fd = udp_socket(to.family());
    if (connects) told("connect", connect_to(fd, to));
    exchange(fd, "before", connects ? nullptr : &to);
    return fd;
}

/// DESTINATION connected|not: this process becomes the other program.
void replaced(const Arguments& words) {
    const bool connects = words[1] == "connected";
    const int fd = used_socket(words[0], connects);
    const auto to = address_of(words[0]);
    sendto(fd, "early", 5, 0, connects ? nullptr : to.get(), connects ? 0 : to.size);
    become("after_reading", fd, words[0], connects);
}

/// DESTINATION: only connected, nothing sent.
void connected_only(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    told("connect", connect_to(fd, to));
    become("after", fd, words[0], true);
}

/// DESTINATION: a child by fork and exec, one by posix_spawn, as standard input too, and the parent again.
void children(const Arguments& words) {
    const int fd = used_socket(words[0], true);
    const pid_t child = fork();
    if (child == 0) become("after", fd, words[0], true);
    wait_for(child);
    for (const bool as_input : {false, true}) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        if (as_input) posix_spawn_file_actions_adddup2(&actions, fd, 0);
        auto arguments = words_for("after", as_input ? 0 : fd, words[0], true);
        pid_t spawned = -1;
        const int error =
            posix_spawn(&spawned, program, &actions, nullptr, pointers(arguments).data(), environ);
        wait_for(spawned);
        say("posix_spawn %d", error);
    }
    exchange(fd, "parent");
    const pid_t last = fork();
    if (last == 0) {
        dup2(fd, 0);
        close(fd);
        become("after", 0, words[0], true);
    }
    close(fd);
    wait_for(last);
}

/// DESTINATION: what is closed on exec is, whatever is known of it.
void closed(const Arguments& words) {
    const int fd = used_socket(words[0], true);
    told("F_SETFD", fcntl(fd, F_SETFD, FD_CLOEXEC));
    const pid_t child = fork();
    if (child == 0) become("gone", fd, words[0], true);
    wait_for(child);
    told("F_SETFD", fcntl(fd, F_SETFD, 0));
    become("after", fd, words[0], true);
}

void gone(const Arguments& words) {
    const int fd = std::atoi(std::string(words[0]).c_str());
    told("write", write(fd, "hello", 5));
    told("F_GETFD", fcntl(fd, F_GETFD));
    say("%d sockets", count_sockets());
}

/// DESTINATION: the number that is left is closed on exec, the first one was not.
void duplicate_closed(const Arguments& words) {
    const int first = used_socket(words[0], true);
    const int fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
    close(first);
    const pid_t child = fork();
    if (child == 0) become("gone", fd, words[0], true);
    wait_for(child);
    exchange(fd, "parent");
}

} // namespace

int main(int argc, char** argv) {
    program = "/proc/self/exe";
    return run(argc, argv,
               {{"after", after, 3},
                {"after_reading", after_reading, 3},
                {"replaced", replaced, 2},
                {"connected_only", connected_only, 1},
                {"children", children, 1},
                {"closed", closed, 1},
                {"duplicate_closed", duplicate_closed, 1},
                {"gone", gone, 1}});
}
