#include "sys/initial_environment.hpp"

#include "sys/internal_fds.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <atomic>
#include <sys/mman.h>

namespace socksify::sys {

namespace {

struct Copy {
    std::size_t size;
    char octets[1]; // and more
};
constinit std::atomic<const Copy*> kept{nullptr};

std::size_t read_from_proc(char* to, std::size_t room) noexcept {
    const int fd = open_with_room([] { return open("/proc/self/environ", O_RDONLY | O_CLOEXEC); });
    if (fd < 0) return 0;
    std::size_t size = 0;
    for (ssize_t got = 0; size < room && (got = real::read(fd, to + size, room - size)) > 0;)
        size += static_cast<std::size_t>(got);
    real::close(fd);
    return size;
}

} // namespace

std::size_t read_initial_environment(char* to, std::size_t room) noexcept {
    const auto* copy = kept.load(std::memory_order_acquire);
    if (copy == nullptr) return read_from_proc(to, room);
    const auto size = std::min(room, copy->size);
    std::memcpy(to, copy->octets, size);
    return size;
}

void keep_initial_environment() noexcept {
    if (kept.load() != nullptr) return;
    constexpr std::size_t room = 1024 * 1024; // untouched pages cost nothing
    void* memory =
        mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    auto* copy = static_cast<Copy*>(memory);
    copy->size = read_from_proc(copy->octets, room - offsetof(Copy, octets));
    const Copy* none = nullptr;
    if (copy->size == 0 || !kept.compare_exchange_strong(none, copy)) munmap(memory, room);
}

} // namespace socksify::sys
