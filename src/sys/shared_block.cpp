#include "sys/shared_block.hpp"

#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/read_file.hpp"
#include "sys/real.hpp"

#include <cstdio>
#include <sys/mman.h>
#include <sys/stat.h>

namespace socksify::sys {
namespace {

/// A directory that we own and nobody else can write to, made if need be. Its fd, or -1 with errno.
int open_private_directory(const char* path, bool make) noexcept {
    if (make) mkdir(path, 0700);
    const int fd = open_with_room([=] { return open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); });
    if (fd < 0) return -1;
    struct stat status {};
    if (fstat(fd, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 022) == 0) return fd;
    real::close(fd);
    errno = EACCES;
    return -1;
}

/// The file under `directory`. Its fd, or -1 with errno.
int open_file(int directory, const char* name, std::size_t octets) noexcept {
    const int fd = open_with_room(
        [=] { return openat(directory, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600); });
    if (fd < 0) return -1;
    struct stat status {};
    const bool ours = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
                      (status.st_mode & 077) == 0;
    // Never shrunk, so that no process maps what is not there; a file of another size is another version's.
    const auto size = static_cast<off_t>(octets);
    if (ours && (status.st_size == size || (status.st_size == 0 && ftruncate(fd, size) == 0))) return fd;
    real::close(fd);
    errno = EACCES;
    return -1;
}

} // namespace

int open_private_file(const char* directory, bool make, const char* name, std::size_t octets) noexcept {
    const int within = open_private_directory(directory, make);
    if (within < 0) return -1;
    const int file = open_file(within, name, octets);
    const KeepErrno keep;
    real::close(within);
    return file;
}

namespace {

/// MAP_FAILED, with errno. One that may pass is the last word: in another place others would not find it.
void* map_file(const char* name, std::size_t size) noexcept {
    struct Place {
        const char* format;
        bool make;
    };
    constexpr Place places[] = {
        {"/run/user/%u", false}, {"/dev/shm/socksify-%u", true}, {"/tmp/socksify-%u", true}};
    for (const auto& place : places) {
        char path[48];
        std::snprintf(path, sizeof path, place.format, static_cast<unsigned>(geteuid()));
        const int file = open_private_file(path, place.make, name, size);
        if (file >= 0) {
            void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            const KeepErrno keep;
            real::close(file);
            if (memory != MAP_FAILED) return memory;
        }
        if (may_pass(errno)) return MAP_FAILED;
    }
    errno = ENOENT;
    return MAP_FAILED;
}

} // namespace

void* SharedBlock::get(bool (*accept)(void* memory)) noexcept {
    if (void* memory = mapped_.load(std::memory_order_acquire)) return memory;
    const KeepErrno keep;
    void* memory = map_file(name_, size_);
    if (memory == MAP_FAILED && may_pass(errno)) return nullptr;
    if (memory == MAP_FAILED || !accept(memory)) {
        if (memory != MAP_FAILED) munmap(memory, size_);
        memory =
            mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || !accept(memory)) return nullptr;
    }
    void* none = nullptr;
    if (mapped_.compare_exchange_strong(none, memory)) return memory;
    munmap(memory, size_); // another thread was faster
    return none;
}

void SharedBlock::let_pages_go() noexcept {
    const KeepErrno keep;
    if (void* memory = mapped_.load(std::memory_order_acquire)) madvise(memory, size_, MADV_DONTNEED);
}

} // namespace socksify::sys
