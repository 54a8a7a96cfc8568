"""Train on windows of a text, each from a state of zeros, as cases A and D do.

    .venv/bin/python -m experiments.train_windows runs/case-a-lower-case

The folder's config.json says what to do. Writes beside it: history.jsonl, samples.txt,
model.safetensors, result.json; with "sample_every_epoch", also a text after every epoch. While it
runs, step-….safetensors holds everything; start the same command again to go on from there.

With `--seconds S` it ends after the last whole epoch that fits, and history and result are written
after each. On a GPU, Adam's steps are not waited for (captured_step.py): what is not finite is
found when a row of the history is due.

It needs only PyTorch, NumPy, tqdm and safetensors where the text is given: write it with
`--write-text PATH`, and on the other machine run
`python3 -m experiments.train_windows FOLDER --text PATH`.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from experiments.captured_step import CaptureFailed, DeviceStep, TakeStep, cuda_graph, prepare
from experiments.common import describe, write_json
from experiments.hard_sigmoid import HardSigmoidLSTM
from lstmlib.batching import split, windows
from lstmlib.checkpoints import (
    CheckpointError,
    Checkpoints,
    optimizer_tensors,
    random_states,
    set_optimizer_tensors,
    set_random_states,
)
from lstmlib.cleaning import clean
from lstmlib.decoding import CorpusError
from lstmlib.metrics import words
from lstmlib.models import CharRNN, count_parameters, save_model, write_whole
from lstmlib.readers import read_book
from lstmlib.sampling import Sampling, draw
from lstmlib.training import (
    History,
    TrainingConfig,
    TrainingDiverged,
    autocast,
    clip_by_global_norm,
    evaluate,
    usable_precision,
)
from lstmlib.vocab import Vocab

CHOICES = {
    "lower_case": (True, False),
    "predict": ("last", "every"),
    "gates": ("sigmoid", "hard-sigmoid"),
}
# The settings that TrainingConfig knows, with their checks and the schedule.
TRAINING = ("batch_size", "learning_rate", "optimizer", "optimizer_options", "schedule", "decay")
TRAINING += ("clip_norm", "precision")
NETWORK = ("hidden_size", "num_layers", "dropout")
WHOLE = ("batch_size", "hidden_size", "num_layers", "length", "step", "epochs", "valid_windows")
WHOLE += ("log_every", "checkpoint_every")
NAMES = {"corpus", "windows_share", "seed", *CHOICES, *TRAINING, *NETWORK, *WHOLE}
OPTIONAL_WHOLE = {"sample_characters", "valid_characters"}
OPTIONAL = OPTIONAL_WHOLE | {"sample_every_epoch", "temperatures", "model_in_half_precision"}
NOTES = {"what", "published"}
TEMPERATURES = (0.2, 0.5, 1.0)
WRITTEN = 1000
"""Characters of text for each temperature; "sample_characters" is for the texts after an epoch."""
NOT_WAITED_FOR = ("adam", "adamw")
"""Optimizers whose fused form takes no step where the device finds that it must not."""
LARGEST_MODEL = 12 * 2**20
"""Bytes of a model file in half precision that is kept."""
# What a checkpoint keeps beside the tensors.
KEPT = ("step", "seconds", "epoch_total", "interval", "rows")


def check(config: dict) -> None:
    """Raise ValueError for a config with a setting too few, too many, or without meaning.

    What CharRNN, TrainingConfig, Checkpoints and windows() check themselves is left to them.
    """
    if NAMES - set(config):
        raise ValueError(f"config.json lacks {', '.join(sorted(NAMES - set(config)))}.")
    if set(config) - NAMES - OPTIONAL - NOTES:
        unknown = ", ".join(sorted(set(config) - NAMES - OPTIONAL - NOTES))
        raise ValueError(f"config.json sets {unknown}, which is no setting: correct or remove it.")
    for name, allowed in CHOICES.items():
        if config[name] not in allowed:
            raise ValueError(f"{name} is {config[name]!r}; choose one of {allowed}.")
    for name in [*WHOLE, *OPTIONAL_WHOLE.intersection(config)]:
        if type(config[name]) is not int or config[name] < 1:
            raise ValueError(f"{name} is {config[name]!r}; it must be a whole number, 1 or more.")
    share = config["windows_share"]
    if not (isinstance(share, (int, float)) and 0 < share <= 1):
        raise ValueError(f"windows_share is {share!r}; it must be above 0 and at most 1.")


def load_text(config: dict, path: Path | None = None) -> str:
    """Return the corpus of a config, or that of a file, cleaned as case A does.

    Cleaning a clean text changes nothing, so a file may hold either.

    Raises:
        ValueError: there is no such corpus, or it cannot be read on this machine.
    """
    try:
        raw = corpus_text(config["corpus"]) if path is None else read_book(path)[0]
    except CorpusError as error:
        raise ValueError(str(error)) from error
    lower_case = config["lower_case"]
    return clean(raw, newlines="space", ascii_only=True, lowercase=lower_case)[0]


def corpus_text(name: str) -> str:
    """Return the text of a corpus.

    Raises:
        CorpusError: there is no such corpus.
        ValueError: this machine has not what looking one up needs: it only trains.
    """
    try:
        from lstmlib.corpora import load_corpus
    except ImportError as error:
        raise ValueError(f"No corpus can be read here ({error}): give --text.") from error
    return load_corpus(name).text


def build_model(config: dict, vocab_size: int) -> CharRNN:
    """Return a new network of a config, its weights drawn from PyTorch's generator."""
    model = CharRNN(vocab_size, **{name: config[name] for name in NETWORK})
    if config["gates"] == "hard-sigmoid":
        model.layers = HardSigmoidLSTM(model.layers)
    return model


def predictions(model: CharRNN, pieces: Tensor, predict: str) -> tuple[Tensor, Tensor]:
    """Predict in windows, each from a state of zeros.

    Args:
        model: the network.
        pieces: (B, length + 1) int64, the windows, each with the character after it.
        predict: "last", the character after each window; "every", that after each character.

    Returns:
        Logits (P, V) and targets (P,), with P = B or B · length.
    """
    logits, _ = model(pieces[:, :-1])
    if predict == "last":
        return logits[:, -1], pieces[:, -1]
    return logits.flatten(0, 1), pieces[:, 1:].flatten()


class Run:
    """A network in training: all that a checkpoint must hold, and how to take a step.

    Args:
        config: what config.json holds.
        text: the clean text.
        device: where to train.
        waits: whether every step waits for what the device has computed; None waits unless the
            device is a GPU and the optimizer one of NOT_WAITED_FOR.
        eager: why no step is to be captured as a CUDA graph; None captures it where that can be
            done.

    Raises:
        ValueError: a setting has no meaning, or the text is too short for it.
    """

    def __init__(
        self,
        config: dict,
        text: str,
        device: str = "cpu",
        waits: bool | None = None,
        eager: str | None = None,
    ) -> None:
        check(config)
        self.config, self.text, self.device = config, text, torch.device(device)
        self.vocab = Vocab.from_text(text)
        self.train_ids, self.valid_ids = split(self.vocab.encode(text), 0.1)
        self.pieces, valid_pieces = self._cut(self.train_ids), self._cut(self.valid_ids)
        count = min(config["valid_windows"], len(valid_pieces))
        evenly = np.linspace(0, len(valid_pieces) - 1, count).astype(int)
        self.valid_pieces = valid_pieces[torch.from_numpy(evenly)]
        self.epoch_steps = int(config["windows_share"] * len(self.pieces)) // config["batch_size"]
        if not self.epoch_steps:
            raise ValueError(
                f"The training text has {len(self.pieces)} windows: their share that an epoch "
                "draws does not fill a batch. Use a smaller batch_size, or a longer text."
            )
        self.settings = TrainingConfig(
            steps=config["epochs"] * self.epoch_steps,
            seq_len=config["length"],
            decay_every=self.epoch_steps,
            **{name: config[name] for name in TRAINING},
        )
        self.precision = usable_precision(config["precision"], self.device)
        torch.manual_seed(config["seed"])
        self.model = build_model(config, len(self.vocab)).to(self.device)
        on_gpu, self.eager = self.device.type == "cuda", eager
        self.waits = not (on_gpu and config["optimizer"] in NOT_WAITED_FOR)
        self.waits = self.waits if waits is None else waits
        if not self.waits:
            fused = {"fused": True, "capturable": on_gpu}
            options = self.settings.optimizer_options | fused
            self.settings = replace(self.settings, optimizer_options=options)
        self.optimizer = self.settings.make_optimizer(self.model.parameters())
        self.step, self.seconds, self.epoch_total, self.order = 0, 0.0, 0.0, None
        self.interval, self.rows = [], []
        self.temperatures = tuple(config.get("temperatures", TEMPERATURES))
        self.device_step, self.about_steps = None, {"kind": "waited for"}
        self.computed = torch.empty(config["log_every"], 2, device=self.device)
        self.pending = 0  # steps whose loss and norm are in `computed`, and not yet looked at

    def _cut(self, ids: np.ndarray) -> Tensor:
        """Return the windows of `lstmlib.batching.windows`, and the character after each.

        They are (n, length + 1) int64, a view: no window is stored twice.
        """
        length, step = self.config["length"], self.config["step"]
        windows(ids, length, step)  # raises unless there is one
        return torch.from_numpy(ids).to(self.device).unfold(0, length + 1, step)

    def epoch_order(self, epoch: int) -> Tensor:
        """Return which windows an epoch draws, in order: whole batches, without replacement."""
        order = np.random.default_rng([self.config["seed"], epoch]).permutation(len(self.pieces))
        drawn = order[: self.epoch_steps * self.config["batch_size"]]
        return torch.from_numpy(drawn).to(self.device)

    def take_step(self) -> None:
        """Forward, loss, backward, clip, update.

        Raises:
            TrainingDiverged: the loss or the gradient is not finite; the weights stay as they were.
        """
        epoch, k = divmod(self.step, self.epoch_steps)
        if k == 0 or self.order is None:
            self.order = self.epoch_order(epoch)
        batch_size = self.config["batch_size"]
        examples = self.order[k * batch_size : (k + 1) * batch_size]
        if not self.waits:
            self._start_step(examples)
            return
        pieces = self.pieces[examples]
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.precision, self.device):
            logits, targets = predictions(self.model, pieces, self.config["predict"])
        loss = F.cross_entropy(logits.float(), targets)
        loss.backward()
        limit = self.settings.clip_norm or math.inf
        norm, clipped_norm = clip_by_global_norm(self.model.parameters(), limit)
        if not math.isfinite(norm + loss.item()):
            raise self._diverged(loss.item(), norm)
        self.optimizer.param_groups[0]["lr"] = self.settings.rate_at(self.step + 1)
        self.optimizer.step()
        self.step += 1
        self.epoch_total += loss.item()
        self.interval.append([loss.item(), norm, clipped_norm < norm])

    def _diverged(self, loss: float, norm: float) -> TrainingDiverged:
        """Return the error of the next step, whose loss or gradient is not finite."""
        return TrainingDiverged(
            f"The loss of step {self.step + 1} is {loss:.4g}, its gradient norm "
            f"{norm:.4g}. Lower the learning rate, or clip at a smaller clip_norm."
        )

    def prepare(self, capture: Callable[[DeviceStep, Tensor], TakeStep] | None = None) -> None:
        """Choose how steps are taken that are not waited for: eagerly, or as a CUDA graph.

        Args:
            capture: see `captured_step.prepare`; None is that of the device.

        Raises:
            CaptureFailed: see there.
        """
        if self.waits:
            return
        why = self.eager
        if why is None and self.device.type != "cuda" and capture is None:
            why = f"CUDA graphs need a GPU, and this is a {self.device.type}"
        if why is None and self.settings.schedule != "constant":
            why = "a CUDA graph has one learning rate, and this schedule has many"
        step = DeviceStep(self.model, self.optimizer, self._loss, self.settings.clip_norm)
        batches = self.epoch_order(0)[: 4 * self.config["batch_size"]]
        self.device_step, self.about_steps = prepare(
            step,
            lambda model: self.settings.make_optimizer(model.parameters()),
            batches.split(self.config["batch_size"]),
            None if why else capture or cuda_graph,
        )
        if why:
            self.about_steps["why"] = why

    def _loss(self, model: CharRNN, examples: Tensor) -> Tensor:
        """Return the loss of a batch; in a CUDA graph no cast of a weight may be kept."""
        model.train()
        kind, half = self.device.type, self.precision == "bfloat16"
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=half, cache_enabled=False):
            logits, targets = predictions(model, self.pieces[examples], self.config["predict"])
        return F.cross_entropy(logits.float(), targets)

    def _start_step(self, examples: Tensor) -> None:
        """Start a step on the device; look at what it computed only where a row is due.

        Raises:
            TrainingDiverged: as `take_step`, up to log_every steps later.
        """
        if self.device_step is None:
            self.prepare()
        self.optimizer.param_groups[0]["lr"] = self.settings.rate_at(self.step + 1)
        self.computed[self.pending].copy_(self.device_step(examples))
        self.step, self.pending = self.step + 1, self.pending + 1
        if self.pending == len(self.computed) or self.step % self.epoch_steps == 0:
            self.fetch()

    def fetch(self) -> None:
        """Wait for the steps that were started, and note their losses and norms.

        Raises:
            TrainingDiverged: one was not finite. The device took no step from there on, and this
                run is at the step before it.
        """
        computed = self.computed[: self.pending].tolist()
        self.step, self.pending = self.step - len(computed), 0
        for loss, norm in computed:
            if not math.isfinite(norm + loss):
                raise self._diverged(loss, norm)
            self.step += 1
            self.epoch_total += loss
            self.interval.append([loss, norm, norm > (self.settings.clip_norm or math.inf)])

    def write_row(self) -> None:
        """Add a row to the history: the steps since the last one; at its end the epoch's losses."""
        self.fetch()
        losses, norms, clipped = zip(*self.interval, strict=True)
        row = {
            "step": self.step,
            "epoch": (self.step - 1) // self.epoch_steps,
            "windows": self.step * self.config["batch_size"],
            "loss": float(np.mean(losses)),
            "highest_loss": max(losses),
            "grad_norm": max(norms),
            "clipped_share": float(np.mean(clipped)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": round(self.seconds, 2),
            "epoch_loss": None,
            "valid_loss": None,
            "valid_window_loss": None,
        }
        if self.step % self.epoch_steps == 0:
            row["epoch_loss"] = self.epoch_total / self.epoch_steps
            measured = self.valid_ids[: self.config.get("valid_characters")]
            row["valid_loss"] = evaluate(self.model, measured)
            row["valid_window_loss"] = self.window_loss()
            self.epoch_total = 0.0
        self.rows.append(row)
        self.interval = []

    @torch.no_grad()
    def window_loss(self) -> float:
        """Return the mean loss of the character after each of the validation windows, in nats."""
        self.model.eval()
        total = 0.0
        for pieces in self.valid_pieces.split(1024):  # bounds the memory
            logits, targets = predictions(self.model, pieces, "last")
            total += F.cross_entropy(logits, targets, reduction="sum").item()
        return total / len(self.valid_pieces)

    def write_texts(self, length: int) -> list[tuple[str, float]]:
        """Write on from the first window of the validation text, at each of the temperatures.

        As in case A, every character is predicted from the window before it alone. All
        temperatures have the same random numbers. Returns the texts, and the share of the words of
        each that the training text has too.
        """
        window, sampling = self.config["length"], Sampling(self.temperatures)
        ids = np.tile(self.valid_ids[:window], (len(self.temperatures), 1))
        for seed in np.random.default_rng(self.config["seed"]).integers(2**31, size=length):
            weights = sampling.weigh(self.next_logits(ids[:, -window:]))
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
        settings = {name: value for name, value in self.config.items() if name not in NOTES}
        return settings | {"text": sha256(self.text)}

    def save(self, checkpoints: Checkpoints) -> None:
        """Write everything that the steps to come depend on, and the history."""
        self.fetch()
        randoms, random_notes = random_states(self.device)
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"optimizer.{n}": t for n, t in optimizer_tensors(self.optimizer).items()}
        tensors |= {f"random.{name}": t for name, t in randoms.items()}
        notes = {name: getattr(self, name) for name in KEPT}
        notes |= {"identity": self.identity(), "random": random_notes}
        checkpoints.save(self.step, tensors, notes)

    def load(self, checkpoints: Checkpoints) -> None:
        """Go on from the checkpoint, if there is one; raises CheckpointError if it is no use."""
        loaded = checkpoints.load()
        if loaded is None:
            return
        tensors, notes = loaded
        if notes.get("identity") != self.identity():
            raise CheckpointError(
                f"{checkpoints.paths[-1]} is of a run with another text or another config.json; "
                "delete it to start anew."
            )
        groups = {"model": {}, "optimizer": {}, "random": {}}
        for name, tensor in tensors.items():
            group, _, key = name.partition(".")
            groups[group][key] = tensor
        self.model.load_state_dict(groups["model"])
        set_optimizer_tensors(self.optimizer, groups["optimizer"])
        for name in KEPT:
            setattr(self, name, notes[name])
        set_random_states(groups["random"], notes["random"], self.device)


def sha256(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


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


def train(
    run: Run, folder: Path, clock: Clock | None = None, unfinished: Path | None = None
) -> str:
    """Take the steps that are left, from the folder's checkpoint on if there is one.

    The checkpoint of the last step stays: `clear` removes it once the results are written.

    Args:
        run: the run.
        folder: where it is recorded.
        clock: when to end; None ends after all epochs. With a clock, history and result are written
            after every epoch, and checkpoints then and only then.
        unfinished: where the checkpoints are; None is the folder.

    Returns:
        Why it ended: "all epochs"; "time", after a whole epoch; "cut off", in the middle of one.

    Raises:
        CheckpointError: a checkpoint cannot be read or written, or is of another run.
        TrainingDiverged: a loss or a gradient is not finite.
        CaptureFailed: see `Run.prepare`.
    """
    checkpoints = Checkpoints(
        unfinished or folder, run.vocab, run.config["checkpoint_every"], keep=1
    )
    with checkpoints.owned():
        run.load(checkpoints)
        run.prepare()
        return take_steps(run, folder, checkpoints, clock)


def take_steps(run: Run, folder: Path, checkpoints: Checkpoints, clock: Clock | None) -> str:
    """Take the steps that are left, write what is due, and say how long it will take."""
    first, warm_up, measured, total = run.step, 5, 20, run.settings.steps
    quiet = None if clock else False  # with a clock, no bar in a log file: a line for each epoch
    with tqdm(total=total, initial=first, desc=folder.name, unit="step", disable=quiet) as bar:
        while run.step < total:
            begins = run.step % run.epoch_steps == 0 or run.step == first
            if clock and begins and not clock.fits():
                return "time"
            started = time.perf_counter()
            try:
                run.take_step()
            finally:  # training alone, without validation
                run.seconds += time.perf_counter() - started
            done = run.step % run.epoch_steps
            if run.step % run.config["log_every"] == 0 or done == 0:
                run.write_row()
                if done == 0:
                    end_epoch(run, folder, checkpoints if clock else None)
                elif clock and clock.hopeless(done / run.epoch_steps):
                    return "cut off"
                bar.set_postfix(loss=f"{run.rows[-1]['loss']:.3f}")
            if not clock and (run.step % checkpoints.every == 0 or run.step == total):
                run.save(checkpoints)
            bar.update()
            if run.step == first + warm_up:
                warm = run.seconds
            if run.waits and run.step == first + warm_up + measured:
                speed = measured / (run.seconds - warm)
                hours = total / speed / 3600
                bar.write(f"{speed:.1f} steps a second: all {total:,} take {hours:.2f} hours")
    return "all epochs"


def end_epoch(run: Run, folder: Path, checkpoints: Checkpoints | None) -> None:
    """Write what is due after an epoch.

    With checkpoints, all that there is so far: a checkpoint, history and result. The result says
    "cut off", and is written anew where the run ends otherwise.
    """
    epoch = run.step // run.epoch_steps
    if run.config.get("sample_every_epoch"):
        length = run.config.get("sample_characters", WRITTEN)
        write_samples(run, folder / f"epoch-{epoch:02}.txt", length)
    if checkpoints is not None:
        run.save(checkpoints)  # first: what is recorded can always be gone on with
        for name in ("samples.txt", "model.safetensors"):  # of a run that had ended before
            (folder / name).unlink(missing_ok=True)
        History(run.rows).save(folder / "history.jsonl")
        result = summary(run, "cut off")
        write_json(folder / "result.json", result)
        losses = f"loss {result['training_loss']:.3f}, validation {result['valid_window_loss']:.3f}"
        tqdm.write(f"epoch {epoch}: {losses}, {run.seconds:.0f} s of training so far")


def record(
    run: Run, folder: Path, clock: Clock | None = None, unfinished: Path | None = None
) -> str:
    """Train, and write what the run leaves behind; the arguments are those of `train`.

    A run with a clock that diverges is recorded up to there, with the weights before the step that
    was not finite.

    Returns:
        Why it ended: as `train`, or "diverged".

    Raises:
        ValueError: not one epoch fits into the time.
        CheckpointError, CaptureFailed: as `train`.
        TrainingDiverged: as `train`, without a clock.
    """
    try:
        ended = train(run, folder, clock, unfinished)
    except TrainingDiverged as error:
        if clock is None:
            raise
        print(error)
        ended = "diverged"
        if run.interval:  # the steps before it belong to the picture
            run.write_row()
    if ended in ("time", "cut off") and run.step < run.epoch_steps:
        raise ValueError(f"Not one epoch of {run.epoch_steps} steps fits into the time.")
    if ended != "cut off":  # else what was written after the last whole epoch stands
        finish(run, folder, ended)
    return ended


def clear(folder: Path) -> None:
    """Remove the checkpoint of a run whose results are written."""
    for path in folder.glob("step-*.safetensors"):
        path.unlink()


def summary(run: Run, ended: str) -> dict:
    """Return the figures of a run, for result.json; those of an epoch are None before its end."""
    epochs = [row for row in run.rows if row["epoch_loss"] is not None]
    none = {"epoch_loss": None, "valid_loss": None, "valid_window_loss": None, "epoch": -1}
    last = epochs[-1] if epochs else none
    lowest = min(epochs, key=lambda row: row["epoch_loss"], default=none)
    windows_read = run.step * run.config["batch_size"]
    characters = windows_read * run.config["length"]
    predicted = windows_read if run.config["predict"] == "last" else characters
    return {
        "training_loss": last["epoch_loss"],
        "lowest_training_loss": lowest["epoch_loss"],
        "lowest_training_loss_epoch": lowest["epoch"] + 1,
        "valid_loss": last["valid_loss"],
        "valid_characters": run.config.get("valid_characters", len(run.valid_ids)),
        "valid_window_loss": last["valid_window_loss"],
        "epochs": len(epochs),
        "ended": ended,
        "diverged_at": run.step + 1 if ended == "diverged" else None,
        "windows_per_epoch": run.epoch_steps * run.config["batch_size"],
        "windows_in_all": len(run.pieces),
        "parameters": count_parameters(run.model),
        "training_seconds": round(run.seconds, 1),
        "predictions_per_second": round(predicted / run.seconds),
        "window_characters_per_second": round(characters / run.seconds),
        "text_sha256": sha256(run.text),
        "distinct_characters": len(run.vocab),
        "machine": describe(run.device),
        "precision": run.precision,
        "tf32": run.device.type == "cuda" and torch.backends.cudnn.allow_tf32,
        "steps": run.about_steps,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
        },
    }


def write_samples(run: Run, path: Path, length: int = WRITTEN) -> None:
    """Write text at the case's temperatures, so many characters each."""
    parts = [
        f"--- temperature {temperature} ({known:.0%} of the words known)\n{text}\n"
        for temperature, (text, known) in zip(
            run.temperatures, run.write_texts(length), strict=True
        )
    ]
    write_whole(path, "\n".join(parts).encode())


def finish(run: Run, folder: Path, ended: str = "all epochs") -> None:
    """Write what the run leaves behind."""
    write_samples(run, folder / "samples.txt")
    History(run.rows).save(folder / "history.jsonl")
    if run.config["gates"] == "sigmoid":  # load_model would run others with the wrong gates
        save = save_in_half if run.config.get("model_in_half_precision") else save_model
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


def parse(what: str, one_run: bool = False) -> argparse.Namespace:
    """Read the command line of a script that trains; some options are for those of one run."""
    devices = ["cuda"] * torch.cuda.is_available() + ["cpu"]
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("folder", type=Path, help="such as runs/case-a-lower-case")
    parser.add_argument("--text", type=Path, help="a file to read instead of the corpus")
    parser.add_argument("--write-text", type=Path, help="write the clean text to a file, and end")
    parser.add_argument("--device", choices=devices, default=devices[0])
    parser.add_argument("--threads", type=int, help="threads of PyTorch on the CPU")
    if one_run:
        hint = "end after the last whole epoch that fits"
        parser.add_argument("--seconds", type=float, help=hint)
        parser.add_argument("--eager", metavar="WHY", help="capture no CUDA graph, and note why")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    return arguments


def main(arguments: argparse.Namespace) -> None:
    """Run a folder's config to its end, from its checkpoint on if there is one."""
    folder = arguments.folder
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    check(config)
    text = load_text(config, arguments.text)
    if arguments.write_text:
        write_whole(arguments.write_text, text.encode())
        return
    run = Run(config, text, arguments.device, eager=arguments.eager)
    clock = Clock(arguments.seconds) if arguments.seconds is not None else None
    try:
        ended = record(run, folder, clock)
    except CaptureFailed as error:
        start_anew(error, clock)
    if ended not in ("time", "cut off"):
        clear(folder)


def start_anew(error: CaptureFailed, clock: Clock | None) -> None:
    """Start this program's command again in this process, to go on without a capture."""
    print(f"{error}. The run goes on without one.", flush=True)
    command = [sys.executable, *sys.orig_argv[1:], "--eager", str(error)]
    if clock is not None:
        command += ["--seconds", str(clock.end - time.monotonic())]
    os.execv(sys.executable, command)


ERRORS = (OSError, ValueError, TypeError, CheckpointError, TrainingDiverged)

if __name__ == "__main__":
    try:
        main(parse(__doc__.splitlines()[0], one_run=True))
    except ERRORS as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
