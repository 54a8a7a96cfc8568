from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.batching import IGNORE, PaddedBatches, Streams, split, windows


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


@given(st.integers(2, 300), st.integers(1, 9), st.integers(1, 12), st.booleans())
def test_streams_are_contiguous_and_see_no_pair_twice(n, batch_size, seq_len, drop_last):
    ids = np.arange(n)
    if drop_last and n - 1 < batch_size * seq_len:
        with pytest.raises(ValueError, match="too short for one batch"):
            Streams(ids, batch_size, seq_len, drop_last)
        return
    streams = Streams(ids, batch_size, seq_len, drop_last)
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
    if drop_last:
        assert streams.dropped < batch_size * seq_len
        assert counted.all()
    else:
        assert streams.dropped == 0


def test_streams_by_hand():
    streams = Streams(np.arange(14), batch_size=2, seq_len=3)
    assert streams.dropped == 1
    assert [x.tolist() for x, _ in streams] == [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]]


def test_masked_streams_by_hand():
    streams = Streams(np.arange(6), batch_size=2, seq_len=2, drop_last=False)
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
        (lambda: Streams(np.arange(9), 0, 2), "batch_size is 0; it must be a whole number, 1"),
        (lambda: Streams(np.arange(9), 2, 0), "seq_len is 0; it must be a whole number, 1"),
        (lambda: Streams(np.arange(9), 2.0, 1), "batch_size is 2.0"),
        (lambda: Streams(np.arange(9), True, 1), "batch_size is True"),
        (lambda: Streams(np.arange(9), 1, 2**63), "seq_len is 9223372036854775808"),
        (lambda: Streams(np.arange(9), float("nan"), 1), "batch_size is nan"),
        (
            lambda: Streams(np.arange(9), 10**12, 10, drop_last=False),
            "nearly all padding: the text has 9",
        ),
        (
            lambda: Streams(np.arange(9), 3, 2**62, drop_last=False),
            "nearly all padding: the text has 9",
        ),
        (lambda: Streams(np.arange(9), 10**12, 10), "too short for one batch"),
        (lambda: Streams(np.arange(9) / 2, 1, 1), r"row of ids \(integers\), not float64"),
        (lambda: Streams(np.arange(9) > 2, 1, 1), r"row of ids \(integers\), not bool"),
        (lambda: Streams(np.ones((3, 3), int), 1, 1), r"not int64 \(3, 3\)"),
        (lambda: Streams([10**30, 1, 2], 1, 1), "not object"),
        (lambda: Streams("abc", 1, 1), "row of ids"),
        (lambda: windows(np.arange(9), 2.5), "length is 2.5"),
        (lambda: windows(np.arange(9), 10**400), "length is 1000"),
        (lambda: windows(np.arange(9), 2, "3"), "step is '3'"),
        (lambda: split(np.arange(9), "0.1"), "valid_fraction is '0.1'"),
        (lambda: Streams(np.arange(1), 1, 1, drop_last=False), "no pair"),
        (
            lambda: Streams(np.arange(9), 2, 2, "pad"),
            "drop_last is 'pad'; it must be True or False",
        ),
    ],
)
def test_sizes_and_texts_without_meaning(call, message):
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
    with pytest.raises(ValueError, match="above 0 and below 1"):
        split(np.arange(100), fraction)


def test_split_of_a_tiny_text_says_why():
    with pytest.raises(ValueError, match="too short to split"):
        split(np.arange(5))


# Whole sequences in padded batches

PAD = 1000


def numbered(lengths):
    """Sequences with so many symbols to predict each, and with ids that occur nowhere else."""
    ids = iter(range(PAD + 1, 10**6))
    return [np.array([next(ids) for _ in range(length + 1)]) for length in lengths]


def rows_of(batches, epoch=0):
    """Return (x, y, is padding) of every row of an epoch."""
    found = [batches.batch(k, epoch) for k in range(len(batches))]
    return [(*row, row[0] == PAD) for x, y in found for row in zip(x, y, strict=True)]


def same(batches, others):
    """Are two lists of (x, y) the same?"""
    return len(batches) == len(others) and all(
        np.array_equal(x, other_x) and np.array_equal(y, other_y)
        for (x, y), (other_x, other_y) in zip(batches, others, strict=True)
    )


LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=40)
SEEDS = st.integers(0, 10)


@given(LENGTHS, st.integers(12, 60), SEEDS, st.integers(0, 3))
def test_an_epoch_has_every_sequence_once_and_masks_the_padding(lengths, max_tokens, seed, epoch):
    sequences = numbered(lengths)
    batches = PaddedBatches(sequences, max_tokens, PAD, seed)
    found = []
    for x, y, padding in rows_of(batches, epoch):
        assert np.array_equal(y == IGNORE, padding)
        n = (~padding).sum()
        assert not padding[:n].any()
        found.append([*x[:n], y[n - 1]])
        assert np.array_equal(x[1:n], y[: n - 1])
    assert sorted(found) == sorted(s.tolist() for s in sequences)


@given(LENGTHS, st.integers(12, 60), SEEDS, st.integers(0, 3))
def test_batches_keep_to_their_size_and_are_filled_in_order_of_length(
    lengths, max_tokens, seed, epoch
):
    batches = PaddedBatches(numbered(lengths), max_tokens, PAD, seed)
    found = [batches.batch(k, epoch) for k in range(len(batches))]
    inside = []
    for x, y in found:
        assert x.shape == y.shape
        assert x.dtype == y.dtype == np.int64
        assert 0 < x.size <= max_tokens
        inside.append((y != IGNORE).sum(axis=1).tolist())
        assert inside[-1] == sorted(inside[-1])
        assert inside[-1][-1] == x.shape[1]  # no column is padding alone
    inside.sort(key=lambda each: (each[0], each[-1], -len(each)))
    assert [n for each in inside for n in each] == sorted(lengths)
    for each, following in pairwise(inside):
        assert (len(each) + 1) * following[0] > max_tokens  # no room for one more


@given(LENGTHS, st.integers(12, 60), SEEDS)
def test_every_epoch_has_batches_of_the_same_shapes(lengths, max_tokens, seed):
    batches = PaddedBatches(numbered(lengths), max_tokens, PAD, seed)
    shapes = [
        Counter(batches.batch(k, epoch)[0].shape for k in range(len(batches))) for epoch in range(3)
    ]
    assert shapes[0] == shapes[1] == shapes[2]


@given(LENGTHS, st.integers(12, 60), SEEDS)
def test_targets_and_padding_are_counted(lengths, max_tokens, seed):
    batches = PaddedBatches(numbered(lengths), max_tokens, PAD, seed)
    assert batches.targets == sum(lengths) == sum((y != IGNORE).sum() for _, y in batches)
    size = sum(y.size for _, y in batches)
    assert batches.padding == pytest.approx((size - sum(lengths)) / size, abs=1e-12)
    assert 0 <= batches.padding < 1


@given(LENGTHS, st.integers(12, 60), SEEDS, st.randoms(use_true_random=False))
def test_the_order_depends_on_seed_and_epoch_alone(lengths, max_tokens, seed, random):
    sequences = numbered(lengths)
    batches = PaddedBatches(sequences, max_tokens, PAD, seed)
    wanted = [(k, epoch) for epoch in range(3) for k in range(len(batches))]
    in_order = [batches.batch(*which) for which in wanted]
    mixed = random.sample(wanted, len(wanted))
    again = {which: batches.batch(*which) for which in mixed}
    assert same([again[which] for which in wanted], in_order)
    assert same(list(batches), in_order[: len(batches)])
    np.random.seed(1)
    other = PaddedBatches([s.tolist() for s in sequences], max_tokens, PAD, seed)
    assert same([other.batch(*which) for which in wanted], in_order)


def test_epochs_and_seeds_differ_in_order_and_in_company():
    sequences = numbered([4] * 30 + [7] * 30)
    batches = PaddedBatches(sequences, 28, PAD)

    def company(batches, epoch):
        found = [batches.batch(k, epoch)[0][:, 0] for k in range(len(batches))]
        return [frozenset(each.tolist()) for each in found]

    first, second = company(batches, 0), company(batches, 1)
    other = company(PaddedBatches(sequences, 28, PAD, seed=1), 0)
    for one, another in ((first, second), (first, other), (second, other)):
        assert [len(each) for each in one] != [len(each) for each in another]
        assert set(one) != set(another)
    assert [len(each) for each in first] != sorted([len(each) for each in first], reverse=True)


def test_padded_batches_by_hand():
    batches = PaddedBatches([[5, 6, 7, 8], [1, 2], [3, 4, 5]], max_tokens=6, pad=0)
    found = sorted(((x.tolist(), y.tolist()) for x, y in batches), key=lambda pair: len(pair[0]))
    assert found == [
        ([[5, 6, 7]], [[6, 7, 8]]),
        ([[1, 0], [3, 4]], [[2, IGNORE], [4, 5]]),
    ]
    assert (batches.targets, batches.padding) == (6, pytest.approx(1 / 7))


def test_a_batch_that_is_filled_to_the_last_token():
    assert len(PaddedBatches(numbered([3, 3]), 6, PAD)) == 1
    assert len(PaddedBatches(numbered([3, 3]), 5, PAD)) == 2
    assert len(PaddedBatches(numbered([6]), 6, PAD)) == 1


@pytest.mark.parametrize("k", [-1, 2])
def test_a_padded_batch_beyond_the_epoch_is_an_error(k):
    with pytest.raises(IndexError, match=f"no batch {k}; the epoch has 2"):
        PaddedBatches(numbered([3, 3]), 5, PAD).batch(k)


def test_a_padded_batch_before_the_first_epoch_is_an_error():
    with pytest.raises(IndexError, match="no epoch -1; they are counted from 0"):
        PaddedBatches(numbered([3, 3]), 5, PAD).batch(0, epoch=-1)


@pytest.mark.parametrize("seed", [-1, None, 0.5])
def test_padded_batches_need_a_seed(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}; it must be a whole number, 0 or more"):
        PaddedBatches(numbered([3, 3]), 5, PAD, seed)


@pytest.mark.parametrize("pad", [None, "x", float("nan"), 0.5, 10**30])
def test_padding_that_is_no_id(pad):
    with pytest.raises(ValueError, match="pad is .*; it must be an id"):
        PaddedBatches(numbered([3, 3]), 5, pad)


@pytest.mark.parametrize(
    ("sequences", "max_tokens", "message"),
    [
        (
            [[1, 2], [1, 2, 3, 4], [1, 2, 3]],
            2,
            "Sequence 1 has 3 symbols to predict, more than max_tokens = 2",
        ),
        ([[1, 2]], 0, "max_tokens is 0"),
        ([[1, 2]], 10**30, "max_tokens is 1000"),
        ([[1, 2]] * 3000 + [[1] * 100_001], 2**40, "a batch of 300100000 tokens"),
        ([[1, 2]], 2.5, "max_tokens is 2.5; it must be a whole number, 1 or more"),
        ([], 5, "no sequence"),
        ([[1, 2], [3]], 5, "Sequence 1 has under 2 ids"),
        ([[1, 2], np.array([], int)], 5, "Sequence 1 has under 2 ids"),
        ([[1, 2], [0.5, 1.5]], 5, "Sequence 1 is not a row of ids"),
        (np.array([1, 2, 3]), 5, "Sequence 0 is not a row of ids"),  # a text, not sequences
        (["ab", "cd"], 5, "Sequence 0 is not a row of ids"),
        ([[[1, 2], [3, 4]]], 5, "Sequence 0 is not a row of ids"),
    ],
)
def test_padded_batches_bad_input(sequences, max_tokens, message):
    with pytest.raises(ValueError, match=message):
        PaddedBatches(sequences, max_tokens, PAD)
