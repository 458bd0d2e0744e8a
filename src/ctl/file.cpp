#include "ctl/file.hpp"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace socksify::ctl {

std::optional<File> File::open(const std::string& path) {
    // O_NONBLOCK: a named pipe without a writer would keep us for ever.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return {};
    const std::shared_ptr<const int> shared(new int(fd), [](const int* owned) {
        ::close(*owned);
        delete owned;
    });
    struct stat status {};
    if (::fstat(fd, &status) != 0) return {};
    if (!S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : ENODEV;
        return {};
    }
    return File(shared, status);
}

ReadAt File::reader() const {
    return [fd = fd_](std::uint64_t offset, std::span<std::uint8_t> into) -> std::size_t {
        std::size_t done = 0;
        while (done < into.size() && offset + done <= static_cast<std::uint64_t>(LLONG_MAX)) {
            const auto size =
                ::pread(*fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
            if (size < 0 && errno == EINTR) continue;
            if (size <= 0) break;
            done += static_cast<std::size_t>(size);
        }
        return done;
    };
}

std::string File::text(std::size_t most) const {
    std::vector<std::uint8_t> octets(
        std::min(most, static_cast<std::size_t>(std::max<off_t>(status_.st_size, 0))));
    octets.resize(reader()(0, octets));
    return std::string(as_text(octets));
}

bool File::has_capabilities() const noexcept {
    return ::fgetxattr(*fd_, "security.capability", nullptr, 0) > 0;
}

bool File::is_mounted(unsigned long flags) const noexcept {
    struct statvfs status {};
    return ::fstatvfs(*fd_, &status) == 0 && (status.f_flag & flags) == flags;
}

std::string real_path(const std::string& path) {
    std::string out = path;
    if (char* real = ::realpath(path.c_str(), nullptr)) {
        out = real;
        std::free(real);
    }
    return out;
}

std::string error_text(int error) {
    return ::strerrordesc_np(error) != nullptr ? ::strerrordesc_np(error) : "unknown error";
}

} // namespace socksify::ctl
