#include "ctl/library.hpp"

#include "ctl/file.hpp"

#include <unistd.h>

namespace socksify::ctl {

std::string library_path() {
    // BUILD/src/ctl/socksifyctl → BUILD/src/shim/libsocksify.so
    const auto self = real_path("/proc/self/exe");
    const auto built = self.substr(0, self.rfind('/')) + "/../shim/libsocksify.so";
    if (::access(built.c_str(), F_OK) == 0) return real_path(built);
    return SOCKSIFY_LIBRARY;
}

} // namespace socksify::ctl
