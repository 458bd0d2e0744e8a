#include "shim/listening.hpp"

#include "policy/rules.hpp"
#include "shim/dial.hpp"
#include "shim/kind.hpp"
#include "sys/fd_marks.hpp"
#include "sys/internal_fds.hpp"
#include "sys/log.hpp"
#include "sys/names.hpp"
#include "sys/peers.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"

#include <algorithm>
#include <pthread.h>

namespace socksify::shim {
namespace {

namespace log = sys::log;
using sys::Listener;
using sys::Socket;
using Clock = sys::worker::Clock;
using std::chrono::milliseconds;

constexpr std::uint16_t ftp_control = 21;
constexpr std::uint16_t ftps_control = 990;
constexpr int largest_backlog = 128;              // connections that wait in a Listener's queue
constexpr auto while_full = milliseconds(100);    // between two looks whether a peer has been accepted
constexpr auto shortest_pause = milliseconds(10); // after a BIND that failed
constexpr auto longest_pause = milliseconds(5'000);

// --- which way ---

/// Where a listener's peers come from.
struct Way {
    enum class Kind : std::uint8_t { here, refused, via } kind = Kind::here;
    std::vector<std::size_t> upstreams; ///< of `via`
    Endpoint wanted;                    ///< DST: the one peer that may come, or zeros, and the port, or 0
    std::optional<Host> told;           ///< where the peer knows the program to be, if it knows it already
};

std::optional<Endpoint> local_endpoint(int fd) noexcept {
    sys::Address local;
    local.size = sizeof local.storage;
    if (real::getsockname(fd, reinterpret_cast<sockaddr*>(&local.storage), &local.size) != 0) return {};
    return sys::to_endpoint(local.get(), local.size);
}

/// What getsockname() says of a proxied connection.
std::optional<Endpoint> told_local(int fd, const Socket& socket) noexcept {
    return socket.local.size != 0 ? sys::to_endpoint(socket.local.get(), socket.local.size)
                                  : local_endpoint(fd);
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
        if (way && way->wanted.host != only_peer) way->wanted.host = any; // it may be meant for either
        if (way) continue;
        way = Way{Way::Kind::via, {socket->upstream}, {only_peer, bound.port}, {}};
        if (socket->local.size != 0) way->told = local->host.unmapped();
    }
    return way;
}

bool takes_ipv6_only(int fd, int domain) noexcept {
    int on = 0;
    socklen_t size = sizeof on;
    return domain == AF_INET6 && real::getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, &size) == 0 && on != 0;
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
                      bound.text().c_str(), rules.config.upstreams[way->upstreams.front()].name.c_str());
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
    case Kind::block: return {Way::Kind::refused, {}, {}, {}};
    case Kind::via: break;
    }
    // One for both families is asked for on IPv4: a server that listens on both is not to be expected.
    const bool is_ipv6 =
        takes_ipv6_only(fd, domain) || (host.type() == AddressType::ipv6 && !host.is_unspecified());
    return {Way::Kind::via, action.upstreams, {is_ipv6 ? Host::ipv6({}) : Host{}, bound.port}, {}};
}

/// Whether some connection has told the program that this is its own address.
bool is_told(const Host& host) {
    for (const auto& [fd, socket] : sys::fds::all(is_proxied))
        if (const auto local = told_local(fd, *socket); local && local->host.unmapped() == host.unmapped())
            return true;
    return false;
}

// --- the agreement with the proxy ---

/// A knock that waits to be taken.
class Knock final : public sys::worker::Task {
public:
    Knock(std::shared_ptr<Listener> listener, int fd, std::uint16_t port) noexcept
        : listener_(std::move(listener)), port_(port) {
        fd_.reset(fd);
        listener_->knocks.fetch_add(1);
    }
    ~Knock() override {
        listener_->forget_knock(port_);
        listener_->knocks.fetch_sub(1);
    }
    Knock(const Knock&) = delete;
    Knock& operator=(const Knock&) = delete;

    sys::worker::Wait run() override {
        char octet = 0;
        const auto size = real::recv(fd_.get(), &octet, sizeof octet, MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return {.fd = fd_.get(), .events = EPOLLIN};
        return {.over = true}; // accept() has closed it, or the program its listener
    }
    void finish() noexcept override {}
    void abandon(int) noexcept override {}

private:
    std::shared_ptr<Listener> listener_;
    sys::OwnDescriptor fd_;
    std::uint16_t port_;
};

/// A socket of this machine's that can knock at `door`, and its port. -1 with errno.
int make_knock(const sys::Address& door, std::uint16_t& port) noexcept {
    const int fd = sys::open_with_room(
        [&] { return real::socket(door.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
    if (fd < 0) return -1;
    const int knock = sys::make_internal(fd);
    auto from = door;
    auto* port_of_it =
        &reinterpret_cast<sockaddr_in*>(&from.storage)->sin_port; // the same place in both families
    *port_of_it = 0;
    if (real::bind(knock, from.get(), from.size) == 0 &&
        real::getsockname(knock, reinterpret_cast<sockaddr*>(&from.storage), &from.size) == 0) {
        port = ntohs(*port_of_it);
        return knock;
    }
    const sys::KeepErrno keep;
    sys::close_internal(knock);
    return -1;
}

/// BIND, again and again: one connection to the proxy for each peer.
class Agreement final : public sys::worker::Task {
public:
    Agreement(int domain, const Way& way)
        : domain_(domain), upstreams_(way.upstreams), wanted_(way.wanted), told_(way.told) {}

    /// On this thread, until the proxy listens. 0 or errno.
    int make() {
        const bool has_filter = !wanted_.host.is_unspecified();
        int error = try_once();
        // To some servers DST.ADDR is not who may come, but where to listen (WIRE.md a.1, 8).
        if (has_filter && (error == ECONNABORTED || error == EHOSTUNREACH || error == EACCES)) {
            wanted_.host = wanted_.host.type() == AddressType::ipv6 ? Host::ipv6({}) : Host{};
            error = try_once();
        }
        // Nothing tells a port that is in use from other reasons, where the FDL doesn't.
        if (error == ECONNABORTED && wanted_.port != 0) return EADDRINUSE;
        if (error != 0) return error;
        const auto bound = dial_->bound();
        if (wanted_.port != 0 && bound.port != wanted_.port) return EADDRINUSE;
        agreed_ = dial_->upstream();
        wanted_.port = bound.port;
        return 0;
    }

    /// Where the proxy listens, as getsockname() shows it.
    [[nodiscard]] sys::Address local() const {
        auto bound = dial_->bound();
        // Many FTP servers take no address but that of the control connection; a proxy may
        // say another of its own.
        if (told_) bound.host = *told_;
        if (bound.host.is_name() || bound.host.is_unspecified()) bound.host = proxy().value_or(Host{});
        return shown(bound);
    }

    /// Before it is the worker's.
    void serve(std::shared_ptr<Listener> listener) noexcept {
        listener_ = std::move(listener);
        dial_->await_peer();
        stage_ = Stage::awaiting;
    }

    sys::worker::Wait run() override {
        for (;;) {
            if (listener_->is_closed()) return {.over = true};
            const auto now = Clock::now();
            switch (stage_) {
            case Stage::binding:
            case Stage::awaiting: {
                const auto wait = dial_->advance();
                if (!wait.over) return wait;
                // Once more around, with no descriptor: the worker must not look at this one when it has
                // gone.
                stage_ = stage_ == Stage::awaiting ? Stage::arrived : Stage::bound;
                return {.deadline = now};
            }
            case Stage::bound:
                if (dial_->error() == 0 && dial_->bound().port == wanted_.port) {
                    pause_ = shortest_pause;
                    dial_->await_peer();
                    stage_ = Stage::awaiting;
                } else {
                    end_connection();
                    until_ = now + pause_;
                    pause_ = std::min(2 * pause_, longest_pause);
                    stage_ = Stage::pausing;
                }
                break;
            case Stage::arrived:
                if (dial_->error() == 0) pass_on();
                end_connection();
                stage_ = Stage::pausing;
                until_ = now;
                break;
            case Stage::pausing:
                if (now < until_) return {.deadline = until_};
                if (listener_->knocks.load() >= listener_->most.load()) {
                    until_ = now + while_full;
                    break;
                }
                if (begin()) stage_ = Stage::binding;
                else until_ = now + longest_pause;
                break;
            }
        }
    }
    void finish() noexcept override {}
    void abandon(int error) noexcept override {
        log::line(log::Level::error, "a listener takes no more peers: %s", strerrordesc_np(error));
    }
    [[nodiscard]] bool cancelled() const noexcept override { return listener_->is_closed(); }

private:
    enum class Stage : std::uint8_t {
        binding,  ///< until the proxy listens
        bound,    ///< it does, or has refused
        awaiting, ///< until a peer comes
        arrived,  ///< one has, or the proxy has given up
        pausing,  ///< until `until_`
    };

    bool begin() {
        const int fd = sys::open_with_room(
            [&] { return real::socket(domain_, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
        if (fd < 0) return false;
        control_.reset(sys::make_internal(fd));
        const int on = 1;
        real::setsockopt(control_.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        const std::span<const std::size_t> candidates =
            agreed_ ? std::span<const std::size_t>(&*agreed_, 1) : upstreams_;
        dial_.emplace(Dial::Purpose::bind, sys::rules(), candidates, wanted_,
                      Carrier{control_.get(), domain_, false, {}});
        return true;
    }

    int try_once() {
        end_connection();
        if (!begin()) return errno;
        // Neither listen() nor getsockname() is a cancellation point, or knows EINTR.
        int cancellable = 0;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
        while (drive(*dial_, Clock::time_point::max()) != 0) {
        }
        pthread_setcancelstate(cancellable, &cancellable);
        return dial_->error();
    }

    void end_connection() noexcept {
        dial_.reset();
        control_.reset();
    }

    void pass_on() {
        std::uint16_t port = 0;
        const int knock = make_knock(listener_->door(), port);
        if (knock < 0) return log::line(log::Level::error, "a peer is lost: %s", strerrordesc_np(errno));
        auto task = std::make_unique<Knock>(listener_, knock, port);
        const auto peer = dial_->bound();
        if (!listener_->put(control_.get(), shown(peer)))
            return log::line(log::Level::error, "a peer is lost: %s", strerrordesc_np(errno));
        listener_->expect_knock(port);
        const auto& door = listener_->door();
        real::connect(knock, door.get(), door.size); // under way, or refused by a listener that is gone
        log::line(log::Level::info, "%s: has come", peer.text().c_str());
        std::unique_ptr<sys::worker::Task> handed = std::move(task);
        sys::worker::post(handed);
    }

    [[nodiscard]] sys::Address shown(const Endpoint& endpoint) const noexcept {
        const Host any = domain_ == AF_INET6 ? Host::ipv6({}) : Host{};
        const auto address = sys::to_address({endpoint.host.unmapped(), endpoint.port}, domain_);
        return address ? *address : *sys::to_address({any, endpoint.port}, domain_);
    }

    /// The proxy's own address, as we reach it.
    [[nodiscard]] std::optional<Host> proxy() const noexcept {
        sys::Address proxy;
        proxy.size = sizeof proxy.storage;
        if (real::getpeername(control_.get(), reinterpret_cast<sockaddr*>(&proxy.storage), &proxy.size) != 0)
            return {};
        const auto endpoint = sys::to_endpoint(proxy.get(), proxy.size);
        return endpoint ? std::optional(endpoint->host) : std::nullopt;
    }

    int domain_;                               // of the program's socket
    const std::vector<std::size_t> upstreams_; ///< dial_ refers to it
    std::optional<std::size_t> agreed_;        ///< the one that listens
    Endpoint wanted_;
    std::optional<Host> told_;
    std::shared_ptr<Listener> listener_;
    sys::OwnDescriptor control_;
    std::optional<Dial> dial_;
    Stage stage_ = Stage::binding;
    Clock::time_point until_{};
    milliseconds pause_ = shortest_pause;
};

/// An agreement that the proxy listens, not yet the worker's. Null, with errno, if it can't be had.
std::shared_ptr<Listener> agree(int domain, const Way& way) {
    auto agreement = std::make_unique<Agreement>(domain, way);
    if (const int error = agreement->make(); error != 0) return errno = error, nullptr;
    auto listener = Listener::make(agreement->local());
    if (listener) listener->agreement = std::move(agreement);
    return listener;
}

sys::SocketRef entry_for(int fd, Socket::State state, int domain, const sys::Address& local) {
    sys::SocketRef entry(state, sys::cookie_of(fd), sys::Address{}, domain);
    entry.unseen().local = local;
    return entry;
}

/// Asks the proxy on behalf of `fd`, which is State::bound or unknown. Null with errno.
std::shared_ptr<const sys::ListenerUse> begin_listening(int fd, int domain, const sys::Address& given,
                                                        const Way& way) {
    auto listener = agree(domain, way);
    if (!listener) return {};
    auto use = std::make_shared<const sys::ListenerUse>(std::move(listener));
    const auto entry = entry_for(fd, Socket::State::bound, domain, given);
    entry.unseen().listener = use;
    sys::fds::put(fd, entry);
    return use;
}

int patience(int backlog) noexcept { return std::clamp(backlog, 1, largest_backlog); }

bool option_is_on(int fd, int name) noexcept {
    int on = 0;
    socklen_t size = sizeof on;
    return real::getsockopt(fd, SOL_SOCKET, name, &on, &size) == 0 && on != 0;
}

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
        socket->listener->listener()->most.store(patience(backlog));
        return Verdict<>::pass();
    }
    if (socket && socket->state != Socket::State::bound) return Verdict<>::pass();
    const auto kind = kind_of(fd);
    if (!kind || kind->protocol != policy::Protocol::tcp || option_is_on(fd, SO_ACCEPTCONN))
        return Verdict<>::pass();
    const auto here = local_endpoint(fd);
    const auto given = socket ? sys::to_endpoint(socket->local.get(), socket->local.size) : here;
    if (!given || !here) return Verdict<>::pass();

    auto use = socket ? socket->listener : nullptr;
    const auto* told = use ? &use->listener()->local() : nullptr;
    if (use && !use->listener()->is_own()) use = nullptr; // the parent's, whose agreement stays there
    if (!use) {
        auto way = way_of(fd, kind->domain, *given);
        if (told != nullptr) way.wanted.port = sys::to_endpoint(told->get(), told->size)->port;
        if (way.kind == Way::Kind::refused) return Verdict<>::fail(EACCES);
        if (way.kind == Way::Kind::here) {
            if (!socket) return Verdict<>::pass();
            sys::fds::forget_socket(fd);
            // What we told as its own address is none of this machine's.
            return here->host.unmapped() == given->host.unmapped() ? Verdict<>::pass()
                                                                   : Verdict<>::fail(EADDRNOTAVAIL);
        }
        if (!sys::worker::ready()) return Verdict<>::fail(errno);
        use = begin_listening(fd, kind->domain, socket ? socket->local : sys::Address{}, way);
        if (!use) return Verdict<>::fail(errno);
    }
    const auto& listener = use->listener();
    const auto entry = entry_for(fd, Socket::State::listening, kind->domain, {});
    entry.unseen().listener = use;
    listener->most.store(patience(backlog));
    const auto fail = [&] {
        const int error = errno;
        sys::open_to_others(fd);
        sys::fds::forget_socket(fd);
        return Verdict<>::fail(error);
    };
    if (!sys::close_to_others(fd) || real::listen(fd, backlog) != 0 || !listener->open_door(fd))
        return fail();
    sys::stay_closed_to_others(fd);
    sys::fds::put(fd, entry);
    static_cast<Agreement&>(*listener->agreement).serve(listener);
    if (!sys::worker::post(listener->agreement)) {
        const int error = errno;
        sys::fds::forget_socket(fd);
        return Verdict<>::fail(error);
    }
    return Verdict<>::done(0);
}

sys::Address listening_address(int fd, const Socket& socket) {
    const sys::SignalsHeld held;
    if (socket.listener) return socket.listener->listener()->local();
    if (const auto given = sys::to_endpoint(socket.local.get(), socket.local.size)) {
        const auto way = way_of(fd, socket.domain, *given);
        const bool can = way.kind == Way::Kind::via && sys::worker::ready();
        if (const auto use = can ? begin_listening(fd, socket.domain, socket.local, way) : nullptr)
            return use->listener()->local();
    }
    // Why it can't be had, listen() will say.
    sys::Address local;
    local.size = sizeof local.storage;
    real::getsockname(fd, reinterpret_cast<sockaddr*>(&local.storage), &local.size);
    return local;
}

std::shared_ptr<Listener> listener_of(int fd) noexcept {
    if (!sys::fd_marks.has(fd, sys::FdMarks::known)) [[likely]]
        return {};
    const sys::KeepErrno keep;
    const auto socket = sys::find_socket(fd);
    return socket && socket->state == Socket::State::listening ? socket->listener->listener() : nullptr;
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
