// Listeners whose peers come through a proxy, that go on in the next program (exec): a supervisor that binds and
// starts the server, a server that replaces itself.
//
// Queue and marks (listener.hpp) are inherited with the socket, and the next program accepts what comes
// there as a child of fork() does. What is known goes along in a variable of the environment, for each
// number: its cookie, by which the next program believes it, the Listener's descriptors, where the proxy
// listens, what the socket is bound to, and the terms of the agreement. Who has the agreement with the proxy is in the shared memory. A process that
// has it, and becomes another program, loses it; it is the first to take it over (shim/heir.hpp).
#pragma once

#include <string>
#include <string_view>

namespace socksify::sys {

constexpr std::string_view inherited_listeners_variable = "SOCKSIFY_LISTENERS=";

/// The variable and its value, for a program that is executed now; empty if there is nothing to hand over.
/// Throws std::bad_alloc.
std::string inheritable_listeners();
/// What that has told. Throws std::bad_alloc.
void adopt_listeners(std::string_view records);

} // namespace socksify::sys
