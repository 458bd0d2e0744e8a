// Datagrams by the batch: one system call takes in what has come, and one sends it on. A payload stays where
// the kernel has put it; a header is written in front of it, or skipped.
//
// All associations of a thread share one batch and its outboxes: between receive() and send() nothing is
// awaited. There is room for the largest datagrams, and no page of it takes memory before a datagram has
// filled it.
#pragma once

#include "relay/drops.hpp"
#include "relay/io.hpp"
#include "socksify/datagram.hpp"

#include <sys/socket.h>

namespace socksify::relay {

class Batch {
public:
    static constexpr std::size_t most = 32;
    /// Octets in front of each datagram that are its owner's: for the longest header (RFC 1928 §7).
    static constexpr std::size_t headroom = DatagramHeaderMessage::capacity();
    /// UDP's own limit: none is ever cut off.
    static constexpr std::size_t longest = 65535;

    /// Takes in what has come to `socket`; how many that is, at most `most`. What was there before is gone.
    std::size_t receive(int socket);

    /// There are `headroom` octets in front of it.
    [[nodiscard]] std::span<std::uint8_t> datagram(std::size_t i) noexcept {
        return {room(i), memory_->messages[i].msg_len};
    }
    [[nodiscard]] const Udp::endpoint& source(std::size_t i) const noexcept { return memory_->sources[i]; }

private:
    struct Memory {
        Memory();
        std::array<mmsghdr, most> messages{};
        std::array<iovec, most> parts{};
        std::array<Udp::endpoint, most> sources;
        std::unique_ptr<std::uint8_t[]> octets;
    };
    [[nodiscard]] std::uint8_t* room(std::size_t i) noexcept {
        return memory_->octets.get() + i * (headroom + longest) + headroom;
    }

    std::unique_ptr<Memory> memory_; ///< from the first receive() on
    std::size_t used_ = 0;
};

/// What one socket is to send.
class Outbox {
public:
    Outbox() noexcept;
    Outbox(const Outbox&) = delete;
    Outbox& operator=(const Outbox&) = delete;

    /// At most `Batch::most` until it is sent. `octets` stay where they are; `payload` of them count in the
    /// sum.
    void put(std::span<std::uint8_t> octets, std::size_t payload, const Udp::endpoint& to) noexcept;

    struct Sent {
        std::uint64_t datagrams = 0;
        std::uint64_t octets = 0; ///< of payload

        Sent& operator+=(const Sent& other) noexcept {
            datagrams += other.datagrams;
            octets += other.octets;
            return *this;
        }
    };
    /// Sends it all in its order, and is empty then. What the kernel does not take is counted in `drops`.
    Sent send(int socket, Drops& drops) noexcept;

private:
    std::array<mmsghdr, Batch::most> messages_{};
    std::array<iovec, Batch::most> parts_{};
    std::array<Udp::endpoint, Batch::most> receivers_;
    std::array<std::size_t, Batch::most> payloads_{};
    std::size_t size_ = 0;
};

} // namespace socksify::relay
