"""Measurements inside a network: gradients, updates, gates, states, Jacobians.

`fit` takes a `Diagnostics`, calls it at every step, and puts its record into the history. The
functions below it read such records, or look into a model.

Sizes in comments: B sequences, T steps, H units, L layers, S numbers in a state.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lstmlib.models import CharRNN, State, lstm_by_steps
from lstmlib.validation import check_whole

GATES = {
    "lstm": ("input gate", "forget gate", "candidate", "output gate"),
    "cifg": ("input gate", "candidate", "output gate"),
    "gru": ("reset gate", "update gate", "candidate"),
    "rnn": ("candidate",),
}
"""The blocks of H rows in a cell's matrices, in PyTorch's order."""
SATURATED = 0.05
"""A gate below this, or above 1 minus this, is saturated. There σ'(z) < 0.05."""
LEAST_STEPS = 20
"""The fewest steps of a probe that `suggest_clip` accepts."""


def parts_of(model: CharRNN) -> dict[str, list[tuple[nn.Parameter, slice]]]:
    """Return the parts of a network: name -> its rows of the trained weights, (weight, rows) each.

    The name of a part is that of a gate of a layer, "layer 1 · forget gate" (layers are counted
    from 1), or "embedding", "norm" or "output".
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
            rows = slice(k * H, (k + 1) * H)  # block k of a matrix (G·H, …) or a bias (G·H,)
            parts.setdefault(f"layer {layer} · {gate}", []).append((weight, rows))
    return parts


class Diagnostics:
    """A record of every step of `fit`, made by `fit(…, diagnostics=Diagnostics())`.

    Each row of the history then has "diagnostics", a dict of dicts:
        gradient, clipped: part (as in `parts_of`) -> L2 norm of its gradient before and after
            clipping.
        update: part -> L2 norm of the step over L2 norm of the weights after it.
        near_0, near_1: gate, such as "layer 1 · forget gate" -> share of its values that are
            saturated, see SATURATED. Only LSTM and CIFG have these two.

    The gates are read at the first characters of the batch, with the weights after the step and
    without dropout. Where several processes train, the gates are those of the first process's rows.
    Where a batch holds padded sequences, padding among these characters counts too.

    Args:
        characters: number of characters of each stream at which the gates are read, 1 or more.

    Raises:
        ValueError: characters is not a whole number, 1 or more.
    """

    def __init__(self, characters: int = 2) -> None:
        self.characters = check_whole("characters", characters)

    @torch.no_grad()
    def before_clipping(self, model: CharRNN) -> None:
        """Record the gradients that the backward pass left."""
        self.model, self.parts = model, parts_of(model)
        self.record = {"gradient": self._norms(lambda weight: weight.grad)}

    @torch.no_grad()
    def before_update(self, clipped: bool) -> None:
        """Keep the weights, and record the gradients after clipping.

        Args:
            clipped: whether clipping may have changed the gradients. If not, they are not measured
                again.
        """
        before = dict(self.record["gradient"])
        self.record["clipped"] = self._norms(lambda weight: weight.grad) if clipped else before
        trained = {weight for part in self.parts.values() for weight, _ in part}
        self.before = {weight: weight.clone() for weight in trained}

    @torch.no_grad()
    def after_update(self, ids: Tensor, state: State | None) -> dict:
        """Return the whole record of the step.

        Args:
            ids: the characters of the batch, (B, T).
            state: the state that the batch began with; None stands for zeros.
        """
        for weight, before in self.before.items():
            before.sub_(weight)  # in place, since every step of training pays for this
        moved = self._norms(lambda weight: self.before[weight])
        sizes = self._norms(lambda weight: weight)
        # Where all weights of a part are 0, the step is no share of them.
        shares = {part: moved[part] / sizes[part] if sizes[part] else None for part in sizes}
        record, self.before = self.record | {"update": shares}, None
        if self.model.config["cell"] in ("lstm", "cifg"):
            gates = gate_values(self.model, ids[:, : self.characters], state)  # (B, t, H) each
            record["near_0"] = {n: (g < SATURATED).float().mean().item() for n, g in gates.items()}
            record["near_1"] = {
                n: (g > 1 - SATURATED).float().mean().item() for n, g in gates.items()
            }
        return record

    def _norms(self, tensor_of: Callable[[nn.Parameter], Tensor]) -> dict[str, float]:
        """Return, for each part, the L2 norm of a tensor of its weights, such as the gradient."""
        # All norms are moved from the device at once: to wait for a GPU at each would cost more.
        pieces = [tensor_of(weight)[rows] for part in self.parts.values() for weight, rows in part]
        squares = iter(torch.stack([piece.norm() for piece in pieces]).square().tolist())
        return {name: sum(next(squares) for _ in part) ** 0.5 for name, part in self.parts.items()}


def series(rows: Sequence[dict], name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return one kind of record of a history, such as "gradient", as series over the steps.

    Args:
        rows: the rows of a history. Skipped steps have no record, and are left out.
        name: the kind of record, see `Diagnostics`.

    Returns:
        (steps (K,), part or gate -> values (K,) float64). A value that could not be measured is
        NaN.

    Raises:
        ValueError: the rows hold no record of that name.
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
    x, values = model.read(ids), {}  # x (B, T, D)
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


def find_spikes(losses: Sequence[float], span: int = 100, threshold: float = 6.0) -> list[int]:
    """Return the indices of spikes: losses far above those just before them.

    A loss is a spike if it lies more than `threshold` robust standard deviations above the median
    of the `span` losses before it, or if it is not finite. A robust standard deviation is 1.4826
    times the median absolute deviation. The first span / 10 losses are never spikes, since too few
    losses stand before them.

    Args:
        losses: one number a step, in order.
        span: number of losses that a loss is compared with.
        threshold: robust standard deviations above the median.
    """
    losses, spikes = np.asarray(losses, dtype=float), []
    for k in range(math.ceil(span / 10), len(losses)):
        before = losses[max(0, k - span) : k]
        before = before[np.isfinite(before)]
        # The median, since one spike among these losses would move their mean.
        limit = math.inf
        if len(before) > 1:
            middle = np.median(before)
            limit = middle + threshold * 1.4826 * np.median(abs(before - middle))
        if losses[k] > limit or not np.isfinite(losses[k]):
            spikes.append(k)
    return spikes


def suggest_clip(norms: Sequence[float], percentile: float = 90.0) -> float:
    """Return a clip value from the gradient norms of a probe: a short run without clipping.

    The value is a percentile of the healthy norms, which are finite and at most ten times the
    median. So most ordinary gradients pass unchanged, and a burst is cut to the norm of a large
    ordinary gradient. The first tenth of the norms is left out, since a network that has hardly
    begun to learn has other gradients.

    Args:
        norms: the global gradient norm of every step of the probe.
        percentile: the percentile of the healthy norms, 0 to 100.

    Raises:
        ValueError: there are fewer norms than LEAST_STEPS, or none is finite.
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
