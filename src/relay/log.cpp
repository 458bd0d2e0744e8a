#include "relay/log.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <unistd.h>

namespace socksify::relay {
namespace {

constexpr bool is_plain(char c) noexcept { return c > ' ' && c <= '~' && c != '"' && c != '\\' && c != '='; }

/// RFC 3339, UTC, milliseconds.
std::string now() {
    using namespace std::chrono;
    const auto at = system_clock::now().time_since_epoch();
    const std::time_t seconds = duration_cast<std::chrono::seconds>(at).count();
    const auto milliseconds =
        static_cast<unsigned>(duration_cast<std::chrono::milliseconds>(at).count() % 1000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char out[] = "YYYY-MM-DDThh:mm:ss.mmmZ and room to spare";
    const auto length = std::strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%S", &utc);
    const auto digits = std::to_string(1000 + milliseconds);
    return std::string(out, length) + "." + digits.substr(1) + "Z";
}

} // namespace

std::string log_value(std::string_view value) {
    if (!value.empty() && std::all_of(value.begin(), value.end(), is_plain)) return std::string(value);
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out = "\"";
    for (const char c : value) {
        const auto octet = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') (out += '\\') += c;
        else if (octet < 0x20 || octet > 0x7e) ((out += "\\x") += digits[octet >> 4]) += digits[octet & 15];
        else out += c;
    }
    return out += '"';
}

LogLine::LogLine(LogLevel level, std::string_view event, bool wanted) : wanted_(wanted) {
    if (!wanted_) return;
    line_ = "time=" + now();
    put("level", log_level_words[static_cast<std::size_t>(level)]);
    put("event", event);
}

LogLine::~LogLine() {
    if (!wanted_) return;
    line_ += '\n';
    // One write, so that lines of several processes don't mix. Nobody can be told that it failed.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line_.data(), line_.size());
}

LogLine& LogLine::add(std::string_view key, std::string_view value) {
    if (wanted_) put(key, log_value(value));
    return *this;
}

LogLine& LogLine::add(std::string_view key, const Endpoint& value) {
    if (wanted_) put(key, log_value(value.text()));
    return *this;
}

LogLine& LogLine::add_seconds(std::string_view key, double seconds) {
    if (!wanted_) return *this;
    const auto milliseconds = std::llround(seconds * 1000);
    put(key,
        std::to_string(milliseconds / 1000) + "." + std::to_string(1000 + milliseconds % 1000).substr(1));
    return *this;
}

void LogLine::put(std::string_view key, std::string_view value) {
    ((line_ += line_.empty() ? "" : " ") += key) += '=';
    line_ += value;
}

} // namespace socksify::relay
