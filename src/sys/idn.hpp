// International names (RFC 5891), for AI_IDN.
#pragma once

#include <optional>
#include <string>

namespace socksify::sys {

/// `name`, in the locale's encoding, as DNS has it: "bücher.example" → "xn--bcher-kva.example"; an ASCII name
/// as it is. By libidn2, as libc does it; nothing if that is not there or refuses.
std::optional<std::string> to_ascii_name(const char* name);

} // namespace socksify::sys
