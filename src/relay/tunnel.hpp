// Two connections joined: what one side says the other hears, until both have said all.
//
// An end of file in one direction is passed on as that, and the other direction goes on. A reset is passed on
// as a reset, never as an end of file: the program must not take half a file for a whole one. It is passed on
// only when everything that came before it has arrived, because on this side too it would overtake what lies
// in the send buffer.
#pragma once

#include "relay/context.hpp"

namespace socksify::relay {

/// What the log says of a connection.
struct Story {
    std::uint64_t id = 0;
    Endpoint client;
    std::string user;
    Endpoint destination; ///< as the client said it
    Endpoint address;     ///< where it went
};

class Tunnel : public std::enable_shared_from_this<Tunnel>, public Ongoing {
public:
    /// `early`: what the client has sent behind its request.
    Tunnel(Context& context, std::shared_ptr<const Config> config, Limits::Connection ticket, Socket client,
           Socket remote, Bytes early, Story story);
    ~Tunnel() override;

    /// It lives on by itself until it is over.
    void start();
    void close() override;

private:
    struct Way {
        Way(Depot& depot, Socket& source, Socket& sink) noexcept : flow(depot), from(source), to(sink) {}
        Flow flow;
        Socket& from;
        Socket& to;
        bool over = false;
        bool unwritable = false;
    };

    Task<> carry(Way& way, const Way& back);
    Task<> reset(Socket& side);
    void settle();
    void watch_idleness();

    Context& context_;
    std::shared_ptr<const Config> config_;
    Limits::Connection ticket_;
    Socket client_;
    Socket remote_;
    Story story_;
    Way up_;
    Way down_;
    Timer idle_;
    Clock::time_point begun_ = Clock::now();
    Clock::time_point last_move_ = begun_;
    std::string_view ending_ = "eof";
};

} // namespace socksify::relay
