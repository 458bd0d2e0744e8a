#include "sys/idn.hpp"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <string_view>

namespace socksify::sys {
namespace {

// <idn2.h>
using LookUp = int (*)(const char* name, char** result, int flags); // idn2_lookup_ul
constexpr int idn2_nfc_input = 1;
constexpr int idn2_transitional_no = 8; // IDN2_NONTRANSITIONAL

LookUp find_look_up() noexcept {
    // For good, as libc keeps its own.
    void* library = dlopen("libidn2.so.0", RTLD_NOW | RTLD_LOCAL);
    return library == nullptr ? nullptr : reinterpret_cast<LookUp>(dlsym(library, "idn2_lookup_ul"));
}

} // namespace

std::optional<std::string> to_ascii_name(const char* name) {
    const std::string_view text(name);
    if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }))
        return std::string(text);
    static const LookUp look_up = find_look_up();
    char* converted = nullptr;
    if (look_up == nullptr || look_up(name, &converted, idn2_nfc_input | idn2_transitional_no) != 0)
        return {};
    std::string out(converted);
    std::free(converted); // idn2_free() is that
    return out;
}

} // namespace socksify::sys
