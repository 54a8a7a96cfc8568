import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.calibration import (
    calibration,
    ece_floor,
    expected_calibration_error,
    reliability,
)

FOUR = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.35, 0.65]])
CAME = np.array([0, 1, 0, 0])  # right, wrong, right, wrong


def network(size, seed=0, sharper=1.0):
    """Return distributions, (size, 5), and targets of a calibrated network made surer of itself."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.ones(5), size=size)
    targets = (true.cumsum(axis=1) > rng.random((size, 1))).argmax(axis=1)
    said = true**sharper
    return said / said.sum(axis=1, keepdims=True), targets


def test_one_bin_by_hand():
    found = reliability(FOUR, CAME, bins=1)
    assert found.confidence == pytest.approx([(0.9 + 0.9 + 0.6 + 0.65) / 4])
    assert found.accuracy.tolist() == [2 / 4]
    assert found.count.tolist() == [4]
    assert found.ece == pytest.approx(0.7625 - 0.5)


def test_ten_bins_by_hand():
    """0.9 belongs to the bin that it ends, and so does 0.6."""
    found = reliability(FOUR, CAME)
    assert found.edges == pytest.approx(np.arange(11) / 10)
    assert found.count.tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 2, 0]
    assert found.confidence[[5, 6, 8]] == pytest.approx([0.6, 0.65, 0.9])
    assert found.accuracy[[5, 6, 8]].tolist() == [1, 0, 0.5]
    assert np.isnan(found.accuracy[[0, 1, 2, 3, 4, 7, 9]]).all()
    expected = 1 / 4 * (1 - 0.6) + 1 / 4 * (0.65 - 0) + 2 / 4 * (0.9 - 0.5)
    assert expected_calibration_error(FOUR, CAME) == pytest.approx(expected) == found.ece


def test_one_token_by_hand():
    """Of token 1: at 0.1, 0.1 and 0.4 it came once, at 0.65 never."""
    found = reliability(FOUR, CAME, bins=2, token=1)
    assert found.count.tolist() == [3, 1]
    assert found.confidence == pytest.approx([0.2, 0.65])
    assert found.accuracy == pytest.approx([1 / 3, 0])
    assert found.ece == pytest.approx(3 / 4 * (1 / 3 - 0.2) + 1 / 4 * 0.65)


def test_certainty_and_impossibility_have_a_bin():
    sure = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert reliability(sure, np.array([0, 0])).count[-1] == 2
    found = reliability(sure, np.array([0, 0]), token=1)
    assert found.count[0] == 2 and found.ece == 0


def test_tensors_and_32_bits_are_taken():
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    p = torch.softmax(logits, dim=1)
    targets = torch.arange(50) % 7
    as_numpy = reliability(p.double().numpy(), targets.numpy())
    assert reliability(p, targets).ece == pytest.approx(as_numpy.ece, abs=1e-6)


@given(st.integers(1, 60), st.integers(1, 15), st.integers(0, 9))
def test_every_prediction_is_in_one_bin_and_the_error_is_a_share(size, bins, seed):
    p, targets = network(size, seed)
    found = reliability(p, targets, bins)
    assert found.count.sum() == size
    assert 0 <= found.ece <= 1
    within = found.count > 0
    assert (found.edges[:-1][within] <= found.confidence[within]).all()
    assert (found.confidence[within] <= found.edges[1:][within]).all()
    hits = (found.accuracy * found.count)[within].sum()
    assert hits == pytest.approx((p.argmax(axis=1) == targets).sum())


def test_the_floor_of_one_probability_is_the_mean_of_a_binomial_gap():
    """E |hits / N - p| of a binomial is about √(2 p (1 - p) / (π N))."""
    for size in (400, 1600):
        p = np.tile([0.7, 0.3], (size, 1))
        expected = math.sqrt(2 * 0.7 * 0.3 / (math.pi * size))
        assert ece_floor(p, draws=2000) == pytest.approx(expected, rel=0.06)


def test_the_floor_is_the_error_of_a_calibrated_network():
    """Measured on 40 networks that are right, with all of their distribution drawn."""
    errors = [expected_calibration_error(*network(500, seed)) for seed in range(40)]
    assert np.mean(errors) == pytest.approx(ece_floor(network(500)[0]), rel=0.12)
    assert min(errors) > 0


def test_more_bins_and_fewer_predictions_raise_the_floor():
    p, _ = network(2000)
    assert ece_floor(p, 5) < ece_floor(p, 50)
    assert ece_floor(p) < ece_floor(p[:200])
    assert ece_floor(p, seed=3) == ece_floor(p, seed=3) != ece_floor(p, seed=4)


def test_a_calibrated_network_is_within_the_floor_and_a_sure_one_above():
    right, sure = calibration(*network(4000)), calibration(*network(4000, sharper=2))
    assert right.floor.low <= right.ece.value <= right.floor.high
    assert right.ece.low <= 0.005
    error = expected_calibration_error(*network(4000, sharper=2))
    assert sure.ece.value == pytest.approx(error, rel=1e-12)
    assert sure.floor.high < sure.ece.low < sure.ece.value < sure.ece.high
    assert calibration(*network(4000)) == right


def test_blocks_that_go_wrong_together_widen_the_interval():
    """Each run of 100 predictions is all right or all wrong, so there are 20 in place of 2000."""
    p = np.tile([0.7, 0.3], (2000, 1))
    rng = np.random.default_rng(0)
    together = np.repeat(rng.random(20) > 0.7, 100).astype(int)
    alone = (rng.random(2000) > 0.7).astype(int)
    width = [high - low for _, low, high in (calibration(p, t).ece for t in (together, alone))]
    assert width[0] > 2 * width[1]


def test_what_is_left_over_belongs_to_the_last_block():
    p, targets = network(1099)
    found = calibration(p, targets, block=500, draws=20)
    assert found.ece.value == pytest.approx(expected_calibration_error(p, targets))


@pytest.mark.parametrize(
    ("p", "targets", "options", "message"),
    [
        (np.zeros((0, 3)), [], {}, r"shape \(0, 3\); it must be \(N, V\), not empty"),
        ([0.5, 0.5], [0], {}, r"shape \(2,\)"),
        ([[0.5, math.nan]], [0], {}, "Row 0 of probabilities goes from nan to nan"),
        ([[0.5, 0.5], [1.5, -0.5]], [0, 0], {}, "Row 1 .* from -0.5 to 1.5; .* Logits"),
        ([[0.5, math.inf]], [0], {}, "Row 0 of probabilities goes from 0.5 to inf"),
        ([[0.5, 0.4]], [0], {}, "Row 0 of probabilities sums to 0.9; it must be 1"),
        ([["a", "b"]], [0], {}, "must be real numbers"),
        (FOUR, CAME[:3], {}, r"targets have the shape \(3,\); 4 rows need \(4,\)"),
        (FOUR, [0, 1, 2, 0], {}, r"2 in targets is no id; ids must lie in 0 … 1"),
        (FOUR, [0, -1, 1, 0], {}, "-1 in targets is no id"),
        (FOUR, [0.0, 1.0, 1.0, 0.0], {}, "dtype of targets is float64"),
        (FOUR, CAME, {"bins": 0}, "bins is 0"),
        (FOUR, CAME, {"token": 2}, "token is 2; it must be a whole number from 0 to 1"),
    ],
)
def test_bad_data_is_named(p, targets, options, message):
    with pytest.raises(ValueError, match=message):
        reliability(np.array(p), np.array(targets), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 3}, "at least two blocks of 3 predictions; there are 4"),
        ({"block": 0}, "block is 0"),
        ({"block": 2, "level": 0}, "level is 0"),
        ({"block": 2, "draws": 0}, "draws is 0"),
        ({"block": 2, "seed": -1}, "seed is -1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        calibration(FOUR, CAME, **options)


def test_one_prediction_has_an_error_and_no_interval():
    assert expected_calibration_error(FOUR[:1], CAME[:1]) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="at least two blocks"):
        calibration(FOUR[:1], CAME[:1])
