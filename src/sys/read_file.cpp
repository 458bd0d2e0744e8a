#include "sys/read_file.hpp"

#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <sys/stat.h>

namespace socksify::sys {

namespace {

constexpr std::size_t largest_file = 1024 * 1024;

/// Also when there is no memory for what is in it.
class Closing {
public:
    explicit Closing(int fd) noexcept : fd_(fd) {}
    ~Closing() {
        const KeepErrno keep;
        real::close(fd_);
    }
    Closing(const Closing&) = delete;
    Closing& operator=(const Closing&) = delete;

private:
    int fd_;
};

} // namespace

std::optional<std::string> read_file(const std::string& path) {
    const int fd =
        open_with_room([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); });
    if (fd < 0) return {};
    std::string text;
    ssize_t size = 0;
    {
        const Closing closing(fd);
        // Not by way of a buffer on the stack, which the program would keep for good.
        struct stat status {};
        if (fstat(fd, &status) == 0)
            text.reserve(std::min(static_cast<std::size_t>(status.st_size), largest_file) + 1);
        do {
            const auto before = text.size();
            text.resize(std::max(text.capacity(), before + 1));
            size = real::read(fd, text.data() + before, text.size() - before);
            text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
        } while (size > 0 && text.size() <= largest_file);
    }
    if (size < 0) return {};
    if (text.size() > largest_file) {
        errno = EFBIG;
        return {};
    }
    return text;
}

} // namespace socksify::sys
