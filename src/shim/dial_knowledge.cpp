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
Endpoint Dial::datagram_source() const {
    const bool is_v6 = address(next_address_).host.type() == AddressType::ipv6;
    return {is_v6 && !as_ipv4_ ? Host::ipv6({}) : Host::ipv4({}), 0};
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
    case Purpose::direct: return true; // nothing
    case Purpose::hold: begin_handshake({}); return true;
    case Purpose::probe: make_probe_plan(); return true;
    case Purpose::connect: return take_ready_plan() || make_plan();
    case Purpose::associate:
    case Purpose::listen:
    case Purpose::bind:
    case Purpose::accept:
    case Purpose::open_session: break;
    }
    return make_plan();
}

bool Dial::take_ready_plan() {
    if (!goes_as_known()) return false;
    plan_ = upstreams::ready_plan(upstream_, destination_.host.type(), now_);
    if (!plan_) return false;
    if (log::enabled(Level::info))
        log::line(Level::info, "%s: planned as the last time", config().name.c_str());
    begin_handshake(destination_);
    return true;
}

/// What is known of the proxy, and whether it is for this Dial to ask for more.
Dial::Outlook Dial::look_up() {
    const auto& upstream = config();
    Outlook outlook;
    auto& found = outlook.found;
    auto& ask = outlook.ask;
    if (plainly_ || upstream.discover == policy::Discover::off) {
        found.known =
            upstreams::with_features([&](const auto& cache) { return cache.find_unlisted(upstream_, now_); });
        return outlook;
    }
    policy::Circumstances at;
    if (purpose_ != Purpose::accept) at.destination = destination_.host; // that one has come
    const auto ask_cache = [&](auto& cache) {
        found = policy::look_up(cache, upstream_, upstream, at, now_);
        if (found.known.known != policy::Known::unknown || asked_ || purpose_ == Purpose::open_session)
            return;
        if (!cache.depends_on(upstream_, Scope::destination)) found.at.destination = {};
        // What a listener is asked for with hangs on the answer.
        if (cache.ask_now(upstream_, found.at, now_))
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
        upstreams::with_features([&](auto& cache) { cache.give_back(upstream_, found.at); });
        return look_up();
    }
    return outlook;
}

bool Dial::make_plan() {
    const auto& upstream = config();
    const bool associates = purpose_ == Purpose::associate;
    if (associates && upstreams::with_features([&](const auto& cache) {
            return cache.is_refused(upstream_, Command::udp_associate, now_);
        })) {
        log::line(Level::info, "%s: has refused UDP ASSOCIATE before", upstream.name.c_str());
        end(EOPNOTSUPP);
        return false;
    }
    auto [found, ask] = look_up();
    auto& known = found.known;
    if (sequentially_ || plainly_) known.pipelining = policy::Pipelining::refused;
    // So far another process has come: the rest of the question is ours.
    if (purpose_ == Purpose::connect && !asked_ && policy::leaves_pipelining_to_ask(upstream, known) &&
        upstreams::with_features([&](auto& cache) { return cache.try_now(upstream_, now_); })) {
        ask = policy::Ask::on_its_own;
        question_ = Question::harmless;
    }

    const auto [first, otherwise] = requests();
    const bool asks_here = ask == policy::Ask::on_this_connection;
    const bool list_will_tell = asks_here || otherwise.empty();
    const auto& request = list_will_tell ? first : policy::pick(first, otherwise, known.features.get());
    auto plan = policy::make_plan(upstream, known, request.command, request.destination, found.only_method);
    plan.handshake.flag = request.flag;
    plan.otherwise = otherwise;
    if (purpose_ == Purpose::open_session) plan.may_use_session = false;
    if (log::enabled(Level::info))
        log::line(Level::info, "%s: features %s%s", upstream.name.c_str(),
                  known.known == policy::Known::listed ? "known"
                  : known.known == policy::Known::none ? "none"
                                                       : "not known",
                  asks_here                        ? ", asking on this connection"
                  : ask == policy::Ask::on_its_own ? ", asking in the background"
                                                   : "");
    if (ask != policy::Ask::no) {
        asked_ = true;
        claim_ = found.at;
    }
    if (asks_here) {
        plan.handshake.exchange = Exchange::features_then_command;
        plan.handshake.host_of_interest.host = found.at.destination;
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
    const auto to = !plan.resolve_first ? std::optional(associates ? datagram_source() : request.destination)
                                        : resolve_destination(plan.only_ipv4);
    if (!to) return false;
    const auto made = std::make_shared<policy::Plan>(std::move(plan));
    made->handshake.otherwise = made->otherwise;
    plan_ = made;
    if (purpose_ == Purpose::connect && goes_as_known() && !policy::leaves_a_question(upstream, known))
        upstreams::keep_plan(upstream_, destination_.host.type(), known, plan_);
    begin_handshake(*to);
    return true;
}

/// Where the proxy takes no names. Nothing if that ends the matter, or has to wait.
std::optional<Endpoint> Dial::resolve_destination(bool only_ipv4) {
    postponed_ = !may_block_ && !upstreams::are_known(destination_);
    if (postponed_) return {};
    auto found = upstreams::addresses(destination_);
    look_at_clock();
    if (only_ipv4) std::erase_if(found, [](const Endpoint& e) { return e.host.type() == AddressType::ipv6; });
    if (found.empty()) {
        end(EHOSTUNREACH);
        return {};
    }
    return found.front();
}

void Dial::learn() {
    if (handshake_->plan().exchange == Exchange::command) return;
    const bool no_features = policy::says_no_features(handshake_->phase(), handshake_->failure());
    if (!no_features && !handshake_->has_features()) return;
    policy::Circumstances at;
    at.method = policy::as_who(handshake_->method());
    at.destination = handshake_->plan().host_of_interest.host;
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
