"""doctor: whether the library can get into a command, from what can be read of it.

Programs are made here: with the compiler, or as copies of /bin/true with some octets changed.
"""

import ctypes
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from proxies import FakeProxy, free_port
from suite import NOBODY, Place, Skipped, case, contains, equal

TRUE = Path("/bin/true").read_bytes()
DIRECT = {"default": "direct"}
EM_386, EM_AARCH64 = 3, 183
MACHINE_AT = 18  # e_machine


def doctor(place: Place, *command: str | Path, status: int = 0, library: str | Path | None = None, **more) -> dict:
    """The answer, with rules that lead through no proxy."""
    place.write("direct.json", DIRECT, mode=0o644)
    options = ["--library", library] if library else []
    return place.json("-c", "direct.json", "doctor", *options, *command, status=status, **more)


def findings(answer: dict, check: str) -> list[dict]:
    return [finding for finding in answer["findings"] if finding["check"] == check]


def finding(answer: dict, check: str, level: str, *parts: str) -> dict:
    """The only finding of that check, which must be of this level and say this."""
    found = findings(answer, check)
    assert len(found) == 1 and found[0]["level"] == level, answer
    contains(found[0]["text"], *parts)
    assert level == "ok" or found[0]["advice"], found
    return found[0]


def need(program: str) -> str:
    if shutil.which(program) is None:
        raise Skipped(f"{program} is not installed")
    return program


def compiled(place: Place, name: str, *options: str, source: str = "int main(void) { return 0; }\n") -> Path:
    place.write(f"{name}.c", source)
    path = place.directory / name
    done = subprocess.run([need("cc"), f"{name}.c", *options, "-o", name], cwd=place.directory, capture_output=True, check=False)
    if done.returncode != 0:
        raise Skipped(f"cc {' '.join(options)}: {done.stderr.decode().splitlines()[0]}")
    return path


def changed(place: Place, name: str, *changes: tuple[int, bytes], of: bytes = TRUE) -> Path:
    """A copy with these octets at these places."""
    octets = bytearray(of)
    for at, new in changes:
        octets[at : at + len(new)] = new
    return place.write(name, bytes(octets), mode=0o755)


def interpreter_at() -> int:
    return TRUE.index(b"/lib64/ld-linux") if b"/lib64/ld-linux" in TRUE else TRUE.index(b"/lib/ld-linux")


def as_root() -> None:
    if os.getuid() != 0:
        raise Skipped("that wants root")


@case
def ordinary(place: Place) -> None:
    """an ordinary program: nothing stands in the way"""
    answer = doctor(place, "true")
    equal(answer["level"], "ok")
    (step,) = answer["steps"]
    equal((step["kind"], step["real"]), ("elf", os.path.realpath(shutil.which("true"))))
    assert step["interpreter"].startswith("/lib") and "libc.so.6" in step["needed"] and step["go"] is False, step
    finding(answer, "linking", "ok", "linked dynamically")
    finding(answer, "library", "ok", str(place.build / "src" / "shim" / "libsocksify.so"))
    finding(answer, "rules", "ok", "direct.json")
    finding(answer, "proxy", "ok", "none")
    assert answer["not_seen"], answer
    contains(place.text("-c", "direct.json", "doctor", "true"), "Nothing stands in the way")
    contains(place.text("-v", "-c", "direct.json", "doctor", "true"), "Not to be seen from here: ")


@case
def not_startable(place: Place) -> None:
    """what a shell can't start: 127 and 126"""
    finding(doctor(place, "no-such-command", status=1), "command", "problem", "not found in PATH")
    finding(doctor(place, "./no-such-file", status=1), "command", "problem", "No such file")
    contains(finding(doctor(place, "./no", status=1), "command", "problem")["advice"], "127")
    place.write("plain", "echo hi\n", mode=0o644)
    contains(finding(doctor(place, "./plain", status=1), "command", "problem", "not executable")["advice"], "126")
    finding(doctor(place, place.directory, status=1), "command", "problem", "is a directory")
    place.write("bin/tool", TRUE, mode=0o644)  # PATH goes on to one that may be executed
    place.write("bin2/tool", TRUE, mode=0o755)
    answer = doctor(place, "tool", env={"PATH": f"{place.directory}/bin:{place.directory}/bin2"})
    contains(answer["steps"][0]["path"], "/bin2/tool")


@case
def scripts(place: Place) -> None:
    """scripts: the interpreters behind them, over several levels and env"""
    inner = place.write("inner", "#!/bin/sh\n", mode=0o755)
    outer = place.write("outer", f"#! {inner} -x\n", mode=0o755)
    answer = doctor(place, outer)
    equal([step["kind"] for step in answer["steps"]], ["script", "script", "elf"])
    equal(answer["steps"][-1]["path"], "/bin/sh")
    for line in ("/usr/bin/env python3", "/usr/bin/env -S A=b python3 -u", "/usr/bin/env -vS -u X python3"):
        script = place.write("script", f"#!{line}\n", mode=0o755)
        steps = doctor(place, script, env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"})["steps"]
        equal(os.path.basename(steps[2]["path"]), "python3")
    equal([step["path"] for step in doctor(place, "env", "-u", "A", "B=c", "true")["steps"]][1:], [shutil.which("true")])


@case
def odd_scripts(place: Place) -> None:
    """scripts without #!, without an interpreter, in a circle, and what is no program"""
    plain = place.write("plain", "echo hi\n", mode=0o755)
    answer = doctor(place, plain)
    finding(answer, "interpreter", "warning", 'no "#!"')
    equal(answer["steps"][-1]["path"], "/bin/sh")
    lost = place.write("lost", "#!/no/such/interpreter\n", mode=0o755)
    problems = [one for one in doctor(place, lost, status=1)["findings"] if one["level"] == "problem"]
    contains(problems[0]["text"], "wants /no/such/interpreter: No such file")
    circle = place.directory / "circle"
    place.write("circle", f"#!{circle}\n", mode=0o755)
    problems = [one for one in doctor(place, circle, status=1)["findings"] if one["level"] == "problem"]
    contains(problems[0]["text"], "more than 16")
    binary = place.write("binary", b"MZ\0\1\2\3" * 50, mode=0o755)
    finding(doctor(place, binary, status=1), "command", "problem", "neither ELF nor a script")
    place.write("empty", "", mode=0o755)
    equal(doctor(place, "./empty")["steps"][-1]["path"], "/bin/sh")
    doctor(place, place.write("dos", "#!/bin/sh\r\n", mode=0o755), status=1)


@case
def static(place: Place) -> None:
    """programs that are linked statically, position-independent or not"""
    for options in (["-static"], ["-static-pie"]):
        answer = doctor(place, compiled(place, "static", *options), status=1)
        finding(answer, "linking", "problem", "statically")
        equal(answer["steps"][0]["interpreter"], None)


@case
def go(place: Place) -> None:
    """Go programs, by section and by note, though they are linked dynamically"""
    need("objcopy")
    place.write("true", TRUE, mode=0o755)
    place.write("note", struct.pack("<III", 4, 4, 4) + b"Go\0\0abcd")
    for section in (".go.buildinfo", ".note.go.buildid"):
        argv = ["objcopy", "--add-section", f"{section}=note", "true", "go"]
        subprocess.run(argv, cwd=place.directory, check=True)
        finding(doctor(place, "./go", status=1), "go", "problem", "though it is linked dynamically")
    # A note of "GNU" becomes one of "Go": what is left when the section headers have been stripped.
    renamed = bytearray(TRUE.replace(b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0", b"\4\0\0\0\x14\0\0\0\4\0\0\0Go\0\0"))
    struct.pack_into("<Q", renamed, 40, 0)  # e_shoff
    struct.pack_into("<HHH", renamed, 58, 0, 0, 0)
    if bytes(renamed) != TRUE and b"Go\0\0" in renamed:
        finding(doctor(place, place.write("noted", bytes(renamed), mode=0o755), status=1), "go", "problem")


@case
def libc(place: Place) -> None:
    """programs for musl, and with a loader that is unknown or not there"""
    at = interpreter_at()
    musl = changed(place, "musl", (at, b"/lib/ld-musl-x86_64.so.1\0"))
    finding(doctor(place, musl, status=1), "libc", "problem", "musl")
    bionic = changed(place, "bionic", (at, b"/system/bin/linker64\0"))
    answer = doctor(place, bionic, status=1)
    finding(answer, "libc", "warning", "linker64")
    finding(answer, "loader", "problem", "is not there")
    relative = changed(place, "relative", (at, b"lib/ld-linux.so\0"))
    finding(doctor(place, relative, status=1), "program", "problem", "headers lead nowhere")


@case
def old_libc(place: Place) -> None:
    """a libc beside the loader that is too old for the library"""
    place.write("map", "GLIBC_2.2.5 { global: main; };\n")
    compiled(place, "libc.so.6", "-shared", "-fPIC", "-nostdlib", "-Wl,--version-script=map")
    loader = place.write("ld-linux-x86-64.so.2", Path(os.path.realpath("/lib64/ld-linux-x86-64.so.2")).read_bytes(), mode=0o755)
    program = compiled(place, "program", f"-Wl,--dynamic-linker={loader}")
    answer = doctor(place, program, status=1)
    finding(answer, "libc", "problem", "the library needs GLIBC_2.", str(place.directory / "libc.so.6"))
    equal(findings(answer, "library"), [])


@case
def io_uring(place: Place) -> None:
    """a program that uses liburing.so"""
    compiled(place, "liburing.so.2", "-shared", "-fPIC", "-Wl,-soname,liburing.so.2", source="void io_uring_setup(void) {}\n")
    program = compiled(
        place, "program", "liburing.so.2", source="void io_uring_setup(void); int main(void) { io_uring_setup(); return 0; }\n"
    )
    finding(doctor(place, program), "io_uring", "warning", "unseen")


@case
def without_libc(place: Place) -> None:
    """a program that makes all its system calls itself, though a loader runs"""
    program = compiled(place, "program", "-nostdlib", "-pie", source="void _start(void) { for (;;) { } }\n")
    answer = doctor(place, program, status=1)
    assert any(one["level"] == "problem" and one["check"] in ("libc", "linking") for one in answer["findings"]), answer


@case
def other_architectures(place: Place) -> None:
    """a program of another architecture: without a library for it, all would go the direct way"""
    foreign = changed(place, "foreign", (MACHINE_AT, struct.pack("<H", EM_AARCH64)))
    answer = doctor(place, foreign, status=1)
    finding(answer, "library", "problem", "64-bit AArch64", "64-bit x86-64" if os.uname().machine == "x86_64" else "")
    # $LIB: the file of the program's own architecture
    library = (place.build / "src" / "shim" / "libsocksify.so").read_bytes()
    place.write("lib/x86_64-linux-gnu/libsocksify.so", library)
    finding(doctor(place, "true", library=f"{place.directory}/$LIB/libsocksify.so"), "library", "ok", "x86_64-linux-gnu")
    answer = doctor(place, foreign, library=f"{place.directory}/$LIB/libsocksify.so", status=1)
    finding(answer, "library", "problem", "none for 64-bit AArch64")
    changed(place, "lib/aarch64-linux-gnu/libsocksify.so", (MACHINE_AT, struct.pack("<H", EM_AARCH64)), of=library)
    answer = doctor(place, foreign, library=f"{place.directory}/$LIB/libsocksify.so")
    finding(answer, "library", "ok", "aarch64-linux-gnu")


@case
def libraries(place: Place) -> None:
    """a library that is missing, no library, or where LD_PRELOAD can't name it"""
    finding(doctor(place, "true", library="/no/libsocksify.so", status=1), "library", "problem", "there is no /no/")
    finding(doctor(place, "true", library=place.write("text", "hello"), status=1), "library", "problem", "no shared library")
    finding(doctor(place, "true", library=compiled(place, "o", "-c"), status=1), "library", "problem", "no shared library")
    library = place.build / "src" / "shim" / "libsocksify.so"
    blank = place.write("a b/libsocksify.so", library.read_bytes())
    answer = doctor(place, "true", library=blank, status=1)
    assert any("blank" in one["text"] for one in findings(answer, "library")), answer
    answer = doctor(place, "true", library=os.path.relpath(library, place.directory))
    assert any("relative" in one["text"] for one in findings(answer, "library")), answer


@case
def privileges(place: Place) -> None:
    """set-user-ID, set-group-ID and file capabilities: ld.so then ignores LD_PRELOAD"""
    as_root()
    if os.statvfs(place.directory).f_flag & os.ST_NOSUID:
        raise Skipped("files for tests lie on a file system that is mounted nosuid")
    for mode, expected in ((0o4755, "set-user-ID"), (0o2755, "set-group-ID")):
        program = place.write("program", TRUE, mode=mode)
        os.chmod(program, mode)
        finding(doctor(place, program, user=NOBODY, status=1), "privileges", "problem", expected)
        equal(findings(doctor(place, program), "privileges"), [])  # root gains nothing
    os.chmod(program, 0o755)
    equal(findings(doctor(place, program, user=NOBODY), "privileges"), [])
    done = subprocess.run(["setcap", "cap_net_raw+ep", program], capture_output=True, check=False)
    if done.returncode == 0:
        finding(doctor(place, program, user=NOBODY, status=1), "privileges", "problem", "capabilities")
    script = place.write("script", f"#!{shutil.which('true')}\n", mode=0o755)
    os.chmod(script, 0o4755)
    equal(findings(doctor(place, script, user=NOBODY), "privileges"), [])  # which scripts don't get


@case
def unreadable(place: Place) -> None:
    """a program that may be run but not read"""
    as_root()
    program = place.write("program", TRUE, mode=0o711)
    finding(doctor(place, program, user=NOBODY), "command", "warning", "can't be looked at")


@case
def no_exec(place: Place) -> None:
    """a library on a file system that is mounted noexec"""
    as_root()
    mounted = place.directory / "mounted"
    mounted.mkdir()
    ms_noexec = 8
    mount = ctypes.CDLL(None, use_errno=True).mount
    if mount(b"none", bytes(mounted), b"tmpfs", ms_noexec, None) != 0:
        raise Skipped("mount is not allowed")
    try:
        shutil.copy(place.build / "src" / "shim" / "libsocksify.so", mounted)
        answer = doctor(place, "true", library=mounted / "libsocksify.so", status=1)
        finding(answer, "library", "problem", "noexec")
    finally:
        subprocess.run(["umount", mounted], check=True)


@case
def handovers(place: Place) -> None:
    """commands that only hand the work to somebody else"""
    snap = place.write("bin/snap", TRUE, mode=0o755)
    (place.directory / "bin" / "chromium").symlink_to(snap)
    finding(doctor(place, place.directory / "bin" / "chromium", status=1), "handover", "problem", "snapd")
    flatpak = place.write("var/flatpak/exports/bin/org.example.App", "#!/bin/sh\n", mode=0o755)
    finding(doctor(place, flatpak, status=1), "handover", "problem", "sandbox")
    finding(doctor(place, changed(place, "app", (8, b"AI\2"))), "handover", "warning", "AppImage")


@case
def other_preloads(place: Place) -> None:
    """an LD_PRELOAD that redirects connections as well"""
    other = compiled(place, "libtorsocks.so", "-shared", "-fPIC", source="int other;\n")
    env = {"LD_PRELOAD": str(other), "ASAN_OPTIONS": "verify_asan_link_order=0"}
    finding(doctor(place, "true", env=env), "environment", "warning", "libtorsocks")


@case
def rules_and_proxies(place: Place) -> None:
    """rules that can't be used, proxies that are down, and those that another takes the place of"""
    answer = place.json("doctor", "true", status=1)
    finding(answer, "rules", "problem", "no rules")
    with FakeProxy([]) as proxy:
        finding(place.json("-p", proxy.url, "doctor", "true"), "proxy", "ok", "no LIST-FEATURES")
        upstreams = {"up": {"url": proxy.url}, "down": {"url": f"socks5://127.0.0.1:{free_port()}"}}
        place.write("rules.json", {"upstreams": upstreams, "default": ["down", "up"]})
        answer = place.json("-c", "rules.json", "doctor", "true")
        equal([one["level"] for one in findings(answer, "proxy")], ["ok", "warning"])
        place.write("rules.json", {"upstreams": upstreams, "rules": [{"port": 1, "route": "down"}], "default": ["down", "up"]})
        answer = place.json("-c", "rules.json", "doctor", "true", status=1)
        equal([one["level"] for one in findings(answer, "proxy")], ["ok", "problem"])
        place.write("rules.json", {"upstreams": upstreams, "default": "up"})  # nobody wants the other
        equal(len(findings(place.json("-c", "rules.json", "doctor", "true"), "proxy")), 1)


@case
def truncated(place: Place) -> None:
    """an ELF file that was cut anywhere"""
    for size in (4, 5, 16, 17, 51, 63, 64, 65, 200, 1000, len(TRUE) // 2, len(TRUE) - 1):
        place.write("cut", TRUE[:size], mode=0o755)
        place.write("direct.json", DIRECT)
        place.run("--json", "-c", "direct.json", "doctor", "./cut").json
        place.run("--json", "-c", "direct.json", "doctor", "--library", "./cut", "true").json


@case
def mutated(place: Place) -> None:
    """ELF files with wrong octets: an answer in any case"""
    place.write("direct.json", DIRECT)
    chosen = random.Random(1)
    for _ in range(150):
        octets = bytearray(TRUE)
        for _ in range(chosen.randrange(1, 30)):
            # mostly in the headers, where it matters
            at = chosen.randrange(64 + 13 * 56) if chosen.random() < 0.7 else chosen.randrange(len(octets))
            octets[at] = chosen.choice((0, 1, 0x7F, 0x80, 0xFF, chosen.randrange(256)))
        octets[:4] = b"\x7fELF"
        place.write("mutated", bytes(octets), mode=0o755)
        place.run("--json", "-c", "direct.json", "doctor", "./mutated").json
