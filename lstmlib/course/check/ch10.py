"""Checks of the exercises of chapter 10."""

import copy
import math
from collections.abc import Callable, Mapping

import numpy as np

from lstmlib.course.check.exercises import Slip, call_answer, grade, near, number

SMOOTH_LOSS = 43.88
"""The published figure of case E: a sum over LENGTH characters, in nats."""
LENGTH = 25


def bits_of_e(answer: float | None) -> None:
    """Check the published loss of case E in bits per character."""

    def find_slip() -> str | None:
        got = number(answer)
        mean = SMOOTH_LOSS / LENGTH
        slips = {
            mean / math.log(2): None,
            mean: "that is in nats; a bit is ln 2 nats.",
            mean * math.log(2): "a bit is smaller than a nat, so there are more bits than nats.",
            SMOOTH_LOSS / math.log(2): "those are the bits of 25 characters; one is asked for.",
            SMOOTH_LOSS: "that is the published figure itself: nats, of 25 characters.",
            math.exp(mean): "that is the perplexity; divide the nats by ln 2 for bits.",
            mean / math.log(10): "that is to base 10; a bit is to base 2.",
            SMOOTH_LOSS * LENGTH / math.log(2): "the 25 characters are in the figure already: it "
            "is their sum.",
        }
        for value, slip in slips.items():
            if math.isclose(got, value, rel_tol=2e-3):  # three digits are enough
                return slip
        return "two steps: from the sum to the mean of a character, and from nats to bits."

    grade(answer, find_slip)


def parameters(answer: Callable | None) -> None:
    """Check a function (tokens, hidden, layers) -> parameters of case A's kind of network."""

    def parts(V: int, H: int, L: int) -> tuple[int, int, int]:
        first, upper = 4 * H * (V + H + 2), 4 * H * (H + H + 2)
        return first, (L - 1) * upper, H * V + V

    def find_slip() -> str | None:
        cases = [(52, 128, 2), (65, 3, 1), (2, 7, 4), (78, 128, 2)]
        V, H, L = cases[0]
        got = number(call_answer(answer, V, H, L))
        first, upper, output = parts(V, H, L)
        right = first + upper + output
        biases = 4 * H * L
        slips = {
            right
            - biases: "PyTorch's LSTM has two biases for each gate, and one of them is enough "
            "to compute the same; count both.",
            right - 2 * biases: "the gates have biases, two each in PyTorch.",
            right - V: "the output layer has a bias for each token.",
            right - output: "the output layer is missing: H to V, and a bias.",
            (first + upper) / 4 + output: "four gates: each has weights of its own.",
            first + (L - 1) * first + output: "the second layer reads the H outputs of the first, "
            "and not the V tokens.",
            first + output: "that is a network of one layer.",
            right + V * H: "case A reads one-hot characters: there is no embedding.",
        }
        for value, slip in slips.items():
            if math.isclose(got, value):
                return slip
        for case in cases:
            got = number(call_answer(answer, *case))
            if got != sum(parts(*case)):
                V, H, L = case
                layers = f"{L} layer{'s' * (L > 1)}"
                return (
                    f"with {V} tokens and {layers} of {H} there are {sum(parts(*case)):,} "
                    f"parameters, and yours gives {got:,.0f}."
                )
        return None

    grade(answer, find_slip)


def mended_table(answer: Callable | None) -> None:
    """Check a function (loss, unit, per, characters) -> nats per character."""

    def reference(loss: float, unit: str, per: str, characters: int) -> float:
        nats = loss * math.log(2) if unit == "bits" else loss
        return nats / characters if per == "sequence" else nats

    def find_slip() -> str | None:
        cases = [
            (1.2048, "nats", "character", 50),
            (43.88, "nats", "sequence", 25),
            (2.0, "bits", "character", 100),
            (250.0, "bits", "sequence", 100),
            (1.4759, "nats", "character", 1),
        ]
        got = [number(call_answer(answer, *case)) for case in cases]
        right = [reference(*case) for case in cases]
        ok = [near(a, b) for a, b in zip(got, right, strict=True)]
        if all(ok):
            return None
        mean = cases[0][0]
        if any(near(got[0], x) for x in (mean * math.log(2), mean / math.log(2))):
            return "a loss in nats stays in nats; only bits are brought to nats."
        if not ok[0]:
            return "a mean of a character stays as it is, however long the sequences were."
        if not ok[1]:
            return "a sum over a sequence is divided by that sequence's own number of characters."
        if near(got[2], 2.0 / math.log(2)):
            return "a bit is ln 2 = 0.69 nats: fewer nats than bits."
        if not ok[2]:
            return "2 bits are 2 ln 2 = 1.386 nats, also where a character has them."
        if near(got[3], 250 * math.log(2) / LENGTH):
            return "25 is the length of case E's sequences alone: divide by `characters`."
        if not ok[3]:
            return "a loss can be a sum and in bits: then both steps are needed."
        return "at one character a sequence, sum and mean are the same."

    grade(answer, find_slip)


def seconds_per_million(answer: Callable | None) -> None:
    """Check a function rows -> seconds of training for a million characters."""

    def find_slip() -> str | None:
        even = [{"characters": 2500 * k, "seconds": 0.05 * k} for k in range(1, 5)]
        uneven = [
            {"characters": 1000, "seconds": 4.0},
            {"characters": 51_000, "seconds": 5.0},
            {"characters": 450_000, "seconds": 30.0},
        ]
        for rows in (even, uneven, even[:1]):
            given = copy.deepcopy(rows)
            got = number(call_answer(answer, given))
            if given != rows:
                return "your function changes what it was given; work on a copy."
            last = rows[-1]
            right = last["seconds"] / last["characters"] * 1e6
            shares = [row["seconds"] / row["characters"] for row in rows]
            slips = {
                right: None,
                1e12 / right: "upside down: those are characters for a million seconds.",
                1e6 / right: "those are characters for a second.",
                right / 1e6: "that is for one character; a million are asked for.",
                right / 1e3: "that is for a thousand characters; a million are asked for.",
            }
            if not near(got, right):
                total = sum(r["seconds"] for r in rows) / sum(r["characters"] for r in rows) * 1e6
                slips[1e6 * sum(shares) / len(shares)] = (
                    "a mean of the rows' ratios counts the first rows again in every later one."
                )
                slips[total] = "the rows are sums already: the last one has all before it."
                slips[1e6 * shares[0]] = "that is of the first row; the last one has the whole run."
            for value, slip in slips.items():
                if near(got, value):
                    if slip is None:
                        break
                    return slip
            else:
                return (
                    f"{last['characters']:,} characters in {last['seconds']:g} s are {right:.4g} s "
                    f"for a million, and yours gives {got:.4g}."
                )
        return None

    grade(answer, find_slip)


def best_step(answer: Callable | None) -> None:
    """Check a function rows -> the step whose network has the lowest validation loss."""

    def rows_of(*losses: float | None) -> list[dict]:
        return [
            {"step": 234 * k, "loss": 5.0 - k, "valid_loss": loss}
            for k, loss in enumerate(losses, 1)
        ]

    def find_slip() -> str | None:
        dying = rows_of(2.83, None, 2.04, None, 1.84, 1.88, 2.47, None)
        cases = {
            "the rows without a validation loss must be passed over.": rows_of(None, 2.0, 1.5),
            "a run may be at its best in the end.": rows_of(3.0, 2.0, 1.9),
            "or at its beginning.": rows_of(1.9, 2.0, 3.0),
            "of equal losses take the earliest step: it cost less.": rows_of(2.0, 1.5, 1.7, 1.5),
            "a loss that is not a number is no lowest loss.": rows_of(math.nan, 2.5, 2.0, math.nan),
            "a loss may rise and later fall again: look at all rows.": rows_of(2.0, 2.2, 1.8, 1.9),
            "a loss of 0 is a loss, too: ask whether it `is not None`.": rows_of(0.5, 0.0, 0.7),
            "all losses may be high: begin with infinity, or with the first that is a number.": (
                rows_of(5000.0, 4000.0, None)
            ),
        }
        got = call_answer(answer, copy.deepcopy(dying))
        if got == dying[-1]["step"]:
            return "that is the last step, or the lowest training loss; this text died later."
        if isinstance(got, Mapping):
            return "the step alone is asked for, not its whole row."
        if got == 1.84:
            return "that is the loss; at which step was it?"
        if number(got) == 4:
            return "that is the place in the list; the rows have a step."
        if number(got) != 1170:
            said = ", ".join(f"{row['step']}: {row['valid_loss']}" for row in dying)
            return f"in these rows (step: loss) it is 1170, and yours gives {got}. {said}."
        for slip, rows in cases.items():
            given = copy.deepcopy(rows)
            right = min(
                (r["valid_loss"], r["step"])
                for r in rows
                if r["valid_loss"] is not None and not math.isnan(r["valid_loss"])
            )[1]
            try:
                found = number(call_answer(answer, given))
            except Slip as stopped:
                if "returns nothing" in str(stopped):  # it did return a step above
                    return slip
                raise
            if found != right:
                return slip
            if str(given) != str(rows):
                return "your function changes what it was given; work on a copy."
        return None

    grade(answer, find_slip)


def without_case(answer: Callable | None) -> None:
    """Check a function (p, tokens) -> probabilities of the tokens without their case."""

    def reference(p: np.ndarray, tokens: list[str]) -> dict[str, float]:
        total: dict[str, float] = {}
        for token, share in zip(tokens, p.tolist(), strict=True):
            total[token.lower()] = total.get(token.lower(), 0.0) + share
        return total

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        cases = [
            (np.array([0.1, 0.2, 0.3, 0.4]), [" ", "A", "a", "b"]),
            (np.array([0.25, 0.25, 0.5]), ["Q", ".", "x"]),  # Q has no small form here
            (rng.dirichlet(np.ones(7)), ["\n", "É", "é", "Z", "z", "7", "m"]),
            (np.array([0.5, 0.2, 0.3]), ["ß", "s", "S"]),  # a small letter stays, whatever it is
        ]
        for p, tokens in cases:
            given = p.copy(), list(tokens)
            got = call_answer(answer, *given)
            if not np.array_equal(given[0], p) or given[1] != tokens:
                return "your function changes what it was given; work on a copy."
            if not isinstance(got, Mapping):
                raise Slip("a dictionary is asked for: token -> probability.")
            right = reference(p, tokens)
            if any(token != token.lower() for token in got):
                return "a capital letter is still among the tokens; their text has none."
            if set(got) != set(right):
                lost, more = sorted(set(right) - set(got)), sorted(set(got) - set(right))
                if lost and lost[0] not in tokens:
                    return (
                        f"{lost} is missing: the small form of a capital gets a place of its own."
                    )
                if lost and not more:
                    return f"{lost} is missing: a token that is no capital stays as it is."
                return f"{more} is no small form of a token: `lower` makes the small form."
            values = {token: number(share) for token, share in got.items()}
            if all(near(values[t], right[t]) for t in right):
                continue
            if near(sum(values.values()), 1.0):
                return "they sum to 1, but a letter has the probabilities of both its forms."
            if sum(values.values()) < 1:
                return "some probability is lost: a later form must be added to the earlier one."
            return "the probabilities sum to more than 1; each is counted once."
        return None

    grade(answer, find_slip)


def samples_needed(answer: Callable | None) -> None:
    """Check a function (share, chance) -> how many samples show at least one right one."""

    def right(share: float, chance: float) -> int:
        n = max(1, math.ceil(math.log(1 - chance) / math.log(1 - share)) - 1)
        while 1 - (1 - share) ** n < chance - 1e-12:
            n += 1
        return n

    def find_slip() -> str | None:
        cases = [(0.0066, 0.95), (0.5, 0.75), (0.2, 0.9), (0.9, 0.5), (0.001, 0.5)]
        got = [number(call_answer(answer, *case)) for case in cases]
        if all(g == right(*case) for g, case in zip(got, cases, strict=True)):
            return None
        share, chance = cases[0]
        exact = math.log(1 - chance) / math.log(1 - share)
        slips = {
            math.floor(exact): "rounded down, the chance is still too small: round up.",
            exact: "a number of samples is whole: round up.",
            math.ceil(chance / share): "chances of single samples do not add up: 200 samples of "
            "1 % would give 200 %. Take the chance that none is right.",
            math.ceil(1 / share): "that many show one in the mean, and often none.",
            math.ceil(math.log(chance) / math.log(1 - share)): "that is where *none* is right with "
            "this chance; at least one is asked for.",
            math.ceil(math.log(1 - chance) / math.log(share)): "a sample is wrong with probability "
            "1 - share, and all n are wrong with (1 - share) to the power n.",
        }
        for value, slip in slips.items():
            if math.isclose(got[0], value):
                return slip
        if got[1] != 2:
            return (
                "of two samples, each right with 1/2, at least one is right with 3/4. So 2 are "
                f"needed, and yours gives {got[1]:g}."
            )
        wrong = next(k for k, case in enumerate(cases) if got[k] != right(*case))
        return (
            f"at a share of {cases[wrong][0]} and a chance of {cases[wrong][1]} it is "
            f"{right(*cases[wrong])}, and yours gives {got[wrong]:g}."
        )

    grade(answer, find_slip)


FAIRNESS = {
    "a": "units differ",
    "b": "texts differ",
    "c": "symbols differ",
    "d": "fair",
    "e": "training against held-out",
}


def fair_comparison(answer: Mapping | None) -> None:
    """Check which of five comparisons of losses is fair, and what is wrong with the others."""

    def find_slip() -> str | None:
        if not isinstance(answer, Mapping) or set(answer) != set(FAIRNESS):
            raise Slip("a dictionary is asked for, with an entry for each of a to e.")
        left = [letter for letter, value in answer.items() if value is ...]
        if left:
            raise Slip(f"{', '.join(left)}: still open.")
        unknown = [value for value in answer.values() if value not in list(FAIRNESS.values())]
        if unknown:
            raise Slip(f"{unknown[0]!r} is none of the five words of the task.")
        hints = {
            "a": "a: of how many characters is 43.9 the loss, and of how many 1.76?",
            "b": "b: film reviews and a novel: may one of them be easier to predict?",
            "c": "c: how many symbols can a lower-cased text have, and how many the other?",
            "d": "d: is anything different but the one setting?",
            "e": "e: one network has seen the text that its loss is of.",
        }
        wrong = [letter for letter, cause in FAIRNESS.items() if answer[letter] != cause]
        if not wrong:
            return None
        return f"{5 - len(wrong)} of 5 are right. Look at {hints[wrong[0]]}"

    untouched = isinstance(answer, Mapping) and all(value is ... for value in answer.values())
    grade(... if untouched else answer, find_slip)


def loss_slope(answer: Callable | None) -> None:
    """Check a function (characters, losses) -> slope of the line through their logarithms."""

    def reference(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.polyfit(np.log(x), np.log(y), 1)[0])

    def find_slip() -> str | None:
        rng = np.random.default_rng(0)
        x = np.array([1e5, 2e5, 4e5, 8e5, 4e6])
        noisy = 3 * x**-0.07 * np.exp(0.02 * rng.standard_normal(5))
        cases = [(x, noisy), (x[1:], 2 * x[1:] ** -0.2), (x[:2], np.array([2.0, 1.8]))]
        for x, y in cases:
            given = x.copy(), y.copy()
            got = number(call_answer(answer, *given))
            if not (np.array_equal(given[0], x) and np.array_equal(given[1], y)):
                return "your function changes what it was given; work on a copy."
            right = reference(x, y)
            height = float(np.polyfit(np.log(x), np.log(y), 1)[1])
            ends = math.log(y[-1] / y[0]) / math.log(x[-1] / x[0])
            slips = {
                right: None,
                -right: "the loss falls, so the slope is negative.",
                reference(y, x): "the loss goes up the page and the characters along it: exchange "
                "them.",
                ends: "that is from the first point to the last; take all of them, by least "
                "squares.",
                float(np.polyfit(np.log10(x), y, 1)[0]): "take the logarithm of the loss, too.",
                float(np.polyfit(np.log(x), y, 1)[0]): "take the logarithm of the loss, too.",
                float(np.polyfit(x, np.log(y), 1)[0]): "take the logarithm of the characters, too.",
                float(np.polyfit(x, y, 1)[0]): "take the logarithms of both first.",
                2**right: "that is the factor for twice the characters, and not the slope.",
                height: "that is the height of the line where ln(characters) is 0, not its slope.",
            }
            for value, slip in slips.items():
                if math.isclose(got, value, rel_tol=1e-6, abs_tol=1e-12):
                    if slip is None:
                        break
                    return slip
            else:
                return f"here the slope is {right:.4f}, and yours is {got:.4f}."
        return None

    grade(answer, find_slip)
