// In place of src/shim/memory.cpp: no allocation is served from what an earlier one has left.
#include "shim/memory.hpp"

#include <cstddef>
#include <new>
#include <sys/mman.h>

namespace socksify::shim {
namespace {

struct alignas(std::max_align_t) Header {
    std::size_t size; ///< of what was mapped
};

} // namespace

void* allocate(std::size_t wanted) noexcept {
    const auto size = wanted + sizeof(Header);
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : new (memory) Header{size} + 1;
}

void release(void* block) noexcept {
    if (block == nullptr) return;
    auto* header = static_cast<Header*>(block) - 1;
    munmap(header, header->size);
}

} // namespace socksify::shim
