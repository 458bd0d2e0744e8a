// IPv4, IPv6 and mapped addresses, on sockets of either family.
#include "victim.hpp"

using namespace victim;

namespace {

int socket_for(std::string_view family, int flags) {
    const int fd = tcp_socket(family == "inet" ? AF_INET : AF_INET6, flags);
    if (family == "inet6only") {
        const int on = 1;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    return fd;
}

void observe(int fd) {
    observe_error(fd);
    observe_peer(fd);
    observe_local(fd);
    int domain = -1;
    socklen_t size = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    say("SO_DOMAIN = %s", domain == AF_INET ? "AF_INET" : "AF_INET6");
    Address peer;
    peer.size = sizeof peer.storage;
    if (getpeername(fd, peer.get(), &peer.size) == 0) observe_echo(fd);
}

/// FAMILY DESTINATION…: FAMILY is inet, inet6 or inet6only (IPV6_V6ONLY), whatever the destination is.
void blocking(const Arguments& words) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        const int fd = socket_for(words[0], 0);
        told("connect", connect_to(fd, address_of(words[i])));
        observe(fd);
        close(fd);
    }
}

void nonblocking(const Arguments& words) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        const int fd = socket_for(words[0], SOCK_NONBLOCK);
        const bool under_way =
            told("connect", connect_to(fd, address_of(words[i]))) == -1 && errno == EINPROGRESS;
        if (under_way) await_end_of_connect(fd);
        observe(fd);
        close(fd);
    }
}

/// A socket that the program has bound, so that its place among the families is fixed.
void bound(const Arguments& words) {
    const auto to = address_of(words[1]);
    const int fd = socket_for(words[0], 0);
    Address any;
    any.storage.ss_family = words[0] == "inet" ? AF_INET : AF_INET6;
    any.size = words[0] == "inet" ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    told("bind", bind(fd, any.get(), any.size));
    told("connect", connect_to(fd, to));
    observe(fd);
    close(fd);
}

/// MPTCP is TCP to whoever connects.
void mptcp(const Arguments& words) {
    const auto to = address_of(words[0]);
    constexpr int ipproto_mptcp = 262;
    for (const int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
        const int fd = told_fd("socket", socket(to.family(), SOCK_STREAM | flags, ipproto_mptcp));
        told("connect", connect_to(fd, to));
        await_end_of_connect(fd);
        observe(fd);
        close(fd);
    }
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"blocking", blocking, 2},
                {"nonblocking", nonblocking, 2},
                {"bound", bound, 2},
                {"mptcp", mptcp, 1}});
}
