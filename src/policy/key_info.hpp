// What a key of a JSON document may hold, as data: it holds parser, messages, schema and manual together.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace socksify::policy {

struct KeyInfo {
    std::string_view object; ///< where it may stand: "" the document, "rules[]" an item of rules, "log"
    std::string_view key;
    std::string_view allowed;  ///< its values, in words
    std::string_view fallback; ///< its value when it is not there, as JSON; empty if there is none
};

/// Where a KeyInfo's four texts are in one that has all of them.
struct KeyPlace {
    std::uint16_t begin;
    std::array<std::uint16_t, 4> ends;
};

/// Keys as they are in a file: without a pointer, which would be relocated in every program that is started
/// with the library.
template <std::size_t Count, std::size_t Octets>
struct PackedKeys {
    std::array<KeyPlace, Count> places;
    std::array<char, Octets> text;
};

/// Of `keys`, an array of KeyInfo, which need not be in the file then.
template <const auto& keys>
consteval auto pack_keys() {
    constexpr std::size_t octets = [] {
        std::size_t sum = 0;
        for (const auto& [object, key, allowed, fallback] : keys)
            sum += object.size() + key.size() + allowed.size() + fallback.size();
        return sum;
    }();
    static_assert(octets <= UINT16_MAX);
    PackedKeys<std::size(keys), octets> packed{};
    std::uint16_t size = 0;
    for (std::size_t i = 0; i < std::size(keys); ++i) {
        auto& [begin, ends] = packed.places[i];
        begin = size;
        auto* end = ends.data();
        for (const auto text : {keys[i].object, keys[i].key, keys[i].allowed, keys[i].fallback}) {
            std::copy(text.begin(), text.end(), packed.text.data() + size);
            *end++ = size = static_cast<std::uint16_t>(size + text.size());
        }
    }
    return packed;
}

/// Looks at packed keys, which live as long as the program: one KeyInfo after the other.
class KeyTable {
public:
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = KeyInfo;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = KeyInfo;

        constexpr Iterator(const KeyPlace* place, const char* text) noexcept : place_(place), text_(text) {}

        constexpr KeyInfo operator*() const noexcept {
            const auto& [begin, ends] = *place_;
            return {piece(begin, ends[0]), piece(ends[0], ends[1]), piece(ends[1], ends[2]),
                    piece(ends[2], ends[3])};
        }
        constexpr Iterator& operator++() noexcept {
            ++place_;
            return *this;
        }
        // NOLINTNEXTLINE(cert-dcl21-cpp): as all iterators have it; a const value could not be moved from
        constexpr Iterator operator++(int) noexcept {
            const auto before = *this;
            ++place_;
            return before;
        }
        friend constexpr bool operator==(const Iterator& a, const Iterator& b) noexcept {
            return a.place_ == b.place_;
        }

    private:
        [[nodiscard]] constexpr std::string_view piece(std::size_t begin, std::size_t end) const noexcept {
            return {text_ + begin, end - begin};
        }

        const KeyPlace* place_;
        const char* text_;
    };

    template <std::size_t Count, std::size_t Octets>
    explicit constexpr KeyTable(const PackedKeys<Count, Octets>& keys) noexcept
        : places_(keys.places.data()), count_(Count), text_(keys.text.data()) {}

    [[nodiscard]] constexpr Iterator begin() const noexcept { return {places_, text_}; }
    [[nodiscard]] constexpr Iterator end() const noexcept { return {places_ + count_, text_}; }

private:
    const KeyPlace* places_;
    std::size_t count_;
    const char* text_;
};

} // namespace socksify::policy
