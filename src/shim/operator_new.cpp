// new and delete: the library's own memory.
#include "shim/memory.hpp"

#include <new>

// The forms for arrays, for sizes and for nothrow come down to these two in libstdc++.
void* operator new(std::size_t size) {
    if (void* memory = socksify::shim::allocate(size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* block) noexcept { socksify::shim::release(block); }
void operator delete(void* block, std::size_t) noexcept { socksify::shim::release(block); }
