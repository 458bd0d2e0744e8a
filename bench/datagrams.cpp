// bench-datagrams: a program that sends datagrams and has them back, one way or another, and measures itself.
//
//     bench-datagrams single HOST PORT SIZE COUNT      one there and back, and the next
//     bench-datagrams batch HOST PORT SIZE COUNT       32 by one sendmmsg(), back by recvmmsg()
//     bench-datagrams window HOST PORT SIZE COUNT      16 on their way at any time, one by one
//     bench-datagrams serve ADDRESS PORT               returns each to where it came from
//     bench-datagrams forward ADDRESS PORT HOST PORT   a plain forwarder, for one client
//
// HOST is an IPv4 address. With SOCKS=ADDRESS:PORT in its environment it speaks SOCKS5 itself, as plainly as
// can be. One line of JSON on standard output: datagrams per second, microseconds of processor time for each,
// and how many were lost. An eighth of COUNT goes before what is measured.

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr unsigned batch_size = 32, window_size = 16, most_octets = 2048;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "bench-datagrams: %s: %s\n", what, std::strerror(errno));
    std::_Exit(1);
}

sockaddr_in address_of(const char* host, const char* port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail(host);
    return address;
}
const sockaddr* generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

int open_socket(const sockaddr_in* own, const sockaddr_in* peer) {
    const int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;
    if (fd < 0) fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (own != nullptr && bind(fd, generic(*own), sizeof *own) != 0) fail("bind");
    if (peer != nullptr && connect(fd, generic(*peer), sizeof *peer) != 0) fail("connect");
    return fd;
}

// --- SOCKS, by the program itself ---

std::array<char, 10> header{}; ///< RSV, FRAG, ATYP, DST.ADDR, DST.PORT
std::size_t header_size = 0;

/// Port of the proxy's for datagrams; the connection stays open.
sockaddr_in associate(const char* proxy, const sockaddr_in& destination) {
    const std::string_view text(proxy);
    const auto colon = text.rfind(':');
    auto relay = address_of(std::string(text.substr(0, colon)).c_str(), proxy + colon + 1);
    const int control = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(control, generic(relay), sizeof relay) != 0) fail("connect to the proxy");
    std::array<unsigned char, 10> reply{};
    if (send(control, "\5\1\0", 3, 0) != 3 || recv(control, reply.data(), 2, MSG_WAITALL) != 2)
        fail("greeting");
    if (send(control, "\5\3\0\1\0\0\0\0\0\0", 10, 0) != 10 ||
        recv(control, reply.data(), 10, MSG_WAITALL) != 10 || reply[1] != 0)
        fail("UDP ASSOCIATE");
    std::memcpy(&relay.sin_port, &reply[8], 2);
    header[3] = 1;
    std::memcpy(&header[4], &destination.sin_addr, 4);
    std::memcpy(&header[8], &destination.sin_port, 2);
    header_size = header.size();
    return relay;
}

// --- the client ---

struct Client {
    int fd;
    std::size_t size;
    std::vector<char> payload, in;
    unsigned long lost = 0;

    Client(int socket, std::size_t octets)
        : fd(socket), size(octets), payload(octets, 'x'), in((batch_size + 1) * most_octets) {}

    void send_one() {
        iovec pieces[2]{{header.data(), header_size}, {payload.data(), size}};
        if (header_size == 0) {
            if (send(fd, payload.data(), size, 0) != static_cast<ssize_t>(size)) fail("send");
            return;
        }
        msghdr message{};
        message.msg_iov = pieces;
        message.msg_iovlen = 2;
        if (sendmsg(fd, &message, 0) < 0) fail("sendmsg");
    }

    void lose(unsigned long some) {
        constexpr unsigned long too_many = 400;
        if ((lost += some) <= too_many) return;
        std::fputs("too many are lost\n", stderr);
        std::_Exit(1);
    }

    /// False if it is lost.
    bool receive_one() {
        const auto got = recv(fd, in.data(), most_octets, 0);
        if (got < 0 && errno == EAGAIN) return lose(1), false; // SO_RCVTIMEO
        if (got != static_cast<ssize_t>(header_size + size)) fail("recv");
        return true;
    }

    void single(unsigned long count) {
        while (count-- > 0) {
            send_one();
            receive_one();
        }
    }

    void window(unsigned long count) {
        unsigned long sent = 0, back = 0;
        for (; sent < window_size && sent < count; ++sent) send_one();
        while (back < count) {
            if (receive_one()) ++back;
            else back = sent; // all of them
            for (; sent < count && sent < back + window_size; ++sent) send_one();
        }
    }

    void batch(unsigned long count) {
        std::array<mmsghdr, batch_size> out{}, into{};
        std::array<std::array<iovec, 2>, batch_size> pieces{};
        std::array<iovec, batch_size> rooms{};
        for (unsigned i = 0; i < batch_size; ++i) {
            pieces[i] = {iovec{header.data(), header_size}, iovec{payload.data(), size}};
            out[i].msg_hdr.msg_iov = header_size > 0 ? pieces[i].data() : &pieces[i][1];
            out[i].msg_hdr.msg_iovlen = header_size > 0 ? 2 : 1;
            rooms[i] = {in.data() + i * most_octets, most_octets};
            into[i].msg_hdr.msg_iov = &rooms[i];
            into[i].msg_hdr.msg_iovlen = 1;
        }
        for (; count >= batch_size; count -= batch_size) {
            for (unsigned sent = 0; sent < batch_size;) {
                const int some = sendmmsg(fd, out.data() + sent, batch_size - sent, 0);
                if (some < 0) fail("sendmmsg");
                sent += static_cast<unsigned>(some);
            }
            for (unsigned back = 0; back < batch_size;) {
                const int some = recvmmsg(fd, into.data(), batch_size - back, MSG_WAITFORONE, nullptr);
                if (some < 0 && errno != EAGAIN) fail("recvmmsg");
                if (some < 0) {
                    lose(batch_size - back);
                    break;
                }
                if (into[0].msg_len != header_size + size) fail("recvmmsg: another size");
                back += static_cast<unsigned>(some);
            }
        }
    }
};

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}
double processor_time() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void measure(std::string_view mode, char** words) {
    const auto destination = address_of(words[0], words[1]);
    const auto size = static_cast<std::size_t>(std::atoi(words[2]));
    const auto count = std::strtoul(words[3], nullptr, 10) / batch_size * batch_size;
    if (size > most_octets - header.size() || count == 0) fail("SIZE or COUNT");
    const char* proxy = std::getenv("SOCKS");
    const auto peer = proxy != nullptr ? associate(proxy, destination) : destination;
    Client client(open_socket(nullptr, &peer), size);
    const timeval patience{0, 300'000};
    setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const auto run = mode == "single" ? &Client::single : mode == "window" ? &Client::window : &Client::batch;
    (client.*run)(std::max<unsigned long>(count / 8 / batch_size * batch_size, batch_size));
    client.lost = 0;
    const auto begin = std::chrono::steady_clock::now();
    const double used = processor_time();
    (client.*run)(count);
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const auto of_all = static_cast<double>(count);
    std::printf("{\"rate\": %.1f, \"processor\": %.4f, \"lost\": %lu}\n", of_all / took,
                (processor_time() - used) * 1e6 / of_all, client.lost);
}

// --- the servers ---

[[noreturn]] void serve(char** words) {
    const auto own = address_of(words[0], words[1]);
    const int fd = open_socket(&own, nullptr);
    std::vector<char> octets(batch_size * most_octets);
    std::array<mmsghdr, batch_size> messages{};
    std::array<iovec, batch_size> rooms{};
    std::array<sockaddr_in, batch_size> sources{};
    for (unsigned i = 0; i < batch_size; ++i) {
        messages[i].msg_hdr.msg_iov = &rooms[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &sources[i];
    }
    std::puts("ready");
    std::fflush(stdout);
    for (;;) {
        for (unsigned i = 0; i < batch_size; ++i) {
            rooms[i] = {octets.data() + i * most_octets, most_octets};
            messages[i].msg_hdr.msg_namelen = sizeof sources[i];
        }
        const int came = recvmmsg(fd, messages.data(), batch_size, MSG_WAITFORONE, nullptr);
        for (int i = 0; i < came; ++i)
            rooms[static_cast<unsigned>(i)].iov_len = messages[static_cast<unsigned>(i)].msg_len;
        if (came > 0) sendmmsg(fd, messages.data(), static_cast<unsigned>(came), 0);
    }
}

[[noreturn]] void forward(char** words) {
    const auto own = address_of(words[0], words[1]), destination = address_of(words[2], words[3]);
    const int inside = open_socket(&own, nullptr), outside = open_socket(nullptr, &destination);
    sockaddr_in client{};
    std::array<char, 65536> octets;
    pollfd both[]{{inside, POLLIN, 0}, {outside, POLLIN, 0}};
    std::puts("ready");
    std::fflush(stdout);
    for (;;) {
        poll(both, 2, -1);
        socklen_t size = sizeof client;
        for (ssize_t got; (got = recvfrom(inside, octets.data(), octets.size(), MSG_DONTWAIT,
                                          reinterpret_cast<sockaddr*>(&client), &size)) >= 0;)
            send(outside, octets.data(), static_cast<std::size_t>(got), 0);
        for (ssize_t got; (got = recv(outside, octets.data(), octets.size(), MSG_DONTWAIT)) >= 0;)
            sendto(inside, octets.data(), static_cast<std::size_t>(got), 0, generic(client), sizeof client);
    }
}

} // namespace

int main(int count, char** words) {
    const std::string_view mode = count > 1 ? words[1] : "";
    if (mode == "serve" && count == 4) serve(words + 2);
    if (mode == "forward" && count == 6) forward(words + 2);
    if ((mode == "single" || mode == "batch" || mode == "window") && count == 6)
        return measure(mode, words + 2), 0;
    std::fputs("usage: bench-datagrams single|batch|window HOST PORT SIZE COUNT\n"
               "       bench-datagrams serve ADDRESS PORT\n"
               "       bench-datagrams forward ADDRESS PORT HOST PORT\n",
               stderr);
    return 2;
}
