"""The command behind scripts/bench: options, progress, results."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests" / "programs"))

import peers  # noqa: E402
import plot  # noqa: E402
import world  # noqa: E402
from rows import Figure, Row, Table, as_markdown, as_text  # noqa: E402
from machine import LabError  # noqa: E402
from scene import Failed, Scene  # noqa: E402
from tables import TABLES  # noqa: E402

RESULTS = TOP / "bench" / "results"
LATEST = RESULTS / "latest.json"
PLOT = RESULTS / "first-octet.svg"
BEGIN, END = "<!-- bench: scripts/bench --write -->", "<!-- end of bench -->"


def measure(options: argparse.Namespace) -> dict:
    """The tables asked for, as they are kept."""
    scene = Scene(options.build, options.peers, options.quick)
    for name in scene.peers.lacking:
        print(f"{name} is not here, and is left out")
    out, begun = {}, time.monotonic()
    for number, name in enumerate(options.tables, 1):
        module = TABLES[name]
        print(f"[{number}/{len(options.tables)}, {time.monotonic() - begun:3.0f} s] {name}: {module.TITLE}", flush=True)
        try:
            table = Table(name, module.TITLE, module.measure(scene))
        except (LabError, Failed) as error:
            print(f"    can't be measured: {error}", flush=True)
            continue
        print("\n" + as_text(table), flush=True)
        out[name] = {**asdict(table), "measured": provenance(options)}
    print(f"{time.monotonic() - begun:.0f} s")
    return out


def provenance(options: argparse.Namespace) -> dict:
    def said(*command: str) -> str:
        return subprocess.run(command, cwd=TOP, capture_output=True, text=True).stdout.strip()

    models = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": options.commit,
        "quick": options.quick,
        "kernel": platform.release(),
        "processors": f"{os.cpu_count()} × {models[0] if models else platform.machine()}",
        "compiler": said(os.environ.get("CXX", "c++"), "--version").splitlines()[0],
    }


def read(kept: dict) -> Table:
    rows = [Row(**{**row, "figures": {k: Figure(**v) for k, v in row["figures"].items()}}) for row in kept["rows"]]
    return Table(kept["name"], kept["title"], rows)


def write(new: dict) -> None:
    """Puts what was measured among what was kept before, and all of it into README."""
    RESULTS.mkdir(exist_ok=True)
    kept = json.loads(LATEST.read_text()) if LATEST.exists() else {}
    kept.update(new)
    kept = {name: kept[name] for name in TABLES if name in kept}
    LATEST.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    drawn = plot.draw(kept, PLOT)
    last = max(kept.values(), key=lambda table: table["measured"]["at"])["measured"]
    parts = [f"![Time to the first octet against round-trip time]({PLOT.relative_to(TOP)})"] if drawn else []
    parts.append("<details><summary>All figures, and where socksify is not the best</summary>")
    parts += [as_markdown(read(table)) for table in kept.values()]
    parts.append("</details>")
    parts.append(f"Measured on {last['processors']}, Linux {last['kernel']}, {last['at'][:10]}.")
    readme = TOP / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{readme}: there is no place for the tables ({BEGIN} … {END})")
    readme.write_text(before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + after)
    print(f"written: {LATEST.relative_to(TOP)}, README.md" + (f", {PLOT.relative_to(TOP)}" if drawn else ""))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures socksify beside its peers. See bench/README.md.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="of: " + ", ".join(TABLES) + "; without any, all")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: to see whether it works, not for figures")
    parser.add_argument("--write", action="store_true", help="keep the results in bench/results/, and show them in README.md")
    parser.add_argument("--build", type=Path, default=TOP / "build", help="meson build directory (default: build)")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.peers = options.build / "bench" / "peers"
    unknown = [name for name in options.tables if name not in TABLES]
    if unknown:
        parser.error(f"no table {unknown[0]}; there are: {', '.join(TABLES)}")
    options.tables = options.tables or list(TABLES)
    asked = ["git", "-c", f"safe.directory={TOP}", "-C", str(TOP), "describe", "--always", "--dirty"]
    options.commit = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return options


def measure_apart(options: argparse.Namespace, results: Path) -> int:
    """In a process of its own: who has made a private world can start neither thread nor process outside it."""
    child = os.fork()
    if child != 0:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    world.die_with_parent()
    status = 1
    try:
        status = world.run_in_private_world(lambda: results.write_text(json.dumps(measure(options))) and 0)
    except world.NotPossibleHere as reason:
        print(f"nothing measured: {reason}")
    except KeyboardInterrupt:
        status = 130
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> int:
    options = arguments()
    try:
        world.become_root(sys.orig_argv)
    except world.NotPossibleHere as reason:
        print(f"nothing measured: {reason}")
        return 1
    peers.unpack(options.peers)
    results = options.build / "bench" / "measured.json"
    status = measure_apart(options, results)
    if status == 0 and options.write:
        write(json.loads(results.read_text()))
    return status


if __name__ == "__main__":
    sys.exit(main())
