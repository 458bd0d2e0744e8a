// exec and spawn: the next program is under the library too, whatever environment it was given.
//
// The library lives on in a child by two things: LD_PRELOAD, and where the rules are. Both are put back where
// the program's list lacks them. They are taken from the environment that this process was started with
// (/proc/self/environ), which clearenv() does not reach.
//
// Most of this runs between vfork() and exec, in the parent's memory, with the parent's thread asleep: what
// is allocated must be free again before the exec, or be found again by the parent.
#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace socksify::shim {

/// `given` with what the library needs added; `given` itself if it has it all.
class ChildEnvironment {
public:
    explicit ChildEnvironment(char* const* given) noexcept;
    ~ChildEnvironment();
    ChildEnvironment(const ChildEnvironment&) = delete;
    ChildEnvironment& operator=(const ChildEnvironment&) = delete;

    [[nodiscard]] char* const* get() const noexcept { return list_; }
    /// An errno, if there was no memory for what it lacks: then nothing may be started with it.
    [[nodiscard]] int error() const noexcept { return error_; }

private:
    using Inheritance = std::array<std::string, 2>;
    void build(char* const* given, const Inheritance& inheritance) noexcept;

    char* const* list_;
    int error_ = 0;
};

/// Whether what `path` names may be executed under the rules: EACCES, said in one line, if the library can't
/// be in it and the rules would not let all that it connects to go directly; another errno if that can't be
/// told for want of something; else 0. The kernel's own objections are the kernel's to make.
int refusal_to_execute(const char* path, const ChildEnvironment& environment);
/// The same for the file that execvp() would take.
int refusal_to_execute_by_name(const char* file, const ChildEnvironment& environment);
/// The path by which execveat(2) finds its program.
std::string path_at(int directory, const char* path, int flags);

/// For functions that take the process's own list, system() and popen() among them: puts back into `environ`
/// what is missing there. 0, or an errno if there is no memory for it: then nothing may be started.
int restore_own_environment();

} // namespace socksify::shim
