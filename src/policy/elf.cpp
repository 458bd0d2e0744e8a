#include "policy/elf.hpp"

#include <algorithm>
#include <elf.h>
#include <optional>

namespace socksify::policy {
namespace {

// Far beyond what linkers write.
constexpr std::size_t most_segments = 1024;
constexpr std::size_t most_sections = 16384;
constexpr std::size_t most_dynamic = 4096;
constexpr std::size_t most_versions = 4096;
constexpr std::size_t longest_note = 64 * 1024;
constexpr std::size_t longest_string = 4096;

/// A piece of the file. Numbers behind its end are 0.
class Block {
public:
    Block(std::vector<std::uint8_t> octets, bool little) : octets_(std::move(octets)), little_(little) {}

    [[nodiscard]] std::size_t size() const noexcept { return octets_.size(); }
    [[nodiscard]] Bytes octets() const noexcept { return octets_; }
    [[nodiscard]] std::uint64_t number(std::size_t at, std::size_t width) const noexcept {
        if (at > octets_.size() || octets_.size() - at < width) return 0;
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < width; ++i)
            value = value << 8 | octets_[little_ ? at + width - 1 - i : at + i];
        return value;
    }
    [[nodiscard]] std::uint16_t half(std::size_t at) const noexcept {
        return static_cast<std::uint16_t>(number(at, 2));
    }
    [[nodiscard]] std::uint32_t word(std::size_t at) const noexcept {
        return static_cast<std::uint32_t>(number(at, 4));
    }

private:
    std::vector<std::uint8_t> octets_;
    bool little_;
};

/// Where a field stands in each class.
struct Place {
    std::size_t in_32;
    std::size_t in_64;
};
#define PLACE(kind, field) (Place{offsetof(Elf32_##kind, field), offsetof(Elf64_##kind, field)})

struct Segment {
    std::uint32_t type = 0;
    std::uint64_t offset = 0;
    std::uint64_t address = 0;
    std::uint64_t size = 0;
};

class Reader {
public:
    Reader(const ReadAt& read, ElfDetail detail) : read_(read), detail_(detail) {}

    tl::expected<Elf, ElfError> read() {
        const auto identity = block(0, EI_NIDENT);
        if (identity.size() < SELFMAG || std::memcmp(identity.octets().data(), ELFMAG, SELFMAG) != 0)
            return tl::unexpected(ElfError::not_elf);
        if (identity.size() < EI_NIDENT) return tl::unexpected(ElfError::damaged);
        const auto file_class = identity.octets()[EI_CLASS];
        const auto encoding = identity.octets()[EI_DATA];
        if ((file_class != ELFCLASS32 && file_class != ELFCLASS64) ||
            (encoding != ELFDATA2LSB && encoding != ELFDATA2MSB))
            return tl::unexpected(ElfError::damaged);
        elf_.is_64 = file_class == ELFCLASS64;
        elf_.is_little_endian = encoding == ELFDATA2LSB;

        const auto header = block(0, elf_.is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr));
        if (header.size() < (elf_.is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
            return tl::unexpected(ElfError::damaged);
        const auto type = half(header, 0, PLACE(Ehdr, e_type));
        elf_.kind = type == ET_EXEC  ? Elf::Kind::executable
                    : type == ET_DYN ? Elf::Kind::shared
                                     : Elf::Kind::other;
        elf_.machine = half(header, 0, PLACE(Ehdr, e_machine));
        if (!read_segments(header)) return tl::unexpected(ElfError::damaged);
        if (!read_interpreter()) return tl::unexpected(ElfError::damaged);
        read_dynamic();
        elf_.is_go = has_note("Go") || has_go_section(header);
        elf_.is_launcher = !elf_.has_interpreter && has_note(launcher_note);
        return std::move(elf_);
    }

private:
    [[nodiscard]] Block block(std::uint64_t offset, std::uint64_t size, std::size_t most = 1 << 20) const {
        std::vector<std::uint8_t> octets(static_cast<std::size_t>(std::min<std::uint64_t>(size, most)));
        octets.resize(std::min(read_(offset, octets), octets.size()));
        return {std::move(octets), elf_.is_little_endian};
    }
    /// Without its NUL; cut at `longest_string` and at the end of the file.
    [[nodiscard]] std::string string_at(std::uint64_t offset) const {
        std::string out;
        while (out.size() < longest_string) {
            const auto piece = block(offset + out.size(), 128);
            const auto text = as_text(piece.octets());
            out += text.substr(0, text.find('\0'));
            if (text.size() < 128 || text.find('\0') != std::string_view::npos) break;
        }
        return out;
    }

    // Fields of a table whose `item` stands at that place in the block.
    [[nodiscard]] std::size_t at(std::size_t item, Place place) const noexcept {
        return item + (elf_.is_64 ? place.in_64 : place.in_32);
    }
    [[nodiscard]] std::uint16_t half(const Block& in, std::size_t item, Place place) const noexcept {
        return in.half(at(item, place));
    }
    [[nodiscard]] std::uint32_t word(const Block& in, std::size_t item, Place place) const noexcept {
        return in.word(at(item, place));
    }
    /// Of the class's own width: an address, an offset, a size.
    [[nodiscard]] std::uint64_t wide(const Block& in, std::size_t item, Place place) const noexcept {
        return in.number(at(item, place), elf_.is_64 ? 8 : 4);
    }

    bool read_segments(const Block& header) {
        const std::size_t item = elf_.is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
        const std::size_t count = half(header, 0, PLACE(Ehdr, e_phnum));
        if (count == 0) return true; // an object file: not to be started, but no damage
        if (half(header, 0, PLACE(Ehdr, e_phentsize)) != item) return false; // the kernel's own condition
        if (count > most_segments) return false;
        const auto table = block(wide(header, 0, PLACE(Ehdr, e_phoff)), count * item);
        if (table.size() < count * item) return false;
        for (std::size_t i = 0; i < count; ++i)
            segments_.push_back(
                {word(table, i * item, PLACE(Phdr, p_type)), wide(table, i * item, PLACE(Phdr, p_offset)),
                 wide(table, i * item, PLACE(Phdr, p_vaddr)), wide(table, i * item, PLACE(Phdr, p_filesz))});
        return true;
    }

    [[nodiscard]] const Segment* find(std::uint32_t type) const noexcept {
        const auto found =
            std::find_if(segments_.begin(), segments_.end(), [&](const auto& s) { return s.type == type; });
        return found == segments_.end() ? nullptr : &*found;
    }

    bool read_interpreter() {
        const auto* segment = find(PT_INTERP);
        if (segment == nullptr) return true;
        elf_.has_interpreter = true;
        elf_.interpreter = string_at(segment->offset);
        return elf_.interpreter.starts_with('/') && elf_.interpreter.size() < segment->size;
    }

    /// Where the file holds what is loaded at `address`.
    [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address) const noexcept {
        for (const auto& segment : segments_)
            if (segment.type == PT_LOAD && address >= segment.address &&
                address - segment.address < segment.size)
                return segment.offset + (address - segment.address);
        return {};
    }

    void read_dynamic() {
        const auto* segment = find(PT_DYNAMIC);
        if (segment == nullptr) return;
        elf_.is_dynamic = true;
        if (detail_ == ElfDetail::start) return;
        const std::size_t item = elf_.is_64 ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
        const auto table = block(segment->offset, segment->size, most_dynamic * item);
        std::vector<std::uint64_t> needed;
        std::optional<std::uint64_t> strings;
        std::optional<std::uint64_t> wanted;
        std::optional<std::uint64_t> offered;
        for (std::size_t i = 0; i + item <= table.size(); i += item) {
            const auto tag = wide(table, i, PLACE(Dyn, d_tag));
            const auto value = wide(table, i, PLACE(Dyn, d_un));
            if (tag == DT_NULL) break;
            if (tag == DT_NEEDED) needed.push_back(value);
            else if (tag == DT_STRTAB) strings = offset_of(value);
            else if (tag == DT_VERNEED) wanted = offset_of(value);
            else if (tag == DT_VERDEF) offered = offset_of(value);
        }
        if (!strings) return;
        strings_ = *strings;
        for (const auto name : needed) elf_.needed.push_back(string_at(strings_ + name));
        if (wanted) read_wanted_versions(*wanted);
        if (offered) read_offered_versions(*offered);
    }

    // The version tables have one layout in both classes; each item tells how far it is to the next.
    void read_wanted_versions(std::uint64_t place) {
        std::size_t seen = 0;
        while (seen++ < most_versions) {
            const auto library = block(place, sizeof(Elf64_Verneed));
            if (library.size() < sizeof(Elf64_Verneed)) return;
            const auto of = string_at(strings_ + library.word(offsetof(Elf64_Verneed, vn_file)));
            auto next = place + library.word(offsetof(Elf64_Verneed, vn_aux));
            for (unsigned left = library.half(offsetof(Elf64_Verneed, vn_cnt));
                 left > 0 && seen++ < most_versions; --left) {
                const auto version = block(next, sizeof(Elf64_Vernaux));
                if (version.size() < sizeof(Elf64_Vernaux)) return;
                const bool is_weak = (version.half(offsetof(Elf64_Vernaux, vna_flags)) & VER_FLG_WEAK) != 0;
                if (of == "libc.so.6" && !is_weak)
                    elf_.libc_versions.push_back(
                        string_at(strings_ + version.word(offsetof(Elf64_Vernaux, vna_name))));
                next += version.word(offsetof(Elf64_Vernaux, vna_next));
            }
            const auto step = library.word(offsetof(Elf64_Verneed, vn_next));
            if (step == 0) return;
            place += step;
        }
    }

    void read_offered_versions(std::uint64_t place) {
        for (std::size_t seen = 0; seen < most_versions; ++seen) {
            const auto version = block(place, sizeof(Elf64_Verdef));
            if (version.size() < sizeof(Elf64_Verdef)) return;
            const auto first =
                block(place + version.word(offsetof(Elf64_Verdef, vd_aux)), sizeof(Elf64_Verdaux));
            if (first.size() < sizeof(Elf64_Verdaux)) return;
            elf_.offered_versions.push_back(
                string_at(strings_ + first.word(offsetof(Elf64_Verdaux, vda_name))));
            const auto step = version.word(offsetof(Elf64_Verdef, vd_next));
            if (step == 0) return;
            place += step;
        }
    }

    /// NAMESZ, DESCSZ, TYPE, then name and description, each padded to four octets.
    [[nodiscard]] bool has_note(std::string_view owner) const {
        for (const auto& segment : segments_) {
            if (segment.type != PT_NOTE) continue;
            const auto notes = block(segment.offset, segment.size, longest_note);
            for (std::size_t i = 0; i + sizeof(Elf64_Nhdr) <= notes.size();) {
                const std::size_t name_size = notes.word(i);
                const std::size_t description_size = notes.word(i + 4);
                const auto name = as_text(notes.octets().subspan(i + sizeof(Elf64_Nhdr)));
                if (const auto its = name.substr(0, name_size); its.substr(0, its.find('\0')) == owner)
                    return true;
                if (name_size > notes.size() || description_size > notes.size()) break;
                i += sizeof(Elf64_Nhdr) + (name_size + 3) / 4 * 4 + (description_size + 3) / 4 * 4;
            }
        }
        return false;
    }

    [[nodiscard]] bool has_go_section(const Block& header) const {
        const std::size_t item = elf_.is_64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
        const std::size_t count = half(header, 0, PLACE(Ehdr, e_shnum));
        const std::size_t names_at = half(header, 0, PLACE(Ehdr, e_shstrndx));
        if (half(header, 0, PLACE(Ehdr, e_shentsize)) != item || names_at >= count || count > most_sections)
            return false;
        const auto table = block(wide(header, 0, PLACE(Ehdr, e_shoff)), count * item);
        const auto names = block(wide(table, names_at * item, PLACE(Shdr, sh_offset)),
                                 wide(table, names_at * item, PLACE(Shdr, sh_size)));
        const auto text = as_text(names.octets());
        for (std::size_t i = 0; i + item <= table.size(); i += item) {
            const std::size_t name_at = word(table, i, PLACE(Shdr, sh_name));
            if (name_at >= text.size()) continue;
            const auto rest = text.substr(name_at);
            const auto name = rest.substr(0, rest.find('\0'));
            if (name == ".go.buildinfo" || name == ".note.go.buildid") return true;
        }
        return false;
    }

    const ReadAt& read_;
    ElfDetail detail_;
    Elf elf_;
    std::vector<Segment> segments_;
    std::uint64_t strings_ = 0; ///< where DT_STRTAB's strings begin in the file
};

std::string machine_name(const Elf& elf) {
    switch (elf.machine) {
    case EM_386: return "i386";
    case EM_X86_64: return elf.is_64 ? "x86-64" : "x86-64 (x32)";
    case EM_ARM: return "ARM";
    case EM_AARCH64: return "AArch64";
    case EM_RISCV: return "RISC-V";
    case EM_PPC: return "PowerPC";
    case EM_PPC64: return elf.is_little_endian ? "ppc64le" : "ppc64";
    case EM_S390: return "s390x";
    case EM_MIPS: return "MIPS";
    case 258: return "LoongArch"; // EM_LOONGARCH, not in every <elf.h>
    default: return "machine " + std::to_string(elf.machine);
    }
}

constexpr std::string_view lib = "$LIB";

/// What $LIB may stand for: Debian's directory for the architecture, and what others have.
std::vector<std::string> library_directories(const Elf& program) {
    switch (program.machine) {
    case EM_X86_64:
        if (program.is_64) return {"lib/x86_64-linux-gnu", "lib64"};
        return {"lib/x86_64-linux-gnux32", "libx32"};
    case EM_386: return {"lib/i386-linux-gnu", "lib32", "lib"};
    case EM_AARCH64: return {"lib/aarch64-linux-gnu", "lib64"};
    case EM_ARM: return {"lib/arm-linux-gnueabihf", "lib/arm-linux-gnueabi", "lib"};
    case EM_RISCV: return {"lib/riscv64-linux-gnu", "lib64"};
    case EM_PPC64:
        return {program.is_little_endian ? "lib/powerpc64le-linux-gnu" : "lib/powerpc64-linux-gnu", "lib64"};
    case EM_S390: return {"lib/s390x-linux-gnu", "lib64"};
    default: return {"lib64", "lib"};
    }
}

} // namespace

tl::expected<Elf, ElfError> read_elf(const ReadAt& read, ElfDetail detail) {
    return Reader(read, detail).read();
}

bool same_architecture(const Elf& a, const Elf& b) noexcept {
    return a.is_64 == b.is_64 && a.is_little_endian == b.is_little_endian && a.machine == b.machine;
}

std::string architecture(const Elf& elf) { return (elf.is_64 ? "64-bit " : "32-bit ") + machine_name(elf); }

std::vector<std::string> library_files(const std::string& path, const Elf& program) {
    const auto at = path.find(lib);
    if (at == std::string::npos) return {path};
    std::vector<std::string> out;
    for (const auto& directory : library_directories(program))
        out.push_back(std::string(path).replace(at, lib.size(), directory));
    return out;
}

Libc libc_of(std::string_view interpreter) noexcept {
    const auto name = interpreter.substr(interpreter.rfind('/') + 1);
    if (name.starts_with("ld-musl-")) return Libc::musl;
    if (name.starts_with("ld-linux") || name.starts_with("ld64.so") || name == "ld.so.1") return Libc::glibc;
    return Libc::unknown;
}

} // namespace socksify::policy
