// Small things done to the program's sockets.
#pragma once

#include "sys/address.hpp"

#include <chrono>

namespace socksify::sys {

/// O_NONBLOCK on the description of `fd` for the length of a call; of -1: nothing.
class NonBlocking {
public:
    explicit NonBlocking(int fd) noexcept;
    ~NonBlocking();
    NonBlocking(const NonBlocking&) = delete;
    NonBlocking& operator=(const NonBlocking&) = delete;

private:
    int fd_;
};

/// Back to the state before connect(), with all options: connect(AF_UNSPEC). A connection there was is reset.
void disconnect(int fd) noexcept;
/// What poll() reports at once, of `events` and of what it always does; 0: nothing.
short poll_now(int fd, short events) noexcept;
/// A socket option that is an int, and never below 0. -1 with errno if it can't be had.
int option(int fd, int level, int name) noexcept;
/// AF_INET and so on; -1 with errno for what is no socket.
int domain_of(int fd) noexcept;
/// Whether `fd` is an AF_UNIX socket.
bool is_unix(int fd) noexcept;
/// SO_ERROR, which is 0 from then on.
int take_error(int fd) noexcept;
/// getsockname() and getpeername(). Nothing, with errno, where they fail.
std::optional<Address> local_address(int fd) noexcept;
std::optional<Address> peer_address(int fd) noexcept;
/// Binds `fd`, of `family`, to a port of this machine's own: which, or nothing with errno.
std::optional<Address> bind_to_loopback(int fd, int family) noexcept;
/// Whether the other side of a connection on which it has nothing to say is gone; what it says is thrown
/// away.
bool has_ended(int fd) noexcept;
/// The local address of a socket; 0.0.0.0 if it has none. Keeps errno.
Host local_host(int fd) noexcept;
/// Whether a signal that interrupts a call may be meant to: some handler was installed without SA_RESTART.
/// Which signal came, nobody can tell afterwards.
bool some_handler_interrupts() noexcept;
/// SO_SNDTIMEO, which limits a blocking connect() too; microseconds::max() for none. Asked of the kernel only
/// once the program has set it on some socket (`send_timeout_in_use`).
std::chrono::microseconds send_timeout(int fd) noexcept;
void send_timeout_in_use() noexcept;
/// SO_RCVLOWAT: who waits for fewer octets is not woken. What it is, which has become 1; likewise 1 unless
/// the program has set it on some socket (`low_water_in_use`).
int lower_low_water(int fd) noexcept;
void set_low_water(int fd, int octets) noexcept;
void copy_low_water(int from, int to) noexcept;
void low_water_in_use() noexcept;
/// Gives `to` those options of `from` that a socket has for its own traffic; not where it is bound to.
void copy_options(int from, int to) noexcept;
/// A TCP socket of `domain`, or a stream of AF_UNIX, with the options and flags of `fd`. -1 with errno.
int open_like(int fd, int domain) noexcept;

} // namespace socksify::sys
