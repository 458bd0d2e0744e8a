#include "relay/connect.hpp"

#include "relay/race.hpp"

#include <system_error>

namespace socksify::relay {
namespace {

NotConnected not_connected(Reply reply, std::string_view why) { return {reply, std::string(why)}; }

bool is_switched_on(AddressType type, const Offered& features) noexcept {
    switch (type) {
    case AddressType::ipv4: return features.ipv4;
    case AddressType::domain_name: return features.names;
    case AddressType::ipv6: return features.ipv6;
    }
    return false;
}

} // namespace

Task<ConnectResult> connect_to(Context& context, std::shared_ptr<const Config> config, Host client,
                               std::string user, Endpoint destination) {
    const Caller caller{client, user};
    const auto deadline = Clock::now() + config->timeouts.connect;
    if (!is_switched_on(destination.host.type(), config->features))
        co_return tl::unexpected(
            not_connected(Reply::address_type_not_supported, "address type is switched off"));
    // The kernel takes 0.0.0.0 for this host. An empty name is read as 0.0.0.0 too.
    if (destination.host.is_unspecified())
        co_return tl::unexpected(not_connected(Reply::not_allowed_by_ruleset, "no address"));

    std::vector<Host> addresses;
    const auto literal = Host::parse(destination.host.text()).value_or(destination.host).unmapped();
    if (!literal.is_name()) {
        if (!is_switched_on(literal.type(), config->features))
            co_return tl::unexpected(
                not_connected(Reply::address_type_not_supported, "address type is switched off"));
        addresses.push_back(literal);
    } else {
        if (config->rules.judge(caller, Wanted{destination, {}, false}) == Verdict::deny)
            co_return tl::unexpected(not_connected(Reply::not_allowed_by_ruleset, "denied by a rule"));
        std::string name(destination.host.name());
        auto answer = co_await context.resolver.resolve(config, std::move(name), deadline);
        if (answer.addresses.empty())
            co_return tl::unexpected(not_connected(Reply::host_unreachable, answer.failure));
        addresses = std::move(answer.addresses);
    }

    std::vector<Tcp::endpoint> allowed;
    for (const auto& address : addresses) {
        const bool guarded =
            config->guard_own_host && (is_own_by_nature(address) || context.own_addresses.contains(address));
        if (!address.is_unspecified() &&
            config->rules.judge(caller, Wanted{destination, address, guarded}) == Verdict::allow)
            allowed.push_back(to_asio({address.unmapped(), destination.port}));
    }
    if (allowed.empty())
        co_return tl::unexpected(not_connected(Reply::not_allowed_by_ruleset, "address denied by a rule"));

    auto winner = co_await Race::run(context.io.get_executor(), std::move(allowed), deadline);
    if (!winner)
        co_return tl::unexpected(
            not_connected(to_reply(winner.error()), std::generic_category().message(winner.error())));
    ErrorCode gone;
    const auto address = from_asio(winner->remote_endpoint(gone));
    co_return Connected{std::move(*winner), address};
}

} // namespace socksify::relay
