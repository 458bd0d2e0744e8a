// From a destination to a connection: the rules, the name, the rules again on each address, the race.
#pragma once

#include "relay/context.hpp"

namespace socksify::relay {

struct Connected {
    Socket socket;
    Endpoint address;
};

/// Why there is no connection: for the client, and for the log.
struct NotConnected {
    Reply reply = Reply::general_failure;
    std::string why;
};

using ConnectResult = tl::expected<Connected, NotConnected>;

/// `user` is the caller's name, empty if it has none.
Task<ConnectResult> connect_to(Context& context, std::shared_ptr<const Config> config, Host client,
                               std::string user, Endpoint destination);

} // namespace socksify::relay
