// The library's own memory, in place of malloc().
//
// A program may call connect() where it may not call malloc(): in a signal handler, between fork() and exec,
// and in an allocator's own code (jemalloc, tcmalloc, a sanitizer). So what the library needs comes from
// mmap() in slabs, and goes back to a list of its size. It is little: some kilobytes for a process that
// connects, none for one that does not.
//
// Allocations are held together by a lock with signals held back. Sizes above a slab's share are mapped one
// by one.
#include "shim/memory.hpp"

#include "sys/mutex.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <utility>

namespace socksify::shim {
namespace {

constexpr std::size_t slab_size = 64 * 1024;
constexpr std::size_t smallest = 32;
constexpr std::size_t largest_shared = slab_size / 8;

/// Before each block, so that delete needs no size; as large as the strictest alignment.
struct alignas(std::max_align_t) Header {
    std::size_t size; ///< of the whole, header included: a block's, or what was mapped
};
struct Free {
    Free* next;
};

/// Of a block: a power of two, or three quarters of one. With powers alone, a process that connects once
/// needed a page more.
constexpr std::size_t block_size(std::size_t wanted) {
    const auto power = std::bit_ceil(std::max(wanted, smallest));
    const auto less = power / 4 * 3;
    return wanted <= less && less >= smallest ? less : power;
}
/// Of a block's size: 32, 48, 64, 96 …
constexpr std::size_t class_of(std::size_t size) {
    const auto power = static_cast<std::size_t>(std::bit_width(size / smallest) - 1);
    return 2 * power + (std::has_single_bit(size) ? 0 : 1);
}
static_assert(block_size(1) == 32 && class_of(32) == 0);
static_assert(block_size(33) == 48 && class_of(48) == 1);
static_assert(block_size(49) == 64 && class_of(64) == 2);

constinit sys::Mutex mutex{sys::LockRank::memory};
constinit std::array<Free*, class_of(largest_shared) + 1> free_lists{}; // under mutex
constinit std::byte* slab = nullptr;                                    // under mutex
constinit std::size_t slab_left = 0;

void* map(std::size_t size) noexcept {
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

/// Under the lock: `size` octets that are nobody's.
void* cut(std::size_t size) noexcept {
    if (slab_left < size) {
        auto* fresh = static_cast<std::byte*>(map(slab_size));
        if (fresh == nullptr) return nullptr;
        slab = fresh; // what was left of the old one is less than the block that did not fit
        slab_left = slab_size;
    }
    slab_left -= size;
    return std::exchange(slab, slab + size);
}

} // namespace

void* allocate(std::size_t wanted) noexcept {
    if (wanted > PTRDIFF_MAX - 2 * slab_size) return nullptr;
    auto size = block_size(wanted + sizeof(Header));
    void* memory = nullptr;
    if (size > largest_shared) {
        size = wanted + sizeof(Header);
        memory = map(size);
    } else {
        const std::lock_guard lock(mutex);
        auto*& list = free_lists[class_of(size)];
        memory = list != nullptr ? static_cast<void*>(std::exchange(list, list->next)) : cut(size);
    }
    return memory == nullptr ? nullptr : new (memory) Header{size} + 1;
}

void release(void* block) noexcept {
    if (block == nullptr) return;
    auto* header = static_cast<Header*>(block) - 1;
    const auto size = header->size;
    if (size > largest_shared) {
        munmap(header, size);
        return;
    }
    const std::lock_guard lock(mutex);
    auto*& list = free_lists[class_of(size)];
    list = new (header) Free{list};
}

} // namespace socksify::shim
