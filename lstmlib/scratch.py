"""RNN, LSTM and CIFG in NumPy alone, with hand-written backward passes, optimizers and a proof.

A layer is two pure functions, `forward -> (out, cache)` and `backward(dout, cache)`. One loop over
time serves all cells. A `Cell` computes a single step, from the pre-activation z on.

Sizes: N sequences, T steps, D inputs, H units, G blocks of H columns (gates), L layers, V tokens.
Weights are a dict of arrays. Layer k = 0, 1, … has "Wx{k}" (D, G·H), "Wh{k}" (H, G·H) and "b{k}"
(G·H,). The output layer has "Wy" (H, V) and "by" (V,). A state is a tuple of arrays: (h,) for the
RNN, (h, c) for the LSTM and the CIFG. Each array is (N, H) for a layer and (L, N, H) for a network.
A name that begins with d is a gradient of the loss: dh is the one by h, and has the shape of h.
Train in float32, prove in float64.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lstmlib.batching import Streams
from lstmlib.validation import check_ids, check_number, check_whole

Weights = dict[str, np.ndarray]
State = tuple[np.ndarray, ...]


# What happens within one step


class Cell(NamedTuple):
    """One step of a recurrent layer, forwards and backwards.

    Attributes:
        name: the cell's name in files and messages.
        gates: G, the number of blocks of H columns in z, Wx, Wh and b.
        states: the number of arrays in a state: 1 for (h,), 2 for (h, c).
        forward: (z, state) -> (new state, cache), with z = x Wx + h Wh + b, (N, G·H).
        backward: (gradient of the new state, cache) -> (dz, rest). dz is the gradient of z. rest is
            (gradient of the old c,), or () for a cell without c. The loop over time adds the
            gradient of the old h, since a step reads the old h through z alone.
    """

    name: str
    gates: int
    states: int
    forward: Callable
    backward: Callable


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return σ(z) = 1 / (1 + e^-z), of the shape and dtype of z."""
    # σ(z) = (1 + tanh(z/2)) / 2 is the same function. In float32 e^-z overflows at z = -89.
    return 0.5 * np.tanh(0.5 * z) + 0.5


def _rnn_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    h = np.tanh(z)  # (N, H); Elman's only equation, since z holds x Wx + h Wh + b
    return (h,), (h,)


def _rnn_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (dh,), (h,) = dstate, cache  # (N, H) each
    # tanh'(z) = 1 - tanh²(z): the output is enough, so z itself was not kept.
    return dh * (1 - h * h), ()


def _lstm_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    # Four arrays (N, H). The order i, f, g, o is PyTorch's, so weights can be copied as they are.
    # Weights from a library with another order have the same shapes, and give a wrong network.
    i, f, g, o = np.split(z, 4, axis=1)
    return _remember(sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o), state)


def _lstm_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (di, df, dg, do), dc_old = _remember_backward(dstate, cache)
    i, f, g, o, _, _ = cache
    dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)]
    # σ' = σ (1 - σ) for the gates, tanh' = 1 - tanh² for the candidate, in the order of the split.
    return np.concatenate(dz, axis=1), (dc_old,)


def _cifg_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    i, g, o = np.split(z, 3, axis=1)  # (N, H) each
    i = sigmoid(i)  # also stands for the forget gate, f = 1 - i: three blocks instead of four
    return _remember(i, 1 - i, np.tanh(g), sigmoid(o), state)


def _cifg_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (di, df, dg, do), dc_old = _remember_backward(dstate, cache)  # (N, H) each
    i, _, g, o, _, _ = cache
    # i acts twice: as itself, and as f = 1 - i, whose derivative by i is -1. Hence di - df.
    dz = [(di - df) * i * (1 - i), dg * (1 - g * g), do * o * (1 - o)]
    return np.concatenate(dz, axis=1), (dc_old,)


def _remember(
    i: np.ndarray, f: np.ndarray, g: np.ndarray, o: np.ndarray, state: State
) -> tuple[State, tuple]:
    """Return the new (h, c) and a cache: c = f·c + i·g, h = o·tanh(c).

    Args:
        i, f, g, o: the values of the input gate, forget gate, candidate and output gate, (N, H).
        state: the old (h, c), (N, H) each.
    """
    c_old = state[1]  # (N, H)
    # A sum, not a product with a matrix: through it a gradient reaches c_old multiplied by f alone.
    c = f * c_old + i * g  # (N, H)
    tanh_c = np.tanh(c)  # c is not bounded, but h stays within -1 and 1
    return (o * tanh_c, c), (i, f, g, o, c_old, tanh_c)


def _remember_backward(
    dstate: State, cache: tuple
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Return the gradients of the gates' values (i, f, g, o), and of the old c."""
    (dh, dc), (i, f, g, o, c_old, tanh_c) = dstate, cache  # (N, H) each
    # c is used twice: in this step's h, and in the next step's c. The two gradients add.
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
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
        x: (N, T, D) floats, or (N, T) integers. An integer stands for a one-hot vector, whose
            product with Wx is one row of Wx.
        state: the state before the first step, arrays (N, H).
        Wx, Wh, b: (D, G·H), (H, G·H), (G·H,) floats.

    Returns:
        (h at every step (N, T, H), state after the last step), and a cache for `layer_backward`.
        The cache holds views of the output and of the weights, so neither may change before
        `layer_backward` is called.

    Raises:
        ValueError: shapes do not agree, there is no step, weights are no floats, or an integer is
            no row number of Wx.
    """
    _check_layer(cell, x, state, Wx, Wh, b)
    # The input's share of z depends on no state. So it is computed for all steps at once, by one
    # look-up or one large product: (T, N, G·H). The gates' matrices stand side by side in Wx and
    # Wh, since one product of width G·H costs less than G products of width H.
    z = (Wx + b)[x.T] if x.ndim == 2 else _over_time(x) @ Wx + b
    # h before every step and after the last: (T + 1, N, H).
    hs = np.empty((len(z) + 1, *state[0].shape), np.result_type(z, Wh, *state))
    hs[0] = state[0]
    caches = []  # T of them: the values of each step that its backward pass needs
    for t in range(len(z)):  # one step after the other: step t needs the h of step t - 1
        state, cache = cell.forward(z[t] + state[0] @ Wh, state)  # z (N, G·H)
        hs[t + 1] = state[0]
        caches.append(cache)
    return (hs[1:].swapaxes(0, 1), state), (cell, x, hs, caches, Wx, Wh)


def layer_backward(
    dhs: np.ndarray, cache: tuple, dstate: State | None = None
) -> tuple[np.ndarray | None, State, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Send gradients back through one layer: back-propagation through time (Werbos 1990).

    Args:
        dhs: the gradient of every h, (N, T, H).
        cache: the cache that `layer_forward` returned.
        dstate: the gradient of the state after the last step, arrays (N, H); None stands for zeros.

    Returns:
        (dx, dstate, (dWx, dWh, db)): the gradients of x (N, T, D), of the state before the first
        step, and of the weights. dx is None if x was integers. The arguments are not changed.

    Raises:
        ValueError: dhs has not the shape of the output, or dstate not that of the state.
    """
    cell, x, hs, caches, Wx, Wh = cache
    dhs, T, H = dhs.swapaxes(0, 1), len(caches), len(Wh)  # dhs (T, N, H)
    if dhs.shape != hs[1:].shape:
        raise ValueError(
            f"dhs is {_by_batch(dhs).shape}; the output was {_by_batch(hs[1:]).shape}."
        )
    if dstate is None:
        dstate = (np.zeros_like(hs[0]),) * cell.states
    if [d.shape for d in dstate] != [hs[0].shape] * cell.states:
        raise ValueError(f"dstate must be {cell.states} arrays of {hs[0].shape}.")
    dz = np.empty((*dhs.shape[:2], cell.gates * H), hs.dtype)  # (T, N, G·H)
    for t in reversed(range(T)):
        dh, *dc = dstate  # (N, H) each, from the steps after t; at the last step given or zero
        # h is used twice: by the layer above (dhs) and by the next step (dh). The gradients add.
        dz[t], dc = cell.backward((dh + dhs[t], *dc), caches[t])
        dstate = (dz[t] @ Wh.T, *dc)  # the gradient of the h before this step
    # The same weights act at every step, so their gradient is a sum over all N·T steps. A product
    # of two tall matrices is that sum: the loop above has no need to add up matrices.
    flat = dz.reshape(-1, cell.gates * H)  # (T·N, G·H)
    dWh = hs[:-1].reshape(-1, H).T @ flat  # (H, T·N) @ (T·N, G·H)
    if x.ndim == 2:
        # The product with one-hot rows sums the gradients of each id. np.add.at, and sorting the
        # ids first, were measured to be slower. An id is no number to move, so it has no gradient.
        dx, dWx = None, _one_hot(x.T.ravel(), len(Wx), hs.dtype).T @ flat
    else:
        dx, dWx = _by_batch(dz @ Wx.T), _over_time(x).reshape(-1, len(Wx)).T @ flat
    return dx, dstate, (dWx, dWh, flat.sum(axis=0))


def _over_time(x: np.ndarray) -> np.ndarray:
    """(N, T, …) -> (T, N, …), contiguous, so that one step is one block of memory."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def _by_batch(x: np.ndarray) -> np.ndarray:
    """(T, N, …) -> (N, T, …)."""
    return x.swapaxes(0, 1)


def _one_hot(ids: np.ndarray, size: int, dtype: np.dtype) -> np.ndarray:
    """Return a row for each id, with 1 in its column and 0 elsewhere: (K,) -> (K, size)."""
    rows = np.zeros((len(ids), size), dtype)
    rows[np.arange(len(ids)), ids] = 1
    return rows


def _check_layer(
    cell: Cell, x: np.ndarray, state: State, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> None:
    """Raise ValueError where shapes or dtypes do not fit.

    NumPy's own message would be less clear. Where shapes can be broadcast, NumPy would not raise.
    """
    H = len(Wh)
    if Wh.shape == (cell.gates * Wh.shape[-1], Wh.shape[-1]) and cell.gates > 1:
        raise ValueError(f"Wh is {Wh.shape}: transposed, as PyTorch keeps it. Give Wh.T and Wx.T.")
    for name, w, shape in (  # an array, and the shape that H and G ask for
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
    if x.ndim == 2:
        check_ids("x", x, len(Wx))  # NumPy would take -1 for the last row
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
    """Return new weights: uniform in ±1/√H as in PyTorch, or normal.

    Biases start at 0. The LSTM's forget gates are the exception: their bias starts at 1, so that a
    new network remembers (Jozefowicz et al. 2015). The CIFG's forget gates have no bias of their
    own.

    Args:
        cell: the cell of every layer.
        vocab_size: number of tokens V, which is also the input size of the first layer.
        hidden_size: units H of each layer.
        num_layers: number of layers L.
        seed: the same seed gives the same weights.
        std: standard deviation of normal weights; None draws uniform ones.
        dtype: the weights' type, float32 to train and float64 to prove.

    Returns:
        A dict of arrays; the top of this module lists names and shapes.

    Raises:
        ValueError: a size is not a whole number, 1 or more.
    """
    sizes = {"vocab_size": vocab_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for name, size in sizes.items():
        check_whole(name, size)
    rng, H, width = np.random.default_rng(seed), hidden_size, cell.gates * hidden_size

    def matrix(rows: int, columns: int) -> np.ndarray:
        if std is not None:
            return rng.normal(0, std, (rows, columns)).astype(dtype)
        return rng.uniform(-1 / math.sqrt(H), 1 / math.sqrt(H), (rows, columns)).astype(dtype)

    weights = {}
    for k in range(num_layers):
        weights[f"Wx{k}"] = matrix(H if k else vocab_size, width)  # (V or H, G·H)
        weights[f"Wh{k}"] = matrix(H, width)  # (H, G·H)
        weights[f"b{k}"] = np.zeros(width, dtype)  # (G·H,)
        if cell.name == "lstm":
            # σ(1) ≈ 0.73: most of c survives a step, so gradients reach far back from the start.
            weights[f"b{k}"][H : 2 * H] = 1  # block 1 of i, f, g, o
    return weights | {"Wy": matrix(H, vocab_size), "by": np.zeros(vocab_size, dtype)}


def count_layers(weights: Weights) -> int:
    """Return L, the number of recurrent layers."""
    return sum(name.startswith("Wx") for name in weights)


def check_weights(weights: Weights) -> None:
    """Raise ValueError unless the arrays have the right names and the output layer fits."""
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
    """Return a state of zeros, arrays (L, N, H), in the weights' dtype."""
    shape = (count_layers(weights), batch_size, len(weights["Wy"]))
    return tuple(np.zeros(shape, weights["Wy"].dtype) for _ in range(cell.states))


def forward(
    weights: Weights, cell: Cell, x: np.ndarray, state: State | None = None
) -> tuple[tuple[np.ndarray, State], tuple]:
    """Run the network over a batch of sequences.

    Args:
        weights: a dict of arrays; the top of this module lists names and shapes.
        cell: the cell of every layer.
        x: (N, T) ids, or (N, T, D) floats.
        state: the state that an earlier call returned, to go on from there, arrays (L, N, H). None
            stands for zeros.

    Returns:
        (logits (N, T, V), state after the last step), and a cache for `backward`.

    Raises:
        ValueError: as `layer_forward` and `check_weights`, or the state has another number of
            layers.
    """
    check_weights(weights)
    L = count_layers(weights)
    if state is None:
        state = zero_state(weights, cell, len(x))
    if any(len(array) != L for array in state):
        raise ValueError(f"state is for {len(state[0])} layers; the network has {L}.")
    hs, last, caches = x, [], []
    for k in range(L):  # the output of each layer is the input of the next
        before = tuple(array[k] for array in state)  # (N, H) each
        layer = (weights[f"Wx{k}"], weights[f"Wh{k}"], weights[f"b{k}"])
        (hs, after), cache = layer_forward(cell, hs, before, *layer)  # hs (N, T, H)
        last.append(after)
        caches.append(cache)
    logits = _by_batch(_over_time(hs) @ weights["Wy"] + weights["by"])  # (N, T, V)
    # The state holds plain arrays. The next call starts from their values, and `backward` stops at
    # the first step of its own call: this is what truncates BPTT.
    state = tuple(np.stack(arrays) for arrays in zip(*last, strict=True))
    return (logits, state), (hs, caches, weights["Wy"])


def backward(dlogits: np.ndarray, cache: tuple) -> tuple[Weights, np.ndarray | None, State]:
    """Send the gradient of the logits, (N, T, V), back through the network.

    Returns:
        (gradients, dx, dstate): the gradients of the weights, a dict with the names and shapes of
        the weights; of x, None for ids; and of the first state. dlogits is not changed.

    Raises:
        ValueError: dlogits has not the shape of the logits.
    """
    hs, caches, Wy = cache
    if dlogits.shape != (*hs.shape[:2], Wy.shape[1]):
        raise ValueError(f"dlogits is {dlogits.shape}; logits: {(*hs.shape[:2], Wy.shape[1])}.")
    dlogits, hs = _over_time(dlogits), _over_time(hs)  # (T, N, V), (T, N, H)
    flat = dlogits.reshape(-1, Wy.shape[1])  # (T·N, V)
    top = {"Wy": hs.reshape(-1, len(Wy)).T @ flat, "by": flat.sum(axis=0)}
    dx, gradients, dstates = _by_batch(dlogits @ Wy.T), {}, []  # dx (N, T, H)
    for k in reversed(range(len(caches))):  # from the top layer down
        # None for the last state: no later step of this call depends on it.
        dx, dstate, dlayer = layer_backward(dx, caches[k])  # dx (N, T, H), at the bottom (N, T, D)
        gradients |= dict(zip((f"Wx{k}", f"Wh{k}", f"b{k}"), dlayer, strict=True))
        dstates.insert(0, dstate)  # layer 0 first again
    return gradients | top, dx, tuple(np.stack(arrays) for arrays in zip(*dstates, strict=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities e^logit / Σ e^logit over the last axis, of the shape of the logits."""
    # Subtracting a constant from all logits changes no probability, since e^-m cancels. With m the
    # largest logit, the largest power is e^0 = 1, and nothing overflows.
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the cross-entropy, the mean of -ln p(target) in nats per character, and its gradient.

    Args:
        logits: (N, T, V).
        targets: (N, T) integers in 0 … V - 1.

    Returns:
        The loss, and its gradient with respect to the logits, (N, T, V): (p - one-hot) / (N·T).

    Raises:
        ValueError: shapes do not agree, there is no target, or a target is no integer in
            0 … V - 1.
        FloatingPointError: the loss is NaN or infinite.
    """
    if targets.dtype.kind not in "iu" or targets.size == 0:
        raise ValueError(f"targets are {targets.dtype} {targets.shape}; give at least one id.")
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits are {logits.shape}, but targets are {targets.shape}.")
    check_ids("targets", targets, logits.shape[-1])
    # The logarithm is taken of the sum, not of each probability: a p that rounds to 0 would have
    # the logarithm -inf, though the logits still tell how improbable its character is.
    shifted = logits - logits.max(axis=-1, keepdims=True)  # (N, T, V), at most 0: no overflow
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # (N, T, V)
    at = targets[..., None]  # (N, T, 1)
    # In float64, since a sum of many float32 numbers loses digits.
    loss = -float(np.take_along_axis(log_p, at, axis=-1).mean(dtype=np.float64))
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"The loss is {loss}: a weight is not a number, or training has diverged. "
            "Look at the weights; lower the learning rate, or clip the gradient."
        )
    # The derivative of -ln softmax by the logits is p - one-hot: large where the model was wrong.
    gradient = np.exp(log_p)  # (N, T, V)
    np.put_along_axis(gradient, at, np.take_along_axis(gradient, at, axis=-1) - 1, axis=-1)
    return loss, gradient / targets.size


def evaluate(weights: Weights, cell: Cell, ids: np.ndarray, chunk: int = 1000) -> float:
    """Return the mean loss over a text, in nats per character.

    The network reads the text once from the start and predicts every character after the first.

    Args:
        ids: (N,) integers.
        chunk: characters read in one call, 1 or more. It bounds the memory, and changes no result.

    Raises:
        ValueError: the text has fewer than 2 characters, or chunk is not 1 or more.
        FloatingPointError: the loss is NaN or infinite.
    """
    if len(ids) < 2:
        raise ValueError(f"A text of {len(ids)} characters has no character to predict.")
    check_whole("chunk", chunk)
    total, state = 0.0, None
    for start in range(0, len(ids) - 1, chunk):
        piece = ids[start : start + chunk + 1]  # one more than is read: the last target
        # The state goes on to the next piece: pieces that began at zero would be judged without the
        # text before them.
        (logits, state), _ = forward(weights, cell, piece[None, :-1], state)  # (1, t, V)
        # A mean times its count: the last piece may be shorter, and must not weigh as much.
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
    """Draw ids that follow a prompt, each from the model's distribution given all ids before it.

    Args:
        prompt: (P,) ids, one or more.
        length: number of ids to draw, 0 or more.
        rng: the random generator. The same state of it gives the same ids.
        reshape: turns the model's distribution (V,) into the distribution to draw from. None draws
            from the model's.

    Returns:
        (length,) int64, without the prompt.

    Raises:
        ValueError: the prompt is empty, the length is not 0 or more, or a logit is NaN.
    """
    if not len(prompt):
        raise ValueError("The prompt is empty; give at least one character to write on from.")
    check_whole("length", length, 0)
    ids, state, drawn = np.asarray(prompt), None, []
    for _ in range(length):  # the whole prompt in the first round, then the id drawn last
        (logits, state), _ = forward(weights, cell, ids[None], state)
        p = softmax(logits[0, -1].astype(np.float64))  # (V,); rng.choice checks that it sums to 1
        if np.isnan(p).any():
            raise ValueError(
                "The logits hold NaN: a weight is not a number. Train the model again."
            )
        p = p if reshape is None else reshape(p)
        drawn.append(rng.choice(len(p), p=p))
        ids = np.array(drawn[-1:])  # (1,): the state remembers all that came before
    return np.array(drawn, dtype=np.int64)


def redraw_once(p: np.ndarray) -> np.ndarray:
    """Return the distribution (V,) that case B draws from, given the model's p (V,).

    Case B draws an id. If that is not the most probable id m, it draws once more, and takes the
    second draw. So id j has the probability (1 - p_m) p_j, and m has p_m in addition.
    """
    reshaped = (1 - p.max()) * p  # (V,)
    reshaped[p.argmax()] += p.max()
    return reshaped


# Clipping, and optimizers


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
    squares = [np.square(g, dtype=np.float64).sum() for g in gradients.values()]
    norm = math.sqrt(sum(squares))  # of all arrays as one long vector
    if not math.isfinite(norm):
        raise FloatingPointError(f"The gradient norm is {norm}: training has diverged.")
    if norm <= max_norm:
        return gradients, norm
    factor = float(max_norm / norm)
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
            setattr(self, name, rate)
        self.learning_rate, self.steps, self.memory = learning_rate, 0, Weights()

    def step(self, weights: Weights, gradients: Weights) -> None:
        """Take one step: w -= η · direction, in place. The gradients are not changed."""
        shapes = [{name: a.shape for name, a in arrays.items()} for arrays in (weights, gradients)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"gradients are {shapes[1]}, but weights are {shapes[0]}.")
        self.steps += 1
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
    loss, dlogits = softmax_cross_entropy(logits, y)
    # The gradient of the first state is dropped: that state came from the step before, and BPTT is
    # truncated here. The state's values go on, its gradient does not.
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
            k = n % len(streams)
            # Batch 0 begins the text again, which does not follow from its end: zeros once more.
            state = None if k == 0 else state
            optimizer.learning_rate = peak * (1 - n / steps)
            loss, state = train_step(weights, cell, *streams.batch(k), state, optimizer, clip)
            losses.append(loss)
    finally:
        optimizer.learning_rate = peak
    return np.array(losses)


# The proof


class Agreement(NamedTuple):
    """How well two gradients a and n of one array agree.

    Attributes:
        name: the array's name.
        entries: the number of entries of the array.
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
        ValueError: the gradients differ in shape, are empty, or hold NaN or infinity.
    """
    if np.shape(a) != np.shape(n):
        raise ValueError(f"{name}: gradients of shapes {np.shape(a)} and {np.shape(n)}.")
    if np.size(a) == 0 or not (np.isfinite(a).all() and np.isfinite(n).all()):
        raise ValueError(f"{name}: a gradient is empty, or holds NaN or infinity.")
    error = np.abs(a - n)
    # The floor 1e-3 keeps the rounding of a gradient near 0 from looking like a large error.
    relative = error / np.maximum(1e-3, np.abs(a) + np.abs(n))
    return Agreement(name, error.size, float(error.max()), float(relative.max()))


def numeric_gradient(f: Callable[[], float], array: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the gradient of f by central differences, of the shape of the array.

    The derivative by an entry a is nearly (f(a + step) - f(a - step)) / (2 step), with an error of
    the order of step².

    Args:
        f: a function without arguments that reads the array.
        array: floats. It is changed in place while f is called, and is as before at the end.
        step: the distance from a, above 0.

    Raises:
        ValueError: the array does not hold floats, or the step is not above 0.
    """
    if array.dtype.kind != "f" or not step > 0:
        raise ValueError(f"Give floats and a step above 0, not {array.dtype} and {step}.")
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):  # two calls of f for every entry: small networks only
        before, losses = array[index], []
        try:
            for moved in (before + step, before - step):
                array[index] = moved  # in place: f reads the very array
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
    """Compare the hand-written gradients of the mean loss with central differences.

    The arguments are copied, and not changed.

    Args:
        weights: float64, all finite.
        x: (N, T) ids, or (N, T, D) float64. The gradient of floats is compared too.
        targets: (N, T) ids.
        state: float64, all finite, arrays (L, N, H); None stands for zeros.
        step: the distance of the differences, see `numeric_gradient`.

    Returns:
        A row for every weight, for each array of the first state ("h0", "c0"), and for x if x holds
        floats.

    Raises:
        ValueError: an array is not float64 or not finite, or sizes do not agree.
    """
    weights = {name: w.copy() for name, w in weights.items()}
    if state is None:
        state = zero_state(weights, cell, len(x))
    x, state = x.copy(), tuple(array.copy() for array in state)
    # The first state counts as an array too: its gradient has passed through all T steps.
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
