// Sockets that no SOCKS proxy can serve: raw ones, SCTP, packets; and first data by MSG_FASTOPEN. Each way
// out ends in a clear errno, before anything has left.
#include "victim.hpp"

#include <functional>
#include <netinet/if_ether.h>
#include <netinet/ip_icmp.h>
#include <netpacket/packet.h>

using namespace victim;

namespace {

/// connect, send and sendto on `fd`, if there is one.
void try_everything(int fd, const Address& to) {
    if (fd < 0) return;
    icmphdr request{};
    request.type = ICMP_ECHO;
    iovec piece{&request, sizeof request};
    auto name = to;
    msghdr message{};
    message.msg_name = name.get();
    message.msg_namelen = name.size;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    told("connect", connect_to(fd, to));
    told("send", send(fd, &request, sizeof request, MSG_NOSIGNAL));
    told("sendto", sendto(fd, &request, sizeof request, 0, to.get(), to.size));
    told("sendmsg", sendmsg(fd, &message, 0));
    close(fd);
}

void raw(const Arguments& destinations) {
    for (const auto& text : destinations) {
        const auto to = address_of(text);
        const int icmp =
            to.family() == AF_INET ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6);
        for (const int protocol : {icmp, static_cast<int>(IPPROTO_RAW), static_cast<int>(IPPROTO_TCP),
                                   static_cast<int>(IPPROTO_UDP)})
            try_everything(told_fd("socket SOCK_RAW", socket(to.family(), SOCK_RAW, protocol)), to);
        try_everything(told_fd("socket for pings", socket(to.family(), SOCK_DGRAM, icmp)), to);
    }
}

void sctp(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const int type : {SOCK_STREAM, SOCK_SEQPACKET})
        try_everything(told_fd("socket SCTP", socket(to.family(), type, IPPROTO_SCTP)), to);
    // sctp_connectx() hides its addresses in an option.
    const int fd = tcp_socket(to.family());
    for (const int option : {107, 110, 111})
        told("SCTP_SOCKOPT_CONNECTX", setsockopt(fd, 132, option, to.get(), to.size));
}

void packet(const Arguments&) {
    for (const int type : {SOCK_RAW, SOCK_DGRAM})
        told_fd("socket AF_PACKET", socket(AF_PACKET, type, htons(ETH_P_IP)));
    // One that is already there (inherited, say) is refused when it sends.
    sockaddr_ll link{};
    link.sll_family = AF_PACKET;
    link.sll_protocol = htons(ETH_P_IP);
    const int udp = socket(AF_INET, SOCK_DGRAM, 0);
    told("sendto AF_PACKET", sendto(udp, "x", 1, 0, reinterpret_cast<sockaddr*>(&link), sizeof link));
}

/// A SYN with data needs no connect().
void fast_open(const Arguments& words) {
    const auto to = address_of(words[0]);
    iovec piece{const_cast<char*>("hello"), 5};
    auto name = to;
    mmsghdr message{};
    message.msg_hdr.msg_name = name.get();
    message.msg_hdr.msg_namelen = name.size;
    message.msg_hdr.msg_iov = &piece;
    message.msg_hdr.msg_iovlen = 1;
    constexpr int fast = MSG_FASTOPEN | MSG_NOSIGNAL;
    const auto back = [](int fd) {
        std::array<char, 5> octets{};
        told("recv", recv(fd, octets.data(), octets.size(), MSG_WAITALL));
        observe_peer(fd);
    };
    const auto with_sendto = [&](int fd) { return sendto(fd, "hello", 5, fast, to.get(), to.size); };
    const auto with_sendmsg = [&](int fd) { return sendmsg(fd, &message.msg_hdr, fast); };
    const auto with_sendmmsg = [&](int fd) -> ssize_t { return sendmmsg(fd, &message, 1, fast); };
    for (const std::function<ssize_t(int)>& call :
         {std::function<ssize_t(int)>(with_sendto), {with_sendmsg}, {with_sendmmsg}}) {
        int fd = tcp_socket(to.family());
        told("MSG_FASTOPEN", call(fd));
        back(fd);
        told("MSG_FASTOPEN again", call(fd));
        close(fd);
        fd = tcp_socket(to.family(), SOCK_NONBLOCK);
        told("MSG_FASTOPEN", call(fd));
        await_end_of_connect(fd);
        observe_error(fd);
        observe_peer(fd);
        observe_echo(fd);
        close(fd);
    }
}

/// TCP_FASTOPEN_CONNECT: connect() is put off until the first write. Through a proxy it needn't be.
void fast_open_connect(const Arguments& words) {
    const auto to = address_of(words[0]);
    constexpr int tcp_fastopen_connect = 30;
    const int on = 1;
    const int fd = tcp_socket(to.family());
    told("TCP_FASTOPEN_CONNECT", setsockopt(fd, IPPROTO_TCP, tcp_fastopen_connect, &on, sizeof on));
    told("connect", connect_to(fd, to));
    observe_echo(fd);
    observe_peer(fd);
    close(fd);
}

/// A stream socket ignores the address that sendto() gives; without a connection it is EPIPE.
void stream_with_address(const Arguments& words) {
    const auto to = address_of(words[0]);
    int fd = tcp_socket(to.family());
    told("sendto", sendto(fd, "hello", 5, MSG_NOSIGNAL, to.get(), to.size));
    told("connect", connect_to(fd, to));
    const auto elsewhere = address_of("203.0.113.99:1");
    told("sendto", sendto(fd, "ping", 4, MSG_NOSIGNAL, elsewhere.get(), elsewhere.size));
    std::array<char, 4> octets{};
    told("recv", recv(fd, octets.data(), octets.size(), MSG_WAITALL));
    close(fd);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"raw", raw, 1},
                {"sctp", sctp, 1},
                {"packet", packet},
                {"fast_open", fast_open, 1},
                {"fast_open_connect", fast_open_connect, 1},
                {"stream_with_address", stream_with_address, 1}});
}
