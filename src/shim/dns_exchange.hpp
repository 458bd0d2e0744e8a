// Questions that the name pool can't answer (MX, SRV, TXT, …), put to the DNS server that the rules name, by
// the way that the rules have for it: DNS over TCP (RFC 7766), through the proxy.
#pragma once

#include "socksify/endpoint.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace socksify::shim {

struct DnsExchange {
    enum class Outcome : std::uint8_t {
        no_resolver, ///< the rules name none
        failed,      ///< it could not be reached, or did not answer in time
        answered,
    };
    Outcome outcome = Outcome::no_resolver;
    std::vector<std::uint8_t> response; ///< a whole message that answers to the query's ID
};

/// The same by the worker. `then` is called once with the response, or with nothing, on the worker's thread.
/// False if there can be no worker, or no resolver is named; then it is not called.
bool ask_resolver_later(Bytes query, std::function<void(Bytes response)> then);
/// The same, of `server`, and directly.
bool ask_server_later(const Endpoint& server, Bytes query, std::function<void(Bytes response)> then);

/// Waits for it, on the caller's thread. `query` is a whole message of at least a header.
DnsExchange ask_resolver(Bytes query);

} // namespace socksify::shim
