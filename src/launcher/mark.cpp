// A note in the launcher's file: a static program that may be started under the library all the same. It
// makes no connection, and puts the library into what it becomes (sys/program_file.hpp).
//
// Whoever copies the note into a program of his own gets past the library; so he does with a system call.
#include "policy/elf.hpp"

namespace socksify::launcher {
namespace {

/// NAMESZ, DESCSZ, TYPE, and the name, padded to four octets (ELF, Note Section).
struct alignas(4) Note {
    std::uint32_t name_size;
    std::uint32_t description_size;
    std::uint32_t type;
    char name[12];
};
static_assert(sizeof(Note) == 24 && policy::launcher_note.size() < sizeof(Note::name));

constexpr Note make_note() {
    Note note{policy::launcher_note.size() + 1, 0, 1, {}};
    for (std::size_t i = 0; i < policy::launcher_note.size(); ++i) note.name[i] = policy::launcher_note[i];
    return note;
}

[[gnu::section(".note.socksify"), gnu::used, maybe_unused]] alignas(4) constexpr Note mark = make_note();

} // namespace
} // namespace socksify::launcher
