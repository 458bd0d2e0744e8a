// AF_UNIX: nothing of it is the library's, though its calls all pass through it.
#include "victim.hpp"

#include <sys/epoll.h>
#include <sys/un.h>

using namespace victim;

namespace {

/// Abstract: in no file system.
Address unix_address(std::string_view name) {
    Address address;
    auto* un = reinterpret_cast<sockaddr_un*>(&address.storage);
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path + 1, name.data(), name.size());
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    return address;
}

int unix_socket(int type) {
    const int fd = socket(AF_UNIX, type, 0);
    if (fd < 0) give_up("no UNIX socket");
    return fd;
}

void stream(const Arguments&) {
    const auto at = unix_address("socksify-calls-stream");
    const int listener = unix_socket(SOCK_STREAM);
    told("bind", bind(listener, at.get(), at.size));
    told("listen", listen(listener, 1));
    for (const int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
        const int fd = unix_socket(SOCK_STREAM | flags);
        const int instance = epoll_create1(EPOLL_CLOEXEC);
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLET;
        told("EPOLL_CTL_ADD", epoll_ctl(instance, EPOLL_CTL_ADD, fd, &event));
        told("connect", connect_to(fd, at));
        told("connect", connect_to(fd, at));
        observe_peer(fd);
        observe_error(fd);
        told("epoll_wait", epoll_wait(instance, &event, 1, 100));
        const int duplicate = told_fd("dup", dup(fd));
        const int accepted = told_fd("accept4", accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        told("send", send(duplicate, "ping", 4, 0));
        std::array<char, 8> octets{};
        told("recv", recv(accepted, octets.data(), octets.size(), 0));
        for (const int one : {fd, duplicate, accepted, instance}) told("close", close(one));
    }
    told("close", close(listener));
    const int fd = unix_socket(SOCK_STREAM);
    told("connect to nobody", connect_to(fd, at));
    observe_poll(fd);
}

void datagram(const Arguments&) {
    const auto at = unix_address("socksify-calls-datagram");
    const int receiver = unix_socket(SOCK_DGRAM);
    told("bind", bind(receiver, at.get(), at.size));
    const int fd = unix_socket(SOCK_DGRAM);
    told("sendto", sendto(fd, "ping", 4, 0, at.get(), at.size));
    char octets[] = "pong";
    iovec piece{octets, 4};
    auto to = at;
    mmsghdr message{};
    message.msg_hdr.msg_name = to.get();
    message.msg_hdr.msg_namelen = to.size;
    message.msg_hdr.msg_iov = &piece;
    message.msg_hdr.msg_iovlen = 1;
    told("sendmsg", sendmsg(fd, &message.msg_hdr, 0));
    told("sendmmsg", sendmmsg(fd, &message, 1, 0));
    told("connect", connect_to(fd, at));
    told("send", send(fd, "ping", 4, 0));
    observe_peer(fd);
    for (int i = 0; i < 4; ++i) told("recv", recv(receiver, octets, 4, MSG_DONTWAIT));
    told("recv", recv(receiver, octets, 4, MSG_DONTWAIT));
}

} // namespace

int main(int argc, char** argv) { return run(argc, argv, {{"stream", stream}, {"datagram", datagram}}); }
