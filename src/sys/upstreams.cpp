#include "sys/upstreams.hpp"

#include "sys/keep_errno.hpp"
#include "sys/real.hpp"
#include "sys/signals_held.hpp"
#include "sys/socket_options.hpp"

#include <algorithm>
#include <array>
#include <atomic>

namespace socksify::sys::upstreams {
namespace {

constexpr auto address_lifetime = std::chrono::minutes(1);
constexpr auto down_time = std::chrono::seconds(10);
constexpr std::size_t most_remembered = 64;

struct Resolved {
    Endpoint of;
    std::vector<Endpoint> addresses;
    Clock::time_point expires;
};

constinit Mutex mutex{LockRank::upstreams};
constinit std::vector<Resolved>* resolved = nullptr; // under mutex; never destroyed

constexpr std::size_t most_upstreams = 64; // those beyond are never taken for down
constinit std::array<std::atomic<Clock::rep>, most_upstreams> down_until{};

std::vector<Endpoint> resolve(const Endpoint& endpoint) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    std::vector<Endpoint> found;
    const SignalsOpen may_wait;
    if (real::getaddrinfo(endpoint.host.text().c_str(), nullptr, &hints, &list) != 0) return found;
    for (const auto* entry = list; entry != nullptr; entry = entry->ai_next)
        if (auto address = to_endpoint(entry->ai_addr, entry->ai_addrlen)) {
            address->port = endpoint.port;
            found.push_back(*address);
        }
    real::freeaddrinfo(list);
    return found;
}

} // namespace

namespace {

/// Under the lock. Null if there is none that is still good.
const Resolved* find(const Endpoint& endpoint) noexcept {
    if (resolved == nullptr) return nullptr;
    const auto now = Clock::now();
    const auto at = std::find_if(resolved->begin(), resolved->end(), [&](const Resolved& entry) {
        return entry.of == endpoint && entry.expires > now;
    });
    return at != resolved->end() ? &*at : nullptr;
}

} // namespace

bool are_known(const Endpoint& endpoint) noexcept {
    if (!endpoint.host.is_name()) return true;
    const std::lock_guard lock(mutex);
    return find(endpoint) != nullptr;
}

std::vector<Endpoint> addresses(const Endpoint& endpoint) {
    if (!endpoint.host.is_name()) return {endpoint};
    {
        const std::lock_guard lock(mutex);
        if (const auto* known = find(endpoint)) return known->addresses;
    }
    auto found = resolve(endpoint);
    if (found.empty()) return found;
    const std::lock_guard lock(mutex);
    if (resolved == nullptr) resolved = new std::vector<Resolved>;
    std::erase_if(*resolved, [&](const Resolved& entry) { return entry.of == endpoint; });
    if (resolved->size() >= most_remembered) resolved->erase(resolved->begin());
    resolved->push_back({endpoint, found, Clock::now() + address_lifetime});
    return found;
}

bool is_known_address(const Host& host, std::uint16_t port, const Endpoint& endpoint) noexcept {
    if (port != endpoint.port) return false;
    if (!host.is_name()) return host == endpoint.host;
    const std::lock_guard lock(mutex);
    if (resolved == nullptr) return false;
    return std::any_of(resolved->begin(), resolved->end(), [&](const Resolved& entry) {
        return entry.of.host == host && entry.of.port == port &&
               std::find(entry.addresses.begin(), entry.addresses.end(), endpoint) != entry.addresses.end();
    });
}

Host source_address_for(const Endpoint& to) noexcept {
    const KeepErrno keep;
    const int domain = to.host.type() == AddressType::ipv6 ? AF_INET6 : AF_INET;
    const auto address = to_address(to, domain);
    const int fd = address ? real::socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) return {};
    const auto found = real::connect(fd, address->get(), address->size) == 0 ? local_host(fd) : Host{};
    real::close(fd);
    return found;
}

void mark_down(std::size_t upstream) noexcept {
    if (upstream < most_upstreams)
        down_until[upstream].store((Clock::now() + down_time).time_since_epoch().count());
}

void mark_up(std::size_t upstream) noexcept {
    if (upstream < most_upstreams) down_until[upstream].store(0);
}

bool is_down(std::size_t upstream) noexcept {
    if (upstream >= most_upstreams) return false;
    const auto until = down_until[upstream].load();
    return until != 0 && Clock::now().time_since_epoch().count() < until;
}

namespace detail {

constinit Mutex features_mutex{LockRank::features};

Learnt& learnt() {
    static constinit Learnt* all = nullptr; // never destroyed: threads may ask while the process exits
    if (all == nullptr) {
        all = new Learnt;
        // The claims in a forked copy are the parent's.
        at_fork_in_child([] { all->features.give_back_all(); });
    }
    return *all;
}

} // namespace detail

} // namespace socksify::sys::upstreams
