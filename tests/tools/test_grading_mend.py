"""A submission is brought back into the form that nbgrader grades, and what was done is said."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

pytest.importorskip("nbgrader")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

from grading_mend import handed_in, mended  # noqa: E402

STUBS = {"add": "def add(a, b):\n    ...\n\n# check.hint()", "half": "half = ...\n\n# check.hint()"}
ADD, HALF = "def add(a, b):\n    c = a + b\n    return c", "half = 0.5"


@pytest.fixture
def release():
    cells = [
        new_markdown_cell("# Exercises", id="given-0"),
        new_code_cell("import os", id="given-1"),
    ]
    for name, stub in STUBS.items():
        cells += [new_code_cell(stub, id=f"answer-{name}")]
        cells += [new_code_cell(f"check.{name}({name})", id=f"check-{name}")]
    for cell in cells:
        solution, grade = cell.id.startswith("answer"), cell.id.startswith("check")
        mark = {"grade_id": cell.id, "solution": solution, "grade": grade, "locked": not solution}
        cell.metadata["nbgrader"] = mark
    return new_notebook(cells=cells)


@pytest.fixture
def mend(release, tmp_path):
    """Return what mends a list of cells, or bytes: -> answers, notebook."""

    def mend(cells, **more):
        content = cells
        if not isinstance(cells, bytes):
            content = json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, **more})
            content = content.encode(more.get("encoding", "utf-8"))
        (tmp_path / "x.ipynb").write_bytes(content)
        notebook = mended(tmp_path / "x.ipynb", release)
        nbformat.validate(notebook)
        grade_ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]
        assert [name for name in grade_ids if name] == [cell.id for cell in release.cells]
        return {
            cell.id.removeprefix("answer-"): cell.source
            for cell in notebook.cells
            if cell.id.startswith("answer-")
        }, notebook

    return mend


def cell(source, of="", kind="code"):
    metadata = {"nbgrader": {"grade_id": of}} if of else {}
    return {"cell_type": kind, "source": source, "metadata": metadata, "id": "some"}


CHAPTERS = cell("x = ...\ncheck.x(x)") | {"metadata": {"tags": ["exercise"]}}
"""A stub as it stands in the chapter."""
WHOLE = [cell(ADD, "answer-add"), cell(HALF, "answer-half")]


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (WHOLE, None),
        (WHOLE[::-1], None),
        ([cell(ADD) | {"id": "answer-add"}, cell(HALF) | {"id": "answer-half"}], None),
        ([cell(ADD), cell(HALF)], "lost their marks"),
        ([cell(ADD.splitlines(keepends=True)), cell(HALF)], "lost their marks"),
        ([CHAPTERS, cell(ADD), cell(HALF)], "This is the chapter, not the assignment; answers"),
        ([cell(ADD, "answer-add", "markdown"), WHOLE[1]], "no code"),
        ([cell(ADD, "answer-add", "raw"), WHOLE[1]], "no code"),
        ([WHOLE[0], *WHOLE], "2 cells"),
        ([*WHOLE, cell(STUBS["add"], "answer-add")], None),
        ([cell(STUBS["add"], "answer-add"), cell(ADD), WHOLE[1]], None),
        ([cell("def add(a, b):", "answer-add"), *WHOLE], "2 cells"),
        ([cell(f"{ADD}\n\n{HALF}", "answer-add")], "cell of another exercise"),
    ],
)
def test_answers_are_found_wherever_they_stand(mend, cells, note):
    answers, notebook = mend(cells)
    said = " ".join(notebook.metadata.get("mended", []))
    assert answers["add"].startswith(ADD) and answers["half"].endswith(HALF)
    assert note in said if note else not said
    assert (notebook.cells[0].source.startswith("**Mended")) == bool(said)


@pytest.mark.parametrize(
    "marks", [("answer-add", "answer-add"), ("answer-add", ""), ("", "answer-add")]
)
@pytest.mark.parametrize("at", [1, 2])
def test_halves_of_a_cell_are_joined(mend, marks, at):
    lines = ADD.splitlines()
    halves = ["\n".join(lines[:at]), "\n".join(lines[at:])]
    answers, _ = mend([cell(h, of) for h, of in zip(halves, marks, strict=True)] + WHOLE[1:])
    assert answers["add"].split() == ADD.split()
    made = {}
    exec(answers["add"], made)
    assert made["add"](1, 2) == 3


def test_an_answer_that_is_gone_is_not_attempted_and_told(mend):
    answers, notebook = mend(WHOLE[1:])
    assert answers == {"add": STUBS["add"], "half": HALF}
    assert notebook.metadata["mended"] == ["`add`: there was no cell with an answer."]


def test_a_new_name_counts_where_the_check_was_called_with_it(mend):
    renamed = [cell(ADD.replace("add", "plus"), "answer-add"), cell("check.add(plus)", "check-add")]
    answers, notebook = mend(renamed + WHOLE[1:])
    assert answers["add"].endswith("\n\nadd = plus")
    assert "`plus` was checked in place of `add`" in notebook.metadata["mended"][0]
    answers, _ = mend(renamed[:1] + WHOLE[1:])
    assert answers["add"] == renamed[0]["source"]


def test_a_students_own_cells_come_along_where_they_stood(mend):
    mine = [cell("import this"), WHOLE[0], cell("my = 1"), cell("I think …", kind="markdown")]
    _, notebook = mend([*mine, WHOLE[1], cell("import os"), cell("check.half(half)")])
    sources = [each.source for each in notebook.cells]
    assert sources.index("my = 1") == sources.index(ADD) + 1
    assert "import this" in sources and "I think …" in sources
    assert sources.count("import os") == sources.count("check.half(half)") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"My answers", "no JSON, and begins with 'My answers'"),
        (b'{"cells": [', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"PK\x03\x04\x00\xff", "no JSON"),
        (b'{"a": 1}', "no cells"),
        (b"3", "no cells"),
        (b'{"cells": 3}', "no cells"),
    ],
)
def test_what_is_no_notebook_leaves_stubs_and_says_why(mend, content, said):
    answers, notebook = mend(content)
    assert answers == STUBS and said in notebook.metadata["unreadable"]
    assert notebook.metadata["unreadable"] in notebook.cells[0].source


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "utf-8"])
def test_other_encodings_are_read(mend, encoding):
    answer = HALF + "  # é"
    text = json.dumps({"cells": [cell(answer, "answer-half")]}, ensure_ascii=False)
    answers, notebook = mend(text.encode(encoding))
    assert answers["half"] == answer
    other = not encoding.startswith("utf-8")
    assert ("not in UTF-8" in " ".join(notebook.metadata["mended"])) == other


@pytest.mark.parametrize(
    "odd",
    [
        {"cell_type": "code"},
        {"source": None},
        {"source": [1, None], "metadata": 3},
        {"source": "x = '\ud800'", "metadata": {"nbgrader": 3}, "cell_type": None, "id": 7},
        {"source": "x = 1\0", "metadata": {"nbgrader": {"grade_id": ["answer-add"]}}},
        3,
    ],
)
def test_odd_cells_harm_no_other(mend, odd):
    answers, _ = mend([odd, *WHOLE])
    assert answers == {"add": ADD, "half": HALF}


def test_a_notebook_is_found_under_another_name_if_it_is_the_only_one(tmp_path):
    assert handed_in(tmp_path, "x.ipynb") is None
    (tmp_path / "x (1).ipynb").touch()
    assert handed_in(tmp_path, "x.ipynb") == tmp_path / "x (1).ipynb"
    (tmp_path / "y.ipynb").touch()
    assert handed_in(tmp_path, "x.ipynb") is None
    (tmp_path / "x.ipynb").touch()
    assert handed_in(tmp_path, "x.ipynb") == tmp_path / "x.ipynb"
