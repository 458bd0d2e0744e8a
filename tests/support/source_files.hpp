// The files of the source tree that unit tests compare with what the program says.
#pragma once

#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace socksify::test {

inline std::filesystem::path root() {
    const char* path =
        std::getenv("SOCKSIFY_SOURCE_ROOT"); // NOLINT(concurrency-mt-unsafe): there is one thread
    REQUIRE_MESSAGE(path != nullptr, "SOCKSIFY_SOURCE_ROOT names the source tree");
    return path;
}

inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream in(path);
    REQUIRE_MESSAGE(in, path.string());
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
    return nlohmann::json::parse(read_file(path), nullptr, true, true);
}

} // namespace socksify::test
