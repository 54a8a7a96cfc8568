"""The students' edition holds no answer and runs, the instructors' has them all."""

import ast
import builtins
import copy
import hashlib
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import editions  # noqa: E402
from editions import EditionError, File, broken_links, student, write  # noqa: E402
from student_notebook import SECRET, said, student_notebook, tags  # noqa: E402

from lstmlib.course import check  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = ROOT / "notebooks/10_five_systems.ipynb"
"""The chapter that takes the fewest seconds in the profile ci."""

# What a chapter teaches, or gives with an exercise, and a solution needs again.
TAUGHT = {
    "(dh, dc), (i, f, g, o, c_old, c) = dstate, cache",
    "for name, history in patients.items():",
    "for t in reversed(range(ids.shape[1])):",
    "logits, state = model(x, state)",
    "nn.utils.clip_grad_norm_(model.parameters(), limit)",
    "return powers / powers.sum()",
    "state = network.zero_state()",
    "for k in range(len(training)):",
}


def full(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# Leaks


def answers_of(path):
    """Return the right answers of a chapter that are no functions: exercise -> answers."""
    try:
        module = importlib.import_module(f"answers.ch{path.name[:2]}")
    except ModuleNotFoundError:  # a chapter without exercises
        return {}
    every = {name: exercise.right for name, exercise in module.EXERCISES.items()}
    return {name: right for name, right in every.items() if not callable(right[0])}


def distinctive(right):
    """Return the numbers of an answer that do not come by chance, as text; none if many do."""
    try:
        values = [np.ravel(np.asarray(each, dtype=float)) for each in right]
    except (TypeError, ValueError):
        return set()
    if any(v.shape != values[0].shape or not np.allclose(v, values[0], rtol=1e-2) for v in values):
        return set()
    texts = {f"{value:.3f}".rstrip("0") for value in values[0]}
    return {text for text in texts if len(text.partition(".")[2]) >= 3}


def pairs_in(text, answer):
    """Count the pairs of an answer that is a dict which stand in a text."""
    if not isinstance(answer, dict):
        return 0
    quoted = [(rf"[\"']{k}[\"']", rf"[\"']?{re.escape(str(v))}\b") for k, v in answer.items()]
    return sum(bool(re.search(rf"{key}: *{value}", text)) for key, value in quoted)


def lines_cut(notebook):
    """Return the lines that only an instructor may see, those of what an exercise gives left out.

    Short lines say nothing. The head of a function stands in the stub, on one line or on several.
    """
    cut = [cell.source for cell in notebook.cells if SECRET & tags(cell)]
    for cell in notebook.cells:
        cut += re.findall(r"<details>.*?</details>", cell.source, re.S)
    lines = {line.strip() for source in cut for line in source.splitlines()}
    stubs = [cell.source for cell in notebook.cells if "exercise" in tags(cell)]
    heads = re.findall(r"^def \w+\(\n(.*?)^\)", "\n".join(stubs), re.S | re.M)
    given = {line.strip() for head in heads for line in head.splitlines()}
    return {
        line
        for line in lines - TAUGHT - given
        if len(line) >= 24 and not re.match(r"def |check\.|<details|### ", line)
    }


def leaks(notebook, original, answers):
    """Return what a notebook tells of the answers that were cut from its original."""
    text = "\n".join(cell.source + "\n" + said(cell) for cell in notebook.cells)
    found = [mark for mark in ("# BEGIN SOLUTION", "<details", "<summary") if mark in text]
    found += [cell.source for cell in notebook.cells if SECRET & tags(cell)]
    found += [line for line in lines_cut(original) if line in text]
    exercises_on = text[text.rfind("\n## Exercises") :]
    for right in answers.values():
        numbers = distinctive(right)
        found += [n for n in numbers if re.search(rf"(?<![\d.]){n}", exercises_on)]
        if pairs_in(text, right[0]) >= 2:
            found.append(str(right[0]))
        if isinstance(right[0], str) and right[0] in text:
            found.append(right[0])
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
class TestStudentNotebook:
    def test_tells_no_answer(self, path):
        original = full(path)
        cut = student_notebook(original, path.name)
        assert not leaks(cut, original, answers_of(path))
        assert original == full(path), "the original is left alone"

    def test_is_the_first_cells_of_the_full_one_as_they_were_run(self, path):
        """So nbval, which runs the full one, has run this; and no cell needs what was cut."""
        original = full(path)
        left = code(student_notebook(original, path.name))
        assert left == code(original)[: len(left)]
        assert [cell.execution_count for cell in left] == list(range(1, len(left) + 1))
        for cell in left:
            if "exercise" in tags(cell):
                assert said(cell) == "not attempted yet"

    def test_keeps_all_other_text(self, path):
        """Cell by cell and word by word; figures are outputs, which the test above compares."""
        promise = r"The\s+solutions\s+stand\s+folded\s+at\s+the\s+end\."
        gone = re.compile(rf"<details>.*?</details>|^## Solutions$|{promise}", re.S | re.M)
        notebooks = full(path), student_notebook(full(path), path.name)
        before, after = (
            [gone.sub("", c.source).split() for c in cells if c.cell_type == "markdown"]
            for cells in ([c for c in n.cells if not SECRET & tags(c)] for n in notebooks)
        )
        assert [words for words in before if words] == after
        assert not gone.search("\n".join(c.source for c in notebooks[1].cells))

    def test_every_solution_can_be_pasted_in_and_is_right(self, path):
        """Each says "right" where it stands; in the exercise's place it has all names it needs."""
        cells = code(full(path))
        solutions = [cell for cell in cells if "solution" in tags(cell)]
        known = set(dir(builtins))
        for cell in cells:
            known |= names(cell.source, ast.Store)
            if "exercise" in tags(cell):
                called = re.search(r"^check\.(\w+)\(", cell.source, re.M)[1]
                (solution,) = [s for s in solutions if f"check.{called}(" in s.source]
                assert said(solution) == "right"
                known |= names(solution.source, ast.Store)  # as they are pasted in, in order
                assert names(solution.source, ast.Load) <= known, called


def names(source, context):
    """Return the names that a cell reads, or those that it gives a meaning to."""
    plain = "" if source.startswith("%%") else re.sub(r"^[%!].*", "pass", source, flags=re.M)
    found = set()
    for node in ast.walk(ast.parse(plain)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, context):
            found.add(node.id)
        if context is ast.Store:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.alias):
                found.add((node.asname or node.name).partition(".")[0])
    return found


def test_names_are_seen():
    source = "import a.b, c as d\nfor e in f:\n    def g(h):\n        return i\n%magic"
    assert names(source, ast.Store) == {"a", "d", "e", "g", "h"}
    assert names(source, ast.Load) == {"f", "i"}


LEAK_IN = ROOT / "notebooks/00_start_here.ipynb"


@pytest.mark.parametrize(
    "planted",
    [
        new_code_cell("### BEGIN SOLUTION\npass\n### END SOLUTION"),
        new_markdown_cell("<details>\nIt is so."),
        new_code_cell("pass", metadata={"tags": ["answer"]}),
        new_markdown_cell("The three are 0.658 and others."),
        new_code_cell(
            "1", outputs=[new_output("stream", text="at half: [0.6579 0.2368 0.1053]\n")]
        ),
        "a line of a solution",
        "a line of an answer",
    ],
)
def test_a_planted_leak_is_found(planted):
    original = full(LEAK_IN)
    cut = student_notebook(original, LEAK_IN.name)
    if isinstance(planted, str):
        kind = "### BEGIN" if "solution" in planted else "<details>"
        source = next(c.source for c in original.cells if kind in c.source)
        source = source[source.index(kind) :]
        lines = [line for line in source.splitlines() if line.strip() in lines_cut(original)]
        planted = new_markdown_cell("It helps to know:\n\n    " + lines[0])
    assert not leaks(cut, original, answers_of(LEAK_IN))
    cut.cells.append(planted)
    assert leaks(cut, original, answers_of(LEAK_IN))


def test_a_planted_table_of_answers_is_found():
    path = next(path for path in NOTEBOOKS if path.name.startswith("02"))
    original = full(path)
    cut = student_notebook(original, path.name)
    cut.cells.append(new_code_cell('{"A": "mean over streams", "E": "Wh.T forgotten"}'))
    assert leaks(cut, original, answers_of(path))


# What a check says of itself


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_docstring_of_a_check_tells_no_answer(path):
    for name, right in answers_of(path).items():
        text = getattr(check, name).__doc__
        numbers = distinctive(right)
        if isinstance(right[0], int | float):
            numbers = numbers | {f"{right[0]:g}"}
        found = [n for n in numbers if re.search(rf"(?<![\d.]){re.escape(n)}(?![\d.]*\d)", text)]
        assert not found and pairs_in(text, right[0]) < 2, name


# Notebooks that might let an answer through


def chapter(*cells):
    opening = new_markdown_cell("# 00 · A chapter\n\n[table](../README.md)")
    return new_notebook(cells=[opening, *cells, new_markdown_cell("---\nBack.")])


def exercise(says="not attempted yet\n", source="x = ...\ncheck.x(x)"):
    outputs = [new_output("stream", text=says)] if says else []
    return new_code_cell(source, metadata={"tags": ["exercise"]}, outputs=outputs)


def solution(tag="solution"):
    source = "### BEGIN SOLUTION\n# Why.\ncheck.x(1)\n### END SOLUTION"
    return new_code_cell(source, metadata={"tags": [tag] if tag else []})


HEADING = new_markdown_cell("## Solutions")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([exercise("right\n"), HEADING, solution()], "cell 2: the exercise says 'right'"),
        ([exercise(""), HEADING, solution()], "the exercise says ''"),
        ([exercise(source="x = 1\ncheck.x(x)")], "has no `...`"),
        ([exercise(source="x = ...\ncheck.x(x")], "the exercise is no Python"),
        ([exercise(), solution(), HEADING], "cell 3: .*stands before the heading"),
        ([exercise(), solution()], "stands before the heading"),
        ([exercise(), HEADING, solution(tag=None)], "give it the tag `solution`"),
        ([exercise(), solution(tag=None)], "give it the tag `solution`"),
        ([HEADING, solution(), new_code_cell("print(1)")], "Give it the tag `answer`"),
        ([HEADING, solution(), new_markdown_cell("It is 3.")], "Give it the tag `answer`"),
        ([new_markdown_cell("## Solutions\n\nThe first is 3.")], "text follows `## Solutions`"),
        ([new_markdown_cell("<details>\n<summary>A</summary>\n3")], "do not fit together"),
        ([new_markdown_cell("<details open><summary>A</summary>3</details>")], "do not fit"),
    ],
)
def test_a_notebook_that_might_tell_is_refused(cells, message):
    with pytest.raises(EditionError, match=message):
        student_notebook(chapter(*copy.deepcopy(cells)), "00_x.ipynb")


def test_a_notebook_without_solutions_is_cut_too():
    asked = "*To try.* What comes?\n\n<details><summary>Answer</summary>\n\n3.\n\n</details>"
    cut = student_notebook(chapter(new_markdown_cell(f"{asked}\n\n## Solutions")), "00_x.ipynb")
    assert [cell.source for cell in cut.cells][1:] == ["*To try.* What comes?", "---\nBack."]


def test_a_solution_below_its_heading_is_cut_with_it():
    told = new_markdown_cell("It is 3.", metadata={"tags": ["answer"]})
    cut = student_notebook(chapter(exercise(), HEADING, solution(), told), "00_x.ipynb")
    assert len(cut.cells) == 3 and "BEGIN" not in str(cut)


# An edition


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    if not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout")
    out = tmp_path_factory.mktemp("editions") / "student"
    write(student(), out)
    return out


def test_the_students_edition_holds_what_its_chapters_read_and_no_key(students):
    assert {path.name for path in NOTEBOOKS} == {
        path.name for path in (students / "notebooks").glob("*.ipynb")
    }
    for name in ("notebooks/glossary.md", "runs/README.md", "lstmlib/__init__.py", "Makefile"):
        assert (students / name).is_file()
    assert not (students / "tests").exists()
    assert not list(students.rglob("make_patients.py"))
    everything = "".join(p.read_text("utf-8") for p in students.rglob("*.md"))
    assert "BEGIN SOLUTION" not in everything and "CONTRIBUTING.md)" not in everything
    readme = (students / "README.md").read_text("utf-8")
    assert "## For instructors" not in readme and "## Licence" in readme
    makefile = (students / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^(\w+)[\w ]*:(?!=)", makefile, re.M))
    assert targets == {"help", "lab", "clean"}
    for name in re.findall(r"(tools/\w+\.\w+)", makefile):
        assert (students / name).is_file(), name


def test_the_files_that_chapters_name_are_in_the_students_edition(students):
    for path in NOTEBOOKS:
        source = "\n".join(cell.source for cell in code(full(path)))
        for name in re.findall(r"""["']((?:runs|benchmarks|datasets)/[\w./-]+)["']""", source):
            assert (students / name).exists() == (ROOT / name).exists(), name


FOR_INSTRUCTORS = {".ci", "book", "CHANGELOG.md", "CONTRIBUTING.md", "teaching", "tests", "tools"}
FOR_INSTRUCTORS |= {"answer-key", "SHA256SUMS"}  # where the instructors' edition became a checkout
FOR_INSTRUCTORS |= {".gitattributes", ".gitignore", ".pre-commit-config.yaml", "HUB.md"}


def test_of_every_folder_it_is_said_for_whom_it_is(students):
    """A new one goes into FOR_STUDENTS of tools/editions.py, or into the list above."""
    there = {name.partition("/")[0] for name in editions.tracked(ROOT)}
    decided = {name.partition("/")[0] for name in editions.FOR_STUDENTS} | FOR_INSTRUCTORS
    assert there <= decided


def test_checksums_are_those_of_the_files(students):
    lines = (students / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((students / name).read_bytes()).hexdigest() == digest
    files = [path for path in students.rglob("*") if path.is_file()]
    assert len(lines) == len(files) - 1


def test_the_students_edition_runs_unsolved_and_solutions_pasted_in_are_right(
    students, monkeypatch
):
    """One chapter for real, in one run: each stub, and after it the solution in its place."""
    original = full(SMALL)
    notebook = full(students / "notebooks" / SMALL.name)
    solutions = [cell.source for cell in code(original) if "solution" in tags(cell)]
    cells = [new_code_cell("import lstmlib; print(lstmlib.__file__)")]
    for cell in notebook.cells:
        cells.append(cell)
        if "exercise" in tags(cell):
            called = re.search(r"^check\.\w+\(", cell.source, re.M)[0]
            pasted = next(source for source in solutions if called in source)
            cells.append(new_code_cell(pasted, metadata={"tags": ["pasted"]}))
    notebook.cells = cells
    monkeypatch.setenv("PYTHONPATH", str(students))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    where = {"metadata": {"path": str(students / "notebooks")}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    assert said(notebook.cells[0]).startswith(str(students))
    says = {"exercise": "not attempted yet", "pasted": "right"}
    for tag, text in says.items():
        found = [said(cell) for cell in notebook.cells if tag in tags(cell)]
        assert found == [text] * len(solutions) and found


# Links


def test_links_are_followed_from_where_they_stand():
    page = "[a](b.md#two-words) `[x](no.md)` [d](../c) [e](https://x.org) [f](#one)\n# One\n"
    files = {"n/a.md": File(page.encode()), "n/b.md": File(b"## Two words\n"), "c/d.txt": File(b"")}
    assert broken_links(files) == []
    files["n/g.md"] = File(b"[a](b.md#three) [b](h.md) [c](../../out.md)")
    assert [each.partition(": ")[2] for each in broken_links(files)] == [
        "b.md#three",
        "h.md",
        "../../out.md",
    ]


def test_what_the_pages_for_students_name_is_there_or_said_to_be_elsewhere():
    files = student()
    named = r"(?:tests|tools|experiments|benchmarks|page|lstmlib|datasets|teaching)/[\w./-]*"
    is_there = {name for file in files for name in (file, *folders_of(file))}
    missing = [
        (name, path)
        for name in files
        if name.endswith(".md")
        for part in re.split(r"\n\n|\n(?=[|-])", files[name].content.decode())
        for path in re.findall(rf"`({named})`", part)
        if path.rstrip("/") not in is_there and "full course" not in part
    ]
    assert not missing


def folders_of(file):
    return [str(folder) for folder in PurePosixPath(file).parents]


def test_an_edition_with_a_broken_link_is_not_written(tmp_path):
    with pytest.raises(EditionError, match=r"a.md: b.md"):
        write({"a.md": File(b"[b](b.md)")}, tmp_path / "out")
    assert not list(tmp_path.iterdir())


# Writing


ONE = {"a.md": File(b"one"), "n/run": File(b"two", program=True)}


def test_a_second_run_replaces_the_first(tmp_path):
    out = tmp_path / "deep/out"
    write(ONE, out)
    assert (out / "n/run").stat().st_mode & 0o111 and not (out / "a.md").stat().st_mode & 0o111
    (out / "n/__pycache__").mkdir()
    (out / "n/__pycache__/x.pyc").write_bytes(b"")  # Python's, when somebody ran it there
    write({"a.md": File(b"three")}, out)
    assert sorted(p.name for p in out.rglob("*")) == ["SHA256SUMS", "a.md"]
    assert (out / "a.md").read_bytes() == b"three"
    assert [path.name for path in out.parent.iterdir()] == ["out"], "nothing is left beside it"


@pytest.mark.parametrize("change", ["other folder", "file added", "file changed", "a file"])
def test_a_folder_that_holds_other_things_is_left_alone(tmp_path, change):
    out = tmp_path / "out"
    if change == "a file":
        out.write_text("mine")
    elif change == "other folder":
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    else:
        write(ONE, out)
        (out / ("mine.txt" if "added" in change else "a.md")).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EditionError, match="holds what is no edition as it was written"):
        write(ONE, out)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "out").mkdir()
    write(ONE, tmp_path / "out")
    assert (tmp_path / "out/a.md").is_file()


def test_where_nothing_can_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EditionError, match=r"could not be written to .*Name another folder"):
        write(ONE, tmp_path / "file/out")


@pytest.mark.parametrize("step", ["chmod", "rename"])
def test_a_write_that_fails_leaves_the_old_edition(tmp_path, monkeypatch, step):
    out, real = tmp_path / "out", getattr(Path, step)
    write(ONE, out)

    def full_disk(path, target):
        if path.name not in ("out", "old"):  # what is new
            raise OSError(28, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, step, full_disk)
    with pytest.raises(EditionError, match="No space left on device"):
        write({"a.md": File(b"three")}, out)
    assert (out / "a.md").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("git", [True, False])
def test_only_a_checkout_can_be_written_from_and_how_to_make_one_is_said(
    tmp_path, monkeypatch, git
):
    """As an unpacked release is none, and may stand where there is no git."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "a.md").write_text("")
    if not git:
        monkeypatch.setenv("PATH", "")
    with pytest.raises(EditionError, match="no git checkout") as refused:
        editions.tracked(tmp_path)
    if git and os.name != "nt":
        command = str(refused.value).partition("with git: ")[2]
        person = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER")
                  for what in ("NAME", "EMAIL")}  # fmt: skip
        subprocess.run(["sh", "-c", command], check=True, env={**os.environ, **person})
        assert editions.tracked(tmp_path) == ["a.md"]


@pytest.mark.parametrize("content", [b"not json", b"{}", b"\xff\xfe", b""])
def test_a_file_that_is_no_notebook_is_named(tmp_path, content):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/00_x.ipynb").write_bytes(content)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    with pytest.raises(EditionError, match=r"^notebooks/00_x\.ipynb is no notebook: [^\n]+$"):
        student(tmp_path)


def test_the_command_says_what_is_wrong_in_one_line(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    program = [sys.executable, str(ROOT / "tools/editions.py"), "student", "--out", str(tmp_path)]
    run = subprocess.run(program, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert "holds what is no edition" in run.stderr and "Traceback" not in run.stderr
