// A connect() that does not wait for the proxy, and what a program may do next. Each scenario first connects
// to DESTINATION twice, so that the proxy's list is known, and the kernel has the cookie that TCP Fast Open
// takes; of that nothing is said.
#include "victim.hpp"

#include <csignal>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <thread>

using namespace victim;

namespace {

void learn(std::string_view destination) {
    const auto to = address_of(destination);
    for (const int moment : {300, 50}) {
        const int fd = tcp_socket(to.family());
        if (connect_to(fd, to) != 0) give_up("the first connect()");
        close(fd);
        pause(moment);
    }
}

int start(std::string_view destination, int flags = 0) {
    learn(destination);
    const auto to = address_of(destination);
    const int fd = tcp_socket(to.family(), flags);
    told("connect", connect_to(fd, to));
    return fd;
}

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}
void observe_options(int fd) {
    say("SO_RCVLOWAT = %d, TCP_NODELAY = %s", option(fd, SOL_SOCKET, SO_RCVLOWAT),
        option(fd, IPPROTO_TCP, TCP_NODELAY) != 0 ? "on" : "off");
}

void observe_recv(int fd, int flags = 0) {
    std::array<char, 64> octets;
    const auto size = told("recv", recv(fd, octets.data(), octets.size(), flags));
    if (size > 0) say("'%.*s'", static_cast<int>(size), octets.data());
}

void observe_waiting(int fd) {
    int waiting = -1;
    told("ioctl FIONREAD", ioctl(fd, FIONREAD, &waiting));
    say("waiting: %d octets", waiting);
}

void write_first(const Arguments& words) {
    const int fd = start(words[0]);
    observe_peer(fd);
    observe_local(fd);
    observe_options(fd);
    told("connect again", connect_to(fd, address_of(words[0])));
    observe_echo(fd);
    observe_options(fd);
    observe_peer(fd);
    observe_error(fd);
    observe_echo(fd, "once more");
    close(fd);
}

/// With every call that writes.
void each_write(const Arguments& words) {
    const auto to = address_of(words[0]);
    char file_name[] = "/tmp/optimistic.XXXXXX";
    const int file = mkstemp(file_name);
    unlink(file_name);
    if (write(file, "ping", 4) != 4) give_up("a file");
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0 || write(pipe_ends[1], "ping", 4) != 4) give_up("a pipe");
    static iovec piece{const_cast<char*>("ping"), 4};
    static msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    static mmsghdr messages{message, 0};
    static off_t offset = 0;
    static int from = -1;
    static sockaddr_storage peer = to.storage;
    from = file;
    static int from_pipe = pipe_ends[0];
    struct Way {
        const char* name;
        long (*write)(int fd);
    };
    const Way ways[] = {
        {"write", [](int fd) -> long { return write(fd, "ping", 4); }},
        {"writev", [](int fd) -> long { return writev(fd, &piece, 1); }},
        {"pwritev2", [](int fd) -> long { return pwritev2(fd, &piece, 1, -1, 0); }},
        {"send", [](int fd) -> long { return send(fd, "ping", 4, 0); }},
        {"sendto", [](int fd) -> long { return sendto(fd, "ping", 4, 0, nullptr, 0); }},
        {"sendto an address",
         [](int fd) -> long {
             return sendto(fd, "ping", 4, 0, reinterpret_cast<const sockaddr*>(&peer), sizeof(sockaddr_in));
         }},
        {"sendmsg", [](int fd) -> long { return sendmsg(fd, &message, 0); }},
        {"sendmmsg", [](int fd) -> long { return sendmmsg(fd, &messages, 1, 0); }},
        {"sendfile", [](int fd) -> long { return sendfile(fd, from, &offset, 4); }},
        {"splice", [](int fd) -> long { return splice(from_pipe, nullptr, fd, nullptr, 4, 0); }},
    };
    learn(words[0]);
    for (const auto& way : ways) {
        const int fd = tcp_socket(to.family());
        if (connect_to(fd, to) != 0) told("connect", -1);
        told(way.name, way.write(fd));
        observe_recv(fd);
        close(fd);
    }
    const int fd = tcp_socket(to.family());
    told("sendto MSG_FASTOPEN", sendto(fd, "ping", 4, MSG_FASTOPEN, to.get(), to.size));
    observe_recv(fd);
    close(fd);
}

/// The destination speaks first.
void read_first(const Arguments& words) {
    const int fd = start(words[0]);
    observe_recv(fd);
    observe_echo(fd);
    close(fd);
}

void poll_first(const Arguments& words) {
    const int fd = start(words[0]);
    pollfd interest{fd, POLLIN, 0};
    told("poll", poll(&interest, 1, patience));
    observe_recv(fd, MSG_DONTWAIT);
    observe_options(fd);
    observe_echo(fd);
    close(fd);
}

/// Nobody speaks for a while, but the proxy has answered.
void quiet(const Arguments& words) {
    const int fd = start(words[0]);
    pause(200);
    observe_poll(fd);
    observe_waiting(fd);
    observe_recv(fd, MSG_DONTWAIT);
    observe_recv(fd, MSG_DONTWAIT | MSG_PEEK);
    observe_echo(fd);
    close(fd);
}

void without_blocking(const Arguments& words) {
    const int fd = start(words[0], SOCK_NONBLOCK);
    await_end_of_connect(fd);
    observe_error(fd);
    observe_peer(fd);
    observe_recv(fd);
    observe_echo(fd);
    told("connect again", connect_to(fd, address_of(words[0])));
    told("connect again", connect_to(fd, address_of(words[0])));
    close(fd);
}

/// An edge-triggered registration from before connect(): the events that matter, each with what it led to.
void edges(const Arguments& words) {
    learn(words[0]);
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    const int epoll = epoll_create1(0);
    epoll_event interest{};
    interest.events = EPOLLIN | EPOLLOUT | EPOLLET;
    told("connect", connect_to(fd, to));
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest);
    bool has_written = false;
    for (std::string back; back.size() < 4;) {
        epoll_event event{};
        if (epoll_wait(epoll, &event, 1, patience) != 1) {
            say("no event");
            break;
        }
        if ((event.events & EPOLLOUT) != 0 && !has_written) {
            has_written = send(fd, "ping", 4, MSG_NOSIGNAL) == 4;
            if (has_written) say("written");
        }
        std::array<char, 16> octets;
        if ((event.events & EPOLLIN) != 0)
            for (ssize_t size = 0; (size = recv(fd, octets.data(), octets.size(), 0)) > 0;)
                back.append(octets.data(), static_cast<std::size_t>(size));
        if (back.size() >= 4) say("'%s'", back.c_str());
    }
    // Nobody hears of it any more.
    close(fd);
    epoll_event event{};
    told("epoll_wait", epoll_wait(epoll, &event, 1, 100));
}

/// Closed before the proxy has answered: what was written gets there, and no event comes any more.
void closed_at_once(const Arguments& words) {
    const int epoll = epoll_create1(0);
    const int fd = start(words[0]);
    epoll_event interest{};
    interest.events = EPOLLIN | EPOLLRDHUP;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest);
    told("send", send(fd, "ping", 4, 0));
    close(fd);
    epoll_event event{};
    told("epoll_wait", epoll_wait(epoll, &event, 1, 500));
}

void many_octets(const Arguments& words) {
    const int fd = start(words[0]);
    std::string out(1 << 20, '?');
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(i * 7 + i / 251);
    std::string back;
    std::thread reader([&] {
        std::vector<char> piece(1 << 16);
        for (ssize_t size = 0;
             back.size() < out.size() && (size = recv(fd, piece.data(), piece.size(), 0)) > 0;)
            back.append(piece.data(), static_cast<std::size_t>(size));
    });
    told("send", send(fd, out.data(), out.size(), 0));
    reader.join();
    say("echo: %s", back == out ? "the same" : "another");
    close(fd);
}

/// One thread waits in recv() when another writes.
void two_threads(const Arguments& words) {
    const int fd = start(words[0]);
    std::thread reader([fd] { observe_recv(fd); });
    pause(100);
    if (send(fd, "ping", 4, 0) != 4) told("send", -1);
    reader.join();
    close(fd);
}

void half_closed(const Arguments& words) {
    const int fd = start(words[0]);
    told("send", send(fd, "ping", 4, 0));
    told("shutdown", shutdown(fd, SHUT_WR));
    observe_recv(fd);
    observe_recv(fd);
    close(fd);
}

void duplicated(const Arguments& words) {
    const int fd = start(words[0]);
    const int other = dup(fd);
    observe_peer(other);
    observe_echo(other);
    observe_echo(fd, "by the first");
    close(fd);
    observe_echo(other, "by the second");
    close(other);
}

void forked(const Arguments& words) {
    const int fd = start(words[0]);
    if (const pid_t child = fork(); child == 0) {
        observe_echo(fd, "of the child");
        std::_Exit(0);
    } else {
        waitpid(child, nullptr, 0);
    }
    observe_echo(fd, "of the parent");
    close(fd);
}

/// A program that knows nothing: cat(1) on the socket.
void executed(const Arguments& words) {
    const int fd = start(words[0]);
    if (const pid_t child = vfork(); child == 0) {
        dup2(fd, STDIN_FILENO);
        dup2(fd, STDOUT_FILENO);
        execl("/bin/echo", "echo", "ping", nullptr);
        _exit(127);
    } else {
        waitpid(child, nullptr, 0);
    }
    observe_recv(fd);
    close(fd);
}

/// The number is the same in the program that is executed, which says what it reads.
void inherited(const Arguments& words) {
    const int fd = start(words[0]);
    if (const pid_t child = vfork(); child == 0) {
        execl("/proc/self/exe", "optimistic", "inherits", std::to_string(fd).c_str(), nullptr);
        _exit(127);
    } else {
        waitpid(child, nullptr, 0);
    }
    close(fd);
}
void inherits(const Arguments& words) {
    const int fd = std::stoi(std::string(words[0]));
    told("send", send(fd, "ping", 4, 0));
    observe_recv(fd);
}

void stdio(const Arguments& words) {
    const int fd = start(words[0]);
    std::FILE* stream = fdopen(fd, "r+");
    if (stream == nullptr) give_up("fdopen");
    std::fputs("ping\n", stream);
    std::fflush(stream);
    std::array<char, 64> line{};
    std::fseek(stream, 0, SEEK_CUR);
    say("fgets: %s", std::fgets(line.data(), line.size(), stream) != nullptr ? "a line" : "none");
    say("%s", std::string(line.data()).substr(0, 4).c_str());
    std::fclose(stream);
}

void own_options(const Arguments& words) {
    learn(words[0]);
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family());
    const int one = 1, two = 2;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &two, sizeof two);
    told("connect", connect_to(fd, to));
    observe_options(fd);
    told("setsockopt", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    observe_options(fd);
    observe_echo(fd);
    observe_options(fd);
    close(fd);
}

/// A wait in recv() for what never comes: a time limit, and a signal.
void impatient(const Arguments& words) {
    const int fd = start(words[0]);
    const timeval limit{0, 100'000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    observe_recv(fd);
    const timeval none{0, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGALRM, &action, nullptr);
    ualarm(100'000, 0);
    observe_recv(fd);
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, nullptr);
    observe_echo(fd);
    close(fd);
}

/// The proxy's answer is bad, or none.
void refused(const Arguments& words) {
    const int fd = start(words[0]);
    pollfd interest{fd, POLLIN, 0};
    told("poll", poll(&interest, 1, patience));
    observe_recv(fd);
    observe_recv(fd);
    told("send", send(fd, "ping", 4, MSG_NOSIGNAL));
    observe_error(fd);
    close(fd);
}

/// The same, asked for by SO_ERROR.
void refused_later(const Arguments& words) {
    const int fd = start(words[0], SOCK_NONBLOCK);
    pollfd interest{fd, POLLIN, 0};
    told("poll", poll(&interest, 1, patience));
    observe_error(fd);
    observe_error(fd);
    observe_recv(fd);
    close(fd);
}

/// The same, found by a write.
void refused_write(const Arguments& words) {
    const int fd = start(words[0]);
    pause(200);
    told("send", send(fd, "ping", 4, 0));
    told("send", send(fd, "ping", 4, MSG_NOSIGNAL));
    close(fd);
    const auto to = address_of(words[0]);
    const int next = tcp_socket(to.family());
    told("connect", connect_to(next, to));
    close(next);
}

/// connect() to nobody, and anew.
void disconnected(const Arguments& words) {
    const int fd = start(words[0]);
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    told("connect to nobody", connect(fd, &nobody, sizeof nobody));
    observe_peer(fd);
    told("connect", connect_to(fd, address_of(words[0])));
    observe_echo(fd);
    close(fd);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"write_first", write_first, 1},
                {"each_write", each_write, 1},
                {"read_first", read_first, 1},
                {"poll_first", poll_first, 1},
                {"quiet", quiet, 1},
                {"without_blocking", without_blocking, 1},
                {"edges", edges, 1},
                {"closed_at_once", closed_at_once, 1},
                {"many_octets", many_octets, 1},
                {"two_threads", two_threads, 1},
                {"half_closed", half_closed, 1},
                {"duplicated", duplicated, 1},
                {"forked", forked, 1},
                {"executed", executed, 1},
                {"inherited", inherited, 1},
                {"inherits", inherits, 1},
                {"stdio", stdio, 1},
                {"own_options", own_options, 1},
                {"impatient", impatient, 1},
                {"refused", refused, 1},
                {"refused_later", refused_later, 1},
                {"refused_write", refused_write, 1},
                {"disconnected", disconnected, 1}});
}
