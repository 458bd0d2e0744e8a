// Reads a located JSON tree against a table of known keys, and collects what does not fit. Knows types and
// spelling, not what the keys mean.
#pragma once

#include "policy/config_error.hpp"
#include "policy/key_info.hpp"
#include "policy/located_json.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <span>

namespace socksify::policy {

/// Where a value stands: a chain through the callers' frames, which becomes a text only for an error.
struct Path {
    const Path* parent = nullptr;        ///< null: the document itself
    std::optional<std::string_view> key; ///< in an object
    std::size_t index = 0;               ///< in an array

    [[nodiscard]] std::string text() const;
};

/// A value, where it stands, and what may stand there.
struct Node {
    const json::Value& value;
    Path path;
    std::string_view allowed;
};

inline bool is_text(const Node& node) noexcept { return node.value.kind == json::Kind::string; }
inline bool is_absolute_path(std::string_view text) noexcept {
    return text.starts_with('/') && text.find('\0') == std::string_view::npos;
}

/// Keeps what `to` had when nothing fit was read.
template <class To, class From>
void assign(To& to, const std::optional<From>& from) {
    if (from) to = *from;
}

/// Each read_… answers what stands there, or complains and answers nothing; reading goes on either way.
class DocumentReader {
public:
    explicit DocumentReader(KeyTable keys) noexcept : keys_(keys) {}

    /// Calls `visit(key, node)` for each member that may stand in an `object` of the table.
    template <class Visit>
    void each_member(const Node& node, std::string_view object, Visit visit) {
        if (!is_object(node)) return;
        for (const auto& member : node.value.members) {
            if (enough()) return;
            if (const auto known = find_key(object, member.key))
                visit(known->key, Node{member.value, {&node.path, member.key}, known->allowed});
            else fail_unknown(node, object, member);
        }
    }
    /// Calls `visit(member, node)` for each member, whatever its key.
    template <class Visit>
    void each_named(const Node& node, Visit visit) {
        if (!is_object(node)) return;
        for (const auto& member : node.value.members) {
            if (enough()) return;
            visit(member, Node{member.value, {&node.path, member.key}, node.allowed});
        }
    }
    /// Calls `visit(node)` for each item of a list, which must not be empty, or for a value that is no list.
    template <class Visit>
    void each_of_one_or_many(const Node& node, Visit visit) {
        if (node.value.kind != json::Kind::array) return visit(node);
        if (node.value.items.empty()) return fail(node, {"an empty list"});
        each_item(node, visit);
    }
    template <class Visit>
    void each_item(const Node& node, Visit visit) {
        if (node.value.kind != json::Kind::array) return fail(node);
        for (std::size_t i = 0; i < node.value.items.size() && !enough(); ++i)
            visit(Node{node.value.items[i], {&node.path, {}, i}, node.allowed});
    }

    std::optional<std::string_view> read_text(const Node& node);
    std::optional<bool> read_flag(const Node& node);
    std::optional<unsigned> read_whole(const Node& node, unsigned least, unsigned most);
    /// Seconds, fractions allowed.
    std::optional<std::chrono::milliseconds> read_seconds(const Node& node, std::chrono::milliseconds least,
                                                          std::chrono::milliseconds most);
    /// One of `words`, which are in the order of the enum.
    template <class Enum, std::size_t Size>
    std::optional<Enum> read_word(const Node& node, const std::array<std::string_view, Size>& words) {
        const auto i = find_word(node, words);
        return i ? std::optional(static_cast<Enum>(*i)) : std::nullopt;
    }

    /// Complains of what stands at `node`.
    void fail(const Node& node);
    void fail(const Node& node, Misfit misfit);
    /// A key that is not in the object `node`, but must be.
    void fail_missing(const Node& node, std::string_view object, std::string_view key);

    /// In the order of the document. At most 100: nobody reads more, and looking for guesses takes time.
    [[nodiscard]] std::vector<ConfigError> take_errors() noexcept { return std::move(errors_); }

private:
    [[nodiscard]] bool enough() const noexcept;
    void add(json::Position position, const Path& path, Misfit misfit);
    bool is_object(const Node& node);
    [[nodiscard]] std::optional<KeyInfo> find_key(std::string_view object,
                                                  std::string_view key) const noexcept;
    void fail_unknown(const Node& node, std::string_view object, const json::Member& member);
    std::optional<std::size_t> find_word(const Node& node, std::span<const std::string_view> words);

    KeyTable keys_;
    std::vector<ConfigError> errors_;
};

} // namespace socksify::policy
