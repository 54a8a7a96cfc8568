"""What goes on in a step of training: gradients, updates, saturated gates, spikes.

`fit` takes a `Diagnostics`, calls it at every step, and puts its record into the history. The
functions below it read such records. `lstmlib.internals` looks into a network that stands still.

Sizes in comments: B sequences, T steps, H units, G gates, K recorded steps.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lstmlib.internals import GATES, gate_values
from lstmlib.models import CharRNN, State
from lstmlib.validation import check_whole

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
