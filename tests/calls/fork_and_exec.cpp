// fork() and exec() around connect(): what parent and child see of a socket that both have.
#include "victim.hpp"

#include <csignal>
#include <sys/wait.h>

extern "C" { // glibc 2.36 forgot it
#include <sys/pidfd.h>
}

using namespace victim;

namespace {

int start(const Address& to) {
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    return fd;
}

/// Runs `in_child` in a child to its end, and says how that was.
template <class InChild>
void in_child(InChild run) {
    const pid_t child = fork();
    if (child < 0) give_up("no child");
    if (child == 0) {
        run();
        std::_Exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    say("the child ended with %d", status);
}

void after(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family());
    told("connect", connect_to(fd, to));
    in_child([fd] {
        observe_peer(fd, "child: getpeername");
        observe_echo(fd, "by the child");
        close(fd);
    });
    observe_peer(fd);
    observe_echo(fd, "by the parent");
    close(fd);
}

/// The parent has connected, so its library is awake; the child needs all of it anew.
void child_connects(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    await_end_of_connect(fd);
    observe_error(fd);
    in_child([&to] {
        const int own = start(to);
        await_end_of_connect(own);
        observe_error(own);
        observe_peer(own);
        observe_echo(own, "by the child");
        const int blocking = tcp_socket(to.family());
        told("child: connect", connect_to(blocking, to));
        observe_echo(blocking, "blocking");
    });
    observe_echo(fd, "by the parent");
    const int second = start(to);
    await_end_of_connect(second);
    observe_echo(second, "by the parent again");
}

/// Many children at once, each made while the parent's own connect() is under way.
void many_children(const Arguments& words) {
    const auto to = address_of(words[0]);
    constexpr int count = 20;
    for (int i = 0; i < count; ++i) {
        const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
        connect_to(fd, to);
        if (fork() != 0) continue;
        close(fd);
        const int own = tcp_socket(to.family());
        if (connect_to(own, to) != 0) std::_Exit(1);
        if (send(own, "x", 1, MSG_NOSIGNAL) != 1) std::_Exit(2);
        char octet = 0;
        if (recv(own, &octet, 1, 0) != 1 || octet != 'x') std::_Exit(3);
        std::_Exit(0);
    }
    int well = 0;
    for (int i = 0; i < count; ++i) {
        int status = -1;
        if (wait(&status) > 0 && status == 0) ++well;
    }
    say("%d of %d children did well", well, count);
}

/// The parent's connect() is under way when the child comes: both see it succeed.
void under_way(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    const pid_t child = fork();
    if (child == 0) {
        await_end_of_connect(fd);
        pause(100); // first the parent tells
    } else {
        await_end_of_connect(fd);
    }
    const char* who = child == 0 ? "child" : "parent";
    say("%s: SO_ERROR = %s", who, error_name(so_error(fd)).c_str());
    observe_peer(fd, child == 0 ? "child: getpeername" : "parent: getpeername");
    observe_echo(fd, who);
    if (child == 0) std::_Exit(0);
    int status = 0;
    waitpid(child, &status, 0);
    say("the child ended with %d", status);
}

/// The parent ends at once; the child, which inherited a connect() under way, is left with it.
void child_inherits(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    int told_us[2];
    if (pipe(told_us) != 0) give_up("no pipe");
    if (fork() == 0) { // a parent of its own, so that somebody can wait for the grandchild's words
        if (fork() == 0) {
            pause(50);
            await_end_of_connect(fd);
            observe_error(fd);
            observe_peer(fd);
            observe_echo(fd);
            std::_Exit(0);
        }
        std::_Exit(0);
    }
    close(fd);
    close(told_us[1]);
    wait(nullptr);
    char octet = 0;
    [[maybe_unused]] const auto end = read(told_us[0], &octet, 1); // ends with the grandchild
}

/// The child closes its copy while the parent's connect() is under way: nothing happens to the parent's.
void child_closes(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    in_child([fd] { told("child: close", close(fd)); });
    await_end_of_connect(fd);
    observe_error(fd);
    observe_peer(fd);
    observe_echo(fd);
    close(fd);
}

/// A number that a program inherited: SELF is started anew with it.
void exec(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family());
    told("connect", connect_to(fd, to));
    const auto number = std::to_string(fd);
    execl("/proc/self/exe", "fork_and_exec", "after_exec", number.c_str(), nullptr);
    give_up("exec");
}

void after_exec(const Arguments& words) {
    const int fd = std::stoi(std::string(words[0]));
    observe_peer(fd);
    observe_echo(fd);
}

/// Hands `fd` to a child by a message; the child, which was there before the socket, uses it.
void by_message(const Address& to, int flags) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) give_up("no pair");
    const pid_t child = fork();
    char octet = 'x';
    iovec piece{&octet, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (child == 0) {
        if (recvmsg(ends[1], &message, 0) != 1) std::_Exit(1);
        const auto* received = CMSG_FIRSTHDR(&message);
        if (received == nullptr) std::_Exit(2);
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(received), sizeof fd);
        await_end_of_connect(fd);
        observe_error(fd);
        observe_peer(fd, "child: getpeername");
        observe_echo(fd, "by the child");
        std::_Exit(0);
    }
    const int fd = tcp_socket(to.family(), flags);
    told("connect", connect_to(fd, to));
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    const auto size = sendmsg(ends[0], &message, 0);
    int status = 0;
    waitpid(child, &status, 0);
    told("sendmsg", size); // only now: two processes would tell at the same time
    say("the child ended with %d", status);
}

void sent(const Arguments& words) { by_message(address_of(words[0]), 0); }
void sent_under_way(const Arguments& words) { by_message(address_of(words[0]), SOCK_NONBLOCK); }

/// A child connects; this process takes its descriptor out of it.
void taken_over(const Arguments& words) {
    const auto to = address_of(words[0]);
    int ends[2];
    if (pipe(ends) != 0) give_up("no pipe");
    const pid_t pid = fork();
    if (pid == 0) {
        const int fd = tcp_socket(to.family());
        connect_to(fd, to);
        if (write(ends[1], &fd, sizeof fd) != sizeof fd) give_up("write");
        pause(5000);
        std::_Exit(0);
    }
    int number = -1;
    if (read(ends[0], &number, sizeof number) != sizeof number) give_up("read");
    const int process = pidfd_open(pid, 0);
    const int fd = told_fd("pidfd_getfd", pidfd_getfd(process, number, 0));
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    observe_peer(fd);
    observe_echo(fd);
    told("close", close(fd));
}

/// What the library opens is closed by exec: the new program has the numbers that it would have.
void descriptors_after_exec(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = start(to);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    execl("/proc/self/exe", "fork_and_exec", "count_descriptors", nullptr);
    give_up("exec");
}

void count_descriptors(const Arguments&) {
    int open_ones = 0;
    for (int fd = 3; fd < 20000; ++fd)
        if (fcntl(fd, F_GETFD) >= 0) ++open_ones;
    say("descriptors beyond stderr: %d", open_ones);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"after", after, 1},
                {"child_connects", child_connects, 1},
                {"many_children", many_children, 1},
                {"under_way", under_way, 1},
                {"child_inherits", child_inherits, 1},
                {"child_closes", child_closes, 1},
                {"exec", exec, 1},
                {"after_exec", after_exec, 1},
                {"sent", sent, 1},
                {"sent_under_way", sent_under_way, 1},
                {"taken_over", taken_over, 1},
                {"descriptors_after_exec", descriptors_after_exec, 1},
                {"count_descriptors", count_descriptors, 0}});
}
