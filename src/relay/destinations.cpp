#include "relay/destinations.hpp"

#include <algorithm>

namespace socksify::relay {

const Finding* Destinations::find(Bytes key) {
    const auto found = by_key_.find(as_text(key));
    if (found == by_key_.end()) return nullptr;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return &found->second->finding;
}

void Destinations::remember(Bytes key, const Finding& finding) {
    if (const auto found = by_key_.find(as_text(key)); found != by_key_.end()) forget(found->second);
    if (by_use_.size() >= most_) forget(std::prev(by_use_.end()));
    // Wherever memory ends, what is there is whole.
    std::list<Entry> fresh;
    fresh.push_back({std::string(as_text(key)), {{}, Drop::overflow, 0, Clock::time_point::min()}});
    by_key_.emplace(fresh.front().key, fresh.begin());
    by_use_.splice(by_use_.begin(), fresh);
    if (!finding.obstacle) ++answering_[finding.address.address()];
    by_use_.front().finding = finding;
}

void Destinations::forget(Place entry) noexcept {
    if (!entry->finding.obstacle) {
        const auto found = answering_.find(entry->finding.address.address());
        if (--found->second == 0) answering_.erase(found);
    }
    by_key_.erase(entry->key);
    by_use_.erase(entry);
}

std::optional<Bytes> Destinations::name_of(const Udp::endpoint& address) const {
    const auto found = std::find_if(by_use_.begin(), by_use_.end(), [&](const Entry& entry) {
        return entry.key[0] == static_cast<char>(AddressType::domain_name) && !entry.finding.obstacle &&
               entry.finding.address == address;
    });
    if (found == by_use_.end()) return {};
    return as_bytes(found->key);
}

} // namespace socksify::relay
