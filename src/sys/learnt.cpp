#include "sys/learnt.hpp"

#include "policy/proxy_store.hpp"
#include "sys/log.hpp"
#include "sys/shared_block.hpp"
#include "sys/upstreams.hpp"

namespace socksify::sys::learnt {
namespace {

using policy::ProxyStore;

constinit SharedBlock block("socksify-proxies", ProxyStore::octets_needed());

/// The store for one look into it, once in a process for most.
struct Visit {
    Visit() noexcept = default;
    ~Visit() { block.let_pages_go(); }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

    ProxyStore store = content_of<ProxyStore>(block);
};

std::chrono::seconds wall_clock() noexcept {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
}

} // namespace

std::optional<policy::Learnt> look_up(const policy::Upstream& upstream) {
    return Visit().store.find(policy::store_key(upstream), wall_clock());
}

bool recall(const policy::Config& config, std::size_t upstream) {
    if (config.learnt_by == policy::LearntBy::process) return false;
    const auto learnt = look_up(config.upstreams[upstream]);
    if (!learnt) return false;
    log::line(log::Level::info, "%s: known from another process", config.upstreams[upstream].name.c_str());
    upstreams::with_features([&](auto& cache) { cache.adopt(upstream, *learnt, upstreams::Clock::now()); });
    return true;
}

void share(const policy::Config& config, std::size_t upstream) {
    if (config.learnt_by == policy::LearntBy::process) return;
    const auto learnt = upstreams::with_features(
        [&](const auto& cache) { return cache.learnt(upstream, upstreams::Clock::now()); });
    Visit().store.put(policy::store_key(config.upstreams[upstream]), learnt, wall_clock());
}

} // namespace socksify::sys::learnt
