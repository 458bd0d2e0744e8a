// setsockopt and getsockopt before, while and after a non-blocking connect(): an option that was set stays
// set.
#include "victim.hpp"

#include <sys/time.h>
#include <thread>

using namespace victim;

namespace {

struct IntOption {
    const char* name;
    int level;
    int option;
    int value; ///< set on the way; -1: only asked for
};

constexpr IntOption options[] = {
    {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1},
    {"SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, 20000},
    {"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, 30000},
    {"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, 1},
    {"SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 3},
    {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 1},
    {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, 1},
    {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 3},
    {"SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, 1},
    {"SO_BROADCAST", SOL_SOCKET, SO_BROADCAST, 1},
    {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1},
    {"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 11},
    {"TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, 12},
    {"TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 5},
    {"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 20000},
    {"TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, 3},
    {"TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, 9},
    {"TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384},
    {"SO_TYPE", SOL_SOCKET, SO_TYPE, -1},
    {"SO_DOMAIN", SOL_SOCKET, SO_DOMAIN, -1},
    {"SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL, -1},
    {"SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN, -1},
};

constexpr IntOption ip_options[] = {
    {"IP_TOS", IPPROTO_IP, IP_TOS, 0x10},
    {"IP_TTL", IPPROTO_IP, IP_TTL, 77},
};
constexpr IntOption ipv6_options[] = {
    {"IPV6_TCLASS", IPPROTO_IPV6, IPV6_TCLASS, 0x20},
    {"IPV6_UNICAST_HOPS", IPPROTO_IPV6, IPV6_UNICAST_HOPS, 78},
    {"IPV6_V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY, -1},
};

template <class Do>
void each_option(int family, Do run) {
    for (const auto& option : options) run(option);
    if (family == AF_INET)
        for (const auto& option : ip_options) run(option);
    else
        for (const auto& option : ipv6_options) run(option);
}

void set(int fd, const IntOption& option) {
    if (option.value < 0) return;
    if (setsockopt(fd, option.level, option.option, &option.value, sizeof option.value) != 0)
        told(option.name, -1);
}

void show(int fd, const IntOption& option, const char* when) {
    int value = -1;
    socklen_t size = sizeof value;
    if (getsockopt(fd, option.level, option.option, &value, &size) != 0) told(option.name, -1);
    else say("%s: %s = %d, %u octets", when, option.name, value, size);
}

void set_structures(int fd) {
    const linger lingering{1, 6};
    const timeval limit{9, 500'000};
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &lingering, sizeof lingering) != 0) told("SO_LINGER", -1);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) told("SO_RCVTIMEO", -1);
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) != 0) told("TCP_CONGESTION", -1);
}

void show_structures(int fd, const char* when) {
    linger lingering{-1, -1};
    socklen_t size = sizeof lingering;
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &lingering, &size);
    say("%s: SO_LINGER = %d, %d", when, lingering.l_onoff, lingering.l_linger);
    timeval limit{-1, -1};
    size = sizeof limit;
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &size);
    say("%s: SO_RCVTIMEO = %ld.%06ld", when, limit.tv_sec, limit.tv_usec);
    std::array<char, 16> congestion{};
    size = congestion.size();
    getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion.data(), &size);
    say("%s: TCP_CONGESTION = %s", when, congestion.data());
}

void set_all(int fd, int family) {
    each_option(family, [fd](const IntOption& option) { set(fd, option); });
    set_structures(fd);
}
void show_all(int fd, int family, const char* when) {
    each_option(family, [&](const IntOption& option) { show(fd, option, when); });
    show_structures(fd, when);
}

void finish(int fd) {
    await_end_of_connect(fd);
    observe_error(fd);
    observe_echo(fd);
}

void before(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    set_all(fd, to.family());
    told("connect", connect_to(fd, to));
    finish(fd);
    show_all(fd, to.family(), "after");
    close(fd);
}

void during(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    set_all(fd, to.family());
    show_all(fd, to.family(), "during");
    finish(fd);
    show_all(fd, to.family(), "after");
    close(fd);
}

void after(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(fd, to));
    finish(fd);
    show_all(fd, to.family(), "untouched");
    set_all(fd, to.family());
    show_all(fd, to.family(), "after");
    close(fd);
}

/// As `before`, but blocking.
void blocking(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family());
    set_all(fd, to.family());
    told("connect", connect_to(fd, to));
    show_all(fd, to.family(), "after");
    close(fd);
}

/// A failed connect() takes nothing away. DESTINATION refuses.
void failed(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = tcp_socket(to.family(), SOCK_NONBLOCK);
    set_all(fd, to.family());
    told("connect", connect_to(fd, to));
    await_end_of_connect(fd);
    show_all(fd, to.family(), "failed");
    observe_error(fd);
    show_all(fd, to.family(), "after");
    close(fd);
}

/// SO_RCVLOWAT is what the program has set, at each moment, and the replies of a proxy's, which are shorter, come
/// all the same. DESTINATION is slow to be reached. LIMIT is SO_SNDTIMEO of a connect() that blocks; 0: it does not.
void low_water(const Arguments& words) {
    const auto to = address_of(words[0]);
    const auto limit = std::chrono::milliseconds(std::stoi(std::string(words[1])));
    const int fd = tcp_socket(to.family(), limit.count() == 0 ? SOCK_NONBLOCK : 0);
    const IntOption before{"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 100};
    const IntOption during{"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 50};
    const IntOption at_last{"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 1};
    set(fd, before);
    const timeval time{0, limit.count() * 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    const int result = connect_to(fd, to);
    if (limit.count() == 0) told("connect", result);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    show(fd, before, "during");
    if (limit.count() == 0) {
        set(fd, during);
        show(fd, during, "set during");
    }
    await_end_of_connect(fd);
    show(fd, before, "after");
    set(fd, at_last);
    observe_error(fd);
    observe_echo(fd);
    close(fd);
}

/// Pointers and sizes that are wrong, at each moment. The last argument never answers.
void bad_arguments_on(int fd, const char* when) {
    int value = 0;
    socklen_t size = sizeof value;
    const auto tell = [when](const char* call, int result) {
        told((std::string(when) + ": " + call).c_str(), result);
    };
    tell("getsockopt without a value", getsockopt(fd, SOL_SOCKET, SO_TYPE, nullptr, &size));
    tell("getsockopt without a size", getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, nullptr));
    size = static_cast<socklen_t>(-1);
    tell("getsockopt of a negative size", getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size));
    size = static_cast<socklen_t>(-1);
    tell("SO_ERROR of a negative size", getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size));
    size = 2;
    tell("SO_ERROR cut short", getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size));
    say("%s: %u octets", when, size);
    size = sizeof value;
    tell("an option that isn't", getsockopt(fd, SOL_SOCKET, 9999, &value, &size));
    tell("a level that isn't", getsockopt(fd, 9999, SO_TYPE, &value, &size));
    tell("setsockopt without a value", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, nullptr, sizeof value));
    tell("setsockopt cut short", setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, 1));
    tell("an option that can't be set", setsockopt(fd, SOL_SOCKET, SO_TYPE, &value, sizeof value));

    Address address;
    const auto tell_size = [when](socklen_t given) { say("%s: %d octets", when, static_cast<int>(given)); };
    for (const auto& [call, ask] : {std::pair{"getpeername", &getpeername}, {"getsockname", &getsockname}}) {
        const auto with = [call = call](const char* what) { return std::string(call) + " " + what; };
        tell(with("without an address").c_str(), ask(fd, nullptr, &size));
        tell(with("without a size").c_str(), ask(fd, address.get(), nullptr));
        size = static_cast<socklen_t>(-1);
        tell(with("of a negative size").c_str(), ask(fd, address.get(), &size));
        size = 4;
        tell(with("cut short").c_str(), ask(fd, address.get(), &size));
        tell_size(size);
        size = 0;
        tell(with("cut to nothing").c_str(), ask(fd, address.get(), &size));
        tell_size(size);
    }
}

void bad_arguments(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int connected = tcp_socket(to.family());
    told("connect", connect_to(connected, to));
    bad_arguments_on(connected, "connected");
    close(connected);
    const int under_way = tcp_socket(to.family(), SOCK_NONBLOCK);
    told("connect", connect_to(under_way, address_of(words[1])));
    bad_arguments_on(under_way, "under way");
    close(under_way);
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"before", before, 1},
                {"during", during, 1},
                {"after", after, 1},
                {"blocking", blocking, 1},
                {"failed", failed, 1},
                {"low_water", low_water, 2},
                {"bad_arguments", bad_arguments, 2}});
}
