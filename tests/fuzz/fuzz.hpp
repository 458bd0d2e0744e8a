// What a fuzz target claims of whatever it is given.
#pragma once

#include "socksify/bytes.hpp"

#include <cstdlib>
#include <vector>

namespace socksify::fuzz {

using Octets = std::vector<std::uint8_t>;

inline void expect(bool truth) {
    if (!truth) std::abort();
}

/// A copy of its own, of exactly this size: the address sanitizer sees who reads beyond it.
inline Octets copy(Bytes in) { return {in.begin(), in.end()}; }

/// A reader's answer holds for every input that begins alike, and what was read can be written and read
/// again.
template <class Read, class Write>
void check_codec(Read read, Write write, Bytes in) {
    const auto parsed = read(in);
    switch (parsed.outcome) {
    case Outcome::complete: {
        expect(parsed.size > 0 && parsed.size <= in.size());
        const auto alone = copy(in.first(parsed.size));
        expect(read(Bytes(alone)).size == parsed.size);
        const auto cut = copy(in.first(parsed.size - 1));
        expect(read(Bytes(cut)).outcome == Outcome::need_more);
        const auto written = copy(write(parsed.value));
        const auto again = read(Bytes(written));
        expect(again.outcome == Outcome::complete && again.size == written.size());
        expect(copy(write(again.value)) == written);
        return;
    }
    case Outcome::need_more: {
        expect(parsed.size > 0);
        auto more = copy(in);
        more.resize(in.size() + parsed.size - 1);
        expect(read(Bytes(more)).outcome != Outcome::complete); // it lacked at least that much
        return;
    }
    case Outcome::malformed: {
        auto more = copy(in);
        more.resize(in.size() + 600);
        expect(read(Bytes(more)).outcome == Outcome::malformed);
        return;
    }
    }
}

/// Gives out an input from its front: choices first, then what the other side says.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

    std::uint8_t choice() {
        if (rest_.empty()) return 0;
        const auto octet = rest_[0];
        rest_ = rest_.subspan(1);
        return octet;
    }
    [[nodiscard]] Bytes rest() const noexcept { return rest_; }

private:
    Bytes rest_;
};

} // namespace socksify::fuzz
