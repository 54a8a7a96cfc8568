"""Checks of the exercises of chapter 01."""

import unicodedata
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import array, call_answer, grade, number

_CURLY = "‘’“”"
_QUOTES = str.maketrans(dict(zip(_CURLY, "''\"\"", strict=True)))


def _first_lost(text: str, got: str) -> str | None:
    """Return the name of a character, neither curly quote nor white space, that a text lost."""
    for c in sorted(text, key=str.isascii):  # é tells more than e: two characters may become one
        if c not in _CURLY and not c.isspace() and got.count(c) < text.count(c):
            return f"U+{ord(c):04X} ({unicodedata.name(c, 'a control character').lower()})"
    return None


def straight_quotes(answer: Callable | None) -> None:
    """Check a function text -> text that turns the four curly quotes into straight ones."""

    def find_slip() -> str | None:
        texts = [
            "“I can’t,” he said, “say ‘yes’.”",
            "No quote.",
            "",
            "A “café” — ½ a cup.\n\n\tOui",
            " „Low“, «pointed» and `slanted`; 5′ 11″, 6'' too. ",
            "cafe\u0301 9\u00a0½ na\u00adme\r\na\fb",
        ]
        for text in texts:
            got = call_answer(answer, text)
            if got == text.translate(_QUOTES):
                continue
            if not isinstance(got, str):
                return f"a text is asked for, and yours is {type(got).__name__!r}."
            if got == text.encode("ascii", errors="ignore").decode() and "‘" in text:
                return "that deletes the quotes, so “can’t” is read as “cant”; replace them."
            left = [c for c in _CURLY if c in got]
            if left:
                return f"{left[0]!r} (U+{ord(left[0]):04X}) is still there; there are four of them."
            if "é" in text and "é" not in got:
                return (
                    "é is gone, too: the four quotes alone are to change, not all that is no ASCII."
                )
            if got.count("\n") < text.count("\n") or got.count("\r") < text.count("\r"):
                return "the line ends are gone, too; the four quotes alone are to change."
            lost = _first_lost(text, got)
            if lost:
                return f"{lost} is gone or changed; the four quotes alone are to change."
            if len(got) < len(text):
                return "white space is gone, too; the four quotes alone are to change."
            return "single curly quotes become ' and double ones become \"; nothing else changes."
        return None

    grade(answer, find_slip)


def one_line(answer: Callable | None) -> None:
    """Check a function text -> text on one line: single spaces, straight quotes, all else kept."""

    def reference(text: str) -> str:
        return " ".join(text.translate(_QUOTES).split())

    def find_slip() -> str | None:
        texts = [
            "“Stop,” he\nsaid.",
            "a café —\n\n  ‘open’ till ½ 9\t. ",
            "",
            " \n ",
            "Plain, isn’t it",
            "9\u00a0½\r\nmiles,\fcafe\u0301, na\u00adme, 5′ „low“",
            "\ufeffno\u200bspace",
        ]
        for text in texts:
            got, wanted = call_answer(answer, text), reference(text)
            if got == wanted:
                continue
            if not isinstance(got, str):
                return f"a text is asked for, and yours is {type(got).__name__!r}."
            if set("é—½") <= set(text) - set(got):
                return "é, — and ½ are lost: ASCII does not have them, and they are to stay."
            left = sorted(set(got) & set(_CURLY))
            if left:
                why = "`replace` returns a new text; keep it" if len(left) > 1 else "there are four"
                return f"the curly quote U+{ord(left[0]):04X} is still there: {why}."
            if any(got.count(c) < wanted.count(c) for c in "'\""):
                return "quotes are lost; each curly one becomes a straight one."
            if "hesaid" in got or "—'" in got:
                return "words grow together: a line end becomes a space, not nothing."
            if "\n" in got or "\t" in got:
                return "a line end or a tab is still there; each run of white space is one space."
            spaces = sorted(c for c in set(got) if c.isspace() and c != " ")
            if spaces:
                return f"U+{ord(spaces[0]):04X} is white space, too, and it is still there."
            lost = _first_lost(text, got)
            if lost and got.lower() != wanted.lower():
                return f"{lost} is gone or changed; all but white space and curly quotes stays."
            if "  " in got:
                return "two spaces follow each other; each run of white space is one space."
            if got.strip() == wanted:
                return "there is a space at one of the ends."
            return f"{text!r} should become {wanted!r}, and becomes {got!r}."
        return None

    grade(answer, find_slip)


_CAUSES = {
    1: "UTF-8 read as Windows-1252 makes two odd characters of ï, Ã and ¯.",
    2: "ASCII with errors ignored leaves nothing where ï stood.",
    3: "Windows-1252 read as UTF-8 leaves one � for ï.",
    4: "A byte-order mark that is kept stands before the first letter, and ï is whole.",
    5: "Without NFC, ï is an i and two dots: six characters in place of five.",
}
"""What each cause of the exercise does to the word naïve."""


def symptoms(answers: dict[str, int] | None) -> None:
    """Check what happened to the word naïve in five readings: "A" to "E" -> 1 to 5."""
    reference = {"A": 3, "B": 5, "C": 1, "D": 2, "E": 4}

    def find_slip() -> str | None:
        if not isinstance(answers, dict) or set(answers) != set(reference):
            return f"give a dict with a number for each of {', '.join(reference)}."
        for letter, cause in answers.items():
            if cause is ... or cause is None:
                return f"{letter} has no answer yet."
            if isinstance(cause, str):
                return f"{letter}: {cause!r} is a text; write the number without quotation marks."
            if cause not in list(_CAUSES):
                return f"{letter}: {cause!r} is no cause here; give a number from 1 to 5."
        for letter, cause in reference.items():
            if answers[letter] != cause:
                return f"{letter} is not {answers[letter]}. {_CAUSES[answers[letter]]}"
        return None

    grade(answers, find_slip)


def window_count(answer: Callable | None) -> None:
    """Check a function (n, length, step) -> how many windows with a target fit."""

    def reference(n: int, length: int, step: int) -> int:
        return (n - length - 1) // step + 1

    def find_slip() -> str | None:
        cases = [(10, 4, 1), (10, 4, 2), (11, 4, 2), (51, 50, 5), (1000, 50, 5), (9, 1, 100)]
        cases.append((13, 5, 3))  # 12 // 3 - 5 // 3 is not 7 // 3
        got = [number(call_answer(answer, *case)) for case in cases]
        if got == [reference(*case) for case in cases]:
            return None
        if got == [(n - length) // step + 1 for n, length, step in cases]:
            return "the last window needs a character after it to predict."
        if got == [(n - length - 1) // step for n, length, step in cases]:
            return "the window that starts at 0 counts too: one more."
        if got == [(n - length) // step for n, length, step in cases]:
            return "right where step is 1, and not always elsewhere; draw (11, 4, 2): there are 4."
        if got == [n // length for n, length, step in cases]:
            return "those are blocks that do not overlap; windows start every `step` characters."
        if any(count != int(count) for count in got):
            return "a number of windows is a whole number; divide with //."
        bad, count = next((c, g) for c, g in zip(cases, got, strict=True) if g != reference(*c))
        return f"{bad} gives {count:g}, but there are {reference(*bad)}; draw them and count."

    grade(answer, find_slip)


def stream_place(answer: Callable | None) -> None:
    """Check a function (b, k, t, batches, seq_len) -> the place in the text of one character."""

    def find_slip() -> str | None:
        rows, batches, seq_len = 3, 4, 5
        cases = [(b, k, t) for b in range(rows) for k in range(batches) for t in range(seq_len)]
        cases = [(*case, batches, seq_len) for case in cases] + [(2, 6, 0, 7, 2), (1, 0, 3, 1, 9)]
        got = [number(call_answer(answer, *case)) for case in cases]

        def equals(wrong: Callable) -> bool:
            return got == [wrong(*case) for case in cases]

        if equals(lambda b, k, t, batches, seq_len: (b * batches + k) * seq_len + t):
            return None
        if equals(lambda b, k, t, batches, seq_len: (b + k) * seq_len + t):
            return (
                "a row is longer than one batch: row b begins b · batches · seq_len characters in."
            )
        if equals(lambda b, k, t, batches, seq_len: k * seq_len + t):
            return "that is the place in the row; b whole rows stand in the text before it."
        if equals(lambda b, k, t, batches, seq_len: b * seq_len + t):
            return "that is right for batch 0 alone, and only where a row is one batch; where is k?"
        if equals(lambda b, k, t, batches, seq_len: b * batches * seq_len + t):
            return "k is missing: batch k goes on in each row where batch k - 1 stopped."
        if equals(lambda b, k, t, batches, seq_len: (b * batches + k) * seq_len + t + 1):
            return "places are counted from 0, as b, k and t are; that is the place of the target."
        case, place = next(
            (c, g)
            for c, g in zip(cases, got, strict=True)
            if g != (c[0] * c[3] + c[1]) * c[4] + c[2]
        )
        wanted = (case[0] * case[3] + case[1]) * case[4] + case[2]
        return (
            f"row {case[0]}, batch {case[1]}, column {case[2]}, of {case[3]} batches of {case[4]}: "
            f"place {wanted}, and yours is {place:g}. Rows come first, then batches, then columns."
        )

    grade(answer, find_slip)


def windows_apart(answer: Callable | None) -> None:
    """Check a function (n, length, step, cut) -> starts of windows before and behind the cut."""

    def find_slip() -> str | None:
        cases = [
            (30, 4, 3, 20),
            (100, 10, 1, 90),
            (1000, 50, 5, 900),
            (23, 5, 5, 12),
            (20, 5, 5, 18),
            (29, 4, 3, 15),
            (40, 10, 2, 5),
        ]
        for case in cases:
            slip = try_once(*case)
            if slip:
                return f"n, length, step, cut = {case}: {slip}"
        return None

    def try_once(n: int, length: int, step: int, cut: int) -> str | None:
        got = call_answer(answer, n, length, step, cut)
        if not isinstance(got, tuple | list) or len(got) != 2:
            return "return two arrays: the starts for training, and those for validation."
        parts = [array(part).ravel() for part in got]
        if any(part.dtype == bool for part in parts):
            return "those are masks, True or False for each window; return the starts themselves."
        if any(part.size and part.dtype.kind not in "iu" for part in parts):
            return "a start is a place in the text, a whole number; yours are of another type."
        training, validation = (part.tolist() for part in parts)
        for start in (*training, *validation):
            if start % step or start < 0:
                return f"no window begins at {start}; they begin at 0, step, 2 · step and so on."
            if start + length >= n:
                return f"behind the window at {start} no character is left to predict."
        reach = max(training, default=-1) + length
        if training and reach == cut:
            return f"the target of the training window at {max(training)} is at the cut, {cut}."
        if training and reach > cut:
            return f"the training window at {max(training)} reaches across the cut, to {reach}."
        if validation and min(validation) < cut:
            return f"the validation window at {min(validation)} reads text from before the cut."
        starts = range(0, n - length, step)
        wanted = [s for s in starts if s + length < cut], [s for s in starts if s >= cut]
        for name, ours, all_of in zip(
            ("training", "validation"), (training, validation), wanted, strict=True
        ):
            if len(ours) < len(all_of):
                return f"{len(all_of)} windows fit into the {name} part; yours are {len(ours)}."
            if ours != all_of:
                return f"give the starts of the {name} windows in order, each of them once."
        return None

    grade(answer, find_slip)


def add_one_probability(answer: Callable | None) -> None:
    """Check a function (pair_count, context_count, vocab_size) -> P(c | h), add-one smoothed."""

    def reference(pair_count: int, context_count: int, vocab_size: int) -> float:
        return (pair_count + 1) / (context_count + vocab_size)

    def find_slip() -> str | None:
        cases = [(3, 10, 5), (0, 10, 5), (7, 7, 2), (10, 1000, 88)]
        if number(call_answer(answer, 0, 10, 5)) == 0:
            return "a pair that was never seen gets probability 0, and one such pair costs ∞ nats."
        got = [number(call_answer(answer, *case)) for case in cases]
        if np.allclose(got, [(a + 1) / b for a, b, _ in cases]):
            return "(3 + 1) / 10: V ones were added to the counts, so their total is larger by V."
        if np.allclose(got, [(a + 1) / (b + 1) for a, b, _ in cases]):
            return "the probabilities of the V next characters must sum to 1; yours sum to more."
        if np.allclose(got, [a / (b + size) for a, b, size in cases]):
            return "the pair's own count grows by 1, too."
        wanted = [reference(*case) for case in cases]
        if np.allclose(got, wanted, rtol=0, atol=5e-3) and not np.allclose(got, wanted):
            return "nearly: return the fraction itself, and do not round it."
        if np.allclose(got, np.log(wanted)):
            return "that is the logarithm; the probability itself is asked for."
        if not np.allclose(got, wanted):
            return "add 1 to the count of each of the V possible pairs; the total grows by V."
        if not np.isclose(number(call_answer(answer, 0, 0, 5)), 0.2):
            return "a context that was never seen leaves every character equally likely, 1 / V."
        return None

    grade(answer, find_slip)


def witten_bell(answer: float | None) -> None:
    """Check P(s | i), counted on "mississippi" with Witten–Bell smoothing, to three places."""

    def find_slip() -> str | None:
        value = number(answer)

        def equals(other: float) -> bool:
            return abs(value - other) < 1e-3

        right = (2 + 2 / 3) / 5
        if abs(value - right) < 5.1e-4:
            return None
        if abs(value - right) < 5e-3:
            return "nearly: give three decimal places, rounded to the nearest."
        if equals((2 + 2 / 3) / 6):
            return (
                "the last i is followed by nothing, so it is no context: N(i) is 3. (Or did you "
                "work out P(i | s)? It has this value, too.)"
            )
        if equals(2 / 3):
            return "that is N(is) / N(i), without the smoothing."
        if equals((2 + 2 * 4 / 11) / 5):
            return "P(s) is smoothed, too: T = 4 characters, mixed with the uniform 1/4."
        if equals(0.5):
            return "P(s) is no 1/4; and T(i) counts different characters, s and p: two."
        if equals((2 + 1) / (3 + 4)):
            return "that is the add-one estimate; here T(i) of the weight goes to P(s)."
        if equals(1 / 3):
            return "that is P(s) without a context; now mix it with the counts behind i."
        return "find N(i), T(i), N(is) and P(s) first, and put them into the formula."

    grade(answer, find_slip)
