#include "socksify/features.hpp"

namespace socksify {
namespace {

constexpr std::size_t header_size = 3; // TAG, SUBTAG, LEN

/// Calls `visit(Feature)` for each entry until it returns true; whether one did.
template <class Visit>
bool any_entry(Bytes octets, Visit visit) {
    while (octets.size() >= header_size) {
        const std::size_t length = octets[2];
        if (visit(Feature{octets[0], octets[1], octets.subspan(header_size, length)})) return true;
        octets = octets.subspan(header_size + length);
    }
    return false;
}

/// Of this project: commands and methods A0 to AF.
constexpr bool is_ours(std::uint8_t code) noexcept { return (code & 0xf0) == 0xa0; }

} // namespace

bool FeatureList::names_our_extensions() const noexcept {
    return text(Tag::extension, subtag_extension_set) == extension_set;
}

void FeatureList::add(std::uint8_t tag, std::uint8_t subtag, Bytes value) {
    if (tag == static_cast<std::uint8_t>(Tag::end)) return;
    value = value.first(std::min<std::size_t>(value.size(), 255));
    octets_.insert(octets_.end(), {tag, subtag, static_cast<std::uint8_t>(value.size())});
    octets_.insert(octets_.end(), value.begin(), value.end());
}

std::vector<Feature> FeatureList::entries() const {
    std::vector<Feature> all;
    any_entry(octets_, [&](const Feature& feature) {
        all.push_back(feature);
        return false;
    });
    return all;
}

bool FeatureList::has(Tag tag, std::uint8_t subtag) const noexcept {
    return any_entry(octets_, [&](const Feature& feature) {
        return feature.tag == static_cast<std::uint8_t>(tag) && feature.subtag == subtag;
    });
}

bool FeatureList::has(Tag tag, std::uint8_t subtag, std::uint8_t octet) const noexcept {
    return any_entry(octets_, [&](const Feature& feature) {
        return feature.tag == static_cast<std::uint8_t>(tag) && feature.subtag == subtag &&
               std::find(feature.value.begin(), feature.value.end(), octet) != feature.value.end();
    });
}

std::optional<std::string_view> FeatureList::text(Tag tag, std::uint8_t subtag) const noexcept {
    std::optional<std::string_view> found;
    any_entry(octets_, [&](const Feature& feature) {
        if (feature.tag != static_cast<std::uint8_t>(tag) || feature.subtag != subtag) return false;
        found = as_text(feature.value);
        return true;
    });
    return found;
}

Support FeatureList::support(Tag tag, std::uint8_t subtag) const noexcept {
    auto answer = Support::unsaid;
    any_entry(octets_, [&](const Feature& feature) {
        if (feature.tag != static_cast<std::uint8_t>(tag)) return false;
        answer = feature.subtag == subtag ? Support::yes : Support::no;
        return answer == Support::yes;
    });
    return answer;
}

Support FeatureList::supports(Command command) const noexcept {
    const auto code = static_cast<std::uint8_t>(command);
    if (!is_ours(code)) return support(Tag::command, code);
    if (!names_our_extensions()) return Support::no;
    const auto has_command = [this](Command other) {
        return has(Tag::command, static_cast<std::uint8_t>(other), listen_version);
    };
    // Neither is of any use without the other, and another version is another protocol.
    if (command == Command::listen || command == Command::accept)
        return has_command(Command::listen) && has_command(Command::accept) ? Support::yes : Support::no;
    return has(Tag::command, code) ? Support::yes : Support::no;
}
Support FeatureList::supports(AddressType type) const noexcept {
    return support(Tag::address, static_cast<std::uint8_t>(type));
}
Support FeatureList::supports(Method method) const noexcept {
    const auto code = static_cast<std::uint8_t>(method);
    if (!is_ours(code)) return support(Tag::authentication, code);
    return names_our_extensions() && has(Tag::authentication, code) ? Support::yes : Support::no;
}
Support FeatureList::supports_version(std::uint8_t ver) const noexcept { return support(Tag::socks, ver); }

bool FeatureList::fast_open() const noexcept {
    return names_our_extensions() && has(Tag::extension, subtag_fast_open);
}

std::optional<SessionTerms> FeatureList::sessions() const noexcept {
    if (supports(Command::open_session) != Support::yes || supports(Method::session) != Support::yes)
        return {};
    const auto value = text(Tag::extension, subtag_sessions);
    if (!value || value->size() != 8) return SessionTerms{};
    const auto octets = as_bytes(*value);
    return SessionTerms{get32(octets), get32(octets.subspan(4))};
}

Ahead FeatureList::ahead() const noexcept {
    if (!names_our_extensions()) return Ahead::unsaid;
    const auto value = text(Tag::extension, subtag_pipelining);
    if (!value || value->size() != 1) return Ahead::unsaid;
    switch ((*value)[0]) {
    case 1: return Ahead::messages;
    case 2: return Ahead::data;
    default: return Ahead::unsaid;
    }
}

std::vector<std::uint8_t> FeatureList::encode() const {
    auto out = octets_;
    out.insert(out.end(), {static_cast<std::uint8_t>(Tag::end), 0, 0});
    return out;
}

Parsed<bool> FeatureReader::feed(Bytes in) {
    std::size_t taken = 0;
    for (;;) {
        const auto entry = partial_.bytes();
        const std::size_t size = entry.size() < header_size ? header_size : header_size + entry[2];
        if (entry.size() == size) {
            if (entry[0] == static_cast<std::uint8_t>(Tag::end)) return complete(true, taken);
            if (++entries_ > most_entries || list_.octets_.size() + size > most_octets) return malformed();
            list_.octets_.insert(list_.octets_.end(), entry.begin(), entry.end());
            partial_.clear();
            continue;
        }
        const std::size_t lacking = size - entry.size();
        const auto piece = in.subspan(taken, std::min(lacking, in.size() - taken));
        if (piece.empty()) return need_more(lacking);
        partial_.put(piece);
        taken += piece.size();
    }
}

Outcome FeatureReader::ended() const noexcept {
    const bool between_entries = partial_.empty() && entries_ > 0;
    return between_entries || saw_end() ? Outcome::complete : Outcome::malformed;
}

} // namespace socksify
