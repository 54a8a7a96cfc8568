"""Submissions of a class: right and wrong answers, mangled as students mangle notebooks.

`hand_in` writes them where tools/grading_run.py looks, and says what each must be graded. The
answers come from answers/chNN.py, as their authors wrote them; `KINDS` are the ways to mangle.
"""

import ast
import copy
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np

NOT_RIGHT = ("wrong", "failed to run")
"""What may be said of a wrong answer; some of them stop."""
Notebook = dict
Rng = np.random.Generator


class Submission(NamedTuple):
    """What is handed in, and the outcomes that each exercise may have; None stands for any."""

    kind: str
    content: bytes
    expected: dict[str, tuple[str, ...] | None]
    name: str = ""


def fits(outcome: str, wanted: tuple[str, ...] | None) -> bool:
    return wanted is None or outcome in wanted


def hand_in(course: Path, chapter: str, students: int, seed: int = 0) -> dict[str, Submission]:
    """Write submissions of a chapter such as "ch02"; return them by student, every kind in turn."""
    (release,) = (course / "release" / chapter).glob("*.ipynb")
    rng, made = np.random.default_rng(seed), {}
    for n in range(students):
        student = f"student-{n:03}"
        one = submission(release, chapter, list(KINDS)[n % len(KINDS)], rng)
        folder = course / "submitted" / student / chapter
        folder.mkdir(parents=True)
        if one.kind != "no file":
            (folder / (one.name or release.name)).write_bytes(one.content)
        made[student] = one
    return made


def submission(release: Path, chapter: str, kind: str, rng: Rng) -> Submission:
    """Return a submission: a right, a wrong or no answer to each exercise, then mangled."""
    notebook = json.loads(json.dumps(nbformat.read(release, as_version=4)))
    expected = {}
    for cell in answers_of(notebook):
        name = cell["id"].removeprefix("answer-")
        choice = rng.choice(["right", "wrong", "nothing"], p=[0.5, 0.35, 0.15])
        expected[name] = ("not attempted",)
        if choice != "nothing":
            cell["source"] = cell["source"].partition("\n# check.hint")[0]
            cell["source"] = written(chapter, name, cell["source"], str(choice), rng)
            expected[name] = ("right",) if choice == "right" else NOT_RIGHT
    mangled = KINDS[kind](notebook, expected, rng)
    if isinstance(mangled, bytes):
        return Submission(kind, mangled, expected)
    name = "copy (1).ipynb" if kind == "another name" else ""
    return Submission(kind, json.dumps(mangled).encode(), expected, name)


def answers_of(notebook: Notebook) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["id"].startswith("answer-")]


# Answers as text


def written(chapter: str, name: str, stub: str, choice: str, rng: Rng) -> str:
    """Return the source of an answer that binds the name of a stub, with all that it needs."""
    path = Path(__file__).parent / "answers" / f"{chapter}.py"
    source = path.read_text(encoding="utf-8")
    segments = _segments(source, name, choice)
    segment = segments[rng.integers(len(segments))]
    asked = re.search(r"^(?:def )?(\w+)", stub).group(1)
    helpers = _helpers(source, segment)
    if asked in ast.dump(ast.parse(helpers)) and segment != asked:
        helpers, segment = (re.sub(rf"\b{asked}\b", "own_try", t) for t in (helpers, segment))
    return f"{helpers}\n\n{asked} = {segment}".strip()


@cache
def _segments(source: str, name: str, choice: str) -> list[str]:
    """Return the answers to an exercise as they stand in the file of answers."""
    for node in ast.walk(ast.parse(source)):
        for key, value in zip(getattr(node, "keys", []), getattr(node, "values", []), strict=False):
            if isinstance(key, ast.Constant) and key.value == name and isinstance(value, ast.Call):
                listed = next(k.value for k in value.keywords if k.arg == choice)
                parts = [p for p in listed.elts if not isinstance(p, ast.Starred)]
                if choice == "wrong":  # each with a word of what is said of it
                    parts = [p.elts[0] for p in parts if isinstance(p, ast.Tuple)]
                return [f"({ast.get_source_segment(source, part)})" for part in parts]
    raise KeyError(name)


def _helpers(source: str, segment: str) -> str:
    """Return the imports, functions and constants of a file that an answer needs, in order."""
    parts, wanted, todo = _parts(source), set(), [segment]
    while todo:
        text = todo.pop()
        new = {name for name in parts if re.search(rf"\b{name}\b", text)} - wanted
        wanted |= new
        todo += [parts[name] for name in new]
    return "\n".join(dict.fromkeys(text for name, text in parts.items() if name in wanted))


@cache
def _parts(source: str) -> dict[str, str]:
    """Return what a file of answers defines: name -> its text."""
    parts = {}
    every = (Path(__file__).parent / "answers/__init__.py").read_text(encoding="utf-8") + source
    for node in ast.parse(every).body:
        text = ast.get_source_segment(every, node)
        for line in getattr(node, "decorator_list", []):
            text = f"@{ast.get_source_segment(every, line)}\n{text}"
        for bound in _names_of(node):
            parts.setdefault(bound, text)
    return parts


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return [] if node.targets[0].id == "EXERCISES" else [node.targets[0].id]
    if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "answers":
        return [alias.asname or alias.name for alias in node.names]
    return []


# Ways to mangle: each changes what is expected where it must


def _some_answer(notebook: Notebook, rng: Rng) -> tuple[int, dict]:
    places = [n for n, cell in enumerate(notebook["cells"]) if cell["id"].startswith("answer-")]
    at = int(rng.choice(places))
    return at, notebook["cells"][at]


def _of(cell: dict) -> str:
    return cell["id"].removeprefix("answer-")


def _own_cell(source: str, rng: Rng, kind: str = "code") -> dict:
    more = {"outputs": [], "execution_count": None} if kind == "code" else {}
    name = f"own-{rng.integers(10**9)}"
    return {"cell_type": kind, "id": name, "metadata": {}, "source": source, **more}


def untouched(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    return notebook


def answer_deleted(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    at, cell = _some_answer(notebook, rng)
    expected[_of(cell)] = ("not attempted",)
    del notebook["cells"][at]
    return notebook


def check_deleted(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    at, _ = _some_answer(notebook, rng)
    del notebook["cells"][at + 1]
    return notebook


def duplicated(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    at, cell = _some_answer(notebook, rng)
    twin = copy.deepcopy(cell)
    if rng.random() < 0.5:
        twin |= {"id": "twin", "metadata": {}}
    notebook["cells"].insert(at + int(rng.integers(2)), twin)
    return notebook


def split(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    """In two at some line; editors differ in which half keeps its metadata."""
    at, cell = _some_answer(notebook, rng)
    lines = cell["source"].split("\n")
    cut = int(rng.integers(1, max(2, len(lines))))
    second = copy.deepcopy(cell) | {"source": "\n".join(lines[cut:]), "id": "second"}
    cell["source"] = "\n".join(lines[:cut])
    for half in ([], [second])[int(rng.integers(2))]:
        half["metadata"] = {}
    notebook["cells"].insert(at + 1, second)
    return notebook


def retyped(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    _, cell = _some_answer(notebook, rng)
    cell["cell_type"] = "markdown"
    del cell["outputs"], cell["execution_count"]
    return notebook


def reordered(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    notebook["cells"] = [notebook["cells"][n] for n in rng.permutation(len(notebook["cells"]))]
    return notebook


def stripped(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    """By an editor that keeps neither metadata nor ids."""
    for n, cell in enumerate(notebook["cells"]):
        cell |= {"metadata": {}, "id": f"cell-{n}"}
    return notebook


def ids_alone(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    return notebook


def old_format(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    """By an editor that writes lists of lines, and no ids."""
    for cell in notebook["cells"]:
        del cell["id"]
        cell["source"] = cell["source"].splitlines(keepends=True)
    return notebook | {"nbformat_minor": 4}


def _with(source: str, outcome: tuple[str, ...] = ("failed to run",)) -> Callable:
    """Return what puts a line above an answer, which then has another outcome."""

    def mangle(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
        _, cell = _some_answer(notebook, rng)
        cell["source"] = f"{source}\n{cell['source']}"
        expected[_of(cell)] = outcome
        return notebook

    return mangle


def endless_function(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    places = [c for c in answers_of(notebook) if c["source"].startswith("def ")]
    cell = places[0] if places else answers_of(notebook)[0]
    asked = re.search(r"(\w+)(?: =|\()", cell["source"].splitlines()[-1] + " =").group(1)
    cell["source"] = f"def {asked}(*given):\n    while True:\n        pass"
    expected[_of(cell)] = ("failed to run",)
    return notebook


def renamed(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    """The check is called with the new name, too, as in the student's own copy."""
    at, cell = _some_answer(notebook, rng)
    call = notebook["cells"][at + 1]
    asked = re.search(r"\((\w+)", call["source"]).group(1)
    call["source"] = re.sub(rf"\b{asked}\b(?!\()", "my_answer", call["source"])
    cell["source"] = re.sub(rf"\b{asked}\b", "my_answer", cell["source"])
    if not call["source"].count("my_answer"):
        expected[_of(cell)] = None
    return notebook


def syntax_error(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    _, cell = _some_answer(notebook, rng)
    cell["source"] = cell["source"] + "\nprint('half"
    expected[_of(cell)] = ("failed to run",)
    return notebook


def helper_elsewhere(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    """An import that an answer needs, in a cell of the student's own."""
    _, cell = _some_answer(notebook, rng)
    cell["source"] = cell["source"] + "\nnumber_of_mine + 1"
    notebook["cells"].insert(1, _own_cell("number_of_mine = 3", rng))
    return notebook


def names_bound_anew(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    """In cells of the student's own, names that every exercise needs."""
    notebook["cells"].insert(1, _own_cell("check = np = torch = None\nprint = 3", rng))
    notebook["cells"].insert(4, _own_cell("import os\nos._exit(1)", rng))
    return notebook


def two_in_one(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    first, second = answers_of(notebook)[:2]
    first["source"] = f"{first['source']}\n\n{second['source']}"
    notebook["cells"].remove(second)
    return notebook


def empty(notebook: Notebook, expected: dict, rng: Rng) -> Notebook:
    expected.update(dict.fromkeys(expected, ("not attempted",)))
    return notebook | {"cells": []}


def _file(change: Callable[[bytes], bytes], outcome: tuple[str, ...] | None) -> Callable:
    def mangle(notebook: Notebook, expected: dict, rng: Rng) -> bytes:
        if outcome:
            expected.update(dict.fromkeys(expected, outcome))
        return change(json.dumps(notebook, ensure_ascii=False).encode())

    return mangle


UNREADABLE = ("not readable",)
KINDS: dict[str, Callable] = {
    "untouched": untouched,
    "answer deleted": answer_deleted,
    "check deleted": check_deleted,
    "duplicated": duplicated,
    "split": split,
    "retyped": retyped,
    "reordered": reordered,
    "stripped": stripped,
    "ids alone": ids_alone,
    "old format": old_format,
    "endless loop": _with("while True:\n    pass"),
    "endless function": endless_function,
    "exit": _with("import os\nos._exit(1)"),
    "100 MB of output": _with("for _ in range(10**6):\n    print('x' * 99)"),
    "memory": _with("much = [0] * 10**10\n1 / 0"),
    "renamed": renamed,
    "syntax error": syntax_error,
    "import error": _with("import a_module_that_is_not_there"),
    "helper elsewhere": helper_elsewhere,
    "names bound anew": names_bound_anew,
    "two in one": two_in_one,
    "empty": empty,
    "no JSON": _file(lambda content: content[: len(content) // 2], UNREADABLE),
    "empty file": _file(lambda content: b"", UNREADABLE),
    "a text": _file(lambda content: b"My answers: 1, 2 and 3.", UNREADABLE),
    "JSON, no notebook": _file(lambda content: b'{"answers": [1, 2, 3]}', UNREADABLE),
    "not UTF-8": _file(lambda content: content.decode().encode("cp1252", "replace"), None),
    "UTF-16": _file(lambda content: content.decode().encode("utf-16"), None),
    "no file": _file(lambda content: b"", UNREADABLE),
    "another name": untouched,
}
"""Kind -> what changes a notebook, and what is expected of it, or makes a file of it."""
