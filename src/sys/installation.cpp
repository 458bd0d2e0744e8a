#include "sys/installation.hpp"

#include <climits>
#include <unistd.h>

namespace socksify::sys {

namespace {

std::string directory_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

} // namespace

Installation installation() {
    char path[PATH_MAX];
    const auto size = readlink("/proc/self/exe", path, sizeof path);
    const auto directory = directory_of(std::string(path, size > 0 ? static_cast<std::size_t>(size) : 0));
    const auto above = directory_of(directory);
    // BUILD/src/launcher/socksify → BUILD/src/shim/libsocksify.so
    auto library = above + "/shim/libsocksify.so";
    if (access(library.c_str(), F_OK) == 0) return {library, library, above + "/relay/socksify-relay"};
    // PREFIX/bin/socksify → PREFIX/lib/…/libsocksify.so, wherever PREFIX was moved to
    return {above + "/" SOCKSIFY_PRELOAD_DIRECTORY "/libsocksify.so",
            above + "/" SOCKSIFY_LIBDIR "/libsocksify.so", directory + "/socksify-relay"};
}

} // namespace socksify::sys
