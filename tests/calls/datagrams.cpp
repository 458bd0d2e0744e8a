// UDP: what no proxy carries is refused, and not one datagram leaves; what the rules let go directly goes.
#include "victim.hpp"

#include <netinet/udp.h>

using namespace victim;

namespace {

struct Datagram {
    std::array<char, 5> octets{'h', 'e', 'l', 'l', 'o'};
    iovec piece{octets.data(), octets.size()};
    Address to;
    mmsghdr message{};

    explicit Datagram(const Address& address) : to(address) {
        message.msg_hdr.msg_name = to.get();
        message.msg_hdr.msg_namelen = to.size;
        message.msg_hdr.msg_iov = &piece;
        message.msg_hdr.msg_iovlen = 1;
    }
    Datagram(const Datagram&) = delete;
    Datagram& operator=(const Datagram&) = delete;
};

int udp_socket(int family, int protocol = 0) {
    const int fd = socket(family, SOCK_DGRAM, protocol);
    if (fd < 0) give_up("no UDP socket");
    return fd;
}

/// By every call that can name a destination, on a fresh socket each.
void every_way(const Address& to, int family, int protocol) {
    Datagram datagram(to);
    int fd = udp_socket(family, protocol);
    told("connect", connect_to(fd, to));
    told("send", send(fd, "hello", 5, 0));
    Address peer;
    peer.size = sizeof peer.storage;
    told("getpeername", getpeername(fd, peer.get(), &peer.size));
    close(fd);
    fd = udp_socket(family, protocol);
    told("sendto", sendto(fd, "hello", 5, 0, to.get(), to.size));
    told("sendto nothing", sendto(fd, "", 0, 0, to.get(), to.size));
    told("sendmsg", sendmsg(fd, &datagram.message.msg_hdr, 0));
    told("sendmmsg", sendmmsg(fd, &datagram.message, 1, 0));
    told("sendto MSG_CONFIRM", sendto(fd, "hello", 5, MSG_CONFIRM | MSG_DONTWAIT, to.get(), to.size));
    close(fd);
}

void to_each(const Arguments& destinations) {
    for (const auto& text : destinations) {
        const auto to = address_of(text);
        every_way(to, to.family(), 0);
    }
}

/// udp_sendmsg() takes an AF_INET socket's address for one even when its family says AF_UNSPEC.
void without_a_family(const Arguments& words) {
    auto to = address_of(words[0]);
    to.storage.ss_family = AF_UNSPEC;
    Datagram datagram(to);
    const int fd = udp_socket(AF_INET);
    told("sendto", sendto(fd, "hello", 5, 0, to.get(), to.size));
    told("sendmsg", sendmsg(fd, &datagram.message.msg_hdr, 0));
    told("sendmmsg", sendmmsg(fd, &datagram.message, 1, 0));
}

/// The same on an AF_INET6 socket, for mapped addresses too.
void on_inet6(const Arguments& destinations) {
    for (const auto& text : destinations) every_way(address_of(text), AF_INET6, 0);
}

void udp_lite(const Arguments& words) { every_way(address_of(words[0]), AF_INET, IPPROTO_UDPLITE); }

/// With a receiver on this machine's own loopback: nothing is in the way.
void loopback(const Arguments&) {
    for (const int family : {AF_INET, AF_INET6}) {
        const int receiver = udp_socket(family);
        auto at = address_of(family == AF_INET ? "127.0.0.1:0" : "[::1]:0");
        told("bind", bind(receiver, at.get(), at.size));
        getsockname(receiver, at.get(), &at.size);
        every_way(at, family, 0);
        std::array<char, 8> octets{};
        for (int i = 0; i < 6; ++i) told("recv", recv(receiver, octets.data(), octets.size(), MSG_DONTWAIT));
        told("recv", recv(receiver, octets.data(), octets.size(), MSG_DONTWAIT));
        close(receiver);
    }
}

/// PROXIED: one message for loopback and one for a proxied destination. The kernel's word for the first one
/// that can't be sent is how many went before it.
void mixed(const Arguments& words) {
    const int receiver = udp_socket(AF_INET);
    auto at = address_of("127.0.0.1:0");
    bind(receiver, at.get(), at.size);
    getsockname(receiver, at.get(), &at.size);
    Datagram near(at), far(address_of(words[0]));
    std::array<mmsghdr, 2> both{near.message, far.message};
    const int fd = udp_socket(AF_INET);
    told("sendmmsg", sendmmsg(fd, both.data(), both.size(), 0));
    std::array<char, 8> octets{};
    told("recv", recv(receiver, octets.data(), octets.size(), MSG_DONTWAIT));
    std::swap(both[0], both[1]);
    told("sendmmsg", sendmmsg(fd, both.data(), both.size(), 0));
    told("recv", recv(receiver, octets.data(), octets.size(), MSG_DONTWAIT));
}

/// Connected to loopback, and then away: the second destination gets nothing by way of the first.
void connected_then_elsewhere(const Arguments& words) {
    const int receiver = udp_socket(AF_INET);
    auto at = address_of("127.0.0.1:0");
    bind(receiver, at.get(), at.size);
    getsockname(receiver, at.get(), &at.size);
    const int fd = udp_socket(AF_INET);
    told("connect", connect_to(fd, at));
    const auto to = address_of(words[0]);
    told("sendto", sendto(fd, "hello", 5, 0, to.get(), to.size));
    told("connect", connect_to(fd, to));
    told("send", send(fd, "hello", 5, 0));
    std::array<char, 8> octets{};
    told("recv", recv(receiver, octets.data(), octets.size(), MSG_DONTWAIT));
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    told("connect to nobody", connect(fd, &nobody, sizeof nobody));
    told("send", send(fd, "hello", 5, 0));
}

/// Arguments that make no sense are the kernel's to refuse.
void bad_arguments(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(AF_INET);
    told("sendto without an address", sendto(fd, "x", 1, 0, nullptr, 0));
    told("sendto a short address", sendto(fd, "x", 1, 0, to.get(), 4));
    told("sendto an empty address", sendto(fd, "x", 1, 0, to.get(), 0));
    told("sendto by nothing", sendto(-1, "x", 1, 0, to.get(), to.size));
    told("sendmsg of nothing", sendmsg(fd, nullptr, 0));
    told("sendmmsg of none", sendmmsg(fd, nullptr, 0, 0));
    told("sendmmsg of nothing", sendmmsg(fd, nullptr, 1, 0));
    msghdr empty{};
    told("sendmsg without an address", sendmsg(fd, &empty, 0));
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"to_each", to_each, 1},
                {"without_a_family", without_a_family, 1},
                {"on_inet6", on_inet6, 1},
                {"udp_lite", udp_lite, 1},
                {"loopback", loopback},
                {"mixed", mixed, 1},
                {"connected_then_elsewhere", connected_then_elsewhere, 1},
                {"bad_arguments", bad_arguments, 1}});
}
