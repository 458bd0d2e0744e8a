#include "shim/networks.hpp"

#include "shim/names.hpp"
#include "shim/route.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <array>
#include <strings.h>

namespace socksify::shim {
namespace {

bool has_name(const netent& entry, const char* name) noexcept {
    if (strcasecmp(entry.n_name, name) == 0) return true;
    for (char** alias = entry.n_aliases; *alias != nullptr; ++alias)
        if (strcasecmp(*alias, name) == 0) return true;
    return false;
}

/// The first entry that `matches`.
template <class Matches>
Verdict<netent*> find(Matches matches) {
    if (all_is_direct()) return Verdict<netent*>::pass();
    setnetent(0);
    netent* found = nullptr;
    while ((found = getnetent()) != nullptr && !matches(*found)) {
    }
    endnetent();
    if (found == nullptr) h_errno = HOST_NOT_FOUND;
    return Verdict<netent*>::done(found);
}

template <class Matches>
Verdict<> find_r(netent* entry, char* buffer, std::size_t size, netent** result, int* h_error,
                 Matches matches) {
    if (all_is_direct()) return Verdict<>::pass();
    setnetent(0);
    int error = 0;
    do {
        error = getnetent_r(entry, buffer, size, result, h_error);
    } while (error == 0 && *result != nullptr && !matches(**result));
    endnetent();
    if (error == ERANGE) return Verdict<>::fail(ERANGE, ERANGE);
    if (error == 0 && *result != nullptr) return Verdict<>::done(0);
    *result = nullptr;
    *h_error = HOST_NOT_FOUND;
    return Verdict<>::done(0);
}

auto of_name(const char* name) {
    return [name](const netent& entry) { return has_name(entry, name); };
}
auto of_number(std::uint32_t network, int type) {
    return [=](const netent& entry) {
        return entry.n_net == network && (type == AF_UNSPEC || entry.n_addrtype == type);
    };
}

} // namespace

Verdict<netent*> getnetbyname(const char* name) { return find(of_name(name)); }
Verdict<netent*> getnetbyaddr(std::uint32_t network, int type) { return find(of_number(network, type)); }

Verdict<> getnetbyname_r(const char* name, netent* entry, char* buffer, std::size_t size, netent** result,
                         int* h_error) {
    return find_r(entry, buffer, size, result, h_error, of_name(name));
}
Verdict<> getnetbyaddr_r(std::uint32_t network, int type, netent* entry, char* buffer, std::size_t size,
                         netent** result, int* h_error) {
    return find_r(entry, buffer, size, result, h_error, of_number(network, type));
}

Verdict<long> gethostid() {
    std::array<char, 256> name{};
    if (access("/etc/hostid", R_OK) == 0 || gethostname(name.data(), name.size() - 1) != 0 ||
        answer_for(name.data(), AF_INET).kind == NameAnswer::Kind::system)
        return Verdict<long>::pass();
    return Verdict<long>::done(0);
}

} // namespace socksify::shim
