// Memory that all processes of this user share, through a file that belongs to them alone.
//
// The file lies in the first of these that is there and safe: /run/user/UID, /dev/shm/socksify-UID,
// /tmp/socksify-UID. No variable is asked: a child with a cleared environment must find the same. If none can
// be had, the memory is this process's and its children's; if that is for want of descriptors or memory,
// there is none until there is one for all.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>

namespace socksify::sys {

/// The file `name` of `octets` in `directory`: both are this user's, nobody else may write to the one or open the
/// other, and neither is reached by a link. The file is made if need be, and the directory if `make`. Its fd, or -1
/// with errno: EACCES for what is not safe.
int open_private_file(const char* directory, bool make, const char* name, std::size_t octets) noexcept;

class SharedBlock {
public:
    /// `name` is the file's; `size` in octets is the same in every process that uses the name.
    constexpr SharedBlock(const char* name, std::size_t size) noexcept : name_(name), size_(size) {}

    /// The memory, zero-filled when new; null if there is none now. The first call maps it, and it stays for
    /// good. A file whose content `accept(memory)` does not take is not used. Keeps errno.
    void* get(bool (*accept)(void* memory)) noexcept;
    /// Nobody needs it for a while: its pages are no longer counted as this process's. It stays mapped.
    void let_pages_go() noexcept;

private:
    const char* name_;
    std::size_t size_;
    std::atomic<void*> mapped_{nullptr};
};

/// What lies in `memory`: a T, which makes itself at home there. Without memory it has no octets.
template <class T>
T content_of(void* memory) noexcept {
    return T::format_or_open({static_cast<std::byte*>(memory), memory != nullptr ? T::octets_needed() : 0});
}

/// The T in `block`. A file of another kind's, or another version's, is left alone.
template <class T>
T content_of(SharedBlock& block) noexcept {
    return content_of<T>(block.get([](void* mapped) { return content_of<T>(mapped).valid(); }));
}

} // namespace socksify::sys
