"""How far networks look: the program goes on after a break, and what it recorded is whole."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import context_reach
from experiments.common import read_settings
from experiments.context_reach import KeptTrials, Settings, curves_of, gates_of, grid
from lstmlib.metrics import mean_interval
from lstmlib.models import CharRNN
from lstmlib.reach import forget_gates

FOLDER = Path(__file__).resolve().parents[2] / "runs/context-reach"
SMALL = {
    "characters": 3000,
    "cells": ["lstm", "rnn"],
    "parameters": 30_000,
    "embedding_size": 4,
    "training": {"steps": 3, "batch_size": 2, "seq_len": 10},
    "first_rate": 0.01,
    "seeds": [1, 2],
    "places": 8,
    "longest": 12,
    "orders": 3,
    "pieces": 4,
}


def write(folder, **changes):
    folder.mkdir(exist_ok=True)
    book = folder.parent / "book.txt"
    book.write_text("the cat sat on the mat, and the rat ran to the hat. " * 60, encoding="utf-8")
    config = {"what": "a test", "corpus": str(book)} | SMALL | changes
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Intervals of few draws: there is one for each unit."""
    monkeypatch.setattr(context_reach, "mean_interval", partial(mean_interval, draws=20))


def read(name, folder=FOLDER):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("longest", [1, 5, 8, 9, 12, 300, 1000])
def test_the_grid_begins_with_every_number_and_ends_with_the_longest(longest):
    at = grid(longest)
    assert at[: min(longest, 8) + 1] == list(range(min(longest, 8) + 1)) and at[-1] == longest
    assert at == sorted(set(at)) and len(at) <= 34


def test_curves_are_means_with_an_interval_around_them():
    torch.manual_seed(0)
    settings = Settings(corpus="a", **SMALL)
    ids = np.random.default_rng(0).integers(5, size=200)
    curves = curves_of(CharRNN(5, 6, 1), ids, settings)
    lengths = {len(curves[name]) for name in ("k", "loss", "low", "high")}
    assert lengths == {len(grid(12))} == {len(each) for each in curves["gradient"].values()}
    triples = zip(curves["low"], curves["loss"], curves["high"], strict=True)
    assert all(low <= loss <= high for low, loss, high in triples)
    excess = np.array(curves["loss"]) - curves["full_loss"]
    assert np.abs(excess[0]) > np.abs(excess[-1])
    assert curves["reach"].keys() == {"0.1", "0.03", "0.01"}


def test_units_have_a_time_constant_also_where_it_is_infinite():
    torch.manual_seed(0)
    model = CharRNN(5, 3, 1)
    with torch.no_grad():
        model.layers.bias_ih_l0[3] = 1000.0  # f = 1
        model.layers.bias_ih_l0[4] = -1000.0  # f = 0
    ids = np.random.default_rng(0).integers(5, size=200)
    gates = gates_of(model, ids, Settings(corpus="a", **SMALL))
    for name in ("mean", "geometric", "q10", "q50", "q90"):
        assert gates[name][0] is None and gates[name][1] == 0 and gates[name][2] > 0
    f = forget_gates(model, ids)[:, 0, 2]
    assert gates["geometric"][2] == pytest.approx(-1 / np.log(f).mean())
    assert gates["mean"][2] == pytest.approx(-1 / math.log(f.mean()))
    assert gates["geometric"][2] < gates["mean"][2]  # the mean of a concave function
    assert all(
        low <= worth <= high
        for low, worth, high in zip(
            gates["worth_low"], gates["worth"], gates["worth_high"], strict=True
        )
    )


class Killed(BaseException):
    """What ends the program in mid-run."""


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_run_goes_on_and_ends_alike(after, tmp_path, monkeypatch):
    whole, broken = write(tmp_path / "whole"), write(tmp_path / "broken")
    context_reach.main(whole)
    add, added = context_reach.Record.add, []

    def killed(record, run, measures):
        if len(added) == after:
            raise Killed
        added.append(run)
        add(record, run, measures)

    with monkeypatch.context() as patch:
        patch.setattr(context_reach.Record, "add", killed)
        with pytest.raises(Killed):
            context_reach.main(broken)
    models = sorted(broken.glob("step-*"))
    assert models
    models[-1].unlink()  # one that may still have to be measured is trained again
    trained, train = [], KeptTrials.train
    monkeypatch.setattr(KeptTrials, "train", lambda *given: trained.append(1) or train(*given))
    context_reach.main(broken)
    assert len(trained) < len(read("result.json", broken)["runs"])
    for name in ("curves.json", "gates.json"):
        assert read(name, broken) == read(name, whole)
    one, other = (read("result.json", folder) for folder in (broken, whole))
    for run in [*one["runs"].values(), *other["runs"].values()]:
        del run["training_seconds"]
    assert one == other
    files = {"config.json", "result.json", "curves.json", "gates.json"}
    assert {path.name for path in broken.iterdir()} == files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": ["nfg"]}, r'"cells" is .*nfg.*; choose from lstm, gru, rnn, cifg'),
        ({"longest": 0}, "longest is 0; it must be a whole number, 1 or more"),
        ({"places": 7}, "places is 7; it must be a whole number, 8 or more"),
        ({"pieces": "4"}, "pieces is '4'; it must be a whole number"),
        ({"longest": 100}, "150 characters is too short for looking 100 .* give 403 or more"),
    ],
)
def test_settings_without_meaning_get_one_message(changes, message, tmp_path):
    folder = write(tmp_path / "run", **changes)
    with pytest.raises(ValueError, match=message):
        context_reach.main(folder)


def test_measures_of_other_settings_are_refused(tmp_path):
    folder = write(tmp_path / "run", cells=["rnn"])
    context_reach.main(folder)
    write(folder, cells=["rnn"], places=9)
    with pytest.raises(ValueError, match="holds measures at other places, longest or pieces: {'pl"):
        context_reach.main(folder)


# What was recorded


def test_every_network_is_measured_and_none_is_kept():
    settings, result = read_settings(FOLDER, Settings), read("result.json")
    curves, gates = read("curves.json"), read("gates.json")
    assert set(curves) == set(settings.cells) == {"lstm", "cifg", "rnn", "gru"}
    assert set(gates) == {"lstm", "cifg"}
    assert not list(FOLDER.rglob("*.safetensors"))
    assert result["measured"]["longest"] == settings.longest == 300
    assert len(result["ngram_losses"]) == settings.orders
    for cell, summary in result["cells"].items():
        for seed, loss in zip(settings.seeds, summary["test_losses"], strict=True):
            measured = curves[cell][str(seed)]
            assert measured["full_loss"] == pytest.approx(loss, abs=1e-3)
            assert measured["k"] == grid(settings.longest)
            assert all(
                len(measured[name]) == len(measured["k"]) for name in ("loss", "low", "high")
            )
            if cell in gates:
                units = {len(each) for each in gates[cell][str(seed)].values()}
                assert units == {summary["hidden_size"]}


def test_the_recorded_curves_fall_to_the_loss_with_the_whole_past():
    """What holds for every cell and seed: a foreign past costs much, and after 300 nothing."""
    for cell, seeds in read("curves.json").items():
        for measured in seeds.values():
            excess = np.array(measured["loss"]) - measured["full_loss"]
            assert excess[0] > 1 and abs(excess[-1]) < 0.01, cell
            for tolerance, k in measured["reach"].items():
                beyond = np.array(measured["k"]) >= k
                assert np.abs(excess[beyond]).max() <= float(tolerance) + 1e-4
            median = measured["gradient"]["q50"]
            assert median[0] > 100 * median[measured["k"].index(53)]


def test_counting_models_have_their_best_order_inside():
    losses = read("result.json")["ngram_losses"]
    assert losses[0] > losses[1] > losses[2] and 2 < int(np.argmin(losses)) < len(losses) - 1


def test_the_cells_reach_differently_far_in_every_seed():
    reaches = {
        cell: [measured["reach"]["0.01"] for measured in seeds.values()]
        for cell, seeds in read("curves.json").items()
    }
    assert max(reaches["rnn"]) < min(reaches["lstm"])
    assert max(reaches["lstm"]) < min(reaches["cifg"] + reaches["gru"])


def test_units_of_the_lstm_that_forget_slowly_are_not_those_that_it_uses():
    """Half of its units have long time constants, and their memory is worth nothing."""
    for measured in read("gates.json")["lstm"].values():
        tau = np.array([np.inf if each is None else each for each in measured["mean"]])
        worth, slow = np.array(measured["worth"]), tau > 30
        assert slow.mean() > 0.25
        assert np.abs(worth[slow]).sum() < 0.1 * worth[tau < 10].sum()
