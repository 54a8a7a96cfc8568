"""Right and wrong answers to the exercises, a file a chapter: check -> Exercise."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Exercise(NamedTuple):
    """What a check must accept, and what it must not.

    arguments: those of the check beside the answer. right: answers that are right, the reference
    first, then others that are written differently. wrong: (answer, a word of what is said of it).
    unmoved: mutations that make no other answer of the reference, such as the sign of a text.
    """

    right: list
    wrong: list[tuple[Any, str]]
    arguments: Mapping = MappingProxyType({})
    unmoved: tuple[str, ...] = ()


def raises(*_):
    raise RuntimeError("oh no")
