// Where thrown objects live, in place of libstdc++'s own answer (eh_alloc.cc): that one takes 72 KiB from
// malloc in a constructor, in every program that is started under the library, for the sake of a pool that
// next to none ever needs.
//
// Itanium C++ ABI, Exception Handling §2.4.2: the runtime keeps a header right before the object, which must
// be zero. Ours leaves more room than any version's header takes. Without memory, a few places in .bss serve:
// enough for one std::bad_alloc a thread on its way to becoming ENOMEM.
#include "shim/memory.hpp"

#include "sys/sparse.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <exception>

namespace {

constexpr std::size_t header_room = 256;
static_assert(header_room % alignof(std::max_align_t) == 0);

struct alignas(std::max_align_t) Place {
    std::array<std::byte, 512> octets;
};
SOCKSIFY_SPARSE(4) constinit std::array<Place, 16> reserve{};
constinit std::array<std::atomic<bool>, reserve.size()> taken{};

void* allocate(std::size_t size) noexcept {
    if (void* memory = socksify::shim::allocate(size)) return std::memset(memory, 0, size);
    if (size > sizeof(Place)) std::terminate();
    for (std::size_t i = 0; i < reserve.size(); ++i)
        if (!taken[i].exchange(true)) return std::memset(&reserve[i], 0, sizeof(Place));
    std::terminate();
}

void release(void* memory) noexcept {
    for (std::size_t i = 0; i < reserve.size(); ++i)
        if (memory == &reserve[i]) return taken[i].store(false);
    socksify::shim::release(memory);
}

} // namespace

extern "C" {

void* __cxa_allocate_exception(std::size_t size) noexcept {
    return static_cast<std::byte*>(allocate(header_room + size)) + header_room;
}
void __cxa_free_exception(void* object) noexcept { release(static_cast<std::byte*>(object) - header_room); }

void* __cxa_allocate_dependent_exception() noexcept { return allocate(header_room); }
void __cxa_free_dependent_exception(void* exception) noexcept { release(exception); }

} // extern "C"
