#include "relay/connect.hpp"

#include "relay/race.hpp"
#include "relay/reach.hpp"

#include <system_error>

namespace socksify::relay {
namespace {

NotConnected not_connected(Reply reply, std::string_view why) { return {reply, std::string(why)}; }

NotConnected not_connected(Obstacle obstacle) {
    switch (obstacle) {
    case Obstacle::switched_off:
        return not_connected(Reply::address_type_not_supported, "address type is switched off");
    case Obstacle::no_address: return not_connected(Reply::not_allowed_by_ruleset, "no address");
    case Obstacle::denied: return not_connected(Reply::not_allowed_by_ruleset, "denied by a rule");
    }
    return {};
}

} // namespace

Task<ConnectResult> connect_to(Context& context, std::shared_ptr<const Config> config, Host client,
                               std::string user, Endpoint destination) {
    const Caller caller{client, user};
    const auto deadline = Clock::now() + config->timeouts.connect;
    const auto literal = look_at(*config, caller, destination);
    if (!literal) co_return tl::unexpected(not_connected(literal.error()));
    std::vector<Host> addresses;
    if (*literal) {
        addresses.push_back(**literal);
    } else {
        std::string name(destination.host.name());
        auto answer = co_await context.resolver.resolve(config, std::move(name), deadline);
        if (answer.addresses.empty())
            co_return tl::unexpected(not_connected(Reply::host_unreachable, answer.failure));
        addresses = std::move(answer.addresses);
    }

    std::vector<Tcp::endpoint> allowed;
    for (const auto& address : addresses)
        if (may_reach(context, *config, caller, destination, address))
            allowed.push_back(to_asio({address.unmapped(), destination.port}));
    if (allowed.empty())
        co_return tl::unexpected(not_connected(Reply::not_allowed_by_ruleset, "address denied by a rule"));

    const auto only = allowed.size() == 1 ? std::optional(from_asio(allowed.front())) : std::nullopt;
    auto winner = co_await Race::run(context.io.get_executor(), std::move(allowed), deadline);
    if (!winner)
        co_return tl::unexpected(
            not_connected(to_reply(winner.error()), std::generic_category().message(winner.error())));
    ErrorCode gone;
    send_at_once(winner->native_handle());
    const auto address = only ? *only : from_asio(winner->remote_endpoint(gone));
    co_return Connected{std::move(*winner), address};
}

} // namespace socksify::relay
