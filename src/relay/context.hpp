// What the connections on one io_context share.
#pragma once

#include "relay/batch.hpp"
#include "relay/flow.hpp"
#include "relay/limits.hpp"
#include "relay/log.hpp"
#include "relay/ongoing.hpp"
#include "relay/own_addresses.hpp"
#include "relay/resolver.hpp"
#include "relay/ticker.hpp"
#include "relay/tokens.hpp"
#include "relay/users.hpp"
#include "relay/waiting_peers.hpp"

#include <asio/co_spawn.hpp>

namespace socksify::relay {

struct Context {
    Context(asio::io_context& context, unsigned lookups)
        : io(context), limits(context), ticker(context), users(context), resolver(context, lookups) {}

    asio::io_context& io;
    Log log;
    Limits limits;
    Ticker ticker;
    Users users;
    Tokens tokens;
    Resolver resolver;
    OwnAddresses own_addresses;
    Depot depot;
    WaitingPeers waiting_peers;
    Batch batch;
    std::array<Outbox, 2> outboxes;
    OngoingSet ongoing;
    bool winding_down = false;
    std::uint64_t last_id = 0; ///< of a connection, in the log
};

/// Runs `task` of `owner`, which lives until the task is over. An exception ends the owner's connections, not
/// the relay.
template <class Owner>
void spawn(Context& context, std::shared_ptr<Owner> owner, Task<> task) {
    asio::co_spawn(context.io.get_executor(), std::move(task),
                   [&context, owner](const std::exception_ptr& thrown) {
                       if (!thrown) return;
                       try {
                           std::rethrow_exception(thrown);
                       } catch (const std::exception& error) { // std::bad_alloc, most likely
                           context.log.error("internal_error").add("what", error.what());
                       }
                       owner->close();
                   });
}

} // namespace socksify::relay
