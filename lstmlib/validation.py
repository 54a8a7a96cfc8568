"""Checks of arguments. The message of an error names the argument, its value and the remedy.

Each check returns the value that it was given, and a number of NumPy's as Python's own. Modules
call these checks for their arguments, so that one kind of mistake gets one message.
"""

import math
from collections.abc import Iterable
from numbers import Integral, Real

import numpy as np

LARGEST = 2**63 - 1
"""The largest whole number of 64 bits, the width of NumPy's and PyTorch's integers."""


def check_whole(
    name: str, value: object, at_least: int = 1, at_most: float = math.inf, hint: str = ""
) -> int:
    """Return a whole number as an int.

    Args:
        name: the argument's name, for the message.
        value: what was given, Python's or NumPy's. True and False are no numbers here.
        at_least, at_most: the smallest and the largest number allowed.
        hint: the end of the message, such as ", or None".

    Raises:
        ValueError: the value is no whole number, or is outside the bounds.
    """
    if not (is_whole(value) and at_least <= value <= at_most):
        wanted = f"a whole number, {at_least} or more"
        # A bound of 64 bits is of interest only to who exceeds it.
        if at_most < LARGEST or (is_whole(value) and value > at_most):
            wanted = f"a whole number from {at_least} to {at_most}"
        raise ValueError(f"{name} is {quoted(value)}; it must be {wanted}{hint}.")
    return int(value)


def check_number(
    name: str,
    value: object,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    infinite: bool = False,
    hint: str = "",
) -> float:
    """Return a real number as a float.

    Args:
        name: the argument's name, for the message.
        value: what was given, Python's or NumPy's. True, False and NaN are no numbers here.
        at_least, at_most: bounds that are allowed themselves.
        above, below: bounds that are not allowed themselves.
        infinite: whether infinity is allowed, where the bounds leave room for it.
        hint: the end of the message, such as ", or None".

    Raises:
        ValueError: the value is no number, is outside the bounds, or is infinite.
    """
    fits = is_number(value) and at_least <= value <= at_most
    # An infinite bound is no bound, so infinity itself may lie on it.
    fits = fits and (value > above or above == -math.inf) and (value < below or below == math.inf)
    if not fits or not (infinite or math.isfinite(value)):
        lower = f"{at_least} or more" if at_least > -math.inf else f"above {above}"
        upper = f"at most {at_most}" if at_most < math.inf else f"below {below}"
        bounds = [lower] if max(at_least, above) > -math.inf else []
        bounds += [upper] if min(at_most, below) < math.inf else []
        kind = "a number" if infinite or len(bounds) == 2 else "a finite number"
        wanted = f"{kind}, {' and '.join(bounds)}" if bounds else kind
        raise ValueError(f"{name} is {quoted(value)}; it must be {wanted}{hint}.")
    return float(value)


def check_choice(name: str, value: object, choices: Iterable[str], hint: str = "") -> str:
    """Return one of a list of words.

    Args:
        name: the argument's name, for the message.
        value: what was given.
        choices: the words allowed, in the order in which a message lists them.
        hint: the end of the message, such as ", or None".

    Raises:
        ValueError: the value is none of them.
    """
    choices = tuple(choices)
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{name} is {quoted(value)}; choose one of {', '.join(choices)}{hint}.")
    return value


def check_flag(name: str, value: object) -> bool:
    """Return True or False, Python's or NumPy's, as a bool; raise ValueError for all else."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {quoted(value)}; it must be True or False.")
    return bool(value)


def check_ids(
    name: str, ids: np.ndarray, size: int, error: type[ValueError] = ValueError, hint: str = ""
) -> np.ndarray:
    """Return ids that lie in a vocabulary.

    Args:
        name: the argument's name, for the message.
        ids: an array of any shape; an empty one passes.
        size: number of tokens V.
        error: the kind of error to raise.
        hint: the end of the message, such as "; 1 is padding".

    Raises:
        ValueError: the ids are no integers, or one of them is outside 0 … V - 1.
    """
    if ids.size and ids.dtype.kind not in "iu":
        wanted = f"integers in 0 … {size - 1}{hint}"
        raise error(f"The dtype of {name} is {ids.dtype}; ids must be {wanted}.")
    if ids.size and not 0 <= ids.min() <= ids.max() < size:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise error(f"{wrong} in {name} is no id; ids must lie in 0 … {size - 1}{hint}.")
    return ids


def is_whole(value: object) -> bool:
    """Say whether a value is a whole number, Python's or NumPy's."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Say whether a value is a real number that a float can hold, and not NaN."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:  # 10**400 is a number to Python, but no float can hold it
        return False


def quoted(value: object) -> str:
    """Return a value as a message quotes it, cut to a length that one can read."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:50]}… ({len(text)} characters)"
