"""Clipping, optimizers, and a training loop."""

import math
from collections.abc import Callable

import numpy as np

from lstmlib.batching import Streams
from lstmlib.scratch.cells import Cell, State, Weights
from lstmlib.scratch.network import backward, forward, softmax_cross_entropy
from lstmlib.validation import check_number


def clip_by_value(gradients: Weights, max_value: float) -> Weights:
    """Return new gradients with every entry cut to [-max_value, max_value].

    Each entry is cut alone, so the direction of the gradient may change.

    Raises:
        ValueError: max_value is not above 0.
    """
    check_number("max_value", max_value, above=0, infinite=True)
    return {name: np.clip(g, -max_value, max_value) for name, g in gradients.items()}


def clip_by_global_norm(gradients: Weights, max_norm: float) -> tuple[Weights, float]:
    """Scale all gradients by one factor, so that their joint L2 norm is at most max_norm.

    The direction of the gradient stays the same (Pascanu et al. 2013, algorithm 1).

    Returns:
        (gradients, norm before). Gradients whose norm is small enough come back as the same dict.

    Raises:
        ValueError: max_norm is not above 0.
        FloatingPointError: the norm is NaN or infinite, which no factor can repair.
    """
    check_number("max_norm", max_norm, above=0, infinite=True)
    # Summed in float64, since the squares of large float32 entries overflow.
    squares = [np.square(g, dtype=np.float64).sum() for g in gradients.values()]  # () each
    norm = math.sqrt(sum(squares))  # of all arrays as one long vector
    if not math.isfinite(norm):
        raise FloatingPointError(f"The gradient norm is {norm}: training has diverged.")
    if norm <= max_norm:
        return gradients, norm
    # Python's float: NumPy's float64 would make float64 of float32 gradients.
    factor = float(max_norm / norm)
    # One factor for all: with one for each array, the gradient would turn.
    return {name: g * factor for name, g in gradients.items()}, norm


class Optimizer:
    """The base of all optimizers: `step` changes the weights in place, in a subclass's direction.

    Attributes:
        learning_rate: η > 0. It may be changed between steps.
        steps: number of steps taken.
        memory: running averages of earlier gradients, "kind.weight" -> array of the weight's shape.
            These three attributes are the whole state of an optimizer.

    Raises:
        ValueError: the learning rate is not above 0, a decay rate is outside [0, 1), or the
            gradients have other names or shapes than the weights.
    """

    def __init__(self, learning_rate: float, **rates: float) -> None:
        check_number("learning_rate", learning_rate, above=0)
        for name, rate in rates.items():
            check_number(name, rate, at_least=0, below=1)
            setattr(self, name, rate)  # self.momentum, self.rho, self.beta1 …
        self.learning_rate, self.steps, self.memory = learning_rate, 0, Weights()

    def step(self, weights: Weights, gradients: Weights) -> None:
        """Take one step: w -= η · direction, in place. The gradients are not changed."""
        # Without this check NumPy would broadcast a gradient of another shape, and say nothing.
        shapes = [{name: a.shape for name, a in arrays.items()} for arrays in (weights, gradients)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"gradients are {shapes[1]}, but weights are {shapes[0]}.")
        self.steps += 1  # 1 at the first step, as in Adam's formula
        for name, gradient in gradients.items():
            # In place, so that every other name for the same arrays sees the new weights.
            weights[name] -= self.learning_rate * self._direction(name, gradient)

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        """Return the direction of a weight's step, given the weight's name and gradient."""
        raise NotImplementedError

    def _average(
        self, kind: str, name: str, value: np.ndarray, keep: float, add: float
    ) -> np.ndarray:
        """Return keep · memory + add · value, and remember it. The memory starts at 0."""
        key = f"{kind}.{name}"
        # Of the weight's shape and dtype. Before the first step there is nothing to remember.
        self.memory[key] = keep * self.memory.get(key, np.zeros_like(value)) + add * value
        return self.memory[key]


class SGD(Optimizer):
    """w -= η g."""

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        return g


class Momentum(Optimizer):
    """v = μ v + g; w -= η v (Polyak 1964, in PyTorch's form)."""

    def __init__(self, learning_rate: float, momentum: float = 0.9) -> None:
        super().__init__(learning_rate, momentum=momentum)

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        # Gradients that agree from step to step add up, and those that change sign cancel.
        return self._average("velocity", name, g, self.momentum, 1)


class AdaGrad(Optimizer):
    """s = s + g²; w -= η g / (√s + ε) (Duchi et al. 2011)."""

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        # A sum over all steps that never falls: so the steps become smaller and smaller.
        # The 1e-10 is for entries whose gradient was 0 so far: 0 / 0 would be NaN.
        return g / (np.sqrt(self._average("square", name, g * g, 1, 1)) + 1e-10)


class RMSprop(Optimizer):
    """s = ρ s + (1 - ρ) g²; w -= η g / (√s + ε) (Tieleman & Hinton 2012)."""

    def __init__(self, learning_rate: float, rho: float = 0.99) -> None:
        super().__init__(learning_rate, rho=rho)

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        # An average that forgets, in place of AdaGrad's sum: so the steps do not die out.
        return g / (np.sqrt(self._average("square", name, g * g, self.rho, 1 - self.rho)) + 1e-8)


class Adam(Optimizer):
    """m = β₁ m + (1 - β₁) g; s = β₂ s + (1 - β₂) g²; w -= η m̂ / (√ŝ + ε) (Kingma & Ba 2015).

    At step t, m̂ = m / (1 - β₁ᵗ) and ŝ = s / (1 - β₂ᵗ).
    """

    def __init__(self, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(learning_rate, beta1=beta1, beta2=beta2)

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        # Both have the shape of g. m is where to go; √s is how large this entry's gradient usually
        # is. Their quotient makes steps of about η, for entries of large and of small gradients.
        m = self._average("mean", name, g, self.beta1, 1 - self.beta1)
        s = self._average("square", name, g * g, self.beta2, 1 - self.beta2)
        # Both averages start at 0, so after t steps the shares of the gradients in them sum to
        # 1 - βᵗ, not to 1. Undivided, s is too small at first by more than m is, and the first step
        # is (1 - β₁) / √(1 - β₂) times too long: 3.2 times with the usual β.
        m, s = m / (1 - self.beta1**self.steps), s / (1 - self.beta2**self.steps)
        return m / (np.sqrt(s) + 1e-8)


OPTIMIZERS = {
    "sgd": SGD,
    "momentum": Momentum,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "adam": Adam,
}


def train_step(
    weights: Weights,
    cell: Cell,
    x: np.ndarray,
    y: np.ndarray,
    state: State | None,
    optimizer: Optimizer,
    clip: Callable[[Weights], Weights],
) -> tuple[float, State]:
    """Take one step of truncated BPTT: forwards, backwards, clip, update the weights in place.

    Args:
        x, y: the ids that are read, and the id that follows each, (N, T) both.
        state: the state that the step before returned; None starts from zeros.
        clip: gradients -> gradients.

    Returns:
        (the loss before the update in nats per character, the state to start the next step from).

    Raises:
        ValueError: as `forward` and the optimizer.
        FloatingPointError: the loss is NaN or infinite. The weights are then unchanged.
    """
    (logits, state), cache = forward(weights, cell, x, state)  # logits (N, T, V)
    loss, dlogits = softmax_cross_entropy(logits, y)  # dlogits (N, T, V)
    # The gradient of the first state is dropped: that state came from the step before, and BPTT is
    # truncated here. The state's values go on, its gradient does not.
    gradients, _, _ = backward(dlogits, cache)
    # First clip, then step: one step along a huge gradient can ruin the weights.
    optimizer.step(weights, clip(gradients))
    return loss, state


def train(
    weights: Weights,
    cell: Cell,
    ids: np.ndarray,
    optimizer: Optimizer,
    steps: int,
    batch_size: int = 16,
    seq_len: int = 50,
    max_norm: float = 1.0,
) -> np.ndarray:
    """Train a network in place on parallel streams of a text, with carried state.

    The learning rate falls in a straight line, from the optimizer's own to nearly 0 at the last
    step. At the end the optimizer has its own rate again.

    Args:
        ids: (N,) integers.
        batch_size: number of parallel streams.
        seq_len: characters of each stream in a batch, the length of truncated BPTT.
        max_norm: limit of the global gradient norm, see `clip_by_global_norm`.

    Returns:
        The loss of every step in nats per character, (steps,) float64.

    Raises:
        ValueError: as `Streams`, `forward` and the optimizer.
        FloatingPointError: the loss or the gradient is NaN or infinite.
    """
    streams, peak = Streams(ids, batch_size, seq_len), optimizer.learning_rate
    state, losses = None, []

    def clip(gradients: Weights) -> Weights:
        return clip_by_global_norm(gradients, max_norm)[0]

    try:
        for n in range(steps):
            k = n % len(streams)  # one epoch after the other
            # Batch 0 begins the text again, which does not follow from its end: zeros once more.
            state = None if k == 0 else state
            # n / steps stays below 1, so that the last step moves too.
            optimizer.learning_rate = peak * (1 - n / steps)
            # x and y are (batch_size, seq_len) each, and the state goes on to the next batch.
            loss, state = train_step(weights, cell, *streams.batch(k), state, optimizer, clip)
            losses.append(loss)
    finally:
        # After an error too, since the optimizer is the caller's.
        optimizer.learning_rate = peak
    return np.array(losses)  # (steps,)
