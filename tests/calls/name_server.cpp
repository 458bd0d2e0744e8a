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

Octets framed(const Octets& query) {
    Octets out(2 + query.size());
    out[0] = static_cast<unsigned char>(query.size() >> 8);
    out[1] = static_cast<unsigned char>(query.size());
    std::copy(query.begin(), query.end(), out.begin() + 2);
    return out;
}

/// So many octets, or fewer if no more come.
Octets receive(int fd, std::size_t wanted) {
    Octets in;
    pollfd readable{fd, POLLIN, 0};
    while (in.size() < wanted && poll(&readable, 1, patience) == 1) {
        std::array<unsigned char, 1024> octets;
        const auto size = recv(fd, octets.data(), std::min(octets.size(), wanted - in.size()), 0);
        if (size <= 0) break;
        in.insert(in.end(), octets.begin(), octets.begin() + size);
    }
    return in;
}

void show_next(int fd, const std::vector<Octets>& queries) {
    const auto size = receive(fd, 2);
    if (size.size() != 2) return say("no more");
    const auto answer = receive(fd, static_cast<std::size_t>(size[0]) << 8 | size[1]);
    // Answers may come in any order (RFC 7766, 7).
    const auto query = std::find_if(queries.begin(), queries.end(), [&](const Octets& one) {
        return answer.size() > 12 && one[0] == answer[0] && one[1] == answer[1];
    });
    if (query == queries.end()) return say("an answer to nothing");
    show(*query, answer.data(), static_cast<long>(answer.size()));
}

/// SERVER NAME: by TCP, one after the other, at once, octet by octet, and with an end before the answers.
void by_tcp(const Arguments& words) {
    const auto server = address_of(words[0]);
    const std::string name(words[1]);
    for (const int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
        const int fd = tcp_socket(server.family(), flags);
        if (connect_to(fd, server) != 0 && errno != EINPROGRESS) {
            told("connect", -1);
            return;
        }
        await_end_of_connect(fd);
        observe_error(fd);
        observe_peer(fd);
        const std::vector queries{question(name, ns_t_a), question(name, ns_t_aaaa), question(name, ns_t_mx)};
        for (const auto& query : queries) {
            const auto out = framed(query);
            told("send", send(fd, out.data(), out.size(), 0) > 0 ? 0 : -1);
            show_next(fd, {query});
        }
        say("octet by octet");
        for (const auto octet : framed(queries[0])) send(fd, &octet, 1, 0);
        show_next(fd, queries);
        say("at once");
        Octets all;
        for (int i = 0; i < 10; ++i) {
            const auto out = framed(queries[0]);
            all.insert(all.end(), out.begin(), out.end());
        }
        told("send", send(fd, all.data(), all.size(), 0) == static_cast<ssize_t>(all.size()) ? 0 : -1);
        told("shutdown", shutdown(fd, SHUT_WR));
        for (int i = 0; i < 10; ++i) show_next(fd, queries);
        show_next(fd, queries);
        close(fd);
    }
}

/// SERVER: what is no question.
void nonsense(const Arguments& words) {
    const auto server = address_of(words[0]);
    const int fd = tcp_socket(server.family());
    told("connect", connect_to(fd, server));
    const std::string_view octets("\0\5hello", 7);
    told("send", send(fd, octets.data(), octets.size(), 0));
    show_next(fd, {});
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv, {{"by_udp", by_udp, 2}, {"by_tcp", by_tcp, 2}, {"nonsense", nonsense, 1}});
}
