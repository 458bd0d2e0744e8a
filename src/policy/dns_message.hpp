// As much of DNS (RFC 1035 §4) as it takes to answer a question without asking anybody: names from the pool,
// and "no data".
#pragma once

#include "socksify/endpoint.hpp"

#include <string>
#include <vector>

namespace socksify::policy {

/// TYPEs that the name pool can answer (RFC 1035 §3.2.2, RFC 3596).
enum class DnsType : std::uint16_t { a = 1, ptr = 12, aaaa = 28 };
constexpr std::uint16_t dns_class_in = 1;

/// RCODE (RFC 1035 §4.1.1).
enum class DnsCode : std::uint8_t { no_error = 0, server_failure = 2, no_such_name = 3, refused = 5 };

struct DnsQuestion {
    std::uint16_t id = 0;
    bool recursion_desired = true;
    std::string name; ///< dotted, without the dot at the end; at most 253 octets
    std::uint16_t type = 0;
    std::uint16_t klass = dns_class_in;
};

/// A query's header and its one question. `malformed` for a response, another opcode, no or several
/// questions, a compressed name, or a label with a dot or a NUL in it.
Parsed<DnsQuestion> parse_dns_question(Bytes message);

/// A whole query. Empty if the name can't be encoded.
std::vector<std::uint8_t> encode_dns_query(const DnsQuestion& question);

/// What a response says as a whole: its code, and the number of its answers. `malformed` if it is shorter
/// than a header or no response.
struct DnsSummary {
    std::uint8_t code = 0; ///< RCODE, DnsCode's among others
    std::uint16_t answers = 0;
};
Parsed<DnsSummary> parse_dns_summary(Bytes message);

/// A whole response. `answer` of A and AAAA: the address; of PTR: the name; nothing: an empty answer section,
/// which with `no_error` is "no data". Empty if the question's name can't be encoded.
std::vector<std::uint8_t> encode_dns_response(const DnsQuestion& question, DnsCode code,
                                              const std::optional<Host>& answer);

/// The address that a name under in-addr.arpa or ip6.arpa asks about (RFC 1035 §3.5, RFC 3596 §2.5); in full
/// length only.
std::optional<Host> reversed_address(std::string_view name);

} // namespace socksify::policy
