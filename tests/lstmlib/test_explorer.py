"""The page with a network in it, built where a notebook may build it; tests/page has the rest."""

import json
import re
import runpy

import pytest
import torch

from lstmlib import explorer
from lstmlib.explorer import description_of, explorer_page, policy_of, way_back
from lstmlib.models import CharRNN
from lstmlib.runtime import course_folder
from lstmlib.vocab import Vocab


@pytest.mark.parametrize("characters", ["абвгд \n", "老人慢走🙂。", "the <&>"])
def test_a_page_of_any_script(characters):
    vocab = Vocab(characters)
    torch.manual_seed(0)
    page = explorer_page(CharRNN(len(vocab), 8).half(), vocab, "It read <a> & b.", characters[:2])
    header = json.loads(re.search(r'id="header">(.*?)</script>', page, re.S)[1])
    assert header["tokens"] == sorted(set(characters)) and header["prompt"] == characters[:2]
    assert "It read &lt;a&gt; &amp; b." in page and "<!-- " not in page.split("<style>")[0][600:]


def test_the_command_builds_with_the_same_functions():
    program = runpy.run_path(str(course_folder() / "page" / "build.py"))
    assert program["build"] is explorer.explorer_page
    assert program["arrays_of"] is explorer.arrays_of


@pytest.mark.parametrize("prompt", [501 * "a", "a\rb"])
def test_a_prompt_that_the_field_cannot_hold_is_refused(prompt):
    """The page could write nothing on from it, and would open without a text."""
    with pytest.raises(ValueError, match="may have 500 characters, and no carriage return"):
        explorer_page(CharRNN(3, 4), Vocab("ab\r"), "", prompt)
    explorer_page(CharRNN(3, 4), Vocab("ab\r"), "", 500 * "a")
    script = (course_folder() / "page" / "explorer.js").read_text(encoding="utf-8")
    assert f"const LONGEST_PROMPT = {explorer.LONGEST_PROMPT};" in script


def test_small_parts():
    assert way_back(None) == "" and 'href="a&amp;b"' in way_back("a&b")
    vocab = Vocab("ab")
    said = description_of(CharRNN(2, 4, num_layers=1), vocab, "")
    assert said.startswith("The model: one LSTM layer of 4 units") and said.endswith("one of 2.")
    policy = policy_of(["x"], "y")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_without_the_course_there_is_no_page(monkeypatch, tmp_path):
    monkeypatch.setattr(explorer, "course_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError):
        explorer_page(CharRNN(2, 4), Vocab("ab"), "", "a")
