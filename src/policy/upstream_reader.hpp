// One proxy's settings in the rules file: address, credentials, timeouts.
#pragma once

#include "policy/config.hpp"
#include "policy/document_reader.hpp"

namespace socksify::policy {

/// Reads a member of "upstreams". What is not fit is told to `in`; the answer is then not to be used, except
/// for its name.
Upstream read_upstream(DocumentReader& in, const json::Member& member, const Node& node);

/// What is amiss between a username and a password. RFC 1929 has no empty username; an empty password (Tor
/// tells circuits apart by username alone) has to be asked for.
std::optional<Misfit> credential_gap(bool has_username, bool has_password);

} // namespace socksify::policy
