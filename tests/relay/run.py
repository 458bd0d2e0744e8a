#!/usr/bin/python3 -B
"""The real relay over loopback, with raw octets.

    tests/relay/run.py --build DIR [WORD…]      only the cases whose names hold one of the words
    tests/relay/run.py --list                   the names

A case is a function of a module cases_*.py or hazards_*.py that returns, or raises AssertionError, or raises Skip. Each
starts what it needs and ends it, within CASE_SECONDS; the last line is the count. Ends with 1 if a case failed.
"""

import argparse
import contextlib
import importlib
import os
import pathlib
import signal
import sys
import time
import traceback

import harness
import hazards

HERE = pathlib.Path(__file__).resolve().parent
CASE_SECONDS = 40


class Interrupted(BaseException):
    """SIGINT or SIGTERM."""


def interrupt(number, _frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: now everything is being ended
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted(number)


def time_out(_number, _frame):
    raise AssertionError(f"the case has taken more than {CASE_SECONDS} s")


def all_cases():
    for path in sorted([*HERE.glob("cases_*.py"), *HERE.glob("hazards_*.py")]):
        module = importlib.import_module(path.stem)
        topic = path.stem.partition("_")[2]
        for name, case in list(vars(module).items()):
            if name.startswith("test_"):
                yield f"{topic}: {name.removeprefix('test_').replace('_', ' ')}", case
            elif getattr(case, "is_case", False):
                yield f"{topic}: {case.__doc__}", case


def run(case):
    """The outcome, and a note."""
    signal.setitimer(signal.ITIMER_REAL, CASE_SECONDS)
    try:
        case()
    except harness.Skip as skip:
        return "skipped", f": {skip}"
    except Exception:  # pylint: disable=broad-except: whatever it is, the case failed
        return "failed", "\n" + traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "passed", ""


def work(cases, results):
    """A worker process: runs these cases, and writes one octet for each outcome."""
    signal.signal(signal.SIGALRM, time_out)
    try:
        for title, case in cases:
            begun = time.monotonic()
            outcome, note = run(case)
            if outcome == "failed" and "Sanitizer" not in note and "runtime error" not in note:
                # Four run at once, and much is a matter of milliseconds. A second failure counts.
                print(f"        {title}, at the first try:{note}", flush=True)
                outcome, note = run(case)
            print(f"{outcome:8}{title} ({time.monotonic() - begun:.2f} s){note}", flush=True)
            os.write(results, outcome[:1].encode())
    except Interrupted:
        pass
    finally:
        hazards.end_orphans()
        sys.exit(0)  # not os._exit: directories of relays that never came up go now


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=HERE.parents[1] / "build", help="meson's build directory")
    parser.add_argument("--relay", help="the program itself, wherever it is")
    parser.add_argument("--list", action="store_true", help="say the cases' names, and end")
    parser.add_argument("--jobs", type=int, default=4, help="cases at the same time: they wait most of the time")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    harness.PROGRAM = pathlib.Path(options.relay or f"{options.build}/src/relay/socksify-relay").resolve()
    wanted = [one for one in all_cases() if not options.words or any(word in one[0] for word in options.words)]
    if options.list:
        print(*(title for title, _ in wanted), sep="\n")
        return 0

    count = {"passed": 0, "failed": 0, "skipped": 0}
    status = 0
    workers = []
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    results, results_in = os.pipe()
    try:
        for number in range(options.jobs):
            workers.append(os.fork())
            if workers[-1] == 0:
                work(wanted[number :: options.jobs], results_in)
        os.close(results_in)
        while octet := os.read(results, 1):
            count[{b"p": "passed", b"f": "failed", b"s": "skipped"}[octet]] += 1
    except Interrupted as why:
        print(f"interrupted by {signal.Signals(why.args[0]).name}")
        status = 128 + why.args[0]
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    for pid in workers:
        os.waitpid(pid, 0)
    if not status and sum(count.values()) != len(wanted):
        print(f"{len(wanted) - sum(count.values())} cases have not been run to their end")
        status = 1
    print(f"relay: {count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return status or (1 if count["failed"] else 0)


if __name__ == "__main__":
    sys.exit(main())
