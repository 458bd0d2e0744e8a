// The protocol's numbers in words, as people know them.
#pragma once

#include "policy/config.hpp"
#include "socksify/features.hpp"

namespace socksify::ctl {

/// "user name and password (02)".
std::string name_of(Method method);
/// "UDP ASSOCIATE"; "command a0".
std::string name_of(Command command);
/// "host name"; "type 08".
std::string name_of(AddressType type);
/// "client's address"; "restriction 07".
std::string name_of(Scope scope);
std::string_view name_of(policy::Discover discover) noexcept; ///< as in a rules file
std::string_view name_of(policy::Action::Kind kind) noexcept; ///< "direct", "block", "via"
std::string_view name_of(policy::Loopback loopback) noexcept; ///< as in a rules file
/// "EACCES".
std::string name_of_error(int error);

} // namespace socksify::ctl
