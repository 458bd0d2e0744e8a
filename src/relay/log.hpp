// One line per event on stderr: time=… level=… event=… key=value. Nothing that went through a tunnel is ever
// in it, and no password.
#pragma once

#include "socksify/endpoint.hpp"

#include <array>
#include <concepts>
#include <utility>

namespace socksify::relay {

enum class LogLevel : std::uint8_t { off, error, warning, info, debug };
constexpr std::array<std::string_view, 5> log_level_words{"off", "error", "warning", "info", "debug"};

/// An event under construction; its line is written when it goes.
class LogLine {
public:
    LogLine(LogLevel level, std::string_view event, bool wanted);
    LogLine(LogLine&& other) noexcept
        : wanted_(std::exchange(other.wanted_, false)), line_(std::move(other.line_)) {}
    LogLine& operator=(LogLine&&) = delete;
    ~LogLine();

    /// Text from elsewhere is quoted and escaped as needed, so that nobody can write a line of his own.
    LogLine& add(std::string_view key, std::string_view value);
    LogLine& add(std::string_view key, const Endpoint& value);
    template <std::integral Number>
    LogLine& add(std::string_view key, Number value) {
        if (wanted_) put(key, std::to_string(value));
        return *this;
    }
    LogLine& add_seconds(std::string_view key, double seconds);

private:
    void put(std::string_view key, std::string_view value);

    bool wanted_;
    std::string line_;
};

class Log {
public:
    void set_level(LogLevel level) noexcept { level_ = level; }
    [[nodiscard]] bool wants(LogLevel level) const noexcept {
        return level != LogLevel::off && level <= level_;
    }

    LogLine error(std::string_view event) const { return line(LogLevel::error, event); }
    LogLine warning(std::string_view event) const { return line(LogLevel::warning, event); }
    LogLine info(std::string_view event) const { return line(LogLevel::info, event); }
    LogLine debug(std::string_view event) const { return line(LogLevel::debug, event); }

private:
    [[nodiscard]] LogLine line(LogLevel level, std::string_view event) const {
        return {level, event, wants(level)};
    }

    LogLevel level_ = LogLevel::info;
};

/// `value` as it stands behind a `key=`: as it is, or in quotes with everything but printable ASCII as \xNN.
std::string log_value(std::string_view value);

} // namespace socksify::relay
