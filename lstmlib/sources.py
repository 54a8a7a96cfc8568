"""Where the batches of `fit` come from: a text, whole sequences, or windows of a text.

A source lays the ids out, on the device where that is worth its memory, and hands out batch k of an
epoch. What it has in common with the others:

    batches    how many batches an epoch has
    goes_on    whether a batch begins with the hidden state that the one before it left
    rows       which rows of a batch are this process's
    columns    which columns of a batch have targets that count
    settings   what a checkpoint has to note beside the TrainingConfig
    batch(epoch, k)  x and y, each (B, T) int64, on the device
    targets(y)       how many characters a batch predicts, over all processes together
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

from lstmlib import validation
from lstmlib.batching import IGNORE, PaddedBatches, Streams, Windows
from lstmlib.distributed import DistributedContext
from lstmlib.models import CharRNN
from lstmlib.settings import TrainingConfig

OF_ANOTHER_TEXT = "; build the model with vocab_size=len(vocab) of the text's own vocabulary"
"""What a message says of ids that the model does not know."""
Data = np.ndarray | PaddedBatches | Windows
"""What `fit` trains and validates on: the ids of a text (N,), sequences, or windows."""


class TextSource:
    """The batches of a text: streams, of which this process has its share."""

    goes_on, columns = True, slice(None)

    def __init__(
        self,
        ids: np.ndarray,
        config: TrainingConfig,
        device: torch.device,
        processes: DistributedContext,
    ) -> None:
        self.ids, self.rotates, self.device = np.asarray(ids), config.rotate_streams, device
        self.batch_size, self.seq_len, self.settings = config.batch_size, config.seq_len, {}
        self.pairs = config.batch_size * config.seq_len
        self.rows = processes.share(config.batch_size, config.accumulate)
        self.batches = self._lay_out(0)

    def _lay_out(self, epoch: int) -> int:
        """Cut the text of an epoch into streams, on the device; return how many batches they are.

        The first epoch begins at the text's first character.
        """
        begin = np.random.default_rng([epoch]).integers(len(self.ids)) if epoch else 0
        streams = Streams(np.roll(self.ids, -begin), self.batch_size, self.seq_len)
        self.x = torch.from_numpy(streams.x[self.rows]).to(self.device)  # (B, columns)
        self.y = torch.from_numpy(streams.y[self.rows]).to(self.device)  # x, one character on
        self.epoch = epoch
        return len(streams)

    def batch(self, epoch: int, k: int) -> tuple[Tensor, Tensor]:
        """Return x and y (B, T) of batch k of an epoch; unless they rotate, all are alike."""
        if self.rotates and epoch != self.epoch:
            self._lay_out(epoch)
        # Row b of this batch goes on where row b of the batch before it stopped.
        columns = slice(k * self.seq_len, (k + 1) * self.seq_len)
        return self.x[:, columns], self.y[:, columns]

    def targets(self, y: Tensor) -> int:
        """Return how many characters a batch predicts, over all processes together."""
        return self.pairs


class SequenceSource:
    """The batches of whole sequences."""

    goes_on, rows, columns = False, slice(None), slice(None)

    def __init__(self, sequences: PaddedBatches, device: torch.device) -> None:
        self.sequences, self.device, self.batches = sequences, device, len(sequences)
        self.settings = {"max_tokens": sequences.max_tokens, "shuffling seed": sequences.seed}

    def check(self, config: TrainingConfig, processes: DistributedContext) -> None:
        """Raise ValueError for what would take the mean over parts of unequal weight."""
        if config.accumulate > 1 or processes.count > 1:
            raise ValueError(
                "Whole sequences are trained on in one process, with accumulate = 1: their "
                "batches hold different numbers of rows. Lower max_tokens to save memory."
            )

    def batch(self, epoch: int, k: int) -> tuple[Tensor, Tensor]:
        """Return x and y (B, T) of batch k of an epoch; T is that of its longest sequence."""
        x, y = self.sequences.batch(k, epoch)
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)

    def targets(self, y: Tensor) -> int:
        """Return how many symbols a batch predicts, padding left out."""
        return int((y != IGNORE).sum())


class WindowSource:
    """The batches of windows, of which this process has its share."""

    goes_on = False  # two windows of a row do not follow each other

    def __init__(
        self,
        windows: Windows,
        config: TrainingConfig,
        device: torch.device,
        processes: DistributedContext,
    ) -> None:
        self.windows, self.device, self.epoch = windows, device, None
        self.batches, self.settings = len(windows), windows.settings
        self.rows = processes.share(windows.batch_size, config.accumulate)
        # Where the last target alone counts, the loss is of that column alone. With the rest it
        # would be the same, but for the time.
        self.columns = slice(-1, None) if windows.predict == "last" else slice(None)
        # Windows with the character after each, (n, T + 1): a view, so that none is stored twice.
        # They lie on the device, since a copy to a GPU would wait for the steps before it.
        ids = torch.from_numpy(windows.ids).to(device)  # (N,)
        self.pieces = ids.unfold(0, windows.length + 1, windows.step)

    def batch(self, epoch: int, k: int) -> tuple[Tensor, Tensor]:
        """Return x and y (B, T) of batch k of an epoch, as `Windows.batch` has them."""
        if epoch != self.epoch:
            drawn = self.windows.draw_order(epoch)  # (batches, batch size)
            self.order = torch.from_numpy(drawn[:, self.rows]).to(self.device)
            self.epoch = epoch
        pieces = self.pieces[self.order[k]]  # (B, T + 1)
        x, y = pieces[:, :-1], pieces[:, 1:]
        if self.windows.predict == "last":
            y = torch.full_like(y, IGNORE)
            y[:, -1] = pieces[:, -1]
        return x, y

    def targets(self, y: Tensor) -> int:
        """Return how many characters a batch predicts, over all processes together."""
        return self.windows.targets // self.batches


def source_of(
    data: Data, config: TrainingConfig, device: torch.device, processes: DistributedContext
) -> TextSource | SequenceSource | WindowSource:
    """Return the source of what `fit` was given.

    Raises:
        ValueError: a text too short for a batch, or a batch that cannot be shared out.
    """
    if isinstance(data, Windows):
        return WindowSource(data, config, device, processes)
    if isinstance(data, PaddedBatches):
        source = SequenceSource(data, device)
        source.check(config, processes)
        return source
    return TextSource(data, config, device, processes)


def check_data(model: CharRNN, train: Data, valid: Data | None) -> None:
    """Raise ValueError for texts that would fail in mid-training."""
    for name, data in (("training", train), ("validation", valid)):
        if data is None:
            continue
        if isinstance(data, PaddedBatches):
            validation.check_whole("The padding id", data.pad, 0, model.vocab_size - 1)
        ids = _flat(data)
        validation.check_ids(f"the {name} text", ids, model.vocab_size, hint=OF_ANOTHER_TEXT)
        if len(ids) < 2:
            raise ValueError(f"The {name} text has under 2 characters: nothing to predict.")


def fingerprint(*texts: Data | None) -> list[str | None]:
    """Return the SHA-256 of each text's ids; of sequences, that of their lengths and ids."""
    return [None if data is None else _hash(data) for data in texts]


def _hash(data: Data) -> str:
    lengths = data.lengths if isinstance(data, PaddedBatches) else np.array([])
    parts = (part.astype(np.int64).tobytes() for part in (lengths, _flat(data)))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _flat(data: Data) -> np.ndarray:
    """Return all ids of a text, or of sequences one after the other, (N,)."""
    if isinstance(data, Windows):
        return data.ids
    return np.concatenate(data.sequences) if isinstance(data, PaddedBatches) else np.asarray(data)
