// res_query and its kin, and getaddrinfo_a: the other ways to ask for a name.
#include "victim.hpp"

#include <arpa/nameser.h>
#include <csignal>
#include <netdb.h>
#include <resolv.h>

using namespace victim;

namespace {

const char* h_name(int code) {
    return code == HOST_NOT_FOUND ? "HOST_NOT_FOUND"
           : code == TRY_AGAIN    ? "TRY_AGAIN"
           : code == NO_DATA      ? "NO_DATA"
           : code == NO_RECOVERY  ? "NO_RECOVERY"
                                  : "another";
}

std::string shown(const ns_rr& record) {
    const auto* data = ns_rr_rdata(record);
    std::array<char, NS_MAXDNAME> text{};
    switch (ns_rr_type(record)) {
    case ns_t_a:
        return data[0] == 198 && (data[1] & 0xfe) == 18 ? "pool"
                                                        : inet_ntop(AF_INET, data, text.data(), text.size());
    case ns_t_aaaa:
        return data[0] == 0xfd && data[1] == 0x53 ? "pool6"
                                                  : inet_ntop(AF_INET6, data, text.data(), text.size());
    default: return "a record of type " + std::to_string(ns_rr_type(record));
    }
}

void show(const char* call, int size, const unsigned char* answer) {
    if (size < 0) return say("%s = -1, %s", call, h_name(h_errno));
    ns_msg message;
    if (ns_initparse(answer, size, &message) != 0) return say("%s: no DNS message", call);
    say("%s: code %d, %d questions, %d answers", call, static_cast<int>(ns_msg_getflag(message, ns_f_rcode)),
        ns_msg_count(message, ns_s_qd), ns_msg_count(message, ns_s_an));
    for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
        ns_rr record;
        if (ns_parserr(&message, ns_s_an, i, &record) == 0)
            say("  %s: %s", ns_rr_name(record), shown(record).c_str());
    }
}

/// NAME: by every function, for an address of each family and for what is no address.
void queries(const Arguments& words) {
    const std::string name(words[0]);
    const auto dot = name.find('.');
    std::array<unsigned char, 1024> answer{};
    const auto room = static_cast<int>(answer.size());
    struct __res_state state {};
    res_ninit(&state);
    for (const int type : {static_cast<int>(ns_t_a), static_cast<int>(ns_t_aaaa), static_cast<int>(ns_t_mx),
                           static_cast<int>(ns_t_txt), static_cast<int>(ns_t_srv)}) {
        say("%s, type %d", name.c_str(), type);
        show("res_query", res_query(name.c_str(), ns_c_in, type, answer.data(), room), answer.data());
        show("res_search", res_search(name.c_str(), ns_c_in, type, answer.data(), room), answer.data());
        show("res_querydomain",
             res_querydomain(name.substr(0, dot).c_str(), name.substr(dot + 1).c_str(), ns_c_in, type,
                             answer.data(), room),
             answer.data());
        show("res_nquery", res_nquery(&state, name.c_str(), ns_c_in, type, answer.data(), room),
             answer.data());
        show("res_nsearch", res_nsearch(&state, name.c_str(), ns_c_in, type, answer.data(), room),
             answer.data());
        show("res_nquerydomain",
             res_nquerydomain(&state, name.substr(0, dot).c_str(), name.substr(dot + 1).c_str(), ns_c_in,
                              type, answer.data(), room),
             answer.data());
        std::array<unsigned char, 512> question{};
        const int size = res_mkquery(ns_o_query, name.c_str(), ns_c_in, type, nullptr, 0, nullptr,
                                     question.data(), static_cast<int>(question.size()));
        show("res_send", res_send(question.data(), size, answer.data(), room), answer.data());
        show("res_nsend", res_nsend(&state, question.data(), size, answer.data(), room), answer.data());
    }
    res_nclose(&state);
}

// The names that these functions had in libresolv, until glibc 2.34. Newly linked programs can't have them by
// accident.
#define OLD_NAME(name) __asm__(".symver old_" #name ",__" #name "@GLIBC_2.2.5")
OLD_NAME(res_query);
OLD_NAME(res_search);
OLD_NAME(res_querydomain);
OLD_NAME(res_send);
OLD_NAME(res_nquery);
OLD_NAME(res_nsearch);
OLD_NAME(res_nquerydomain);
OLD_NAME(res_nsend);
extern "C" {
decltype(res_query) old_res_query;
decltype(res_search) old_res_search;
decltype(res_querydomain) old_res_querydomain;
decltype(res_send) old_res_send;
decltype(res_nquery) old_res_nquery;
decltype(res_nsearch) old_res_nsearch;
decltype(res_nquerydomain) old_res_nquerydomain;
decltype(res_nsend) old_res_nsend;
}

/// NAME: its address by each of them.
void old_names(const Arguments& words) {
    const std::string name(words[0]);
    const auto dot = name.find('.');
    const auto label = name.substr(0, dot), domain = name.substr(dot + 1);
    std::array<unsigned char, 1024> answer{};
    const auto room = static_cast<int>(answer.size());
    struct __res_state state {};
    res_ninit(&state);
    std::array<unsigned char, 512> question{};
    const int size = res_mkquery(ns_o_query, name.c_str(), ns_c_in, ns_t_a, nullptr, 0, nullptr,
                                 question.data(), static_cast<int>(question.size()));
    show("__res_query", old_res_query(name.c_str(), ns_c_in, ns_t_a, answer.data(), room), answer.data());
    show("__res_search", old_res_search(name.c_str(), ns_c_in, ns_t_a, answer.data(), room), answer.data());
    show("__res_querydomain",
         old_res_querydomain(label.c_str(), domain.c_str(), ns_c_in, ns_t_a, answer.data(), room),
         answer.data());
    show("__res_send", old_res_send(question.data(), size, answer.data(), room), answer.data());
    show("__res_nquery", old_res_nquery(&state, name.c_str(), ns_c_in, ns_t_a, answer.data(), room),
         answer.data());
    show("__res_nsearch", old_res_nsearch(&state, name.c_str(), ns_c_in, ns_t_a, answer.data(), room),
         answer.data());
    show("__res_nquerydomain",
         old_res_nquerydomain(&state, label.c_str(), domain.c_str(), ns_c_in, ns_t_a, answer.data(), room),
         answer.data());
    show("__res_nsend", old_res_nsend(&state, question.data(), size, answer.data(), room), answer.data());
    res_nclose(&state);
}

/// NAME: all answers in one go, waited for. LITERAL in the same list.
void asynchronous(const Arguments& words) {
    const std::string name(words[0]), literal(words[1]);
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    gaicb by_name{};
    by_name.ar_name = name.c_str();
    by_name.ar_service = "7";
    by_name.ar_request = &hints;
    auto by_literal = by_name;
    by_literal.ar_name = literal.c_str();
    gaicb* both[] = {&by_name, nullptr, &by_literal};
    for (const int mode : {GAI_WAIT, GAI_NOWAIT}) {
        say("getaddrinfo_a = %d", getaddrinfo_a(mode, both, 3, nullptr));
        for (auto* request : both) {
            if (request == nullptr) continue;
            const gaicb* one[] = {request};
            while (gai_error(request) == EAI_INPROGRESS) gai_suspend(one, 1, nullptr);
            say("gai_error = %d", gai_error(request));
            if (request->ar_result == nullptr) continue;
            Address address;
            std::memcpy(&address.storage, request->ar_result->ai_addr, request->ar_result->ai_addrlen);
            const auto text = text_of(address);
            say("  %s", text.starts_with("198.18.") || text.starts_with("198.19.") ? "pool" : text.c_str());
            freeaddrinfo(request->ar_result);
            request->ar_result = nullptr;
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"old_names", old_names, 1}, {"queries", queries, 1}, {"asynchronous", asynchronous, 2}});
}
