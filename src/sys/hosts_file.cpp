#include "sys/hosts_file.hpp"

#include "policy/host_name.hpp"
#include "sys/keep_errno.hpp"
#include "sys/read_file.hpp"

#include <sys/socket.h>
#include <unistd.h>

namespace socksify::sys {
namespace {

std::string_view take_word(std::string_view& line) noexcept {
    constexpr std::string_view blanks = " \t\r";
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    const auto word = line.substr(0, line.find_first_of(blanks));
    line.remove_prefix(word.size());
    return word;
}

bool is_of(const Host& host, int family) noexcept {
    if (family == AF_INET) return host.type() == AddressType::ipv4;
    if (family == AF_INET6) return host.type() == AddressType::ipv6;
    return true;
}

bool is_own_name(const policy::FoldedName& name) noexcept {
    char own[256];
    return gethostname(own, sizeof own) == 0 && policy::FoldedName(own).text() == name.text();
}

} // namespace

HostsEntry look_up_hosts(std::string_view text, std::string_view name, int family) noexcept {
    const policy::FoldedName wanted(name);
    HostsEntry found;
    while (!text.empty()) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        line = line.substr(0, line.find('#'));
        const auto address = Host::parse(take_word(line));
        if (!address || address->is_name()) continue;
        for (auto word = take_word(line); !word.empty(); word = take_word(line)) {
            if (policy::FoldedName(word).text() != wanted.text()) continue;
            found.known = true;
            if (!is_of(*address, family)) continue;
            found.address = address;
            return found;
        }
    }
    return found;
}

HostsEntry look_up_this_machine(std::string_view name, int family) {
    const KeepErrno keep;
    if (const auto text = read_file("/etc/hosts")) {
        const auto found = look_up_hosts(*text, name, family);
        if (found.known) return found;
    }
    if (!is_own_name(policy::FoldedName(name))) return {};
    return {true, family == AF_INET6 ? Host::parse("::1") : Host::parse("127.0.0.1")};
}

} // namespace socksify::sys
