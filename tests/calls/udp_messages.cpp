// What a datagram may be, and what the flags and options of receiving make of it.
#include "udp.hpp"

#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>

using namespace victim;

namespace {

int connected_socket(std::string_view text, int flags = 0) {
    const auto to = address_of(text);
    const int fd = udp_socket(to.family(), flags);
    told("connect", connect_to(fd, to));
    return fd;
}

void observe_message(const char* call, long size, const Message& into) {
    if (size < 0) {
        told(call, size);
        return;
    }
    const auto* octets = static_cast<const char*>(into.pieces[0].iov_base);
    const auto shown = std::min(size, static_cast<long>(into.pieces[0].iov_len));
    say("%s = %ld '%.*s' %s%s, %zu octets of control", call, size, static_cast<int>(shown), octets,
        into.source().c_str(), (into.header.msg_hdr.msg_flags & MSG_TRUNC) != 0 ? ", MSG_TRUNC" : "",
        into.header.msg_hdr.msg_controllen);
}

void look(int fd, const char* what, std::size_t room, int flags) {
    std::array<char, 64> octets{};
    Message into;
    into.add(octets.data(), room);
    into.expect_source();
    observe_message(what, recvmsg(fd, into.get(), flags), into);
}

/// MSG_PEEK, MSG_TRUNC, and rooms too small.
void flags(const Arguments& words) {
    const int fd = connected_socket(words[0]);
    const auto again = [fd] {
        send(fd, "hello, world", 12, 0);
        await_datagram(fd);
    };
    again();
    look(fd, "MSG_PEEK", 64, MSG_PEEK);
    look(fd, "MSG_PEEK|MSG_TRUNC, 5", 5, MSG_PEEK | MSG_TRUNC);
    look(fd, "MSG_PEEK, 5", 5, MSG_PEEK);
    look(fd, "5", 5, 0);
    look(fd, "and the rest is gone", 64, MSG_DONTWAIT);
    for (const std::size_t room : {0U, 1U, 11U, 12U, 13U}) {
        again();
        look(fd, "MSG_TRUNC", room, MSG_TRUNC);
        again();
        look(fd, "no flag", room, 0);
    }
    again();
    std::array<char, 4> short_room{};
    told("recv, MSG_TRUNC", recv(fd, short_room.data(), short_room.size(), MSG_TRUNC));
    again();
    told("recv", recv(fd, short_room.data(), short_room.size(), 0));
    again();
    told("read", read(fd, short_room.data(), short_room.size()));
    say("'%.4s'", short_room.data());
    // Two pieces of room, the datagram in one and a half of them.
    again();
    std::array<char, 8> first{}, second{};
    Message two;
    two.add(first.data(), first.size());
    two.add(second.data(), second.size());
    told("recvmsg", recvmsg(fd, two.get(), 0));
    say("'%.8s' '%.4s'", first.data(), second.data());
    // A source address cut short.
    again();
    sockaddr_storage source{};
    socklen_t size = 4;
    told("recvfrom",
         recvfrom(fd, first.data(), first.size(), 0, reinterpret_cast<sockaddr*>(&source), &size));
    say("source: family %d, %u octets", source.ss_family, size);
}

/// FIONREAD, and empty datagrams.
void octets(const Arguments& words) {
    const int fd = connected_socket(words[0]);
    const auto observe = [fd] {
        int count = -1;
        told("FIONREAD", ioctl(fd, FIONREAD, &count));
        say("%d octets", count);
    };
    observe();
    exchange(fd, "first");
    observe();
    send(fd, "hello", 5, 0);
    send(fd, "you", 3, 0);
    await_datagram(fd);
    pause(100);
    observe();
    receive(fd);
    observe();
    receive(fd);
    observe();
    told("send", send(fd, "", 0, 0));
    await_datagram(fd);
    observe();
    look(fd, "MSG_PEEK", 64, MSG_PEEK);
    receive(fd);
    told("send", send(fd, nullptr, 0, 0));
    told("recv", recv(fd, nullptr, 0, 0));
    told("nothing more", recv(fd, nullptr, 0, MSG_DONTWAIT));
    int pending = -1;
    told("TIOCOUTQ", ioctl(fd, TIOCOUTQ, &pending));
}

/// Of many sizes, there and back.
void sizes(const Arguments& words) {
    const int fd = connected_socket(words[0]);
    std::string out(65536, 'x'), in(65536, '-');
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>('a' + i % 26);
    for (const std::size_t size : {1U, 9U, 10U, 100U, 1472U, 1473U, 9000U, 65000U, 65485U}) {
        const auto sent = send(fd, out.data(), size, 0);
        await_datagram(fd);
        const auto got = recv(fd, in.data(), in.size(), MSG_DONTWAIT);
        say("%zu: sent %zd, received %zd, %s", size, sent, got,
            in.compare(0, size, out, 0, size) == 0 ? "the same" : "not the same");
    }
}

/// DESTINATION SIZE...: where the kernel says EMSGSIZE.
void too_long(const Arguments& words) {
    const auto to = address_of(words[0]);
    const std::string out(70000, 'x');
    for (const int type : {0 + SOCK_NONBLOCK, 0}) {
        const int fd = udp_socket(to.family(), type);
        told("connect", connect_to(fd, to));
        for (std::size_t i = 1; i < words.size(); ++i) {
            const auto size = std::stoul(std::string(words[i]));
            say("%lu", size);
            told("send", send(fd, out.data(), size, 0));
            told("sendto", sendto(fd, out.data(), size, 0, to.get(), to.size));
        }
        while (await_datagram(fd, 200)) recv(fd, nullptr, 0, 0);
        close(fd);
    }
}

void timeouts(const Arguments& words) {
    const int fd = connected_socket(words[0]);
    const timeval timeout{0, 150'000};
    told("SO_RCVTIMEO", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
    const auto waits = [fd](const char* when) {
        const Stopwatch watch;
        std::array<char, 8> octets;
        told("recv", recv(fd, octets.data(), octets.size(), 0));
        const auto waited = watch.milliseconds();
        say("%s: %s", when, waited >= 140 && waited < 2000 ? "after its time" : "not after its time");
    };
    waits("before anything was sent");
    exchange(fd, "hello");
    waits("after an exchange");
}

/// More than there is room for: the oldest stay.
void overrun(const Arguments& words) {
    const int fd = connected_socket(words[0]);
    exchange(fd, "hello");
    const int room = 16384;
    told("SO_RCVBUF", setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room));
    told("send", send(fd, "burst 200 1000", 14, 0));
    await_datagram(fd);
    pause(300);
    int count = 0;
    std::array<char, 2000> octets{};
    for (int next = 0; recv(fd, octets.data(), octets.size(), MSG_DONTWAIT) == 1000; ++next, ++count)
        if (std::atoi(octets.data()) != next) say("%d is not the next one", std::atoi(octets.data()));
    say("%s", count > 3 && count < 100 ? "some came, in order" : "as many as were sent");
    exchange(fd, "again");
}

/// Control messages and options of IP: they belong to the datagram that leaves the machine.
void control(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(AF_INET);
    const int on = 1;
    told("IP_PKTINFO", setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
    told("IP_RECVTTL", setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
    told("connect", connect_to(fd, to));
    Message out({"hello"});
    out.expect_control();
    auto* part = reinterpret_cast<cmsghdr*>(out.control.data());
    part->cmsg_level = IPPROTO_IP;
    part->cmsg_type = IP_TTL;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    const int ttl = 5;
    std::memcpy(CMSG_DATA(part), &ttl, sizeof ttl);
    part = CMSG_NXTHDR(out.get(), part);
    part->cmsg_level = IPPROTO_IP;
    part->cmsg_type = IP_TOS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    const int tos = IPTOS_LOWDELAY;
    std::memcpy(CMSG_DATA(part), &tos, sizeof tos);
    out.get()->msg_controllen = 2 * CMSG_SPACE(sizeof(int));
    told("sendmsg with IP_TTL and IP_TOS", sendmsg(fd, out.get(), 0));
    await_datagram(fd);
    std::array<char, 64> octets{};
    Message into;
    into.add(octets.data(), octets.size());
    into.expect_source();
    into.expect_control();
    told("recvmsg", recvmsg(fd, into.get(), 0));
    for (part = CMSG_FIRSTHDR(into.get()); part != nullptr; part = CMSG_NXTHDR(into.get(), part)) {
        if (part->cmsg_type == IP_TTL) say("IP_TTL: one of %zu octets", part->cmsg_len - CMSG_LEN(0));
        if (part->cmsg_type == IP_PKTINFO) say("IP_PKTINFO of %zu octets", part->cmsg_len - CMSG_LEN(0));
    }
    const int zero_ttl = 0;
    part = CMSG_FIRSTHDR(out.get());
    std::memcpy(CMSG_DATA(part), &zero_ttl, sizeof zero_ttl);
    told("sendmsg with no IP_TTL", sendmsg(fd, out.get(), 0));
    in_pktinfo from{};
    out.get()->msg_controllen = CMSG_SPACE(sizeof from);
    part->cmsg_type = IP_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof from);
    std::memcpy(CMSG_DATA(part), &from, sizeof from);
    told("sendmsg with IP_PKTINFO", sendmsg(fd, out.get(), 0));
    receive(fd);
    for (const auto& [name, option] : {std::pair("IP_TOS", IP_TOS), std::pair("IP_TTL", IP_TTL)}) {
        const int value = 16;
        told(name, setsockopt(fd, IPPROTO_IP, option, &value, sizeof value));
    }
    exchange(fd, "hello");
    int error = -1;
    socklen_t size = sizeof error;
    told("IP_RECVERR", setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
    told("MSG_ERRQUEUE", recv(fd, octets.data(), octets.size(), MSG_ERRQUEUE | MSG_DONTWAIT));
    told("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
    say("SO_ERROR %s", error_name(error).c_str());
}

/// What would have the kernel cut or join datagrams.
void segments(const Arguments& words) {
    const int fd = connected_socket(words[0]);
    const int segment = 100, on = 1;
    told("UDP_SEGMENT", setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment));
    told("UDP_GRO", setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on));
    Message out({"hello"});
    out.expect_control();
    auto* part = reinterpret_cast<cmsghdr*>(out.control.data());
    part->cmsg_level = IPPROTO_UDP;
    part->cmsg_type = UDP_SEGMENT;
    part->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    out.get()->msg_controllen = CMSG_SPACE(sizeof(std::uint16_t));
    const std::uint16_t size = 100;
    std::memcpy(CMSG_DATA(part), &size, sizeof size);
    if (told("sendmsg with UDP_SEGMENT", sendmsg(fd, out.get(), 0)) < 0) return;
    // Bare, an echo comes; to a port that is closed by then, the kernel would answer, and that would look
    // like a leak.
    pollfd echo{fd, POLLIN, 0};
    poll(&echo, 1, patience);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"flags", flags, 1},
                {"octets", octets, 1},
                {"sizes", sizes, 1},
                {"too_long", too_long, 2},
                {"timeouts", timeouts, 1},
                {"overrun", overrun, 1},
                {"control", control, 1},
                {"segments", segments, 1}});
}
