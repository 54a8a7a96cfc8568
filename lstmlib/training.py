"""fit(): (truncated) back-propagation through time, clipped, guarded and resumable."""

import contextlib
import functools
import hashlib
import inspect
import json
import math
import operator
import os
import reprlib
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from lstmlib.batching import IGNORE, PaddedBatches, Streams
from lstmlib.checkpoints import (
    INSTEAD,
    CheckpointError,
    Checkpoints,
    check_random_states,
    optimizer_tensors,
    random_states,
    set_optimizer_tensors,
    set_random_states,
)
from lstmlib.diagnostics import Diagnostics
from lstmlib.distributed import Processes
from lstmlib.models import (
    CharRNN,
    State,
    check_shapes,
    check_vocab,
    detach,
    unwrap,
    write_whole,
)

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
_FUSED = ("adam", "adamw", "sgd")
_HOW = {"fused", "foreach", "capturable", "differentiable"}
"""Options of torch.optim that say how an optimizer is computed."""
SCHEDULES = ("constant", "step", "cosine", "one-cycle")
PRECISIONS = ("float32", "bfloat16")
_NUMBERS = {
    "step",
    "epoch",
    "characters",
    "loss",
    "grad_norm",
    "clipped_norm",
    "learning_rate",
    "seconds",
    "valid_loss",
}
_COLUMNS = _NUMBERS | {"skipped"}
"""Of every row that `fit` writes."""
_NOTES = {
    "settings": dict,
    "texts": list,
    "rows": list,
    "ended": str,
    "skipped_in_a_row": int,
    "best": list,
    "seconds": float,
}
"""Of every checkpoint that `fit` writes."""
_MEANINGLESS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What Python and PyTorch raise of values without meaning."""
_IN_WORDS = {int: "a whole number", float: "a number"}
MOST_SKIPPED = 10
"""Steps in a row that may be skipped for a loss or gradient that is not finite."""
FETCH_EVERY = 25
"""Steps from one look at what a GPU has computed to the next."""


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of one training run.

    Attributes:
        steps: optimizer steps.
        batch_size: parallel streams B, over all processes together.
        seq_len: characters T that the gradient flows back through.
        learning_rate: the optimizer's step size (its peak, under a schedule).
        optimizer: "adam" (Kingma & Ba 2015), "adamw" (Loshchilov & Hutter 2019), "rmsprop" (Hinton
            2012) or "sgd".
        optimizer_options: what else the optimizer of torch.optim takes, such as {"momentum": 0.9},
            {"alpha": 0.9} or {"weight_decay": 0.1}.
        schedule: "constant"; "step", times `decay` after every `decay_every` steps; "cosine", down
            to 0 at the last step (Loshchilov & Hutter 2017); "one-cycle", by half cosines from a
            25th up to the peak and down to about 0, the momentum left alone (Smith & Topin 2018).
        warmup: steps over which the learning rate rises, linearly from 0 but for one-cycle, where 0
            stands for 30 % of the steps.
        decay, decay_every: of the schedule "step".
        clip_norm: largest global L2 norm of the gradient; None does not clip by norm.
        clip_value: largest absolute value of a gradient entry; None does not clip by value.
        clip_ratio: largest norm of a unit's gradient, as a share of the norm of its weights, see
            `clip_by_unit`; None does not clip by unit.
        eval_every: steps between validations; the last step always validates.
        patience: validations in a row without a new lowest loss after which the run ends early;
            None never does. With it, the model ends with the weights of its lowest loss, unless the
            run was interrupted.
        accumulate: parts of equal size that a batch's rows are worked through in, one after the
            other (in every process its own rows). The gradient is that of the whole batch (but for
            dropout's draws), the memory that of one part.
        precision: "float32", or "bfloat16" for the forward pass where that is safe (autocast); the
            weights, their updates and the loss stay in the model's dtype. A device that cannot
            train in bfloat16 trains in float32, and `fit` says so. On CUDA, PyTorch's autocast runs
            cuDNN's LSTM in float16; `fit` scales the loss for it.
        rotate_streams: let every epoch but the first cut the text into its streams at other places,
            drawn from the epoch's number, with the text taken as a ring. Without it all epochs have
            the same batches.

    Raises:
        ValueError: a setting has no meaning.
    """

    steps: int
    batch_size: int = 32
    seq_len: int = 128
    learning_rate: float = 2e-3
    optimizer: str = "adam"
    optimizer_options: dict = field(default_factory=dict)
    schedule: str = "constant"
    warmup: int = 0
    decay: float = 0.5
    decay_every: int = 1000
    clip_norm: float | None = 5.0
    clip_value: float | None = None
    clip_ratio: float | None = None
    eval_every: int = 100
    patience: int | None = None
    accumulate: int = 1
    precision: str = "float32"
    rotate_streams: bool = False

    def __post_init__(self) -> None:
        whole = ["steps", "batch_size", "seq_len", "eval_every", "decay_every", "accumulate"]
        for name in whole + ["patience"] * (self.patience is not None):
            value = self._plain(name, Integral, int)
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be a whole number, 1 or more.")
        for name in ("learning_rate", "decay"):
            value = self._plain(name, Real, float)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value}; it must be above 0.")
        choices = {"optimizer": tuple(OPTIMIZERS), "schedule": SCHEDULES, "precision": PRECISIONS}
        for name, allowed in choices.items():
            value = getattr(self, name)
            if not (isinstance(value, str) and value in allowed):
                raise ValueError(f"{name} is {reprlib.repr(value)}; choose one of {allowed}.")
        if not 0 <= self._plain("warmup", Integral, int) <= self.steps:
            raise ValueError(f"warmup is {self.warmup}; it must lie between 0 and steps.")
        if not isinstance(self.rotate_streams, (bool, np.bool_)):
            raise ValueError(
                f"rotate_streams is {reprlib.repr(self.rotate_streams)}; choose True or False."
            )
        object.__setattr__(self, "rotate_streams", bool(self.rotate_streams))
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate is {self.accumulate}; it must divide batch_size, {self.batch_size}."
            )
        names = ("clip_norm", "clip_value", "clip_ratio")
        clips = [name for name in names if getattr(self, name) is not None]
        if len(clips) > 1:
            raise ValueError(
                f"Set {' or '.join(clips)} to None: a gradient is clipped by one of them."
            )
        for name in clips:
            value = self._plain(name, Real, float)
            if not value > 0:
                raise ValueError(f"{name} is {value}; it must be above 0, or None for no clipping.")
        self._try_optimizer()
        self._try_rates()

    def _plain(self, name: str, kind: type, plain: type) -> float:
        """Make a setting, which may come from NumPy, a plain number, as JSON needs it."""
        value = getattr(self, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{name} is {reprlib.repr(value)}; it must be {_IN_WORDS[plain]}.")
        try:
            number = plain(value)
            if plain is int:
                np.int64(number)  # as PyTorch and NumPy count
        except OverflowError as error:
            raise ValueError(f"{name} is {reprlib.repr(value)}, which is too large.") from error
        object.__setattr__(self, name, number)  # the class is frozen
        return number

    def _try_optimizer(self) -> None:
        """Raise ValueError unless the optimizer takes a step: some options fail only then."""
        options, weight = self.optimizer_options, torch.zeros(1, requires_grad=True)
        if isinstance(options, dict):  # what "capturable" asks for, only a GPU has
            options = {name: o for name, o in options.items() if name != "capturable"}
        optimizer = self._optimizer([weight], options)
        weight.grad = torch.ones(1)
        try:
            optimizer.step()
        except _MEANINGLESS as error:
            raise self._refused(error) from error

    def _try_rates(self) -> None:
        """Raise ValueError if a decay above 1 makes the learning rate infinite."""
        try:
            finite = math.isfinite(self.rate_at(self.steps))
        except OverflowError:
            finite = False
        if not finite:
            raise ValueError(
                f"decay is {self.decay}; with it the learning rate of step {self.steps} is "
                "infinite. Lower it, or raise decay_every."
            )

    def make_optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """Return the optimizer of these settings, for some parameters.

        On a CUDA device Adam, AdamW and SGD run as one fused kernel, unless the options say how.

        Raises:
            ValueError: it does not take the options.
        """
        weights, options = list(parameters), self.optimizer_options
        on_cuda = all(weight.device.type == "cuda" for weight in weights)
        if on_cuda and self.optimizer in _FUSED and not _HOW & set(options):
            options = options | {"fused": True}
        return self._optimizer(weights, options)

    def _optimizer(self, parameters: Iterable[Tensor], options: dict) -> torch.optim.Optimizer:
        try:
            json.dumps(options, allow_nan=False)  # a checkpoint notes them
            if any(abs(number) >= 2**63 for number in _numbers(options) if type(number) is int):
                raise OverflowError("a whole number is too large")
            return OPTIMIZERS[self.optimizer](parameters, lr=self.learning_rate, **options)
        except _MEANINGLESS as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> ValueError:
        """Return the error of an optimizer that cannot work with its settings."""
        return ValueError(
            f"optimizer_options is {reprlib.repr(self.optimizer_options)}, which "
            f"{self.optimizer} cannot take with learning_rate {self.learning_rate}: {error!r}"
        )

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1."""
        rate = self.learning_rate
        if self.schedule == "one-cycle":
            return self._one_cycle(step)
        if step <= self.warmup:
            return rate * step / self.warmup
        if self.schedule == "step":
            rate *= self.decay ** ((step - 1) // self.decay_every)
        if self.schedule == "cosine":
            done = (step - self.warmup) / max(self.steps - self.warmup, 1)
            rate *= 0.5 * (1 + math.cos(math.pi * done))
        return rate

    def _one_cycle(self, step: int) -> float:
        """Return the rate of torch.optim.lr_scheduler.OneCycleLR, its momentum not cycled."""
        top = (self.warmup or 0.3 * self.steps) - 1  # steps before the peak
        start, peak, done = self.learning_rate / 25, self.learning_rate, step - 1
        if done <= top:
            a, b, share = start, peak, done / top if top > 0 else 1
        else:
            a, b, share = peak, start / 1e4, (done - top) / (self.steps - 1 - top)
        return b + (a - b) * 0.5 * (1 + math.cos(math.pi * share))


def _defaults() -> dict:
    """Return the settings of a run that need not be given, as JSON has them."""
    arguments = inspect.signature(CharRNN).parameters
    defaults = {n: a.default for n, a in arguments.items() if a.default is not a.empty}
    defaults |= {"dtype": str(torch.float32), "optimizer_options": {}}
    return defaults | {f.name: f.default for f in fields(TrainingConfig) if f.default != MISSING}


_DEFAULTS = _defaults()


class History:
    """What happened at each step, as a list of rows.

    A row has: step (from 1), epoch (from 0), characters (targets seen so far), loss (nats per
    character, mean of the batch), grad_norm (global L2 norm before clipping), clipped_norm (after
    it), learning_rate, seconds (since the start, breaks left out), valid_loss (nats per character,
    or None where the step did not validate), and skipped. Where the loss or the norm was not
    finite, it is None, skipped is True, and the weights stayed as they were. Where `fit` was given
    diagnostics, a row also has what they recorded (None where the step was skipped).

    A run on a GPU does not wait for every step. Whoever looks at `rows` waits until the device has
    computed them; `len` does not.

    Attributes:
        rows: the rows, a list of dicts.
        ended: why the run is over: "all steps", "early", or "interrupted"; "" while it runs.
        precision: what the forward passes were computed in, "float32" or "bfloat16"; "" in rows
            that were loaded from a file.
    """

    def __init__(self, rows: Iterable[dict] = ()) -> None:
        self._rows = list(rows)
        self._fetch = None  # in a run on a GPU: fills in what the device still had to compute
        self.ended = self.precision = ""

    @property
    def rows(self) -> list[dict]:
        """The rows, whole."""
        if self._fetch is not None:
            self._fetch()
        return self._rows

    @rows.setter
    def rows(self, rows: list[dict]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

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
        """The share of steps whose gradient was clipped; one that was skipped was not."""
        taken = [row for row in self.rows if row["grad_norm"] is not None]
        return sum(row["clipped_norm"] < row["grad_norm"] for row in taken) / max(len(self), 1)

    @property
    def skipped(self) -> int:
        """Steps that were skipped, since their loss or gradient was not finite."""
        return sum(row.get("skipped", False) for row in self.rows)

    def save(self, path: str | Path) -> None:
        """Write the rows as JSON lines, whole or not at all."""
        write_whole(path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())

    @classmethod
    def load(cls, path: str | Path) -> "History":
        """Read what `save` wrote, or other JSON lines that are rows of a run.

        Every row has a step, above that of the row before it, a loss and a grad_norm. All rows have
        the columns of the first one, but for "diagnostics".

        Raises:
            HistoryError: the file cannot be read, or a line is no such row.
        """
        where, rows = os.path.abspath(path), []
        try:
            lines = Path(where).read_bytes().split(b"\n")
        except (OSError, ValueError) as error:  # ValueError: NUL in the path
            raise HistoryError(f"{where} cannot be read ({error}).") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
                _check_row(row, rows[-1] if rows else None)
            # RecursionError: too deep; ValueError: no text, no JSON, or no row.
            except (RecursionError, ValueError) as error:
                bad_json = isinstance(error, json.JSONDecodeError)  # it counts lines, too, from 1
                said = f"{error.msg} at column {error.colno}" if bad_json else error
                raise HistoryError(
                    f"{where}, line {number}, is no row of a history as History.save writes it "
                    f"({said}). Copy the file again, or correct the line."
                ) from error
            rows.append(row)
        return cls(rows)


class HistoryError(ValueError):
    """A file is not a history; the message names the file and the line."""


def _check_row(row: dict, before: dict | None) -> None:
    """Raise ValueError unless this is a row of a history, and follows on the one before it."""
    if not isinstance(row, dict):
        raise ValueError(f"{reprlib.repr(row)} has no columns")
    missing = [name for name in ("step", "loss", "grad_norm") if name not in row]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    for name, value in row.items():
        if name in _NUMBERS and not (value is None or _is_number(value)):
            raise ValueError(f"{name} is {reprlib.repr(value)}, not a number")
    if not isinstance(row["step"], int) or row["step"] < 1:
        raise ValueError(f"step is {row['step']}, not a whole number from 1")
    if not isinstance(row.get("skipped", False), bool):
        raise ValueError(f"skipped is {reprlib.repr(row['skipped'])}, not true or false")
    if not isinstance(row.get("diagnostics"), (dict, type(None))):
        raise ValueError(f"diagnostics is {reprlib.repr(row['diagnostics'])}")
    if before is None:
        return
    if row["step"] <= before["step"]:
        raise ValueError(f"step {row['step']} follows on step {before['step']}")
    other = sorted((row.keys() ^ before.keys()) - {"diagnostics"})
    if other:
        raise ValueError(f"the row before it has other columns: {reprlib.repr(other)}")


def _numbers(value: object) -> list[float]:
    """Return all numbers in a value of JSON, however deep they lie."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, (int, float)) else []


def _is_number(value: object) -> bool:
    """Say whether a value of JSON is a number that NumPy can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, float) or abs(value) < 2**63


class TrainingDiverged(RuntimeError):
    """The loss or the gradient stayed infinite or not a number."""


_Norms = tuple[Tensor, Tensor]


def clip_by_global_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> tuple[float, float]:
    """Scale all gradients by one factor so that their joint L2 norm is at most max_norm.

    The direction stays, only the length changes (Pascanu et al. 2013, algorithm 1).

    Returns:
        The norm before and after.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = _global_norm(grads).item()
    if norm <= max_norm:
        return norm, norm
    for grad in grads:
        grad.mul_(max_norm / norm)
    return norm, max_norm


def _clip_by_norm_unseen(parameters: Iterable[nn.Parameter], max_norm: float) -> _Norms:
    """Do as `clip_by_global_norm`, without waiting for the device: to clip by ≥ 1 changes nothing.

    Returns:
        The norm before and after, () each.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack(torch._foreach_norm(grads)).norm()  # ()
    torch._foreach_mul_(grads, (max_norm / norm).clamp(max=1.0))
    return norm, norm.clamp(max=max_norm)


def clip_by_value(parameters: Iterable[nn.Parameter], max_value: float) -> tuple[float, float]:
    """Cut every gradient entry to [-max_value, max_value]; this may turn the direction.

    Returns:
        The global L2 norm before and after.
    """
    norm, clipped_norm = _clip_by_value_unseen(parameters, max_value)
    return norm.item(), clipped_norm.item()


def _clip_by_value_unseen(parameters: Iterable[nn.Parameter], max_value: float) -> _Norms:
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = _global_norm(grads)
    for grad in grads:
        grad.clamp_(-max_value, max_value)
    return norm, _global_norm(grads)


def clip_by_unit(parameters: Iterable[nn.Parameter], max_ratio: float) -> tuple[float, float]:
    """Shorten each unit's gradient to at most max_ratio times the norm of the unit's weights.

    A unit is a row of a matrix, or an entry of a bias; one whose weights are shorter than 1e-3
    counts as that long, so that zeros can move (Brock et al. 2021, adaptive gradient clipping). The
    limit follows the weights, layer by layer, and one value serves networks of any size.

    Returns:
        The global L2 norm before and after.
    """
    norm, clipped_norm = _clip_by_unit_unseen(parameters, max_ratio)
    return norm.item(), clipped_norm.item()


def _clip_by_unit_unseen(parameters: Iterable[nn.Parameter], max_ratio: float) -> _Norms:
    weights = [p for p in parameters if p.grad is not None]
    norm = _global_norm([w.grad for w in weights])
    for weight in weights:
        rows = weight.detach().flatten(1) if weight.ndim > 1 else weight.detach()[:, None]
        grads = weight.grad.view(rows.shape)
        limit = max_ratio * rows.norm(dim=1, keepdim=True).clamp(min=1e-3)
        grads.mul_((limit / grads.norm(dim=1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0))
    return norm, _global_norm([w.grad for w in weights])


def _global_norm(grads: list[Tensor]) -> Tensor:
    return torch.stack([grad.norm() for grad in grads]).norm()  # ()


@torch.no_grad()
def evaluate(model: CharRNN, ids: np.ndarray | PaddedBatches, seq_len: int = 256) -> float:
    """Return the mean loss over a text or over sequences, in nats per character.

    A text is read in one pass with carried state, each sequence from a state of zeros. Every
    character after the first is predicted exactly once, and each counts the same; padding does not
    count. seq_len only bounds the memory. The model's mode and every random generator are left as
    they were.

    Raises:
        ValueError: a text of under 2 characters.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    losses, count, state = [], 0, None
    whole = isinstance(ids, PaddedBatches)
    try:
        for x, y in ids if whole else _in_one_pass(ids, seq_len):
            logits, state = model(torch.from_numpy(x).to(device), None if whole else state)
            target = torch.from_numpy(y).to(device).flatten()
            loss = F.cross_entropy(
                logits.flatten(0, 1), target, ignore_index=IGNORE, reduction="sum"
            )
            losses.append(loss)
            count += int((y != IGNORE).sum())
    finally:
        model.train(was_training)
    total = 0.0
    for loss in torch.stack(losses).tolist():  # fetched at once, so that a GPU never waits
        total += loss
    return total / count


def _in_one_pass(ids: np.ndarray, seq_len: int) -> Streams:
    """Return the batches of one stream through a text, with no more padding than needed."""
    return Streams(ids, 1, max(min(seq_len, len(ids) - 1), 1), remainder="mask")


def fit(
    model: CharRNN | DistributedDataParallel,
    train_ids: np.ndarray | PaddedBatches,
    valid_ids: np.ndarray | PaddedBatches | None,
    config: TrainingConfig,
    on_step: Callable[[History], None] | None = None,
    checkpoints: Checkpoints | None = None,
    progress: bool = True,
    diagnostics: Diagnostics | None = None,
) -> History:
    """Train a model by back-propagation through time, and return the history.

    On a text it is stateful truncated BPTT: the state is carried from batch to batch, cut from the
    graph between them, and starts at zero again when an epoch's streams are at their end. On
    sequences (`PaddedBatches`) it is BPTT through each whole one, from a state of zeros; an epoch
    has as many steps as there are batches, and a step's loss is the mean over the symbols of its
    batch, padding left out. A step whose loss or gradient is not finite is skipped, and said.
    Ctrl-C (in Jupyter, the stop button) ends the run after the step it is at; a second one stops at
    once.

    On a CUDA device `fit` does not wait for the end of a step before it asks for the next one. The
    device itself decides whether a step is to be skipped. Losses and norms stay there, and are
    fetched, and skipped steps said, every FETCH_EVERY steps and when somebody looks at the
    history's rows. This holds with Adam, AdamW, and SGD without momentum. With another optimizer,
    with diagnostics, and in several processes it waits at every step.

    With checkpoints, the same call goes on from the newest one in the folder: it takes the steps
    that it would have taken without the break. On one CPU thread they are the same bit for bit; on
    several, or on a GPU, PyTorch itself may add in another order, and cuDNN draws the dropout
    between layers anew. The model must be made as it was at first, with the same seed, or be the
    one that was interrupted, or the best one so far. A finished run is not run again; steps may be
    added where the schedule does not depend on them. The folder belongs to one call at a time; a
    killed one no longer holds it. What stops a run carries the history so far, as `history` of the
    exception.

    Several processes that call fit with the same arguments, and a model wrapped in PyTorch's
    DistributedDataParallel, train it together (experiments.train_distributed does). Each has its
    share of the batch's rows; losses, gradients and steps are those of one process with the whole
    batch, but for rounding and dropout's draws. What is not finite in one process makes all skip
    the step, and Ctrl-C in one ends all. Every process has the whole history; the first one alone
    speaks, and reads and writes the checkpoints, which hold the weights without the wrapper. Any
    number of processes may go on from one; the same number draws the dropout as without the break.

    Args:
        model: trained in place, on the device it is on; wrapped, if several processes train it.
        train_ids: (N,) integers, or sequences.
        valid_ids: (M,) integers or sequences to validate on, or None.
        config: the settings. With sequences, batch_size and seq_len are of no account.
        on_step: called with the history after every step, in every process, to draw or to sample;
            nothing that it does with the model in evaluation mode changes the training.
        checkpoints: where to keep checkpoints, or None.
        progress: show a progress bar.
        diagnostics: what to record of every step beside the losses, under "diagnostics" in the
            history's rows (`lstmlib.diagnostics`); None records nothing and costs nothing.

    Raises:
        ValueError: a text is too short, or has ids that are not in the model's vocabulary; patience
            without a validation text; a batch that the processes cannot share out in equal parts;
            sequences in several processes, or accumulated.
        TrainingDiverged: MOST_SKIPPED steps in a row were not finite.
        CheckpointError: a checkpoint cannot be written, or is not one of this run, or is damaged;
            or another run holds the folder.
    """
    run = _Run(model, train_ids, valid_ids, config, checkpoints, diagnostics)
    with contextlib.ExitStack() as stack:
        if checkpoints is not None:
            run.processes.on_first(lambda: stack.enter_context(checkpoints.owned()))
            run.resume()
        _train(run, on_step, progress)
    return run.history


def _train(run: "_Run", on_step: Callable[[History], None] | None, progress: bool) -> None:
    """Take the steps that are left; the model ends with its best weights where patience asks."""
    history, steps = run.history, run.config.steps
    hidden = not progress or run.processes.rank > 0
    bar = tqdm(total=steps, initial=len(history), unit="step", disable=hidden)
    try:
        with bar, _Interrupt() as interrupt:
            while not history.ended:
                run.take_step(bar)
                if on_step is not None:
                    on_step(history)
                if run.processes.any(interrupt.asked) and not history.ended:
                    history.ended = "interrupted"
                    run.say(f"Interrupted: model and history are those of step {run.step}.")
                run.save_if_due()
            run.fetch()
    except BaseException as error:
        error.history = history
        with contextlib.suppress(Exception):  # what stopped the run is said, and nothing else
            run.fetch()
        raise
    finally:
        history._fetch = None  # else whoever keeps the history keeps model and text
    if run.best_weights is not None and history.ended != "interrupted":
        run.bare.load_state_dict(run.best_weights)


_BEGUN = weakref.WeakKeyDictionary()
"""Models of this process -> the sketch of the weights that their run with checkpoints began with.

So a cell that was interrupted can be run again by itself, with the model as the break left it.
"""


class _Run:
    """A model in training: what a checkpoint must hold, and how to take a step."""

    def __init__(
        self,
        model: CharRNN | DistributedDataParallel,
        train_ids: np.ndarray | PaddedBatches,
        valid_ids: np.ndarray | PaddedBatches | None,
        config: TrainingConfig,
        checkpoints: Checkpoints | None,
        diagnostics: Diagnostics | None,
    ) -> None:
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.processes, bare = Processes(model), unwrap(model)
        _check_ids(bare, train_ids, valid_ids)
        if config.patience is not None and valid_ids is None:
            raise ValueError("patience counts validations; give valid_ids, or patience=None.")
        # The wrapper is for the forward pass alone, where it prepares the averaging.
        self.model, self.bare = model, bare
        self.config, self.valid_ids, self.checkpoints = config, valid_ids, checkpoints
        self.diagnostics = diagnostics
        if isinstance(train_ids, PaddedBatches):
            self.source = _Sequences(train_ids, self.device)
            self.source.check(config, self.processes)
        else:
            self.source = _Text(train_ids, config, self.device, self.processes)
        self.optimizer = config.make_optimizer(model.parameters())
        self.precision = usable_precision(config.precision, self.device, self.say)
        self.history, self.state, self.skipped_in_a_row = History(), None, 0
        alone = self.processes.count == 1 and diagnostics is None
        self.defers = alone and _defers(self.optimizer, self.device)
        self.unseen = []  # of the newest steps: loss, norm before clipping and after, (3,) each
        self.given_up = None  # the TrainingDiverged that a look at the device found
        # As skipped_in_a_row, as the device knows it.
        self.in_a_row = torch.zeros((), dtype=torch.float32, device=self.device)
        if self.defers:
            self.history._fetch = self.fetch
        self.history.precision = self.precision
        self.best_loss, self.best_step, self.best_weights, self.waited = math.inf, 0, None, 0
        settings = {**bare.config, "dtype": str(self.dtype), **asdict(config)}
        settings |= self.source.settings
        # As JSON gives it back, so that it can be compared with what a checkpoint holds.
        self.settings = json.loads(json.dumps(settings))
        self.texts = _fingerprint(train_ids, valid_ids)
        self.start = time.perf_counter()
        self.initial = None
        if checkpoints is not None:
            check_vocab(bare, checkpoints.vocab)
            self.initial = _sketch(bare.state_dict())

    @property
    def step(self) -> int:
        return len(self.history)

    def say(self, text: str) -> None:
        """Print a line above the progress bar, in the first process alone."""
        if self.processes.rank == 0:
            tqdm.write(text)

    def take_step(self, bar: tqdm) -> None:
        """Forward, loss, backward, clip, update, and a row in the history."""
        if self.given_up is not None:  # and the on_step that looked went on
            raise self.given_up
        config, step = self.config, self.step + 1
        self.model.train()
        epoch, k = divmod(step - 1, self.source.batches)
        if k == 0:
            self.state = None
        self.optimizer.zero_grad(set_to_none=True)
        (x, y), state = self.source.batch(epoch, k), self.state
        loss = self._backward(x, y)
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate_at(step)
        row = {
            "step": step,
            "epoch": epoch,
            "characters": self._characters() + self.source.targets(y),
            "loss": None,
            "grad_norm": None,
            "clipped_norm": None,
            "learning_rate": config.rate_at(step),
            "seconds": None,
            "valid_loss": None,
            "skipped": False,
        }
        if self.defers:
            self._update_unseen(row, loss)
        else:
            self._update_seen(row, loss, x, state)
        if step == config.steps:
            self.history.ended = "all steps"
        if self.valid_ids is not None and (step % config.eval_every == 0 or self.history.ended):
            self._validate(bar)
        bar.update()

    def _update_seen(self, row: dict, loss: Tensor, x: Tensor, state: State | None) -> None:
        """Clip, update unless the step is to be skipped, and add the row to the history."""
        if self.diagnostics is not None:
            self.diagnostics.before_clipping(self.bare)
        loss = self.processes.mean(loss)  # so that all of them skip a step, or none
        norm, clipped_norm = _clip(self.model, self.config)
        skipped = not (math.isfinite(loss) and math.isfinite(norm))
        if skipped:
            self.state = None  # what made the loss infinite may be in the state
        else:
            # By value or by unit, a cut may be too small to show in the norm.
            clipped = clipped_norm < norm or self.config.clip_norm is None
            record = self._update(x, state, clipped)
        row["seconds"] = time.perf_counter() - self.start
        self.history.rows.append(row)
        if self.diagnostics is not None:
            row["diagnostics"] = None if skipped else record
        self._fill_in(row, loss, norm, clipped_norm)

    def _update_unseen(self, row: dict, loss: Tensor) -> None:
        """Do as `_update_seen`, but let the device decide, and do not wait for it.

        It decides by the optimizer's `found_inf`, a number (): at 1 a fused step of PyTorch changes
        neither weights nor averages. After MOST_SKIPPED in a row no step changes anything any more,
        so that the weights are those of the last good one whenever the run is given up.
        """
        norm, clipped_norm = _clip_unseen(self.model, self.config)  # () each
        seen = torch.stack([loss.to(norm.dtype), norm, clipped_norm])  # (3,), none below 0
        good = (seen.amax() < math.inf) & (self.in_a_row < MOST_SKIPPED)  # NaN is not below
        bad = (~good).float()
        self.in_a_row = torch.addcmul(bad, bad, self.in_a_row)
        self.optimizer.grad_scale, self.optimizer.found_inf = None, bad
        self.optimizer.step()
        if self.state is not None:  # after a skipped step it begins at zero
            self.state = tuple(torch.where(good, part, 0.0) for part in self.state)
        row["seconds"] = time.perf_counter() - self.start
        self.history._rows.append(row)
        self.unseen.append(seen)
        if len(self.unseen) == FETCH_EVERY:
            self.fetch()

    def fetch(self) -> None:
        """Wait for the device, and fill in the rows of the steps since the last time.

        Raises:
            TrainingDiverged: they say that the run is to be given up.
        """
        if not self.unseen:
            return
        seen, self.unseen = torch.stack(self.unseen).tolist(), []  # (steps, 3)
        first = len(self.history) - len(seen)
        self.history._rows[-1]["seconds"] = time.perf_counter() - self.start
        for number, (loss, norm, clipped_norm) in enumerate(seen, first):
            row = self.history._rows[number]
            try:
                self._fill_in(row, loss, norm, clipped_norm)
            except TrainingDiverged as error:
                del self.history._rows[number + 1 :]  # they changed nothing
                self.history.ended, self.given_up = "", error
                raise

    def _fill_in(self, row: dict, loss: float, norm: float, clipped_norm: float) -> None:
        """Write into a row what a step came to; raises TrainingDiverged if it is one too many."""
        row["loss"] = loss if math.isfinite(loss) else None
        row["skipped"] = not (math.isfinite(loss) and math.isfinite(norm))
        if not row["skipped"]:
            row["grad_norm"], row["clipped_norm"] = norm, clipped_norm
        self._count_skipped(row, loss, norm)

    def _update(self, x: Tensor, state: State | None, clipped: bool) -> dict | None:
        """Take the optimizer's step; return what the diagnostics say of it, if there are any."""
        if self.diagnostics is None:
            self.optimizer.step()
            return None
        self.diagnostics.before_update(clipped)
        self.optimizer.step()
        return self.diagnostics.after_update(x, state)

    def _backward(self, x: Tensor, y: Tensor) -> float | Tensor:
        """Add the gradient of one batch to the model; return its loss, and carry its state on.

        A run that defers gets a tensor (), so that nothing waits for it.
        """
        parts, losses, states = self.config.accumulate, [], []
        rows, scale = len(x) // parts, self._loss_scale(y.numel())
        for first in range(0, len(x), rows):
            part = slice(first, first + rows)
            state = self.state and tuple(s[:, part].contiguous() for s in self.state)
            averaging = self.processes.averaging(part.stop == len(x))
            with averaging, autocast(self.precision, self.device):
                logits, state = self.model(x[part], state)
            logits, target = logits.to(self.dtype).flatten(0, 1), y[part].flatten()
            loss = F.cross_entropy(logits, target, ignore_index=IGNORE)  # ()
            loss = loss / parts if parts > 1 else loss
            (loss * scale if scale > 1 else loss).backward()
            states.append(detach(state))
            losses.append(loss.detach() if self.defers else loss.item())
        if scale > 1:
            grads = [p.grad for p in self.bare.parameters() if p.grad is not None]
            torch._foreach_mul_(grads, 1 / scale)
        if self.source.goes_on:
            self.state = states[0] if parts == 1 else _side_by_side(states)
        return functools.reduce(operator.add, losses)  # in order; Python's sum() rounds otherwise

    def _loss_scale(self, targets: int) -> int:
        """Return what the loss is multiplied by on its way back, and the gradient divided by.

        Under autocast cuDNN's LSTM runs in float16, whichever dtype was asked for. float16 has no
        number between 0 and 6e-8, and the gradient of a mean over thousands of characters has many
        entries there. So it is scaled up (Micikevicius et al. 2018), to that of a mean over about
        eight, padding counted in; a power of 2 changes no digit.
        """
        if self.device.type != "cuda" or self.precision == "float32":
            return 1
        return 2 ** max(round(math.log2(targets)) - 3, 0)

    def _characters(self) -> int:
        """Return how many targets the steps before this one had."""
        return self.history._rows[-1]["characters"] if self.step else 0

    def _count_skipped(self, row: dict, loss: float, norm: float) -> None:
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if row["skipped"] else 0
        if not row["skipped"]:
            return
        step = row["step"]
        self.say(
            f"Step {step} skipped: its loss is {loss:.4g} and its gradient norm {norm:.4g}. "
            f"The weights stay as they were. Skipped so far: {self.history.skipped}."
        )
        if self.skipped_in_a_row == MOST_SKIPPED:
            raise TrainingDiverged(
                f"{MOST_SKIPPED} steps in a row, up to step {step}, had a loss or a gradient "
                f"that was not finite. The weights are still those of step "
                f"{step - MOST_SKIPPED}. Lower the learning rate, or clip at a smaller value."
            )

    def _validate(self, bar: tqdm) -> None:
        """Measure the validation loss; note a new best, or that patience is at its end."""
        row, patience = self.history.rows[-1], self.config.patience
        # Every process measures it, since one alone would take as long and let the others wait.
        loss = self.processes.mean(evaluate(self.bare, self.valid_ids))
        row["valid_loss"] = loss if math.isfinite(loss) else None
        bar.set_postfix(valid=f"{loss:.3f}")
        self.waited += 1
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.waited = loss, self.step, 0
            if patience is not None:
                self.best_weights = _copy(self.bare)
        elif patience is not None and self.waited >= patience and not self.history.ended:
            self.history.ended = "early"
            self.say(
                f"Stopped early at step {self.step}: {self.waited} validations in a row brought no "
                f"loss below {self.best_loss:.4f}, that of step {self.best_step}."
            )

    def save_if_due(self) -> None:
        """Write a checkpoint where one is due, then the model if it is a new best."""
        if self.checkpoints is None:
            return
        new_best = self.step == self.best_step
        if self.history.ended or new_best or self.step % self.checkpoints.every == 0:
            packed = self._pack()
            self.processes.on_first(lambda: self.checkpoints.save(self.step, *packed))
        if new_best:
            self.processes.on_first(lambda: self.checkpoints.save_best(self.bare))

    def _pack(self) -> tuple[dict[str, Tensor], dict]:
        """Return (tensors, notes): everything that the steps to come depend on, and the history."""
        tensors = {f"model.{name}": t for name, t in self.bare.state_dict().items()}
        tensors |= {f"optimizer.{n}": t for n, t in optimizer_tensors(self.optimizer).items()}
        state = tuple(part.cpu() for part in self.state or ())
        for i, parts in enumerate(zip(*self.processes.gather(state), strict=True)):
            tensors[f"state.{i}"] = torch.cat(parts, dim=1)  # of the whole batch
        notes = {
            "settings": self.settings,
            "texts": self.texts,
            "initial": self.initial,
            "rows": self.history.rows,
            "ended": self.history.ended,
            "skipped_in_a_row": self.skipped_in_a_row,
            "best": [self.best_loss, self.best_step, self.waited],
            "seconds": time.perf_counter() - self.start,
        }
        for rank, randoms in enumerate(self.processes.gather(random_states(self.device))):
            tensors |= {f"{_random(rank)}.{name}": t for name, t in randoms[0].items()}
            notes[_random(rank)] = randoms[1]
        return tensors, notes

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one, and if it is of this run."""
        kept = self.checkpoints
        loaded, paths = self.processes.on_first(lambda: (kept.load(), kept.paths))
        if loaded is not None:
            try:
                self._check_notes(loaded[1])
                self._check_same_run(loaded[1])
                self._check_tensors(*loaded)
                self._check_same_start(*loaded)
                self._unpack(*loaded)
            except _MEANINGLESS as error:
                kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
                raise CheckpointError(
                    f"{paths[-1]} contradicts itself: {kind}{error}. {INSTEAD}"
                ) from error
        _BEGUN[self.bare] = self.initial

    def _check_notes(self, notes: dict) -> None:
        """Raise ValueError unless the notes are such as `_pack` writes."""
        for name, kind in _NOTES.items():
            if not isinstance(notes.get(name), kind) or isinstance(notes[name], bool):
                raise ValueError(f"its {name} is {reprlib.repr(notes.get(name))}")
        rows = notes["rows"]
        for row, before in zip(rows, [None, *rows], strict=False):
            _check_row(row, before)
        if [row["step"] for row in rows] != list(range(1, len(rows) + 1)):
            raise ValueError("its history is not whole")
        if not (rows and rows[0].keys() >= _COLUMNS and rows[-1]["characters"] is not None):
            raise ValueError("its history has not all columns")
        steps = notes["settings"].get("steps")
        if not isinstance(steps, int) or len(rows) > steps:
            raise ValueError(f"it has {len(rows)} of {reprlib.repr(steps)} steps")
        loss, step, waited = notes["best"]
        whole = isinstance(step, int) and isinstance(waited, int)
        if not (whole and _is_number(loss) and 0 <= step <= len(rows) and waited >= 0):
            raise ValueError(f"its best is {reprlib.repr(notes['best'])}")
        if not (0 <= notes["skipped_in_a_row"] < MOST_SKIPPED and 0 <= notes["seconds"] < math.inf):
            raise ValueError("its count of skipped steps or of seconds is none")
        if notes["ended"] not in ("", "all steps", "early", "interrupted"):
            raise ValueError(f"its end is {reprlib.repr(notes['ended'])}")

    def _check_same_run(self, notes: dict) -> None:
        """Raise CheckpointError unless the checkpoint is of the same model, texts and settings.

        A setting that the checkpoint does not know, since it is newer, had its default value.
        """
        folder, saved = self.checkpoints.folder, _DEFAULTS | notes["settings"]
        if notes["texts"] != self.texts:
            raise CheckpointError(
                f"{folder} holds a run on other texts. Use another folder, or the texts that it "
                "began with, split in the same way."
            )
        unknown = sorted(saved.keys() - self.settings.keys())
        if unknown:
            raise CheckpointError(
                f"{folder} holds a run of another version of lstmlib, with settings that this one "
                f"does not know: {', '.join(unknown)}. Use that version, or another folder."
            )
        may_grow = self.config.schedule in ("constant", "step")
        for name, here in self.settings.items():
            grown = name == "steps" and may_grow and here > saved[name]
            if saved[name] != here and not grown:
                raise CheckpointError(
                    f"{folder} holds a run with {name} = {saved[name]}, not {here}. "
                    f"Use another folder, or {name} = {saved[name]} to go on with that run."
                )

    def _check_tensors(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Raise an error unless the tensors are of this model, before anything is changed."""
        ranks = {name for name in notes if name.startswith("random")}
        groups = {name.partition(".")[0] for name in tensors}
        if "random" not in ranks or not groups - ranks <= {"model", "optimizer", "state"}:
            raise ValueError(f"it holds {', '.join(sorted(groups))}")
        weights, state = _named(tensors, "model."), _named(tensors, "state.")
        check_shapes(weights, self.bare.state_dict())
        if any(weight.dtype != self.dtype for weight in weights.values()):
            raise ValueError(f"its weights are not all {self.dtype}")
        for name in ranks:
            check_random_states(_named(tensors, f"{name}."), notes[name])
        config = self.bare.config
        parts = ["0", "1"] if config["cell"] in ("lstm", "cifg") else ["0"]
        if state and not (self.source.goes_on and sorted(state) == parts):
            raise ValueError(f"its state has the parts {', '.join(sorted(state))}")
        shape = (config["num_layers"], self.config.batch_size, config["hidden_size"])
        # Under autocast a state is of 16 bits, on CUDA float16.
        halves = {torch.bfloat16, torch.float16} if self.config.precision == "bfloat16" else set()
        for part in state.values():
            if part.shape != shape or part.dtype not in {self.dtype, *halves}:
                raise ValueError(f"its state is {part.dtype} {tuple(part.shape)}, not {shape}")

    def _check_same_start(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Raise CheckpointError if the model is not the one that the run began with.

        It may also have gone on from there: in this process, or as the newest checkpoint or the
        best model has it. What a checkpoint of an earlier version began with is not known.
        """
        began, given = notes.get("initial"), self.initial
        if began is not None and not (
            _alike(began, given)
            or _alike(began, _BEGUN.get(self.bare, {}))
            or _alike(given, _sketch(_named(tensors, "model.")))
            or _alike(given, self.processes.on_first(self._sketch_best))
        ):
            folder, best = self.checkpoints.folder, self.checkpoints.best_path
            also = f"; load_model({str(best)!r}) goes on with it, too" if best.exists() else ""
            raise CheckpointError(
                f"{folder} holds a run that began with other weights, as of another seed. Use "
                f"another folder, or make the model with the seed that the run began with{also}."
            )
        self.initial = began

    def _sketch_best(self) -> dict[str, list[float]]:
        """Return the sketch of the best model, empty if there is none."""
        try:
            return _sketch(self.checkpoints.load_best())
        except CheckpointError:
            return {}

    def _unpack(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Set everything that `_pack` returned."""
        set_optimizer_tensors(self.optimizer, _named(tensors, "optimizer."))
        self.bare.load_state_dict(_named(tensors, "model."))
        state, rows = _named(tensors, "state."), self.source.rows
        if self.precision == "float32":  # also where the run began in 16 bits, on another device
            state = {name: part.to(self.dtype) for name, part in state.items()}
        elif self.device.type == "cpu":  # whose autocast knows no float16
            state = {n: p.bfloat16() if p.dtype == torch.float16 else p for n, p in state.items()}
        self.state = tuple(state[n][:, rows].to(self.device) for n in sorted(state)) or None
        self.history.rows = notes["rows"]
        done = self.step == self.config.steps or notes["ended"] == "early"
        self.history.ended = notes["ended"] if done else ""
        self.skipped_in_a_row = notes["skipped_in_a_row"]
        self.in_a_row += self.skipped_in_a_row
        self.best_loss, self.best_step, self.waited = notes["best"]
        self.start -= notes["seconds"]
        if self.step == self.best_step:  # a kill may have come before this was written
            self.processes.on_first(lambda: self.checkpoints.save_best(self.bare))
        if self.config.patience is not None and self.best_step:
            self.best_weights = self.processes.on_first(self.checkpoints.load_best)
            check_shapes(self.best_weights, self.bare.state_dict())
        # Last, since a model that is loaded draws random weights first.
        mine = _random(self.processes.rank)
        if mine in notes:  # else fewer processes wrote the checkpoint
            set_random_states(_named(tensors, f"{mine}."), notes[mine], self.device)


class _Text:
    """Where the batches of a text come from: streams, of which this process has its share."""

    goes_on = True
    """Whether a batch begins with the state that the one before it left."""

    def __init__(
        self,
        ids: np.ndarray,
        config: TrainingConfig,
        device: torch.device,
        processes: Processes,
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
        self.y = torch.from_numpy(streams.y[self.rows]).to(self.device)
        self.epoch = epoch
        return len(streams)

    def batch(self, epoch: int, k: int) -> tuple[Tensor, Tensor]:
        """Return x and y (B, T) of batch k of an epoch; unless they rotate, all are alike."""
        if self.rotates and epoch != self.epoch:
            self._lay_out(epoch)
        columns = slice(k * self.seq_len, (k + 1) * self.seq_len)
        return self.x[:, columns], self.y[:, columns]

    def targets(self, y: Tensor) -> int:
        """Return how many characters a batch predicts, over all processes together."""
        return self.pairs


class _Sequences:
    """Where the batches of whole sequences come from."""

    goes_on = False
    rows = slice(None)

    def __init__(self, sequences: PaddedBatches, device: torch.device) -> None:
        self.sequences, self.device, self.batches = sequences, device, len(sequences)
        self.settings = {"budget": sequences.budget, "shuffling seed": sequences.seed}

    def check(self, config: TrainingConfig, processes: Processes) -> None:
        """Raise ValueError for what would take the mean over parts of unequal weight."""
        if config.accumulate > 1 or processes.count > 1:
            raise ValueError(
                "Whole sequences are trained on in one process, with accumulate = 1: their "
                "batches hold different numbers of rows. Lower the budget to save memory."
            )

    def batch(self, epoch: int, k: int) -> tuple[Tensor, Tensor]:
        """Return x and y (B, T) of batch k of an epoch."""
        x, y = self.sequences.batch(k, epoch)
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)

    def targets(self, y: Tensor) -> int:
        """Return how many symbols a batch predicts, padding left out."""
        return int((y != IGNORE).sum())


class _Interrupt:
    """While it is open, the first Ctrl-C only sets `asked`, so that no step is cut in half.

    It does nothing outside the main thread, where Python delivers no signals, and where Ctrl-C is
    ignored, as in a shell's background jobs.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "_Interrupt":
        self._before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        self._active = main and self._before not in (signal.SIG_IGN, None)
        if self._active:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._before)


def _side_by_side(states: list[State]) -> State:
    """Return the state of a batch from those of its parts, (num_layers, B, hidden_size) each."""
    return tuple(torch.cat(parts, dim=1) for parts in zip(*states, strict=True))


def _copy(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's weights."""
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of a group, by what follows on its prefix."""
    return {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}


def _sketch(weights: dict[str, Tensor]) -> dict[str, list[float]]:
    """Return of each weight its norm, and its product with a fixed wave: every number counts.

    It tells one seed from another. A hash would be simpler, but the last bits of new weights
    depend on the processor, and a run may go on on another one.
    """
    sketch = {}
    for name, weight in weights.items():
        flat = weight.detach().cpu().double().flatten()
        wave = torch.cos(torch.arange(len(flat), dtype=torch.float64))
        sketch[name] = [flat.norm().item(), (flat @ wave).item()]
    return sketch


def _alike(sketch: dict[str, list[float]], other: dict[str, list[float]]) -> bool:
    """Say whether two sketches are of the same weights, but for rounding."""
    return sketch.keys() == other.keys() and all(
        abs(a - b) <= 1e-4 * sketch[name][0]
        for name in sketch
        for a, b in zip(sketch[name], other[name], strict=True)
    )


def _random(rank: int) -> str:
    """Return the name in a checkpoint of a process's random states."""
    return f"random{rank or ''}"


def _fingerprint(*texts: np.ndarray | PaddedBatches | None) -> list[str | None]:
    """Return the SHA-256 of each text's ids; of sequences, that of their lengths and ids."""
    return [None if ids is None else _hash(ids) for ids in texts]


def _hash(ids: np.ndarray | PaddedBatches) -> str:
    lengths = ids.lengths if isinstance(ids, PaddedBatches) else np.array([])
    parts = (part.astype(np.int64).tobytes() for part in (lengths, _flat(ids)))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _flat(ids: np.ndarray | PaddedBatches) -> np.ndarray:
    """Return all ids of a text, or of sequences one after the other."""
    return np.concatenate(ids.sequences) if isinstance(ids, PaddedBatches) else np.asarray(ids)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context of a forward pass in one of PRECISIONS."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Say whether a device can train an LSTM in bfloat16, by trying it once.

    No name tells: PyTorch's LSTM needs AVX-512 for it on a CPU, and older GPUs only imitate it,
    slower than float32. No random number is drawn.
    """
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return False
    try:
        # The caller may have turned gradients off.
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            layer = nn.LSTM(8, 8).to(device)
            with autocast("bfloat16", device):
                out, _ = layer(torch.zeros(2, 1, 8, device=device))  # (T, B, H)
            out.float().sum().backward()
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return True


def usable_precision(
    precision: str, device: torch.device, say: Callable[[str], None] = tqdm.write
) -> str:
    """Return one of PRECISIONS that a device can train in: the wanted one, else float32.

    Args:
        precision: the wanted one.
        device: where the model is.
        say: called with a sentence where it is another one than was wanted.
    """
    if precision == "bfloat16" and not has_bfloat16(device):
        say(f"This machine ({device.type}) cannot train in bfloat16; it trains in float32.")
        return "float32"
    return precision


def _check_ids(
    model: CharRNN,
    train_ids: np.ndarray | PaddedBatches,
    valid_ids: np.ndarray | PaddedBatches | None,
) -> None:
    """Refuse texts that would fail in mid-training."""
    for name, ids in (("training", train_ids), ("validation", valid_ids)):
        if ids is None:
            continue
        if isinstance(ids, PaddedBatches) and not 0 <= ids.pad < model.vocab_size:
            raise ValueError(f"The padding id {ids.pad} is outside 0 … {model.vocab_size - 1}.")
        ids = _flat(ids)
        if ids.dtype.kind not in "iu":
            raise ValueError(f"The {name} text must be ids, integers, not {ids.dtype}.")
        if len(ids) < 2:
            raise ValueError(f"The {name} text has under 2 characters: nothing to predict.")
        if np.min(ids) < 0 or np.max(ids) >= model.vocab_size:
            raise ValueError(
                f"The {name} text has ids outside 0 … {model.vocab_size - 1}. "
                "Build the model with vocab_size=len(vocab) of the text's own vocabulary."
            )


def _defers(optimizer: torch.optim.Optimizer, device: torch.device) -> bool:
    """Say whether steps are left to the device, which then skips those that are not finite.

    Fused optimizers can, as PyTorch's own loss scaling has them do it. SGD's momentum cannot: a
    first step that is skipped would leave it without a value.
    """
    can = getattr(optimizer, "_step_supports_amp_scaling", False)
    return device.type == "cuda" and can and not optimizer.defaults.get("momentum")


def _clip_unseen(model: CharRNN, config: TrainingConfig) -> _Norms:
    """Clip as the configuration says; return the global norm before and after, () each."""
    if config.clip_value is not None:
        return _clip_by_value_unseen(model.parameters(), config.clip_value)
    if config.clip_ratio is not None:
        return _clip_by_unit_unseen(model.parameters(), config.clip_ratio)
    limit = math.inf if config.clip_norm is None else config.clip_norm
    return _clip_by_norm_unseen(model.parameters(), limit)


def _clip(model: CharRNN, config: TrainingConfig) -> tuple[float, float]:
    """Clip as the configuration says; return the global norm before and after."""
    if config.clip_value is not None:
        return clip_by_value(model.parameters(), config.clip_value)
    if config.clip_ratio is not None:
        return clip_by_unit(model.parameters(), config.clip_ratio)
    limit = math.inf if config.clip_norm is None else config.clip_norm
    return clip_by_global_norm(model.parameters(), limit)
