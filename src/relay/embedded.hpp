// The relay of one command: on a free port of loopback, with credentials made for it, and gone when the
// command is.
#pragma once

#include "relay/options.hpp"

namespace socksify::relay {

/// Prints the proxy's URL and leaves the rest to a process of its own. The exit status of this one.
int run_embedded(const Options& options);

} // namespace socksify::relay
