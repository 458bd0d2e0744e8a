// syscall(): the calls that the library takes over, by their numbers.
#include "victim.hpp"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>

using namespace victim;

namespace {

long number(int value) { return value; }

void stream(const Arguments& words) {
    const auto to = address_of(words[0]);
    const long fd = syscall(SYS_socket, number(to.family()), number(SOCK_STREAM), 0L);
    told("connect", syscall(SYS_connect, fd, to.get(), static_cast<long>(to.size)));
    int value = 1;
    socklen_t size = sizeof value;
    told("setsockopt", syscall(SYS_setsockopt, fd, number(IPPROTO_TCP), number(TCP_NODELAY), &value,
                               static_cast<long>(size)));
    told("getsockopt", syscall(SYS_getsockopt, fd, number(SOL_SOCKET), number(SO_ERROR), &value, &size));
    say("SO_ERROR = %d", value);
    Address address;
    address.size = sizeof address.storage;
    told("getpeername", syscall(SYS_getpeername, fd, address.get(), &address.size));
    say("peer %s", text_of(address).c_str());
    address.size = sizeof address.storage;
    told("getsockname", syscall(SYS_getsockname, fd, address.get(), &address.size));
    observe_echo(static_cast<int>(fd));
    const auto duplicate = static_cast<int>(syscall(SYS_dup, fd));
    observe_peer(duplicate);
    told("close", syscall(SYS_close, fd));
    observe_echo(duplicate);
    told("dup3", syscall(SYS_dup3, number(duplicate), 90L, 0L));
    told("F_DUPFD", syscall(SYS_fcntl, 90L, number(F_DUPFD), 91L));
    observe_peer(91);
    told("close_range", syscall(SYS_close_range, 90L, 91L, 0L));
    observe_peer(91);
    told("connect of nothing", syscall(SYS_connect, -1L, to.get(), static_cast<long>(to.size)));
}

void nonblocking(const Arguments& words) {
    const auto to = address_of(words[0]);
    const long instance = syscall(SYS_epoll_create1, 0L);
    const long fd = syscall(SYS_socket, number(to.family()), number(SOCK_STREAM | SOCK_NONBLOCK), 0L);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    told("epoll_ctl", syscall(SYS_epoll_ctl, instance, number(EPOLL_CTL_ADD), fd, &event));
    epoll_wait(static_cast<int>(instance), &event, 1, 0);
    told("connect", syscall(SYS_connect, fd, to.get(), static_cast<long>(to.size)));
    told("epoll_wait", epoll_wait(static_cast<int>(instance), &event, 1, patience));
    say("woken: %s", event_names(event.events).c_str());
    observe_error(static_cast<int>(fd));
    observe_peer(static_cast<int>(fd));
}

/// UDP to what would be proxied.
void datagram(const Arguments& words) {
    auto to = address_of(words[0]);
    iovec piece{const_cast<char*>("hello"), 5};
    mmsghdr message{};
    message.msg_hdr.msg_name = to.get();
    message.msg_hdr.msg_namelen = to.size;
    message.msg_hdr.msg_iov = &piece;
    message.msg_hdr.msg_iovlen = 1;
    const long fd = syscall(SYS_socket, number(to.family()), number(SOCK_DGRAM), 0L);
    told("connect", syscall(SYS_connect, fd, to.get(), static_cast<long>(to.size)));
    told("sendto", syscall(SYS_sendto, fd, "hello", 5L, 0L, to.get(), static_cast<long>(to.size)));
    told("sendmsg", syscall(SYS_sendmsg, fd, &message.msg_hdr, 0L));
    told("sendmmsg", syscall(SYS_sendmmsg, fd, &message, 1L, 0L));
}

/// A ring could connect unseen.
void ring(const Arguments&) {
    std::array<char, 120> parameters{};
    told("io_uring_setup", syscall(SYS_io_uring_setup, 8L, parameters.data()));
}

/// Calls that are nobody's business, with as many arguments as there can be.
void others(const Arguments&) {
    say("getpid: %s", syscall(SYS_getpid) == getpid() ? "the same" : "another");
    told("lseek", syscall(SYS_lseek, -1L, 0L, 0L));
    told("no such call", syscall(99999L));
    int ends[2];
    told("pipe2", syscall(SYS_pipe2, ends, 0L));
    told("write", syscall(SYS_write, number(ends[1]), "four", 4L));
    const int out = open("/dev/null", O_WRONLY);
    told("splice", syscall(SYS_splice, number(ends[0]), nullptr, number(out), nullptr, 4L, 0L));
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"stream", stream, 1},
                {"nonblocking", nonblocking, 1},
                {"datagram", datagram, 1},
                {"ring", ring},
                {"others", others}});
}
