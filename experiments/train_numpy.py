"""Re-run a recorded run of a NumPy network: its folder's config.json says what to do.

    .venv/bin/python -m experiments.train_numpy runs/case-e-rnn

Writes beside the config: history.jsonl, samples.txt, model.safetensors, result.json. While it runs,
checkpoint.safetensors holds everything; start the same command again to go on from there. To train
on a text of your own, copy the folder and change "corpus" to the text's path.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import time
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from lstmlib import scratch
from lstmlib.batching import Streams, split
from lstmlib.cleaning import clean
from lstmlib.corpora import CorpusError, load_corpus
from lstmlib.metrics import words
from lstmlib.models import save_scratch, write_whole
from lstmlib.training import History, TrainingConfig
from lstmlib.vocab import Vocab

CHOICES = {
    "cell": tuple(scratch.CELLS),
    "optimizer": tuple(scratch.OPTIMIZERS),
    "loss": ("sum over time", "mean over time"),
    "keep": ("last", "lowest smooth loss"),
}
# The settings that TrainingConfig knows, with their checks and the schedule.
TRAINING = ("steps", "batch_size", "seq_len", "learning_rate", "schedule", "warmup")
TRAINING += ("clip_norm", "clip_value", "eval_every")
# What a checkpoint keeps beside the arrays and the random state.
KEPT = ("step", "seconds", "smooth_loss", "smooth_posterior", "best_loss", "trigger")
KEPT += ("rows", "samples", "interval")


class Run:
    """A network in training: all that a checkpoint must hold, and how to take a step."""

    def __init__(self, config: dict, book: str) -> None:
        for name, allowed in CHOICES.items():
            if config[name] not in allowed:
                raise ValueError(f"{name} is {config[name]!r}; choose one of {allowed}.")
        self.config, self.book = config, book
        self.settings = TrainingConfig(**{name: config[name] for name in TRAINING})
        self.vocab = vocab = Vocab.from_text(book)
        train_ids, self.valid_ids = split(vocab.encode(book), 0.1)
        self.words = set(words(vocab.decode(train_ids)))
        self.cell = scratch.CELLS[config["cell"]]
        sizes = (len(vocab), config["hidden_size"], config["num_layers"])
        self.weights = scratch.init_weights(self.cell, *sizes, config["seed"], config["std"])
        self.optimizer = scratch.OPTIMIZERS[config["optimizer"]](config["learning_rate"])
        self.streams = Streams(train_ids, config["batch_size"], config["seq_len"])
        self.state = scratch.zero_state(self.weights, self.cell, config["batch_size"])
        self.best = {name: w.copy() for name, w in self.weights.items()}
        self.rng = np.random.default_rng(config["seed"])
        self.step, self.seconds = 0, 0.0
        # As case E has it, the smooth loss is the sum over seq_len characters, from ln V each on.
        self.smooth_loss = self.best_loss = config["seq_len"] * math.log(len(vocab))
        self.smooth_posterior = 1 / len(vocab)
        self.trigger = None
        self.rows, self.samples, self.interval = [], [], []

    def take_step(self) -> None:
        """Forward, loss, backward, clip, update."""
        config = self.config
        self.step += 1
        k = (self.step - 1) % len(self.streams)
        if k == 0:
            self.state = scratch.zero_state(self.weights, self.cell, config["batch_size"])
        x, y = self.streams.batch(k)
        (logits, self.state), cache = scratch.forward(self.weights, self.cell, x, self.state)
        loss, dlogits = scratch.softmax_cross_entropy(logits, y)
        if config["loss"] == "sum over time":
            dlogits *= config["seq_len"]
        gradients, _, _ = scratch.backward(dlogits, cache)
        norm, share = self.clip_and_update(gradients)
        self.follow(loss, scratch.softmax(logits).max(axis=-1).mean())
        self.interval.append((loss, norm, share))

    def clip_and_update(self, gradients: scratch.Weights) -> tuple[float, float]:
        """Clip as the config says, and step; return the norm before, and 1.0 if it was clipped."""
        config = self.config
        clipped, norm = scratch.clip_by_global_norm(gradients, config["clip_norm"] or math.inf)
        if config["clip_value"]:
            clipped = scratch.clip_by_value(gradients, config["clip_value"])
        share = any((clipped[n] != gradients[n]).any() for n in gradients)
        self.optimizer.learning_rate = self.settings.rate_at(self.step)
        self.optimizer.step(self.weights, clipped)
        return norm, float(share)

    def follow(self, loss: float, posterior: float) -> None:
        """Update the running averages, and keep the weights of the lowest smooth loss."""
        self.smooth_loss += 0.001 * (loss * self.config["seq_len"] - self.smooth_loss)
        self.smooth_posterior += 0.001 * (float(posterior) - self.smooth_posterior)
        if self.trigger is None and self.smooth_posterior > self.config["write_above"]:
            self.trigger = self.step
        if self.smooth_loss < self.best_loss:
            self.best_loss = self.smooth_loss
            if self.config["keep"] == "lowest smooth loss":
                self.best = {name: w.copy() for name, w in self.weights.items()}

    def write_row(self) -> None:
        """Add a row to the history: means since the last row; validation where it is due."""
        loss, norm, share = np.mean(self.interval, axis=0)
        due = self.step % self.config["eval_every"] == 0 or self.step == self.config["steps"]
        valid = scratch.evaluate(self.weights, self.cell, self.valid_ids) if due else None
        seen = self.step * self.config["batch_size"] * self.config["seq_len"]
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
        reshape = scratch.redraw_once if self.config["redraw_once"] else None
        end = ((self.step - 1) % len(self.streams) + 1) * self.config["seq_len"]
        prompt = self.streams.x[0, max(end - 200, 0) : end]
        ids = scratch.sample(weights, self.cell, prompt, length, self.rng, reshape)
        written = self.vocab.decode(ids)
        whole = words(written)[1:-1]  # the first and the last may be cut off
        return written, sum(word in self.words for word in whole) / max(len(whole), 1)

    def save(self, path: Path) -> None:
        """Write everything to one file, whole or not at all."""
        meta = {"rng": self.rng.bit_generator.state} | {name: getattr(self, name) for name in KEPT}
        groups = {"weights": self.weights, "best": self.best, "memory": self.optimizer.memory}
        arrays = {f"{g}/{name}": a for g, group in groups.items() for name, a in group.items()}
        arrays |= {f"state/{k}": array for k, array in enumerate(self.state)}
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        metadata = {"identity": self.identity(), "meta": json.dumps(meta)}
        write_whole(path, safetensors.numpy.save(arrays, metadata))

    def identity(self) -> str:
        """Return all that must be equal for a checkpoint to be this run's: settings and text."""
        settings = {name: value for name, value in self.config.items() if name != "what"}
        return json.dumps(settings | {"text": sha256(self.book)}, sort_keys=True)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; raises ValueError if it is not one of this run."""
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error}): delete it to start anew.") from error
        if metadata.get("identity") != self.identity():
            raise ValueError(
                f"{path} is of a run with another text or another config.json; "
                "delete it to start anew."
            )
        meta = json.loads(metadata["meta"])
        self.rng.bit_generator.state = meta.pop("rng")
        for name, value in meta.items():
            setattr(self, name, value)
        self.optimizer.steps = self.step
        self.state = tuple(arrays[f"state/{k}"] for k in range(self.cell.states))
        groups = {"weights": self.weights, "best": self.best, "memory": self.optimizer.memory}
        for name, array in arrays.items():
            group, _, key = name.partition("/")
            if group != "state":
                groups[group][key] = array


def sha256(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def main(folder: Path) -> None:
    """Run a folder's config to its end, from its checkpoint on if there is one."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    book, _ = clean(load_corpus(config["corpus"]).text)
    run, checkpoint = Run(config, book), folder / "checkpoint.safetensors"
    if checkpoint.exists():
        run.load(checkpoint)
    steps = config["steps"]
    for _ in tqdm(range(run.step, steps), initial=run.step, total=steps):
        started = time.perf_counter()
        run.take_step()
        run.seconds += time.perf_counter() - started  # training alone, without validation and text
        if run.step % config["log_every"] == 0 or run.step == steps:
            run.write_row()
        if run.step % config["sample_every"] == 0:
            if run.trigger is not None:
                text, known = run.write_text(run.weights, config["sample_length"])
                run.samples.append([f"after {run.step:,} iterations", known, text])
            run.save(checkpoint)
    finish(run, folder)
    checkpoint.unlink(missing_ok=True)


def finish(run: Run, folder: Path) -> None:
    """Write what the run leaves behind."""
    kept = run.best if run.config["keep"] == "lowest smooth loss" else run.weights
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
        "machine": f"{os.cpu_count()} CPU cores",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
    samples = [*run.samples, ["the kept model", known, final]]
    parts = [f"--- {title} ({known:.0%} of the words known)\n{t}\n" for title, known, t in samples]
    write_whole(folder / "samples.txt", "\n".join(parts).encode())
    History(run.rows).save(folder / "history.jsonl")
    save_scratch(folder / "model.safetensors", kept, run.cell, run.vocab)
    write_whole(folder / "result.json", (json.dumps(result, indent=2) + "\n").encode())
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Re-run a recorded run of a NumPy network.")
    parser.add_argument("folder", type=Path, help="such as runs/case-e-rnn")
    try:
        main(parser.parse_args().folder)
    except (OSError, CorpusError, KeyError, ValueError, FloatingPointError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
