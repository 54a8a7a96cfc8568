"""Train the patients of chapter 06: five with a fault in their training, and a healthy one.

    .venv/bin/python -m experiments.make_patients runs/patients

This file is the key to the exercise: PATIENTS says who has which fault. The folder's config.json
holds what all have in common, so that each differs from the healthy one in its fault alone.

When a patient is done, the program writes history.jsonl and model.safetensors into a folder with
the patient's name. In the end result.json lists a few figures of each.

After a break the same command trains the patients that are not done. Delete a patient's folder to
train it anew; after a change of config.json delete all of them.
"""

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import allow_mutation_on_saved_tensors

from experiments.common import (
    check_whole,
    corpus_text,
    describe,
    flat,
    read_settings,
    rounded,
    run_program,
    sha256,
    versions,
    write_json,
)
from lstmlib.batching import Streams, split
from lstmlib.cleaning import clean
from lstmlib.clipping import clip_by_global_norm
from lstmlib.diagnostics import Diagnostics, parts_of
from lstmlib.history import History, TrainingDiverged
from lstmlib.models import CharRNN, State, detach
from lstmlib.ngram import NGramModel
from lstmlib.serialization import save_model
from lstmlib.settings import TrainingConfig
from lstmlib.training import evaluate
from lstmlib.vocab import Vocab


@dataclass(frozen=True)
class Fault:
    """What a step of training does; as it stands here, all of it is right.

    Attributes:
        cause: its name in lstmlib.course.check.CAUSES.
        zero_grad: set the gradients to zero before the backward pass adds to them.
        detach: cut the state from the graph of the batch that it comes from.
        shift: predict the next character, not the one that was just read.
        clip: clip the gradient by its norm.
        gate_bias: what the biases of all input, forget and output gates start at; None leaves them
            as they are drawn.
    """

    cause: str
    zero_grad: bool = True
    detach: bool = True
    shift: bool = True
    clip: bool = True
    gate_bias: float | None = None


PATIENTS = {
    "patient-1": Fault("missing zero_grad", zero_grad=False),
    "patient-2": Fault("healthy"),
    "patient-3": Fault("saturated gates", gate_bias=-8.0),
    # The rate is so high that it takes clipping to train at all.
    "patient-4": Fault("no clipping", clip=False),
    "patient-5": Fault("targets not shifted", shift=False),
    "patient-6": Fault("state not detached", detach=False),
}

TRAINING = ("steps", "batch_size", "seq_len", "optimizer", "optimizer_options", "learning_rate")
TRAINING += ("clip_norm", "eval_every")
"""The settings of TrainingConfig that config.json has."""
DIGITS = 5
"""Of the numbers that are written."""


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        corpus: a name that `load_corpus` knows, or the path of a file.
        characters: the first ones of the text, which are used.
        hidden_size, num_layers: of the LSTM.
        seed: of the weights.
        look_every: steps from one row with diagnostics to the next.
        training: the settings in TRAINING.
    """

    corpus: str
    characters: int
    hidden_size: int
    num_layers: int
    seed: int
    look_every: int
    training: TrainingConfig = field(metadata=flat(*TRAINING))

    def __post_init__(self) -> None:
        check_whole(self, "characters", "hidden_size", "num_layers", "seed", "look_every")


def build(settings: Settings, fault: Fault, vocab_size: int) -> CharRNN:
    """Return a patient's new network; all of them are drawn from the same seed."""
    torch.manual_seed(settings.seed)
    model = CharRNN(vocab_size, settings.hidden_size, settings.num_layers)
    if fault.gate_bias is not None:
        for part, weights in parts_of(model).items():
            for weight, rows in weights:
                if part.endswith("gate") and weight.ndim == 1:
                    weight.data[rows] = fault.gate_bias / 2  # PyTorch adds two biases
    return model


def take_step(
    model: CharRNN,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    state: State | None,
    fault: Fault,
    clip_norm: float | None,
    look: Diagnostics | None,
) -> tuple[State, dict]:
    """Take one step on a batch (x, y), (B, T) each: the state after it, and what goes into its row.

    This is where all faults but that of the gates are.
    """
    x, y = batch
    if fault.zero_grad:
        optimizer.zero_grad()
    logits, after = model(x, state)
    if fault.detach:
        after = detach(after)
    targets = y if fault.shift else x
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward(retain_graph=not fault.detach)
    if look:
        look.before_clipping(model)
    limit = clip_norm if clip_norm and fault.clip else inf
    norm, clipped_norm = clip_by_global_norm(model.parameters(), limit)
    if look:
        look.before_update(clipped_norm < norm)
    optimizer.step()
    return after, {
        "loss": loss.item(),
        "grad_norm": norm,
        "clipped_norm": clipped_norm,
        "diagnostics": look and look.after_update(x, state),
    }


def train(
    model: CharRNN, fault: Fault, settings: Settings, train_ids: np.ndarray, valid_ids: np.ndarray
) -> list[dict]:
    """Train a patient; return its history's rows, with diagnostics at every look_every-th step.

    The columns are those of `lstmlib.history.History`; the seconds are those of the steps alone,
    without validation.

    Raises:
        TrainingDiverged: a loss or a gradient is not finite.
    """
    training = settings.training
    streams = Streams(train_ids, training.batch_size, training.seq_len)
    optimizer = training.make_optimizer(model.parameters())
    rows, state, seconds = [], None, 0.0
    for step in range(1, training.steps + 1):
        epoch, k = divmod(step - 1, len(streams))
        batch = tuple(torch.from_numpy(part) for part in streams.batch(k))
        look = Diagnostics() if (step - 1) % settings.look_every == 0 else None
        started = time.perf_counter()
        if k == 0:
            state = None
        state, figures_of_step = take_step(
            model, optimizer, batch, state, fault, training.clip_norm, look
        )
        seconds += time.perf_counter() - started
        loss, norm = figures_of_step["loss"], figures_of_step["grad_norm"]
        if not isfinite(loss + norm):
            raise TrainingDiverged(
                f"{fault.cause}: the loss of step {step} is {loss:.4g}, its gradient norm "
                f"{norm:.4g}. Choose another seed in config.json.",
                History(rows),
            )
        due = step % training.eval_every == 0 or step == training.steps
        row = {
            "step": step,
            "epoch": epoch,
            "characters": step * training.batch_size * training.seq_len,
            "learning_rate": training.learning_rate,
            "seconds": seconds,
            "valid_loss": evaluate(model, valid_ids) if due else None,
            "skipped": False,
        }
        rows.append(rounded(row | figures_of_step, DIGITS))
    return rows


def write_patient(settings: Settings, fault: Fault, text: str, folder: Path) -> None:
    """Train a patient, and write its folder: history.jsonl, and last model.safetensors."""
    vocab = Vocab.from_text(text)
    train_ids, valid_ids = split(vocab.encode(text), 0.1)
    model = build(settings, fault, len(vocab))
    # PyTorch refuses to go back through weights that have changed since; this keeps the old ones.
    with nullcontext() if fault.detach else allow_mutation_on_saved_tensors():
        rows = train(model, fault, settings, train_ids, valid_ids)
    History(rows).save(folder / "history.jsonl")
    save_model(folder / "model.safetensors", model, vocab)


def figures(folder: Path) -> dict:
    """Return a few figures of a patient: the mean loss of the last 20 steps, and the like."""
    rows = History.load(folder / "history.jsonl").rows
    return {
        "training_loss": rounded(float(np.mean([row["loss"] for row in rows[-20:]])), DIGITS),
        "valid_loss": rows[-1]["valid_loss"],
        "training_seconds": round(rows[-1]["seconds"], 1),
    }


def ngram_losses(text: str) -> dict[str, float]:
    """Return the losses of two n-gram models on the validation text, in nats per character."""
    vocab = Vocab.from_text(text)
    train_ids, valid_ids = split(vocab.encode(text), 0.1)
    models = {name: NGramModel(train_ids, n, len(vocab)) for name, n in (("1", 1), ("5", 5))}
    return {name: rounded(model.nats_per_char(valid_ids), DIGITS) for name, model in models.items()}


def main(folder: Path) -> None:
    """Train the patients that are not done, and write result.json.

    Raises:
        ValueError: a setting has no meaning, or the text is too short for it or cannot be had.
        TrainingDiverged: as in `train`.
    """
    settings = read_settings(folder, Settings)
    text = clean(corpus_text(settings.corpus))[0][: settings.characters]
    for name, fault in PATIENTS.items():
        if not (folder / name / "model.safetensors").exists():
            write_patient(settings, fault, text, folder / name)
        print(name, figures(folder / name))
    result = {
        "text_sha256": sha256(text),
        "ngram_valid_losses": ngram_losses(text),
        "machine": describe(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "runs": {name: figures(folder / name) for name in PATIENTS},
    }
    write_json(folder / "result.json", result)


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # numbers below 1e-38 take long, and the seconds are evidence
    # As one thread computes it, it can be computed again.
    run_program(main, __doc__, "runs/patients", threads=1)
