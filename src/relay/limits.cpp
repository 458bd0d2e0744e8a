#include "relay/limits.hpp"

namespace socksify::relay {

Limits::ClientKey Limits::key_of(const Host& client) {
    const auto host = client.unmapped();
    return std::string(as_text(host.octets().first(std::min<std::size_t>(host.octets().size(), 8))));
}

tl::expected<Limits::Connection, Refusal> Limits::admit(const Host& client, const LimitValues& most) {
    if (connections_ >= most.connections) return tl::unexpected(Refusal::connections);
    auto key = key_of(client);
    auto& of_client = per_client_[key];
    if (of_client >= most.per_client) return tl::unexpected(Refusal::per_client);
    ++of_client;
    ++connections_;
    return Connection(*this, std::move(key));
}

Limits::Connection::~Connection() {
    if (limits_ == nullptr) return;
    --limits_->connections_;
    const auto of_client = limits_->per_client_.find(client_);
    if (--of_client->second == 0) limits_->per_client_.erase(of_client);
}

Limits::Handshake Limits::begin_handshake() {
    ++handshakes_;
    return Handshake(*this);
}

void Limits::Handshake::end() noexcept {
    if (limits_ == nullptr) return;
    auto& limits = *std::exchange(limits_, nullptr);
    --limits.handshakes_;
    limits.room_.cancel();
}

Task<> Limits::wait_for_room() {
    ErrorCode ignored; // that it was cancelled is the news
    co_await room_.async_wait(into(ignored));
}

} // namespace socksify::relay
