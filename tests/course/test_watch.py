"""What an answer leaves changed or keeps is refused, whatever it returns, and put back."""

import ast
import copy
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lstmlib.course import check
from lstmlib.course.check import exercises
from lstmlib.course.check.exercises import call_answer, grade

FILES = sorted(Path(check.__file__).parent.glob("ch[0-9][0-9]*.py"))


def verdict(answer, capsys, *arguments, **named):
    """Return what a check says that calls an answer, and takes all that it returns for right."""

    def find_slip():
        call_answer(answer, *arguments, **named)

    grade(answer, find_slip)
    return capsys.readouterr().out.strip()


def settings():
    modes = torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_anomaly_enabled()
    modes += str(np.geterr()), str(np.get_printoptions())
    return *modes, torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()


def doing(effect):
    """Return a right answer that does something beside."""

    def answer(*_):
        effect()
        return 1.0

    return answer


EFFECTS = {
    "switches gradients": lambda: torch.set_grad_enabled(False),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
    "at an overflow": lambda: np.seterr(all="raise"),
    "how NumPy prints": lambda: np.set_printoptions(precision=2),
    "seeds PyTorch's generator": lambda: torch.manual_seed(0),
    "np.random": lambda: np.random.seed(0),
    "or draws from it": lambda: np.random.rand(),
    "random)": lambda: random.seed(0),
}


@pytest.mark.parametrize("said", EFFECTS)
def test_what_an_answer_leaves_changed_is_refused_and_put_back(said, capsys):
    before = settings()
    heard = verdict(doing(EFFECTS[said]), capsys)
    assert heard.startswith("not yet: right, but your function") and said in heard
    assert settings() == before


def test_it_is_put_back_after_an_error_too(capsys):
    before = settings()

    def answer():
        torch.set_grad_enabled(False)
        torch.manual_seed(0)
        raise RuntimeError("oh no")

    assert verdict(answer, capsys) == "not yet: your code stopped with RuntimeError: oh no"
    assert settings() == before


def within_a_block():
    with torch.no_grad():
        return torch.zeros(()).add(1).item()


def with_its_own_generators():
    torch.randn(2, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
    return np.random.default_rng(0).random()


@pytest.mark.parametrize(
    "answer",
    [
        within_a_block,
        with_its_own_generators,
        lambda: sum(map(torch.numel, nn.LSTM(2, 3).parameters())),
    ],
)
def test_what_is_put_back_or_only_drawn_for_a_new_network_is_right(answer, capsys):
    before = settings()
    assert verdict(answer, capsys) == "right"
    assert settings() == before


def test_a_check_begins_alike_whatever_a_notebook_has_set(capsys):
    def answer(x):
        return (torch.ones(1, requires_grad=True) * x).sum().backward() or torch.ones(1).dtype

    with torch.no_grad():
        torch.set_default_dtype(torch.float64)
        try:
            grade(answer, lambda: None if call_answer(answer, 2.0) == torch.float32 else "float64")
            assert not torch.is_grad_enabled() and torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
    assert capsys.readouterr().out.strip() == "right"


@pytest.mark.parametrize("training", [True, False])
def test_a_network_comes_back_in_the_mode_in_which_it_came(training, capsys):
    model = nn.Sequential(nn.Dropout(0.5)).train(training)

    def answer(network):
        network.train(not training)
        return 1.0

    assert "leaves it in the other" in verdict(answer, capsys, model)
    assert model.training == model[0].training == training
    assert verdict(answer, capsys, model, any_mode=True) == "right"


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.requires_grad_(False),
        lambda network: network.double(),
        lambda network: setattr(network[0], "p", 0.0),
        lambda network: setattr(network[1], "dropout", 0.0),
    ],
)
def test_a_network_that_stays_changed_is_refused(change, capsys):
    network = nn.Sequential(nn.Dropout(0.5), nn.LSTM(2, 3, 2, dropout=0.5))
    assert "for good" in verdict(lambda given: (change(given), 1.0)[1], capsys, network)


def counts():
    calls = []

    def answer(x):
        calls.append(x)
        return len(calls)

    return answer


def adds_on(x, total=[0.0]):  # noqa: B006 - this is its fault
    total[0] += x
    return total[0]


def same_array(x, table=np.zeros(3)):  # noqa: B008 - this is its fault
    table += x
    return table


def adds_on_by_shape():
    kept = [np.zeros(0)]

    def answer(x):
        if kept[0].shape != x.shape:
            kept[0] = np.zeros(x.shape)
        kept[0] += x
        return kept[0].copy()

    return answer


def test_what_is_kept_for_one_shape_alone_is_seen(capsys):
    answer = adds_on_by_shape()

    def find_slip():
        for n in range(1, 9):
            call_answer(answer, np.ones(n))

    grade(answer, find_slip)
    assert "keeps something between its calls" in capsys.readouterr().out


def breaks_down():
    calls = []

    def answer(x):
        calls.append(x)
        if len(calls) > 1:
            raise KeyError(x)
        return x

    return answer


@pytest.mark.parametrize(
    "answer", [counts(), adds_on, same_array, breaks_down(), lambda x: torch.rand(()).item()]
)
def test_an_answer_that_keeps_something_between_its_calls_is_refused(answer, capsys):
    assert "keeps something between its calls" in verdict(answer, capsys, 1.0)


@pytest.mark.parametrize(
    "result",
    [
        np.array([1.0, np.nan]),
        np.array([{"a": 1}, "b"], dtype=object),
        {"a": [1, (2.0, "x")]},
        torch.ones(2, requires_grad=True),
        float("nan"),
        (1, np.float32(2), True, "no"),
        nn.Linear(1, 1),
        np.array(["a", "b"]),
    ],
)
def test_an_answer_that_gives_the_same_again_is_right(result, capsys):
    assert verdict(lambda: result, capsys) == "right"
    fresh = (lambda x: x) if isinstance(result, nn.Module) else copy.deepcopy
    given = [1, "a", np.ones(2)], {"b": None}
    assert verdict(lambda *_: (fresh(result),), capsys, *given) == "right"


def test_an_answer_that_returns_one_object_for_ever_is_refused(capsys):
    kept = np.zeros(3)
    assert "the same object" in verdict(lambda x: kept, capsys, 1.0)
    for parts in (lambda x: (x, kept), lambda x: (kept[:1], kept[1:]), lambda x: [[kept], x]):
        assert "the same object" in verdict(parts, capsys, 1.0)
    assert verdict(lambda x: kept.copy(), capsys, 1.0) == "right"


def test_the_second_call_is_made_with_what_was_given_at_first(capsys):
    def answer(values):
        values.append(0)
        return len(values)

    assert verdict(answer, capsys, [1, 2]) == "right", "to change an argument is for the check"


def test_a_generator_is_no_list(capsys):
    for answer in (lambda: (k for k in range(3)), lambda: map(str, range(3)), lambda: iter([1])):
        assert "collect all in a list" in verdict(answer, capsys)


def test_what_a_check_cannot_read_is_not_said_to_be_code_that_stopped(capsys):
    for result, kind in (("low", "'low'"), ([[1], [1, 2]], "a list of 2"), ({}, "a dict of 0")):
        answer = lambda result=result: result  # noqa: E731
        grade(answer, lambda answer=answer: str(float(call_answer(answer))))
        said = capsys.readouterr().out
        assert f"the check cannot read {kind}, which is your answer" in said
        assert "stopped" not in said


def test_what_the_notebook_does_is_not_the_fault_of_an_answer_that_is_no_function(capsys):
    grade(0.5, lambda: torch.manual_seed(0) and None)
    assert capsys.readouterr().out.strip() == "right"
    grade("ab", lambda: str(not_defined))  # noqa: F821 - as in a notebook whose cells did not run
    assert "Did you run all cells above?" in capsys.readouterr().out


def test_no_check_calls_an_answer_by_itself():
    for path in FILES:
        calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
        assert not [n.lineno for n in calls if getattr(n.func, "id", "") == "answer"], path.name


# What counts as what


@pytest.mark.parametrize("one", [3, np.int32(3), np.array(3), torch.tensor(3)])
def test_an_index_is_a_whole_number_of_any_library(one):
    assert exercises.index(one) == 3


@pytest.mark.parametrize("none", [3.0, "3", [3], True, np.array([3]), torch.tensor([3]), None])
def test_an_index_can_pick_an_entry(none):
    with pytest.raises(exercises.Slip, match="can pick an entry"):
        exercises.index(none)


@pytest.mark.parametrize("one", [np.ones(1), torch.ones(1), [1.0], "1", np.True_, 1j])
def test_an_array_of_one_is_no_number(one):
    with pytest.raises(exercises.Slip, match="finite number"):
        exercises.number(one)


def test_a_number_may_be_infinite_where_a_check_says_so():
    assert exercises.number(-np.inf, infinite=True) == -np.inf
    with pytest.raises(exercises.Slip, match="finite number"):
        exercises.number(np.nan, infinite=True)


@pytest.mark.parametrize(
    "table", [[[1, 2]], ((1, 2),), np.ones((1, 2)), torch.ones(1, 2, requires_grad=True)]
)
def test_an_array_may_be_a_tensor_or_rows(table):
    assert exercises.array(table).shape == (1, 2)


@pytest.mark.parametrize("none", [[[1], [1, 2]], "ab", {}, None, [None], [[1, 2], 3], object()])
def test_an_array_holds_numbers(none):
    with pytest.raises(exercises.Slip, match=r"a row is asked for, and yours is"):
        exercises.array(none, "a row is asked for")


def test_entries_are_those_of_a_list_and_not_of_a_text():
    for three in ([1, 2, 3], (1, 2, 3), np.arange(3), torch.arange(3)):
        assert len(exercises.entries(three, "three")) == 3
    for none in ("abc", 3, {}, np.array(3), None):
        with pytest.raises(exercises.Slip, match="three ids, and yours is"):
            exercises.entries(none, "three ids")


def test_float32_is_near_enough_and_six_decimals_are_not():
    assert exercises.near(float(np.float32(1 / 3)), 1 / 3)
    assert not exercises.near(0.33333, 1 / 3)
    assert exercises.rounded(0.333, 1 / 3) and exercises.rounded(0.34, 1 / 3)
    assert not exercises.rounded(1 / 3 + 0.001, 1 / 3)


# What a check says of an answer that stops


def leaves(*_):
    raise SystemExit(0)


def adds_another_type(row):
    return torch.zeros(len(row), dtype=torch.float64) @ torch.tensor(row)


def test_an_answer_that_ends_python_does_not_end_the_notebook(capsys):
    said = verdict(leaves, capsys, 3)
    assert said == "not yet: your code stopped with SystemExit: 0 (for 3)"


class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


def ends(error):
    raise error


def test_an_error_or_a_result_without_words_stops_no_check(capsys):
    assert verdict(lambda: ends(Mute()), capsys).startswith("not yet: your code stopped with Mute")
    grade(Mute, lambda: math.sqrt(call_answer(Mute)))
    assert "the check cannot read a Mute, which is your answer" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [StopIteration, GeneratorExit])
def test_an_iteration_that_ends_in_an_answer_ends_none_of_the_check(kind, capsys):
    """Else `next(filter(None, map(slip_of, cases)), None)` would find no slip."""

    def slip_of(_):
        return call_answer(ends, kind())

    grade(ends, lambda: next(filter(None, map(slip_of, "ab")), None))
    said = capsys.readouterr().out
    assert said.startswith(f"not yet: your code stopped with RuntimeError: {kind.__name__}")


def test_a_loop_without_end_is_named_where_the_reader_ends_it(capsys):
    with pytest.raises(KeyboardInterrupt):
        verdict(lambda k: ends(KeyboardInterrupt()), capsys, 7)
    said = capsys.readouterr().out
    assert said == "not yet: your code was still running (for 7). Does it end?\n"
    with pytest.raises(KeyboardInterrupt), exercises.grading():
        verdict(lambda k: ends(KeyboardInterrupt()), capsys, 7)
    assert capsys.readouterr().out == ""


def test_the_type_of_an_array_is_said_where_it_is_not_the_usual_one(capsys):
    said = verdict(adds_another_type, capsys, np.ones(2, dtype=np.float32))
    assert said.startswith("not yet: your code stopped with RuntimeError")
    assert said.endswith("(for [1.0, 1.0], float32)")
    long = verdict(adds_another_type, capsys, np.ones(100, dtype=np.float32))
    assert long.endswith("(for a ndarray of the shape (100,), float32)")
    assert "float" not in verdict(leaves, capsys, np.ones(2))


def test_a_hint_of_a_function_says_how_to_ask(capsys):
    check.hint(leaves)
    assert 'names no chapter; write it as "ch00.pairs".' in capsys.readouterr().out


def test_what_hangs_on_a_network_afterwards_is_noticed(capsys):
    def keeps(model):
        model.state = 1.0
        return 1.0

    assert "what hangs on it" in verdict(keeps, capsys, nn.Linear(2, 2))
