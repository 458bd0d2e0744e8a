#include "relay/open_port.hpp"

#include "relay/fd.hpp"

#include <algorithm>
#include <random>
#include <sys/socket.h>
#include <system_error>

namespace socksify::relay {
namespace {

/// How many ports are tried when those that the kernel gives are not for this client.
constexpr unsigned most_tries = 256;

std::optional<Host> of_family(const std::vector<Host>& hosts, AddressType family) {
    for (const auto& host : hosts)
        if (host.type() == family) return host;
    return {};
}

NotConnected failure_of(int error) {
    const auto reply = [error] {
        switch (error) {
        case EADDRINUSE: return Reply::port_in_use;
        case EACCES: return Reply::port_not_permitted;
        case EAFNOSUPPORT: return Reply::address_type_not_supported;
        default: return Reply::general_failure;
        }
    };
    return {reply(), std::generic_category().message(error)};
}

bool is_permitted(const Config& config, const Caller& caller, const PortWish& wish, std::uint16_t port) {
    const auto& ranges = config.inbound.ports;
    if (std::none_of(ranges.begin(), ranges.end(), [port](auto range) { return range.contains(port); }))
        return false;
    const auto judged = [&](const Host& peer, const std::optional<Host>& address) {
        return config.rules.judge(caller, Wanted{{peer, port}, address, false}) != Verdict::deny;
    };
    if (wish.peers.empty())
        return judged(wish.family == AddressType::ipv4 ? Host::ipv4({}) : Host::ipv6({}), {});
    return std::any_of(wish.peers.begin(), wish.peers.end(),
                       [&](const Host& peer) { return judged(peer, peer); });
}

/// A socket that listens there, or an errno.
tl::expected<Fd, int> listen_at(const Tcp::endpoint& where, bool dual, unsigned backlog) {
    Fd fd(::socket(where.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return tl::unexpected(errno);
    const int on = 1;
    const int only = dual ? 0 : 1;
    send_at_once(fd.get());
    // So that a port can be listened on again at once, after the peer of a BIND has come.
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (where.protocol() == Tcp::v6()) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    if (::bind(fd.get(), where.data(), static_cast<socklen_t>(where.size())) != 0)
        return tl::unexpected(errno);
    if (::listen(fd.get(), static_cast<int>(backlog)) != 0) return tl::unexpected(errno);
    return fd;
}

std::optional<Tcp::endpoint> own_end(int fd) {
    Tcp::endpoint where;
    auto size = static_cast<socklen_t>(where.capacity());
    if (getsockname(fd, where.data(), &size) != 0) return {};
    where.resize(size);
    return where;
}

/// The address that this host has on the way there. Nothing is sent.
std::optional<Host> source_towards(const Host& destination) {
    const auto to = to_asio(Endpoint{destination, 9});
    const Fd probe(::socket(to.protocol().family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!probe || ::connect(probe.get(), to.data(), static_cast<socklen_t>(to.size())) != 0) return {};
    const auto own = own_end(probe.get());
    if (!own) return {};
    return from_asio(*own).host;
}

/// A root name server: far away from nearly everybody.
Host far_away(AddressType family) {
    if (family == AddressType::ipv4) return Host::ipv4({198, 41, 0, 4});
    return Host::ipv6({0x20, 0x01, 0x05, 0x03, 0xba, 0x3e, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0x30});
}

/// Of `family`; nothing if this host has no address there that could be told.
std::optional<Host> told_address(const Config& config, const Socket& client, const PortWish& wish,
                                 AddressType family) {
    if (const auto host = of_family(config.inbound.advertise, family); host && !host->is_unspecified())
        return host;
    if (const auto host = of_family(config.inbound.address, family); host && !host->is_unspecified())
        return host;
    if (const auto host = source_towards(wish.peers.empty() ? far_away(family) : wish.peers.front()))
        return host;
    ErrorCode error;
    const auto reached = from_asio(client.local_endpoint(error)).host;
    if (!error && reached.type() == family) return reached;
    return {};
}

/// Any port that is permitted. The kernel knows best which are free; but where rules leave few, its choice is
/// none of them.
template <class Listen>
tl::expected<Fd, int> listen_at_any(const Config& config, const Caller& caller, const PortWish& wish,
                                    const Listen& listen) {
    auto fd = listen(0);
    if (!fd) return fd;
    if (const auto own = own_end(fd->get()); own && is_permitted(config, caller, wish, own->port()))
        return fd;
    std::vector<std::uint16_t> ports;
    for (const auto range : config.inbound.ports)
        for (unsigned port = range.first; port <= range.last; ++port)
            if (is_permitted(config, caller, wish, static_cast<std::uint16_t>(port)))
                ports.push_back(static_cast<std::uint16_t>(port));
    if (ports.empty()) return tl::unexpected(EACCES);
    std::minstd_rand random(std::random_device{}());
    std::shuffle(ports.begin(), ports.end(), random);
    if (ports.size() > most_tries) ports.resize(most_tries);
    int error = EADDRINUSE;
    for (const auto port : ports) {
        fd = listen(port);
        if (fd) return fd;
        error = fd.error();
        if (error != EADDRINUSE && error != EACCES) break;
    }
    return tl::unexpected(error);
}

} // namespace

Task<tl::expected<PortWish, NotConnected>> wish_of(Context& context, std::shared_ptr<const Config> config,
                                                   Endpoint destination) {
    PortWish wish;
    wish.port = destination.port;
    const auto& host = destination.host;
    if (host.is_unspecified()) {
        wish.family = host.type();
        co_return wish;
    }
    const auto literal = (host.is_name() ? Host::parse(host.name()).value_or(host) : host).unmapped();
    if (!literal.is_name()) {
        wish.family = literal.type();
        wish.peers = {literal};
        co_return wish;
    }
    if (!config->features.names)
        co_return tl::unexpected(NotConnected{Reply::address_type_not_supported, "names are switched off"});
    std::string name(host.name());
    auto answer =
        co_await context.resolver.resolve(config, std::move(name), Clock::now() + config->timeouts.connect);
    if (answer.addresses.empty())
        co_return tl::unexpected(NotConnected{Reply::host_unreachable, std::string(answer.failure)});
    wish.family = answer.addresses.front().unmapped().type();
    for (const auto& address : answer.addresses)
        if (address.unmapped().type() == wish.family) wish.peers.push_back(address.unmapped());
    co_return wish;
}

tl::expected<OpenPort, NotConnected> open_port(Context& context, const Config& config, const Caller& caller,
                                               const Socket& client, const PortWish& wish) {
    const bool is_v4 = wish.family == AddressType::ipv4;
    const auto address = of_family(config.inbound.address, wish.family);
    if (!(is_v4 ? config.features.ipv4 : config.features.ipv6) || !address)
        return tl::unexpected(
            NotConnected{Reply::address_type_not_supported, "address type is switched off"});
    const auto v4 = of_family(config.inbound.address, AddressType::ipv4);
    const bool dual = !is_v4 && wish.peers.empty() && config.features.ipv4 && address->is_unspecified() &&
                      v4 && v4->is_unspecified();

    const auto listen = [&](std::uint16_t port) {
        return listen_at(to_asio(Endpoint{*address, port}), dual, config.limits.backlog);
    };
    tl::expected<Fd, int> fd = tl::unexpected(EACCES);
    if (wish.port != 0 && is_permitted(config, caller, wish, wish.port)) fd = listen(wish.port);
    if (!fd && (wish.port == 0 || !wish.exactly)) fd = listen_at_any(config, caller, wish, listen);
    if (!fd) return tl::unexpected(failure_of(fd.error()));
    const auto own = own_end(fd->get());
    if (!own) return tl::unexpected(failure_of(errno));

    auto told = told_address(config, client, wish, wish.family);
    if (!told && dual) told = told_address(config, client, wish, AddressType::ipv4);
    OpenPort out{Acceptor(context.io.get_executor()), {told.value_or(*address), own->port()}};
    ErrorCode error;
    out.acceptor.assign(own->protocol(), fd->get(), error);
    if (error) return tl::unexpected(failure_of(error.value()));
    fd->release();
    return out;
}

bool may_come(const Config& config, const Caller& caller, const std::vector<Host>& peers, const Host& peer,
              std::uint16_t port) {
    if (!peers.empty() && std::find(peers.begin(), peers.end(), peer) == peers.end()) return false;
    return config.rules.judge(caller, Wanted{{peer, port}, peer, false}) == Verdict::allow;
}

Reply plain(Reply reply) noexcept {
    switch (reply) {
    case Reply::port_not_permitted: return Reply::not_allowed_by_ruleset;
    case Reply::port_in_use:
    case Reply::no_such_peer:
    case Reply::session_required:
    case Reply::too_many: return Reply::general_failure;
    default: return reply;
    }
}

} // namespace socksify::relay
