// Which libsocksify.so the launcher would put in front of a program.
#pragma once

#include "ctl/elf.hpp"

namespace socksify::ctl {

/// The library's path, as LD_PRELOAD gets it: it may hold $LIB, in place of which ld.so puts the library
/// directory of the program's own architecture. Of this program's own build directory or installation.
std::string library_path();

/// The files that `path` can mean for a program of that architecture, in the order of their likelihood.
/// Without $LIB: one.
std::vector<std::string> library_files(const std::string& path, const Elf& program);

} // namespace socksify::ctl
