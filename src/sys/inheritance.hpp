// What goes on in the next program (exec): inherited_datagrams.hpp, inherited_listeners.hpp. It is told of each
// kind by a variable of its environment, which is read at the first call of libc's that this library makes
// there: nothing runs before, and nothing is looked at where the variables are not.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace socksify::sys {

/// Entries for the environment of a program that is about to be executed; empty where there is nothing to
/// tell. Throws std::bad_alloc.
std::array<std::string, 2> inheritance();
/// Whether `entry` is such a one, of this program's or of one before.
bool is_inheritance(std::string_view entry) noexcept;

} // namespace socksify::sys
