// What the kernel makes of a command: the file that PATH gives, and the interpreters behind it.
#pragma once

#include "policy/elf.hpp"

#include <optional>

namespace socksify::ctl {

using policy::Elf;
using policy::ElfError;

/// One file on the way from a command to the program that runs in the end.
struct Step {
    enum class Kind : std::uint8_t {
        elf,
        script,  ///< "#!" and an interpreter, which is the next step
        plain,   ///< neither: execve() says ENOEXEC, and shells take it for a script of /bin/sh
        damaged, ///< an ELF file that can't be read
    };

    Kind kind = Kind::plain;
    std::string path; ///< as it was found
    std::string real; ///< the same without links: what /proc/PID/exe will say
    std::optional<Elf> elf;
};

struct Launch {
    std::vector<Step> steps; ///< the last one is what runs, if there is no `error`
    std::string error;       ///< why it can't be started, in words
    int exit_status = 0;     ///< what a shell says then: 127 not found, 126 not executable
};

/// Follows `command`, a path or a name that is looked up in `search_path` (PATH's value) as a shell does it.
/// `arguments` matter to env(1) only, behind which the next command stands.
Launch follow(const std::string& command, const std::vector<std::string>& arguments,
              const std::string& search_path);

/// With this process's PATH.
Launch follow(const std::string& command, const std::vector<std::string>& arguments = {});

} // namespace socksify::ctl
