#include "relay/batch.hpp"

#include <cerrno>

namespace socksify::relay {

Batch::Memory::Memory()
    : octets(std::make_unique_for_overwrite<std::uint8_t[]>(most * (headroom + longest))) {}

std::size_t Batch::receive(int socket) {
    if (!memory_) {
        memory_ = std::make_unique<Memory>();
        used_ = most;
        for (std::size_t i = 0; i < most; ++i) {
            memory_->parts[i] = {room(i), longest};
            auto& header = memory_->messages[i].msg_hdr;
            header.msg_iov = &memory_->parts[i];
            header.msg_iovlen = 1;
            header.msg_name = memory_->sources[i].data();
        }
    }
    // The kernel has written the length of each name there.
    for (std::size_t i = 0; i < used_; ++i)
        memory_->messages[i].msg_hdr.msg_namelen = static_cast<socklen_t>(memory_->sources[i].capacity());
    used_ = 0;
    int count = 0;
    do count = ::recvmmsg(socket, memory_->messages.data(), most, MSG_DONTWAIT, nullptr);
    while (count < 0 && errno == EINTR);
    if (count <= 0) return 0;
    used_ = static_cast<std::size_t>(count);
    return used_;
}

Outbox::Outbox() noexcept {
    for (std::size_t i = 0; i < messages_.size(); ++i) {
        auto& header = messages_[i].msg_hdr;
        header.msg_iov = &parts_[i];
        header.msg_iovlen = 1;
        header.msg_name = receivers_[i].data();
    }
}

void Outbox::put(std::span<std::uint8_t> octets, std::size_t payload, const Udp::endpoint& to) noexcept {
    parts_[size_] = {octets.data(), octets.size()};
    receivers_[size_] = to;
    messages_[size_].msg_hdr.msg_namelen = static_cast<socklen_t>(to.size());
    payloads_[size_] = payload;
    ++size_;
}

Outbox::Sent Outbox::send(int socket, Drops& drops) noexcept {
    Sent sent;
    const auto size = std::exchange(size_, 0);
    for (std::size_t i = 0; i < size;) {
        const int count = ::sendmmsg(socket, messages_.data() + i, static_cast<unsigned>(size - i),
                                     MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) {
            for (const auto end = i + static_cast<std::size_t>(count); i < end; ++i)
                sent += {1, payloads_[i]};
            continue;
        }
        if (errno == EINTR) continue;
        const auto why = to_drop(errno);
        // Without room for this one there is none for the next.
        const auto lost = why == Drop::overflow ? size - i : 1;
        drops.count(why, lost);
        i += lost;
    }
    return sent;
}

} // namespace socksify::relay
