#include "ctl/words.hpp"

#include "ctl/output.hpp"

#include <cstring>

namespace socksify::ctl {
namespace {

template <class Enum>
std::string octet_of(Enum value) {
    return hex(std::array{static_cast<std::uint8_t>(value)});
}

} // namespace

std::string name_of(Method method) {
    const auto with_number = [&](std::string_view name) {
        return std::string(name) + " (" + octet_of(method) + ")";
    };
    switch (method) {
    case Method::none: return with_number("no authentication");
    case Method::gssapi: return with_number("GSSAPI");
    case Method::password: return with_number("user name and password");
    case Method::session: return with_number("session");
    case Method::no_acceptable: return with_number("none acceptable");
    }
    // IANA, "SOCKS Methods".
    switch (static_cast<unsigned>(method)) {
    case 0x03: return with_number("CHAP");
    case 0x05: return with_number("CRAM");
    case 0x06: return with_number("SSL");
    case 0x07: return with_number("NDS");
    case 0x08: return with_number("MAF");
    case 0x09: return with_number("JSON parameter block");
    default: return "method " + octet_of(method);
    }
}

std::string name_of(Command command) {
    switch (command) {
    case Command::connect: return "CONNECT";
    case Command::bind: return "BIND";
    case Command::udp_associate: return "UDP ASSOCIATE";
    case Command::enhanced_udp: return "ENHANCED UDP";
    case Command::list_features: return "LIST-FEATURES";
    case Command::open_session: return "OPEN SESSION";
    case Command::listen: return "LISTEN";
    case Command::accept: return "ACCEPT";
    }
    switch (static_cast<unsigned>(command)) { // Tor's; others are private to one server each
    case 0xf0: return "RESOLVE";
    case 0xf1: return "RESOLVE_PTR";
    default: return "command " + octet_of(command);
    }
}

std::string name_of(AddressType type) {
    switch (type) {
    case AddressType::ipv4: return "IPv4";
    case AddressType::domain_name: return "host name";
    case AddressType::ipv6: return "IPv6";
    }
    return "type " + octet_of(type);
}

std::string name_of(Scope scope) {
    switch (scope) {
    case Scope::client_address: return "client's address";
    case Scope::authentication_method: return "authentication method";
    case Scope::destination: return "destination";
    }
    return "restriction " + octet_of(scope);
}

std::string_view name_of(policy::Discover discover) noexcept {
    switch (discover) {
    case policy::Discover::background: return "background";
    case policy::Discover::in_line: return "inline";
    case policy::Discover::off: return "off";
    }
    return "";
}

std::string_view name_of(policy::Action::Kind kind) noexcept {
    switch (kind) {
    case policy::Action::Kind::direct: return "direct";
    case policy::Action::Kind::block: return "block";
    case policy::Action::Kind::via: return "via";
    }
    return "";
}

std::string_view name_of(policy::Loopback loopback) noexcept {
    switch (loopback) {
    case policy::Loopback::direct: return "direct";
    case policy::Loopback::block: return "block";
    case policy::Loopback::rules: return "rules";
    }
    return "";
}

std::string name_of_error(int error) {
    const char* name = ::strerrorname_np(error);
    return name != nullptr ? name : "error " + std::to_string(error);
}

} // namespace socksify::ctl
