// What depends on the proxy and its answers, and so has no bare run: names, strangers, nonsense, ends.
#include "udp.hpp"

#include <netdb.h>
#include <sys/epoll.h>
#include <sys/wait.h>

using namespace victim;

namespace {

/// What libc makes of "echo.test:7".
Address resolved(std::string_view text, int family) {
    const auto colon = text.rfind(':');
    const std::string host(text.substr(0, colon)), port(text.substr(colon + 1));
    addrinfo hints{}, *found = nullptr;
    hints.ai_family = family;
    hints.ai_socktype = SOCK_DGRAM;
    if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) give_up("no such name");
    Address address;
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.size = found->ai_addrlen;
    freeaddrinfo(found);
    return address;
}

/// NAME...: whether what comes back comes from where it was sent to.
void names(const Arguments& words) {
    for (const int family : {AF_INET, AF_INET6})
        for (const bool connects : {true, false}) {
            const int fd = udp_socket(family);
            for (const auto& word : words) {
                const auto to = resolved(word, family);
                if (connects) told("connect", connect_to(fd, to));
                told("sendto",
                     sendto(fd, "hello", 5, 0, connects ? nullptr : to.get(), connects ? 0 : to.size));
                if (!await_datagram(fd)) {
                    say("nothing comes");
                    continue;
                }
                Address from;
                from.size = sizeof from.storage;
                told("recvfrom", recvfrom(fd, nullptr, 0, MSG_DONTWAIT, from.get(), &from.size));
                const bool same =
                    from.size == to.size && std::memcmp(&from.storage, &to.storage, to.size) == 0;
                say("from %s", same ? "there" : "elsewhere");
                if (!connects) continue;
                Address peer;
                peer.size = sizeof peer.storage;
                getpeername(fd, peer.get(), &peer.size);
                say("peer %s",
                    std::memcmp(&peer.storage, &to.storage, to.size) == 0 ? "the same" : "another");
            }
            close(fd);
        }
}

/// DESTINATION [nonblocking]: one exchange after the other, with time for the proxy to end between them.
void ends(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family(), words.size() > 1 ? SOCK_NONBLOCK : 0);
    told("connect", connect_to(fd, to));
    for (const auto* word : {"one", "two", "three", "four", "five"}) {
        exchange(fd, word);
        pause(150);
    }
}

/// DESTINATION [nonblocking]: what a proxy that won't leads to, on both kinds of socket, of which one is
/// first.
void refused(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int first = words.size() > 1 ? SOCK_NONBLOCK : 0;
    for (const int type : {first, SOCK_NONBLOCK - first}) {
        const int fd = udp_socket(to.family(), type);
        told("connect", connect_to(fd, to));
        for (int i = 0; i < 2; ++i) {
            const Stopwatch watch;
            told("send", send(fd, "hello", 5, 0));
            say("%s", watch.milliseconds() < 300 ? "at once" : "after a while");
            pause(100);
            told("recv", recv(fd, nullptr, 0, MSG_DONTWAIT));
        }
        close(fd);
    }
}

void observe_wake(int fd, const char* how) {
    const Stopwatch watch;
    pollfd interest{fd, POLLIN, 0};
    const int count = poll(&interest, 1, patience);
    say("%s: %d %s%s", how, count, event_names(static_cast<unsigned>(interest.revents)).c_str(),
        watch.milliseconds() < patience / 2 ? "" : ", too late");
}

/// DESTINATION: a proxy that won't wakes who sleeps until something comes, by poll() and by epoll.
void woken_by_refusal(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const bool connects : {true, false})
        for (const bool asks : {true, false}) {
            const int fd = udp_socket(to.family(), SOCK_NONBLOCK), epoll = epoll_create1(0);
            epoll_event event{EPOLLIN, {.u32 = 7}};
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            if (connects) told("connect", connect_to(fd, to));
            told("sendto", sendto(fd, "hello", 5, 0, connects ? nullptr : to.get(), connects ? 0 : to.size));
            told("epoll_wait", epoll_wait(epoll, &event, 1, patience));
            say("%s", event_names(event.events).c_str());
            observe_wake(fd, "poll");
            if (asks) observe_error(fd);
            else told("recv", recv(fd, nullptr, 0, 0));
            observe_error(fd);
            observe_poll(fd);
            told("recv", recv(fd, nullptr, 0, 0));
            if (connects) observe_peer(fd);
            close(fd);
            close(epoll);
        }
}

/// DESTINATION: and so does one that ends, where nothing is sent any more. Then all begins anew.
void woken_by_end(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const bool connects : {true, false})
        for (const int type : {0, 0 + SOCK_NONBLOCK}) {
            const int fd = udp_socket(to.family(), type);
            if (connects) told("connect", connect_to(fd, to));
            exchange(fd, "one", connects ? nullptr : &to);
            if (type == 0) told("recv", recv(fd, nullptr, 0, 0)); // it waits
            else {
                observe_wake(fd, "poll");
                told("recv", recv(fd, nullptr, 0, 0));
            }
            observe_error(fd);
            told("recv", recv(fd, nullptr, 0, MSG_DONTWAIT));
            if (connects) observe_peer(fd);
            exchange(fd, "two", connects ? nullptr : &to);
            close(fd);
        }
}

/// DESTINATION: forked while the association is under way. The child has no part in it: when the parent is
/// done with the socket, its port is free.
void forked_early(const Arguments& words) {
    const auto to = address_of(words[0]);
    int fd = udp_socket(to.family(), SOCK_NONBLOCK);
    Address local = to;
    std::memset(&local.storage, 0, sizeof local.storage);
    local.storage.ss_family = static_cast<sa_family_t>(to.family());
    told("bind", bind(fd, local.get(), local.size));
    getsockname(fd, local.get(), &local.size);
    told("sendto", sendto(fd, "hello", 5, 0, to.get(), to.size));
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) give_up("no pipe");
    const pid_t child = fork();
    if (child == 0) {
        close(fd);
        close(ends[1]);
        char octet;
        _exit(read(ends[0], &octet, 1) == 0 ? 0 : 1); // until the parent has looked
    }
    receive(fd);
    told("close", close(fd));
    fd = udp_socket(to.family());
    told("bind", bind(fd, local.get(), local.size));
    close(ends[1]);
    int status = -1;
    waitpid(child, &status, 0);
    say("child %d", status);
}

/// DESTINATION: a port that was bound to is free as soon as its socket is closed.
void bound_again(const Arguments& words) {
    const auto to = address_of(words[0]);
    Address local;
    for (int i = 0; i < 20; ++i) {
        const int fd = udp_socket(to.family());
        if (i == 0) {
            local = to;
            std::memset(&local.storage, 0, sizeof local.storage);
            local.storage.ss_family = static_cast<sa_family_t>(to.family());
        }
        if (bind(fd, local.get(), local.size) != 0) told("bind", -1);
        if (i == 0) getsockname(fd, local.get(), &local.size);
        sendto(fd, "hello", 5, 0, to.get(), to.size);
        if (!await_datagram(fd)) say("nothing comes");
        close(fd);
    }
    say("over");
}

/// DESTINATION: somebody sends to the program's own port, beside the relay.
void stranger(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const bool connects : {true, false}) {
        const int fd = udp_socket(to.family());
        if (connects) told("connect", connect_to(fd, to));
        exchange(fd, "hello", &to);
        Address local;
        local.size = sizeof local.storage;
        getsockname(fd, local.get(), &local.size);
        const auto port = ntohs(reinterpret_cast<const sockaddr_in*>(&local.storage)->sin_port);
        const auto wish = "stranger " + std::to_string(port);
        sendto(fd, wish.data(), wish.size(), 0, to.get(), to.size);
        std::array<char, 64> octets{};
        const auto size = recv(fd, octets.data(), octets.size(), 0);
        say("recv: %s", std::string_view(octets.data(), size < 0 ? 0 : static_cast<std::size_t>(size)) == wish
                            ? "the answer"
                            : "something else");
        told("recv", recv(fd, nullptr, 0, MSG_DONTWAIT));
        close(fd);
    }
}

/// DESTINATION: one exchange.
void once(const Arguments& words) {
    for (const auto& word : words) {
        const auto to = address_of(word);
        const int fd = udp_socket(to.family());
        exchange(fd, "hello", &to);
        told("recv", recv(fd, nullptr, 0, MSG_DONTWAIT));
        close(fd);
    }
}

/// DESTINATION...: with one socket.
void on_one_socket(const Arguments& words) {
    const int fd = udp_socket(address_of(words[0]).family());
    for (int turn = 0; turn < 2; ++turn)
        for (const auto& word : words) {
            const auto to = address_of(word);
            exchange(fd, "hello", &to);
        }
}

/// DESTINATION: more than waits for the association, and closed before there is one.
void closed_early(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family(), SOCK_NONBLOCK);
    int failures = 0;
    for (int i = 0; i < 100; ++i)
        if (sendto(fd, "hello", 5, 0, to.get(), to.size) != 5) ++failures;
    say("failures %d", failures);
    told("close", close(fd));
    const int again = udp_socket(to.family(), SOCK_NONBLOCK);
    told("recv", recv(again, nullptr, 0, 0));
    exchange(again, "hello", &to);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"names", names, 1},
                {"ends", ends, 1},
                {"refused", refused, 1},
                {"woken_by_refusal", woken_by_refusal, 1},
                {"woken_by_end", woken_by_end, 1},
                {"bound_again", bound_again, 1},
                {"forked_early", forked_early, 1},
                {"stranger", stranger, 1},
                {"once", once, 1},
                {"on_one_socket", on_one_socket, 1},
                {"closed_early", closed_early, 1}});
}
