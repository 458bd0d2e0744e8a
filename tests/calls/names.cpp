// getaddrinfo, getnameinfo and the gethostby… family. An address of the name pool is shown as "pool" or
// "pool6".
#include "victim.hpp"

#include <clocale>
#include <map>
#include <netdb.h>
#include <spawn.h>
#include <sys/wait.h>

using namespace victim;

namespace {

bool is_pool_v4(const in_addr& address) {
    return (ntohl(address.s_addr) & 0xfffe0000U) == 0xc6120000U;
} // 198.18.0.0/15
bool is_pool_v6(const in6_addr& address) {
    return std::memcmp(&address, "\xfd\x53\x6f\x63\x6b\x73\0\0\0\0\0\0", 12) == 0;
}

std::string shown(int family, const void* octets) {
    if (family == AF_INET && is_pool_v4(*static_cast<const in_addr*>(octets))) return "pool";
    if (family == AF_INET6 && is_pool_v6(*static_cast<const in6_addr*>(octets))) return "pool6";
    if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(static_cast<const in6_addr*>(octets)) &&
        is_pool_v4(*reinterpret_cast<const in_addr*>(static_cast<const char*>(octets) + 12)))
        return "mapped pool";
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(family, octets, text.data(), text.size());
    return text.data();
}

const char* gai_name(int code) {
    static const std::map<int, const char*> names{
        {0, "0"},
        {EAI_ADDRFAMILY, "EAI_ADDRFAMILY"},
        {EAI_AGAIN, "EAI_AGAIN"},
        {EAI_BADFLAGS, "EAI_BADFLAGS"},
        {EAI_FAIL, "EAI_FAIL"},
        {EAI_FAMILY, "EAI_FAMILY"},
        {EAI_MEMORY, "EAI_MEMORY"},
        {EAI_NODATA, "EAI_NODATA"},
        {EAI_NONAME, "EAI_NONAME"},
        {EAI_OVERFLOW, "EAI_OVERFLOW"},
        {EAI_SERVICE, "EAI_SERVICE"},
        {EAI_SOCKTYPE, "EAI_SOCKTYPE"},
        {EAI_SYSTEM, "EAI_SYSTEM"},
    };
    const auto at = names.find(code);
    return at != names.end() ? at->second : "an unknown code";
}

const char* family_name(int family) {
    return family == AF_INET     ? "AF_INET"
           : family == AF_INET6  ? "AF_INET6"
           : family == AF_UNSPEC ? "AF_UNSPEC"
                                 : "a family";
}

void show(const addrinfo& entry) {
    const void* octets =
        entry.ai_family == AF_INET
            ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(entry.ai_addr)->sin_addr)
            : &reinterpret_cast<const sockaddr_in6*>(entry.ai_addr)->sin6_addr;
    const auto port = ntohs(reinterpret_cast<const sockaddr_in*>(entry.ai_addr)->sin_port);
    say("  %s type %d protocol %d %s port %u, %u octets%s%s", family_name(entry.ai_family), entry.ai_socktype,
        entry.ai_protocol, shown(entry.ai_family, octets).c_str(), port, entry.ai_addrlen,
        entry.ai_canonname != nullptr ? ", canonical " : "",
        entry.ai_canonname != nullptr ? entry.ai_canonname : "");
}

struct Question {
    const char* node;
    const char* service;
    int family = AF_UNSPEC;
    int type = SOCK_STREAM;
    int flags = 0;
};

void ask(const Question& question, bool with_hints = true) {
    addrinfo hints{};
    hints.ai_family = question.family;
    hints.ai_socktype = question.type;
    hints.ai_flags = question.flags;
    addrinfo* list = nullptr;
    const int code = getaddrinfo(question.node, question.service, with_hints ? &hints : nullptr, &list);
    say("%s, %s, %s, type %d, flags %#x%s: %s", question.node != nullptr ? question.node : "NULL",
        question.service != nullptr ? question.service : "NULL", family_name(question.family), question.type,
        static_cast<unsigned>(question.flags), with_hints ? "" : ", no hints", gai_name(code));
    if (code != 0) return;
    for (const auto* entry = list; entry != nullptr; entry = entry->ai_next) show(*entry);
    freeaddrinfo(list);
}

/// Questions that nobody need be asked for: the answers are libc's, whatever the rules say.
void without_a_name(const Arguments&) {
    constexpr Question questions[] = {
        {"203.0.113.80", "80"},
        {"203.0.113.80", "80", AF_INET},
        {"203.0.113.80", "80", AF_INET6},
        {"203.0.113.80", "80", AF_INET6, SOCK_STREAM, AI_V4MAPPED},
        {"203.0.113.80", "80", AF_INET6, SOCK_STREAM, AI_V4MAPPED | AI_ALL},
        {"203.0.113.80", "80", AF_UNSPEC, SOCK_STREAM, AI_NUMERICHOST},
        {"203.0.113.80", "80", AF_UNSPEC, SOCK_STREAM, AI_CANONNAME},
        {"203.0.113.80", "80", AF_UNSPEC, 0},
        {"203.0.113.80", nullptr, AF_UNSPEC, 0},
        {"203.0.113.80", "http"},
        {"203.0.113.80", "http", AF_UNSPEC, SOCK_STREAM, AI_NUMERICSERV},
        {"203.0.113.80", "no-such-service"},
        {"203.0.113.80", "80", AF_UNSPEC, SOCK_RAW},
        {"203.0.113.80", "80", AF_UNSPEC, 99},
        {"203.0.113.80", "80", 99},
        {"203.0.113.80", "80", AF_UNSPEC, SOCK_STREAM, 1 << 30},
        {"2001:db8:80::80", "443"},
        {"2001:db8:80::80", "443", AF_INET},
        {"::ffff:203.0.113.80", "443"},
        {"[2001:db8:80::80]", "443"},
        {"127.1", "80"},
        {"0x7f.0.0.1", "80"},
        {"1.2.3.4.5", "80", AF_UNSPEC, SOCK_STREAM, AI_NUMERICHOST},
        {"echo.test", "80", AF_UNSPEC, SOCK_STREAM, AI_NUMERICHOST},
        {"localhost", "80", AF_UNSPEC, SOCK_STREAM, AI_NUMERICHOST},
        {nullptr, "80"},
        {nullptr, "80", AF_INET},
        {nullptr, "80", AF_INET, SOCK_STREAM, AI_PASSIVE},
        {nullptr, "80", AF_INET6, SOCK_DGRAM, AI_PASSIVE},
        {nullptr, "http", AF_INET},
        {nullptr, "no-such-service", AF_INET},
        {nullptr, nullptr},
        {nullptr, nullptr, AF_INET, SOCK_STREAM, AI_PASSIVE},
        {nullptr, "80", AF_UNSPEC, SOCK_STREAM, AI_CANONNAME},
        {"localhost", "80", AF_INET},
        {"localhost", "80", AF_INET6},
        {"localhost", "http", AF_INET},
        {"localhost", "no-such-service", AF_INET},
        {"", "80", AF_INET},
    };
    for (const auto& question : questions) ask(question);
    ask({"203.0.113.80", "80"}, false);
    ask({nullptr, "80"}, false);
    ask({nullptr, nullptr}, false);
    ask({"203.0.113.80", nullptr}, false);
}

/// Questions about a name that the proxy is to resolve.
void of_a_name(const Arguments& words) {
    const std::string name(words[0]);
    const char* node = name.c_str();
    const Question questions[] = {
        {node, "80"},
        {node, "80", AF_INET},
        {node, "80", AF_INET6},
        {node, "80", AF_INET6, SOCK_STREAM, AI_V4MAPPED},
        {node, "80", AF_UNSPEC, SOCK_STREAM, AI_ADDRCONFIG},
        {node, "80", AF_UNSPEC, SOCK_STREAM, AI_CANONNAME},
        {node, "80", AF_UNSPEC, SOCK_STREAM, AI_PASSIVE},
        {node, "80", AF_UNSPEC, SOCK_DGRAM},
        {node, "80", AF_INET, 0},
        {node, nullptr, AF_INET},
        {node, "http", AF_INET},
        {node, "http", AF_INET, SOCK_STREAM, AI_NUMERICSERV},
        {node, "no-such-service", AF_INET},
        {node, "80", AF_INET, SOCK_STREAM, AI_CANONNAME | AI_IDN},
    };
    for (const auto& question : questions) ask(question);
    ask({node, "80"}, false);
}

/// AI_IDN: what is not ASCII goes out as DNS has it, and what is no text in this locale goes nowhere.
void international(const Arguments&) {
    setlocale(LC_ALL, "C.UTF-8");
    for (const char* name : {"b\xc3\xbc\x63her.test", "b\xfc\x63her.test"}) {
        addrinfo hints{};
        hints.ai_family = AF_INET;
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_IDN;
        addrinfo* list = nullptr;
        const int code = getaddrinfo(name, "7", &hints, &list);
        say("%s", code == EAI_IDN_ENCODE ? "EAI_IDN_ENCODE" : gai_name(code));
        if (code != 0) continue;
        std::array<char, 256> back{};
        getnameinfo(list->ai_addr, list->ai_addrlen, back.data(), back.size(), nullptr, 0, 0);
        say("%s", back.data());
        freeaddrinfo(list);
    }
}

/// What can be no name at all.
void of_no_name(const Arguments&) {
    const std::string too_long(256, 'a'), longest(63, 'b');
    const std::string long_one =
        longest + "." + longest + "." + longest + "." + std::string(61, 'b'); // 253 octets
    ask({"", "80", AF_INET});
    ask({"with space", "80", AF_INET});
    ask({"1.2.3.4.5", "80", AF_INET});
    ask({"999.1.1.1", "80", AF_INET});
    say("the following has 256 octets");
    addrinfo* list = nullptr;
    say("%s", gai_name(getaddrinfo(too_long.c_str(), "80", nullptr, &list)));
    say("the following has 253 octets");
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    const int code = getaddrinfo(long_one.c_str(), "80", &hints, &list);
    say("%s", gai_name(code));
    if (code == 0) show(*list);
}

/// "203.0.113.80", or whatever number stands for the name.
std::string number_of(const std::string& name, int family = AF_INET) {
    addrinfo hints{};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0) return "none";
    std::array<char, INET6_ADDRSTRLEN> text{};
    getnameinfo(list->ai_addr, list->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
    freeaddrinfo(list);
    return text.data();
}

/// What another process, forked or started anew, prints as the number of `name`.
template <class In>
std::string printed_by(In in_child) {
    int ends[2];
    if (pipe(ends) != 0) give_up("no pipe");
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        in_child();
        std::_Exit(0);
    }
    close(ends[1]);
    std::string text;
    char octet = 0;
    while (read(ends[0], &octet, 1) == 1)
        if (octet != '\n') text += octet;
    close(ends[0]);
    waitpid(child, nullptr, 0);
    return text;
}

void same_everywhere(const Arguments& words) {
    const std::string name(words[0]);
    const auto tell = [](const char* what, bool same) { say("%s: %s", what, same ? "the same" : "another"); };
    // First in a child, so that the parent has not asked yet.
    const auto by_child = printed_by([&] { say("%s", number_of(name).c_str()); });
    const auto mine = number_of(name);
    tell("by a child, before", by_child == mine);
    tell("again", number_of(name) == mine);
    tell("by a child, after", printed_by([&] { say("%s", number_of(name).c_str()); }) == mine);
    tell("by another process",
         printed_by([&] { execl("/proc/self/exe", "names", "print", name.c_str(), nullptr); }) == mine);
    tell("by another process with no environment", printed_by([&] {
                                                       const char* const nothing = nullptr;
                                                       execle("/proc/self/exe", "names", "print",
                                                              name.c_str(), nullptr, &nothing);
                                                   }) == mine);
    auto upper = name;
    for (auto& c : upper) c = static_cast<char>(toupper(c));
    tell("in capitals", number_of(upper) == mine);
    tell("with a trailing dot", number_of(name + ".") == mine);
    tell("another name", number_of("another." + name) == mine);
}

void print(const Arguments& words) { say("%s", number_of(std::string(words[0])).c_str()); }

void ask_back(const sockaddr* address, socklen_t size, int flags, socklen_t host_size, const char* what) {
    std::array<char, NI_MAXHOST> host{};
    std::array<char, 32> service{};
    const int code =
        getnameinfo(address, size, host.data(), host_size, service.data(), service.size(), flags);
    say("%s: %s", what, gai_name(code));
    if (code != 0) return;
    in_addr number{};
    const bool is_pool = inet_pton(AF_INET, host.data(), &number) == 1 && is_pool_v4(number);
    say("  '%s' '%s'", is_pool ? "pool" : host.data(), service.data());
}

/// getnameinfo() of the address that stands for a name.
void back_to_the_name(const Arguments& words) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    for (const int family : {AF_INET, AF_INET6}) {
        hints.ai_family = family;
        addrinfo* list = nullptr;
        if (getaddrinfo(std::string(words[0]).c_str(), "7", &hints, &list) != 0) continue;
        say("%s", family_name(family));
        const auto back = [list](int flags, socklen_t host_size, const char* what) {
            ask_back(list->ai_addr, list->ai_addrlen, flags, host_size, what);
        };
        back(0, NI_MAXHOST, "plain");
        back(NI_NAMEREQD, NI_MAXHOST, "name required");
        back(NI_NUMERICSERV, NI_MAXHOST, "numeric service");
        back(NI_NAMEREQD, 4, "too little room");
        if (family == AF_INET) back(NI_NUMERICHOST, NI_MAXHOST, "numeric");
        freeaddrinfo(list);
    }
}

/// getnameinfo() of addresses that stand for no name: nobody may be asked about those that the rules would
/// proxy.
void back_to_no_name(const Arguments& destinations) {
    for (const auto& text : destinations) {
        const auto address = address_of(text);
        say("%s", std::string(text).c_str());
        ask_back(address.get(), address.size, 0, NI_MAXHOST, "plain");
        ask_back(address.get(), address.size, NI_NAMEREQD, NI_MAXHOST, "name required");
        ask_back(address.get(), address.size, NI_NUMERICHOST | NI_NUMERICSERV, NI_MAXHOST, "numeric");
        ask_back(address.get(), 4, 0, NI_MAXHOST, "cut short");
    }
}

const char* h_name(int code) {
    switch (code) {
    case NETDB_SUCCESS: return "NETDB_SUCCESS";
    case NETDB_INTERNAL: return "NETDB_INTERNAL";
    case HOST_NOT_FOUND: return "HOST_NOT_FOUND";
    case TRY_AGAIN: return "TRY_AGAIN";
    case NO_RECOVERY: return "NO_RECOVERY";
    case NO_DATA: return "NO_DATA";
    default: return "an unknown code";
    }
}

void show(const hostent* entry, int h_error) {
    if (entry == nullptr) {
        say("  none, %s", h_name(h_error));
        return;
    }
    std::string addresses;
    for (char** one = entry->h_addr_list; *one != nullptr; ++one)
        addresses += " " + shown(entry->h_addrtype, *one);
    say("  '%s' %s %d octets:%s", entry->h_name, family_name(entry->h_addrtype), entry->h_length,
        addresses.c_str());
}

/// NAME…: by all the old functions.
void by_the_old_functions(const Arguments& names) {
    for (const auto& word : names) {
        const std::string name(word);
        say("gethostbyname %s", name.c_str());
        const auto* plain = gethostbyname(name.c_str());
        show(plain, h_errno);
        for (const int family : {AF_INET, AF_INET6}) {
            say("gethostbyname2 %s %s", name.c_str(), family_name(family));
            const auto* second = gethostbyname2(name.c_str(), family);
            show(second, h_errno);
        }
        hostent entry;
        std::array<char, 2048> buffer;
        hostent* result = &entry;
        int h_error = -1;
        say("gethostbyname_r = %d",
            gethostbyname_r(name.c_str(), &entry, buffer.data(), buffer.size(), &result, &h_error));
        show(result, h_error);
        say("gethostbyname2_r = %d", gethostbyname2_r(name.c_str(), AF_INET6, &entry, buffer.data(),
                                                      buffer.size(), &result, &h_error));
        show(result, h_error);
    }
}

/// NAME: the buffer too small by every size up to one that is large enough. It is never written beyond.
void into_small_buffers(const Arguments& words) {
    const std::string name(words[0]);
    int too_small = 0;
    for (std::size_t size = 0; size <= 1024; ++size) {
        std::vector<char> buffer(size + 1, '#');
        hostent entry;
        hostent* result = &entry;
        int h_error = -1;
        const int code =
            gethostbyname2_r(name.c_str(), AF_INET, &entry, buffer.data(), size, &result, &h_error);
        if (buffer[size] != '#') say("written beyond %zu octets", size);
        if (code == ERANGE && result == nullptr && h_error == NETDB_INTERNAL) {
            ++too_small;
        } else {
            say("gethostbyname2_r = %d", code);
            show(result, h_error);
            break;
        }
    }
    say("too small at first: %s", too_small > 0 ? "yes" : "no");
}

/// NAME ADDRESS…: gethostbyaddr of what stands for the name, and of other addresses.
void back_by_the_old_functions(const Arguments& words) {
    const auto tell = [](const void* octets, socklen_t size, int family) {
        const auto* entry = gethostbyaddr(octets, size, family);
        show(entry, h_errno);
        hostent own;
        std::array<char, 1024> buffer;
        hostent* result = &own;
        int h_error = -1;
        say("  gethostbyaddr_r = %d",
            gethostbyaddr_r(octets, size, family, &own, buffer.data(), buffer.size(), &result, &h_error));
        show(result, h_error);
        if (result == nullptr) return;
        say("  gethostbyaddr_r with no room = %d",
            gethostbyaddr_r(octets, size, family, &own, buffer.data(), 8, &result, &h_error));
        show(result, h_error);
    };
    for (const int family : {AF_INET, AF_INET6}) {
        const auto* found = gethostbyname2(std::string(words[0]).c_str(), family);
        if (found == nullptr) continue;
        std::array<char, 16> octets{};
        std::memcpy(octets.data(), found->h_addr_list[0], static_cast<std::size_t>(found->h_length));
        say("gethostbyaddr %s", std::string(words[0]).c_str());
        tell(octets.data(), static_cast<socklen_t>(found->h_length), family);
    }
    for (std::size_t i = 1; i < words.size(); ++i) {
        const auto address = address_of(words[i]);
        say("gethostbyaddr %s", std::string(words[i]).c_str());
        if (address.family() == AF_INET)
            tell(&reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr, 4, AF_INET);
        else tell(&reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr, 16, AF_INET6);
    }
    const in_addr any{};
    tell(&any, 3, AF_INET); // cut short
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"without_a_name", without_a_name},
                {"of_a_name", of_a_name, 1},
                {"international", international},
                {"of_no_name", of_no_name},
                {"same_everywhere", same_everywhere, 1},
                {"print", print, 1},
                {"back_to_the_name", back_to_the_name, 1},
                {"back_to_no_name", back_to_no_name, 1},
                {"by_the_old_functions", by_the_old_functions, 1},
                {"into_small_buffers", into_small_buffers, 1},
                {"back_by_the_old_functions", back_by_the_old_functions, 1}});
}
