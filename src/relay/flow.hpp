// One direction of a tunnel: octets from one socket to another, as many as both take now. It never blocks and
// never waits; it says what to wait for.
//
// A few octets are copied through a buffer that all flows of a thread share: an idle connection costs no
// memory, and a small message two system calls. When more comes than fills the buffer, the octets are spliced
// through a pipe and never enter this process. Pipes are borrowed: a flow has one only while octets lie in it
// or pour through it.
#pragma once

#include "relay/fd.hpp"
#include "socksify/bytes.hpp"

#include <vector>

namespace socksify::relay {

/// What the flows of one thread share. Outlives them.
class Depot {
public:
    Depot() : buffer(buffer_size) {}

    struct Pipe {
        Fd read;
        Fd write;
        explicit operator bool() const noexcept { return static_cast<bool>(read); }
    };
    /// No pipe if there are no descriptors left; the flow then copies.
    Pipe borrow();
    void give_back(Pipe pipe); ///< an empty one

    static constexpr std::size_t buffer_size = 64 * 1024;
    std::vector<std::uint8_t> buffer;
    bool poured = false; ///< octets have gone through a pipe, since somebody has looked

private:
    static constexpr std::size_t most_idle = 64;
    std::vector<Pipe> idle_;
};

class Flow {
public:
    enum class Next : std::uint8_t {
        readable,   ///< wait until the source is readable
        writable,   ///< wait until the sink is writable
        ended,      ///< end of file, and all of it has gone to the sink
        reset,      ///< the source failed
        unwritable, ///< the sink takes no more
    };

    explicit Flow(Depot& depot) noexcept : depot_(depot) {}
    Flow(const Flow&) = delete;
    Flow& operator=(const Flow&) = delete;
    ~Flow() { let_go(); }

    /// Octets that come before all of the source's.
    void put(Bytes octets) { kept_.assign(octets.begin(), octets.end()); }

    [[nodiscard]] bool is_empty() const noexcept { return kept_.empty() && in_pipe_ == 0; }

    /// Both sockets are non-blocking.
    Next move(int source, int sink);

    /// That went into the sink.
    [[nodiscard]] std::uint64_t octets() const noexcept { return octets_; }

private:
    /// After so many octets the other connections have their turn.
    static constexpr std::size_t most_at_once = 1024 * 1024;
    /// So many full buffers in a row are a stream, and so many small portions are none any more.
    static constexpr unsigned full_for_splice = 2;
    static constexpr unsigned small_for_copy = 8;
    static constexpr std::size_t small_portion = 8 * 1024;

    enum class Sent : std::uint8_t { all, some, failed };
    Sent send_kept(int sink);
    Sent empty_pipe(int sink);
    Next copy(int source, int sink);
    Next splice(int source, int sink);
    void let_go() noexcept;

    Depot& depot_;
    std::vector<std::uint8_t> kept_; ///< read, but not taken by the sink yet
    std::size_t kept_sent_ = 0;
    Depot::Pipe pipe_;
    std::size_t in_pipe_ = 0;
    unsigned full_ = 0;  ///< buffers in a row
    unsigned small_ = 0; ///< portions in a row
    bool streaming_ = false;
    std::uint64_t octets_ = 0;
};

} // namespace socksify::relay
