// Names that this machine knows by itself: /etc/hosts, and its own.
#pragma once

#include "socksify/endpoint.hpp"

#include <optional>

namespace socksify::sys {

/// What a file in the form of hosts(5) says of a name.
struct HostsEntry {
    bool known = false;          ///< the name stands there
    std::optional<Host> address; ///< the first of the family asked for
};

/// `text` as hosts(5): addresses with names, # begins a comment. `family` AF_INET, AF_INET6, or anything else
/// for either.
HostsEntry look_up_hosts(std::string_view text, std::string_view name, int family) noexcept;
/// /etc/hosts, and the machine's own name (gethostname), which is 127.0.0.1 and ::1 if the file does not know
/// better.
HostsEntry look_up_this_machine(std::string_view name, int family);

} // namespace socksify::sys
