// bench-client: the program that is sent through a proxy, one way or another, and measures itself.
//
//     bench-client connects HOST PORT COUNT [THREADS]    connect, one octet there and back, close
//     bench-client first-byte HOST PORT COUNT [PAUSE]    the same, with times; PAUSE milliseconds after each
//     bench-client nonblocking HOST PORT COUNT           how long a non-blocking connect() takes to return
//     bench-client pingpong HOST PORT COUNT              one octet there and back, on one connection
//     bench-client send|receive HOST PORT MEBIOCTETS     in bulk, on one connection
//     bench-client idle HOST PORT COUNT                  so many open connections, until its input ends
//     bench-client memory HOST PORT                      private dirty memory after one connection, and two
//
// HOST is an IPv4 address. With SOCKS=ADDRESS:PORT in its environment it speaks SOCKS5 itself, as plainly as
// can be: "a client that speaks SOCKS itself". One line of JSON on standard output for each result; times in
// microseconds, `begin` and `end` in seconds since the epoch. One connection goes before what is measured,
// unless it is the first that matters (first-byte, memory).

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

sockaddr_in destination{};
sockaddr_in proxy{};
bool speaks_socks = false;
std::array<char, 10> request{};

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "bench-client: %s: %s\n", what, std::strerror(errno));
    std::_Exit(1);
}

double microseconds(Clock::duration duration) {
    return std::chrono::duration<double, std::micro>(duration).count();
}

void receive_exactly(int fd, char* to, std::size_t count) {
    while (count > 0) {
        const auto got = recv(fd, to, count, 0);
        if (got <= 0) fail("recv");
        to += got;
        count -= static_cast<std::size_t>(got);
    }
}

void connect_to(int fd, const sockaddr_in& to) {
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
}

int open_socket(int flags = 0) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) fail("socket");
    return fd;
}

int open_connection() {
    const int fd = open_socket();
    if (!speaks_socks) {
        connect_to(fd, destination);
        return fd;
    }
    connect_to(fd, proxy);
    std::array<char, 10> reply;
    if (send(fd, "\x05\x01\x00", 3, MSG_NOSIGNAL) != 3) fail("greeting");
    receive_exactly(fd, reply.data(), 2);
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != 10) fail("request");
    receive_exactly(fd, reply.data(), 10);
    if (reply[1] != 0) fail("reply");
    return fd;
}

void exchange_octet(int fd) {
    char octet = '?';
    if (send(fd, &octet, 1, MSG_NOSIGNAL) != 1) fail("send");
    receive_exactly(fd, &octet, 1);
    if (octet != '?') fail("echo");
}

void connect_once() {
    const int fd = open_connection();
    exchange_octet(fd);
    close(fd);
}

void connects(long count, long threads) {
    connect_once();
    const auto begin = Clock::now();
    if (threads == 1) {
        for (long i = 0; i < count; ++i) connect_once();
    } else {
        std::vector<std::thread> all;
        std::atomic<long> left{count};
        for (long i = 0; i < threads; ++i)
            all.emplace_back([&] {
                while (left.fetch_sub(1) > 0) connect_once();
            });
        for (auto& thread : all) thread.join();
    }
    std::printf("{\"each\": %.4f}\n", microseconds(Clock::now() - begin) / static_cast<double>(count));
}

void first_byte(long count, long pause) {
    for (long i = 0; i < count; ++i) {
        const auto epoch = [] {
            return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
        };
        const double begun = epoch();
        const auto begin = Clock::now();
        const int fd = open_connection();
        const auto connected = Clock::now();
        exchange_octet(fd);
        const auto answered = Clock::now();
        std::printf("{\"begin\": %.6f, \"end\": %.6f, \"connect\": %.1f, \"first_byte\": %.1f}\n", begun,
                    epoch(), microseconds(connected - begin), microseconds(answered - begin));
        std::fflush(stdout);
        close(fd);
        std::this_thread::sleep_for(std::chrono::milliseconds(pause));
    }
}

/// The time until connect() returns, and the time until the connection is there.
std::array<double, 2> connect_nonblocking() {
    const int fd = open_socket(SOCK_NONBLOCK);
    const auto& to = speaks_socks ? proxy : destination;
    const auto begin = Clock::now();
    const int connected = connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    const auto returned = Clock::now();
    if (connected != 0 && errno != EINPROGRESS) fail("connect");
    pollfd interest{fd, POLLOUT, 0};
    while (poll(&interest, 1, 5000) == 0) fail("poll");
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if ((errno = error) != 0) fail("connect, later");
    const auto there = Clock::now();
    close(fd);
    return {microseconds(returned - begin), microseconds(there - begin)};
}

void nonblocking(long count) {
    connect_nonblocking();
    std::vector<std::array<double, 2>> times;
    for (long i = 0; i < count; ++i) times.push_back(connect_nonblocking());
    const auto median = [&](std::size_t which) {
        const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
        std::nth_element(times.begin(), middle, times.end(),
                         [&](auto& a, auto& b) { return a[which] < b[which]; });
        return (*middle)[which];
    };
    std::printf("{\"returns\": %.2f, \"connected\": %.2f}\n", median(0), median(1));
}

void pingpong(long count) {
    const int fd = open_connection();
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    exchange_octet(fd);
    const auto begin = Clock::now();
    for (long i = 0; i < count; ++i) exchange_octet(fd);
    std::printf("{\"each\": %.4f}\n", microseconds(Clock::now() - begin) / static_cast<double>(count));
    close(fd);
}

void bulk(bool sends, long mebioctets) {
    static std::array<char, 1 << 17> buffer{};
    const int fd = open_connection();
    auto left = static_cast<std::size_t>(mebioctets) << 20;
    const auto begin = Clock::now();
    while (left > 0) {
        const auto size = std::min(left, buffer.size());
        const auto done =
            sends ? send(fd, buffer.data(), size, MSG_NOSIGNAL) : recv(fd, buffer.data(), size, 0);
        if (done <= 0) fail("bulk");
        left -= static_cast<std::size_t>(done);
    }
    std::printf("{\"each\": %.4f}\n", microseconds(Clock::now() - begin) / static_cast<double>(mebioctets));
    close(fd);
}

void idle(long count) {
    for (long i = 0; i < count; ++i) exchange_octet(open_connection()); // which stay open
    std::puts("{}");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
}

long private_dirty_kib() {
    static std::array<char, 8192> text{};
    std::FILE* file = std::fopen("/proc/self/smaps_rollup", "re");
    if (file == nullptr) fail("smaps_rollup");
    text[std::fread(text.data(), 1, text.size() - 1, file)] = '\0';
    std::fclose(file);
    const char* at = std::strstr(text.data(), "Private_Dirty:");
    return at != nullptr ? std::strtol(at + 14, nullptr, 10) : -1;
}

void memory() {
    private_dirty_kib(); // what stdio takes
    const long before = private_dirty_kib();
    connect_once();
    const long after_one = private_dirty_kib();
    connect_once();
    std::printf("{\"loaded\": %ld, \"connected\": %ld, \"again\": %ld}\n", before, after_one,
                private_dirty_kib());
}

sockaddr_in to_address(const char* host, long port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(static_cast<std::uint16_t>(port));
    if (inet_pton(AF_INET, host, &out.sin_addr) != 1) fail(host);
    return out;
}

int usage() {
    std::fputs("usage: bench-client MODE HOST PORT [COUNT [MORE]]\n", stderr);
    return 2;
}

} // namespace

int main(int count, char** arguments) {
    if (count < 4) return usage();
    const auto number = [&](int i, long otherwise) {
        return count > i ? std::strtol(arguments[i], nullptr, 10) : otherwise;
    };
    destination = to_address(arguments[2], number(3, 0));
    if (char* socks = std::getenv("SOCKS")) {
        speaks_socks = true;
        char* colon = std::strchr(socks, ':');
        if (colon == nullptr) return usage();
        *colon = '\0';
        proxy = to_address(socks, std::strtol(colon + 1, nullptr, 10));
        std::memcpy(request.data(), "\x05\x01\x00\x01", 4);
        std::memcpy(request.data() + 4, &destination.sin_addr, 4);
        std::memcpy(request.data() + 8, &destination.sin_port, 2);
    }
    const auto is = [&](const char* mode) { return std::strcmp(arguments[1], mode) == 0; };
    if (is("connects")) connects(number(4, 1), number(5, 1));
    else if (is("first-byte")) first_byte(number(4, 1), number(5, 0));
    else if (is("nonblocking")) nonblocking(number(4, 1));
    else if (is("pingpong")) pingpong(number(4, 1));
    else if (is("send") || is("receive")) bulk(is("send"), number(4, 1));
    else if (is("idle")) idle(number(4, 1));
    else if (is("memory")) memory();
    else return usage();
    return 0;
}
