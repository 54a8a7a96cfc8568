"""Write the exercises of chapters as a course folder of nbgrader: `make assignment`.

    python tools/assignment.py [CHAPTER …] [--exercises 02:1,3,4 …] [--homework] [--out FOLDER]

A chapter is two digits, such as 02; without one, all that have exercises. `--exercises` takes only
some, by number or name, and `--homework` those that teaching/plan.toml names. The folder holds
nbgrader_config.py and source/chNN/, a notebook for each chapter. In it stand the texts of the
exercises, a cell for each answer, a cell that grades it, and of the chapter's own cells only those
that an exercise needs: no network is trained, and a class is graded in minutes. Then, in the
folder:

    nbgrader generate_assignment ch02       # release/ch02, for students (the program of .venv/bin)
    make grade COURSE=FOLDER                # what lies in submitted/STUDENT/ch02 (grading_run.py)

Every exercise counts one point. It is graded by its check, and then on data that students do not
see (grading_cases.py); the seed of these data is drawn anew for each folder, and stands in hidden
lines alone. The folder is written whole or not at all, and never over a course that was used.
"""

import argparse
import ast
import builtins
import re
import secrets
import shlex
import symtable
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import nbformat
from editions import ROOT, File, refuse_what_is_not_ours, write
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from student_notebook import EditionError, said, student_notebook, tags

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TASK = re.compile(r"^\*\*(\d+)\.\*\*", re.M)
RELATIVE = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:)[^)\s]*\)")
"""A link to a file of the course, which is not beside an assignment."""
POINTS = 1
MEASURED = {("00", "loss"): re.compile(r"^LSTM +([\d.]+) nats", re.M)}
"""Chapter and name of a number that takes a training -> where the chapter has printed it."""

HEAD = """{title}: exercises

Write your answer in place of `...`, and run the cell. Then run the cell below it: the check says
*not attempted yet*, *not yet* and why, or *right*. Your work is graded by the same check, and on
other data, too. For a hint, take away the `#` before `check.hint` and run the cell again.

Cells above and between the exercises make what an exercise needs of the chapter. You may add cells.
Each answer is graded by itself, so an answer that stops or never ends costs its own point alone."""

CONFIG = '''"""Written by tools/assignment.py; the programs that grade stand in the folder below."""

import sys

sys.path.insert(0, {tools!r})
try:
    from grading_nbgrader import settings
except ImportError as error:
    # nbgrader would only warn, go on without, and give nobody a point.
    raise SystemExit(f"{{error}}. The course was moved from {tools}? Correct the path here.")
settings(get_config())  # noqa: F821
'''


class Exercise(NamedTuple):
    """An exercise as it stands in a chapter."""

    number: int
    name: str
    task: list[NotebookNode]
    stub: str
    call: str
    hint: str
    solution: str


def files(
    chapters: Iterable[str],
    root: Path = ROOT,
    seed: int | None = None,
    only: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, File]:
    """Return the files of a course folder: path -> content.

    Args:
        chapters: two digits each; none stands for all that have exercises.
        seed: of the data that answers are graded on; drawn, if None.
        only: the exercises of a chapter, by number or name; of one that is not in it, all.

    Raises:
        EditionError: there is no such chapter or exercise, or it has no exercises.
    """
    chapters = list(chapters)
    seed = secrets.randbelow(2**31) if seed is None else seed
    config = CONFIG.format(tools=str(Path(__file__).resolve().parent))
    written = {"nbgrader_config.py": File(config.encode())}
    for path in _paths(chapters, root):
        full = nbformat.read(path, as_version=4)
        if chapters or any("exercise" in tags(cell) for cell in full.cells):
            made = assignment(full, path.name, seed, only.get(path.name[:2], ()))
            text = nbformat.writes(made) + "\n"
            written[f"source/ch{path.name[:2]}/{path.name}"] = File(text.encode())
    return written


def _paths(chapters: list[str], root: Path) -> list[Path]:
    there = {path.name[:2]: path for path in sorted((root / "notebooks").glob("[0-9]*.ipynb"))}
    for chapter in chapters:
        if chapter not in there:
            raise EditionError(
                f"There is no chapter {chapter!r}. Name some of {', '.join(there)}, by two digits."
            )
    return [there[chapter] for chapter in chapters or there]


def named(words: Iterable[str]) -> dict[str, list[str]]:
    """Return the exercises that words such as "02:1,3,chunk" name: chapter -> numbers or names.

    Raises:
        EditionError: a word is none such.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        match = re.fullmatch(r"(\d\d):(\w+(?:,\w+)*)", word)
        if not match:
            raise EditionError(
                f"{word!r} names no exercises. A chapter, a colon, and numbers or names with "
                "commas between them do: 02:1,3,4"
            )
        found.setdefault(match[1], []).extend(match[2].split(","))
    return found


def homework(chapters: Sequence[str], root: Path = ROOT) -> dict[str, list[str]]:
    """Return what teaching/plan.toml gives as homework: chapter -> numbers of exercises.

    Args:
        chapters: two digits each; none stands for all.
        root: of the course.

    Raises:
        EditionError: the plan has none for a chapter.
    """
    plan = tomllib.loads((root / "teaching/plan.toml").read_text(encoding="utf-8"))["chapters"]
    given = {chapter: list(map(str, each["homework"])) for chapter, each in plan.items()}
    if without := [chapter for chapter in chapters if not given.get(chapter)]:
        raise EditionError(f"teaching/plan.toml gives no homework for chapter {without[0]!r}.")
    return {chapter: given[chapter] for chapter in chapters or given if given[chapter]}


def assignment(full: NotebookNode, name: str, seed: int, only: Sequence[str] = ()) -> NotebookNode:
    """Return a chapter's exercises as a source notebook of nbgrader.

    Args:
        full: the chapter, with its solutions.
        name: of its file, such as "02_rnn_from_scratch.ipynb".
        seed: of the data that answers are graded on.
        only: these exercises, by number or name; all, if there are none.

    Raises:
        EditionError: it has no exercises, or not these, or an exercise has not one check and one
            solution.
    """
    left = student_notebook(full, name)
    exercises = list(_exercises(full, left, name))
    if not exercises:
        raise EditionError(f"{name} has no exercises; name another chapter.")
    exercises = _chosen(exercises, only, name)
    given = _given(left, exercises, name[:2])
    title = left.cells[0].source.splitlines()[0].partition(":")[0]
    cells = [new_markdown_cell(HEAD.format(title=title))]
    between = {cell.id for exercise in exercises for cell in exercise.task}
    cells += [_shown(cell) for cell in given if cell.id not in between]
    has = {name for cell in given for name in bound(cell.source)}
    for exercise in exercises:
        for cell in exercise.task:
            if cell.cell_type == "markdown" or _runs(cell.source, has):
                cells.append(_shown(cell))
                has |= bound(cell.source) if cell.cell_type == "code" else set()
        cells += _graded(exercise, f"ch{name[:2]}", seed)
    for number, cell in enumerate(cells):
        if "nbgrader" not in cell.metadata:
            _mark(cell, f"given-{number}", locked=True)
    return new_notebook(cells=cells, metadata=full.metadata)


def _chosen(exercises: list[Exercise], only: Sequence[str], chapter: str) -> list[Exercise]:
    """Return those exercises that are named, in the order of the chapter; all, if none is."""
    there = {word for each in exercises for word in (each.name, str(each.number))}
    if unknown := [word for word in only if word not in there]:
        has = ", ".join(f"{each.number} {each.name}" for each in exercises)
        raise EditionError(f"{chapter} has no exercise {unknown[0]!r} with a check. It has {has}.")
    return [e for e in exercises if not only or {e.name, str(e.number)} & set(only)]


def _exercises(full: NotebookNode, left: NotebookNode, name: str) -> Iterator[Exercise]:
    """Yield the exercises of a chapter, each with the cells of its task."""
    solutions = [cell.source for cell in full.cells if "solution" in tags(cell)]
    since: list[NotebookNode] = []
    number = 0
    for cell in left.cells:
        if "exercise" in tags(cell):
            call = _check_of(cell.source)
            check = call and re.match(r"check\.(\w+)", call).group(1)
            solved = [source for source in solutions if f"check.{check}(" in source]
            if call is None or len(solved) != 1:
                raise EditionError(f"{name}: an exercise has not one check and one solution.")
            hint = re.search(r"^# check\.hint\(.*\)$", cell.source, re.M).group()
            stub = cell.source.replace(call, "").replace(hint, "").strip()
            yield Exercise(number, check, since, stub, call, hint, _solved(solved[0], call))
            since = []
        elif cell.cell_type == "markdown" and (start := TASK.search(cell.source)):
            since = [NotebookNode(cell | {"source": cell.source[start.start() :]})]
            number = int(start[1])
        elif since:
            since = [*since, cell]


def _check_of(source: str) -> str | None:
    """Return the statement that calls a check; None if there is not one."""
    found = [
        ast.get_source_segment(source, node)
        for node in ast.parse(source).body
        if isinstance(node, ast.Expr) and ast.unparse(node).startswith("check.")
    ]
    return found[0] if len(found) == 1 else None


def _solved(solution: str, call: str) -> str:
    """Return a solution that binds the name which is checked, in place of its own check."""
    lines = solution.strip().splitlines()[1:-1]  # without the marks
    code = "\n".join(lines)
    own = _check_of(code)
    if own is None:
        raise EditionError(f"The solution of {call} calls not one check.")
    answer = ast.get_source_segment(own, ast.parse(own).body[0].value.args[0])
    return code.replace(own, f"{_answer_of(call)} = {answer}")


def _answer_of(call: str) -> str:
    """Return the name that a check is called with."""
    return ast.unparse(ast.parse(call).body[0].value.args[0])


def _graded(exercise: Exercise, chapter: str, seed: int) -> list[NotebookNode]:
    """Return the cell of an answer, and the one that grades it."""
    answer = new_code_cell(
        f"{exercise.stub}\n### BEGIN SOLUTION\n{exercise.solution}\n### END SOLUTION\n"
        f"{exercise.hint}"
    )
    hidden = exercise.call.replace(
        f"check.{exercise.name}(", f'graded("{chapter}.{exercise.name}", {seed}, ', 1
    )
    test = new_code_cell(
        f"{exercise.call}\n### BEGIN HIDDEN TESTS\nfrom grading_cases import graded\n\n{hidden}\n"
        "### END HIDDEN TESTS"
    )
    _mark(answer, f"answer-{exercise.name}", solution=True)
    _mark(test, f"check-{exercise.name}", locked=True, grade=True, points=POINTS)
    return [answer, test]


def _mark(cell: NotebookNode, name: str, **more: object) -> None:
    """Give a cell the metadata of nbgrader, and an id that outlives them."""
    cell.id = name
    cell.metadata["nbgrader"] = {
        "schema_version": 3,
        "grade_id": name,
        "grade": False,
        "solution": False,
        "locked": False,
        "task": False,
        **more,
    }


def _shown(cell: NotebookNode) -> NotebookNode:
    """Return a cell of the chapter for the assignment: no output, no link that leads nowhere."""
    if cell.cell_type == "markdown":
        return new_markdown_cell(RELATIVE.sub(r"\1", cell.source))
    return new_code_cell(cell.source)


def numbers_of(cells: list[NotebookNode]) -> dict[str, str]:
    """Return the number of each exercise in its chapter: the last that stands above its answer.

    Args:
        cells: of an assignment, as it was given out or handed in.
    """
    found, number = {}, ""
    for cell in cells:
        if cell.cell_type == "markdown" and (task := TASK.search(cell.source)):
            number = task[1]
        if cell.get("id", "").startswith("answer-"):
            found[cell.id.removeprefix("answer-")] = number
    return found


# What an exercise needs of its chapter


def _given(left: NotebookNode, exercises: list[Exercise], chapter: str) -> list[NotebookNode]:
    """Return the code cells of a chapter that its exercises and their solutions need, in order.

    They are all imports, and every cell that binds a name which one of them needs in its turn.
    """
    cells = [c for c in left.cells if c.cell_type == "code" and "exercise" not in tags(c)]
    kept = {cell.id for cell in cells if _only(cell.source, ast.Import, ast.ImportFrom)}
    imported = {name for cell in cells if cell.id in kept for name in bound(cell.source)}
    wanted = {name for e in exercises for name in needs(f"{e.stub}\n{e.call}\n{e.solution}")}
    numbers, todo = [], list(wanted - imported)
    while todo:
        name = todo.pop()
        makers = [cell for cell in cells if name in bound(cell.source)]
        if (chapter, name) in MEASURED:
            numbers.append(_number(makers, name, MEASURED[chapter, name]))
            continue
        for cell in makers:
            if cell.id not in kept:
                kept.add(cell.id)
                todo += needs(cell.source) - imported
    return [cell for cell in cells if cell.id in kept] + numbers


def _number(makers: list[NotebookNode], name: str, printed: re.Pattern) -> NotebookNode:
    """Return a cell that gives a number as the chapter has printed it."""
    found = [match for cell in makers if (match := printed.search(said(cell)))]
    if not found:
        raise EditionError(
            f"No cell of the chapter has printed {name!r} as tools/assignment.py asks."
        )
    return new_code_cell(f"{name} = {found[0].group(1)}  # as the chapter has measured it")


def _only(source: str, *kinds: type) -> bool:
    return all(isinstance(node, kinds) for node in ast.parse(_python(source)).body)


def _runs(source: str, has: set[str]) -> bool:
    """Say whether a cell needs no more names than there are, or only defines functions."""
    return needs(source) <= has or _only(source, ast.FunctionDef)


def needs(source: str) -> set[str]:
    """Return the names that a cell takes from cells before it."""
    table = symtable.symtable(_python(source), "cell", "exec")
    own = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    return (used | set(_globals(table))) - own - set(dir(builtins))


def bound(source: str) -> set[str]:
    """Return the names that a cell makes."""
    table = symtable.symtable(_python(source), "cell", "exec")
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    for child in table.get_children():
        yield from (s.get_name() for s in child.get_symbols() if s.is_global())
        yield from _globals(child)


def _python(source: str) -> str:
    """Return a cell without the lines that are IPython's."""
    return re.sub(r"^[%!].*$", "", source, flags=re.M)


def main() -> None:
    """Write the course folder that the command line asks for."""
    parser = argparse.ArgumentParser(description="Write exercises as a course of nbgrader.")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="two digits; default: all")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--exercises", nargs="+", default=[], help="such as 02:1,3,4 03:2")
    which.add_argument("--homework", action="store_true", help="what teaching/plan.toml names")
    parser.add_argument("--out", type=Path, default=ROOT / "editions/assignment")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    try:
        refuse_what_is_not_ours(out)
        chapters, only = arguments.chapters, named(arguments.exercises)
        if arguments.homework:
            only = homework(chapters)
        elif only and chapters:
            raise EditionError("Exercises name their chapters: leave CHAPTERS out.")
        written = files(only or chapters, only=only)
        write(written, out)
    except EditionError as error:
        raise SystemExit(str(error)) from None
    print(next_steps(out, written))


def next_steps(course: Path, written: Iterable[str]) -> str:
    """Return the commands that come next, to be called from the folder of the course's programs."""
    chapters = sorted({name.split("/")[1] for name in written if name.startswith("source/")})
    program, place = shlex.quote(sys.executable), shlex.quote(str(course))
    lines = [f"The course folder is {course}. Next, for students:"]
    lines += [f"    (cd {place} && {program} -m nbgrader generate_assignment {chapters[0]})"]
    lines += [f"and so on to {chapters[-1]}"] * (len(chapters) > 1)
    lines += [
        f"They get {course / 'release'}. What they hand in goes to submitted/STUDENT/chNN, then:"
    ]
    return "\n".join([*lines, f"    make grade COURSE={place}"])


if __name__ == "__main__":
    main()
