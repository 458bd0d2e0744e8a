// Every call that sends a datagram, and every call that receives one.
#include "udp.hpp"

#include <climits>
#include <sys/syscall.h>

using namespace victim;

extern "C" {
ssize_t __send(int fd, const void* octets, size_t count, int flags);
ssize_t __recv_chk(int fd, void* octets, size_t count, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void* octets, size_t count, size_t room, int flags, sockaddr* address,
                       socklen_t* size);
ssize_t __read_chk(int fd, void* octets, size_t count, size_t room);
}

namespace {

struct Sender {
    const char* name;
    long (*send)(int fd, Message& message, std::string_view word);
};
constexpr std::array with_address{
    Sender{"sendto",
           [](int fd, Message& m, std::string_view word) -> long {
               return sendto(fd, word.data(), word.size(), 0, m.peer.get(), m.peer.size);
           }},
    Sender{"sendmsg", [](int fd, Message& m, std::string_view) -> long { return sendmsg(fd, m.get(), 0); }},
    Sender{"sendmmsg",
           [](int fd, Message& m, std::string_view) -> long { return sendmmsg(fd, &m.header, 1, 0); }},
    Sender{"syscall sendto",
           [](int fd, Message& m, std::string_view word) {
               return syscall(SYS_sendto, fd, word.data(), word.size(), 0, m.peer.get(), m.peer.size);
           }},
    Sender{"syscall sendmsg",
           [](int fd, Message& m, std::string_view) { return syscall(SYS_sendmsg, fd, m.get(), 0); }},
    Sender{"syscall sendmmsg",
           [](int fd, Message& m, std::string_view) { return syscall(SYS_sendmmsg, fd, &m.header, 1, 0); }},
};
constexpr std::array to_the_peer{
    Sender{"send",
           [](int fd, Message&, std::string_view word) -> long {
               return send(fd, word.data(), word.size(), 0);
           }},
    Sender{"__send",
           [](int fd, Message&, std::string_view word) -> long {
               return __send(fd, word.data(), word.size(), 0);
           }},
    Sender{
        "write",
        [](int fd, Message&, std::string_view word) -> long { return write(fd, word.data(), word.size()); }},
    Sender{"writev",
           [](int fd, Message& m, std::string_view) -> long {
               return writev(fd, m.pieces.data(), static_cast<int>(m.pieces.size()));
           }},
    Sender{"sendto nobody",
           [](int fd, Message&, std::string_view word) -> long {
               return sendto(fd, word.data(), word.size(), 0, nullptr, 0);
           }},
    Sender{"syscall sendto nobody",
           [](int fd, Message&, std::string_view word) {
               return syscall(SYS_sendto, fd, word.data(), word.size(), 0, nullptr, 0);
           }},
    Sender{"syscall write",
           [](int fd, Message&, std::string_view word) {
               return syscall(SYS_write, fd, word.data(), word.size());
           }},
    Sender{"syscall writev",
           [](int fd, Message& m, std::string_view) {
               return syscall(SYS_writev, fd, m.pieces.data(), m.pieces.size());
           }},
};

struct Receiver {
    const char* name;
    long (*receive)(int fd, Message& into);
};
void* octets_of(Message& m) { return m.pieces[0].iov_base; }
std::size_t room_of(Message& m) { return m.pieces[0].iov_len; }
constexpr std::array receivers{
    Receiver{"recv", [](int fd, Message& m) -> long { return recv(fd, octets_of(m), room_of(m), 0); }},
    Receiver{
        "__recv_chk",
        [](int fd, Message& m) -> long { return __recv_chk(fd, octets_of(m), room_of(m), room_of(m), 0); }},
    Receiver{"read", [](int fd, Message& m) -> long { return read(fd, octets_of(m), room_of(m)); }},
    Receiver{"__read_chk",
             [](int fd, Message& m) -> long { return __read_chk(fd, octets_of(m), room_of(m), room_of(m)); }},
    Receiver{"readv",
             [](int fd, Message& m) -> long {
                 return readv(fd, m.pieces.data(), static_cast<int>(m.pieces.size()));
             }},
    Receiver{"syscall read",
             [](int fd, Message& m) { return syscall(SYS_read, fd, octets_of(m), room_of(m)); }},
    Receiver{"syscall readv",
             [](int fd, Message& m) { return syscall(SYS_readv, fd, m.pieces.data(), m.pieces.size()); }},
    Receiver{"recvfrom nobody",
             [](int fd, Message& m) -> long {
                 return recvfrom(fd, octets_of(m), room_of(m), 0, nullptr, nullptr);
             }},
};
constexpr std::array receivers_of_source{
    Receiver{"recvfrom",
             [](int fd, Message& m) -> long {
                 return recvfrom(fd, octets_of(m), room_of(m), 0, m.peer.get(), &m.get()->msg_namelen);
             }},
    Receiver{"__recvfrom_chk",
             [](int fd, Message& m) -> long {
                 return __recvfrom_chk(fd, octets_of(m), room_of(m), room_of(m), 0, m.peer.get(),
                                       &m.get()->msg_namelen);
             }},
    Receiver{"recvmsg", [](int fd, Message& m) -> long { return recvmsg(fd, m.get(), 0); }},
    Receiver{"recvmmsg",
             [](int fd, Message& m) -> long {
                 return recvmmsg(fd, &m.header, 1, 0, nullptr) == 1 ? static_cast<long>(m.header.msg_len)
                                                                    : -1;
             }},
    Receiver{"syscall recvfrom",
             [](int fd, Message& m) {
                 return syscall(SYS_recvfrom, fd, octets_of(m), room_of(m), 0, m.peer.get(),
                                &m.get()->msg_namelen);
             }},
    Receiver{"syscall recvmsg", [](int fd, Message& m) { return syscall(SYS_recvmsg, fd, m.get(), 0); }},
    Receiver{"syscall recvmmsg",
             [](int fd, Message& m) -> long {
                 return syscall(SYS_recvmmsg, fd, &m.header, 1, 0, nullptr) == 1
                            ? static_cast<long>(m.header.msg_len)
                            : -1;
             }},
};

void observe_send(int fd, const Sender& sender, Message& message, std::string_view word) {
    told(sender.name, sender.send(fd, message, word));
    receive(fd);
}

void observe_receive(int fd, const Receiver& receiver, bool asks_for_source) {
    std::array<char, 64> octets{};
    Message into;
    into.add(octets.data(), octets.size());
    if (asks_for_source) into.expect_source();
    const long size = receiver.receive(fd, into);
    if (size < 0) told(receiver.name, size);
    else
        say("%s = %ld '%.*s' %s", receiver.name, size, static_cast<int>(size), octets.data(),
            into.source().c_str());
}

/// DESTINATION FAMILY(4|6) [nonblocking]
void each(const Arguments& words, bool connected) {
    const auto to = address_of(words[0]);
    const int family = words[1] == "4" ? AF_INET : AF_INET6;
    const bool nonblocking = words.size() > 2;
    const int fd = udp_socket(family, nonblocking ? SOCK_NONBLOCK : 0);
    Message message({"hel", "", "lo"});
    if (connected) {
        told("connect", connect_to(fd, to));
        observe_peer(fd);
        for (const auto& sender : to_the_peer) observe_send(fd, sender, message, "hello");
        told("sendmsg nobody", sendmsg(fd, message.get(), 0));
        receive(fd);
        told("sendmmsg nobody", sendmmsg(fd, &message.header, 1, 0));
        receive(fd);
    }
    message.to(to); // a connected socket takes another's address, too
    for (const auto& sender : with_address) observe_send(fd, sender, message, "hello");
    const auto each_receiver = [&](const auto& some, bool asks_for_source) {
        for (const auto& receiver : some) {
            sendto(fd, "hello", 5, 0, connected ? nullptr : to.get(), connected ? 0 : to.size);
            if (nonblocking) await_datagram(fd);
            observe_receive(fd, receiver, asks_for_source);
        }
    };
    each_receiver(receivers, false);
    each_receiver(receivers_of_source, true);
    if (!nonblocking) return;
    for (const auto& receiver : receivers) observe_receive(fd, receiver, false);
    for (const auto& receiver : receivers_of_source) observe_receive(fd, receiver, true);
}

void connected(const Arguments& words) { each(words, true); }
void unconnected(const Arguments& words) { each(words, false); }

/// Several at once, and what recvmmsg() does with fewer than it has room for.
void several(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    Message one({"one"}), two({"t", "w", "o"}), nothing({""});
    std::array<mmsghdr, 3> out{one.header, two.header, nothing.header};
    told("connect", connect_to(fd, to));
    told("sendmmsg", sendmmsg(fd, out.data(), out.size(), 0));
    say("lengths %u %u %u", out[0].msg_len, out[1].msg_len, out[2].msg_len);
    pause(100);
    std::array<std::array<char, 8>, 4> rooms{};
    std::array<Message, 4> into;
    std::array<mmsghdr, 4> in{};
    const auto prepare = [&] {
        for (std::size_t i = 0; i < in.size(); ++i) {
            into[i].pieces.clear();
            into[i].add(rooms[i].data(), rooms[i].size());
            into[i].expect_source();
            in[i] = into[i].header;
        }
    };
    const auto observe = [&](const char* call, int count) {
        told(call, count);
        for (std::size_t i = 0; count > 0 && i < static_cast<std::size_t>(count); ++i)
            say("  %u '%.*s' from %s", in[i].msg_len, static_cast<int>(in[i].msg_len), rooms[i].data(),
                text_of(into[i].peer).c_str());
    };
    prepare();
    observe("recvmmsg MSG_WAITFORONE", recvmmsg(fd, in.data(), in.size(), MSG_WAITFORONE, nullptr));
    prepare();
    observe("recvmmsg MSG_DONTWAIT", recvmmsg(fd, in.data(), in.size(), MSG_DONTWAIT, nullptr));
    // The time is looked at between two messages.
    sendmmsg(fd, out.data(), out.size(), 0);
    pause(100);
    timespec timeout{0, 0};
    prepare();
    observe("recvmmsg within no time", recvmmsg(fd, in.data(), in.size(), 0, &timeout));
    timeout = {5, 0};
    prepare();
    observe("recvmmsg of the rest", recvmmsg(fd, in.data(), 2, 0, &timeout));
    say("time left: %s", timeout.tv_sec == 4 && timeout.tv_nsec > 0 ? "most of it" : "not what it should be");
    sendmmsg(fd, out.data(), 2, 0);
    timeout = {0, 50'000'000};
    prepare();
    in[1].msg_hdr.msg_iovlen = 0;
    pause(100);
    timespec negative{-1, 0};
    observe("recvmmsg with a negative time", recvmmsg(fd, in.data(), in.size(), 0, &negative));
    observe("recvmmsg of none", recvmmsg(fd, in.data(), 0, MSG_DONTWAIT, nullptr));
    prepare();
    observe("recvmmsg", recvmmsg(fd, in.data(), 2, 0, nullptr));
    // One that can't go ends it, and those before it have gone.
    std::string too_long(70'000, 'x');
    Message long_one({too_long});
    std::array<mmsghdr, 3> mixed{one.header, long_one.header, two.header};
    told("sendmmsg with one too long", sendmmsg(fd, mixed.data(), mixed.size(), 0));
    receive(fd);
    told("sendmmsg from the one too long", sendmmsg(fd, mixed.data() + 1, 2, 0));
}

/// Nothing to write to or read from: calls of files do nothing, calls of sockets send and take an empty one.
void nothing(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    told("connect", connect_to(fd, to));
    exchange(fd, "first");
    iovec none{nullptr, 0};
    told("writev of nothing", writev(fd, &none, 1));
    told("writev of no pieces", writev(fd, nullptr, 0));
    told("nothing comes", recv(fd, nullptr, 0, MSG_DONTWAIT));
    told("write of nothing", write(fd, "", 0));
    receive(fd);
    told("send of nothing", send(fd, nullptr, 0, 0));
    receive(fd);
    told("read of nothing", read(fd, nullptr, 0)); // would wait, if it waited
    told("readv of nothing", readv(fd, &none, 1));
    told("readv of no pieces", readv(fd, nullptr, 0));
    told("send", send(fd, "hello", 5, 0));
    await_datagram(fd);
    told("read of nothing", read(fd, nullptr, 0));
    told("readv of nothing", readv(fd, &none, 1));
    receive(fd);
    told("send", send(fd, "hello", 5, 0));
    told("recv of nothing", recv(fd, nullptr, 0, 0));
    told("it has gone", recv(fd, nullptr, 0, MSG_DONTWAIT));
    std::vector<iovec> many(IOV_MAX + 1);
    volatile int fewer_than_none = -1; // not for the compiler to see
    told("readv of too many", readv(fd, many.data(), IOV_MAX + 1));
    told("writev of too many", writev(fd, many.data(), IOV_MAX + 1));
    told("readv of a negative number", readv(fd, many.data(), fewer_than_none));
    msghdr message{};
    message.msg_iov = many.data();
    message.msg_iovlen = IOV_MAX + 1;
    told("sendmsg of too many", sendmsg(fd, &message, 0));
    told("recvmsg of too many", recvmsg(fd, &message, MSG_DONTWAIT));
}

/// One message of many pieces, and one into many.
void pieces(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    told("connect", connect_to(fd, to));
    std::array<char, 1000> octets;
    for (std::size_t i = 0; i < octets.size(); ++i) octets[i] = static_cast<char>('a' + i % 26);
    for (const std::size_t count : {1U, 10U, 63U, 64U, 65U, 500U, 1000U}) {
        Message out;
        for (std::size_t i = 0; i < count; ++i) {
            const auto from = i * octets.size() / count, until = (i + 1) * octets.size() / count;
            out.add(octets.data() + from, until - from);
        }
        say("%zu pieces", count);
        told("sendmsg", sendmsg(fd, out.get(), 0));
        std::array<char, 1000> back{};
        Message into;
        for (std::size_t i = 0; i < count; ++i) {
            const auto from = i * back.size() / count, until = (i + 1) * back.size() / count;
            into.add(back.data() + from, until - from);
        }
        told("recvmsg", recvmsg(fd, into.get(), 0));
        say("%s", back == octets ? "the same" : "not the same");
    }
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"connected", connected, 2},
                {"unconnected", unconnected, 2},
                {"several", several, 1},
                {"nothing", nothing, 1},
                {"pieces", pieces, 1}});
}
