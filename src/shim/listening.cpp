#include "shim/listening.hpp"

#include "policy/rules.hpp"
#include "shim/agreement.hpp"
#include "shim/connect.hpp"
#include "shim/heir.hpp"
#include "shim/kind.hpp"
#include "sys/fd_marks.hpp"
#include "sys/log.hpp"
#include "sys/names.hpp"
#include "sys/peers.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"

#include <algorithm>

namespace socksify::shim {
namespace {

namespace log = sys::log;
using sys::Listener;
using sys::Socket;

constexpr std::uint16_t ftp_control = 21;
constexpr std::uint16_t ftps_control = 990;
constexpr int largest_backlog = 128; // connections that wait in a Listener's queue

// --- which way ---

/// Where a listener's peers come from.
struct Way {
    enum class Kind : std::uint8_t { here, refused, via } kind = Kind::here;
    ListenWish wish; ///< of `via`
};

std::optional<Endpoint> local_endpoint(int fd) noexcept {
    const auto local = sys::local_address(fd);
    return local ? sys::to_endpoint(local->get(), local->size) : std::nullopt;
}

/// What getsockname() says of a proxied connection.
std::optional<Endpoint> told_local(int fd, const Socket& socket) {
    const auto told = seen_there(socket);
    return told.size != 0 ? sys::to_endpoint(told.get(), told.size) : local_endpoint(fd);
}

bool is_proxied(const Socket& socket) noexcept {
    return socket.state == Socket::State::connected && socket.upstream != Socket::no_upstream;
}

/// The way of a listener that a proxied connection's other end is told of.
std::optional<Way> way_of_follower(const Endpoint& bound) {
    const auto host = bound.host.unmapped();
    if (host.is_loopback()) return {}; // nobody but this machine can be meant
    const bool is_any = host.is_unspecified() && bound.port == 0;
    std::optional<Way> way;
    for (const auto& [fd, socket] : sys::fds::all(is_proxied)) {
        const auto local = told_local(fd, *socket);
        const auto peer = sys::to_endpoint(socket->peer.get(), socket->peer.size);
        if (!local || !peer) continue;
        const bool is_ftp = peer->port == ftp_control || peer->port == ftps_control;
        if (host != local->host.unmapped() && !(is_any && is_ftp)) continue;
        const auto meaning = sys::names::meaning_of(peer->host);
        const auto any = local->host.unmapped().type() == AddressType::ipv6 ? Host::ipv6({}) : Host{};
        const auto only_peer = meaning.from_pool ? any : peer->host.unmapped();
        if (way && way->wish.wanted.host != only_peer)
            way->wish.wanted.host = any; // it may be meant for either
        if (way) continue;
        way = Way{Way::Kind::via, {{socket->upstream}, {only_peer, bound.port}, {}, is_ftp}};
        if (seen_there(*socket).size != 0) way->wish.told = local->host.unmapped();
    }
    return way;
}

bool takes_ipv6_only(int fd, int domain) noexcept {
    return domain == AF_INET6 && sys::option(fd, IPPROTO_IPV6, IPV6_V6ONLY) > 0;
}

enum class Say : std::uint8_t { no, yes };

/// `bound` is what the program gave to bind().
Way way_of(int fd, int domain, const Endpoint& bound, Say say = Say::yes) {
    const auto level = say == Say::yes ? log::Level::info : log::Level::trace;
    const auto& rules = sys::rules();
    const Host host = bound.host.unmapped();
    const policy::Query query{host, bound.port, policy::Operation::bind, policy::Protocol::tcp,
                              rules.program};
    auto decision = policy::route_listener(rules.config, query);
    if (!decision) {
        if (auto way = way_of_follower(bound)) {
            log::line(level, "listener on %s: via %s, as the connection that it belongs to",
                      bound.text().c_str(), rules.config.upstreams[way->wish.upstreams.front()].name.c_str());
            return *way;
        }
        if (rules.listen && !host.is_loopback()) decision = policy::route(rules.config, query);
    }
    if (!decision) {
        log::line(level, "listener on %s: here, for no rule and no --listen speaks of it",
                  bound.text().c_str());
        return {};
    }
    const auto& action = *decision->action;
    using Kind = policy::Action::Kind;
    log::line(level, "listener on %s: %s, by %s", bound.text().c_str(),
              action.kind == Kind::direct  ? "here"
              : action.kind == Kind::block ? "block"
                                           : "via a proxy",
              policy::reason(rules.config, *decision).c_str());
    switch (action.kind) {
    case Kind::direct: return {};
    case Kind::block: return {Way::Kind::refused, {}};
    case Kind::via: break;
    }
    // One for both families is asked for by BIND on IPv4: a server that listens on both then is not to be
    // expected.
    const bool only_ipv6 = takes_ipv6_only(fd, domain);
    const bool is_ipv6 = only_ipv6 || (host.type() == AddressType::ipv6 && !host.is_unspecified());
    const bool both = domain == AF_INET6 && host.is_unspecified() && !only_ipv6;
    return {Way::Kind::via,
            {action.upstreams, {is_ipv6 ? Host::ipv6({}) : Host{}, bound.port}, {}, false, both}};
}

/// Whether some connection has told the program that this is its own address.
bool is_told(const Host& host) {
    for (const auto& [fd, socket] : sys::fds::all(is_proxied))
        if (const auto local = told_local(fd, *socket); local && local->host.unmapped() == host.unmapped())
            return true;
    return false;
}

// --- from bound to listening ---

/// An agreement that the proxy listens, not yet the worker's. Null, with errno, if it can't be had.
std::shared_ptr<Listener> agree(int domain, const ListenWish& wish) {
    auto agreement = std::make_unique<Agreement>(domain, wish);
    if (const int error = agreement->make(); error != 0) return errno = error, nullptr;
    auto listener = Listener::make(agreement->local(), agreement->terms());
    if (!listener) return {};
    listener->agreement = std::move(agreement);
    return listener;
}

sys::SocketRef entry_for(int fd, Socket::State state, int domain, const sys::Address& local) {
    sys::SocketRef entry(state, sys::cookie_of(fd), sys::Address{}, domain);
    entry.unseen().local = local;
    return entry;
}

/// Asks the proxy on behalf of `fd`, which is State::bound or unknown. Null with errno.
std::shared_ptr<const sys::ListenerUse> begin_listening(int fd, int domain, const sys::Address& given,
                                                        const ListenWish& wish) {
    auto listener = agree(domain, wish);
    if (!listener) return {};
    auto use = std::make_shared<const sys::ListenerUse>(std::move(listener));
    const auto entry = entry_for(fd, Socket::State::bound, domain, given);
    entry.unseen().listener = use;
    sys::fds::put(fd, entry);
    return use;
}

/// That of another listener at the same port, by SO_REUSEPORT: the kernel lets who knocks in at any of them.
std::shared_ptr<const sys::ListenerUse> of_same_port(int fd, const Endpoint& here) {
    if (sys::option(fd, SOL_SOCKET, SO_REUSEPORT) <= 0) return {};
    const auto listens = [](const Socket& socket) { return socket.state == Socket::State::listening; };
    for (const auto& [other, socket] : sys::fds::all(listens))
        if (local_endpoint(other) == here) return socket->listener;
    return {};
}

/// False with errno; then there is no agreement any more.
bool hand_to_worker(const std::shared_ptr<Listener>& listener) noexcept {
    static_cast<Agreement&>(*listener->agreement).serve(listener);
    try {
        if (sys::worker::post(listener->agreement)) return true;
    } catch (const std::bad_alloc&) {
        errno = ENOMEM;
    }
    const sys::KeepErrno keep;
    listener->agreement.reset(); // each keeps the other
    return false;
}

int patience(int backlog) noexcept { return std::clamp(backlog, 1, largest_backlog); }

} // namespace

Verdict<> after_bind(int fd, const sockaddr* address, socklen_t size, int result) {
    const int error = errno;
    if ((result != 0 && error != EADDRNOTAVAIL) || sys::is_nowhere(address) ||
        size > sizeof(sockaddr_storage))
        return Verdict<>::pass();
    const auto given = sys::to_endpoint(address, size);
    if (!given) return Verdict<>::pass();
    const sys::SignalsHeld held;
    const auto kind = kind_of(fd);
    if (!kind) return Verdict<>::pass();
    const bool is_the_proxys = result != 0;
    if (is_the_proxys) {
        if (!is_told(given->host)) return Verdict<>::pass();
        const Host any = kind->domain == AF_INET6 ? Host::ipv6({}) : Host{};
        const auto here = sys::to_address({any, given->port}, kind->domain);
        if (real::bind(fd, here->get(), here->size) != 0) return Verdict<>::fail(errno);
    }
    if (kind->protocol != policy::Protocol::tcp)
        return is_the_proxys ? Verdict<>::done(0) : Verdict<>::pass();
    if (is_the_proxys || way_of(fd, kind->domain, *given, Say::no).kind == Way::Kind::via)
        sys::fds::put(fd,
                      entry_for(fd, Socket::State::bound, kind->domain, sys::copy_address(address, size)));
    return is_the_proxys ? Verdict<>::done(0) : Verdict<>::pass();
}

Verdict<> listen(int fd, int backlog) {
    const sys::SignalsHeld held;
    const auto socket = sys::find_socket(fd);
    if (socket && socket->state == Socket::State::listening) {
        stand_by(socket->listener->listener());
        socket->listener->listener()->set_backlog(patience(backlog));
        return Verdict<>::pass();
    }
    if (socket && socket->state != Socket::State::bound) return Verdict<>::pass();
    const auto kind = kind_of(fd);
    if (!kind) return is_no_socket() ? Verdict<>::pass() : Verdict<>::fail(errno);
    if (kind->protocol != policy::Protocol::tcp || sys::option(fd, SOL_SOCKET, SO_ACCEPTCONN) > 0)
        return Verdict<>::pass();
    const auto address = sys::local_address(fd);
    if (!address) return Verdict<>::fail(errno); // which way it is to go can't be told
    const auto here = sys::to_endpoint(address->get(), address->size);
    const auto given = socket ? sys::to_endpoint(socket->local.get(), socket->local.size) : here;
    if (!given || !here) return Verdict<>::pass();

    auto use = socket ? socket->listener : nullptr;
    const auto* told = use ? &use->listener()->local() : nullptr;
    if (use && !use->listener()->is_own()) use = nullptr; // the parent's, whose agreement stays there
    if (!use) use = of_same_port(fd, *here);
    if (!use) {
        auto way = way_of(fd, kind->domain, *given);
        if (told != nullptr) way.wish.wanted.port = sys::to_endpoint(told->get(), told->size)->port;
        if (way.kind == Way::Kind::refused) return Verdict<>::fail(EACCES);
        if (way.kind == Way::Kind::here) {
            if (!socket) return Verdict<>::pass();
            sys::fds::forget_socket(fd);
            // What we told as its own address is none of this machine's.
            return here->host.unmapped() == given->host.unmapped() ? Verdict<>::pass()
                                                                   : Verdict<>::fail(EADDRNOTAVAIL);
        }
        if (!sys::worker::ready()) return Verdict<>::fail(errno);
        use = begin_listening(fd, kind->domain, socket ? socket->local : sys::Address{}, way.wish);
        if (!use) return Verdict<>::fail(errno);
    }
    const auto& listener = use->listener();
    const auto entry =
        entry_for(fd, Socket::State::listening, kind->domain, given->port != 0 ? *address : sys::Address{});
    entry.unseen().listener = use;
    listener->set_backlog(patience(backlog));
    const auto fail = [&] {
        const int error = errno;
        sys::open_to_others(fd);
        sys::fds::forget_socket(fd);
        return Verdict<>::fail(error);
    };
    const bool is_new = listener->agreement != nullptr;
    if (!sys::close_to_others(fd) || real::listen(fd, backlog) != 0 || (is_new && !listener->open_door(fd)))
        return fail();
    sys::stay_closed_to_others(fd);
    sys::fds::put(fd, entry);
    if (!is_new) return Verdict<>::done(0);
    if (!hand_to_worker(listener)) {
        const int error = errno;
        sys::fds::forget_socket(fd);
        return Verdict<>::fail(error);
    }
    return Verdict<>::done(0);
}

sys::Address listening_address(int fd, const Socket& socket) {
    const sys::SignalsHeld held;
    if (socket.state == Socket::State::listening) {
        const auto& listener = socket.listener->listener();
        stand_by(listener);
        // By the address the next program knows which of its listeners it has inherited (nginx, unicorn).
        if (listener->is_inherited() && socket.local.size != 0) return socket.local;
    }
    if (socket.listener) return socket.listener->listener()->local();
    if (const auto given = sys::to_endpoint(socket.local.get(), socket.local.size)) {
        const auto way = way_of(fd, socket.domain, *given);
        const bool can = way.kind == Way::Kind::via && sys::worker::ready();
        if (const auto use = can ? begin_listening(fd, socket.domain, socket.local, way.wish) : nullptr)
            return use->listener()->local();
    }
    // Why it can't be had, listen() will say.
    return sys::local_address(fd).value_or(sys::Address{});
}

std::shared_ptr<Listener> listener_of(int fd) noexcept {
    if (!sys::fd_marks.has(fd, sys::FdMarks::known)) [[likely]]
        return {};
    const sys::KeepErrno keep;
    const auto socket = sys::find_socket(fd);
    if (!socket || socket->state != Socket::State::listening) return {};
    stand_by(socket->listener->listener());
    return socket->listener->listener();
}

void drop(int taken) noexcept {
    sys::fds::forget(taken);
    real::close(taken);
}

int admit(const Listener& listener, int taken, sys::Address& from) {
    const sys::KeepErrno keep;
    if (!listener.takes_for_knock(from)) return 0; // somebody of this machine's
    const auto arrival = listener.take();
    if (arrival.fd < 0) {
        real::close(taken);
        return EAGAIN;
    }
    // `taken` is what the kernel makes of the listener's options and of accept4()'s flags.
    const int flags = real::fcntl(taken, F_GETFL);
    sys::copy_options(taken, arrival.fd);
    bool admitted = flags >= 0 && real::fcntl(arrival.fd, F_SETFL, flags) == 0;
    try {
        const auto cookie = sys::cookie_of(arrival.fd);
        const sys::SocketRef entry(Socket::State::connected, cookie, arrival.peer, from.family());
        entry.unseen().local = listener.local();
        // For a listener that follows this connection, as an FTP server's for data does.
        entry.unseen().upstream = Agreement::upstream_of(listener).value_or(Socket::no_upstream);
        entry.unseen().over_unix = sys::is_unix(arrival.fd);
        admitted = admitted && sys::replace_description(arrival.fd, taken);
        if (admitted) sys::fds::put(taken, entry);
        if (admitted) sys::peers::remember(cookie, arrival.peer);
    } catch (const std::bad_alloc&) {
        admitted = false;
    }
    real::close(arrival.fd);
    if (!admitted) {
        real::close(taken);
        return ENOMEM;
    }
    from = arrival.peer;
    return 0;
}

} // namespace socksify::shim
