"""What is looked at from outside: what the library does in a program that needs nothing of it, and whether every call
that it takes over has a victim."""

import re
import shutil
import subprocess
from pathlib import Path

from suite import Check, Suite

# Exported calls that no victim can import, with the reason.
NOT_IMPORTED = {
    name: "what it is called in programs that were linked before glibc 2.34"
    for name in (
        "__res_nquery",
        "__res_nquerydomain",
        "__res_nsearch",
        "__res_nsend",
        "__res_query",
        "__res_querydomain",
        "__res_search",
        "__res_send",
    )
}


def every_call_has_a_victim(suite: Suite) -> list[str]:
    exported = _symbols(suite.library, "--defined-only")
    imported: set[str] = set()
    for victim in suite.victims.iterdir():
        if victim.is_file() and victim.stat().st_mode & 0o100:
            imported |= _symbols(victim, "--undefined-only")
    return [f"{name} is imported by no victim" for name in sorted(exported - imported - NOT_IMPORTED.keys())]


def _symbols(file: Path, kind: str) -> set[str]:
    done = subprocess.run(["nm", "-D", kind, str(file)], capture_output=True, text=True, check=True)
    return {line.split()[-1].split("@")[0] for line in done.stdout.splitlines()}


def nothing_happens_without_a_call(suite: Suite) -> list[str]:
    """In `true`, the library is mapped, and that is all."""
    true = [shutil.which("true") or "/bin/true"]
    bare, shimmed = _trace(true, {}), _trace(true, {"LD_PRELOAD": str(suite.library)})
    library = str(suite.library)
    complaints = [f"opened {path}" for path in sorted(_opened(shimmed) - _opened(bare) - {library})]
    if library not in _opened(shimmed):
        complaints.append("the library was not even loaded")
    if _after_loading(shimmed) != _after_loading(bare):
        complaints.append(f"system calls after loading: {_after_loading(shimmed)} instead of {_after_loading(bare)}")
    return complaints


def _trace(argv: list[str], environment: dict) -> str:
    settings = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    return subprocess.run(["strace", "-f", *settings, *argv], capture_output=True, text=True, check=True).stderr


def _opened(trace: str) -> set[str]:
    return set(re.findall(r'^open(?:at)?\((?:AT_FDCWD, )?"([^"]+)".* = \d+$', trace, re.M))


def _after_loading(trace: str) -> list[str]:
    """From constructors on: the loader's last act is to unmap its cache."""
    calls = re.findall(r"^(\w+)\(", trace, re.M)
    return calls[calls.index("munmap") + 1 :]


CHECKS = [
    Check("library / every call that it takes over has a victim", "nm", every_call_has_a_victim),
    Check("library / nothing happens in a program that makes no call", "strace", nothing_happens_without_a_call),
]
