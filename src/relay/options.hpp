// The command line.
#pragma once

#include "relay/config.hpp"

#include <sys/types.h>

namespace socksify::relay {

struct Options {
    enum class Mode : std::uint8_t { serve, check, hash_password, embedded, help, version };
    Mode mode = Mode::serve;
    std::string config_file = "/etc/socksify/relay.json";
    pid_t watch_pid = 0;         ///< of `embedded`
    bool allow_loopback = false; ///< of `embedded`
    HostsTable hosts;            ///< of `embedded`
};

/// On failure: what is wrong, as a sentence.
tl::expected<Options, std::string> parse_options(std::span<const char* const> arguments);

extern const std::string_view usage;

} // namespace socksify::relay
