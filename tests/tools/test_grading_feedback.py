"""Feedback has its formulas without a script, and no dollar of a student's code is one."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("nbgrader")
pytest.importorskip("docutils")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

from grading_feedback import with_formulas  # noqa: E402


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
