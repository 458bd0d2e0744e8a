#include "sys/resolv_conf.hpp"

#include "doctest/doctest.h"

using namespace socksify;
using namespace socksify::sys;

namespace {

std::vector<std::string> servers(std::string_view text) {
    std::vector<std::string> out;
    for (const auto& host : name_servers_in(text)) out.push_back(host.text());
    return out;
}

} // namespace

TEST_CASE("name servers are read as libc reads them") {
    using List = std::vector<std::string>;
    CHECK(servers("nameserver 192.0.2.53\n") == List{"192.0.2.53"});
    CHECK(
        servers("# nameserver 192.0.2.1\nsearch example\nnameserver\t2001:db8::53 \nnameserver 192.0.2.53") ==
        List{"2001:db8::53", "192.0.2.53"});
    CHECK(servers("nameserver fe80::1%eth0\n") == List{"fe80::1"});
    CHECK(servers("nameserver ::ffff:192.0.2.53\n") == List{"192.0.2.53"});
    CHECK(
        servers("nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4\n").size() ==
        3);
}

TEST_CASE("without a line that names one, it is this machine") {
    for (const auto* text : {"", "nameserver", "nameserver \n", "nameservers 192.0.2.1\n",
                             "nameserver dns.example\n", " nameserver 192.0.2.1\n"})
        CHECK_MESSAGE(servers(text) == std::vector<std::string>{"127.0.0.1"}, text);
}
