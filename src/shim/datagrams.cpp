#include "shim/datagrams.hpp"

#include "shim/association.hpp"
#include "shim/name_server.hpp"
#include "sys/log.hpp"
#include "sys/names.hpp"
#include "sys/real.hpp"
#include "sys/upstreams.hpp"

#include <algorithm>
#include <climits>
#include <cstring>
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
constexpr std::size_t longest_header = 3 + longest_endpoint;
constexpr std::size_t most_waiting =
    64; // datagrams, until there is an association; a kernel's queue has an end, too

bool is_same(const Address& a, const Address& b) noexcept {
    return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
}

int domain_of(int fd) noexcept {
    int domain = 0;
    socklen_t size = sizeof domain;
    return real::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 ? domain : 0;
}

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
    way->upstreams = route.upstreams;
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

std::size_t size_of(const iovec* pieces, std::size_t count) noexcept {
    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i) size += pieces[i].iov_len;
    return size;
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

/// A number that was closed behind our back, by stdio for one, and is a file's by now, passes from now on.
Verdict<ssize_t> as_result(int fd, ssize_t result) noexcept {
    if (result < 0 && errno == ENOTSOCK) {
        sys::forget_datagram(fd);
        return Verdict<ssize_t>::pass();
    }
    return result < 0 ? Verdict<ssize_t>::fail(errno) : Verdict<ssize_t>::done(result);
}

Verdict<ssize_t> send_by_proxy(int fd, Datagram& datagram, const Way& way, bool is_kept,
                               const msghdr& message, int flags) {
    if (asks_for_segments(message)) return Verdict<ssize_t>::fail(EINVAL);
    for (;;) {
        if (const auto* association = datagram.association.load()) {
            if (!is_alive(datagram, *association)) return Verdict<ssize_t>::fail(ECONNREFUSED);
            if (association->upstreams != way.upstreams) return Verdict<ssize_t>::fail(EHOSTUNREACH);
            return as_result(fd, send_on(fd, datagram, way, message, flags));
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

// --- receiving ---

/// Octets that arrive in three places: where a header is expected, in the program's own pieces, and behind
/// them.
class Arrival {
public:
    Arrival(const msghdr& message, std::size_t expected) : expected_(expected) {
        const auto count = static_cast<std::size_t>(message.msg_iovlen);
        pieces_.reserve(count + 2);
        pieces_.push_back({head_.data(), expected});
        pieces_.insert(pieces_.end(), message.msg_iov, message.msg_iov + count);
        pieces_.push_back({tail_.data(), tail_.size()});
        room_ = size_of(message.msg_iov, count);
    }

    [[nodiscard]] iovec* pieces() noexcept { return pieces_.data(); }
    [[nodiscard]] std::size_t count() const noexcept { return pieces_.size(); }
    [[nodiscard]] std::size_t room() const noexcept { return room_; }

    /// The first octets of `size` that came, at most as many as a header may have.
    [[nodiscard]] Bytes begin(std::size_t size,
                              std::array<std::uint8_t, longest_header>& into) const noexcept {
        const auto wanted = std::min({size, into.size(), expected_ + room_ + tail_.size()});
        std::size_t done = 0;
        for (const auto& piece : pieces_) {
            const auto some = std::min(piece.iov_len, wanted - done);
            if (some > 0) std::memcpy(into.data() + done, piece.iov_base, some);
            done += some;
        }
        return Bytes(into).first(done);
    }

    /// Brings the payload, which begins `header` octets from the start, to where the program looks for it.
    void settle(std::size_t size, std::size_t header) {
        if (header == expected_) return;
        const auto arrived = std::min(size, expected_ + room_ + tail_.size());
        std::vector<std::uint8_t> all;
        all.reserve(arrived);
        for (const auto& piece : pieces_) {
            const auto* octets = static_cast<const std::uint8_t*>(piece.iov_base);
            all.insert(all.end(), octets, octets + std::min(piece.iov_len, arrived - all.size()));
        }
        auto left = std::span(all).subspan(std::min(header, all.size()));
        for (std::size_t i = 1; i + 1 < pieces_.size() && !left.empty(); ++i) {
            const auto some = std::min(pieces_[i].iov_len, left.size());
            if (some > 0) std::memcpy(pieces_[i].iov_base, left.data(), some);
            left = left.subspan(some);
        }
    }

private:
    std::size_t expected_;
    std::size_t room_ = 0;
    std::array<std::uint8_t, 255> head_;
    std::array<std::uint8_t, longest_header> tail_;
    std::vector<iovec> pieces_;
};

/// The address under which the program knows `source`, which the proxy named.
std::optional<Address> address_for_program(Datagram& datagram, const Endpoint& source) {
    const bool by_name = source.host.is_name();
    const auto literal = by_name ? std::nullopt : sys::to_address(source, datagram.domain);
    if (literal && datagram.find_way(*literal) != nullptr) return literal;
    // Whoever is connected to a name hears nobody else.
    const auto* peer = datagram.peer.load();
    if (peer != nullptr && !peer->is_direct && peer->destination.host.is_name() &&
        (by_name ? peer->destination == source : peer->destination.port == source.port))
        return peer->to;
    const std::lock_guard lock(datagram.mutex);
    for (const auto& [known, way] : datagram.sources)
        if (known == source) return way->to;
    // The program sent to a name, and the proxy answers for an address: if just one name could be meant, that
    // one is.
    const Way* meant = nullptr;
    bool is_only_one = true;
    datagram.for_each_way([&](const Way& way) {
        const bool fits = by_name ? way.destination == source
                                  : way.destination.host.is_name() && way.destination.port == source.port;
        if (!fits || way.is_direct) return;
        is_only_one = meant == nullptr;
        meant = &way;
    });
    if (meant != nullptr && is_only_one) {
        constexpr std::size_t most = 256;
        if (datagram.sources.size() < most) datagram.sources.emplace_back(source, meant);
        return meant->to;
    }
    return literal;
}

/// Whether the rules let datagrams come from `source` directly, and under which address the program knows it.
std::optional<Address> direct_address(const Datagram& datagram, const Address& source) {
    if (const auto* way = datagram.find_way(source))
        return way->is_direct || way->is_name_server ? std::optional(source) : std::nullopt;
    std::optional<Address> found;
    datagram.for_each_way([&](const Way& way) {
        if (way.is_direct && is_same(way.direct_to, source)) found = way.to;
    });
    if (found) return found;
    const auto route = route_to(source.get(), source.size, policy::Protocol::udp);
    return route && route->refusal == 0 && route->direct ? std::optional(source) : std::nullopt;
}

struct Origin {
    std::size_t header = 0;
    Address shown;
};

/// Where a datagram of `size` octets came from; nothing if it is to be dropped.
std::optional<Origin> origin_of(Datagram& datagram, const Arrival& arrival, std::size_t size,
                                const Address& source) {
    Origin origin;
    const auto* association = datagram.association.load();
    if ((association != nullptr && is_same(source, association->relay)) || is_answering(source)) {
        std::array<std::uint8_t, longest_header> octets;
        const auto header = parse_datagram_header(arrival.begin(size, octets));
        if (!header || header.value.fragment != 0) return {};
        const auto shown = address_for_program(datagram, header.value.endpoint);
        if (!shown) return {};
        origin = {header.size, *shown};
    } else {
        const auto shown = direct_address(datagram, source);
        if (!shown) return {};
        origin = {0, *shown};
    }
    const auto* peer = datagram.peer.load();
    return peer == nullptr || is_same(peer->to, origin.shown) ? std::optional(origin) : std::nullopt;
}

} // namespace

Verdict<> connect_datagram(int fd, const Address& given, const Route& route) {
    const int domain = domain_of(fd);
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
        Address any;
        any.storage.ss_family = static_cast<sa_family_t>(to.family());
        any.size = to.size;
        real::bind(fd, any.get(), any.size);
    }
    if (error != 0) return Verdict<>::fail(error);
    datagram->peer.store(way);
    return Verdict<>::done(0);
}

void disconnect_datagram(int fd) noexcept {
    const auto datagram = sys::find_datagram(fd);
    if (!datagram) return;
    datagram->peer.store(nullptr);
    // The kernel takes the port back, unless it was bound to, and relays keep to the port that they know.
    const std::lock_guard lock(datagram->mutex);
    if (datagram->stage.load() == Stage::ready) datagram->end_association();
}

Verdict<ssize_t> send_datagram(int fd, const msghdr& message, int flags) {
    auto datagram = sys::find_datagram(fd);
    const Way* way = nullptr;
    std::unique_ptr<const Way> made;
    int domain = datagram ? datagram->domain : 0;
    if (message.msg_name == nullptr) {
        if (!datagram || (way = datagram->peer.load()) == nullptr) return Verdict<ssize_t>::pass();
    } else {
        auto given = sys::copy_address(static_cast<const sockaddr*>(message.msg_name), message.msg_namelen);
        // udp_sendmsg() takes an AF_INET socket's address without a family for AF_INET.
        if (given.family() == AF_UNSPEC && message.msg_namelen >= sizeof(sockaddr_in) &&
            domain_of(fd) == AF_INET) {
            given.storage.ss_family = AF_INET;
            given.size = sizeof(sockaddr_in);
        }
        auto to = plain(given, datagram ? domain : given.family());
        if (datagram) way = datagram->find_way(to);
        if (way == nullptr) {
            const auto route = route_to(to.get(), to.size, policy::Protocol::udp);
            if (!route) return Verdict<ssize_t>::pass();
            if (route->refusal != 0) return Verdict<ssize_t>::fail(route->refusal);
            const bool is_no_concern_of_ours =
                route->direct && !route->from_pool && !is_name_server(route->destination);
            if (is_no_concern_of_ours && !datagram) return Verdict<ssize_t>::pass();
            if (!datagram) to = plain(given, domain = domain_of(fd));
            if (domain == AF_INET && given.family() != AF_INET)
                return Verdict<ssize_t>::pass(); // the kernel's to refuse
            int error = 0;
            made = make_way(to, *route, error);
            if (!made) return Verdict<ssize_t>::fail(error);
            if (!datagram) datagram = sys::make_datagram(fd, domain);
            way = datagram->add_way(made);
        }
    }
    if (const int error = datagram->error.exchange(0); error != 0) return Verdict<ssize_t>::fail(error);
    if (way->is_name_server) {
        bool is_direct = false;
        const auto answered = answer_datagram(fd, *way, message, is_direct);
        if (!answered.passed) return answered;
        if (is_direct) return as_result(fd, send_directly(fd, *way, message, flags));
    }
    if (way->is_direct) return as_result(fd, send_on(fd, *datagram, *way, message, flags));
    return send_by_proxy(fd, *datagram, *way, made == nullptr, message, flags);
}

Verdict<ssize_t> receive_datagram(int fd, msghdr& message, int flags) {
    const auto datagram = sys::find_datagram(fd);
    if (!datagram || (flags & MSG_ERRQUEUE) != 0) return Verdict<ssize_t>::pass();
    if (message.msg_iovlen > IOV_MAX - 2) return Verdict<ssize_t>::fail(EMSGSIZE);
    if (const int error = datagram->error.exchange(0); error != 0) return Verdict<ssize_t>::fail(error);
    for (;;) {
        Arrival arrival(message, datagram->expected_header.load(std::memory_order_relaxed));
        Address source;
        auto carried = message;
        carried.msg_name = &source.storage;
        carried.msg_namelen = sizeof source.storage;
        carried.msg_iov = arrival.pieces();
        carried.msg_iovlen = arrival.count();
        const auto got =
            real::recvmsg(fd, &carried, flags | MSG_TRUNC); // the result is the datagram's whole size
        if (got < 0) return as_result(fd, got);
        const auto size = static_cast<std::size_t>(got);
        source.size = carried.msg_namelen;
        if (got == 0 && source.size == 0) { // no datagram has come, but the end: shutdown()
            message.msg_flags = 0;
            message.msg_namelen = 0;
            return Verdict<ssize_t>::done(0);
        }
        const auto origin = origin_of(*datagram, arrival, size, source);
        if (!origin) {
            if ((flags & MSG_PEEK) != 0) real::recv(fd, nullptr, 0, MSG_DONTWAIT);
            continue;
        }
        arrival.settle(size, origin->header);
        if (origin->header >= 10 && origin->header <= 255)
            datagram->expected_header.store(static_cast<std::uint8_t>(origin->header),
                                            std::memory_order_relaxed);
        const auto payload = size - origin->header;
        const bool is_cut = payload > arrival.room();
        if (message.msg_name != nullptr) {
            std::memcpy(message.msg_name, &origin->shown.storage,
                        std::min(message.msg_namelen, origin->shown.size));
            message.msg_namelen = origin->shown.size;
        }
        message.msg_controllen = carried.msg_controllen;
        message.msg_flags = (carried.msg_flags & ~MSG_TRUNC) | (is_cut ? MSG_TRUNC : 0);
        return Verdict<ssize_t>::done(
            static_cast<ssize_t>(is_cut && (flags & MSG_TRUNC) == 0 ? arrival.room() : payload));
    }
}

Verdict<> pending_octets(int fd, int* octets) {
    const auto datagram = sys::find_datagram(fd);
    if (!datagram || octets == nullptr) return Verdict<>::pass();
    // Of the datagram that the program would get: others are taken away by the look.
    msghdr message{};
    std::array<std::uint8_t, 1> none;
    iovec piece{none.data(), 0};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    const auto next = receive_datagram(fd, message, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
    if (next.passed) return Verdict<>::pass();
    *octets = next.error == 0 ? static_cast<int>(next.result) : 0;
    return Verdict<>::done(0);
}

std::optional<Address> datagram_peer(int fd) noexcept {
    const auto datagram = sys::find_datagram(fd);
    const auto* peer = datagram ? datagram->peer.load() : nullptr;
    return peer != nullptr ? std::optional(peer->to) : std::nullopt;
}

bool joins_datagrams(int level, int name) noexcept {
    return level == IPPROTO_UDP && (name == udp_segment || name == udp_gro);
}

} // namespace socksify::shim
