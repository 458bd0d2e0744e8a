#include "policy/elf.hpp"

#include "doctest/doctest.h"

#include <elf.h>
#include <fstream>
#include <iterator>
#include <random>

using namespace socksify;
using namespace socksify::policy;

namespace {

using Octets = std::vector<std::uint8_t>;

ReadAt reader_of(const Octets& file) {
    return [&file](std::uint64_t offset, std::span<std::uint8_t> into) -> std::size_t {
        if (offset >= file.size()) return 0;
        const auto size = std::min<std::size_t>(into.size(), file.size() - offset);
        std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset), size, into.begin());
        return size;
    };
}

/// Writes numbers of one class and byte order, each where it belongs.
class Writer {
public:
    Writer(bool is_64, bool little) : is_64_(is_64), little_(little) { file_.resize(1024); }

    void number(std::size_t at, std::uint64_t value, std::size_t width) {
        for (std::size_t i = 0; i < width; ++i)
            file_[little_ ? at + i : at + width - 1 - i] = static_cast<std::uint8_t>(value >> 8 * i);
    }
    void text(std::size_t at, std::string_view text) {
        std::copy(text.begin(), text.end(), file_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    [[nodiscard]] std::size_t wide() const { return is_64_ ? 8 : 4; }

    void header(std::uint16_t type, std::uint16_t machine, std::uint16_t segments) {
        text(0, std::string_view("\x7f"
                                 "ELF",
                                 4));
        file_[EI_CLASS] = is_64_ ? ELFCLASS64 : ELFCLASS32;
        file_[EI_DATA] = little_ ? ELFDATA2LSB : ELFDATA2MSB;
        number(16, type, 2);
        number(18, machine, 2);
        number(is_64_ ? 32 : 28, segments_at, wide());
        number(is_64_ ? 54 : 42, is_64_ ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr), 2);
        number(is_64_ ? 56 : 44, segments, 2);
    }
    void segment(std::size_t index, std::uint32_t type, std::uint64_t offset, std::uint64_t address,
                 std::uint64_t size) {
        const std::size_t at = segments_at + index * (is_64_ ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
        number(at, type, 4);
        number(at + (is_64_ ? 8 : 4), offset, wide());
        number(at + (is_64_ ? 16 : 8), address, wide());
        number(at + (is_64_ ? 32 : 16), size, wide());
    }
    void dynamic(std::size_t index, std::uint64_t tag, std::uint64_t value) {
        const std::size_t at = dynamic_at + index * 2 * wide();
        number(at, tag, wide());
        number(at + wide(), value, wide());
    }
    [[nodiscard]] const Octets& file() const { return file_; }

    static constexpr std::size_t segments_at = 0x40;
    static constexpr std::size_t dynamic_at = 0x200;

private:
    Octets file_;
    bool is_64_;
    bool little_;
};

/// A program for `machine` that wants a loader, libc.so.6 and one of its versions. Loaded at 0x10000.
Octets program(bool is_64, bool little, std::uint16_t machine) {
    constexpr std::uint64_t base = 0x10000;
    Writer out(is_64, little);
    out.header(ET_EXEC, machine, 3);
    out.segment(0, PT_LOAD, 0, base, 1024);
    out.segment(1, PT_INTERP, 0x180, base + 0x180, 16);
    out.segment(2, PT_DYNAMIC, Writer::dynamic_at, base + Writer::dynamic_at, 0x80);
    out.text(0x180, std::string_view("/lib/ld-linux.so\0", 17).substr(0, 15));
    out.text(0x300, std::string_view("\0libc.so.6\0GLIBC_2.34\0", 22));
    out.dynamic(0, DT_NEEDED, 1);
    out.dynamic(1, DT_STRTAB, base + 0x300);
    out.dynamic(2, DT_VERNEED, base + 0x340);
    out.number(0x340, 1, 2);      // vn_version
    out.number(0x342, 1, 2);      // vn_cnt
    out.number(0x344, 1, 4);      // vn_file
    out.number(0x348, 16, 4);     // vn_aux
    out.number(0x350 + 8, 11, 4); // vna_name
    return out.file();
}

/// What every system has, and small: our own program has 100 MB under a sanitizer.
Octets shell() {
    std::ifstream in("/bin/sh", std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace

TEST_CASE("an ELF file of either class and either byte order is read alike") {
    for (const bool is_64 : {false, true})
        for (const bool little : {false, true}) {
            CAPTURE(is_64);
            CAPTURE(little);
            const auto file = program(is_64, little, EM_PPC64);
            const auto elf = read_elf(reader_of(file));
            REQUIRE(elf.has_value());
            CHECK(elf->kind == Elf::Kind::executable);
            CHECK(elf->is_64 == is_64);
            CHECK(elf->is_little_endian == little);
            CHECK(elf->machine == EM_PPC64);
            CHECK(elf->interpreter == "/lib/ld-linux.s");
            CHECK(elf->is_dynamic);
            CHECK(elf->needed == std::vector<std::string>{"libc.so.6"});
            CHECK(elf->libc_versions == std::vector<std::string>{"GLIBC_2.34"});
            CHECK_FALSE(elf->is_go);
        }
    const auto a = read_elf(reader_of(program(true, true, EM_PPC64)));
    CHECK(architecture(*a) == "64-bit ppc64le");
    CHECK(same_architecture(*a, *a));
    for (const auto& other :
         {program(false, true, EM_PPC64), program(true, false, EM_PPC64), program(true, true, EM_PPC)})
        CHECK_FALSE(same_architecture(*a, *read_elf(reader_of(other))));
}

TEST_CASE("what is no ELF file is told from one that is damaged") {
    const auto error_of = [](const Octets& file) {
        const auto elf = read_elf(reader_of(file));
        REQUIRE_FALSE(elf.has_value());
        return elf.error();
    };
    CHECK(error_of({}) == ElfError::not_elf);
    CHECK(error_of({'#', '!', '/', 'b'}) == ElfError::not_elf);
    CHECK(error_of({0x7f, 'E', 'L', 'F'}) == ElfError::damaged);
    auto file = program(true, true, EM_X86_64);
    CHECK(error_of({file.begin(), file.begin() + 63}) == ElfError::damaged);
    CHECK(error_of({file.begin(), file.begin() + Writer::segments_at + 60}) == ElfError::damaged);
    for (const auto& [at, value] :
         {std::pair(EI_CLASS, 3), std::pair(EI_DATA, 0), std::pair(54, 1), std::pair(57, 0xff)}) {
        auto wrong = file;
        wrong[static_cast<std::size_t>(at)] = static_cast<std::uint8_t>(value);
        CHECK(error_of(wrong) == ElfError::damaged);
    }
}

TEST_CASE("a note tells the launcher from other static programs, whoever else has notes") {
    const auto file = [](std::uint32_t first_segment, std::string_view owner) {
        Writer out(true, true);
        out.header(ET_EXEC, EM_X86_64, 2);
        out.segment(0, first_segment, 0x180, 0x10180, 16);
        out.segment(1, PT_NOTE, 0x200, 0x10200, 64);
        const auto note = [&](std::size_t at, std::string_view of, std::uint32_t description) {
            out.number(at, of.size() + 1, 4);
            out.number(at + 4, description, 4);
            out.text(at + 12, of);
        };
        note(0x200, "GNU", 4);
        note(0x214, owner, 0);
        out.text(0x180, std::string_view("/lib/ld-linux.so\0", 17).substr(0, 15));
        return read_elf(reader_of(out.file())).value();
    };
    CHECK(file(PT_LOAD, "socksify").is_launcher);
    CHECK_FALSE(file(PT_LOAD, "socksif").is_launcher);
    CHECK_FALSE(file(PT_LOAD, "socksify2").is_launcher);
    CHECK_FALSE(file(PT_INTERP, "socksify").is_launcher); // it has a loader, and nothing to say
    CHECK(file(PT_LOAD, "Go").is_go);
    CHECK_FALSE(file(PT_LOAD, "socksify").is_go);
}

TEST_CASE("version tables that lead in a circle, or nowhere, come to an end") {
    auto file = program(true, true, EM_X86_64);
    const auto with = [&](std::size_t at, std::uint8_t value) {
        auto changed = file;
        changed[at] = value;
        return read_elf(reader_of(changed));
    };
    CHECK(with(0x342, 0xff)->libc_versions.size() <= 4096); // vn_cnt: 255, all the same one, as vna_next is 0
    CHECK(with(0x34c, 1)->libc_versions.size() <=
          4096);                                     // vn_next: an item that begins in the middle of the last
    CHECK(with(0x34b, 0xff)->libc_versions.empty()); // vn_aux: far behind the end
    CHECK(with(0x225, 0xff)->needed.size() == 1);    // a d_tag that nobody knows: the rest is still read
}

TEST_CASE("the loader's name tells the C library") {
    CHECK(libc_of("/lib64/ld-linux-x86-64.so.2") == Libc::glibc);
    CHECK(libc_of("/nix/store/abc-glibc-2.39/lib/ld-linux-aarch64.so.1") == Libc::glibc);
    CHECK(libc_of("/lib/ld64.so.1") == Libc::glibc);
    CHECK(libc_of("/lib/ld-musl-x86_64.so.1") == Libc::musl);
    CHECK(libc_of("/system/bin/linker64") == Libc::unknown);
    CHECK(libc_of("") == Libc::unknown);
}

TEST_CASE("whatever octets are wrong, reading comes to an end and stays inside") {
    // The one in the middle of everything, and a real one.
    std::mt19937 random(1); // NOLINT(cert-msc51-cpp): the same each time
    const auto any = [&](std::size_t most) {
        return std::uniform_int_distribution<std::size_t>(0, most)(random);
    };
    const auto small = program(true, true, EM_X86_64);
    const auto real = shell();
    REQUIRE(real.size() > 4096);
    for (unsigned i = 0; i < 3000; ++i) {
        auto file = i % 10 == 0 ? real : program(any(1) == 0, any(1) == 0, EM_X86_64);
        const auto front = i % 10 == 0 ? std::size_t{4096} : file.size();
        for (auto left = 1 + any(20); left > 0; --left)
            file[4 + any(front - 5)] = static_cast<std::uint8_t>(any(255));
        if (any(3) == 0) file.resize(any(file.size()));
        file.shrink_to_fit();
        const auto elf = read_elf(reader_of(file));
        if (elf) CHECK_FALSE(architecture(*elf).empty());
    }
}
