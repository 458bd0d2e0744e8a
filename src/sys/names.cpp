#include "sys/names.hpp"

#include "policy/name_pool.hpp"
#include "sys/shared_block.hpp"

namespace socksify::sys::names {
namespace {

using policy::NamePool;

NamePool the_pool() noexcept {
    static constinit SharedBlock block("socksify-names", NamePool::octets_needed());
    return content_of<NamePool>(block);
}

} // namespace

void open() noexcept { the_pool(); }

std::optional<Host> pool_address(std::string_view name, AddressType family) noexcept {
    auto pool = the_pool();
    if (!pool.valid()) return {};
    const auto index = pool.add(name);
    if (!index) return {};
    return family == AddressType::ipv6 ? NamePool::ipv6(*index) : NamePool::ipv4(*index);
}

Meaning meaning_of(const Host& address) noexcept {
    Meaning meaning;
    const auto index = NamePool::index_of(address);
    if (!index) return meaning;
    meaning.from_pool = true;
    if (const auto pool = the_pool(); pool.valid()) meaning.name = pool.name_at(*index);
    return meaning;
}

} // namespace socksify::sys::names
