// Doors that few programs use: libc's second names, the BSD remote commands, names of networks, the host's
// number.
#include "victim.hpp"

#include <netdb.h>
#include <wordexp.h>

using namespace victim;

extern "C" {
int second_connect(int fd, const sockaddr* address, socklen_t size) __asm__("__connect");
int second_close(int fd) __asm__("__close");
int second_dup2(int fd, int target) __asm__("__dup2");
int second_fcntl(int fd, int command, ...) __asm__("__fcntl");
}

namespace {

/// DESTINATION: the whole life of a socket by second names.
void second_names(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("__connect", second_connect(fd, to.get(), to.size));
    const int duplicate = told_fd("__fcntl F_DUPFD", second_fcntl(fd, F_DUPFD, 600));
    told("__dup2", second_dup2(fd, 650) == 650 ? 0 : -1);
    await_end_of_connect(duplicate);
    observe_error(fd);
    observe_peer(650);
    told("__close", second_close(fd));
    told("__close", second_close(650));
    observe_echo(duplicate);
    told("__close", second_close(duplicate));
    told("__close", second_close(duplicate));
}

/// HOST. Bare they need a privileged port and a server; what matters is that nothing leaves.
void remote_commands(const Arguments& words) {
    const auto host = std::string(words[0]);
    const auto tell = [&](const char* call, auto run) {
        std::string copy = host;
        char* name = copy.data();
        told(call, run(&name));
    };
    tell("rcmd", [](char** name) { return rcmd(name, htons(514), "me", "me", "true", nullptr); });
    tell("rcmd_af",
         [](char** name) { return rcmd_af(name, htons(514), "me", "me", "true", nullptr, AF_INET6); });
    tell("rexec", [](char** name) { return rexec(name, htons(512), "me", "secret", "true", nullptr); });
    tell("rexec_af",
         [](char** name) { return rexec_af(name, htons(512), "me", "secret", "true", nullptr, AF_INET6); });
}

void show(const char* call, const netent* entry) {
    if (entry == nullptr) return say("%s: none, h_errno %d", call, h_errno);
    say("%s: %s %#x, type %d", call, entry->n_name, entry->n_net, entry->n_addrtype);
}

/// Those of /etc/networks, and one that is nowhere.
void networks(const Arguments&) {
    for (const char* name : {"loopback", "no-such-network"}) {
        show("getnetbyname", getnetbyname(name));
        netent entry{};
        netent* result = nullptr;
        std::array<char, 512> buffer{};
        int error = 0;
        say("getnetbyname_r = %d",
            getnetbyname_r(name, &entry, buffer.data(), buffer.size(), &result, &error));
        show("getnetbyname_r", result);
        say("too small: %d", getnetbyname_r("loopback", &entry, buffer.data(), 4, &result, &error));
    }
    for (const std::uint32_t number : {0x7f000000U, 0x01020300U}) {
        show("getnetbyaddr", getnetbyaddr(number, AF_INET));
        netent entry{};
        netent* result = nullptr;
        std::array<char, 512> buffer{};
        int error = 0;
        say("getnetbyaddr_r = %d",
            getnetbyaddr_r(number, AF_INET, &entry, buffer.data(), buffer.size(), &result, &error));
        show("getnetbyaddr_r", result);
    }
}

/// Not printed: it is this machine's. That nobody is asked for it counts.
void host_id(const Arguments&) { say("gethostid: %s", gethostid() != -1 ? "a number" : "-1"); }

/// A command in words is a child, and under the library. ENVIRONMENT: "whole" or "cleared".
void words_with_a_command(const Arguments& words) {
    if (words[0] == "cleared") {
        clearenv();
        setenv("PATH", "/usr/bin:/bin", 1);
    }
    wordexp_t expansion{};
    told("wordexp", wordexp("a $(getent ahostsv4 echo.test | head -n 1 | cut -c1-5)", &expansion, 0));
    for (std::size_t i = 0; i < expansion.we_wordc; ++i) say("  %s", expansion.we_wordv[i]);
    wordfree(&expansion);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"second_names", second_names, 1},
                {"remote_commands", remote_commands, 1},
                {"networks", networks},
                {"host_id", host_id},
                {"words", words_with_a_command, 1}});
}
