"""Feedback has its formulas without a script, and no dollar of a student's code is one."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("nbgrader")
pytest.importorskip("docutils")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

from grading_feedback import FeedbackExporter, with_formulas  # noqa: E402
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output  # noqa: E402


def test_what_a_check_says_stands_once_and_no_script_is_left():
    said = "not yet: a long line" + " of a check" * 20
    outputs = [
        new_output("stream", text=f"printed by the answer\n{said}\n"),
        new_output("error", ename="NotYet", evalue=said, traceback=[f"NotYet: {said}"]),
    ]
    cells = [new_markdown_cell("Of $x$."), new_code_cell("check.x(x)", outputs=outputs)]
    page, _ = FeedbackExporter(template_name="classic").from_notebook_node(
        new_notebook(cells=cells)
    )
    body = page.partition("<body")[2]
    assert body.count(said) == 1 and "printed by the answer" in body
    assert "libs/mathjax" not in page and "<math" in body


def test_formulas_become_mathml():
    made = with_formulas("<p>Of $a &lt; b$ and <em>$$x_1 \\dots$$</em></p>")
    assert made.count("<math") == 2 and made.count('display="block"') == 1
    assert "<mo>&lt;</mo>" in made and "$" not in made


@pytest.mark.parametrize(
    "text",
    [
        "<p>It costs $5.</p>",
        "<code>$a$</code> and <pre>$b$\n$$c$$</pre>",
        "<p>Cannot be read: $\\nonsense{$</p>",
    ],
)
def test_what_is_no_formula_stays_as_it_is(text):
    assert with_formulas(text) == text
