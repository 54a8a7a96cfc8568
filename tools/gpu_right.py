"""Run the tests that need CUDA, and write down what they found: FOLDER/benchmarks/gpu/right.json.

    python tools/gpu_right.py --out FOLDER [--seconds 60] [--rehearse]

The tests in test_cuda.py run in a process of their own. Each is written down as it ends, with
what it measured. A test that takes its process down is named, and the others go on in a new one.
Started again, it runs those that did not pass; what other code came to counts for nothing. With
--rehearse the same tests compare the CPU with itself. It ends with 0 if all passed; the result is
whole in any case.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import gpu_pack
import pytest
from gpu import end_with_parent
from gpu_machine import ROOT, arguments, left, machine, recorded, write_json

RESULT = Path("benchmarks/gpu/right.json")
FILES = ("tests/lstmlib/test_cuda.py",)
FINAL = ("passed", "failed", "skipped", "crashed")
TO_THE_PLUGIN = "LSTMLIB_GPU_RIGHT"
"""Environment variable: the file that the tests' own process writes its lines to."""


# In the process of the tests, which loads this file as a plugin of pytest


def _note(**line: object) -> None:
    with open(os.environ[TO_THE_PLUGIN], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down which tests there are."""
    _note(all=[item.nodeid for item in session.items])


def pytest_runtest_logstart(nodeid: str) -> None:
    """Write down that a test begins."""
    _note(test=nodeid, outcome="crashed")  # until it ends


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down how a test ended: after its call, or where it was skipped or broke before."""
    if report.when == "call" or report.outcome != "passed":
        _note(
            test=report.nodeid,
            outcome=report.outcome,
            seconds=round(report.duration, 3),
            measured=dict(report.user_properties),
            said=str(report.longrepr)[-1500:] if report.longrepr else "",
        )


# In this process


def run_tests(log: Path, chosen: list[str], seconds: float, rehearse: bool) -> bool:
    """Run tests in a process of their own, which appends to a log; say if it ended by itself."""
    environment = dict(os.environ, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTHONUNBUFFERED="1")
    environment[TO_THE_PLUGIN] = str(log)
    paths = [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    if rehearse:
        environment |= {"LSTMLIB_REHEARSE_CUDA": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "gpu_right"]
    command += [f"--rootdir={ROOT}"]
    process = subprocess.Popen(
        [*command, *chosen], cwd=ROOT, env=environment, preexec_fn=end_with_parent
    )
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        print(f"After {seconds:.0f} s there was no time left for the tests.", flush=True)
        return False
    finally:
        process.kill()  # does nothing where it has ended
        process.wait()


def read_log(log: Path) -> tuple[list[str], dict]:
    """Return the names of all tests, and name -> how it ended; a line cut in half is left out."""
    names, tests = [], {}
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "all" in entry:
            names = names or entry["all"]
        else:
            tests[entry.pop("test")] = entry
    return names, tests


def summary(names: list[str], tests: dict, given: object) -> dict:
    """Return what the result file holds."""
    outcomes = [tests.get(name, {}).get("outcome", "not run") for name in names]
    measured = {}
    for test in tests.values():
        measured |= test.get("measured", {})
    return {
        "machine": machine(given.device),
        "code": gpu_pack.code_hash(ROOT),
        "rehearsal": given.rehearse,
        "counts": {kind: outcomes.count(kind) for kind in (*FINAL, "not run")},
        "measured": dict(sorted(measured.items())),
        "tests": {name: tests.get(name, {"outcome": "not run"}) for name in names},
    }


def passed(result: dict) -> bool:
    """Say whether a result is one of tests that all passed, or were skipped with a reason."""
    counts = result.get("counts", {})
    bad = sum(counts.get(kind, 0) for kind in ("failed", "crashed", "not run"))
    return counts.get("passed", 0) > 0 and not bad


def of_this_code(given: object) -> dict:
    """Return what is recorded of this code on such a machine; {} if nothing is."""
    before = recorded(given, str(RESULT))
    here = {"machine": machine(given.device), "code": gpu_pack.code_hash(ROOT)}
    return before if before.items() >= here.items() else {}


def run(given: object) -> dict:
    """Run the tests until each has ended, or the time has; return the result, which is written."""
    log = given.out / "unfinished" / "right.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = of_this_code(given).get("tests", {})
    names, tests = list(begun), {n: t for n, t in begun.items() if t["outcome"] == "passed"}
    log.unlink(missing_ok=True)
    for _ in range(5):  # a new process for each test that takes one down, but not for ever
        todo = [name for name in names if name not in tests]
        if (names and not todo) or left(given) < 8:
            break
        whole = False
        try:
            whole = run_tests(log, todo or list(FILES), left(given) - 3, given.rehearse)
        finally:
            collected, ended = read_log(log)
            if not whole:  # the test at hand was cut off, and did not take the process down
                ended = {n: t for n, t in ended.items() if t["outcome"] != "crashed"}
            names, tests = names or collected, tests | ended
            result = summary(names, tests, given)
            if names:
                write_json(given.out / RESULT, result)
        if not names:
            sys.exit("The tests could not be collected; pytest says above why.")
    return summary(names, tests, given)


def show(result: dict) -> None:
    """Print what was measured, what did not pass, and how many did."""
    for name, value in result["measured"].items():
        print(f"{name}: {value:.3g}")
    for name, test in result["tests"].items():
        if test["outcome"] in ("failed", "crashed", "not run"):
            print(f"{test['outcome'].upper()}: {name}\n{test.get('said', '')}")
    print(", ".join(f"{count} {kind}" for kind, count in result["counts"].items()))


def main() -> None:
    """Run what has not passed yet."""
    given = arguments(__doc__.splitlines()[0], 60)
    before = of_this_code(given)
    if passed(before):
        print(f"{RESULT} is recorded already: {before['counts']['passed']} tests passed.")
        return
    begin = time.monotonic()
    result = run(given)
    print(f"{given.out / RESULT}: {time.monotonic() - begin:.0f} s")
    show(result)
    sys.exit(0 if passed(result) else 1)


if __name__ == "__main__":
    main()
