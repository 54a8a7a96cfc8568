"""Stacked layers and a linear layer: the loss, its gradients, and samples."""

import math
from collections.abc import Callable

import numpy as np

from lstmlib.scratch.cells import Cell, State, Weights
from lstmlib.scratch.layers import batch_first, layer_backward, layer_forward, time_first
from lstmlib.validation import check_ids, check_whole


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
        A dict of arrays; `lstmlib.scratch` lists names and shapes.

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
        # An entry of z sums H products. With weights of the order 1/√H it is of the order 1, and
        # there tanh and σ are not flat yet.
        return rng.uniform(-1 / math.sqrt(H), 1 / math.sqrt(H), (rows, columns)).astype(dtype)

    weights = {}
    for k in range(num_layers):
        weights[f"Wx{k}"] = matrix(H if k else vocab_size, width)  # (V or H, G·H)
        weights[f"Wh{k}"] = matrix(H, width)  # (H, G·H)
        weights[f"b{k}"] = np.zeros(width, dtype)  # (G·H,)
        if cell.name == "lstm":
            # σ(1) ≈ 0.73: most of c survives a step, so gradients reach far back from the start.
            weights[f"b{k}"][H : 2 * H] = 1  # block 1 of i, f, g, o
    # The output layer: (H, V) and (V,).
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
    if Wy.dtype.kind not in "fc" or by.dtype.kind not in "fc":  # complex: see `complex_gradient`
        raise ValueError(f"Wy and by have dtypes {Wy.dtype}, {by.dtype}; weights must be floats.")


def zero_state(weights: Weights, cell: Cell, batch_size: int) -> State:
    """Return a state of zeros, arrays (L, N, H), in the weights' dtype."""
    shape = (count_layers(weights), batch_size, len(weights["Wy"]))  # (L, N, H)
    return tuple(np.zeros(shape, weights["Wy"].dtype) for _ in range(cell.states))


def forward(
    weights: Weights, cell: Cell, x: np.ndarray, state: State | None = None
) -> tuple[tuple[np.ndarray, State], tuple]:
    """Run the network over a batch of sequences.

    Args:
        weights: a dict of arrays; `lstmlib.scratch` lists names and shapes.
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
    hs, last, caches = x, [], []  # layer 0 reads x itself
    for k in range(L):  # the output of each layer is the input of the next
        before = tuple(array[k] for array in state)  # (N, H) each
        layer = (weights[f"Wx{k}"], weights[f"Wh{k}"], weights[f"b{k}"])
        (hs, after), cache = layer_forward(cell, hs, before, *layer)  # hs (N, T, H)
        last.append(after)
        caches.append(cache)
    # Time first, as one contiguous block: (T, N, H) @ (H, V).
    logits = batch_first(time_first(hs) @ weights["Wy"] + weights["by"])  # (N, T, V)
    # The state holds plain arrays. The next call starts from their values, and `backward` stops at
    # the first step of its own call: this is what truncates BPTT.
    # The states of L layers, (N, H) each, become arrays (L, N, H).
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
    dlogits, hs = time_first(dlogits), time_first(hs)  # (T, N, V), (T, N, H)
    flat = dlogits.reshape(-1, Wy.shape[1])  # (T·N, V)
    # Wy acts at all T·N steps, so one product sums over them: (H, T·N) @ (T·N, V).
    top = {"Wy": hs.reshape(-1, len(Wy)).T @ flat, "by": flat.sum(axis=0)}
    dx, gradients, dstates = batch_first(dlogits @ Wy.T), {}, []  # dx (N, T, H)
    for k in reversed(range(len(caches))):  # from the top layer down
        # None for the last state: no later step of this call depends on it.
        dx, dstate, dlayer = layer_backward(dx, caches[k])  # dx (N, T, H), at the bottom (N, T, D)
        gradients |= dict(zip((f"Wx{k}", f"Wh{k}", f"b{k}"), dlayer, strict=True))
        dstates.insert(0, dstate)  # layer 0 first again
    # dx is now that of x, and the gradients of the state are (L, N, H) each.
    return gradients | top, dx, tuple(np.stack(arrays) for arrays in zip(*dstates, strict=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities e^logit / Σ e^logit over the last axis, of the shape of the logits."""
    # Subtracting a constant from all logits changes no probability, since e^-m cancels. With m the
    # largest logit, the largest power is e^0 = 1, and nothing overflows.
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    # powers (…, V). keepdims leaves the sum (…, 1), so that each row is divided by its own.
    return powers / powers.sum(axis=-1, keepdims=True)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithms of `softmax(logits)`, of the shape and dtype of the logits.

    Logits may be complex: then so are the logarithms, as `complex_gradient` needs them.
    """
    # As in softmax: at most 0, so that nothing overflows. The real part of a float is itself.
    shifted = logits - logits.real.max(axis=-1, keepdims=True)  # (…, V)
    # The logarithm is taken of the sum, not of each probability: a p that rounds to 0 would have
    # the logarithm -inf, though the logits still tell how improbable its character is.
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


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
    log_p = log_softmax(logits)  # (N, T, V)
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
    # Each of the N·T targets has this share in the mean.
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
    # The last character is a target only, so it is never read.
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
        # A batch of one text: ids (1, P) and logits (1, P, V), from the second round on (1, 1) and
        # (1, 1, V).
        (logits, state), _ = forward(weights, cell, ids[None], state)
        # The logits of the last step are for what follows; those before it are within the prompt.
        p = softmax(logits[0, -1].astype(np.float64))  # (V,); rng.choice checks that it sums to 1
        if np.isnan(p).any():
            raise ValueError(
                "The logits hold NaN: a weight is not a number. Train the model again."
            )
        p = p if reshape is None else reshape(p)
        # A draw. The most probable id each time would soon go round in a circle.
        drawn.append(rng.choice(len(p), p=p))
        ids = np.array(drawn[-1:])  # (1,): the state remembers all that came before
    return np.array(drawn, dtype=np.int64)


def redraw_once(p: np.ndarray) -> np.ndarray:
    """Return the distribution (V,) that case B draws from, given the model's p (V,).

    Case B draws an id. If that is not the most probable id m, it draws once more, and takes the
    second draw. So id j has the probability (1 - p_m) p_j, and m has p_m in addition.
    """
    reshaped = (1 - p.max()) * p  # (V,)
    reshaped[p.argmax()] += p.max()  # for m: (1 - p_m) p_m + p_m
    return reshaped
