// The library's own memory: see memory.cpp.
#pragma once

#include <cstddef>

namespace socksify::shim {

/// For any alignment but an extended one. Null if there is none.
void* allocate(std::size_t wanted) noexcept;
void release(void* block) noexcept;

} // namespace socksify::shim
