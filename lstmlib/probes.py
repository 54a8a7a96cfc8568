"""What can be read from a network's states: linear probes and single units, beside controls.

    results = run_probes(as_features(states), as_features(untrained), labels, ids, train=60_000)
    results["in_string"].probe  # Interval(value, low, high) on characters that were never fitted

A linear probe (Alain & Bengio 2016) predicts a label of each character from the network's state
after that character. A high score alone shows little. An untrained network keeps its last
characters in its states, too; a probe with many weights can fit almost anything (Hewitt & Liang
2019); and of many units some follow any label a little (Karpathy et al. 2015 and Radford et al.
2017 show the best ones). So every score stands beside that of controls, on the same characters.

A probe finds what can be read, not what is used: see `lstmlib.interventions`.

Sizes: N characters, n of them fitted on, M scored, L layers, H units, S numbers in a state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse
from torch import Tensor

from lstmlib.metrics import Interval
from lstmlib.models import State
from lstmlib.validation import check_whole

PENALTY = 100.0
"""Of the squared weights of a probe, beside the sum of its losses: as of 100 more characters."""
FEWEST = 10
"""Blocks that must hold a label that is true, and one that is false: else no interval is right."""


class Unit(NamedTuple):
    """One number of a state: its part ("h" or "c"), its layer and its number, both from 0."""

    part: str
    layer: int
    number: int


@dataclass(frozen=True)
class LinearProbe:
    """A linear function of a state.

    Attributes:
        weights: (S,), in the units of the states.
        bias: added to it.
    """

    weights: np.ndarray
    bias: float

    def read(self, features: np.ndarray) -> np.ndarray:
        """Return what the probe reads: (n, S) -> (n,): log odds, or the number itself."""
        return features @ self.weights + self.bias


@dataclass(frozen=True)
class ProbeResult:
    """How well a label can be read, and how well from controls; all on the same M characters.

    Attributes:
        label: its name.
        measure: "AUC" of a boolean: how often a character at which it is true gets more than one at
            which it is false, 0.5 by chance. "R2" of a number: the share of its variance that is
            explained, 0 for its mean, below 0 for worse.
        mean: of the label over the scored characters.
        probe: the score of a linear probe on all S numbers.
        unit: the score of the single number that was best where the probe was fitted.
        best: which one it is.
        untrained: control: the probe on an untrained network of the same shape.
        untrained_unit: control: its best single number.
        shuffled: control: the probe where the blocks of the label were shuffled.
        projection: control: the best of S random projections of the state.
        last_characters: the probe on the last characters alone, one-hot: what the input says.
        over: how much more than a control, with the interval of the difference: "untrained",
            "shuffled", "last_characters" (the probe), "projection", "untrained_unit" (the unit).
    """

    label: str
    measure: str
    mean: float
    probe: Interval
    unit: Interval
    best: Unit
    untrained: Interval
    untrained_unit: Interval
    shuffled: Interval
    projection: Interval
    last_characters: Interval
    over: dict[str, Interval]

    @property
    def learnt(self) -> bool:
        """Whether training brought it: the probe is above both its controls."""
        return self.over["untrained"].low > 0 and self.over["shuffled"].low > 0

    @property
    def remembered(self) -> bool:
        """Whether the states say more of it than the last characters do."""
        return self.over["last_characters"].low > 0

    @property
    def in_one_unit(self) -> bool:
        """Whether a single number stands out: it is above both its controls."""
        return self.over["projection"].low > 0 and self.over["untrained_unit"].low > 0


def as_features(states: State) -> np.ndarray:
    """Return states along a text as one row a character: parts (N, L, H) -> (N, S) float32.

    The S numbers are those of h, layer by layer; those of c follow.
    """
    return np.concatenate([_flat(part) for part in states], axis=1)


def _flat(part: Tensor) -> np.ndarray:
    return part.flatten(1).cpu().float().numpy()


def unit_of(index: int, layers: int, hidden_size: int) -> Unit:
    """Return which number of a state stands at an index of `as_features`."""
    part, rest = divmod(index, layers * hidden_size)
    return Unit("hc"[part], *divmod(rest, hidden_size))


def fit_probe(features: np.ndarray, label: np.ndarray) -> LinearProbe:
    """Fit a linear probe: logistic regression of a boolean, ridge regression of a number.

    Both are scikit-learn's, on states that are standardised, with `PENALTY` on their weights.

    Args:
        features: (n, S).
        label: (n,), bool or float.

    Raises:
        ValueError: the label is the same everywhere, or the states are not finite.
    """
    if label.min() == label.max():
        raise ValueError(f"The label is {label[0]} at each of the {len(label)} characters.")
    if not np.isfinite(features).all():
        raise ValueError("The states are not all finite: has the training of the network diverged?")
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1  # a number that never changes, and says nothing
    weights, bias = _fit((features - mean) / scale, label)
    weights = weights / scale
    return LinearProbe(weights.astype(np.float32), float(bias - mean @ weights))


def _fit(features: np.ndarray | sparse.csr_matrix, label: np.ndarray) -> tuple[np.ndarray, float]:
    """Return weights (S,) and bias of a regression on features as they are."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if label.dtype == bool:
        model = LogisticRegression(C=1 / PENALTY, max_iter=1000, tol=1e-3).fit(features, label)
        return model.coef_[0], float(model.intercept_[0])
    model = Ridge(alpha=PENALTY).fit(features, label)
    return model.coef_, float(model.intercept_)


def run_probes(
    features: np.ndarray,
    untrained: np.ndarray,
    labels: Mapping[str, np.ndarray],
    ids: np.ndarray,
    *,
    train: int,
    layers: int = 2,
    places: int = 20_000,
    characters: int = 8,
    block: int = 500,
    draws: int = 300,
    seed: int = 0,
) -> dict[str, ProbeResult]:
    """Return how well each label can be read from a network's states, beside all controls.

    Probes are fitted on characters drawn from the first part of the text, and single numbers chosen
    there. All is scored on every character of the later part, which begins a block further on. The
    intervals of 95 % are percentile bootstrap intervals over blocks of consecutive characters
    (Künsch 1989), since neighbours are alike; the draws are the same for each score, so that
    differences have an interval as well. It is the interval over texts like this one, not over
    networks.

    Args:
        features: (N, S), states of the network, as `as_features` returns them.
        untrained: (N, S), those of an untrained network of the same shape on the same text.
        labels: name -> (N,), bool or float.
        ids: (N,), the characters themselves.
        train: how many characters the first part has.
        layers: L.
        places: how many of these are fitted on at most.
        characters: how many last characters the probe on the input alone gets.
        block: characters of a block.
        draws: how often blocks are drawn.
        seed: of all that is drawn.

    Returns:
        name -> `ProbeResult`.

    Raises:
        ValueError: lengths that differ, parts that are too short, or a label that is the same
            almost everywhere.
    """
    split = _Split(len(ids), train, places, characters, block, draws, seed)
    sizes = {len(features), len(untrained), len(ids), *map(len, labels.values())}
    if len(sizes) > 1:
        raise ValueError(f"States, labels and ids have the lengths {sorted(sizes)}; give one each.")
    for name, label in labels.items():
        split.check(name, label)
    own, other = _Side(features, split), _Side(untrained, split)
    random = _Side(_projected(features, split), split)
    inputs = _one_hot(ids, characters)
    hidden_size = features.shape[1] // (2 * layers)
    results = {}
    for name, label in labels.items():
        shuffled = split.shuffled(label)
        k = own.best(label)
        scores = {
            "probe": own.probe(label),
            "unit": own.unit(label, k),
            "untrained": other.probe(label),
            "untrained_unit": other.unit(label, other.best(label)),
            "shuffled": own.probe(shuffled),
            "projection": random.unit(label, random.best(label)),
            "last_characters": split.score(_read_inputs(inputs, label, split), label),
        }
        over = {
            **{c: scores["probe"] - scores[c] for c in ("untrained", "shuffled")},
            "last_characters": scores["probe"] - scores["last_characters"],
            **{c: scores["unit"] - scores[c] for c in ("projection", "untrained_unit")},
        }
        results[name] = ProbeResult(
            label=name,
            measure="AUC" if label.dtype == bool else "R2",
            mean=float(label[split.scored].mean()),
            best=unit_of(k, layers, hidden_size),
            over={control: _interval(drawn) for control, drawn in over.items()},
            **{what: _interval(drawn) for what, drawn in scores.items()},
        )
    return results


class _Split:
    """Which characters are fitted on and which are scored, and the draws of their blocks."""

    def __init__(
        self, length: int, train: int, places: int, first: int, block: int, draws: int, seed: int
    ) -> None:
        for name, value in (("places", places), ("characters", first), ("block", block)):
            check_whole(name, value)
        check_whole("draws", draws, 20)
        check_whole("train", train, first + 1, length - 1)
        self.scored = np.arange(train + block, length)  # (M,)
        self.blocks = np.arange(len(self.scored)) // block  # (M,): the block of each character
        count = self.blocks[-1] + 1 if len(self.blocks) else 0
        if count < FEWEST:
            raise ValueError(
                f"{length} characters, of which the first {train} are fitted on, leave {count} "
                f"blocks of {block} to score; it takes {FEWEST}. Take a longer text, or smaller "
                "blocks."
            )
        self.rng = np.random.default_rng(seed)
        open_to = np.arange(first - 1, train)  # characters that have enough others before them
        drawn = self.rng.choice(open_to, min(places, len(open_to)), replace=False)
        self.fitted = np.sort(drawn)  # (n,)
        picks = self.rng.integers(count, size=(draws, count))
        # How often each draw has each block; row 0 is all blocks as they are: (draws + 1, blocks).
        counts = [np.ones(count), *(np.bincount(pick, minlength=count) for pick in picks)]
        self.counts = np.array(counts, dtype=np.float64)
        self.train, self.block = train, block

    def check(self, name: str, label: np.ndarray) -> None:
        """Raise ValueError unless a label differs often enough where it is scored."""
        label = label[self.scored]
        sides = (label, ~label) if label.dtype == bool else (label != np.median(label),)
        for side in sides:
            if len(np.unique(self.blocks[side])) < FEWEST:
                raise ValueError(
                    f"{name!r} is almost everywhere the same in the part that is scored; give a "
                    "longer text, or leave it out."
                )

    def shuffled(self, label: np.ndarray) -> np.ndarray:
        """Return a label with its blocks in another order, within each part: (N,)."""
        cut = self.train
        return np.concatenate([self._mixed(label[:cut]), self._mixed(label[cut:])])

    def _mixed(self, label: np.ndarray) -> np.ndarray:
        blocks = [label[k : k + self.block] for k in range(0, len(label), self.block)]
        return np.concatenate([blocks[k] for k in self.rng.permutation(len(blocks))])

    def score(self, read: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return the score of what was read, (M,), on all blocks and on each draw: (1 + draws,)."""
        label = label[self.scored]
        if label.dtype == bool:
            return _auc(read, label, self.blocks, self.counts)
        return _r2(read, label, self.blocks, self.counts)


def _auc(read: np.ndarray, label: np.ndarray, blocks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve for each row of counts, (R,); a tie counts half."""
    values, rank = np.unique(read, return_inverse=True)
    areas = []
    for drawn in counts:
        weight = drawn[blocks]  # (M,): how often each character was drawn
        true = np.bincount(rank[label], weight[label], len(values))
        false = np.bincount(rank[~label], weight[~label], len(values))
        below = false.cumsum() - false / 2
        areas.append(true @ below / (true.sum() * false.sum()))
    return np.array(areas)


def _r2(read: np.ndarray, label: np.ndarray, blocks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return 1 - (squared error) / (squared deviation from the mean) for each row of counts."""
    terms = (np.ones(len(label)), label, label**2, (label - read) ** 2)
    n, total, squares, error = (counts @ np.bincount(blocks, term) for term in terms)  # (R,) each
    return 1 - error / (squares - total**2 / n)


def _interval(drawn: np.ndarray) -> Interval:
    """Return the first value, and the interval that holds 95 % of the others."""
    low, high = np.quantile(drawn[1:], [0.025, 0.975])
    return Interval(float(drawn[0]), float(low), float(high))


class _Side:
    """States on which probes are fitted and scored."""

    def __init__(self, features: np.ndarray, split: _Split) -> None:
        self.features, self.split = features, split
        self.fitted = features[split.fitted]  # (n, S)
        centred = self.fitted - self.fitted.mean(axis=0)
        self.standard = centred / (centred.std(axis=0) + 1e-12)
        columns = np.ascontiguousarray(self.fitted.T)  # sorting goes along memory
        order = columns.argsort(axis=1)
        # The rank of each number among those of its unit, (S, n): 0 for the lowest.
        self.ranks = np.empty(order.shape, dtype=np.float32)
        np.put_along_axis(self.ranks, order, np.arange(order.shape[1], dtype=np.float32)[None], 1)

    def probe(self, label: np.ndarray) -> np.ndarray:
        """Return the scores of a probe of all numbers, (1 + draws,)."""
        probe = fit_probe(self.fitted, label[self.split.fitted])
        return self.split.score(probe.read(self.features[self.split.scored]), label)

    def best(self, label: np.ndarray) -> int:
        """Return which number follows the label most closely where probes are fitted."""
        return int(abs(self._strength(label)).argmax())

    def unit(self, label: np.ndarray, k: int) -> np.ndarray:
        """Return the scores of one number, (1 + draws,), with the sign or line fitted to it."""
        read = self.features[self.split.scored, k]
        if label.dtype == bool:
            return self.split.score(read * np.sign(self._strength(label)[k]), label)
        slope, bias = np.polyfit(self.fitted[:, k], label[self.split.fitted], 1)
        return self.split.score(slope * read + bias, label)

    def _strength(self, label: np.ndarray) -> np.ndarray:
        """Return AUC - 1/2 of each number, or its correlation with the label: (S,)."""
        label = label[self.split.fitted]
        if label.dtype == bool:
            true, false = label.sum(), (~label).sum()
            # Mann & Whitney: the mean rank where it is true says how many false ones lie below.
            above = self.ranks @ label.astype(np.float32) - true * (true - 1) / 2
            return above / (true * false) - 0.5
        return (label - label.mean()) @ self.standard / (len(label) * label.std())


def _projected(features: np.ndarray, split: _Split) -> np.ndarray:
    """Return S random projections of standardised states, (N, S)."""
    scale = features[split.fitted].std(axis=0) + 1e-12
    size = features.shape[1]
    directions = split.rng.normal(size=(size, size)) / scale[:, None]
    return features @ directions.astype(np.float32)


def _one_hot(ids: np.ndarray, characters: int) -> sparse.csr_matrix:
    """Return the last characters of each place, one-hot: (N, characters · V); before the first, 0.

    The character itself is among them.
    """
    size = int(ids.max()) + 1
    rows, columns = [], []
    for back in range(min(characters, len(ids))):
        rows.append(np.arange(back, len(ids)))
        columns.append(ids[: len(ids) - back] + back * size)
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(len(ids), characters * size))


def _read_inputs(inputs: sparse.csr_matrix, label: np.ndarray, split: _Split) -> np.ndarray:
    """Return what a probe of the last characters reads of the scored ones, (M,)."""
    weights, bias = _fit(inputs[split.fitted], label[split.fitted])
    return inputs[split.scored] @ weights + bias
