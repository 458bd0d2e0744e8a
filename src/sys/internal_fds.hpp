// The library's own descriptors, kept out of the program's way: numbers above the program's soft limit,
// close-on-exec, and unknown to the program's own close() loops.
#pragma once

#include <cerrno>
#include <sys/resource.h>

namespace socksify::sys {

/// The soft limit raised to the hard one for the length of a call, so that our own descriptors neither count
/// against the program's limit nor take a number that its next socket() would get.
class RoomAboveSoftLimit {
public:
    RoomAboveSoftLimit() noexcept;
    ~RoomAboveSoftLimit();
    RoomAboveSoftLimit(const RoomAboveSoftLimit&) = delete;
    RoomAboveSoftLimit& operator=(const RoomAboveSoftLimit&) = delete;

    /// The lowest number to take: just above the soft limit, else in its upper part.
    [[nodiscard]] int floor() const noexcept;

private:
    rlimit limit_{};
    bool raised_ = false;
};

/// What `open` gives, a descriptor or -1 with errno, even when the program has reached its soft limit: its
/// connect() would not have needed one.
template <class Open>
int open_with_room(Open open) noexcept {
    const int fd = open();
    if (fd >= 0 || errno != EMFILE) return fd;
    const RoomAboveSoftLimit room;
    return open();
}

/// A duplicate of `fd` among the internal descriptors, or -1 with errno. The description is shared, `fd`
/// stays open. Who makes several makes room for all of them.
int duplicate_internally(int fd, const RoomAboveSoftLimit& room = RoomAboveSoftLimit()) noexcept;
/// Moves `fd` there. The new number, or `fd` itself if it can't be moved; either way it is internal from now
/// on.
int make_internal(int fd, const RoomAboveSoftLimit& room = RoomAboveSoftLimit()) noexcept;
/// An internal descriptor that is this process's alone: a child of fork() has it closed, so that what the
/// parent ends is at an end.
class OwnDescriptor {
public:
    OwnDescriptor() noexcept = default;
    ~OwnDescriptor() { reset(); }
    OwnDescriptor(const OwnDescriptor&) = delete;
    OwnDescriptor& operator=(const OwnDescriptor&) = delete;

    /// Ends the one that it has, and takes `fd`, which is internal, or -1 for none.
    void reset(int fd = -1) noexcept;
    /// Gives it up, open as it is, to a new owner; -1 if there is none.
    [[nodiscard]] int release() noexcept;
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    static void close_in_child();
    int exchange(int fd) noexcept;

    int fd_ = -1;
    OwnDescriptor* next_ = nullptr; // of all that have one
    OwnDescriptor* before_ = nullptr;
};

/// Ends an internal descriptor.
void close_internal(int fd) noexcept;
/// Whether the program has no business with this number: its close() gets EBADF, as if nothing were there.
bool is_internal(int fd) noexcept;

} // namespace socksify::sys
