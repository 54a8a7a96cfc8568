"""Bands for measured numbers, and facts that hold on every machine."""

import math
import sys
from pathlib import Path

from lstmlib.runtime import profile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


BANDS = Path(__file__).parents[1] / "bands"
"""The folder of all bands, a file a chapter."""


def bands() -> dict[str, dict]:
    """Return all bands: name -> {"what": text, profile: [low, high], ...}.

    Of a number that has a greatest possible value, such as a percentage, that is "at_most".
    """
    texts = [path.read_text(encoding="utf-8") for path in sorted(BANDS.glob("*.toml"))]
    return tomllib.loads("\n".join(texts))


_IF_CHANGED = (
    "If you changed a size, or skipped, interrupted or repeated a cell above, that was to be "
    "expected: run the notebook from its start. If not, something is wrong."
)


def band(name: str, value: float, corpus: str = "python-docs") -> None:
    """Print "…: ok" if a measured number lies in its band for this profile.

    Bands were measured on the default corpus; on another one this says so and checks nothing.

    Raises:
        KeyError: there is no such band.
        AssertionError: the number lies outside; the message names the band.
    """
    entry = bands()[name]
    if corpus != "python-docs":
        print(
            f"{entry['what']}: not checked, since its band is for python-docs, not for {corpus}"
            f"{_shown(value)}"
        )
        return
    low, high = entry[profile()]
    if not low <= value <= high:
        raise AssertionError(
            f"{entry['what']} is {value:.4g}, outside its band {low} … {high} for the profile "
            f"{profile()!r} (course/bands, {name}). {_IF_CHANGED}"
        )
    print(f"{entry['what']} in its band: ok{_shown(f'{value:.4g}; band {low} to {high}')}")


def has_room(
    band: list[float],
    measured: list[float],
    like: list[float] | None = None,
    at_most: float = math.inf,
) -> bool:
    """Say whether a band leaves room for machines that were not measured.

    Args:
        band: [low, high].
        measured: [lowest, highest, runs]. On each side a third of their distance must be left.
        like: what was measured in a profile of many runs. One or two runs show no spread, so they
            must have a third of that profile's, and 1 % of their value at least.
        at_most: what the number can be at most, such as 100 for a percentage: there is no room
            to leave beyond it.
    """
    (low, high), (lowest, highest, runs) = band, measured
    room = (highest - lowest) / 3
    if like is not None and runs < 3:
        room = max(room, (like[1] - like[0]) / 3, abs(lowest) / 100, abs(highest) / 100)
    return low <= lowest - room and min(highest + room, at_most) <= high


def enough_text(text: str, enough: int = 50_000) -> None:
    """Say whether a text is long enough to learn from; if not, what cannot be learned from it.

    Args:
        text: what a network is to be trained on.
        enough: characters.
    """
    if len(text) >= enough:
        print("enough text to learn from: ok")
        return
    print(
        f"This text has {len(text):,} characters. All cells run, but from under {enough:,} hardly "
        "anything of a language can be learned: the network soon knows these pages by heart, and "
        "the loss on unseen text stays high. Compare with the default text, or take a whole book."
    )


def fact(name: str, holds: bool, corpus: str = "python-docs", *, measured: object = None) -> None:
    """Print "name: ok" if a statement holds, and beside it what was measured.

    A statement about the default corpus, or about what a network learns from it, is given the name
    of the corpus in use: on another one this says so and checks nothing.

    Args:
        name: the statement, in words.
        holds: whether it holds.
        corpus: the text that it was made on.
        measured: a number, or numbers in words. It may differ from machine to machine: nbval
            compares nothing that stands between "(measured" and ")".

    Raises:
        AssertionError: the statement does not hold; the message names it.
    """
    shown = _shown(measured)
    if corpus != "python-docs":
        print(f"{name}: not checked, since it is about python-docs, not about {corpus}{shown}")
        return
    if not holds:
        raise AssertionError(f"{name}: does not hold here{shown}. {_IF_CHANGED}")
    print(f"{name}: ok{shown}")


def _shown(measured: object) -> str:
    """Return what was measured as it stands beside a fact; nothing of None."""
    if measured is None:
        return ""
    text = measured if isinstance(measured, str) else f"{float(measured):.4g}"
    return f" (measured {text.translate(str.maketrans('()', '[]'))})"
