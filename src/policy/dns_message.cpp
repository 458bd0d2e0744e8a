#include "policy/dns_message.hpp"

#include "policy/host_name.hpp"

namespace socksify::policy {
namespace {

constexpr std::size_t header_size = 12;
constexpr std::uint16_t flag_response = 0x8000;
constexpr std::uint16_t mask_opcode = 0x7800;
constexpr std::uint16_t flag_recursion_desired = 0x0100;
constexpr std::uint16_t flag_recursion_available = 0x0080;
constexpr std::uint16_t pointer_to_question =
    0xc000 | header_size;                  // the name in the answer is the one asked for
constexpr std::uint32_t time_to_live = 60; // seconds; the pool's addresses do not change
constexpr std::size_t longest_label = 63;

using Octets = std::vector<std::uint8_t>;

void put16(Octets& out, std::uint16_t value) {
    out.insert(out.end(), {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)});
}

/// NAME as labels. False if a label is empty or too long, or the whole is.
bool put_name(Octets& out, std::string_view name) {
    const auto start = out.size();
    while (!name.empty()) {
        const auto label = name.substr(0, name.find('.'));
        if (label.empty() || label.size() > longest_label) return false;
        out.push_back(static_cast<std::uint8_t>(label.size()));
        const auto octets = as_bytes(label);
        out.insert(out.end(), octets.begin(), octets.end());
        name.remove_prefix(std::min(label.size() + 1, name.size()));
    }
    out.push_back(0);
    return out.size() - start <= Host::longest_name;
}

Parsed<std::string> parse_name(Bytes in) {
    std::string name;
    std::size_t at = 0;
    for (;;) {
        if (at >= in.size()) return need_more(1);
        const std::size_t length = in[at++];
        if (length == 0) return complete(std::move(name), at);
        if (length > longest_label || name.size() + length > Host::longest_name) return malformed();
        if (in.size() - at < length) return need_more(length - (in.size() - at));
        const auto label = as_text(in.subspan(at, length));
        if (label.find_first_of(std::string_view(".\0", 2)) != std::string_view::npos) return malformed();
        if (!name.empty()) name += '.';
        name += label;
        at += length;
    }
}

/// The label before the last dot, or all of it; taken off `rest` together with the dot.
std::string_view take_last_label(std::string_view& rest) {
    const auto dot = rest.rfind('.');
    const auto label = dot == std::string_view::npos ? rest : rest.substr(dot + 1);
    rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(0, dot);
    return label;
}

std::optional<std::uint8_t> decimal_octet(std::string_view text) {
    if (text.empty() || text.size() > 3) return {};
    unsigned value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return {};
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    return value <= 255 ? std::optional(static_cast<std::uint8_t>(value)) : std::nullopt;
}

std::optional<std::uint8_t> nibble(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    const auto at = text.size() == 1 ? digits.find(text[0]) : std::string_view::npos;
    return at != std::string_view::npos ? std::optional(static_cast<std::uint8_t>(at)) : std::nullopt;
}

} // namespace

Parsed<DnsQuestion> parse_dns_question(Bytes message) {
    if (message.size() < header_size) return need_more(header_size - message.size());
    const auto flags = get16(message.subspan(2));
    if ((flags & (flag_response | mask_opcode)) != 0 || get16(message.subspan(4)) != 1) return malformed();
    auto name = parse_name(message.subspan(header_size));
    if (!name) return Measured{name.outcome, name.size};
    const auto rest = message.subspan(header_size + name.size);
    if (rest.size() < 4) return need_more(4 - rest.size());
    DnsQuestion question;
    question.id = get16(message);
    question.recursion_desired = (flags & flag_recursion_desired) != 0;
    question.name = std::move(name.value);
    question.type = get16(rest);
    question.klass = get16(rest.subspan(2));
    return complete(std::move(question), header_size + name.size + 4);
}

std::vector<std::uint8_t> encode_dns_query(const DnsQuestion& question) {
    Octets out;
    put16(out, question.id);
    put16(out, question.recursion_desired ? flag_recursion_desired : 0);
    put16(out, 1);
    for (int i = 0; i < 3; ++i) put16(out, 0);
    if (!put_name(out, question.name)) return {};
    put16(out, question.type);
    put16(out, question.klass);
    return out;
}

Parsed<DnsSummary> parse_dns_summary(Bytes message) {
    if (message.size() < header_size) return need_more(header_size - message.size());
    const auto flags = get16(message.subspan(2));
    if ((flags & flag_response) == 0) return malformed();
    return complete(DnsSummary{static_cast<std::uint8_t>(flags & 0xf), get16(message.subspan(6))},
                    header_size);
}

std::vector<std::uint8_t> encode_dns_response(const DnsQuestion& question, DnsCode code,
                                              const std::optional<Host>& answer) {
    Octets out;
    put16(out, question.id);
    put16(out, static_cast<std::uint16_t>(flag_response | flag_recursion_available |
                                          (question.recursion_desired ? flag_recursion_desired : 0) |
                                          static_cast<unsigned>(code)));
    put16(out, 1);
    put16(out, answer ? 1 : 0);
    put16(out, 0);
    put16(out, 0);
    if (!put_name(out, question.name)) return {};
    put16(out, question.type);
    put16(out, question.klass);
    if (!answer) return out;

    Octets data;
    if (!answer->is_name()) data.assign(answer->octets().begin(), answer->octets().end());
    else if (!put_name(data, answer->name())) return {};
    put16(out, pointer_to_question);
    put16(out, question.type);
    put16(out, question.klass);
    put16(out, static_cast<std::uint16_t>(time_to_live >> 16));
    put16(out, static_cast<std::uint16_t>(time_to_live));
    put16(out, static_cast<std::uint16_t>(data.size()));
    out.insert(out.end(), data.begin(), data.end());
    return out;
}

std::optional<Host> reversed_address(std::string_view name) {
    const FoldedName folded(name);
    auto rest = folded.text();
    if (take_last_label(rest) != "arpa") return {};
    const auto family = take_last_label(rest);
    if (family == "in-addr") {
        std::array<std::uint8_t, 4> octets{};
        for (auto& octet : octets) {
            const auto value = decimal_octet(take_last_label(rest));
            if (!value) return {};
            octet = *value;
        }
        return rest.empty() ? std::optional(Host::ipv4(octets)) : std::nullopt;
    }
    if (family != "ip6") return {};
    std::array<std::uint8_t, 16> octets{};
    for (auto& octet : octets) {
        const auto high = nibble(take_last_label(rest));
        const auto low = nibble(take_last_label(rest));
        if (!high || !low) return {};
        octet = static_cast<std::uint8_t>(*high << 4 | *low);
    }
    return rest.empty() ? std::optional(Host::ipv6(octets)) : std::nullopt;
}

} // namespace socksify::policy
