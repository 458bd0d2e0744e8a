#include "sys/socket_options.hpp"

#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <netinet/tcp.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 // Linux 5.14: which buffer sizes the program has set itself
#endif

namespace socksify::sys {
namespace {

void copy_option(int from, int to, int level, int name) noexcept {
    std::array<unsigned char, 64>
        value; // the largest: SO_LINGER, timevals, names of devices and of congestion controls
    socklen_t size = value.size();
    if (real::getsockopt(from, level, name, value.data(), &size) == 0 && size > 0)
        real::setsockopt(to, level, name, value.data(), size);
}

/// The kernel doubles what it is given, and an explicit size ends its own tuning: so only what the program
/// set.
void copy_buffer_sizes(int from, int to) noexcept {
    int locks = 0;
    socklen_t size = sizeof locks;
    if (real::getsockopt(from, SOL_SOCKET, SO_BUF_LOCK, &locks, &size) != 0) return;
    constexpr std::array<std::pair<int, int>, 2> buffers{{{1, SO_SNDBUF}, {2, SO_RCVBUF}}};
    for (const auto& [bit, name] : buffers) {
        int octets = 0;
        size = sizeof octets;
        if ((locks & bit) == 0 || real::getsockopt(from, SOL_SOCKET, name, &octets, &size) != 0) continue;
        octets /= 2;
        real::setsockopt(to, SOL_SOCKET, name, &octets, sizeof octets);
    }
}

} // namespace

namespace {

/// F_SETFL would want all the other flags.
bool set_nonblocking(int fd, int on) noexcept { return real::ioctl(fd, FIONBIO, &on) == 0; }

} // namespace

NonBlocking::NonBlocking(int fd) noexcept : fd_(fd) {
    if (fd_ >= 0 && !set_nonblocking(fd_, 1)) fd_ = -1;
}

NonBlocking::~NonBlocking() {
    if (fd_ < 0) return;
    const KeepErrno keep;
    set_nonblocking(fd_, 0);
}

void disconnect(int fd) noexcept {
    const KeepErrno keep;
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    real::connect(fd, &nobody, static_cast<socklen_t>(sizeof nobody));
    take_error(fd); // a connection that was cut leaves ECONNRESET behind (tcp_disconnect): ours, not the
                    // program's to see
}

short poll_now(int fd, short events) noexcept {
    pollfd interest{fd, events, 0};
    return real::poll(&interest, nfds_t{1}, 0) > 0 ? interest.revents : short{0};
}

int option(int fd, int level, int name) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return real::getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

int domain_of(int fd) noexcept { return option(fd, SOL_SOCKET, SO_DOMAIN); }

bool is_unix(int fd) noexcept { return domain_of(fd) == AF_UNIX; }

bool has_ended(int fd) noexcept {
    for (;;) {
        std::array<unsigned char, 64> discarded;
        const auto size = real::recv(fd, discarded.data(), discarded.size(), MSG_DONTWAIT);
        if (size > 0) continue;
        if (size == 0) return true;
        return errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM;
    }
}

int take_error(int fd) noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    return real::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

namespace {

template <class Call>
std::optional<Address> asked_of(int fd, const Call& call) noexcept {
    Address address;
    address.size = sizeof address.storage;
    if (call(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0) return {};
    return address;
}

} // namespace

std::optional<Address> local_address(int fd) noexcept { return asked_of(fd, real::getsockname); }
std::optional<Address> peer_address(int fd) noexcept { return asked_of(fd, real::getpeername); }

std::optional<Address> bind_to_loopback(int fd, int family) noexcept {
    const auto any_port = *to_address({loopback(family), 0}, family);
    if (real::bind(fd, any_port.get(), any_port.size) != 0) return {};
    return local_address(fd);
}

Host local_host(int fd) noexcept {
    const KeepErrno keep;
    const auto local = local_address(fd);
    const auto endpoint = local ? to_endpoint(local->get(), local->size) : std::nullopt;
    return endpoint ? endpoint->host : Host{};
}

bool some_handler_interrupts() noexcept {
    const KeepErrno keep;
    for (int number = 1; number < NSIG; ++number) {
        struct sigaction action {};
        if (sigaction(number, nullptr, &action) != 0 || (action.sa_flags & SA_RESTART) != 0) continue;
        if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) return true;
    }
    return false;
}

constinit static std::atomic<bool> send_timeouts{false};

void send_timeout_in_use() noexcept { send_timeouts.store(true, std::memory_order_relaxed); }

std::chrono::microseconds send_timeout(int fd) noexcept {
    constexpr auto none = std::chrono::microseconds::max();
    if (!send_timeouts.load(std::memory_order_relaxed)) return none;
    timeval limit{};
    socklen_t size = sizeof limit;
    if (real::getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &size) != 0) return none;
    const auto timeout = std::chrono::seconds(limit.tv_sec) + std::chrono::microseconds(limit.tv_usec);
    return timeout.count() == 0 ? none : timeout;
}

constinit static std::atomic<bool> low_waters{false};

void low_water_in_use() noexcept { low_waters.store(true, std::memory_order_relaxed); }

int lower_low_water(int fd) noexcept {
    if (!low_waters.load(std::memory_order_relaxed)) return 1;
    const KeepErrno keep;
    const int octets = option(fd, SOL_SOCKET, SO_RCVLOWAT);
    if (octets > 1) set_low_water(fd, 1);
    return std::max(octets, 1);
}

void set_low_water(int fd, int octets) noexcept {
    const KeepErrno keep;
    real::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &octets, sizeof octets);
}

void copy_low_water(int from, int to) noexcept {
    const KeepErrno keep;
    if (low_waters.load(std::memory_order_relaxed)) copy_option(from, to, SOL_SOCKET, SO_RCVLOWAT);
}

void copy_options(int from, int to) noexcept {
    for (const int name : {SO_KEEPALIVE, SO_LINGER, SO_OOBINLINE, SO_PRIORITY, SO_RCVTIMEO, SO_SNDTIMEO,
                           SO_RCVLOWAT, SO_MARK, SO_TIMESTAMP})
        copy_option(from, to, SOL_SOCKET, name);
    for (const int name : {TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT,
                           TCP_CONGESTION, TCP_SYNCNT, TCP_NOTSENT_LOWAT})
        copy_option(from, to, IPPROTO_TCP, name);
    copy_buffer_sizes(from, to);
}

int open_like(int fd, int domain) noexcept {
    const int flags = real::fcntl(fd, F_GETFL);
    if (flags < 0) return -1;
    const int other = open_with_room([=] {
        return real::socket(domain, SOCK_STREAM | SOCK_CLOEXEC, domain == AF_UNIX ? 0 : IPPROTO_TCP);
    });
    if (other < 0) return -1;
    for (const int name : {SO_BINDTODEVICE, SO_REUSEADDR}) copy_option(fd, other, SOL_SOCKET, name);
    copy_options(fd, other);
    if (real::fcntl(other, F_SETFL, flags) == 0) return other;
    const KeepErrno keep;
    real::close(other);
    return -1;
}

} // namespace socksify::sys
