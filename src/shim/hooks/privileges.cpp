// A program that is about to lose sight of its rules: they are read before it does, and the name pool is
// opened.
#include "sys/initial_environment.hpp"
#include "sys/names.hpp"
#include "sys/rules.hpp"

#include "shim/hooks/hook.hpp"

#include <new>

namespace {

/// Whatever becomes of it, the program's own call is made.
template <class Real, class... Arguments>
int prepared(const Real& real, Arguments... arguments) {
    return shim::settle(
        [] {
            socksify::sys::keep_initial_environment();
            try {
                socksify::sys::rules();
            } catch (const std::bad_alloc&) {
                // They are looked for again at the first connect().
            }
            socksify::sys::names::open();
            return shim::Verdict<>::pass();
        },
        [&]() -> int { return real(arguments...); });
}

} // namespace

EXPORT int chroot(const char* path) { return prepared(real::chroot, path); }
EXPORT int setuid(uid_t user) { return prepared(real::setuid, user); }
EXPORT int seteuid(uid_t user) { return prepared(real::seteuid, user); }
EXPORT int setreuid(uid_t user, uid_t effective) { return prepared(real::setreuid, user, effective); }
EXPORT int setresuid(uid_t user, uid_t effective, uid_t saved) {
    return prepared(real::setresuid, user, effective, saved);
}
EXPORT int setgid(gid_t group) { return prepared(real::setgid, group); }
EXPORT int setegid(gid_t group) { return prepared(real::setegid, group); }
EXPORT int setregid(gid_t group, gid_t effective) { return prepared(real::setregid, group, effective); }
EXPORT int setresgid(gid_t group, gid_t effective, gid_t saved) {
    return prepared(real::setresgid, group, effective, saved);
}
