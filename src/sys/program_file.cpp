#include "sys/program_file.hpp"

#include "policy/elf.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/read_file.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

namespace socksify::sys {
namespace {

constexpr std::size_t first_line_most = 256; // BINPRM_BUF_SIZE: the kernel looks at no more
constexpr int most_interpreters = 5;         // after that the kernel says ELOOP

/// Notes in `error` what it lacked: what can't be seen now may well be there.
class OpenFile {
public:
    OpenFile(const char* path, int& error) noexcept
        : error_(error),
          fd_(open_with_room([=] { return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); })) {
        if (fd_ < 0 && may_pass(errno)) error_ = errno;
    }
    ~OpenFile() {
        if (fd_ >= 0) real::close(fd_);
    }
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;

    [[nodiscard]] int fd() const noexcept { return fd_; }
    std::size_t read(std::uint64_t offset, std::span<std::uint8_t> into) const noexcept {
        const auto size = pread(fd_, into.data(), into.size(), static_cast<off_t>(offset));
        if (size < 0 && may_pass(errno)) error_ = errno;
        return size > 0 ? static_cast<std::size_t>(size) : 0;
    }

private:
    int& error_;
    int fd_;
};

/// As the kernel decides on AT_SECURE (cap_bprm_creds_from_file).
bool gets_privileges(const char* path, int& error) noexcept {
    struct stat status {};
    if (stat(path, &status) != 0) {
        if (may_pass(errno)) error = errno;
        return false;
    }
    struct statvfs mounted {};
    const bool may = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 &&
                     (statvfs(path, &mounted) != 0 || (mounted.f_flag & ST_NOSUID) == 0);
    const auto user = may && (status.st_mode & S_ISUID) != 0 ? status.st_uid : geteuid();
    const bool sets_group = (status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    const auto group = may && sets_group ? status.st_gid : getegid();
    if (user != getuid() || group != getgid()) return true;
    if (!may || getuid() == 0) return false;
    const auto capabilities = getxattr(path, "security.capability", nullptr, 0);
    if (capabilities < 0 && may_pass(errno)) error = errno;
    return capabilities > 0;
}

/// Whether one of the files in LD_PRELOAD that are ours is for the architecture of `elf`.
bool has_library_for(const policy::Elf& elf, std::string_view preload, int& error) {
    while (!preload.empty()) {
        const auto end = std::min(preload.find_first_of(": "), preload.size());
        const auto entry = preload.substr(0, end);
        preload.remove_prefix(std::min(end + 1, preload.size()));
        if (entry.find("libsocksify.so") == std::string_view::npos) continue;
        if (entry.find('/') == std::string_view::npos) return true; // ld.so finds it in a place of its own
        for (const auto& name : policy::library_files(std::string(entry), elf)) {
            const OpenFile file(name.c_str(), error);
            if (file.fd() < 0) continue;
            const auto library = policy::read_elf(
                [&](auto offset, auto into) { return file.read(offset, into); }, policy::ElfDetail::start);
            if (library && policy::same_architecture(*library, elf)) return true;
        }
    }
    return false;
}

Obstacle obstacle_of(const policy::Elf& elf, const std::string& path, std::string_view preload, int& error) {
    // ld.so itself, put in front of a program, preloads into that one; so does the launcher.
    const bool is_loader = policy::libc_of(path) == policy::Libc::glibc;
    if (!elf.has_interpreter && !is_loader && !elf.is_launcher) return Obstacle::is_static;
    if (elf.is_go) return Obstacle::is_go;
    if (policy::libc_of(elf.interpreter) == policy::Libc::musl) return Obstacle::is_musl;
    if (gets_privileges(path.c_str(), error)) return Obstacle::is_privileged;
    return has_library_for(elf, preload, error) ? Obstacle::none : Obstacle::is_foreign;
}

/// What stands behind "#!", without its argument; empty if there is no such line.
std::string interpreter_in(std::string_view text) {
    if (!text.starts_with("#!")) return {};
    text = text.substr(2, text.find('\n') == text.npos ? text.npos : text.find('\n') - 2);
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    return std::string(text.substr(0, text.find_first_of(std::string_view(" \t\0", 3))));
}

} // namespace

ProgramFile look_at_program(const char* path, std::string_view preload) {
    const KeepErrno keep;
    ProgramFile program;
    std::string next = path;
    for (int step = 0; step < most_interpreters; ++step) {
        const OpenFile file(next.c_str(), program.error);
        char resolved[PATH_MAX];
        program.path = realpath(next.c_str(), resolved) != nullptr ? resolved : next;
        if (file.fd() < 0) { // who may only execute it can't look inside
            if (gets_privileges(program.path.c_str(), program.error))
                program.obstacle = Obstacle::is_privileged;
            return program;
        }
        const auto elf = policy::read_elf([&](auto offset, auto into) { return file.read(offset, into); },
                                          policy::ElfDetail::start);
        if (elf) {
            program.obstacle = obstacle_of(*elf, program.path, preload, program.error);
            return program;
        }
        std::array<std::uint8_t, first_line_most> head;
        next = interpreter_in(as_text(Bytes(head).first(file.read(0, head))));
        if (next.empty()) return program;
    }
    return program;
}

std::string find_in_path(const char* file) {
    const KeepErrno keep;
    const std::string_view name(file);
    if (name.empty() || name.find('/') != std::string_view::npos) return std::string(name);
    const char* variable = std::getenv("PATH");
    std::string_view rest = variable != nullptr ? variable : "/bin:/usr/bin"; // _CS_PATH
    std::string not_executable;
    for (;;) {
        const auto colon = rest.find(':');
        const auto directory = rest.substr(0, colon);
        auto path = (directory.empty() ? "." : std::string(directory)) + "/" + std::string(name);
        struct stat status {};
        if (stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
            if (access(path.c_str(), X_OK) == 0) return path;
            if (not_executable.empty()) not_executable = std::move(path);
        }
        if (colon == std::string_view::npos)
            return not_executable.empty() ? std::string(name) : not_executable;
        rest.remove_prefix(colon + 1);
    }
}

std::string explain(const ProgramFile& program) {
    const auto why = [&]() -> std::string_view {
        switch (program.obstacle) {
        case Obstacle::none: return "";
        case Obstacle::is_static: return "it is linked statically";
        case Obstacle::is_go: return "it is a Go program, which makes its system calls past libc";
        case Obstacle::is_privileged:
            return "it runs with privileges of its own (set-user-ID, set-group-ID, capabilities)";
        case Obstacle::is_foreign: return "there is no library for its architecture here";
        case Obstacle::is_musl: return "it is made for musl, the library for glibc";
        }
        return "";
    };
    return std::string(why()) +
           ", so the library can't be in it and it would connect directly; set a proxy in the program "
           "itself, "
           R"(or let it with a rule: { "program": ")" +
           program.path + R"(", "route": "direct" })";
}

} // namespace socksify::sys
