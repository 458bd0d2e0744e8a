// Names of networks, and this host's number. libc may ask a name server for either.
#pragma once

#include "shim/verdict.hpp"

#include <cstdint>
#include <netdb.h>

namespace socksify::shim {

// By /etc/networks alone, unless all goes directly. The _r forms return 0 or an errno, and set `*result`.

Verdict<netent*> getnetbyname(const char* name);
Verdict<netent*> getnetbyaddr(std::uint32_t network, int type);
Verdict<> getnetbyname_r(const char* name, netent* entry, char* buffer, std::size_t size, netent** result,
                         int* h_error);
Verdict<> getnetbyaddr_r(std::uint32_t network, int type, netent* entry, char* buffer, std::size_t size,
                         netent** result, int* h_error);

/// Without a number in /etc/hostid, libc makes one of the address that it finds for the host's name: 0 where
/// the rules would not have that looked up.
Verdict<long> gethostid();

} // namespace socksify::shim
