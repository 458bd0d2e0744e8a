// One connect after the other, in one process, as the arguments say: what the library has learnt from one
// shows in the next.
//
//   HOST:PORT    connect to the address or the name, and have a word echoed
//   ~HOST:PORT   the same, without blocking
//   only:HOST:PORT   no echo: somebody else's protocol
//   pause:N      N milliseconds
//   child        go on in a child; the parent waits for it
//   exec         go on as another program, this one
//
// A connect that takes longer than `slow` is called slow.
#include "victim.hpp"

#include <netdb.h>
#include <sys/wait.h>

using namespace victim;

namespace {

constexpr long slow = 300; ///< milliseconds

/// The first address for a literal or a name; family AF_UNSPEC if there is none.
Address resolve(std::string_view text) {
    if (is_literal(text)) return address_of(text);
    const auto colon = text.rfind(':');
    const std::string name(text.substr(0, colon)), port(text.substr(colon + 1));
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    Address address;
    if (const int code = getaddrinfo(name.c_str(), port.c_str(), &hints, &list); code != 0) {
        say("%s: %s", name.c_str(), gai_strerror(code));
        return address;
    }
    address.size = list->ai_addrlen;
    std::memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return address;
}

void dial(std::string_view text) {
    const std::string what(text);
    const bool nonblocking = text.starts_with('~');
    if (nonblocking) text.remove_prefix(1);
    const bool with_echo = !text.starts_with("only:");
    if (!with_echo) text.remove_prefix(5);
    const auto to = resolve(text);
    if (to.family() == AF_UNSPEC) return;
    const int fd = tcp_socket(to.family(), nonblocking ? SOCK_NONBLOCK : 0);
    const Stopwatch watch;
    int error = connect_to(fd, to) == 0 ? 0 : errno;
    if (nonblocking && error == EINPROGRESS) {
        await_end_of_connect(fd);
        error = so_error(fd);
    }
    say("%s: %s%s", what.c_str(), error_name(error).c_str(), watch.milliseconds() > slow ? ", slow" : "");
    if (error == 0 && with_echo) observe_echo(fd);
    close(fd);
}

} // namespace

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view word(argv[i]);
        if (word.starts_with("pause:")) {
            pause(std::stoi(std::string(word.substr(6))));
        } else if (word == "child") {
            if (fork() == 0) continue;
            int status = 0;
            wait(&status);
            say("the child ended with %d", status);
            return 0;
        } else if (word == "exec") {
            argv[i] = argv[0];
            execv("/proc/self/exe", argv + i);
            say("execv: %s", strerrorname_np(errno));
            return 1;
        } else {
            dial(word);
        }
    }
    return 0;
}
