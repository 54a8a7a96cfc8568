"""How an answer to an exercise is graded, and how its hints come one by one."""

import dis
import importlib
import inspect
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path

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

    The answer stays the student's own in any case.

    Args:
        answer: what the student wrote; `...`, None or a function without a body is no attempt.
        find_slip: returns what is wrong with it, or None. What it raises is a slip of the answer.

    Raises:
        NotAttempted, NotYet: within `grading()`, in place of the line.
    """
    if answer is ... or answer is None or is_stub(answer):
        _tell("not attempted yet", NotAttempted)
        return
    try:
        slip = find_slip()
    except Slip as error:
        slip = str(error)
    except Exception as error:  # whatever the student's code raises is a slip, not a crash
        slip = f"your code stopped with {type(error).__name__}: {error}"
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


def is_stub(answer: object) -> bool:
    """Say whether an answer is a function with nothing in its body but a docstring and `...`."""
    if not inspect.isfunction(answer):
        return False
    steps = list(dis.get_instructions(answer))
    returned = [step.argval for step in steps if "CONST" in step.opname]
    return {step.opname for step in steps} <= IDLE and returned == [None]


def call_answer(function: Callable, *arguments: object) -> object:
    """Call a student's function; a result of None is a forgotten `return`, or a forgotten case.

    Raises:
        Slip: the answer is no function, or returns nothing. If it returns something elsewhere, the
            message names the input for which it does not.
    """
    if not callable(function):
        raise Slip(f"a function is asked for, and yours is {type(function).__name__!r}.")
    given = " and ".join(map(_briefly, arguments))  # before the function can change it
    result = function(*arguments)
    if result is None and _has_return(function):
        raise Slip(f"for {given} your function returns nothing: did you forget this case?")
    if result is None:
        raise Slip("your function returns nothing; did you forget `return`?")
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
    said = repr(argument.tolist() if hasattr(argument, "tolist") else argument)
    if len(said) <= 60 and not said.startswith("<"):
        return said
    shape = getattr(argument, "shape", None)
    kind = type(argument).__name__
    return f"a {kind}" if shape is None else f"a {kind} of the shape {tuple(shape)}"


def number(answer: object) -> float:
    """Return an answer as a number.

    Raises:
        Slip: it is none, or not a finite one.
    """
    if hasattr(answer, "detach"):  # a tensor that still has its graph; PyTorch would warn
        answer = answer.detach()
    try:
        value = math.nan if isinstance(answer, bool | str | bytes) else float(answer)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise Slip(f"a finite number is asked for, and yours is {answer!r}.")
    return value


def hint(exercise: str) -> None:
    """Print the next hint of an exercise; called again, one more.

    The first is a question to ask oneself, the second the idea, the third the line. After the last
    one all three are shown.

    Args:
        exercise: chapter and check, such as "ch00.pairs".

    Raises:
        KeyError: there is no such exercise; the message names those of the chapter.
    """
    chapter, _, name = exercise.partition(".")
    hints = hints_of(chapter)
    if not hints:
        raise KeyError(f'{exercise!r} names no chapter; write it as "ch00.pairs".')
    if name not in hints:
        raise KeyError(f"{chapter} has no exercise {name!r}; it has {', '.join(hints)}.")
    _shown[exercise] = min(_shown[exercise] + 1, len(hints[name]))
    for n, text in enumerate(hints[name][: _shown[exercise]], start=1):
        print(f"Hint {n} of {len(hints[name])}: {text}")


def hints_of(chapter: str) -> dict[str, list[str]]:
    """Return the hints of a chapter such as "ch00": exercise -> hints; none where it has none."""
    paths = {path.stem: path for path in HINTS.glob("*.toml")}
    return tomllib.loads(paths[chapter].read_text(encoding="utf-8")) if chapter in paths else {}
