// bench-server: a SOCKS5 server that is its own destination, so that its part in a measurement is small, and
// the same for every client.
//
//     bench-server ADDRESS [password]
//
// Listens on ADDRESS, port 1080, for SOCKS5: takes method 00, or with `password` user/password alone with any
// pair, and grants every CONNECT; LIST-FEATURES and all else gets reply 07. Then, as if it were the
// destination, it does what the port asks for: 7 echoes, 9 discards, 19 sends as much as is taken. Those
// three ports are open as well, without SOCKS: "bare". "ready" on standard output means that all listen.
//
// It reads what there is, so messages that come in one segment are answered as well as those that come alone.
// One thread, epoll; it ends with its parent.

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

enum class State : std::uint8_t { closed, listening, greeting, login, request, echo, discard, chargen };

struct Connection {
    State state = State::closed;
    std::uint16_t port = 0; ///< of a listener
    std::string in;         ///< of a handshake: what is not a whole message yet
};

constexpr std::uint16_t socks_port = 1080;
bool wants_password = false;
std::vector<Connection> connections;
std::array<char, 1 << 18> buffer{};
int epoll_fd = -1;

void check(bool good, const char* what) {
    if (good) return;
    std::perror(what);
    std::exit(1);
}

Connection& at(int fd) {
    if (static_cast<std::size_t>(fd) >= connections.size())
        connections.resize(static_cast<std::size_t>(fd) * 2 + 64);
    return connections[static_cast<std::size_t>(fd)];
}

void watch(int fd, std::uint32_t events, int how) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    check(epoll_ctl(epoll_fd, how, fd, &event) == 0, "epoll_ctl");
}

State service_of(std::uint16_t port) {
    switch (port) {
    case 9: return State::discard;
    case 19: return State::chargen;
    default: return State::echo;
    }
}

void begin_service(int fd, std::uint16_t port) {
    at(fd).state = service_of(port);
    if (at(fd).state == State::chargen) watch(fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

void listen_on(const char* address, std::uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    check(inet_pton(AF_INET, address, &to.sin_addr) == 1, address);
    check(bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0, "bind");
    const int backlog = 256;
    setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &backlog, sizeof backlog);
    check(listen(fd, 4096) == 0, "listen");
    at(fd) = {State::listening, port, {}};
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
}

void accept_from(int listener) {
    const auto port = at(listener).port;
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    at(fd).in.clear();
    at(fd).state = State::greeting;
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    if (port != socks_port) begin_service(fd, port);
}

void end(int fd) {
    at(fd).state = State::closed;
    close(fd);
}

void answer(int fd, std::string_view octets) {
    if (send(fd, octets.data(), octets.size(), MSG_NOSIGNAL) < 0) end(fd);
}

using namespace std::literals;
constexpr auto granted = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"sv;
constexpr auto not_supported = "\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"sv;

/// Takes one message of a handshake away from the front of what has come; 0 if it is not whole yet.
std::size_t take_message(int fd) {
    const auto& in = at(fd).in;
    const auto octet = [&](std::size_t i) -> std::size_t { return static_cast<std::uint8_t>(in[i]); };
    switch (at(fd).state) {
    case State::greeting: {
        if (in.size() < 2 || in.size() < 2 + octet(1)) return 0;
        const auto methods = std::string_view(in).substr(2, octet(1));
        const char method = wants_password ? '\x02' : '\x00';
        if (methods.find(method) == methods.npos) {
            answer(fd, "\x05\xff"sv);
            end(fd);
            return 0;
        }
        const std::size_t size = 2 + methods.size();
        at(fd).state = wants_password ? State::login : State::request;
        answer(fd, {wants_password ? "\x05\x02" : "\x05\x00", 2});
        return size;
    }
    case State::login: {
        if (in.size() < 2 || in.size() < 3 + octet(1)) return 0;
        const std::size_t size = 3 + octet(1) + octet(2 + octet(1));
        if (in.size() < size) return 0;
        at(fd).state = State::request;
        answer(fd, "\x01\x00"sv);
        return size;
    }
    case State::request: {
        if (in.size() < 7) return 0;
        if (in[1] != 1) {
            answer(fd, not_supported);
            end(fd);
            return 0;
        }
        const std::size_t size = in[3] == 1 ? 10 : in[3] == 4 ? 22 : 7 + octet(4);
        if (in.size() < size) return 0;
        const auto port = static_cast<std::uint16_t>(octet(size - 2) << 8 | octet(size - 1));
        answer(fd, granted);
        if (at(fd).state != State::closed) begin_service(fd, port);
        return size;
    }
    default: return 0;
    }
}

void on_ready(int fd, std::uint32_t events) {
    auto state = at(fd).state;
    if (state == State::closed) return;
    if (state == State::listening) return accept_from(fd);
    if ((events & EPOLLOUT) != 0) {
        if (send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
            return end(fd);
        if ((events & EPOLLIN) == 0) return;
    }
    const auto size = recv(fd, buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return end(fd);
    std::string_view got(buffer.data(), static_cast<std::size_t>(size));
    std::string rest;
    if (state == State::greeting || state == State::login || state == State::request) {
        auto& in = at(fd).in;
        in += got;
        while (const auto taken = take_message(fd)) at(fd).in.erase(0, taken);
        state = at(fd).state;
        if (state != State::echo && state != State::discard && state != State::chargen) return;
        rest = std::exchange(at(fd).in, {}); // early data
        got = rest;
        if (got.empty()) return;
    }
    if (state == State::echo) answer(fd, got);
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) {
        std::fputs("usage: bench-server ADDRESS [password]\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    wants_password = count > 2 && arguments[2] == "password"sv;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (const std::uint16_t port : {socks_port, std::uint16_t{7}, std::uint16_t{9}, std::uint16_t{19}})
        listen_on(arguments[1], port);
    std::puts("ready");
    std::fflush(stdout);
    std::array<epoll_event, 64> events{};
    for (;;) {
        const int ready = epoll_wait(epoll_fd, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < ready; ++i)
            on_ready(events[static_cast<std::size_t>(i)].data.fd, events[static_cast<std::size_t>(i)].events);
    }
}
