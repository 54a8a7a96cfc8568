"""From ids to training examples, in three ways.

`windows` cuts overlapping pieces of a text, each with the one character that follows it, and
`Windows` draws batches of them. `Streams` lays a text out as parallel, contiguous rows and walks
along them, so that the hidden state can be carried from one batch to the next (stateful truncated
BPTT). `PaddedBatches` keeps many short texts whole, and puts them side by side.

Sizes in comments: N ids, B rows, T columns.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from lstmlib.validation import (
    LARGEST,
    check_choice,
    check_flag,
    check_number,
    check_whole,
    is_whole,
    quoted,
)

IGNORE = -100
"""The target id that losses leave out, as in torch.nn.functional.cross_entropy."""
MOST_PADDING = 2**20
"""The most padding of a `Streams` of a short text, in tokens: 16 MB in x and y."""
MOST_TOKENS = 2**28
"""The most tokens of one padded batch: 4 GB in x and y."""


def split(ids: np.ndarray, valid_fraction: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Split ids (N,) into a training part, which comes first, and a validation part.

    Both parts are contiguous. If validation were cut out at many places, each piece would stand
    beside training text that is much like it.

    Args:
        ids: (N,) integers.
        valid_fraction: the share of the text for validation, above 0 and below 1.

    Returns:
        (training ids, validation ids), views of ids.

    Raises:
        ValueError: the fraction is outside its bounds, or a part would have fewer than 2
            characters.
    """
    check_number("valid_fraction", valid_fraction, above=0, below=1)
    cut = len(ids) - round(len(ids) * valid_fraction)
    if cut < 2 or len(ids) - cut < 2:
        raise ValueError(
            f"A text of {len(ids)} characters is too short to split at {valid_fraction:.0%}: "
            "each part needs 2 characters or more."
        )
    return ids[:cut], ids[cut:]


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
        x: the n windows, (n, length), a read-only view of ids; n = (N - length - 1) // step + 1.
        y: the character after each window, (n,).

    Raises:
        ValueError: length or step is not a whole number, 1 or more, or the text is too short for
            one window and its target.
    """
    length = check_whole("length", length, at_most=LARGEST)
    step = check_whole("step", step, at_most=LARGEST)
    if len(ids) <= length:
        raise ValueError(
            f"A text of {len(ids)} characters is too short for one window of {length} and the "
            f"character after it: use a longer text, or length {max(len(ids) - 1, 1)} or less."
        )
    # A view, since copies of all windows would take `length` times the memory of the text. The last
    # id is in no window, since no character follows it.
    x = np.lib.stride_tricks.sliding_window_view(ids[:-1], length)[::step]  # (n, length)
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
        check_choice("predict", predict, ("last", "every"))
        share = check_number("share", share, above=0, at_most=1)
        seed = check_whole("seed", seed, at_least=0, at_most=LARGEST)
        batch_size = check_whole("batch_size", batch_size, at_most=LARGEST)
        self.ids = _row_of_ids(ids)
        x, self.after = windows(self.ids, length, step)  # (n, T), (n,)
        self.count, self.length = x.shape
        self.step, self.batch_size, self.predict = int(step), batch_size, predict
        self.share, self.seed = share, seed
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

    def draw_order(self, epoch: int = 0) -> np.ndarray:
        """Return which windows an epoch draws, in order, (batches, B); none occurs twice."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return order[: self.batches * self.batch_size].reshape(self.batches, self.batch_size)

    def batch(self, k: int, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return batch k of an epoch: x and y, each (B, T) int64.

        Raises:
            IndexError: unless 0 ≤ k < len(self) and epoch ≥ 0.
        """
        _check_place(k, len(self), epoch)
        return self._cut(self.draw_order(epoch)[k])

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
        return (self._cut(which) for which in self.draw_order())


class Streams:
    """Contiguous batches for stateful truncated BPTT, as an iterable of (x, y).

    A text of N ids has N - 1 pairs of an input and a target, the character after it. They are laid
    out as batch_size rows, each a contiguous piece of the text. Batch k holds columns k·seq_len to
    (k+1)·seq_len of every row. So row b of batch k + 1 goes on exactly where row b of batch k
    stopped, and its state can be carried on. No pair occurs twice in an epoch.

    Args:
        ids: (N,) integers.
        batch_size: number of rows B, the parallel streams.
        seq_len: number of columns T of a batch, the length of truncated BPTT.
        drop_last: True leaves out the pairs that do not fill a batch. False keeps every pair and
            fills the last batch up with the target IGNORE (-100), which losses leave out.

    Attributes:
        dropped: number of pairs left out.
        pairs: number of pairs in an epoch, without padding.
        x, y: the rows, (batch_size, len(self) * seq_len) int64. y is x one character later.

    Iterating yields (x, y) of each batch, both (batch_size, seq_len) int64.

    Raises:
        ValueError: a size is not a whole number, 1 or more; drop_last is not True or False; ids
            are not a row of integers; the text has no pair, or with drop_last none for a full
            batch; or without it a batch would be padding beyond MOST_PADDING.
    """

    def __init__(
        self, ids: np.ndarray, batch_size: int, seq_len: int, drop_last: bool = True
    ) -> None:
        batch_size = check_whole("batch_size", batch_size, at_most=LARGEST)
        seq_len = check_whole("seq_len", seq_len, at_most=LARGEST)
        drop_last = check_flag("drop_last", drop_last)
        ids = _row_of_ids(ids)  # (N,)
        total = len(ids) - 1  # pairs: the last character has no target
        batches = total // (batch_size * seq_len)
        if not drop_last:
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
        """Lay the pairs out as x and y, (B, columns) each, padded at the right ends of the rows."""
        per_row = -(-self.pairs // self.batch_size)  # -(-a // b) is a / b, rounded up
        columns = -(-per_row // self.seq_len) * self.seq_len  # a multiple of T
        # int64, since PyTorch's cross-entropy asks for it. Where y holds IGNORE, no loss is
        # taken, and the id in x does not matter.
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
        """Return batch k of the epoch: x and y, (B, T) int64 each, as views.

        Raises:
            IndexError: unless 0 ≤ k < len(self).
        """
        if not 0 <= k < len(self):
            raise IndexError(f"There is no batch {k}; the epoch has {len(self)}, counted from 0.")
        columns = slice(k * self.seq_len, (k + 1) * self.seq_len)  # the next T of every row
        return self.x[:, columns], self.y[:, columns]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.batch(k) for k in range(len(self)))


class PaddedBatches:
    """Whole sequences, side by side in padded batches (case C of the course).

    The sequences are bucketed by length. Each epoch shuffles the sequences, sorts them by length,
    fills batches in that order, and shuffles the batches. So a batch holds sequences of about one
    length and little padding, the batches come in random order, and a batch has other sequences of
    its length in each epoch. The order depends on the seed and the epoch alone.

    Args:
        sequences: the ids of each sequence, (T + 1,) with T ≥ 1, such as `Vocab.frame` returns. The
            first T ids are read, and the last T are predicted.
        max_tokens: the most tokens of a batch, rows × columns, with padding.
        pad: the id that fills x up. y is filled up with IGNORE (-100), which losses leave out.
        seed: the seed of the shuffling.

    Attributes:
        targets: number of symbols that an epoch predicts, without padding.
        padding: the share of padding in an epoch's tokens.

    Iterating yields the batches of epoch 0: x and y, each (B, T) int64.

    Raises:
        ValueError: there is no sequence; a sequence is not a row of integers, has fewer than 2 ids,
            or is longer than max_tokens; max_tokens is not a whole number, 1 or more; the seed is
            not a whole number, 0 or more; pad is no id; or a batch has more than MOST_TOKENS.
    """

    def __init__(
        self, sequences: Sequence[np.ndarray], max_tokens: int, pad: int, seed: int = 0
    ) -> None:
        # Python's own numbers, since a checkpoint notes them as JSON.
        self.max_tokens = check_whole("max_tokens", max_tokens, at_most=LARGEST)
        self.seed = check_whole("seed", seed, 0, at_most=LARGEST)
        if not (is_whole(pad) and -LARGEST <= pad <= LARGEST):
            raise ValueError(f"pad is {quoted(pad)}; it must be an id, a whole number.")
        self.pad = int(pad)
        self.sequences = [np.asarray(sequence) for sequence in sequences]
        for k, sequence in enumerate(self.sequences):
            if sequence.ndim != 1 or sequence.dtype.kind not in "iu":
                raise ValueError(f"Sequence {k} is not a row of ids (integers), see Vocab.frame.")
        # Symbols to predict, of each sequence: one fewer than its ids.
        self.lengths = np.array([len(sequence) - 1 for sequence in self.sequences])
        if not len(self.lengths):
            raise ValueError("There is no sequence to learn from.")
        if self.lengths.min() < 1:
            raise ValueError(
                f"Sequence {self.lengths.argmin()} has under 2 ids: nothing to predict."
            )
        if self.lengths.max() > max_tokens:
            raise ValueError(
                f"Sequence {self.lengths.argmax()} has {self.lengths.max()} symbols to predict, "
                f"more than max_tokens = {max_tokens}. Raise max_tokens, or leave it out or cut it."
            )
        self._cuts = self._fill(np.sort(self.lengths))
        self.targets = int(self.lengths.sum())
        # Tokens of each batch: its rows times its longest sequence, which is its last.
        sizes = np.diff(self._cuts) * np.sort(self.lengths)[self._cuts[1:] - 1]
        if sizes.max() > MOST_TOKENS:
            raise ValueError(
                f"max_tokens = {self.max_tokens} makes a batch of {sizes.max()} tokens, padding "
                f"counted, but {MOST_TOKENS} are the most. Lower it."
            )
        self.padding = 1 - self.targets / int(sizes.sum())
        self._epoch, self._batches = None, []

    def _fill(self, lengths: np.ndarray) -> np.ndarray:
        """Return the ends of the batches among the sorted sequences: 0, …, number of sequences."""
        cuts = [0]
        for k, length in enumerate(lengths):  # from short to long, so `length` is the batch's width
            if (k + 1 - cuts[-1]) * length > self.max_tokens:
                cuts.append(k)
        return np.array([*cuts, len(lengths)])

    def __len__(self) -> int:
        return len(self._cuts) - 1

    def batch(self, k: int, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return batch k of an epoch: x and y, each (B, T) int64.

        The batches of an epoch are worked out at its first call, and kept until another epoch.

        Raises:
            IndexError: unless 0 ≤ k < len(self) and epoch ≥ 0.
        """
        _check_place(k, len(self), epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        rows = self._batches[k]  # (B,), the numbers of its sequences
        x = np.full((len(rows), self.lengths[rows].max()), self.pad, dtype=np.int64)
        y = np.full_like(x, IGNORE)
        for row, which in enumerate(rows):
            sequence, n = self.sequences[which], self.lengths[which]
            x[row, :n], y[row, :n] = sequence[:-1], sequence[1:]
        return x, y

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of an epoch, each as the numbers of its sequences."""
        # From the seed and the epoch alone, so that a resumed run needs no state of a generator.
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths))
        # A stable sort keeps the random order among sequences of one length.
        order = order[np.argsort(self.lengths[order], kind="stable")]
        batches = np.split(order, self._cuts[1:-1])
        return [batches[k] for k in rng.permutation(len(batches))]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.batch(k) for k in range(len(self)))
