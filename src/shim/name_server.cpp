#include "shim/name_server.hpp"

#include "shim/dns_exchange.hpp"
#include "shim/resolver.hpp"
#include "sys/internal_fds.hpp"
#include "sys/log.hpp"
#include "sys/real.hpp"
#include "sys/resolv_conf.hpp"
#include "sys/rules.hpp"
#include "sys/socket_options.hpp"

#include <atomic>
#include <memory>

namespace socksify::shim {
namespace {

using sys::Address;

/// What answers come from: a socket on loopback, of each family, made at the first need and kept. Children
/// share it.
struct Answerer {
    int fd;
    Address address;
};
constinit std::atomic<const Answerer*> answerers[2]{nullptr, nullptr}; // AF_INET, AF_INET6

std::atomic<const Answerer*>& place_of(int family) noexcept { return answerers[family == AF_INET6 ? 1 : 0]; }

const Answerer* answerer(int family) {
    auto& place = place_of(family);
    if (const auto* known = place.load()) return known;
    auto mine = std::make_unique<Answerer>();
    mine->fd = real::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (mine->fd < 0) return nullptr;
    const auto address = sys::bind_to_loopback(mine->fd, family);
    if (!address) {
        real::close(mine->fd);
        return nullptr;
    }
    mine->address = *address;
    mine->fd = sys::make_internal(mine->fd);
    const Answerer* none = nullptr;
    if (place.compare_exchange_strong(none, mine.get())) return mine.release();
    sys::close_internal(mine->fd); // another thread was faster
    return none;
}

/// Where `fd` hears us; it gets a port if it has none. Nothing if that can't be told.
std::optional<Address> own_address(int fd, int family) {
    auto own = sys::local_address(fd);
    auto endpoint = own ? sys::to_endpoint(own->get(), own->size) : std::nullopt;
    if (endpoint && endpoint->port == 0) {
        const auto any = *sys::to_address({family == AF_INET6 ? Host::ipv6({}) : Host::ipv4({}), 0}, family);
        if (real::bind(fd, any.get(), any.size) != 0) return {};
        own = sys::local_address(fd);
        endpoint = own ? sys::to_endpoint(own->get(), own->size) : std::nullopt;
    }
    if (!endpoint || !endpoint->host.is_unspecified()) return own;
    return sys::to_address({sys::loopback(family), endpoint->port}, family);
}

/// As a proxy would send it.
void deliver(const Answerer& from, const Address& to, const Endpoint& server, Bytes response) noexcept {
    const auto header = encode(DatagramHeader{0, server});
    const Bytes head = header;
    iovec pieces[2]{{const_cast<std::uint8_t*>(head.data()), head.size()},
                    {const_cast<std::uint8_t*>(response.data()), response.size()}};
    msghdr message{};
    message.msg_name = const_cast<sockaddr*>(to.get());
    message.msg_namelen = to.size;
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    real::sendmsg(from.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

} // namespace

bool is_name_server(const Endpoint& destination) {
    constexpr std::uint16_t dns_port = 53;
    if (destination.port != dns_port || destination.host.is_name()) return false;
    switch (sys::rules().config.dns) {
    case policy::Dns::off: return false;
    case policy::Dns::all: return true;
    case policy::Dns::system: return sys::is_own_name_server(destination.host);
    }
    return false;
}

Verdict<ssize_t> answer_datagram(int fd, const sys::Way& server, const msghdr& message, bool& is_direct) {
    std::vector<std::uint8_t> query;
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
        const auto* octets = static_cast<const std::uint8_t*>(message.msg_iov[i].iov_base);
        query.insert(query.end(), octets, octets + message.msg_iov[i].iov_len);
    }
    using Kind = QuestionOutcome::Kind;
    auto outcome = judge_question(query);
    is_direct = outcome.kind == Kind::forward;
    if (outcome.kind == Kind::no_question || is_direct) return Verdict<ssize_t>::pass();
    const int family = server.to.family();
    const auto* from = answerer(family);
    const auto to = from != nullptr ? own_address(fd, family) : std::nullopt;
    if (!to) return Verdict<ssize_t>::fail(ENETUNREACH);
    sys::log::line(sys::log::Level::info, "%s: a question, answered in its place",
                   server.destination.text().c_str());
    const auto sent = Verdict<ssize_t>::done(static_cast<ssize_t>(query.size()));
    if (outcome.kind == Kind::ask) {
        const auto refusal = outcome.response;
        const auto then = [from, to = *to, at = server.destination, refusal](Bytes response) {
            deliver(*from, to, at, response.empty() ? Bytes(refusal) : response);
        };
        if (ask_resolver_later(query, then)) return sent;
    }
    deliver(*from, *to, server.destination, outcome.response);
    return sent;
}

bool is_answering(const Address& source) noexcept {
    const auto* known = place_of(source.family()).load();
    return known != nullptr && known->address == source;
}

} // namespace socksify::shim
