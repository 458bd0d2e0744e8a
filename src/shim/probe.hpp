// The question for a proxy's features that has a connection of its own: what it says, what its answers mean,
// and who carries it to its end.
#pragma once

#include "shim/dial.hpp"

namespace socksify::shim {

/// LIST-FEATURES on a connection of its own, by the worker; `at` has been claimed. False if that can't be
/// had. `method` is the one that the proxy has just chosen. It begins with `question`.
bool start_probe(const sys::Rules& rules, std::size_t upstream, const policy::Circumstances& at,
                 Method method, Dial::Question question) noexcept;

} // namespace socksify::shim
