"""What is right is right on drawn data, and what knows the check's own data by heart is not."""

import copy
import importlib
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import grading_cases  # noqa: E402
from grading_cases import alike, graded  # noqa: E402

from lstmlib.course import check  # noqa: E402
from lstmlib.course.check.exercises import NotAttempted, NotYet  # noqa: E402

EXERCISES = {
    f"{path.stem}.{name}": exercise
    for path in sorted((ROOT / "tests/support/answers").glob("ch[0-9][0-9].py"))
    for name, exercise in importlib.import_module(f"answers.{path.stem}").EXERCISES.items()
}
FUNCTIONS = [name for name, exercise in EXERCISES.items() if callable(exercise.right[0])]

# Their checks hand over things that change or count calls: there is nothing to learn by heart.
WITNESSED = {
    "ch00.clipped_epoch",
    "ch00.fed_back",
    "ch04.next_state",
    "ch04.repaired",
    "ch04.continued",
    "ch05.finish_step",
    "ch06.clipped_step",
    "ch07.mended_writer",
    "ch13.timed_call",
    "ch13.honest_seconds",
}
CONSTANT = {"ch03.remember_one_bit"}
"""A function without arguments: its one result is the answer."""


def grade(name, answer, seed=1):
    exercise = EXERCISES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graded(name, seed, answer, **copy.deepcopy(dict(exercise.arguments)))


def key(task):
    try:
        return pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def learnt_by_heart(name, capsys):
    """Return an answer that knows all that the check tries, and nothing else."""
    exercise, known = EXERCISES[name], {}

    def records(*task):
        at = key(task)
        result = exercise.right[0](*task)
        known[at] = result if torch.is_tensor(result) else copy.deepcopy(result)
        return result

    def repeats(*task):
        return copy.deepcopy(known.get(key(task), next(iter(known.values()))))

    of = getattr(check, name.partition(".")[2])
    of(records, **exercise.arguments)
    capsys.readouterr()
    of(repeats, **exercise.arguments)
    return repeats, capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answers_are_right_on_drawn_data(name):
    for answer in EXERCISES[name].right:
        for seed in (1, 2):
            grade(name, answer, seed)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_wrong_answer_raises_the_checks_words(name):
    answer, word = EXERCISES[name].wrong[0]
    with pytest.raises(NotYet) as caught:
        grade(name, answer)
    assert str(caught.value).startswith("not yet: ") and word in str(caught.value)
    with pytest.raises(NotAttempted, match="not attempted yet"):
        grade(name, ...)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_has_learnt_the_checks_data_by_heart_is_refused_when_graded(name, capsys):
    answer, said = learnt_by_heart(name, capsys)
    drawn = name.partition(".")[2] in grading_cases.DRAWN
    assert drawn == (name not in WITNESSED | CONSTANT)
    if name in CONSTANT:
        return
    assert (said == "right") == drawn, "the check itself is fooled where data are drawn alone"
    with pytest.raises(
        NotYet, match="right for all that the notebook tries" if drawn else "not yet"
    ):
        grade(name, answer)


def test_answers_are_functions_wherever_data_are_drawn():
    assert {name.partition(".")[2] for name in FUNCTIONS} >= set(grading_cases.DRAWN)
    others = (grading_cases.SEEN_AS, grading_cases.CALLED_BY, grading_cases.OFF)
    assert all(set(each) <= set(grading_cases.DRAWN) for each in others)


def test_a_seed_draws_the_same_again_and_another_seed_does_not():
    drawn = []

    def answer(ids):
        drawn.append(tuple(ids))
        return ids[:-1], ids[1:]

    for seed in (5, 5, 6):
        grade("ch00.pairs", answer, seed)
    first, second, third = np.array_split(np.array(drawn, dtype=object), 3)
    tried = grading_cases.DRAWS
    assert list(first[-tried:]) == list(second[-tried:]) != list(third[-tried:])


def test_an_answer_that_stops_or_writes_into_its_arguments_is_told_on_drawn_data():
    def stops(ids):
        return (ids[:-1], ids[1:]) if len(ids) in (6, 2, 101) else ids.of_mine

    def writes(ids):
        found = ids[:-1].copy(), ids[1:].copy()
        ids[0] = ids[0] if len(ids) in (6, 2, 101) else -1
        return found

    with pytest.raises(NotYet, match="your code stopped with AttributeError"):
        grade("ch00.pairs", stops)
    with pytest.raises(NotYet, match="changed what it was given"):
        grade("ch00.pairs", writes)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ([1, 2], np.array([1, 2]), True),
        ((1.0, "a"), [1.0, "a"], True),
        (torch.ones(2), np.ones(2, dtype=np.float32), True),
        (1.0, 1.0 + 1e-8, True),
        (1.0, 1.001, False),
        (np.ones(2), np.ones(3), False),
        (np.ones((2, 1)), np.ones(2), False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        ("1", 1, False),
        (None, 0, False),
        (True, False, False),
        (float("inf"), float("inf"), True),
        (float("nan"), 1.0, False),
        (object(), 1.0, False),
    ],
)
def test_results_are_alike_however_they_are_kept(a, b, same):
    assert alike(a, b) == same == alike(b, a)
