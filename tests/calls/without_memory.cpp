// connect() where there is no memory to be had: what the library needs for a proxy that it knows, it has. Loaded
// with the library of scarce/, whose every allocation is one of the kernel's, and with libfaults.so, which has
// those fail.
#include "faults.hpp"
#include "victim.hpp"

#include <dlfcn.h>

using namespace victim;

namespace {

constexpr int first_connects = 4; ///< until the proxy is known, and the connections have had their entries
constexpr int connects = 20;

template <class Function>
Function* of_faults(const char* name) {
    auto* function = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
    if (function == nullptr) give_up("libfaults.so is not preloaded");
    return function;
}

/// 0, or the errno of what failed.
int connect_once(const Address& to) {
    const int fd = tcp_socket(to.family());
    int error = connect_to(fd, to) == 0 ? 0 : errno;
    char octet = 'x';
    if (error == 0 && (send(fd, &octet, 1, MSG_NOSIGNAL) != 1 || recv(fd, &octet, 1, 0) != 1)) error = errno;
    close(fd);
    return error;
}

void blocking(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (int i = 0; i < first_connects; ++i) {
        if (const int error = connect_once(to); error != 0) say("connect: %s", error_name(error).c_str());
        pause(100); // the question about the proxy's features is answered
    }
    of_faults<FaultsArm>("faults_arm")("mmap", 1, ENOMEM, true);
    int done = 0;
    for (int i = 0; i < connects; ++i)
        if (const int error = connect_once(to); error == 0) ++done;
        else say("without memory: %s", error_name(error).c_str());
    const bool has_asked = of_faults<FaultsFailed>("faults_failed")();
    of_faults<FaultsDisarm>("faults_disarm")();
    say("%d connects, memory %s", done, has_asked ? "was asked for" : "was not asked for");
}

} // namespace

int main(int argc, char** argv) { return run(argc, argv, {{"blocking", blocking, 1}}); }
