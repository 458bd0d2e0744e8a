// Whether the library can get into a command, from what can be read of it without running it.
#include "ctl/commands.hpp"
#include "ctl/executable.hpp"
#include "ctl/file.hpp"
#include "ctl/probe.hpp"
#include "ctl/rules_source.hpp"
#include "sys/installation.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <sys/statvfs.h>
#include <unistd.h>

namespace socksify::ctl {
namespace {

struct Finding {
    enum class Level : std::uint8_t { ok, warning, problem } level;
    std::string check; ///< what was looked at, one word, for JSON
    std::string text;
    std::string advice; ///< what to do; empty if there is nothing to do
};
using Level = Finding::Level;

std::string_view name_of(Level level) noexcept {
    switch (level) {
    case Level::ok: return "ok";
    case Level::warning: return "warning";
    case Level::problem: return "problem";
    }
    return "";
}

std::string_view name_of(Step::Kind kind) noexcept {
    switch (kind) {
    case Step::Kind::elf: return "elf";
    case Step::Kind::script: return "script";
    case Step::Kind::plain: return "plain";
    case Step::Kind::damaged: return "damaged";
    }
    return "";
}

/// Commands that only hand the work to somebody who runs already, and has no preload.
struct Handover {
    std::string_view name;
    std::string_view to;
    std::string_view advice;
};
constexpr std::array handovers{
    Handover{"snap", "snapd's confinement, which does not see the library's file",
             "install the program from a Debian package, or set a proxy in the program itself"},
    Handover{"flatpak", "a sandbox, which does not see the library's file",
             "install the program from a Debian package, or set a proxy in the program itself"},
    Handover{"docker", "a daemon, which runs the container's programs", "run socksify inside the container"},
    Handover{"podman", "a container, which does not see the library's file",
             "run socksify inside the container"},
    Handover{"systemd-run", "systemd, which runs the command in its own environment",
             "systemd-run … socksify COMMAND, the other way round"},
    Handover{"tmux", "a server, which may run already, without the library", "run socksify inside of it"},
    Handover{"screen", "a server, which may run already, without the library", "run socksify inside of it"},
    Handover{"emacsclient", "an Emacs that runs already", "start that Emacs with socksify"},
    Handover{"xdg-open", "another program, which may run already", "name that program itself"},
};

/// What no look at a file tells; part of every answer.
constexpr std::array<std::string_view, 3> unseen{
    "system calls that a program makes itself, past libc, connect() among them",
    "io_uring, where liburing is a part of the program's own file",
    "what the programs that COMMAND starts are like: doctor looks at one at a time",
};

class Doctor {
public:
    explicit Doctor(const Options& options) : options_(options) {}

    Answer examine() {
        const std::vector<std::string> arguments(options_.command_line.begin() + 1,
                                                 options_.command_line.end());
        const auto launch = follow(options_.command_line.front(), arguments);
        const auto* program = command(launch);
        std::optional<Elf> elf;
        if (program != nullptr && program->elf) {
            elf = program->elf;
            inside(*program, *elf);
        }
        library(program, elf ? &*elf : nullptr);
        environment();
        if (const auto source = load_rules(options_); rules(source)) proxies(source.rules.config);
        return answer(launch);
    }

private:
    void add(Level level, std::string check, std::string text, std::string advice = {}) {
        findings_.push_back({level, std::move(check), std::move(text), std::move(advice)});
    }
    void ok(std::string check, std::string text) { add(Level::ok, std::move(check), std::move(text)); }
    void warning(std::string check, std::string text, std::string advice = {}) {
        add(Level::warning, std::move(check), std::move(text), std::move(advice));
    }
    void problem(std::string check, std::string text, std::string advice = {}) {
        add(Level::problem, std::move(check), std::move(text), std::move(advice));
    }

    // --- the command ---

    /// The file that runs in the end; null if none does.
    const Step* command(const Launch& launch) {
        std::string way;
        const Step* before = nullptr;
        for (const auto& step : launch.steps) {
            if (before != nullptr) way += before->elf ? ", which runs " : ", run by ";
            way += shown(step.path);
            if (step.real != step.path) way += " (" + shown(step.real) + ")";
            before = &step;
        }
        if (!launch.error.empty()) {
            if (!way.empty()) ok("command", way);
            launch.exit_status == 0
                ? warning("command", launch.error, "make it readable, or ask who may read it")
                : problem("command", launch.error,
                          "it does not run at all: a shell says " + std::to_string(launch.exit_status));
            return nullptr;
        }
        ok("command", way);
        for (const auto& step : launch.steps) {
            handover(step);
            privileges(step);
        }
        for (const auto& step : launch.steps)
            if (step.kind == Step::Kind::plain)
                warning("interpreter",
                        shown(step.path) + " has no \"#!\": shells run it with /bin/sh, others not at all",
                        "give it a first line such as #!/bin/sh");
        const auto& last = launch.steps.back();
        if (last.kind == Step::Kind::damaged)
            problem("program", shown(last.real) + " is an ELF file whose headers lead nowhere",
                    "install it again");
        return &last;
    }

    void handover(const Step& step) {
        for (const auto& path : {step.path, step.real}) {
            const auto name = path.substr(path.rfind('/') + 1);
            const bool is_exported = path.find("/flatpak/exports/") != std::string::npos;
            for (const auto& one : handovers) {
                if (name != one.name && !(one.name == "flatpak" && is_exported)) continue;
                problem("handover", shown(step.path) + " hands the work to " + std::string(one.to),
                        std::string(one.advice));
                return;
            }
        }
    }

    /// ld.so(8), "Secure-execution mode": such a program gets no LD_PRELOAD with a slash in it, nor do those
    /// it starts.
    void privileges(const Step& step) {
        if (!step.elf) return; // the kernel gives a script no privileges
        const auto file = File::open(step.real);
        if (!file || file->is_mounted(ST_NOSUID)) return;
        const auto& status = file->status();
        std::string what;
        if ((status.st_mode & S_ISUID) != 0 && status.st_uid != ::getuid()) what = "set-user-ID";
        else if ((status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0 &&
                 status.st_gid != ::getgid())
            what = "set-group-ID";
        else if (::getuid() != 0 && file->has_capabilities())
            what = "given privileges of its own (file capabilities)";
        if (what.empty()) return;
        problem("privileges",
                shown(step.real) + " is " + what + ": ld.so then ignores LD_PRELOAD, and takes it away",
                "run it as the user whose privileges it takes (from a root shell, say), or set a proxy in "
                "the program "
                "itself");
    }

    // --- the program's file ---

    void inside(const Step& step, const Elf& elf) {
        const auto name = shown(step.real);
        if (is_appimage(step.real))
            warning("handover", name + " is an AppImage: what it unpacks is what runs",
                    "unpack it (--appimage-extract), and let doctor look at what is inside");
        if (elf.is_go) {
            problem("go",
                    name + " is written in Go, which makes its system calls itself, past libc" +
                        std::string(elf.has_interpreter ? ", though it is linked dynamically" : ""),
                    "Go's own HTTP takes a proxy from HTTPS_PROXY=socks5://HOST:PORT; others have options of "
                    "their own");
            return;
        }
        if (elf.is_launcher) {
            ok("linking", "socksify itself, which puts the library into its command");
            return;
        }
        if (!elf.has_interpreter) {
            problem("linking", name + " is linked statically: no loader runs that could bring the library in",
                    "look for a package that is linked dynamically, or set a proxy in the program itself");
            return;
        }
        ok("linking", policy::architecture(elf) + ", linked dynamically");
        if (::access(elf.interpreter.c_str(), X_OK) != 0)
            problem("loader", "its loader " + shown(elf.interpreter) + " is not there: " + error_text(errno),
                    "the program does not run at all: install the libraries of its architecture");
        switch (policy::libc_of(elf.interpreter)) {
        case policy::Libc::glibc: break;
        case policy::Libc::musl:
            problem("libc", "it is made for musl (" + shown(elf.interpreter) + "), and the library for glibc",
                    "use a build of the program for glibc, or build socksify where musl is the libc");
            return;
        case policy::Libc::unknown:
            warning("libc", "its loader " + shown(elf.interpreter) + " is none that doctor knows",
                    "see with: socksify -v COMMAND");
        }
        const auto needs = [&](std::string_view start) {
            return std::any_of(elf.needed.begin(), elf.needed.end(),
                               [&](const auto& one) { return one.starts_with(start); });
        };
        if (elf.needed.empty())
            problem("libc", name + " needs no library at all, not even libc: its system calls are its own",
                    "set a proxy in the program itself");
        else if (!needs("libc.so")) ok("libc", "libc comes with the libraries that it needs");
        if (needs("liburing"))
            warning("io_uring", name + " uses io_uring, whose operations pass by libc unseen",
                    "if it has a switch to do without, use that");
    }

    /// "AI" and 1 or 2 in the padding of e_ident (AppImage specification).
    static bool is_appimage(const std::string& path) {
        const auto file = File::open(path);
        const auto head = file ? file->text(11) : std::string();
        return head.size() == 11 && head.compare(8, 2, "AI") == 0 && (head[10] == 1 || head[10] == 2);
    }

    // --- the library ---

    void library(const Step* step, const Elf* program) {
        const auto path = options_.library.empty() ? sys::installation().preload : options_.library;
        Elf native; // where there is no program: the library that is for this one
        if (program == nullptr) {
            if (const auto self = File::open("/proc/self/exe"))
                if (auto elf = policy::read_elf(self->reader())) native = std::move(*elf);
            program = &native;
        }
        std::string found;
        for (const auto& file : policy::library_files(path, *program))
            if (found.empty() && ::access(file.c_str(), F_OK) == 0) found = file;
        if (found.empty()) {
            const auto files = library_files(path, *program);
            problem("library",
                    "there is no " + joined({files.begin(), files.end()}) +
                        (files.size() > 1 ? ", so none for " + policy::architecture(*program) : ""),
                    "install socksify" + std::string(files.size() > 1 ? " for that architecture" : "") +
                        ", or say --library PATH; without it, ld.so only warns, and all goes the direct way");
            return;
        }
        if (path.find_first_of(": ") != std::string::npos)
            problem("library", shown(path) + ": LD_PRELOAD can hold no path with a colon or a blank",
                    "move it where the path has none");
        if (!found.starts_with('/'))
            warning("library",
                    shown(found) + " is a relative path, which means something else in each directory",
                    "write it from / on");
        const auto file = File::open(found);
        if (!file) return problem("library", shown(found) + " can't be read: " + error_text(errno));
        const auto elf = policy::read_elf(file->reader());
        if (!elf || elf->kind != Elf::Kind::shared || !elf->is_dynamic)
            return problem("library", shown(found) + " is no shared library", "install socksify again");
        if (!policy::same_architecture(*elf, *program))
            return problem(
                "library",
                shown(found) + " is for " + policy::architecture(*elf) + ", the program for " +
                    policy::architecture(*program),
                "install socksify for that architecture; as it is, ld.so only warns, and all goes the direct "
                "way");
        if (file->is_mounted(ST_NOEXEC))
            return problem("library",
                           shown(found) + " lies on a file system that is mounted noexec: it can't be loaded",
                           "move it, or mount that otherwise");
        if (step == nullptr || !program->has_interpreter || library_fits_libc(*elf, *program))
            ok("library", shown(found));
    }

    /// The library wants symbol versions that the program's own libc must have: an older one, of a bundle or
    /// another distribution, has not. Said only where that libc stands beside its loader, as it mostly does.
    bool library_fits_libc(const Elf& library, const Elf& program) {
        const auto loader = real_path(program.interpreter);
        const auto libc = loader.substr(0, loader.rfind('/') + 1) + "libc.so.6";
        const auto file = File::open(libc);
        const auto elf = file ? policy::read_elf(file->reader()) : tl::unexpected(ElfError::not_elf);
        if (!elf || elf->offered_versions.empty()) return true;
        std::vector<std::string> lacking;
        for (const auto& version : library.libc_versions)
            if (std::find(elf->offered_versions.begin(), elf->offered_versions.end(), version) ==
                elf->offered_versions.end())
                lacking.push_back(shown(version));
        if (lacking.empty()) return true;
        problem("libc",
                "the library needs " + joined(lacking) + ", which the program's " + shown(libc) + " has not",
                "build socksify where that libc is, and say --library");
        return false;
    }

    void environment() {
        const char* preload = std::getenv("LD_PRELOAD");
        const std::string_view value = preload != nullptr ? preload : "";
        for (const std::string_view other : {"proxychains", "torsocks", "tsocks", "libdsocks", "redsocks"})
            if (value.find(other) != std::string_view::npos)
                warning("environment",
                        "LD_PRELOAD holds " + shown(value) + ", which redirects connections as well",
                        "unset LD_PRELOAD");
    }

    // --- rules and proxies ---

    bool rules(const RulesSource& source) {
        if (!source.rules.usable) {
            auto text = why_unusable(source);
            text.pop_back();
            problem("rules", text,
                    "until that is right, everything" +
                        std::string(source.rules.config.loopback == policy::Loopback::direct ? " but loopback"
                                                                                             : "") +
                        " is refused; socksifyctl check tells more");
            return false;
        }
        ok("rules", shown(source.rules.source) + " (" + source.why + ")");
        return true;
    }

    void proxies(const policy::Config& config) {
        std::map<std::size_t, bool> used; // whether it can be used
        const auto each_route = [&](auto visit) {
            for (const auto& rule : config.rules) visit(rule.action);
            visit(config.otherwise);
        };
        each_route([&](const policy::Action& action) {
            for (const auto upstream : action.upstreams) used.emplace(upstream, false);
        });
        if (used.empty()) ok("proxy", "the rules lead through none");
        std::map<std::size_t, Probe> probes;
        for (auto& [index, is_usable] : used) {
            auto& answer = probes[index] = probe(config.upstreams[index]);
            is_usable = answer.outcome != Probe::Outcome::unusable;
        }
        for (const auto& [index, answer] : probes) {
            const auto name = described(config.upstreams[index]);
            if (used[index]) {
                ok("proxy",
                   name + " lets us in, and has " +
                       (answer.outcome == Probe::Outcome::listed ? "LIST-FEATURES" : "no LIST-FEATURES"));
                continue;
            }
            bool is_replaced = true; // in each list that it is part of
            each_route([&, down = index](const policy::Action& action) {
                const auto& all = action.upstreams;
                if (std::find(all.begin(), all.end(), down) == all.end()) return;
                is_replaced &= std::any_of(all.begin(), all.end(), [&](auto one) { return used[one]; });
            });
            add(is_replaced ? Level::warning : Level::problem, "proxy",
                name + ": " + answer.problem + (is_replaced ? "; another takes its place" : ""),
                answer.advice);
        }
    }

    Answer answer(const Launch& launch) {
        Answer out;
        auto& json = out.json;
        json["command"] = options_.command_line;
        json["steps"] = Json::array();
        for (const auto& step : launch.steps) {
            Json one{{"path", step.path}, {"real", step.real}, {"kind", name_of(step.kind)}};
            if (step.elf) {
                one["architecture"] = policy::architecture(*step.elf);
                one["interpreter"] = step.elf->has_interpreter ? Json(step.elf->interpreter) : Json();
                one["go"] = step.elf->is_go;
                one["needed"] = step.elf->needed;
            }
            json["steps"].push_back(std::move(one));
        }
        json["findings"] = Json::array();
        auto worst = Level::ok;
        Rows rows;
        for (const auto& finding : findings_) {
            worst = std::max(worst, finding.level);
            rows.emplace_back(name_of(finding.level),
                              finding.check + ": " + finding.text +
                                  (finding.advice.empty() ? "" : "\n→ " + finding.advice));
            json["findings"].push_back({{"check", finding.check},
                                        {"level", name_of(finding.level)},
                                        {"text", finding.text},
                                        {"advice", finding.advice}});
        }
        json["level"] = name_of(worst);
        json["not_seen"] = unseen;
        out.fine = worst != Level::problem;
        out.text = shown(options_.command_line.front()) + ":\n" + table(rows);
        if (options_.verbose)
            for (const auto& one : unseen)
                out.text += "Not to be seen from here: " + std::string(one) + ".\n";
        const auto verdict = [&] {
            switch (worst) {
            case Level::ok: return "Nothing stands in the way that can be seen from here.\n";
            case Level::warning: return "It should work, with a look at the warnings.\n";
            case Level::problem: return "Something stands in the way: see the problems.\n";
            }
            return "";
        };
        out.text += verdict();
        return out;
    }

    const Options& options_;
    std::vector<Finding> findings_;
};

} // namespace

Answer doctor(const Options& options) { return Doctor(options).examine(); }

} // namespace socksify::ctl
