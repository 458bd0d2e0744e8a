// Passwords: kept as hashes of libc's crypt (crypt(5): "$y$…" yescrypt, "$6$…" SHA-512 and what else it
// knows).
#pragma once

#include <string>
#include <string_view>

namespace socksify::relay {

/// Whether crypt can check a password against it. What has no "$" at its start is refused although crypt
/// takes it for DES: more likely it is a password that somebody wrote where its hash belongs.
bool is_password_hash(std::string_view hash);

/// A hash with a fresh salt, of libc's preferred method; empty if libc has none. Takes long: that is its
/// purpose.
std::string hash_password(const std::string& password);
/// The same, quick: for a random text that nobody can guess anyhow.
std::string hash_token(const std::string& token);

/// Takes as long as `hash_password`.
bool matches_hash(const std::string& password, const std::string& hash);

/// Takes the same time whatever differs, and wherever; only the length of `given` shows.
bool equal_in_constant_time(std::string_view given, std::string_view wanted) noexcept;

/// `size` random octets in hexadecimal digits, fit for a key.
std::string random_hexadecimal(std::size_t size);

/// Overwrites the text, also when nobody looks at it any more.
void wipe(std::string& secret) noexcept;

} // namespace socksify::relay
