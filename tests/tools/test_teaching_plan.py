"""The plan for teaching: computed minutes, and questions that have one right answer each."""

import re
import sys
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import teaching_plan as teaching  # noqa: E402
from teaching_plan import NOTEBOOKS, QUESTIONS, TEACHING, Reading, reading  # noqa: E402

# Reading minutes

TEXT = r"""## Two words

One *linked* [word](glossary.md#a-long-address) and $x + y$, don't count <b>tags</b>.

$$a = b + c
+ d$$

```python
in_a_block = 1

in_a_block = 2
```
"""


def figure(source, folded=False):
    data = {"image/png": "x", "text/plain": "<Figure>"}
    cell = new_code_cell(source, outputs=[new_output("display_data", data)])
    cell.metadata["jupyter"] = {"source_hidden": folded}
    return cell


def test_what_is_read_is_counted_each_in_its_kind():
    notebook = new_notebook(
        cells=[new_markdown_cell(TEXT), figure("a = 1\n\nb = 2"), figure("c", True)]
    )
    # One linked word and formula don't count tags, and two of the heading.
    assert reading(notebook) == Reading(words=10, formulas=1, figures=2, lines=5)


def test_minutes_are_those_of_the_rates():
    assert Reading(words=238, formulas=0, figures=0, lines=0).minutes == 1
    assert Reading(words=476, formulas=2, figures=4, lines=30).minutes == 2 + 1 + 2 + 2


def test_the_rates_in_the_plan_are_those_that_are_used():
    text = " ".join((TEACHING / "README.md").read_text("utf-8").split())
    assert f"{teaching.WORDS_A_MINUTE} words a minute" in text
    assert teaching.SECONDS_A_FORMULA == teaching.SECONDS_A_FIGURE == 30
    assert "half a minute for each displayed formula and each figure" in text
    assert f"{teaching.SECONDS_A_LINE} seconds for a line of code" in text


def test_a_solution_is_not_read_by_students():
    students = teaching.student_view("00")
    assert "### BEGIN SOLUTION" not in str(students)
    assert "Answer</summary>" not in str(students)


# The plan


def test_the_tables_are_what_the_program_makes():
    text = (TEACHING / "README.md").read_text("utf-8")
    assert teaching.filled_in(text) == text, "run: python tools/teaching_plan.py"
    assert len(re.findall("written by tools/teaching_plan.py: ", text)) == len(teaching.tables())


def test_running_minutes_are_the_measured_ones(monkeypatch, tmp_path):
    times = (ROOT / "notebooks/times.json").read_text("utf-8")
    (tmp_path / "notebooks").mkdir()
    changed = re.sub(r'"cpu": [\d.]+', '"cpu": 600.0', times)
    (tmp_path / "notebooks/times.json").write_text(changed)
    monkeypatch.setattr(teaching, "ROOT", tmp_path)
    assert teaching.running_minutes("00") == 10
    assert "| 10.0 min |" in teaching.tables()["chapters"]


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_exercises_and_sections_of_the_plan_exist(chapter):
    decided, there = teaching.plan()["chapters"][chapter], teaching.exercises(chapter)
    chosen = decided["homework"] + decided["leave_out"]
    assert len(set(chosen)) == len(chosen) and set(chosen) <= set(there)
    assert set(decided["sections"]) <= set(teaching.headings(chapter))


def test_a_term_has_every_chapter_once():
    plans = {each["name"]: each["rows"] for each in teaching.plan()["plans"]}
    assert len(plans["14 weeks"]) == 14 and len(plans["7 weeks"]) == 7
    assert [c for _, chapters, _ in plans["14 weeks"] for c in chapters] == list(NOTEBOOKS)
    for rows in plans.values():
        assert {c for _, chapters, _ in rows for c in chapters} <= set(NOTEBOOKS)


def test_no_part_of_the_plan_is_longer_than_two_screens():
    parts = re.split(r"^## ", (TEACHING / "README.md").read_text("utf-8"), flags=re.M)
    assert max(len(part.splitlines()) for part in parts) <= 80


# Questions


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_five_questions_each_with_one_right_choice_and_three_misconceptions(chapter):
    questions = teaching.questions(chapter)
    assert len(questions) == 5
    assert len({question["asks"] for question in questions}) == 5
    for question in questions:
        assert set(question) == {"section", "asks", "right", "because", "wrong"}
        assert question["section"] in teaching.headings(chapter), question["section"]
        assert len(question["wrong"]) == 3
        for wrong in question["wrong"]:
            assert set(wrong) == {"says", "thinks"} and len(wrong["thinks"]) > 20
        offered = list(teaching.choices(question))
        assert len({says for _, says, _ in offered}) == 4
        assert [thinks for _, _, thinks in offered].count("") == 1


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_a_page_is_what_the_program_makes_and_folds_its_answers(chapter):
    page = (QUESTIONS / f"{chapter}.md").read_text("utf-8")
    assert page == teaching.page(chapter), "run: python tools/teaching_plan.py"
    open_part = re.sub(r"<details>.*?</details>", "", page, flags=re.S)
    for question in teaching.questions(chapter):
        assert question["right"] in open_part and question["because"] not in open_part
        assert not any(wrong["thinks"] in open_part for wrong in question["wrong"])


def test_neither_place_nor_length_tells_the_right_choice():
    every = [question for chapter in NOTEBOOKS for question in teaching.questions(chapter)]
    letters = [
        letter for each in every for letter, _, thinks in teaching.choices(each) if not thinks
    ]
    assert all(len(every) / 8 < letters.count(letter) < len(every) / 2.5 for letter in "ABCD")
    longest = [all(len(q["right"]) > len(w["says"]) for w in q["wrong"]) for q in every]
    assert sum(longest) <= len(every) / 3


def test_there_is_no_question_without_a_chapter():
    assert {path.stem for path in QUESTIONS.iterdir()} == set(NOTEBOOKS)
