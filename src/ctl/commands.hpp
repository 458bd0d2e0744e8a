// The four commands. Each answers with a text for people and the same as JSON, and says whether all is fine.
#pragma once

#include "ctl/options.hpp"
#include "ctl/output.hpp"

namespace socksify::ctl {

Answer check(const Options& options);
Answer explain(const Options& options);
Answer features(const Options& options);
Answer doctor(const Options& options);

/// What can't be answered, because of what was asked: shown on stderr, exit status 2.
struct WrongUsage {
    std::string why;
};

} // namespace socksify::ctl
