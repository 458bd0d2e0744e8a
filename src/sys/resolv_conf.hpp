// The machine's own name servers, as resolv.conf(5) names them.
#pragma once

#include "socksify/endpoint.hpp"

#include <string_view>
#include <vector>

namespace socksify::sys {

/// The addresses on the `nameserver` lines of such a file, at most as many as libc takes (MAXNS); without
/// any, libc's own: 127.0.0.1.
std::vector<Host> name_servers_in(std::string_view text);
/// Of /etc/resolv.conf, as it was when it was first looked at. Throws std::bad_alloc.
bool is_own_name_server(const Host& address);

} // namespace socksify::sys
