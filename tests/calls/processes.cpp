// exec, spawn and what runs a shell: the child is under the library too, whatever environment it is given.
//
// Each scenario starts this program anew as "child", which says whether names are answered from the pool.
#include "victim.hpp"

#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <netdb.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace victim;

namespace {

constexpr const char* self = "/proc/self/exe";
char program[] = "processes", in_child[] = "child";
char* arguments[] = {program, in_child, nullptr};
char path[] = "PATH=/nowhere", greeting[] = "GREETING=hello";
char* rebuilt[] = {path, greeting, nullptr};
char* none[] = {nullptr};

void child(const Arguments&) {
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (getaddrinfo("echo.test", "7", &hints, &list) != 0) return say("echo.test: no such name");
    const int fd = tcp_socket(AF_INET);
    told("child: connect", connect(fd, list->ai_addr, list->ai_addrlen));
    observe_echo(fd);
    const char* hello = getenv("GREETING");
    say("GREETING is %s", hello != nullptr ? hello : "not set");
    say("HOME is %s", getenv("HOME") != nullptr ? "set" : "not set");
}

/// Runs `start` in a child that execs, and waits.
void forked(const char* what, void (*start)()) {
    say("%s", what);
    const pid_t pid = fork();
    if (pid == 0) {
        start();
        told(what, -1);
        std::_Exit(1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    if (status != 0) say("%s: status %#x", what, static_cast<unsigned>(status));
}

void exec(const Arguments&) {
    forked("execv", [] { execv(self, arguments); });
    forked("execv, environment cleared", [] {
        clearenv();
        execv(self, arguments);
    });
    forked("execv, LD_PRELOAD unset", [] {
        unsetenv("LD_PRELOAD");
        execv(self, arguments);
    });
    forked("execve, no environment", [] { execve(self, arguments, none); });
    forked("execve, null", [] { execve(self, arguments, nullptr); });
    forked("execve, rebuilt", [] { execve(self, arguments, rebuilt); });
    forked("execvp", [] { execvp(self, arguments); });
    forked("execvpe, rebuilt", [] { execvpe(self, arguments, rebuilt); });
    forked("execl", [] { execl(self, program, in_child, nullptr); });
    forked("execlp", [] { execlp(self, program, in_child, nullptr); });
    forked("execle, no environment", [] { execle(self, program, in_child, nullptr, none); });
    forked("fexecve, rebuilt", [] { fexecve(open(self, O_RDONLY | O_CLOEXEC), arguments, rebuilt); });
    forked("execveat, rebuilt", [] { execveat(AT_FDCWD, self, arguments, rebuilt, 0); });
    forked("syscall(SYS_execveat), rebuilt",
           [] { syscall(SYS_execveat, AT_FDCWD, self, arguments, rebuilt, 0); });
    forked("syscall(SYS_execve), rebuilt", [] { syscall(SYS_execve, self, arguments, rebuilt); });
    say("vfork and execve, rebuilt");
    const pid_t pid = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): it is what is tried here
    if (pid == 0) {
        execve(self, arguments, rebuilt);
        _exit(1);
    }
    waitpid(pid, nullptr, 0);
}

void spawn(const Arguments&) {
    const auto spawned = [](const char* what, decltype(&posix_spawn) call, const char* file,
                            char* const* environment) {
        pid_t pid = -1;
        const int code = call(&pid, file, nullptr, nullptr, arguments, environment);
        if (code == 0) waitpid(pid, nullptr, 0);
        say("%s = %s", what, error_name(code).c_str());
    };
    spawned("posix_spawn", posix_spawn, self, environ);
    spawned("posix_spawn, rebuilt", posix_spawn, self, rebuilt);
    spawned("posix_spawn, no environment", posix_spawn, self, none);
    spawned("posix_spawnp, rebuilt", posix_spawnp, self, rebuilt);
    spawned("posix_spawn of nothing", posix_spawn, "/nowhere", environ);
}

/// By way of a shell. COMMAND-less, so that the shell is what is executed: its child is this program.
void shell(const Arguments&) {
    std::array<char, 4096> own{};
    if (readlink(self, own.data(), own.size() - 1) < 0) give_up("no /proc");
    const auto command = "'" + std::string(own.data()) + "' child";
    const auto both = [&](const char* when) {
        say("system, %s", when);
        told("system", system(command.c_str()));
        say("popen, %s", when);
        std::FILE* output = popen(command.c_str(), "r");
        std::array<char, 256> line;
        while (std::fgets(line.data(), static_cast<int>(line.size()), output) != nullptr)
            say("  %.*s", static_cast<int>(strcspn(line.data(), "\n")), line.data());
        told("pclose", pclose(output));
    };
    both("as it is");
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    both("environment cleared");
}

/// What can't be executed fails as it does bare.
void failures(const Arguments&) {
    forked("execv of nothing", [] { execv("/nowhere", arguments); });
    forked("execv of a directory", [] { execv("/", arguments); });
    forked("execve of a text", [] { execve("/etc/hosts", arguments, rebuilt); });
    forked("execvp of nothing", [] { execvp("no-such-program", arguments); });
    forked("execl of nothing", [] { execl("/nowhere", program, nullptr); });
}

/// As somebody else, whose /proc/self is root's, and with no environment at all.
void after_setuid(const Arguments&) {
    static std::array<char, 4096> own{};
    if (readlink(self, own.data(), own.size() - 1) < 0) give_up("no /proc");
    if (setuid(65534) != 0) give_up("setuid");
    forked("execve, no environment", [] { execve(own.data(), arguments, none); });
    forked("execve, rebuilt", [] { execve(own.data(), arguments, rebuilt); });
}

/// A copy of `file` in the working directory, executable, with `change` made to it.
std::string copy_of(const std::string& file, const char* name,
                    const std::function<void(std::string&)>& change = {}) {
    std::ifstream in(file, std::ios::binary);
    std::string octets{std::istreambuf_iterator<char>(in), {}};
    if (octets.empty()) give_up("no program to copy");
    if (change) change(octets);
    std::ofstream(name, std::ios::binary) << octets;
    chmod(name, 0755);
    return std::string("./") + name;
}

/// Every way to start a program that the library can't be in. STATIC is a statically linked one.
void cannot_enter(const Arguments& words) {
    static std::string file;
    file = copy_of(std::string(words[0]), "static");
    forked("execv", [] { execv(file.c_str(), arguments); });
    forked("execve, no environment", [] { execve(file.c_str(), arguments, none); });
    forked("execvp", [] {
        setenv("PATH", ".", 1);
        execvp("static", arguments);
    });
    forked("execl", [] { execl(file.c_str(), program, nullptr); });
    forked("fexecve", [] { fexecve(open(file.c_str(), O_RDONLY | O_CLOEXEC), arguments, environ); });
    forked("execveat", [] { execveat(open(".", O_PATH), "static", arguments, environ, 0); });
    forked("syscall(SYS_execve)", [] { syscall(SYS_execve, file.c_str(), arguments, environ); });
    forked("vfork", [] {
        const pid_t pid =
            vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): it is what is tried here
        if (pid == 0) {
            execve(file.c_str(), arguments, environ);
            _exit(1);
        }
        waitpid(pid, nullptr, 0);
        std::_Exit(0);
    });
    pid_t pid = -1;
    const int code = posix_spawn(&pid, file.c_str(), nullptr, nullptr, arguments, environ);
    if (code == 0) waitpid(pid, nullptr, 0);
    say("posix_spawn = %s", error_name(code).c_str());
    told("system", system(file.c_str()) >> 8);
    std::ofstream("script") << "#!" << words[0] << "\n";
    chmod("script", 0755);
    forked("a script for it", [] { execv("./script", arguments); });
}

/// A program of another machine; then, as somebody else, one with privileges.
void cannot_enter_either(const Arguments&) {
    copy_of("/bin/true", "foreign", [](std::string& octets) { octets[18] = 0x28; }); // EM_ARM
    // Not here: on a file system that is mounted with nosuid there are no privileges to be had.
    static const auto privileged = "/var/tmp/socksify-test-" + std::to_string(getpid());
    copy_of("/bin/true", privileged.c_str());
    chmod(privileged.c_str(), 04755);
    forked("another machine's", [] { execv("./foreign", arguments); });
    forked("set-user-ID, of root, by root", [] { execv(privileged.c_str(), arguments); });
    forked("set-user-ID", [] {
        if (setuid(65534) == 0) execv(privileged.c_str(), arguments);
    });
    if (unlink(privileged.c_str()) != 0) give_up("unlink");
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"child", child},
                {"exec", exec},
                {"spawn", spawn},
                {"shell", shell},
                {"failures", failures},
                {"after_setuid", after_setuid},
                {"cannot_enter", cannot_enter, 1},
                {"cannot_enter_either", cannot_enter_either}});
}
