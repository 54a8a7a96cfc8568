"""A class in a box is graded to the last submission, and a report says how a class did."""

import csv
import re
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytest.importorskip("nbgrader")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package
sys.path.insert(0, str(ROOT / "tests/support"))

from class_report import (  # noqa: E402
    OUTCOMES,
    UNREADABLE,
    Row,
    as_csv,
    kinds_of_words,
    points_of,
    rows_of,
    trial,
    write_report,
)
from nbgrader.api import Gradebook  # noqa: E402
from submissions import KINDS, fits  # noqa: E402

# A small class whose numbers are known: two exercises, six students

NOT_YET = "not yet: the answer is {}, and 3 < 4 is asked for."
CLASS = {
    "anna": [None, None],
    "ben": [None, ("NotAttempted", "not attempted yet")],
    "carla": [("NotYet", NOT_YET.format(7)), ("Ended", "your code ended Python itself.")],
    "dora": [("NotYet", NOT_YET.format("1.5e-3")), ("NotYet", "not yet: another thing.")],
    "emil": [
        ("NotYet", "not yet: your code stopped with ValueError: <b>no</b>"),
        ("NameError", "name 'second' is not defined"),
    ],
    "fred": "The file is empty.",
    "gina": None,  # nbgrader could not grade it
}


def graded(errors):
    """Return a notebook as nbgrader leaves it, with an error of each check, or without."""
    cells = [new_markdown_cell("**3.** Do it.")]
    for name, error in zip(("first", "second"), errors, strict=True):
        answer, test = (
            new_code_cell("…", id=f"answer-{name}"),
            new_code_cell("", id=f"check-{name}"),
        )
        if error:
            kind, words = error
            test.outputs = [new_output("error", ename=kind, evalue=words, traceback=[])]
            if kind == "NameError":  # the answer stopped before it made the name
                told = new_output("error", ename="SyntaxError", evalue="=oh", traceback=[])
                answer.outputs = [told]
        cells += [answer, test, new_markdown_cell("Then.\n\n**5.** Do more.")]
    return new_notebook(cells=cells)


def lay(path, notebook):
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


@pytest.fixture
def course(tmp_path):
    lay(tmp_path / "release/ch02/x.ipynb", graded([None, None]))
    for student, errors in CLASS.items():
        (tmp_path / "submitted" / student / "ch02").mkdir(parents=True)
        notebook = graded([None, None] if isinstance(errors, str | None) else errors)
        if isinstance(errors, str):
            notebook.metadata["unreadable"] = errors
        if student == "ben":
            notebook.metadata["mended"] = ["`first`: 2 cells were taken."]
        if errors is not None:
            lay(tmp_path / "autograded" / student / "ch02/x.ipynb", notebook)
    return tmp_path


def test_each_answer_has_its_row(course):
    rows = {(row.student, row.exercise): (row.outcome, row.words) for row in rows_of(course)}
    assert len(rows) == 2 * len(CLASS)
    assert rows["anna", "first"] == ("right", "")
    assert rows["ben", "second"] == ("not attempted", "")
    assert rows["carla", "first"] == ("wrong", "the answer is 7, and 3 < 4 is asked for.")
    assert rows["carla", "second"] == ("failed to run", "your code ended Python itself.")
    assert rows["emil", "first"][0] == "failed to run"
    assert rows["emil", "second"] == ("failed to run", "SyntaxError: =oh")
    assert rows["fred", "first"] == rows["gina", "second"] == (UNREADABLE, "")


def test_the_table_and_the_page_say_the_same(course):
    write_report(course)
    with open(course / "report.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["outcome"] for line in lines] == [row.outcome for row in rows_of(course)]
    assert {line["note"] for line in lines if line["student"] == "ben"} == {
        "`first`: 2 cells were taken."
    }
    assert [(line["number"], line["exercise"]) for line in lines[:2]] == [
        ("3", "first"),
        ("5", "second"),
    ]
    page = (course / "report.html").read_text("utf-8")
    assert "<td>3 · first</td>" in page and "<h4>5 · second</h4>" in page
    assert "7 submissions, 2 of them not readable" in page
    shares = {
        exercise: re.findall(r"(\d+)% \((\d+)\)", line)
        for exercise, line in re.findall(r"<tr><td>\d · (\w+)</td>(.*?)</tr>", page)
    }
    assert len(OUTCOMES) == 4
    assert shares["first"] == [("40", "2"), ("40", "2"), ("0", "0"), ("20", "1")]
    assert shares["second"] == [("20", "1"), ("20", "1"), ("20", "1"), ("40", "2")]
    assert "<li>2 × the answer is 7, and 3 &lt; 4 is asked for.</li>" in page
    assert "<b>fred</b>: The file is empty." in page and "<b>ben</b>" in page
    assert "<b>no</b>" not in page, "a student's text is no HTML"
    assert not re.search(r"https?:|<script|<link|src=", page), "it needs no network"


def test_each_student_has_points_by_chapter_and_together(course):
    lay(course / "release/ch03/y.ipynb", graded([None, None]))
    (course / "submitted/anna/ch03").mkdir()
    lay(course / "autograded/anna/ch03/y.ipynb", graded([None, ("NotAttempted", "")]))
    write_report(course)
    with open(course / "points.csv", newline="", encoding="utf-8") as file:
        lines = {line.pop("student"): line for line in csv.DictReader(file)}
    assert lines["anna"] == {"ch02": "2", "ch03": "1", "points": "3"}
    assert lines["ben"] == {"ch02": "1", "ch03": "", "points": "1"}
    assert lines["fred"]["points"] == "0" and set(lines) == set(CLASS)
    with open(course / "report.csv", newline="", encoding="utf-8") as file:
        points = [line["points"] for line in csv.DictReader(file)]
    assert sum(map(int, points)) == sum(int(line["points"]) for line in lines.values())
    page = (course / "report.html").read_text("utf-8")
    assert "<tr><td>anna</td><td>2</td><td>1</td><td>3</td></tr>" in page
    assert "<tr><td>mean</td><td>0.4</td><td>1.0</td><td>0.6</td></tr>" in page


def test_a_cell_of_the_table_is_no_formula(course):
    rows = rows_of(course)
    rows[0] = rows[0]._replace(words="=cmd()")
    assert ",'=cmd()," in as_csv(rows)


def test_the_most_frequent_words_come_first_and_numbers_make_no_difference():
    said = ["b 1", "a 2.5", "a 3", "", "a -1e9"]
    rows = [Row("s", "ch02", "1", "x", 0, "wrong", words, "") for words in said]
    assert kinds_of_words(rows) == [(2, "a 2.5"), (1, "b 1"), (1, "a -1e9")]


def program(name, *arguments):
    command = [sys.executable, str(ROOT / "tools" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def here(monkeypatch, name, *arguments):
    """Run a program in this process, which has loaded nbgrader: (exit status, words)."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools" / name), run_name="__main__")
    code = ended.value.code
    return (1, code) if isinstance(code, str) else (code, "")


def test_the_commands_say_what_is_wrong_in_one_line(tmp_path, monkeypatch, capfd):
    for name, said in (("class_report.py", "Nothing is graded"), ("grading_run.py", "no course")):
        run = program(name, tmp_path)
        assert run.returncode == 1 and said in run.stderr and run.stderr.count("\n") == 1
    (tmp_path / "nbgrader_config.py").touch()
    for arguments, said in (([], "Nothing was handed in"), (["03"], "no source/ch03")):
        status, words = here(monkeypatch, "grading_run.py", tmp_path, *arguments)
        assert status == 1 and said in words and "\n" not in words
        assert capfd.readouterr().err == ""
    assert here(monkeypatch, "class_report.py") == (2, "")


# A class in a box


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A class that is made up, every kind of mangling once, and the rows that are wrong."""
    course = tmp_path_factory.mktemp("box") / "course"
    return course, trial(len(KINDS), "02", course, seconds=2)


def test_every_submission_is_graded_and_no_answer_pays_for_another(box):
    course, wrong = box
    assert wrong == []
    rows = rows_of(course)
    students = {row.student for row in rows}
    assert len(students) == len(KINDS) and len(rows) == 8 * len(KINDS)
    assert {row.outcome for row in rows} == {*OUTCOMES, UNREADABLE}


def test_the_gradebook_has_a_point_for_each_right_answer(box):
    course, _ = box
    right = dict.fromkeys((row.student for row in rows_of(course)), 0)
    for row in rows_of(course):
        right[row.student] += row.outcome == "right"
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        scores = {s.student.id: s.score for s in gradebook.assignment_submissions("ch02")}
    points = {student: together for student, *_, together in points_of(rows_of(course))[1:]}
    assert scores == right == points and sum(scores.values()) > len(KINDS)


def test_what_was_handed_in_stays_as_it_was_and_each_student_gets_feedback(box):
    course, _ = box
    (release,) = course.glob("release/ch02/*.ipynb")
    empty = [p for p in course.glob("submitted/*/ch02/*") if p.stat().st_size == 0]
    assert len(empty) == 1, "nothing was written over"
    assert len(list(course.glob("feedback/*/ch02/*.html"))) == len(KINDS)
    unreadable = {row.student for row in rows_of(course) if row.outcome == UNREADABLE}
    for student in unreadable:
        (path,) = (course / "feedback" / student).rglob(f"{release.stem}.html")
        assert "Nothing could be graded" in path.read_text("utf-8")


def test_an_outcome_that_is_not_expected_is_found():
    assert fits("right", ("right",)) and fits("wrong", None)
    assert not fits("right", ("wrong", "failed to run")) and not fits("not readable", ("wrong",))
