// Who polls what.
#include "shim/poll.hpp"

#include "shim/hooks/hook.hpp"

EXPORT int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
    static_cast<void>(real::epoll_ctl.get()); // there may be more to know afterwards
    return shim::epoll_ctl(epoll, operation, fd, event);
}
