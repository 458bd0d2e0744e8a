#include "relay/limits.hpp"

namespace socksify::relay {

Limits::ClientKey Limits::key_of(const Host& client) {
    const auto host = client.unmapped();
    return std::string(as_text(host.octets().first(std::min<std::size_t>(host.octets().size(), 8))));
}

bool Limits::count(PerClient& all, const ClientKey& client, unsigned most) {
    auto& of_client = all[client];
    if (of_client >= most) return false;
    ++of_client;
    return true;
}

void Limits::count_down(PerClient& all, const ClientKey& client) {
    const auto of_client = all.find(client);
    if (--of_client->second == 0) all.erase(of_client);
}

tl::expected<Limits::Connection, Refusal> Limits::admit(const Host& client, const LimitValues& most) {
    if (connections_ >= most.connections) return tl::unexpected(Refusal::connections);
    auto key = key_of(client);
    if (!count(per_client_, key, most.per_client)) return tl::unexpected(Refusal::per_client);
    ++connections_;
    return Connection(*this, std::move(key));
}

Limits::Connection::~Connection() {
    if (limits_ == nullptr) return;
    --limits_->connections_;
    count_down(limits_->per_client_, client_);
}

std::optional<Limits::OfClient> Limits::admit(PerClient& all, ClientKey client, unsigned most) {
    if (!count(all, client, most)) return {};
    return OfClient(all, std::move(client));
}

std::optional<Limits::Association> Limits::admit_association(const Host& client, const LimitValues& most) {
    return admit(associations_, key_of(client), most.associations);
}

std::optional<Limits::Listener> Limits::admit_listener(const Host& client, const std::string& user,
                                                       const LimitValues& most) {
    if (!user.empty()) return admit(listeners_of_users_, user, most.listeners);
    return admit(listeners_, key_of(client), most.listeners);
}

Limits::OfClient::~OfClient() {
    if (all_ != nullptr) count_down(*all_, client_);
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
