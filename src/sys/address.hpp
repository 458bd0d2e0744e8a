// Between the kernel's socket addresses and the protocol's endpoints.
#pragma once

#include "socksify/endpoint.hpp"

#include <cstdint>
#include <cstring>
#include <netinet/in.h>
#include <optional>
#include <sys/socket.h>

namespace socksify::sys {

/// Null, or an offset from it: for such a pointer of the program's the kernel says EFAULT. Other bad pointers
/// can't be told without a system call.
inline bool is_nowhere(const void* pointer) noexcept {
    constexpr std::uintptr_t never_mapped = 4096; // vm.mmap_min_addr is 64 KiB on Debian, a page at least
    return reinterpret_cast<std::uintptr_t>(pointer) < never_mapped;
}

/// A socket address in place: as the program gave it, or as the kernel wants it.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
    [[nodiscard]] int family() const noexcept { return storage.ss_family; }

    friend bool operator==(const Address& a, const Address& b) noexcept {
        return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
    }
};

/// AF_UNIX; `path` of at most 107 octets.
Address unix_address(std::string_view path) noexcept;
/// A copy, of the size that its family has: a program may give more room than there is address.
Address copy_address(const sockaddr* address, socklen_t size) noexcept;
/// AF_INET and AF_INET6 of full length; nothing for any other. A scope id is lost.
std::optional<Endpoint> to_endpoint(const sockaddr* address, socklen_t size) noexcept;
/// The address of a literal for a socket of `domain`: IPv4 goes into AF_INET6 as ::ffff:a.b.c.d; IPv6 into
/// AF_INET, and a name, not at all.
std::optional<Address> to_address(const Endpoint& endpoint, int domain) noexcept;
/// 127.0.0.1, or ::1 for AF_INET6.
Host loopback(int family) noexcept;
/// getsockname() and its kin: as much of `from` as fits, and its whole size.
void put_address(const Address& from, sockaddr* to, socklen_t* size) noexcept;

} // namespace socksify::sys
