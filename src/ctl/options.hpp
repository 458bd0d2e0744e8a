// The command line.
#pragma once

#include "socksify/endpoint.hpp"

#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace socksify::ctl {

struct Options {
    enum class Command : std::uint8_t { check, explain, features, doctor, help, version };

    Command command = Command::help;
    bool json = false;
    bool verbose = false;
    std::string config_file; ///< -c, or check's operand
    std::string proxy_url;   ///< -p; not together with a file

    // explain
    Endpoint destination;
    std::string program; ///< as it was written: a path, or a name to be looked up in PATH; empty: not said
    bool udp = false;
    bool ask = false; ///< the proxy, for its features

    std::string upstream; ///< of features; empty: all of them

    // doctor
    std::vector<std::string> command_line;
    std::string library; ///< empty: the one that belongs to this program
};

/// The error is one line, without the name of the program. It shows nothing that stands before an @.
tl::expected<Options, std::string> parse_options(std::span<const char* const> arguments);

extern const std::string_view usage;

} // namespace socksify::ctl
