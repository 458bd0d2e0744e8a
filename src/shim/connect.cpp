#include "shim/connect.hpp"

#include "shim/datagrams.hpp"
#include "shim/dial.hpp"
#include "shim/dns_stream.hpp"
#include "shim/kind.hpp"
#include "shim/name_server.hpp"
#include "shim/optimistic.hpp"
#include "shim/route.hpp"
#include "sys/datagram.hpp"
#include "sys/log.hpp"
#include "sys/peers.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"

#include <netinet/in.h>

namespace socksify::shim {
namespace {

namespace log = sys::log;
using sys::Socket;

sys::Address local_of(const Dial& dial, const sys::Address& peer, int domain) {
    return as_seen_there(dial.bound(), peer, domain);
}

/// Carries a parked connect() to its end.
class ParkedConnect final : public sys::worker::Task {
public:
    /// `make_dial(parked)` makes the Dial where it stays: it has some kilobytes. Throws what that throws.
    template <class MakeDial>
    ParkedConnect(std::shared_ptr<sys::Parked> parked, const sys::Address& peer, int domain, bool is_direct,
                  const MakeDial& make_dial)
        : parked_(std::move(parked)),
          dial_(make_dial(parked_)),
          peer_(peer),
          domain_(domain),
          is_direct_(is_direct) {}

    sys::worker::Wait run() override {
        if (parked_->cancelled()) return {.over = true};
        return dial_.advance();
    }
    void finish() noexcept override {
        if (parked_->cancelled()) return;
        if (dial_.error() != 0) return parked_->fail(dial_.error());
        const auto local = is_direct_ ? sys::Address{} : local_of(dial_, peer_, domain_);
        parked_->unpark(local, is_direct_ ? Socket::no_upstream : dial_.upstream());
    }
    void abandon(int error) noexcept override {
        dial_.abandon(error);
        parked_->fail(error);
    }
    /// Before the worker has had it: the socket is the program's again.
    void take_back(int error) noexcept {
        dial_.abandon(error);
        parked_->restore();
    }
    [[nodiscard]] bool has_news() const noexcept override { return parked_->cancelled(); }
    /// At once, before the worker has had it: 0, or why.
    [[nodiscard]] int early_error() const noexcept { return dial_.has_failed() ? dial_.error() : 0; }

private:
    std::shared_ptr<sys::Parked> parked_;
    Dial dial_;
    sys::Address peer_;
    int domain_;
    bool is_direct_;
};

/// An address of a family that this socket can't reach, whatever the rules say: the kernel's errno is the
/// right one.
bool is_the_kernels_to_refuse(int fd, const sockaddr* address, const Kind& kind) noexcept {
    switch (kind.domain) {
    case AF_UNIX:
    case AF_NETLINK: return true;
    case AF_INET: return address->sa_family != AF_INET;
    case AF_INET6: {
        if (kind.protocol != policy::Protocol::tcp) return false; // UDP takes IPv4 addresses on either
        if (address->sa_family != AF_INET6) return true;
        const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(address);
        int v6only = 0;
        socklen_t option_size = sizeof v6only;
        return IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) &&
               real::getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &option_size) == 0 && v6only != 0;
    }
    default: return false;
    }
}

bool is_blocking(int flags) noexcept { return (flags & O_NONBLOCK) == 0; }

/// What a connect() on a socket that has been through here already gets, as from the kernel. Passes if it
/// begins anew.
Verdict<> connect_again(int fd, const Socket& socket) {
    switch (socket.state) {
    case Socket::State::parked: {
        if (!is_blocking(real::fcntl(fd, F_GETFL))) return Verdict<>::fail(EALREADY);
        // An interrupted one, taken up again: it waits for what has gone on meanwhile.
        pollfd stand_in{fd, POLLOUT, 0};
        if (sys::poll_with_signals(stand_in, -1) < 0) return Verdict<>::fail(errno);
        const auto settled = sys::find_socket(fd);
        return settled ? connect_again(fd, *settled) : Verdict<>::fail(EBADF);
    }
    case Socket::State::connected:
        if (socket.unanswered)
            if (const auto again = connect_again_optimistically(fd, socket); !again.passed) return again;
        return socket.second_connect_succeeds.exchange(false) ? Verdict<>::done(0) : Verdict<>::fail(EISCONN);
    case Socket::State::bound:
        sys::fds::forget_socket(fd);
        return Verdict<>::pass(); // to connect, not to listen
    case Socket::State::listening: return Verdict<>::fail(EISCONN);
    case Socket::State::failed: break;
    }
    // Once more the error, or, if SO_ERROR has taken it, the kernel's word for that; the next connect()
    // begins anew.
    const int error = socket.error.exchange(0);
    socket.parked->restore();
    return Verdict<>::fail(error != 0 ? error : ECONNABORTED);
}

/// connect() to nobody: the end of a connection, or of an attempt.
Verdict<> disconnect(int fd) {
    disconnect_datagram(fd);
    if (const auto socket = sys::find_socket(fd)) {
        if (socket->state == Socket::State::parked)
            return socket->parked->give_up() ? Verdict<>::done(0) : Verdict<>::fail(errno);
        if (socket->state == Socket::State::failed) socket->parked->restore();
        forget_optimism(*socket);
        sys::fds::forget_socket(fd);
    }
    return Verdict<>::pass();
}

/// Parks `fd` and hands `make_dial(parked)` to the worker. Fails with `outcome`, or with what kept it from
/// that. Like connect_through() never inlined: a Dial has some kilobytes, and what the stack has grown by
/// stays the process's, so a connect() should have no more of them on it than it needs, and none while it
/// reads the rules.
template <class MakeDial>
[[gnu::noinline]] Verdict<> park(int fd, const sys::Address& peer, int domain, bool is_direct, int outcome,
                                 MakeDial make_dial) {
    if (!sys::worker::ready()) return Verdict<>::fail(errno);
    auto parked = sys::Parked::park(fd, peer, domain);
    if (!parked) return Verdict<>::fail(errno);
    int error = ENOMEM;
    ParkedConnect* connect = nullptr;
    std::unique_ptr<sys::worker::Task> task;
    try {
        task.reset(connect = new ParkedConnect(parked, peer, domain, is_direct, make_dial));
        if (const int early = connect->early_error(); early != 0) {
            parked->restore();
            return Verdict<>::fail(early);
        }
        if (sys::worker::post(task)) return Verdict<>::fail(outcome);
        error = errno;
    } catch (const std::bad_alloc&) {
        // ENOMEM; a Dial that was not made, or not to its end, has nothing to give back.
    }
    if (connect != nullptr) connect->take_back(error);
    else parked->restore();
    return Verdict<>::fail(error);
}

/// A blocking connect() that ends before it is over, by want of memory or by a cancellation of its thread,
/// leaves no socket behind that is connected to a proxy.
class Abandoning {
public:
    explicit Abandoning(Dial& dial) noexcept : dial_(&dial) {}
    ~Abandoning() {
        if (dial_ != nullptr) dial_->abandon(ENOMEM);
    }
    Abandoning(const Abandoning&) = delete;
    Abandoning& operator=(const Abandoning&) = delete;
    void release() noexcept { dial_ = nullptr; }

private:
    Dial* dial_;
};

/// By a number, or in a process, that we know nothing of.
bool is_connected_already(int fd) noexcept { return sys::peer_address(fd).has_value(); }

[[gnu::noinline]] Verdict<> connect_through(int fd, const Kind& kind, const sys::Address& peer,
                                            const Route& route) {
    const int domain = kind.domain;
    if (!kind.is_closed && is_connected_already(fd))
        return Verdict<>::pass(); // 0 or EISCONN; the stream is the program's, not for a handshake
    const int flags = real::fcntl(fd, F_GETFL);
    if (flags < 0) return Verdict<>::fail(errno);
    if (const auto at_once = connect_optimistically(fd, domain, is_blocking(flags), peer, route);
        !at_once.passed)
        return at_once;
    const auto purpose = route.direct ? Dial::Purpose::direct : Dial::Purpose::connect;
    const auto dial_on = [&](int number, bool blocking, std::shared_ptr<sys::Parked> parked) {
        return Dial(purpose, sys::rules(), route.upstreams, route.destination,
                    {number, domain, blocking, std::move(parked), flags});
    };
    if (!is_blocking(flags))
        return park(fd, peer, domain, route.direct, EINPROGRESS, [&](const auto& parked) {
            auto dial = dial_on(parked->hidden(), false, parked);
            // On the program's own thread, so that getsockname() tells the port at once, and what fails at
            // once says so at once.
            dial.begin();
            return dial;
        });

    auto dial = dial_on(fd, true, {});
    const auto timeout = sys::send_timeout(fd);
    const auto patience =
        timeout == timeout.max() ? Dial::Clock::time_point::max() : Dial::Clock::now() + timeout;
    Abandoning unless_over(dial);
    if (const int stopped = drive(dial, patience); stopped != 0) {
        // As in the kernel, the program's wait is over but the connect() is not.
        dial.give_low_water_back();
        return park(fd, peer, domain, route.direct, stopped, [&](const auto& parked) {
            unless_over.release();
            dial.move_to(parked->hidden(), parked);
            return std::move(dial);
        });
    }
    if (dial.error() != 0) return Verdict<>::fail(dial.error());
    const auto cookie = sys::cookie_of(fd);
    const sys::SocketRef entry(Socket::State::connected, cookie, peer, domain);
    entry.unseen().over_unix = dial.carrier().domain == AF_UNIX;
    if (!route.direct) {
        if (dial.bound().port != 0) entry.unseen().local = local_of(dial, peer, domain);
        entry.unseen().upstream = dial.upstream();
    }
    sys::fds::put(fd, entry);
    unless_over.release();
    sys::peers::remember(cookie, peer);
    return Verdict<>::done(0);
}

/// To a name server that is answered for.
Verdict<> connect_to_be_answered(int fd, int domain, const sys::Address& peer) {
    if (is_connected_already(fd)) return Verdict<>::pass();
    const int outcome = connect_to_answers(fd, peer);
    if (outcome != 0 && outcome != EINPROGRESS) return Verdict<>::fail(outcome);
    const auto cookie = sys::cookie_of(fd);
    const sys::SocketRef entry(Socket::State::connected, cookie, peer, domain);
    entry->second_connect_succeeds.store(outcome == EINPROGRESS);
    sys::fds::put(fd, entry);
    sys::peers::remember(cookie, peer);
    return outcome == 0 ? Verdict<>::done(0) : Verdict<>::fail(outcome);
}

} // namespace

sys::Address as_seen_there(const Endpoint& bound, const sys::Address& peer, int domain) {
    if (bound.port == 0 || bound.host.is_name() || bound.host.is_unspecified() || bound.host.is_loopback())
        return {};
    const auto destination = sys::to_endpoint(peer.get(), peer.size);
    if (destination && destination->host.unmapped() == bound.host.unmapped()) return {};
    return sys::to_address({bound.host.unmapped(), bound.port}, domain).value_or(sys::Address{});
}

sys::Address seen_there(const sys::Socket& socket) {
    if (!socket.unanswered) return socket.local;
    return as_seen_there(bound_of(socket), socket.peer, socket.domain);
}

Verdict<> connect(int fd, const sockaddr* address, socklen_t size) {
    const sys::SignalsHeld held;
    if (sys::is_nowhere(address) || size < sizeof(sa_family_t) || size > sizeof(sockaddr_storage))
        return Verdict<>::pass();
    if (address->sa_family == AF_UNSPEC) return disconnect(fd);
    if (const auto socket = sys::find_socket(fd)) {
        if (const auto again = connect_again(fd, *socket); !again.passed) return again;
    }
    const auto endpoint = sys::to_endpoint(address, size);
    if (!endpoint)
        return Verdict<>::pass(); // AF_UNIX and others; too short for an address is the kernel's to refuse
    const auto kind = kind_of(fd);
    if (!kind) return is_no_socket() ? Verdict<>::pass() : Verdict<>::fail(errno);
    const auto route = route_to(*endpoint, kind->protocol);
    if (route.refusal != 0) return Verdict<>::fail(route.refusal);
    const bool is_to_answer = is_name_server(route.destination) && !all_is_direct();
    const bool is_known_datagram = kind->is_plain_udp && (sys::find_datagram(fd) || is_to_answer);
    const bool is_stream_to_answer = kind->protocol == policy::Protocol::tcp && is_to_answer;
    if (route.direct && !route.from_pool && !is_known_datagram && !is_stream_to_answer)
        return Verdict<>::pass();
    if (is_the_kernels_to_refuse(fd, address, *kind)) return Verdict<>::pass();
    if (kind->is_plain_udp)
        return connect_datagram(fd, kind->domain, sys::copy_address(address, size), route);
    if (kind->protocol != policy::Protocol::tcp) {
        log::line(log::Level::info, "%s: only TCP and UDP can be proxied", route.destination.text().c_str());
        return Verdict<>::fail(EOPNOTSUPP);
    }
    const auto peer = sys::copy_address(address, size);
    return is_stream_to_answer ? connect_to_be_answered(fd, kind->domain, peer)
                               : connect_through(fd, *kind, peer, route);
}

Verdict<Send> before_send(int fd, const sockaddr* address, socklen_t size, int flags) {
    constexpr auto as_it_is = Verdict<Send>::done(Send::as_it_is);
    if (sys::is_nowhere(address)) return as_it_is;
    if (address->sa_family == AF_PACKET)
        return Verdict<Send>::fail(EPERM); // below IP: no rule can speak of it
    const bool has_no_family = address->sa_family == AF_UNSPEC && size >= sizeof(sockaddr_in);
    auto endpoint = sys::to_endpoint(address, size);
    if (!has_no_family && !endpoint) return as_it_is;
    const auto socket = sys::find_socket(fd);
    const bool is_stand_in = socket && socket->is_stand_in();
    // To a stream's connect() under way the address means nothing; to the stand-in it would mean something.
    if (is_stand_in && (flags & MSG_FASTOPEN) == 0) return Verdict<Send>::done(Send::to_connected);
    const auto kind = is_stand_in ? Kind{socket->domain, policy::Protocol::tcp, false} : kind_of(fd);
    if (!kind) return is_no_socket() ? as_it_is : Verdict<Send>::fail(errno);
    sys::Address without_family;
    if (has_no_family) {
        if (kind->domain != AF_INET) return as_it_is;
        // udp_sendmsg() and raw_sendmsg() take such a one for AF_INET.
        without_family = sys::copy_address(address, size);
        without_family.storage.ss_family = AF_INET;
        address = without_family.get();
        endpoint = sys::to_endpoint(address, without_family.size);
    }
    if (kind->protocol == policy::Protocol::tcp) {
        // A stream has its peer already, or gets EPIPE: the kernel looks at the address with MSG_FASTOPEN
        // alone.
        if ((flags & MSG_FASTOPEN) == 0) return as_it_is;
        const auto connected = shim::connect(fd, address, size);
        if (connected.passed) return as_it_is;
        if (connected.error != 0) return Verdict<Send>::fail(connected.error);
        return Verdict<Send>::done(Send::to_connected);
    }
    if (kind->is_plain_udp) return Verdict<Send>::done(Send::as_datagram);
    const auto route = route_to(*endpoint, kind->protocol);
    if (route.refusal != 0) return Verdict<Send>::fail(route.refusal);
    if (route.direct && !route.from_pool) return as_it_is;
    log::line(log::Level::info, "%s: only TCP and UDP can be proxied", route.destination.text().c_str());
    return Verdict<Send>::fail(EOPNOTSUPP);
}

} // namespace socksify::shim
