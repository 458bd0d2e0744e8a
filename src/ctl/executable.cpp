#include "ctl/executable.hpp"

#include "ctl/file.hpp"
#include "ctl/output.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <unistd.h>

namespace socksify::ctl {
namespace {

constexpr std::size_t first_line_most = 256; ///< BINPRM_BUF_SIZE: the kernel looks at no more
constexpr std::size_t most_steps = 16; ///< the kernel gives up (ELOOP) earlier; env(1) can go on for ever

bool is_executable_file(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

/// The first file that may be executed; else the first that is there, so that the error can be about it.
std::string look_up(const std::string& command, std::string_view search_path) {
    if (command.find('/') != std::string::npos) return command;
    std::string found;
    for (;;) {
        const auto colon = search_path.find(':');
        const auto directory = search_path.substr(0, colon);
        auto path = (directory.empty() ? "." : std::string(directory)) + "/" + command;
        if (is_executable_file(path)) return path;
        if (found.empty() && ::access(path.c_str(), F_OK) == 0) found = std::move(path);
        if (colon == std::string_view::npos) return found;
        search_path.remove_prefix(colon + 1);
    }
}

/// What stands behind "#!": the interpreter, and all the rest of the line as one argument.
struct Shebang {
    std::string interpreter;
    std::optional<std::string> argument;
};
std::optional<Shebang> shebang_of(std::string_view text) {
    constexpr std::string_view blanks = " \t";
    if (!text.starts_with("#!")) return {};
    auto line = text.substr(2, text.find('\n') == std::string_view::npos ? text.npos : text.find('\n') - 2);
    line = line.substr(0, line.find('\0'));
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    line = line.substr(0, line.find_last_not_of(blanks) + 1);
    const auto end = std::min(line.find_first_of(blanks), line.size());
    Shebang out{std::string(line.substr(0, end)), {}};
    line.remove_prefix(std::min(line.find_first_not_of(blanks, end), line.size()));
    if (!line.empty()) out.argument = line;
    return out.interpreter.empty() ? std::nullopt : std::optional(std::move(out));
}

std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> out;
    for (const char c : text) {
        const bool is_blank = c == ' ' || c == '\t';
        if (is_blank || out.empty()) out.emplace_back();
        if (!is_blank) out.back() += c;
    }
    std::erase(out, "");
    return out;
}

/// The command behind env's options and assignments, and what follows it. Nothing if there is none.
std::optional<std::vector<std::string>> behind_env(std::vector<std::string> arguments) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string word = arguments[i];
        if (word == "-u" || word == "-C" || word == "--unset" || word == "--chdir") {
            ++i; // and its value
        } else if (word.starts_with("-S") || word.starts_with("-vS") || word.starts_with("--split-string")) {
            const auto value = word.find('=');
            auto split =
                words(value != std::string::npos && word.starts_with("--") ? word.substr(value + 1)
                                                                           : word.substr(word.find('S') + 1));
            if (split.empty() && i + 1 < arguments.size()) split = words(arguments[++i]);
            split.insert(split.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                         arguments.end());
            return behind_env(std::move(split));
        } else if (!word.starts_with('-') && word.find('=') == std::string::npos) {
            return std::vector(arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
        }
    }
    return {};
}

class Follower {
public:
    explicit Follower(std::string search_path) : search_path_(std::move(search_path)) {}

    Launch follow(std::string command, std::vector<std::string> arguments) {
        while (auto next = take(command, arguments)) {
            command = std::move(next->front());
            arguments.assign(next->begin() + 1, next->end());
        }
        return std::move(launch_);
    }

private:
    using Words = std::vector<std::string>;

    /// No next command.
    std::nullopt_t fail(std::string why, int exit_status) {
        launch_.error = std::move(why);
        launch_.exit_status = exit_status;
        return std::nullopt;
    }

    /// Adds the step that `command` is. The command that it starts next, if it starts one.
    std::optional<Words> take(const std::string& command, const Words& arguments) {
        if (launch_.steps.size() == most_steps)
            return fail("more than 16 interpreters, one behind the other", 126);
        const auto path = look_up(command, search_path_);
        if (path.empty()) return fail(shown(command) + ": not found in PATH", 127);
        const bool is_interpreter = !launch_.steps.empty();
        const auto complaint = [&](const std::string& why) {
            return (is_interpreter ? shown(launch_.steps.back().path) + " wants " : "") + shown(path) + ": " +
                   why;
        };
        if (::access(path.c_str(), F_OK) != 0)
            return fail(complaint(error_text(errno)), errno == ENOENT ? 127 : 126);
        const auto file = File::open(path);
        const int error = file ? 0 : errno;
        if (error == EISDIR || error == ENODEV)
            return fail(complaint(error == EISDIR ? "is a directory" : "is no regular file"), 126);
        if (::access(path.c_str(), X_OK) != 0) return fail(complaint("is not executable"), 126);
        if (!file) // who may only execute it can run it, but not look inside
            return fail(complaint("can't be looked at: " + error_text(error)), 0);

        Step step;
        step.path = path;
        step.real = real_path(path);
        const auto head = file->text(first_line_most);
        auto elf = policy::read_elf(file->reader());
        const auto shebang = shebang_of(head);
        std::optional<Words> next;
        if (elf) {
            step.kind = Step::Kind::elf;
            step.elf = std::move(*elf);
            if (step.real.ends_with("/env") || path.ends_with("/env")) next = behind_env(arguments);
        } else if (elf.error() == ElfError::damaged) {
            step.kind = Step::Kind::damaged;
        } else if (shebang) {
            step.kind = Step::Kind::script;
            next = interpreted(*shebang, path, arguments);
        } else if (head.find('\0') == std::string::npos) {
            next = Words{"/bin/sh", path};
        } else {
            return fail(
                complaint("is neither ELF nor a script; what binfmt_misc may make of it, can't be seen"),
                126);
        }
        launch_.steps.push_back(std::move(step));
        return next;
    }

    static Words interpreted(const Shebang& shebang, const std::string& path, const Words& arguments) {
        // The kernel knows no PATH: a bare name is a file in the current directory.
        const bool is_bare = shebang.interpreter.find('/') == std::string::npos;
        Words out{(is_bare ? "./" : "") + shebang.interpreter};
        if (shebang.argument) out.push_back(*shebang.argument);
        out.push_back(path);
        out.insert(out.end(), arguments.begin(), arguments.end());
        return out;
    }

    std::string search_path_;
    Launch launch_;
};

} // namespace

Launch follow(const std::string& command, const std::vector<std::string>& arguments,
              const std::string& search_path) {
    return Follower(search_path).follow(command, arguments);
}

Launch follow(const std::string& command, const std::vector<std::string>& arguments) {
    const char* path = std::getenv("PATH");
    // What shells and execvp() take where there is none.
    return follow(command, arguments, path != nullptr ? path : "/bin:/usr/bin");
}

} // namespace socksify::ctl
