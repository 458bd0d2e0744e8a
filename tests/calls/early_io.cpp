// What a program may try on its socket while connect() is under way.
#include "victim.hpp"

#include <csignal>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

using namespace victim;

namespace {

int start(std::string_view destination) {
    const auto to = address_of(destination);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    return fd;
}

/// Every way to write and to read. DESTINATION never answers.
void everything(const Arguments& words) {
    const int fd = start(words[0]);
    const auto to = address_of(words[0]);
    char octets[] = "early";
    iovec piece{octets, sizeof octets};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    mmsghdr messages{message, 0};
    told("write", write(fd, octets, sizeof octets));
    told("writev", writev(fd, &piece, 1));
    told("send", send(fd, octets, sizeof octets, MSG_NOSIGNAL));
    told("sendto", sendto(fd, octets, sizeof octets, MSG_NOSIGNAL, nullptr, 0));
    told("sendto an address", sendto(fd, octets, sizeof octets, MSG_NOSIGNAL, to.get(), to.size));
    told("sendto MSG_FASTOPEN",
         sendto(fd, octets, sizeof octets, MSG_NOSIGNAL | MSG_FASTOPEN, to.get(), to.size));
    told("sendmsg", sendmsg(fd, &message, MSG_NOSIGNAL));
    told("sendmmsg", sendmmsg(fd, &messages, 1, MSG_NOSIGNAL));
    told("read", read(fd, octets, sizeof octets));
    told("readv", readv(fd, &piece, 1));
    told("recv", recv(fd, octets, sizeof octets, 0));
    told("recv MSG_PEEK", recv(fd, octets, sizeof octets, MSG_PEEK));
    told("recvfrom", recvfrom(fd, octets, sizeof octets, 0, nullptr, nullptr));
    told("recvmsg", recvmsg(fd, &message, 0));
    int waiting = -1;
    told("ioctl FIONREAD", ioctl(fd, FIONREAD, &waiting));
    say("waiting: %d octets", waiting);
    struct stat status {};
    told("fstat", fstat(fd, &status));
    say("a socket: %s", S_ISSOCK(status.st_mode) ? "yes" : "no");
    told("listen", listen(fd, 1));
    told("accept", accept(fd, nullptr, nullptr));
    observe_local(fd);
    observe_peer(fd);
    observe_error(fd);
    observe_poll(fd);
    close(fd);
}

/// Gives up by shutdown(). DESTINATION never answers.
void shut_down(const Arguments& words) {
    const int fd = start(words[0]);
    told("shutdown", shutdown(fd, SHUT_RDWR));
    observe_poll(fd);
    observe_error(fd);
    close(fd);
}

/// What it tried to write early comes to nothing: the destination hears only what was written when the time
/// had come.
void not_sent(const Arguments& words) {
    const int fd = start(words[0]);
    const Stopwatch watch;
    unsigned long taken = 0;
    while (watch.milliseconds() < 100)
        if (const auto size = send(fd, "early", 5, MSG_NOSIGNAL); size > 0)
            taken += static_cast<unsigned long>(size);
    say("taken early: %lu", taken);
    await_end_of_connect(fd);
    observe_error(fd);
    observe_echo(fd, "in time");
    close(fd);
}

/// REFUSED: what reads and writes get when a connect() has failed and nobody asked for SO_ERROR. A first call
/// of each kind on a socket of its own, and a second one.
void after_failure(const Arguments& words) {
    static char octets[] = "late";
    static iovec piece{octets, sizeof octets};
    struct Way {
        const char* name;
        long (*call)(int fd);
    };
    constexpr Way ways[] = {
        {"read", [](int fd) -> long { return read(fd, octets, sizeof octets); }},
        {"readv", [](int fd) -> long { return readv(fd, &piece, 1); }},
        {"recv", [](int fd) -> long { return recv(fd, octets, sizeof octets, 0); }},
        {"recvfrom", [](int fd) -> long { return recvfrom(fd, octets, sizeof octets, 0, nullptr, nullptr); }},
        {"write", [](int fd) -> long { return write(fd, octets, sizeof octets); }},
        {"writev", [](int fd) -> long { return writev(fd, &piece, 1); }},
        {"send", [](int fd) -> long { return send(fd, octets, sizeof octets, MSG_NOSIGNAL); }},
    };
    std::signal(SIGPIPE, SIG_IGN);
    for (const auto& way : ways) {
        const int fd = start(words[0]);
        pollfd interest{fd, POLLOUT, 0};
        poll(&interest, 1, patience);
        told(way.name, way.call(fd));
        told(way.name, way.call(fd));
        observe_error(fd);
        close(fd);
    }
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"everything", everything, 1},
                {"after_failure", after_failure, 1},
                {"shut_down", shut_down, 1},
                {"not_sent", not_sent, 1}});
}
