"""Inside a network: its gates, its states, and the Jacobians from state to state.

Sizes in comments: B sequences, T steps, D inputs, H units, L layers, S numbers in a state.
"""

import numpy as np
import torch
from torch import Tensor

from lstmlib.models import CharRNN, State, lstm_by_steps

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
    cell = model.config["cell"]
    if cell not in ("lstm", "cifg"):
        raise ValueError(f"The cell is {cell!r}; only LSTM and CIFG have these gates.")
    layers = model.layers
    weights = layers.lstm_weights() if cell == "cifg" else dict(layers.named_parameters())
    x, values = model.embed(ids), {}  # x (B, T, D)
    for k in range(model.config["num_layers"]):
        # Training in bfloat16 leaves a state of another dtype than the weights.
        start = None if state is None else tuple(part[k].to(x.dtype) for part in state)
        x, _, gates = lstm_by_steps(x, start, weights, k)  # the next layer reads (B, T, H)
        for gate, steps in zip(GATES["lstm"], zip(*gates, strict=True), strict=True):
            if gate in GATES[cell] and gate != "candidate":  # which is no share between 0 and 1
                values[f"layer {k + 1} · {gate}"] = torch.stack(steps, dim=1)  # (B, T, H)
    return values


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
    if ids.ndim != 1 or not len(ids):
        raise ValueError(f"ids have the shape {tuple(ids.shape)}; give (T,), with T ≥ 1.")
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
