"""In NumPy alone: RNN, LSTM and CIFG with hand-written backward passes, optimizers, a proof.

A layer is two pure functions, `forward -> (out, cache)` and `backward(dout, cache)`. All cells
share one loop over time; a `Cell` says what happens within a step, from the pre-activation z on.

Sizes: N sequences, T steps, D inputs, H units, G blocks of H columns (gates), L layers, V tokens.
Weights are a dict of arrays: for layer k = 0, 1, … "Wx{k}" (D, G·H), "Wh{k}" (H, G·H) and "b{k}"
(G·H,), then "Wy" (H, V) and "by" (V,). A state is a tuple of arrays: (h,) for the RNN, (h, c) for
the LSTM and the CIFG, each (N, H) for a layer and (L, N, H) for a network. Train in float32, prove
in float64.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lstmlib.batching import Streams

Weights = dict[str, np.ndarray]
State = tuple[np.ndarray, ...]


# What happens within one step


class Cell(NamedTuple):
    """One step of a recurrent layer, forwards and backwards.

    Attributes:
        name: how files and errors call it.
        gates: G, the blocks of H columns in z, Wx, Wh and b.
        states: arrays in its state: 1 for (h,), 2 for (h, c).
        forward: (z, state) -> (new state, cache), with z = x Wx + h Wh + b, (N, G·H).
        backward: (gradient of the new state, cache) -> (dz, rest): the gradient of z, and that of
            the old c as a tuple of one, or of none. The old h is reached through z only.
    """

    name: str
    gates: int
    states: int
    forward: Callable
    backward: Callable


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-z), written with tanh, which does not overflow."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def _rnn_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    h = np.tanh(z)
    return (h,), (h,)


def _rnn_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (dh,), (h,) = dstate, cache
    return dh * (1 - h * h), ()


def _lstm_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    i, f, g, o = np.split(z, 4, axis=1)
    return _remember(sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o), state)


def _lstm_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (di, df, dg, do), dc_old = _remember_backward(dstate, cache)
    i, f, g, o, _, _ = cache
    dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)]
    return np.concatenate(dz, axis=1), (dc_old,)


def _cifg_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    i, g, o = np.split(z, 3, axis=1)
    i = sigmoid(i)
    return _remember(i, 1 - i, np.tanh(g), sigmoid(o), state)


def _cifg_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (di, df, dg, do), dc_old = _remember_backward(dstate, cache)
    i, _, g, o, _, _ = cache
    dz = [(di - df) * i * (1 - i), dg * (1 - g * g), do * o * (1 - o)]
    return np.concatenate(dz, axis=1), (dc_old,)


def _remember(
    i: np.ndarray, f: np.ndarray, g: np.ndarray, o: np.ndarray, state: State
) -> tuple[State, tuple]:
    """From the values of the gates: c = f·c + i·g, h = o·tanh(c)."""
    c_old = state[1]
    c = f * c_old + i * g
    tanh_c = np.tanh(c)
    return (o * tanh_c, c), (i, f, g, o, c_old, tanh_c)


def _remember_backward(
    dstate: State, cache: tuple
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Return the gradients of the gates' values (i, f, g, o), and of the old c."""
    (dh, dc), (i, f, g, o, c_old, tanh_c) = dstate, cache
    dc = dc + dh * o * (1 - tanh_c * tanh_c)  # through h, and from later
    return (dc * g, dc * c_old, dc * i, dh * tanh_c), dc * f


RNN = Cell("rnn", 1, 1, _rnn_forward, _rnn_backward)
"""h = tanh(z) (Elman 1990)."""

LSTM = Cell("lstm", 4, 2, _lstm_forward, _lstm_backward)
"""Blocks i, f, g, o, as in PyTorch: c = f·c + i·g, h = o·tanh(c) (Gers et al. 2000)."""

CIFG = Cell("cifg", 3, 2, _cifg_forward, _cifg_backward)
"""Blocks i, g, o: the LSTM with f = 1 - i, coupled input and forget gates (Greff et al. 2017)."""

CELLS = {cell.name: cell for cell in (RNN, LSTM, CIFG)}


# One layer over time


def layer_forward(
    cell: Cell, x: np.ndarray, state: State, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> tuple[tuple[np.ndarray, State], tuple]:
    """Run one layer over a batch of sequences.

    Args:
        cell: RNN, LSTM, CIFG, or one of your own.
        x: (N, T, D) floats, or (N, T) integers, each standing for a one-hot vector: its product
            with Wx is the row of Wx that it names.
        state: before the first step, arrays (N, H).
        Wx, Wh, b: (D, G·H), (H, G·H), (G·H,) floats.

    Returns:
        (h at every step (N, T, H), state after the last), and a cache for `layer_backward`. The
        cache holds views of the output and of the weights: change neither in between.

    Raises:
        ValueError: shapes that do not agree, no step at all, weights that are no floats, or an
            integer that names no row of Wx.
    """
    _check_layer(cell, x, state, Wx, Wh, b)
    # The input's share of z, (T, N, G·H), of all steps at once: a row look-up, or one product.
    z = (Wx + b)[x.T] if x.ndim == 2 else _over_time(x) @ Wx + b
    hs = np.empty((len(z) + 1, *state[0].shape), np.result_type(z, Wh, *state))
    hs[0] = state[0]
    caches = []
    for t in range(len(z)):
        state, cache = cell.forward(z[t] + state[0] @ Wh, state)
        hs[t + 1] = state[0]
        caches.append(cache)
    return (hs[1:].swapaxes(0, 1), state), (cell, x, hs, caches, Wx, Wh)


def layer_backward(
    dhs: np.ndarray, cache: tuple, dstate: State | None = None
) -> tuple[np.ndarray | None, State, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Send gradients back through one layer: back-propagation through time (Werbos 1990).

    Args:
        dhs: (N, T, H), the gradient of every h.
        cache: what `layer_forward` returned.
        dstate: the gradient of the state after the last step, arrays (N, H); None stands for zeros.

    Returns:
        The gradient of x, (N, T, D), or None if x was integers; of the first state; of (Wx, Wh, b).
        The arguments are left as they were.

    Raises:
        ValueError: dhs or dstate is not of the shape of what it is the gradient of.
    """
    cell, x, hs, caches, Wx, Wh = cache
    dhs, T, H = dhs.swapaxes(0, 1), len(caches), len(Wh)
    if dhs.shape != hs[1:].shape:
        raise ValueError(
            f"dhs is {_by_batch(dhs).shape}; the output was {_by_batch(hs[1:]).shape}."
        )
    if dstate is None:
        dstate = (np.zeros_like(hs[0]),) * cell.states
    if [d.shape for d in dstate] != [hs[0].shape] * cell.states:
        raise ValueError(f"dstate must be {cell.states} arrays of {hs[0].shape}.")
    dz = np.empty((*dhs.shape[:2], cell.gates * H), hs.dtype)
    for t in reversed(range(T)):
        dh, *dc = dstate
        dz[t], dc = cell.backward((dh + dhs[t], *dc), caches[t])  # from the loss, and from later
        dstate = (dz[t] @ Wh.T, *dc)
    # Every step's gradient of a weight, summed by one product.
    flat = dz.reshape(-1, cell.gates * H)
    dWh = hs[:-1].reshape(-1, H).T @ flat
    if x.ndim == 2:
        # Sums the rows of each id; np.add.at and sorting them first were measured to be slower.
        dx, dWx = None, _one_hot(x.T.ravel(), len(Wx), hs.dtype).T @ flat
    else:
        dx, dWx = _by_batch(dz @ Wx.T), _over_time(x).reshape(-1, len(Wx)).T @ flat
    return dx, dstate, (dWx, dWh, flat.sum(axis=0))


def _over_time(x: np.ndarray) -> np.ndarray:
    """(N, T, …) -> (T, N, …), contiguous, so that the matrix products see one long array."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def _by_batch(x: np.ndarray) -> np.ndarray:
    """(T, N, …) -> (N, T, …)."""
    return x.swapaxes(0, 1)


def _one_hot(ids: np.ndarray, size: int, dtype: np.dtype) -> np.ndarray:
    rows = np.zeros((len(ids), size), dtype)
    rows[np.arange(len(ids)), ids] = 1
    return rows


def _check_layer(
    cell: Cell, x: np.ndarray, state: State, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> None:
    """Say what does not fit together, before NumPy says it less clearly, or broadcasts."""
    H = len(Wh)
    if Wh.shape == (cell.gates * Wh.shape[-1], Wh.shape[-1]) and cell.gates > 1:
        raise ValueError(f"Wh is {Wh.shape}: transposed, as PyTorch keeps it. Give Wh.T and Wx.T.")
    for name, w, shape in (
        ("Wh", Wh, (H, cell.gates * H)),
        ("Wx", Wx, (len(Wx), cell.gates * H)),
        ("b", b, (cell.gates * H,)),
    ):
        if w.shape != shape:
            raise ValueError(f"{name} is {w.shape}; with {H} units, {cell.name} needs {shape}.")
        if w.dtype.kind != "f":
            raise ValueError(f"{name} has dtype {w.dtype}; weights must be floats.")
    if x.ndim != (2 if x.dtype.kind in "iu" else 3):
        raise ValueError(f"x is {x.dtype} {x.shape}; give integers (N, T) or floats (N, T, D).")
    if x.shape[0] < 1 or x.shape[1] < 1:
        raise ValueError(f"x is {x.shape}; it needs at least one sequence of at least one step.")
    if x.ndim == 3 and x.shape[2] != len(Wx):
        raise ValueError(f"x is {x.shape}, but Wx takes {len(Wx)} inputs.")
    if x.ndim == 2 and not 0 <= x.min() <= x.max() < len(Wx):
        raise ValueError(f"x has ids outside 0 … {len(Wx) - 1}, the rows of Wx.")
    shapes = [array.shape for array in state]
    if shapes != [(len(x), H)] * cell.states:
        raise ValueError(f"state is {shapes}; {cell.name} needs {[(len(x), H)] * cell.states}.")


# The network: stacked layers, then a linear layer


def init_weights(
    cell: Cell,
    vocab_size: int,
    hidden_size: int,
    num_layers: int = 1,
    seed: int = 0,
    std: float | None = None,
    dtype: type = np.float32,
) -> Weights:
    """Return new weights: uniform in ±1/√H as in PyTorch, or normal with a standard deviation.

    Biases start at 0, but the LSTM's forget gates at 1, so that a new network remembers
    (Jozefowicz et al. 2015). The CIFG's are coupled to the input gates and start at 0.

    Raises:
        ValueError: a size below 1.
    """
    if min(vocab_size, hidden_size, num_layers) < 1:
        raise ValueError("vocab_size, hidden_size and num_layers must be 1 or more.")
    rng, H, width = np.random.default_rng(seed), hidden_size, cell.gates * hidden_size

    def matrix(rows: int, columns: int) -> np.ndarray:
        if std is not None:
            return rng.normal(0, std, (rows, columns)).astype(dtype)
        return rng.uniform(-1 / math.sqrt(H), 1 / math.sqrt(H), (rows, columns)).astype(dtype)

    weights = {}
    for k in range(num_layers):
        weights[f"Wx{k}"] = matrix(H if k else vocab_size, width)
        weights[f"Wh{k}"] = matrix(H, width)
        weights[f"b{k}"] = np.zeros(width, dtype)
        if cell.name == "lstm":
            weights[f"b{k}"][H : 2 * H] = 1
    return weights | {"Wy": matrix(H, vocab_size), "by": np.zeros(vocab_size, dtype)}


def count_layers(weights: Weights) -> int:
    """Return L, the number of recurrent layers."""
    return sum(name.startswith("Wx") for name in weights)


def check_weights(weights: Weights) -> None:
    """Raise ValueError if an array is missing or too many, or the output layer does not fit."""
    L = count_layers(weights)
    names = {f"{kind}{k}" for kind in ("Wx", "Wh", "b") for k in range(L)} | {"Wy", "by"}
    if L == 0 or weights.keys() != names:
        wrong = sorted(weights.keys() ^ (names if L else {"Wx0", "Wh0", "b0", "Wy", "by"}))
        raise ValueError(f"Missing or unknown in the weights: {', '.join(wrong)}.")
    # The smaller side of Wh, so that a transposed one is found by name in `layer_forward`.
    Wy, by, H = weights["Wy"], weights["by"], min(weights[f"Wh{L - 1}"].shape)
    if Wy.shape != (H, by.size) or by.ndim != 1:
        raise ValueError(f"Wy is {Wy.shape} and by {by.shape}; with {H} units: (H, V) and (V,).")
    if Wy.dtype.kind != "f" or by.dtype.kind != "f":
        raise ValueError(f"Wy and by have dtypes {Wy.dtype}, {by.dtype}; weights must be floats.")


def zero_state(weights: Weights, cell: Cell, batch_size: int) -> State:
    """Return the state of all zeros, arrays (L, N, H), in the weights' dtype."""
    shape = (count_layers(weights), batch_size, len(weights["Wy"]))
    return tuple(np.zeros(shape, weights["Wy"].dtype) for _ in range(cell.states))


def forward(
    weights: Weights, cell: Cell, x: np.ndarray, state: State | None = None
) -> tuple[tuple[np.ndarray, State], tuple]:
    """Run the network over a batch of sequences.

    Args:
        weights: see the top of this module.
        cell: the cell of every layer.
        x: (N, T) ids, or (N, T, D) floats.
        state: what an earlier call returned, to go on from there, arrays (L, N, H); None is zeros.

    Returns:
        (logits (N, T, V), state after the last step), and a cache for `backward`.

    Raises:
        ValueError: as `layer_forward` and `check_weights`, or a state of another network.
    """
    check_weights(weights)
    L = count_layers(weights)
    if state is None:
        state = zero_state(weights, cell, len(x))
    if any(len(array) != L for array in state):
        raise ValueError(f"state is for {len(state[0])} layers; the network has {L}.")
    hs, last, caches = x, [], []
    for k in range(L):
        before = tuple(array[k] for array in state)
        layer = (weights[f"Wx{k}"], weights[f"Wh{k}"], weights[f"b{k}"])
        (hs, after), cache = layer_forward(cell, hs, before, *layer)
        last.append(after)
        caches.append(cache)
    logits = _by_batch(_over_time(hs) @ weights["Wy"] + weights["by"])
    state = tuple(np.stack(arrays) for arrays in zip(*last, strict=True))
    return (logits, state), (hs, caches, weights["Wy"])


def backward(dlogits: np.ndarray, cache: tuple) -> tuple[Weights, np.ndarray | None, State]:
    """Send the gradient of the logits, (N, T, V), back through the network.

    Returns:
        The gradients of the weights, by name; of x (None for ids); of the first state. dlogits is
        left as it was.

    Raises:
        ValueError: dlogits is not of the shape of the logits.
    """
    hs, caches, Wy = cache
    if dlogits.shape != (*hs.shape[:2], Wy.shape[1]):
        raise ValueError(f"dlogits is {dlogits.shape}; logits: {(*hs.shape[:2], Wy.shape[1])}.")
    dlogits, hs = _over_time(dlogits), _over_time(hs)
    flat = dlogits.reshape(-1, Wy.shape[1])
    top = {"Wy": hs.reshape(-1, len(Wy)).T @ flat, "by": flat.sum(axis=0)}
    dx, gradients, dstates = _by_batch(dlogits @ Wy.T), {}, []
    for k in reversed(range(len(caches))):
        dx, dstate, dlayer = layer_backward(dx, caches[k])
        gradients |= dict(zip((f"Wx{k}", f"Wh{k}", f"b{k}"), dlayer, strict=True))
        dstates.insert(0, dstate)
    return gradients | top, dx, tuple(np.stack(arrays) for arrays in zip(*dstates, strict=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return e^logit / Σ e^logit over the last axis; the largest is subtracted first."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean of -ln p(target), in nats per character, and its gradient.

    Args:
        logits: (N, T, V).
        targets: (N, T) integers in 0 … V - 1.

    Returns:
        The loss, and its gradient with respect to the logits, (N, T, V): (p - one-hot) / (N·T).

    Raises:
        ValueError: shapes that do not agree, no target at all, targets that are no integers or
            outside 0 … V - 1.
        FloatingPointError: the loss is NaN or infinite.
    """
    if targets.dtype.kind not in "iu" or targets.size == 0:
        raise ValueError(f"targets are {targets.dtype} {targets.shape}; give at least one id.")
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits are {logits.shape}, but targets are {targets.shape}.")
    if not 0 <= targets.min() <= targets.max() < logits.shape[-1]:
        raise ValueError(f"targets must lie in 0 … {logits.shape[-1] - 1}.")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    at = targets[..., None]
    loss = -float(np.take_along_axis(log_p, at, axis=-1).mean(dtype=np.float64))
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"The loss is {loss}: a weight is not a number, or training has diverged. "
            "Look at the weights; lower the learning rate, or clip the gradient."
        )
    gradient = np.exp(log_p)
    np.put_along_axis(gradient, at, np.take_along_axis(gradient, at, axis=-1) - 1, axis=-1)
    return loss, gradient / targets.size


def evaluate(weights: Weights, cell: Cell, ids: np.ndarray, chunk: int = 1000) -> float:
    """Return the mean loss over a text, in nats per character, in one pass with carried state.

    Every character after the first is predicted once. `chunk` only bounds the memory.

    Args:
        ids: (N,) integers.
        chunk: characters at a time, 1 or more.

    Raises:
        ValueError: a text of under 2 characters, or a chunk below 1.
        FloatingPointError: the loss is NaN or infinite.
    """
    if len(ids) < 2:
        raise ValueError(f"A text of {len(ids)} characters has no character to predict.")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; it must be 1 or more.")
    total, state = 0.0, None
    for start in range(0, len(ids) - 1, chunk):
        piece = ids[start : start + chunk + 1]
        (logits, state), _ = forward(weights, cell, piece[None, :-1], state)
        total += softmax_cross_entropy(logits, piece[None, 1:])[0] * (len(piece) - 1)
    return total / (len(ids) - 1)


def sample(
    weights: Weights,
    cell: Cell,
    prompt: np.ndarray,
    length: int,
    rng: np.random.Generator,
    reshape: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Draw `length` ids that follow a prompt, each from the model's distribution given all before.

    Args:
        prompt: (P,) ids, one or more.
        length: ids to draw.
        rng: the same generator state gives the same ids.
        reshape: turns the distribution (V,) into the one to draw from; None leaves it as it is.

    Returns:
        (length,) int64, without the prompt.

    Raises:
        ValueError: an empty prompt, a negative length, or a distribution that holds NaN.
    """
    if not len(prompt):
        raise ValueError("The prompt is empty; give at least one character to write on from.")
    if length < 0:
        raise ValueError(f"length is {length}; it must be 0 or more.")
    ids, state, drawn = np.asarray(prompt), None, []
    for _ in range(length):
        (logits, state), _ = forward(weights, cell, ids[None], state)
        p = softmax(logits[0, -1].astype(np.float64))
        if np.isnan(p).any():
            raise ValueError(
                "The logits hold NaN: a weight is not a number. Train the model again."
            )
        p = p if reshape is None else reshape(p)
        drawn.append(rng.choice(len(p), p=p))
        ids = np.array(drawn[-1:])
    return np.array(drawn, dtype=np.int64)


def redraw_once(p: np.ndarray) -> np.ndarray:
    """Return what case B draws from: a draw that is not the most probable id m is drawn once more.

    Id j comes out if the second draw gives it, after a first draw other than m: (1 - p_m) p_j; and
    m also if the first draw gave it. So this is (1 - p_m) p, with p_m added at m.
    """
    reshaped = (1 - p.max()) * p
    reshaped[p.argmax()] += p.max()
    return reshaped


# Clipping, and optimizers


def clip_by_value(gradients: Weights, max_value: float) -> Weights:
    """Return new gradients with every entry cut to [-max_value, max_value].

    Raises:
        ValueError: max_value is not above 0.
    """
    if not max_value > 0:
        raise ValueError(f"max_value is {max_value}; it must be above 0.")
    return {name: np.clip(g, -max_value, max_value) for name, g in gradients.items()}


def clip_by_global_norm(gradients: Weights, max_norm: float) -> tuple[Weights, float]:
    """Scale all gradients by one factor, so that their joint L2 norm is at most max_norm.

    The direction stays (Pascanu et al. 2013, algorithm 1).

    Returns:
        The gradients, and the norm before. A gradient short enough comes back as the same dict.

    Raises:
        ValueError: max_norm is not above 0.
        FloatingPointError: the norm is NaN or infinite: no factor makes that right.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm is {max_norm}; it must be above 0.")
    squares = [np.square(g, dtype=np.float64).sum() for g in gradients.values()]
    norm = math.sqrt(sum(squares))
    if not math.isfinite(norm):
        raise FloatingPointError(f"The gradient norm is {norm}: training has diverged.")
    if norm <= max_norm:
        return gradients, norm
    factor = float(max_norm / norm)
    return {name: g * factor for name, g in gradients.items()}, norm


class Optimizer:
    """Changes weights in place, one `step` at a time; the subclasses say by how much.

    Attributes:
        learning_rate: η > 0; may be changed between steps.
        steps: steps taken.
        memory: what it remembers of earlier gradients, by "kind.weight"; with the other two, all
            there is to save.

    Raises:
        ValueError: a learning rate that is not above 0, a share outside [0, 1), or gradients that
            are not the weights'.
    """

    def __init__(self, learning_rate: float, **shares: float) -> None:
        if not 0 < learning_rate < math.inf:
            raise ValueError(f"learning_rate is {learning_rate}; it must be above 0.")
        for name, share in shares.items():
            if not 0 <= share < 1:
                raise ValueError(f"{name} is {share}; it must be 0 or more, and below 1.")
            setattr(self, name, share)
        self.learning_rate, self.steps, self.memory = learning_rate, 0, Weights()

    def step(self, weights: Weights, gradients: Weights) -> None:
        """Take one step; the gradients are left as they were."""
        shapes = [{name: a.shape for name, a in arrays.items()} for arrays in (weights, gradients)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"gradients are {shapes[1]}, but weights are {shapes[0]}.")
        self.steps += 1
        for name, gradient in gradients.items():
            weights[name] -= self.learning_rate * self._direction(name, gradient)

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _average(
        self, kind: str, name: str, value: np.ndarray, keep: float, add: float
    ) -> np.ndarray:
        """memory = keep · memory + add · value, from 0; return it."""
        key = f"{kind}.{name}"
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
        return self._average("velocity", name, g, self.momentum, 1)


class AdaGrad(Optimizer):
    """s = s + g²; w -= η g / (√s + ε) (Duchi et al. 2011)."""

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        return g / (np.sqrt(self._average("square", name, g * g, 1, 1)) + 1e-10)


class RMSprop(Optimizer):
    """s = ρ s + (1 - ρ) g²; w -= η g / (√s + ε) (Tieleman & Hinton 2012)."""

    def __init__(self, learning_rate: float, rho: float = 0.99) -> None:
        super().__init__(learning_rate, rho=rho)

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        return g / (np.sqrt(self._average("square", name, g * g, self.rho, 1 - self.rho)) + 1e-8)


class Adam(Optimizer):
    """m = β₁ m + (1 - β₁) g; s = β₂ s + (1 - β₂) g²; both divided by 1 - βᵗ, since they start at 0;
    w -= η m / (√s + ε) (Kingma & Ba 2015).
    """

    def __init__(self, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(learning_rate, beta1=beta1, beta2=beta2)

    def _direction(self, name: str, g: np.ndarray) -> np.ndarray:
        m = self._average("mean", name, g, self.beta1, 1 - self.beta1)
        s = self._average("square", name, g * g, self.beta2, 1 - self.beta2)
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
    """Forwards, backwards, clip, update the weights in place: one step of truncated BPTT.

    Args:
        x, y: (N, T) ids, and the ids that follow each.
        state: what the step before returned; None starts from zeros.
        clip: gradients -> gradients.

    Returns:
        The loss before the update, in nats per character, and the state to carry on.

    Raises:
        ValueError: as `forward` and the optimizer.
        FloatingPointError: the loss is NaN or infinite; the weights are still as they were.
    """
    (logits, state), cache = forward(weights, cell, x, state)
    loss, dlogits = softmax_cross_entropy(logits, y)
    gradients, _, _ = backward(dlogits, cache)
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

    The learning rate falls in a line, from the optimizer's to nearly 0 at the last step; at the end
    the optimizer has its own again. The global gradient norm is clipped at max_norm.

    Args:
        ids: (N,) integers.
        batch_size, seq_len: of the `Streams` of ids.

    Returns:
        The loss of every step in nats per character, (steps,).

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
            k = n % len(streams)
            state = None if k == 0 else state
            optimizer.learning_rate = peak * (1 - n / steps)
            loss, state = train_step(weights, cell, *streams.batch(k), state, optimizer, clip)
            losses.append(loss)
    finally:
        optimizer.learning_rate = peak
    return np.array(losses)


# The proof


class Agreement(NamedTuple):
    """How well two gradients of one array agree.

    Attributes:
        name: the array.
        entries: how many numbers it holds.
        absolute: the largest |a - n|.
        relative: the largest |a - n| / max(1e-3, |a| + |n|).
    """

    name: str
    entries: int
    absolute: float
    relative: float


def agreement(name: str, a: np.ndarray, n: np.ndarray) -> Agreement:
    """Compare two gradients of one array.

    Raises:
        ValueError: they differ in shape, are empty, or one holds NaN or infinity.
    """
    if np.shape(a) != np.shape(n):
        raise ValueError(f"{name}: gradients of shapes {np.shape(a)} and {np.shape(n)}.")
    if np.size(a) == 0 or not (np.isfinite(a).all() and np.isfinite(n).all()):
        raise ValueError(f"{name}: a gradient is empty, or holds NaN or infinity.")
    error = np.abs(a - n)
    relative = error / np.maximum(1e-3, np.abs(a) + np.abs(n))
    return Agreement(name, error.size, float(error.max()), float(relative.max()))


def numeric_gradient(f: Callable[[], float], array: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return (f(a + step) - f(a - step)) / (2 step) for every entry a of an array: f's gradient.

    The array is changed in place while f is called, and is as before at the end.

    Raises:
        ValueError: the array is not of floats, or the step not above 0.
    """
    if array.dtype.kind != "f" or not step > 0:
        raise ValueError(f"Give floats and a step above 0, not {array.dtype} and {step}.")
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before, losses = array[index], []
        try:
            for moved in (before + step, before - step):
                array[index] = moved
                losses.append(f())
        finally:
            array[index] = before
        gradient[index] = (losses[0] - losses[1]) / (2 * step)
    return gradient


def prove(
    weights: Weights,
    cell: Cell,
    x: np.ndarray,
    targets: np.ndarray,
    state: State | None = None,
    step: float = 1e-5,
) -> list[Agreement]:
    """Hold the hand-written gradients of the mean loss against central differences.

    Works on copies, so that nothing handed in is touched.

    Args:
        weights, state: float64, all finite; a state of None is zeros.
        x: (N, T) ids, or (N, T, D) float64, whose own gradient is then proven too.
        targets: (N, T) ids.
        step: the distance of the differences.

    Returns:
        One row for every weight, for each array of the first state ("h0", "c0"), and for x if it is
        floats.

    Raises:
        ValueError: an array that is not float64, or not finite; sizes that do not agree.
    """
    weights = {name: w.copy() for name, w in weights.items()}
    if state is None:
        state = zero_state(weights, cell, len(x))
    x, state = x.copy(), tuple(array.copy() for array in state)
    starts = ["h0", "c0", *(f"state {k}" for k in range(2, len(state)))][: len(state)]
    arrays = weights | dict(zip(starts, state, strict=True))
    arrays |= {} if x.dtype.kind in "iu" else {"x": x}
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise ValueError(f"{name} is {array.dtype}; only float64 is exact enough for a proof.")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity; nothing can be proven with it.")

    def loss() -> float:
        (logits, _), _ = forward(weights, cell, x, state)
        return softmax_cross_entropy(logits, targets)[0]

    (logits, _), cache = forward(weights, cell, x, state)
    gradients, dx, dstate = backward(softmax_cross_entropy(logits, targets)[1], cache)
    gradients |= {"x": dx} | dict(zip(starts, dstate, strict=True))
    return [
        agreement(name, gradients[name], numeric_gradient(loss, array, step))
        for name, array in arrays.items()
    ]
