// Memory that all processes of this user share, through a file that belongs to them alone.
//
// The file lies in the first of these that is there and safe: /run/user/UID, /dev/shm/socksify-UID,
// /tmp/socksify-UID. No variable is asked: a child with a cleared environment must find the same. If none can
// be had, the memory is this process's and its children's; if that is for want of descriptors or memory,
// there is none until there is one for all.
#pragma once

#include <atomic>
#include <cstddef>

namespace socksify::sys {

class SharedBlock {
public:
    /// `name` is the file's; `size` in octets is the same in every process that uses the name.
    constexpr SharedBlock(const char* name, std::size_t size) noexcept : name_(name), size_(size) {}

    /// The memory, zero-filled when new; null if there is none now. The first call maps it, and it stays for
    /// good. A file whose content `accept(memory)` does not take is not used. Keeps errno.
    void* get(bool (*accept)(void* memory)) noexcept;

private:
    const char* name_;
    std::size_t size_;
    std::atomic<void*> mapped_{nullptr};
};

} // namespace socksify::sys
