// A small file, whole.
#pragma once

#include <cerrno>
#include <optional>
#include <string>

namespace socksify::sys {

/// The file's octets, or nothing with errno; EFBIG above 1 MiB.
std::optional<std::string> read_file(const std::string& path);

/// Whether a file could not be opened or read for want of something, and may be the next time.
constexpr bool may_pass(int error) noexcept {
    switch (error) {
    case EAGAIN:
    case EINTR:
    case EIO:
    case EMFILE:
    case ENFILE:
    case ENOMEM: return true;
    default: return false;
    }
}

} // namespace socksify::sys
