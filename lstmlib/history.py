"""The rows of a run: what happened at each step, in memory and in a file."""

import json
import math
import os
import reprlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lstmlib.serialization import atomic_write

NUMBERS = {
    "step",
    "epoch",
    "characters",
    "loss",
    "grad_norm",
    "clipped_norm",
    "learning_rate",
    "seconds",
    "valid_loss",
}
COLUMNS = NUMBERS | {"skipped"}
"""Of every row that `fit` writes."""


class History:
    """What happened at each step, as a list of rows.

    A row has these columns:

        step           counted from 1
        epoch          counted from 0
        characters     targets seen so far
        loss           mean of the batch, in nats per character
        grad_norm      global L2 norm of the gradient before clipping
        clipped_norm   the same after clipping
        learning_rate  that of the step
        seconds        since the start of the run; breaks between two calls do not count
        valid_loss     in nats per character; None where the step did not validate
        skipped        True where the loss or the norm was not finite

    In a row that was skipped the loss or the norm that was not finite is None, and the weights
    stayed as they were. Where `fit` was given diagnostics, a row also has what they recorded, and
    None there if the step was skipped.

    A run on a GPU does not wait for every step. Whoever looks at `rows` waits until the device has
    computed them. `len` does not wait.

    Attributes:
        rows: the rows, a list of dicts.
        ended: why the run is over: "all steps", "early", or "interrupted"; "" while it runs.
        precision: what the forward passes were computed in, "float32" or "bfloat16"; "" in rows
            that were loaded from a file.
    """

    def __init__(self, rows: Iterable[dict] = ()) -> None:
        self._rows = list(rows)
        self._fetch = None  # in a run on a GPU: fills in what the device still had to compute
        self.ended = self.precision = ""

    @property
    def rows(self) -> list[dict]:
        """The rows, whole."""
        if self._fetch is not None:
            self._fetch()
        return self._rows

    @rows.setter
    def rows(self, rows: list[dict]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (steps, values) of the rows that have a value in a column."""
        rows = [row for row in self.rows if row[name] is not None]
        return np.array([row["step"] for row in rows]), np.array([row[name] for row in rows])

    @property
    def best_valid_loss(self) -> float:
        """The lowest validation loss, in nats per character (inf if there is none)."""
        return float(min(self.column("valid_loss")[1], default=math.inf))

    @property
    def clipped_share(self) -> float:
        """The share of steps whose gradient was clipped; one that was skipped was not."""
        taken = [row for row in self.rows if row["grad_norm"] is not None]
        return sum(row["clipped_norm"] < row["grad_norm"] for row in taken) / max(len(self), 1)

    @property
    def skipped(self) -> int:
        """Steps that were skipped, since their loss or gradient was not finite."""
        return sum(row.get("skipped", False) for row in self.rows)

    def save(self, path: str | Path) -> None:
        """Write the rows as JSON lines, whole or not at all."""
        atomic_write(path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())

    @classmethod
    def load(cls, path: str | Path) -> "History":
        """Read what `save` wrote, or other JSON lines that are rows of a run.

        Every row has a step, above that of the row before it, a loss and a grad_norm. All rows have
        the columns of the first one, but for "diagnostics".

        Raises:
            HistoryError: the file cannot be read, or a line is no such row.
        """
        where, rows = os.path.abspath(path), []
        try:
            lines = Path(where).read_bytes().split(b"\n")
        except (OSError, ValueError) as error:  # ValueError: NUL in the path
            raise HistoryError(f"{where} cannot be read ({error}).") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
                check_row(row, rows[-1] if rows else None)
            # RecursionError: too deep; ValueError: no text, no JSON, or no row.
            except (RecursionError, ValueError) as error:
                bad_json = isinstance(error, json.JSONDecodeError)  # it counts lines, too, from 1
                reason = f"{error.msg} at column {error.colno}" if bad_json else error
                raise HistoryError(
                    f"{where}, line {number}, is no row of a history as History.save writes it "
                    f"({reason}). Copy the file again, or correct the line."
                ) from error
            rows.append(row)
        return cls(rows)


class HistoryError(ValueError):
    """A file is not a history; the message names the file and the line."""


def check_row(row: dict, before: dict | None) -> None:
    """Raise ValueError unless this is a row of a history, and follows on the one before it."""
    if not isinstance(row, dict):
        raise ValueError(f"{reprlib.repr(row)} has no columns")
    missing = [name for name in ("step", "loss", "grad_norm") if name not in row]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    for name, value in row.items():
        if name in NUMBERS and not (value is None or is_json_number(value)):
            raise ValueError(f"{name} is {reprlib.repr(value)}, not a number")
    if not isinstance(row["step"], int) or row["step"] < 1:
        raise ValueError(f"step is {row['step']}, not a whole number from 1")
    if not isinstance(row.get("skipped", False), bool):
        raise ValueError(f"skipped is {reprlib.repr(row['skipped'])}, not true or false")
    if not isinstance(row.get("diagnostics"), (dict, type(None))):
        raise ValueError(f"diagnostics is {reprlib.repr(row['diagnostics'])}")
    if before is None:
        return
    if row["step"] <= before["step"]:
        raise ValueError(f"step {row['step']} follows on step {before['step']}")
    other = sorted((row.keys() ^ before.keys()) - {"diagnostics"})
    if other:
        raise ValueError(f"the row before it has other columns: {reprlib.repr(other)}")


def is_json_number(value: object) -> bool:
    """Say whether a value of JSON is a number that NumPy can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, float) or abs(value) < 2**63


class TrainingDiverged(RuntimeError):
    """The loss or the gradient stayed infinite or not a number.

    Attributes:
        history: the rows up to there, those of the steps that were skipped included.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message, history)
        self.history = history

    def __str__(self) -> str:
        return self.args[0]
