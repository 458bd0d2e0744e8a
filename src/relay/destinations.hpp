// The destinations of one association: where what is sent to them goes, or why it doesn't, so that rules and
// resolver are not asked for each datagram; and with that, who may answer.
//
// A destination is known by ATYP, ADDR and PORT as they stand in the header of RFC 1928 §7, so that a
// datagram to a known one is not even parsed any further. The number of them is limited: a new one takes the
// place of that which was not sent to for the longest time. Answers may come from each address that is sent
// to, whatever their port (address-restricted, as RFC 4787 §5 calls it): servers of TFTP answer from another
// one.
#pragma once

#include "relay/drops.hpp"
#include "relay/io.hpp"

#include <list>
#include <optional>
#include <unordered_map>

namespace socksify::relay {

/// What has been found out about a destination.
struct Finding {
    Udp::endpoint address;        ///< unless `obstacle`
    std::optional<Drop> obstacle; ///< why nothing is sent there
    unsigned generation = 0;      ///< of the relay's own addresses, which it hangs on too (own_addresses.hpp)
    Clock::time_point until = Clock::time_point::max(); ///< when it is to be found out anew
};

class Destinations {
public:
    explicit Destinations(std::size_t most) noexcept : most_(most) {}
    Destinations(const Destinations&) = delete;
    Destinations& operator=(const Destinations&) = delete;

    /// What is remembered of `key`, which has been sent to now; valid until the next `remember`.
    const Finding* find(Bytes key);
    /// In place of what was remembered of it.
    void remember(Bytes key, const Finding& finding);

    [[nodiscard]] bool may_answer(const asio::ip::address& address) const {
        return answering_.contains(address);
    }
    /// The name by which this one was sent to last, as ATYP, ADDR and PORT. Slow; for tests of clients.
    [[nodiscard]] std::optional<Bytes> name_of(const Udp::endpoint& address) const;
    [[nodiscard]] std::size_t size() const noexcept { return by_use_.size(); }

private:
    struct Entry {
        std::string key;
        Finding finding;
    };
    using Place = std::list<Entry>::iterator;
    void forget(Place entry) noexcept;

    std::size_t most_;
    std::list<Entry> by_use_;                            ///< the last one used first
    std::unordered_map<std::string_view, Place> by_key_; ///< views of the entries' own keys
    std::unordered_map<asio::ip::address, std::size_t>
        answering_; ///< how many destinations have this address
};

} // namespace socksify::relay
