import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.annotations import prose_labels, python_labels
from lstmlib.cleaning import clean
from lstmlib.corpora import CorpusError, load_corpus

PLAY = """First Citizen:
Don't speak: hear me.

All:
Speak, speak.
"""
SOURCE = '''import re  # "no string"
def f(x, y=[1, {"a": (2, 3)}]):
    """A long
      string ' with a mark."""
    if x:
        z = r"\\d\\"" + f'{x!r}' + ""

        # 'a comment'
    return (x +
            0xff + 1e5)
'''


def shown(label, text):
    """Return the characters at which a label is true, the others as dots."""
    lines = "".join(c if on or c == "\n" else "." for c, on in zip(text, label, strict=True))
    return lines.split("\n")


# Prose


def test_a_play_by_hand():
    labels = prose_labels(PLAY)
    assert shown(labels["speaker"], PLAY)[:2] == ["First Citizen.", "." * 21]
    assert shown(labels["speaker"], PLAY)[2:] == ["", "All.", "." * 13, ""]
    assert shown(labels["inside_word"], PLAY)[1] == "Don't.speak..hear.me."
    assert labels["line_position"][:18].tolist() == [*range(1, 15), 0, 1, 2, 3]
    assert not labels["in_quotes"].any()


def test_quotes_by_hand():
    text = 'He said, "No." “Yes "or" no”\n"It is open\n\nand “closed".'
    assert shown(prose_labels(text)["in_quotes"], text) == [
        '........."No...“Yes ..." no.',  # a straight mark closes what is open, whatever opened it
        '"It is open',
        "",
        "....“closed..",
    ]


def test_an_apostrophe_is_within_a_word_as_far_as_anyone_can_tell():
    text = "'tis the boys' don''t x_1"
    assert shown(prose_labels(text)["inside_word"], text) == [".tis.the.boys'.don'.t.x.1"]


@given(st.text(alphabet="ab:'\n \"“”Z", min_size=1, max_size=40))
def test_no_label_of_prose_depends_on_what_comes_after(text):
    labels = prose_labels(text)
    for t in range(len(text)):
        for name, label in prose_labels(text[: t + 1]).items():
            assert (label == labels[name][: t + 1]).all(), (name, t)


def test_each_line_after_an_empty_one_names_a_speaker_in_shakespeare():
    """So the rule, which does not look ahead, is the layout: a line that ends in a colon."""
    try:
        text = load_corpus("shakespeare").text
    except CorpusError:
        pytest.skip("shakespeare is on no disk here, and there is no network")
    names = [block.partition("\n")[0] for block in re.split("\n\n+", text.rstrip("\n"))]
    assert all(name.index(":") == len(name) - 1 for name in names) and len(names) > 7000
    assert prose_labels(text)["speaker"].sum() == sum(len(name) - 1 for name in names)


# Python


def test_python_source_by_hand():
    labels = python_labels(SOURCE)
    assert shown(labels["in_string"], SOURCE) == [
        "." * 24,
        '................"a.............',
        '...."."A long',
        '      string \' with a mark."".',
        "." * 9,
        '............."\\d\\".....\'{x!r}....".',
        "",
        "." * 21,
        "." * 15,
        "." * 23,
        "",
    ]
    comments = [line for line in shown(labels["in_comment"], SOURCE) if line.strip(".")]
    assert comments == ['...........# "no string"', "........# 'a comment'"]
    names = shown(labels["in_name"], SOURCE)
    assert names[:2] == ["import.re" + "." * 15, "def.f.x..y....................."]
    assert names[5] == "........z...r.........f............"  # the letters before a string
    assert names[8:10] == ["....return..x..", "." * 23]  # 0xff and 1e5 are numbers


def test_depth_and_indentation_by_hand():
    labels = python_labels(SOURCE)
    lines = np.split(np.arange(len(SOURCE)), [k + 1 for k, c in enumerate(SOURCE) if c == "\n"])
    depth, indentation = (
        [labels[name][line].astype(int).tolist() for line in lines]
        for name in ("bracket_depth", "indentation")
    )
    assert depth[1] == [0] * 5 + [1] * 6 + [2] * 4 + [3] * 6 + [4] * 5 + [3, 2, 1, 0, 0, 0]
    assert depth[8:10] == [[0] * 11 + [1] * 5, [1] * 22 + [0] * 2]
    assert indentation[2] == [0] * 4 + [4] * 10  # the line before counts until a character is seen
    assert indentation[5:8] == [[4] * 8 + [8] * 28, [8], [8] * 22]
    assert indentation[9] == [4] * 12 + [12] * 12
    assert set(python_labels("if x:\n \ty = 1\n")["indentation"]) == {0, 8}  # to the next tab stop


def by_reading(text):
    """Label Python source character by character, looking at nothing that comes after."""
    rows, state, mark, depth, column, begun = [], "code", "", 0, 0, False
    value, position, empty, begin, t = 0, 0, "", 0, 0
    while t < len(text):
        c, escaped = text[t], False
        if state == "string":
            escaped = c == "\\"
            if not escaped and text.endswith(mark, begin + len(mark), t + 1):
                state, empty = "code", c * (len(mark) == 1 and t == begin + 1)
        elif state == "comment":
            state = "code" if c == "\n" else state
        elif c in "\"'":
            mark = c * 3 if empty == c else c
            state, empty, begin = "string", "", t - len(mark) + 1
        else:
            empty = ""
            if c == "#":
                state = "comment"
            elif c in "([{":
                depth += 1
            elif c in ")]}":
                depth -= 1
            elif not (c.isalnum() or c == "_" or (c == "." and state == "number")):
                state = "code"
            elif state == "code":
                after_a_point = t and text[t - 1] == "." and c.isdigit()
                state = "number" if c.isdigit() or after_a_point else "name"
            if c in "([{}])":
                state = "code"
        for c in text[t : t + 1 + escaped]:
            position = 0 if c == "\n" else position + 1
            if c == "\n":
                column, begun = 0, False
            elif not begun and c == "\t":
                column += 8 - column % 8
            elif not begun and c == " ":
                column += 1
            elif not begun:
                begun, value = True, column
            is_name = state == "name"
            rows.append((state == "string", state == "comment", is_name, depth, value, position))
        t += 1 + escaped
    names = ("in_string", "in_comment", "in_name", "bracket_depth", "indentation", "line_position")
    return dict(zip(names, np.array(rows).T, strict=True))


@pytest.mark.slow
def test_reading_character_by_character_gives_the_same_labels():
    """So no label depends on what comes after; and Python's tokenizer is read aright."""
    text = SOURCE
    if sys.version_info < (3, 12):  # from there on an f-string may hold its own quotation mark
        text += clean(load_corpus("python-source").text, ascii_only=True)[0]
    labels, read = python_labels(text), by_reading(text)
    for name, label in labels.items():
        wrong = np.flatnonzero(label != read[name])
        assert not len(wrong), (name, text[wrong[0] - 60 : wrong[0] + 1])
        assert label.dtype == (bool if name.startswith("in_") else np.float64)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="before 3.12 such a string is no source")
def test_an_f_string_is_a_string_to_its_own_end():
    text = 'x = f"a {f"{"b"}" + (1)} c" + y\n'
    labels = python_labels(text)
    assert shown(labels["in_string"], text)[0] == "....." + '"a {f"{"b"}" + (1)} c' + "....."
    assert not labels["bracket_depth"].any()
    assert shown(labels["in_name"], text)[0] == "x...f" + "." * 25 + "y"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("and a mark.'''\nx = 1\n", "no valid Python source. Python stops at line 1"),
        ("def f():\n", "Python stops at line 1: expected an indented block.*Give whole modules"),
        ("x = (1,\n", "Python stops at line 1: .*cut the labels where you would have cut the text"),
        ("x = '\0'\n", "no valid Python source"),
        ("x = 1\r\n", "line ends other than"),
        ("", "The text is ''; give a string that is not empty"),
        (b"x", "The text is b'x'; give a string"),
    ],
)
def test_what_cannot_be_labelled_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        python_labels(text)


@pytest.mark.parametrize("text", ["", None, "a\rb"])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(ValueError, match="The text"):
        prose_labels(text)
