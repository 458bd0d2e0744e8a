// Names to addresses, and back.
#include "shim/names.hpp"

#include "shim/hooks/hook.hpp"

#include <memory>
#include <new>

namespace {

using shim::Verdict;

/// These functions have words of their own for what went wrong.
template <class Decide, class Real>
int settle_by_code(Decide decide, Real real) {
    const auto guarded = [&] {
        try {
            return decide();
        } catch (const std::bad_alloc&) {
            return Verdict<>::done(EAI_MEMORY);
        }
    };
    return shim::settle(guarded, real);
}

template <class Decide, class Real>
int settle_host(hostent** result, int* h_error, Decide decide, Real real) {
    const auto guarded = [&] {
        try {
            return decide();
        } catch (const std::bad_alloc&) {
            *result = nullptr;
            *h_error = NETDB_INTERNAL;
            return Verdict<>::fail(ENOMEM, ENOMEM);
        }
    };
    return shim::settle(guarded, real);
}

template <class Decide, class Real>
hostent* settle_static_host(Decide decide, Real real) {
    const auto guarded = [&] {
        try {
            return decide();
        } catch (const std::bad_alloc&) {
            h_errno = NETDB_INTERNAL;
            throw;
        }
    };
    return shim::settle(guarded, real);
}

} // namespace

EXPORT int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** list) {
    return settle_by_code([&] { return shim::getaddrinfo(node, service, hints, list); },
                          [&] { return real::getaddrinfo(node, service, hints, list); });
}

EXPORT int getnameinfo(const sockaddr* address, socklen_t address_size, char* host, socklen_t host_size,
                       char* service, socklen_t service_size, int flags) {
    return settle_by_code(
        [&] {
            return shim::getnameinfo(address, address_size, host, host_size, service, service_size, flags);
        },
        [&] {
            return real::getnameinfo(address, address_size, host, host_size, service, service_size, flags);
        });
}

// What needs no question is answered on the spot; the rest, if any, is libc's, and so is the notification.
EXPORT int getaddrinfo_a(int mode, gaicb** requests, int count, sigevent* event) {
    if (count <= 0 || requests == nullptr) return real::getaddrinfo_a(mode, requests, count, event);
    const auto size = static_cast<std::size_t>(count);
    const std::unique_ptr<gaicb*[]> for_libc(new (std::nothrow) gaicb*[size]);
    if (!for_libc) return EAI_MEMORY;
    for (std::size_t i = 0; i < size; ++i) {
        auto* request = for_libc[i] = requests[i];
        if (request == nullptr) continue;
        bool answered = true;
        const auto answer = [&] {
            return shim::getaddrinfo(request->ar_name, request->ar_service, request->ar_request,
                                     &request->ar_result);
        };
        const int result = settle_by_code(answer, [&] { return (answered = false, 0); });
        if (!answered) continue;
        request->__return = result;
        for_libc[i] = nullptr; // libc passes over it
    }
    return real::getaddrinfo_a(mode, for_libc.get(), count, event);
}

EXPORT hostent* gethostbyname(const char* name) {
    return settle_static_host([&] { return shim::gethostbyname(name, 0); },
                              [&] { return real::gethostbyname(name); });
}

EXPORT hostent* gethostbyname2(const char* name, int family) {
    return settle_static_host([&] { return shim::gethostbyname(name, family); },
                              [&] { return real::gethostbyname2(name, family); });
}

EXPORT int gethostbyname_r(const char* name, hostent* entry, char* buffer, size_t size, hostent** result,
                           int* h_error) {
    return settle_host(
        result, h_error, [&] { return shim::gethostbyname_r(name, 0, entry, buffer, size, result, h_error); },
        [&] { return real::gethostbyname_r(name, entry, buffer, size, result, h_error); });
}

EXPORT int gethostbyname2_r(const char* name, int family, hostent* entry, char* buffer, size_t size,
                            hostent** result, int* h_error) {
    return settle_host(
        result, h_error,
        [&] { return shim::gethostbyname_r(name, family, entry, buffer, size, result, h_error); },
        [&] { return real::gethostbyname2_r(name, family, entry, buffer, size, result, h_error); });
}

EXPORT hostent* gethostbyaddr(const void* address, socklen_t size, int family) {
    return settle_static_host([&] { return shim::gethostbyaddr(address, size, family); },
                              [&] { return real::gethostbyaddr(address, size, family); });
}

EXPORT int gethostbyaddr_r(const void* address, socklen_t address_size, int family, hostent* entry,
                           char* buffer, size_t size, hostent** result, int* h_error) {
    return settle_host(
        result, h_error,
        [&] {
            return shim::gethostbyaddr_r(address, address_size, family, entry, buffer, size, result, h_error);
        },
        [&] {
            return real::gethostbyaddr_r(address, address_size, family, entry, buffer, size, result, h_error);
        });
}
