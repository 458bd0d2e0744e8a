// The life of a UDP socket: bound, connected here and there, duplicated, inherited, shared, closed.
#include "udp.hpp"

#include <sys/sendfile.h>
#include <sys/syscall.h>

#include <atomic>
#include <sys/wait.h>
#include <thread>

// By their own names: with 64-bit offsets, the headers give them others.
extern "C" ssize_t plain_sendfile(int to, int from, long* offset, std::size_t count) __asm__("sendfile");
extern "C" ssize_t plain_preadv2(int fd, const iovec* pieces, int count, long offset,
                                 int flags) __asm__("preadv2");
extern "C" ssize_t plain_pwritev2(int fd, const iovec* pieces, int count, long offset,
                                  int flags) __asm__("pwritev2");
extern "C" int pidfd_getfd(int process, int fd, unsigned flags) noexcept;

using namespace victim;

namespace {

void disconnect(int fd) {
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    told("connect to nobody", connect(fd, &nobody, sizeof nobody));
}

/// DESTINATION OTHER
void connect_again(const Arguments& words) {
    const auto one = address_of(words[0]), other = address_of(words[1]);
    const int fd = udp_socket(one.family());
    told("send", send(fd, "hello", 5, 0));
    observe_peer(fd);
    for (const auto& to : {one, other, one}) {
        told("connect", connect_to(fd, to));
        observe_peer(fd);
        observe_local(fd);
        exchange(fd, "to the peer");
        exchange(fd, "to the peer by name", &to);
        observe_local(fd);
    }
    // Whom it is not connected to may be sent to, and is not heard.
    told("sendto another", sendto(fd, "elsewhere", 9, 0, other.get(), other.size));
    receive(fd, "recvfrom", 0, 300);
    disconnect(fd);
    observe_peer(fd);
    observe_local(fd);
    told("send", send(fd, "hello", 5, 0));
    exchange(fd, "one", &one);
    if (one.family() == AF_INET)
        exchange(fd, "other", &other); // the kernel's AF_INET6 has still the first route
    told("connect", connect_to(fd, other));
    exchange(fd, "connected again");
    disconnect(fd);
    disconnect(fd);
}

/// DESTINATION OTHER: connected before anything is sent, without a word to anybody.
void connect_only(const Arguments& words) {
    for (const auto& word : words) {
        const auto to = address_of(word);
        const int fd = udp_socket(to.family());
        told("connect", connect_to(fd, to));
        observe_peer(fd);
        observe_local(fd);
        told("recv", recv(fd, nullptr, 0, MSG_DONTWAIT));
        told("connect", connect_to(fd, to));
        disconnect(fd);
        observe_peer(fd);
        observe_local(fd);
        close(fd);
    }
}

/// To a port of the program's own choice, which stays.
void bound(const Arguments& words) {
    const auto to = address_of(words[0]);
    const auto port = [](int fd) {
        Address local;
        local.size = sizeof local.storage;
        getsockname(fd, local.get(), &local.size);
        return ntohs(reinterpret_cast<const sockaddr_in*>(&local.storage)->sin_port);
    };
    for (const bool connects : {true, false}) {
        const int fd = udp_socket(to.family());
        auto any = address_of(to.family() == AF_INET ? "0.0.0.0:4321" : "[::]:4321");
        told("bind", bind(fd, any.get(), any.size));
        if (connects) told("connect", connect_to(fd, to));
        exchange(fd, "hello", &to);
        say("port %d", port(fd));
        if (connects) disconnect(fd);
        say("port %d", port(fd));
        exchange(fd, "hello", &to);
        const int second = udp_socket(to.family());
        told("bind a second one", bind(second, any.get(), any.size));
        told("bind again", bind(fd, any.get(), any.size));
        close(second);
        close(fd);
    }
}

/// To several in turn.
void several_destinations(const Arguments& words) {
    for (const int type : {0, 0 + SOCK_NONBLOCK}) {
        const int fd = udp_socket(address_of(words[0]).family(), type);
        for (int turn = 0; turn < 3; ++turn)
            for (const auto& word : words) {
                const auto to = address_of(word);
                exchange(fd, word, &to);
            }
        close(fd);
    }
}

void duplicates(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family()), before = dup(fd);
    told("connect", connect_to(fd, to));
    const int after = dup(fd), placed = 500;
    told("dup2", dup2(fd, placed) == placed ? 0 : -1);
    for (const int number : {fd, before, after, placed}) {
        observe_peer(number);
        exchange(number, "hello");
    }
    told("send", send(fd, "across", 6, 0));
    receive(after);
    told("close", close(fd));
    told("send", send(fd, "closed", 6, 0));
    for (const int number : {before, after, placed}) exchange(number, "still here");
    // The number of another file.
    const int other = open("/dev/null", O_WRONLY);
    told("dup2", dup2(other, after) == after ? 0 : -1);
    told("write", write(after, "to a file", 9));
    told("send", send(after, "to a file", 9, 0));
    close(before);
    close(placed);
    told("send", send(placed, "closed", 6, 0));
    const int fresh = udp_socket(to.family());
    told("send", send(fresh, "unconnected", 11, 0));
    observe_peer(fresh);
}

void forked(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const bool used_before : {true, false}) {
        const int fd = udp_socket(to.family());
        told("connect", connect_to(fd, to));
        if (used_before) exchange(fd, "before");
        const pid_t child = fork();
        if (child == 0) {
            exchange(fd, "child");
            observe_peer(fd);
            told("close", close(fd));
            _exit(0);
        }
        int status = -1;
        waitpid(child, &status, 0);
        say("status %d", status);
        exchange(fd, "parent");
        close(fd);
    }
}

/// Sixteen threads, each with words of its own, of which each must come back once.
void shared(const Arguments& words) {
    const auto to = address_of(words[0]);
    constexpr int threads = 16, each = 50;
    for (const int type : {0, 0 + SOCK_NONBLOCK})
        for (const bool connects : {true, false}) {
            const int fd = udp_socket(to.family(), type);
            const int room = 4 << 20;
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
            if (connects) connect_to(fd, to);
            std::array<std::array<std::atomic<int>, each>, threads> seen{};
            std::atomic<int> failures{0}, lost{0};
            {
                std::vector<std::jthread> all;
                for (int thread = 0; thread < threads; ++thread)
                    all.emplace_back([&, thread] {
                        for (int i = 0; i < each; ++i) {
                            const std::array<char, 2> word{static_cast<char>(thread), static_cast<char>(i)};
                            const auto sent = sendto(fd, word.data(), word.size(), 0,
                                                     connects ? nullptr : to.get(), connects ? 0 : to.size);
                            if (sent != 2) ++failures;
                            for (;;) { // somebody's
                                std::array<unsigned char, 8> back{};
                                if (!await_datagram(fd, 2000)) {
                                    ++lost;
                                    break;
                                }
                                const auto got = recv(fd, back.data(), back.size(), MSG_DONTWAIT);
                                if (got < 0 && errno == EAGAIN) continue;
                                if (got != 2 || back[0] >= threads || back[1] >= each) ++failures;
                                else ++seen[back[0]][back[1]];
                                break;
                            }
                        }
                    });
            }
            int wrong = 0;
            for (const auto& thread : seen)
                for (const auto& times : thread) wrong += times != 1 ? 1 : 0;
            say("failures %d, lost %d, not seen once %d", failures.load(), lost.load(), wrong);
            close(fd);
        }
}

/// close_range() over everything, and the numbers once more.
void close_all(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (int turn = 0; turn < 2; ++turn) {
        const int fd = udp_socket(to.family());
        told("connect", connect_to(fd, to));
        exchange(fd, "hello");
        const int kept = udp_socket(to.family());
        exchange(kept, "kept", &to);
        if (turn == 0) told("close_range", close_range(3, static_cast<unsigned>(kept) - 1, 0));
        else
            for (int number = 3; number < 4096; ++number)
                if (number != kept) close(number);
        told("send", send(fd, "closed", 6, 0));
        exchange(kept, "kept", &to);
        const int again = udp_socket(to.family());
        told("send", send(again, "unconnected", 11, 0));
        told("recv", recv(again, nullptr, 0, MSG_DONTWAIT));
        exchange(again, "hello", &to);
        close(kept);
        close(again);
    }
}

/// stdio closes a number by itself. What gets the number next is a file.
void closed_by_stdio(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    told("connect", connect_to(fd, to));
    exchange(fd, "hello");
    FILE* stream = fdopen(fd, "r+");
    told("fclose", fclose(stream));
    const int file = open("/dev/null", O_RDWR);
    say("%s", file == fd ? "the same number" : "another number");
    std::array<char, 8> octets{};
    if (words[1] == "read") told("read", read(file, octets.data(), octets.size()));
    told("write", write(file, "to a file", 9));
    told("read", read(file, octets.data(), octets.size()));
    close(file);
    const int fresh = udp_socket(to.family());
    told("send", send(fresh, "unconnected", 11, 0));
}

/// The number that stdio has closed, and that refers to something else by now, whatever it is.
void number_again(const Arguments& words) {
    const auto to = address_of(words[0]);
    const auto lost_number = [&] {
        const int fd = udp_socket(to.family());
        connect_to(fd, to);
        exchange(fd, "hello");
        fclose(fdopen(fd, "r+"));
        return fd;
    };
    const auto observe = [](const char* what, int lost, int first, int second) {
        say("%s: %s", what, lost == first ? "the same number" : "another number");
        observe_peer(first);
        told("write", write(second, "hello, world", 12));
        std::array<char, 8> octets{};
        told("read", read(first, octets.data(), octets.size()));
        say("'%.8s'", octets.data());
        told("read", read(first, octets.data(), octets.size()));
        say("'%.4s'", octets.data());
        told("write", write(first, "hello", 5));
        told("recv", recv(first, octets.data(), octets.size(), MSG_DONTWAIT));
        const int error = so_error(first);
        say("SO_ERROR %d", error);
        close(first);
        if (second != first) close(second);
    };
    std::array<int, 2> pair{};
    int lost = lost_number();
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data());
    observe("socketpair", lost, pair[0], pair[1]);
    lost = lost_number();
    syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair.data());
    observe("syscall socketpair", lost, pair[0], pair[1]);
    lost = lost_number();
    told("pipe", pipe(pair.data()));
    observe("pipe", lost, pair[0], pair[1]);
    // Received by a message, or taken from a process.
    int ways[2], left[2], right[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, ways);
    for (const int how : {0, 1, 2}) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, left);
        lost = lost_number();
        int got = -1;
        if (how == 2) {
            const int self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
            close(dup2(self, lost)); // the lowest that is free again
            got = pidfd_getfd(self, left[0], 0);
            close(self);
        } else {
            Message out({"x"}), in;
            std::array<char, 4> room{};
            out.expect_control();
            auto* part = reinterpret_cast<cmsghdr*>(out.control.data());
            part->cmsg_level = SOL_SOCKET;
            part->cmsg_type = SCM_RIGHTS;
            part->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(part), &left[0], sizeof(int));
            out.get()->msg_controllen = CMSG_SPACE(sizeof(int));
            told("sendmsg", sendmsg(ways[0], out.get(), 0));
            in.add(room.data(), room.size());
            in.expect_control();
            if (how == 0) told("recvmsg", recvmsg(ways[1], in.get(), 0));
            else told("recvmmsg", recvmmsg(ways[1], &in.header, 1, 0, nullptr));
            std::memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(in.get())), sizeof(int));
        }
        right[0] = got;
        if (how == 2) say("%s", got >= 0 ? "taken" : "not taken");
        observe("received", how == 2 ? got : lost, right[0], left[1]);
        close(left[0]);
    }
    const int fresh = udp_socket(to.family());
    told("send", send(fresh, "unconnected", 11, 0));
}

/// What needs no call of sockets, with and without a place of its own to read from or to write to.
void by_other_calls(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    told("connect", connect_to(fd, to));
    exchange(fd, "first");
    std::array<char, 16> octets{};
    iovec out{const_cast<char*>("hello"), 5}, in{octets.data(), octets.size()};
    told("pwritev2", plain_pwritev2(fd, &out, 1, -1, 0));
    await_datagram(fd);
    told("preadv2", plain_preadv2(fd, &in, 1, -1, 0));
    say("'%s'", octets.data());
    told("pwritev64v2", pwritev64v2(fd, &out, 1, -1, 0));
    await_datagram(fd);
    told("preadv64v2", preadv64v2(fd, &in, 1, -1, 0));
    told("syscall pwritev2", syscall(SYS_pwritev2, fd, &out, 1, -1L, -1L, 0));
    await_datagram(fd);
    told("syscall preadv2", syscall(SYS_preadv2, fd, &in, 1, -1L, -1L, 0));
    told("pwritev2 somewhere", pwritev2(fd, &out, 1, 0, 0));
    told("preadv2 somewhere", preadv2(fd, &in, 1, 0, 0));
    told("pwritev", pwritev(fd, &out, 1, 0));
    told("preadv", preadv(fd, &in, 1, 0));
    told("pwrite", pwrite(fd, "hello", 5, 0));
    told("pread", pread(fd, octets.data(), octets.size(), 0));
    int pipes[2];
    told("pipe", pipe(pipes));
    told("write", write(pipes[1], "piped", 5));
    told("tee", tee(pipes[0], fd, 5, SPLICE_F_NONBLOCK));
    told("vmsplice", vmsplice(fd, &out, 1, SPLICE_F_NONBLOCK));
    const int file = open("/proc/self/cmdline", O_RDONLY);
    told("copy_file_range", copy_file_range(file, nullptr, fd, nullptr, 5, 0));
    told("splice to it", splice(pipes[0], nullptr, fd, nullptr, 5, SPLICE_F_NONBLOCK));
    await_datagram(fd, 300);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    told("splice from it", splice(fd, nullptr, pipes[1], nullptr, 5, SPLICE_F_NONBLOCK));
    told("syscall splice",
         syscall(SYS_splice, fd, nullptr, pipes[1], nullptr, std::size_t{5}, unsigned{SPLICE_F_NONBLOCK}));
    const int other = open("/etc/passwd", O_RDONLY);
    off64_t zero = 0;
    told("sendfile", plain_sendfile(fd, other, nullptr, 5));
    told("sendfile64", sendfile64(fd, other, &zero, 5));
    told("syscall sendfile", syscall(SYS_sendfile, fd, other, nullptr, std::size_t{5}));
    while (await_datagram(fd, 300)) recv(fd, nullptr, 0, 0);
    exchange(fd, "last");
}

/// DESTINATION: IPV6_V6ONLY, set before anything else, or on a socket that is bound.
void v6only(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const bool is_bound : {false, true})
        for (const bool connects : {false, true}) {
            const int fd = udp_socket(AF_INET6), on = 1;
            told("IPV6_V6ONLY", setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
            const sockaddr_in6 any{AF_INET6, 0, 0, {}, 0};
            if (is_bound) told("bind", bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any));
            say("%s", is_bound ? "bound" : "not bound");
            if (connects) told("connect", connect_to(fd, to));
            exchange(fd, "hello", connects ? nullptr : &to);
            close(fd);
        }
}

/// DESTINATION: an address without a family is none to an AF_INET6 socket, and one of AF_INET to others.
void no_family(const Arguments& words) {
    const auto to = address_of(words[0]);
    auto nameless = to;
    nameless.storage.ss_family = AF_UNSPEC;
    const int fd = udp_socket(to.family());
    const auto send_all = [&] {
        for (const socklen_t size : {nameless.size, socklen_t{2}, socklen_t{1}}) {
            const auto sent = sendto(fd, "hello", 5, 0, nameless.get(), size);
            told("sendto", sent);
            if (sent >= 0) receive(fd);
        }
    };
    send_all();
    exchange(fd, "first", &to);
    send_all();
    told("connect", connect_to(fd, to));
    send_all();
    exchange(fd, "last");
    send_all();
}

/// An address of the other family is the kernel's to refuse.
void wrong_family(const Arguments& words) {
    const auto v4 = address_of(words[0]), v6 = address_of(words[1]);
    const int fd = udp_socket(AF_INET);
    told("sendto", sendto(fd, "hello", 5, 0, v6.get(), v6.size));
    told("connect", connect_to(fd, v6));
    told("connect", connect_to(fd, v4));
    exchange(fd, "hello");
    told("sendto", sendto(fd, "hello", 5, 0, v6.get(), v6.size));
    exchange(fd, "hello", &v4);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"connect_again", connect_again, 2},
                {"connect_only", connect_only, 1},
                {"bound", bound, 1},
                {"several_destinations", several_destinations, 1},
                {"duplicates", duplicates, 1},
                {"forked", forked, 1},
                {"shared", shared, 1},
                {"close_all", close_all, 1},
                {"closed_by_stdio", closed_by_stdio, 2},
                {"number_again", number_again, 1},
                {"by_other_calls", by_other_calls, 1},
                {"v6only", v6only, 1},
                {"no_family", no_family, 1},
                {"wrong_family", wrong_family, 2}});
}
