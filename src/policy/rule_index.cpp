#include "policy/rule_index.hpp"

#include "policy/config.hpp"

#include <algorithm>

namespace socksify::policy {
namespace {

constexpr unsigned most_ports = 16; ///< of a rule that lies under its ports

/// What a hash is of: equal octets of two kinds are not the same constraint.
enum class Kind : std::uint8_t { always, name, subdomains, port, program, v4 = 64, v6 = 128 };

/// FNV-1a, by 64 bits.
class Hash {
public:
    explicit constexpr Hash(unsigned kind) noexcept { put(static_cast<std::uint8_t>(kind)); }
    explicit constexpr Hash(Kind kind) noexcept : Hash(static_cast<unsigned>(kind)) {}
    constexpr Hash& put(std::uint8_t octet) noexcept {
        value_ = (value_ ^ octet) * 0x100000001b3U;
        return *this;
    }
    Hash& put(std::string_view text) noexcept {
        for (const char c : text) put(static_cast<std::uint8_t>(c));
        return *this;
    }
    [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_ ^ value_ >> 32; }

private:
    std::uint64_t value_ = 0xcbf29ce484222325U;
};

std::uint64_t hash_of_text(Kind kind, std::string_view text) noexcept { return Hash(kind).put(text).value(); }

std::uint64_t hash_of_port(std::uint16_t port) noexcept {
    return Hash(Kind::port)
        .put(static_cast<std::uint8_t>(port >> 8))
        .put(static_cast<std::uint8_t>(port))
        .value();
}

/// The first `prefix` bits, which may be all.
std::uint64_t hash_of_network(AddressType family, Bytes octets, unsigned prefix) noexcept {
    Hash hash(static_cast<unsigned>(family == AddressType::ipv4 ? Kind::v4 : Kind::v6));
    hash.put(static_cast<std::uint8_t>(prefix));
    for (unsigned i = 0; i < prefix / 8; ++i) hash.put(octets[i]);
    if (prefix % 8 != 0) hash.put(static_cast<std::uint8_t>(octets[prefix / 8] & (0xff00U >> prefix % 8)));
    return hash.value();
}

constexpr auto hash_of_always = Hash(Kind::always).value();

bool are_few(const std::vector<PortRange>& ports) noexcept {
    unsigned count = 0;
    for (const auto range : ports) count += range.last - range.first + 1U;
    return count > 0 && count <= most_ports;
}

bool are_spelt_out(const std::vector<std::string>& programs) noexcept {
    return !programs.empty() && std::none_of(programs.begin(), programs.end(), [](const std::string& one) {
        return one.find_first_of("*?") != std::string::npos;
    });
}

} // namespace

RuleIndex::RuleIndex(const std::vector<Rule>& rules) : size_(rules.size()) {
    for (std::size_t i = 0; i < rules.size(); ++i) add(rules[i], static_cast<std::uint32_t>(i));
    seal();
}

void RuleIndex::add(const Rule& rule, std::uint32_t number) {
    const auto put = [&](std::uint64_t hash) { entries_.push_back({hash, number}); };
    const bool takes_any =
        rule.destinations.empty() ||
        std::any_of(rule.destinations.begin(), rule.destinations.end(),
                    [](const Destination& one) { return one.kind() == Destination::Kind::everything; });
    if (!takes_any) {
        for (const auto& one : rule.destinations) {
            switch (one.kind()) {
            case Destination::Kind::everything: break;
            case Destination::Kind::name: put(hash_of_text(Kind::name, one.name())); break;
            case Destination::Kind::subdomains: put(hash_of_text(Kind::subdomains, one.name())); break;
            case Destination::Kind::network:
                if (one.family() == AddressType::ipv4) v4_prefixes_.set(one.prefix());
                else v6_prefixes_.set(one.prefix());
                put(hash_of_network(one.family(), one.network(), one.prefix()));
            }
        }
    } else if (are_few(rule.ports)) {
        for (const auto range : rule.ports)
            for (unsigned port = range.first; port <= range.last; ++port)
                put(hash_of_port(static_cast<std::uint16_t>(port)));
        with_port_.push_back({0, number});
    } else if (are_spelt_out(rule.programs)) {
        for (const auto& program : rule.programs) put(hash_of_text(Kind::program, program));
        has_programs_ = true;
    } else {
        put(hash_of_always);
    }
}

void RuleIndex::seal() {
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
        return a.hash != b.hash ? a.hash < b.hash : a.rule < b.rule;
    });
    std::size_t places = 16;
    while (places < 2 * entries_.size()) places *= 2;
    buckets_.assign(places, 0);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (i > 0 && entries_[i].hash == entries_[i - 1].hash) continue;
        auto place = entries_[i].hash & (places - 1);
        while (buckets_[place] != 0) place = (place + 1) & (places - 1);
        buckets_[place] = static_cast<std::uint32_t>(i + 1);
    }
}

void RuleIndex::put_run(Runs& runs, std::uint64_t hash) const noexcept {
    for (auto place = hash & (buckets_.size() - 1); buckets_[place] != 0;
         place = (place + 1) & (buckets_.size() - 1)) {
        const auto begin = entries_.begin() + (buckets_[place] - 1);
        if (begin->hash != hash) continue;
        auto end = begin + 1;
        while (end != entries_.end() && end->hash == hash) ++end;
        runs.all[runs.size++] = {&*begin, &*begin + (end - begin)};
        return;
    }
}

void RuleIndex::collect(Runs& runs, const Target& target, std::optional<std::uint16_t> port,
                        std::string_view program) const {
    if (buckets_.empty()) return;
    put_run(runs, hash_of_always);
    if (target.is_name()) {
        const auto name = target.name();
        put_run(runs, hash_of_text(Kind::name, name));
        for (auto dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1))
            if (runs.size < runs.all.size() - 4)
                put_run(runs, hash_of_text(Kind::subdomains, name.substr(dot + 1)));
    } else {
        const auto octets = target.address().octets();
        const bool is_v4 = target.address().type() == AddressType::ipv4;
        for (unsigned prefix = 0; prefix <= octets.size() * 8; ++prefix)
            if (is_v4 ? v4_prefixes_[prefix] : v6_prefixes_[prefix])
                put_run(runs, hash_of_network(target.address().type(), octets, prefix));
    }
    if (port) put_run(runs, hash_of_port(*port));
    else if (!with_port_.empty())
        runs.all[runs.size++] = {with_port_.data(), with_port_.data() + with_port_.size()};
    if (has_programs_ && !program.empty()) {
        put_run(runs, hash_of_text(Kind::program, program));
        put_run(runs, hash_of_text(Kind::program, program.substr(program.rfind('/') + 1)));
    }
}

} // namespace socksify::policy
