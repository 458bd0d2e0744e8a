// The Feature Description List of a configuration (draft-ietf-aft-socks-ext-00).
#pragma once

#include "relay/config.hpp"
#include "socksify/features.hpp"

namespace socksify::relay {

/// What the relay tells `caller`, whose LIST-FEATURES named `host_of_interest` (0.0.0.0: none). `load` is
/// 0..1.
///
/// CONNECT and UDP ASSOCIATE are in the list if the rules let the caller reach some destination; with
/// `per_destination`, that one. SCOPE names what that hangs on, and nothing else.
FeatureList list_features(const Config& config, const Caller& caller, const Endpoint& host_of_interest,
                          double load);

/// The list as it goes on the wire, with its END, or as `test_behaviour` spoils it.
std::vector<std::uint8_t> encode_list(const FeatureList& list, const TestBehaviour& test);

} // namespace socksify::relay
