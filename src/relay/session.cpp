#include "relay/session.hpp"

#include "relay/features.hpp"
#include "relay/password.hpp"

#include <asio/buffer.hpp>
#include <asio/write.hpp>

namespace socksify::relay {
namespace {

std::vector<std::uint8_t> octets_of(Bytes message) { return {message.begin(), message.end()}; }

/// REP 00, and then what is no feature list: an entry announces more than ever comes.
constexpr std::array<std::uint8_t, 16> garbage{5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 'H', 'T', 'T', 'P', '/', '1'};
/// As shadowsocks-libev answers an unknown command.
constexpr std::array<std::uint8_t, 4> four_octets{5, 7, 0, 1};

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
    patience_.cancel();
}

void Session::wind_down() {
    if (held_) close();
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
    if (!co_await send(octets_of(choice))) co_return End::at_once;
    if (handshake_.method() == Method::no_acceptable) {
        tell("refused").add("why", "no acceptable method");
        co_return End::politely;
    }
    if (handshake_.method() == Method::password && !co_await authenticate()) co_return End::politely;

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
    co_return co_await send(octets_of(answer)) && accepted;
}

Task<Session::End> Session::connect() {
    patience_.cancel();
    due_ = {};
    auto result = co_await connect_to(context_, config_, story_.client.host, story_.user,
                                      handshake_.request().destination);
    if (!result) co_return co_await refuse(result.error().reply, result.error().why);
    if (!client_.is_open()) co_return End::at_once;

    ErrorCode error;
    const auto bound = from_asio(result->socket.local_endpoint(error));
    const auto answer = handshake_.reply(Reply::succeeded, bound);
    expect_within(config_->timeouts.handshake);
    if (!co_await send(octets_of(answer))) co_return End::at_once;
    patience_.cancel();

    story_.address = result->address;
    tell("connected").add("address", story_.address);
    tune(client_, config_->timeouts.keepalive);
    tune(result->socket, config_->timeouts.keepalive);
    const Bytes early(in_.data() + begin_, end_ - begin_);
    std::make_shared<Tunnel>(context_, config_, std::move(ticket_), std::move(client_),
                             std::move(result->socket), early, std::move(story_))
        ->start();
    co_return End::handed_over;
}

Task<Session::End> Session::associate() {
    if (!config_->features.udp)
        co_return co_await refuse(Reply::command_not_supported, "UDP ASSOCIATE is switched off");
    if (config_->rules.judge(Caller{story_.client.host, story_.user}) == Verdict::deny)
        co_return co_await refuse(Reply::not_allowed_by_ruleset, "denied by a rule");
    const auto opened =
        Association::open(context_, config_, client_, story_, handshake_.request().destination);
    if (!opened) co_return co_await refuse(opened.error().reply, opened.error().why);
    const auto& association = *opened;

    const auto answer = handshake_.reply(Reply::succeeded, spoil_bound(association->bound(), config_->test));
    expect_within(config_->timeouts.handshake);
    const bool answered = co_await send(octets_of(answer));
    patience_.cancel();
    if (answered) {
        tell("associated").add("address", association->bound());
        tune(client_, config_->timeouts.keepalive);
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
    case FeaturesAnswer::four_octets: co_await send(octets_of(four_octets)); co_return End::politely;
    case FeaturesAnswer::garbage: co_await send(octets_of(garbage)); co_return End::politely;
    }

    const bool hold = grants_hold();
    const auto load = static_cast<double>(context_.limits.connections()) / config_->limits.connections;
    const Caller caller{story_.client.host, story_.user};
    const auto list =
        encode_list(list_features(*config_, caller, handshake_.request().destination, load), config_->test);
    auto out = octets_of(handshake_.reply(Reply::succeeded, {}, hold));
    out.insert(out.end(), list.begin(), list.end());
    context_.log.debug("features")
        .add("id", story_.id)
        .add("client", story_.client)
        .add("held", hold ? 1 : 0);
    if (!co_await send(std::move(out))) co_return End::at_once;
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
    co_await send(octets_of(answer));
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
        std::copy(in_.begin() + static_cast<std::ptrdiff_t>(begin_),
                  in_.begin() + static_cast<std::ptrdiff_t>(end_), in_.begin());
        end_ -= std::exchange(begin_, 0);
        ErrorCode error;
        end_ +=
            co_await client_.async_read_some(asio::buffer(in_.data() + end_, in_.size() - end_), into(error));
        if (error) {
            if (Clock::now() >= due_ && due_ != Clock::time_point{} && !held_)
                tell("refused").add("why", "too slow");
            co_return Event::Kind::malformed;
        }
    }
}

Task<bool> Session::send(std::vector<std::uint8_t> octets) {
    ErrorCode error;
    if (const auto delay = config_->test.reply_delay; delay.count() != 0) {
        Timer wait(context_.io.get_executor(), delay);
        co_await wait.async_wait(into(error));
    }
    co_await asio::async_write(client_, asio::buffer(octets), into(error));
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
