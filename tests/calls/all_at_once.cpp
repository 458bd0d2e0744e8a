// connect() to many destinations at the same time, each by name, and what came of each, in the order of the
// arguments: the errno, or what the destination said before it sent back our word.
//
//   WAY LIMIT ROUNDS PAUSE HOST:PORT…
//
// WAY is blocking (a thread for each), poll (level-triggered, all in one) or edge (epoll, registered before
// connect() and never touched again). A connect() that took longer than LIMIT milliseconds is called slow,
// and too slow after `grace` more. After each of the ROUNDS there is a PAUSE, in milliseconds. At the end
// stands how many descriptors the process has more than before it had connected at all.
#include "victim.hpp"

#include <dirent.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <thread>

using namespace victim;

namespace {

constexpr long grace = 2000;
constexpr std::string_view word = "ping";

/// Octets in a line of a table.
std::string shown(std::string text) {
    for (auto& c : text)
        if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '.';
    if (text.size() <= 64) return "'" + text + "'";
    return "'" + text.substr(0, 8) + "' and " + std::to_string(text.size() - 8) + " more";
}

struct Talk {
    std::string name;
    Address to{};
    int fd = -1;
    Stopwatch since_connect{};
    long took = -1; ///< milliseconds until the connect() was over; -1: it is under way
    int error = 0;
    std::string heard{};
    bool ended = false; ///< by the destination
    bool over = false;

    void begin() {
        since_connect = {};
        if (connect_to(fd, to) == 0) connected(0);
        else if (errno != EINPROGRESS) connected(errno);
    }
    void connected(int outcome) {
        took = since_connect.milliseconds();
        error = outcome;
        over = error != 0;
        if (over) return;
        Address peer;
        peer.size = sizeof peer.storage;
        if (getpeername(fd, peer.get(), &peer.size) != 0) heard += "(woken too early)";
        if (send(fd, word.data(), word.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(word.size()))
            heard += "(send: " + error_name(errno) + ")";
    }
    /// All that is there, until our word has come back.
    void listen() {
        std::array<char, 1024> piece;
        while (!over) {
            const auto size = recv(fd, piece.data(), piece.size(), MSG_DONTWAIT);
            if (size < 0 && errno == EAGAIN) return;
            if (size < 0) heard += "(recv: " + error_name(errno) + ")";
            ended = size <= 0;
            if (size > 0) heard.append(piece.data(), static_cast<std::size_t>(size));
            over = ended || heard.ends_with(word);
        }
    }
    /// The descriptor is ready for something.
    void go_on() {
        if (over) return;
        if (took < 0) connected(so_error(fd));
        if (!over) listen();
    }
    void tell(long limit) const {
        auto outcome = took < 0 ? std::string("no outcome") : error_name(error);
        if (error == 0 && took >= 0) {
            const auto early = heard.ends_with(word) ? heard.substr(0, heard.size() - word.size()) : heard;
            if (!early.empty()) outcome += ", " + shown(early);
            outcome += ended ? ", the end" : over ? ", echo" : ", no echo";
        }
        if (took > limit) outcome += took > limit + grace ? ", too slow" : ", slow";
        say("%s: %s", name.c_str(), outcome.c_str());
    }
};
using Talks = std::vector<Talk>;

bool all_over(const Talks& talks) {
    return std::all_of(talks.begin(), talks.end(), [](const Talk& talk) { return talk.over; });
}

void blocking(Talks& talks, long longest) {
    std::vector<std::thread> threads;
    threads.reserve(talks.size());
    for (auto& talk : talks)
        threads.emplace_back([&talk, longest] {
            talk.begin();
            const Stopwatch since;
            while (!talk.over && since.milliseconds() < longest) {
                pollfd readable{talk.fd, POLLIN, 0};
                if (poll(&readable, 1, patience) == 1) talk.listen();
            }
        });
    for (auto& thread : threads) thread.join();
}

void by_poll(Talks& talks, long longest) {
    for (auto& talk : talks) talk.begin();
    for (const Stopwatch since; !all_over(talks) && since.milliseconds() < longest;) {
        std::vector<pollfd> interests;
        for (const auto& talk : talks) {
            const auto events = static_cast<short>(talk.took < 0 ? POLLOUT : POLLIN);
            interests.push_back({talk.over ? -1 : talk.fd, events, 0});
        }
        poll(interests.data(), interests.size(), 1000);
        for (std::size_t i = 0; i < talks.size(); ++i)
            if (interests[i].revents != 0) talks[i].go_on();
    }
}

void by_edge(Talks& talks, long longest) {
    const int instance = epoll_create1(EPOLL_CLOEXEC);
    for (std::size_t i = 0; i < talks.size(); ++i) {
        epoll_event interest{};
        interest.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        interest.data.u64 = i;
        if (epoll_ctl(instance, EPOLL_CTL_ADD, talks[i].fd, &interest) != 0) told("epoll_ctl", -1);
    }
    std::vector<epoll_event> events(talks.size());
    const auto room = static_cast<int>(events.size());
    // That a fresh socket hangs up is not what is watched for here.
    [[maybe_unused]] const int discarded = epoll_wait(instance, events.data(), room, 0);
    for (auto& talk : talks) talk.begin();
    for (const Stopwatch since; !all_over(talks) && since.milliseconds() < longest;) {
        const int ready = epoll_wait(instance, events.data(), room, 1000);
        for (int i = 0; i < ready; ++i) talks[events[static_cast<std::size_t>(i)].data.u64].go_on();
    }
    close(instance);
}

struct Way {
    std::string_view name;
    void (*run)(Talks& talks, long longest);
    int socket_flags;
};
constexpr Way ways[] = {
    {"blocking", blocking, 0}, {"poll", by_poll, SOCK_NONBLOCK}, {"edge", by_edge, SOCK_NONBLOCK}};

Address resolve(const std::string& text) {
    const auto colon = text.rfind(':');
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (getaddrinfo(text.substr(0, colon).c_str(), text.substr(colon + 1).c_str(), &hints, &list) != 0)
        give_up("a name without an address");
    Address address;
    address.size = list->ai_addrlen;
    std::memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return address;
}

long descriptors() {
    auto* directory = opendir("/proc/self/fd");
    long count = 0;
    while (readdir(directory) != nullptr) ++count;
    closedir(directory);
    return count;
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 6) give_up("WAY LIMIT ROUNDS PAUSE HOST:PORT...");
    const auto* const way =
        std::find_if(std::begin(ways), std::end(ways), [&](const Way& one) { return one.name == argv[1]; });
    if (way == std::end(ways)) give_up("no such way");
    const long limit = std::stol(argv[2]);
    const auto before = descriptors();
    for (int rounds = std::stoi(argv[3]); rounds > 0; --rounds) {
        Talks talks;
        for (int i = 5; i < argc; ++i) {
            const std::string text(argv[i]);
            talks.push_back({.name = text.substr(0, text.rfind('.')), .to = resolve(text)});
            talks.back().fd = tcp_socket(talks.back().to.family(), way->socket_flags);
        }
        way->run(talks, limit + grace + patience);
        for (const auto& talk : talks) {
            talk.tell(limit);
            close(talk.fd);
        }
        pause(std::stoi(argv[4]));
    }
    // The worker lets go of its own in its own time.
    auto more = descriptors() - before;
    for (const Stopwatch since; more > 2 && since.milliseconds() < grace; more = descriptors() - before)
        pause(10);
    say("descriptors: %ld more", more);
    return 0;
}
