#include "sys/resolv_conf.hpp"

#include "sys/read_file.hpp"

#include <algorithm>
#include <atomic>
#include <memory>

namespace socksify::sys {

std::vector<Host> name_servers_in(std::string_view text) {
    constexpr std::size_t most = 3; // MAXNS
    constexpr std::string_view blanks = " \t", keyword = "nameserver";
    std::vector<Host> servers;
    while (!text.empty() && servers.size() < most) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (!line.starts_with(keyword)) continue;
        line.remove_prefix(keyword.size());
        const auto begin = line.find_first_not_of(blanks);
        if (begin == 0 || begin == line.npos) continue;
        auto address = line.substr(begin);
        address = address.substr(0, address.find_first_of(" \t\r%")); // a scope id is no part of the address
        const auto host = Host::parse(address);
        if (host && !host->is_name()) servers.push_back(host->unmapped());
    }
    if (servers.empty()) servers.push_back(Host::ipv4({127, 0, 0, 1}));
    return servers;
}

bool is_own_name_server(const Host& address) {
    static constinit std::atomic<const std::vector<Host>*> known{nullptr};
    const auto* servers = known.load(std::memory_order_acquire);
    if (servers == nullptr) {
        auto mine = std::make_unique<const std::vector<Host>>(
            name_servers_in(read_file("/etc/resolv.conf").value_or(std::string())));
        if (known.compare_exchange_strong(servers, mine.get())) servers = mine.release();
    }
    return std::find(servers->begin(), servers->end(), address.unmapped()) != servers->end();
}

} // namespace socksify::sys
