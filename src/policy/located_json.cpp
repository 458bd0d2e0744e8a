// nlohmann's SAX parser reads the grammar and unescapes; it does not say where a token began. It pulls its
// input through `Cursor`, which tells how far it has read, and calls back as soon as a token is complete. So
// the token it calls back for is the first thing that is neither blank nor comment nor separator behind the
// token before it.

#define JSON_NO_IO                                                                                           \
    1 // no <iostream>: this is linked into a library that is injected into other people's programs
#include "policy/located_json.hpp"

#include <iterator>
#include <nlohmann/json.hpp>

namespace socksify::policy::json {
// An unnamed namespace for the types that nlohmann's templates are made with: the compiler then sees that the
// readers of CBOR, BSON and UBJSON behind `sax_parse` are never used, and leaves out 50 KB.
namespace {

/// Input for nlohmann, which copies and moves it: how far the text has been read lies outside.
class Cursor {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    Cursor(const char* at, const char*& consumed) noexcept : at_(at), consumed_(&consumed) {}

    reference operator*() const noexcept { return *at_; }
    Cursor& operator++() noexcept {
        *consumed_ = ++at_;
        return *this;
    }
    // NOLINTNEXTLINE(cert-dcl21-cpp): as all iterators have it; a const value could not be moved from
    Cursor operator++(int) noexcept {
        const auto before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const Cursor& a, const Cursor& b) noexcept { return a.at_ == b.at_; }

private:
    const char* at_;
    const char** consumed_;
};

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

/// Lines and columns of offsets that only grow.
class Ruler {
public:
    explicit Ruler(std::string_view text) noexcept : text_(text) {}

    Position at(std::size_t offset) noexcept {
        for (; offset_ < offset; ++offset_) {
            if (text_[offset_] == '\n') here_ = {here_.line + 1, 1};
            else if ((static_cast<unsigned char>(text_[offset_]) & 0xc0) != 0x80) ++here_.column;
        }
        return here_;
    }
    void skip(std::size_t octets) noexcept { offset_ += octets; }

private:
    std::string_view text_;
    std::size_t offset_ = 0;
    Position here_;
};

/// Past blanks and comments. Stops at a comment that is never closed: there the parser has stumbled.
std::size_t skip_blanks(std::string_view text, std::size_t at) noexcept {
    while (at < text.size()) {
        const auto rest = text.substr(at);
        if (const auto blanks = rest.find_first_not_of(" \t\r\n"); blanks != 0) {
            at += std::min(blanks, rest.size());
        } else if (rest.starts_with("//")) {
            at += std::min(rest.find_first_of("\r\n"), rest.size());
        } else if (rest.starts_with("/*")) {
            const auto end = rest.find("*/", 2);
            if (end == std::string_view::npos) return at;
            at += end + 2;
        } else {
            return at;
        }
    }
    return at;
}

/// nlohmann's message without its number, its position and the text that it read last: maybe half a password.
std::string without_quotation(std::string_view what) {
    if (const auto prefix = what.find(": "); prefix != std::string_view::npos) what.remove_prefix(prefix + 2);
    return std::string(what.substr(0, what.find("; last read: '")));
}

/// Builds the tree. Each function that nlohmann calls answers whether to go on.
class Builder {
public:
    Builder(std::string_view text, const char*& consumed) noexcept
        : text_(text), consumed_(consumed), ruler_(text) {
        if (!text.starts_with(byte_order_mark)) return;
        end_ = byte_order_mark.size();
        ruler_.skip(end_);
    }

    bool null() {
        place(Kind::null);
        return true;
    }
    bool boolean(bool value) {
        place(Kind::boolean).boolean = value;
        return true;
    }
    bool number_integer(std::int64_t value) { return number(static_cast<double>(value)); }
    bool number_unsigned(std::uint64_t value) { return number(static_cast<double>(value)); }
    bool number_float(double value, const std::string& /*spelling*/) { return number(value); }
    bool string(std::string& value) {
        place(Kind::string).text = std::move(value);
        return true;
    }
    bool binary(nlohmann::json::binary_t& /*never in JSON*/) { return false; }

    bool start_object(std::size_t /*unknown size*/) { return open(Kind::object); }
    bool start_array(std::size_t /*unknown size*/) { return open(Kind::array); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool key(std::string& name) {
        const auto position = ruler_.at(begin_token());
        end_ = consumed();
        open_.back()->members.push_back({std::move(name), position, {}});
        return true;
    }

    bool parse_error(std::size_t /*offset*/, const std::string& /*token*/,
                     const nlohmann::json::exception& error) {
        const auto begin = begin_token();
        const bool closes = begin < text_.size() && (text_[begin] == '}' || text_[begin] == ']');
        error_.position = ruler_.at(begin);
        if (closes && after_separator_) error_.found = "a separator with nothing after it";
        else if (error.id == too_large) error_.found = "a number too large to represent";
        else error_.found = without_quotation(error.what());
        return false;
    }

    Value take_value() noexcept { return std::move(root_); }
    SyntaxError take_error() noexcept { return std::move(error_); }

private:
    static constexpr int too_large =
        406; // of nlohmann's numbered errors, the only one here that is not about syntax

    [[nodiscard]] std::size_t consumed() const noexcept {
        return static_cast<std::size_t>(consumed_ - text_.data());
    }

    /// Where the token begins that the parser has just read. A separator is stepped over only if something
    /// was read behind it; otherwise it is itself the token, and one too many.
    std::size_t begin_token() noexcept {
        auto at = skip_blanks(text_, end_);
        after_separator_ = false;
        while (at < consumed() && (text_[at] == ',' || text_[at] == ':')) {
            const auto next = skip_blanks(text_, at + 1);
            if (next >= consumed() && next < text_.size()) break;
            at = next;
            after_separator_ = true;
        }
        return at;
    }

    Value& place(Kind kind) {
        const auto begin = begin_token();
        end_ = consumed();
        auto& value = open_.empty()                       ? root_
                      : open_.back()->kind == Kind::array ? open_.back()->items.emplace_back()
                                                          : open_.back()->members.back().value;
        value.kind = kind;
        value.position = ruler_.at(begin);
        return value;
    }

    bool number(double number) {
        const auto begin = begin_token();
        auto& value = place(Kind::number);
        value.number = number;
        // The parser knows that a number ends when it has read one character more.
        const auto rest = text_.substr(begin, consumed() - begin);
        value.text = rest.substr(0, rest.find_first_not_of("+-.0123456789Ee"));
        end_ = begin + value.text.size();
        return true;
    }

    bool open(Kind kind) {
        auto& value = place(kind);
        if (open_.size() == deepest_nesting) {
            error_ = {value.position, "lists and objects in each other more than " +
                                          std::to_string(deepest_nesting) + " deep"};
            return false;
        }
        open_.push_back(&value);
        return true;
    }
    bool close() {
        end_ = consumed();
        open_.pop_back();
        return true;
    }

    std::string_view text_;
    const char*& consumed_;
    Ruler ruler_;
    std::size_t end_ = 0; ///< of the token before
    bool after_separator_ = false;
    std::vector<Value*>
        open_; ///< a parent's vector doesn't grow while its last element is open, so these stay valid
    Value root_;
    SyntaxError error_;
};

} // namespace

tl::expected<Value, SyntaxError> parse(std::string_view text) {
    // nlohmann takes NUL for the end of the input, and would ignore all that follows.
    if (const auto nul = text.find('\0'); nul != std::string_view::npos)
        return tl::unexpected(SyntaxError{Ruler(text).at(nul), "a NUL octet: is this a text file in UTF-8?"});

    const char* consumed = text.data();
    Builder builder(text, consumed);
    const Cursor begin(text.data(), consumed);
    const Cursor end(text.data() + text.size(), consumed);
    if (!nlohmann::json::sax_parse(begin, end, &builder, nlohmann::json::input_format_t::json, true, true))
        return tl::unexpected(builder.take_error());
    return builder.take_value();
}

} // namespace socksify::policy::json
