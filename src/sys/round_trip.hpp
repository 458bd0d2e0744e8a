// How far away the other side of a connection is.
#pragma once

#include <chrono>

namespace socksify::sys {

/// The shortest round trip that the kernel has seen on a TCP connection; zero if it can't be told.
std::chrono::microseconds round_trip(int fd) noexcept;

} // namespace socksify::sys
