// Readiness: what poll(), select() and epoll tell of a UDP socket, and when.
#include "udp.hpp"

#include <sys/epoll.h>
#include <sys/select.h>

using namespace victim;

namespace {

/// DESTINATION: the first send on a non-blocking socket.
void polled(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const bool connects : {true, false}) {
        const int fd = udp_socket(to.family(), SOCK_NONBLOCK);
        observe_poll(fd);
        if (connects) told("connect", connect_to(fd, to));
        observe_poll(fd);
        for (const auto* word : {"first", "second", "third"})
            told("sendto", sendto(fd, word, std::strlen(word), 0, connects ? nullptr : to.get(),
                                  connects ? 0 : to.size));
        for (int i = 0; i < 3; ++i) receive(fd);
        observe_poll(fd);
        told("recv", recv(fd, nullptr, 0, 0));
        sendto(fd, "fourth", 6, 0, to.get(), to.size);
        pollfd interest{fd, POLLIN, 0};
        told("poll", poll(&interest, 1, patience));
        say("%s", event_names(static_cast<unsigned>(interest.revents)).c_str());
        receive(fd, "recvfrom", 0, 0);
        told("poll", poll(&interest, 1, 0));
        close(fd);
    }
}

void selected(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family(), SOCK_NONBLOCK);
    const auto look = [fd](long milliseconds) {
        fd_set in, out;
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_SET(fd, &in);
        FD_SET(fd, &out);
        timeval timeout{milliseconds / 1000, milliseconds % 1000 * 1000};
        told("select for both", select(fd + 1, &in, &out, nullptr, &timeout));
        FD_SET(fd, &in);
        timeout = {milliseconds / 1000, milliseconds % 1000 * 1000};
        told("select for input", select(fd + 1, &in, nullptr, nullptr, &timeout));
    };
    look(50);
    told("sendto", sendto(fd, "hello", 5, 0, to.get(), to.size));
    await_datagram(fd);
    look(50);
    receive(fd);
    look(0);
}

/// By an epoll that knew the socket before it was used.
void watched(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const unsigned mode : {0U, static_cast<unsigned>(EPOLLET), static_cast<unsigned>(EPOLLONESHOT)}) {
        const int fd = udp_socket(to.family(), SOCK_NONBLOCK), epoll = epoll_create1(0);
        epoll_event event{EPOLLIN | mode, {.u32 = 7}};
        told("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
        const auto wait = [&](int timeout) {
            epoll_event got{};
            const int count = epoll_wait(epoll, &got, 1, timeout);
            told("epoll_wait", count);
            if (count == 1) say("%s %u", event_names(got.events).c_str(), got.data.u32);
        };
        wait(0);
        told("connect", connect_to(fd, to));
        told("send", send(fd, "first", 5, 0));
        wait(patience);
        wait(0); // again, or not: as the mode has it
        receive(fd);
        wait(0);
        told("send", send(fd, "second", 6, 0));
        await_datagram(fd);
        wait(0);
        told("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
        wait(0);
        receive(fd);
        told("recv", recv(fd, nullptr, 0, 0));
        wait(0);
        close(fd);
        close(epoll);
    }
}

/// MSG_DONTWAIT on a socket that blocks: nothing waits.
void dont_wait(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    const Stopwatch watch;
    told("sendto", sendto(fd, "hello", 5, MSG_DONTWAIT, to.get(), to.size));
    told("sendto", sendto(fd, "you", 3, MSG_DONTWAIT, to.get(), to.size));
    say("%s", watch.milliseconds() < 200 ? "at once" : "not at once");
    receive(fd);
    receive(fd);
}

/// DESTINATION: another thread's shutdown() ends a wait.
void shut_down(const Arguments& words) {
    const auto to = address_of(words[0]);
    int fd = udp_socket(to.family());
    told("connect", connect_to(fd, to));
    exchange(fd, "hello");
    told("shutdown", shutdown(fd, SHUT_RD));
    std::array<char, 8> octets;
    told("recv", recv(fd, octets.data(), octets.size(), 0));
    told("recv", recv(fd, octets.data(), octets.size(), MSG_DONTWAIT));
    told("send", send(fd, "hello", 5, 0));
    pause(200); // what comes is still received
    receive(fd);
    told("shutdown", shutdown(fd, SHUT_RDWR));
    told("send", send(fd, "hello", 5, 0));
    close(fd);
    fd = udp_socket(to.family());
    exchange(fd, "hello", &to);
    told("shutdown of an unconnected one", shutdown(fd, SHUT_RD));
    told("recv", recv(fd, octets.data(), octets.size(), 0));
    std::array<char, 8> more{};
    Message into;
    into.add(more.data(), more.size());
    into.expect_source();
    told("recvmsg", recvmsg(fd, into.get(), 0));
    say("%u octets of a source", into.get()->msg_namelen);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"polled", polled, 1},
                {"selected", selected, 1},
                {"watched", watched, 1},
                {"dont_wait", dont_wait, 1},
                {"shut_down", shut_down, 1}});
}
