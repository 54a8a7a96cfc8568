"""What is true at each character of a text: labels for probes, made by exact rules.

    labels = python_labels(text)  # of a text of N characters
    labels["in_string"]           # (N,), True where the reader is inside a string

Entry t of a label says what is true once character t has been read. It never depends on a later
character, because a probe reads it from the state of a network that has not read further, either.
So the quotation mark that opens a string is inside it, and the one that closes it is not.

`speaker` follows the layout of plays, and the labels of Python source follow Python's own
tokenizer. Karpathy et al. 2015 looked for units that follow quotes, line position and indentation.
"""

import ast
import io
import re
import tokenize
import warnings
from itertools import accumulate

import numpy as np

from lstmlib.validation import quoted

TAB = 8
"""Columns from one tab stop to the next, as Python's tokenizer has it."""
_F_STRING = {
    getattr(tokenize, f"{kind}STRING_{end}", None): step
    for kind in "FT"
    for end, step in (("START", 1), ("END", -1))
}
"""From Python 3.12 (t-strings: 3.14) an f-string is several tokens: how each changes the depth."""


def prose_labels(text: str) -> dict[str, np.ndarray]:
    """Return the labels of prose or of a play.

    - "inside_word", bool: the character is a letter, a digit, or an apostrophe after one of these.
    - "speaker", bool: the character belongs to a line that stands at the beginning of the text or
      after an empty line, and this line has had no colon yet. In Tiny Shakespeare these characters
      are the speaker's name. The colon and line ends are outside.
    - "line_position", float64: characters of this line so far; 0 at its line end.
    - "in_quotes", bool: a double quotation mark has been opened and not closed. A straight mark
      opens or closes in turn, a curly one as it is drawn. An empty line closes all, since a
      quotation over several paragraphs opens anew in each.

    Args:
        text: N characters, "\\n" line ends.

    Returns:
        name -> (N,).

    Raises:
        ValueError: the text is no string, is empty, or has other line ends.
    """
    _check_text(text)
    return {
        "inside_word": _inside_word(text),
        "speaker": _speaker(text),
        "line_position": _line_position(text),
        "in_quotes": _in_quotes(text),
    }


def python_labels(text: str) -> dict[str, np.ndarray]:
    """Return the labels of Python source, by Python's own tokenizer.

    - "in_string", bool: a string has been opened and not closed. An f-string is inside from its
      first quotation mark to its last, with all that stands in its braces. After two of the three
      marks that open a long string, the string counts as closed: up to there it is an empty one.
    - "in_comment", bool: from the # on, without the line end.
    - "in_name", bool: in an identifier or keyword. The letters before a string, such as the r of
      r"a", are a name as long as no quotation mark has come, and count as one.
    - "bracket_depth", float64: brackets (, [ and { opened and not closed, outside strings.
    - "indentation", float64: the columns before the first visible character of a line, from this
      character on; up to it, the value of the line before. A network that knows where the next line
      will begin has to carry it over the line end. An empty line changes nothing.
    - "line_position", float64: characters of this line so far; 0 at its line end.

    Label a whole text, and cut the labels: what stands inside a string is not to be seen from a
    piece of the text alone. So a text that is no valid source is refused.

    Args:
        text: N characters, "\\n" line ends; whole modules, also several one after the other.

    Returns:
        name -> (N,).

    Raises:
        ValueError: the text is no string, is empty, has other line ends, or is no valid Python.
    """
    _check_text(text)
    _check_python(text)
    in_string, in_comment, in_name = (np.zeros(len(text), dtype=bool) for _ in range(3))
    steps = np.zeros(len(text))  # by how much the depth of brackets changes at each character
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]  # of lines
    depth = 0  # of f-strings within f-strings
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        begin = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1]
        if token.type in _F_STRING:
            opened = depth == 0
            depth += _F_STRING[token.type]
            if opened:
                first = begin
            elif depth == 0:
                _mark_string(text, first, end, in_string, in_name)
        elif depth:
            continue
        elif token.type == tokenize.STRING:
            _mark_string(text, begin, end, in_string, in_name)
        elif token.type == tokenize.COMMENT:
            in_comment[begin:end] = True
        elif token.type == tokenize.NAME:
            in_name[begin:end] = True
        elif token.type == tokenize.OP and token.string in "([{)]}":
            steps[begin] = 1 if token.string in "([{" else -1
    return {
        "in_string": in_string,
        "in_comment": in_comment,
        "in_name": in_name,
        "bracket_depth": steps.cumsum(),
        "indentation": _indentation(text),
        "line_position": _line_position(text),
    }


def _check_text(text: str) -> None:
    """Raise ValueError unless a text is one that can be labelled."""
    if not isinstance(text, str) or not text:
        raise ValueError(f"The text is {quoted(text)}; give a string that is not empty.")
    if "\r" in text:
        raise ValueError('The text has line ends other than "\\n"; put it through clean() first.')


def _check_python(text: str) -> None:
    """Raise ValueError unless a text is valid Python, from its first character to its last."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of "\d", which an old module may have
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f" Python stops at line {line}: {error.msg}." if line else f" ({error})"
        raise ValueError(
            f"The text is no valid Python source.{where} Give whole modules: label the whole text, "
            "and cut the labels where you would have cut the text."
        ) from error


def _mark_string(
    text: str, begin: int, end: int, in_string: np.ndarray, in_name: np.ndarray
) -> None:
    """Mark the string literal text[begin:end], its prefix included."""
    mark = begin + re.match("[A-Za-z]*", text[begin:end]).end()  # of the first quotation mark
    in_name[begin:mark] = True
    in_string[mark : end - 1] = True
    if text[mark : mark + 3] in ('"""', "'''") and end - mark >= 6:
        in_string[mark + 1] = False


def _inside_word(text: str) -> np.ndarray:
    """Return where a character is part of a word, (N,) bool."""
    inside = np.zeros(len(text), dtype=bool)
    # An apostrophe may end a word or stand within it: which of the two is not known yet.
    for word in re.finditer(r"[^\W_]+['’]?", text):
        inside[word.start() : word.end()] = True
    return inside


def _speaker(text: str) -> np.ndarray:
    """Return where a character belongs to a speaker's name, (N,) bool."""
    inside = np.zeros(len(text), dtype=bool)
    for name in re.finditer(r"(?:\A|(?<=\n\n))[^:\n]+", text):
        inside[name.start() : name.end()] = True
    return inside


def _line_position(text: str) -> np.ndarray:
    """Return the number of characters since the last line end, (N,) float64; 0 at a line end."""
    at = np.arange(len(text))
    ends = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4") == ord("\n")
    last = np.maximum.accumulate(np.where(ends, at, -1))
    return (at - last).astype(float)


def _in_quotes(text: str) -> np.ndarray:
    """Return where a double quotation mark is open, (N,) bool."""
    steps = np.zeros(len(text), dtype=np.int8)  # 1 where quotes open, -1 where they close
    is_open = False
    for event in re.finditer('["“”]|\n\n', text):
        opens = event[0] == "“" or (event[0] == '"' and not is_open)
        steps[event.end() - 1] = opens - is_open  # at the mark, or at the empty line's end
        is_open = opens
    return steps.cumsum() > 0


def _indentation(text: str) -> np.ndarray:
    """Return the columns before a line's first visible character, from there on, (N,) float64."""
    columns = np.zeros(len(text))
    value, last = 0.0, 0
    for margin in re.finditer(r"^[ \t\f]*(?=[^ \t\f\n])", text, re.MULTILINE):
        columns[last : margin.end()] = value
        value, last = float(len(margin[0].expandtabs(TAB))), margin.end()
    columns[last:] = value
    return columns
