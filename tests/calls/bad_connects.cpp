// connect() with arguments that make no sense, and on what is no TCP socket: the library must not know
// better.
#include "victim.hpp"

#include <sys/un.h>

using namespace victim;

namespace {

void descriptors(const Arguments& words) {
    const auto to = address_of(words[0]);
    told("a negative one", connect_to(-1, to));
    told("a huge one", connect_to(1 << 28, to));
    const int closed = dup(STDIN_FILENO);
    close(closed);
    told("a closed one", connect_to(closed, to));
    told("a file", connect_to(open("/dev/null", O_RDWR), to));
    int ends[2];
    if (pipe(ends) != 0) give_up("no pipe");
    told("a pipe", connect_to(ends[1], to));
    told("a path", connect_to(open("/", O_PATH), to));
    const int unix_one = socket(AF_UNIX, SOCK_STREAM, 0);
    told("a UNIX socket", connect_to(unix_one, to));
    const int netlink = socket(AF_NETLINK, SOCK_RAW, 0);
    told("a netlink socket", connect_to(netlink, to));
    const int listener = tcp_socket(to.family());
    told("listen", listen(listener, 1));
    told("a listener", connect_to(listener, to));
    for (const int fd : {-1, 1 << 28, closed, STDIN_FILENO, ends[0], unix_one}) {
        observe_peer(fd);
        told("close", close(fd));
    }
}

/// What is not an address at all, on a blocking and on a non-blocking socket.
void addresses(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
        const int fd = tcp_socket(to.family(), flags);
        told("none", connect(fd, nullptr, to.size));
        told("none of no size", connect(fd, nullptr, 0));
        for (const socklen_t size : {0U, 1U, 2U, 8U, 15U}) told("cut short", connect(fd, to.get(), size));
        told("of a negative size", connect(fd, to.get(), static_cast<socklen_t>(-1)));
        told("of too great a size", connect(fd, to.get(), 4096));
        Address strange = to;
        strange.storage.ss_family = 99;
        told("of an unknown family", connect_to(fd, strange));
        strange.storage.ss_family = AF_UNIX;
        told("of family AF_UNIX", connect_to(fd, strange));
        told("of the other family",
             connect_to(fd, address_of(to.family() == AF_INET ? "[2001:db8:80::80]:7" : "203.0.113.80:7")));
        observe_error(fd);
        observe_peer(fd);
        // A longer size than needed is the kernel's to accept.
        if (flags == 0) {
            told("with room to spare", connect(fd, to.get(), sizeof to.storage));
            observe_peer(fd);
            observe_echo(fd);
        }
        close(fd);
    }
}

/// A pointer to nowhere is EFAULT, not a crash.
void bad_pointer(const Arguments& words) {
    const auto to = address_of(words[0]);
    // What a null pointer to a structure becomes. Pointers elsewhere are doc/limits.md's.
    auto* unreadable = reinterpret_cast<sockaddr*>(16);
    const int fd = tcp_socket(to.family());
    told("connect", connect(fd, unreadable, to.size));
    socklen_t size = sizeof(sockaddr_storage);
    told("getsockname", getsockname(fd, unreadable, &size));
    told("getsockopt", getsockopt(fd, SOL_SOCKET, SO_TYPE, unreadable, &size));
    told("setsockopt", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, unreadable, sizeof(int)));
    told("sendto", sendto(fd, "x", 1, MSG_NOSIGNAL, unreadable, to.size));
    told("connect", connect_to(fd, to));
    told("connect", connect(fd, unreadable, to.size));
    told("getpeername", getpeername(fd, unreadable, &size));
    told("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, unreadable, &size));
    told("sendto", sendto(fd, "x", 1, MSG_NOSIGNAL, unreadable, to.size));
    observe_peer(fd);
}

/// Addresses that mean something else than a host. Their errors are the kernel's on a direct way.
void special(const Arguments& destinations) {
    for (const auto& text : destinations) {
        const auto to = address_of(text);
        const int fd = tcp_socket(to.family());
        told(std::string(text).c_str(), connect_to(fd, to));
        close(fd);
    }
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"descriptors", descriptors, 1},
                {"addresses", addresses, 1},
                {"bad_pointer", bad_pointer, 1},
                {"special", special, 1}});
}
