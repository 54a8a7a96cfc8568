"""The mutation run: known bugs, one after the other in a copy of the project; what catches each?

    python tools/mutate.py [--check] [--chapters] [--record] [NAME …]

tests/mutations.toml lists the bugs. For each the tracked files are copied, the bug is put in, and
tests run until one fails: first those that the list names, then all others but the browser's, then
the notebooks. A test counts only if it passes without the bug. The exit status is 1 if a bug
is caught by nothing, and 2 if the run cannot be made, so that nothing is known.

--check only looks whether every text of the list is still where it should be. --chapters also runs
the chapters that the list says catch a bug, and they have to. --record does so, too, and writes
each result into the table in tests/README.md. The whole list takes more than half an hour; it is
not part of `make test`.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
LIST = "tests/mutations.toml"
README = "tests/README.md"
# The browser's tests are slow and see no more of the library than the others. The list's own test
# would fail for each mutation, since it looks for the very text that is replaced.
LEFT_OUT = ("tests/browser/test_browser.py", "tests/tools/test_mutate.py")
LIMIT = 1200
"""Seconds after which a run of tests counts as one that never ends."""


class MutationError(Exception):
    """The run cannot be made; the message says why."""


@dataclass(frozen=True)
class Mutation:
    """One known bug; tests/mutations.toml says what each field is."""

    name: str
    bug: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    chapters: tuple[str, ...] = ()
    reported: str = ""

    def apply(self, root: Path) -> None:
        """Put the bug into a copy of the project.

        Raises:
            MutationError: the text is not there exactly once.
        """
        (root / self.file).write_text(self.changed(root), encoding="utf-8")

    def changed(self, root: Path) -> str:
        """Return the file's text with the bug; raises as `apply`."""
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if text.count(self.find) != 1:
            raise MutationError(
                f"{self.name}: {self.file} has its text {text.count(self.find)} times, not once. "
                f"The code has moved or changed: change `file` and `find` in {LIST} along with it."
            )
        return text.replace(self.find, self.replace)


@dataclass(frozen=True)
class Catch:
    """What failed first, a test or a cell of a notebook, and after how many seconds."""

    what: str
    seconds: float


def load(root: Path = ROOT) -> list[Mutation]:
    """Read the list.

    Raises:
        MutationError: the file is no list of mutations.
    """
    try:
        entries = tomllib.loads((root / LIST).read_text(encoding="utf-8"))["mutation"]
        return [
            Mutation(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
            for entry in entries
        ]
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise MutationError(f"{LIST} is no list of mutations: {error}.") from error


def chosen(mutations: Sequence[Mutation], names: Sequence[str]) -> list[Mutation]:
    """Return the mutations of some names, all if there is none.

    Raises:
        MutationError: a name is not in the list.
    """
    unknown = sorted(set(names) - {mutation.name for mutation in mutations})
    if unknown:
        raise MutationError(f"Not in {LIST}: {', '.join(unknown)}.")
    return [mutation for mutation in mutations if not names or mutation.name in names]


def check(mutations: Iterable[Mutation], root: Path = ROOT) -> None:
    """Raise MutationError, with a line for each mutation that does not fit the code any more."""
    wrong = []
    for mutation in mutations:
        try:
            mutation.changed(root)
        except MutationError as error:
            wrong.append(str(error))
    if wrong:
        raise MutationError("\n".join(wrong))


def copy(root: Path, folder: Path) -> Path:
    """Copy the tracked files, as they are in the working tree, into a new folder."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (root / name).is_file():  # else it is deleted, and that not yet committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    return folder


def first_failure(project: Path, paths: Sequence[str]) -> Catch | None:
    """Run tests and notebooks of a copy until one fails, and return that one.

    Raises:
        MutationError: pytest could not run them.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider"]
    command += [f"--ignore={name}" for name in LEFT_OUT]
    if any(path.endswith(".ipynb") for path in paths):
        command += ["--nbval", "--nbval-current-env"]
        command += ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
    else:
        command += ["-p", "no:nbval"]  # which takes longer to load than many a test to fail
    here = os.pathsep.join([str(project), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {"PYTHONPATH": here, "LSTMLIB_PROFILE": "ci", "JUPYTER_PREFER_ENV_PATH": "1"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, *paths],
        cwd=project,
        env=os.environ | settings | {"COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return Catch(f"no end after {LIMIT} s: {' '.join(paths)}", LIMIT)
    finally:
        _end(process)
    seconds = time.perf_counter() - start
    if process.returncode == 0:
        return None
    # "FAILED tests/test_x.py::test_y - AssertionError", or "ERROR tests/test_x.py" when collecting.
    match = re.search(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", output, re.M)
    if match is None:
        raise MutationError(f"pytest could not run {' '.join(paths)}:\n{output[-2000:]}")
    return Catch(match[1], seconds)


def _end(process: subprocess.Popen) -> None:
    """End a process and those it started, such as the kernels of notebooks."""
    with suppress(ProcessLookupError):  # all are gone
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Run:
    """A mutation run on a project: copies of it, and what was found about the one without a bug."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._passes_without = cache(self._passes)

    def catch(self, mutation: Mutation) -> Catch | None:
        """Return what catches a mutation first, or None if nothing does."""
        return self._search(mutation, self._stages(mutation))

    def chapters(self, mutation: Mutation) -> dict[str, Catch | None]:
        """Return the first cell that fails in each chapter that should catch a mutation."""
        return {chapter: self._search(mutation, [[chapter]]) for chapter in mutation.chapters}

    def _stages(self, mutation: Mutation) -> Iterable[list[str]]:
        """Yield what is run one after the other, until something fails."""
        tests = (self.root / "tests").rglob("test_*.py")
        others = {path.relative_to(self.root).as_posix() for path in tests}
        notebooks = {f"notebooks/{path.name}" for path in (self.root / "notebooks").glob("*.ipynb")}
        yield list(mutation.tests)
        yield sorted(others - {*mutation.tests, *LEFT_OUT})  # again, where a single test was named
        yield [*mutation.chapters, *sorted(notebooks - set(mutation.chapters))]

    def _search(self, mutation: Mutation, stages: Iterable[list[str]]) -> Catch | None:
        seconds = 0.0
        with tempfile.TemporaryDirectory() as folder:
            project = copy(self.root, Path(folder))
            mutation.apply(project)
            for paths in filter(None, stages):
                start = time.perf_counter()
                catch = first_failure(project, paths)
                seconds += time.perf_counter() - start
                if catch is None:
                    continue
                # A cell needs those before it, so of a notebook all is run.
                same = catch.what.split("::")[0] if ".ipynb" in catch.what else catch.what
                if catch.seconds < LIMIT and not self._passes_without(same):
                    raise MutationError(
                        f"{same} fails without any mutation, too. Mend that first; nothing is "
                        "known of a bug that it catches."
                    )
                return Catch(catch.what, seconds)
        return None

    def _passes(self, test: str) -> bool:
        """Say whether a test, a file of them, or a notebook passes in a copy without a bug."""
        with tempfile.TemporaryDirectory() as folder:
            return first_failure(copy(self.root, Path(folder)), [test]) is None


def row(mutation: Mutation, catch: Catch | None, chapters: dict[str, Catch | None]) -> str:
    """Return a mutation's line of the table in tests/README.md."""
    bug = mutation.bug + (f" ({mutation.reported})" if mutation.reported else "")
    what = f"`{catch.what}`, {catch.seconds:.0f} s" if catch else "**nothing**"
    cells = "; ".join(_cell(chapter, caught) for chapter, caught in chapters.items())
    columns = (f"`{mutation.name}`", bug, Path(mutation.file).name, what, cells, str(date.today()))
    return f"| {' | '.join(column.replace('|', '&#124;') for column in columns)} |"


def _cell(chapter: str, caught: Catch | None) -> str:
    """Return "02, cell 7" for notebooks/02_rnn_from_scratch.ipynb::Cell 7."""
    cell = caught.what.rpartition("::")[2].lower() if caught else "**nothing**"
    return f"{Path(chapter).name[:2]}, {cell}"


def record(row: str, mutations: Sequence[Mutation], root: Path = ROOT) -> None:
    """Put a line into the table of tests/README.md, for the one of that name or as a new one.

    Lines of what is not in the list any more go, and the others are in its order.

    Raises:
        MutationError: the file lacks the comments that the table stands between.
    """
    before, mark, rest = (root / README).read_text(encoding="utf-8").partition("<!-- table -->\n")
    old, end, after = rest.partition("<!-- end of table -->\n")
    if not (mark and end):
        raise MutationError(f"{README} lacks the comments that the table stands between.")
    lines = {line.split("`")[1]: line for line in [*old.splitlines(), row] if line[:3] == "| `"}
    table = [lines[each.name] for each in mutations if each.name in lines]
    head = (
        f"Recorded last on {date.today()}, on {_processor()}, Python {platform.python_version()}.",
        "",
        "| name | bug | in | caught first by | and in chapter | recorded |",
        "|---|---|---|---|---|---|",
    )
    whole = "".join(line + "\n" for line in (*head, *table))
    (root / README).write_text(before + mark + whole + end + after, encoding="utf-8")


def _processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    told = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", told.read_text(), re.M) if told.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def main(
    arguments: Sequence[str] | None = None, root: Path = ROOT, say: Callable[[str], None] = print
) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutations")
    parser.add_argument("--check", action="store_true", help="only hold the list against the code")
    parser.add_argument("--chapters", action="store_true", help="run the named chapters, too")
    parser.add_argument("--record", action="store_true", help=f"write the table in {README}")
    options = parser.parse_args(arguments)
    try:
        listed = load(root)
        mutations = chosen(listed, options.names)
        check(mutations, root)
        if options.check:
            say(f"All {len(mutations)} texts are where they should be.")
            return 0
        run, survivors = Run(root), []
        for mutation in mutations:
            catch = run.catch(mutation)
            chapters = run.chapters(mutation) if options.chapters or options.record else {}
            line = row(mutation, catch, chapters)
            say(line)
            if options.record:
                record(line, listed, root)
            if None in (catch, *chapters.values()):
                survivors.append(mutation.name)
    except MutationError as error:
        say(str(error))
        return 2
    if survivors:
        say(f"Not caught, or not by a chapter that should: {', '.join(survivors)}.")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(say=lambda text: print(text, flush=True)))
