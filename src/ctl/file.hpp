// A file that is looked at and never believed: opened without waiting, read where it is asked for.
#pragma once

#include "policy/elf.hpp"

#include <memory>
#include <optional>
#include <sys/stat.h>

namespace socksify::ctl {

using policy::ReadAt;

/// Shared by the copies of its reader; closed with the last of them.
class File {
public:
    /// Nothing, with errno, if it can't be opened for reading; ENODEV if it is no regular file.
    static std::optional<File> open(const std::string& path);

    [[nodiscard]] const struct stat& status() const noexcept { return status_; }
    [[nodiscard]] ReadAt reader() const;
    /// The first `most` octets, or as many as there are.
    [[nodiscard]] std::string text(std::size_t most) const;
    /// Privileges that the file itself gives to whoever runs it (capabilities(7), "File capabilities").
    [[nodiscard]] bool has_capabilities() const noexcept;
    /// The file system is mounted with these of ST_NOEXEC, ST_NOSUID.
    [[nodiscard]] bool is_mounted(unsigned long flags) const noexcept;

private:
    File(std::shared_ptr<const int> fd, const struct stat& status) : fd_(std::move(fd)), status_(status) {}

    std::shared_ptr<const int> fd_;
    struct stat status_;
};

/// The path without links, "." and ".."; the path as it is if there is nothing behind it.
std::string real_path(const std::string& path);

/// "Permission denied".
std::string error_text(int error);

} // namespace socksify::ctl
