"""Every check of an exercise accepts what is right, however it is written, and nothing else."""

import copy
import importlib
import inspect
import pydoc
import re
import sys
import traceback
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from lstmlib.course import check
from lstmlib.course.check import exercises

ANSWERED = Path(__file__).resolve().parents[1] / "support" / "answers"
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CHAPTERS = sorted(path.stem for path in ANSWERED.glob("ch[0-9][0-9].py"))
CHECKS = [name for name in check.__all__ if isinstance(getattr(check, name), exercises.Check)]
ANSWERS = {
    f"{chapter}.{name}": (getattr(check, name), exercise)
    for chapter in CHAPTERS
    for name, exercise in importlib.import_module(f"answers.{chapter}").EXERCISES.items()
}


def verdict(of, exercise, answer, capsys):
    assert of(answer, **copy.deepcopy(dict(exercise.arguments))) is None
    said = capsys.readouterr().out.strip()
    assert "\n" not in said
    return said


# Mutations of a right answer: what it returns, or what it does to what it is given


def each(result, change):
    """Return a result with one part of it changed, the last that can be."""
    if isinstance(result, tuple | list) and any(map(changeable, result)):
        at = max(n for n, part in enumerate(result) if changeable(part))
        parts = [each(p, change) if n == at else p for n, p in enumerate(result)]
        return tuple(parts) if isinstance(result, tuple) else parts
    return change(result)


def changeable(part):
    return isinstance(part, np.ndarray | torch.Tensor | float | int | str | np.generic)


def off_by_one(result):
    if isinstance(result, bool | np.bool_):
        return not result
    if isinstance(result, str):
        return result[:-1]
    if getattr(result, "ndim", 0):
        return torch.roll(result, 1, -1) if torch.is_tensor(result) else np.roll(result, 1, -1)
    return result + 1 if changeable(result) else result


def axis_swapped(result):
    two = getattr(result, "ndim", 0) >= 2
    return result.swapaxes(-1, -2) if two else result


def sign(result):
    return -result if changeable(result) and not isinstance(result, bool | str) else result


def dtype(result):
    """Return floats cut off to whole numbers, and whole numbers as text."""
    if isinstance(result, bool | str | np.bool_) or not changeable(result):
        return result
    if getattr(result, "ndim", 0):
        return result.long() if torch.is_tensor(result) else result.astype(np.int64)
    return int(result)


def float32_tensors(result):
    """Return every number and every array of floats as a tensor of float32, others as they are."""
    if isinstance(result, list | tuple):
        return type(result)(map(float32_tensors, result))
    kind = getattr(result, "dtype", np.dtype("O")) if not isinstance(result, float) else float
    if not torch.is_tensor(result) and np.issubdtype(kind, np.floating):
        return torch.tensor(result, dtype=torch.float32)
    return result


UNREADABLE = (object(), "a text", [[1.0], [1.0, 2.0]], {"a": len}, (None, True))
"""What no exercise asks for."""

MUTATIONS = {f.__name__: f for f in (off_by_one, axis_swapped, sign, dtype)}


def mutated(answer, change, whole=False):
    """Return a right answer whose result is changed, as a whole or the last part of it."""

    def changed(result):
        return change(result) if whole else each(result, change)

    if not callable(answer):
        return changed(answer)
    return lambda *arguments, **more: changed(answer(*arguments, **more))


def in_place(answer):
    """Return an answer that is right, and changes what it was given."""

    def mutant(*arguments):
        result = copy.deepcopy(answer(*arguments))
        for given in arguments:
            parts = given if isinstance(given, list | tuple) else [given]
            for part in parts:
                if isinstance(part, np.ndarray) or torch.is_tensor(part):
                    part *= 0
            if isinstance(given, list) and given:
                given.reverse()
                given.append(given[0])
        return result

    return mutant


@pytest.mark.parametrize("name", ANSWERS)
class TestExercise:
    def test_right_answers_are_right(self, name, capsys):
        of, exercise = ANSWERS[name]
        for right in exercise.right:
            assert verdict(of, exercise, right, capsys) == "right"
        assert len(exercise.right) >= 2, "write it in another way, too"

    def test_wrong_answers_get_their_hint(self, name, capsys):
        of, exercise = ANSWERS[name]
        for wrong, word in exercise.wrong:
            said = verdict(of, exercise, wrong, capsys)
            assert said.startswith("not yet: ") and word in said
        assert len(exercise.wrong) >= 5

    @pytest.mark.parametrize("change", [*MUTATIONS, "in_place"])
    def test_a_mutation_of_the_reference_is_caught(self, name, change, capsys):
        of, exercise = ANSWERS[name]
        right = exercise.right[0]
        if change in exercise.unmoved or (change == "in_place" and not callable(right)):
            pytest.skip("makes no other answer")
        mutant = in_place(right) if change == "in_place" else mutated(right, MUTATIONS[change])
        said = verdict(of, exercise, mutant, capsys)
        assert said.startswith("not yet: "), f"{change} passes; name it unmoved if it is no change"

    def test_numbers_and_arrays_may_be_tensors_of_float32(self, name, capsys):
        of, exercise = ANSWERS[name]
        mutant = mutated(exercise.right[0], float32_tensors, whole=True)
        assert verdict(of, exercise, mutant, capsys) == "right"

    def test_what_cannot_be_read_is_not_said_to_be_code_that_stopped(self, name, capsys):
        of, exercise = ANSWERS[name]
        for odd in UNREADABLE:
            answer = (lambda *_, odd=odd: odd) if callable(exercise.right[0]) else odd
            said = verdict(of, exercise, answer, capsys)
            assert said.startswith("not yet: ") and "your code stopped" not in said, odd

    def test_a_check_leaves_the_random_numbers_of_the_notebook_where_they_are(self, name, capsys):
        of, exercise = ANSWERS[name]
        before = torch.get_rng_state(), np.random.get_state()[1].tolist()
        verdict(of, exercise, exercise.right[0], capsys)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]

    def test_what_is_not_attempted_is_not_wrong(self, name, capsys):
        of, exercise = ANSWERS[name]
        for nothing in (..., None):
            assert verdict(of, exercise, nothing, capsys) == "not attempted yet"

    def test_three_hints_lead_to_the_answer(self, name, capsys):
        chapter, _, check_name = name.partition(".")
        hints = exercises.hints_of(chapter)[check_name]
        assert len(hints) == 3 and len(set(hints)) == 3
        assert hints[0].rstrip().endswith("?"), "the first is a question to ask oneself"


def test_every_public_check_is_tested():
    names = {name.partition(".")[2] for name in ANSWERS}
    shared = {"CAUSES", "CheckList", "band", "bands", "enough_text", "fact", "has_room", "hint"}
    assert set(check.__all__) == names | shared


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_hints_are_of_checks(chapter):
    assert set(exercises.hints_of(chapter)) == {
        n.partition(".")[2] for n in ANSWERS if n.startswith(chapter)
    }


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_line_of_a_hint_uses_no_module_that_its_notebook_does_not_import(chapter):
    (path,) = NOTEBOOKS.glob(f"{chapter[2:]}_*.ipynb")
    code = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")
    imports = re.findall(r"^ *(?:from [\w.]+ )?import (.+)$", code, re.M)
    names = {name.split(" as ")[-1].strip() for line in imports for name in line.split(",")}
    for _, _, line in exercises.hints_of(chapter).values():
        used = set(re.findall(r"\b(math|np|torch|F|plt|re|random|itertools)\.[a-z]", line))
        assert used <= names, line


# Stubs, hints


def test_a_stub_is_not_attempted():
    def bare(x): ...

    def documented(x, y=1):
        """Return the sum."""
        ...

    def empty(x):
        pass

    for stub in (bare, documented, empty):
        assert exercises.is_stub(stub)


def test_a_function_with_a_body_is_attempted(capsys):
    def returns(x):
        return x

    def forgets(x):
        x + 1

    def zero():
        return 0

    for answer in (returns, forgets, zero, len, lambda x: x, 3.0):
        assert not exercises.is_stub(answer)
    exercises.grade(forgets, lambda: str(exercises.call_answer(forgets, 1)))
    assert "did you forget `return`?" in capsys.readouterr().out


def test_code_that_stops_says_for_what(capsys):
    def answer(V, H):
        return max([])

    exercises.grade(answer, lambda: str(exercises.call_answer(answer, 65, [4])))
    said = capsys.readouterr().out.strip()
    assert said.startswith("not yet: your code stopped with ValueError: max()")
    assert said.endswith(" (for 65 and [4])")


def test_hints_come_one_by_one(monkeypatch, capsys):
    monkeypatch.setattr(exercises, "_shown", exercises.Counter())
    for shown in (1, 2, 3, 3):
        check.hint("ch00.pairs")
        lines = capsys.readouterr().out.strip().split("\n")
        assert len(lines) == shown and lines[-1].startswith(f"Hint {shown} of 3: ")


@pytest.mark.parametrize(
    ("name", "said"), [("ch00.paris", "bits_per_character"), ("pairs", "ch00.pairs"), ("", "ch00")]
)
def test_a_hint_of_nothing_says_what_there_is(name, said, capsys):
    check.hint(name)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("nothing", ["many", True, [1, 2], float("nan"), None])
def test_a_number_is_asked_for(nothing):
    with pytest.raises(exercises.Slip, match="finite number"):
        exercises.number(nothing)


@pytest.mark.parametrize("one", [1, 1.0, np.float32(1), np.ones(()), torch.ones(())])
def test_a_number_is_a_number_of_any_library(one):
    assert exercises.number(one) == 1.0


# What one call shows of a check


def shown(of):
    """Return all that one call shows of an object: source, ??, help, repr, vars, a traceback."""
    from IPython.core.interactiveshell import InteractiveShell

    views = [repr(of), str(of), pydoc.render_doc(of), str(inspect.signature(of))]
    views += [str(getattr(of, "__dict__", "")), str(inspect.getdoc(of))]
    inspector = InteractiveShell.instance().inspector
    views += [str(value) for value in inspector.info(of, oname="check.x", detail_level=1).values()]
    for look in (inspect.getsource, inspect.getcomments):
        try:
            views.append(str(look(of)))
        except TypeError:  # there is no source
            continue
    for held in ("__wrapped__", "__closure__", "__defaults__", "__kwdefaults__", "__code__"):
        views.append(str(getattr(of, held, "")))
    try:
        of("an answer", *[object()] * 9)
    except TypeError:
        views.append(traceback.format_exc())
    return "\n".join(views)


def secrets_of(function):
    """Return the lines of a check's file, its own docstring left out."""
    told = {line.strip(" \"'") for line in (function.__doc__ or "").splitlines()}
    source = inspect.getsource(sys.modules[function.__module__])
    lines = {line.strip() for line in source.splitlines()}
    return {
        line
        for line in lines
        if len(line) >= 24 and line.strip(" \"'") not in told and not line.startswith("def ")
    }


def function_of(name):
    return getattr(importlib.import_module(getattr(check, name)._chapter), name)


@pytest.mark.parametrize("name", CHECKS)
def test_one_call_shows_nothing_of_a_reference(name):
    text = shown(getattr(check, name))
    assert function_of(name).__doc__.splitlines()[0] in text, "it says what it is for"
    assert not [line for line in secrets_of(function_of(name)) if line in text]


def test_a_check_that_is_exported_as_it_is_would_be_found():
    function = function_of("pairs")
    assert [line for line in secrets_of(function) if line in shown(function)]


def test_every_exercise_is_sealed_and_no_file_of_a_chapter_is_an_attribute():
    in_hints = {n for p in exercises.HINTS.glob("*.toml") for n in exercises.hints_of(p.stem)}
    assert in_hints <= set(CHECKS)
    assert not [name for name, value in vars(check).items() if inspect.ismodule(value)]


def test_no_two_logits_of_continued_lie_so_near_that_rounding_shows(capsys):
    """Else an answer that reads one id at a time could be right on one processor alone."""
    margins = []

    def reads_one_by_one(model, ids, n):
        model.eval()
        new, state = [], None
        for fed in [[i] for i in ids] if n else []:
            logits, state = model(torch.tensor([fed]), state)
        for _ in range(n):
            first, second = logits[0, -1].topk(2).values.tolist()
            margins.append((first - second) / logits.abs().max().item())
            new.append(int(logits[0, -1].argmax()))
            logits, state = model(torch.tensor([new[-1:]]), state)
        return new

    check.continued(reads_one_by_one)
    assert min(margins) > 1e-4  # float32 rounds at 1e-7
    assert len(margins) > 100 and capsys.readouterr().out == "right\n"


def test_a_check_that_stops_shows_its_words_and_not_its_code(capsys):
    with pytest.raises(TypeError) as caught:
        check.bits_per_character(1.0, nats="1.3")
    frames = traceback.extract_tb(caught.tb)
    assert [Path(frame.filename).name for frame in frames] == [
        "test_exercises.py",
        "exercises.py",
    ]
    assert caught.value.__suppress_context__


# Graded


def test_a_graded_check_raises_its_words_and_prints_only_what_is_right(capsys):
    with exercises.grading():
        with pytest.raises(exercises.NotYet, match="^not yet: the targets are the inputs"):
            check.pairs(lambda ids: (ids, ids))
        with pytest.raises(exercises.NotAttempted, match="^not attempted yet$"):
            check.pairs(...)
        assert capsys.readouterr().out == ""
        check.pairs(lambda ids: (ids[:-1], ids[1:]))
    check.pairs(...)
    assert capsys.readouterr().out == "right\nnot attempted yet\n"


def test_grading_ends_with_its_block_also_after_an_error(capsys):
    with pytest.raises(exercises.NotYet), exercises.grading():
        check.pairs(lambda ids: 1)
    check.pairs(lambda ids: 1)
    assert capsys.readouterr().out.startswith("not yet: ")
