#include "ctl/library.hpp"

#include "ctl/file.hpp"

#include <elf.h>
#include <unistd.h>

namespace socksify::ctl {
namespace {

constexpr std::string_view lib = "$LIB";

/// What $LIB may stand for: Debian's directory for the architecture, and what others have.
std::vector<std::string> library_directories(const Elf& program) {
    switch (program.machine) {
    case EM_X86_64:
        if (program.is_64) return {"lib/x86_64-linux-gnu", "lib64"};
        return {"lib/x86_64-linux-gnux32", "libx32"};
    case EM_386: return {"lib/i386-linux-gnu", "lib32", "lib"};
    case EM_AARCH64: return {"lib/aarch64-linux-gnu", "lib64"};
    case EM_ARM: return {"lib/arm-linux-gnueabihf", "lib/arm-linux-gnueabi", "lib"};
    case EM_RISCV: return {"lib/riscv64-linux-gnu", "lib64"};
    case EM_PPC64:
        return {program.is_little_endian ? "lib/powerpc64le-linux-gnu" : "lib/powerpc64-linux-gnu", "lib64"};
    case EM_S390: return {"lib/s390x-linux-gnu", "lib64"};
    default: return {"lib64", "lib"};
    }
}

} // namespace

std::string library_path() {
    // BUILD/src/ctl/socksifyctl → BUILD/src/shim/libsocksify.so
    const auto self = real_path("/proc/self/exe");
    const auto built = self.substr(0, self.rfind('/')) + "/../shim/libsocksify.so";
    if (::access(built.c_str(), F_OK) == 0) return real_path(built);
    return SOCKSIFY_LIBRARY;
}

std::vector<std::string> library_files(const std::string& path, const Elf& program) {
    const auto at = path.find(lib);
    if (at == std::string::npos) return {path};
    std::vector<std::string> out;
    for (const auto& directory : library_directories(program))
        out.push_back(std::string(path).replace(at, lib.size(), directory));
    return out;
}

} // namespace socksify::ctl
