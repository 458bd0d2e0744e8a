// getaddrinfo and its kin: names become pool addresses, unless the rules have them resolved here.
#pragma once

#include "shim/verdict.hpp"
#include "socksify/endpoint.hpp"

#include <netdb.h>

namespace socksify::shim {

/// What a name is answered with.
struct NameAnswer {
    enum class Kind : std::uint8_t {
        system,  ///< the machine's own resolver
        address, ///< this address, and no question to anybody
        none,    ///< there can be no such name
        full,    ///< the pool has no address left
    } kind;
    Host address;
};
/// `name` is no literal. `family` AF_INET6 asks for an IPv6 address; anything else gets IPv4.
NameAnswer answer_for(std::string_view name, int family);

/// Whether a reverse look-up of `address` may ask the machine's resolver: only what goes there directly may.
bool may_ask_locally(const Host& address);

Verdict<> getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** list);
Verdict<> getnameinfo(const sockaddr* address, socklen_t address_size, char* host, socklen_t host_size,
                      char* service, socklen_t service_size, int flags);

/// gethostbyname_r and gethostbyname2_r (`family` 0: the former). `*result` and the return value as
/// documented there.
Verdict<> gethostbyname_r(const char* name, int family, hostent* entry, char* buffer, size_t size,
                          hostent** result, int* h_error);
Verdict<> gethostbyaddr_r(const void* address, socklen_t address_size, int family, hostent* entry,
                          char* buffer, size_t size, hostent** result, int* h_error);
/// The forms that answer in static storage of their own, like libc's: not for threads.
Verdict<hostent*> gethostbyname(const char* name, int family);
Verdict<hostent*> gethostbyaddr(const void* address, socklen_t size, int family);

} // namespace socksify::shim
