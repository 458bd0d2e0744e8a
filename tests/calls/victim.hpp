// What the victims share. A victim is a small program that makes one call, or a few that belong together, and
// prints what each gave: run bare and run shimmed, the output must be the same, octet for octet.
//
// So nothing is printed that may differ: no port that the kernel chose, no descriptor's number, no time. And
// every line is written at once: nothing is lost in a crash, nothing comes twice after a fork.
#pragma once

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace victim {

constexpr int patience = 5000; ///< milliseconds, for what should come at once but may be slow to

/// One line on stdout. Keeps errno.
[[gnu::format(printf, 1, 2)]] inline void say(const char* format, ...) {
    const int kept = errno;
    std::array<char, 512> line;
    std::va_list arguments;
    va_start(arguments, format);
    const int size = std::vsnprintf(line.data(), line.size() - 1, format, arguments);
    va_end(arguments);
    const auto end = std::min(static_cast<std::size_t>(size), line.size() - 2);
    line[end] = '\n';
    if (write(STDOUT_FILENO, line.data(), end + 1) < 0) std::_Exit(3);
    errno = kept;
}

/// The scene isn't what the victim needs: that is the runner's fault, not the library's.
[[noreturn]] inline void give_up(const char* why) {
    std::fprintf(stderr, "%s (%s)\n", why, strerror(errno));
    std::_Exit(2);
}

inline std::string error_name(int error) { return error == 0 ? "0" : strerrorname_np(error); }

/// "connect = 0", "send = 4", "connect = -1 ECONNREFUSED". Hands the result on; keeps errno.
inline long told(const char* call, long result) {
    if (result >= 0) say("%s = %ld", call, result);
    else say("%s = -1 %s", call, error_name(errno).c_str());
    return result;
}

/// The same for a call that gives a descriptor, whose number is nobody's business.
inline int told_fd(const char* call, int fd) {
    if (fd >= 0) say("%s = fd", call);
    else told(call, fd);
    return fd;
}

// --- addresses ---

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    [[nodiscard]] int family() const { return storage.ss_family; }
};

/// "203.0.113.80:7" or "[2001:db8:80::80]:7", without the help of any function that the library takes over.
inline Address address_of(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) give_up("an address without a port");
    auto host = std::string(text.substr(0, colon));
    const auto port = htons(static_cast<std::uint16_t>(std::stoi(std::string(text.substr(colon + 1)))));
    Address address;
    if (host.starts_with('[')) {
        host = host.substr(1, host.size() - 2);
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = port;
        address.size = sizeof *v6;
        if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) != 1) give_up("no IPv6 address");
    } else {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
        v4->sin_family = AF_INET;
        v4->sin_port = port;
        address.size = sizeof *v4;
        if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) != 1) give_up("no IPv4 address");
    }
    return address;
}

inline bool is_literal(std::string_view text) {
    return text.starts_with('[') || text.find_first_not_of("0123456789.:") == std::string_view::npos;
}

inline std::string text_of(const Address& address) {
    std::array<char, INET6_ADDRSTRLEN> host{};
    switch (address.family()) {
    case AF_INET: {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
        inet_ntop(AF_INET, &v4->sin_addr, host.data(), host.size());
        return std::string(host.data()) + ":" + std::to_string(ntohs(v4->sin_port));
    }
    case AF_INET6: {
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
        inet_ntop(AF_INET6, &v6->sin6_addr, host.data(), host.size());
        return "[" + std::string(host.data()) + "]:" + std::to_string(ntohs(v6->sin6_port));
    }
    case AF_UNIX: return "AF_UNIX";
    default: return "family " + std::to_string(address.family());
    }
}

// --- sockets ---

inline int tcp_socket(int family, int flags = 0) {
    const int fd = socket(family, SOCK_STREAM | flags, 0);
    if (fd < 0) give_up("no socket");
    return fd;
}

inline int connect_to(int fd, const Address& to) { return connect(fd, to.get(), to.size); }

inline void observe_peer(int fd, const char* who = "getpeername") {
    Address peer;
    peer.size = sizeof peer.storage;
    if (getpeername(fd, peer.get(), &peer.size) != 0) told(who, -1);
    else say("%s = %s, %u octets", who, text_of(peer).c_str(), peer.size);
}

/// Family and size, and whether there is a port. The address depends on the way, the port is the kernel's
/// choice.
inline void observe_local(int fd) {
    Address local;
    local.size = sizeof local.storage;
    if (getsockname(fd, local.get(), &local.size) != 0) {
        told("getsockname", -1);
        return;
    }
    const auto* port_at =
        reinterpret_cast<const sockaddr_in*>(&local.storage); // the same place in both families
    say("getsockname = %s, %u octets, %s", local.family() == AF_INET ? "AF_INET" : "AF_INET6", local.size,
        port_at->sin_port != 0 ? "a port" : "no port");
}

inline int so_error(int fd) {
    int error = -1;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : -1;
}
inline void observe_error(int fd) { say("SO_ERROR = %s", error_name(so_error(fd)).c_str()); }

/// Writes a word to the destination, which echoes, and reads it again.
inline void observe_echo(int fd, std::string_view word = "ping") {
    if (send(fd, word.data(), word.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(word.size())) {
        told("echo: send", -1);
        return;
    }
    std::string back;
    while (back.size() < word.size()) {
        std::array<char, 64> piece;
        pollfd readable{fd, POLLIN, 0};
        if (poll(&readable, 1, patience) != 1) break;
        const auto size = recv(fd, piece.data(), piece.size(), 0);
        if (size < 0) told("echo: recv", -1);
        if (size <= 0) break;
        back.append(piece.data(), static_cast<std::size_t>(size));
    }
    say("echo: %s", back == word ? "the same" : ("'" + back + "'").c_str());
}

// --- readiness ---

inline std::string event_names(unsigned events) {
    struct Named {
        unsigned bit;
        const char* name;
    };
    constexpr std::array<Named, 6> all{{{POLLIN, "IN"},
                                        {POLLPRI, "PRI"},
                                        {POLLOUT, "OUT"},
                                        {POLLERR, "ERR"},
                                        {POLLHUP, "HUP"},
                                        {POLLRDHUP, "RDHUP"}}};
    std::string names;
    for (const auto& [bit, name] : all)
        if ((events & bit) != 0) names += (names.empty() ? "" : "|") + std::string(name);
    return names.empty() ? "nothing" : names;
}

/// What poll() reports within `timeout` milliseconds, of all that can be asked for.
inline unsigned poll_events(int fd, int timeout) {
    pollfd interest{fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0};
    return poll(&interest, 1, timeout) == 1 ? static_cast<unsigned>(interest.revents) : 0;
}
inline void observe_poll(int fd, int timeout = 0) {
    say("poll: %s", event_names(poll_events(fd, timeout)).c_str());
}

/// Waits until a connect() under way is over, without a word.
inline void await_end_of_connect(int fd) {
    pollfd interest{fd, POLLOUT, 0};
    if (poll(&interest, 1, patience) != 1) say("the connect() is never over");
}

class Stopwatch {
public:
    [[nodiscard]] long milliseconds() const {
        return static_cast<long>(
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun_).count());
    }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point begun_ = Clock::now();
};

inline void pause(int milliseconds) { usleep(static_cast<useconds_t>(milliseconds) * 1000); }

// --- what a process has ---

/// Sockets among its descriptors, whoever opened them.
inline int count_sockets() {
    int count = 0;
    DIR* const all = opendir("/proc/self/fd");
    while (const auto* entry = readdir(all)) {
        std::array<char, 64> target{};
        const auto path = std::string("/proc/self/fd/") + entry->d_name;
        if (readlink(path.c_str(), target.data(), target.size() - 1) > 0)
            count += std::string_view(target.data()).starts_with("socket:");
    }
    closedir(all);
    return count;
}

// --- main() ---

using Arguments = std::vector<std::string_view>;
struct Scenario {
    std::string_view name;
    void (*run)(const Arguments& arguments);
    std::size_t least_arguments = 0;
};

/// Runs the scenario that the first argument names with the rest.
template <std::size_t count>
int run(int argc, char** argv, const Scenario (&scenarios)[count]) {
    const Arguments words(argv + 1, argv + argc);
    for (const auto& scenario : scenarios) {
        if (words.empty() || words[0] != scenario.name) continue;
        const Arguments rest(words.begin() + 1, words.end());
        if (rest.size() < scenario.least_arguments) break;
        scenario.run(rest);
        return 0;
    }
    for (const auto& scenario : scenarios)
        std::fprintf(stderr, "%s %.*s (%zu arguments)\n", argv[0], static_cast<int>(scenario.name.size()),
                     scenario.name.data(), scenario.least_arguments);
    return 2;
}

} // namespace victim
