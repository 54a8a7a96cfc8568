"""The leaderboard: the parts of its recipes, its rules, and what it recorded."""

import dataclasses
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from experiments import leaderboard
from experiments.recipes import (
    BlankedEmbedding,
    LockedDropout,
    MatrixDecay,
    Muon,
    NormedLSTM,
    Resets,
    TailAverage,
    WeightDropLSTM,
    build,
    orthogonalized,
)
from lstmlib import training
from lstmlib.batching import split
from lstmlib.corpora import load_corpus
from lstmlib.decoding import CorpusError
from lstmlib.models import CharRNN
from lstmlib.serialization import load_model
from lstmlib.settings import OPTIMIZERS
from lstmlib.training import evaluate, fit

ROOT = Path(__file__).resolve().parents[2]

SMALL = {
    "hidden_size": 4,
    "num_layers": 1,
    "batch_size": 2,
    "seq_len": 5,
    "learning_rate": 0.1,
    "warmup_share": 0.0,
}


@pytest.fixture
def text_ids():
    return np.random.default_rng(0).integers(7, size=200)


def lstm():
    torch.manual_seed(0)
    return nn.LSTM(3, 5, 2, batch_first=True)


# The parts


def test_weight_dropout_is_in_training_alone_and_in_the_recurrent_matrices_alone():
    plain, x = lstm(), torch.randn(2, 6, 3)
    dropped = WeightDropLSTM(plain, 0.5)
    assert dropped.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(dropped.eval()(x), plain(x))
    outputs, _ = dropped.train()(x)
    outputs.sum().backward()
    for name, weight in dropped.named_parameters():
        without_gradient = (weight.grad == 0).float().mean()
        if "weight_hh" in name:
            assert 0.2 < without_gradient < 0.8
        else:
            assert without_gradient < 0.2


def test_weights_that_are_left_are_scaled_up_and_one_mask_serves_all_steps():
    dropped, x = WeightDropLSTM(lstm(), 0.25).train(), torch.randn(2, 6, 3)
    masked = lstm()
    dropped(x)[0].sum().backward()
    masks = {}
    for name, weight in dropped.named_parameters():
        if "weight_hh" in name:
            masks[name] = 1.0 * (weight.grad != 0)
            assert 0 < masks[name].mean() < 1
            masked.get_parameter(name).data *= masks[name] / 0.75
    assert not torch.equal(*masks.values())  # each layer has its own
    masked(x)[0].sum().backward()
    for name, weight in dropped.named_parameters():
        scale = masks[name] / 0.75 if name in masks else 1.0
        torch.testing.assert_close(weight.grad, masked.get_parameter(name).grad * scale)


def test_masks_of_weights_differ_from_call_to_call_and_drop_the_share_that_is_asked_for():
    torch.manual_seed(0)
    dropped = WeightDropLSTM(nn.LSTM(3, 40, batch_first=True), 0.25).train()
    masks = []
    for _ in range(60):
        dropped.zero_grad()
        dropped(torch.randn(2, 6, 3))[0].sum().backward()
        masks.append(dropped.weight_hh_l0.grad != 0)
    kept = torch.stack(masks).float()  # (60, 4H, H)
    assert kept.mean().item() == pytest.approx(0.75, abs=0.01)
    # No entry is always there, and no two entries come and go together.
    assert kept.mean(0).min() > 0.4 and kept.mean(0).max() < 1
    first, second = kept[:30].flatten(1), kept[30:].flatten(1)
    alike = (first[:, None, :500] == second[None, :, :500]).float().mean(-1)  # of two masks
    assert alike.max() < 0.85  # 0.25² + 0.75² = 0.625 where they know nothing of each other


def test_masks_go_where_the_network_goes_and_into_no_model_file():
    settings = {"hidden_size": 4, "num_layers": 1, "weight_dropout": 0.5}
    model = build(7, settings)
    assert isinstance(model.layers, WeightDropLSTM)
    assert not [name for name in model.state_dict() if "masks" in name]
    assert model.half().layers.masks.dtype == torch.float16


def test_a_unit_whose_columns_are_dropped_is_hidden_from_the_next_step_alone():
    dropped, x = WeightDropLSTM(lstm(), column_dropout=0.5).train(), torch.randn(2, 6, 3)
    torch.manual_seed(3)
    outputs, _ = dropped(x)
    outputs.sum().backward()
    masked = lstm()
    torch.manual_seed(3)
    for name, weight in masked.named_parameters():
        if "weight_hh" in name:
            mask = F.dropout(torch.ones(1, 5), 0.5)
            assert 0 < (mask == 0).sum() < 5
            weight.data *= mask
            hidden = (dropped.get_parameter(name).grad == 0).all(0)
            assert torch.equal(hidden, mask[0] == 0)  # columns of (4H, H), whole
    torch.testing.assert_close(outputs, masked(x)[0])
    torch.testing.assert_close(dropped.eval()(x), lstm()(x))


def test_locked_dropout_drops_the_same_units_at_every_step():
    x = torch.ones(4, 7, 50)
    y = LockedDropout(0.5).train()(x)
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert not torch.equal(y[0], y[1])
    assert torch.equal(LockedDropout(0.5).eval()(x), x)


def test_layer_norms_inside_the_cell_by_hand():
    torch.manual_seed(0)
    layer, x = NormedLSTM(3, 4, forget_bias=1.0).double(), torch.randn(2, 5, 3).double()
    for parameter in layer.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    outputs, (h, c) = layer(x, (torch.ones(1, 2, 4).double(), torch.ones(1, 2, 4).double()))

    def norm(z, by):
        z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
        return z * by.weight.detach().numpy() + by.bias.detach().numpy()

    W_x, W_h = layer.of_x.weight.detach().numpy().T, layer.of_h.weight.detach().numpy().T
    hidden, cell = np.ones((2, 4)), np.ones((2, 4))
    for t in range(5):
        z = norm(x[:, t].numpy() @ W_x, layer.norm_x) + norm(hidden @ W_h, layer.norm_h)
        i, f, o = (1 / (1 + np.exp(-z[:, k : k + 4])) for k in (0, 4, 12))
        cell = f * cell + i * np.tanh(z[:, 8:12])
        hidden = o * np.tanh(norm(cell, layer.norm_c))
        assert np.abs(outputs[:, t].detach().numpy() - hidden).max() < 1e-12
    torch.testing.assert_close(h[0], outputs[:, -1])
    assert np.abs(c[0].detach().numpy() - cell).max() < 1e-12


def assert_orthogonalized(result, matrices, off):
    """The same singular vectors, with singular values near 1."""
    u, _, v = torch.linalg.svd(matrices)
    inside = u.mT @ result @ v.mT
    values = inside.diagonal(dim1=-2, dim2=-1)
    assert (inside - torch.diag_embed(values)).abs().max() < off
    assert values.min() > 0.6 and values.max() < 1.3


def test_orthogonalized_matrices_keep_their_singular_vectors():
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(4, 8, 8).double())
    matrices = u @ torch.diag(torch.linspace(0.2, 3.0, 8).double()) @ v
    assert_orthogonalized(orthogonalized(matrices), matrices, off=1e-12)


def test_muon_steps_as_adamw_but_for_the_square_blocks():
    layers, plain = lstm(), lstm()
    one = Muon(layers.parameters(), lr=0.01, weight_decay=0.1)
    other = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(3):
        one.zero_grad()
        layers(torch.randn(2, 6, 3))[0].square().mean().backward()
        for a, b in zip(plain.parameters(), layers.parameters(), strict=True):
            a.grad = b.grad.clone()
        one.step()
        other.step()
    for a, b in zip(layers.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b) == (a.shape != (20, 5))


def test_a_step_of_muon_by_hand():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 2))
    start = weight.detach().clone()
    gradient = (torch.eye(2) + 0.2 * torch.randn(4, 2, 2)).view(8, 2)  # no direction near 0
    optimizer = Muon([weight], lr=0.1, weight_decay=0.5)
    weight.grad = gradient.clone()
    optimizer.step()
    taken = (start * (1 - 0.1 * 0.5) - weight.detach()) / (0.1 * 0.2 * 2**0.5)
    assert_orthogonalized(taken.view(4, 2, 2), gradient.view(4, 2, 2), off=0.05)
    torch.testing.assert_close(weight.grad, gradient)


@pytest.mark.parametrize(("name", "expected"), [("muon", False), ("adamw-matrices", True)])
def test_only_what_heeds_a_bad_step_is_left_to_a_gpu(name, expected):
    weight = torch.zeros(8, 2, requires_grad=True)
    optimizer = OPTIMIZERS[name]([weight], lr=0.1, weight_decay=0.1, fused=True)
    assert training._defers(optimizer, torch.device("cuda")) is expected


def test_weight_decay_acts_on_matrices_alone():
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.LSTM(3, 3))
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = MatrixDecay(model.parameters(), lr=0.1, weight_decay=0.5, fused=True)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in model.named_parameters():
        by = 1 - 0.1 * 0.5 if weight.ndim == 2 else 1.0
        torch.testing.assert_close(weight.detach(), by * start[name])


def test_fit_sets_the_rate_of_both_groups(text_ids):
    settings = SMALL | {"optimizer": "adamw-matrices", "optimizer_options": {"weight_decay": 0.5}}
    model, config = leaderboard.prepare(settings | {"schedule": "cosine"}, 7, 4)
    before = {}

    def look(history):
        bias = model.output.bias.detach().clone()
        if len(history) > 1:
            before[len(history)] = (bias - before["last"]).abs().max().item()
        before["last"] = bias

    fit(model, text_ids, None, config, look, progress=False)
    assert before[4] == 0 < before[3] < before[2]  # the last rate is 0, and a bias hears of it


def test_the_tail_average_is_the_mean_of_the_last_weights():
    model = nn.Linear(1, 1)
    tail = TailAverage(model, 0.3, 10)
    assert tail.module is model
    for step in range(1, 11):
        model.weight.data.fill_(step**2)
        tail.update(step)
    assert tail.module.weight.item() == pytest.approx((64 + 81 + 100) / 3)
    assert model.weight.item() == 100


def test_blanking_hides_whole_characters_in_training_alone():
    torch.manual_seed(0)
    shown = nn.Embedding(9, 3)
    blanked, ids = BlankedEmbedding(shown, 0.25), torch.randint(9, (20, 50))
    assert blanked.weight is shown.weight
    whole = shown(ids)
    seen = blanked(ids)
    hidden = (seen == 0).all(-1)
    torch.testing.assert_close(seen, whole * ~hidden[..., None])
    assert 0.2 < hidden.float().mean() < 0.3
    torch.testing.assert_close(blanked.eval()(ids), whole)


def test_resets_begin_some_rows_with_zeros_in_training_alone():
    torch.manual_seed(0)
    layers, x = nn.LSTM(3, 4, batch_first=True), torch.randn(40, 1, 3)
    state = tuple(torch.rand(1, 40, 4) + 1 for _ in range(2))
    _, parts = Resets(0.25)(layers, (x, state))
    begun = (parts[0] == 0).all(-1, keepdim=True)
    assert 4 <= begun.sum() <= 16
    for part, before in zip(parts, state, strict=True):  # h and c of the same rows
        torch.testing.assert_close(part, before * ~begun)
    assert Resets(1.0)(layers.eval(), (x, state))[1] is state
    assert Resets(1.0)(layers.train(), (x, None))[1] is None


def test_build_knows_blanking_and_resets():
    settings, ids = {"hidden_size": 6, "num_layers": 1, "input_scale": 2.0}, torch.tensor([[4, 0]])
    torch.manual_seed(0)
    plain = build(9, settings)
    state = tuple(torch.ones(1, 1, 6) for _ in range(2))
    hides = build(9, settings | {"blanking": 1.0})
    hides.load_state_dict(plain.state_dict())
    resets = build(9, settings | {"resets": 1.0, "column_dropout": 1e-9})
    resets.load_state_dict(plain.state_dict())
    torch.testing.assert_close(hides(ids)[0], plain.output(plain.layers(torch.zeros(1, 2, 16))[0]))
    torch.testing.assert_close(resets(ids, state)[0], plain(ids)[0])
    for model in (hides.eval(), resets.eval()):
        torch.testing.assert_close(model(ids, state)[0], plain(ids, state)[0])


def test_a_tied_network_has_one_matrix_for_reading_and_predicting():
    settings = {"hidden_size": 6, "num_layers": 1, "embedding_size": 6}
    tied, free = build(9, settings | {"tied": True}), build(9, settings)
    assert tied.output.weight is tied.embedding.weight
    assert len(list(free.parameters())) == len(list(tied.parameters())) + 1
    with pytest.raises(ValueError, match="as wide as the hidden state"):
        build(9, settings | {"embedding_size": 5, "tied": True})


def test_scaled_inputs_are_one_hot_vectors_of_that_length():
    settings = {"hidden_size": 6, "num_layers": 1}
    scaled, ids = build(9, settings | {"input_scale": 3.0}), torch.tensor([[4, 0, 4]])
    assert scaled.layers.input_size == 16
    torch.testing.assert_close(scaled.embedding(ids)[..., :9], 3.0 * F.one_hot(ids, 9).float())
    assert not scaled.embedding(ids)[..., 9:].any()
    assert "embedding.weight" not in {n for n, w in scaled.named_parameters() if w.requires_grad}


def test_a_scale_stands_in_the_place_of_the_layer_norm():
    settings, ids = {"hidden_size": 6, "num_layers": 1}, torch.tensor([[4, 0, 4]])
    plain, scaled = (build(9, settings | {"hidden_scale": scale}) for scale in (None, 8.0))
    scaled.load_state_dict(plain.state_dict())
    hidden, _ = plain.layers(F.one_hot(ids, 9).float())
    torch.testing.assert_close(scaled(ids)[0], plain.output(8.0 * hidden))
    with pytest.raises(ValueError, match="in the place of the layer norm"):
        build(9, settings | {"hidden_scale": 8.0, "output_norm": True})


@pytest.mark.parametrize("cell_norm", [False, True])
def test_recurrent_matrices_may_start_orthogonal(cell_norm):
    model = build(
        9, {"hidden_size": 6, "num_layers": 1, "orthogonal": True, "cell_norm": cell_norm}
    )
    weight = (model.layers.of_h.weight if cell_norm else model.layers.weight_hh_l0).detach()
    torch.testing.assert_close(weight.T @ weight, torch.eye(6), atol=1e-5, rtol=0)


def test_without_options_it_is_the_network_of_the_library():
    torch.manual_seed(0)
    built = build(9, {"hidden_size": 6, "num_layers": 2, "dropout": 0.5, "output_norm": True})
    torch.manual_seed(0)
    plain = CharRNN(9, 6, 2, dropout=0.5, output_norm=True)
    for (name, a), (other, b) in zip(
        built.state_dict().items(), plain.state_dict().items(), strict=True
    ):
        assert name == other and torch.equal(a, b)


# The rules


def test_the_windows_loss_is_that_of_a_loop_over_the_windows():
    torch.manual_seed(0)
    model, ids = CharRNN(5, 4, 1), np.random.default_rng(1).integers(5, size=400)
    model.dropout.p = 0.5  # must not act
    loss = leaderboard.windows_loss(model, ids, count=200, length=9)
    starts, losses = np.random.default_rng(0).integers(0, 391, 200), []
    for start in starts:
        window = torch.from_numpy(ids[start : start + 10])
        losses.append(F.cross_entropy(model(window[None, :-1])[0][0], window[1:]).item())
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_loss_on_seen_text_is_that_of_the_end_of_the_training_text():
    torch.manual_seed(0)
    model, ids = CharRNN(5, 4, 1), np.random.default_rng(1).integers(5, size=400)
    assert leaderboard.seen_loss(model, ids) == evaluate(model, ids[360:])


def test_another_text_is_refused(tmp_path):
    (tmp_path / "book.txt").write_text("To be, or not to be.", encoding="utf-8")
    with pytest.raises(SystemExit, match="is not tiny Shakespeare"):
        leaderboard.read_text(str(tmp_path / "book.txt"))


def test_the_text_is_that_of_the_registry():
    assert f'sha256 = "{leaderboard.SHA256}"' in (ROOT / "datasets/registry.toml").read_text()


def test_the_average_follows_the_weights_of_every_step(text_ids):
    entries = {"a": SMALL | {"averaging": 0.5}}
    model, config = leaderboard.prepare(entries["a"], 7, 3)
    average, on_step = leaderboard.averaging(model, entries["a"], config.steps)
    seen = []

    def watch(history):
        on_step(history)
        seen.append(model.output.bias.detach().clone())

    fit(model, text_ids, None, config, watch, progress=False)
    expected = (seen[0] + seen[1]) / 4 + seen[2] / 2  # the first step starts the average
    torch.testing.assert_close(average.module.output.bias.detach(), expected)
    assert leaderboard.averaging(model, SMALL, 3) == (None, None)


def test_the_tail_of_a_run_is_averaged(text_ids):
    settings, seen = SMALL | {"tail": 0.5}, []
    model, config = leaderboard.prepare(settings, 7, 4)
    average, on_step = leaderboard.averaging(model, settings, config.steps)

    def watch(history):
        on_step(history)
        seen.append(model.output.bias.detach().clone())

    fit(model, text_ids, None, config, watch, progress=False)
    torch.testing.assert_close(average.module.output.bias.detach(), (seen[2] + seen[3]) / 2)


def test_a_watch_ends_a_run_in_time_and_says_so(text_ids):
    model, config = leaderboard.prepare(SMALL, 7, 1000)

    def slow(_):
        time.sleep(0.02)

    watch = leaderboard.Watch(slow, limit=0.2)
    history = fit(model, text_ids, None, config, watch, progress=False)
    assert history.ended == "out of time" and 1 < len(history) <= 11
    assert watch.seconds() > 0.2


def test_a_watch_leaves_out_the_first_steps(text_ids):
    model, config = leaderboard.prepare(SMALL, 7, 6)
    watch = leaderboard.Watch(lambda history: time.sleep(0.1 * (len(history) < 5)), first=4)
    before = time.perf_counter()
    fit(model, text_ids, None, config, watch, progress=False)
    assert watch.seconds() < time.perf_counter() - before - 0.35


def test_settings_become_a_network_and_its_training():
    settings = SMALL | {"warmup_share": 0.1, "input_scale": 2.0, "learning_rate": 0.5}
    model, config = leaderboard.prepare(settings, 7, 30)
    assert (config.steps, config.warmup, config.learning_rate) == (30, 3, 0.5)
    assert model.config["hidden_size"] == 4 and model.embedding.weight[2, 2] == 2.0


def test_an_entry_changes_the_recipe_or_the_entry_that_it_names():
    entries = {
        "recipe": {"changes": {"a": 1, "b": 2}},
        "less": {"changes": {"a": 0}},
        "first": {"of": None, "changes": {"b": 5}},
        "of-first": {"of": "first", "changes": {"c": 7}},
    }
    assert {name: leaderboard.all_settings(entries, name) for name in entries} == {
        "recipe": {"a": 1, "b": 2},
        "less": {"a": 0, "b": 2},
        "first": {"b": 5},
        "of-first": {"b": 5, "c": 7},
    }


@pytest.fixture
def small_leaderboard(tmp_path, monkeypatch):
    """Two small entries in a folder of their own; returns the folder."""
    entries = {
        "recipe": {"what": "the recipe", "changes": SMALL},
        "plain-loop": {"what": "two layers", "changes": {"num_layers": 2}},
    }
    (tmp_path / "entries.json").write_text(json.dumps({leaderboard.KIND: entries}))
    monkeypatch.setattr(leaderboard, "FOLDER", tmp_path)
    monkeypatch.setattr(leaderboard, "ENTRIES", tmp_path / "entries.json")
    monkeypatch.setattr(leaderboard, "SECONDS", 2)
    return tmp_path


def test_the_precision_is_measured_and_not_named(small_leaderboard, monkeypatch):
    """Where bfloat16 would work, the faster of both is taken, and the training takes it as well."""
    entries = json.loads(leaderboard.ENTRIES.read_text())
    entries[leaderboard.KIND]["recipe"]["changes"] = SMALL | {"precision": "bfloat16"}
    leaderboard.write_json(leaderboard.ENTRIES, entries)
    taken, slow = [], {"bfloat16": 0.02, "float32": 0.001}
    monkeypatch.setattr(leaderboard, "KIND", "cpu")
    monkeypatch.setattr(leaderboard, "DEVICE", "cpu")
    leaderboard.write_json(leaderboard.ENTRIES, {"cpu": next(iter(entries.values()))})
    whole = leaderboard.fit

    def fit_that_waits(model, train_ids, valid_ids, config, on_step=None, *others, **named):
        def step(history):
            time.sleep(slow[config.precision])
            return on_step and on_step(history)

        taken.append(config.precision)
        plain = dataclasses.replace(config, precision="float32")
        return whole(model, train_ids, valid_ids, plain, step, *others, **named)

    monkeypatch.setattr(leaderboard, "fit", fit_that_waits)
    monkeypatch.setattr(leaderboard, "has_bfloat16", lambda _: True)
    text = "ROMEO: to be, or not to be, " * 200
    speed = leaderboard.measure_speed(text, ["recipe"], taken=5, rounds=1)["recipe"]
    assert taken == ["bfloat16", "float32"] and speed["precision"] == "float32"
    place = small_leaderboard / "cpu/steps.json"
    leaderboard.write_json(place, {"entries": {"recipe": speed | {"steps": 3}}})
    leaderboard.train("recipe", 2, text)
    assert taken[-1] == "float32"
    monkeypatch.setattr(leaderboard, "has_bfloat16", lambda _: False)
    leaderboard.measure_speed(text, ["recipe"], taken=5, rounds=1)
    assert taken[3:] == ["float32"]


def test_speed_then_training_leave_what_the_page_says(small_leaderboard):
    text, folder = "ROMEO: to be, or not to be, " * 200, small_leaderboard / leaderboard.KIND
    leaderboard.write_speeds(text, ["recipe"])
    first = json.loads((folder / "steps.json").read_text())["entries"]
    leaderboard.write_speeds(text, [])
    speeds = json.loads((folder / "steps.json").read_text())["entries"]
    assert first.keys() == {"recipe"} and speeds["recipe"] == first["recipe"]
    assert speeds.keys() == {"recipe", "plain-loop"}
    for speed in speeds.values():
        planned = 2 * (1 - leaderboard.SPARE) / speed["seconds_per_step"]
        assert speed["steps"] == pytest.approx(planned, rel=0.01)
        speed["steps"] = 8
    leaderboard.write_json(folder / "steps.json", {"entries": speeds})
    leaderboard.train("plain-loop", 2, text)
    assert {path.name for path in folder.iterdir()} == {"steps.json", "plain-loop-2.json"}
    leaderboard.train("recipe", 1, text)
    assert {"model.safetensors", "history.jsonl", "samples.txt", "recipe-1.json"} < {
        path.name for path in folder.iterdir()
    }
    result = json.loads((folder / "recipe-1.json").read_text())
    model, vocab = load_model(folder / "model.safetensors")
    _, valid_ids = split(vocab.encode(text))
    assert result["valid_loss"] == pytest.approx(evaluate(model.float(), valid_ids), rel=1e-4)
    measured = leaderboard.measure(str(folder / "model.safetensors"), text)
    for name in ("valid_loss", "windows_loss", "seen_loss"):
        assert measured[name] == pytest.approx(result[name], rel=1e-4)
    assert result["steps"] == 8 and result["characters"] == 8 * 2 * 5
    assert not any((small_leaderboard / "unfinished").iterdir())


def test_an_interrupted_entry_goes_on_where_it_was(small_leaderboard, monkeypatch):
    text, folder = "to be, or not to be, " * 200, small_leaderboard / leaderboard.KIND
    entries = json.loads((small_leaderboard / "entries.json").read_text())
    entries[leaderboard.KIND]["recipe"]["changes"]["dropout"] = 0.5
    leaderboard.write_json(small_leaderboard / "entries.json", entries)
    leaderboard.write_json(folder / "steps.json", {"entries": {"plain-loop": {"steps": 8}}})
    path, steps = folder / "plain-loop-2.json", []

    def interrupt(history):
        steps.append(len(history))
        if steps == [1, 2, 3, 4]:
            signal.raise_signal(signal.SIGINT)

    leaderboard.train("plain-loop", 2, text)
    whole = json.loads(path.read_text())
    path.unlink()
    monkeypatch.setattr(leaderboard, "averaging", lambda *_: (None, interrupt))
    with pytest.raises(SystemExit, match="goes on from here"):
        leaderboard.train("plain-loop", 2, text)
    assert not path.exists()
    leaderboard.train("plain-loop", 2, text)
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]
    again = json.loads(path.read_text())
    assert again["valid_loss"] == pytest.approx(whole["valid_loss"], rel=1e-6)


def test_a_kind_of_device_without_entries_gets_one_message(small_leaderboard, monkeypatch):
    monkeypatch.setattr(leaderboard, "KIND", "tpu")
    with pytest.raises(SystemExit, match="has no entries for a tpu yet"):
        leaderboard.read_entries()


# What is recorded


def test_every_entry_is_recorded_and_the_recipe_with_three_seeds_in_time():
    trained = leaderboard.results("cpu")
    entries = json.loads(leaderboard.ENTRIES.read_text())["cpu"]
    assert trained.keys() == entries.keys()
    speeds = json.loads((leaderboard.FOLDER / "cpu" / "steps.json").read_text())["entries"]
    for speed in speeds.values():
        planned = (1 - leaderboard.SPARE) * 300 / speed["seconds_per_step"]
        assert speed["steps"] == pytest.approx(planned, rel=1e-3)
    for entry, each in trained.items():
        for result in each:
            assert result["steps"] == speeds[entry]["steps"]
            assert result["settings"] == leaderboard.all_settings(entries, entry)
    recipe = trained["recipe"]
    assert [result["seed"] for result in recipe] == [1, 2, 3]
    assert all(result["threads"] == 2 and result["seconds"] <= 300 for result in recipe)


def test_what_is_recorded_of_a_gpu_kept_the_rules():
    """Where nothing is recorded yet, nothing is held to them."""
    entries = json.loads(leaderboard.ENTRIES.read_text())["gpu"]
    trained = leaderboard.results("gpu")
    assert trained.keys() <= entries.keys()
    for entry, each in trained.items():
        for result in each:
            assert result["seconds"] <= 180 and "CPU" not in result["device"]
            assert result["settings"] == leaderboard.all_settings(entries, entry)
            whole = result["ended"] == "all steps"
            assert whole == (result["steps"] == result["planned_steps"])
    if "recipe" in trained:
        assert [each["seed"] for each in trained["recipe"]] == list(
            range(1, 1 + len(trained["recipe"]))
        )
        for name in ("steps.json", "history.jsonl", "samples.txt"):  # its model is too large
            assert (leaderboard.FOLDER / "gpu" / name).exists()


def test_the_recorded_model_has_the_recorded_loss():
    model, vocab = load_model(leaderboard.FOLDER / "cpu" / "model.safetensors")
    try:
        text = load_corpus("shakespeare").text
    except CorpusError as error:
        pytest.skip(str(error))
    _, valid_ids = split(vocab.encode(text))
    recorded = {each["seed"]: each for each in leaderboard.results("cpu")["recipe"]}[1]
    model = model.float()
    assert evaluate(model, valid_ids) == pytest.approx(recorded["valid_loss"], abs=1e-4)
    windows_loss = leaderboard.windows_loss(model, valid_ids)
    assert windows_loss == pytest.approx(recorded["windows_loss"], abs=1e-4)


def test_the_five_minutes_of_a_processor_without_bfloat16_are_recorded():
    (result,) = leaderboard.results("avx2/cpu")["recipe"]
    speed = json.loads((leaderboard.FOLDER / "avx2/cpu/steps.json").read_text())
    assert result["precision"] == speed["entries"]["recipe"]["precision"] == "float32"
    assert result["seconds"] <= 300 and result["threads"] == speed["threads"] == 2
    entries = json.loads(leaderboard.ENTRIES.read_text())["cpu"]
    assert result["settings"] == leaderboard.all_settings(entries, "recipe")


def test_the_readme_has_the_table():
    assert leaderboard.MARK + leaderboard.readme_table() in (ROOT / "README.md").read_text()


def test_the_table_names_the_gpu_and_all_seeds(small_leaderboard):
    for seed, loss in ((1, 1.37), (2, 1.36)):
        result = {"entry": "recipe", "seed": seed, "valid_loss": loss, "windows_loss": loss + 0.04}
        result["device"] = "NVIDIA H100 80GB HBM3"
        result |= {"ended": "out of time", "steps": 682} if seed == 2 else {"ended": "all steps"}
        result["planned_steps"] = 1000
        leaderboard.write_json(small_leaderboard / "gpu" / f"recipe-{seed}.json", result)
    entries = json.loads(leaderboard.ENTRIES.read_text())
    entries["gpu"] = next(iter(entries.values()))
    leaderboard.write_json(leaderboard.ENTRIES, entries)
    assert leaderboard.readme_table().endswith(
        "| 2 CPU cores, 5 minutes | not yet measured | | |\n"
        "| NVIDIA H100 80GB HBM3, 3 minutes | the recipe | "
        "1.3700, 1.3600 (out of time after 68 % of its schedule) | 1.4050 |\n"
    )
