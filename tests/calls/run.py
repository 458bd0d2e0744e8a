#!/usr/bin/python3 -B
"""Every interposed call, bare and shimmed: results and errno must agree.

    tests/calls/run.py --build build               the whole suite (as root, or with password-less sudo)
    tests/calls/run.py --build build connect fork  the cases whose names contain one of these words
    tests/calls/run.py --list                      what there is
    tests/calls/run.py --show 'again /'            what each victim prints, and what the proxies saw
    tests/calls/run.py --library OTHER.so          somebody else's library, to see the cases fail

A victim (*.cpp) prints what its calls gave. It is run on a machine of its own (scene.py): bare, straight to the
destination, and shimmed, through a SOCKS proxy to the same. The outputs must be equal, except for what a case names
as a difference, with the reason. What the kernel can't show (a proxy that misbehaves, the feature list) is compared
with what the case says. In both, nothing may leave beside the proxy, and nothing may stand on stderr.

A case that is marked as pending counts as skipped as long as it fails, and as failed once it passes.
Exit status 1 if a case failed.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/programs"))  # the private world

import cases_connect
import cases_dns
import cases_faults
import cases_features
import cases_held
import cases_life
import cases_listening
import cases_names
import cases_optimistic
import cases_refused
import cases_sessions
import cases_udp
import cases_wrong
import library
import scene
import world
from far import Far
from real_proxy import SERVERS, RealProxy
from suite import Case, Check, Suite, Tally

CASES = [
    *library.CHECKS,
    *cases_connect.CASES,
    *cases_dns.CASES,
    *cases_features.CASES,
    *cases_held.CASES,
    *cases_names.CASES,
    *cases_optimistic.CASES,
    *cases_refused.CASES,
    *cases_sessions.CASES,
    *cases_life.CASES,
    *cases_listening.CASES,
    *cases_udp.CASES,
    *cases_wrong.CASES,
    *cases_held.IDLE,
    *cases_faults.CASES,
]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("words", nargs="*", metavar="WORD", help="only cases whose names contain one of these")
    add("--build", type=Path, default=ROOT / "build", help="meson build directory (default: %(default)s)")
    add("--library", type=Path, help="what is preloaded (default: the build's libsocksify.so)")
    add("--proxy", choices=SERVERS, action="append", help="the real SOCKS server (default: the first that is there)")
    add("--list", action="store_true", help="say what would be run")
    add("--show", action="store_true", help="show what each victim prints")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.library = (options.library or options.build / "src/shim/libsocksify.so").resolve()
    return options


def run(options: argparse.Namespace, cases: list[Case | Check]) -> int:
    try:
        scene.build()
        far = Far()
        real = RealProxy(far, options.build, options.proxy or list(SERVERS))
    except world.NotPossibleHere as reason:
        return skip_all(cases, str(reason))
    scene.enter_prog()
    suite = Suite(options.build, options.library, real, far, options.show)
    print(f"the real SOCKS server is {real.name}")
    try:
        suite.run(cases)
    finally:
        real.stop()
    return suite.tally.summary()


def skip_all(cases: list[Case | Check], why: str) -> int:
    tally = Tally()
    for case in cases:
        tally.skipped(case.name, why)
    return tally.summary()


def main() -> int:
    options = arguments()
    cases = [case for case in CASES if not options.words or any(word in case.name for word in options.words)]
    if options.list:
        print(*(case.name for case in cases), sep="\n")
        return 0
    try:
        world.become_root(sys.orig_argv)
        return world.run_in_private_world(lambda: run(options, cases))
    except world.NotPossibleHere as reason:
        return skip_all(cases, str(reason))


if __name__ == "__main__":
    sys.exit(main())
