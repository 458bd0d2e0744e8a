// Where this project's own files are, as seen from one of its programs.
#pragma once

#include <string>

namespace socksify::sys {

struct Installation {
    std::string preload; ///< for LD_PRELOAD: may hold $LIB, in place of which ld.so puts the library
                         ///< directory of the program's own architecture
    std::string library; ///< the file for this architecture
    std::string relay;
};

/// Of the build directory or the installation that this program stands in. Whether the files are there is
/// another matter.
Installation installation();

} // namespace socksify::sys
