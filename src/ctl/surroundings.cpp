#include "ctl/surroundings.hpp"

#include "ctl/executable.hpp"
#include "ctl/file.hpp"
#include "ctl/output.hpp"

#include <unistd.h>

namespace socksify::ctl {
namespace {

using policy::json::Position;
using policy::json::Value;

class Surroundings {
public:
    Surroundings(const RulesSource& source, const Value* document) : source_(source), document_(document) {}

    std::vector<Warning> look() {
        rules_file();
        for (const auto& upstream : source_.rules.config.upstreams) password_of(upstream);
        for (std::size_t i = 0; i < source_.rules.config.rules.size(); ++i)
            for (const auto& program : source_.rules.config.rules[i].programs) program_of(i, program);
        log_file();
        return std::move(out_);
    }

private:
    void warn(Position position, std::string key, std::string text) {
        out_.push_back({position, std::move(key), std::move(text)});
    }
    [[nodiscard]] Position position_of(std::initializer_list<std::string_view> path) const {
        const Value* value = document_;
        Position position{0, 0};
        for (const auto key : path) {
            value = value != nullptr ? member(*value, key) : nullptr;
            if (value != nullptr) position = value->position;
        }
        return position;
    }

    /// Who else may do to a file what only its owner and root should.
    static std::string others_who(mode_t mode, mode_t group, mode_t other) {
        if ((mode & other) != 0) return "everybody";
        return (mode & group) != 0 ? "its group" : "";
    }

    void rules_file() {
        if (!source_.is_file) return;
        const auto file = File::open(source_.rules.source);
        if (!file) return;
        const auto& status = file->status();
        if (const auto who = others_who(status.st_mode, S_IWGRP, S_IWOTH); !who.empty())
            warn({0, 0}, "", who + " may write to this file, and so lead your traffic anywhere: chmod go-w");
        if (status.st_uid != ::getuid() && status.st_uid != 0)
            warn({0, 0}, "",
                 "this file belongs to another user (" + std::to_string(status.st_uid) +
                     "), who decides where your traffic goes");
        const auto who = others_who(status.st_mode, S_IRGRP, S_IROTH);
        if (who.empty()) return;
        for (const auto& upstream : source_.rules.config.upstreams)
            if (!upstream.password_source.literal.empty())
                warn(position_of({"upstreams", upstream.name}), "upstreams." + upstream.name,
                     who + " may read this file, and so the password in it: chmod go-r, or password_file");
    }

    void password_of(const policy::Upstream& upstream) {
        const auto& from = upstream.password_source;
        const auto key = "upstreams." + upstream.name;
        if (!from.environment.empty())
            warn(position_of({"upstreams", upstream.name, "password_env"}), key + ".password_env",
                 "a password in the environment is known to every program that runs with these rules, and to "
                 "those that "
                 "may look into /proc; password_file keeps it from them");
        if (document_ == nullptr && !from.literal.empty() && source_.rules.source != "-p")
            warn({0, 0}, "",
                 "a password in the environment is known to every program that runs with it; a rules file "
                 "with password_file keeps it from them");
        if (from.file.empty()) return;
        const auto file = File::open(from.file);
        if (!file) return;
        const auto position = position_of({"upstreams", upstream.name, "password_file"});
        if (const auto who = others_who(file->status().st_mode, S_IRGRP | S_IWGRP, S_IROTH | S_IWOTH);
            !who.empty())
            warn(position, key + ".password_file",
                 shown(from.file) + ": " + who + " may read or write it: chmod 600");
    }

    /// Programs are known by the file that runs (/proc/PID/exe): not by a link to it, nor by a script.
    void program_of(std::size_t rule, const std::string& pattern) {
        if (pattern.find_first_of("*?") != std::string::npos) return;
        const auto key = "rules[" + std::to_string(rule) + "].program";
        const auto* rules = document_ != nullptr ? member(*document_, "rules") : nullptr;
        const auto* program = rules != nullptr ? member(rules->items[rule], "program") : nullptr;
        Position position = program != nullptr ? program->position : Position{0, 0};
        if (program != nullptr)
            for (const auto& item : program->items)
                if (item.text == pattern) position = item.position;

        const auto launch = follow(pattern);
        const auto name = policy::quoted(pattern);
        if (launch.exit_status == 127 && launch.steps.empty())
            return warn(position, key, "there is no " + name + (pattern.starts_with('/') ? "" : " in PATH"));
        if (launch.steps.empty() || !launch.error.empty()) return;
        const auto& last = launch.steps.back();
        if (policy::matches_program(pattern, last.real)) return;
        const auto runs = shown(last.real);
        if (launch.steps.size() == 1)
            return warn(position, key,
                        name + " is a link to " + runs +
                            ", and programs are known by the file that runs: write that");
        warn(position, key,
             name + " is a script, which " + runs +
                 " runs, and programs are known by the file that runs: the script itself never matches, only "
                 "what it "
                 "may start under that name");
    }

    void log_file() {
        const auto& path = source_.rules.config.log.file;
        if (path.empty()) return;
        const bool is_there = ::access(path.c_str(), F_OK) == 0;
        const auto directory = path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
        if (::access(is_there ? path.c_str() : directory.c_str(), W_OK) != 0)
            warn(position_of({"log", "file"}), "log.file",
                 shown(path) + " can't be written (" + error_text(errno) + "): the log goes to stderr");
    }

    const RulesSource& source_;
    const Value* document_;
    std::vector<Warning> out_;
};

} // namespace

std::vector<Warning> look_around(const RulesSource& source, const Value* document) {
    return Surroundings(source, document).look();
}

} // namespace socksify::ctl
