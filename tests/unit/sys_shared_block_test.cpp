// What a user's processes share lies in a file that nobody else can have a hand in.
#include "sys/shared_block.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

using namespace socksify::sys;

namespace {

constexpr std::size_t octets = 4096;
constexpr uid_t somebody_else = 65534;

class Place {
public:
    Place() {
        std::string name = "/tmp/socksify-test-XXXXXX";
        REQUIRE(mkdtemp(name.data()) != nullptr);
        root_ = name;
    }
    ~Place() { std::filesystem::remove_all(root_); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    [[nodiscard]] std::string directory() const { return root_ + "/directory"; }
    [[nodiscard]] std::string file() const { return directory() + "/file"; }

    /// 0 or errno.
    [[nodiscard]] int open(bool make = true, std::size_t size = octets) const {
        const int fd = open_private_file(directory().c_str(), make, "file", size);
        if (fd < 0) return errno;
        close(fd);
        return 0;
    }

private:
    std::string root_;
};

mode_t mode_of(const std::string& path) {
    struct stat status {};
    REQUIRE(lstat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

} // namespace

TEST_CASE("what is made is this user's alone, and found again") {
    const Place place;
    CHECK(place.open(false) == ENOENT);
    const auto before = umask(0);
    CHECK(place.open() == 0);
    umask(before);
    CHECK(mode_of(place.directory()) == 0700);
    CHECK(mode_of(place.file()) == 0600);
    CHECK(std::filesystem::file_size(place.file()) == octets);
    CHECK(place.open(false) == 0);
}

TEST_CASE("a directory that others may write to is not used") {
    const Place place;
    REQUIRE(place.open() == 0);
    for (const mode_t mode : {0720, 0702, 01777}) {
        chmod(place.directory().c_str(), mode);
        CHECK(place.open() == EACCES);
    }
    chmod(place.directory().c_str(), 0755);
    CHECK(place.open() == 0);
}

TEST_CASE("a file that others may read or write is not used") {
    const Place place;
    REQUIRE(place.open() == 0);
    for (const mode_t mode : {0640, 0604, 0620, 0602}) {
        chmod(place.file().c_str(), mode);
        CHECK(place.open() == EACCES);
    }
    CHECK(mode_of(place.file()) == 0602); // nor is it mended: who opened it has it open
}

TEST_CASE("neither is reached by a link") {
    const Place place;
    REQUIRE(place.open() == 0);
    std::filesystem::rename(place.file(), place.file() + "-of-another");
    std::filesystem::create_symlink("file-of-another", place.file());
    CHECK(place.open() == ELOOP);
    std::filesystem::remove(place.file());
    REQUIRE(place.open() == 0);
    std::filesystem::rename(place.directory(), place.directory() + "-of-another");
    std::filesystem::create_directory_symlink("directory-of-another", place.directory());
    CHECK(place.open() != 0);
}

TEST_CASE("a file of another size is another version's, and stays as it is") {
    const Place place;
    REQUIRE(place.open() == 0);
    CHECK(place.open(true, 2 * octets) == EACCES);
    CHECK(std::filesystem::file_size(place.file()) == octets);
}

TEST_CASE("what is not a file is not used") {
    const Place place;
    REQUIRE(place.open() == 0);
    std::filesystem::remove(place.file());
    REQUIRE(mkfifo(place.file().c_str(), 0600) == 0);
    CHECK(place.open() == EACCES);
}

TEST_CASE("what is another user's is not used" * doctest::skip(geteuid() != 0)) {
    const Place place;
    REQUIRE(place.open() == 0);
    REQUIRE(chown(place.file().c_str(), somebody_else, 0) == 0);
    CHECK(place.open() == EACCES);
    REQUIRE(chown(place.file().c_str(), 0, 0) == 0);
    CHECK(place.open() == 0);
    REQUIRE(chown(place.directory().c_str(), somebody_else, 0) == 0);
    CHECK(place.open() == EACCES);
}
