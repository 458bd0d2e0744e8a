// A small file, whole.
#pragma once

#include <optional>
#include <string>

namespace socksify::sys {

/// The file's octets, or nothing with errno; EFBIG above 1 MiB.
std::optional<std::string> read_file(const std::string& path);

} // namespace socksify::sys
