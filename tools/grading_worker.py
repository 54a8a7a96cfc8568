"""Run the answers of a class, each in a process of its own; started by grading_nbgrader.py.

    python tools/grading_worker.py < JOBS > RESULTS

The first line of JOBS is {"setup": [source, …]}: the cells that a chapter's exercises need, run
once. Its result is null, or what stopped them. Each further line is a job:

    {"cells": [source, …], "seconds": 10, "megabytes": 1024, "characters": 20000}

Its cells run in a copy of this process, made by fork: imports cost nothing, and whatever a cell
does, such as os._exit, a loop without an end or a name bound anew, ends with it. The result is
{"cells": [{"text": printed, "error": [name, message, [line, …]] or null}, …], "ended": null}, or
"ended" says in words why there are no cells. `seconds` are of the processor, not of the clock, so
a busy machine takes no point from anyone, unless it is WAITING times as slow.
"""

import io
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Sequence

from IPython.core.interactiveshell import InteractiveShell

WAITING = 6
"""An answer may sleep, or wait for others that compute, for so many times its seconds."""
TOO_MUCH = 50
"""An answer that prints so many times what is shown of it is ended."""
FILE_BYTES = 50_000_000


class TooMuchOutput(BaseException):
    """An answer prints and prints. It is no Exception: `except Exception` must not go on."""


class Printed(io.TextIOBase):
    """What a cell prints: the beginning is kept."""

    def __init__(self, characters: int):
        self.left, self.parts, self.total, self.most = characters, [], 0, TOO_MUCH * characters

    def write(self, text: str) -> int:
        """Keep a text as far as there is room.

        Raises:
            TooMuchOutput: it was far more than there is room for.
        """
        kept, self.total = text[: self.left], self.total + len(text)
        self.left -= len(kept)
        self.parts.append(kept)
        if self.total > self.most:
            self.most = sys.maxsize  # the error itself may be printed
            raise TooMuchOutput(f"more than {TOO_MUCH} times the output that is shown")
        return len(text)

    def text(self) -> str:
        """Return what is kept, and how much more there was."""
        more = self.total - sum(map(len, self.parts))
        return "".join(self.parts) + (f"\n… and {more} characters more" if more else "")


def shell() -> InteractiveShell:
    """Return the shell that runs cells as a kernel does, magics included."""
    made = InteractiveShell.instance()
    made.history_manager.enabled = False
    made.colors = "NoColor"
    return made


def run_cell(running: InteractiveShell, source: str, characters: int) -> dict:
    """Run a cell; return what it printed, and the error that ended it."""
    out, streams, lines = Printed(characters), (sys.stdout, sys.stderr), []
    running._showtraceback = lambda kind, error, traceback: lines.extend(traceback)
    sys.stdout = sys.stderr = out  # nbgrader takes a warning on stderr for a failure
    try:
        result = running.run_cell(source, store_history=False)
    finally:
        sys.stdout, sys.stderr = streams
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        message = _message(error)[:2000]
        error = [type(error).__name__, message, [line[:2000] for line in lines[-40:]]]
    return {"text": out.text(), "error": error}


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:  # a class of the student's, and its __str__ stops
        return f"(its text stops with {type(another).__name__})"


def run_apart(running: InteractiveShell, job: dict) -> dict:
    """Run the cells of a job in a copy of this process; return its result."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_copy(running, job, writing)
    os.close(writing)
    until = time.monotonic() + WAITING * job["seconds"]
    told = _read(reading, until)
    late = time.monotonic() >= until
    os.close(reading)
    for kill in (os.killpg, os.kill):  # what it has started, too
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    _, status = os.waitpid(child, 0)
    if told.endswith(b"\n"):
        return {"cells": json.loads(told), "ended": None}
    return {"cells": [], "ended": _why(status, late, job)}


def _be_the_copy(running: InteractiveShell, job: dict, writing: int) -> None:
    """Run the cells within limits, write the result, and end."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        _limit(job)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            told = [run_cell(running, source, job["characters"]) for source in job["cells"]]
        os.write(writing, json.dumps(told).encode() + b"\n")
    finally:
        os._exit(0)


def _limit(job: dict) -> None:
    """Limit the processor's time, the memory and the files of this process."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    memory = pages * resource.getpagesize() + job["megabytes"] * 2**20
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    # At the first limit comes SIGXCPU, which says why; at the second SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (job["seconds"], job["seconds"] + 1))


def _read(reading: int, until: float) -> bytes:
    """Read a line from a pipe; less, if the writer ends or the time is over."""
    told = b""
    while not told.endswith(b"\n") and (left := until - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            part = os.read(reading, 1 << 20)
            if not part:
                break
            told += part
    return told


def _why(status: int, late: bool, job: dict) -> str:
    """Say why a copy has ended without a result."""
    if late:
        return f"your code did not end in {WAITING * job['seconds']} seconds."
    if os.WIFEXITED(status):
        return "your code ended Python itself, as os._exit does."
    if os.WTERMSIG(status) == signal.SIGXCPU:
        return f"your code computed for more than {job['seconds']} seconds; does a loop never end?"
    return f"your code brought Python down (signal {os.WTERMSIG(status)})."


def main(lines: Sequence[str] | io.TextIOBase = sys.stdin) -> None:
    """Answer each line of the standard input with one line."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the setup prints is no result
    running = shell()
    for line in lines:
        job = json.loads(line)
        if "setup" in job:
            ran = [run_cell(running, source, 10_000) for source in job["setup"]]
            stopped = [cell["error"] for cell in ran if cell["error"]]
            result = "; ".join(f"{kind}: {said}" for kind, said, _ in stopped) or None
        else:
            result = run_apart(running, job)
        print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    main()
