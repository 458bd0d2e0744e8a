#include "shim/association.hpp"

#include "shim/dial.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"
#include "sys/upstreams.hpp"

#include <climits>
#include <mutex>
#include <sys/uio.h>

namespace socksify::shim {
namespace {

namespace log = sys::log;
using sys::Datagram;
using Stage = Datagram::Stage;

int socket_domain(int fd) noexcept {
    int domain = AF_INET;
    socklen_t size = sizeof domain;
    real::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    return domain;
}

/// The address that the proxy named, or, if it named none, the one under which we speak to it.
std::optional<Endpoint> relay_of(const Endpoint& bound, int control) {
    if (bound.port == 0) return {};
    Endpoint relay = bound;
    if (relay.host.is_name()) {
        const auto addresses = sys::upstreams::addresses(relay);
        if (addresses.empty()) return {};
        relay = addresses.front();
    }
    if (!relay.host.unmapped().is_unspecified()) return relay;
    sys::Address proxy;
    proxy.size = sizeof proxy.storage;
    if (real::getpeername(control, reinterpret_cast<sockaddr*>(&proxy.storage), &proxy.size) != 0) return {};
    const auto peer = sys::to_endpoint(proxy.get(), proxy.size);
    if (!peer) return {}; // an AF_UNIX one, whose datagrams could be anywhere
    return Endpoint{peer->host, bound.port};
}

/// Why there is to be an association. A copy: the Way may end before there is one.
struct Errand {
    Endpoint destination;
    std::vector<std::size_t> upstreams;

    explicit Errand(const sys::Way& way) : destination(way.destination), upstreams(way.upstreams) {}
};

/// Under the lock: the outcome of `dial` becomes the Datagram's, and what has waited is sent. 0 or errno.
int conclude(int fd, Datagram& datagram, const Dial& dial, int control, const Errand& errand) {
    const auto fail = [&](int error) {
        sys::close_internal(control);
        datagram.stage.store(Stage::none);
        datagram.queue.clear();
        return error;
    };
    if (dial.error() != 0) return fail(dial.error());
    const auto relay = relay_of(dial.bound(), control);
    const int domain = socket_domain(fd);
    const auto address = relay && (domain == AF_INET6 || relay->host.unmapped().type() == AddressType::ipv4)
                             ? sys::to_address({relay->host.unmapped(), relay->port}, domain)
                             : std::nullopt;
    if (!address) {
        log::line(log::Level::info, "%s: no way to the proxy's port for datagrams",
                  errand.destination.text().c_str());
        return fail(ENETUNREACH);
    }
    const int on = 1;
    real::setsockopt(control, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    auto association = std::make_unique<sys::Association>();
    association->relay = *address;
    association->control = control;
    association->upstreams = errand.upstreams;
    if (const auto* peer = datagram.peer.load(); peer != nullptr && !peer->is_direct && !peer->is_name_server)
        if (const int error = listen_to(fd, *address); error != 0) return fail(error);
    sys::take_error(fd); // of a former relay's port, if any: the program has been told
    datagram.set_association(std::move(association));
    log::line(log::Level::info, "%s: datagrams go by %s", errand.destination.text().c_str(),
              relay->text().c_str());
    for (const auto& waiting : std::exchange(datagram.queue, {})) {
        iovec payload{const_cast<std::uint8_t*>(waiting.payload.data()), waiting.payload.size()};
        msghdr message{};
        message.msg_iov = &payload;
        message.msg_iovlen = 1;
        try {
            send_on(fd, datagram, *waiting.way, message, MSG_DONTWAIT | MSG_NOSIGNAL);
        } catch (const std::bad_alloc&) {
            // Lost, as datagrams may be.
        }
    }
    return 0;
}

/// An association that the worker gets. Holds the program's description, under a number of its own.
class AssociateTask final : public sys::worker::Task {
public:
    AssociateTask(sys::DatagramRef datagram, const sys::Way& way, int carried, int control, Dial dial)
        : datagram_(std::move(datagram)),
          errand_(way),
          carried_(carried),
          control_(control),
          dial_(std::move(dial)) {}
    ~AssociateTask() override { sys::close_internal(carried_); }
    AssociateTask(const AssociateTask&) = delete;
    AssociateTask& operator=(const AssociateTask&) = delete;

    sys::worker::Wait run() override { return dial_.advance(); }
    void finish() noexcept override {
        const std::lock_guard lock(datagram_->mutex);
        try {
            if (const int error = conclude(carried_, *datagram_, dial_, control_, errand_); error != 0)
                datagram_->error.store(error);
        } catch (const std::bad_alloc&) {
            give_up(ENOMEM);
        }
    }
    void abandon(int error) noexcept override {
        const std::lock_guard lock(datagram_->mutex);
        give_up(error);
    }

private:
    void give_up(int error) noexcept {
        sys::close_internal(control_);
        datagram_->stage.store(Stage::none);
        datagram_->error.store(error);
        datagram_->queue.clear();
    }

    sys::DatagramRef datagram_;
    Errand errand_;
    int carried_;
    int control_;
    Dial dial_;
};

/// In the family of the program's socket: a proxy of both is to be reached by an address from which its port
/// for datagrams can be reached, too.
int open_control(int domain) noexcept {
    const int fd = real::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : sys::make_internal(fd);
}

} // namespace

int listen_to(int fd, const sys::Address& relay) {
    return real::connect(fd, relay.get(), relay.size) == 0 ? 0 : errno;
}

namespace {

/// What there is of an association before it is one; taken back if it comes to nothing, whatever ends it.
class Unfinished {
public:
    Unfinished(Datagram& datagram, int control) noexcept : datagram_(datagram), control_(control) {}
    ~Unfinished() {
        if (control_ < 0) return;
        const sys::KeepErrno keep;
        sys::close_internal(control_);
        datagram_.stage.store(Stage::none);
    }
    Unfinished(const Unfinished&) = delete;
    Unfinished& operator=(const Unfinished&) = delete;
    void release() noexcept { control_ = -1; }

private:
    Datagram& datagram_;
    int control_;
};

} // namespace

int associate(int fd, Datagram& datagram, const sys::Way& way, int flags) {
    const bool blocks = (flags & MSG_DONTWAIT) == 0 && (real::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
    if (!blocks && !sys::worker::ready()) return errno;
    std::unique_lock lock(datagram.mutex);
    if (datagram.stage.load() != Stage::none) return 0; // another thread was faster
    const int domain = socket_domain(fd);
    const int control = open_control(domain);
    if (control < 0) return errno;
    Unfinished unfinished(datagram, control);
    Dial dial(Dial::Purpose::associate, sys::rules(), way.upstreams, way.destination,
              {control, domain, false, {}});
    datagram.stage.store(Stage::under_way);
    if (blocks) {
        // What other threads send meanwhile waits for us.
        lock.unlock();
        const int stopped = drive(dial, Dial::Clock::time_point::max());
        lock.lock();
        if (stopped != 0) return stopped;
        const int error = conclude(fd, datagram, dial, control, Errand(way));
        unfinished.release();
        return error;
    }
    dial.begin();
    if (dial.has_failed()) return dial.error();
    const int carried = sys::duplicate_internally(fd);
    if (carried < 0) return errno;
    std::unique_ptr<sys::worker::Task> task;
    try {
        task =
            std::make_unique<AssociateTask>(sys::find_datagram(fd), way, carried, control, std::move(dial));
    } catch (...) {
        sys::close_internal(carried);
        throw;
    }
    if (!sys::worker::post(task)) return errno;
    unfinished.release();
    return 0;
}

bool is_alive(Datagram& datagram, const sys::Association& association) {
    // Not for each datagram: a look is a system call.
    constexpr std::int64_t between = 100; // ms
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(Dial::Clock::now().time_since_epoch()).count();
    if (now - datagram.looked_after.load(std::memory_order_relaxed) < between) return true;
    datagram.looked_after.store(now, std::memory_order_relaxed);
    std::array<std::uint8_t, 64> discarded; // a proxy has nothing to say there
    const auto size = real::recv(association.control, discarded.data(), discarded.size(), MSG_DONTWAIT);
    const auto tells_nothing = [](int error) {
        return error == EAGAIN || error == EINTR || error == ENOBUFS || error == ENOMEM;
    };
    if (size > 0 || (size < 0 && tells_nothing(errno))) return true;
    const std::lock_guard lock(datagram.mutex);
    if (datagram.association.load() == &association) datagram.end_association();
    return false;
}

msghdr carried_directly(const sys::Way& way, const msghdr& message) noexcept {
    auto carried = message;
    carried.msg_name = const_cast<sockaddr*>(way.direct_to.get());
    carried.msg_namelen = way.direct_to.size;
    return carried;
}

msghdr carried_by(const Datagram& datagram, const sys::Association& association, const sys::Way& way,
                  const msghdr& message, iovec* pieces) noexcept {
    auto carried = message;
    const Bytes header = way.header;
    pieces[0] = {const_cast<std::uint8_t*>(header.data()), header.size()};
    std::copy_n(message.msg_iov, message.msg_iovlen, pieces + 1);
    carried.msg_iov = pieces;
    carried.msg_iovlen = message.msg_iovlen + 1;
    const auto* peer = datagram.peer.load();
    const bool is_connected =
        peer != nullptr && !peer->is_direct && !peer->is_name_server; // to the relay, and hears of its errors
    carried.msg_name = is_connected ? nullptr : const_cast<sockaddr*>(association.relay.get());
    carried.msg_namelen = is_connected ? 0 : association.relay.size;
    return carried;
}

ssize_t send_directly(int fd, const sys::Way& way, const msghdr& message, int flags) {
    const auto carried = carried_directly(way, message);
    return real::sendmsg(fd, &carried, flags);
}

ssize_t send_on(int fd, const Datagram& datagram, const sys::Way& way, const msghdr& message, int flags) {
    if (way.is_direct) return send_directly(fd, way, message, flags);
    const auto* association = datagram.association.load();
    if (association == nullptr) return errno = ECONNREFUSED, -1;
    constexpr std::size_t few = 16;
    std::array<iovec, few> pieces;
    std::vector<iovec> many;
    const auto count = static_cast<std::size_t>(message.msg_iovlen) + 1;
    if (count > IOV_MAX) return errno = EMSGSIZE, -1;
    if (count > few) many.resize(count);
    const auto carried =
        carried_by(datagram, *association, way, message, count > few ? many.data() : pieces.data());
    const auto sent = real::sendmsg(fd, &carried, flags);
    const auto header = static_cast<ssize_t>(Bytes(way.header).size());
    return sent < 0 ? sent : std::max<ssize_t>(sent - header, 0);
}

} // namespace socksify::shim
