// A UDP socket of the program's, some or all of whose datagrams go through a proxy.
//
// The socket stays the program's own: datagrams leave it for the proxy's relay with a header before them (RFC
// 1928 §7), and come back to it from there. So buffers, readiness and most errors are the kernel's. What is
// known of the socket belongs to its description, and each number that refers to it finds the same
// `Datagram`.
//
// A send or receive must cost no more than it must: number → Datagram is two loads and a counter, without a
// lock, and what a Datagram knows of its destinations is only ever added to. So a Datagram lives on while
// somebody uses it, though its numbers have been closed, and its memory is used for Datagrams alone: a reader
// that comes too late does no harm.
//
// A number that a Datagram is known of may have ended behind our back: stdio and others close by libc's own
// calls. What can be a socket is seen when it begins (socket, socketpair, accept, dup, SCM_RIGHTS,
// pidfd_getfd), and then the number is nobody's. What can't be one is noticed at the first read or write:
// the kernel says ENOTSOCK to the call of sockets that we make in its place, nothing is lost by it, and the
// number is forgotten. Calls that don't read or write ask find_true_datagram().
#pragma once

#include "socksify/datagram.hpp"
#include "sys/address.hpp"
#include "sys/mutex.hpp"
#include "sys/slot_table.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace socksify::sys {

/// Where datagrams to one address go. Never changes.
struct Way {
    Address to;                  ///< as the program writes it
    Endpoint destination;        ///< as the proxy is told
    bool is_name_server = false; ///< questions to it are answered here: see shim/name_server.hpp
    bool is_direct = false;      ///< not through the proxy, but to `direct_to`
    Address direct_to;
    std::vector<std::size_t> upstreams; ///< of the rules: those that may carry it, in order
    DatagramHeaderMessage header;       ///< what stands before each of them, on the way to the proxy
    const Way* next = nullptr;          ///< in the same bucket
};

/// Where datagrams with one header come from, as the program knows it. Never changes.
struct Source {
    std::vector<std::uint8_t> header;
    Address shown;
};

/// What a proxy has agreed to carry. Never changes.
struct Association {
    Address relay; ///< where its datagrams go, in the socket's family
    std::vector<std::size_t> upstreams;

    [[nodiscard]] bool is_for(std::span<const std::size_t> wanted) const noexcept {
        return std::equal(upstreams.begin(), upstreams.end(), wanted.begin(), wanted.end());
    }
};

/// The connection that an association lives as long as. The worker may watch it: then it is the worker that
/// closes it, when it has noticed that it is not wanted any more.
struct Control {
    explicit Control(int connection) noexcept : fd(connection) {}
    ~Control() { close(); }
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;
    void close() noexcept;

    std::atomic<int> fd;
    std::atomic<bool> is_watched{false};
    std::atomic<bool> is_unwanted{false};
};

class Datagram : public SlotEntry<Datagram> {
public:
    enum class Stage : std::uint8_t { none, under_way, ready };

    /// Null if none is known.
    [[nodiscard]] const Way* find_way(const Address& to) const noexcept;
    /// Keeps it for find_way(), unless there are too many already: then it is the caller's, who has the only
    /// pointer.
    const Way* add_way(std::unique_ptr<const Way>& way) noexcept;

    /// Null if none is known. Of the last few, without a lock.
    [[nodiscard]] const Source* find_source(Bytes header) const noexcept;
    void add_source(Bytes header, const Address& shown);
    /// The program's peer has changed, and with it what a source may be called.
    void forget_sources() noexcept;

    template <class Visit>
    void for_each_way(Visit visit) const {
        for (const auto& bucket : ways_)
            for (const auto* way = bucket.load(std::memory_order_acquire); way != nullptr; way = way->next)
                visit(*way);
    }

    std::atomic<const Way*> peer{nullptr};                ///< of connect()
    std::atomic<const Association*> association{nullptr}; ///< of Stage::ready
    std::atomic<Stage> stage{Stage::none};
    std::atomic<int> error{0};                     ///< for the next call, once
    std::atomic<std::uint8_t> expected_header{10}; ///< octets: of the last one that came
    std::atomic<std::int64_t> looked_after{0};     ///< when the control connection was looked at, in ms
    std::atomic<bool> is_watched{false};           ///< the worker looks at it
    std::atomic<int> number{-1};                   ///< the first that referred to it
    std::uint64_t cookie = 0;                      ///< of the description
    int domain = 0;                                ///< as the program made the socket

    /// For whatever is added or replaced.
    ObjectMutex mutex;
    struct Waiting {
        const Way* way;
        std::vector<std::uint8_t> payload;
    };
    std::vector<Waiting> queue; ///< of Stage::under_way; under `mutex`
    /// Sources that answer for a name: the proxy tells their address, the program knows the name's. Under
    /// `mutex`.
    std::vector<std::pair<Endpoint, const Way*>> sources;
    std::vector<std::size_t> inherited_upstreams; ///< what ways and associations of a former program refer to
    std::shared_ptr<Control> control;             ///< but for Stage::none; under `mutex`
    std::atomic<int> carried{-1};                 ///< the worker's own number, while it gets the association

    /// Under `mutex`: the association is over, and the next datagram begins a new one.
    void end_association() noexcept;

    /// For the table: nothing is known any more.
    void empty() noexcept;
    /// Locks that other threads of the parent may have held, and an association that its worker gets for it
    /// alone.
    void renew_in_child() noexcept;

private:
    static constexpr std::size_t buckets = 16;
    static constexpr std::size_t most_ways = 4096;
    static constexpr std::size_t most_sources = 1024;
    std::array<std::atomic<const Way*>, buckets> ways_{};
    std::atomic<std::size_t> way_count_{0};
    std::array<std::atomic<const Source*>, buckets> recent_sources_{};
    std::vector<std::unique_ptr<const Source>> sources_; ///< all of them, once used; under `mutex`
    std::vector<std::unique_ptr<const Association>>
        associations_; ///< also those that are over: somebody may use one

public:
    /// Under `mutex`. Throws std::bad_alloc; then nothing has changed.
    void set_association(std::unique_ptr<const Association> made, std::shared_ptr<Control> its_control);
};

/// A Datagram that does not go as long as this lives.
class DatagramRef {
public:
    DatagramRef() noexcept = default;
    explicit DatagramRef(Datagram* counted) noexcept : datagram_(counted) {}
    DatagramRef(DatagramRef&& other) noexcept : datagram_(std::exchange(other.datagram_, nullptr)) {}
    DatagramRef& operator=(DatagramRef&& other) noexcept {
        std::swap(datagram_, other.datagram_);
        return *this;
    }
    ~DatagramRef();
    [[nodiscard]] DatagramRef share() const noexcept;

    explicit operator bool() const noexcept { return datagram_ != nullptr; }
    Datagram* operator->() const noexcept { return datagram_; }
    Datagram& operator*() const noexcept { return *datagram_; }

private:
    Datagram* datagram_ = nullptr;
};

/// For a number without one: one relaxed load.
DatagramRef find_datagram(int fd) noexcept;
/// The same for what is no matter of speed: the description must still be the one that it was.
DatagramRef find_true_datagram(int fd) noexcept;
/// For whoever has kept a pointer without a count: nothing, if the program has closed all its numbers. It may
/// be another socket's by now.
DatagramRef still_alive(Datagram* datagram) noexcept;
/// A duplicate, among the internal numbers, of the description that the program uses; -1 if it has none any
/// more.
int duplicate_of(const Datagram& datagram) noexcept;
/// Calls `visit(fd)` for each number of `datagram`.
void for_each_number(const Datagram& datagram, const std::function<void(int)>& visit);
/// Calls `visit(fd, datagram)` for each number of each.
void for_each_datagram(const std::function<void(int, Datagram&)>& visit);
/// That of `fd`, made if need be. Throws std::bad_alloc.
DatagramRef make_datagram(int fd, int domain);
/// `fd` ends, or begins to refer to something else.
void forget_datagram(int fd) noexcept;
/// `to` has become a duplicate of `from`.
void copy_datagram(int from, int to) noexcept;

} // namespace socksify::sys
