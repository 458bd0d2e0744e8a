// errno as the program left it, given back on every way out: worn by whatever the program must not notice.
#pragma once

#include <cerrno>

namespace socksify::sys {

class KeepErrno {
public:
    KeepErrno() noexcept : kept_(errno) {}
    ~KeepErrno() { errno = kept_; }
    KeepErrno(const KeepErrno&) = delete;
    KeepErrno& operator=(const KeepErrno&) = delete;

private:
    int kept_;
};

} // namespace socksify::sys
