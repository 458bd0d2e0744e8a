#!/usr/bin/python3 -B
"""socksifyctl, as people and scripts use it.

    tests/ctl/run.py --build build                everything
    tests/ctl/run.py --build build doctor fake    the cases with one of these words in their names

Servers that are not installed, and what only root can set up, are skipped. Ends with 1 if a case failed.
"""

import argparse
import sys
from pathlib import Path

import cases_check
import cases_doctor
import cases_explain
import cases_features
import cases_options
from suite import run_cases

ROOT = Path(__file__).resolve().parents[2]
MODULES = (cases_options, cases_check, cases_explain, cases_features, cases_doctor)  # each adds its cases


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="meson build directory")
    parser.add_argument("wanted", nargs="*", metavar="WORD")
    options = parser.parse_args()
    return run_cases(options.build.resolve(), options.wanted)


if __name__ == "__main__":
    sys.exit(main())
