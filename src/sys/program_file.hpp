// A file that is about to be executed: whether ld.so will put the library into it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace socksify::sys {

/// What keeps a preloaded library out of a program.
enum class Obstacle : std::uint8_t {
    none,
    is_static,     ///< it asks for no loader
    is_go,         ///< it makes its system calls itself, past libc
    is_privileged, ///< set-user-ID, set-group-ID or file capabilities: ld.so does not preload into it
    is_foreign,    ///< of another architecture than any library of ours here
    is_musl,       ///< its libc is not the library's
};

struct ProgramFile {
    std::string
        path; ///< what runs in the end, without links: the file itself, or the interpreter of a script
    Obstacle obstacle = Obstacle::none;
    int error = 0; ///< an errno, if it could not be looked at for want of something (EMFILE, ENOMEM)
};

/// Follows `path` to its interpreter, if it is a script. What can't be read, or is neither ELF nor a script,
/// has no obstacle: the kernel or a shell has the word then. `preload` is the LD_PRELOAD that it will have.
/// Throws std::bad_alloc; allocates from this library's own memory alone, and may so run after vfork().
ProgramFile look_at_program(const char* path, std::string_view preload);

/// The file that execvp() takes for `file`, a path or a name; else one of that name that may not be executed;
/// else `file` as it is.
std::string find_in_path(const char* file);

/// What kept it out, and what can be done: the end of a sentence that begins with the program's path.
std::string explain(const ProgramFile& program);

} // namespace socksify::sys
