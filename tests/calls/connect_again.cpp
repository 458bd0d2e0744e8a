// A second and a third connect() on a non-blocking socket, at each moment of the first one's life.
#include "victim.hpp"

using namespace victim;

namespace {

int start(const Address& to) {
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    return fd;
}

/// DESTINATION never answers.
void under_way(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    told("connect", connect_to(fd, to));
    told("connect elsewhere", connect_to(fd, address_of("203.0.113.99:1")));
    observe_peer(fd);
    observe_error(fd);
    observe_poll(fd);
    close(fd);
}

void after_success(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    await_end_of_connect(fd);
    for (int i = 0; i < 3; ++i) told("connect", connect_to(fd, to));
    observe_peer(fd);
    observe_echo(fd);
    close(fd);
}

/// Without a look at SO_ERROR, connect() is what tells the error, once; then it begins anew.
void after_failure(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    for (int i = 0; i < 2; ++i) {
        await_end_of_connect(fd);
        told("connect", connect_to(fd, to));
        observe_error(fd);
        told("connect", connect_to(fd, to));
    }
    close(fd);
}

/// SO_ERROR has taken the error away: what is left of the failure for connect() to tell?
void after_failure_was_read(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    await_end_of_connect(fd);
    observe_poll(fd);
    observe_error(fd);
    observe_poll(fd);
    observe_peer(fd);
    told("connect", connect_to(fd, to));
    told("connect", connect_to(fd, to));
    close(fd);
}

/// REFUSED ACCEPTED: the same socket, without the detour of a new one.
void elsewhere_after_failure(const Arguments& words) {
    const auto good = address_of(words[1]);
    const int fd = start(address_of(words[0]));
    await_end_of_connect(fd);
    observe_error(fd);
    while (connect_to(fd, good) != 0 && errno == ECONNABORTED) {
    }
    await_end_of_connect(fd);
    observe_error(fd);
    observe_peer(fd);
    observe_echo(fd);
    close(fd);
}

/// What a program gets that reads for the error (D. J. Bernstein's way), or just writes.
void io_after_failure(const Arguments& words) {
    const auto to = address_of(words[0]);
    char octet = 'x';
    int fd = start(to);
    await_end_of_connect(fd);
    observe_peer(fd);
    told("read", read(fd, &octet, 1));
    told("read", read(fd, &octet, 1));
    close(fd);
    fd = start(to);
    await_end_of_connect(fd);
    told("send", send(fd, &octet, 1, MSG_NOSIGNAL));
    told("send", send(fd, &octet, 1, MSG_NOSIGNAL));
    close(fd);
}

/// DESTINATION and then nobody: connect(AF_UNSPEC) at each moment. The last argument never answers.
void disconnect(const Arguments& words) {
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    const auto to = address_of(words[0]);
    const int fresh = tcp_socket(to.family());
    told("connect to nobody, fresh", connect(fresh, &nobody, sizeof nobody));
    told("connect", connect_to(fresh, to));
    observe_peer(fresh);
    told("connect to nobody, connected", connect(fresh, &nobody, sizeof nobody));
    observe_peer(fresh);
    told("connect", connect_to(fresh, to));
    observe_peer(fresh);
    observe_echo(fresh);
    close(fresh);

    const int under_way = start(address_of(words[1]));
    told("connect to nobody, under way", connect(under_way, &nobody, sizeof nobody));
    observe_poll(under_way);
    observe_error(under_way);
    told("connect", connect_to(under_way, to));
    await_end_of_connect(under_way);
    observe_error(under_way);
    observe_peer(under_way);
    observe_echo(under_way);
    close(under_way);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"under_way", under_way, 1},
                {"after_success", after_success, 1},
                {"after_failure", after_failure, 1},
                {"after_failure_was_read", after_failure_was_read, 1},
                {"elsewhere_after_failure", elsewhere_after_failure, 2},
                {"io_after_failure", io_after_failure, 1},
                {"disconnect", disconnect, 2}});
}
