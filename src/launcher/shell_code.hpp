// What `eval` makes a running shell use.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace socksify::launcher {

using Variables = std::vector<std::pair<std::string, std::string>>; ///< name, value

/// For any POSIX shell: exports `set`, and defines socksify_off, which puts back what this process's
/// environment has. A shell that goes this way already (its LD_PRELOAD begins with `library`) is put back to
/// where nothing is set: what it was before is not known any more.
std::string shell_code(const Variables& set, const std::string& library);

} // namespace socksify::launcher
