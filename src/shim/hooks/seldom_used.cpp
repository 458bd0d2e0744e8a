// Doors that few programs still use: libc's second names for its own functions, the BSD remote commands, and
// look-ups that may ask a name server by a way of their own.
#include "shim/networks.hpp"
#include "shim/processes.hpp"
#include "shim/route.hpp"

#include "shim/hooks/hook.hpp"

#include <cstdarg>
#include <cstring>
#include <wordexp.h>

EXPORT int __close(int fd) { return ::close(fd); }
EXPORT int __connect(int fd, const sockaddr* address, socklen_t size) { return ::connect(fd, address, size); }
EXPORT int __dup2(int fd, int target) { return ::dup2(fd, target); }

EXPORT int __fcntl(int fd, int command, ...) {
    std::va_list arguments;
    va_start(arguments, command);
    void* argument = va_arg(arguments, void*);
    va_end(arguments);
    return ::fcntl(fd, command, argument);
}

// They connect within libc, from a privileged port, and have the server connect back.

EXPORT int rcmd(char** host, unsigned short port, const char* local_user, const char* remote_user,
                const char* command, int* errors) {
    return shim::settle([&] { return shim::refuse_unless_all_direct(EOPNOTSUPP); },
                        [&] { return real::rcmd(host, port, local_user, remote_user, command, errors); });
}

EXPORT int rcmd_af(char** host, unsigned short port, const char* local_user, const char* remote_user,
                   const char* command, int* errors, sa_family_t family) {
    return shim::settle(
        [&] { return shim::refuse_unless_all_direct(EOPNOTSUPP); },
        [&] { return real::rcmd_af(host, port, local_user, remote_user, command, errors, family); });
}

EXPORT int rexec(char** host, int port, const char* user, const char* password, const char* command,
                 int* errors) {
    return shim::settle([&] { return shim::refuse_unless_all_direct(EOPNOTSUPP); },
                        [&] { return real::rexec(host, port, user, password, command, errors); });
}

EXPORT int rexec_af(char** host, int port, const char* user, const char* password, const char* command,
                    int* errors, sa_family_t family) {
    return shim::settle([&] { return shim::refuse_unless_all_direct(EOPNOTSUPP); },
                        [&] { return real::rexec_af(host, port, user, password, command, errors, family); });
}

/// Where there is no /etc/hostid, glibc looks the host's own name up.
EXPORT long gethostid() {
    return shim::settle([] { return shim::gethostid(); }, [] { return real::gethostid(); });
}

EXPORT int wordexp(const char* words, wordexp_t* expansion, int flags) {
    if (shim::restore_own_environment() != 0) return WRDE_NOSPACE; // a $(command) is a child
    return real::wordexp(words, expansion, flags);
}

// Networks have names too. Those of /etc/networks are known here, and nobody else is asked.

EXPORT netent* getnetbyname(const char* name) {
    return shim::settle([&] { return shim::getnetbyname(name); }, [&] { return real::getnetbyname(name); });
}

EXPORT netent* getnetbyaddr(std::uint32_t network, int type) {
    return shim::settle([&] { return shim::getnetbyaddr(network, type); },
                        [&] { return real::getnetbyaddr(network, type); });
}

EXPORT int getnetbyname_r(const char* name, netent* entry, char* buffer, size_t size, netent** result,
                          int* h_error) {
    return shim::settle([&] { return shim::getnetbyname_r(name, entry, buffer, size, result, h_error); },
                        [&] { return real::getnetbyname_r(name, entry, buffer, size, result, h_error); });
}

EXPORT int getnetbyaddr_r(std::uint32_t network, int type, netent* entry, char* buffer, size_t size,
                          netent** result, int* h_error) {
    return shim::settle(
        [&] { return shim::getnetbyaddr_r(network, type, entry, buffer, size, result, h_error); },
        [&] { return real::getnetbyaddr_r(network, type, entry, buffer, size, result, h_error); });
}
