// What is wrong with a rules file or a proxy URL, in the words that the user sees. Passwords are never shown.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace socksify::policy {

/// What does not fit, apart from where it stands.
struct Misfit {
    std::string found;        ///< what stands there, in words
    std::string suggestion{}; ///< what was probably meant; empty if there is no guess
    std::string allowed{};    ///< what may stand there; empty: what the key allows
};

struct ConfigError {
    unsigned line = 0; ///< from 1; 0 in a text that has no lines (a URL from the command line)
    unsigned column = 0;
    std::string key; ///< where in the document: rules[2].port; arrays count from 0, as in jq
    std::string found;
    std::string allowed;
    std::string suggestion;

    /// "socksify.json:17:9: rules[2].port: found 70000; allowed: …; did you mean …?", without a newline.
    /// `file` is the file's name, or whatever the text came from ("-p", "ALL_PROXY").
    [[nodiscard]] std::string text(std::string_view file) const;
};

/// `text` in quotes, as a message may show it: control characters and quotes escaped, cut after 60 octets,
/// and all before an @ hidden, for it may be a URL with a password.
std::string quoted(std::string_view text);

/// Looks among candidates for the one that was meant by a misspelt `written`. Case, and - for _, don't count.
class Guess {
public:
    explicit Guess(std::string_view written) noexcept;

    void consider(std::string_view candidate) noexcept;
    /// The closest candidate; empty if none is close enough to be worth a question.
    [[nodiscard]] std::string best() const { return std::string(best_); }

private:
    std::string_view written_;
    std::string_view best_;
    std::size_t distance_; ///< of `best_`; until there is one, the first distance that is too far
};

} // namespace socksify::policy
