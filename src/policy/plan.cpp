#include "policy/plan.hpp"

#include <cerrno>

namespace socksify::policy {

MethodList methods_to_offer(const Upstream& upstream, const FeatureList* features) {
    const bool has_credentials = !upstream.username.empty() || !upstream.password.empty();
    MethodList methods;
    for (const auto method : {Method::none, Method::password}) {
        if (method == Method::password && !has_credentials) continue;
        if (features != nullptr && features->supports(method) == Support::no) continue;
        methods.add(method);
        // A list that names the cheapest way spares the server the choice.
        if (features != nullptr && features->supports(method) == Support::yes) break;
    }
    return methods;
}

namespace {

/// What has been seen counts for more than what was said.
bool may_pipeline(const Upstream& upstream, const Knowledge& known) noexcept {
    switch (upstream.pipelining) {
    case Pipeline::off: return false;
    case Pipeline::always: return known.pipelining != Pipelining::refused;
    case Pipeline::automatic: break;
    }
    switch (known.pipelining) {
    case Pipelining::refused: return false;
    case Pipelining::tolerated: return true;
    case Pipelining::unknown: break;
    }
    return known.features != nullptr && known.features->ahead() != Ahead::unsaid;
}

} // namespace

namespace {

void fill(Plan& plan, const Upstream& upstream, const Knowledge& known, Command command,
          const Endpoint& destination, std::optional<Method> only_method) {
    const auto* features = known.features.get();
    plan.handshake.command = command;
    plan.handshake.destination = destination;
    plan.handshake.username = upstream.username;
    plan.handshake.password = upstream.password;
    plan.handshake.methods = methods_to_offer(upstream, features);
    plan.handshake.pipelined = may_pipeline(upstream, known);
    if (plan.handshake.pipelined && !only_method)
        only_method = known.method ? *known.method : Method::password;
    if (only_method && plan.handshake.methods.contains(*only_method))
        plan.handshake.methods = MethodList{*only_method};
    if (plan.handshake.methods.size() != 1) plan.handshake.pipelined = false;
    // A SYN may be delivered twice, and so may a CONNECT: its destination sees no data until we have the
    // reply. An ACCEPT finds its peer once. What else there is makes something that lasts.
    const bool may_come_twice = command == Command::connect || command == Command::accept;
    plan.fast_open = plan.handshake.pipelined && upstream.fast_open == FastOpen::automatic &&
                     may_come_twice && features != nullptr && features->fast_open();
    // A list that depends on the destination is asked for on the way to it, and not ahead of time. On this
    // machine there is nothing to save.
    plan.may_be_held = features != nullptr && command == Command::connect && upstream.hold.most > 0 &&
                       upstream.socket_path.empty() && features->persistent() &&
                       !features->depends_on(Scope::destination);

    plan.may_use_session = upstream.sessions == Sessions::automatic && features != nullptr &&
                           plan.handshake.methods.size() == 1 &&
                           plan.handshake.methods[0] == Method::password && features->sessions();

    plan.relies_on_features = features != nullptr;
    plan.is_trial = plan.handshake.pipelined && upstream.pipelining == Pipeline::automatic &&
                    (known.adopted || features == nullptr || features->ahead() == Ahead::unsaid);
    plan.takes_early_data = features != nullptr && features->ahead() == Ahead::data;

    const auto refuse = [&plan](int error) { plan.refusal = error; };
    if (plan.handshake.methods.empty()) return refuse(EACCES);
    if (features == nullptr) {
        // What has to be announced is not sent on the off chance.
        if (command == Command::open_session) refuse(EOPNOTSUPP);
        return;
    }
    if (features->supports_version(socks_version) == Support::no ||
        features->supports(command) == Support::no)
        return refuse(EOPNOTSUPP);

    // Its address leads nowhere: it is a peer's ID, where datagrams come from, or none.
    if (command == Command::accept || command == Command::udp_associate || command == Command::open_session)
        return;

    plan.only_ipv4 = features->supports(AddressType::ipv6) == Support::no;
    if (features->supports(destination.host.type()) != Support::no) return;
    switch (destination.host.type()) {
    case AddressType::domain_name:
        if (upstream.without_names == WithoutNames::fail) return refuse(EAFNOSUPPORT);
        plan.resolve_first = true;
        return;
    // The kernel's word for a family that leads nowhere: programs go on to their next address.
    case AddressType::ipv6:
    case AddressType::ipv4: return refuse(ENETUNREACH);
    }
}

} // namespace

Plan make_plan(const Upstream& upstream, const Knowledge& known, Command command, const Endpoint& destination,
               std::optional<Method> only_method) {
    Plan plan;
    fill(plan, upstream, known, command, destination, only_method);
    return plan;
}

const Request& pick(const Request& first, std::span<const Request> otherwise, const FeatureList* features) {
    const FeatureList nothing_said;
    const auto& list = features != nullptr ? *features : nothing_said;
    if (!list.rules_out(first)) return first;
    for (const auto& request : otherwise)
        if (!list.rules_out(request)) return request;
    return first;
}

ClientPlan by_session(ClientPlan plan, const Session& session) {
    plan.methods = {Method::session};
    plan.token = session.token;
    return plan;
}

bool may_be_optimistic(const Plan& plan) noexcept {
    return plan.refusal == 0 && !plan.resolve_first && plan.handshake.pipelined &&
           plan.handshake.command == Command::connect && plan.takes_early_data;
}

Found look_up(const FeatureCache& cache, std::size_t index, const Upstream& upstream, Circumstances at,
              FeatureCache::Time now) {
    const auto last = cache.last_method(index);
    at.method = last ? *last : methods_to_offer(upstream, nullptr)[0];
    Found found{at, cache.find(index, at, now)};
    if (cache.depends_on(index, Scope::authentication_method)) found.only_method = at.method;
    return found;
}

bool leaves_a_question(const Upstream& upstream, const Knowledge& known) noexcept {
    if (upstream.discover == Discover::off) return false;
    const bool is_open = known.known == Known::unknown && known.until == Knowledge::Time::min();
    return is_open || leaves_pipelining_to_ask(upstream, known);
}

bool leaves_pipelining_to_ask(const Upstream& upstream, const Knowledge& known) noexcept {
    return known.known == Known::none && known.pipelining == Pipelining::unknown &&
           upstream.discover == Discover::background && upstream.pipelining == Pipeline::automatic;
}

namespace {

std::size_t place_of(AddressType type) noexcept {
    switch (type) {
    case AddressType::ipv4: return 0;
    case AddressType::domain_name: return 1;
    case AddressType::ipv6: break;
    }
    return 2;
}

} // namespace

ReadyPlans::Pointer ReadyPlans::find(std::size_t upstream, AddressType type, const FeatureCache& cache,
                                     FeatureCache::Time now) const noexcept {
    if (upstream >= ready_.size()) return nullptr;
    const auto& ready = ready_[upstream][place_of(type)];
    return ready.generation == cache.generation() && now < ready.until ? ready.plan : nullptr;
}

void ReadyPlans::keep(std::size_t upstream, AddressType type, const Knowledge& known, Pointer plan) {
    if (plan->refusal != 0 || plan->resolve_first) return;
    if (upstream >= ready_.size()) ready_.resize(upstream + 1);
    ready_[upstream][place_of(type)] = {std::move(plan), known.generation, known.until};
}

Consequence consequence_of(const ClientHandshake& handshake, bool relied_on_features) {
    using Next = Consequence::Next;
    const auto phase = handshake.phase();
    if (handshake.failure() == Failure::not_announced) return {Next::give_up, EOPNOTSUPP};
    // Whatever went wrong while we asked for features is no fault of the program's request.
    if (phase == Phase::features) return {Next::again_plainly, ECONNABORTED};

    const auto unless_contradicted = [&](Next next, int error) -> Consequence {
        return {relied_on_features ? Next::again_plainly : next, error};
    };
    switch (handshake.failure()) {
    case Failure::none: return {Next::give_up, 0};
    case Failure::no_acceptable_method: return unless_contradicted(Next::next_upstream, EACCES);
    case Failure::authentication_refused:
    case Failure::token_refused: return {Next::next_upstream, EACCES};
    case Failure::command_refused: {
        const auto reply = handshake.reply();
        const bool about_features =
            reply == Reply::command_not_supported || reply == Reply::address_type_not_supported;
        if (about_features) return unless_contradicted(Next::give_up, to_errno(reply));
        return {Next::give_up, to_errno(reply)};
    }
    case Failure::closed:
        // Several servers (ssh -D among them) close without a word when the destination refuses.
        if (phase == Phase::command) return unless_contradicted(Next::give_up, ECONNREFUSED);
        return {Next::next_upstream, ECONNREFUSED};
    case Failure::method_not_offered:
    case Failure::malformed: return unless_contradicted(Next::next_upstream, ECONNABORTED);
    case Failure::features_refused:
    case Failure::features_not_a_list:
    case Failure::not_held:
    case Failure::not_announced: break; // only in Phase::features
    }
    return {Next::again_plainly, ECONNABORTED};
}

bool may_be_for_pipelining(Failure failure, bool relied_on_features) noexcept {
    switch (failure) {
    case Failure::closed:
    case Failure::malformed:
    case Failure::method_not_offered: return true;
    // One method alone was offered. If a list has said so, the list is wrong; if not, another one may do.
    case Failure::no_acceptable_method: return !relied_on_features;
    case Failure::none:
    case Failure::authentication_refused:
    case Failure::token_refused:
    case Failure::command_refused:
    case Failure::features_refused:
    case Failure::features_not_a_list:
    case Failure::not_held:
    case Failure::not_announced: break;
    }
    return false;
}

PipeliningSeen seen_of_pipelining(const ClientHandshake& burst) noexcept {
    const auto failure = burst.failure();
    const bool answered = failure == Failure::none || failure == Failure::command_refused ||
                          failure == Failure::features_refused || failure == Failure::features_not_a_list;
    if (answered) return PipeliningSeen::tolerated;
    // The greeting was answered, and then the connection closed. That may be the server's answer to the
    // command.
    const bool after_greeting = burst.phase() == Phase::features || burst.phase() == Phase::command;
    return failure == Failure::closed && after_greeting ? PipeliningSeen::nothing : PipeliningSeen::refused;
}

} // namespace socksify::policy
