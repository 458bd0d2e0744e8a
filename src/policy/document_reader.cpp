#include "policy/document_reader.hpp"

#include <algorithm>

namespace socksify::policy {
namespace {

using json::Kind;

constexpr std::size_t most_errors = 100;

constexpr bool is_plain(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '$';
}

std::string describe(const json::Value& value) {
    switch (value.kind) {
    case Kind::null: return "null";
    case Kind::boolean: return value.boolean ? "true" : "false";
    case Kind::number: return value.text.size() <= 30 ? value.text : value.text.substr(0, 30) + "…";
    case Kind::string: return quoted(value.text);
    case Kind::array: return "a list";
    case Kind::object: return "an object";
    }
    return {};
}

} // namespace

std::string Path::text() const {
    if (parent == nullptr) return {};
    auto out = parent->text();
    if (!key) return out + "[" + std::to_string(index) + "]";
    if (key->empty() || !std::all_of(key->begin(), key->end(), is_plain))
        return out + "[" + quoted(*key) + "]";
    if (!out.empty()) out += '.';
    return out.append(*key);
}

std::optional<std::string_view> DocumentReader::read_text(const Node& node) {
    if (node.value.kind == Kind::string) return node.value.text;
    fail(node);
    return {};
}

std::optional<bool> DocumentReader::read_flag(const Node& node) {
    if (node.value.kind == Kind::boolean) return node.value.boolean;
    fail(node);
    return {};
}

std::optional<unsigned> DocumentReader::read_whole(const Node& node, unsigned least, unsigned most) {
    const auto number = node.value.number;
    if (node.value.kind == Kind::number && number >= least && number <= most) {
        const auto whole = static_cast<unsigned>(number);
        if (whole == number) return whole; // as JSON Schema has it, 443.0 is one
    }
    fail(node);
    return {};
}

std::optional<std::chrono::milliseconds> DocumentReader::read_seconds(const Node& node,
                                                                      std::chrono::milliseconds least,
                                                                      std::chrono::milliseconds most) {
    using Seconds = std::chrono::duration<double>;
    const Seconds seconds(node.value.number);
    if (node.value.kind == Kind::number && seconds >= Seconds(least) && seconds <= Seconds(most))
        return std::chrono::round<std::chrono::milliseconds>(seconds);
    fail(node);
    return {};
}

std::optional<std::size_t> DocumentReader::find_word(const Node& node,
                                                     std::span<const std::string_view> words) {
    const auto text = read_text(node);
    if (!text) return {};
    const auto found = std::find(words.begin(), words.end(), *text);
    if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
    Guess guess(*text);
    for (const auto word : words) guess.consider(word);
    fail(node, {quoted(*text), guess.best()});
    return {};
}

bool DocumentReader::is_object(const Node& node) {
    if (node.value.kind != Kind::object) {
        fail(node);
        return false;
    }
    // Of two members with one key, a JSON parser may take either (RFC 8259 §4): that is an error here.
    std::vector<const json::Member*> members;
    members.reserve(node.value.members.size());
    for (const auto& member : node.value.members) members.push_back(&member);
    std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) {
        const auto order = a->key.compare(b->key);
        return order != 0 ? order < 0
                          : a < b; // all are in one array: the earlier one stands first in the file
    });
    for (std::size_t i = 1; i < members.size(); ++i) {
        const auto& first = *members[i - 1];
        const auto& second = *members[i];
        if (first.key == second.key)
            add(second.position, {&node.path, second.key},
                {"the key a second time (first in line " + std::to_string(first.position.line) + ")",
                 {},
                 "each key once"});
    }
    return true;
}

std::optional<KeyInfo> DocumentReader::find_key(std::string_view object,
                                                std::string_view key) const noexcept {
    for (const auto& known : keys_)
        if (known.object == object && known.key == key) return known;
    return {};
}

void DocumentReader::fail_unknown(const Node& node, std::string_view object, const json::Member& member) {
    Guess guess(member.key);
    std::string all;
    for (const auto& known : keys_) {
        if (known.object != object) continue;
        guess.consider(known.key);
        (all += all.empty() ? "" : ", ") += known.key;
    }
    add(member.position, {&node.path, member.key}, {"an unknown key", guess.best(), std::move(all)});
}

void DocumentReader::fail(const Node& node) { fail(node, {describe(node.value)}); }

void DocumentReader::fail(const Node& node, Misfit misfit) {
    if (misfit.allowed.empty()) misfit.allowed = node.allowed;
    add(node.value.position, node.path, std::move(misfit));
}

void DocumentReader::fail_missing(const Node& node, std::string_view object, std::string_view key) {
    const auto known = find_key(object, key);
    add(node.value.position, {&node.path, key}, {"nothing", {}, std::string(known ? known->allowed : "")});
}

bool DocumentReader::enough() const noexcept { return errors_.size() >= most_errors; }

void DocumentReader::add(json::Position position, const Path& path, Misfit misfit) {
    if (enough()) return;
    ConfigError error{position.line,           position.column,           path.text(),
                      std::move(misfit.found), std::move(misfit.allowed), std::move(misfit.suggestion)};
    const auto behind =
        std::upper_bound(errors_.begin(), errors_.end(), error, [](const auto& a, const auto& b) {
            return a.line != b.line ? a.line < b.line : a.column < b.column;
        });
    errors_.insert(behind, std::move(error));
}

} // namespace socksify::policy
