"""What goes on inside a network in training: gradients, updates, gates, states, Jacobians.

`Diagnostics` is given to `fit`, which calls it at every step and puts what it finds into the
history. The functions below it read what was recorded, or look into a model.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.models import CharRNN, State

GATES = {
    "lstm": ("input gate", "forget gate", "candidate", "output gate"),
    "cifg": ("input gate", "candidate", "output gate"),
    "gru": ("reset gate", "update gate", "candidate"),
    "rnn": ("candidate",),
}
"""The blocks of H rows in a cell's matrices, in PyTorch's order."""
SATURATED = 0.05
"""A gate below this, or above 1 minus this, passes little gradient on: σ'(z) < 0.05."""
LEAST_STEPS = 20
"""Of a probe that `suggest_clip` reads."""


def parts_of(model: CharRNN) -> dict[str, list[tuple[nn.Parameter, slice]]]:
    """Return the parts of a network that are told apart, each as rows of what it trains.

    A part is a gate of a layer, from layer 1 ("layer 1 · forget gate"), "embedding", "norm" or
    "output".
    """
    gates, H, parts = GATES[model.config["cell"]], model.config["hidden_size"], {}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:  # frozen: it has no gradient, and does not move
            continue
        module, _, rest = name.partition(".")
        if module != "layers":
            parts.setdefault(module, []).append((weight, slice(None)))
            continue
        layer = int(rest.rpartition("_l")[2]) + 1
        for k, gate in enumerate(gates):
            rows = slice(k * H, (k + 1) * H)
            parts.setdefault(f"layer {layer} · {gate}", []).append((weight, rows))
    return parts


class Diagnostics:
    """What `fit` records of every step, if it is given one: `fit(…, diagnostics=Diagnostics())`.

    The history's row then has "diagnostics", a dict of dicts:
        gradient, clipped: part (as in `parts_of`) -> L2 norm before and after clipping;
        update: part -> L2 norm of the step over that of the weights after it;
        near_0, near_1: "layer 1 · forget gate", … -> share of its values that are saturated (see
            SATURATED) at the first characters of the batch, with the weights after the step and
            without dropout; of LSTM and CIFG. Of several processes, those of the first one's rows;
            of whole sequences, the padding behind one that is shorter counts, too.

    Args:
        characters: how many characters of each stream the gates are looked at; at least 1.

    Raises:
        ValueError: characters is below 1.
    """

    def __init__(self, characters: int = 2) -> None:
        if characters < 1:
            raise ValueError(f"characters is {characters}; it must be 1 or more.")
        self.characters = characters

    @torch.no_grad()
    def before_clipping(self, model: CharRNN) -> None:
        """Note the gradients that the backward pass left."""
        self.model, self.parts = model, parts_of(model)
        self.found = {"gradient": self._norms(lambda weight: weight.grad)}

    @torch.no_grad()
    def before_update(self, clipped: bool) -> None:
        """Note the weights, and the gradients that clipping left, if it may have changed them."""
        before = dict(self.found["gradient"])
        self.found["clipped"] = self._norms(lambda weight: weight.grad) if clipped else before
        trained = {weight for part in self.parts.values() for weight, _ in part}
        self.before = {weight: weight.clone() for weight in trained}

    @torch.no_grad()
    def after_update(self, ids: Tensor, state: State | None) -> dict:
        """Return the record of the step on a batch, ids (B, T), that began with a state."""
        for weight, before in self.before.items():
            before.sub_(weight)  # in place: this is done at every step
        moved = self._norms(lambda weight: self.before[weight])
        sizes = self._norms(lambda weight: weight)
        # A part whose weights are still all 0 has moved by no share of them.
        shares = {part: moved[part] / sizes[part] if sizes[part] else None for part in sizes}
        record, self.before = self.found | {"update": shares}, None
        if self.model.config["cell"] in ("lstm", "cifg"):
            gates = gate_values(self.model, ids[:, : self.characters], state)
            record["near_0"] = {n: (g < SATURATED).float().mean().item() for n, g in gates.items()}
            record["near_1"] = {
                n: (g > 1 - SATURATED).float().mean().item() for n, g in gates.items()
            }
        return record

    def _norms(self, tensor_of: Callable[[nn.Parameter], Tensor]) -> dict[str, float]:
        """Return the L2 norm of a tensor of each part's weights, such as their gradient."""
        pieces = [tensor_of(weight)[rows] for part in self.parts.values() for weight, rows in part]
        squares = iter(torch.stack([piece.norm() for piece in pieces]).square().tolist())
        return {name: sum(next(squares) for _ in part) ** 0.5 for name, part in self.parts.items()}


def series(rows: Sequence[dict], name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what a history's rows hold under a name, such as "gradient": (steps, part -> values).

    Steps that were skipped are left out; a value that could not be measured is NaN.

    Raises:
        ValueError: nothing was recorded under that name.
    """
    rows = [row for row in rows if row.get("diagnostics")]
    if not rows:
        raise ValueError("The rows have no diagnostics: give fit diagnostics=Diagnostics().")
    if name not in rows[0]["diagnostics"]:
        names = ", ".join(rows[0]["diagnostics"])
        raise ValueError(f"The rows have no {name!r}; choose one of {names}.")
    records = [row["diagnostics"][name] for row in rows]
    values = {part: np.array([record[part] for record in records], float) for part in records[0]}
    return np.array([row["step"] for row in rows]), values


@torch.no_grad()
def gate_values(model: CharRNN, ids: Tensor, state: State | None = None) -> dict[str, Tensor]:
    """Return the gates of an LSTM or CIFG as it reads: "layer 1 · forget gate" -> (B, T, H).

    Without dropout. The CIFG's forget gate is 1 - its input gate, and not listed.

    Args:
        model: of the cell "lstm" or "cifg".
        ids: (B, T) int64.
        state: where to go on from, as `CharRNN` returns it; None starts at zero.

    Raises:
        ValueError: another cell.
    """
    cell = model.config["cell"]
    if cell not in ("lstm", "cifg"):
        raise ValueError(f"The cell is {cell!r}; only LSTM and CIFG have these gates.")
    layers = model.layers
    weights = layers.lstm_weights() if cell == "cifg" else dict(layers.named_parameters())
    x, values = model.read(ids), {}
    for k in range(model.config["num_layers"]):
        # In bfloat16 the state is of another dtype than the weights.
        start = None if state is None else tuple(part[k].to(x.dtype) for part in state)
        named = {n: weights[f"{n}_l{k}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        x, gates = _read_layer(x, start, **named)
        for gate, each in zip(("input gate", "forget gate", "output gate"), gates, strict=True):
            if gate in GATES[cell]:
                values[f"layer {k + 1} · {gate}"] = each
    return values


def _read_layer(
    x: Tensor,
    state: tuple[Tensor, Tensor] | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the outputs (B, T, H) of an LSTM layer, and its gates i, f, o as (3, B, T, H)."""
    zeros = x.new_zeros(len(x), weight_hh.shape[1])
    h, c = (zeros, zeros) if state is None else state
    outputs, gates = [], []
    for from_x in F.linear(x, weight_ih, bias_ih + bias_hh).unbind(1):
        i, f, g, o = (from_x + F.linear(h, weight_hh)).chunk(4, dim=-1)
        i, f, o = (gate.sigmoid() for gate in (i, f, o))
        c = f * c + i * g.tanh()
        h = o * c.tanh()
        outputs.append(h)
        gates.append(torch.stack((i, f, o)))
    return torch.stack(outputs, dim=1), torch.stack(gates, dim=2)


@torch.no_grad()
def states_along(model: CharRNN, ids: Tensor, state: State | None = None) -> State:
    """Return the state of a network after every character that it reads, in evaluation mode.

    Args:
        model: any cell.
        ids: (T,) int64, T ≥ 1, on the network's device.
        state: where to go on from, for one stream; None starts at zero.

    Returns:
        As `CharRNN` returns it, (h,) or (h, c), but each part (T, L, H).

    Raises:
        ValueError: ids are not (T,), or there is none.
    """
    if ids.ndim != 1 or not len(ids):
        raise ValueError(f"ids have the shape {tuple(ids.shape)}; give (T,), with T ≥ 1.")
    was_training = model.training
    model.eval()
    try:
        states = []
        for character in ids:
            _, state = model(character.view(1, 1), state)
            states.append(state)
    finally:
        model.train(was_training)
    return tuple(torch.stack([part[:, 0] for part in parts]) for parts in zip(*states, strict=True))


def recurrent_jacobians(model: CharRNN, ids: Tensor, state: State | None = None) -> Tensor:
    """Return the Jacobian of each state by the one before it, as the network reads.

    Args:
        model: any cell; it is read in evaluation mode.
        ids: (T,) int64.
        state: where to go on from, for one stream; None starts at zero.

    Returns:
        (T, S, S): entry [t, a, b] is the derivative of number a of the state after character t by
        number b of the state before it. The S numbers are those of h, layer by layer, and for an
        LSTM or CIFG those of c after them.
    """
    was_training = model.training
    model.eval()
    try:
        if state is None:
            _, state = model(ids[None, :1])
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
    size = sum(part.numel() for part in state)
    # One copy of the state for each number of the next: copy a yields row a of the Jacobian.
    copies = [part.detach().expand(-1, size, -1).clone().requires_grad_() for part in state]
    # cuDNN has no backward pass in evaluation mode; PyTorch's own layers have.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        _, after = model(character.expand(size, 1), tuple(copies))
        rows = torch.autograd.grad(_flat(after).diagonal().sum(), copies)
    return _flat(rows), tuple(part[:, :1] for part in after)


def _flat(state: State) -> Tensor:
    """Lay a state, parts (L, B, H), out as (B, S)."""
    return torch.cat([part.transpose(0, 1).flatten(1) for part in state], dim=1)


def largest_singular_values(jacobians: Tensor) -> np.ndarray:
    """Return the largest singular value of each Jacobian (T, S, S): (T,), the most it stretches.

    Pascanu et al. (2013) bound the gradient over many steps by products of these.
    """
    return torch.linalg.matrix_norm(jacobians, 2).cpu().numpy()


def gradient_by_lag(jacobians: Tensor) -> np.ndarray:
    """Return how strongly the last state depends on earlier ones: lags 1 … T -> spectral norm.

    Entry k - 1 is the largest singular value of the product of the last k Jacobians.
    """
    product, norms = torch.eye(jacobians.shape[-1]).to(jacobians), []
    for jacobian in reversed(jacobians):
        product = product @ jacobian
        norms.append(torch.linalg.matrix_norm(product, 2).item())
    return np.array(norms)


def find_spikes(losses: Sequence[float], span: int = 100, threshold: float = 6.0) -> list[int]:
    """Return the indices at which a loss jumps out of its recent range, upwards.

    A loss is a spike if it lies more than `threshold` robust standard deviations (1.4826 times the
    median absolute deviation) above the median of the `span` losses before it, or is not finite.
    The first tenth of a span is too little to judge by, and never one.
    """
    losses, spikes = np.asarray(losses, dtype=float), []
    for k in range(math.ceil(span / 10), len(losses)):
        before = losses[max(0, k - span) : k]
        before = before[np.isfinite(before)]
        limit = math.inf
        if len(before) > 1:
            middle = np.median(before)
            limit = middle + threshold * 1.4826 * np.median(abs(before - middle))
        if losses[k] > limit or not np.isfinite(losses[k]):
            spikes.append(k)
    return spikes


def suggest_clip(norms: Sequence[float], percentile: float = 90.0) -> float:
    """Return a clip value from the gradient norms of a short probe, trained without clipping.

    It is a percentile of the healthy norms, those that are finite and at most ten times their
    median. The first tenth is left out, since the network is then still nearly as it started. So
    ordinary gradients mostly pass as they are, and a burst is cut down to the size of a long
    ordinary one.

    Raises:
        ValueError: fewer norms than LEAST_STEPS, or none that is finite.
    """
    if len(norms) < LEAST_STEPS:
        raise ValueError(
            f"There are {len(norms)} norms; a probe needs at least {LEAST_STEPS} steps."
        )
    late = np.asarray(norms[len(norms) // 10 :], dtype=float)
    late = late[np.isfinite(late)]
    if not len(late):
        raise ValueError("No norm is finite: train the probe at a lower learning rate.")
    healthy = late[late <= 10 * np.median(late)]
    return float(np.percentile(healthy, percentile))
