// Receiving: what comes from the proxy's relay loses its header on the way to the program, and what comes
// from nowhere that the rules know is not received at all.
#include "shim/arrival.hpp"
#include "shim/association.hpp"
#include "shim/datagrams.hpp"
#include "shim/name_server.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>

namespace socksify::shim {
namespace {

using sys::Address;
using sys::Datagram;
using sys::Way;

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
        if (way.is_direct && way.direct_to == source) found = way.to;
    });
    if (found) return found;
    const auto route = route_to(source.get(), source.size, policy::Protocol::udp);
    return route && route->refusal == 0 && route->direct ? std::optional(source) : std::nullopt;
}

struct Origin {
    std::size_t header = 0;
    const Address* shown = nullptr; ///< null for a datagram that is to be dropped
};

/// Octets of a header without a fragment's number, by its ATYP; 0 if there is none.
std::size_t header_size(Bytes octets) noexcept {
    if (octets.size() < 5 || octets[2] != 0) return 0;
    const std::size_t size = octets[3] == 1 ? 10 : octets[3] == 4 ? 22 : octets[3] == 3 ? 7U + octets[4] : 0;
    return size <= octets.size() ? size : 0;
}

/// Where a datagram of `size` octets came from. `place` is for an address that is not kept anywhere.
Origin origin_of(Datagram& datagram, const Arrival& arrival, std::size_t size, const Address& source,
                 Address& place) {
    const auto* peer = datagram.peer.load();
    const auto unless_stranger = [peer](std::size_t header, const Address& shown) {
        const bool is_heard = peer == nullptr || &peer->to == &shown || peer->to == shown;
        return is_heard ? Origin{header, &shown} : Origin{};
    };
    const auto* association = datagram.association.load();
    if ((association != nullptr && source == association->relay) || is_answering(source)) {
        Arrival::Beginning beginning;
        const auto octets = arrival.begin(size, beginning);
        const auto known_size = header_size(octets);
        if (const auto* known = known_size > 0 ? datagram.find_source(octets.first(known_size)) : nullptr)
            if (const auto origin = unless_stranger(known_size, known->shown); origin.shown != nullptr)
                return origin;
        const auto header = parse_datagram_header(octets);
        if (!header || header.value.fragment != 0) return {};
        const auto shown = address_for_program(datagram, header.value.endpoint);
        if (!shown) return {};
        place = *shown;
        const auto origin = unless_stranger(header.size, place);
        if (origin.shown != nullptr && datagram.find_way(place) != nullptr)
            datagram.add_source(octets.first(header.size), place);
        return origin;
    }
    const auto shown = direct_address(datagram, source);
    if (!shown) return {};
    place = *shown;
    return unless_stranger(0, place);
}

/// A datagram on its way from the kernel to the program.
struct Incoming {
    Arrival arrival;
    Address source;

    /// What to ask the kernel for in place of `wanted`. Throws std::bad_alloc.
    msghdr expect(const msghdr& wanted, std::size_t header) {
        arrival.expect(wanted, header);
        auto carried = wanted;
        carried.msg_name = &source.storage;
        carried.msg_namelen = sizeof source.storage;
        carried.msg_iov = arrival.pieces();
        carried.msg_iovlen = arrival.count();
        return carried;
    }

    /// `carried` has come, of `size` octets: what the program gets in `wanted`, and as the call's result.
    /// Nothing if it is to be dropped.
    std::optional<std::size_t> deliver(Datagram& datagram, const msghdr& carried, std::size_t size,
                                       msghdr& wanted, int flags) {
        source.size = carried.msg_namelen;
        if (size == 0 && source.size == 0) { // no datagram has come, but the end: shutdown()
            wanted.msg_flags = 0;
            wanted.msg_namelen = 0;
            return 0;
        }
        Address place;
        const auto [header, shown] = origin_of(datagram, arrival, size, source, place);
        if (shown == nullptr) return {};
        arrival.settle(size, header);
        if (header <= 255)
            datagram.expected_header.store(static_cast<std::uint8_t>(header), std::memory_order_relaxed);
        const auto payload = size - header;
        const bool is_cut = payload > arrival.room();
        if (wanted.msg_name != nullptr) {
            std::memcpy(wanted.msg_name, &shown->storage, std::min(wanted.msg_namelen, shown->size));
            wanted.msg_namelen = shown->size;
        }
        wanted.msg_controllen = carried.msg_controllen;
        wanted.msg_flags = (carried.msg_flags & ~MSG_TRUNC) | (is_cut ? MSG_TRUNC : 0);
        return is_cut && (flags & MSG_TRUNC) == 0 ? arrival.room() : payload;
    }
};

/// What one recvmmsg() of the kernel's takes. Too large for a thread's stack, and used again.
struct Batch {
    static constexpr unsigned most = 32;
    std::array<Incoming, most> incoming;
    std::array<mmsghdr, most> carried;
};
constinit std::atomic<Batch*> spare_batch{nullptr};

struct GiveBack {
    void operator()(Batch* batch) const noexcept { delete spare_batch.exchange(batch); }
};
using BatchInUse = std::unique_ptr<Batch, GiveBack>;

BatchInUse take_batch() {
    auto* spare = spare_batch.exchange(nullptr);
    return BatchInUse(spare != nullptr ? spare : new Batch);
}

/// Whether a datagram that was received into `a` might as well have been received into `b`.
bool are_alike(const msghdr& a, const msghdr& b) noexcept {
    return size_of(a.msg_iov, a.msg_iovlen) == size_of(b.msg_iov, b.msg_iovlen) &&
           a.msg_controllen == b.msg_controllen && a.msg_namelen == b.msg_namelen &&
           (a.msg_name == nullptr) == (b.msg_name == nullptr);
}

/// `size` octets of payload from the pieces of one message into those of another.
void move_payload(const msghdr& from, const msghdr& to, std::size_t size) {
    const auto each = [size](const msghdr& message, auto use) {
        std::size_t done = 0;
        for (std::size_t i = 0; i < message.msg_iovlen && done < size; ++i) {
            const auto some = std::min(message.msg_iov[i].iov_len, size - done);
            if (some > 0) use(static_cast<std::uint8_t*>(message.msg_iov[i].iov_base), done, some);
            done += some;
        }
    };
    std::vector<std::uint8_t> octets(size);
    each(from, [&](const auto* piece, auto at, auto some) { std::memcpy(octets.data() + at, piece, some); });
    each(to, [&](auto* piece, auto at, auto some) { std::memcpy(piece, octets.data() + at, some); });
}

/// After a call on `fd` that the kernel has refused.
template <class Result>
Verdict<Result> as_failure(int fd, Datagram& datagram) noexcept {
    const int error = error_for_program(fd, datagram);
    return error != 0 ? Verdict<Result>::fail(error) : Verdict<Result>::pass();
}

/// One more that the program must not see: MSG_PEEK has left it where it was.
void drop_peeked(int fd, int flags) {
    if ((flags & MSG_PEEK) != 0) real::recv(fd, nullptr, 0, MSG_DONTWAIT);
}

/// Delivers the `came` datagrams of `batch` into `messages`, those to be dropped left out. How many that
/// makes.
unsigned deliver(Datagram& datagram, Batch& batch, unsigned came, mmsghdr* messages, int flags) {
    unsigned delivered = 0;
    for (unsigned i = 0; i < came; ++i) {
        auto into = messages[i].msg_hdr;
        const auto& carried = batch.carried[i];
        const auto result =
            batch.incoming[i].deliver(datagram, carried.msg_hdr, carried.msg_len, into, flags);
        if (!result) continue;
        auto& slot = messages[delivered++];
        slot.msg_len = static_cast<unsigned>(*result);
        if (&slot == &messages[i]) {
            slot.msg_hdr = into;
            continue;
        }
        move_payload(into, slot.msg_hdr, std::min(*result, batch.incoming[i].arrival.room()));
        if (into.msg_name != nullptr)
            std::memcpy(slot.msg_hdr.msg_name, into.msg_name,
                        std::min<std::size_t>(slot.msg_hdr.msg_namelen, into.msg_namelen));
        if (into.msg_controllen > 0)
            std::memcpy(slot.msg_hdr.msg_control, into.msg_control, into.msg_controllen);
        slot.msg_hdr.msg_namelen = into.msg_namelen;
        slot.msg_hdr.msg_controllen = into.msg_controllen;
        slot.msg_hdr.msg_flags = into.msg_flags;
    }
    return delivered;
}

} // namespace

Verdict<ssize_t> receive_datagram(int fd, msghdr& message, int flags) {
    const auto datagram = sys::find_datagram(fd);
    if (!datagram || (flags & MSG_ERRQUEUE) != 0) return Verdict<ssize_t>::pass();
    if (message.msg_iovlen > IOV_MAX - 2) return Verdict<ssize_t>::fail(EMSGSIZE);
    if (const int error = take_told_error(fd, *datagram); error != 0) return Verdict<ssize_t>::fail(error);
    Incoming incoming;
    for (;;) {
        auto carried = incoming.expect(message, datagram->expected_header.load(std::memory_order_relaxed));
        const auto size =
            real::recvmsg(fd, &carried, flags | MSG_TRUNC); // the result is the datagram's whole size
        if (size < 0) return as_failure<ssize_t>(fd, *datagram);
        if (const auto result =
                incoming.deliver(*datagram, carried, static_cast<std::size_t>(size), message, flags))
            return Verdict<ssize_t>::done(static_cast<ssize_t>(*result));
        drop_peeked(fd, flags);
    }
}

Verdict<> receive_datagrams(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
    const auto datagram = sys::find_datagram(fd);
    if (!datagram || (flags & MSG_ERRQUEUE) != 0 || count == 0 || sys::is_nowhere(messages))
        return Verdict<>::pass();
    if (const int error = take_told_error(fd, *datagram); error != 0) return Verdict<>::fail(error);
    const auto batch = take_batch();
    // Each look finds the same one.
    const unsigned most = (flags & MSG_PEEK) != 0 ? 1 : Batch::most;
    for (unsigned done = 0;;) {
        auto* wanted = messages + done;
        unsigned asked = 0;
        while (asked < std::min(most, count - done) && are_alike(wanted[asked].msg_hdr, wanted->msg_hdr)) {
            if (wanted[asked].msg_hdr.msg_iovlen > IOV_MAX - 2) break;
            batch->carried[asked].msg_hdr = batch->incoming[asked].expect(
                wanted[asked].msg_hdr, datagram->expected_header.load(std::memory_order_relaxed));
            ++asked;
        }
        if (asked == 0) return done > 0 ? Verdict<>::done(static_cast<int>(done)) : Verdict<>::fail(EMSGSIZE);
        const int how = flags | MSG_TRUNC | ((flags & MSG_WAITFORONE) != 0 && done > 0 ? MSG_DONTWAIT : 0);
        const int came = real::recvmmsg(fd, batch->carried.data(), asked, how, timeout);
        if (came < 0) {
            if (done == 0) return as_failure<int>(fd, *datagram);
            if (errno != EAGAIN) datagram->error.store(errno); // as the kernel: for the next call
            return Verdict<>::done(static_cast<int>(done));
        }
        const auto delivered = deliver(*datagram, *batch, static_cast<unsigned>(came), wanted, flags);
        if (delivered == 0) drop_peeked(fd, flags);
        done += delivered;
        // What was dropped does not count, neither for a wait nor for the time.
        const bool is_late = timeout != nullptr && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
        const bool is_all = done == count || static_cast<unsigned>(came) < asked || is_late;
        if (done > 0 && is_all) return Verdict<>::done(static_cast<int>(done));
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

} // namespace socksify::shim
