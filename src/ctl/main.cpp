// socksifyctl: looks at the rules, the proxies and the programs, and says what the library would make of
// them.
#include "ctl/commands.hpp"

#include <cstdio>

namespace socksify::ctl {
namespace {

int fail(int status, const std::string& why) {
    std::fprintf(stderr, "socksifyctl: %s\n", why.c_str());
    return status;
}

int print(const std::string& text, int status) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
        return status;
    return fail(1, "standard output can't be written");
}

int print(const Options& options, const Answer& answer) {
    return print(options.json ? serialized(answer.json) : answer.text, answer.fine ? 0 : 1);
}

int run(std::span<const char* const> arguments) {
    const auto options = parse_options(arguments);
    if (!options) return fail(2, options.error() + " (socksifyctl --help)");
    switch (options->command) {
    case Options::Command::check: return print(*options, check(*options));
    case Options::Command::explain: return print(*options, explain(*options));
    case Options::Command::features: return print(*options, features(*options));
    case Options::Command::doctor: return print(*options, doctor(*options));
    case Options::Command::help: return print(std::string(usage), 0);
    case Options::Command::version: return print("socksifyctl " SOCKSIFY_VERSION "\n", 0);
    }
    return 2;
}

} // namespace
} // namespace socksify::ctl

int main(int argc, char** argv) {
    using namespace socksify::ctl;
    try {
        return run({argv + 1, argv + argc});
    } catch (const WrongUsage& wrong) {
        return fail(2, wrong.why + " (socksifyctl --help)");
    } catch (const std::bad_alloc&) {
        return fail(1, "out of memory");
    }
}
