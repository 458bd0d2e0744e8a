// What stands on the launcher's command line.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

namespace socksify::launcher {

struct Options {
    enum class Show : std::uint8_t { nothing, help, version, shell };

    Show show = Show::nothing;
    bool relay = false;
    bool listen = false;   ///< -l
    std::string proxy;     ///< -p
    std::string config;    ///< -c: an absolute path to a file that can be read
    std::string log_level; ///< -v, -q: a value of SOCKSIFY_LOG; empty: as it is
    std::string log_file;  ///< -o: an absolute path to a file that can be written
    int command = 0;       ///< index of COMMAND among the arguments; of Show::nothing
};

/// A sentence for people on failure, with the usage where that helps.
tl::expected<Options, std::string> parse_options(int count, char** arguments);

extern const char* const usage;

} // namespace socksify::launcher
