"""Whatever an answer does ends with its own process, within its limits."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {"seconds": 2, "megabytes": 300, "characters": 1000}

ENDLESS = "computed for more than 2 seconds|did not end in 12 seconds"
"""The second on a machine that is so busy that two seconds of the processor take so long."""


@pytest.fixture(scope="module")
def ask():
    """Return a function that has cells run by one worker."""
    program = [sys.executable, str(ROOT / "tools/grading_worker.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(program, text=True, **pipes) as worker:

        def answered(job):
            print(json.dumps(job), file=worker.stdin, flush=True)
            return json.loads(worker.stdout.readline())

        assert answered({"setup": ["import math", "given = 1\nprint(given)"]}) is None
        yield lambda *cells: answered({"cells": cells, **LIMITS})
        worker.stdin.close()


def test_cells_run_as_in_a_kernel_and_leave_nothing_behind(ask):
    ran = ask("given += math.floor(1.5)\nprint(given)", "%timeit -n1 -r1 given", "given / 0")
    assert ran["ended"] is None
    first, second, third = ran["cells"]
    assert first == {"text": "2\n", "error": None}
    assert "per loop" in second["text"] and second["error"] is None
    assert third["error"][:2] == ["ZeroDivisionError", "division by zero"]
    assert any("given / 0" in line for line in third["error"][2])
    assert ask("print(given)")["cells"][0]["text"] == "1\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("while True:\n    pass", ENDLESS),
        (
            "try:\n    while True: pass\nexcept BaseException:\n    while True: pass",
            ENDLESS,
        ),
        ("import time\ntime.sleep(100)", "did not end in 12 seconds"),
        ("import os\nos._exit(1)", "ended Python itself"),
        ("import os\nos.kill(os.getpid(), 9)", "signal 9"),
        ("import ctypes\nctypes.string_at(0)", "signal 11"),
    ],
)
def test_what_ends_python_or_never_ends_is_said_in_words(ask, source, said):
    ran = ask(source, "1")
    assert ran["cells"] == [] and re.search(said, ran["ended"])
    assert ask("print(1)")["cells"][0]["text"] == "1\n"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("much = [0] * 10**9", "MemoryError"),
        ("print('é' * 10**6)", "TooMuchOutput"),
        ("while True:\n    print('x')", "TooMuchOutput"),
        ("open('big', 'w').write('x' * 10**8)", "OSError"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("def f(:\n    pass", "SyntaxError"),
        ("input()", "EOFError"),
        ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E", "E"),
    ],
)
def test_what_stops_a_cell_leaves_the_next_one(ask, source, error):
    ran = ask(source, "print('goes on')")
    assert ran["cells"][0]["error"][0] == error
    assert ran["cells"][1]["text"] == "goes on\n"
    assert len(json.dumps(ran)) < 20_000


def test_a_long_output_is_cut_and_its_length_said(ask):
    (cell,) = ask("import sys\nprint('a' * 4000)\nprint('b', file=sys.stderr)")["cells"]
    assert cell["text"].startswith("aaa") and cell["text"].endswith("… and 3003 characters more")
    assert cell["error"] is None


def test_what_an_answer_has_started_ends_with_it(ask):
    (cell,) = ask(
        "import subprocess\nstarted = subprocess.Popen(['sleep', '60'])\nprint(started.pid)"
    )["cells"]
    for _ in range(100):
        try:
            os.kill(int(cell["text"]), 0)
        except ProcessLookupError:
            return
        if f"{Path('/proc', cell['text'].strip(), 'stat').read_text().split(') ')[1][0]}" == "Z":
            return  # ended, and only not yet waited for
        time.sleep(0.1)
    pytest.fail("it runs on")


def test_cells_that_stop_before_any_answer_are_told():
    job = json.dumps({"setup": ["x = 1", "import nothing_of_this_name"]})
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools/grading_worker.py")],
        input=f"{job}\n",
        capture_output=True,
        text=True,
    )
    assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in json.loads(run.stdout)
