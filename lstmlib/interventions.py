"""Whether a network uses what can be read from its states: units are set, predictions are compared.

    effect = set_unit_effect(model, ids, states, unit, places, target, named)
    effect.clears  # whether it is more than a random unit does that is moved as far

That a unit follows a label does not say that the network uses it. So the unit is set, at many
places and at one step, to the mean that it has where the label is the opposite, and the probability
of the characters that should follow from the label is measured. A push as long in another direction
changes predictions, too. So the same is done with random units, or random directions.

Sizes in comments: P places, N characters, L layers, H units, V tokens.
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
"""Random units or directions that an effect is compared with."""


@dataclass(frozen=True)
class Effect:
    """How far the probability of named characters falls, or rises, when a state is set.

    Attributes:
        places: P, at how many places it was set.
        before: the mean probability of the named characters as the network is.
        change: the mean change of it, in the direction that was claimed (a fall that was claimed
            counts as positive), with a bootstrap interval of 95 % over the places.
        control: the same of random units or directions, moved as far, each with the sign that helps
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
    falls: bool = True,
    seed: int = 0,
) -> Effect:
    """Return what happens to the probability of named characters when one unit is set.

    Args:
        model: an LSTM or CIFG. It reads without dropout.
        ids: (N,) int64, the text.
        states: (h, c) along it, (N, L, H) each, as `unit_states` returns them.
        unit: which one is set.
        places: (P,), the characters after which it is set, all from 1.
        target: the value that it is set to.
        named: ids of the characters whose probability is added up.
        falls: whether the claim is that it falls.
        seed: of random units and of the bootstrap.

    Raises:
        ValueError: fewer than 2 places, a place, unit or id that is not there, no named character.
    """
    run = _Run(model, ids, states, places, named, 1 if falls else -1)
    H = model.config["hidden_size"]
    check_choice("part", unit.part, ("h", "c"))
    check_whole("layer", unit.layer, 0, model.config["num_layers"] - 1)
    check_whole("unit", unit.number, 0, H - 1)
    now = states["hc".index(unit.part)][run.places, unit.layer, unit.number]  # (P,)
    distance = target - now

    def move(number: int, by: Tensor) -> Callable[[Tensor], Tensor]:
        def edit(x: Tensor) -> Tensor:
            x = x.clone()  # (P, H)
            x[:, number] += by
            return x

        return edit

    others = np.delete(np.arange(H), unit.number)
    picked = np.random.default_rng(seed).choice(others, min(RANDOM, H - 1), replace=False)
    moves = [(move(int(k), distance), move(int(k), -distance)) for k in picked]
    return run.effect(move(unit.number, distance), moves, unit.layer, unit.part, seed)


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
    falls: bool = True,
    seed: int = 0,
) -> Effect:
    """Return what happens to named characters when c of a layer is pushed along a direction.

    Args:
        direction: (H,), such as the weights of a probe of this layer's c. Its length means nothing.
        target: what c · direction is after the push.
        layer: whose c is pushed, from 0.
        model, ids, states, places, named, falls, seed: as for `set_unit_effect`.

    Raises:
        ValueError: as `set_unit_effect`, or a direction of another shape or of length 0.
    """
    run = _Run(model, ids, states, places, named, 1 if falls else -1)
    H = model.config["hidden_size"]
    check_whole("layer", layer, 0, model.config["num_layers"] - 1)
    length = float(np.linalg.norm(direction))
    if np.shape(direction) != (H,) or not length > 0:
        raise ValueError(f"The direction has shape {np.shape(direction)}; give ({H},), not all 0.")
    along = torch.as_tensor(direction / length).to(states[1])  # (H,), of length 1
    distance = target / length - states[1][run.places, layer] @ along  # (P,)

    def push(towards: Tensor, by: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda c: c + by[:, None] * towards  # (P, H)

    drawn = np.random.default_rng(seed).normal(size=(RANDOM, H))
    random = torch.as_tensor(drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).to(along)
    pushes = [(push(each, distance), push(each, -distance)) for each in random]
    return run.effect(push(along, distance), pushes, layer, "c", seed)


class _Run:
    """The places at which states are set, and the network's predictions there."""

    def __init__(
        self,
        model: CharRNN,
        ids: Tensor,
        states: State,
        places: np.ndarray,
        named: Sequence[int],
        sign: int,
    ) -> None:
        named = [check_whole("a named id", k, 0, model.vocab_size - 1) for k in named]
        places = np.asarray(places)
        if len(places) < 2 or not named:
            raise ValueError(f"There are {len(places)} places and {len(named)} named characters.")
        if places.min() < 1 or places.max() >= len(ids):
            raise ValueError(f"Places must lie in 1 … {len(ids) - 1}: a state stands before each.")
        self.model, self.named, self.sign = model, named, sign
        self.places = torch.as_tensor(places, device=ids.device)
        self.ids = ids[self.places, None]  # (P, 1)
        # The states before these characters, parts (L, P, H).
        self.before = tuple(part[self.places - 1].transpose(0, 1) for part in states)

    def probability(self, edit: Callable[[Tensor], Tensor], layer: int, part: str) -> np.ndarray:
        """Return the probability of the named characters after each place, (P,)."""
        options = {"layer": layer, "part": part, "state": self.before}
        logits = logits_with(self.model, self.ids, edit, **options)[:, 0].double()  # (P, V)
        return logits.softmax(dim=-1)[:, self.named].sum(dim=-1).cpu().numpy()

    def effect(
        self,
        edit: Callable[[Tensor], Tensor],
        others: Sequence[tuple[Callable[[Tensor], Tensor], ...]],
        layer: int,
        part: str,
        seed: int,
    ) -> Effect:
        """Return the effect of an edit beside that of others, of which each has two signs."""
        before = self.probability(lambda x: x, layer, part)

        def change(one: Callable[[Tensor], Tensor]) -> np.ndarray:
            return self.sign * (before - self.probability(one, layer, part))  # (P,)

        control = [max(change(one).mean() for one in both) for both in others]
        low, median, high = np.quantile(control, [0.025, 0.5, 0.975])
        return Effect(
            places=len(before),
            before=float(before.mean()),
            change=mean_interval(change(edit), seed=seed),
            control=Interval(float(median), float(low), float(high)),
        )
