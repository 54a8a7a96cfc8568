"""fit(): stateful truncated back-propagation through time, with clipping and a history."""

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from lstmlib.batching import IGNORE, Streams
from lstmlib.models import CharRNN, detach, write_whole

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of one training run.

    Attributes:
        steps: optimizer steps.
        batch_size: parallel streams B.
        seq_len: characters T that the gradient flows back through.
        learning_rate: Adam's step size (its peak, under a schedule).
        schedule: "constant", or "cosine" down to 0 at the last step.
        warmup: steps over which the learning rate rises linearly from 0.
        clip_norm: largest global L2 norm of the gradient; None does not clip by norm.
        clip_value: largest absolute value of a gradient entry; None does not clip by value.
        eval_every: steps between validations; the last step always validates.

    Raises:
        ValueError: a setting has no meaning.
    """

    steps: int
    batch_size: int = 32
    seq_len: int = 128
    learning_rate: float = 2e-3
    schedule: str = "constant"
    warmup: int = 0
    clip_norm: float | None = 5.0
    clip_value: float | None = None
    eval_every: int = 100

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "seq_len", "eval_every"):
            value = getattr(self, name)
            if value < 1 or value != int(value):
                raise ValueError(f"{name} is {value}; it must be a whole number, 1 or more.")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0.")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule is {self.schedule!r}; choose one of {SCHEDULES}.")
        if not 0 <= self.warmup <= self.steps:
            raise ValueError(f"warmup is {self.warmup}; it must lie between 0 and steps.")
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError(
                "Set clip_norm or clip_value to None: a gradient is clipped by one of them."
            )
        for name in ("clip_norm", "clip_value"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; it must be above 0, or None for no clipping.")

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1."""
        rate = self.learning_rate
        if step <= self.warmup:
            return rate * step / self.warmup
        if self.schedule == "cosine":
            done = (step - self.warmup) / max(self.steps - self.warmup, 1)
            rate *= 0.5 * (1 + math.cos(math.pi * done))
        return rate


class History:
    """What happened at each step, as a list of rows.

    A row has: step (from 1), epoch (from 0), characters (targets seen so far), loss (nats per
    character, mean of the batch), grad_norm (global L2 norm before clipping), clipped_norm (after
    it), learning_rate, seconds (since the start), and valid_loss (nats per character, or None where
    the step did not validate).
    """

    def __init__(self, rows: Iterable[dict] = ()) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

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
        """The share of steps whose gradient was clipped."""
        return sum(row["clipped_norm"] < row["grad_norm"] for row in self.rows) / len(self)

    def save(self, path: str | Path) -> None:
        """Write the rows as JSON lines, whole or not at all."""
        write_whole(path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())

    @classmethod
    def load(cls, path: str | Path) -> "History":
        """Read what `save` wrote."""
        return cls(json.loads(line) for line in Path(path).read_text().splitlines())


class TrainingDiverged(RuntimeError):
    """The loss became infinite or not a number; `history` holds the steps up to there."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


def clip_by_global_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> tuple[float, float]:
    """Scale all gradients by one factor so that their joint L2 norm is at most max_norm.

    The direction stays, only the length changes (Pascanu et al. 2013, algorithm 1).

    Returns:
        The norm before and after.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = _global_norm(grads)
    if norm <= max_norm:
        return norm, norm
    for grad in grads:
        grad.mul_(max_norm / norm)
    return norm, max_norm


def clip_by_value(parameters: Iterable[nn.Parameter], max_value: float) -> tuple[float, float]:
    """Cut every gradient entry to [-max_value, max_value]; this may turn the direction.

    Returns:
        The global L2 norm before and after.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = _global_norm(grads)
    for grad in grads:
        grad.clamp_(-max_value, max_value)
    return norm, _global_norm(grads)


def _global_norm(grads: list[Tensor]) -> float:
    return torch.stack([grad.norm() for grad in grads]).norm().item()


@torch.no_grad()
def evaluate(model: CharRNN, ids: np.ndarray, seq_len: int = 256) -> float:
    """Return the mean loss over a text, in nats per character, in one pass with carried state.

    Every character after the first is predicted exactly once, and each counts the same. seq_len
    only bounds the memory. The model's mode and every random generator are left as they were.

    Raises:
        ValueError: a text of under 2 characters.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total, count, state = 0.0, 0, None
    try:
        for x, y in Streams(ids, 1, seq_len, remainder="mask"):
            logits, state = model(torch.from_numpy(x).to(device), state)
            target = torch.from_numpy(y).to(device).flatten()
            loss = F.cross_entropy(
                logits.flatten(0, 1), target, ignore_index=IGNORE, reduction="sum"
            )
            total += loss.item()
            count += int((y != IGNORE).sum())
    finally:
        model.train(was_training)
    return total / count


def fit(
    model: CharRNN,
    train_ids: np.ndarray,
    valid_ids: np.ndarray | None,
    config: TrainingConfig,
    on_step: Callable[[History], None] | None = None,
) -> History:
    """Train a model with Adam by stateful truncated BPTT, and return the history.

    The state is carried from batch to batch, cut from the graph between them, and starts at zero
    again when an epoch's streams are at their end.

    Args:
        model: trained in place, on the device it is on.
        train_ids: (N,) integers.
        valid_ids: (M,) integers to validate on, or None.
        config: the settings.
        on_step: called with the history after every step, to draw or to sample; nothing that it
            does with the model in evaluation mode changes the training.

    Raises:
        ValueError: a text is too short, or has ids that are not in the model's vocabulary.
        TrainingDiverged: the loss is no longer finite.
    """
    device = next(model.parameters()).device
    _check_ids(model, train_ids, valid_ids)
    streams = Streams(train_ids, config.batch_size, config.seq_len)
    xs, ys = torch.from_numpy(streams.x).to(device), torch.from_numpy(streams.y).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    history, state, start = History(), None, time.perf_counter()
    bar = tqdm(range(1, config.steps + 1), unit="step")
    for step in bar:
        model.train()
        epoch, k = divmod(step - 1, len(streams))
        columns = slice(k * config.seq_len, (k + 1) * config.seq_len)
        if k == 0:
            state = None
        logits, state = model(xs[:, columns], state)
        loss = F.cross_entropy(logits.flatten(0, 1), ys[:, columns].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm, clipped_norm = _clip(model, config)
        _stop_if_diverged(step, loss.item(), norm, history)
        optimizer.param_groups[0]["lr"] = config.rate_at(step)
        optimizer.step()
        state = detach(state)
        row = {
            "step": step,
            "epoch": epoch,
            "characters": step * config.batch_size * config.seq_len,
            "loss": loss.item(),
            "grad_norm": norm,
            "clipped_norm": clipped_norm,
            "learning_rate": config.rate_at(step),
            "seconds": time.perf_counter() - start,
            "valid_loss": None,
        }
        if valid_ids is not None and (step % config.eval_every == 0 or step == config.steps):
            row["valid_loss"] = evaluate(model, valid_ids)
            bar.set_postfix(valid=f"{row['valid_loss']:.3f}")
        history.rows.append(row)
        if on_step is not None:
            on_step(history)
    return history


def _check_ids(model: CharRNN, train_ids: np.ndarray, valid_ids: np.ndarray | None) -> None:
    """Refuse texts that would fail in mid-training."""
    for name, ids in (("training", train_ids), ("validation", valid_ids)):
        if ids is None:
            continue
        if len(ids) < 2:
            raise ValueError(f"The {name} text has under 2 characters: nothing to predict.")
        if np.min(ids) < 0 or np.max(ids) >= model.vocab_size:
            raise ValueError(
                f"The {name} text has ids outside 0 … {model.vocab_size - 1}. "
                "Build the model with vocab_size=len(vocab) of the text's own vocabulary."
            )


def _clip(model: CharRNN, config: TrainingConfig) -> tuple[float, float]:
    """Clip as the configuration says; return the global norm before and after."""
    if config.clip_value is not None:
        return clip_by_value(model.parameters(), config.clip_value)
    limit = math.inf if config.clip_norm is None else config.clip_norm
    return clip_by_global_norm(model.parameters(), limit)


def _stop_if_diverged(step: int, loss: float, norm: float, history: History) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    raise TrainingDiverged(
        f"Step {step}: the loss is {loss} and the gradient norm {norm}. The weights are still "
        f"those of step {step - 1}. Lower the learning rate, or clip at a smaller value.",
        history,
    )
