"""States along a long text, and predictions of a network whose units are set.

Gates, Jacobians and `states_along` are tested in test_diagnostics.
"""

import numpy as np
import pytest
import torch

from lstmlib.conversion import to_numpy
from lstmlib.internals import logits_with, set_units, states_along, unit_states
from lstmlib.models import LAYERS, CharRNN

IDS = torch.tensor([[0, 3, 1, 4, 4, 2], [2, 2, 0, 1, 3, 3]])


def network(cell="lstm", layers=2, **kwargs):
    torch.manual_seed(1)
    return CharRNN(5, 3, layers, cell=cell, dropout=0.5, **kwargs).double()


def by_hand(model, ids, layer, part, units, values, start, state):
    """Return the logits (T, V) of one sequence, in NumPy's plain lines; units are set."""
    weights, _ = to_numpy(model)
    H, L = 3, model.config["num_layers"]
    h, c = (state[0][:, 0].numpy().copy(), state[1][:, 0].numpy().copy())
    logits = []
    for t, k in enumerate(ids.tolist()):
        x = np.eye(5)[k]
        for m in range(L):
            z = x @ weights[f"Wx{m}"] + h[m] @ weights[f"Wh{m}"] + weights[f"b{m}"]
            i, f, o = (1 / (1 + np.exp(-z[H * n : H * n + H])) for n in (0, 1, 3))
            c[m] = f * c[m] + i * np.tanh(z[2 * H : 3 * H])
            if t >= start and m == layer and part == "c":
                c[m, units] = values
            h[m] = o * np.tanh(c[m])
            if t >= start and m == layer and part == "h":
                h[m, units] = values
            x = h[m]
        logits.append(x @ model.output.weight.detach().numpy().T + model.output.bias.tolist())
    return np.array(logits)


# States


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 16, 17, 50])
def test_unit_states_are_the_states_along_a_text(cell, length):
    model, ids = network(cell), torch.randint(5, (length,), generator=torch.manual_seed(0))
    _, state = model.eval()(IDS[:1])
    model.train()
    for start in (None, state):
        fast, slow = unit_states(model, ids, start), states_along(model, ids, start)
        assert len(fast) == len(slow) and model.training
        for part, expected in zip(fast, slow, strict=True):
            assert part.shape == (length, 2, 3)
            torch.testing.assert_close(part, expected, rtol=1e-9, atol=1e-12)


def test_unit_states_need_one_text():
    for ids in (IDS, torch.empty(0, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"ids have the shape .*; give \(T,\), with T ≥ 1"):
            unit_states(network(), ids)


# Units that are set


@pytest.mark.parametrize("part", ["c", "h"])
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("start", [0, 2, 5])
def test_units_that_are_set_are_those_of_plain_lines(part, layer, start):
    model = network("lstm")
    _, state = model.eval()(IDS.flip(1))
    held = torch.tensor([[0.5, -2.0], [3.0, 0.1]], dtype=torch.double)  # for each sequence
    place = {"layer": layer, "part": part, "start": start}
    logits = set_units(model, IDS, [2, 0], held, state=state, **place)
    for b in range(2):
        own = tuple(each[:, b : b + 1].detach() for each in state)
        expected = by_hand(model, IDS[b], layer, part, [2, 0], held[b].numpy(), start, own)
        np.testing.assert_allclose(logits[b].numpy(), expected, rtol=1e-9)
    before = model(IDS, state)[0].detach()
    torch.testing.assert_close(logits[:, :start], before[:, :start])
    assert not torch.allclose(logits[:, start:], before[:, start:])


@pytest.mark.parametrize("cell", ["lstm", "cifg"])
def test_what_is_left_as_it_is_changes_nothing(cell):
    model = network(cell, embedding_size=4, output_norm=True)  # in training mode, with dropout
    expected = CharRNN.eval(model)(IDS)[0].detach()
    for part in ("c", "h"):
        for layer in (0, 1):
            logits = logits_with(model, IDS, lambda x: x, layer=layer, part=part)
            torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(set_units(model, IDS, [0], [9.0], layer=0, start=6), expected)


def test_one_value_for_all_sequences_is_that_value_for_each():
    model = network()
    one = set_units(model, IDS, [1], [0.7], layer=1)
    each = set_units(model, IDS, [1], torch.full((2, 1), 0.7, dtype=torch.double), layer=1)
    assert torch.equal(one, each)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"units": [3]}, "a unit is 3; it must be a whole number from 0 to 2"),
        ({"units": [0, 0]}, r"units are \[0, 0\]; name each once"),
        ({"units": [0, 1], "values": [1.0]}, r"values have the shape \(1,\); give \(2,\)"),
        ({"values": torch.zeros(3, 1)}, r"or \(2, 1\)"),
        ({"layer": 2}, "layer is 2; it must be a whole number from 0 to 1"),
        ({"part": "cell"}, "part is 'cell'; choose one of c, h"),
        ({"start": 7}, "start is 7; it must be a whole number from 0 to 6"),
        ({"cell": "gru"}, "The cell is 'gru'; only LSTM and CIFG have these gates"),
    ],
)
def test_what_cannot_be_set_is_refused(changed, message):
    given = {"cell": "lstm", "units": [0], "values": [1.0], "layer": 0} | changed
    model = network(given.pop("cell"))
    with pytest.raises(ValueError, match=message):
        set_units(model, IDS, given.pop("units"), given.pop("values"), **given)
