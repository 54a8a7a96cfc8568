"""Checks of the exercises of chapter 05 about learning rates."""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch

from lstmlib.course.check.exercises import call_answer, drawn, grade, near, number, rounded
from lstmlib.history import TrainingDiverged
from lstmlib.models import CharRNN
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit


def warm_cosine(answer: Callable | None) -> None:
    """Check a function (step, steps, warmup, peak) -> learning rate, linear, then half a cosine."""

    def rates(*task: float) -> dict[int, float]:
        """Return the rate at each step, for steps, warmup and peak."""
        return {k: number(call_answer(answer, k, *task)) for k in range(1, task[0] + 1)}

    def off(rate: float, k: int, *task: float) -> bool:
        return abs(rate - _warm_cosine(k, *task)) > 2e-6 * task[-1]

    def find_slip() -> str | None:
        task = 100, 20, 0.004
        got = rates(*task)
        wrong = {k for k in got if off(got[k], k, *task)}
        if _is_rounded(got, wrong):
            return _ROUNDED_RATE
        slip = _slip_of_rates(got, wrong, 0.004)
        if slip:
            return slip
        if any(off(rate, k, 30, 3, 1.5) for k, rate in rates(30, 3, 1.5).items()):
            return "use steps, warmup and peak as they are given; they are not always the same."
        fixed = [(range(1, n + 1), n, w, 0.3) for n, w in ((9, 1), (9, 8), (2, 1))]
        fixed.append(((400, 1, 250), 400, 150, 0.3))
        for some, *task in fixed + drawn(0, 30, _schedule):
            run = "steps = {}, warmup = {} and peak = {:.4g}".format(*task)
            where = f"warmup may be 1 to steps - 1; at {run}"
            for k in some:
                right = _warm_cosine(k, *task)
                try:
                    rate = _finite(call_answer(answer, k, *task))
                except ZeroDivisionError:
                    return f"{where} your code divides by 0."
                if off(rate, k, *task):
                    if _cut(rate, right, task):
                        return _ROUNDED_RATE
                    return f"{where} the rate of step {k} is {right:.8g}; yours is {rate:.8g}."
        return None

    grade(answer, find_slip)


_ROUNDED_RATE = "right, but rounded: return the rate with all its decimals."


def _is_rounded(got: dict[int, float], wrong: set[int]) -> bool:
    """Say whether the rates of 100 steps are right to a few decimals, or to a few digits."""
    right = {k: _warm_cosine(k, 100, 20, 0.004) for k in wrong}
    short = all(math.isclose(rate, round(rate, 8), abs_tol=1e-12) for rate in got.values())
    if short and all(rounded(got[k], right[k]) and abs(got[k] - right[k]) < 4e-4 for k in wrong):
        return bool(wrong)
    digits = all(abs(got[k] - right[k]) < 0.005 * right[k] + 4e-8 for k in wrong)
    return digits and len(wrong) > 10


def _cut(value: float, right: float, task: list | tuple) -> bool:
    """Say whether a result is the right one, but rounded; a task of whole numbers says nothing."""
    close = math.isclose(value, right, rel_tol=0.01)
    return close and isinstance(task[-1], float) and rounded(value, right)


def _finite(result: object) -> float:
    """Return a number; one that is not finite is a division by 0 where NumPy and PyTorch go on."""
    scalar = isinstance(result, float | np.ndarray | torch.Tensor) and np.ndim(result) == 0
    if scalar and not math.isfinite(result):
        raise ZeroDivisionError
    return number(result)


def _schedule(rng: np.random.Generator) -> tuple:
    """Draw steps to be asked for, in any order, and a run: its steps, its warm-up and its peak."""
    steps = int(rng.choice([2, 3, *rng.integers(4, 60, 3)]))
    warmup = int(rng.choice([1, steps - 1, *rng.integers(1, steps, 2)]))
    edges = [1, warmup - 1, warmup, warmup + 1, steps - 1, steps, *rng.integers(1, steps + 1, 2)]
    asked = [int(k) for k in rng.permutation(edges) if 1 <= k <= steps]
    return asked, steps, warmup, _rate(rng)


def _rate(rng: np.random.Generator) -> float:
    """Draw a rate from a millionth to 10 with three digits, which may be a whole number."""
    return (
        int(rng.integers(1, 4)) if rng.random() < 0.2 else float(f"{10 ** rng.uniform(-6, 1):.3g}")
    )


def _warm_cosine(step: int, steps: int, warmup: int, peak: float) -> float:
    """Return the learning rate of a step: a straight line up, then half a cosine down to 0."""
    if step <= warmup:
        return peak * step / warmup
    done = (step - warmup) / (steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def _slip_of_rates(got: dict[int, float], wrong: set[int], peak: float) -> str | None:
    """Say what is wrong with the rates of 100 steps, 20 of them warm-up; `wrong` are the steps."""

    def is_0(k: int) -> bool:
        return abs(got[k]) < 1e-6 * peak

    def is_at(k: int, rate: float) -> bool:
        return abs(got[k] - rate) < 2e-6 * peak

    def right(k: int) -> float:
        return _warm_cosine(k, 100, 20, peak)

    if not is_at(20, peak) and all(is_at(k, got[20] / peak * right(k)) for k in got):
        return f"the highest rate is `peak`, which is {peak:g} here; yours is {got[20]:.4g}."
    if is_0(1) and is_0(10):
        return "the rate is 0 during the warm-up; it should rise there (`//` rounds down to 0)."
    if is_0(1):
        return "steps count from 1, and the first one should move: its rate is peak / warmup."
    if all(is_at(k, peak * 0.5 * (1 - math.cos(math.pi * k / 20))) for k in range(1, 21)):
        return "the warm-up is a straight line, peak · step / warmup; the cosine comes after it."
    if wrong & set(range(1, 20)):
        return "during the warm-up the rate rises on a straight line, peak · step / warmup."
    if 20 in wrong:
        return "at the last step of the warm-up the rate is the peak."
    if is_at(100, peak) and got[40] < got[60] < got[80]:
        return "after the warm-up your rate rises, from 0 to the peak; it falls: (1 + cos) / 2."
    if is_at(60, peak * 0.5 * (1 + math.cos(math.pi * 0.6))):
        return "the cosine begins where the warm-up ends: count its steps from there."
    if is_at(100, peak) and is_0(60):
        return "that is a whole period, down and up again: half a period goes to π, not to 2π."
    if is_at(60, peak * math.cos(math.pi / 4)):
        return "that is a quarter of a period, which ends steep: (1 + cos) / 2 ends flat."
    if is_at(60, peak * (1 + math.cos(math.pi / 4)) / 2):
        return "that is a quarter of a period: half a period goes to π, not to π / 2."
    if is_0(60):
        return "cos falls from 1 to -1; (1 + cos) / 2 falls from 1 to 0."
    if all(is_at(k, peak * (100 - k) / 80) for k in (40, 60, 80)):
        return "that is a straight line down; half a cosine falls slowly, fast, and slowly."
    if is_0(99):
        return "the rate is 0 at step `steps`, and not one step before it."
    if 100 in wrong:
        return "at the last step the rate is 0."
    return "the cosine is peak · (1 + cos(π · share)) / 2, share going from 0 to 1." * bool(wrong)


RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""What an answer to `book_rate` is compared with."""


def book_rate(answer: float | None, ids: np.ndarray) -> None:
    """Check a learning rate of Adam for 24 units on a new text, by a run of 60 steps.

    Args:
        answer: the rate.
        ids: the text, (N,) integers.
    """

    def find_slip() -> str | None:
        rate = number(answer)
        if rate <= 0:
            return "a learning rate is above 0."
        text = np.asarray(ids, dtype=np.int64).tobytes()
        losses = {each: _last_loss(text, each) for each in RATES}
        best, loss = min(losses, key=losses.get), _last_loss(text, rate)
        if loss <= losses[best] + 0.15:
            return None
        slip = "too low" if rate < best else "too high"
        if abs(rate - losses[best]) < 0.15:
            return (
                f"{rate:g} is about the lowest loss; give the rate with which a run comes there. "
                "As a rate it is too high."
            )
        ended = f"ends at {loss:.4g}" if math.isfinite(loss) else "has no finite loss in the end"
        return (
            f"{slip}: a run of 60 steps with it {ended}; one at another rate comes down to "
            f"{losses[best]:.3f}. Come within 0.15 of that."
        )

    grade(answer, find_slip)


@functools.lru_cache(maxsize=32)
def _last_loss(ids: bytes, rate: float) -> float:
    """Return the mean loss of the last ten of 60 steps; infinite if it diverges."""
    text = np.frombuffer(ids, dtype=np.int64)
    config = TrainingConfig(60, batch_size=16, seq_len=16, learning_rate=rate)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # as in the notebook, for the same losses
        model = CharRNN(int(text.max()) + 1, 24, num_layers=1)
    try:
        history = fit(model, text, None, config, progress=False)
    except (TrainingDiverged, ValueError):
        return math.inf
    return float(history.column("loss")[1][-10:].mean())


_ROUNDED = "right, but rounded: return the sum with all its decimals."


def reach(answer: Callable | None) -> None:
    """Check a function (steps, warmup, rate) -> how far Adam moves a weight at most."""

    def reference(steps: int, warmup: int, rate: float) -> float:
        return sum(rate * (k / warmup if k < warmup else 1.0) for k in range(1, steps + 1))

    def find_slip() -> str | None:
        def answers(*task: float) -> float:
            return number(call_answer(answer, *task))

        def is_right(*task: float) -> bool:
            return near(answers(*task), reference(*task))

        got = answers(50, 20, 0.03)

        def equals(value: float) -> bool:
            return near(got, value)

        if equals(50 * 0.03):
            return "during the warm-up the steps are shorter: step k moves by rate · k / warmup."
        if equals(30 * 0.03 + 0.03 * 19 / 2):
            return (
                "one step is missing. The steps are 1 to `steps`: `range(1, steps + 1)`. The first "
                "one moves by rate / warmup, and the last by the whole rate."
            )
        if equals(30 * 0.03 + 0.03 * 20 / 2):
            return (
                "during the warm-up step k moves by rate · k / warmup, from k = 1 to `warmup`. In "
                "all that is a little more than rate · warmup / 2; with warmup + 1 below the line "
                "it is just this half."
            )
        if equals(0.03 * 21 / 2):
            return "that is the warm-up alone; the steps after it move by the whole rate."
        if equals(0.03):
            return "that is the length of one step; add up all of them."
        if not equals(reference(50, 20, 0.03)):
            if rounded(got, reference(50, 20, 0.03)):
                return _ROUNDED
            return "add up the rates of the steps 1 to 50: k / 20 of 0.03 up to step 20, then 0.03."
        if near(answers(50, 20, 0.3), got):
            return "`rate` is an argument; yours moves by 0.03 in every call."
        without = "warmup = 0 stands for no warm-up: every step moves by the whole rate."
        try:
            moved = _finite(call_answer(answer, 7, 0, 0.2))
        except ZeroDivisionError:
            return f"{without} Your code divides by warmup there."
        if not near(moved, 1.4):
            return without
        if not is_right(3, 9, 0.3):
            return (
                "a run may end within the warm-up: with 3 steps of 9, the last moves by rate / 3."
            )
        if not is_right(11, 5, 1.5):
            return "use steps, warmup and rate as they are given; they are not always the same."
        odd = 17, 6, math.pi / 300
        if not is_right(*odd) and rounded(answers(*odd), reference(*odd)):
            return _ROUNDED
        fixed = [odd, (8, 1, 0.7), (1, 1, 0.7), (6, 6, 0.7), (1, 0, 0.7)]
        for task in fixed + drawn(0, 60, _run):
            try:
                moved = _finite(call_answer(answer, *task))
            except ZeroDivisionError:
                moved = math.nan
            if not math.isclose(moved, reference(*task), rel_tol=1e-5):
                if _cut(moved, reference(*task), task):
                    return _ROUNDED
                steps, warmup, rate = task
                yours = (
                    "your code divides by 0" if math.isnan(moved) else f"yours gives {moved:.8g}"
                )
                return (
                    f"for steps = {steps}, warmup = {warmup} and rate = {rate:.8g} it is "
                    f"{reference(*task):.8g}; {yours}."
                )
        return None

    grade(answer, find_slip)


def _run(rng: np.random.Generator) -> tuple:
    """Draw steps, a warm-up that is none, shorter, as long or longer, and a rate."""
    steps = int(rng.choice([1, 2, rng.integers(3, 400)]))
    warmup = int(rng.choice([0, 1, steps - 1, steps, steps + 1, rng.integers(1, 300)]))
    return steps, warmup, _rate(rng)
