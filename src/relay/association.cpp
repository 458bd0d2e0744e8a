#include "relay/association.hpp"

#include "relay/reach.hpp"

#include <algorithm>
#include <asio/ip/v6_only.hpp>
#include <new>
#include <system_error>

namespace socksify::relay {
namespace {

using namespace std::chrono_literals;

/// Full batches in a row; then others have their turn.
constexpr unsigned most_batches = 4;
/// What the kernel is asked to keep while others have it; it may allow less.
constexpr int kernel_buffer = 1024 * 1024;
/// Names of one association that are resolved at the same time: one client shall not keep all the threads
/// that do it.
constexpr std::ptrdiff_t most_lookups = 4;
/// With those that wait for their turn.
constexpr std::size_t most_unresolved = 32;
/// Datagrams that wait for one name, and octets that wait for all names.
constexpr std::size_t most_waiting = 16;
constexpr std::size_t most_waiting_octets = 256 * 1024;
static_assert(most_waiting <= Batch::most);
/// How long it is believed that a name has no address.
constexpr auto failure_lifetime = 5s;
constexpr auto quiet_time = 1s;
/// Of a socket that can't be waited for, although nobody has closed it.
constexpr std::string_view failed = "error";

tl::expected<DatagramSocket, int> open_socket(Context& context, const Udp& protocol) {
    DatagramSocket socket(context.io.get_executor());
    ErrorCode error;
    socket.open(protocol, error);
    if (error) return tl::unexpected(error.value());
    ErrorCode ignored; // smaller buffers are buffers too
    socket.non_blocking(true, ignored);
    socket.set_option(asio::socket_base::receive_buffer_size(kernel_buffer), ignored);
    socket.set_option(asio::socket_base::send_buffer_size(kernel_buffer), ignored);
    if (protocol == Udp::v6()) socket.set_option(asio::ip::v6_only(true), ignored);
    return socket;
}

/// Whether there is a way from here; nothing is sent.
bool has_route(const Udp::endpoint& address) {
    const Fd probe(::socket(address.protocol().family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return probe && ::connect(probe.get(), address.data(), static_cast<socklen_t>(address.size())) == 0;
}

NotConnected failure_of(int error) {
    return {Reply::general_failure, std::generic_category().message(error)};
}

} // namespace

Sender::Sender(const asio::ip::address& address, const Endpoint& expected) : endpoint_(address, 0) {
    const auto& host = expected.host;
    if (!host.is_name() && (host.is_unspecified() || host.unmapped() == from_asio(address).unmapped()))
        endpoint_.port(expected.port);
}

tl::expected<std::shared_ptr<Association>, NotConnected>
Association::open(Context& context, std::shared_ptr<const Config> config, const Socket& control, Story story,
                  const Endpoint& expected) {
    ErrorCode error;
    const auto here = control.local_endpoint(error);
    const auto there = control.remote_endpoint(error);
    if (error) return tl::unexpected(failure_of(error.value()));
    auto ticket = context.limits.admit_association(story.client.host, config->limits);
    if (!ticket) return tl::unexpected(NotConnected{Reply::general_failure, "limits.associations"});
    auto socket = open_socket(context, here.address().is_v4() ? Udp::v4() : Udp::v6());
    if (!socket) return tl::unexpected(failure_of(socket.error()));
    socket->bind({here.address(), 0}, error);
    if (error) return tl::unexpected(failure_of(error.value()));
    return std::make_shared<Association>(context, std::move(config), std::move(*ticket), std::move(*socket),
                                         Sender(there.address(), expected), std::move(story));
}

Association::Association(Context& context, std::shared_ptr<const Config> config, Limits::Association ticket,
                         DatagramSocket inside, const Sender& client, Story story)
    : context_(context),
      config_(std::move(config)),
      ticket_(std::move(ticket)),
      inside_(std::move(inside)),
      client_(client),
      story_(std::move(story)),
      v4_{{}, &context.outboxes.front()},
      v6_{{}, &context.outboxes.back()},
      destinations_(config_->limits.destinations),
      idle_(context.io.get_executor()) {
    context_.ongoing.add(*this);
}

Association::~Association() { context_.ongoing.remove(*this); }

Endpoint Association::bound() const {
    ErrorCode ignored;
    return from_asio(inside_.local_endpoint(ignored));
}

void Association::start() {
    spawn(context_, shared_from_this(), carry_up());
    watch_idleness();
}

void Association::end(std::string_view by) {
    if (has_ended()) return;
    ErrorCode ignored;
    inside_.close(ignored);
    for (auto* outside : {&v4_, &v6_})
        if (outside->socket) outside->socket->close(ignored);
    idle_.cancel();
    for (const auto& lookup : lookups_) drops_.count(Drop::unresolved, lookup->waiting.size());
    auto line = context_.log.info("closed");
    line.add("id", story_.id).add("client", story_.client).add("destinations", destinations_.size());
    line.add("up", up_.octets).add("down", down_.octets);
    line.add("datagrams_up", up_.datagrams).add("datagrams_down", down_.datagrams);
    drops_.tell(line);
    line.add_seconds("seconds", std::chrono::duration<double>(Clock::now() - begun_).count()).add("by", by);
    if (on_end) on_end();
}

// --- from the client ---

Task<> Association::carry_up() {
    ErrorCode error;
    auto& batch = context_.batch;
    while (!has_ended()) {
        co_await inside_.async_wait(DatagramSocket::wait_read, into(error));
        if (error) co_return end(failed);
        auto count = Batch::most;
        for (unsigned i = 0; i < most_batches && count == Batch::most && !has_ended(); ++i) {
            count = batch.receive(inside_.native_handle());
            now_ = Clock::now();
            if (config_->guard_own_host) generation_ = context_.own_addresses.generation();
            for (std::size_t j = 0; j < count; ++j)
                or_drop([&] { send_up(batch.datagram(j), batch.source(j)); });
            flush_up();
        }
    }
}

/// A datagram for which there is no memory is dropped like one for which the kernel has no room. What else is
/// in the batch must go, or it would stay in outboxes that others use.
template <class Act>
void Association::or_drop(Act act) {
    try {
        act();
    } catch (const std::bad_alloc&) {
        drops_.count(Drop::overflow);
    }
}

void Association::send_up(std::span<std::uint8_t> datagram, const Udp::endpoint& source) {
    if (!client_.is(source)) return drops_.count(Drop::stranger);
    const auto header = parse_datagram_header(datagram);
    if (!header) return drops_.count(Drop::malformed);
    if (header.value.fragment != 0) return drops_.count(Drop::fragment);
    client_.settle(source);
    const auto key = datagram.first(header.size).subspan(3); // behind RSV and FRAG
    const auto payload = datagram.subspan(header.size);
    if (const auto* finding = find(key, header.value.endpoint)) send_to(*finding, payload);
    else wait_for(key, header.value.endpoint, payload);
}

void Association::send_to(const Finding& finding, std::span<std::uint8_t> payload) {
    if (finding.obstacle) return drops_.count(*finding.obstacle);
    auto* const outside = outside_for(finding.address);
    if (outside == nullptr) return drops_.count(Drop::unsent);
    outside->outbox->put(payload, payload.size(), finding.address);
}

void Association::flush_up() {
    Outbox::Sent sent;
    for (auto* outside : {&v4_, &v6_})
        if (outside->socket) sent += outside->outbox->send(outside->socket->native_handle(), drops_);
    batch_is_over(sent, up_);
}

void Association::batch_is_over(const Outbox::Sent& sent, Outbox::Sent& total) {
    total += sent;
    if (sent.datagrams != 0) last_move_ = now_;
    if (drops_.has_news()) tell_drops();
}

Association::Outside* Association::outside_for(const Udp::endpoint& address) {
    auto& outside = address.protocol() == Udp::v4() ? v4_ : v6_;
    if (!outside.socket) {
        auto socket = open_socket(context_, address.protocol());
        if (!socket) return nullptr;
        outside.socket.emplace(std::move(*socket));
        spawn(context_, shared_from_this(), carry_down(outside));
    }
    return &outside;
}

// --- from destinations ---

Task<> Association::carry_down(Outside& outside) {
    ErrorCode error;
    auto& batch = context_.batch;
    auto& outbox = context_.outboxes.front();
    while (!has_ended()) {
        co_await outside.socket->async_wait(DatagramSocket::wait_read, into(error));
        if (error) co_return end(failed);
        auto count = Batch::most;
        for (unsigned i = 0; i < most_batches && count == Batch::most && !has_ended(); ++i) {
            count = batch.receive(outside.socket->native_handle());
            now_ = Clock::now();
            for (std::size_t j = 0; j < count; ++j) send_down(batch.datagram(j), batch.source(j));
            batch_is_over(outbox.send(inside_.native_handle(), drops_), down_);
        }
    }
}

void Association::send_down(std::span<std::uint8_t> datagram, const Udp::endpoint& source) {
    if (!destinations_.may_answer(source.address())) return drops_.count(Drop::uninvited);
    auto header = encode(DatagramHeader{0, from_asio(source)});
    switch (config_->test.datagram_source) {
    case DatagramSource::honest: break;
    case DatagramSource::name:
        if (const auto name = destinations_.name_of(source)) {
            header.clear();
            header.put16(0).put8(0).put(*name);
        }
        break;
    case DatagramSource::client: header = encode(DatagramHeader{0, from_asio(client_.endpoint())}); break;
    }
    auto* const begin = datagram.data() - header.size();
    std::memcpy(begin, header.bytes().data(), header.size());
    context_.outboxes.front().put({begin, header.size() + datagram.size()}, datagram.size(),
                                  client_.endpoint());
}

// --- destinations ---

const Finding* Association::find(Bytes key, const Endpoint& destination) {
    const auto* known = destinations_.find(key);
    if (known != nullptr && known->until > now_) {
        if (known->generation == generation_) return known;
        // The relay's own addresses are others now. The one that was found for this destination is not.
        if (!known->address.address().is_unspecified()) {
            destinations_.remember(key, judge(destination, from_asio(known->address.address())));
            return destinations_.find(key);
        }
    }
    const auto literal = look_at(*config_, caller(), destination);
    if (literal && !*literal) return nullptr;
    if (literal) destinations_.remember(key, judge(destination, **literal));
    else destinations_.remember(key, {{}, Drop::denied, generation_});
    return destinations_.find(key);
}

Finding Association::judge(const Endpoint& destination, const Host& address) {
    Finding finding{{to_asio(address.unmapped()), destination.port}, {}, generation_};
    if (!may_reach(context_, *config_, caller(), destination, address)) finding.obstacle = Drop::denied;
    return finding;
}

void Association::wait_for(Bytes key, const Endpoint& destination, Bytes payload) {
    if (waiting_octets_ + payload.size() > most_waiting_octets) return drops_.count(Drop::unresolved);
    auto lookup = std::find_if(lookups_.begin(), lookups_.end(),
                               [&](const auto& one) { return one->key == as_text(key); });
    if (lookup == lookups_.end()) {
        if (lookups_.size() >= most_unresolved) return drops_.count(Drop::unresolved);
        Lookup one{std::string(as_text(key)), destination, now_ + config_->timeouts.connect, {}, false};
        lookups_.push_back(std::make_shared<Lookup>(std::move(one)));
        lookup = std::prev(lookups_.end());
    }
    auto& waiting = (*lookup)->waiting;
    if (waiting.size() >= most_waiting) return drops_.count(Drop::unresolved);
    waiting.emplace_back(payload.begin(), payload.end());
    waiting_octets_ += payload.size();
    start_lookups();
}

void Association::start_lookups() {
    for (;;) { // a name of "hosts" is no longer there when spawn() returns
        const auto under_way = [](const auto& lookup) { return lookup->under_way; };
        const auto next = std::find_if_not(lookups_.begin(), lookups_.end(), under_way);
        if (next == lookups_.end() ||
            std::count_if(lookups_.begin(), lookups_.end(), under_way) >= most_lookups)
            return;
        (*next)->under_way = true;
        spawn(context_, shared_from_this(), look_up(*next));
    }
}

Task<> Association::look_up(std::shared_ptr<Lookup> lookup) {
    std::string name(lookup->destination.host.name());
    Resolver::Answer answer;
    if (Clock::now() < lookup->deadline)
        answer = co_await context_.resolver.resolve(config_, std::move(name), lookup->deadline);
    std::erase(lookups_, lookup);
    for (const auto& payload : lookup->waiting) waiting_octets_ -= payload.size();
    if (has_ended()) co_return;
    now_ = Clock::now();
    if (config_->guard_own_host) generation_ = context_.own_addresses.generation();
    const auto finding = choose(lookup->destination, answer.addresses);
    or_drop([&] { destinations_.remember(as_bytes(lookup->key), finding); });
    flush_up(); // a name of "hosts" is found at once, amid a batch
    for (auto& payload : lookup->waiting) or_drop([&] { send_to(finding, payload); });
    flush_up();
    start_lookups();
}

Finding Association::choose(const Endpoint& destination, const std::vector<Host>& addresses) {
    if (addresses.empty()) return {{}, Drop::unresolved, generation_, now_ + failure_lifetime};
    std::optional<Finding> first;
    for (const auto& address : addresses) {
        auto finding = judge(destination, address);
        if (!first || (first->obstacle && !finding.obstacle)) first = finding;
        // The resolver has sorted them by what can be reached; the table of "hosts" has not.
        if (!finding.obstacle && (addresses.size() == 1 || has_route(finding.address))) return finding;
    }
    return *first;
}

// --- the rest ---

void Association::watch_idleness() {
    const auto most = config_->timeouts.udp_idle;
    if (most.count() == 0) return;
    idle_.expires_at(last_move_ + most);
    idle_.async_wait([weak = weak_from_this()](const ErrorCode& error) {
        const auto self = weak.lock();
        if (error || !self) return;
        if (Clock::now() < self->last_move_ + self->config_->timeouts.udp_idle) return self->watch_idleness();
        self->end("idle");
    });
}

void Association::tell_drops() {
    if (now_ < quiet_until_ || !context_.log.wants(LogLevel::debug)) return;
    quiet_until_ = now_ + quiet_time;
    auto line = context_.log.debug("dropped");
    line.add("id", story_.id).add("client", story_.client);
    drops_.tell_news(line);
}

Endpoint spoil_bound(const Endpoint& bound, const TestBehaviour& test) {
    const bool is_v4 = bound.host.type() == AddressType::ipv4;
    switch (test.associate_bound) {
    case AssociateBound::honest: break;
    case AssociateBound::unspecified: return {is_v4 ? Host::ipv4({}) : Host::ipv6({}), bound.port};
    case AssociateBound::other_family: return {is_v4 ? Host::ipv6({}) : Host::ipv4({}), bound.port};
    case AssociateBound::no_port: return {bound.host, 0};
    }
    return bound;
}

} // namespace socksify::relay
