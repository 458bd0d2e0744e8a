// Not a victim but a library: another one that is preloaded beside ours and takes over some of the same
// calls. Each of the two must pass calls on to the other.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <sys/socket.h>

namespace {

std::atomic<int> connects{0};

template <class Function>
Function next(const char* name) {
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

} // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int connect(int fd, const sockaddr* addr, socklen_t len) {
    connects.fetch_add(1);
    return next<decltype(&connect)>("connect")(fd, addr, len);
}

EXPORT int close(int fd) { return next<int (*)(int)>("close")(fd); }

__attribute__((destructor)) static void tell() {
    if (std::getenv("TELL_CONNECTS") != nullptr)
        std::printf("connects seen: %s\n", connects.load() > 0 ? "yes" : "no");
}
