#include "sys/inheritance.hpp"

#include "sys/inherited_datagrams.hpp"
#include "sys/inherited_listeners.hpp"
#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <atomic>
#include <new>
#include <unistd.h>

namespace socksify::sys {

std::array<std::string, 2> inheritance() {
    // A program that does nothing but start the next one has not looked yet at what it has inherited.
    static_cast<void>(real::fcntl.get());
    return {inheritable_datagrams(), inheritable_listeners()};
}

bool is_inheritance(std::string_view entry) noexcept {
    return entry.starts_with(inherited_datagrams_variable) || entry.starts_with(inherited_listeners_variable);
}

} // namespace socksify::sys

namespace socksify::real::detail {

void first_call() noexcept {
    using namespace socksify::sys;
    static constinit std::atomic<bool> done{false};
    if (done.exchange(true)) return;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        std::string_view text(*entry);
        if (!is_inheritance(text)) continue;
        const KeepErrno keep;
        const auto records = text.substr(text.find('=') + 1);
        try {
            if (text.starts_with(inherited_datagrams_variable)) adopt_datagrams(records);
            else adopt_listeners(records);
        } catch (const std::bad_alloc&) {
            // What is not known is a plain socket: the relay drops what it sends, and nobody comes to it.
        }
    }
}

} // namespace socksify::real::detail
