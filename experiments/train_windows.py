"""Train on windows of a text, each from a state of zeros, as cases A and D do.

    .venv/bin/python -m experiments.train_windows runs/case-a-lower-case

The folder's config.json says what to do. Writes beside it: history.jsonl, samples.txt,
model.safetensors, result.json; with "sample_every_epoch", also a text after every epoch. While it
runs, step-….safetensors holds everything; start the same command again to go on from there.

With `--seconds S` it ends after the last whole epoch that fits, and history and result are written
after each.

It needs only PyTorch, NumPy, tqdm and safetensors where the text is given: write it with
`--write-text PATH`, and on the other machine run
`python3 -m experiments.train_windows FOLDER --text PATH`.
"""

import json
import sys
import time
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from experiments.common import (
    as_config,
    check_choices,
    check_model,
    check_whole,
    corpus_text,
    describe,
    flat,
    make_settings,
    read_settings,
    remove_unfinished,
    run_program,
    sha256,
    stop_if_interrupted,
    versions,
    write_json,
    write_texts,
)
from experiments.hard_sigmoid import HardSigmoidLSTM
from lstmlib.batching import Windows, split, windows
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.cleaning import clean
from lstmlib.history import History, TrainingDiverged
from lstmlib.metrics import words
from lstmlib.models import CharRNN, count_parameters
from lstmlib.precision import usable_precision
from lstmlib.sampling import SamplingConfig, draw
from lstmlib.serialization import atomic_write, check_shapes, save_model
from lstmlib.settings import TrainingConfig
from lstmlib.training import evaluate, fit
from lstmlib.validation import check_number
from lstmlib.vocab import Vocab

CHOICES = {"predict": ("last", "every"), "gates": ("sigmoid", "hard-sigmoid")}
TRAINING = ("batch_size", "learning_rate", "optimizer", "optimizer_options", "schedule", "decay")
TRAINING += ("clip_norm", "precision")
"""The settings of TrainingConfig that config.json has."""
NETWORK = ("hidden_size", "num_layers", "dropout")
"""The arguments of CharRNN that config.json has."""
TEMPERATURES = (0.2, 0.5, 1.0)
WRITTEN = 1000
"""Characters of text for each temperature, once the run has ended."""
LARGEST_MODEL = 12 * 2**20
"""Bytes of a model file in half precision that is kept."""
FINAL = ("all epochs", "diverged")
"""Ends after which there is nothing to go on with."""
DEVICES = (*["cuda"] * torch.cuda.is_available(), "cpu")
OPTIONS = {
    "--text": {"type": Path, "help": "a file to read instead of the corpus"},
    "--write-text": {"type": Path, "help": "write the clean text to a file, and end"},
    "--device": {"choices": DEVICES, "default": DEVICES[0], "help": "where to train"},
}
"""Options of the command line, beside those of `run_program`."""


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        corpus: a name that `load_corpus` knows, or the path of a file.
        lower_case: whether the text is lower-cased.
        gates: "sigmoid", or "hard-sigmoid" as in `HardSigmoidLSTM`.
        length, step, windows_share, predict: see `lstmlib.batching.Windows`.
        epochs: passes over the windows; the learning rate of the schedule "step" falls after each.
        valid_windows: how many windows of the validation text are measured.
        log_every: steps from one row of the history to the next.
        checkpoint_every: steps from one checkpoint to the next, in a run without a clock.
        seed: of the weights, of what training draws, and of the texts.
        model: the arguments of CharRNN in NETWORK.
        training: the settings in TRAINING.
        temperatures: of the texts.
        sample_every_epoch: whether a text is written after every epoch.
        sample_characters: characters of such a text.
        valid_characters: how many characters of the validation text are measured; None measures
            all.
        model_in_half_precision: whether the model's file has weights of 16 bits.
    """

    corpus: str
    lower_case: bool
    gates: str
    length: int
    step: int
    windows_share: float
    predict: str
    epochs: int
    valid_windows: int
    log_every: int
    checkpoint_every: int
    seed: int
    model: dict = field(metadata=flat(*NETWORK))
    training: dict = field(metadata=flat(*TRAINING))
    temperatures: list = field(default_factory=lambda: list(TEMPERATURES))
    sample_every_epoch: bool = False
    sample_characters: int = WRITTEN
    valid_characters: int | None = None
    model_in_half_precision: bool = False

    def __post_init__(self) -> None:
        check_choices(self, CHOICES)
        check_whole(self, "length", "step", "epochs", "valid_windows", "log_every")
        check_whole(self, "checkpoint_every", "sample_characters")
        check_whole(self, "seed", least=0)
        if self.valid_characters is not None:
            check_whole(self, "valid_characters")
        check_number("windows_share", self.windows_share, above=0, at_most=1)
        if not self.temperatures:
            raise ValueError("temperatures is []; give at least one to write a text at.")
        SamplingConfig(tuple(self.temperatures))
        check_model(self.model)
        self.training_of(1)

    def training_of(self, epoch_steps: int) -> TrainingConfig:
        """Return the settings of a training whose epochs have so many steps."""
        rest = {
            "steps": self.epochs * epoch_steps,
            "seq_len": self.length,
            "decay_every": epoch_steps,
            "most_skipped": 1,  # a run that is recorded ends with the weights before the bad step
        }
        return make_settings(TrainingConfig, self.training | rest, "config.json")


def load_text(settings: Settings, path: Path | None = None) -> str:
    """Return the corpus of the settings, or that of a file, cleaned as case A does.

    Cleaning a clean text changes nothing, so a file may hold either.

    Raises:
        ValueError: there is no such corpus, or it cannot be read on this machine.
    """
    raw = corpus_text(settings.corpus if path is None else str(path))
    return clean(raw, newlines="space", ascii_only=True, lowercase=settings.lower_case)[0]


def build_model(settings: Settings, vocab_size: int) -> CharRNN:
    """Return a new network of some settings, its weights drawn from PyTorch's generator."""
    model = CharRNN(vocab_size, **settings.model)
    if settings.gates == "hard-sigmoid":
        model.layers = HardSigmoidLSTM(model.layers)
    return model


class Run:
    """A network in training, and what is recorded of it.

    Args:
        settings: what config.json holds.
        text: the clean text.
        device: where to train.

    Attributes:
        windows: the training windows; an epoch has epoch_steps batches of them.
        training: the settings of `fit`.
        valid_pieces: (n, length + 1) int64, windows of the validation text spread evenly over it,
            each with the character after it.
        step: the last step that was taken, from 1.
        rows: those of history.jsonl, each of the steps since the one before it.
        seconds: of training alone, without validation, texts and checkpoints.
        ended: why the clock ended the run, "time" or "cut off"; "" where it did not.

    Raises:
        ValueError: the text is too short for the settings.
    """

    def __init__(self, settings: Settings, text: str, device: str = "cpu") -> None:
        self.settings, self.text, self.device = settings, text, torch.device(device)
        self.vocab = Vocab.from_text(text)
        self.train_ids, self.valid_ids = split(self.vocab.encode(text), 0.1)
        self.windows = Windows(
            self.train_ids,
            settings.length,
            settings.step,
            settings.training["batch_size"],
            settings.windows_share,
            settings.seed,
            settings.predict,
        )
        self.epoch_steps = len(self.windows)
        self.valid_pieces = self._cut_valid()
        self.training = settings.training_of(self.epoch_steps)
        self.precision = usable_precision(self.training.precision, self.device, say=lambda _: None)
        torch.manual_seed(settings.seed)
        self.model = build_model(settings, len(self.vocab)).to(self.device)
        self.step, self.rows, self.ended = 0, [], ""
        self.seconds, self.since = 0.0, time.perf_counter()

    def _cut_valid(self) -> Tensor:
        """Return the validation windows that are measured, (n, length + 1), on the device."""
        length, step = self.settings.length, self.settings.step
        windows(self.valid_ids, length, step)  # raises unless there is one
        pieces = torch.from_numpy(self.valid_ids).to(self.device).unfold(0, length + 1, step)
        count = min(self.settings.valid_windows, len(pieces))
        return pieces[torch.from_numpy(np.linspace(0, len(pieces) - 1, count).astype(int))]

    def count_seconds(self) -> None:
        """Add the time since `since` to the seconds of training."""
        now = time.perf_counter()
        self.seconds, self.since = self.seconds + now - self.since, now

    def write_row(self, taken: list[dict]) -> None:
        """Add a row: the steps since the last one; at an epoch's end its losses, too.

        Args:
            taken: the rows that `fit` has of all steps so far.
        """
        recorded = self.rows[-1]["step"] if self.rows else 0
        since = taken[recorded:]
        losses = [row["loss"] for row in since]
        row = {
            "step": len(taken),
            "epoch": taken[-1]["epoch"],
            "windows": len(taken) * self.training.batch_size,
            "loss": float(np.mean(losses)),
            "highest_loss": max(losses),
            "grad_norm": max(row["grad_norm"] for row in since),
            "clipped_share": float(np.mean([r["clipped_norm"] < r["grad_norm"] for r in since])),
            "learning_rate": taken[-1]["learning_rate"],
            "seconds": round(self.seconds, 2),
            "epoch_loss": None,
            "valid_loss": None,
            "valid_window_loss": None,
        }
        if len(taken) % self.epoch_steps == 0:
            of_epoch = [row["loss"] for row in taken[-self.epoch_steps :]]
            row["epoch_loss"] = float(np.mean(of_epoch))
            measured = self.valid_ids[: self.settings.valid_characters]
            row["valid_loss"] = evaluate(self.model, measured)
            row["valid_window_loss"] = self.window_loss()
        self.rows.append(row)

    @torch.no_grad()
    def window_loss(self) -> float:
        """Return the mean loss of the character after each of the validation windows, in nats."""
        self.model.eval()
        total = 0.0
        for pieces in self.valid_pieces.split(1024):  # bounds the memory; (B, length + 1)
            logits = self.model(pieces[:, :-1])[0][:, -1]  # (B, V)
            total += F.cross_entropy(logits, pieces[:, -1], reduction="sum").item()
        return total / len(self.valid_pieces)

    def write_texts(self, length: int) -> list[tuple[str, float]]:
        """Write on from the first window of the validation text, at each of the temperatures.

        As in case A, every character is predicted from the window before it alone. All
        temperatures have the same random numbers. Returns the texts, and the share of the words of
        each that the training text has too.
        """
        settings = self.settings
        window, temperatures = settings.length, tuple(settings.temperatures)
        sampling = SamplingConfig(temperatures)
        ids = np.tile(self.valid_ids[:window], (len(temperatures), 1))  # (texts, length)
        for seed in np.random.default_rng(settings.seed).integers(2**31, size=length):
            weights = sampling.process_logits(self.next_logits(ids[:, -window:]))  # (texts, V)
            drawn = draw(weights, np.full(len(ids), np.random.default_rng(seed).random()))
            ids = np.append(ids, drawn[:, None], axis=1)
        texts = [self.vocab.decode(row[window:]) for row in ids]
        return [(text, self.share_known(text)) for text in texts]

    @torch.no_grad()
    def next_logits(self, ids: np.ndarray) -> Tensor:
        """Return the logits after each of some windows, ids (N, T): (N, V) float32.

        On a CPU one window at a time, as the recorded texts were written: a batch rounds otherwise.
        """
        self.model.eval()
        batch = torch.from_numpy(ids).to(self.device)
        parts = batch.split(1 if self.device.type == "cpu" else len(batch))
        return torch.cat([self.model(part)[0][:, -1] for part in parts]).float().cpu()

    @cached_property
    def known_words(self) -> set[str]:
        """The words of the training text."""
        return set(words(self.vocab.decode(self.train_ids)))

    def share_known(self, text: str) -> float:
        """Return the share of a text's words that the training text has too."""
        whole = words(text)[1:-1]  # the first and the last may be cut off
        return sum(word in self.known_words for word in whole) / max(len(whole), 1)

    def identity(self) -> dict:
        """Return all that must be equal for a checkpoint to be this run's: settings and text."""
        return as_config(self.settings) | {"text": sha256(self.text)}


class RunCheckpoints(Checkpoints):
    """Checkpoints of `fit` that also keep what is recorded of a run, and know its config.json.

    Args:
        run: the run.
        folder: where the checkpoints are.
        record: the folder where a run with a clock is recorded after every epoch. Its checkpoints
            are written then; without a clock, as config.json says.
    """

    def __init__(self, run: Run, folder: Path, record: Path | None = None) -> None:
        every = run.epoch_steps if record else run.settings.checkpoint_every
        super().__init__(folder, run.vocab, every, keep=1)
        self.run, self.record = run, record

    def save(self, step: int, tensors: dict[str, Tensor], notes: dict) -> None:
        """Write the checkpoint; then, with a clock and after an epoch, the record.

        In this order, so that what is recorded can always be gone on with.
        """
        run = self.run
        kept = {"identity": run.identity(), "rows": run.rows, "seconds": run.seconds}
        super().save(step, tensors, notes | {"record": kept})
        if self.record and step % run.epoch_steps == 0:
            record_epoch(run, self.record)
        run.since = time.perf_counter()  # all this was no training

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """Read the newest checkpoint, and set the rows and the seconds of the run.

        Raises:
            CheckpointError: as Checkpoints.load; or it is of another config or another text.
        """
        loaded = super().load()
        if loaded is None:
            return None
        kept = loaded[1].get("record")
        whole = isinstance(kept, dict) and kept.keys() == {"identity", "rows", "seconds"}
        if not whole or kept["identity"] != self.run.identity():
            raise CheckpointError(
                f"{self.paths[-1]} is of a run with another text or another config.json; "
                "delete it to start anew."
            )
        self.run.rows, self.run.seconds = kept["rows"], kept["seconds"]
        return loaded


class Clock:
    """Says when to end, so that a run is over in time.

    Args:
        seconds: from now on.
        rest: seconds that are needed after the last epoch.
    """

    def __init__(self, seconds: float, rest: float = 0.0) -> None:
        self.end, self.longest = time.monotonic() + seconds - rest, 0.0
        self.began = None

    def fits(self) -> bool:
        """Say whether another epoch fits, as long as the longest so far; an epoch begins now."""
        now = time.monotonic()
        if self.began is not None:
            self.longest = max(self.longest, now - self.began)
        self.began = now
        return now + 1.02 * self.longest < self.end  # an epoch is not always as long as the last

    def hopeless(self, share: float) -> bool:
        """Say whether the epoch that has come so far, a share of it, cannot end in time."""
        now = time.monotonic()
        first = not self.longest and share > 0.03  # before that it has hardly warmed up
        expected = self.began + (now - self.began) / share if first else now
        return max(now, expected) > self.end


class Watcher:
    """What `fit` calls after every step: it writes the rows and texts that are due.

    Args:
        run: the run.
        folder: where texts go.
        clock: when to end, or None.
    """

    def __init__(self, run: Run, folder: Path, clock: Clock | None) -> None:
        self.run, self.folder, self.clock = run, folder, clock

    def __call__(self, history: History) -> None:
        """Look at a step; end the run by the history's `ended` where the clock says so."""
        run = self.run
        run.step, done = len(history), len(history) % run.epoch_steps
        if run.step % run.settings.log_every and done:
            run.count_seconds()
            return
        taken = history.rows  # on a GPU, this waits for the steps since the last row
        run.count_seconds()
        run.write_row(taken)
        if done == 0:
            self._end_epoch()
        if self.clock and not history.ended:
            if done == 0 and not self.clock.fits():
                run.ended = "time"
            elif done and self.clock.hopeless(done / run.epoch_steps):
                run.ended = "cut off"
            history.ended = "interrupted" if run.ended else ""
        run.since = time.perf_counter()  # all this was no training

    def _end_epoch(self) -> None:
        """Write a text where one is due, and say how the epoch went."""
        run, row = self.run, self.run.rows[-1]
        if run.settings.sample_every_epoch:
            path = self.folder / f"epoch-{row['epoch'] + 1:02}.txt"
            write_samples(run, path, run.settings.sample_characters)
        losses = f"loss {row['epoch_loss']:.3f}, validation {row['valid_window_loss']:.3f}"
        tqdm.write(f"epoch {row['epoch'] + 1}: {losses}, {run.seconds:.0f} s of training so far")


def train(run: Run, folder: Path, checkpoints: RunCheckpoints, clock: Clock | None = None) -> str:
    """Take the steps that are left, from the newest checkpoint on if there is one.

    Args:
        run: the run.
        folder: where it is recorded.
        checkpoints: where it is kept. That of the last step stays until the results are written.
        clock: when to end; None ends after all epochs.

    Returns:
        Why it ended: "all epochs"; "time", after a whole epoch; "cut off", in the middle of one.

    Raises:
        CheckpointError: a checkpoint cannot be read or written, or is of another run.
        TrainingDiverged: a loss or a gradient is not finite. The rows are those of the steps before
            it, and so are the weights.
        SystemExit: Ctrl-C; the checkpoint is that of the last step.
    """
    if clock and not clock.fits():
        return stand_still(run, checkpoints)
    watcher, bar = Watcher(run, folder, clock), clock is None or sys.stderr.isatty()
    run.since = time.perf_counter()
    try:
        history = fit(run.model, run.windows, None, run.training, watcher, checkpoints, bar)
    except TrainingDiverged as error:
        taken = error.history.rows[:-1]
        run.step = len(taken)
        if taken and run.step > (run.rows[-1]["step"] if run.rows else 0):
            run.write_row(taken)  # the steps before it belong to the picture
        raise
    run.step = len(history)
    if run.ended:
        return run.ended
    stop_if_interrupted(history, checkpoints.folder)
    return "all epochs"


def stand_still(run: Run, checkpoints: RunCheckpoints) -> str:
    """Set the run to its newest checkpoint, and take no step; return why it ended."""
    loaded = checkpoints.load()
    if loaded is not None:
        tensors, notes = loaded
        weights = {n.removeprefix("model."): t for n, t in tensors.items() if n[:6] == "model."}
        check_shapes(weights, run.model.state_dict())
        run.model.load_state_dict(weights)
        run.step = len(notes["rows"])
    if run.step == run.training.steps:
        return "all epochs"
    return "cut off" if run.step % run.epoch_steps else "time"


def record_epoch(run: Run, folder: Path) -> None:
    """Write history and result as they are after an epoch.

    The result says "cut off", and is written anew where the run ends otherwise.
    """
    for name in ("samples.txt", "model.safetensors"):  # of a run that had ended before
        (folder / name).unlink(missing_ok=True)
    History(run.rows).save(folder / "history.jsonl")
    write_json(folder / "result.json", summary(run, "cut off"))


def record(
    run: Run, folder: Path, clock: Clock | None = None, unfinished: Path | None = None
) -> str:
    """Train, and write what the run leaves behind; no other process uses the folder meanwhile.

    A run with a clock that diverges is recorded up to there, with the weights before the step that
    was not finite.

    Args:
        run: the run.
        folder: where it is recorded.
        clock: when to end; None ends after all epochs. With a clock, history and result are written
            after every epoch, and checkpoints then and where it ends.
        unfinished: where the checkpoints are; None is the folder.

    Returns:
        Why it ended: as `train`, or "diverged".

    Raises:
        ValueError: not one epoch fits into the time.
        CheckpointError, SystemExit: as `train`.
        TrainingDiverged: as `train`, without a clock.
    """
    checkpoints = RunCheckpoints(run, unfinished or folder, folder if clock else None)
    with checkpoints.owned():
        try:
            ended = train(run, folder, checkpoints, clock)
        except TrainingDiverged as error:
            if clock is None:
                raise
            print(error)
            ended = "diverged"
        if ended in ("time", "cut off") and run.step < run.epoch_steps:
            raise ValueError(f"Not one epoch of {run.epoch_steps} steps fits into the time.")
        if ended != "cut off":  # else what was written after the last whole epoch stands
            finish(run, folder, ended)
        if ended in FINAL:
            remove_unfinished(checkpoints.folder)
    return ended


def summary(run: Run, ended: str) -> dict:
    """Return the figures of a run, for result.json; those of an epoch are None before its end."""
    epochs = [row for row in run.rows if row["epoch_loss"] is not None]
    none = {"epoch_loss": None, "valid_loss": None, "valid_window_loss": None, "epoch": -1}
    last = epochs[-1] if epochs else none
    lowest = min(epochs, key=lambda row: row["epoch_loss"], default=none)
    windows_read = run.step * run.training.batch_size
    characters = windows_read * run.settings.length
    predicted = run.step * run.windows.targets / run.epoch_steps
    return {
        "training_loss": last["epoch_loss"],
        "lowest_training_loss": lowest["epoch_loss"],
        "lowest_training_loss_epoch": lowest["epoch"] + 1,
        "valid_loss": last["valid_loss"],
        "valid_characters": run.settings.valid_characters or len(run.valid_ids),
        "valid_window_loss": last["valid_window_loss"],
        "epochs": len(epochs),
        "ended": ended,
        "diverged_at": run.step + 1 if ended == "diverged" else None,
        "windows_per_epoch": run.epoch_steps * run.training.batch_size,
        "windows_in_all": run.windows.count,
        "parameters": count_parameters(run.model),
        "training_seconds": round(run.seconds, 1),
        "predictions_per_second": round(predicted / run.seconds),
        "window_characters_per_second": round(characters / run.seconds),
        "text_sha256": sha256(run.text),
        "distinct_characters": len(run.vocab),
        "machine": describe(run.device),
        "precision": run.precision,
        "tf32": run.device.type == "cuda" and torch.backends.cudnn.allow_tf32,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def write_samples(run: Run, path: Path, length: int = WRITTEN) -> None:
    """Write text at the case's temperatures, so many characters each."""
    written = zip(run.settings.temperatures, run.write_texts(length), strict=True)
    titled = [
        (f"temperature {t} ({known:.0%} of the words known)", text) for t, (text, known) in written
    ]
    write_texts(path, titled)


def finish(run: Run, folder: Path, ended: str = "all epochs") -> None:
    """Write what the run leaves behind."""
    write_samples(run, folder / "samples.txt")
    History(run.rows).save(folder / "history.jsonl")
    if run.settings.gates == "sigmoid":  # load_model would run others with the wrong gates
        save = save_in_half if run.settings.model_in_half_precision else save_model
        save(folder / "model.safetensors", run.model, run.vocab)
    result = summary(run, ended)
    write_json(folder / "result.json", result)
    print(json.dumps(result, indent=2))


def save_in_half(path: Path, model: CharRNN, vocab: Vocab) -> None:
    """Write a model with weights of 16 bits; leave it out where it is too large, and say so."""
    size = 2 * count_parameters(model)
    if size > LARGEST_MODEL - 2**16:  # what the file says of them is a few kilobytes
        print(f"The model is left out: its file would have {size / 2**20:.0f} MiB.")
        return
    try:
        save_model(path, deepcopy(model).cpu().half(), vocab)
    except ValueError as error:  # a weight that 16 bits cannot hold
        print(f"The model is left out: {error}")


def main(
    folder: Path,
    text: Path | None = None,
    write_text: Path | None = None,
    device: str = "cpu",
    seconds: float | None = None,
) -> None:
    """Run a folder's config to its end, from its checkpoint on if there is one.

    Args:
        folder: with config.json; results are written into it.
        text: a file to read instead of the corpus.
        write_text: where the clean text is written; then nothing is trained.
        device: where to train.
        seconds: end after the last whole epoch that fits into them; None ends after all epochs.

    Raises:
        ValueError, CheckpointError, TrainingDiverged, SystemExit: as `read_settings`, `load_text`
            and `record`.
    """
    settings = read_settings(folder, Settings)
    book = load_text(settings, text)
    if write_text:
        atomic_write(write_text, book.encode())
        return
    clock = Clock(seconds) if seconds is not None else None
    record(Run(settings, book, device), folder, clock)


if __name__ == "__main__":
    in_time = {"type": float, "help": "end after the last whole epoch that fits"}
    run_program(main, __doc__, "runs/case-a-lower-case", options=OPTIONS | {"--seconds": in_time})
