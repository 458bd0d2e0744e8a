// getsockopt, setsockopt, getsockname, getpeername: what a program asks of a socket that is more than it
// seems.
#pragma once

#include "shim/verdict.hpp"

#include <sys/socket.h>

namespace socksify::shim {

Verdict<> getsockopt(int fd, int level, int name, void* value, socklen_t* size);
Verdict<> setsockopt(int fd, int level, int name, const void* value, socklen_t size);
Verdict<> getsockname(int fd, sockaddr* address, socklen_t* size);
Verdict<> getpeername(int fd, sockaddr* address, socklen_t* size);
/// A read or write on a socket whose connect() has failed: the first one gets the error, as from the kernel,
/// if SO_ERROR has not been asked before. Passes then: end of file, and EPIPE.
Verdict<ssize_t> transfer_after_failure(int fd);
Verdict<> shutdown(int fd, int how);
/// Refuses what would send below IP.
Verdict<> open_socket(int domain);

} // namespace socksify::shim
