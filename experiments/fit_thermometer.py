"""Fit the thermometer to its recorded runs, and judge it on texts that it has not seen.

    .venv/bin/python -m experiments.fit_thermometer runs/thermometer --texts FOLDER

The runs stand in result.json. features.json has what is known of each text before training; what
is missing there is measured, for which the text must be there. The fit goes to
lstmlib/thermometer.json, where `lstmlib.thermometer` reads it, and its judgement to judged.json.

Runs of more than LONGEST characters are not fitted; judged.json says what the fit predicts of them.

The fit is a robust ridge regression (Hoerl & Kennard 1970, Huber 1964). What grows with the
characters has weights of 0 or less. The fit is judged by leaving out one package after the other,
with all texts of it. What is fitted, scaled, chosen and widened then knows nothing of the package
that is left out. Within the others, leaving out one after the other once more chooses the strength
of the ridge, and gives the errors that the interval is made of. Which columns the regression reads
was decided by hand, with the errors on these runs in sight.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear

from experiments.common import read_json, read_settings, rounded, run_program, write_json
from experiments.thermometer_texts import OPTIONS, Settings
from lstmlib.thermometer import Features, measure_features, predict_loss, row_of
from lstmlib.vocab import Vocab

GROWING = ("first reading", "rereading", "rereading × size", "larger network × size")
GROWING += ("characters × gain beyond trigrams",)
"""What grows with the characters: no weight of these is above 0."""
READ = ("2-gram", "3-gram", "best n-gram", "3-gram of less text", "5-gram of less text", "alphabet")
READ += GROWING
"""What the regression reads."""
SPREAD = ("size", "alphabet", "copied")
"""What the size of an error is made of."""
RIDGES = (0.1, 0.3, 1.0)
"""Strengths of the ridge, of which one is chosen."""
ROUNDS = 5
"""Of the regression, from the second on with the errors of the one before."""
LONGEST = 6_400_000
"""Characters of the longest runs that are fitted. There the loss still falls with the logarithm of
the characters; later it levels off, and the few longer runs are too few to say how."""
COVERED = 0.8
"""The share of runs that the interval is to hold."""


@dataclass(frozen=True)
class Run:
    """A recorded run, with what was known before it.

    Attributes:
        text: its name.
        package: where the text comes from.
        kind: of text.
        budget: characters that were asked for.
        characters: that it was trained on.
        loss: its best, in nats per character of the last tenth.
        features: of the text.
    """

    text: str
    package: str
    kind: str
    budget: int
    characters: int
    loss: float
    features: Features


def read_runs(folder: Path) -> tuple[list[Run], list[Run]]:
    """Return the recorded runs of all texts whose features are known: the fitted, the longer."""
    settings = read_settings(folder, Settings)
    of = {name: settings.source_of(name) for name in settings.pieces}
    features = {
        name: as_features(each) for name, each in read_json(folder / "features.json").items()
    }
    runs = []
    for name, run in read_json(folder / "result.json")["runs"].items():
        text, budget = name.rsplit(" ", 1)
        if text in features and text in of:
            about = (text, of[text].package, of[text].kind, int(budget))
            runs.append(Run(*about, run["characters"], run["valid_loss"], features[text]))
    return (
        [run for run in runs if run.budget <= LONGEST],
        [run for run in runs if run.budget > LONGEST],
    )


def as_features(values: dict) -> Features:
    """Return features from what JSON holds of them."""
    return Features(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})


# The fit


def ridge(
    x: np.ndarray, y: np.ndarray, strength: float, most: np.ndarray, rounds: int = ROUNDS
) -> np.ndarray:
    """Return constant and weights, (1 + F,), of a ridge regression whose weights are bounded.

    After the first round, a run with a large error counts less, as in Huber 1964: one table or
    catalogue that is unlike all other texts would else bend the fit for all of them.

    Args:
        x: what is known, (n, F).
        y: what is to be predicted, (n,).
        strength: of the ridge, on features of mean 0 and deviation 1.
        most: the largest weight of each feature, (F,), 0 or infinity.
        rounds: 1 for least squares.
    """
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z, counts = (x - mean) / scale, np.ones(len(y))  # how much each run counts, (n,)
    for _ in range(rounds):
        center, level = np.average(z, axis=0, weights=counts), np.average(y, weights=counts)
        root = np.sqrt(counts)
        # A ridge is least squares with a row more for each weight, which asks it to be 0.
        rows = np.vstack([root[:, None] * (z - center), np.sqrt(strength) * np.eye(x.shape[1])])
        wanted = np.concatenate([root * (y - level), np.zeros(x.shape[1])])
        bounds = (-np.inf, np.maximum(most, 1e-12))
        weights = lsq_linear(rows, wanted, bounds, method="bvls").x
        errors = np.abs(y - level - (z - center) @ weights)
        # 1.345 robust standard deviations, Huber's usual limit.
        limit = 1.345 * 1.4826 * np.median(errors) + 1e-9
        counts = np.minimum(1.0, limit / np.maximum(errors, 1e-12))
    weights = weights / scale
    return np.concatenate([[level - (mean + scale * center) @ weights], weights])


def left_out(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, strength: float, most: np.ndarray
) -> np.ndarray:
    """Return the error at each run, (n,), of a regression that has not seen its group."""
    errors = np.empty(len(y))
    for group in np.unique(groups):
        out = groups == group
        constant, *weights = ridge(x[~out], y[~out], strength, most)
        errors[out] = y[out] - constant - x[out] @ weights
    return errors


def fit(runs: list[Run]) -> dict:
    """Return what `predict_loss` reads, fitted to runs."""
    rows = [row_of(run.features, run.characters) for run in runs]
    y = np.array([run.loss for run in runs])
    groups = np.array([run.package for run in runs])
    if len(set(groups)) < 2:
        raise ValueError("The runs are of fewer than 3 packages: train on more texts first.")

    def table(names: tuple[str, ...]) -> np.ndarray:
        return np.array([[row[name] for name in names] for row in rows])

    x, most = table(READ), np.where(np.isin(READ, GROWING), 0.0, np.inf)  # (n, F), (F,)
    tried = {r: np.abs(left_out(x, y, groups, r, most)) for r in RIDGES}
    # The worst fifth has no say: the interval does not hold it either.
    held = math.ceil(COVERED * len(y))
    strength = min(RIDGES, key=lambda r: np.sort(tried[r])[:held].mean())
    errors = tried[strength]
    constant, *weights = ridge(x, y, strength, most)
    # How large an error is to be expected: a regression of its logarithm, held close to a constant.
    spread = table(SPREAD)
    logs = np.log(errors + 0.01)
    level, *slopes = ridge(spread, logs, 10.0, np.full(len(SPREAD), np.inf))
    relative = errors / np.exp(level + spread @ slopes)
    rank = min(int(np.ceil(COVERED * (len(runs) + 1))), len(runs))
    ranges = {
        "size": [run.features.size for run in runs],
        "alphabet": [run.features.alphabet for run in runs],
        "characters": [run.characters for run in runs],
        "5-gram": [run.features.five_gram for run in runs],
    }
    return {
        "constant": constant,
        "weights": dict(zip(READ, weights, strict=True)),
        "ridge": strength,
        "spread": {"constant": level, "weights": dict(zip(SPREAD, slopes, strict=True))},
        "width": np.sort(relative)[rank - 1],
        "range": {name: [min(values), max(values)] for name, values in ranges.items()},
        "made_of": {"runs": len(runs), "packages": len(set(groups))},
    }


# How good it is


def judge(runs: list[Run]) -> list[dict]:
    """Return for each run what is predicted of it by a fit that has not seen its package."""
    judged = []
    for package in sorted({run.package for run in runs}):
        others = [run for run in runs if run.package != package]
        fitted = fit(others)
        for run in runs:
            if run.package == package:
                expected = predict_loss(run.features, run.characters, fitted)
                near = [o for o in others if o.budget == run.budget] or others
                constant = np.median([o.features.five_gram - o.loss for o in near])
                judged.append(
                    {
                        "text": run.text,
                        "kind": run.kind,
                        "budget": run.budget,
                        "loss": run.loss,
                        "predicted": expected.loss,
                        "low": expected.low,
                        "high": expected.high,
                        "five_gram": run.features.five_gram,
                        "five_gram_less": run.features.five_gram - constant,
                    }
                )
    return judged


def figures(judged: list[dict]) -> dict:
    """Return how good predictions are: errors in nats per character, and the share covered."""

    def median_error(name: str) -> float:
        return float(np.median([abs(each["loss"] - each[name]) for each in judged]))

    inside = [each["low"] <= each["loss"] <= each["high"] for each in judged]
    return {
        "runs": len(judged),
        "median_error": median_error("predicted"),
        "covered": float(np.mean(inside)),
        "median_width": float(np.median([each["high"] - each["low"] for each in judged])),
        "five_gram_error": median_error("five_gram"),
        "five_gram_less_error": median_error("five_gram_less"),
    }


def summary(judged: list[dict]) -> dict:
    """Return the figures of all runs, and of those of each kind and of each budget."""
    parts = {"all": figures(judged)}
    for by in ("budget", "kind"):
        values = sorted({each[by] for each in judged})
        parts[by] = {str(v): figures([e for e in judged if e[by] == v]) for v in values}
    return parts


def beyond(longer: list[Run], fitted: dict) -> list[dict]:
    """Return what the fit predicts of runs that are longer than those that it was made of."""
    rows = []
    for run in longer:
        expected = predict_loss(run.features, run.characters, fitted)
        row = {"text": run.text, "characters": run.characters, "loss": run.loss}
        row |= {"predicted": expected.loss, "low": expected.low, "high": expected.high}
        rows.append(row)
    return rows


def measure_missing(folder: Path, texts: Path) -> None:
    """Measure the features of the texts that were trained on, those that are not measured yet."""
    path = folder / "features.json"
    known = read_json(path) if path.exists() else {}
    trained = {name.rsplit(" ", 1)[0] for name in read_json(folder / "result.json")["runs"]}
    settings = read_settings(folder, Settings)
    for name in settings.pieces:
        if name in trained and name not in known:
            text = settings.text_of(name, texts)
            vocab = Vocab.from_text(text)
            features = measure_features(vocab.encode(text), len(vocab))
            # As a dictionary of what JSON has.
            known[name] = rounded(json.loads(json.dumps(asdict(features))), 5)
            write_json(path, known)


DATA = Path(__file__).resolve().parents[1] / "lstmlib" / "thermometer.json"
"""What lstmlib.thermometer reads."""


def main(folder: Path, texts: Path) -> None:
    """Measure what is missing, fit, judge, and write it all."""
    measure_missing(folder, texts)
    runs, longer = read_runs(folder)
    fitted = fit(runs)
    judged = rounded(summary(judge(runs)) | {"beyond": beyond(longer, fitted)}, 4)
    write_json(folder / "judged.json", judged)
    write_json(DATA, rounded(fitted, 6))
    for name, value in judged["all"].items():
        print(f"{name:<22} {value}")


if __name__ == "__main__":
    run_program(main, __doc__, "runs/thermometer", 1, OPTIONS)
