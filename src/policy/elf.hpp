// What an ELF file says of how it wants to be started: whether a loader is asked for, which, and which
// libraries.
//
// Nothing in the file is believed: each offset and size is checked where it is used, counts are cut at limits
// far beyond what linkers write, and what lies outside the file reads as zeros. So a damaged file gives an
// incomplete answer or an error, never a wild read and never a long wait.
#pragma once

#include "socksify/bytes.hpp"

#include <functional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace socksify::policy {

/// Copies octets of a file, from `offset` on, and says how many there were.
using ReadAt = std::function<std::size_t(std::uint64_t offset, std::span<std::uint8_t> into)>;

/// The owner of a note that says: this is socksify's launcher.
inline constexpr std::string_view launcher_note = "socksify";

struct Elf {
    enum class Kind : std::uint8_t {
        executable,
        shared,
        other
    }; ///< ET_EXEC, ET_DYN (position-independent), else

    Kind kind = Kind::other;
    bool is_64 = false;
    bool is_little_endian = true;
    std::uint16_t machine = 0;       ///< EM_…
    bool has_interpreter = false;    ///< PT_INTERP: without one, no loader runs and nothing can be preloaded
    std::string interpreter;         ///< its path
    bool is_dynamic = false;         ///< PT_DYNAMIC
    bool is_go = false;              ///< .go.buildinfo, .note.go.buildid or a note of owner "Go"
    bool is_launcher = false;        ///< no PT_INTERP, and a note of owner `launcher_note`
    std::vector<std::string> needed; ///< DT_NEEDED
    std::vector<std::string> libc_versions;    ///< wanted of libc.so.6: "GLIBC_2.34"
    std::vector<std::string> offered_versions; ///< of a library's own: "GLIBC_2.2.5"
};

enum class ElfDetail : std::uint8_t {
    all,
    start, ///< without `needed`, `libc_versions` and `offered_versions`: a few reads only
};

/// Why there is no Elf.
enum class ElfError : std::uint8_t {
    not_elf, ///< it does not begin with 7F "ELF"
    damaged, ///< it does, but its headers lead out of the file or are of no known form
};

tl::expected<Elf, ElfError> read_elf(const ReadAt& read, ElfDetail detail = ElfDetail::all);

/// Class, byte order and machine: what a library and a program must have in common.
bool same_architecture(const Elf& a, const Elf& b) noexcept;
/// "64-bit x86-64".
std::string architecture(const Elf& elf);

/// The files that LD_PRELOAD's `path` can mean for a program of that architecture, in the order of their
/// likelihood: in place of $LIB, ld.so puts the library directory of the program's architecture. Without
/// $LIB: one.
std::vector<std::string> library_files(const std::string& path, const Elf& program);

/// The C library that an interpreter belongs to, by its name; there is nothing else to tell it by.
enum class Libc : std::uint8_t { glibc, musl, unknown };
Libc libc_of(std::string_view interpreter) noexcept;

} // namespace socksify::policy
