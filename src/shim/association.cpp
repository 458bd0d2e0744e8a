#include "shim/association.hpp"

#include "shim/dial.hpp"
#include "sys/inherited_datagrams.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/raise_error.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"
#include "sys/upstreams.hpp"

#include <algorithm>
#include <climits>
#include <mutex>
#include <sys/uio.h>

namespace socksify::shim {
namespace {

namespace log = sys::log;
using sys::Datagram;
using Stage = Datagram::Stage;

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
    const auto proxy = sys::peer_address(control);
    const auto peer = proxy ? sys::to_endpoint(proxy->get(), proxy->size) : std::nullopt;
    if (!peer) return {}; // an AF_UNIX one, whose datagrams could be anywhere
    return Endpoint{peer->host, bound.port};
}

/// Why there is to be an association. A copy: the Way may end before there is one.
struct Errand {
    Endpoint destination;
    std::vector<std::size_t> upstreams;

    explicit Errand(const sys::Way& way) : destination(way.destination), upstreams(way.upstreams) {}
};

/// Waits for the end of an association, for a program that may be waiting itself. Keeps neither the socket
/// nor what is known of it: the program may close it at any time.
class WatchTask final : public sys::worker::Task {
public:
    WatchTask(Datagram& datagram, std::shared_ptr<sys::Control> control)
        : datagram_(&datagram), control_(std::move(control)) {}

    sys::worker::Wait run() override {
        if (control_->is_unwanted.load()) return {.over = true};
        has_ended_ = sys::has_ended(control_->fd.load());
        return {.over = has_ended_, .fd = control_->fd.load(), .events = EPOLLIN};
    }
    void finish() noexcept override {
        control_->is_watched.store(false);
        if (has_ended_) tell();
        control_->close();
    }
    /// As if it had never been watched: there will be a look before the next datagram.
    void abandon(int) noexcept override {
        control_->is_watched.store(false);
        if (control_->is_unwanted.load()) return control_->close();
        if (const auto datagram = sys::still_alive(datagram_)) {
            const std::lock_guard lock(datagram->mutex);
            if (!control_->is_unwanted.load()) datagram->is_watched.store(false);
        }
    }
    [[nodiscard]] bool has_news() const noexcept override { return control_->is_unwanted.load(); }

private:
    void tell() noexcept {
        const auto datagram = sys::still_alive(datagram_);
        if (!datagram) return;
        const std::lock_guard lock(datagram->mutex);
        if (control_->is_unwanted.load()) return;
        datagram->end_association();
        datagram->error.store(ECONNREFUSED);
        const int fd = sys::duplicate_of(*datagram);
        if (fd >= 0) sys::raise_error(fd);
        sys::close_internal(fd);
    }

    Datagram* datagram_;
    std::shared_ptr<sys::Control> control_;
    bool has_ended_ = false;
};

/// Under the lock, for an association that has just been made.
void watch(Datagram& datagram) {
    if (!sys::worker::ready()) return;
    const auto& control = datagram.control;
    std::unique_ptr<sys::worker::Task> task = std::make_unique<WatchTask>(datagram, control);
    control->is_watched.store(true);
    datagram.is_watched.store(true);
    if (sys::worker::post(task)) return;
    control->is_watched.store(false);
    datagram.is_watched.store(false);
}

/// Under the lock: there will be no association, and what has waited for it is lost.
void give_up(Datagram& datagram, sys::Control& control) noexcept {
    control.close();
    datagram.control.reset();
    datagram.stage.store(Stage::none);
    datagram.queue.clear();
}

/// Under the lock: the outcome of `dial` becomes the Datagram's, and what has waited is sent. 0 or errno.
int conclude(int fd, Datagram& datagram, const Dial& dial, const std::shared_ptr<sys::Control>& control,
             const Errand& errand) {
    const auto fail = [&](int error) {
        give_up(datagram, *control);
        return error;
    };
    if (dial.error() != 0) return fail(dial.error());
    const auto relay = relay_of(dial.bound(), control->fd.load());
    const int domain = datagram.domain;
    const auto address = relay && (domain == AF_INET6 || relay->host.unmapped().type() == AddressType::ipv4)
                             ? sys::to_address({relay->host.unmapped(), relay->port}, domain)
                             : std::nullopt;
    if (!address) {
        log::line(log::Level::info, "%s: no way to the proxy's port for datagrams",
                  errand.destination.text().c_str());
        return fail(ENETUNREACH);
    }
    if (domain == AF_INET6 && relay->host.unmapped().type() == AddressType::ipv4) reach_ipv4(fd);
    const int on = 1;
    real::setsockopt(control->fd.load(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    auto association = std::make_unique<sys::Association>();
    association->relay = *address;
    association->upstreams = errand.upstreams;
    if (const auto* peer = datagram.peer.load(); peer != nullptr && !peer->is_direct && !peer->is_name_server)
        if (const int error = listen_to(fd, *address); error != 0) return fail(error);
    sys::take_error(fd); // of a former relay's port, if any: the program has been told
    datagram.set_association(std::move(association), control);
    sys::follow_close_on_exec(datagram);
    try {
        watch(datagram);
    } catch (const std::bad_alloc&) {
        // It is looked at before the next datagram.
    }
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
    AssociateTask(sys::DatagramRef datagram, const sys::Way& way, int carried,
                  std::shared_ptr<sys::Control> control, Dial dial)
        : datagram_(std::move(datagram)),
          errand_(way),
          carried_(carried),
          control_(std::move(control)),
          dial_(std::move(dial)) {}
    ~AssociateTask() override {
        datagram_->carried.store(-1);
        sys::close_internal(carried_);
    }
    AssociateTask(const AssociateTask&) = delete;
    AssociateTask& operator=(const AssociateTask&) = delete;

    sys::worker::Wait run() override { return dial_.advance(); }
    void finish() noexcept override {
        int error = ENOMEM;
        try {
            const std::lock_guard lock(datagram_->mutex);
            error = conclude(carried_, *datagram_, dial_, control_, errand_);
        } catch (const std::bad_alloc&) {
            give_up();
        }
        if (error != 0) tell(error);
    }
    void abandon(int error) noexcept override {
        give_up();
        tell(error);
    }

private:
    void give_up() noexcept {
        const std::lock_guard lock(datagram_->mutex);
        shim::give_up(*datagram_, *control_);
    }
    void tell(int error) noexcept {
        const std::lock_guard lock(datagram_->mutex);
        datagram_->error.store(error);
        sys::raise_error(carried_);
    }

    sys::DatagramRef datagram_;
    Errand errand_;
    int carried_;
    std::shared_ptr<sys::Control> control_;
    Dial dial_;
};

/// In the family of the program's socket: a proxy of both is to be reached by an address from which its port
/// for datagrams can be reached, too.
int open_control(int domain) noexcept {
    const int fd = real::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : sys::make_internal(fd);
}

} // namespace

void reach_ipv4(int fd) noexcept {
    if (sys::option(fd, IPPROTO_IPV6, IPV6_V6ONLY) <= 0) return;
    const int off = 0;
    real::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
}

int listen_to(int fd, const sys::Address& relay) {
    return real::connect(fd, relay.get(), relay.size) == 0 ? 0 : errno;
}

namespace {

/// What there is of an association before it is one; taken back if it comes to nothing, whatever ends it.
class Unfinished {
public:
    /// Made and ended under the lock.
    Unfinished(Datagram& datagram, std::shared_ptr<sys::Control> control) noexcept
        : datagram_(datagram), control_(std::move(control)) {}
    ~Unfinished() {
        if (!control_) return;
        const sys::KeepErrno keep;
        give_up(datagram_, *control_);
    }
    Unfinished(const Unfinished&) = delete;
    Unfinished& operator=(const Unfinished&) = delete;
    void release() noexcept { control_.reset(); }

private:
    Datagram& datagram_;
    std::shared_ptr<sys::Control> control_;
};

/// Lets go of a lock for a while.
class Unlocked {
public:
    explicit Unlocked(sys::ObjectMutex& mutex) noexcept : mutex_(mutex) { mutex_.unlock(); }
    ~Unlocked() { mutex_.lock(); }
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

private:
    sys::ObjectMutex& mutex_;
};

} // namespace

int associate(int fd, Datagram& datagram, const sys::Way& way, int flags) {
    const bool blocks = (flags & MSG_DONTWAIT) == 0 && (real::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
    if (!blocks && !sys::worker::ready()) return errno;
    // A way from a former program's rules may lead by a proxy that ours don't have.
    const auto known = sys::rules().config.upstreams.size();
    if (std::any_of(way.upstreams.begin(), way.upstreams.end(),
                    [&](auto upstream) { return upstream >= known; }))
        return EHOSTUNREACH;
    const std::lock_guard lock(datagram.mutex);
    if (datagram.stage.load() != Stage::none) return 0; // another thread was faster
    const int domain = datagram.domain;
    const auto control = std::make_shared<sys::Control>(-1);
    control->fd.store(open_control(domain));
    if (control->fd.load() < 0) return errno;
    Unfinished unfinished(datagram, control);
    Dial dial(Dial::Purpose::associate, sys::rules(), way.upstreams, way.destination,
              {control->fd.load(), domain, false, {}});
    datagram.control = control;
    datagram.stage.store(Stage::under_way);
    if (blocks) {
        const auto reach_proxy = [&] {
            const Unlocked meanwhile(datagram.mutex); // what other threads send now waits for us
            return drive(dial, Dial::Clock::time_point::max());
        };
        if (const int stopped = reach_proxy(); stopped != 0) return stopped;
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
    datagram.carried.store(carried);
    if (!sys::worker::post(task)) return errno;
    unfinished.release();
    return 0;
}

/// The same when the kernel has already told its error.
static int told_error(Datagram& datagram) noexcept {
    if (datagram.error.load(std::memory_order_relaxed) == 0) return 0;
    const int error = datagram.error.exchange(0);
    // Who tells it has the lock until the kernel's sign of it is complete: then nothing of that is left.
    if (error != 0) {
        datagram.mutex.lock();
        datagram.mutex.unlock();
    }
    return error;
}

int error_for_program(int fd, Datagram& datagram) noexcept {
    const int error = errno;
    if (error == ENOTSOCK) {
        sys::forget_datagram(fd);
        return 0;
    }
    const int told = error == ECONNREFUSED ? told_error(datagram) : 0;
    return told != 0 ? told : error;
}

int take_told_error(int fd, Datagram& datagram) noexcept {
    const int error = told_error(datagram);
    if (error != 0) sys::take_error(fd);
    return error;
}

bool is_alive(Datagram& datagram, const sys::Association& association) {
    if (datagram.is_watched.load(std::memory_order_relaxed)) return true;
    // Not for each datagram: a look is a system call.
    constexpr std::int64_t between = 100; // ms
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(Dial::Clock::now().time_since_epoch()).count();
    if (now - datagram.looked_after.load(std::memory_order_relaxed) < between) return true;
    datagram.looked_after.store(now, std::memory_order_relaxed);
    const std::lock_guard lock(datagram.mutex);
    if (datagram.association.load() != &association) return true; // of one that has come since
    if (sys::has_ended(datagram.control->fd.load())) {
        datagram.end_association();
        return false;
    }
    try {
        watch(datagram); // after fork or exec, its worker was another process's
    } catch (const std::bad_alloc&) {
        // The next look is soon.
    }
    return true;
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
