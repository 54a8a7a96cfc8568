"""Interventions: networks of which it is known what a unit does."""

import numpy as np
import pytest
import torch

from lstmlib.internals import set_units, unit_states
from lstmlib.interventions import push_effect, set_unit_effect
from lstmlib.models import CharRNN
from lstmlib.probes import Unit

PLACES = np.arange(5, 60, 3)


@pytest.fixture(scope="module")
def read():
    """A network whose prediction of character 2 hangs on unit 3 of its upper layer, and a text."""
    torch.manual_seed(0)
    model = CharRNN(5, 8, 2).eval()
    ids = torch.randint(5, (80,))
    states = unit_states(model, ids)
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.weight[2, 3] = 5
        model.output.bias.zero_()
        model.output.bias[2] = np.log(4) - 5 * states[0][:, 1, 3].mean()  # in the mean about 1/2
    return model, ids, states


def test_the_unit_that_is_read_clears_the_others(read):
    for part in ("c", "h"):
        for falls, target in ((True, -1.0), (False, 1.0)):
            unit = Unit(part, 1, 3)
            effect = set_unit_effect(*read, unit, PLACES, target, [2], falls=falls)
            assert effect.clears and effect.places == len(PLACES) and 0.4 < effect.before < 0.6
            assert effect.change.low > 0.05 and effect.control.high == 0  # nothing else is read
            against = set_unit_effect(*read, unit, PLACES, target, [2], falls=not falls)
            assert not against.clears
            assert against.change.value == pytest.approx(-effect.change.value)


def test_a_unit_that_nothing_reads_clears_nothing(read):
    for unit in (Unit("h", 1, 0), Unit("c", 1, 7)):
        effect = set_unit_effect(*read, unit, PLACES, 3.0, [2])
        assert effect.change.value == 0 and not effect.clears
        assert effect.control.high > 0.01  # unit 3 is among the others


def test_an_effect_is_that_of_reading_the_text_and_setting_the_unit_at_the_place():
    torch.manual_seed(1)
    model, ids = (
        CharRNN(5, 8, 2, embedding_size=4, output_norm=True).eval(),
        torch.randint(5, (40,)),
    )
    states, places, named = unit_states(model, ids), np.array([1, 7, 20, 39]), [0, 4]
    for unit in (Unit("c", 0, 2), Unit("h", 0, 2), Unit("c", 1, 5), Unit("h", 1, 5)):
        falls = []
        for t in places:
            text = ids[None, : t + 1]
            where = {"layer": unit.layer, "part": unit.part}
            logits = [
                set_units(model, text, [unit.number], [0.8], start=start, **where)[0, -1]
                for start in (t + 1, t)
            ]
            before, after = (each.softmax(dim=-1)[named].sum().item() for each in logits)
            falls.append(before - after)
        effect = set_unit_effect(model, ids, states, unit, places, 0.8, named)
        assert effect.change.value == pytest.approx(np.mean(falls), abs=1e-6)


def test_a_push_along_a_unit_sets_it(read):
    direction = np.zeros(8)
    direction[3] = 4  # its length means nothing
    pushed = push_effect(*read, direction, PLACES, 4 * -1.5, [2], layer=1)
    placed = set_unit_effect(*read, Unit("c", 1, 3), PLACES, -1.5, [2])
    assert pushed.change.value == pytest.approx(placed.change.value, rel=1e-5)
    assert pushed.clears


def test_a_push_reaches_its_target_and_goes_no_way_else(read):
    _, _, states = read
    direction = np.random.default_rng(0).normal(size=8)
    seen = []

    def spy(model, ids, edit, **options):
        c = states[1][PLACES, 1]
        seen.append((c, edit(c)))
        return torch.zeros(len(ids), 1, 5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmlib.interventions.logits_with", spy)
        push_effect(*read, direction, PLACES, 2.5, [2], layer=1)
    (_, _), (c, pushed), *others = seen
    along = torch.as_tensor(direction).float()
    torch.testing.assert_close(pushed @ along, torch.full((len(PLACES),), 2.5))
    moved = pushed - c
    assert torch.linalg.matrix_rank(moved) == 1
    for before, after in others:  # random ones go as far
        torch.testing.assert_close((after - before).norm(dim=1), moved.norm(dim=1))
    assert len(others) == 100


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"places": np.array([4])}, "There are 1 places and 1 named characters"),
        ({"named": []}, "There are 19 places and 0 named"),
        ({"places": np.array([0, 4])}, r"Places must lie in 1 … 79: a state stands before each"),
        ({"places": np.array([4, 80])}, "Places must lie in 1 … 79"),
        ({"named": [5]}, "a named id is 5; it must be a whole number from 0 to 4"),
        ({"unit": Unit("c", 2, 0)}, "layer is 2"),
        ({"unit": Unit("c", 0, 8)}, "unit is 8"),
        ({"unit": Unit("x", 0, 1)}, "part is 'x'"),
    ],
)
def test_what_cannot_be_set_is_refused(read, changed, message):
    given = {"unit": Unit("c", 1, 3), "places": PLACES, "target": 0.0, "named": [2]} | changed
    with pytest.raises(ValueError, match=message):
        set_unit_effect(*read, **given)


@pytest.mark.parametrize(
    ("direction", "layer", "message"),
    [
        (np.zeros(8), 1, r"The direction has shape \(8,\); give \(8,\), not all 0"),
        (np.ones(7), 1, r"The direction has shape \(7,\)"),
        (np.ones(8), 2, "layer is 2"),
    ],
)
def test_a_direction_without_meaning_is_refused(read, direction, layer, message):
    with pytest.raises(ValueError, match=message):
        push_effect(*read, direction, PLACES, 0.0, [2], layer=layer)
