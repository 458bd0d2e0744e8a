#include "shim/socket_calls.hpp"

#include "shim/connect.hpp"
#include "shim/datagrams.hpp"
#include "shim/listening.hpp"
#include "shim/optimistic.hpp"
#include "shim/route.hpp"
#include "sys/fd_marks.hpp"
#include "sys/parked.hpp"
#include "sys/peers.hpp"
#include "sys/real.hpp"
#include "sys/rules.hpp"
#include "sys/socket_options.hpp"

#include <algorithm>
#include <cstring>

namespace socksify::shim {
namespace {

using sys::Socket;
using State = Socket::State;

constexpr int sol_sctp = 132;
constexpr int sctp_connectx[] = {107, 110, 111}; // SCTP_SOCKOPT_CONNECTX_OLD, _CONNECTX, _CONNECTX3

/// sctp_connectx() hides the addresses in an option: nothing that we could judge by the rules.
bool connects_by_option(int level, int name) noexcept {
    return level == sol_sctp &&
           std::find(std::begin(sctp_connectx), std::end(sctp_connectx), name) != std::end(sctp_connectx);
}

/// Options of TCP and IP: of no meaning, and so without effect, on a stream to a proxy's AF_UNIX socket.
bool is_below(int level) noexcept {
    return level == IPPROTO_TCP || level == IPPROTO_IP || level == IPPROTO_IPV6;
}

bool is_negative(socklen_t size) noexcept { return static_cast<int>(size) < 0; }

/// The kernel's way with an int option: as much as there is room for.
Verdict<> answer(int number, void* value, socklen_t* size) noexcept {
    if (sys::is_nowhere(value) || sys::is_nowhere(size)) return Verdict<>::fail(EFAULT);
    if (is_negative(*size)) return Verdict<>::fail(EINVAL);
    *size = std::min(*size, static_cast<socklen_t>(sizeof number));
    std::memcpy(value, &number, *size);
    return Verdict<>::done(0);
}

/// The kernel's way with an address.
Verdict<> answer(const sys::Address& from, sockaddr* address, socklen_t* size) noexcept {
    if (sys::is_nowhere(size)) return Verdict<>::fail(EFAULT);
    if (is_negative(*size)) return Verdict<>::fail(EINVAL);
    if (*size != 0 && sys::is_nowhere(address)) return Verdict<>::fail(EFAULT);
    sys::put_address(from, address, size);
    return Verdict<>::done(0);
}

/// Runs `call` on the program's socket, or where the stand-in has an option in its place, on that.
template <class Call>
Verdict<> on_parked(int fd, const Socket& socket, int level, int name, Call call) {
    auto& parked = *socket.parked;
    const int result = level == SOL_SOCKET && name == SO_RCVLOWAT
                           ? parked.between_swaps([&] { return call(fd); })
                           : call(parked.hidden());
    return result == 0 ? Verdict<>::done(0) : Verdict<>::fail(errno);
}

} // namespace

Verdict<> getsockopt(int fd, int level, int name, void* value, socklen_t* size) {
    if (connects_by_option(level, name)) return Verdict<>::fail(EOPNOTSUPP);
    if (level == SOL_SOCKET && name == SO_ERROR)
        if (const int error = datagram_error(fd); error != 0) return answer(error, value, size);
    const auto socket = sys::find_socket(fd);
    if (!socket) return Verdict<>::pass();
    if (level == SOL_SOCKET) {
        if (name == SO_DOMAIN) return answer(socket->domain, value, size);
        if (name == SO_ERROR && socket->state == State::failed) {
            sys::take_error(fd); // the stand-in's own, so that poll() no longer reports it
            return answer(socket->error.exchange(0), value, size);
        }
    }
    if (socket->unanswered) {
        if (level == SOL_SOCKET && name == SO_ERROR)
            if (const int error = unanswered_error(*socket); error != 0) return answer(error, value, size);
        if (const auto own = own_option(*socket, level, name)) return answer(*own, value, size);
    }
    if (!socket->is_stand_in()) {
        if (!socket->over_unix) return Verdict<>::pass();
        if (level == SOL_SOCKET && name == SO_PROTOCOL) return answer(IPPROTO_TCP, value, size);
        return is_below(level) ? answer(0, value, size) : Verdict<>::pass();
    }
    if (level == SOL_SOCKET && name == SO_ERROR) return answer(0, value, size);
    return on_parked(fd, *socket, level, name,
                     [=](int its) { return real::getsockopt(its, level, name, value, size); });
}

Verdict<> setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
    if (connects_by_option(level, name)) return Verdict<>::fail(EOPNOTSUPP);
    if (joins_datagrams(level, name) && !all_is_direct()) return Verdict<>::fail(ENOPROTOOPT);
    if (level == SOL_SOCKET && name == SO_SNDTIMEO) sys::send_timeout_in_use();
    if (level == SOL_SOCKET && name == SO_RCVLOWAT) sys::low_water_in_use();
    const auto socket = sys::find_socket(fd);
    if (!socket) return Verdict<>::pass();
    if (socket->unanswered) on_option_set(*socket, level, name);
    if (!socket->is_stand_in())
        return socket->over_unix && is_below(level) ? Verdict<>::done(0) : Verdict<>::pass();
    return on_parked(fd, *socket, level, name,
                     [=](int its) { return real::setsockopt(its, level, name, value, size); });
}

Verdict<> getsockname(int fd, sockaddr* address, socklen_t* size) {
    const auto socket = sys::find_socket(fd);
    if (!socket) return Verdict<>::pass();
    if (socket->state == State::bound || socket->state == State::listening)
        return answer(listening_address(fd, *socket), address, size);
    if (const auto told = seen_there(*socket); told.size != 0) return answer(told, address, size);
    const int described = socket->is_stand_in() ? socket->parked->hidden() : fd;
    auto local = sys::local_address(described);
    if (!local) return Verdict<>::fail(errno);
    if (local->family() != socket->domain) {
        // A proxy of the other family: the port is true, and of the address we know that it is on this
        // machine.
        auto endpoint = sys::to_endpoint(local->get(), local->size).value_or(Endpoint{});
        if (endpoint.host.type() == AddressType::ipv6) endpoint.host = Host{};
        local = sys::to_address(endpoint, socket->domain);
    }
    return answer(*local, address, size);
}

namespace {

/// A connection that another process made through a proxy, and that this one got by exec or by a message.
std::optional<sys::Address> inherited_peer(int fd, const sys::Address& apparent) {
    const auto endpoint = sys::to_endpoint(apparent.get(), apparent.size);
    const bool may_be_one =
        endpoint ? is_a_proxy(*endpoint) : apparent.family() == AF_UNIX && has_unix_proxy();
    if (!may_be_one) return {};
    return sys::peers::recall(sys::cookie_of(fd));
}

} // namespace

Verdict<> getpeername(int fd, sockaddr* address, socklen_t* size) {
    if (const auto peer = datagram_peer(fd)) return answer(*peer, address, size);
    const auto socket = sys::find_socket(fd);
    if (socket && socket->state != State::connected) return Verdict<>::fail(ENOTCONN);
    if (socket && socket->unanswered && is_promised(*socket)) return answer(socket->peer, address, size);
    // The kernel's word on whether it still is; its address is the proxy's.
    const auto proxy = sys::peer_address(fd);
    if (!proxy) return Verdict<>::fail(errno);
    const auto peer = socket ? std::optional(socket->peer) : inherited_peer(fd, *proxy);
    return answer(peer.value_or(*proxy), address, size);
}

Verdict<ssize_t> transfer_after_failure(int fd) {
    const auto socket = sys::find_socket(fd);
    sys::fd_marks.clear(fd, sys::FdMarks::failed);
    if (!socket || socket->state != State::failed) return Verdict<ssize_t>::pass();
    const int error = socket->error.exchange(0);
    if (error == 0) return Verdict<ssize_t>::pass();
    sys::take_error(fd); // the stand-in's own
    return Verdict<ssize_t>::fail(error);
}

Verdict<> shutdown(int fd, int how) {
    const auto socket = sys::find_socket(fd);
    if (socket && socket->state == State::listening && how != SHUT_WR) {
        socket->listener->listener()->close(); // it listens no more
        sys::fds::forget_socket(fd);
    }
    if (socket && socket->unanswered) before_shutdown(fd);
    if (!socket || !socket->is_stand_in()) return Verdict<>::pass();
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return Verdict<>::fail(EINVAL);
    if (socket->state == State::failed) return Verdict<>::fail(ENOTCONN);
    // In the kernel, either direction of a connect() under way ends it (inet_shutdown, TCP_SYN_SENT).
    return socket->parked->give_up() ? Verdict<>::done(0) : Verdict<>::fail(errno);
}

Verdict<> open_socket(int domain) {
    return domain == AF_PACKET ? refuse_unless_all_direct(EPERM) : Verdict<>::pass();
}

} // namespace socksify::shim
