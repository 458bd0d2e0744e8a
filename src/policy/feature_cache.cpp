#include "policy/feature_cache.hpp"

#include "policy/host_name.hpp"

#include <algorithm>

namespace socksify::policy {
namespace {

constexpr std::uint8_t bit(Scope scope) noexcept {
    return static_cast<std::uint8_t>(1U << static_cast<unsigned>(scope));
}
constexpr std::uint8_t every_scope =
    bit(Scope::client_address) | bit(Scope::authentication_method) | bit(Scope::destination);

/// One host in one spelling: an AF_INET6 socket shows an IPv4 address as a mapped one, and names have
/// capitals.
Host normal(const Host& host) noexcept {
    return host.is_name() ? Host::name(FoldedName(host).text()).value_or(host) : host.unmapped();
}
Circumstances normal(const Circumstances& at) noexcept {
    return {normal(at.client), at.method, normal(at.destination)};
}

/// A lifetime of centuries is a way to say "for ever", not an overflow.
FeatureCache::Time after(FeatureCache::Time now, FeatureCache::Lifetime lifetime) noexcept {
    const auto room = std::chrono::duration_cast<FeatureCache::Lifetime>(FeatureCache::Time::max() - now);
    return lifetime < room ? now + lifetime : FeatureCache::Time::max();
}

} // namespace

/// `other` in any spelling.
bool FeatureCache::Entry::covers(const Circumstances& other) const noexcept {
    if ((scope & bit(Scope::authentication_method)) != 0 && at.method != other.method) return false;
    if ((scope & bit(Scope::destination)) != 0 && !(at.destination == normal(other.destination)))
        return false;
    return (scope & bit(Scope::client_address)) == 0 || at.client == normal(other.client);
}

/// A restriction that the draft does not define depends on we don't know what: all that we can tell apart
/// must be equal.
FeatureCache::Mask FeatureCache::scope_of(const FeatureList& list) {
    Mask mask = 0;
    for (const auto& feature : list.entries()) {
        if (feature.tag != static_cast<std::uint8_t>(Tag::fdl) || feature.subtag != subtag_scope) continue;
        for (const auto octet : feature.value)
            mask |= octet >= 1 && octet <= 3 ? bit(static_cast<Scope>(octet)) : every_scope;
    }
    return mask;
}

Knowledge FeatureCache::find_unlisted(std::size_t upstream, Time now) const noexcept {
    Knowledge known;
    known.pipelining = pipelining_of(upstream, now);
    known.method = last_method(upstream);
    known.generation = generation_;
    if (known.pipelining != Pipelining::unknown) known.until = habits_[upstream].pipelining_expires;
    return known;
}

Knowledge FeatureCache::find(std::size_t upstream, const Circumstances& at, Time now) const {
    auto known = find_unlisted(upstream, now);
    constexpr Mask by_connection = bit(Scope::client_address) | bit(Scope::destination);
    for (const auto& entry : entries_)
        if (entry.upstream == upstream && (entry.scope & by_connection) != 0) known.until = Time::min();
    const auto newest = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& entry) {
        const bool is_knowledge = entry.state == State::listed || entry.state == State::none;
        return entry.upstream == upstream && is_knowledge && now < entry.expires && entry.covers(at);
    });
    if (newest == entries_.rend()) {
        const auto contradicted = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
            return entry.upstream == upstream && entry.state == State::contradicted && now < entry.expires;
        });
        known.until =
            contradicted == entries_.end() ? Time::min() : std::min(known.until, contradicted->expires);
        return known;
    }
    known.known = newest->state == State::none ? Known::none : Known::listed;
    known.features = newest->features;
    known.adopted = newest->adopted;
    known.until = std::min(known.until, newest->expires);
    return known;
}

bool FeatureCache::depends_on(std::size_t upstream, Scope scope) const noexcept {
    return upstream < habits_.size() && (habits_[upstream].scope & bit(scope)) != 0;
}

std::optional<Method> FeatureCache::last_method(std::size_t upstream) const noexcept {
    return upstream < habits_.size() ? habits_[upstream].method : std::nullopt;
}

std::optional<bool> FeatureCache::held_before(std::size_t upstream) const noexcept {
    return upstream < habits_.size() ? habits_[upstream].held : std::nullopt;
}

bool FeatureCache::ask_now(std::size_t upstream, const Circumstances& at, Time now) {
    for (const auto& entry : entries_)
        if (entry.upstream == upstream && now < entry.expires && entry.covers(at)) return false;
    const Mask scope = upstream < habits_.size() ? habits_[upstream].scope : Mask{0};
    add({upstream, after(now, longest_question), scope, State::asked, nullptr, normal(at)}, now);
    return true;
}

void FeatureCache::give_back(std::size_t upstream, const Circumstances& at) {
    std::erase_if(entries_, [&](const Entry& entry) {
        return entry.upstream == upstream && entry.state == State::asked && entry.covers(at);
    });
}

void FeatureCache::give_back_all() noexcept {
    std::erase_if(entries_, [](const Entry& entry) { return entry.state == State::asked; });
}

void FeatureCache::remember(std::size_t upstream, const Circumstances& at, FeatureList list, Time now,
                            Lifetime lifetime) {
    auto& habits = habits_of(upstream);
    habits.scope = scope_of(list);
    habits.method = at.method;
    habits.held = list.persistent();
    Entry answer{upstream,
                 after(now, lifetime),
                 habits.scope,
                 State::listed,
                 std::make_shared<const FeatureList>(std::move(list)),
                 normal(at)};
    std::erase_if(entries_, [&](const Entry& entry) {
        return entry.upstream == upstream && (entry.covers(answer.at) || answer.covers(entry.at));
    });
    add(std::move(answer), now);
}

void FeatureCache::remember_none(std::size_t upstream, Time now, Lifetime lifetime) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.upstream == upstream; });
    add({upstream, after(now, lifetime), 0, State::none, nullptr, {}}, now);
}

void FeatureCache::remember_pipelining(std::size_t upstream, Pipelining seen, Method method, Time now,
                                       Lifetime lifetime) {
    ++generation_;
    auto& habits = habits_of(upstream);
    habits.method = method;
    habits.pipelining = seen;
    habits.pipelining_expires = after(now, lifetime);
}

Pipelining FeatureCache::pipelining_of(std::size_t upstream, Time now) const noexcept {
    if (upstream >= habits_.size() || now >= habits_[upstream].pipelining_expires) return Pipelining::unknown;
    return habits_[upstream].pipelining;
}

Learnt FeatureCache::learnt(std::size_t upstream, Time now) const {
    Learnt all;
    const auto habits = upstream < habits_.size() ? habits_[upstream] : Habits{};
    all.at.method = habits.method.value_or(Method::none);
    auto expires = Time::max();
    if (habits.pipelining != Pipelining::unknown && now < habits.pipelining_expires) {
        all.pipelining = habits.pipelining;
        expires = habits.pipelining_expires;
    }
    const auto newest = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& entry) {
        const bool is_knowledge = entry.state == State::listed || entry.state == State::none;
        return entry.upstream == upstream && is_knowledge && now < entry.expires &&
               (entry.scope & bit(Scope::destination)) == 0;
    });
    if (newest != entries_.rend()) {
        all.known = newest->state == State::none ? Known::none : Known::listed;
        all.features = newest->features;
        all.at.client = newest->at.client;
        if (newest->state == State::listed) all.at.method = newest->at.method;
        expires = std::min(expires, newest->expires);
    }
    if (all.known != Known::unknown || all.pipelining != Pipelining::unknown)
        all.left = std::chrono::floor<Lifetime>(expires - now);
    return all;
}

void FeatureCache::adopt(std::size_t upstream, const Learnt& learnt, Time now) {
    if (learnt.pipelining != Pipelining::unknown)
        remember_pipelining(upstream, learnt.pipelining, learnt.at.method, now, learnt.left);
    switch (learnt.known) {
    case Known::unknown: return;
    case Known::none: remember_none(upstream, now, learnt.left); break;
    case Known::listed: remember(upstream, learnt.at, *learnt.features, now, learnt.left); break;
    }
    entries_.back().adopted = true;
}

void FeatureCache::disown(std::size_t upstream) {
    ++generation_;
    std::erase_if(entries_, [&](const Entry& e) { return e.upstream == upstream && e.adopted; });
}

bool FeatureCache::try_now(std::size_t upstream, Time now) {
    auto& habits = habits_of(upstream);
    if (pipelining_of(upstream, now) != Pipelining::unknown || now < habits.trial_expires) return false;
    habits.trial_expires = after(now, longest_question);
    return true;
}

FeatureCache::Habits& FeatureCache::habits_of(std::size_t upstream) {
    if (upstream >= habits_.size()) habits_.resize(upstream + 1);
    return habits_[upstream];
}

void FeatureCache::forget(std::size_t upstream, Time now) {
    ++generation_;
    auto until = now;
    for (const auto& entry : entries_)
        if (entry.upstream == upstream && entry.state != State::asked) until = std::max(until, entry.expires);
    std::erase_if(entries_, [&](const Entry& entry) {
        return entry.upstream == upstream && entry.state != State::asked;
    });
    if (until > now) add({upstream, until, 0, State::contradicted, nullptr, {}}, now);
}

void FeatureCache::remember_refusal(std::size_t upstream, Command command, Time now, Lifetime lifetime) {
    std::erase_if(refusals_, [&](const Refusal& old) {
        return now >= old.expires || (old.upstream == upstream && old.command == command);
    });
    refusals_.push_back({upstream, command, after(now, lifetime)});
}

bool FeatureCache::is_refused(std::size_t upstream, Command command, Time now) const noexcept {
    return std::any_of(refusals_.begin(), refusals_.end(), [&](const Refusal& known) {
        return known.upstream == upstream && known.command == command && now < known.expires;
    });
}

void FeatureCache::add(Entry entry, Time now) {
    ++generation_;
    std::erase_if(entries_, [&](const Entry& old) { return now >= old.expires; });
    if (entries_.size() >= most_entries) entries_.erase(entries_.begin());
    entries_.push_back(std::move(entry));
}

} // namespace socksify::policy
