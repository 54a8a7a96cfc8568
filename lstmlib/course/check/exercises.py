"""How an answer to an exercise is graded, and how its hints come one by one."""

import dis
import importlib
import inspect
import math
import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path

import numpy as np

from lstmlib.course.check.watch import Watch, described, of_answer, words_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HINTS = Path(__file__).parents[1] / "hints"
"""The folder of all hints, a file a chapter: exercise -> a question, the idea, the line."""

IDLE = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
"""What the body of a stub comes to: it returns None, and does nothing else."""
_shown: Counter[str] = Counter()
_graded = ContextVar("graded", default=False)
_watches: list[Watch] = []


class Slip(Exception):
    """What is wrong with an answer; the message is for the student."""


class NotAttempted(AssertionError):
    """A graded answer is still a stub."""


class NotYet(AssertionError):
    """A graded answer is wrong; the message is the check's own line, *not yet* and why."""


class Check:
    """The check of an exercise: it can be called, and says what it is for.

    It holds no function, only the place of one. So its source, its repr, `help` and `??` tell
    nothing of the reference, nor does a traceback: the frames below this one are left out.

    Args:
        function: a check of a chapter's file. Call it itself to see the whole traceback of a check
            that stops.
    """

    def __init__(self, function: Callable):
        self.__name__ = self.__qualname__ = function.__name__
        self.__doc__ = function.__doc__
        self.__signature__ = inspect.signature(function)
        self._chapter = function.__module__

    def __call__(self, *arguments: object, **named: object) -> None:
        """Grade an answer, and print the verdict."""
        function = getattr(importlib.import_module(self._chapter), self.__name__)
        try:
            function(*arguments, **named)
        except BaseException as error:  # also an answer that runs for ever, and is interrupted
            raise error.with_traceback(None) from None

    def __repr__(self) -> str:
        return f"<check.{self.__name__}: {str(self.__doc__).splitlines()[0]}>"


def grade(answer: object, find_slip: Callable[[], str | None]) -> None:
    """Print the verdict on an answer: *not attempted yet*, *not yet* with a reason, or *right*.

    The answer stays the student's own in any case. An answer that is right, and leaves something
    changed or keeps something between its calls (see `watch.Watch`), is not right yet.

    Args:
        answer: what the student wrote; `...`, None or a function without a body is no attempt.
        find_slip: returns what is wrong with it, or None. What it raises is a slip of the answer.

    Raises:
        NotAttempted, NotYet: within `grading()`, in place of the line.
    """
    if answer is ... or answer is None or is_stub(answer):
        _tell("not attempted yet", NotAttempted)
        return
    with Watch() as watch:
        _watches.append(watch)
        try:
            slip = find_slip() or watch.differs()
        except Slip as error:
            slip = str(error)
        except KeyboardInterrupt as error:  # the reader ends what goes on for ever
            if of_answer(error) and not _graded.get():
                print(f"not yet: your code was still running{_case(watch.given)}. Does it end?")
            raise
        except (Exception, SystemExit) as error:  # of the student's code: a slip, and no crash
            slip = _of_error(error, watch.returned if callable(answer) else answer, watch.given)
        finally:
            _watches.pop()
    if callable(answer):  # of another one nothing runs but the check, and functions of the notebook
        slip = slip or next(iter(watch.slips), None)
    if slip:
        _tell(f"not yet: {slip}", NotYet)
    else:
        print("right")


def _tell(verdict: str, error: type[AssertionError]) -> None:
    """Print a verdict that is not *right*, or raise it where it is graded."""
    if _graded.get():
        raise error(verdict)
    print(verdict)


@contextmanager
def grading() -> Iterator[None]:
    """Let checks raise what they would print, for programs that count errors, such as nbgrader.

        with grading():
            check.pairs(make_pairs)  # NotYet: not yet: the targets are the inputs; …

    A right answer raises nothing.
    """
    before = _graded.set(True)
    try:
        yield
    finally:
        _graded.reset(before)


def _of_error(error: Exception | SystemExit, returned: object, given: tuple) -> str:
    """Say what an error comes from: the student's code, or what the check made of its result.

    `given` are the arguments of the last call.
    """
    said = f"{type(error).__name__}: {words_of(error)}"
    if of_answer(error):
        return f"your code stopped with {said}{_case(given)}"
    if isinstance(error, NameError):
        return f"{said}. Did you run all cells above?"
    return (
        f"the check cannot read {described(returned)}, which is your answer: compare it with what "
        f"the task asks for. ({said})"
    )


def _case(given: tuple) -> str:
    """Return the words for the arguments of a call; none for what is long."""
    case = " and ".join(map(_briefly, given))
    return f" (for {case})" * (0 < len(case) <= 200)


def is_stub(answer: object) -> bool:
    """Say whether an answer is a function with nothing in its body but a docstring and `...`."""
    if not inspect.isfunction(answer):
        return False
    steps = list(dis.get_instructions(answer))
    returned = [step.argval for step in steps if "CONST" in step.opname]
    return {step.opname for step in steps} <= IDLE and returned == [None]


def called(function: Callable, *arguments: object, any_mode: bool = False) -> object:
    """Call a student's function, and return what it returns, which may be None.

    Args:
        function: the answer.
        *arguments: copies, which are the student's to spoil.
        any_mode: it may leave a network in training or in evaluation mode.

    Raises:
        Slip: the answer is no function.
    """
    if not callable(function):
        raise Slip(f"a function is asked for, and yours is {type(function).__name__!r}.")
    watch = _watches[-1] if _watches else Watch()
    return watch.call(function, *arguments, any_mode=any_mode)


def call_answer(function: Callable, *arguments: object, any_mode: bool = False) -> object:
    """Call a student's function as `called` does; a result of None is a slip.

    Raises:
        Slip: the answer is no function, returns nothing, or returns a generator. If it returns
            something elsewhere, the message names the input for which it does not.
    """
    given = " and ".join(map(_briefly, arguments))  # before the function can change it
    result = called(function, *arguments, any_mode=any_mode)
    if result is None and _has_return(function):
        raise Slip(f"for {given} your function returns nothing: did you forget this case?")
    if result is None:
        raise Slip("your function returns nothing; did you forget `return`?")
    if isinstance(result, Iterator):
        raise Slip(
            "your function returns a generator (from `yield`, round brackets or `map`), which can "
            "be read only once: collect all in a list, and return that."
        )
    return result


def _has_return(function: Callable) -> bool:
    """Say whether there is a way on which a function returns something that is not plain None."""
    if not inspect.isfunction(function):
        return False
    for before, step in pairwise(dis.get_instructions(function)):
        # Python 3.12 and 3.13 return a constant in one step, the others in two.
        value = step if step.opname == "RETURN_CONST" else before
        if step.opname.startswith("RETURN_") and not (
            "CONST" in value.opname and value.argval is None
        ):
            return True
    return False


def _briefly(argument: object) -> str:
    """Return an argument of a function as a message shows it: short, and without an address."""
    said = words_of(argument.tolist() if hasattr(argument, "tolist") else argument, repr)
    # Arrays of NumPy have 64 bits unless someone asks for fewer.
    fewer = getattr(argument, "dtype", None) == np.float32
    if len(said) <= 60 and not said.startswith("<"):
        return said + ", float32" * fewer
    shape = getattr(argument, "shape", None)
    kind = type(argument).__name__
    if shape is None:
        return f"a {kind}"
    return f"a {kind} of the shape {tuple(shape)}" + ", float32" * fewer


# What counts as a number, an index or an array is said to the reader once, in chapter 00.


def number(answer: object, infinite: bool = False) -> float:
    """Return an answer as a number: one of Python or NumPy, an array or tensor without axes.

    Args:
        answer: what the student returned, or one part of it.
        infinite: it may be infinite.

    Raises:
        Slip: it is none, or not a finite one.
    """
    answer = _cut_off(answer)
    try:
        text = isinstance(answer, bool | np.bool_ | str | bytes)
        value = math.nan if text or np.ndim(answer) else float(answer)
    except (TypeError, ValueError):
        value = math.nan
    if math.isnan(value) or (math.isinf(value) and not infinite):
        raise Slip(f"a finite number is asked for, and yours is {described(answer)}.")
    return value


def index(answer: object) -> int:
    """Return an answer as a number that can pick an entry of a list: an id, a place.

    Raises:
        Slip: it is none, such as a text, or a float.
    """
    try:
        if isinstance(answer, bool | np.bool_) or np.ndim(answer):
            raise TypeError
        return operator.index(answer)
    except (TypeError, ValueError):
        raise Slip(
            "a whole number that can pick an entry of a list is asked for (int), and yours is "
            f"{described(answer)}."
        ) from None


def array(answer: object, what: str = "an array of numbers is asked for") -> np.ndarray:
    """Return an answer as an array: one of NumPy, a tensor, or rows of numbers of one length.

    Args:
        answer: what the student returned, or one part of it.
        what: the beginning of what is said if it is none.

    Raises:
        Slip: it is none.
    """
    answer = _cut_off(answer)
    try:
        got = np.asarray(answer)
        if got.dtype.kind in "biuf":
            return got
    except (TypeError, ValueError):  # such as rows of several lengths
        pass
    raise Slip(f"{what}, and yours is {described(answer)}.")


def entries(answer: object, what: str) -> list:
    """Return the entries of a list, a tuple, an array or a tensor.

    Args:
        answer: what the student returned.
        what: what is asked for; the beginning of what is said if it is none of these.

    Raises:
        Slip: it is none, such as a text, or an array without axes.
    """
    answer = _cut_off(answer)
    listed = isinstance(answer, list | tuple) or getattr(answer, "ndim", 0)
    if not listed:
        raise Slip(f"{what}, and yours is {described(answer)}.")
    return list(answer)


def drawn(seed: int, count: int, make: Callable[[np.random.Generator], object]) -> list:
    """Return cases that `make` draws, one a call; the same seed draws the same ones again."""
    rng = np.random.default_rng(seed)
    return [make(rng) for _ in range(count)]


def near(value: float, right: float) -> bool:
    """Say whether a number is right to float32, about six digits."""
    return math.isclose(value, right, rel_tol=2e-6, abs_tol=1e-12)


def rounded(value: float, right: float) -> bool:
    """Say whether a number is the right one, rounded or cut off after at most eight decimals."""
    return value != right and any(
        math.isclose(value, round(value, places)) and abs(value - right) < 10.0**-places
        for places in range(1, 9)
    )


def _cut_off(answer: object) -> object:
    """Return an answer, a tensor without its graph: NumPy does not read one that has it."""
    return answer.detach().cpu() if hasattr(answer, "detach") else answer


def hint(exercise: str) -> None:
    """Print the next hint of an exercise; called again, one more.

    The first is a question to ask oneself, the second the idea, the third the line. After the last
    one all three are shown.

    Args:
        exercise: chapter and check, such as "ch00.pairs".

    Of an exercise that there is not, it says which there are: a slip of the pen is not to stop a
    notebook that is run as a whole.
    """
    chapter, _, name = str(exercise).partition(".")
    hints = hints_of(chapter)
    if not hints:
        print(f'{exercise!r} names no chapter; write it as "ch00.pairs".')
        return
    if name not in hints:
        print(f"{chapter} has no exercise {name!r}; it has {', '.join(hints)}.")
        return
    _shown[exercise] = min(_shown[exercise] + 1, len(hints[name]))
    for n, text in enumerate(hints[name][: _shown[exercise]], start=1):
        print(f"Hint {n} of {len(hints[name])}: {text}")


def hints_of(chapter: str) -> dict[str, list[str]]:
    """Return the hints of a chapter such as "ch00": exercise -> hints; none where it has none."""
    paths = {path.stem: path for path in HINTS.glob("*.toml")}
    return tomllib.loads(paths[chapter].read_text(encoding="utf-8")) if chapter in paths else {}
