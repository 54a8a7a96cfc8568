"""What one gate buys: each cell against plain lines, the search for a rate, and the record."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments import gate_ablations
from experiments.ablated_cells import ABLATED, CELLS, FixedGateLSTM, build
from experiments.common import read_settings
from experiments.gate_ablations import Settings, Trials, hidden_size_for
from lstmlib.history import History, TrainingDiverged
from lstmlib.models import CoupledLSTM, count_parameters

RUNS = Path(__file__).resolve().parents[2] / "runs"
SMALL = {
    "characters": 3000,
    "cells": ["lstm", "nfg"],
    "parameters": 20_000,
    "embedding_size": 4,
    "training": {"steps": 4, "batch_size": 2, "seq_len": 10},
    "first_rate": 0.01,
    "seeds": [1, 2],
}


def write(folder, **changes):
    folder.mkdir(exist_ok=True)
    book = folder.parent / "book.txt"
    book.write_text("the cat sat on the mat, and the rat ran to the hat. " * 60, encoding="utf-8")
    config = {"what": "a test", "corpus": str(book)} | SMALL | changes
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def trials_of(folder, **changes):
    folder = write(folder, **changes)
    return Trials(folder, read_settings(folder, Settings))


# The cells


def by_hand(name, x, weights, state):
    """Run an ablated layer over x (B, T, D) in plain lines: its outputs (B, T, H), and (h, c)."""
    names = [gate for gate in "ifgo" if {"nig": "i", "nfg": "f", "nog": "o"}.get(name) != gate]
    h, c = state
    outputs = []
    for t in range(x.shape[1]):
        z = x[:, t] @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        z = z + h @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        parts = dict(zip(names, z.chunk(len(names), dim=1), strict=True))
        i, f, o = (1 / (1 + torch.exp(-parts[k])) if k in parts else 1.0 for k in "ifo")
        g = parts["g"] if name == "niaf" else torch.tanh(parts["g"])
        c = f * c + i * g
        h = o * (c if name == "noaf" else torch.tanh(c))
        outputs.append(h)
    return torch.stack(outputs, dim=1), (h, c)


@pytest.mark.parametrize("name", ABLATED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_ablated_cell_computes_its_formula_and_gradients(name, dtype):
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 7, batch_first=True)
    layer = ABLATED[name](lstm).to(dtype)
    x = torch.randn(3, 6, 5, dtype=dtype, requires_grad=True)
    state = tuple(torch.randn(1, 3, 7, dtype=dtype) for _ in "hc")
    weights = dict(layer.named_parameters())
    assert len(weights) == 4
    outputs, (h, c) = layer(x, state)
    expected, (h_hand, c_hand) = by_hand(name, x, weights, (state[0][0], state[1][0]))
    close = {"atol": 1e-5 if dtype == torch.float32 else 1e-12, "rtol": 1e-5}
    torch.testing.assert_close(outputs, expected, **close)
    torch.testing.assert_close(torch.cat([h, c]), torch.stack([h_hand, c_hand]), **close)
    # The loss reads outputs and last cell, so every path back is taken.
    weighing = torch.randn_like(outputs)
    leaves = [x, *weights.values()]
    mine = torch.autograd.grad((outputs * weighing).sum() + c.sum(), leaves)
    hand = torch.autograd.grad((expected * weighing).sum() + c_hand.sum(), leaves)
    for one, other in zip(mine, hand, strict=True):
        torch.testing.assert_close(one, other, atol=10 * close["atol"], rtol=1e-4)
    assert all(gradient.abs().max() > 0 for gradient in mine)


@pytest.mark.parametrize("name", ABLATED)
def test_an_ablated_cell_begins_with_zeros_and_is_no_lstm(name):
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 7, batch_first=True)
    x, zeros = torch.randn(3, 6, 5), torch.zeros(1, 3, 7)
    layer = ABLATED[name](lstm)
    outputs, _ = layer(x)
    assert torch.equal(outputs, layer(x, (zeros, zeros))[0])
    assert (outputs - lstm(x)[0]).abs().max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("block", [0, 1, 3])
def test_a_fixed_gate_is_exactly_one(block, dtype):
    """What it lets through is whole to the last bit, whatever computes the sigmoid."""
    lstm = nn.LSTM(2, 3, batch_first=True).to(dtype)
    layer = FixedGateLSTM(lstm, block)
    weights = layer.lstm_weights()
    for name in weights:  # the other gates stand at 0 and 1, too: i = 0, f = 1, o = 1
        weights[name] = torch.zeros_like(weights[name])
    bias = weights["bias_ih_l0"]
    bias[:3], bias[3:6], bias[9:] = -1000, 1000, 1000
    fixed = layer.lstm_weights()["bias_ih_l0"]
    bias[3 * block : 3 * block + 3] = fixed[3 * block : 3 * block + 3]
    bias[6:9] = 0.5
    start = tuple(torch.full((1, 1, 3), 0.123456789, dtype=dtype) for _ in "hc")
    fused = nn.LSTM(2, 3, batch_first=True).to(dtype)
    fused.load_state_dict(weights)
    with torch.no_grad():
        _, (h, c) = fused(torch.zeros(1, 1, 2, dtype=dtype), start)
    kept = start[1] + (bias[6:9].tanh() if block == 0 else 0)  # f = 1, and i = 0 or the fixed 1
    assert torch.equal(c, kept)
    torch.testing.assert_close(h, c.tanh(), atol=0, rtol=2e-7 if dtype == torch.float32 else 1e-15)
    assert torch.equal(torch.sigmoid(fixed[3 * block : 3 * block + 3]), torch.ones(3, dtype=dtype))


def test_a_coupled_cell_is_the_librarys():
    assert isinstance(build("cifg", 5, 4).layers, CoupledLSTM)
    assert {"lstm", "gru", "rnn"} <= set(CELLS)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("parameters", "V"), [(100_000, 65), (30_000, 20)])
def test_networks_of_a_size_have_it_within_one_percent(cell, parameters, V):
    H = hidden_size_for(cell, parameters, V, 32)
    here, less, more = (
        abs(count_parameters(build(cell, V, H + d, 32)) - parameters) for d in (0, -1, 1)
    )
    assert here <= 0.01 * parameters and here <= min(less, more)


def test_a_size_that_no_network_has_is_refused():
    with pytest.raises(
        ValueError, match=r"parameters is 100; the nearest .* lstm can have is \d+, with"
    ):
        hidden_size_for("lstm", 100, 20, 4)


# The search


def fake(trials, losses, ended="all steps"):
    """Put runs in the place of training, whose validation loss depends on the rate alone."""
    trained = []

    def train(model, rate):
        trained.append(rate)
        return {"valid_loss": losses(rate), "test_loss": 1.0, "ended": ended} | {
            "hidden_size": 1,
            "parameters": 1,
        }

    trials.train = train
    return trained


@pytest.mark.parametrize("power", [-3, -1, 0, 1, 2, 5])
def test_the_rate_has_a_worse_one_on_either_side(power, tmp_path):
    trials = trials_of(tmp_path / "run")
    best = 0.01 * 2.0**power
    trained = fake(trials, lambda rate: 0.1 * abs(math.log2(rate / best)))
    assert trials.choose_rate("lstm") == best
    assert {best / 2, best, best * 2} <= set(trained) and len(trained) == len(set(trained))


def test_a_rate_at_which_a_run_fails_is_not_chosen(tmp_path):
    trials = trials_of(tmp_path / "run")
    fake(trials, lambda rate: 2.0 - rate if rate < 0.1 else None)
    assert trials.choose_rate("lstm") == 0.08
    # Of two that explode the lower loss says nothing: the search goes down to where it works.
    trials = trials_of(tmp_path / "other")
    trained = fake(trials, lambda rate: 2.0 if rate < 0.002 else 0.1 / abs(rate - 0.015))
    assert trials.choose_rate("lstm") == 0.01 / 8 and 0.01 / 16 in trained
    trials = trials_of(tmp_path / "third")
    trained = fake(trials, lambda rate: 1.0, ended="diverged")  # nowhere: the search ends
    assert trials.choose_rate("lstm") == 0.01 * 2.0**gate_ablations.LOWEST and len(trained) == 13


def test_every_run_is_noted_and_none_is_trained_twice(tmp_path, monkeypatch):
    folder = write(tmp_path / "run")
    gate_ablations.main(folder)
    first = json.loads((folder / "result.json").read_text())
    assert {run["cell"] for run in first["runs"].values()} == {"lstm", "nfg"}
    for cell, summary in first["cells"].items():
        chosen = [f"{cell}_rate-{summary['rate']:g}_seed-{seed}" for seed in (1, 2)]
        assert summary["test_losses"] == [first["runs"][name]["test_loss"] for name in chosen]
        assert abs(summary["parameters"] - 20_000) <= 200
    # Killed before its end: what is noted stays, and what is trained again comes out the same.
    lost = chosen[1]
    noted = first | {"runs": {n: run for n, run in first["runs"].items() if n != lost}}
    (folder / "result.json").write_text(json.dumps(noted))
    again, train = [], Trials.train
    monkeypatch.setattr(Trials, "train", lambda *given: again.append(given) or train(*given))
    gate_ablations.main(folder)
    second = json.loads((folder / "result.json").read_text())
    assert len(again) == 1
    for result in (first, second):
        del result["runs"][lost]["training_seconds"]
    assert second["runs"] == first["runs"]


def test_a_run_that_diverges_is_noted_as_such(tmp_path, monkeypatch):
    trials = trials_of(tmp_path / "run")
    row = {"loss": 3.0, "valid_loss": None, "seconds": 0.5, "skipped": False, "step": 1}
    history = History([row, row | {"loss": None, "skipped": True, "step": 2}])

    def diverge(*given, **more):
        raise TrainingDiverged("too many", history)

    monkeypatch.setattr(gate_ablations, "fit", diverge)
    run = trials.run("lstm", 0.01, 1)
    assert (run["ended"], run["steps"], run["skipped"]) == ("diverged", 2, 1)
    assert run["train_losses"] == [3]
    assert math.isfinite(run["test_loss"])  # of the weights that it had come to
    noted = json.loads((tmp_path / "run/result.json").read_text())
    assert noted["runs"]["lstm_rate-0.01_seed-1"]["ended"] == "diverged"


def test_a_network_without_a_finite_loss_is_noted(tmp_path):
    trials = trials_of(tmp_path / "run")
    model = trials.new_model("lstm", 1)
    with torch.no_grad():
        model.output.bias[0] = math.nan
    trained = trials.train(model, 0.01)
    assert trained["skipped"] == trained["steps"] == 4 and trained["train_losses"] == []
    assert trained["valid_loss"] is None and trained["test_loss"] is None


def test_runs_of_the_same_settings_are_taken_over(tmp_path, monkeypatch):
    gate_ablations.main(write(tmp_path / "first", cells=["lstm"]))
    trained, train = [], Trials.train
    monkeypatch.setattr(Trials, "train", lambda *given: trained.append(given[1]) or train(*given))
    folder = write(tmp_path / "second", taken_from="first")
    gate_ablations.main(folder)
    first, second = (
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("first", "second")
    )
    assert first["cells"]["lstm"] == second["cells"]["lstm"]
    assert trained and not any(model.layers.__class__ is nn.LSTM for model in trained)
    with pytest.raises(ValueError, match="holds runs of other settings or another text .settings."):
        trials_of(tmp_path / "third", taken_from="first", first_rate=0.02)
    assert trials_of(tmp_path / "fourth", taken_from="nowhere").result["runs"] == {}


def test_a_cell_that_is_taken_out_of_the_config_is_left_out(tmp_path):
    folder = write(tmp_path / "run")
    gate_ablations.main(folder)
    result = trials_of(folder, cells=["nfg"]).result
    assert list(result["cells"]) == ["nfg"]
    assert {run["cell"] for run in result["runs"].values()} == {"nfg"}


def test_other_settings_are_refused_and_cells_may_be_added(tmp_path):
    folder = write(tmp_path / "run", cells=["lstm"])
    gate_ablations.main(folder)
    trials_of(folder, cells=["lstm", "nog"], seeds=[1, 2, 3])
    with pytest.raises(ValueError, match="holds runs of other settings or another text"):
        trials_of(folder, cells=["lstm"], training=SMALL["training"] | {"steps": 5})
    write(folder, cells=["lstm"])
    (tmp_path / "book.txt").write_text("another one, and the hat. " * 200, encoding="utf-8")
    with pytest.raises(ValueError, match="another text .text_sha256.; delete it to run anew"):
        Trials(folder, read_settings(folder, Settings))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": []}, r'"cells" is \[\]; it must list at least one, each once'),
        ({"cells": ["lstm", "lstm"]}, "each once"),
        (
            {"cells": ["lstm", "ngi"]},
            "a cell of \"cells\" is 'ngi'; choose one of lstm, gru, rnn, cifg, nig",
        ),
        ({"seeds": []}, '"seeds" is'),
        ({"seeds": [1, -2]}, 'a seed of "seeds" is -2; it must be a whole number, 0 or more'),
        ({"first_rate": 0}, "first_rate is 0; it must be"),
        ({"parameters": 1.5}, "parameters is 1.5; it must be a whole number"),
        ({"parameters": 30}, "parameters is 30; the nearest that the cell lstm can have"),
        ({"training": {"steps": 4, "learning_rate": 1}}, "learning_rate, which is searched for"),
        ({"training": {"steps": 0}}, "steps is 0"),
        ({"training": {"stesp": 4}}, '"training" lacks steps'),
        ({"characters": 12}, "too short"),
        ({"corpus": "no-such-book"}, "no-such-book"),
    ],
    ids=str,
)
def test_settings_without_meaning_get_one_message(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        trials_of(tmp_path / "run", **changes)
    assert not (tmp_path / "run/result.json").exists()
    assert "\n" not in str(error.value)


# What was recorded


@pytest.mark.parametrize("name", ["gate-ablations", "context-reach"])
def test_the_recorded_runs_are_whole_and_chosen_fairly(name):
    result = json.loads((RUNS / name / "result.json").read_text(encoding="utf-8"))
    config = json.loads((RUNS / name / "config.json").read_text(encoding="utf-8"))
    assert set(result["cells"]) == set(config["cells"])
    assert result["settings"] == {each: config[each] for each in gate_ablations.SHARED}
    for cell, summary in result["cells"].items():
        tried = {
            run["rate"]: run["valid_loss"] if (run["valid_loss"] or 9) < math.log(65) else math.inf
            for run in result["runs"].values()
            if run["cell"] == cell and run["seed"] == config["seeds"][0]
        }
        rate = summary["rate"]
        assert tried[rate] < tried[rate / 2] and tried[rate] < tried[rate * 2]
        assert len(summary["test_losses"]) == len(config["seeds"]) == 3
        assert abs(summary["parameters"] - config["parameters"]) <= 0.01 * config["parameters"]
        assert summary["hidden_size"] == hidden_size_for(cell, config["parameters"], 65, 32)
        for seed, loss in zip(config["seeds"], summary["test_losses"], strict=True):
            assert result["runs"][f"{cell}_rate-{rate:g}_seed-{seed}"]["test_loss"] == loss


def test_both_folders_have_the_same_lstm():
    folders = RUNS / "gate-ablations", RUNS / "context-reach"
    results = [json.loads((each / "result.json").read_text(encoding="utf-8")) for each in folders]
    for cell in ("lstm", "cifg"):
        assert results[0]["cells"][cell] == results[1]["cells"][cell]
    assert results[0]["text_sha256"] == results[1]["text_sha256"]


def test_what_the_gates_bought_in_every_seed():
    """Between cells that all seeds tell apart; with 2 million characters read, and at this size."""
    cells = json.loads((RUNS / "gate-ablations/result.json").read_text(encoding="utf-8"))["cells"]
    losses = {cell: summary["test_losses"] for cell, summary in cells.items()}
    for worse in ("nfg", "nog", "noaf"):
        assert min(losses[worse]) > max(losses["lstm"]), worse
    assert max(losses["cifg"]) < min(losses["lstm"])
    assert min(losses["nig"]) < max(losses["lstm"]) and min(losses["lstm"]) < max(losses["nig"])
