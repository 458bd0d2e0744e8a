#include "relay/drops.hpp"

#include <cerrno>
#include <numeric>

namespace socksify::relay {

Drop to_drop(int error) noexcept {
    switch (error) {
    case EMSGSIZE: return Drop::too_long;
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM: return Drop::overflow;
    default: return Drop::unsent;
    }
}

void Drops::count(Drop why, std::uint64_t datagrams) noexcept {
    all_[static_cast<std::size_t>(why)] += datagrams;
    news_ |= datagrams != 0;
}

std::uint64_t Drops::total() const noexcept {
    return std::accumulate(all_.begin(), all_.end(), std::uint64_t{0});
}

void Drops::tell_news(LogLine& line) {
    for (std::size_t i = 0; i < all_.size(); ++i)
        if (all_[i] != told_[i]) line.add(drop_words[i], all_[i] - told_[i]);
    told_ = all_;
    news_ = false;
}

void Drops::tell(LogLine& line) const {
    for (std::size_t i = 0; i < all_.size(); ++i)
        if (all_[i] != 0) line.add(drop_words[i], all_[i]);
}

} // namespace socksify::relay
