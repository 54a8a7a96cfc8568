"""Execute the chapters beside the course, and say on one page what came of them: `make report`.

    python tools/rerun_report.py [--profile ci] [--corpus FILE] [--chapters 00 03] [--out FOLDER]

papermill executes a copy of each chapter, in its own folder, and goes on where a cell fails. OUT
then holds the executed copies and report.html: time and memory of each chapter, the slowest cells,
what failed and how, bands missed, facts that did not hold, and the strict cells whose output is
not the committed one, as nbval compares. Nothing in the course is changed: notebooks write into a
folder that is removed, downloads go to the user's cache, and Python leaves no bytecode. The
default OUT is the folder `report` where notebooks may write (lstmlib.runtime.output_folder).

--corpus is a registered name or a file, in the place of the default text; default: the one that
$LSTMLIB_CORPUS names. The exit status is 1 if there is something to look at, and 130 after Ctrl-C;
the page is written in each case.
"""

import argparse
import contextlib
import copy
import datetime
import difflib
import logging
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import psutil
from jinja2 import Environment, FileSystemLoader
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from nbval import plugin as nbval
from papermill.exceptions import PapermillExecutionError
from papermill.execute import remove_error_markers

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
PAGE = "report.html"
MADE_BY = "made by tools/rerun_report.py"
LONGEST_CELL = 1800
"""Seconds after which a cell is given up, as in tools/execute_notebooks.py."""
SLOWEST = 10
"""Cells that the page names."""
SAMPLES_A_SECOND = 5
"""How often the memory is looked at."""
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib", "ipykernel", "papermill")

# Runs in each kernel before the notebook, from a profile folder of IPython's, so that the cells
# keep their numbers. TEXT takes the place of the default text, also where its name is a default.
STARTUP = """
def _rerun():
    from functools import wraps
    from lstmlib import corpora

    load, download = corpora.load_corpus, corpora._download

    @wraps(load)
    def load_corpus(name, **more):
        return load(TEXT if TEXT and name == "python-docs" else name, **more)

    @wraps(download)
    def to_the_cache(name, entry, shared):
        corpora.DATASETS, here = corpora._cache(), corpora.DATASETS
        try:
            return download(name, entry, None)
        finally:
            corpora.DATASETS = here

    corpora.load_corpus, corpora._download = load_corpus, to_the_cache

_rerun()
"""


class ReportError(Exception):
    """A report cannot be made; the message says why, and what to do."""


@dataclass
class Chapter:
    """What came of one notebook.

    Attributes:
        name: the file's name.
        seconds: from before its kernel started until after it stopped.
        megabytes: the most resident memory of the kernel and of what it started.
        cells: code cells that it has, and `ran` of them that came to an end.
        slow: (seconds, cell's number, its first line), the slowest first.
        failures, bands, facts, changed: what there is to look at, a dictionary each.
        ended: why the notebook did not come to its end, or "".
        unchecked: checks that held nothing to anything, since another text was read; None if it
            was the default text.
    """

    name: str
    seconds: float = 0.0
    megabytes: float = 0.0
    cells: int = 0
    ran: int = 0
    slow: list[tuple[float, int, str]] = field(default_factory=list)
    failures: list[dict] = field(default_factory=list)
    bands: list[dict] = field(default_factory=list)
    facts: list[dict] = field(default_factory=list)
    changed: list[dict] = field(default_factory=list)
    ended: str = ""
    unchecked: int | None = None

    @property
    def verdict(self) -> str:
        """All of it in a few words: what there is to look at, or that there is nothing."""
        counts = {
            "cell failed": len(self.failures),
            "band missed": len(self.bands),
            "fact does not hold": len(self.facts),
            "output differs": len(self.changed),
        }
        said = [f"{many} × {what}" for what, many in counts.items() if many]
        return "; ".join([self.ended] * bool(self.ended) + said) or self._fine_words()

    def _fine_words(self) -> str:
        if self.unchecked is None:
            return "as committed"
        return f"all cells ran; not checked on this text: {self.unchecked}"

    @property
    def fine(self) -> bool:
        """Say whether there is nothing to look at."""
        return self.verdict == self._fine_words()


# Executing


def execute(path: Path, copied: Path, bar: str) -> Chapter:
    """Execute a notebook in its folder, write the copy with its outputs, and say how that went.

    Args:
        path: the notebook; it stays as it is.
        copied: the file to write.
        bar: what the progress bar, or a line in a log, is called.
    """
    chapter = Chapter(path.name)
    if not sys.stderr.isatty():  # a bar would be one long line in a log
        print(bar, file=sys.stderr, flush=True)
    start = time.perf_counter()
    with PeakMemory() as memory:
        try:
            papermill.execute_notebook(
                path,
                copied,
                cwd=path.parent,
                kernel_name="python3",
                progress_bar={"desc": bar} if sys.stderr.isatty() else False,
                execution_timeout=LONGEST_CELL,
                allow_errors=True,
                store_widget_state=False,
            )
        except PapermillExecutionError:
            pass  # every error stands in the copy
        except CellTimeoutError:
            chapter.ended = f"a cell took more than {LONGEST_CELL} s"
        except DeadKernelError:
            chapter.ended = "the kernel died"
        except KeyboardInterrupt:
            chapter.ended = "interrupted"
    chapter.seconds = time.perf_counter() - start
    chapter.megabytes = memory.bytes / 1e6
    return chapter


class PeakMemory:
    """The most resident memory of the processes that this one starts, while it is entered.

    Pages that processes share count in each. A process's own high-water mark, where Linux keeps
    one, sees a peak that falls between two looks.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._before: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._before = {process.pid for process in psutil.Process().children(recursive=True)}
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(1 / SAMPLES_A_SECOND):
            together = 0
            for process in psutil.Process().children(recursive=True):
                if process.pid not in self._before:
                    with contextlib.suppress(psutil.Error, OSError):
                        together += process.memory_info().rss
                        self.bytes = max(self.bytes, together, _high_water_mark(process.pid))


def _high_water_mark(pid: int) -> int:
    """Return the most bytes that a process has had in memory; 0 where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else 0


@contextlib.contextmanager
def environment(work: Path, profile: str, text: str | None) -> Iterator[None]:
    """Give kernels the profile, the text, and folders to write into outside the course."""
    profiles = work / "ipython/profile_default"
    (profiles / "startup").mkdir(parents=True)
    startup = STARTUP.replace("TEXT", repr(text))
    (profiles / "startup/00-rerun.py").write_text(startup, encoding="utf-8")
    # Kernels warn that they talk over TCP, in the middle of the progress bar.
    quiet = 'get_config().IPKernelApp.log_level = "ERROR"\n'
    (profiles / "ipython_kernel_config.py").write_text(quiet, encoding="utf-8")
    before = dict(os.environ)
    os.environ |= {
        "LSTMLIB_PROFILE": profile,
        "LSTMLIB_OUTPUT": str(work / "output"),
        "IPYTHONDIR": str(work / "ipython"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    os.environ.pop("LSTMLIB_CORPUS", None)
    if text:
        os.environ["LSTMLIB_CORPUS"] = text
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# Reading the copies


def look_at(chapter: Chapter, committed: NotebookNode, now: NotebookNode, own_text: bool) -> None:
    """Fill in what the outputs of an executed copy say.

    Args:
        chapter: the row to fill.
        committed, now: the notebook and its executed copy.
        own_text: whether another text than the default was read. A check says then that it checks
            nothing, so its line is left out of the comparison.
    """
    before, after = ([c for c in nb.cells if c.cell_type == "code"] for nb in (committed, now))
    # papermill calls every cell completed in the end. One that was begun has its duration.
    begun = sum(cell.metadata.papermill.duration is not None for cell in after)
    chapter.cells, chapter.ran = len(before), max(begun - bool(chapter.ended), 0)
    pairs = list(zip(before, after, strict=True))[: chapter.ran]
    for number, (old, new) in enumerate(pairs, start=1):
        first = new.source.partition("\n")[0]
        chapter.slow.append((new.metadata.papermill.duration, number, first))
        if error := _error(new):
            _note_error(chapter, number, new, error)
        elif _is_strict(old) and (how := differs(old.outputs, new.outputs, own_text)):
            chapter.changed.append({"cell": number, "source": new.source, "how": how})
    chapter.slow.sort(reverse=True)
    if own_text:
        said = "\n".join(o.get("text", "") for _, new in pairs for o in new.outputs)
        chapter.unchecked = said.count(": not checked, since ")
    if chapter.ended and chapter.ran < chapter.cells:
        chapter.ended += f" in cell {chapter.ran + 1} of {chapter.cells}"


def _error(cell: NotebookNode) -> NotebookNode | None:
    """Return the error that ended a cell, if it is none that the chapter shows on purpose."""
    if "raises-exception" in cell.metadata.get("tags", []):
        return None
    return next((o for o in cell.outputs if o.output_type == "error"), None)


MISSED = re.compile(r"(?P<what>.+) is (?P<value>\S+), outside its band (?P<band>\S+ … \S+) for .*")
NOT_HERE = re.compile(r"(?P<what>.+): does not hold here( \(measured (?P<value>.*?)\))?\. .*", re.S)


def _note_error(chapter: Chapter, number: int, cell: NotebookNode, error: NotebookNode) -> None:
    """Put an error where it belongs: a band that was missed, a fact, or any other failure."""
    traceback = strip_ansi("\n".join(error.traceback))
    row = {"cell": number, "source": cell.source, "traceback": traceback}
    is_check = error.ename == "AssertionError"
    if is_check and (missed := MISSED.fullmatch(error.evalue)):
        chapter.bands.append(row | missed.groupdict())
    elif is_check and (fact := NOT_HERE.fullmatch(error.evalue)):
        chapter.facts.append(row | fact.groupdict())
    else:
        chapter.failures.append(row | {"what": f"{error.ename}: {error.evalue}"})


def _is_strict(cell: NotebookNode) -> bool:
    """Say whether nbval compares a cell's output."""
    options = dict(nbval.find_metadata_tags(cell.metadata))
    options.update(nbval.find_comment_markers(cell.source))
    return options.get("check", True) and not options.get("skip", False)


def differs(committed: list[NotebookNode], now: list[NotebookNode], own_text: bool) -> str:
    """Say how a cell's outputs differ by nbval's rules; nothing if they do not."""
    sides = (copy.deepcopy(side) for side in (now, committed))  # nbval joins streams in place
    comparison = _Comparison(own_text)
    same = comparison.compare_outputs(*(nbval.coalesce_streams(side) for side in sides))
    return "" if same else "\n".join(map(str, comparison.comparison_traceback))


class _Comparison:
    """nbval's comparison of a cell's outputs, which belongs to a class that only pytest can make.

    Its two functions are nbval's own; what they ask of that class stands here.
    """

    compare_outputs = nbval.IPyNbCell.compare_outputs
    colors = nbval.nocolors

    def __init__(self, own_text: bool) -> None:
        rules = (ROOT / "tests/nbval_sanitize.cfg").read_text(encoding="utf-8")
        patterns = dict(nbval.get_sanitize_patterns(rules))
        if own_text:
            patterns |= {r"( in its band)?: ok$|: not checked, since .*$": ": a check"}
        self._patterns = {re.compile(key, re.M): value for key, value in patterns.items()}
        # What make test hands over: no pictures, no identities of widgets.
        skipped = "metadata traceback prompt_number output_type name execution_count image/png"
        widget = "application/vnd.jupyter.widget-view+json"
        self.parent = SimpleNamespace(skip_compare=(*skipped.split(), "image/jpeg", widget))

    def sanitize(self, value: object) -> object:
        """Take out of a text what the rules in tests/nbval_sanitize.cfg name."""
        if isinstance(value, str):
            for pattern, instead in self._patterns.items():
                value = pattern.sub(instead, value)
        return value

    def format_output_compare(self, key: str, committed: str, now: str) -> None:
        """Keep the lines that differ."""
        lines = (str(side).splitlines() for side in (committed, now))
        diff = difflib.unified_diff(*lines, f"{key}, committed", f"{key}, now", lineterm="", n=1)
        self.comparison_traceback.extend(diff)


# The page


def page(chapters: Sequence[Chapter], still: Sequence[str], about: dict[str, str]) -> str:
    """Return the page: HTML that needs no network.

    Args:
        chapters: what was executed.
        still: names of what was not, or not yet.
        about: what to say of the run: "profile", "machine", …
    """
    # Only the template's own text is HTML; all that a notebook said is escaped.
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    slow = [(seconds, each, n, line) for each in chapters for seconds, n, line in each.slow]
    slowest = sorted(slow, key=lambda row: row[0], reverse=True)[:SLOWEST]
    return templates.get_template("rerun_report.html").render(
        chapters=chapters,
        still=still,
        about=about,
        slowest=slowest,
        seconds=sum(each.seconds for each in chapters),
        megabytes=max((each.megabytes for each in chapters), default=0.0),
        fine=sum(each.fine for each in chapters),
        own_text=any(each.unchecked is not None for each in chapters),
        made_by=MADE_BY,
    )


def facts_of_the_run(profile: str, text: str | None) -> dict[str, str]:
    """Return what the page says of the run: when, on what, and of which course."""
    memory = psutil.virtual_memory().total / 2**30
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "profile": profile,
        "text": text or "the default text",
        "machine": f"{_processor()}; {_cores()} CPU cores, {memory:.0f} GiB of memory",
        "system": platform.platform(),
        "versions": ", ".join([f"Python {platform.python_version()}", *_versions()]),
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", told.read_text(), re.M) if told.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    # A container may use fewer than its machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


def _commit() -> str:
    """Return the commit, and whether files were changed since; without touching git's index."""
    git = ["git", "--no-optional-locks", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return "unknown: there is no git here"
    if head.returncode:
        return "unknown: the course is no git checkout"
    return head.stdout[:12].strip() + ", with changes" * bool(status.stdout.strip())


# The command


def rerun(paths: Sequence[Path], out: Path, profile: str, text: str | None = None) -> list[Chapter]:
    """Execute notebooks; write their copies and the page into a folder. Return a row for each.

    The page is written anew after each notebook, so a run that is cut off leaves what it had.

    Args:
        paths: the notebooks.
        out: the folder, which is made if need be.
        profile: "ci", "cpu" or "gpu".
        text: a corpus in the place of the default one: a registered name, or a whole path.
    """
    from lstmlib.serialization import atomic_write  # it imports PyTorch

    about, chapters = facts_of_the_run(profile, text), []
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".rerun-") as folder:
        work = Path(folder)
        with environment(work, profile, text):
            for number, path in enumerate(paths):
                bar = f"{path.stem} ({number + 1} of {len(paths)})"
                chapter = execute(path, work / path.name, bar)
                _take_over(chapter, path, work / path.name, out, own_text=text is not None)
                chapters.append(chapter)
                still = [later.name for later in paths[number + 1 :]]
                atomic_write(out / PAGE, page(chapters, still, about).encode())
                print(f"{path.name}: {chapter.seconds:.0f} s, {chapter.verdict}", flush=True)
                if chapter.ended == "interrupted":
                    break
    return chapters


def _take_over(chapter: Chapter, path: Path, copied: Path, out: Path, own_text: bool) -> None:
    """Read an executed copy, and move it, whole, to where it is looked for."""
    if not copied.exists():
        return  # it was interrupted before it began
    committed = nbformat.read(path, as_version=4)
    now = remove_error_markers(nbformat.read(copied, as_version=4))
    look_at(chapter, committed, now, own_text)
    now.metadata.pop("papermill", None)  # paths of this machine; the times stand in the cells
    nbformat.write(now, copied)
    copied.replace(out / path.name)


def _chosen(numbers: Sequence[str]) -> list[Path]:
    """Return the notebooks that numbers name, or all.

    Raises:
        ReportError: there is no such chapter.
    """
    there = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    wanted = [number.zfill(2) for number in numbers] or list(there)
    if missing := [number for number in wanted if number not in there]:
        raise ReportError(f"There is no chapter {missing[0]}: {', '.join(there)}.")
    return [there[number] for number in dict.fromkeys(wanted)]


def _text(named: str | None) -> str | None:
    """Return the text that was asked for, by its name or its whole path; None for the default.

    Raises:
        ReportError: there is no such text.
    """
    from lstmlib.corpora import CorpusError, load_corpus, registry

    if not named or named == "python-docs":
        return None
    try:
        load_corpus(named)
    except CorpusError as error:
        raise ReportError(str(error)) from None
    return named if named in registry() else str(Path(named).expanduser().resolve())


def _folder(asked: Path | None) -> Path:
    """Return the folder to write into.

    Raises:
        ReportError: it holds other things, it is the course's own, or nothing can be written there.
    """
    from lstmlib.runtime import output_folder

    try:
        free = output_folder()
        out = (asked or free / "report").absolute()
        if out.resolve().is_relative_to(ROOT) and not out.resolve().is_relative_to(free.resolve()):
            raise ReportError(
                f"{out} lies in the course, which a report does not change. Name a folder "
                "outside it with OUT=."
            )
        before = (out / PAGE).read_text("utf-8") if (out / PAGE).exists() else ""
        if out.exists() and any(out.iterdir()) and MADE_BY not in before:
            raise ReportError(f"{out} holds other things. Name a new folder with OUT=.")
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):  # permissions do not show a full disk
            return out
    except OSError as error:
        raise ReportError(
            f"Nothing can be written to {asked or 'the default folder'}: {error.strerror or error}."
            " Name another folder with OUT=."
        ) from None


def main() -> int:
    """Make the report that the command line asks for; return the exit status."""
    sys.dont_write_bytecode = True  # before anything of the course is imported
    from lstmlib import runtime

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=runtime.PROFILES, help="default: this machine's")
    parser.add_argument("--corpus", default=os.environ.get("LSTMLIB_CORPUS"), help="name or file")
    parser.add_argument("--chapters", nargs="+", default=[], help="numbers; default: all")
    parser.add_argument("--out", type=Path, help="a folder; default: report, in notebooks/output")
    arguments = parser.parse_args()
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the page has it all
    try:
        paths, text = _chosen(arguments.chapters), _text(arguments.corpus)
        os.environ["LSTMLIB_PROFILE"] = arguments.profile or runtime.profile()
        runtime.pick_device()
        out = _folder(arguments.out)
    except (ReportError, ValueError, RuntimeError) as error:
        raise SystemExit(str(error)) from None
    chapters = rerun(paths, out, runtime.profile(), text)
    look = sum(not each.fine for each in chapters)
    print(f"{look} of {len(chapters)} chapters need a look: {out / PAGE}")
    return 130 if chapters[-1].ended.startswith("interrupted") else min(look, 1)


if __name__ == "__main__":
    sys.exit(main())
