"""Runs a command twice with no environment, by vfork and by posix_spawn. Usage: children.py COMMAND…"""

import subprocess
import sys

# What CPython 3.11 does by default, and where it need not close descriptors in the child.
for close in (True, False):
    subprocess.run(sys.argv[1:], env={}, close_fds=close, check=True)
