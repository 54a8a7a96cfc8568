"""Programs that die by SIGKILL, or get a Ctrl-C, at a place of the test's choosing.

A test that waits for a file and then sends a signal hangs on the clock: on a busy machine the
program may have ended before the signal comes. Here the program sends it to itself.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = """
import os, runpy, signal, sys

name, sys.argv = sys.argv[1], sys.argv[2:]
replace = os.replace

def replace_and_die(source, target, **kwargs):
    replace(source, target, **kwargs)
    if name in os.path.basename(target):
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace_and_die
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    sys.path[0] = os.path.dirname(sys.argv[0])
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_until_it_has_written(name: str, *command: str) -> None:
    """Run a program that dies by SIGKILL once it has moved a file with this name into its place.

    Args:
        name: a part of the file's name.
        command: the program's path, or "-m" and its module; and its arguments.

    Raises:
        AssertionError: it ended otherwise; the message is what it said.
    """
    whole = [sys.executable, "-c", _PROGRAM, name, *command]
    run = subprocess.run(whole, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert run.returncode == -9, run.stdout + run.stderr
