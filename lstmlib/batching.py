"""Ids -> training examples.

Two ways to cut a text. `windows` takes overlapping pieces, each with the one character that
follows it. `Streams` lays the text out as parallel, contiguous rows and walks along them, so that
the hidden state can be carried from one batch to the next (stateful truncated BPTT).
"""

from collections.abc import Iterator

import numpy as np

IGNORE = -100
"""The target id that losses leave out, as in torch.nn.functional.cross_entropy."""


def split(ids: np.ndarray, valid_fraction: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Split ids (N,) into a leading training and a trailing validation part, both contiguous.

    Raises:
        ValueError: the fraction is not between 0 and 1, or a part would hold under 2 characters.
    """
    if not 0 < valid_fraction < 1:
        raise ValueError(f"valid_fraction is {valid_fraction}; it must lie between 0 and 1.")
    cut = len(ids) - round(len(ids) * valid_fraction)
    if cut < 2 or len(ids) - cut < 2:
        raise ValueError(
            f"A text of {len(ids)} characters is too short to split at {valid_fraction:.0%}: "
            "each part needs 2 characters or more."
        )
    return ids[:cut], ids[cut:]


def windows(ids: np.ndarray, length: int, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Cut overlapping windows, each with the character that follows it (case A of the course).

    Args:
        ids: (N,) integers.
        length: characters in a window.
        step: characters from the start of one window to the start of the next.

    Returns:
        x: (n, length), a read-only view on ids; y: (n,), n = (N - length - 1) // step + 1.

    Raises:
        ValueError: length or step below 1, or a text too short for one window and its target.
    """
    if length < 1 or step < 1:
        raise ValueError(f"length ({length}) and step ({step}) must be 1 or more.")
    if len(ids) <= length:
        raise ValueError(
            f"A text of {len(ids)} characters is too short for one window of {length} and the "
            f"character after it: use a longer text, or length {max(len(ids) - 1, 1)} or less."
        )
    x = np.lib.stride_tricks.sliding_window_view(ids[:-1], length)[::step]
    return x, ids[length::step]


class Streams:
    """Contiguous batches for stateful truncated BPTT, as an iterable of (x, y).

    The text's N - 1 (input, target) pairs are laid out as batch_size rows, each a contiguous piece
    of it. Batch k holds columns k·seq_len to (k+1)·seq_len of every row, so row b of batch k + 1
    goes on exactly where row b of batch k stopped. No pair occurs twice in an epoch.

    Args:
        ids: (N,) integers.
        batch_size: rows (parallel streams).
        seq_len: columns of a batch, the length of truncated BPTT.
        remainder: "drop" leaves out the pairs that do not fill a batch, and counts them in
            `dropped`; "mask" keeps every pair and fills up with target IGNORE (-100).

    Attributes:
        dropped: pairs left out.
        pairs: pairs that an epoch holds, padding not counted.
        x, y: the rows, (batch_size, len(self) * seq_len) int64; y is x one character on.

    Iterating yields the columns of x and y batch by batch, each (batch_size, seq_len).

    Raises:
        ValueError: sizes below 1, or a text too short (under "drop", for one full batch).
    """

    def __init__(
        self, ids: np.ndarray, batch_size: int, seq_len: int, remainder: str = "drop"
    ) -> None:
        if batch_size < 1 or seq_len < 1:
            raise ValueError(f"batch_size ({batch_size}) and seq_len ({seq_len}) must be ≥ 1.")
        if remainder not in ("drop", "mask"):
            raise ValueError(f"remainder is {remainder!r}; choose 'drop' or 'mask'.")
        if len(ids) < 2:
            raise ValueError(f"A text of {len(ids)} characters has no pair to learn from.")
        ids = np.asarray(ids, dtype=np.int64)
        total = len(ids) - 1
        batches = total // (batch_size * seq_len)
        if remainder == "mask":
            batches = -(-total // (batch_size * seq_len))
        elif batches == 0:
            raise ValueError(
                f"A text of {len(ids)} characters is too short for one batch of {batch_size} × "
                f"{seq_len} characters and a target: use a longer text, or a smaller batch_size "
                "or seq_len."
            )
        self.batch_size, self.seq_len = batch_size, seq_len
        self.pairs = min(total, batches * batch_size * seq_len)
        self.dropped = total - self.pairs
        self.x, self.y = self._rows(ids)

    def _rows(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lay the pairs out as (batch_size, columns), padded at the right ends of the last rows."""
        per_row = -(-self.pairs // self.batch_size)
        columns = -(-per_row // self.seq_len) * self.seq_len
        x = np.zeros((self.batch_size, columns), dtype=np.int64)
        y = np.full((self.batch_size, columns), IGNORE, dtype=np.int64)
        for row, start in enumerate(range(0, self.pairs, per_row)):
            n = min(per_row, self.pairs - start)
            x[row, :n] = ids[start : start + n]
            y[row, :n] = ids[start + 1 : start + n + 1]
        return x, y

    def __len__(self) -> int:
        return self.x.shape[1] // self.seq_len

    def batch(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch k of the epoch; raises IndexError unless 0 ≤ k < len(self)."""
        if not 0 <= k < len(self):
            raise IndexError(f"There is no batch {k}; the epoch has {len(self)}, counted from 0.")
        columns = slice(k * self.seq_len, (k + 1) * self.seq_len)
        return self.x[:, columns], self.y[:, columns]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.batch(k) for k in range(len(self)))
