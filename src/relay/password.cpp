#include "relay/password.hpp"

#include <algorithm>
#include <crypt.h>
#include <cstdint>
#include <cstring>
#include <memory>
#include <sys/random.h>
#include <vector>

namespace socksify::relay {
namespace {

/// 32 KiB, too much for the stack of a small thread.
std::unique_ptr<crypt_data> scratch() { return std::make_unique<crypt_data>(); }

/// A null method is libc's preferred one, a cost of 0 the method's default.
std::string hash_with(const char* method, unsigned long cost, const std::string& password) {
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    if (crypt_gensalt_rn(method, cost, nullptr, 0, salt, sizeof salt) == nullptr) return {};
    const auto data = scratch();
    const char* hash = crypt_r(password.c_str(), salt, data.get());
    return hash == nullptr || *hash == '*' ? std::string{} : std::string(hash);
}

} // namespace

bool is_password_hash(std::string_view hash) {
    const std::string terminated(hash);
    if (!hash.starts_with('$') || terminated.find('\0') != std::string::npos) return false;
    // Also what libc calls a legacy method: the administrator has it in his /etc/shadow, maybe.
    const int kind = crypt_checksalt(terminated.c_str());
    if (kind == CRYPT_SALT_INVALID || kind == CRYPT_SALT_METHOD_DISABLED) return false;
    // That looked at method and salt alone. A hash that was cut off shows when crypt is made to use it.
    const auto separators = std::count(terminated.begin(), terminated.end(), '$');
    return separators >= 3 && terminated.back() != '$';
}

std::string hash_password(const std::string& password) { return hash_with(nullptr, 0, password); }
std::string hash_token(const std::string& token) { return hash_with("$5$", 1000, token); }

bool matches_hash(const std::string& password, const std::string& hash) {
    const auto data = scratch();
    const char* found = crypt_r(password.c_str(), hash.c_str(), data.get());
    // crypt stops at a NUL: "secret\0anything" would pass for "secret".
    const bool whole = password.find('\0') == std::string::npos;
    const bool equal = found != nullptr && *found != '*' && equal_in_constant_time(found, hash);
    explicit_bzero(data.get(), sizeof(crypt_data));
    return equal && whole;
}

bool equal_in_constant_time(std::string_view given, std::string_view wanted) noexcept {
    volatile std::uint8_t difference = given.size() == wanted.size() ? 0 : 1;
    const auto against = wanted.empty() ? given : wanted;
    for (std::size_t i = 0; i < given.size(); ++i)
        difference =
            static_cast<std::uint8_t>(difference | (static_cast<std::uint8_t>(given[i]) ^
                                                    static_cast<std::uint8_t>(against[i % against.size()])));
    return difference == 0;
}

std::string random_hexadecimal(std::size_t size) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::vector<std::uint8_t> octets(size);
    if (getentropy(octets.data(), octets.size()) != 0) return {};
    std::string out;
    for (const auto octet : octets) (out += digits[octet >> 4]) += digits[octet & 15];
    return out;
}

void wipe(std::string& secret) noexcept {
    explicit_bzero(secret.data(), secret.size());
    secret.clear();
}

} // namespace socksify::relay
