"""Ask what the states of a recorded network hold, and whether it uses that.

    .venv/bin/python -m experiments.probe_units runs/inside-python

The folder holds a network of `experiments.train_text`. It reads the beginning of its held-out text.
Labels say what is true at each character (`lstmlib.annotations`). Probes are fitted on the first
part and scored on the rest, beside controls (`lstmlib.probes`). Then the best unit of each label,
and the direction of a probe, are held as if the label were the opposite (`lstmlib.interventions`).

The program writes probes.json, and passage.txt, a piece of the held-out text that shows the labels.
It takes a few minutes, on one thread; stopped before its end, it leaves nothing but passage.txt.
"""

import ast
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from experiments.common import (
    corpus_text,
    read_settings,
    rounded,
    run_program,
    sha256,
    versions,
)
from experiments.train_text import Settings
from lstmlib.annotations import prose_labels, python_labels
from lstmlib.batching import split
from lstmlib.cleaning import clean
from lstmlib.internals import unit_states
from lstmlib.interventions import Effect, push_effect, set_unit_effect
from lstmlib.models import CharRNN, State
from lstmlib.probes import ProbeResult, Unit, as_features, fit_probe, run_probes
from lstmlib.serialization import atomic_write, load_model
from lstmlib.vocab import Vocab

SEEDS = (1, 2, 3)
READ = 120_000
"""Characters of the held-out text that are read at most."""
FITTED = 0.6
"""Their share on which probes are fitted; the rest is scored."""
PLACES = 200
"""At how many characters, of each seed, a state is held; where there are fewer, none is."""
WAYS = {"at once": 1, "held": 5}
"""For how many characters it is held before a prediction is looked at."""
PASSAGE = (1500, 2500)
"""Characters of passage.txt."""
DIGITS = 3
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Claim:
    """What the network should predict from a label, if it uses what it knows of it.

    Attributes:
        label: which one.
        characters: where the label is present, one of these may follow; where it is absent, less.
        present, absent: the label -> where it counts as the one or the other, (N,) bool.
        after: what comes after this character alone is looked at; "" is after any.
    """

    label: str
    characters: str
    present: Callable[[np.ndarray], np.ndarray] = lambda label: label
    absent: Callable[[np.ndarray], np.ndarray] = lambda label: ~label
    after: str = ""


def between(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the test whether a number lies in low … high."""
    return lambda label: (label >= low) & (label <= high)


KINDS = {
    "shakespeare": (
        prose_labels,
        ("inside_word", "speaker", "line_position"),
        (
            Claim("inside_word", LETTERS),
            Claim("speaker", ":"),
            Claim("line_position", "\n", between(30, 80), between(1, 10)),
        ),
    ),
    "python-source": (
        python_labels,
        (
            *("in_string", "in_comment", "in_name"),
            *("bracket_depth", "indentation", "line_position"),
        ),
        (
            Claim("in_string", "\"'"),
            Claim("in_comment", "=([_", lambda label: ~label, lambda label: label),
            Claim("in_name", LETTERS + "_"),
            Claim("bracket_depth", ")]}", between(1, 99), between(0, 0)),
            Claim("indentation", " ", between(4, 99), between(0, 0), after="\n"),
            Claim("line_position", "\n", between(60, 120), between(1, 20)),
        ),
    ),
}
"""Corpus -> what makes its labels, which are asked for, and what should follow from them."""


def main(folder: Path) -> None:
    """Probe the network of a folder, and write what was found beside it.

    Raises:
        ValueError: the folder is done, or holds no network on a text whose labels are known.
    """
    settings = read_settings(folder, Settings)
    if settings.corpus not in KINDS:
        raise ValueError(
            f"The labels of {settings.corpus} are not known, only of {', '.join(KINDS)}."
        )
    if not (folder / "model.safetensors").exists():
        raise ValueError(f"{folder} has no network yet: run experiments.train_text on it first.")
    if (folder / "probes.json").exists():
        raise ValueError(f"{folder} is probed already; delete its probes.json to do it anew.")
    annotate, wanted, claims = KINDS[settings.corpus]
    text, _ = clean(corpus_text(settings.corpus), **settings.clean)
    model, vocab = load_model(folder / "model.safetensors")
    held_out = len(split(vocab.encode(text))[0])  # where the held-out part begins
    known, read = annotate(text), slice(held_out, held_out + READ)
    study = Study(model.float().eval(), vocab, text[read], {n: known[n][read] for n in wanted})
    starts = statements(text) if settings.corpus == "python-source" else speeches(text)
    starts = [k for k in starts if held_out + study.fitted <= k <= held_out + len(study.text)]
    atomic_write(folder / "passage.txt", passage(text, starts, annotate).encode())
    found = [study.probe(settings, seed) for seed in SEEDS]
    result = {
        "text": {"sha256": sha256(text), "read": len(study.text), "fitted": study.fitted},
        "seeds": list(SEEDS),
        "versions": versions(),
        "labels": {name: summary([each[name] for each in found]) for name in wanted},
        "interventions": [study.intervene(claim, found) for claim in claims],
    }
    # One line: thousands of numbers, each on a line of its own, would be three times as long.
    atomic_write(folder / "probes.json", (json.dumps(rounded(result, DIGITS)) + "\n").encode())


class Study:
    """A network, the text that it reads, what is true there, and its states."""

    def __init__(
        self, model: CharRNN, vocab: Vocab, text: str, labels: Mapping[str, np.ndarray]
    ) -> None:
        self.model, self.vocab, self.text, self.labels = model, vocab, text, labels
        self.ids = torch.as_tensor(vocab.encode(text))  # (N,)
        self.fitted = int(FITTED * len(text))
        self.states: State = unit_states(model, self.ids)  # (N, L, H) each
        self.features = as_features(self.states)  # (N, S)
        self.characters = np.array(list(text))  # (N,)

    def probe(self, settings: Settings, seed: int) -> dict[str, ProbeResult]:
        """Return the results of one seed, of which the untrained network is as well."""
        torch.manual_seed(seed)
        untrained = CharRNN(len(self.vocab), **settings.model).eval()
        return run_probes(
            self.features,
            as_features(unit_states(untrained, self.ids)),
            self.labels,
            self.ids.numpy(),
            train=self.fitted,
            layers=self.model.config["num_layers"],
            seed=seed,
        )

    def intervene(self, claim: Claim, found: list[dict[str, ProbeResult]]) -> dict:
        """Return what happens to a claim's characters when its label is made to look the opposite.

        Their probability should fall where the label is present and one of them comes next, and
        rise where the label is absent.
        """
        label = self.labels[claim.label]
        here = np.isin(self.characters, list(claim.after or self.vocab.tokens))
        present, absent = claim.present(label) & here, claim.absent(label) & here
        followed = np.isin(np.append(self.characters[1:], "\0"), list(claim.characters))
        direction = self.direction(present, absent)
        sides = {"falls": (present & followed, absent), "rises": (absent, present)}
        entry = {"label": claim.label, "characters": claim.characters, "after": claim.after}
        for side, (where, opposite) in sides.items():
            where = np.flatnonzero(where[self.fitted :]) + self.fitted
            entry[side] = {"places": len(where)}
            for way, steps in WAYS.items() if len(where) >= PLACES else ():
                units, pushes = [], []
                for seed, results in zip(SEEDS, found, strict=True):
                    drawn = np.random.default_rng(seed).choice(where, PLACES, replace=False)
                    options = {"steps": steps, "falls": side == "falls", "seed": seed}
                    options |= {"places": drawn, "named": self.named(claim)}
                    best = results[claim.label].best
                    units.append(self.set_unit(best, opposite, options))
                    pushes.append(self.push(*direction, opposite, options))
                entry[side][way] = {"unit": together(units), "direction": together(pushes)}
        return entry

    def named(self, claim: Claim) -> list[int]:
        """Return the ids of a claim's characters, of those that the vocabulary has."""
        return [self.vocab.id_of(c) for c in claim.characters if c in self.vocab.tokens]

    def set_unit(self, unit: Unit, opposite: np.ndarray, options: dict) -> Effect:
        """Hold a unit at its mean over characters of the opposite, where probes are fitted."""
        values = self.states["hc".index(unit.part)][: self.fitted, unit.layer, unit.number]
        target = float(values[opposite[: self.fitted]].mean())
        return set_unit_effect(self.model, self.ids, self.states, unit, target=target, **options)

    def direction(self, present: np.ndarray, absent: np.ndarray) -> tuple[int, np.ndarray]:
        """Return the layer and the weights (H,) of the probe of c that best tells two sides apart.

        It is fitted, and the layer chosen, where the other probes are fitted.
        """
        present, absent = present[: self.fitted], absent[: self.fitted]
        known = np.flatnonzero(present | absent)
        best = (0.0, 0, None)
        for layer in range(self.model.config["num_layers"]):
            cells = self.states[1][: self.fitted, layer].numpy()[known]
            probe = fit_probe(cells, present[known])
            area = roc_auc_score(present[known], probe.read(cells))
            best = max(best, (area, layer, probe.weights), key=lambda found: found[0])
        return best[1:]

    def push(self, layer: int, weights: np.ndarray, opposite: np.ndarray, options: dict) -> Effect:
        """Hold c of a layer, along a direction, at its mean over characters of the opposite."""
        cells = self.states[1][: self.fitted, layer].numpy()[opposite[: self.fitted]]
        target = float((cells @ weights).mean())
        given = (self.model, self.ids, self.states, weights)
        return push_effect(*given, target=target, layer=layer, **options)


def summary(results: list[ProbeResult]) -> dict:
    """Return the results of a label over seeds: lists of [value, low, high], one a seed."""
    first = results[0]
    scores = ("probe", "unit", "untrained", "untrained_unit", "shuffled", "projection")
    scores += ("last_characters",)
    return {
        "measure": first.measure,
        "mean": first.mean,
        "best": [list(each.best) for each in results],
        **{name: [list(getattr(each, name)) for each in results] for name in scores},
        "over": {name: [list(each.over[name]) for each in results] for name in first.over},
        **{
            name: all(getattr(each, name) for each in results)
            for name in ("learnt", "remembered", "in_one_unit")
        },
    }


def together(effects: list[Effect]) -> dict:
    """Return the effects of a claim over seeds."""
    return {
        "before": [each.before for each in effects],
        "change": [list(each.change) for each in effects],
        "control": [list(each.control) for each in effects],
        "clears": all(each.clears for each in effects),
    }


def passage(
    text: str, starts: list[int], annotate: Callable[[str], Mapping[str, np.ndarray]]
) -> str:
    """Return the piece of a text in which labels that are true or false change most often.

    A piece begins at one of the starts and ends before another. Where these are those of speeches
    or statements, the labels of a piece can be made of it alone.

    Raises:
        ValueError: no piece has the right length.
    """
    best, most = "", -1.0
    for k, start in enumerate(starts):
        for end in starts[k + 1 :]:
            piece = text[start:end]
            if len(piece) > PASSAGE[1]:
                break
            if len(piece) >= PASSAGE[0]:
                labels = [label for label in annotate(piece).values() if label.dtype == bool]
                changes = sum((np.diff(label) != 0).mean() for label in labels)
                best, most = max((best, most), (piece, changes), key=lambda pair: pair[1])
    if not best:
        raise ValueError("The held-out text has no piece of {} to {} characters.".format(*PASSAGE))
    return best


def speeches(text: str) -> list[int]:
    """Return where the speeches of a play begin: after each empty line."""
    return [match.end() for match in re.finditer("\n\n", text)]


def statements(text: str) -> list[int]:
    """Return where each statement at the left margin begins, with its decorators."""
    offsets = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of "\d", which an old module may have
        body = ast.parse(text).body
    first = [min([n.lineno, *(d.lineno for d in getattr(n, "decorator_list", ()))]) for n in body]
    return [offsets[line - 1] for line in first]


if __name__ == "__main__":
    run_program(main, __doc__, "runs/inside-python")
