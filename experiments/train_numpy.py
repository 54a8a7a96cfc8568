"""Train a NumPy network, and record the run: its folder's config.json says what to do.

    .venv/bin/python -m experiments.train_numpy runs/case-e-rnn

The program writes history.jsonl, samples.txt, model.safetensors and result.json into the folder. To
train on a text of your own, copy the folder and change "corpus" to the text's path.

While it trains, step-….safetensors holds the whole run. After a break the same command goes on from
there.
"""

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from experiments.common import (
    check_choices,
    check_whole,
    corpus_text,
    describe,
    flat,
    read_settings,
    remove_unfinished,
    run_program,
    sha256,
    versions,
    write_json,
    write_texts,
)
from lstmlib import scratch
from lstmlib.batching import Streams, split
from lstmlib.checkpoints import Checkpoints
from lstmlib.cleaning import clean
from lstmlib.history import History
from lstmlib.metrics import words
from lstmlib.serialization import save_scratch
from lstmlib.settings import TrainingConfig
from lstmlib.vocab import Vocab

CHOICES = {
    "cell": tuple(scratch.CELLS),
    "optimizer": tuple(scratch.OPTIMIZERS),
    "loss": ("sum over time", "mean over time"),
    "keep": ("last", "lowest smooth loss"),
}
TRAINING = ("steps", "batch_size", "seq_len", "learning_rate", "schedule", "warmup")
TRAINING += ("clip_norm", "clip_value", "eval_every")
"""The settings of TrainingConfig that config.json has."""
# What a checkpoint keeps beside the arrays and the random state.
KEPT = ("step", "seconds", "smooth_loss", "smooth_posterior", "best_loss", "trigger")
KEPT += ("rows", "samples", "interval")


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        corpus: a name that `load_corpus` knows, or the path of a file.
        cell, hidden_size, num_layers: the network, one of `lstmlib.scratch.CELLS`.
        std: standard deviation of the first weights; None draws them as PyTorch does.
        loss: what the gradient is of, over the characters of a batch's rows.
        optimizer: one of `lstmlib.scratch.OPTIMIZERS`.
        log_every: steps from one row of the history to the next.
        keep: which weights are the model in the end.
        sample_every: steps from one sample, and one checkpoint, to the next.
        sample_length: characters of a sample.
        write_above: mean max posterior from which on samples are written.
        redraw_once: sample with `lstmlib.scratch.redraw_once`, as case B does.
        seed: of the weights, and of the samples.
        training: the settings in TRAINING.
    """

    corpus: str
    cell: str
    hidden_size: int
    num_layers: int
    std: float | None
    loss: str
    optimizer: str
    log_every: int
    keep: str
    sample_every: int
    sample_length: int
    write_above: float
    redraw_once: bool
    seed: int
    training: TrainingConfig = field(metadata=flat(*TRAINING))

    def __post_init__(self) -> None:
        check_choices(self, CHOICES)
        check_whole(self, "hidden_size", "num_layers", "log_every", "sample_every", "sample_length")
        check_whole(self, "seed", least=0)


class Run:
    """A network in training: all that a checkpoint must hold, and how to take a step.

    Args:
        settings: what config.json holds.
        book: the clean text.
    """

    def __init__(self, settings: Settings, book: str) -> None:
        self.settings, self.book, training = settings, book, settings.training
        self.vocab = vocab = Vocab.from_text(book)
        train_ids, self.valid_ids = split(vocab.encode(book), 0.1)
        self.words = set(words(vocab.decode(train_ids)))
        self.cell = scratch.CELLS[settings.cell]
        sizes = (len(vocab), settings.hidden_size, settings.num_layers)
        self.weights = scratch.init_weights(self.cell, *sizes, settings.seed, settings.std)
        self.optimizer = scratch.OPTIMIZERS[settings.optimizer](training.learning_rate)
        self.streams = Streams(train_ids, training.batch_size, training.seq_len)
        self.state = scratch.zero_state(self.weights, self.cell, training.batch_size)
        self.best = {name: w.copy() for name, w in self.weights.items()}
        self.rng = np.random.default_rng(settings.seed)
        self.step, self.seconds = 0, 0.0
        # As case E has it, the smooth loss is the sum over seq_len characters, from ln V each on.
        self.smooth_loss = self.best_loss = training.seq_len * math.log(len(vocab))
        self.smooth_posterior = 1 / len(vocab)
        self.trigger = None
        self.rows, self.samples, self.interval = [], [], []

    def take_step(self) -> None:
        """Forward, loss, backward, clip, update."""
        settings = self.settings
        self.step += 1
        k = (self.step - 1) % len(self.streams)
        if k == 0:
            self.state = scratch.zero_state(self.weights, self.cell, settings.training.batch_size)
        x, y = self.streams.batch(k)
        (logits, self.state), cache = scratch.forward(self.weights, self.cell, x, self.state)
        loss, dlogits = scratch.softmax_cross_entropy(logits, y)
        if settings.loss == "sum over time":
            dlogits *= settings.training.seq_len
        gradients, _, _ = scratch.backward(dlogits, cache)
        norm, share = self.clip_and_update(gradients)
        self.follow(loss, scratch.softmax(logits).max(axis=-1).mean())
        self.interval.append((loss, norm, share))

    def clip_and_update(self, gradients: scratch.Weights) -> tuple[float, float]:
        """Clip as the config says, and step; return the norm before, and 1.0 if it was clipped."""
        training = self.settings.training
        clipped, norm = scratch.clip_by_global_norm(gradients, training.clip_norm or math.inf)
        if training.clip_value:
            clipped = scratch.clip_by_value(gradients, training.clip_value)
        share = any((clipped[n] != gradients[n]).any() for n in gradients)
        self.optimizer.learning_rate = training.rate_at(self.step)
        self.optimizer.step(self.weights, clipped)
        return norm, float(share)

    def follow(self, loss: float, posterior: float) -> None:
        """Update the running averages, and keep the weights of the lowest smooth loss."""
        settings = self.settings
        self.smooth_loss += 0.001 * (loss * settings.training.seq_len - self.smooth_loss)
        self.smooth_posterior += 0.001 * (float(posterior) - self.smooth_posterior)
        if self.trigger is None and self.smooth_posterior > settings.write_above:
            self.trigger = self.step
        if self.smooth_loss < self.best_loss:
            self.best_loss = self.smooth_loss
            if settings.keep == "lowest smooth loss":
                self.best = {name: w.copy() for name, w in self.weights.items()}

    def write_row(self) -> None:
        """Add a row to the history: means since the last row; validation where it is due."""
        loss, norm, share = np.mean(self.interval, axis=0)
        training = self.settings.training
        due = self.step % training.eval_every == 0 or self.step == training.steps
        valid = scratch.evaluate(self.weights, self.cell, self.valid_ids) if due else None
        seen = self.step * training.batch_size * training.seq_len
        row = {"step": self.step, "characters": seen}
        row |= {"epoch": (self.step - 1) // len(self.streams), "loss": float(loss)}
        row |= {"smooth_loss": self.smooth_loss, "mean_max_posterior": self.smooth_posterior}
        row |= {"grad_norm": float(norm), "clipped_share": float(share), "valid_loss": valid}
        self.rows.append(row | {"seconds": round(self.seconds, 2)})
        self.interval = []

    def write_text(self, weights: scratch.Weights, length: int) -> tuple[str, float]:
        """Let a network write on from the characters read last, up to 200 of this epoch.

        From a single random character some networks run into a loop of rare characters. Returns the
        text without them, and the share of its words that the training text has too.
        """
        reshape = scratch.redraw_once if self.settings.redraw_once else None
        end = ((self.step - 1) % len(self.streams) + 1) * self.settings.training.seq_len
        prompt = self.streams.x[0, max(end - 200, 0) : end]
        ids = scratch.sample(weights, self.cell, prompt, length, self.rng, reshape)
        written = self.vocab.decode(ids)
        whole = words(written)[1:-1]  # the first and the last may be cut off
        return written, sum(word in self.words for word in whole) / max(len(whole), 1)

    def save(self, checkpoints: Checkpoints) -> None:
        """Write a checkpoint of all of it, whole or not at all."""
        groups = {"weights": self.weights, "best": self.best, "memory": self.optimizer.memory}
        arrays = {f"{g}/{name}": a for g, group in groups.items() for name, a in group.items()}
        arrays |= {f"state/{k}": array for k, array in enumerate(self.state)}
        notes = {name: getattr(self, name) for name in KEPT}
        notes |= {"rng": self.rng.bit_generator.state, "identity": self.identity()}
        # A copy has no negative strides, which PyTorch refuses.
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        checkpoints.save(self.step, tensors, notes)

    def identity(self) -> dict:
        """Return all that must be equal for a checkpoint to be this run's: settings and text."""
        return {"settings": asdict(self.settings), "text_sha256": sha256(self.book)}

    def load(self, checkpoints: Checkpoints) -> None:
        """Go on from the newest checkpoint, if there is one.

        Raises:
            CheckpointError: it is damaged, or of a text with other characters.
            ValueError: it is of a run with other settings or another text.
        """
        loaded = checkpoints.load()
        if loaded is None:
            return
        tensors, notes = loaded
        if notes.get("identity") != self.identity():
            raise ValueError(
                f"{checkpoints.paths[-1]} is of a run with another text or another config.json; "
                "delete it to start anew."
            )
        self.rng.bit_generator.state = notes["rng"]
        for name in KEPT:
            setattr(self, name, notes[name])
        self.optimizer.steps = self.step
        groups = {"weights": self.weights, "best": self.best, "memory": self.optimizer.memory}
        states = {}
        for name, tensor in tensors.items():
            group, _, key = name.partition("/")
            (states if group == "state" else groups[group])[key] = tensor.numpy()
        self.state = tuple(states[str(k)] for k in range(self.cell.states))


def main(folder: Path) -> None:
    """Train what a folder's config says to its end, from its checkpoint on if there is one.

    Raises:
        ValueError: a config without meaning, or not that of the run that was begun.
        CheckpointError: the checkpoint is damaged, or another process trains in this folder.
    """
    settings = read_settings(folder, Settings)
    book, _ = clean(corpus_text(settings.corpus))
    run = Run(settings, book)
    checkpoints = Checkpoints(folder, run.vocab, keep=1)
    with checkpoints.owned():
        run.load(checkpoints)
        train(run, checkpoints)
        finish(run, folder)
        remove_unfinished(folder)


def train(run: Run, checkpoints: Checkpoints) -> None:
    """Take the steps that are left, with rows, samples and checkpoints between them."""
    settings, steps = run.settings, run.settings.training.steps
    for _ in tqdm(range(run.step, steps), initial=run.step, total=steps):
        started = time.perf_counter()
        run.take_step()
        run.seconds += time.perf_counter() - started  # training alone, without validation and text
        if run.step % settings.log_every == 0 or run.step == steps:
            run.write_row()
        if run.step % settings.sample_every == 0:
            if run.trigger is not None:
                text, known = run.write_text(run.weights, settings.sample_length)
                run.samples.append([f"after {run.step:,} iterations", known, text])
            run.save(checkpoints)


def finish(run: Run, folder: Path) -> None:
    """Write what the run leaves behind."""
    kept = run.best if run.settings.keep == "lowest smooth loss" else run.weights
    final, known = run.write_text(kept, 1000)
    result = {
        "valid_loss": scratch.evaluate(kept, run.cell, run.valid_ids),
        "best_smooth_loss": run.best_loss,
        "first_text_at_step": run.trigger,
        "parameters": sum(w.size for w in run.weights.values()),
        "training_seconds": round(run.seconds, 1),
        "characters_per_second": round(run.rows[-1]["characters"] / run.seconds),
        "text_sha256": sha256(run.book),
        "distinct_characters": len(run.vocab),
        "machine": describe(torch.device("cpu")),
        "versions": versions(),
    }
    samples = [*run.samples, ["the kept model", known, final]]
    titled = [(f"{title} ({known:.0%} of the words known)", text) for title, known, text in samples]
    write_texts(folder / "samples.txt", titled)
    History(run.rows).save(folder / "history.jsonl")
    save_scratch(folder / "model.safetensors", kept, run.cell, run.vocab)
    write_json(folder / "result.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    run_program(main, __doc__, "runs/case-e-rnn")
