#include "policy/session_cache.hpp"

namespace socksify::policy {

SessionCache::Entry& SessionCache::entry_of(std::size_t upstream) {
    if (upstream >= entries_.size()) entries_.resize(upstream + 1);
    return entries_[upstream];
}

std::shared_ptr<Session> SessionCache::find(std::size_t upstream, Time now) const {
    if (upstream >= entries_.size() || now >= entries_[upstream].until) return nullptr;
    return entries_[upstream].session;
}

bool SessionCache::open_now(std::size_t upstream, Time now) {
    auto& entry = entry_of(upstream);
    if (entry.connects < connects_before) ++entry.connects;
    if (entry.connects < connects_before || now < entry.ask_from || find(upstream, now)) return false;
    entry.ask_from = now + longest_question;
    return true;
}

std::shared_ptr<Session> SessionCache::opened(std::size_t upstream, const SessionGrant& grant) {
    auto& entry = entry_of(upstream);
    entry.session = std::make_shared<Session>(grant.token);
    entry.until = Time::max();
    entry.lifetime = Lifetime(grant.lifetime);
    return entry.session;
}

void SessionCache::failed(std::size_t upstream, Time now) {
    entry_of(upstream).ask_from = now + after_failure;
}

void SessionCache::control_ended(std::size_t upstream, const std::shared_ptr<Session>& session, Time now) {
    auto& entry = entry_of(upstream);
    if (entry.session != session) return;
    entry.until = now + entry.lifetime;
    entry.ask_from = now;
}

void SessionCache::refused(std::size_t upstream, const std::shared_ptr<Session>& session, Time now) {
    session->is_refused.store(true);
    auto& entry = entry_of(upstream);
    if (entry.session != session) return;
    entry.session = nullptr;
    entry.ask_from = now + (session->has_worked.load() ? after_refusal : after_failure);
}

void SessionCache::leave_to_parent() noexcept {
    for (auto& entry : entries_)
        if (!entry.session) entry.ask_from = {};
}

} // namespace socksify::policy
