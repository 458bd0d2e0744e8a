// exec and spawn: the next program is under the library too, whatever environment it was given.
//
// The library lives on in a child by two things: LD_PRELOAD, and where the rules are. Both are put back where
// the program's list lacks them. They are taken from the environment that this process was started with
// (/proc/self/environ), which clearenv() does not reach.
//
// Most of this runs between vfork() and exec, in the parent's memory: nothing is allocated but by mmap, and
// only when there is something to put back.
#pragma once

#include <cstddef>

namespace socksify::shim {

/// `given` with what the library needs added; `given` itself if it has it all, or if there is no memory or no
/// /proc.
class ChildEnvironment {
public:
    explicit ChildEnvironment(char* const* given) noexcept;
    ~ChildEnvironment();
    ChildEnvironment(const ChildEnvironment&) = delete;
    ChildEnvironment& operator=(const ChildEnvironment&) = delete;

    [[nodiscard]] char* const* get() const noexcept { return list_; }

private:
    void build(char* const* given) noexcept;

    char* const* list_;
    void* memory_ = nullptr;
    std::size_t size_ = 0;
};

/// For functions that take the process's own list, system() and popen() among them: puts back into `environ`
/// what is missing there.
void restore_own_environment();

} // namespace socksify::shim
