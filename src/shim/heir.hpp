// A listener that outlives the process which has the agreement with its proxy: a daemon's first process
// listens, forks, and ends.
//
// A process that shares the listener, and accepts, asks for its name or has epoll watch it, stands by: its
// worker watches the owner of the agreement. When that process ends, one of those that stand by becomes the owner and asks the
// proxy for the same port; the others stand by for the new one. Who the owner is lies in memory that all of
// them share. A child that does none of it is none the wiser, and needs no thread. A process that was the
// owner and has become another program (exec) has lost the agreement: it takes over from itself.
#pragma once

#include "sys/listener.hpp"

namespace socksify::shim {

/// Does nothing in the program that has the agreement, and once is enough. What it lacks for it, it does without: the listener is no
/// worse for it as long as its owner lives.
void stand_by(const std::shared_ptr<sys::Listener>& listener) noexcept;

} // namespace socksify::shim
