#include "shim/arrival.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace socksify::shim {

std::size_t size_of(const iovec* pieces, std::size_t count) noexcept {
    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i) size += pieces[i].iov_len;
    return size;
}

void Arrival::expect(const msghdr& message, std::size_t expected) {
    const auto own = static_cast<std::size_t>(message.msg_iovlen);
    expected_ = expected;
    room_ = size_of(message.msg_iov, own);
    count_ = own + 2;
    if (count_ > few) many_.resize(count_);
    pieces_ = count_ > few ? many_.data() : few_.data();
    pieces_[0] = {head_.data(), expected};
    std::copy_n(message.msg_iov, own, pieces_ + 1);
    pieces_[count_ - 1] = {tail_.data(), tail_.size()};
}

Bytes Arrival::begin(std::size_t size, Beginning& into) const noexcept {
    const std::size_t of_address = expected_ < 10 ? 0 : head_[3] == 1 ? 10 : head_[3] == 4 ? 22 : 0;
    if (of_address > 0 && expected_ >= of_address && size >= of_address)
        return Bytes(head_).first(of_address);
    const auto wanted = std::min({size, into.size(), expected_ + room_ + tail_.size()});
    std::size_t done = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        const auto some = std::min(pieces_[i].iov_len, wanted - done);
        if (some > 0) std::memcpy(into.data() + done, pieces_[i].iov_base, some);
        done += some;
    }
    return Bytes(into).first(done);
}

void Arrival::settle(std::size_t size, std::size_t header) {
    if (header == expected_) return;
    const auto arrived = std::min(size, expected_ + room_ + tail_.size());
    if (count_ == 3) { // the program's is one piece: in place
        auto* own = static_cast<std::uint8_t*>(pieces_[1].iov_base);
        const auto in_own = std::min(arrived - std::min(arrived, expected_), room_);
        if (header > expected_) {
            const auto shift = std::min(header - expected_, in_own);
            const auto behind = arrived - std::min(arrived, expected_ + room_);
            const auto skipped =
                std::min(header - expected_ - shift, behind); // of a header that went on there
            const auto kept = in_own - shift;
            if (kept > 0) std::memmove(own, own + shift, kept);
            const auto more = std::min(room_ - kept, behind - skipped);
            if (more > 0) std::memcpy(own + kept, tail_.data() + skipped, more);
        } else {
            const auto before =
                std::min(expected_, arrived) - std::min(header, arrived); // payload in `head_`
            const auto shift = std::min(before, room_);
            const auto kept = std::min(in_own, room_ - shift);
            if (kept > 0) std::memmove(own + shift, own, kept);
            if (shift > 0) std::memcpy(own, head_.data() + header, shift);
        }
        return;
    }
    std::vector<std::uint8_t> all;
    all.reserve(arrived);
    for (std::size_t i = 0; i < count_; ++i) {
        const auto* octets = static_cast<const std::uint8_t*>(pieces_[i].iov_base);
        all.insert(all.end(), octets, octets + std::min(pieces_[i].iov_len, arrived - all.size()));
    }
    auto left = std::span(all).subspan(std::min(header, all.size()));
    for (std::size_t i = 1; i + 1 < count_ && !left.empty(); ++i) {
        const auto some = std::min(pieces_[i].iov_len, left.size());
        if (some > 0) std::memcpy(pieces_[i].iov_base, left.data(), some);
        left = left.subspan(some);
    }
}

} // namespace socksify::shim
