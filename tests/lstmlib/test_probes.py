"""Probes: states made by hand, of which it is known what they hold."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score

from lstmlib import probes
from lstmlib.internals import unit_states
from lstmlib.models import CharRNN
from lstmlib.probes import Unit, as_features, fit_probe, run_probes, unit_of

N, S, TRAIN = 12_000, 16, 6_000
OPTIONS = {"train": TRAIN, "places": 3000, "block": 100, "draws": 60}


def runs_of(rng, mean_length, size=N):
    """Return a label that is true and false in turn, for runs of random length."""
    lengths = rng.geometric(1 / mean_length, size)
    return np.repeat(np.arange(size) % 2 == 0, lengths)[:size]


@pytest.fixture(scope="module")
def world():
    """States of 16 numbers, an untrained network's, characters, and labels."""
    rng = np.random.default_rng(5)
    ids = rng.integers(6, size=N)
    labels = {
        "in unit 5": runs_of(rng, 15),
        "spread": runs_of(rng, 15),
        "in the input": ids == 2,
        "nowhere": runs_of(rng, 15),
        "a number in unit 3": runs_of(rng, 10).cumsum() % 40 / 10.0,
        "no number": rng.normal(size=N),
    }
    features = rng.normal(size=(N, S)) * np.arange(1, S + 1) + 3  # each at its own scale
    features[:, 5] += 15 * labels["in unit 5"]
    features[:, 3] -= 8 * labels["a number in unit 3"]
    signs = rng.choice([-1, 1], S)
    signs[[3, 5]] = 0
    features += 0.5 * np.arange(1, S + 1) * signs * labels["spread"][:, None]
    features[:, 0] += 5 * labels["in the input"]
    untrained = rng.normal(size=(N, S))
    return features.astype(np.float32), untrained.astype(np.float32), labels, ids


@pytest.fixture(scope="module")
def results(world):
    return run_probes(*world, **OPTIONS)


# Scores


def counts_of(blocks, seed=0, draws=20):
    rng = np.random.default_rng(seed)
    size = blocks[-1] + 1
    return [np.ones(size)] + [
        np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(draws)
    ]


def test_scores_of_draws_are_those_of_the_blocks_that_were_drawn():
    """Against scikit-learn's, on as many copies of each block as were drawn; also with ties."""
    rng = np.random.default_rng(1)
    blocks = np.arange(500) // 50
    counts = np.array(counts_of(blocks), dtype=float)
    read = rng.integers(12, size=500) / 4
    label, number = rng.random(500) < 0.3, read + rng.normal(size=500)
    areas = probes._auc(read, label, blocks, counts)
    shares = probes._r2(read, number, blocks, counts)
    for k, count in enumerate(counts):
        drawn = np.concatenate(
            [np.flatnonzero(blocks == b).repeat(int(count[b])) for b in range(10)]
        )
        assert areas[k] == pytest.approx(roc_auc_score(label[drawn], read[drawn]))
        assert shares[k] == pytest.approx(r2_score(number[drawn], read[drawn]))


def test_blocks_make_a_wider_interval_than_single_characters(world):
    """Neighbours are alike here, as in a text: characters one by one would be too sure."""
    features, untrained, labels, ids = world
    rng = np.random.default_rng(2)
    slow = np.repeat(rng.normal(size=N // 100), 100)
    features = features.copy()
    features[:, 5] += 30 * slow
    one = {"in unit 5": labels["in unit 5"]}
    wide = run_probes(features, untrained, one, ids, **OPTIONS)["in unit 5"].unit
    narrow = run_probes(features, untrained, one, ids, **OPTIONS | {"block": 1})["in unit 5"].unit
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


# One probe


def test_a_probe_is_that_of_scikit_learn_on_standardised_states(world):
    features, _, labels, _ = world
    X = features[:2000].astype(float)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    label, number = labels["spread"][:2000], labels["a number in unit 3"][:2000]
    expected = LogisticRegression(C=0.01).fit(Z, label).decision_function(Z)
    np.testing.assert_allclose(fit_probe(X, label).read(X), expected, atol=0.02)
    expected = Ridge(alpha=100).fit(Z, number).predict(Z)
    np.testing.assert_allclose(fit_probe(X, number).read(X), expected, atol=1e-3)


def test_a_number_that_never_changes_says_nothing():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    X[:, 1] = 7
    probe = fit_probe(X, X[:, 0] > 0)
    assert probe.weights[1] == 0 and probe.weights[0] > 0.5
    assert roc_auc_score(X[:, 0] > 0, probe.read(X)) > 0.99


@pytest.mark.parametrize(
    ("features", "label", "message"),
    [
        (np.zeros((4, 2)), np.ones(4, dtype=bool), "The label is True at each of the 4 characters"),
        (np.full((4, 2), np.nan), np.arange(4.0), "not all finite: has the training"),
    ],
)
def test_what_cannot_be_fitted_is_refused(features, label, message):
    with pytest.raises(ValueError, match=message):
        fit_probe(features, label)


# All of them, beside the controls


def test_a_label_in_one_unit_is_found_there(results):
    found = results["in unit 5"]
    assert found.best == unit_of(5, 2, 4) == Unit("h", 1, 1) and found.measure == "AUC"
    assert found.unit.value > 0.95 and found.learnt and found.in_one_unit and found.remembered
    assert found.probe.low <= found.probe.value <= found.probe.high
    assert found.over["projection"].value == pytest.approx(
        found.unit.value - found.projection.value
    )


def test_a_number_in_one_unit_is_found_there_with_its_sign(results):
    found = results["a number in unit 3"]
    assert found.best == unit_of(3, 2, 4) and found.measure == "R2"
    assert found.unit.value > 0.8 and found.learnt and found.in_one_unit


def test_a_label_that_is_spread_is_read_by_the_probe_and_is_in_no_unit(results):
    found = results["spread"]
    assert found.probe.low > 0.8 and found.learnt and not found.in_one_unit
    assert found.unit.high < found.probe.low


def test_what_the_input_says_is_not_remembered(results):
    found = results["in the input"]
    assert found.last_characters.value > 0.99 and found.probe.value > 0.8
    assert found.learnt and not found.remembered


@pytest.mark.parametrize("name", ["nowhere", "no number"])
def test_what_is_nowhere_is_not_found(results, name):
    found = results[name]
    assert not found.learnt and not found.in_one_unit and not found.remembered
    assert abs(found.probe.value - (0.5 if found.measure == "AUC" else 0)) < 0.05


def test_controls_are_at_chance_where_they_know_nothing(results):
    for name, found in results.items():
        chance = 0.5 if found.measure == "AUC" else 0
        assert abs(found.untrained.value - chance) < 0.06, name
        assert abs(found.shuffled.value - chance) < 0.06, name


def test_nothing_of_the_scored_part_is_fitted_or_chosen(world):
    """With other labels in the scored part, the same unit is chosen, and its score turns round."""
    features, untrained, labels, ids = world
    label = labels["in unit 5"].copy()
    label[TRAIN:] = ~label[TRAIN:]
    found = run_probes(features, untrained, {"x": label}, ids, **OPTIONS)["x"]
    assert found.best == unit_of(5, 2, 4) and found.unit.value < 0.05 and found.probe.value < 0.05


def test_a_seed_gives_the_same_results_and_another_seed_others(world, results):
    *states, labels, ids = world
    one = {"spread": labels["spread"]}
    first, again, other = (run_probes(*states, one, ids, **OPTIONS, seed=s) for s in (3, 3, 4))
    assert first == again
    assert first["spread"].probe != other["spread"].probe
    assert first["spread"].probe.value == pytest.approx(other["spread"].probe.value, abs=0.02)


def test_states_become_rows_whose_units_are_named():
    torch.manual_seed(0)
    model, ids = CharRNN(5, 3, 2), torch.randint(5, (9,))
    h, c = unit_states(model, ids)
    features = as_features((h, c))
    assert features.shape == (9, 12) and features.dtype == np.float32
    for k in range(12):
        part, layer, number = unit_of(k, 2, 3)
        expected = (h, c)["hc".index(part)][:, layer, number]
        assert features[:, k].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": N}, f"train is {N}; it must be a whole number from 9 to {N - 1}"),
        ({"train": 11_200}, "leave 7 blocks of 100 to score; it takes 10"),
        ({"block": 0}, "block is 0"),
        ({"draws": 1}, "draws is 1"),
        ({"ids": np.zeros(9, dtype=int)}, r"train is 6000; it must be"),
        (
            {"labels": {"x": np.ones(5, dtype=bool)}},
            r"have the lengths \[5, 12000\]; give one each",
        ),
        ({"labels": {"rare": np.arange(N) == N - 5}}, "'rare' is almost everywhere the same"),
        ({"labels": {"zero": np.zeros(N)}}, "'zero' is almost everywhere the same"),
    ],
)
def test_what_cannot_be_probed_is_refused(world, changed, message):
    names = ("features", "untrained", "labels", "ids")
    given = dict(zip(names, world, strict=True)) | OPTIONS | changed
    with pytest.raises(ValueError, match=message):
        run_probes(**given)
