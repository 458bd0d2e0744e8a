// A listener that outlives the process which has the agreement with its proxy: a daemon's first process
// listens, forks, and ends.
//
// A child that shares the listener and accepts, or has epoll watch it, stands by: its worker watches the
// owner of the agreement. When that process ends, one of those that stand by becomes the owner and asks the
// proxy for the same port; the others stand by for the new one. Who the owner is lies in memory that all of
// them share. A child that does neither is none the wiser, and needs no thread.
#pragma once

#include "sys/listener.hpp"

namespace socksify::shim {

/// Does nothing in the owner, and once is enough. What it lacks for it, it does without: the listener is no
/// worse for it as long as its owner lives.
void stand_by(const std::shared_ptr<sys::Listener>& listener) noexcept;

} // namespace socksify::shim
