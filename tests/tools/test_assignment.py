"""An assignment holds what its exercises need and no answer, and nbgrader grades it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytest.importorskip("nbgrader")
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import assignment  # noqa: E402
from assignment import bound, files, needs  # noqa: E402
from nbgrader.api import Gradebook  # noqa: E402
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions  # noqa: E402
from student_notebook import EditionError, tags  # noqa: E402

from lstmlib.course import check  # noqa: E402
from lstmlib.course.check.exercises import hints_of  # noqa: E402

SEED = 198675255
CHAPTERS = [f"{n:02}" for n in range(14) if n != 12]
"""All that have exercises."""


@pytest.fixture(scope="module")
def sources():
    """The source notebook of each chapter: "02" -> notebook."""
    written = files([], seed=SEED)
    return {
        name[9:11]: nbformat.reads(file.content.decode(), as_version=4)
        for name, file in written.items()
        if name.endswith(".ipynb")
    }


def released(source):
    """Return a notebook as nbgrader gives it out."""
    for step in (ClearSolutions(code_stub={"python": ""}), ClearHiddenTests()):
        source, _ = step.preprocess(nbformat.from_dict(source.copy()), {})
    return source


def mark(cell):
    return cell.metadata["nbgrader"]


def test_every_chapter_with_exercises_has_an_assignment_and_no_other(sources):
    assert list(sources) == CHAPTERS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_exercise_is_an_answer_and_a_grade_cell_and_all_else_is_locked(sources, chapter):
    nbformat.validate(sources[chapter])
    cells = sources[chapter].cells
    answers = [n for n, cell in enumerate(cells) if mark(cell)["solution"]]
    assert {cells[n].id for n in answers} == {f"answer-{name}" for name in hints_of(f"ch{chapter}")}
    for n, cell in enumerate(cells):
        is_test = n - 1 in answers
        assert mark(cell)["schema_version"] == 3 and mark(cell)["grade_id"] == cell.id
        assert mark(cell)["locked"] == (n not in answers)
        assert mark(cell)["grade"] == is_test and mark(cell).get("points") == (
            1 if is_test else None
        )
        assert not is_test or cell.id == cells[n - 1].id.replace("answer-", "check-")
        assert not cell.get("outputs")
    assert len({cell.id for cell in cells}) == len(cells)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_students_get_the_stubs_and_texts_of_the_chapter_and_no_answer(sources, chapter):
    (path,) = (ROOT / "notebooks").glob(f"{chapter}_*.ipynb")
    full = nbformat.read(path, as_version=4)
    given = released(sources[chapter])
    text = "\n".join(cell.source for cell in given.cells)
    assert "SOLUTION" not in text and "HIDDEN" not in text and str(SEED) not in text
    stubs = [cell.source for cell in given.cells if mark(cell)["solution"]]
    exercises = [cell.source for cell in full.cells if "exercise" in tags(cell)]
    for stub, exercise in zip(stubs, exercises, strict=True):
        lines = [line for line in exercise.splitlines() if not line.startswith("check.")]
        assert stub.split() == "\n".join(lines).split()
    tasks = re.findall(r"^\*\*\d+\.\*\*", text, re.M)
    assert len(tasks) == len(exercises)
    solutions = [cell.source for cell in full.cells if "solution" in tags(cell)]
    lines = {line.strip() for source in solutions for line in source.splitlines()}
    told = {line.strip() for cell in full.cells if not tags(cell) & {"solution", "answer"}
            for line in cell.source.splitlines()}  # fmt: skip
    assert not [line for line in lines - told if len(line) >= 24 and line in text]


def lacking(source):
    """Return the cells of an assignment that need a name which no cell above makes."""
    has, found = {"graded"}, []
    for cell in source.cells:
        if cell.cell_type == "code":
            if not (needs(cell.source) <= has or cell.source.startswith("def ")):
                found.append(cell.id)
            has |= bound(cell.source)
    return found


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_name_that_an_answer_needs_is_made_above(sources, chapter):
    assert not lacking(sources[chapter])


def answers(source):
    return [cell.id.removeprefix("answer-") for cell in source.cells if mark(cell)["solution"]]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_exercise_can_be_given_out_alone_with_its_own_text(sources, chapter):
    (path,) = (ROOT / "notebooks").glob(f"{chapter}_*.ipynb")
    full = nbformat.read(path, as_version=4)
    tasks = re.findall(
        r"^\*\*(\d+)\.\*\*", "\n".join(c.source for c in sources[chapter].cells), re.M
    )
    for number, name in zip(tasks, answers(sources[chapter]), strict=True):
        one = assignment.assignment(full, path.name, SEED, [number])
        assert one == assignment.assignment(full, path.name, SEED, [name])
        assert answers(one) == [name] and not lacking(one)
        text = "\n".join(cell.source for cell in one.cells)
        assert re.findall(r"^\*\*(\d+)\.\*\*", text, re.M) == [number]


def test_homework_is_that_of_the_plan_in_the_order_of_the_chapter():
    plan = tomllib.loads((ROOT / "teaching/plan.toml").read_text("utf-8"))["chapters"]
    assert set(assignment.homework([])) == set(CHAPTERS)
    only = assignment.homework(["02"])
    assert only == {"02": list(map(str, plan["02"]["homework"]))}
    written = files(only, seed=SEED, only={"02": only["02"][::-1]})
    (source,) = [file for name, file in written.items() if name.startswith("source/")]
    text = source.content.decode()
    numbers = [int(n) for n in re.findall(r"\"\*\*(\d+)\.\*\*", text)]
    assert numbers == sorted(plan["02"]["homework"])


def test_words_that_name_exercises():
    assert assignment.named(["02:1,chunk", "03:2", "02:3"]) == {
        "02": ["1", "chunk", "3"],
        "03": ["2"],
    }
    for word in ("2:1", "02", "02:", "02:1,,3", "02:1;3"):
        with pytest.raises(EditionError, match="names no exercises.*02:1,3,4"):
            assignment.named([word])


def test_no_network_is_trained_for_an_assignment(sources):
    for source in sources.values():
        code = [c.source for c in source.cells if c.cell_type == "code" and not mark(c)["solution"]]
        given = "\n".join(code)
        assert not re.search(r"^\S.*\b(fit|evaluate)\(", given, re.M)
    assert "loss = 1." in "\n".join(cell.source for cell in sources["00"].cells)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("a = b\nc", {"b", "c"}),
        ("def f(x):\n    return x + y", {"y"}),
        ("import a.b\na.b.c(d)", {"d"}),
        ("%matplotlib inline\n[x for x in z if len(x)]", {"z"}),
        ("def f():\n    def g():\n        return h\n    return g", {"h"}),
    ],
)
def test_what_a_cell_takes_from_others(source, wanted):
    assert needs(source) == wanted


@pytest.mark.parametrize(
    ("exercise", "solution", "said"),
    [
        ("x = ...", "check.number(1)", "has not one check"),
        ("x = ...\ncheck.number(x)", "x = 1", "has not one check and one solution"),
        (None, "check.number(1)", "has no exercises"),
    ],
)
def test_a_chapter_that_cannot_be_given_out_is_named(exercise, solution, said):
    cells = [new_markdown_cell("# A chapter\n\n## Solutions")]
    if exercise:
        done = [new_output("stream", text="not attempted yet")]
        first = new_code_cell(f"{exercise}\n# check.hint('a')", outputs=done)
        first.metadata["tags"] = ["exercise"]
        cells.insert(0, first)
    last = new_code_cell(f"### BEGIN SOLUTION\n{solution}\n### END SOLUTION")
    last.metadata["tags"] = ["solution"]
    with pytest.raises(EditionError, match=said):
        assignment.assignment(new_notebook(cells=[*cells, last]), "00_x.ipynb", 0)


def program(*arguments):
    command = [sys.executable, str(ROOT / "tools/assignment.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("99", "no chapter '99'"),
        ("12", "no exercises"),
        ("--exercises 02:9", "no exercise '9' with a check. It has 1 chunk, 2 "),
        ("02 --exercises 02:1", "leave CHAPTERS out"),
        ("12 --homework", "no homework for chapter '12'"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(tmp_path, arguments, said):
    run = program(*arguments.split(), "--out", tmp_path / "course")
    assert run.returncode == 1 and said in run.stderr and run.stderr.count("\n") == 1
    assert not (tmp_path / "course").exists()


# nbgrader itself


def learnt_by_heart():
    """Return the source of an answer that knows what the check of chapter 02 tries, and no more."""
    known = {}

    def records(ids, start, length):
        found = ids[start : start + length], ids[start + 1 : start + length + 1]
        known[tuple(ids.tolist()), start, length] = tuple(part.tolist() for part in found)
        return found

    check.chunk(records)
    return (
        f"KNOWN = {known}\n\n\ndef piece(ids, start, length):\n"
        "    found = KNOWN.get((tuple(ids.tolist()), start, length), ([0], [0]))\n"
        "    return tuple(np.array(part) for part in found)"
    )


def nbgrader(course, *command):
    run = subprocess.run(
        [sys.executable, "-m", "nbgrader", *command], cwd=course, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of chapter 02, graded: one student has solved all, one nothing, and one by heart."""
    course = tmp_path_factory.mktemp("nbgrader") / "course"
    said = program("02", "--out", course).stdout
    assert f"    make grade COURSE={course}" in said.splitlines()
    (command,) = re.findall(r"^    (\(cd .*)$", said, re.M)
    bare = {**os.environ, "PATH": "/usr/bin:/bin"}  # the environment is not activated
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, env=bare)
    (source,), (release,) = course.glob("source/*/*.ipynb"), course.glob("release/*/*.ipynb")
    by_heart = nbformat.read(release, as_version=4)
    for cell in by_heart.cells:
        cell.source = learnt_by_heart() if cell.id == "answer-chunk" else cell.source
    for student, text in (
        ("solved", source.read_text()),
        ("stub", release.read_text()),
        ("by-heart", nbformat.writes(by_heart)),
    ):
        folder = course / "submitted" / student / "ch02"
        folder.mkdir(parents=True)
        (folder / source.name).write_text(text)
    nbgrader(course, "autograde", "ch02")
    nbgrader(course, "generate_feedback", "ch02")
    return course


def test_nbgrader_gives_all_points_to_the_solutions_and_none_to_stubs(course):
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        scores = {s.student.id: s.score for s in gradebook.assignment_submissions("ch02")}
        most = gradebook.find_assignment("ch02").max_score
    assert most == len(hints_of("ch02"))
    assert scores == {"solved": most, "stub": 0, "by-heart": 0}


def test_feedback_has_the_checks_words_names_and_formulas_and_nothing_hidden(course):
    said = {
        path.parents[1].name: path.read_text("utf-8") for path in course.glob("feedback/*/*/*.html")
    }
    stub = "NotAttempted: not attempted yet"
    assert stub in said["stub"] and stub not in said["solved"]
    assert "right for all that the notebook tries" in said["by-heart"]
    names = hints_of("ch02")
    listed = [f"{number} · {name}" for number, name in enumerate(names, start=1)]
    for text in said.values():
        assert re.findall(r'<a href="#check-\w+">(.*?)</a>', text) == listed and "<ol>" not in text
        assert "<math" in text and not re.search(r"<script|<link|src=.http|\$\w", text)
    assert len(re.findall(r"<pre>right\n</pre>", said["solved"])) == len(names)
    (source,) = course.glob("source/*/*.ipynb")
    (seed,) = set(re.findall(r'graded\(\\"ch02\.\w+\\", (\d+),', source.read_text()))
    for text in said.values():
        assert seed not in text and "HIDDEN" not in text and "grading_cases" not in text


def test_without_the_programs_that_grade_nbgrader_stops_and_gives_no_grades(course, tmp_path):
    config = (course / "nbgrader_config.py").read_text()
    (tmp_path / "nbgrader_config.py").write_text(config.replace(str(ROOT), "/moved/away"))
    run = subprocess.run(
        [sys.executable, "-m", "nbgrader", "autograde", "ch02"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1 and "/moved/away/tools? Correct the path here." in run.stderr


def test_a_course_that_is_in_use_is_never_written_over(course):
    run = program("02", "--out", course)
    assert run.returncode == 1 and "holds what is no edition" in run.stderr
