// One listening socket: takes connections while there is room, and makes a session of each.
#pragma once

#include "relay/context.hpp"

namespace socksify::relay {

/// A socket that listens there. On failure: why, as a sentence.
tl::expected<Fd, std::string> open_listener(const Endpoint& address, bool fast_open = false);
/// Where a listening socket really listens: port 0 was a wish for any.
Endpoint address_of(const Fd& listener);

class Listener : public std::enable_shared_from_this<Listener> {
public:
    /// `wanted` is the address as it was configured.
    Listener(Context& context, std::shared_ptr<const Config> config, Fd socket, const Endpoint& wanted);

    void start();
    void close();
    /// For connections from now on.
    void use(std::shared_ptr<const Config> config);
    [[nodiscard]] const Endpoint& wanted() const noexcept { return wanted_; }

private:
    Task<> accept();
    void take(Socket client, const Endpoint& address);
    Task<> pause(const ErrorCode& error);

    Context& context_;
    std::shared_ptr<const Config> config_;
    Endpoint wanted_;
    Acceptor acceptor_;
    Timer pause_;
    Clock::time_point quiet_until_{}; ///< when the log may be told again that nothing more is accepted
};

} // namespace socksify::relay
