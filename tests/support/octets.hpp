// Octets as tests write and show them: "05 01 00".
#pragma once

#include "socksify/bytes.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace socksify::test {

using Octets = std::vector<std::uint8_t>;

inline int nibble(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    throw std::invalid_argument("not a hexadecimal digit");
}

/// Two digits per octet, blanks anywhere between octets.
inline Octets octets(std::string_view hex) {
    Octets out;
    for (std::size_t i = 0; i < hex.size(); ++i) {
        if (hex[i] == ' ') continue;
        if (i + 1 == hex.size()) throw std::invalid_argument("half an octet");
        out.push_back(static_cast<std::uint8_t>(nibble(hex[i]) << 4 | nibble(hex[i + 1])));
        ++i;
    }
    return out;
}

inline std::string hex(Bytes in) {
    std::string out;
    for (const auto octet : in) {
        if (!out.empty()) out += ' ';
        out += "0123456789abcdef"[octet >> 4];
        out += "0123456789abcdef"[octet & 15];
    }
    return out;
}

/// A copy of its own, of exactly this size: the address sanitizer sees who reads beyond it.
inline Octets copy(Bytes in) { return {in.begin(), in.end()}; }

inline Octets operator+(Octets a, Bytes b) {
    a.reserve(a.size() + b.size());
    for (const auto octet : b) a.push_back(octet);
    return a;
}

} // namespace socksify::test
