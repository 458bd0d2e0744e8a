// Which libsocksify.so the launcher would put in front of a program.
#pragma once

#include <string>

namespace socksify::ctl {

/// The library's path, as LD_PRELOAD gets it: it may hold $LIB, in place of which ld.so puts the library
/// directory of the program's own architecture. Of this program's own build directory or installation.
std::string library_path();

} // namespace socksify::ctl
