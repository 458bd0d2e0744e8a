// The addresses that this host answers to. Through a relay they would reach services that trust the host
// itself.
#pragma once

#include "socksify/endpoint.hpp"

#include <chrono>
#include <vector>

namespace socksify::relay {

/// Asks the kernel at most every two seconds: interfaces come and go. While the kernel can't tell (no
/// descriptor for the question), every address counts as an own one: a guard does not sleep.
class OwnAddresses {
public:
    [[nodiscard]] bool contains(const Host& address);
    /// Another number whenever `contains` may have other answers: who keeps one asks again then.
    [[nodiscard]] unsigned generation();

private:
    [[nodiscard]] bool is_fresh();
    [[nodiscard]] bool refresh();

    std::vector<Host> addresses_;
    unsigned generation_ = 0;
    std::chrono::steady_clock::time_point fresh_until_{};
};

} // namespace socksify::relay
