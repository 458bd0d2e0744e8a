// The name pool of this user, shared by every process that the library is in, so that children and siblings
// agree on what an address stands for.
#pragma once

#include "socksify/endpoint.hpp"

#include <optional>

namespace socksify::sys::names {

/// Finds the pool, as the first of the others would: a program that drops its privileges may not reach it
/// afterwards.
void open() noexcept;

/// The pool address of a name, of the family wanted. Nothing if the pool is full or the name can't be sent to
/// a proxy.
std::optional<Host> pool_address(std::string_view name, AddressType family) noexcept;

/// Whether `address` lies in the pool's ranges, and if it does, the name behind it.
struct Meaning {
    bool from_pool = false;
    std::optional<Host> name;
};
Meaning meaning_of(const Host& address) noexcept;

} // namespace socksify::sys::names
