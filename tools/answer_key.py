"""The answer key of the instructors' edition: a page for each chapter.

What stands on a page comes from where it is kept: tasks, solutions and answers from the notebook,
hints from lstmlib/course/hints, typical wrong answers from tests/support/answers, and what is said
of each from the check itself, which is called with it. Of tests/ a tool reads these answers alone.
"""

import ast
import copy
import importlib
import io
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode
from student_notebook import DETAILS, SECRET, EditionError, tags

from lstmlib.course import check
from lstmlib.course.check.exercises import hints_of

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "tests/support") not in sys.path:
    sys.path.append(str(ROOT / "tests/support"))  # the folder of the answers

FOLDER = "answer-key"
CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.M | re.S)
"""What is code in Markdown, in blocks and in lines."""
_OF_ALL = ("raises", "forgets")
"""Wrong answers that are tried of every exercise, and say nothing of this one."""


class Wrong(NamedTuple):
    """A wrong answer as its author wrote it, and what the check says of it."""

    code: str
    verdict: str


def pages(notebooks: Mapping[str, NotebookNode]) -> dict[str, str]:
    """Return the pages of the key: path -> Markdown.

    Args:
        notebooks: "notebooks/00_start_here.ipynb", … -> notebook.

    Raises:
        EditionError: an exercise has no solution, no hints, or no wrong answers.
    """
    written = {
        f"{FOLDER}/{Path(name).stem}.md": page(notebook, Path(name).stem)
        for name, notebook in notebooks.items()
    }
    rows = [
        f"- [{text.splitlines()[0].removeprefix('# ')}]({Path(name).name})"
        for name, text in written.items()
    ]
    index = "# Answer key\n\nNot for students.\n\n" + "\n".join(rows) + "\n"
    return {f"{FOLDER}/README.md": index, **written}


def page(notebook: NotebookNode, stem: str) -> str:
    """Return a chapter's page; `stem` is its file's name, such as "00_start_here"."""
    chapter = f"ch{stem[:2]}"
    title = notebook.cells[0].source.splitlines()[0]
    parts = [f"{title} · answers", f"[The chapter](../notebooks/{stem}.ipynb)"]
    solutions = [cell.source for cell in notebook.cells if "solution" in tags(cell)]
    for name, task in tasks(notebook, stem):
        found = [source for source in solutions if f"check.{name}(" in source]
        if len(found) != 1:
            raise EditionError(f"{stem}: exercise {name} has {len(found)} solutions, not one.")
        parts += [f"## {name}", task, *_solved(found[0]), *_hints(chapter, name)]
        parts += _wrong(chapter, name)
    parts += list(_told(notebook))
    return _from_here("\n\n".join(parts)) + "\n"


def tasks(notebook: NotebookNode, stem: str) -> Iterator[tuple[str, str]]:
    """Yield each exercise: the name of its check, and its task with the stub, in Markdown."""
    since: list[str] = []
    for cell in notebook.cells:
        if "exercise" in tags(cell):
            called = re.findall(r"^check\.(\w+)\(", cell.source, re.M)
            if len(called) != 1:
                raise EditionError(f"{stem}: an exercise calls {len(called)} checks, not one.")
            stub = re.sub(r"^(# )?check\..*\n?", "", cell.source, flags=re.M)
            yield called[0], "\n\n".join([*since, _block(stub)])
            since = []
        elif SECRET & tags(cell):
            return
        elif cell.cell_type == "markdown":
            start = re.search(r"^\*\*\d+\.\*\*", cell.source, re.M)
            since = [cell.source[start.start() :]] if start else []
        elif since:  # code that the task is about
            since.append(_block(cell.source))


def _solved(solution: str) -> list[str]:
    """Return the sentence of why, and the code."""
    lines = solution.removeprefix("### BEGIN SOLUTION\n").removesuffix("\n### END SOLUTION")
    lines = lines.splitlines()
    first = next(n for n, line in enumerate(lines) if not line.startswith("#"))
    why = " ".join(line.removeprefix("# ") for line in lines[:first])
    return ["### Solution", why, _block("\n".join(lines[first:]))]


def _hints(chapter: str, name: str) -> list[str]:
    hints = hints_of(chapter).get(name)
    if not hints:
        raise EditionError(f"lstmlib/course/hints has none of {chapter}.{name}.")
    line = hints[-1]  # code, in most cases without the marks of it
    marked = line if "`" in line else "\n" + textwrap.indent(_block(textwrap.dedent(line)), "   ")
    return [
        "### Hints",
        "\n".join(f"{n}. {each}" for n, each in enumerate([*hints[:-1], marked], 1)),
    ]


def _wrong(chapter: str, name: str) -> list[str]:
    """Return typical wrong answers, each with the check's words, and what they name."""
    module = importlib.import_module(f"answers.{chapter}")
    if name not in module.EXERCISES:
        raise EditionError(f"tests/support/answers has none of {chapter}.{name}.")
    source = Path(module.__file__).read_text(encoding="utf-8")
    tried = list(_tried(source, name, module))
    lines = [f"{_block(wrong.code)}\n\n> {wrong.verdict}" for wrong in tried]
    used = _named(source, " ".join(wrong.code for wrong in tried))
    if used:
        lines.append(f"What these are:\n\n{_block(used)}")
    return ["### Wrong answers, and what the check says", *lines]


def _tried(source: str, name: str, module: object) -> Iterator[Wrong]:
    """Yield the wrong answers of an exercise, one for each thing that the check says."""
    exercise, seen = module.EXERCISES[name], set()
    written = _as_written(source, name)
    for n, (answer, _) in enumerate(exercise.wrong):
        code = written[n] if len(written) == len(exercise.wrong) else repr(answer)
        if code in _OF_ALL or (verdict := _verdict(name, answer, exercise)) in seen:
            continue
        seen.add(verdict)
        yield Wrong(code, verdict)


def _verdict(name: str, answer: object, exercise: object) -> str:
    """Return what a check says of an answer, without places in memory, which differ by run."""
    said, arguments = io.StringIO(), copy.deepcopy(dict(exercise.arguments))
    with redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(check, name)(answer, **arguments)
    return re.sub(r" at 0x[0-9a-f]+", "", said.getvalue().strip())


def _as_written(source: str, name: str) -> list[str]:
    """Return the wrong answers of an exercise as they stand in the file; none if they are made."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Dict):
            continue
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(value, ast.Call) and isinstance(key, ast.Constant) and key.value == name:
                wrong = next(k.value for k in value.keywords if k.arg == "wrong")
                pairs = getattr(wrong, "elts", [])
                return [
                    ast.get_source_segment(source, pair.elts[0])
                    for pair in pairs
                    if isinstance(pair, ast.Tuple)
                ]
    return []


def _named(source: str, code: str) -> str:
    """Return what code names of a file, and what that names in turn, as it stands there."""
    defined = {}
    for node in ast.parse(source).body:
        text = ast.get_source_segment(source, node)
        if isinstance(node, ast.FunctionDef):
            defined[node.name] = f"{text}\n\n"
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            defined[node.targets[0].id] = text
    defined.pop("EXERCISES")
    wanted, todo = set(), [code]
    while todo:
        text = todo.pop()
        new = {name for name in defined if re.search(rf"\b{name}\b", text)} - wanted
        wanted |= new
        todo += [defined[name] for name in new]
    return "\n".join(text for name, text in defined.items() if name in wanted)


def _told(notebook: NotebookNode) -> Iterator[str]:
    """Yield what is folded in the chapter's text, and what else is told below the solutions."""
    asked = [c.source for c in notebook.cells if not SECRET & tags(c) and DETAILS.search(c.source)]
    if asked:
        yield "## To try"
    for source in asked:
        start = re.search(r"^(\*\*\d+\.\*\* )?\*", source, re.M)
        whole = source[start.start() if start else 0 :]
        whole = whole[: list(DETAILS.finditer(whole))[-1].end()]
        yield DETAILS.sub(r"**\1.**\n\n\2\n\n", whole)
    told = [cell for cell in notebook.cells if "answer" in tags(cell)]
    if told:
        yield "## What else stands below the solutions"
    for cell in told:
        text = DETAILS.sub(r"**\1.**\n\n\2\n\n", cell.source)
        yield text if cell.cell_type == "markdown" else _block(text)


def _block(code: str) -> str:
    return f"```python\n{code.strip()}\n```"


def _from_here(text: str) -> str:
    """Return a page whose links lead from the key's folder to where they led from notebooks/."""
    parts = CODE.split(text)  # prose, code, prose, …
    link = re.compile(r"\]\((?!\w+:|#|\.\./notebooks/)([^)\s]+)\)")
    return "".join(p if n % 2 else link.sub(r"](../notebooks/\1)", p) for n, p in enumerate(parts))
