import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.batching import IGNORE, Streams, split, windows


def test_windows_by_hand():
    x, y = windows(np.arange(10), length=4, step=2)
    assert x.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert y.tolist() == [4, 6, 8]


@given(st.integers(2, 200), st.integers(1, 60), st.integers(1, 20))
def test_every_window_is_followed_by_its_target(n, length, step):
    ids = np.arange(n)
    if n <= length:
        with pytest.raises(ValueError, match="too short for one window"):
            windows(ids, length, step)
        return
    x, y = windows(ids, length, step)
    assert x.shape == ((n - length - 1) // step + 1, length)
    assert (x[:, 0] == np.arange(0, n - length, step)).all()
    assert (y == x[:, -1] + 1).all()


@pytest.mark.parametrize(("length", "step"), [(0, 1), (4, 0), (-1, 1)])
def test_window_sizes_below_one(length, step):
    with pytest.raises(ValueError, match="1 or more"):
        windows(np.arange(10), length, step)


@given(
    st.integers(2, 300), st.integers(1, 9), st.integers(1, 12), st.sampled_from(["drop", "mask"])
)
def test_streams_are_contiguous_and_see_no_pair_twice(n, batch_size, seq_len, remainder):
    ids = np.arange(n)
    if remainder == "drop" and n - 1 < batch_size * seq_len:
        with pytest.raises(ValueError, match="too short for one batch"):
            Streams(ids, batch_size, seq_len, remainder)
        return
    streams = Streams(ids, batch_size, seq_len, remainder)
    batches = list(streams)
    assert len(batches) == len(streams) >= 1
    assert all(x.shape == y.shape == (batch_size, seq_len) for x, y in batches)
    rows_x = np.concatenate([x for x, _ in batches], axis=1)
    rows_y = np.concatenate([y for _, y in batches], axis=1)
    counted = rows_y != IGNORE
    assert (rows_y[counted] == rows_x[counted] + 1).all()
    seen = rows_y[counted]
    assert len(seen) == len(set(seen.tolist())) == streams.pairs
    assert streams.pairs + streams.dropped == n - 1
    for row, used in zip(rows_x, counted, strict=True):
        assert (np.diff(row[used]) == 1).all()
        assert not used[used.sum() :].any()
    if remainder == "drop":
        assert streams.dropped < batch_size * seq_len
        assert counted.all()
    else:
        assert streams.dropped == 0


def test_streams_by_hand():
    streams = Streams(np.arange(14), batch_size=2, seq_len=3)
    assert streams.dropped == 1
    assert [x.tolist() for x, _ in streams] == [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]]


def test_masked_streams_by_hand():
    streams = Streams(np.arange(6), batch_size=2, seq_len=2, remainder="mask")
    _, y = streams.batch(1)
    assert y.tolist() == [[3, IGNORE], [IGNORE, IGNORE]]
    assert streams.batch(0)[1].tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize("k", [-1, 2])
def test_a_batch_beyond_the_epoch_is_an_error(k):
    with pytest.raises(IndexError, match="the epoch has 2"):
        Streams(np.arange(14), batch_size=2, seq_len=3).batch(k)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Streams(np.arange(9), 0, 2), "≥ 1"),
        (lambda: Streams(np.arange(9), 2, 0), "≥ 1"),
        (lambda: Streams(np.arange(1), 1, 1, "mask"), "no pair"),
        (lambda: Streams(np.arange(9), 2, 2, "pad"), "'drop' or 'mask'"),
    ],
)
def test_streams_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(st.integers(4, 1000), st.floats(0.01, 0.99))
def test_split_is_contiguous_and_whole(n, fraction):
    ids = np.arange(n)
    try:
        train, valid = split(ids, fraction)
    except ValueError:
        assert min(round(n * fraction), n - round(n * fraction)) < 2
        return
    assert np.array_equal(np.concatenate([train, valid]), ids)
    assert abs(len(valid) - n * fraction) <= 0.5


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_split_bad_fraction(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        split(np.arange(100), fraction)


def test_split_of_a_tiny_text_says_why():
    with pytest.raises(ValueError, match="too short to split"):
        split(np.arange(5))
