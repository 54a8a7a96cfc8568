"""Right and wrong answers to the exercises of chapter 01."""

import re
import unicodedata

import numpy as np

from answers import Exercise, raises
from lstmlib.cleaning import clean, to_ascii

STRAIGHT = str.maketrans("‘’“”", "''\"\"")


def replaced(text):
    for curly, straight in zip("‘’“”", "''\"\"", strict=True):
        text = text.replace(curly, straight)
    return text


def broken_line(text):
    """The function that the exercise prints."""
    for curly, straight in [("‘", "'"), ("’", "'"), ("“", '"')]:
        text.replace(curly, straight)
    text = text.encode("ascii", errors="ignore").decode()
    return text.replace("\n", "").strip()


def starts(n, length, step):
    return np.arange(0, n - length, step)


def apart(n, length, step, cut):
    s = starts(n, length, step)
    return s[s + length < cut], s[s >= cut]


def from_runs(characters):
    """Return a function that makes one space of each run of some characters alone."""
    return lambda text: re.sub(f"[{characters}]+", " ", replaced(text)).strip(" ")


def last_lost(n, length, step, cut):
    s = np.arange(0, n - length - 1, step)
    return s[s + length < cut], s[s >= cut]


KEY = {"A": 3, "B": 5, "C": 1, "D": 2, "E": 4}


def forgets(*given):
    list(given)


EXERCISES = {
    "straight_quotes": Exercise(
        right=[lambda text: text.translate(STRAIGHT), replaced],
        wrong=[
            (lambda text: text.encode("ascii", "ignore").decode(), "deletes"),
            (lambda text: text.translate(str.maketrans("‘’“", "''\"")), "U+201D"),
            (lambda text: text, "still there"),
            (forgets, "forget `return`"),
            (lambda text: text.translate(str.maketrans("‘’“”", "\"\"''")), "single curly"),
            (lambda text: to_ascii(text), "é is gone"),
            (lambda text: clean(text, straight_quotes=True, ascii_only=True)[0], "é is gone"),
            (
                lambda text: clean(text, straight_quotes=True, newlines="space")[0],
                "line ends are gone",
            ),
            (lambda text: text.translate(STRAIGHT).lower(), "U+0049"),
            (lambda text: list(text), "a text is asked for"),
            (lambda text: replaced(text).strip(), "white space is gone"),
            (lambda text: "\n".join(replaced(text).splitlines()), "line ends are gone"),
            (lambda text: unicodedata.normalize("NFC", replaced(text)), "U+0301"),
            (lambda text: unicodedata.normalize("NFKC", replaced(text)), "U+00BD"),
            (lambda text: clean(text, straight_quotes=True)[0], "U+201E"),
            (lambda text: replaced(text).replace("«", '"').replace("»", '"'), "U+00AB"),
            (lambda text: replaced(text).replace("`", "'").replace("′", "'"), "U+2032"),
            (lambda text: replaced(text).replace("''", '"'), "U+0027 (apostrophe)"),
            (lambda text: replaced(text).replace("\xad", ""), "U+00AD (soft hyphen)"),
            (lambda text: replaced(text).replace("—", "--"), "U+2014 (em dash)"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "sign", "dtype", "in_place"),
    ),
    "one_line": Exercise(
        right=[
            lambda text: " ".join(text.translate(STRAIGHT).split()),
            lambda text: re.sub(r"\s+", " ", replaced(text)).strip(),
        ],
        wrong=[
            (broken_line, "quotes are lost"),
            (lambda text: broken_line(replaced(text)), "words grow together"),
            (lambda text: to_ascii(" ".join(text.split())), "are lost"),
            (lambda text: " ".join(text.split()), "is still there"),
            (lambda text: " ".join(re.sub("[‘’“”]", "", text).split()), "quotes are lost"),
            (lambda text: re.sub(r"\s", " ", replaced(text)).strip(), "two spaces"),
            (lambda text: replaced(text).strip(), "a line end or a tab"),
            (lambda text: re.sub(r"\s+", " ", replaced(text)), "at one of the ends"),
            (lambda text: " ".join(replaced(text).split()).lower(), "should become"),
            (lambda text: text.split(), "a text is asked for"),
            (lambda text: " ".join(replaced(text).replace("\ufeff", "").split()), "U+FEFF"),
            (lambda text: " ".join(replaced(text).replace("\u200b", " ").split()), "U+200B"),
            (from_runs(r" \n"), "a line end or a tab"),
            (from_runs(r" \n\t"), "U+000C is white space"),
            (from_runs(r" \n\t\r\f"), "U+00A0 is white space"),
            (lambda text: re.sub(r"\s+", " ", replaced(text), flags=re.A).strip(), "U+00A0"),
            (lambda text: " ".join(replaced(text).replace("\xad", "").split()), "U+00AD"),
            (lambda text: " ".join(unicodedata.normalize("NFC", replaced(text)).split()), "U+0301"),
            (
                lambda text: unicodedata.normalize("NFKC", " ".join(replaced(text).split())),
                "U+00BD",
            ),
            (lambda text: clean(text, straight_quotes=True, newlines="space")[0].strip(), "U+0301"),
            (
                lambda text: " ".join(text.translate(str.maketrans("‘’“", "''\"")).split()),
                "are four",
            ),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "sign", "dtype", "in_place"),
    ),
    "symptoms": Exercise(
        right=[KEY, dict(reversed(KEY.items()))],
        wrong=[
            (KEY | {"A": 1}, "A is not 1. UTF-8 read as Windows-1252"),
            (KEY | {"B": 4}, "B is not 4"),
            (KEY | {"C": 3}, "C is not 3. Windows-1252 read as UTF-8"),
            (KEY | {"D": 3}, "D is not 3"),
            (KEY | {"E": 5}, "E is not 5"),
            (KEY | {"E": 6}, "E: 6 is no cause"),
            (KEY | {"C": ...}, "C has no answer yet"),
            (KEY | {"D": None}, "D has no answer yet"),
            (KEY | {"E": [4]}, "no cause"),
            (KEY | {"F": 1}, "a number for each of A, B"),
            ([3, 5, 1, 2, 4], "give a dict"),
            ({letter: str(cause) for letter, cause in KEY.items()}, "without quotation marks"),
        ],
        unmoved=("off_by_one", "axis_swapped", "sign", "dtype"),
    ),
    "window_count": Exercise(
        right=[
            lambda n, length, step: (n - length - 1) // step + 1,
            lambda n, length, step: len(range(0, n - length, step)),
            lambda n, length, step: -(-(n - length) // step),
        ],
        wrong=[
            (lambda n, length, step: (n - length) // step + 1, "after it to predict"),
            (lambda n, length, step: (n - length - 1) // step, "starts at 0"),
            (lambda n, length, step: (n - length) // step, "right where step is 1"),
            (lambda n, length, step: (n - 1) // step - length // step + 1, "(13, 5, 3) gives 4"),
            (lambda n, length, step: (n - 1) // step - length // step, "draw them"),
            (lambda n, length, step: n // length, "do not overlap"),
            (lambda n, length, step: n, "draw them"),
            (lambda n, length, step: (n - length - 1) / step + 1, "whole number"),
            (lambda n, length, step: "6", "finite number"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "stream_place": Exercise(
        right=[
            lambda b, k, t, batches, T: (b * batches + k) * T + t,
            lambda b, k, t, batches, T: range(b * batches * T, (b + 1) * batches * T)[k * T + t],
        ],
        wrong=[
            (lambda b, k, t, batches, T: (b + k) * T + t, "longer than one batch"),
            (lambda b, k, t, batches, T: k * T + t, "place in the row"),
            (lambda b, k, t, batches, T: b * T + t, "where is k"),
            (lambda b, k, t, batches, T: b * batches * T + t, "k is missing"),
            (lambda b, k, t, batches, T: (b * batches + k) * T + t + 1, "of the target"),
            (lambda b, k, t, batches, T: (k * 3 + b) * T + t, "Rows come first"),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "windows_apart": Exercise(
        right=[
            apart,
            lambda n, length, step, cut: (
                [s for s in range(0, n, step) if s + length + 1 <= cut],
                list(range(-(-cut // step) * step, n - length, step)),
            ),
        ],
        wrong=[
            (
                lambda n, length, step, cut: tuple(
                    np.split(np.random.default_rng(1).permutation(starts(n, length, step)), [5])
                ),
                "cut",
            ),
            (
                lambda n, length, step, cut: (
                    starts(n, length, step)[starts(n, length, step) < cut],
                    apart(n, length, step, cut)[1],
                ),
                "across the cut",
            ),
            (
                lambda n, length, step, cut: (
                    [s for s in starts(n, length, step) if s + length <= cut],
                    apart(n, length, step, cut)[1],
                ),
                "is at the cut",
            ),
            (
                lambda n, length, step, cut: (
                    apart(n, length, step, cut)[0],
                    [s for s in starts(n, length, step) if s + length >= cut],
                ),
                "from before the cut",
            ),
            (
                lambda n, length, step, cut: (
                    apart(n, length, step, cut)[0],
                    [s for s in range(0, n - length + 1, step) if s >= cut],
                ),
                "no character is left",
            ),
            (
                lambda n, length, step, cut: (
                    apart(n, length, step, cut)[0],
                    np.arange(cut, n - length, step),
                ),
                "no window begins at 20",
            ),
            (
                lambda n, length, step, cut: (
                    apart(n, length, step, cut)[0][:-1],
                    apart(n, length, step, cut)[1],
                ),
                "windows fit into the training part",
            ),
            (
                lambda n, length, step, cut: (
                    apart(n, length, step, cut)[0],
                    apart(n, length, step, cut)[1][::-1],
                ),
                "in order",
            ),
            (lambda n, length, step, cut: starts(n, length, step), "two arrays"),
            (last_lost, "(29, 4, 3, 15): 4 windows fit into the validation part; yours are 3"),
            (
                lambda n, length, step, cut: (
                    starts(n, length, step) + length < cut,
                    starts(n, length, step) >= cut,
                ),
                "masks",
            ),
            (
                lambda n, length, step, cut: tuple(s + 0.5 for s in apart(n, length, step, cut)),
                "a whole number",
            ),
            (
                lambda n, length, step, cut: (
                    starts(n, length, step)[: (cut - length - 1) // step + 1],
                    apart(n, length, step, cut)[1],
                ),
                "(40, 10, 2, 5)",
            ),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "dtype", "in_place"),
    ),
    "add_one_probability": Exercise(
        right=[
            lambda pair, context, size: (pair + 1) / (context + size),
            lambda pair, context, size: np.float64(pair + 1) / sum([context, size]),
        ],
        wrong=[
            (lambda pair, context, size: pair / context, "∞ nats"),
            (lambda pair, context, size: (pair + 1) / context, "total is larger by V"),
            (lambda pair, context, size: (pair + 1) / (context + 1), "sum to more"),
            (lambda pair, context, size: (pair + 1) / (context + 2 * size), "add 1"),
            (lambda pair, context, size: round((pair + 1) / (context + size), 3), "do not round"),
            (lambda pair, context, size: np.log((pair + 1) / (context + size)), "logarithm"),
            (lambda pair, context, size: max(pair, 1e-9) / (context + size), "grows by 1, too"),
            (
                lambda pair, context, size: (pair + 1) / (context + size) if context else 0.0,
                "never seen leaves",
            ),
            (forgets, "forget `return`"),
            (raises, "oh no"),
        ],
        unmoved=("axis_swapped", "in_place"),
    ),
    "witten_bell": Exercise(
        right=[(2 + 2 / 3) / 5, 0.533, np.float64(8 / 15)],
        wrong=[
            ((2 + 2 / 3) / 6, "N(i) is 3"),
            ((2 + 2 / 3) / 6, "P(i | s)"),
            (0.534, "three decimal places"),
            (0.53, "three decimal places"),
            (2 / 3, "without the smoothing"),
            ((2 + 2 * 4 / 11) / 5, "P(s) is smoothed, too"),
            (0.5, "P(s) is no 1/4"),
            (3 / 7, "add-one"),
            (1 / 3, "without a context"),
            (0.9, "find N(i)"),
            ("8/15", "finite number"),
        ],
        unmoved=("axis_swapped",),
    ),
}
