// One question to a proxy: can we speak to it, and what does it say to LIST-FEATURES?
//
// A connection of its own, blocking with the upstream's own timeouts, driven through the same handshake
// machine as the library's. What the machine does not need but people do is kept beside it: times, and the
// octets of the answer.
#pragma once

#include "policy/plan.hpp"

namespace socksify::ctl {

struct Probe {
    enum class Outcome : std::uint8_t {
        listed,      ///< `features`
        no_features, ///< it speaks SOCKS5 and lets us in, but has no LIST-FEATURES: `refusal`
        unusable,    ///< `problem`
    };
    /// How servers say that they have no LIST-FEATURES.
    enum class Refusal : std::uint8_t {
        none,
        replied,   ///< a whole reply with a REP other than 0: `reply`
        cut_short, ///< REP and not all of the address, then the end or nothing more
        closed,    ///< the connection, without an octet
        silent,    ///< nothing until the timeout
        garbage,   ///< octets that are neither a reply nor a list
    };

    Outcome outcome = Outcome::unusable;
    std::string problem;     ///< in words; may hold text that came from the proxy, made harmless
    std::string advice;      ///< what to do about it; may be empty
    Endpoint address;        ///< that was reached, or tried last
    bool is_reached = false; ///< TCP connected
    Method method = Method::no_acceptable; ///< that the proxy chose
    Refusal refusal = Refusal::none;
    Reply reply = Reply::succeeded;
    std::vector<std::uint8_t> answer; ///< the octets that the last message we waited for brought
    FeatureList features;
    Host client; ///< our address on the connection
    // Milliseconds; 0: it did not come to that.
    double connect_ms = 0;    ///< until TCP was connected: one round trip
    double round_trip_ms = 0; ///< greeting → method: one round trip, and the proxy's thinking
    double features_ms = 0;   ///< LIST-FEATURES → the end of its answer
};

/// `host_of_interest`: the destination that the features are asked for; 0.0.0.0:0 for none in particular.
Probe probe(const policy::Upstream& upstream, const Endpoint& host_of_interest = {});

/// "REP 07 (command not supported)", "it closed the connection without a word", …
std::string describe_refusal(const Probe& probe);

/// "listed", "replied", "cut short", "closed", "silent", "garbage" or "not asked", for JSON.
std::string_view word_for(const Probe& probe) noexcept;

} // namespace socksify::ctl
