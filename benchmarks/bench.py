"""Run all benchmarks, one after the other, and write the page of what they found.

    make bench                                        # some of them take minutes; an hour in all
    .venv/bin/python -m benchmarks.bench novelty      # these alone
    .venv/bin/python -m benchmarks.bench --again      # what was measured today, too

Never two at once: a second call is refused. On a busy machine nothing is measured: it waits until
the load average has fallen, and gives up after some minutes; --busy measures all the same. What was
measured today is left as it is, so after a break the same command goes on. What needs Chromium is
skipped where there is none, and what a GPU measures is tools/gpu.py's. A program that fails leaves
its record as it was; the others run, and the exit status is 1.
"""

import argparse
import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks import page

ROOT = Path(__file__).resolve().parents[1]
NO_BENCHMARKS = ("bench", "page", "keras_windows_peer")
"""What stands in benchmarks/ beside the programs that measure."""
OPTIONS = {
    "compiled_step": ["--device", "cpu"],
    "generation": ["--device", "cpu"],
    "measure_speed": ["--device", "cpu"],
    "numpy_cifg": ["--minutes", "5"],
}
"""With a GPU, too, these records are the CPU's; and this one has what five minutes teach."""
QUIET, PATIENCE, EVERY = 0.25, 300, 5
"""Load for each core that is no work of others, and seconds that one waits for it."""
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


class BenchError(Exception):
    """What keeps all benchmarks from running, in one sentence."""


def programs(root: Path) -> list[str]:
    """Return the names of the programs, in order."""
    names = sorted(path.stem for path in (root / page.FOLDER).glob("*.py"))
    return [name for name in names if name not in NO_BENCHMARKS]


def record_of(name: str) -> str:
    """Return the path of a program's record in the course."""
    if name == "measure_speed":
        return page.SPEED.format("cpu")
    return f"{page.FOLDER}/{name}.json"


def reason_to_skip(root: Path, name: str, again: bool) -> str:
    """Say why a program is not run, or nothing."""
    source = (root / page.FOLDER / f"{name}.py").read_text(encoding="utf-8")
    if "from chromium import" in source and not CHROMIUM.exists():
        return f"it needs Chromium, and there is no {CHROMIUM}"
    record = record_of(name)
    noted = page.read_dates(root).get(record, {})
    today = noted.get("date") == _today() and noted["by"] == "bench"
    if not again and today and page.is_noted(root, record):
        return "measured today"
    return ""


def _today():
    return datetime.date.today().isoformat()


def wait_until_quiet() -> None:
    """Wait for the load average of the last minute to fall.

    Raises:
        BenchError: it did not.
    """
    limit, end = QUIET * (os.cpu_count() or 1), time.monotonic() + PATIENCE
    while (load := os.getloadavg()[0]) > limit:
        if time.monotonic() > end:
            raise BenchError(
                f"The machine is busy: its load is {load:.1f}, and {limit:.1f} would be quiet. "
                "End what else runs and call again, which goes on from here; or add --busy."
            )
        time.sleep(EVERY)


def run(root: Path, name: str) -> bool:
    """Run a program; note the date of its record. Return whether it did its work."""
    command = [sys.executable, str(root / page.FOLDER / f"{name}.py"), *OPTIONS.get(name, [])]
    paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": paths})
    if done.returncode == 0:
        page.note(root, record_of(name), _today(), "bench")
    return done.returncode == 0


def run_all(root: Path, names: list[str], *, again: bool = False, busy: bool = False) -> list[str]:
    """Run programs; return those that failed. The page is written whatever happens.

    Raises:
        BenchError: the machine is busy.
    """
    failed = []
    try:
        for name in names:
            reason = reason_to_skip(root, name, again)
            if reason:
                print(f"{name}: skipped: {reason}.", flush=True)
                continue
            if not busy:
                wait_until_quiet()
            print(f"{name}: runs.", flush=True)
            if not run(root, name):
                print(f"{name}: failed, as it says above; its record stays as it was.", flush=True)
                failed.append(name)
    finally:
        page.write(root)
    return failed


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="programs, by name; else all")
    parser.add_argument("--again", action="store_true", help="also what was measured today")
    parser.add_argument("--busy", action="store_true", help="also on a busy machine")
    asked = parser.parse_args(arguments)
    there = programs(root)
    unknown = [name for name in asked.names if name not in there]
    if unknown:
        print(f"There is no benchmark {unknown[0]}: {', '.join(there)}.", file=sys.stderr)
        return 1
    try:
        with FileLock(root / page.FOLDER / ".bench.lock", timeout=0):
            failed = run_all(root, asked.names or there, again=asked.again, busy=asked.busy)
    except Timeout:
        print("Benchmarks are running already, and two at once measure nothing.", file=sys.stderr)
        return 1
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nBroken off. The same command goes on from here.", file=sys.stderr)
        return 130
    print("gpu: skipped: it needs a GPU, and tools/gpu.py measures it (CONTRIBUTING.md).")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
