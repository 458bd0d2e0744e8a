// A program that asks a name server by itself, as dig and c-ares do.
#include "victim.hpp"

#include <resolv.h>

using namespace victim;

namespace {

using Octets = std::vector<unsigned char>;

Octets question(const std::string& name, int type) {
    Octets message(512);
    const int size = res_mkquery(ns_o_query, name.c_str(), ns_c_in, type, nullptr, 0, nullptr, message.data(),
                                 static_cast<int>(message.size()));
    message.resize(static_cast<std::size_t>(std::max(size, 0)));
    return message;
}

void show(const Octets& query, const unsigned char* answer, long size) {
    if (size < 0) return say("no answer: %s", error_name(errno).c_str());
    ns_msg message;
    if (ns_initparse(answer, static_cast<int>(size), &message) != 0) return say("no DNS message");
    say("code %d, %d answers, the same ID: %s", static_cast<int>(ns_msg_getflag(message, ns_f_rcode)),
        ns_msg_count(message, ns_s_an), answer[0] == query[0] && answer[1] == query[1] ? "yes" : "no");
    ns_rr record;
    if (ns_msg_count(message, ns_s_an) == 0 || ns_parserr(&message, ns_s_an, 0, &record) != 0) return;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (ns_rr_type(record) == ns_t_a) inet_ntop(AF_INET, ns_rr_rdata(record), text.data(), text.size());
    const std::string_view address(text.data());
    say("  type %d%s", static_cast<int>(ns_rr_type(record)),
        address.starts_with("198.18.") || address.starts_with("198.19.") ? ", of the pool" : "");
}

void ask(int fd, const Address* to, const Octets& query) {
    const auto sent = to != nullptr ? sendto(fd, query.data(), query.size(), 0, to->get(), to->size)
                                    : send(fd, query.data(), query.size(), 0);
    say("sent: %s", sent == static_cast<ssize_t>(query.size()) ? "all" : error_name(errno).c_str());
    pollfd answer{fd, POLLIN, 0};
    if (poll(&answer, 1, patience) != 1) return say("nothing comes");
    std::array<unsigned char, 1024> octets{};
    Address from;
    from.size = sizeof from.storage;
    const auto size = recvfrom(fd, octets.data(), octets.size(), 0, from.get(), &from.size);
    show(query, octets.data(), size);
    say("from %s", text_of(from).c_str());
}

/// SERVER NAME: by UDP, connected and not, blocking and not.
void by_udp(const Arguments& words) {
    const auto server = address_of(words[0]);
    const std::string name(words[1]);
    for (const int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
        const int fd = socket(server.family(), SOCK_DGRAM | flags, 0);
        for (const int type :
             {static_cast<int>(ns_t_a), static_cast<int>(ns_t_aaaa), static_cast<int>(ns_t_mx)})
            ask(fd, &server, question(name, type));
        told("connect", connect_to(fd, server));
        observe_peer(fd);
        ask(fd, nullptr, question(name, ns_t_a));
        close(fd);
    }
}

/// SERVER NAME: by TCP.
void by_tcp(const Arguments& words) {
    const auto server = address_of(words[0]);
    const int fd = tcp_socket(server.family());
    if (told("connect", connect_to(fd, server)) != 0) return;
    const auto query = question(std::string(words[1]), ns_t_mx);
    Octets framed{static_cast<unsigned char>(query.size() >> 8), static_cast<unsigned char>(query.size())};
    framed.insert(framed.end(), query.begin(), query.end());
    told("send", send(fd, framed.data(), framed.size(), 0) > 0 ? 0 : -1);
    std::array<unsigned char, 1024> octets{};
    const auto size = recv(fd, octets.data(), octets.size(), 0);
    show(query, octets.data() + 2, size - 2);
}

} // namespace

int main(int argc, char** argv) { return run(argc, argv, {{"by_udp", by_udp, 2}, {"by_tcp", by_tcp, 2}}); }
