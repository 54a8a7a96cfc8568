"""Say how a class did: which exercises, which misconceptions, and which submissions need a look.

    python tools/class_report.py FOLDER      report.html, report.csv, points.csv of a graded folder
    python tools/class_report.py --trial 300 [--chapter 02]

FOLDER was graded by tools/grading_run.py. report.csv has a line for each student and exercise,
points.csv one for each student, and report.html is one page that needs no network. The trial grades
a class that is made up: right and wrong answers of tests/support/answers, mangled as students
mangle notebooks (tests/support/submissions.py). It says whether any grade is other than it should
be, how long it took, and how much memory. It ends with status 1 if a grade is wrong.
"""

import argparse
import csv
import html
import io
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat
from assignment import POINTS, numbers_of
from nbformat import NotebookNode
from student_notebook import EditionError

from lstmlib.serialization import atomic_write

ROOT = Path(__file__).resolve().parents[1]
OUTCOMES = ("right", "wrong", "not attempted", "failed to run")
UNREADABLE = "not readable"
"""The outcome of each exercise of a submission that holds no notebook; no share counts it."""
SHOWN = 4
"""So many misconceptions are listed for an exercise."""
STOPPED = "your code stopped with "


class Row(NamedTuple):
    """What came of a student's answer to an exercise."""

    student: str
    chapter: str
    number: str
    exercise: str
    points: int
    outcome: str
    words: str
    note: str


def rows_of(course: Path) -> list[Row]:
    """Return a row for each student and exercise of a graded course folder.

    Raises:
        EditionError: nothing in it was graded.
    """
    folders = sorted(p for p in course.glob("submitted/*/ch[0-9][0-9]") if p.is_dir())
    rows = [row for folder in folders for row in _rows_of_one(course, folder)]
    if not rows:
        raise EditionError(f"Nothing is graded in {course}: make grade COURSE={course}")
    return rows


def _rows_of_one(course: Path, folder: Path) -> Iterator[Row]:
    student, chapter = folder.parent.name, folder.name
    for release in sorted(course.glob(f"release/{chapter}/*.ipynb")):
        graded = course / "autograded" / student / chapter / release.name
        found = nbformat.read(graded if graded.is_file() else release, as_version=4)
        note = " ".join(found.metadata.get("mended", []))
        if not graded.is_file():
            note = "nbgrader could not grade it; grading.log says why."
        unreadable = found.metadata.get("unreadable", "" if graded.is_file() else note)
        cells = {cell.id: cell for cell in found.cells}
        numbers = numbers_of(nbformat.read(release, as_version=4).cells)
        for name in (i.removeprefix("check-") for i in cells if i.startswith("check-")):
            came, words = UNREADABLE, ""
            if not unreadable:
                came, words = outcome(cells[f"answer-{name}"], cells[f"check-{name}"])
            points = POINTS * (came == "right")
            row = (student, chapter, numbers.get(name, ""), name, points, came, words)
            yield Row(*row, unreadable or note)


def outcome(answer: NotebookNode, test: NotebookNode) -> tuple[str, str]:
    """Return what came of an answer, and the words of the check or of the error."""
    error = _error(test)
    if error is None:
        return "right", ""
    kind, words = error
    if kind == "NotAttempted":
        return "not attempted", ""
    if kind == "NotYet":
        words = words.removeprefix("not yet: ")
        return ("failed to run" if STOPPED in words else "wrong"), words
    first = _error(answer)  # an answer that stopped made no name to check
    kind, words = first or error
    return "failed to run", words if kind == "Ended" else f"{kind}: {words}"


def _error(cell: NotebookNode) -> tuple[str, str] | None:
    errors = [output for output in cell.outputs if output.output_type == "error"]
    return (errors[0].ename, errors[0].evalue) if errors else None


def kinds_of_words(rows: Iterable[Row]) -> list[tuple[int, str]]:
    """Return what was said how often, the most frequent first; numbers in it do not count."""
    first, counts = {}, Counter()
    for row in rows:
        if row.words:
            kind = re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", row.words)[:200]
            first.setdefault(kind, row.words)
            counts[kind] += 1
    return [(count, first[kind]) for kind, count in counts.most_common()]


# Writing


def write_report(course: Path) -> None:
    """Write report.html, report.csv and points.csv into a graded course folder.

    Raises:
        EditionError: nothing in it was graded.
    """
    rows = rows_of(course)
    texts = {
        "report.csv": as_csv([Row._fields, *rows]),
        "points.csv": as_csv(points_of(rows)),
        "report.html": as_html(rows),
    }
    for name, text in texts.items():
        atomic_write(course / name, text.encode())


def points_of(rows: list[Row]) -> list[list]:
    """Return a table of points: a head, then a line for each student, by chapters and together."""
    chapters = sorted({row.chapter for row in rows})
    points = Counter()
    for row in rows:
        points[row.student, row.chapter] += row.points
    handed_in = {(row.student, row.chapter) for row in rows}
    lines = []
    for student in sorted({row.student for row in rows}):
        each = [points[student, c] if (student, c) in handed_in else "" for c in chapters]
        lines.append([student, *each, sum(filter(None, each))])
    return [["student", *chapters, "points"], *lines]


def as_csv(rows: Iterable[Sequence]) -> str:
    """Return a line for each row; a text that a spreadsheet would compute is marked as text."""
    file = io.StringIO()
    csv.writer(file).writerows(
        [f"'{x}" if str(x).startswith(("=", "+", "-", "@")) else x for x in row] for row in rows
    )
    return file.getvalue()


STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% } caption { text-align: left; color: #555 }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd;
  vertical-align: top }
td.n { text-align: right; white-space: nowrap } li { margin: .2rem 0; overflow-wrap: anywhere }
.bar { display: flex; height: .8rem; width: 12rem; background: #eee }
.o0 { background: #2a7f62 } .o1 { background: #d1495b } .o2 { background: #bbb }
.o3 { background: #edae49 }"""


def as_html(rows: list[Row]) -> str:
    """Return the page."""
    parts = []
    for chapter in sorted({row.chapter for row in rows}):
        here = [row for row in rows if row.chapter == chapter]
        parts += [f"<h2>Chapter {chapter.removeprefix('ch')}</h2>", *_chapter(here)]
    parts += _points(rows)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>How the class did'
        f"</title><style>{STYLE}</style></head><body>\n<h1>How the class did</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _chapter(rows: list[Row]) -> Iterator[str]:
    """Yield the parts of the page on one chapter."""
    students = {row.student for row in rows}
    unreadable = {row.student: row.note for row in rows if row.outcome == UNREADABLE}
    read = [row for row in rows if row.outcome != UNREADABLE]
    yield f"<p>{len(students)} submissions, {len(unreadable)} of them not readable.</p>"
    if read:
        yield (
            "<table><caption>Shares of the submissions that could be read</caption><tr>"
            "<th>exercise</th><th></th>"
            + "".join(f"<th>{name}</th>" for name in OUTCOMES)
            + "</tr>"
        )
        for exercise in dict.fromkeys(row.exercise for row in read):
            yield _shares([row for row in read if row.exercise == exercise])
        yield "</table>\n<h3>What was said most often</h3>"
    for exercise in dict.fromkeys(row.exercise for row in read):
        here = [row for row in read if row.exercise == exercise]
        said = kinds_of_words(here)
        if said:
            lines = "".join(f"<li>{n} × {html.escape(words)}</li>" for n, words in said[:SHOWN])
            yield f"<h4>{title_of(here[0])}</h4><ul>{lines}</ul>"
    looked = unreadable | {row.student: row.note for row in read if row.note}
    if looked:
        lines = "".join(
            f"<li><b>{html.escape(student)}</b>: {html.escape(note)}</li>"
            for student, note in sorted(looked.items(), key=lambda one: one[0] not in unreadable)
        )
        yield f"<h3>Submissions that were mended, or need a look</h3><ul>{lines}</ul>"


def _points(rows: list[Row]) -> Iterator[str]:
    """Yield the points of each student, and the mean of those who handed in."""
    head, *lines = points_of(rows)
    columns = [[n for n in column if n != ""] for column in zip(*lines, strict=True)][1:]
    means = [f"{sum(column) / len(column):.1f}" for column in columns]
    yield "<h2>Points</h2>\n<details open><summary>also in points.csv</summary>"
    yield "<table><tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"
    for line in [["mean", *means], *lines]:
        numbers = "".join(f"<td>{n}</td>" for n in line[1:])
        yield f"<tr><td>{html.escape(line[0])}</td>{numbers}</tr>"
    yield "</table></details>"


def title_of(row: Row) -> str:
    """Return what an exercise is called on the page: its number in the chapter, and its name."""
    return f"{row.number} · {row.exercise}" if row.number else row.exercise


def _shares(rows: list[Row]) -> str:
    """Return a line of the table: the shares of each outcome, as a bar and as numbers."""
    counts = Counter(row.outcome for row in rows)
    shares = [counts[name] / len(rows) for name in OUTCOMES]
    bar = "".join(
        f'<span class="o{n}" style="width:{100 * share:.1f}%"></span>'
        for n, share in enumerate(shares)
    )
    numbers = "".join(
        f'<td class="n">{share:.0%} ({counts[name]})</td>'
        for name, share in zip(OUTCOMES, shares, strict=True)
    )
    return f'<tr><td>{title_of(rows[0])}</td><td><div class="bar">{bar}</div></td>{numbers}</tr>'


# A class that is made up


def trial(students: int, chapter: str, course: Path, seconds: int = 10) -> list[str]:
    """Grade a class that is made up; return a line for each row that is other than it should be.

    Args:
        students: how many; every kind of mangling comes in turn.
        chapter: two digits.
        course: a folder that does not exist yet.
        seconds: of the processor, for each answer.

    Raises:
        EditionError: the chapter has no exercises.
    """
    import assignment
    import editions
    import grading_run

    sys.path.append(str(ROOT / "tests/support"))
    import submissions

    editions.write(assignment.files([chapter]), course)
    with (course / "nbgrader_config.py").open("a") as config:
        print(f"get_config().Apart.seconds = {seconds}", file=config)
    grading_run.nbgrader(course, "generate_assignment", f"ch{chapter}")
    made = submissions.hand_in(course, f"ch{chapter}", students)
    grading_run.grade(course, [chapter])
    rows = {(row.student, row.exercise): row for row in rows_of(course)}
    return [
        f"{student} ({one.kind}), {exercise}: {row}; it should be {wanted}"
        for student, one in made.items()
        for exercise, wanted in one.expected.items()
        for row in [rows.get((student, exercise))]
        if row is None or not submissions.fits(row.outcome, wanted)
    ]


def main() -> None:
    """Write the report, or try the whole on a class that is made up."""
    parser = argparse.ArgumentParser(description="Say how a class did.")
    parser.add_argument("course", type=Path, nargs="?")
    parser.add_argument("--trial", type=int, metavar="N", help="grade N submissions, made up")
    parser.add_argument("--chapter", default="02", help="of the trial, two digits")
    arguments = parser.parse_args()
    if (arguments.course is None) == (arguments.trial is None):
        parser.error("name a course folder, or ask for a --trial")
    try:
        if arguments.trial is None:
            write_report(arguments.course)
            page = arguments.course / "report.html"
            print(f"The report is {page}, with report.csv and points.csv beside it.")
            return
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            wrong = trial(arguments.trial, arguments.chapter, Path(folder) / "course")
    except EditionError as error:
        raise SystemExit(str(error)) from None
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print("\n".join(wrong))
    print(
        f"{arguments.trial} submissions of chapter {arguments.chapter} in "
        f"{time.monotonic() - start:.0f} s; the largest process had {peak:.0f} MiB; "
        f"{len(wrong)} rows are other than they should be."
    )
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
