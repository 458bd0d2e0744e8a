#include "sys/untouched_socket.hpp"

#include "sys/keep_errno.hpp"
#include "sys/real.hpp"
#include "sys/socket_options.hpp"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 // Linux 5.14
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 // Linux 5.14: which buffer sizes the program has set itself
#endif

namespace socksify::sys {
namespace {

struct Option {
    int level;
    int name;
};

/// What decides on the way of a connection, or on how it is made.
constexpr std::array fixed{
    Option{SOL_SOCKET, SO_DOMAIN},          Option{SOL_SOCKET, SO_PROTOCOL},
    Option{SOL_SOCKET, SO_BINDTODEVICE},    Option{SOL_SOCKET, SO_MARK},
    Option{SOL_SOCKET, SO_DONTROUTE},       Option{SOL_SOCKET, SO_REUSEPORT},
    Option{SOL_SOCKET, SO_TIMESTAMPING},    Option{SOL_SOCKET, SO_TIMESTAMPNS},
    Option{SOL_SOCKET, SO_TXTIME},          Option{IPPROTO_TCP, TCP_MAXSEG},
    Option{IPPROTO_TCP, TCP_WINDOW_CLAMP},  Option{IPPROTO_TCP, TCP_FASTOPEN_CONNECT},
    Option{IPPROTO_TCP, TCP_SAVE_SYN},      Option{IPPROTO_TCP, TCP_REPAIR},
    Option{IPPROTO_IP, IP_TRANSPARENT},     Option{IPPROTO_IP, IP_FREEBIND},
    Option{IPPROTO_IP, IP_OPTIONS},         Option{IPPROTO_IPV6, IPV6_V6ONLY},
    Option{IPPROTO_IPV6, IPV6_TRANSPARENT}, Option{IPPROTO_IPV6, IPV6_FREEBIND},
};

/// What a connection takes at any time.
constexpr std::array movable{
    Option{SOL_SOCKET, SO_KEEPALIVE},
    Option{SOL_SOCKET, SO_LINGER},
    Option{SOL_SOCKET, SO_OOBINLINE},
    Option{SOL_SOCKET, SO_PRIORITY},
    Option{SOL_SOCKET, SO_RCVTIMEO},
    Option{SOL_SOCKET, SO_SNDTIMEO},
    Option{SOL_SOCKET, SO_RCVLOWAT},
    Option{SOL_SOCKET, SO_REUSEADDR},
    Option{SOL_SOCKET, SO_BROADCAST},
    Option{SOL_SOCKET, SO_TIMESTAMP},
    Option{SOL_SOCKET, SO_ZEROCOPY},
    Option{SOL_SOCKET, SO_BUSY_POLL},
    Option{SOL_SOCKET, SO_MAX_PACING_RATE},
    Option{IPPROTO_TCP, TCP_NODELAY},
    Option{IPPROTO_TCP, TCP_CORK},
    Option{IPPROTO_TCP, TCP_KEEPIDLE},
    Option{IPPROTO_TCP, TCP_KEEPINTVL},
    Option{IPPROTO_TCP, TCP_KEEPCNT},
    Option{IPPROTO_TCP, TCP_USER_TIMEOUT},
    Option{IPPROTO_TCP, TCP_CONGESTION},
    Option{IPPROTO_TCP, TCP_SYNCNT},
    Option{IPPROTO_TCP, TCP_LINGER2},
    Option{IPPROTO_TCP, TCP_DEFER_ACCEPT},
    Option{IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    Option{IPPROTO_IP, IP_TOS},
    Option{IPPROTO_IP, IP_TTL},
    Option{IPPROTO_IP, IP_MTU_DISCOVER},
    Option{IPPROTO_IP, IP_RECVERR},
    Option{IPPROTO_IPV6, IPV6_TCLASS},
    Option{IPPROTO_IPV6, IPV6_UNICAST_HOPS},
    Option{IPPROTO_IPV6, IPV6_RECVERR},
};

/// One that the program has set; the kernel's own tuning ends with that. It doubles what it is given.
struct BufferSize {
    unsigned lock; ///< its bit in SO_BUF_LOCK
    int name;
};
constexpr std::array<BufferSize, 2> buffer_sizes{{{1, SO_SNDBUF}, {2, SO_RCVBUF}}};

bool set_buffer_sizes(int to, int from) noexcept {
    unsigned locks = 0;
    socklen_t size = sizeof locks;
    if (real::getsockopt(from, SOL_SOCKET, SO_BUF_LOCK, &locks, &size) != 0) return false;
    for (const auto& [lock, name] : buffer_sizes) {
        int octets = 0;
        if ((locks & lock) == 0) continue;
        size = sizeof octets;
        if (real::getsockopt(from, SOL_SOCKET, name, &octets, &size) != 0) return false;
        octets /= 2;
        if (real::setsockopt(to, SOL_SOCKET, name, &octets, sizeof octets) != 0) return false;
    }
    return true;
}

/// Or one that can't be told.
bool has_filter(int fd) noexcept {
    int nothing = 0;
    socklen_t length = 0;
    return real::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, &nothing, &length) != 0 || length != 0;
}

bool is_bound(int fd) noexcept {
    const auto local = local_address(fd);
    const auto endpoint = local ? to_endpoint(local->get(), local->size) : std::nullopt;
    return !endpoint || endpoint->port != 0 || !endpoint->host.is_unspecified();
}

} // namespace

UntouchedSocket::Value UntouchedSocket::read(int fd, int level, int name) noexcept {
    Value value;
    socklen_t size = value.octets.size();
    if (real::getsockopt(fd, level, name, value.octets.data(), &size) == 0) value.size = size;
    else value.octets = {};
    return value;
}

std::optional<UntouchedSocket::Origin> UntouchedSocket::origin_of(int fd) noexcept {
    struct stat status {};
    Origin origin;
    socklen_t size = sizeof origin.network;
    if (fstat(fd, &status) != 0 ||
        real::getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &origin.network, &size) != 0)
        return {};
    origin.user = status.st_uid;
    origin.group = status.st_gid;
    return origin;
}

std::optional<UntouchedSocket> UntouchedSocket::describe(int fd) noexcept {
    static_assert(fixed.size() == fixed_count && movable.size() == movable_count);
    const auto origin = origin_of(fd);
    if (!origin) return {};
    UntouchedSocket described;
    described.origin_ = *origin;
    for (std::size_t i = 0; i < fixed.size(); ++i)
        described.fixed_[i] = read(fd, fixed[i].level, fixed[i].name);
    for (std::size_t i = 0; i < movable.size(); ++i)
        described.movable_[i] = read(fd, movable[i].level, movable[i].name);
    return described;
}

bool UntouchedSocket::can_replace(int from) const noexcept {
    const KeepErrno keep;
    for (std::size_t i = 0; i < fixed.size(); ++i)
        if (!(read(from, fixed[i].level, fixed[i].name) == fixed_[i])) return false;
    // Who gets SIGIO and SIGURG belongs to the description as well, and is not an option.
    return origin_of(from) == origin_ && !is_bound(from) && !has_filter(from) &&
           real::fcntl(from, F_GETOWN) == 0;
}

bool UntouchedSocket::dress(int to, int from, int flags) const noexcept {
    const KeepErrno keep;
    for (std::size_t i = 0; i < movable.size(); ++i) {
        const auto value = read(from, movable[i].level, movable[i].name);
        if (value == movable_[i]) continue;
        if (value.size == 0 ||
            real::setsockopt(to, movable[i].level, movable[i].name, value.octets.data(), value.size) != 0)
            return false;
    }
    return set_buffer_sizes(to, from) && real::fcntl(to, F_SETFL, flags) == 0;
}

bool is_quiet(int fd) noexcept {
    const KeepErrno keep;
    char octet = 0;
    return real::recv(fd, &octet, sizeof octet, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

bool is_acknowledged(int fd) noexcept {
    const KeepErrno keep;
    int octets = 0;
    return real::ioctl(fd, SIOCOUTQ, &octets) == 0 && octets == 0;
}

} // namespace socksify::sys
