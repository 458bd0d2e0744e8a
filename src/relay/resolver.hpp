// Names to addresses. Asio's own resolver has one thread, so one dead name server would stop all look-ups:
// this one has as many as the configuration says.
#pragma once

#include "relay/config.hpp"
#include "relay/pool.hpp"

namespace socksify::relay {

class Resolver {
public:
    Resolver(asio::io_context& io, unsigned threads) : pool_(io, threads) {}

    /// The addresses in the order in which they should be tried (RFC 6724; RFC 8305 §4: the families
    /// alternate), none twice, of the families that `features` has. Of a name in `hosts`: those, IPv6 first.
    /// Empty if there are none, whatever the reason; `failure` says it for the log.
    struct Answer {
        std::vector<Host> addresses;
        std::string_view failure;
    };
    Task<Answer> resolve(std::shared_ptr<const Config> config, std::string name, Clock::time_point deadline);

    [[nodiscard]] bool busy() const noexcept { return pool_.busy(); }

private:
    Pool pool_;
};

/// The families in turn, beginning with that of the first, each in its order (RFC 8305 §4).
std::vector<Host> alternate_families(const std::vector<Host>& addresses);

} // namespace socksify::relay
