"""The settings of a training run, checked when they are made."""

import json
import math
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lstmlib.precision import PRECISIONS
from lstmlib.validation import LARGEST, check_choice, check_flag, check_number, check_whole

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
_MOST_SKIPPED = 10
"""Steps in a row that may be skipped for a loss or gradient that is not finite, by default."""
MEANINGLESS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What Python and PyTorch raise of values without meaning."""
_WHOLE = ("steps", "batch_size", "seq_len", "eval_every", "decay_every", "accumulate")
_WHOLE += ("most_skipped",)
"""Settings that are whole numbers from 1."""


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of one training run.

    Attributes:
        steps: optimizer steps.
        batch_size: parallel streams B, over all processes together.
        seq_len: characters T that the gradient flows back through.
        learning_rate: the optimizer's step size. Under a schedule it is the highest one.
        optimizer: "adam" (Kingma & Ba 2015), "adamw" (Loshchilov & Hutter 2019), "rmsprop" (Hinton
            2012) or "sgd".
        optimizer_options: what else the optimizer of torch.optim takes, such as {"momentum": 0.9},
            {"alpha": 0.9} or {"weight_decay": 0.1}.
        schedule: how the learning rate goes on from step to step.
            "constant" keeps it.
            "step" multiplies it by `decay` after every `decay_every` steps.
            "cosine" lets it fall to 0 at the last step (Loshchilov & Hutter 2017).
            "one-cycle" starts at a 25th of it, rises to it, and falls to about 0, both along half a
            cosine (Smith & Topin 2018). The momentum stays as it is.
        warmup: steps over which the learning rate rises linearly from 0. Under "one-cycle" they are
            the steps before the peak, and 0 stands for 30 % of all steps.
        decay: the factor of the schedule "step".
        decay_every: the steps from one such factor to the next.
        clip_norm: largest global L2 norm of the gradient; None does not clip by norm.
        clip_value: largest absolute value of a gradient entry; None does not clip by value.
        agc_factor: largest norm of a unit's gradient, as a share of the norm of its weights, see
            `adaptive_clip`; None does not clip by unit.
        eval_every: steps between validations. The last step always validates.
        patience: validations in a row without a new lowest loss after which the run ends early.
            None never ends it early. With a number, the model ends with the weights of its lowest
            validation loss. A run that was interrupted keeps its last weights.
        accumulate: the number of parts that the rows of a batch are worked through in, one after
            the other. The parts are equal, and in each process they are parts of its own rows. The
            gradient is that of the whole batch, except that dropout draws anew for each part. The
            memory is that of one part.
        precision: "float32", or "bfloat16" for the forward pass where that is safe (autocast).
            Weights, updates and loss stay in the model's dtype. A device that cannot train in
            bfloat16 trains in float32, and `fit` says so. On CUDA, PyTorch's autocast runs cuDNN's
            LSTM in float16, and `fit` scales the loss for it.
        rotate_streams: where an epoch begins to cut the text into streams. False begins at the
            first character, so that all epochs have the same batches. True takes the text as a
            ring, and begins every epoch but the first at a place drawn from the epoch's number.
        label_smoothing: the share of a target that goes to all characters alike (Szegedy et al.
            2016), 0 ≤ label_smoothing < 1. The step is for the loss of these targets. A network
            that is too sure of what it has learnt by heart becomes less sure. The loss that a
            history shows is that of the characters themselves, in nats per character as ever.
        most_skipped: steps in a row whose loss or gradient is not finite, at which the run is given
            up. Up to there such a step is skipped. 1 gives up at the first one.

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
    agc_factor: float | None = None
    eval_every: int = 100
    patience: int | None = None
    accumulate: int = 1
    precision: str = "float32"
    rotate_streams: bool = False
    label_smoothing: float = 0.0
    most_skipped: int = _MOST_SKIPPED

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_choices()
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate is {self.accumulate}; it must divide batch_size, {self.batch_size}."
            )
        self._check_clipping()
        self._try_optimizer()
        self._try_rates()

    def _check_numbers(self) -> None:
        """Raise ValueError unless the numbers are such; make them plain ones, as JSON needs."""
        for name in _WHOLE + ("patience",) * (self.patience is not None):
            self._set(name, check_whole(name, getattr(self, name), at_most=LARGEST))
        for name in ("learning_rate", "decay"):
            self._set(name, check_number(name, getattr(self, name), above=0))
        self._set("warmup", check_whole("warmup", self.warmup, 0, self.steps))
        smoothing = check_number("label_smoothing", self.label_smoothing, at_least=0, below=1)
        self._set("label_smoothing", smoothing)

    def _check_choices(self) -> None:
        """Raise ValueError unless each choice is one of those that there are."""
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        self._set("rotate_streams", check_flag("rotate_streams", self.rotate_streams))

    def _check_clipping(self) -> None:
        """Raise ValueError unless a gradient is clipped in one way at most, to above 0."""
        names = ("clip_norm", "clip_value", "agc_factor")
        clips = [name for name in names if getattr(self, name) is not None]
        if len(clips) > 1:
            raise ValueError(
                f"Set {' or '.join(clips)} to None: a gradient is clipped by one of them."
            )
        for name in clips:
            hint = ", or None for no clipping"
            limit = check_number(name, getattr(self, name), above=0, infinite=True, hint=hint)
            self._set(name, limit)

    def _set(self, name: str, value: object) -> None:
        """Set an attribute, although the class is frozen."""
        object.__setattr__(self, name, value)

    def _try_optimizer(self) -> None:
        """Raise ValueError unless the optimizer takes a step: some options fail only then."""
        options, weight = self.optimizer_options, torch.zeros(1, requires_grad=True)
        if isinstance(options, dict):  # what "capturable" asks for, only a GPU has
            options = {name: o for name, o in options.items() if name != "capturable"}
        optimizer = self._optimizer([weight], options)
        weight.grad = torch.ones(1)
        try:
            optimizer.step()
        except MEANINGLESS as error:
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
        except MEANINGLESS as error:
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
            # Adam's averages are at first of few gradients, and point in chance directions.
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


def _numbers(value: object) -> list[float]:
    """Return all numbers in a value of JSON, however deep they lie."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [number for each in value for number in _numbers(each)]
    return [value] if isinstance(value, (int, float)) else []
