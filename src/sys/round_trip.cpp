#include "sys/round_trip.hpp"

#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <cstddef>
#include <linux/tcp.h> // glibc's tcp_info ends before tcpi_min_rtt; both headers can't be had in one file

namespace socksify::sys {

std::chrono::microseconds round_trip(int fd) noexcept {
    const KeepErrno keep;
    tcp_info info{};
    socklen_t size = sizeof info;
    if (real::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
    if (size < offsetof(tcp_info, tcpi_min_rtt) + sizeof info.tcpi_min_rtt) return {};
    return std::chrono::microseconds(info.tcpi_min_rtt);
}

} // namespace socksify::sys
