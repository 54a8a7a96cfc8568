"""Windows: the batches, and `fit` on them."""

import json
import math
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.batching import IGNORE, Windows, windows
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.distributed import DistributedContext
from lstmlib.history import TrainingDiverged
from lstmlib.models import CharRNN
from lstmlib.settings import TrainingConfig
from lstmlib.sources import WindowSource
from lstmlib.training import evaluate, fit

CPU = torch.device("cpu")
CONFIG = TrainingConfig(steps=12, learning_rate=1e-2)


def cut(ids, predict="last", **settings):
    return Windows(ids, 10, 3, **{"batch_size": 16, "predict": predict} | settings)


def fresh(vocab, **settings):
    torch.manual_seed(0)
    return CharRNN(len(vocab), 16, 2, **{"dropout": 0.3} | settings)


def values(history):
    """Return the rows without the clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


# Batches


@given(
    st.integers(12, 200),
    st.integers(1, 10),
    st.integers(1, 7),
    st.integers(1, 3),
    st.sampled_from([0.5, 0.9, 1]),
    st.integers(0, 5),
)
def test_an_epoch_draws_a_share_of_the_windows_once_each(n, length, step, size, share, epoch):
    ids = np.arange(n)
    x, y = windows(ids, length, step)
    whole = int(share * len(x)) // size
    if not whole:
        with pytest.raises(ValueError, match="does not fill a batch"):
            Windows(ids, length, step, size, share)
        return
    drawn = Windows(ids, length, step, size, share)
    assert len(drawn) == whole and drawn.count == len(x) and drawn.targets == whole * size
    every = Windows(ids, length, step, size, share, predict="every")
    assert every.targets == whole * size * length
    seen = []
    for k in range(whole):
        batch, targets = drawn.batch(k, epoch)
        assert batch.dtype == targets.dtype == np.int64
        assert batch.shape == targets.shape == (size, length)
        numbers = batch[:, 0] // step
        assert np.array_equal(batch, x[numbers]) and np.array_equal(targets[:, -1], y[numbers])
        assert (targets[:, :-1] == IGNORE).all()
        same, following = every.batch(k, epoch)
        assert np.array_equal(same, batch) and np.array_equal(following, batch + 1)
        seen.extend(numbers)
    assert len(set(seen)) == len(seen) == whole * size


def test_the_order_depends_on_the_seed_and_the_epoch_alone(ids):
    orders = [cut(ids, share=0.7).draw_order(epoch).tolist() for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert np.ravel(orders[0]).tolist() != np.sort(np.ravel(orders[0])).tolist()
    assert cut(ids, share=0.7).draw_order(1).tolist() == orders[1]
    assert cut(ids, share=0.7, seed=1).draw_order(1).tolist() != orders[1]


def test_an_iteration_is_epoch_0(ids):
    batches = cut(ids)
    pairs = zip(batches, (batches.batch(k) for k in range(len(batches))), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("place", [(-1, 0), (10**6, 0), (0, -1)])
def test_a_batch_that_there_is_not(ids, place):
    with pytest.raises(IndexError, match="There is no"):
        cut(ids).batch(*place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predict": "all"}, "predict is 'all'"),
        ({"share": 0}, "share is 0"),
        ({"share": 1.5}, "share is 1.5"),
        ({"share": "half"}, "share is 'half'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 10**6}, "does not fill a batch"),
        ({"ids": np.zeros((2, 50), int)}, "row of ids"),
        ({"ids": np.zeros(50)}, "row of ids"),
        ({"ids": np.zeros(10, int)}, "too short for one window"),
    ],
    ids=str,
)
def test_settings_without_meaning_get_one_message(ids, change, message):
    with pytest.raises(ValueError, match=message):
        cut(**{"ids": ids} | change)


@pytest.mark.parametrize("predict", ["last", "every"])
def test_the_source_of_fit_hands_out_the_same_batches(ids, predict):
    batches = cut(ids, predict)
    alone = WindowSource(batches, CONFIG, CPU, DistributedContext(torch.nn.Linear(1, 1)))
    for epoch, k in ((0, 0), (0, 3), (2, 1), (0, 1)):
        for mine, expected in zip(alone.batch(epoch, k), batches.batch(k, epoch), strict=True):
            assert np.array_equal(mine, expected)
    assert alone.targets(None) == (16 if predict == "last" else 160)
    shares = [slice(0, 8), slice(8, 16)]
    parts = [
        WindowSource(batches, CONFIG, CPU, SimpleNamespace(share=lambda *_, rows=rows: rows))
        for rows in shares
    ]
    together = torch.cat([part.batch(1, 2)[0] for part in parts])
    assert torch.equal(together, alone.batch(1, 2)[0])


# Training


@pytest.mark.parametrize("predict", ["last", "every"])
def test_fit_takes_the_steps_of_a_bare_loop(vocab, ids, predict):
    """Over three epochs; the loss is of all positions, and those without a target are left out."""
    batches, bare = cut(ids, predict), fresh(vocab)
    config = replace(CONFIG, steps=3 * len(batches), clip_norm=None)
    optimizer, losses = torch.optim.Adam(bare.parameters(), lr=1e-2), []
    for epoch in range(3):
        for k in range(len(batches)):
            x, y = (torch.from_numpy(part) for part in batches.batch(k, epoch))
            logits, _ = bare(x)  # from a state of zeros
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=IGNORE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    model = fresh(vocab)
    history = fit(model, batches, None, config)
    np.testing.assert_allclose(history.column("loss")[1], losses, rtol=1e-4)
    assert [row["epoch"] for row in history.rows] == np.repeat(range(3), len(batches)).tolist()
    assert history.rows[-1]["characters"] == 3 * batches.targets


def test_the_output_layer_s_gradient_is_that_of_the_last_position(vocab, ids):
    """So that nothing but the loss's own column is computed for it."""
    batches, seen = cut(ids), []
    model = fresh(vocab, dropout=0.0)
    model.output.register_full_backward_hook(lambda *call: seen.append(call[2][0]))
    fit(model, batches, None, replace(CONFIG, steps=1))
    (gradient,) = seen  # (B, T, V)
    assert gradient.shape == (16, 10, len(vocab))
    assert (gradient[:, :-1] == 0).all() and (gradient[:, -1] != 0).any(1).all()


@pytest.mark.parametrize("predict", ["last", "every"])
def test_accumulated_gradients_are_those_of_the_whole_batch(vocab, ids, predict):
    histories = []
    for accumulate in (1, 4):
        config = replace(CONFIG, accumulate=accumulate)
        histories.append(fit(fresh(vocab, dropout=0.0), cut(ids, predict), None, config))
    whole, parts = (history.column("grad_norm")[1] for history in histories)
    np.testing.assert_allclose(parts, whole, rtol=1e-3)


def test_parts_that_are_not_equal_are_refused(vocab, ids):
    with pytest.raises(ValueError, match="batch_size is 15"):
        fit(fresh(vocab), cut(ids, batch_size=15), None, replace(CONFIG, accumulate=4))


def test_ids_outside_the_vocabulary_are_refused(vocab, ids):
    with pytest.raises(ValueError, match="in the training text is no id; ids must lie in 0 … "):
        fit(CharRNN(len(vocab) - 1, 8, 1), cut(ids), None, CONFIG)


@pytest.mark.parametrize("predict", ["last", "every"])
def test_evaluation_is_the_mean_over_the_targets_of_the_windows(vocab, ids, predict):
    model, batches = fresh(vocab), cut(ids, predict)
    model.eval()
    losses = []
    for x, y in batches:
        logits = model(torch.from_numpy(x))[0].log_softmax(-1)
        for b, t in zip(*np.nonzero(y != IGNORE), strict=True):
            losses.append(-logits[b, t, y[b, t]].item())
    assert len(losses) == batches.targets
    assert evaluate(model, batches) == pytest.approx(np.mean(losses), rel=1e-5)
    history = fit(model, cut(ids), batches, replace(CONFIG, steps=2))
    assert history.rows[-1]["valid_loss"] == evaluate(model, batches)


def test_a_run_on_windows_goes_on_where_it_was(tmp_path, vocab, ids):
    whole = fresh(vocab)
    expected = fit(whole, cut(ids), None, CONFIG)

    def stop(history):
        history.ended = history.ended or ("interrupted" if len(history) == 5 else "")

    first = fit(fresh(vocab), cut(ids), None, CONFIG, stop, Checkpoints(tmp_path, vocab))
    assert (len(first), first.ended) == (5, "interrupted")
    torch.rand(3)
    model = fresh(vocab)
    history = fit(model, cut(ids), None, CONFIG, None, Checkpoints(tmp_path, vocab))
    assert values(history) == values(expected)
    assert all(map(torch.equal, model.parameters(), whole.parameters()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids: Windows(ids, 11, 3, 16), "window length = 10, not 11"),
        (lambda ids: Windows(ids, 10, 2, 16), "window step = 3, not 2"),
        (lambda ids: cut(ids, batch_size=8), "windows in a batch = 16, not 8"),
        (lambda ids: cut(ids, share=0.5), "share of the windows = 1.0, not 0.5"),
        (lambda ids: cut(ids, seed=3), "drawing seed = 0, not 3"),
        (lambda ids: cut(ids, "every"), "predicted characters = last, not every"),
        (lambda ids: cut(ids[:-1]), "other texts"),
        (lambda ids: ids, "does not know: drawing seed"),
    ],
    ids=["length", "step", "size", "share", "seed", "predict", "text", "streams"],
)
def test_other_windows_are_refused(tmp_path, vocab, ids, change, message):
    config = replace(CONFIG, steps=2, batch_size=4, seq_len=8)
    fit(fresh(vocab), cut(ids), None, config, None, Checkpoints(tmp_path, vocab))
    with pytest.raises(CheckpointError, match=message):
        fit(fresh(vocab), change(ids), None, config, None, Checkpoints(tmp_path, vocab))


def test_windows_are_refused_where_streams_were_trained_on(tmp_path, vocab, ids):
    config = replace(CONFIG, steps=2, batch_size=4, seq_len=8)
    fit(fresh(vocab), ids, None, config, None, Checkpoints(tmp_path, vocab))
    with pytest.raises(CheckpointError, match="window length = None, not 10"):
        fit(fresh(vocab), cut(ids), None, config, None, Checkpoints(tmp_path, vocab))


def test_the_settings_of_windows_are_json(ids):
    settings = Windows(ids, np.int64(10), np.int32(3), np.int64(16), seed=np.int8(2)).settings
    assert json.loads(json.dumps(settings)) == settings


# The first step that is not finite


def test_a_run_may_be_given_up_at_the_first_bad_step(vocab, ids):
    model = fresh(vocab)

    def spoil(history):
        if len(history) == 4:
            model.output.bias.data[0] = math.nan

    config = replace(CONFIG, most_skipped=1)
    with pytest.raises(TrainingDiverged, match="^Step 5 had a loss .* those of step 4") as error:
        fit(model, cut(ids), None, config, spoil)
    assert [row["skipped"] for row in error.value.history.rows] == [False] * 4 + [True]
    copy = pickle.loads(pickle.dumps(error.value))
    assert str(copy) == str(error.value) and len(copy.history) == 5


@pytest.mark.parametrize("most", [0, 1.5, True, None])
def test_a_count_of_bad_steps_without_meaning_gets_one_message(most):
    with pytest.raises(ValueError, match="most_skipped is"):
        TrainingConfig(steps=1, most_skipped=most)
