#include "shim/knock.hpp"

#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/socket_options.hpp"

#include <netinet/in.h>
#include <sys/epoll.h>

namespace socksify::shim {
namespace {

namespace log = sys::log;

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
    const bool is_bound = real::bind(knock, from.get(), from.size) == 0;
    const auto bound = is_bound ? sys::local_address(knock) : std::nullopt;
    if (!bound) {
        const sys::KeepErrno keep;
        sys::close_internal(knock);
        return -1;
    }
    port = sys::to_endpoint(bound->get(), bound->size)->port;
    return knock;
}

/// A knock that waits to be taken.
class Knock final : public sys::worker::Task {
public:
    explicit Knock(sys::Place place) noexcept : place_(std::move(place)) {}

    /// A socket to knock with at `door`. False with errno.
    bool open(const sys::Address& door) noexcept {
        fd_.reset(make_knock(door, port_));
        return fd_.get() >= 0;
    }
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] const sys::Listener& listener() const noexcept { return place_.listener(); }

    sys::worker::Wait run() override {
        char octet = 0;
        const auto size = real::recv(fd_.get(), &octet, sizeof octet, MSG_DONTWAIT);
        const bool waits =
            size < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM);
        if (waits && !has_news()) return {.fd = fd_.get(), .events = EPOLLIN};
        place_.listener().forget_knock(port_); // accept() has closed it, or the program its listener
        return {.over = true};
    }
    /// The kernel does not tell of each connection that it drops with a listener.
    [[nodiscard]] bool has_news() const noexcept override { return place_.listener().is_closed(); }
    void finish() noexcept override {}
    void abandon(int) noexcept override {} // closed, it waits to be taken as well

private:
    sys::Place place_;
    sys::OwnDescriptor fd_;
    std::uint16_t port_ = 0;
};

void say_lost(int error) noexcept {
    log::line(log::Level::error, "a peer is lost: %s", strerrordesc_np(error));
}

} // namespace

sys::Address shown(const Endpoint& endpoint, int domain) noexcept {
    const Host any = domain == AF_INET6 ? Host::ipv6({}) : Host{};
    const auto address = sys::to_address({endpoint.host.unmapped(), endpoint.port}, domain);
    return address ? *address : *sys::to_address({any, endpoint.port}, domain);
}

void pass_on(sys::Place place, int connection, const Endpoint& peer, int domain) {
    const auto door = place.listener().door();
    auto knock = std::make_unique<Knock>(std::move(place));
    if (!knock->open(door)) return say_lost(errno);
    if (!knock->listener().put(connection, shown(peer, domain))) return say_lost(errno);
    knock->listener().expect_knock(knock->port());
    real::connect(knock->fd(), door.get(), door.size); // under way, or refused by a listener that is gone
    log::line(log::Level::info, "%s: has come", peer.text().c_str());
    std::unique_ptr<sys::worker::Task> task = std::move(knock);
    sys::worker::post(task);
}

} // namespace socksify::shim
