// Who polls what.
#include "shim/poll.hpp"

#include "shim/hooks/hook.hpp"

EXPORT int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
    return shim::epoll_ctl(epoll, operation, fd, event);
}
