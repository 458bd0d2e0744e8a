// What a Dial knows of its proxy: what it asks the feature cache before a connection, and tells it after.
#include "shim/dial.hpp"

#include "shim/held.hpp"
#include "socksify/listen.hpp"
#include "sys/learnt.hpp"
#include "sys/log.hpp"
#include "sys/sessions.hpp"
#include "sys/socket_options.hpp"
#include "sys/upstreams.hpp"

#include <algorithm>

namespace socksify::shim {

namespace log = sys::log;
namespace upstreams = sys::upstreams;
using log::Level;

/// DST of UDP ASSOCIATE is where datagrams will come from, and zeros where that is not known. Some servers
/// open their socket in its family (doc/wire.md), so it is the family of the connection.
void Dial::set_datagram_source() {
    const bool is_v6 = address(next_address_).host.type() == AddressType::ipv6;
    plan_.destination = {is_v6 && !as_ipv4_ ? Host::ipv6({}) : Host::ipv4({}), 0};
}

Dial::Requests Dial::requests() const {
    switch (purpose_) {
    case Purpose::associate: return {{Command::udp_associate, 0, {}}};
    case Purpose::accept: return {accept_request(peer_id_)};
    case Purpose::open_session: return {{Command::open_session, 0, {}}};
    case Purpose::listen:
    case Purpose::bind: {
        const auto& [host, port] = destination_;
        const Host any = host.type() == AddressType::ipv6 ? Host::ipv6({}) : Host{};
        const Request bind{Command::bind, 0, destination_};
        const Request listen{Command::listen, port != 0 ? flag_this_port : std::uint8_t{0}, {any, port}};
        if (purpose_ == Purpose::bind) return {bind, {listen}};
        if (!wants_both_families_) return {listen, {bind}};
        return {{Command::listen, listen.flag, {Host::ipv6({}), port}}, {listen, bind}};
    }
    case Purpose::connect:
    case Purpose::direct:
    case Purpose::hold:
    case Purpose::probe: break;
    }
    return {{Command::connect, 0, destination_}};
}

/// What to say; false if that ends the matter.
bool Dial::plan_attempt() {
    switch (purpose_) {
    case Purpose::direct: // nothing
    case Purpose::hold: return true;
    case Purpose::probe: return make_probe_plan();
    case Purpose::connect:
    case Purpose::associate:
    case Purpose::listen:
    case Purpose::bind:
    case Purpose::accept:
    case Purpose::open_session: break;
    }
    return make_plan();
}

bool Dial::make_plan() {
    const auto& upstream = config();
    const auto now = now_;
    const bool associates = purpose_ == Purpose::associate;
    if (associates && upstreams::with_features([&](const auto& cache) {
            return cache.is_refused(upstream_, Command::udp_associate, now);
        })) {
        log::line(Level::info, "%s: has refused UDP ASSOCIATE before", upstream.name.c_str());
        end(EOPNOTSUPP);
        return false;
    }
    policy::Knowledge known;
    policy::Circumstances at;
    std::optional<Method> only_method;
    auto ask = policy::Ask::no;

    if (!plainly_ && upstream.discover != policy::Discover::off) {
        const auto ask_cache = [&](auto& cache) {
            const auto last = cache.last_method(upstream_);
            at.method = last ? *last : policy::methods_to_offer(upstream, nullptr)[0];
            if (purpose_ != Purpose::accept) at.destination = destination_.host; // that one has come
            known = cache.find(upstream_, at, now);
            if (cache.depends_on(upstream_, Scope::authentication_method)) only_method = at.method;
            if (known.known != policy::Known::unknown || asked_ || purpose_ == Purpose::open_session) return;
            if (!cache.depends_on(upstream_, Scope::destination)) at.destination = {};
            // What a listener is asked for with hangs on the answer.
            if (cache.ask_now(upstream_, at, now))
                ask = is_listener() ? policy::Ask::on_this_connection
                                    : policy::how_to_ask(upstream.discover, cache.held_before(upstream_));
        };
        const bool by_client = upstreams::with_features([&](auto& cache) {
            const bool counts =
                upstream.socket_path.empty() && cache.depends_on(upstream_, Scope::client_address);
            if (!counts) ask_cache(cache);
            return counts;
        });
        if (by_client) {
            at.client = upstreams::source_address_for(address(next_address_));
            upstreams::with_features(ask_cache);
        }
        // Who may ask looks at what others have learnt before.
        if (ask != policy::Ask::no && !asked_others_ && sys::learnt::recall(rules_.config, upstream_)) {
            asked_others_ = true;
            upstreams::with_features([&](auto& cache) { cache.give_back(upstream_, at); });
            return make_plan();
        }
    } else {
        upstreams::with_features([&](const auto& cache) {
            known.pipelining = cache.pipelining_of(upstream_, now);
            known.method = cache.last_method(upstream_);
        });
    }
    if (sequentially_ || plainly_) known.pipelining = policy::Pipelining::refused;
    // So far another process has come: the rest of the question is ours.
    if (purpose_ == Purpose::connect && !asked_ && known.known == policy::Known::none &&
        known.pipelining == policy::Pipelining::unknown &&
        upstream.discover == policy::Discover::background &&
        upstream.pipelining == policy::Pipeline::automatic &&
        upstreams::with_features([&](auto& cache) { return cache.try_now(upstream_, now); })) {
        ask = policy::Ask::on_its_own;
        question_ = Question::harmless;
    }
    relied_on_features_ = known.features != nullptr;

    const auto [first, otherwise] = requests();
    const bool list_will_tell = ask == policy::Ask::on_this_connection || otherwise.empty();
    const auto& request = list_will_tell ? first : policy::pick(first, otherwise, known.features.get());
    const auto plan = policy::make_plan(upstream, known, request.command, request.destination, only_method);
    plan_ = plan.handshake;
    plan_.flag = request.flag;
    plan_.otherwise = otherwise;
    may_use_session_ = plan.may_use_session && purpose_ != Purpose::open_session;
    if (may_use_session_ && !without_session_)
        session_ = sys::sessions::with([&](const auto& sessions) { return sessions.find(upstream_, now); });
    else session_ = nullptr;
    fast_open_ = plan.fast_open;
    may_be_held_ = plan.may_be_held && !held::is_given_up(upstream_);
    is_trial_ = plan_.pipelined && upstream.pipelining == policy::Pipeline::automatic &&
                (known.adopted || !relied_on_features_ || known.features->ahead() == Ahead::unsaid);
    if (associates) set_datagram_source();
    if (log::enabled(Level::info))
        log::line(Level::info, "%s: features %s%s", upstream.name.c_str(),
                  known.known == policy::Known::listed ? "known"
                  : known.known == policy::Known::none ? "none"
                                                       : "not known",
                  ask == policy::Ask::on_this_connection ? ", asking on this connection"
                  : ask == policy::Ask::on_its_own       ? ", asking in the background"
                                                         : "");
    if (ask != policy::Ask::no) asked_ = true;
    if (ask != policy::Ask::no) claim_ = at;
    if (ask == policy::Ask::on_this_connection) {
        plan_.exchange = Exchange::features_then_command;
        plan_.host_of_interest.host = at.destination;
    }
    if (plan.refusal != 0 && known.adopted) {
        upstreams::with_features([&](auto& cache) { cache.disown(upstream_); });
        asked_others_ = true;
        return make_plan();
    }
    if (plan.refusal != 0) {
        log::line(Level::info, "%s: its feature list rules this out", upstream.name.c_str());
        end(plan.refusal);
        return false;
    }
    if (!plan.resolve_first) return true;
    postponed_ = !may_block_ && !upstreams::are_known(destination_);
    return !postponed_ && resolve_destination(plan.only_ipv4);
}

bool Dial::resolve_destination(bool only_ipv4) {
    auto found = upstreams::addresses(destination_);
    look_at_clock();
    if (only_ipv4) std::erase_if(found, [](const Endpoint& e) { return e.host.type() == AddressType::ipv6; });
    if (found.empty()) {
        end(EHOSTUNREACH);
        return false;
    }
    plan_.destination = found.front();
    return true;
}

void Dial::learn() {
    if (plan_.exchange == Exchange::command) return;
    const bool no_features = policy::says_no_features(handshake_->phase(), handshake_->failure());
    if (!no_features && !handshake_->has_features()) return;
    policy::Circumstances at;
    at.method = policy::as_who(handshake_->method());
    at.destination = plan_.host_of_interest.host;
    at.client = sys::local_host(carrier_.fd);
    auto list = handshake_->take_features();
    log::line(Level::info, "%s: %s", config().name.c_str(),
              no_features ? "has no LIST-FEATURES" : "listed its features");
    upstreams::with_features([&](auto& cache) {
        if (no_features) cache.remember_none(upstream_, Clock::now(), config().feature_lifetime);
        else cache.remember(upstream_, at, std::move(list), Clock::now(), config().feature_lifetime);
    });
    held::begin_anew(upstream_);
    sys::learnt::share(rules_.config, upstream_);
    claim_.reset();
}

void Dial::learn_of_pipelining(policy::Pipelining seen, Method method) {
    log::line(Level::info, "%s: %s several messages in one segment", config().name.c_str(),
              seen == policy::Pipelining::tolerated ? "takes" : "is not sent");
    upstreams::with_features([&](auto& cache) {
        cache.remember_pipelining(upstream_, seen, method, Clock::now(), config().feature_lifetime);
    });
    sys::learnt::share(rules_.config, upstream_);
}

void Dial::give_claim_back() {
    if (!claim_) return;
    upstreams::with_features([&](auto& cache) { cache.give_back(upstream_, *claim_); });
    claim_.reset();
}

} // namespace socksify::shim
