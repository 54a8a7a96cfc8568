"""Diagnostics: what they find is what a slow, separate computation finds."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from lstmlib import diagnostics, internals
from lstmlib.checkpoints import Checkpoints
from lstmlib.conversion import to_numpy
from lstmlib.diagnostics import Diagnostics, find_spikes, parts_of, series, suggest_clip
from lstmlib.internals import (
    gate_values,
    gradient_by_lag,
    largest_singular_values,
    recurrent_jacobians,
    states_along,
)
from lstmlib.models import LAYERS, CharRNN
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit
from lstmlib.vocab import Vocab

IDS = torch.tensor([[0, 3, 1, 4, 4, 2], [2, 2, 0, 1, 3, 3]])


def network(cell="lstm", layers=2, **kwargs):
    torch.manual_seed(1)
    return CharRNN(5, 3, layers, cell=cell, **kwargs).double()


@pytest.mark.parametrize("cell", LAYERS)
def test_parts_share_out_every_weight_once(cell):
    model = network(cell, embedding_size=4, output_norm=True)
    parts = parts_of(model)
    assert {"embedding", "norm", "output"} < parts.keys()
    assert len(parts) == 3 + 2 * len(internals.GATES[cell])
    counted = {weight: torch.zeros(len(weight)) for weight in model.parameters()}
    for part in parts.values():
        for weight, rows in part:
            counted[weight][rows] += 1
    assert all((rows == 1).all() for rows in counted.values())


@pytest.mark.parametrize("embedding", [None, 4])
def test_the_gates_of_an_lstm_are_those_of_the_numpy_cell(embedding):
    model = network("lstm", embedding_size=embedding)
    weights, _ = to_numpy(model)
    x, H = np.eye(5)[IDS.numpy()], 3
    gates = gate_values(model, IDS)
    for k in range(2):
        h = c = np.zeros((2, H))
        hidden = []
        for t in range(6):
            z = x[:, t] @ weights[f"Wx{k}"] + h @ weights[f"Wh{k}"] + weights[f"b{k}"]
            i, f, o = (1 / (1 + np.exp(-z[:, H * n : H * n + H])) for n in (0, 1, 3))
            c = f * c + i * np.tanh(z[:, 2 * H : 3 * H])
            h = o * np.tanh(c)
            hidden.append(h)
            for name, gate in {"input": i, "forget": f, "output": o}.items():
                found = gates[f"layer {k + 1} · {name} gate"][:, t].numpy()
                np.testing.assert_allclose(found, gate, rtol=1e-12)
        x = np.stack(hidden, axis=1)
    assert len(gates) == 6


@pytest.mark.parametrize("cell", ["lstm", "cifg"])
def test_gates_go_on_from_a_state(cell):
    model = network(cell)
    _, state = model(IDS)
    whole = gate_values(model, torch.cat([IDS, IDS], dim=1))
    second = gate_values(model, IDS, state)
    for name, gate in second.items():
        torch.testing.assert_close(gate, whole[name][:, 6:])


def test_other_cells_have_no_such_gates():
    with pytest.raises(ValueError, match="only LSTM and CIFG"):
        gate_values(network("gru"), IDS)


@pytest.mark.parametrize("cell", LAYERS)
def test_jacobians_are_those_of_central_differences(cell):
    model = network(cell)
    _, state = model(IDS[:1])
    jacobians = recurrent_jacobians(model, IDS[1], state)
    size = 12 if cell in ("lstm", "cifg") else 6
    assert jacobians.shape == (6, size, size)
    flat = internals._flat(state)[0]

    def after(flat, character):
        parts = flat.view(-1, 2, 1, 3)
        _, new = model(character.view(1, 1), tuple(parts))
        return internals._flat(new)[0].detach()

    for t, character in enumerate(IDS[1]):
        for b in range(size):
            step = torch.zeros(size).double()
            step[b] = 1e-6
            slope = (after(flat + step, character) - after(flat - step, character)) / 2e-6
            torch.testing.assert_close(jacobians[t, :, b], slope, atol=1e-8, rtol=1e-6)
        flat = after(flat, character)


def test_without_a_state_the_jacobians_start_at_zero_and_dropout_is_off():
    model = network("lstm", dropout=0.5)
    zeros = tuple(torch.zeros(2, 1, 3).double() for _ in range(2))
    torch.testing.assert_close(
        recurrent_jacobians(model, IDS[0]), recurrent_jacobians(model, IDS[0], zeros)
    )
    assert model.training


@pytest.mark.parametrize("cell", LAYERS)
def test_states_along_a_text_are_those_of_reading_each_beginning(cell):
    model = network(cell)
    states = states_along(model, IDS[0])
    assert [part.shape for part in states] == [(6, 2, 3)] * (2 if cell in ("lstm", "cifg") else 1)
    for t in range(6):
        _, after = model(IDS[:1, : t + 1])
        for part, expected in zip(states, after, strict=True):
            torch.testing.assert_close(part[t], expected[:, 0])


@pytest.mark.parametrize("cell", LAYERS)
def test_states_along_a_text_go_on_from_a_state(cell):
    model = network(cell)
    whole = states_along(model, torch.cat([IDS[0], IDS[1]]))
    _, state = model(IDS[:1])
    for part, expected in zip(states_along(model, IDS[1], state), whole, strict=True):
        torch.testing.assert_close(part, expected[6:])


@pytest.mark.parametrize("training", [True, False])
def test_states_along_a_text_are_without_dropout_and_leave_the_model_as_it_was(training):
    model, bare = network(dropout=0.5).train(training), network()
    random_state = torch.get_rng_state()
    states = states_along(model, IDS[0])
    assert model.training is training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(part.requires_grad for part in states)
    for part, expected in zip(states, states_along(bare, IDS[0]), strict=True):
        assert torch.equal(part, expected)
    with pytest.raises((IndexError, RuntimeError)):
        states_along(model, torch.tensor([0, 99]))
    assert model.training is training


@pytest.mark.parametrize("ids", [IDS, IDS[0, :0]], ids=["a batch", "none"])
def test_states_along_need_one_text(ids):
    with pytest.raises(ValueError, match=r"give \(T,\), with T ≥ 1"):
        states_along(network(), ids)


def test_singular_values_and_gradients_of_diagonal_jacobians():
    jacobians = torch.stack([torch.diag(torch.tensor([0.5, 0.9]))] * 3).double()
    np.testing.assert_allclose(largest_singular_values(jacobians), 0.9)
    np.testing.assert_allclose(gradient_by_lag(jacobians), [0.9, 0.81, 0.729])


def test_the_gradient_by_lag_multiplies_from_the_end():
    torch.manual_seed(0)
    jacobians = torch.randn(3, 4, 4).double()
    product = jacobians[2] @ jacobians[1] @ jacobians[0]
    assert gradient_by_lag(jacobians)[2] == pytest.approx(np.linalg.norm(product.numpy(), 2))


def test_spikes_are_found_and_noise_and_a_falling_loss_are_not():
    rng = np.random.default_rng(0)
    losses = 4 * np.exp(-np.arange(1000) / 200) + 1.5 + 0.05 * rng.standard_normal(1000)
    assert find_spikes(losses) == []
    losses[[400, 700]] += 1.0
    losses[800] = np.nan
    assert find_spikes(losses) == [400, 700, 800]
    losses[500:] = np.nan
    assert find_spikes(losses)[1:] == list(range(500, 1000))


@pytest.mark.parametrize(("loss", "spikes"), [(1.48, []), (1.51, [2])])
def test_a_loss_is_judged_by_those_before_it_alone(loss, spikes):
    # Of 1 and 1.1 the median is 1.05, the deviation 0.05: the limit is 1.05 + 6 · 1.4826 · 0.05.
    assert find_spikes([1.0, 1.1, loss], span=20) == spikes


def test_a_clip_value_is_that_of_the_healthy_norms():
    rng = np.random.default_rng(0)
    healthy = rng.lognormal(0, 0.3, 200)
    expected = np.percentile(healthy[20:], 90)
    assert suggest_clip(healthy) == pytest.approx(expected)
    burst = healthy.copy()
    burst[:5] = 1000  # the start
    burst[100:103] = 500
    burst[150] = np.nan
    assert suggest_clip(burst) == pytest.approx(expected, rel=0.05)
    with pytest.raises(ValueError, match="at least 20"):
        suggest_clip([1.0] * 19)
    with pytest.raises(ValueError, match="No norm is finite"):
        suggest_clip([np.nan] * 20)


TEXT = "the cat sat on the mat and the rat ran to the hat. " * 20
VOCAB = Vocab.from_text(TEXT)
TEXT_IDS = VOCAB.encode(TEXT)


def train(diagnostics, model=None, **settings):
    torch.manual_seed(2)
    model = model or CharRNN(len(VOCAB), 6, 2, dropout=0.3, output_norm=True)
    config = TrainingConfig(**{"steps": 6, "batch_size": 4, "seq_len": 10} | settings)
    return model, fit(model, TEXT_IDS, None, config, progress=False, diagnostics=diagnostics)


def length(values):
    return sum(value**2 for value in values) ** 0.5


@pytest.mark.parametrize("cell", LAYERS)
def test_looking_changes_nothing(cell):
    start = CharRNN(len(VOCAB), 6, cell=cell)
    bare, watched = (train(look, deepcopy(start)) for look in (None, Diagnostics()))
    for name, weight in bare[0].state_dict().items():
        assert torch.equal(weight, watched[0].state_dict()[name])
    assert [row["loss"] for row in bare[1].rows] == [row["loss"] for row in watched[1].rows]
    assert "diagnostics" not in bare[1].rows[0]


@pytest.mark.parametrize(
    "clip", [{"clip_norm": 0.05}, {"clip_norm": None}, {"clip_norm": None, "clip_value": 0.01}]
)
def test_the_parts_make_up_the_whole_gradient_before_and_after_clipping(clip):
    _, history = train(Diagnostics(), **clip)
    for row in history.rows:
        found = row["diagnostics"]
        assert length(found["gradient"].values()) == pytest.approx(row["grad_norm"], rel=1e-5)
        assert length(found["clipped"].values()) == pytest.approx(row["clipped_norm"], rel=1e-5)
    assert history.clipped_share == (1 if any(clip.values()) else 0)


def test_an_update_is_measured_against_the_weights():
    start = CharRNN(len(VOCAB), 6)
    before = {name: weight.clone() for name, weight in start.state_dict().items()}
    model, history = train(Diagnostics(), start, steps=1, optimizer="sgd", learning_rate=3.0)
    found, output = history.rows[0]["diagnostics"], ("output.weight", "output.bias")
    moved = length([(model.state_dict()[n] - before[n]).norm().item() for n in output])
    size = length([model.state_dict()[n].norm().item() for n in output])
    assert found["update"]["output"] == pytest.approx(moved / size, rel=1e-4)
    assert moved == pytest.approx(3.0 * found["clipped"]["output"], rel=1e-4)


def test_saturation_is_the_share_of_gates_near_their_ends():
    model = CharRNN(len(VOCAB), 4, 1)
    with torch.no_grad():
        for weight in model.layers.parameters():
            weight.zero_()
        model.layers.bias_ih_l0[:4] = torch.tensor([-9.0, 0.0, 9.0, 9.0])  # of the input gates
    _, history = train(Diagnostics(), model, steps=1, optimizer="sgd", learning_rate=1e-9)
    found = history.rows[0]["diagnostics"]
    assert found["near_0"]["layer 1 · input gate"] == pytest.approx(0.25)
    assert found["near_1"]["layer 1 · input gate"] == pytest.approx(0.5)
    assert found["near_0"]["layer 1 · forget gate"] == found["near_1"]["layer 1 · forget gate"] == 0


def test_the_gates_go_on_from_the_state_that_the_batch_began_with(monkeypatch):
    states = []

    def seen(model, ids, state):
        states.append(state)
        return gate_values(model, ids, state)

    monkeypatch.setattr(diagnostics, "gate_values", seen)
    train(Diagnostics(), steps=2)
    assert states[0] is None and all(part.abs().sum() > 0 for part in states[1])


@pytest.mark.parametrize("cell", LAYERS)
def test_bfloat16_batches_in_parts_and_frozen_weights_are_recorded_too(cell):
    model = CharRNN(len(VOCAB), 6, cell=cell, embedding_size=4)
    model.embedding.weight.requires_grad_(False)
    _, history = train(Diagnostics(), model, precision="bfloat16", accumulate=2)
    for row in history.rows:
        found = row["diagnostics"]
        assert "embedding" not in found["gradient"]
        assert length(found["gradient"].values()) == pytest.approx(row["grad_norm"], rel=1e-4)


def test_a_cut_too_small_for_the_norm_is_recorded():
    _, history = train(Diagnostics(), clip_norm=None, agc_factor=1e-9)
    found = history.rows[0]["diagnostics"]
    assert all(found["clipped"][part] < found["gradient"][part] for part in found["gradient"])
    assert found["clipped"] is not found["gradient"]


def test_as_many_characters_are_looked_at_as_were_asked_for(monkeypatch):
    seen = []

    def see(model, ids, state):
        seen.append(ids.shape)
        return gate_values(model, ids, state)

    monkeypatch.setattr(diagnostics, "gate_values", see)
    train(Diagnostics(3), steps=1)
    assert seen == [(4, 3)]


def test_the_mode_comes_back_after_an_error():
    model = network("lstm")
    with pytest.raises((IndexError, RuntimeError)):
        recurrent_jacobians(model, torch.tensor([0, 99]))
    assert model.training


def test_a_skipped_step_has_no_record():
    model = CharRNN(len(VOCAB), 6)
    model.output.bias.data[0] = float("inf")
    torch.manual_seed(0)
    _, history = train(Diagnostics(), model, steps=1)
    assert history.rows[0]["skipped"] and history.rows[0]["diagnostics"] is None
    with pytest.raises(ValueError, match="have no diagnostics"):
        series(history.rows, "gradient")


def test_series_are_columns_by_part():
    _, history = train(Diagnostics())
    history.rows[2]["diagnostics"] = None
    history.rows[3]["diagnostics"]["update"]["output"] = None
    steps, values = series(history.rows, "update")
    assert steps.tolist() == [1, 2, 4, 5, 6]
    assert values["norm"][0] == history.rows[0]["diagnostics"]["update"]["norm"]
    assert np.isnan(values["output"]).tolist() == [False, False, True, False, False]
    with pytest.raises(ValueError, match="choose one of gradient, clipped, update, near_0, near_1"):
        series(history.rows, "gradients")


def test_a_resumed_run_keeps_its_records(tmp_path):
    def run(steps, folder="resumed"):
        torch.manual_seed(2)
        config = TrainingConfig(steps, batch_size=4, seq_len=10)
        kept = Checkpoints(tmp_path / folder, VOCAB, every=2)
        model = CharRNN(len(VOCAB), 6)
        return fit(
            model, TEXT_IDS, None, config, None, kept, progress=False, diagnostics=Diagnostics()
        )

    first, whole = run(3), run(6)
    assert whole.rows[:3] == first.rows
    for name in ("gradient", "clipped", "update", "near_0", "near_1"):
        (steps, parts), (others, expected) = (
            series(history.rows, name) for history in (whole, run(6, "at once"))
        )
        assert steps.tolist() == others.tolist() == [1, 2, 3, 4, 5, 6]
        for part, values in parts.items():
            np.testing.assert_allclose(values, expected[part], rtol=1e-4)


def test_characters_are_counted_from_1():
    with pytest.raises(ValueError, match="characters is 0; it must be a whole number, 1 or more"):
        Diagnostics(0)
