"""Whether a network uses what can be read from its states: units are set, predictions are compared.

    effect = set_unit_effect(model, ids, states, unit, places, target, named)
    effect.clears  # whether it is more than other units do that are moved as far

That a unit follows a label does not say that the network uses it. So the unit is held, at many
places, at the mean that it has where the label is the opposite, and the probability of the
characters that should follow from the label is measured. Moving anything as far changes
predictions, too. So the same is done with each other unit of the layer, or with random directions.

Sizes in comments: P places, N characters, L layers, H units, K steps, V tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lstmlib.internals import logits_with
from lstmlib.metrics import Interval, mean_interval
from lstmlib.models import CharRNN, State
from lstmlib.probes import Unit
from lstmlib.validation import check_choice, check_whole

RANDOM = 50
"""Random directions that a push is compared with."""


@dataclass(frozen=True)
class Effect:
    """How far the probability of named characters falls, or rises, when a state is held.

    Attributes:
        places: P, at how many places it was held.
        before: the mean probability of the named characters as the network is.
        change: the mean change of it, in the direction that was claimed (a fall that was claimed
            counts as positive), with a bootstrap interval of 95 % over the places.
        control: the same of other units or directions, moved as far, each with the sign that helps
            the claim more: median, and the ends between which 95 % of them lie.
    """

    places: int
    before: float
    change: Interval
    control: Interval

    @property
    def clears(self) -> bool:
        """Whether the interval of the change lies above that of the control, and above 0."""
        return self.change.low > max(self.control.high, 0.0)


def set_unit_effect(
    model: CharRNN,
    ids: Tensor,
    states: State,
    unit: Unit,
    places: np.ndarray,
    target: float,
    named: Sequence[int],
    *,
    steps: int = 1,
    falls: bool = True,
    seed: int = 0,
) -> Effect:
    """Return what happens to the probability of named characters when one unit is held.

    The controls are all other units of the same part and layer. At each place and step each is held
    as far from its own value as the unit is from its own.

    Args:
        model: an LSTM or CIFG. It reads without dropout.
        ids: (N,) int64, the text.
        states: (h, c) along it, (N, L, H) each, as `unit_states` returns them.
        unit: which one is held.
        places: (P,), the characters after which the next one is predicted, all from `steps` on.
        target: the value that it is held at.
        named: ids of the characters whose probability is added up.
        steps: K, for how many characters it is held, the one at the place included.
        falls: whether the claim is that the probability falls.
        seed: of the bootstrap, and of random directions.

    Raises:
        ValueError: fewer than 2 places, a place, unit or id that is not there, no named character.
    """
    H = model.config["hidden_size"]
    check_choice("part", unit.part, ("h", "c"))
    check_whole("layer", unit.layer, 0, model.config["num_layers"] - 1)
    check_whole("unit", unit.number, 0, H - 1)
    run = _Run(model, ids, states, places, named, steps, 1 if falls else -1)
    axes = torch.eye(H).to(states[0])
    others = axes[np.arange(H) != unit.number]  # (H - 1, H)
    return run.effect(axes[unit.number], target, others, unit.layer, unit.part, seed)


def push_effect(
    model: CharRNN,
    ids: Tensor,
    states: State,
    direction: np.ndarray,
    places: np.ndarray,
    target: float,
    named: Sequence[int],
    *,
    layer: int,
    steps: int = 1,
    falls: bool = True,
    seed: int = 0,
) -> Effect:
    """Return what happens to named characters when c of a layer is held along a direction.

    c is pushed along the direction alone, as far as it takes. The controls are pushes as long along
    50 random directions.

    Args:
        direction: (H,), such as the weights of a probe of this layer's c.
        target: the value at which c · direction is held.
        layer: whose c is pushed, from 0.
        model, ids, states, places, named, steps, falls, seed: as for `set_unit_effect`.

    Raises:
        ValueError: as `set_unit_effect`, or a direction of another shape or of length 0.
    """
    H, length = model.config["hidden_size"], float(np.linalg.norm(direction))
    check_whole("layer", layer, 0, model.config["num_layers"] - 1)
    if np.shape(direction) != (H,) or not length > 0:
        raise ValueError(f"The direction has shape {np.shape(direction)}; give ({H},), not all 0.")
    run = _Run(model, ids, states, places, named, steps, 1 if falls else -1)
    drawn = np.random.default_rng(seed).normal(size=(RANDOM, H))
    random = torch.as_tensor(drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).to(states[1])
    along = torch.as_tensor(direction / length).to(states[1])  # (H,), of length 1
    return run.effect(along, target / length, random, layer, "c", seed)


class _Run:
    """The places at which states are held, and the network's predictions there."""

    def __init__(
        self,
        model: CharRNN,
        ids: Tensor,
        states: State,
        places: np.ndarray,
        named: Sequence[int],
        steps: int,
        sign: int,
    ) -> None:
        named = [check_whole("a named id", k, 0, model.vocab_size - 1) for k in named]
        check_whole("steps", steps, 1, len(ids) - 1)
        places = np.asarray(places)
        if len(places) < 2 or not named:
            raise ValueError(f"There are {len(places)} places and {len(named)} named characters.")
        if places.min() < steps or places.max() >= len(ids):
            raise ValueError(
                f"Places must lie in {steps} … {len(ids) - 1}: a state stands before each."
            )
        self.model, self.named, self.sign, self.states = model, named, sign, states
        # The characters at which a state is held, and the states before them, parts (L, P, H).
        self.read = torch.as_tensor(places)[:, None] + torch.arange(1 - steps, 1)  # (P, K)
        self.ids = ids[self.read]  # (P, K)
        self.before = tuple(part[self.read[:, 0] - 1].transpose(0, 1) for part in states)

    def effect(
        self, along: Tensor, target: float, others: Tensor, layer: int, part: str, seed: int
    ) -> Effect:
        """Return the effect of holding a state along one direction (H,) beside others, (n, H)."""
        values = self.states["hc".index(part)][self.read, layer]  # (P, K, H), as they are
        distance = target - values @ along  # (P, K)
        before = self.probability(lambda x: x, layer, part)

        def change(direction: Tensor, by: Tensor) -> np.ndarray:
            wanted = iter((values @ direction + by).unbind(1))  # (P,) for each step
            # The rest of the state goes its own way: only along the direction it is moved.
            edit = lambda x: x + (next(wanted) - x @ direction)[:, None] * direction  # noqa: E731
            return self.sign * (before - self.probability(edit, layer, part))  # (P,)

        control = [
            max(change(other, sign * distance).mean() for sign in (1, -1)) for other in others
        ]
        low, median, high = np.quantile(control, [0.025, 0.5, 0.975])
        return Effect(
            places=len(before),
            before=float(before.mean()),
            change=mean_interval(change(along, distance), seed=seed),
            control=Interval(float(median), float(low), float(high)),
        )

    def probability(self, edit: Callable[[Tensor], Tensor], layer: int, part: str) -> np.ndarray:
        """Return the probability of the named characters after each place, (P,)."""
        options = {"layer": layer, "part": part, "state": self.before}
        logits = logits_with(self.model, self.ids, edit, **options)[:, -1].double()  # (P, V)
        return logits.softmax(dim=-1)[:, self.named].sum(dim=-1).cpu().numpy()
