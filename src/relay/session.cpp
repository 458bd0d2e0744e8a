#include "relay/session.hpp"

#include "relay/features.hpp"
#include "relay/password.hpp"

#include <asio/buffer.hpp>
#include <asio/write.hpp>
#include <poll.h>
#include <sys/socket.h>

namespace socksify::relay {
namespace {

/// REP 00, and then what is no feature list: an entry announces more than ever comes.
constexpr std::array<std::uint8_t, 16> garbage{5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 'H', 'T', 'T', 'P', '/', '1'};
/// As shadowsocks-libev answers an unknown command.
constexpr std::array<std::uint8_t, 4> four_octets{5, 7, 0, 1};

constexpr std::chrono::seconds looking_time{1};

} // namespace

Session::Session(Context& context, std::shared_ptr<const Config> config, Limits::Connection ticket,
                 Limits::Handshake handshake_ticket, Socket client, const Endpoint& address)
    : context_(context),
      config_(std::move(config)),
      ticket_(std::move(ticket)),
      handshake_ticket_(std::move(handshake_ticket)),
      client_(std::move(client)),
      patience_(context.io.get_executor()) {
    story_.id = ++context_.last_id;
    story_.client = address;
    context_.ongoing.add(*this);
}

Session::~Session() { context_.ongoing.remove(*this); }

void Session::start() { spawn(context_, shared_from_this(), run()); }

void Session::close() {
    ErrorCode ignored;
    client_.close(ignored);
    if (port_) port_->close(ignored);
    if (listening_) listening_->close();
    patience_.cancel();
}

void Session::wind_down() {
    if (held_ || listening_ || control_ || (port_ && port_->is_open())) close(); // a listener only waits, too
}

Task<> Session::run() {
    expect_within(config_->timeouts.handshake);
    const auto end = co_await serve(); // not in the switch itself: gcc 12 makes a trap of that
    switch (end) {
    case End::handed_over: break;
    case End::politely: co_await end_politely(); break;
    case End::held: // serve() goes on itself
    case End::at_once: close(); break;
    }
    patience_.cancel();
}

Task<Session::End> Session::serve() {
    if (co_await next() != Event::Kind::greeting) co_return End::at_once;
    const auto choice = handshake_.choose(config_->auth.methods);
    if (!co_await send(choice)) co_return End::at_once;
    if (handshake_.method() == Method::no_acceptable) {
        tell("refused").add("why", "no acceptable method");
        co_return End::politely;
    }
    if (handshake_.method() == Method::password && !co_await authenticate()) co_return End::politely;
    if (handshake_.method() == Method::session && !co_await authenticate_by_token()) co_return End::politely;

    for (;;) {
        const auto event = co_await next();
        held_ = false;
        if (event == Event::Kind::unknown_address_type)
            co_return co_await refuse(Reply::address_type_not_supported, "unknown address type");
        if (event != Event::Kind::request) co_return End::at_once;
        handshake_ticket_.end();
        story_.destination = handshake_.request().destination;

        switch (handshake_.request().command) {
        case Command::connect: co_return co_await connect();
        case Command::udp_associate: co_return co_await associate();
        case Command::bind: co_return co_await bind();
        case Command::listen: co_return co_await listen();
        case Command::accept: co_return co_await accept();
        case Command::open_session: co_return co_await open_session();
        case Command::list_features: break;
        default: co_return co_await refuse(Reply::command_not_supported, "unknown command");
        }
        if (const auto end = co_await answer_list_features(); end != End::held) co_return end;
        held_ = true;
        expect_within(config_->timeouts.held);
    }
}

Task<bool> Session::authenticate() {
    if (co_await next() != Event::Kind::password) {
        close();
        co_return false;
    }
    story_.user = handshake_.username();
    std::string password(handshake_.password());
    explicit_bzero(in_.data(), begin_); // it was in there
    const bool accepted = co_await context_.users.check(config_, story_.user, std::move(password), due_);
    if (!accepted) tell("refused").add("why", "wrong user or password");
    const auto answer = handshake_.authenticated(accepted);
    co_return co_await send(answer) && accepted;
}

Task<bool> Session::authenticate_by_token() {
    if (co_await next() != Event::Kind::token) {
        close();
        co_return false;
    }
    const auto user = context_.tokens.user_of(handshake_.token(), *config_, story_.client.host, Clock::now());
    explicit_bzero(in_.data(), begin_); // it was in there
    if (user) story_.user = *user;
    else tell("refused").add("why", "no such session");
    const auto answer = handshake_.authenticated(user.has_value());
    co_return co_await send(answer) && user;
}

Task<Session::End> Session::connect() {
    patience_.cancel();
    due_ = {};
    auto result = co_await connect_to(context_, config_, story_.client.host, story_.user,
                                      handshake_.request().destination);
    if (!result) co_return co_await refuse(result.error().reply, result.error().why);
    if (!client_.is_open()) co_return End::at_once;

    ErrorCode ignored;
    const auto bound = from_asio(result->socket.local_endpoint(ignored));
    co_return co_await join(std::move(result->socket), result->address, bound);
}

Task<Session::End> Session::join(Socket remote, const Endpoint& address, const Endpoint& told) {
    story_.address = address;
    const auto answer = handshake_.reply(Reply::succeeded, told);
    expect_within(config_->timeouts.handshake);
    if (!co_await send(answer)) co_return End::at_once;
    patience_.cancel();

    tell("connected").add("address", story_.address);
    const Bytes early(in_.data() + begin_, end_ - begin_);
    std::make_shared<Tunnel>(context_, config_, std::move(ticket_), std::move(client_), std::move(remote),
                             early, std::move(story_))
        ->start();
    co_return End::handed_over;
}

Task<Session::End> Session::bind() {
    if (!config_->features.bind)
        co_return co_await refuse(Reply::command_not_supported, "BIND is switched off");
    if (context_.winding_down) co_return co_await refuse(Reply::general_failure, "draining");
    patience_.cancel();
    due_ = {};
    auto wish = co_await wish_of(context_, config_, handshake_.request().destination);
    if (!wish) co_return co_await refuse(wish.error().reply, wish.error().why);
    auto ticket = context_.limits.admit_listener(story_.client.host, story_.user, config_->limits);
    if (!ticket) co_return co_await refuse(Reply::general_failure, "limits.listeners");
    auto port = open_port(context_, *config_, caller(Operation::bind), client_, *wish);
    if (!port) {
        // Who asks for a port may know from the feature list that it is honoured, and so this project's
        // codes.
        const bool knows = config_->features.list_features && wish->port != 0;
        const auto reply = port.error().reply;
        co_return co_await refuse(knows ? reply : plain(reply), port.error().why);
    }
    port_.emplace(std::move(port->acceptor));
    const auto answer = handshake_.reply(Reply::succeeded, port->told);
    expect_within(config_->timeouts.handshake);
    if (!co_await send(answer)) co_return End::at_once;
    patience_.cancel();
    due_ = {};
    tell("bound").add("address", port->told);

    auto peer = co_await await_peer(*wish);
    if (!client_.is_open()) co_return End::at_once;
    if (!peer) co_return co_await refuse(Reply::ttl_expired, "no peer has come");
    co_return co_await join(std::move(peer->socket), peer->address, peer->address);
}

Task<std::optional<Connected>> Session::await_peer(const PortWish& wish) {
    if (const auto most = config_->timeouts.bind; most.count() != 0) {
        patience_.expires_after(most);
        patience_.async_wait([weak = weak_from_this()](const ErrorCode& error) {
            ErrorCode ignored;
            if (const auto self = weak.lock(); self && !error) self->port_->close(ignored);
        });
    }
    spawn(context_, shared_from_this(), watch_client());
    std::optional<Connected> out;
    ErrorCode error;
    const auto port = port_->local_endpoint(error).port();
    while (!out && port_->is_open()) {
        Socket peer(context_.io.get_executor());
        Tcp::endpoint from;
        co_await port_->async_accept(peer, from, into(error));
        if (error == asio::error::connection_aborted) continue;
        if (error) break; // closed; or without descriptors: the client may ask again
        const auto host = from_asio(from.address()).unmapped();
        if (may_come(*config_, caller(Operation::bind), wish.peers, host, port))
            out.emplace(Connected{std::move(peer), {host, from.port()}});
        else reset(peer);
    }
    patience_.cancel();
    ErrorCode ignored;
    if (out) out->socket.native_non_blocking(true, ignored);
    port_->close(ignored); // whoever else has come is reset
    client_.cancel(ignored);
    co_return out;
}

Task<> Session::watch_client() {
    ErrorCode error;
    while (end_ < in_.size()) {
        co_await client_.async_wait(Socket::wait_read, into(error));
        if (error || !port_->is_open()) co_return; // the peer is here
        const auto size = ::recv(client_.native_handle(), in_.data() + end_, in_.size() - end_, MSG_DONTWAIT);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) co_return close();
        if (size > 0) end_ += static_cast<std::size_t>(size);
    }
    // It has sent more than there is room for here. An end behind that can't be waited for, only looked for.
    for (Timer look(context_.io.get_executor()); port_->is_open();) {
        look.expires_after(looking_time);
        co_await look.async_wait(into(error));
        if (!port_->is_open()) co_return;
        pollfd one{client_.native_handle(), POLLRDHUP, 0};
        if (::poll(&one, 1, 0) > 0) co_return close();
    }
}

Task<Session::End> Session::listen() {
    if (!config_->features.listen)
        co_return co_await refuse(Reply::command_not_supported, "LISTEN is switched off");
    if (context_.winding_down) co_return co_await refuse(Reply::general_failure, "draining");
    patience_.cancel();
    due_ = {};
    const auto wanted = handshake_.request().destination;
    const std::uint8_t granted = handshake_.request().flag & flag_this_port;
    if (wanted.host.is_name())
        co_return co_await refuse(Reply::address_type_not_supported, "a name to listen on");
    const PortWish wish{wanted.host.type(), {}, wanted.port, granted != 0};
    auto ticket = context_.limits.admit_listener(story_.client.host, story_.user, config_->limits);
    if (!ticket) co_return co_await refuse(Reply::too_many, "limits.listeners");
    auto port = open_port(context_, *config_, caller(Operation::bind), client_, wish);
    if (!port) co_return co_await refuse(port.error().reply, port.error().why);
    const auto told = port->told;
    if (!wanted.host.is_unspecified() && wanted.host != told.host)
        co_return co_await refuse(Reply::not_allowed_by_ruleset, "another address to listen on");

    const auto answer = handshake_.listening(told, granted);
    expect_within(config_->timeouts.handshake);
    if (!co_await send(answer)) co_return End::at_once;
    patience_.cancel();
    due_ = {};
    tell("bound").add("address", told);

    listening_ =
        std::make_unique<Listening>(context_, config_, std::move(*ticket), std::move(*port), story_, client_);
    spawn(context_, shared_from_this(), listening_->accept());
    spawn(context_, shared_from_this(), listening_->write_notes());
    co_await read_notes();
    listening_->close();
    tell("closed").add("address", told).add("peers", listening_->peers());
    co_return End::at_once;
}

Task<> Session::read_notes() {
    for (;;) {
        const auto note = parse_note({in_.data() + begin_, end_ - begin_});
        if (note.outcome == Outcome::malformed) {
            tell("refused").add("why", "not a note");
            co_return;
        }
        if (note) {
            begin_ += note.size;
            if (note.value.type == NoteType::backlog) listening_->set_backlog(note.value.value);
        } else if (!co_await read_more()) co_return;
    }
}

Task<Session::End> Session::accept() {
    if (!config_->features.listen)
        co_return co_await refuse(Reply::command_not_supported, "ACCEPT is switched off");
    const auto id = peer_id(handshake_.request());
    if (!id) co_return co_await refuse(Reply::address_type_not_supported, "no ID of a peer");
    auto peer = context_.waiting_peers.take(*id, {story_.client.host, story_.user});
    if (!peer) co_return co_await refuse(Reply::no_such_peer, "no such peer");
    story_.destination = peer->address;
    co_return co_await join(std::move(peer->socket), peer->address, peer->address);
}

Task<Session::End> Session::open_session() {
    if (!config_->features.sessions)
        co_return co_await refuse(Reply::command_not_supported, "sessions are switched off");
    if (context_.winding_down) co_return co_await refuse(Reply::general_failure, "draining");
    // By a token it would live on for ever, and who has no user has nothing to spare.
    if (handshake_.method() != Method::password)
        co_return co_await refuse(Reply::not_allowed_by_ruleset, "a session without a password");
    auto opened = context_.tokens.open(*config_, story_.client.host, story_.user, Clock::now());
    if (!opened) co_return co_await refuse(Reply::too_many, "limits.sessions");
    control_ = std::move(opened->control);
    const auto answer = handshake_.session_opened(opened->grant);
    expect_within(config_->timeouts.handshake);
    const bool answered = co_await send(answer);
    patience_.cancel();
    due_ = {};
    if (answered) {
        tell("session").add("lifetime", opened->grant.lifetime);
        co_await discard();
    }
    control_.reset();
    co_return client_.is_open() ? End::politely : End::at_once;
}

Task<Session::End> Session::associate() {
    if (!config_->features.udp)
        co_return co_await refuse(Reply::command_not_supported, "UDP ASSOCIATE is switched off");
    if (config_->rules.judge(caller(Operation::udp)) == Verdict::deny)
        co_return co_await refuse(Reply::not_allowed_by_ruleset, "denied by a rule");
    const auto opened =
        Association::open(context_, config_, client_, story_, handshake_.request().destination);
    if (!opened) co_return co_await refuse(opened.error().reply, opened.error().why);
    const auto& association = *opened;

    const auto answer = handshake_.reply(Reply::succeeded, spoil_bound(association->bound(), config_->test));
    expect_within(config_->timeouts.handshake);
    const bool answered = co_await send(answer);
    patience_.cancel();
    if (answered) {
        tell("associated").add("address", association->bound());
        association->on_end = [weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->stop_discarding();
        };
        association->start();
        co_await discard();
    }
    association->end("eof");
    co_return client_.is_open() ? End::politely : End::at_once;
}

bool Session::grants_hold() const noexcept {
    return config_->features.hold && (handshake_.request().flag & flag_hold) != 0 && !context_.winding_down;
}

Task<Session::End> Session::answer_list_features() {
    if (!config_->features.list_features)
        co_return co_await refuse(Reply::command_not_supported, "LIST-FEATURES is switched off");
    switch (config_->test.list_features) {
    case FeaturesAnswer::honest: break;
    case FeaturesAnswer::refuse: co_return co_await refuse(Reply::command_not_supported, "test_behaviour");
    case FeaturesAnswer::general_failure: co_return co_await refuse(Reply::general_failure, "test_behaviour");
    case FeaturesAnswer::close: co_return End::politely;
    case FeaturesAnswer::silence:
        patience_.cancel();
        co_await discard();
        co_return End::at_once;
    case FeaturesAnswer::four_octets: co_await send(four_octets); co_return End::politely;
    case FeaturesAnswer::garbage: co_await send(garbage); co_return End::politely;
    }

    const bool hold = grants_hold();
    const auto load = static_cast<double>(context_.limits.connections()) / config_->limits.connections;
    const Caller caller{story_.client.host, story_.user};
    const auto list =
        encode_list(list_features(*config_, caller, handshake_.request().destination, load), config_->test);
    const auto answer = handshake_.reply(Reply::succeeded, {}, hold);
    std::vector<std::uint8_t> out(answer.bytes().begin(), answer.bytes().end());
    out.insert(out.end(), list.begin(), list.end());
    context_.log.debug("features")
        .add("id", story_.id)
        .add("client", story_.client)
        .add("held", hold ? 1 : 0);
    if (!co_await send(out)) co_return End::at_once;
    co_return hold && !config_->test.break_hold ? End::held : End::politely;
}

Task<Session::End> Session::refuse(Reply reply, std::string_view why) {
    tell("refused")
        .add("destination", story_.destination)
        .add("why", why)
        .add("reply", static_cast<unsigned>(reply));
    expect_within(
        config_->timeouts.close); // and as long again for the client to close: 10 s in all (RFC 1928 §6)
    const auto answer = handshake_.reply(reply);
    co_await send(answer);
    co_return End::politely;
}

Task<Session::Event::Kind> Session::next() {
    for (;;) {
        const auto event = handshake_.take({in_.data() + begin_, end_ - begin_});
        if (event.kind != Event::Kind::need_more) {
            begin_ += event.size;
            if (event.kind == Event::Kind::malformed) tell("refused").add("why", "not SOCKS5");
            co_return event.kind;
        }
        if (!co_await read_more()) {
            if (Clock::now() >= due_ && due_ != Clock::time_point{} && !held_)
                tell("refused").add("why", "too slow");
            co_return Event::Kind::malformed;
        }
    }
}

Task<bool> Session::read_more() {
    std::copy(in_.begin() + static_cast<std::ptrdiff_t>(begin_),
              in_.begin() + static_cast<std::ptrdiff_t>(end_), in_.begin());
    end_ -= std::exchange(begin_, 0);
    // A client that speaks first has done so by now, most of the time.
    const auto size = ::recv(client_.native_handle(), in_.data() + end_, in_.size() - end_, MSG_DONTWAIT);
    if (size > 0) {
        end_ += static_cast<std::size_t>(size);
        co_return true;
    }
    ErrorCode error;
    end_ += co_await client_.async_read_some(asio::buffer(in_.data() + end_, in_.size() - end_), into(error));
    co_return !error;
}

Task<bool> Session::send(Bytes octets) {
    if (const auto delay = config_->test.reply_delay; delay.count() != 0) {
        ErrorCode ignored;
        Timer wait(context_.io.get_executor(), delay);
        co_await wait.async_wait(into(ignored));
    }
    // Most answers are small, and the first that their connection is sent: there is room for them.
    const auto sent =
        ::send(client_.native_handle(), octets.data(), octets.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    const auto done = sent > 0 ? static_cast<std::size_t>(sent) : 0;
    if (done == octets.size()) co_return true;
    if (sent < 0 && errno != EAGAIN && errno != EINTR) co_return false;
    ErrorCode error;
    const std::vector<std::uint8_t> rest(octets.begin() + static_cast<std::ptrdiff_t>(done), octets.end());
    co_await asio::async_write(client_, asio::buffer(rest), into(error));
    co_return !error;
}

Task<> Session::end_politely() {
    ErrorCode error;
    expect_within(config_->timeouts.close);
    client_.shutdown(Socket::shutdown_send, error);
    co_await discard();
    close();
}

Task<> Session::discard() {
    ErrorCode error;
    while (!error) co_await client_.async_read_some(asio::buffer(in_), into(error));
}

void Session::stop_discarding() {
    ErrorCode ignored;
    client_.cancel(ignored);
}

void Session::expect_within(milliseconds time) {
    due_ = Clock::now() + time;
    patience_.expires_at(due_);
    patience_.async_wait([weak = weak_from_this()](const ErrorCode& error) {
        if (const auto self = weak.lock(); self && !error) self->close();
    });
}

LogLine Session::tell(std::string_view event) const {
    LogLine line(LogLevel::info, event, context_.log.wants(LogLevel::info));
    line.add("id", story_.id).add("client", story_.client);
    if (!story_.user.empty()) line.add("user", story_.user);
    return line;
}

} // namespace socksify::relay
