"""Inside a network: its gates, its states and what follows when they are set, and Jacobians.

Sizes in comments: B sequences, T steps, D inputs, H units, L layers, S numbers in a state.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lstmlib.models import CharRNN, State, lstm_by_steps
from lstmlib.validation import check_choice, check_whole

GATES = {
    "lstm": ("input gate", "forget gate", "candidate", "output gate"),
    "cifg": ("input gate", "candidate", "output gate"),
    "gru": ("reset gate", "update gate", "candidate"),
    "rnn": ("candidate",),
}
"""The blocks of H rows in a cell's matrices, in PyTorch's order."""


@torch.no_grad()
def gate_values(model: CharRNN, ids: Tensor, state: State | None = None) -> dict[str, Tensor]:
    """Return the gates' values while an LSTM or CIFG reads: "layer 1 · forget gate" -> (B, T, H).

    There is no dropout. The CIFG's forget gate is 1 - input gate, and is not listed.

    Args:
        model: a network with the cell "lstm" or "cifg".
        ids: (B, T) int64.
        state: the state to go on from, as `CharRNN` returns it; None stands for zeros.

    Raises:
        ValueError: the cell is another one.
    """
    cell, weights = model.config["cell"], _lstm_weights(model)
    x, values = model.embed(ids), {}  # x (B, T, D)
    for k in range(model.config["num_layers"]):
        # Training in bfloat16 leaves a state of another dtype than the weights.
        start = None if state is None else tuple(part[k].to(x.dtype) for part in state)
        x, _, gates = lstm_by_steps(x, start, weights, k)  # the next layer reads (B, T, H)
        for gate, steps in zip(GATES["lstm"], zip(*gates, strict=True), strict=True):
            if gate in GATES[cell] and gate != "candidate":  # which is no share between 0 and 1
                values[f"layer {k + 1} · {gate}"] = torch.stack(steps, dim=1)  # (B, T, H)
    return values


def _lstm_weights(model: CharRNN) -> Mapping[str, Tensor]:
    """Return the weights as `lstm_by_steps` takes them; raise ValueError for another cell."""
    cell, layers = model.config["cell"], model.layers
    if cell not in ("lstm", "cifg"):
        raise ValueError(f"The cell is {cell!r}; only LSTM and CIFG have these gates.")
    return layers.lstm_weights() if cell == "cifg" else dict(layers.named_parameters())


@torch.no_grad()
def states_along(model: CharRNN, ids: Tensor, state: State | None = None) -> State:
    """Return the state after every character that a network reads, in evaluation mode.

    Args:
        model: a network with any cell.
        ids: (T,) int64, T ≥ 1, on the network's device.
        state: the state to go on from, of one stream; None stands for zeros.

    Returns:
        (h,) or (h, c), each part (T, L, H).

    Raises:
        ValueError: ids have not the shape (T,), or T is 0.
    """
    _check_stream(ids)
    was_training = model.training
    model.eval()
    try:
        states = []
        for character in ids:
            _, state = model(character.view(1, 1), state)  # parts (L, 1, H)
            states.append(state)
    finally:
        model.train(was_training)
    return tuple(torch.stack([part[:, 0] for part in parts]) for parts in zip(*states, strict=True))


def _check_stream(ids: Tensor) -> None:
    if ids.ndim != 1 or not len(ids):
        raise ValueError(f"ids have the shape {tuple(ids.shape)}; give (T,), with T ≥ 1.")


@torch.no_grad()
def unit_states(model: CharRNN, ids: Tensor, state: State | None = None) -> State:
    """Return the state after every character of a long text, fast.

    This is `states_along`, cut into about √T pieces of √T characters. PyTorch's fused layers read
    the text once, and tell the state at which each piece begins. Then all pieces are read side by
    side, one step at a time. The values are the same up to rounding.

    Args:
        model, ids, state: as for `states_along`.

    Returns:
        (h,) or (h, c), each part (T, L, H), float32.

    Raises:
        ValueError: as `states_along`.
    """
    _check_stream(ids)
    T = len(ids)
    piece = math.isqrt(T - 1) + 1  # √T, rounded up
    was_training = model.training
    model.eval()
    try:
        begins = []  # the state before each piece, parts (L, 1, H)
        for characters in ids.split(piece):
            begins.append(state)
            _, state = model(characters[None], state)
        if begins[0] is None:
            begins[0] = tuple(torch.zeros_like(part) for part in state)
        state = tuple(torch.cat(parts, dim=1) for parts in zip(*begins, strict=True))  # (L, R, H)
        # R rows of one piece each; the last one is filled up with characters that are not kept.
        rows = F.pad(ids, (0, -T % piece)).view(-1, piece)  # (R, √T)
        steps = []
        for column in rows.unbind(1):
            _, state = model(column[:, None], state)
            steps.append(state)
    finally:
        model.train(was_training)
    # √T arrays (L, R, H) become (R, √T, L, H), in which the characters stand in the text's order.
    together = (torch.stack(parts).permute(2, 0, 1, 3) for parts in zip(*steps, strict=True))
    return tuple(part.flatten(0, 1)[:T] for part in together)


@torch.no_grad()
def logits_with(
    model: CharRNN,
    ids: Tensor,
    edit: Callable[[Tensor], Tensor],
    *,
    layer: int,
    part: str = "c",
    start: int = 0,
    state: State | None = None,
) -> Tensor:
    """Return the logits of a network whose state is edited at every step from one step on.

    What is edited acts on all that comes after it: an edited c on this step's h, an edited h on the
    layer above, and both on the steps that follow. There is no dropout.

    Args:
        model: a network with the cell "lstm" or "cifg".
        ids: (B, T) int64.
        edit: takes c or h of the layer, (B, H), and returns what stands in its place, (B, H).
        layer: from 0, the lowest.
        part: "c", the cell, before h is made of it; or "h", the output.
        start: the first step at which it is edited, from 0; T edits none.
        state: the state to go on from, parts (L, B, H); None stands for zeros.

    Returns:
        (B, T, V).

    Raises:
        ValueError: another cell, a layer or step that is not there, or a part of another name.
    """
    weights, layers = _lstm_weights(model), model.config["num_layers"]
    check_whole("layer", layer, 0, layers - 1)
    check_choice("part", part, ("c", "h"))
    check_whole("start", start, 0, ids.shape[1])
    x = model.embed(ids)  # (B, T, D)
    for k in range(layers):
        before = None if state is None else tuple(each[k].to(x.dtype) for each in state)
        if k == layer:
            x = _edited_layer(x, before, weights, k, edit, part, start)
        else:
            x, _, _ = lstm_by_steps(x, before, weights, k)
    return model.output(model.norm(x))


def _edited_layer(
    x: Tensor,
    state: State | None,
    weights: Mapping[str, Tensor],
    layer: int,
    edit: Callable[[Tensor], Tensor],
    part: str,
    start: int,
) -> Tensor:
    """Return the outputs (B, T, H) of one layer for inputs (B, T, D), as `logits_with` edits it."""
    outputs = []
    for t in range(x.shape[1]):
        _, (h, c), [(_, _, _, o)] = lstm_by_steps(x[:, t : t + 1], state, weights, layer)
        if t >= start and part == "c":
            c = edit(c)  # (B, H)
            h = o * c.tanh()  # (B, H): the output gate was set before c, and stays
        elif t >= start:
            h = edit(h)
        state = (h, c)
        outputs.append(h)
    return torch.stack(outputs, dim=1)


def set_units(
    model: CharRNN,
    ids: Tensor,
    units: Sequence[int],
    values: Sequence[float] | Tensor,
    *,
    layer: int,
    part: str = "c",
    start: int = 0,
    state: State | None = None,
) -> Tensor:
    """Return the logits of a network in which some units are held at values from one step on.

        logits = set_units(model, ids, [17], [0.0], layer=1)  # without the memory of unit 17

    Args:
        model, ids, layer, part, start, state: as for `logits_with`.
        units: n different units of the layer, from 0.
        values: (n,), or (B, n) with values for each sequence.

    Returns:
        (B, T, V).

    Raises:
        ValueError: a unit that is not there or is named twice, values of another shape, or as
            `logits_with`.
    """
    units = [check_whole("a unit", unit, 0, model.config["hidden_size"] - 1) for unit in units]
    if len(set(units)) < len(units):
        raise ValueError(f"units are {units}; name each once.")
    held = torch.as_tensor(values, dtype=model.output.weight.dtype, device=ids.device)
    if held.shape not in ((len(units),), (len(ids), len(units))):
        raise ValueError(
            f"values have the shape {tuple(held.shape)}; give ({len(units)},), one for each unit, "
            f"or ({len(ids)}, {len(units)})."
        )

    def edit(x: Tensor) -> Tensor:
        x = x.clone()  # (B, H)
        x[:, units] = held
        return x

    return logits_with(model, ids, edit, layer=layer, part=part, start=start, state=state)


def recurrent_jacobians(model: CharRNN, ids: Tensor, state: State | None = None) -> Tensor:
    """Return the Jacobian of each state by the state before it, while a network reads.

    Products of these Jacobians decide whether gradients vanish or explode (Pascanu et al. 2013).

    Args:
        model: a network with any cell. It reads in evaluation mode.
        ids: (T,) int64.
        state: the state to go on from, of one stream; None stands for zeros.

    Returns:
        (T, S, S). Entry [t, a, b] is the derivative of number a of the state after character t by
        number b of the state before it. The S numbers are those of h, layer by layer; in an LSTM or
        CIFG, those of c follow.
    """
    was_training = model.training
    model.eval()
    try:
        if state is None:
            _, state = model(ids[None, :1])  # for its shapes
            state = tuple(torch.zeros_like(part) for part in state)
        jacobians = []
        for character in ids:
            jacobian, state = _jacobian(model, character, state)
            jacobians.append(jacobian)
    finally:
        model.train(was_training)
    return torch.stack(jacobians)


def _jacobian(model: CharRNN, character: Tensor, state: State) -> tuple[Tensor, State]:
    """Return the Jacobian (S, S) of the state after a character, and that state."""
    size = sum(part.numel() for part in state)  # S
    # A batch of S copies of the state, parts (L, S, H). Row a of the Jacobian is the gradient of
    # number a of copy a: copies do not act on each other, so one backward pass gives all rows.
    copies = [part.detach().expand(-1, size, -1).clone().requires_grad_() for part in state]
    # cuDNN has no backward pass in evaluation mode; PyTorch's own layers have.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        _, after = model(character.expand(size, 1), tuple(copies))  # parts (L, S, H)
        rows = torch.autograd.grad(_flat(after).diagonal().sum(), copies)
    return _flat(rows), tuple(part[:, :1] for part in after)


def _flat(state: State) -> Tensor:
    """Return a state with parts (L, B, H) as one matrix (B, S)."""
    return torch.cat([part.transpose(0, 1).flatten(1) for part in state], dim=1)


def largest_singular_values(jacobians: Tensor) -> np.ndarray:
    """Return the largest singular value of each Jacobian, (T, S, S) -> (T,).

    It is the factor by which a Jacobian stretches a vector at most. Pascanu et al. (2013) bound the
    gradient over many steps by products of these factors.
    """
    return torch.linalg.matrix_norm(jacobians, 2).cpu().numpy()


def gradient_by_lag(jacobians: Tensor) -> np.ndarray:
    """Return how strongly the last state depends on the state k steps before, for k = 1 … T: (T,).

    Entry k - 1 is the largest singular value of the product of the last k Jacobians.
    """
    product, norms = torch.eye(jacobians.shape[-1]).to(jacobians), []  # (S, S)
    for jacobian in reversed(jacobians):  # J_T J_(T-1) …: the chain rule, from the last step back
        product = product @ jacobian
        norms.append(torch.linalg.matrix_norm(product, 2).item())
    return np.array(norms)
