"""Ids -> training examples.

Two ways to cut a text. `windows` takes overlapping pieces, each with the one character that
follows it, and `Windows` draws batches of them. `Streams` lays the text out as parallel, contiguous
rows and walks along them, so that the hidden state can be carried from one batch to the next
(stateful truncated BPTT).

And one to keep texts whole: `PaddedBatches` puts many short ones side by side.
"""

import reprlib
from collections.abc import Iterator, Sequence
from numbers import Integral, Real

import numpy as np

IGNORE = -100
"""The target id that losses leave out, as in torch.nn.functional.cross_entropy."""
MOST_PADDING = 2**20
"""Tokens of padding that a batch may ask for beyond what its text holds: 16 MB in x and y."""
MOST_TOKENS = 2**28
"""Tokens of one padded batch: 4 GB in x and y."""


def split(ids: np.ndarray, valid_fraction: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Split ids (N,) into a leading training and a trailing validation part, both contiguous.

    Raises:
        ValueError: the fraction is not between 0 and 1, or a part would hold under 2 characters.
    """
    if not (isinstance(valid_fraction, Real) and 0 < valid_fraction < 1):
        raise ValueError(f"valid_fraction is {valid_fraction!r}; it must lie between 0 and 1.")
    cut = len(ids) - round(len(ids) * valid_fraction)
    if cut < 2 or len(ids) - cut < 2:
        raise ValueError(
            f"A text of {len(ids)} characters is too short to split at {valid_fraction:.0%}: "
            "each part needs 2 characters or more."
        )
    return ids[:cut], ids[cut:]


def _check_sizes(**sizes: int) -> list[int]:
    """Return sizes as plain numbers; raises ValueError unless each is a whole number from 1."""
    for name, size in sizes.items():
        whole = isinstance(size, Integral) and not isinstance(size, bool)
        if not (whole and 1 <= size < 2**63):
            raise ValueError(
                f"{name} is {reprlib.repr(size)}; it must be a whole number, 1 or more."
            )
    return [int(size) for size in sizes.values()]


def _row_of_ids(ids: np.ndarray) -> np.ndarray:
    """Return a text's ids (N,) as int64; raises ValueError for other arrays and fewer than 2."""
    ids = np.asarray(ids)
    if ids.ndim == 1 and len(ids) < 2:
        raise ValueError(f"A text of {len(ids)} characters has no pair to learn from.")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"A text must be a row of ids (integers), not {ids.dtype} {ids.shape}.")
    return ids.astype(np.int64, copy=False)


def _check_place(k: int, batches: int, epoch: int) -> None:
    """Raise IndexError unless an epoch of so many batches has a batch k."""
    if not 0 <= k < batches:
        raise IndexError(f"There is no batch {k}; the epoch has {batches}, counted from 0.")
    if epoch < 0:
        raise IndexError(f"There is no epoch {epoch}; they are counted from 0.")


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
    length, step = _check_sizes(length=length, step=step)
    if len(ids) <= length:
        raise ValueError(
            f"A text of {len(ids)} characters is too short for one window of {length} and the "
            f"character after it: use a longer text, or length {max(len(ids) - 1, 1)} or less."
        )
    x = np.lib.stride_tricks.sliding_window_view(ids[:-1], length)[::step]
    return x, ids[length::step]


class Windows:
    """Windows of a text in batches, each read from a state of zeros (cases A and D of the course).

    Each epoch draws a share of the windows without replacement, in a random order that depends on
    the seed and the epoch alone. What does not fill a batch is left out of that epoch.

    Args:
        ids: (N,) integers.
        length: characters T in a window.
        step: characters from the start of one window to the start of the next.
        batch_size: windows B in a batch.
        share: of all windows, the share that an epoch draws, above 0 and at most 1.
        seed: of the drawing.
        predict: "last", the one character after each window; "every", the character after each
            character of a window.

    Attributes:
        count: the number n of all windows.
        targets: characters that an epoch predicts.

    Iterating yields the batches of epoch 0: x and y, each (B, T) int64. y is x one character on;
    under "last" all of it but the last column is IGNORE (-100), which losses leave out.

    Raises:
        ValueError: a setting without meaning; ids that are not a row of integers; a text too short
            for one window and its target, or whose share of the windows does not fill a batch.
    """

    def __init__(
        self,
        ids: np.ndarray,
        length: int,
        step: int,
        batch_size: int,
        share: float = 1.0,
        seed: int = 0,
        predict: str = "last",
    ) -> None:
        if predict not in ("last", "every"):
            raise ValueError(f"predict is {predict!r}; choose 'last' or 'every'.")
        if not (isinstance(share, Real) and 0 < share <= 1):
            raise ValueError(f"share is {share!r}; it must be above 0 and at most 1.")
        if not (isinstance(seed, Integral) and 0 <= seed < 2**63):
            raise ValueError(f"seed is {reprlib.repr(seed)}; it must be a whole number, 0 or more.")
        (batch_size,) = _check_sizes(batch_size=batch_size)
        self.ids = _row_of_ids(ids)
        x, self.after = windows(self.ids, length, step)  # (n, T), (n,)
        self.count, self.length = x.shape
        self.step, self.batch_size, self.predict = int(step), batch_size, predict
        # Plain numbers, since a checkpoint notes them as JSON.
        self.share, self.seed = float(share), int(seed)
        self.batches = int(self.share * self.count) // batch_size
        if not self.batches:
            raise ValueError(
                f"The text has {self.count} windows: their share that an epoch draws does not "
                "fill a batch. Use a smaller batch_size, or a longer text."
            )
        self.targets = self.batches * batch_size * (1 if predict == "last" else self.length)

    @property
    def settings(self) -> dict:
        """What the batches depend on beside the text, by names for a reader."""
        return {
            "window length": self.length,
            "window step": self.step,
            "windows in a batch": self.batch_size,
            "share of the windows": self.share,
            "drawing seed": self.seed,
            "predicted characters": self.predict,
        }

    def __len__(self) -> int:
        return self.batches

    def drawn(self, epoch: int = 0) -> np.ndarray:
        """Return which windows an epoch draws, in order, (batches, B); none occurs twice."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return order[: self.batches * self.batch_size].reshape(self.batches, self.batch_size)

    def batch(self, k: int, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return batch k of an epoch: x and y, each (B, T) int64.

        Raises:
            IndexError: unless 0 ≤ k < len(self) and epoch ≥ 0.
        """
        _check_place(k, len(self), epoch)
        return self._cut(self.drawn(epoch)[k])

    def _cut(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y (B, T) of windows by their numbers, (B,)."""
        starts = which[:, None] * self.step  # (B, 1)
        x = self.ids[starts + np.arange(self.length)]
        if self.predict == "every":
            return x, self.ids[starts + np.arange(1, self.length + 1)]
        y = np.full(x.shape, IGNORE)
        y[:, -1] = self.after[which]
        return x, y

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self._cut(which) for which in self.drawn())


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
        ValueError: sizes that are not whole numbers from 1; ids that are not a row of integers; a
            text too short (under "drop", for one full batch); or, under "mask", a batch that is
            nearly all padding, and too large for the memory.
    """

    def __init__(
        self, ids: np.ndarray, batch_size: int, seq_len: int, remainder: str = "drop"
    ) -> None:
        batch_size, seq_len = _check_sizes(batch_size=batch_size, seq_len=seq_len)
        if remainder not in ("drop", "mask"):
            raise ValueError(f"remainder is {remainder!r}; choose 'drop' or 'mask'.")
        ids = _row_of_ids(ids)
        total = len(ids) - 1
        batches = total // (batch_size * seq_len)
        if remainder == "mask":
            batches = -(-total // (batch_size * seq_len))
            if batch_size * seq_len > total + MOST_PADDING:
                raise ValueError(
                    f"A batch of {batch_size} × {seq_len} characters would be nearly all padding: "
                    f"the text has {len(ids)}. Use a smaller batch_size or seq_len."
                )
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


class PaddedBatches:
    """Whole sequences, side by side in padded batches of at most a budget of tokens (case C).

    They are bucketed by length: each epoch shuffles the sequences, sorts them by length, fills
    batches in that order, and shuffles the batches. So a batch holds sequences of about one length
    and little padding, batches come in random order, and which sequences of one length meet changes
    from epoch to epoch. The order depends on the seed and the epoch alone.

    Args:
        sequences: ids of each, (T + 1,) with T ≥ 1, such as `Vocab.frame` returns; T of them are
            read, and the last T are predicted.
        budget: largest number of rows × columns of a batch, padding counted.
        pad: the id that fills up x; y is filled up with IGNORE (-100), which losses leave out.
        seed: of the shuffling.

    Attributes:
        targets: symbols that an epoch predicts, padding not counted.
        padding: the share of an epoch's rows × columns that is padding.

    Iterating yields the batches of epoch 0: x and y, each (B, T) int64.

    Raises:
        ValueError: no sequence, one that is not a row of integers, one of under 2 ids, one that is
            longer than the budget, a budget that is not a whole number, 1 or more, or a seed that
            is none, 0 or more; a pad that is no id; or a batch of more than MOST_TOKENS.
    """

    def __init__(
        self, sequences: Sequence[np.ndarray], budget: int, pad: int, seed: int = 0
    ) -> None:
        for name, value, least in (("budget", budget, 1), ("seed", seed, 0)):
            if not (isinstance(value, Integral) and least <= value < 2**63):
                raise ValueError(
                    f"{name} is {reprlib.repr(value)}; it must be a whole number, {least} or more."
                )
        if not (isinstance(pad, Integral) and -(2**63) <= pad < 2**63):
            raise ValueError(f"pad is {reprlib.repr(pad)}; it must be an id, a whole number.")
        self.sequences = [np.asarray(sequence) for sequence in sequences]
        for k, sequence in enumerate(self.sequences):
            if sequence.ndim != 1 or sequence.dtype.kind not in "iu":
                raise ValueError(f"Sequence {k} is not a row of ids (integers), see Vocab.frame.")
        self.lengths = np.array([len(sequence) - 1 for sequence in self.sequences])
        if not len(self.lengths):
            raise ValueError("There is no sequence to learn from.")
        if self.lengths.min() < 1:
            raise ValueError(
                f"Sequence {self.lengths.argmin()} has under 2 ids: nothing to predict."
            )
        if self.lengths.max() > budget:
            raise ValueError(
                f"Sequence {self.lengths.argmax()} has {self.lengths.max()} symbols to predict, "
                f"more than the budget of {budget}. Raise the budget, or leave it out or cut it."
            )
        # Plain numbers, since a checkpoint notes them as JSON.
        self.budget, self.pad, self.seed = int(budget), int(pad), int(seed)
        self._cuts = self._fill(np.sort(self.lengths))
        self.targets = int(self.lengths.sum())
        sizes = np.diff(self._cuts) * np.sort(self.lengths)[self._cuts[1:] - 1]
        if sizes.max() > MOST_TOKENS:
            raise ValueError(
                f"A budget of {self.budget} makes a batch of {sizes.max()} tokens, padding "
                f"counted, but {MOST_TOKENS} are the most. Lower the budget."
            )
        self.padding = 1 - self.targets / int(sizes.sum())
        self._epoch, self._batches = None, []

    def _fill(self, lengths: np.ndarray) -> np.ndarray:
        """Return where batches begin and end in the sorted order: 0, …, number of sequences."""
        cuts = [0]
        for k, length in enumerate(lengths):
            if (k + 1 - cuts[-1]) * length > self.budget:
                cuts.append(k)
        return np.array([*cuts, len(lengths)])

    def __len__(self) -> int:
        return len(self._cuts) - 1

    def batch(self, k: int, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return batch k of an epoch: x and y, each (B, T) int64.

        Raises:
            IndexError: unless 0 ≤ k < len(self) and epoch ≥ 0.
        """
        _check_place(k, len(self), epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        rows = self._batches[k]
        x = np.full((len(rows), self.lengths[rows].max()), self.pad, dtype=np.int64)
        y = np.full_like(x, IGNORE)
        for row, which in enumerate(rows):
            sequence, n = self.sequences[which], self.lengths[which]
            x[row, :n], y[row, :n] = sequence[:-1], sequence[1:]
        return x, y

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of an epoch, each as the numbers of its sequences."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths))
        order = order[np.argsort(self.lengths[order], kind="stable")]
        batches = np.split(order, self._cuts[1:-1])
        return [batches[k] for k in rng.permutation(len(batches))]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.batch(k) for k in range(len(self)))
