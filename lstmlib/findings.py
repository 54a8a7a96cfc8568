"""What is found in a text or a run: a fact, and what to do about it.

Whoever trains a network reads both. Whoever gets the network reads its card, in which the facts
alone have a place.
"""

from typing import NamedTuple


class Finding(NamedTuple):
    """A fact and an advice.

    Attributes:
        fact: one or more sentences that are true of the text or the run, for any reader.
        advice: what the one who trains can do about it; "" where there is nothing to do.
    """

    fact: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.fact} {self.advice}".strip()
