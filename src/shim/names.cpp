#include "shim/names.hpp"

#include "policy/rules.hpp"
#include "sys/address.hpp"
#include "sys/hosts_file.hpp"
#include "sys/idn.hpp"
#include "sys/log.hpp"
#include "sys/names.hpp"
#include "sys/real.hpp"
#include "sys/rules.hpp"

#include <arpa/inet.h>
#include <cstdlib>
#include <cstring>

namespace socksify::shim {
namespace {

namespace log = sys::log;

bool can_be_sent(std::string_view name) noexcept {
    if (name.empty() || name.size() > Host::longest_name) return false;
    for (const char c : name)
        if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == ':' || c == '[' || c == ']')
            return false;
    return true;
}

/// The canonical name of a pool address is the name that was asked for.
bool set_canonical_name(addrinfo* list, const char* node) {
    if (list->ai_canonname == nullptr) return true;
    char* name = strdup(node);
    if (name == nullptr) return false;
    std::free(list->ai_canonname); // freeaddrinfo() frees it so, too
    list->ai_canonname = name;
    return true;
}

/// The fields of a hostent laid out in the caller's buffer. False if it is too small.
bool fill(hostent* entry, char* buffer, std::size_t size, std::string_view name, const Host& address) {
    const auto octets = address.octets();
    struct Pointers {
        char* aliases[1];
        char* addresses[2];
    };
    const auto misaligned = reinterpret_cast<std::uintptr_t>(buffer) % alignof(Pointers);
    const auto padding = misaligned == 0 ? 0 : alignof(Pointers) - misaligned;
    if (size < padding + sizeof(Pointers) + octets.size() + name.size() + 1) return false;
    auto* pointers = reinterpret_cast<Pointers*>(buffer + padding);
    char* at = buffer + padding + sizeof(Pointers);
    std::memcpy(at, octets.data(), octets.size());
    pointers->aliases[0] = nullptr;
    pointers->addresses[0] = at;
    pointers->addresses[1] = nullptr;
    entry->h_name = at + octets.size();
    std::memcpy(entry->h_name, name.data(), name.size());
    entry->h_name[name.size()] = '\0';
    entry->h_aliases = pointers->aliases;
    entry->h_addrtype = octets.size() == 4 ? AF_INET : AF_INET6;
    entry->h_length = static_cast<int>(octets.size());
    entry->h_addr_list = pointers->addresses;
    return true;
}

/// Literals in every form that libc's functions of this age take.
bool is_literal(const char* name, int family) noexcept {
    in6_addr octets;
    return (family != AF_INET6 && inet_aton(name, reinterpret_cast<in_addr*>(&octets)) != 0) ||
           inet_pton(AF_INET6, name, &octets) == 1 || inet_pton(AF_INET, name, &octets) == 1;
}

std::optional<Host> host_of(const void* address, socklen_t size, int family) noexcept {
    if (family == AF_INET && size >= 4) {
        std::array<std::uint8_t, 4> octets;
        std::memcpy(octets.data(), address, octets.size());
        return Host::ipv4(octets);
    }
    if (family == AF_INET6 && size >= 16) {
        std::array<std::uint8_t, 16> octets;
        std::memcpy(octets.data(), address, octets.size());
        return Host::ipv6(octets).unmapped();
    }
    return {};
}

Verdict<> fail_lookup(hostent** result, int* h_error, int why, int error) {
    *result = nullptr;
    *h_error = why;
    return Verdict<>::fail(error, error); // these functions return the error as well
}

// What the non-reentrant forms answer in; as much a single place as libc's own.
hostent static_entry;
char static_buffer[512];

template <class Reentrant>
Verdict<hostent*> in_static_storage(Reentrant look_up) {
    hostent* result = nullptr;
    const auto verdict = look_up(&static_entry, static_buffer, sizeof static_buffer, &result, &h_errno);
    if (verdict.passed) return Verdict<hostent*>::pass();
    return Verdict<hostent*>::done(result);
}

} // namespace

NameAnswer answer_for(std::string_view name, int family) {
    using Kind = NameAnswer::Kind;
    const auto host = can_be_sent(name) ? Host::name(name) : std::nullopt;
    if (!host) return {Kind::none, {}};
    if (host->is_loopback()) {
        // RFC 6761 §6.3: never a question to anybody. libc may answer, with both families, if it has no need
        // to ask.
        if (sys::look_up_this_machine(name, AF_UNSPEC).known) return {Kind::system, {}};
        return {Kind::address, sys::loopback(family)};
    }
    const auto& rules = sys::rules();
    if (policy::answer_name(rules.config, *host, rules.program) == policy::NameAnswer::locally) {
        log::line(log::Level::info, "%s: resolved by this machine, as the rules say", host->text().c_str());
        return {Kind::system, {}};
    }
    // What the machine's own files say is no question to anybody; the rules then judge the address.
    if (const auto entry = sys::look_up_this_machine(name, family); entry.known)
        return entry.address ? NameAnswer{Kind::address, *entry.address} : NameAnswer{Kind::none, {}};
    // One address is enough: more would only have the program try the same name again.
    const auto address =
        sys::names::pool_address(name, family == AF_INET6 ? AddressType::ipv6 : AddressType::ipv4);
    if (!address) return {Kind::full, {}};
    if (log::enabled(log::Level::info))
        log::line(log::Level::info, "%s: left to the proxy, as %s", host->text().c_str(),
                  address->text().c_str());
    return {Kind::address, *address};
}

bool may_ask_locally(const Host& address) {
    const auto& rules = sys::rules();
    const auto decision = policy::route(
        rules.config, {address, 0, policy::Operation::connect, policy::Protocol::tcp, rules.program});
    return decision.action->kind == policy::Action::Kind::direct;
}

Verdict<> getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** list) {
    if (node == nullptr || (hints != nullptr && (hints->ai_flags & AI_NUMERICHOST) != 0))
        return Verdict<>::pass();
    addrinfo wanted{};
    if (hints != nullptr) wanted = *hints;
    else wanted.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG; // what glibc takes for no hints

    // A literal, in whatever form libc knows, is libc's; so is every complaint but "this is no literal".
    addrinfo numeric = wanted;
    numeric.ai_flags |= AI_NUMERICHOST;
    const int literal = real::getaddrinfo(node, service, &numeric, list);
    if (literal != EAI_NONAME) return Verdict<>{false, literal, literal == EAI_SYSTEM ? errno : 0};

    const auto name = (wanted.ai_flags & AI_IDN) != 0 ? sys::to_ascii_name(node) : std::string(node);
    if (!name) return Verdict<>::done(EAI_IDN_ENCODE);
    auto answer = answer_for(*name, wanted.ai_family);
    if (answer.kind == NameAnswer::Kind::none && wanted.ai_family == AF_INET6 &&
        (wanted.ai_flags & AI_V4MAPPED) != 0)
        answer = answer_for(*name, AF_INET); // of /etc/hosts, with nothing but an IPv4 address there
    switch (answer.kind) {
    case NameAnswer::Kind::system: return Verdict<>::pass();
    case NameAnswer::Kind::none: return Verdict<>::done(EAI_NONAME);
    case NameAnswer::Kind::full: return Verdict<>::done(EAI_AGAIN);
    case NameAnswer::Kind::address: break;
    }
    // libc builds the list, so that its freeaddrinfo() can take it apart.
    numeric.ai_flags &= ~(AI_ADDRCONFIG | AI_IDN);
    const int result = real::getaddrinfo(answer.address.text().c_str(), service, &numeric, list);
    if (result == 0 && !set_canonical_name(*list, node)) {
        real::freeaddrinfo(*list);
        return Verdict<>::done(EAI_MEMORY);
    }
    return Verdict<>{false, result, result == EAI_SYSTEM ? errno : 0};
}

Verdict<> getnameinfo(const sockaddr* address, socklen_t address_size, char* host, socklen_t host_size,
                      char* service, socklen_t service_size, int flags) {
    const auto endpoint = sys::to_endpoint(address, address_size);
    if (!endpoint || host == nullptr || host_size == 0 || (flags & NI_NUMERICHOST) != 0)
        return Verdict<>::pass();
    const auto meaning = sys::names::meaning_of(endpoint->host);
    if (!meaning.from_pool && may_ask_locally(endpoint->host)) return Verdict<>::pass();
    if (!meaning.name && (flags & NI_NAMEREQD) != 0) return Verdict<>::done(EAI_NONAME);
    // The number is always at hand; it gives the service, too.
    const int result = real::getnameinfo(address, address_size, host, host_size, service, service_size,
                                         (flags & ~NI_NAMEREQD) | NI_NUMERICHOST);
    if (result != 0 || !meaning.name) return Verdict<>{false, result, 0};
    const auto name = meaning.name->name();
    if (name.size() >= host_size) return Verdict<>::done(EAI_OVERFLOW);
    std::memcpy(host, name.data(), name.size());
    host[name.size()] = '\0';
    return Verdict<>::done(0);
}

Verdict<> gethostbyname_r(const char* name, int family, hostent* entry, char* buffer, size_t size,
                          hostent** result, int* h_error) {
    if (name == nullptr || is_literal(name, family)) return Verdict<>::pass();
    const auto answer = answer_for(name, family == 0 ? AF_INET : family);
    switch (answer.kind) {
    case NameAnswer::Kind::system: return Verdict<>::pass();
    case NameAnswer::Kind::none: return fail_lookup(result, h_error, HOST_NOT_FOUND, 0);
    case NameAnswer::Kind::full: return fail_lookup(result, h_error, TRY_AGAIN, EAGAIN);
    case NameAnswer::Kind::address: break;
    }
    if (!fill(entry, buffer, size, name, answer.address))
        return fail_lookup(result, h_error, NETDB_INTERNAL, ERANGE);
    *result = entry;
    *h_error = NETDB_SUCCESS;
    return Verdict<>::done(0);
}

Verdict<> gethostbyaddr_r(const void* address, socklen_t address_size, int family, hostent* entry,
                          char* buffer, size_t size, hostent** result, int* h_error) {
    const auto host = address != nullptr ? host_of(address, address_size, family) : std::nullopt;
    if (!host) return Verdict<>::pass();
    const auto meaning = sys::names::meaning_of(*host);
    if (!meaning.from_pool && may_ask_locally(*host)) return Verdict<>::pass();
    if (!meaning.name) return fail_lookup(result, h_error, HOST_NOT_FOUND, 0);
    if (!fill(entry, buffer, size, meaning.name->name(), *host))
        return fail_lookup(result, h_error, NETDB_INTERNAL, ERANGE);
    *result = entry;
    *h_error = NETDB_SUCCESS;
    return Verdict<>::done(0);
}

Verdict<hostent*> gethostbyname(const char* name, int family) {
    return in_static_storage([&](auto... rest) { return shim::gethostbyname_r(name, family, rest...); });
}

Verdict<hostent*> gethostbyaddr(const void* address, socklen_t size, int family) {
    return in_static_storage(
        [&](auto... rest) { return shim::gethostbyaddr_r(address, size, family, rest...); });
}

} // namespace socksify::shim
