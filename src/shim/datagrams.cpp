#include "shim/datagrams.hpp"

#include "shim/arrival.hpp"
#include "shim/association.hpp"
#include "shim/kind.hpp"
#include "shim/name_server.hpp"
#include "sys/log.hpp"
#include "sys/names.hpp"
#include "sys/real.hpp"
#include "sys/socket_options.hpp"
#include "sys/upstreams.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <sys/uio.h>

namespace socksify::shim {
namespace {

using sys::Address;
using sys::Datagram;
using sys::Way;
using Stage = Datagram::Stage;

constexpr int udp_segment = 103; // UDP_SEGMENT, <linux/udp.h>
constexpr int udp_gro = 104;     // UDP_GRO
constexpr std::size_t most_waiting =
    64; // datagrams, until there is an association; a kernel's queue has an end, too

/// As recvfrom() on a socket of `domain` would tell it, without a scope or flow label: AF_INET6 takes
/// addresses of AF_INET, too.
Address plain(const Address& address, int domain) {
    const auto endpoint = sys::to_endpoint(address.get(), address.size);
    return endpoint ? sys::to_address(*endpoint, domain).value_or(address) : address;
}

/// What `to` means, as a Way. Nothing with `error` if there is none.
std::unique_ptr<const Way> make_way(const Address& to, const Route& route, int& error) {
    auto way = std::make_unique<Way>();
    way->to = to;
    way->destination = {route.destination.host.unmapped(), route.destination.port};
    way->is_direct = route.direct;
    way->is_name_server = is_name_server(way->destination);
    way->direct_to = to;
    way->upstreams.assign(route.upstreams.begin(), route.upstreams.end());
    way->header = encode(DatagramHeader{0, way->destination});
    if (route.direct && route.from_pool) { // a name that the rules leave to this machine
        const auto addresses = sys::upstreams::addresses(way->destination);
        const auto found = std::find_if(addresses.begin(), addresses.end(), [&](const Endpoint& one) {
            return to.family() == AF_INET6 || one.host.type() == AddressType::ipv4;
        });
        if (found == addresses.end()) return error = EHOSTUNREACH, nullptr;
        way->direct_to = *sys::to_address(*found, to.family());
    }
    return way;
}

/// Whether the control part asks for what would cut the datagram into several.
bool asks_for_segments(const msghdr& message) noexcept {
    if (message.msg_control == nullptr) return false;
    auto copy = message; // CMSG_NXTHDR wants it so
    for (auto* part = CMSG_FIRSTHDR(&copy); part != nullptr; part = CMSG_NXTHDR(&copy, part))
        if (joins_datagrams(part->cmsg_level, part->cmsg_type)) return true;
    return false;
}

/// Whether it is too long for one datagram of IPv4, header and all: that the relay's family may take 20
/// octets more is not known before there is an association.
bool is_too_long(const Way& way, const msghdr& message) noexcept {
    constexpr std::size_t most = 65507;
    return Bytes(way.header).size() + size_of(message.msg_iov, message.msg_iovlen) > most;
}

/// A copy of the payload, to be sent when there is an association.
bool put_into_queue(Datagram& datagram, const Way& way, const msghdr& message) {
    const std::lock_guard lock(datagram.mutex);
    if (datagram.stage.load() != Stage::under_way) return false;
    if (datagram.queue.size() >= most_waiting) return true; // lost, as datagrams may be
    std::vector<std::uint8_t> payload;
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
        const auto* octets = static_cast<const std::uint8_t*>(message.msg_iov[i].iov_base);
        payload.insert(payload.end(), octets, octets + message.msg_iov[i].iov_len);
    }
    datagram.queue.push_back({&way, std::move(payload)});
    return true;
}

Verdict<ssize_t> as_result(int fd, Datagram& datagram, ssize_t result) noexcept {
    if (result >= 0) return Verdict<ssize_t>::done(result);
    const int error = error_for_program(fd, datagram);
    return error != 0 ? Verdict<ssize_t>::fail(error) : Verdict<ssize_t>::pass();
}

Verdict<ssize_t> send_by_proxy(int fd, Datagram& datagram, const Way& way, bool is_kept,
                               const msghdr& message, int flags) {
    if (asks_for_segments(message)) return Verdict<ssize_t>::fail(EINVAL);
    for (;;) {
        if (const auto* association = datagram.association.load()) {
            if (!is_alive(datagram, *association)) return Verdict<ssize_t>::fail(ECONNREFUSED);
            if (!association->is_for(way.upstreams)) return Verdict<ssize_t>::fail(EHOSTUNREACH);
            return as_result(fd, datagram, send_on(fd, datagram, way, message, flags));
        }
        if (datagram.stage.load() == Stage::none) {
            if (const int error = associate(fd, datagram, way, flags); error != 0)
                return Verdict<ssize_t>::fail(error);
            continue;
        }
        if (is_too_long(way, message)) return Verdict<ssize_t>::fail(EMSGSIZE);
        if (!is_kept || put_into_queue(datagram, way, message))
            return Verdict<ssize_t>::done(static_cast<ssize_t>(size_of(message.msg_iov, message.msg_iovlen)));
    }
}

} // namespace

Verdict<> connect_datagram(int fd, int domain, const Address& given, const Route& route) {
    const auto to = plain(given, domain);
    auto datagram = sys::make_datagram(fd, domain);
    const auto* way = datagram->find_way(to);
    if (way == nullptr) {
        int error = 0;
        auto made = make_way(to, route, error);
        if (!made) return Verdict<>::fail(error);
        way = datagram->add_way(made);
        if (made) return Verdict<>::fail(ENOBUFS);
    }
    const std::lock_guard lock(datagram->mutex);
    const auto* association = datagram->association.load();
    int error = 0;
    if (way->is_direct && !way->is_name_server) error = listen_to(fd, way->direct_to);
    else if (association != nullptr && !way->is_name_server) error = listen_to(fd, association->relay);
    else {
        // As connect() does: a port, for getsockname() to tell. Bound already, it stays as it is.
        reach_ipv4(fd); // afterwards it is too late
        Address any;
        any.storage.ss_family = static_cast<sa_family_t>(to.family());
        any.size = to.size;
        real::bind(fd, any.get(), any.size);
    }
    if (error != 0) return Verdict<>::fail(error);
    datagram->peer.store(way);
    datagram->forget_sources();
    return Verdict<>::done(0);
}

void disconnect_datagram(int fd) noexcept {
    const auto datagram = sys::find_true_datagram(fd);
    if (!datagram) return;
    datagram->peer.store(nullptr);
    datagram->forget_sources();
    // The kernel takes the port back, unless it was bound to, and relays keep to the port that they know.
    const std::lock_guard lock(datagram->mutex);
    if (datagram->stage.load() == Stage::ready) datagram->end_association();
}

namespace {

/// Where `message` goes; passes if no proxy has to do with it. `datagram` is that of `fd`, and made if there
/// has to be one. `made` is the way if the Datagram has no place for another.
Verdict<const Way*> way_of(int fd, const msghdr& message, sys::DatagramRef& datagram,
                           std::unique_ptr<const Way>& made) {
    using Found = Verdict<const Way*>;
    const auto to_peer = [&] {
        const auto* peer = datagram ? datagram->peer.load() : nullptr;
        return peer != nullptr ? Found::done(peer) : Found::pass();
    };
    if (message.msg_name == nullptr) return to_peer();
    if (message.msg_namelen < sizeof(sa_family_t)) return Found::pass(); // the kernel's to refuse
    auto given = sys::copy_address(static_cast<const sockaddr*>(message.msg_name), message.msg_namelen);
    if (given.family() == AF_UNSPEC) {
        // udp_sendmsg() takes it for AF_INET, udpv6_sendmsg() for none.
        if (sys::domain_of(fd) != AF_INET) return to_peer();
        if (message.msg_namelen < sizeof(sockaddr_in)) return Found::pass();
        given.storage.ss_family = AF_INET;
        given.size = sizeof(sockaddr_in);
    }
    if (datagram)
        if (const auto* way = datagram->find_way(plain(given, datagram->domain))) return Found::done(way);
    const int domain = datagram ? datagram->domain : sys::domain_of(fd);
    if (domain < 0) return is_no_socket() ? Found::pass() : Found::fail(errno);
    const auto to = plain(given, domain);
    const auto route = route_to(to.get(), to.size, policy::Protocol::udp);
    if (!route) return Found::pass();
    if (route->refusal != 0) return Found::fail(route->refusal);
    const bool is_no_concern_of_ours =
        route->direct && !route->from_pool && !is_name_server(route->destination);
    if (is_no_concern_of_ours && !datagram) return Found::pass();
    if (domain == AF_INET && given.family() != AF_INET) return Found::pass(); // the kernel's to refuse
    int error = 0;
    made = make_way(to, *route, error);
    if (!made) return Found::fail(error);
    if (!datagram) datagram = sys::make_datagram(fd, domain);
    return Found::done(datagram->add_way(made));
}

/// Sends it by `way`. `is_kept`: the way lives as long as the Datagram.
Verdict<ssize_t> send_by(int fd, Datagram& datagram, const Way& way, bool is_kept, const msghdr& message,
                         int flags) {
    if (way.is_name_server) {
        bool is_direct = false;
        const auto answered = answer_datagram(fd, way, message, is_direct);
        if (!answered.passed) return answered;
        if (is_direct) return as_result(fd, datagram, send_directly(fd, way, message, flags));
    }
    if (way.is_direct) return as_result(fd, datagram, send_directly(fd, way, message, flags));
    return send_by_proxy(fd, datagram, way, is_kept, message, flags);
}

/// Messages that leave by one sendmmsg() of the kernel's: those that have nothing to wait for, and of which
/// each has its way already.
class Batch {
public:
    Batch(int fd, Datagram& datagram, int flags) noexcept : fd_(fd), datagram_(datagram), flags_(flags) {}

    /// False if it must go on its own, or there is no more room.
    bool add(mmsghdr& message, const Way& way) {
        const auto& wanted = message.msg_hdr;
        if (size_ == most || way.is_name_server || pieces_used_ + wanted.msg_iovlen + 1 > pieces_.size())
            return false;
        auto& carried = carried_[size_].msg_hdr;
        if (way.is_direct) carried = carried_directly(way, wanted);
        else {
            const auto* association = datagram_.association.load();
            if (association == nullptr || asks_for_segments(wanted) || !association->is_for(way.upstreams) ||
                !(is_alive_ || (is_alive_ = is_alive(datagram_, *association))))
                return false;
            carried = carried_by(datagram_, *association, way, wanted, pieces_.data() + pieces_used_);
            pieces_used_ += carried.msg_iovlen;
        }
        messages_[size_++] = &message;
        return true;
    }
    [[nodiscard]] unsigned size() const noexcept { return size_; }

    /// How many the kernel took, and it is empty then; -1 with errno if none.
    int flush() {
        const int sent = real::sendmmsg(fd_, carried_.data(), size_, flags_);
        for (int i = 0; i < sent; ++i) {
            const auto& carried = carried_[static_cast<std::size_t>(i)];
            auto& message = *messages_[static_cast<std::size_t>(i)];
            const bool has_header = carried.msg_hdr.msg_iovlen != message.msg_hdr.msg_iovlen;
            const auto header = has_header ? carried.msg_hdr.msg_iov[0].iov_len : 0;
            message.msg_len = carried.msg_len - static_cast<unsigned>(header);
        }
        size_ = 0;
        pieces_used_ = 0;
        return sent;
    }

private:
    static constexpr unsigned most = 32;
    std::array<mmsghdr, most> carried_;
    std::array<mmsghdr*, most> messages_;
    std::array<iovec, 3 * most> pieces_;
    unsigned size_ = 0;
    std::size_t pieces_used_ = 0;
    bool is_alive_ = false;
    int fd_;
    Datagram& datagram_;
    int flags_;
};

} // namespace

Verdict<ssize_t> send_datagram(int fd, const msghdr& message, int flags) {
    auto datagram = sys::find_datagram(fd);
    std::unique_ptr<const Way> made;
    const auto way = way_of(fd, message, datagram, made);
    if (way.passed) return Verdict<ssize_t>::pass();
    if (way.error != 0) return Verdict<ssize_t>::fail(way.error);
    if (const int error = take_told_error(fd, *datagram); error != 0) return Verdict<ssize_t>::fail(error);
    return send_by(fd, *datagram, *way.result, made == nullptr, message, flags);
}

Verdict<> send_datagrams(int fd, mmsghdr* messages, unsigned count, int flags) {
    auto datagram = sys::find_datagram(fd);
    if (!datagram) return Verdict<>::pass();
    if (const int error = take_told_error(fd, *datagram); error != 0) return Verdict<>::fail(error);
    Batch batch(fd, *datagram, flags);
    int done = 0;
    // As the kernel has it: they go in their order, up to the first failure, which counts if nothing went.
    const auto stopped = [&done](int error) {
        return done > 0 ? Verdict<>::done(done) : Verdict<>::fail(error);
    };
    /// 0, or why not all of the batch has gone.
    const auto flush = [&] {
        const int wanted = static_cast<int>(batch.size());
        if (wanted == 0) return 0;
        const int sent = batch.flush();
        done += std::max(sent, 0);
        return sent == wanted ? 0 : sent < 0 ? errno : EAGAIN;
    };
    for (unsigned i = 0; i < std::min<unsigned>(count, IOV_MAX); ++i) {
        auto& message = messages[i];
        auto named = message.msg_hdr;
        if (named.msg_namelen == 0) named.msg_name = nullptr;
        std::unique_ptr<const Way> made;
        const auto way = way_of(fd, named, datagram, made);
        if (!way.passed && way.error == 0 && made == nullptr && batch.add(message, *way.result)) continue;
        if (const int error = flush(); error != 0) return stopped(error);
        if (way.error != 0) return stopped(way.error);
        if (!way.passed && made == nullptr && batch.add(message, *way.result)) continue;
        auto sent = way.passed ? Verdict<ssize_t>::pass()
                               : send_by(fd, *datagram, *way.result, made == nullptr, named, flags);
        if (sent.passed) sent = as_result(fd, *datagram, real::sendmsg(fd, &message.msg_hdr, flags));
        if (sent.error != 0) return stopped(sent.error);
        message.msg_len = static_cast<unsigned>(sent.result);
        ++done;
    }
    const int error = flush();
    return error != 0 ? stopped(error) : Verdict<>::done(done);
}

bool is_carried(int fd) noexcept {
    const auto datagram = sys::find_true_datagram(fd);
    if (!datagram) return false;
    const auto* peer = datagram->peer.load();
    return peer == nullptr || !peer->is_direct || peer->is_name_server;
}

int datagram_error(int fd) noexcept {
    const auto datagram = sys::find_true_datagram(fd);
    return datagram ? take_told_error(fd, *datagram) : 0;
}

std::optional<Address> datagram_peer(int fd) noexcept {
    const auto datagram = sys::find_true_datagram(fd);
    const auto* peer = datagram ? datagram->peer.load() : nullptr;
    return peer != nullptr ? std::optional(peer->to) : std::nullopt;
}

bool joins_datagrams(int level, int name) noexcept {
    return level == IPPROTO_UDP && (name == udp_segment || name == udp_gro);
}

} // namespace socksify::shim
