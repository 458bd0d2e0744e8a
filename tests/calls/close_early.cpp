// close() and its kin while connect() is under way.
#include "victim.hpp"

#include <cstdio>
#include <sys/epoll.h>
#include <sys/stat.h>

using namespace victim;

namespace {

int start(const Address& to) {
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    return fd;
}

/// FIRST SECOND: the second connection only comes about when the proxy has seen the end of the first one.
void seen_by_the_proxy(const Arguments& words) {
    const int first = start(address_of(words[0]));
    pause(100);
    told("close", close(first));
    const int second = start(address_of(words[1]));
    await_end_of_connect(second);
    observe_error(second);
    observe_echo(second);
    close(second);
}

/// DESTINATION MILLISECONDS: a file has the number when the connect() would have been over. It stays a file.
void number_reused(const Arguments& words) {
    const int fd = start(address_of(words[0]));
    told("close", close(fd));
    const int file = open("/dev/null", O_RDWR);
    say("the same number: %s", file == fd ? "yes" : "no");
    pause(std::stoi(std::string(words[1])));
    struct stat status {};
    fstat(file, &status);
    say("still a file: %s", S_ISCHR(status.st_mode) ? "yes" : "no");
    told("write", write(file, "x", 1));
    close(file);
}

/// DESTINATION MILLISECONDS: the number is that of the next connect(), which has nothing of the first one.
void number_reused_by_connect(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int first = start(to);
    told("close", close(first));
    const int second = start(to);
    say("the same number: %s", first == second ? "yes" : "no");
    await_end_of_connect(second);
    observe_error(second);
    observe_peer(second);
    observe_echo(second);
    close(second);
}

/// epoll hears nothing of a socket that is closed, nor of a second one in its place before it is registered.
void forgotten_by_epoll(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int instance = epoll_create1(EPOLL_CLOEXEC);
    const int first = tcp_socket(to.family(), SOCK_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT;
    epoll_ctl(instance, EPOLL_CTL_ADD, first, &event);
    told("connect", connect_to(first, to));
    told("close", close(first));
    const int second = start(to);
    await_end_of_connect(second);
    told("epoll_wait", epoll_wait(instance, &event, 1, 100));
    told("EPOLL_CTL_DEL", epoll_ctl(instance, EPOLL_CTL_DEL, second, nullptr));
    event.events = EPOLLOUT;
    told("EPOLL_CTL_ADD", epoll_ctl(instance, EPOLL_CTL_ADD, second, &event));
    told("EPOLL_CTL_ADD", epoll_ctl(instance, EPOLL_CTL_ADD, second, &event));
    told("epoll_wait", epoll_wait(instance, &event, 1, 100));
    close(second);
}

/// A hundred times in a row.
void storm(const Arguments& words) {
    const auto to = address_of(words[0]);
    int failed = 0;
    for (int i = 0; i < 100; ++i) {
        const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
        if (connect_to(fd, to) != -1 || errno != EINPROGRESS) ++failed;
        if (i % 3 == 1) usleep(static_cast<useconds_t>(i) * 10);
        if (close(fd) != 0) ++failed;
    }
    say("failed: %d", failed);
    const int fd = start(to);
    await_end_of_connect(fd);
    observe_error(fd);
    observe_echo(fd);
    close(fd);
}

/// The other ways to end a number.
void by_fclose(const Arguments& words) {
    const int fd = start(address_of(words[0]));
    std::FILE* stream = fdopen(fd, "r+");
    told("fclose", std::fclose(stream));
    const int second = start(address_of(words[0]));
    await_end_of_connect(second);
    observe_error(second);
    observe_echo(second);
    close(second);
}

void by_close_range(const Arguments& words) {
    const int fd = start(address_of(words[0]));
    told("close_range", close_range(static_cast<unsigned>(fd), static_cast<unsigned>(fd), 0));
    const int second = start(address_of(words[0]));
    say("the same number: %s", fd == second ? "yes" : "no");
    await_end_of_connect(second);
    observe_error(second);
    observe_echo(second);
    told("close_range", close_range(3, ~0U, 0));
    const int third = start(address_of(words[0]));
    await_end_of_connect(third);
    observe_error(third);
    observe_peer(third);
    observe_echo(third);
    close(third);
}

void by_closefrom(const Arguments& words) {
    const int first = start(address_of(words[0]));
    const int second = start(address_of(words[0]));
    closefrom(second);
    observe_poll(second);
    await_end_of_connect(first);
    observe_error(first);
    observe_echo(first);
    closefrom(3);
    const int third = start(address_of(words[0]));
    say("the same number: %s", first == third ? "yes" : "no");
    await_end_of_connect(third);
    observe_error(third);
    observe_echo(third);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"seen_by_the_proxy", seen_by_the_proxy, 2},
                {"number_reused", number_reused, 2},
                {"number_reused_by_connect", number_reused_by_connect, 1},
                {"forgotten_by_epoll", forgotten_by_epoll, 1},
                {"storm", storm, 1},
                {"by_fclose", by_fclose, 1},
                {"by_close_range", by_close_range, 1},
                {"by_closefrom", by_closefrom, 1}});
}
