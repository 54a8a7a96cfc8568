"""The NumPy layers: proven four ways, and the proof shown to find what is wrong."""

import inspect
import math
import re
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmlib import scratch
from lstmlib.batching import Streams
from lstmlib.conversion import fused_layers
from lstmlib.scratch import CELLS, CIFG, LSTM, RNN, cells, layers, network, optimization, proof

ABSOLUTE, RELATIVE, AUTOGRAD = 1e-9, 1e-6, 1e-10
# N sequences, T steps, D inputs, H units, L layers: odd, all different, batch 1, length 1.
SIZES = [(2, 3, 4, 5, 2), (1, 7, 3, 4, 1), (5, 1, 2, 3, 3), (3, 5, 7, 2, 1), (1, 1, 2, 1, 1)]


def problem(cell, N, T, D, H, L, floats=True, seed=0):
    """Float64 weights, x, targets and first state, all random and none of them zero."""
    rng = np.random.default_rng(seed)
    weights = scratch.init_weights(cell, D, H, L, dtype=np.float64)
    weights = {name: rng.normal(0, 0.4, w.shape) for name, w in weights.items()}
    x = rng.normal(size=(N, T, D)) if floats else rng.integers(0, D, (N, T))
    state = tuple(rng.normal(0, 0.4, (L, N, H)) for _ in range(cell.states))
    return weights, x, rng.integers(0, D, (N, T)), state


def worst(rows):
    return max(row.absolute for row in rows), max(row.relative for row in rows)


# First proof: central differences


@pytest.mark.parametrize("floats", [True, False], ids=["floats", "ids"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_backward_agrees_with_central_differences(cell, sizes, floats):
    weights, x, targets, state = problem(cell, *sizes, floats)
    rows = scratch.gradient_check(weights, cell, x, targets, state)
    names = {*weights, *(["x"] if floats else []), *("h0", "c0")[: cell.states]}
    assert {row.name for row in rows} == names
    assert sum(row.entries for row in rows if row.name in weights) == sum(
        w.size for w in weights.values()
    )
    absolute, relative = worst(rows)
    assert absolute <= ABSOLUTE
    assert relative <= RELATIVE


def test_a_proof_touches_nothing_and_minds_no_shared_memory():
    weights, ids, targets, _ = problem(LSTM, 2, 3, 4, 5, 2, floats=False)
    shared = np.zeros((2, 2, 5))
    weights["Wh0"].flags.writeable = False
    assert (
        worst(scratch.gradient_check(weights, LSTM, ids, targets, (shared, shared)))[1] <= RELATIVE
    )
    without = scratch.gradient_check(weights, LSTM, ids, targets)
    assert [row.name for row in without][-2:] == ["h0", "c0"]
    assert not shared.any()


def test_numeric_gradient_puts_the_entry_back_when_the_function_fails():
    a = np.array([1.0, 2.0])

    def fails():
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        scratch.numeric_gradient(fails, a)
    assert a.tolist() == [1.0, 2.0]


def test_of_a_large_array_some_entries_are_compared():
    weights, x, targets, state = problem(LSTM, 2, 3, 4, 5, 1)
    rows = scratch.gradient_check(weights, LSTM, x, targets, state, most=7)
    assert {row.entries for row in rows} == {4, 7} and worst(rows)[1] <= RELATIVE
    a = np.arange(6.0).reshape(2, 3)
    some = scratch.numeric_gradient(lambda: float((a**2).sum()), a, entries=np.array([0, 3, 5]))
    np.testing.assert_allclose(some, [0, 6, 10], atol=1e-8)


def test_numeric_gradient_of_a_known_function_and_the_array_afterwards():
    a = np.array([[1.0, -2.0], [0.5, 3.0]])
    gradient = scratch.numeric_gradient(lambda: float((a**3).sum()), a)
    assert np.allclose(gradient, 3 * a**2, atol=1e-8)
    assert a.tolist() == [[1.0, -2.0], [0.5, 3.0]]


def test_agreement_takes_the_worst_entry_as_case_e_defines_it():
    row = scratch.agreement("w", np.array([1.0, 1e-5, 0.0]), np.array([1.1, 0.0, 0.0]))
    assert (row.name, row.entries) == ("w", 3)
    assert row.absolute == pytest.approx(0.1)
    assert row.relative == pytest.approx(0.1 / 2.1)
    assert scratch.agreement("w", np.array([1e-5]), np.zeros(1)).relative == pytest.approx(1e-2)


# Second proof: PyTorch's autograd, over equations written out gate by gate


def torch_step(cell, x, h, c, Wx, Wh, b):
    """One step as the papers write it, with a product for each gate."""
    H = h.shape[1]
    z = [x @ Wx[:, k : k + H] + h @ Wh[:, k : k + H] + b[k : k + H] for k in range(0, len(b), H)]
    if cell is RNN:
        return torch.tanh(z[0]), c
    if cell is LSTM:
        i, f, g, o = torch.sigmoid(z[0]), torch.sigmoid(z[1]), torch.tanh(z[2]), torch.sigmoid(z[3])
    else:
        i, g, o = torch.sigmoid(z[0]), torch.tanh(z[1]), torch.sigmoid(z[2])
        f = 1 - i
    c = f * c + i * g
    return o * torch.tanh(c), c


def torch_network(cell, weights, x, state):
    """The network in PyTorch, one step and one layer after the other: logits, last state."""
    T = x.shape[1]
    hs, last = [x[:, t] for t in range(T)], []
    for k in range(scratch.count_layers(weights)):
        h = state[0][k]
        c = state[1][k] if cell.states == 2 else torch.zeros_like(h)
        out = []
        for x_t in hs:
            h, c = torch_step(
                cell, x_t, h, c, weights[f"Wx{k}"], weights[f"Wh{k}"], weights[f"b{k}"]
            )
            out.append(h)
        hs = out
        last.append((h, c)[: cell.states])
    logits = torch.stack(hs, dim=1) @ weights["Wy"] + weights["by"]
    return logits, [torch.stack(arrays) for arrays in zip(*last, strict=True)]


def tensors(*arrays):
    return [torch.tensor(array, requires_grad=True) for array in arrays]


def check_against_autograd(cell, sizes, floats, seed=0):
    weights, x, targets, state = problem(cell, *sizes, floats, seed)
    w = {name: torch.tensor(array, requires_grad=True) for name, array in weights.items()}
    one_hot = np.eye(sizes[2])[x] if not floats else x
    (tx,), ts = tensors(one_hot), tensors(*state)
    logits, last = torch_network(cell, w, tx, ts)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())
    loss.backward()
    (ours, our_last), cache = scratch.forward(weights, cell, x, state)
    our_loss, dlogits = scratch.softmax_cross_entropy(ours, targets)
    gradients, dx, dstate = scratch.backward(dlogits, cache)
    assert our_loss == pytest.approx(loss.item(), abs=AUTOGRAD)
    assert np.abs(ours - logits.detach().numpy()).max() <= AUTOGRAD
    for a, n in zip(our_last, last, strict=True):
        assert np.abs(a - n.detach().numpy()).max() <= AUTOGRAD
    assert gradients.keys() == weights.keys()
    for name, tensor in w.items():
        assert np.abs(gradients[name] - tensor.grad.numpy()).max() <= AUTOGRAD, name
    for a, n in zip(dstate, ts, strict=True):
        assert np.abs(a - n.grad.numpy()).max() <= AUTOGRAD
    assert (dx is None) == (not floats)
    if floats:
        assert np.abs(dx - tx.grad.numpy()).max() <= AUTOGRAD


@pytest.mark.parametrize("floats", [True, False], ids=["floats", "ids"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_forward_and_backward_agree_with_autograd(cell, sizes, floats):
    check_against_autograd(cell, sizes, floats)


small = st.integers(1, 6)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(CELLS)),
    st.tuples(small, small, small, small, st.integers(1, 3)),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_sizes_agree_with_autograd(name, sizes, floats, seed):
    check_against_autograd(CELLS[name], sizes, floats, seed)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_gradient_of_the_last_state_flows_back_too(cell):
    weights, x, _, state = problem(cell, 2, 4, 3, 5, 1)
    layer = [weights[name] for name in ("Wx0", "Wh0", "b0")]
    first = tuple(array[0] for array in state)
    (hs, last), cache = scratch.layer_forward(cell, x, first, *layer)
    rng = np.random.default_rng(1)
    dhs, dlast = rng.normal(size=hs.shape), tuple(rng.normal(size=a.shape) for a in last)
    dx, dfirst, dlayer = scratch.layer_backward(dhs, cache, dlast)

    def loss():
        (hs, last), _ = scratch.layer_forward(cell, x, first, *layer)
        return float(
            (hs * dhs).sum() + sum((a * d).sum() for a, d in zip(last, dlast, strict=True))
        )

    for a, array in zip([dx, *dfirst, *dlayer], [x, *first, *layer], strict=True):
        assert np.abs(a - scratch.numeric_gradient(loss, array)).max() < 1e-8


# Third proof: PyTorch's own layers, with our weights


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_agrees_with_the_fused_layers_of_pytorch(cell, sizes):
    weights, x, targets, state = problem(cell, *sizes)
    layers = fused_layers(weights, cell)
    (tx,), ts = tensors(x), tensors(*state)
    out, last = layers(tx, ts[0] if cell is RNN else tuple(ts))
    logits = out @ torch.tensor(weights["Wy"]) + torch.tensor(weights["by"])
    torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.tensor(targets).flatten()
    ).backward()
    (ours, our_last), cache = scratch.forward(weights, cell, x, state)
    assert np.abs(ours - logits.detach().numpy()).max() <= AUTOGRAD
    for a, n in zip(our_last, [last] if cell is RNN else last, strict=True):
        assert np.abs(a - n.detach().numpy()).max() <= AUTOGRAD
    gradients, dx, dstate = scratch.backward(scratch.softmax_cross_entropy(ours, targets)[1], cache)
    assert np.abs(dx - tx.grad.numpy()).max() <= AUTOGRAD
    for a, n in zip(dstate, ts, strict=True):
        assert np.abs(a - n.grad.numpy()).max() <= AUTOGRAD
    for k in range(sizes[4]):
        for name, ours_ in (("weight_ih", "Wx"), ("weight_hh", "Wh"), ("bias_ih", "b")):
            theirs = getattr(layers, f"{name}_l{k}").grad.numpy().T
            if cell is CIFG:  # its input gate's weights stand in the forget rows too, negated
                i, f, g, o = np.split(theirs, 4, axis=-1)
                theirs = np.concatenate([i - f, g, o], axis=-1)
            assert np.abs(gradients[f"{ours_}{k}"] - theirs).max() <= AUTOGRAD


# What is wrong is found

BROKEN = [
    (RNN, "return dh * (1 - h * h), ()", "return dh * (1 + h * h), ()"),
    (RNN, "(dz[t] @ Wh.T, *dc)", "(dz[t] @ Wh, *dc)"),
    (RNN, "(dh + dhs[t], *dc)", "(dhs[t], *dc)"),
    (RNN, "hs[:-1].reshape(-1, H).T @ flat", "hs[1:].reshape(-1, H).T @ flat"),
    (RNN, "for t in reversed(range(T))", "for t in range(T)"),
    (LSTM, "dh * tanh_c), dc * f", "dh * tanh_c), 0 * dc"),
    (LSTM, "dh * tanh_c), dc * f", "dh * tanh_c), dc"),
    (LSTM, "dc = dc + dh * o * (1 - tanh_c * tanh_c)", "dc = dh * o * (1 - tanh_c * tanh_c)"),
    (LSTM, "dc = dc + dh * o * (1 - tanh_c * tanh_c)", "dc = dc + dh * o"),
    (LSTM, "(dc * g, dc * c_old, dc * i, ", "(dc * g, dc * g, dc * i, "),
    (LSTM, "[di * i * (1 - i), df * f * (1 - f),", "[df * f * (1 - f), di * i * (1 - i),"),
    (LSTM, "df * f * (1 - f), dg * (1 - g * g)", "df * f * (1 - f), dg * g * (1 - g)"),
    (CIFG, "(di - df) * i", "(di + df) * i"),
    (CIFG, "(di - df) * i", "di * i"),
    (CIFG, "dh * tanh_c), dc * f", "dh * tanh_c), dc * i"),
    (RNN, "flat.sum(axis=0))\n\n\ndef time_first", "flat.mean(axis=0))\n\n\ndef time_first"),
    (RNN, "batch_first(dz @ Wx.T)", "batch_first(-dz @ Wx.T)"),
    (RNN, "time_first(x).reshape(-1, len(Wx)).T @ flat", "x.reshape(-1, len(Wx)).T @ flat"),
    (RNN, '"by": flat.sum(axis=0)', '"by": flat[0]'),
    (RNN, "hs.reshape(-1, len(Wy)).T @ flat", "hs[:1].reshape(-1, len(Wy)).T @ flat[:2]"),
    (RNN, "batch_first(dlogits @ Wy.T)", "batch_first(2 * dlogits @ Wy.T)"),
    (RNN, "return loss, gradient / targets.size", "return loss, gradient / targets.shape[1]"),
    (RNN, "dstates.insert(0, dstate)", "dstates.append(dstate)"),
]


def broken_copy(old, new):
    parts = (cells, layers, network, optimization, proof)
    source = "\n".join(map(inspect.getsource, parts))
    source = re.sub(r"^from lstmlib\.scratch[^(]*?(\([^)]*\))?$", "", source, flags=re.MULTILINE)
    assert source.count(old) == 1
    module = types.ModuleType("broken")
    exec(source.replace(old, new), module.__dict__)
    return module


@pytest.mark.parametrize(("cell", "old", "new"), BROKEN)
def test_the_proof_finds_a_broken_backward(cell, old, new):
    module = broken_copy(old, new)
    weights, x, targets, state = problem(cell, 2, 3, 4, 5, 2)
    check = module.gradient_check
    absolute, relative = worst(check(weights, module.CELLS[cell.name], x, targets, state))
    assert absolute > 1000 * ABSOLUTE
    assert relative > 1000 * RELATIVE


def test_the_proof_finds_rows_added_to_the_wrong_ids():
    module = broken_copy("_one_hot(x.T.ravel()", "_one_hot(x.ravel()")
    weights, x, targets, state = problem(RNN, 2, 3, 4, 5, 2, floats=False)
    rows = {row.name: row for row in module.gradient_check(weights, module.RNN, x, targets, state)}
    assert rows["Wx0"].absolute > 1000 * ABSOLUTE
    assert rows["Wx1"].absolute <= ABSOLUTE


def test_a_copy_that_is_not_broken_passes():
    """So that the test above fails for what it changes, not for being a copy."""
    module = broken_copy("h = np.tanh(z)", "h = np.tanh(z) + 0")
    weights, x, targets, state = problem(RNN, 2, 3, 4, 5, 2)
    assert worst(module.gradient_check(weights, module.RNN, x, targets, state))[1] <= RELATIVE


# Purity, look-up, carried state, dtypes


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_nothing_that_is_handed_in_is_changed(cell):
    weights, x, targets, state = problem(cell, 2, 3, 4, 5, 2)
    handed_in = [*weights.values(), x, *state]
    before = [array.copy() for array in handed_in]
    (logits, _), cache = scratch.forward(weights, cell, x, state)
    logits_before = logits.copy()
    _, dlogits = scratch.softmax_cross_entropy(logits, targets)
    dlogits_before = dlogits.copy()
    first, dx, _ = scratch.backward(dlogits, cache)
    again, dx_again, _ = scratch.backward(dlogits, cache)
    assert all(np.array_equal(a, b) for a, b in zip(handed_in, before, strict=True))
    assert np.array_equal(logits, logits_before)
    assert np.array_equal(dlogits, dlogits_before)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert np.array_equal(dx, dx_again)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_looking_up_rows_is_the_product_with_one_hot_vectors(cell):
    weights, ids, targets, state = problem(cell, 3, 4, 5, 2, 2, floats=False)
    results = []
    for x in (ids, np.eye(5)[ids]):
        (logits, _), cache = scratch.forward(weights, cell, x, state)
        gradients, _, _ = scratch.backward(scratch.softmax_cross_entropy(logits, targets)[1], cache)
        results.append([logits, *gradients.values()])
    assert all(np.allclose(a, b, atol=1e-14) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_state_carried_between_chunks_gives_what_one_long_run_gives(cell):
    weights, ids, _, state = problem(cell, 2, 9, 4, 5, 2, floats=False)
    (whole, last), _ = scratch.forward(weights, cell, ids, state)
    pieces, carried = [], state
    for chunk in (ids[:, :4], ids[:, 4:5], ids[:, 5:]):
        (logits, carried), _ = scratch.forward(weights, cell, chunk, carried)
        pieces.append(logits)
    assert np.allclose(np.concatenate(pieces, axis=1), whole, atol=1e-14)
    assert all(np.allclose(a, b, atol=1e-14) for a, b in zip(carried, last, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_everything_stays_in_the_dtype_of_the_weights(cell, dtype):
    weights = scratch.init_weights(cell, 5, 4, 2, dtype=dtype)
    ids = np.array([[0, 1, 2], [3, 4, 0]])
    (logits, state), cache = scratch.forward(weights, cell, ids)
    _, dlogits = scratch.softmax_cross_entropy(logits, ids)
    gradients, _, dstate = scratch.backward(dlogits, cache)
    gradients = scratch.clip_by_global_norm(gradients, np.float64(1e-3))[0]
    gradients = scratch.clip_by_value(gradients, 1e-4)
    arrays = [logits, *state, dlogits, *gradients.values(), *dstate]
    for kind in scratch.OPTIMIZERS.values():
        optimizer = kind(0.01)
        for _ in range(2):
            optimizer.step(weights, gradients)
        arrays += optimizer.memory.values()
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_cifg_is_the_lstm_with_forget_gate_one_minus_input_gate():
    rng = np.random.default_rng(0)
    z, state = rng.normal(size=(3, 12)), (rng.normal(size=(3, 4)), rng.normal(size=(3, 4)))
    i, g, o = np.split(z, 3, axis=1)
    lstm, _ = LSTM.forward(np.concatenate([i, -i, g, o], axis=1), state)
    cifg, _ = CIFG.forward(z, state)
    assert all(np.allclose(a, b, atol=1e-15) for a, b in zip(lstm, cifg, strict=True))


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        assert scratch.sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0, 0.5, 1]


# Weights


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_parameter_count_is_the_formula(cell):
    V, H, L = 65, 100, 2
    weights = scratch.init_weights(cell, V, H, L)
    recurrent = cell.gates * (H * V + H * H + H) + (L - 1) * cell.gates * (2 * H * H + H)
    assert sum(w.size for w in weights.values()) == recurrent + H * V + V
    assert scratch.count_layers(weights) == L


def test_new_weights_are_seeded_and_within_their_bounds():
    weights = scratch.init_weights(LSTM, 7, 25, 2, seed=3)
    again = scratch.init_weights(LSTM, 7, 25, 2, seed=3)
    other = scratch.init_weights(LSTM, 7, 25, 2, seed=4)
    assert all(np.array_equal(weights[name], again[name]) for name in weights)
    assert not np.array_equal(weights["Wh1"], other["Wh1"])
    assert -0.2 <= weights["Wh1"].min() < -0.19
    assert 0.19 < weights["Wh1"].max() <= 0.2
    for k in range(2):
        assert weights[f"b{k}"].tolist() == [0] * 25 + [1] * 25 + [0] * 50
    assert not scratch.init_weights(CIFG, 7, 25)["b0"].any()
    normal = scratch.init_weights(RNN, 50, 100, std=0.01)
    assert normal["Wh0"].std() == pytest.approx(0.01, rel=0.05)


# Loss


def test_cross_entropy_agrees_with_pytorch_even_for_huge_logits():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 500, (3, 4, 6)), rng.integers(0, 6, (3, 4))
    loss, gradient = scratch.softmax_cross_entropy(logits, targets)
    tensor = torch.tensor(logits, requires_grad=True)
    reference = torch.nn.functional.cross_entropy(
        tensor.flatten(0, 1), torch.tensor(targets).flatten()
    )
    reference.backward()
    assert loss == pytest.approx(reference.item(), rel=1e-12)
    assert np.abs(gradient - tensor.grad.numpy()).max() < 1e-12
    assert np.allclose(scratch.softmax(logits), torch.softmax(tensor, -1).detach().numpy())


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_evaluate_is_one_exact_pass_whatever_the_chunk(cell):
    weights, ids, _, _ = problem(cell, 1, 23, 5, 4, 2, floats=False)
    ids = ids[0]
    (logits, _), _ = scratch.forward(weights, cell, ids[None, :-1])
    exact = scratch.softmax_cross_entropy(logits, ids[None, 1:])[0]
    for chunk in (1, 4, 11, 22, 1000):
        assert scratch.evaluate(weights, cell, ids, chunk) == pytest.approx(exact, abs=1e-12)


# Clipping and optimizers


def test_clip_by_value_cuts_entries_and_leaves_the_callers_arrays():
    gradients = {"a": np.array([-3.0, 0.5, 2.0]), "b": np.array([[9.0]])}
    clipped = scratch.clip_by_value(gradients, 1.0)
    assert clipped["a"].tolist() == [-1, 0.5, 1]
    assert clipped["b"].tolist() == [[1]]
    assert gradients["a"].tolist() == [-3, 0.5, 2]


def test_clip_by_global_norm_scales_all_by_one_factor():
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    clipped, norm = scratch.clip_by_global_norm(gradients, 1.0)
    assert norm == 5
    assert np.allclose(clipped["a"], [0.6, 0])
    assert np.allclose(clipped["b"], [[0.8]])
    assert gradients["b"].tolist() == [[4]]
    for enough in (5.0, 7.0):
        same, _ = scratch.clip_by_global_norm(gradients, enough)
        assert all(np.array_equal(same[name], gradients[name]) for name in gradients)
    assert gradients["a"].tolist() == [3, 0]


def test_clip_by_global_norm_of_huge_and_of_broken_gradients():
    huge = {"a": np.full(4, 1e20, np.float32)}
    clipped, norm = scratch.clip_by_global_norm(huge, 1.0)
    assert norm == pytest.approx(2e20)
    assert clipped["a"].tolist() == [0.5] * 4
    for value in (math.nan, math.inf):
        with pytest.raises(FloatingPointError, match="has diverged"):
            scratch.clip_by_global_norm({"a": np.array([1.0, value])}, 1.0)


TORCH_OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
}


@pytest.mark.parametrize("name", scratch.OPTIMIZERS)
def test_optimizers_take_the_steps_that_pytorch_takes(name):
    rng = np.random.default_rng(0)
    weights = {"a": rng.normal(size=(3, 2)), "b": rng.normal(size=4)}
    theirs = {key: torch.nn.Parameter(torch.tensor(w)) for key, w in weights.items()}
    ours, reference = scratch.OPTIMIZERS[name](0.1), TORCH_OPTIMIZERS[name](theirs.values())
    for _ in range(25):
        gradients = {key: rng.normal(size=w.shape) for key, w in weights.items()}
        before = {key: g.copy() for key, g in gradients.items()}
        ours.step(weights, gradients)
        for key, parameter in theirs.items():
            parameter.grad = torch.tensor(gradients[key])
        reference.step()
        for key in weights:
            assert np.array_equal(gradients[key], before[key])
            assert np.abs(weights[key] - theirs[key].detach().numpy()).max() < 1e-12
    assert ours.steps == 25


def test_steps_and_memory_are_all_there_is_to_save():
    rng = np.random.default_rng(0)
    gradients = [{"a": rng.normal(size=5)} for _ in range(6)]
    for kind in scratch.OPTIMIZERS.values():
        weights, optimizer = {"a": np.ones(5)}, kind(0.1)
        for g in gradients[:3]:
            optimizer.step(weights, g)
        resumed, copy = kind(optimizer.learning_rate), {"a": weights["a"].copy()}
        resumed.steps = optimizer.steps
        resumed.memory = {name: array.copy() for name, array in optimizer.memory.items()}
        for g in gradients[3:]:
            optimizer.step(weights, g)
            resumed.step(copy, g)
        assert np.array_equal(weights["a"], copy["a"])


def unit_norm(gradients):
    return scratch.clip_by_global_norm(gradients, 1.0)[0]


def test_a_step_returns_the_loss_before_it_and_the_state_after_the_text(ids, vocab):
    weights, x, y = scratch.init_weights(CIFG, len(vocab), 6), ids[None, :9], ids[None, 1:10]
    (logits, state), cache = scratch.forward(weights, CIFG, x)
    loss, dlogits = scratch.softmax_cross_entropy(logits, y)
    gradients, _, _ = scratch.backward(dlogits, cache)
    expected = {name: w - 0.5 * gradients[name] for name, w in weights.items()}
    got, after = scratch.train_step(weights, CIFG, x, y, None, scratch.SGD(0.5), dict)
    assert got == loss
    assert all(np.array_equal(a, b) for a, b in zip(after, state, strict=True))
    assert all(np.allclose(weights[n], expected[n], atol=1e-7) for n in weights)
    before = {name: w.copy() for name, w in weights.items()}
    scratch.train_step(
        weights, CIFG, x, y, None, scratch.SGD(0.5), lambda g: {n: 0 * a for n, a in g.items()}
    )
    assert all(np.array_equal(weights[n], before[n]) for n in weights)


def test_train_walks_the_streams_carries_the_state_and_lets_the_rate_fall_to_0(ids, vocab):
    trained, by_hand = (scratch.init_weights(LSTM, len(vocab), 6, seed=1) for _ in range(2))
    steps, streams = 70, Streams(ids[:600], 2, 10)  # 29 batches an epoch
    losses = scratch.train(trained, LSTM, ids[:600], scratch.Adam(0.01), steps, 2, 10, max_norm=0.5)
    optimizer, expected = scratch.Adam(0.01), []
    for n in range(steps):
        if n % len(streams) == 0:
            state = None
        optimizer.learning_rate = 0.01 * (steps - n) / steps
        x, y = streams.batch(n % len(streams))
        loss, state = scratch.train_step(
            by_hand, LSTM, x, y, state, optimizer, lambda g: scratch.clip_by_global_norm(g, 0.5)[0]
        )
        expected.append(loss)
    assert losses.shape == (steps,)
    optimizer = scratch.Adam(0.01)
    scratch.train(trained, LSTM, ids[:600], optimizer, 3, 2, 10)
    assert optimizer.learning_rate == 0.01
    assert np.allclose(losses, expected, atol=1e-6)
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_a_network_learns_a_text_by_heart(ids, vocab):
    for cell in CELLS.values():
        weights = scratch.init_weights(cell, len(vocab), 32, 1)
        optimizer, x, y = scratch.Adam(0.01), ids[None, :180], ids[None, 1:181]
        for _ in range(150):
            loss, _ = scratch.train_step(weights, cell, x, y, None, optimizer, unit_norm)
        assert loss < 0.1
        written = scratch.sample(weights, cell, ids[:9], 30, np.random.default_rng(0))
        assert vocab.decode(written).startswith(" brown fox")


# Sampling


def test_sampling_follows_the_distribution_and_the_seed():
    weights = scratch.init_weights(RNN, 4, 3, dtype=np.float64)
    weights = {name: np.zeros_like(w) for name, w in weights.items()}
    weights["by"] = np.log([0.1, 0.2, 0.3, 0.4])  # the same distribution at every step
    drawn = [
        scratch.sample(weights, RNN, np.array([0]), 4000, np.random.default_rng(s))
        for s in (0, 0, 1)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    shares = np.bincount(drawn[0], minlength=4) / 4000
    assert np.abs(shares - [0.1, 0.2, 0.3, 0.4]).max() < 0.03


def test_sampling_goes_on_from_the_whole_prompt():
    """A network that copies: the next id is the last one's successor."""
    weights = scratch.init_weights(RNN, 5, 5, dtype=np.float64)
    weights = {name: np.zeros_like(w) for name, w in weights.items()}
    weights["Wx0"], weights["Wy"] = 9 * np.eye(5), 99 * np.roll(np.eye(5), 1, axis=1)
    written = scratch.sample(weights, RNN, np.array([4, 2]), 4, np.random.default_rng(0))
    assert written.tolist() == [3, 4, 0, 1]


def test_redrawing_once_is_what_case_b_does():
    p, rng, n = np.array([0.2, 0.4, 0.1, 0.3]), np.random.default_rng(0), 200_000
    first, second = rng.choice(4, n, p=p), rng.choice(4, n, p=p)
    literally = np.bincount(np.where(first == 1, first, second), minlength=4) / n
    closed_form = scratch.redraw_once(p)
    assert closed_form.sum() == pytest.approx(1)
    assert np.abs(literally - closed_form).max() < 0.005
    assert closed_form[1] == pytest.approx(1 - 0.6**2)
    assert p.tolist() == [0.2, 0.4, 0.1, 0.3]


# Bad input


def layer(cell=LSTM, N=2, T=3, D=4, H=5):
    rng, width = np.random.default_rng(0), cell.gates * H
    return {
        "cell": cell,
        "x": rng.normal(size=(N, T, D)),
        "state": tuple(rng.normal(size=(N, H)) for _ in range(cell.states)),
        "Wx": rng.normal(size=(D, width)),
        "Wh": rng.normal(size=(H, width)),
        "b": rng.normal(size=width),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Wx": np.ones((4, 15))}, r"Wx is \(4, 15\); with 5 units, lstm needs \(4, 20\)"),
        ({"Wh": np.ones((5, 15))}, r"Wh is \(5, 15\); with 5 units, lstm needs \(5, 20\)"),
        ({"b": np.ones((1, 20))}, r"b is \(1, 20\)"),
        ({"b": np.ones(20, dtype=int)}, "weights must be floats"),
        ({"x": np.ones((2, 3, 9))}, "Wx takes 4 inputs"),
        ({"x": np.ones((2, 3))}, "integers .N, T. or floats"),
        ({"x": np.ones((2, 3, 4), dtype=int)}, "integers .N, T. or floats"),
        ({"x": np.ones((2, 0, 4))}, "at least one step"),
        ({"x": np.ones((0, 3, 4))}, "at least one sequence"),
        ({"x": np.array([[0, 4, 1], [0, 0, 0]])}, "4 in x is no id; ids must lie in 0 … 3"),
        ({"x": np.array([[0, -1, 1], [0, 0, 0]])}, "-1 in x is no id; ids must lie in 0 … 3"),
        ({"Wx": np.ones((20, 4)), "Wh": np.ones((20, 5))}, "transposed, as PyTorch keeps it"),
        ({"state": (np.ones((2, 5)),)}, "lstm needs"),
        ({"state": (np.ones((1, 5)), np.ones((1, 5)))}, "lstm needs"),
    ],
)
def test_a_layer_says_what_does_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        scratch.layer_forward(**layer() | change)


LSTM_TOP = {"Wy": np.zeros((5, 4)), "by": np.zeros(4)}


def forward_with(**changes):
    """Run a small network with some of its weights changed, or left out (None)."""
    weights = scratch.init_weights(RNN, 3, 2) | changes
    weights = {name: w for name, w in weights.items() if w is not None}
    return scratch.forward(weights, RNN, np.zeros((1, 1), int))


def test_backward_says_that_the_gradient_has_another_shape():
    (hs, _), cache = scratch.layer_forward(**layer())
    for dstate in ((), (np.ones((2, 5)),), (np.ones((1, 5)), np.ones((1, 5)))):
        with pytest.raises(ValueError, match=r"dstate must be 2 arrays of \(2, 5\)"):
            scratch.layer_backward(np.ones_like(hs), cache, dstate)
    with pytest.raises(ValueError, match=r"dhs is \(2, 4, 5\); the output was \(2, 3, 5\)"):
        scratch.layer_backward(np.ones((2, 4, 5)), cache)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
@pytest.mark.parametrize("name", ["Wh0", "x", "h0"])
def test_a_proof_refuses_all_but_float64(name, dtype):
    weights, x, targets, state = problem(LSTM, 2, 3, 4, 5, 1)
    if name == "x":  # integers would be ids
        dtype = np.float32 if dtype == np.int64 else dtype
        x = x.astype(dtype)
    elif name == "h0":
        state = (state[0].astype(dtype), state[1])
    else:
        weights[name] = weights[name].astype(dtype)
    with pytest.raises(ValueError, match=rf"{name} is {np.dtype(dtype)}; only float64"):
        scratch.gradient_check(weights, LSTM, x, targets, state)


@pytest.mark.parametrize("name", ["Wx0", "by", "c0"])
def test_a_proof_refuses_nan(name):
    weights, x, targets, state = problem(LSTM, 2, 3, 4, 5, 1)
    array = state[1] if name == "c0" else weights[name]
    array.flat[0] = math.nan
    with pytest.raises(ValueError, match=f"{name} holds NaN"):
        scratch.gradient_check(weights, LSTM, x, targets, state)


def test_nan_in_the_weights_stops_training_and_sampling():
    weights = scratch.init_weights(LSTM, 4, 5)
    weights["Wh0"][0, 0] = math.nan
    before = {name: w.copy() for name, w in weights.items()}
    ids = np.array([[0, 1, 2]])
    optimizer = scratch.Adam(0.1)
    with pytest.raises(FloatingPointError, match="a weight is not a number"):
        scratch.train_step(weights, LSTM, ids, ids, None, optimizer, dict)
    assert all(np.array_equal(weights[n], before[n], equal_nan=True) for n in weights)
    assert optimizer.steps == 0
    with pytest.raises(ValueError, match="Train the model again"):
        scratch.sample(weights, LSTM, ids[0], 3, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scratch.init_weights(LSTM, 0, 5), "1 or more"),
        (
            lambda: scratch.softmax_cross_entropy(np.ones((1, 2, 3)), np.ones((2, 1), int)),
            "targets",
        ),
        (lambda: scratch.softmax_cross_entropy(np.ones((1, 1, 3)), np.array([[3]])), "0 … 2"),
        (
            lambda: scratch.evaluate(scratch.init_weights(RNN, 3, 2), RNN, np.array([1])),
            "no character to predict",
        ),
        (
            lambda: scratch.sample(
                scratch.init_weights(RNN, 3, 2), RNN, np.array([], int), 1, np.random.default_rng(0)
            ),
            "prompt is empty",
        ),
        (lambda: scratch.Adam(0.0), "learning_rate is 0.0"),
        (lambda: scratch.SGD(math.inf), "learning_rate is inf"),
        (lambda: scratch.Adam(0.1, beta2=1.0), "beta2 is 1.0"),
        (lambda: scratch.RMSprop(0.1, rho=-0.1), "rho is -0.1"),
        (lambda: scratch.SGD(0.1).step({"a": np.ones(3)}, {"a": np.ones(1)}), "but weights are"),
        (lambda: scratch.agreement("w", np.array([math.inf]), np.ones(1)), "NaN or infinity"),
        (lambda: scratch.agreement("w", np.ones(0), np.ones(0)), "empty"),
        (lambda: scratch.numeric_gradient(lambda: 0.0, np.array([1, 2])), "Give floats"),
        (lambda: scratch.numeric_gradient(lambda: 0.0, np.ones(1), 0), "a step above 0"),
        (lambda: scratch.softmax_cross_entropy(np.ones((1, 1, 3)), np.ones((1, 1))), "one id"),
        (lambda: scratch.softmax_cross_entropy(np.ones((0, 1, 3)), np.ones((0, 1), int)), "one id"),
        (
            lambda: scratch.evaluate(scratch.init_weights(RNN, 3, 2), RNN, np.array([1, 2]), -5),
            "chunk is -5",
        ),
        (
            lambda: scratch.sample(
                scratch.init_weights(RNN, 3, 2), RNN, np.array([1]), -1, np.random.default_rng(0)
            ),
            "length is -1",
        ),
        (
            lambda: scratch.forward(
                {n: w.T for n, w in scratch.init_weights(LSTM, 4, 5).items()} | LSTM_TOP,
                LSTM,
                np.zeros((1, 1), int),
            ),
            "Wh is .20, 5.: transposed",
        ),
        (lambda: forward_with(by=None), "Missing or unknown in the weights: by"),
        (lambda: forward_with(Wz=np.ones(1)), "Missing or unknown in the weights: Wz"),
        (lambda: forward_with(by=np.zeros(1)), r"Wy is \(2, 3\) and by \(1,\)"),
        (lambda: forward_with(by=np.zeros((3, 1))), "by .3, 1."),
        (lambda: forward_with(Wy=np.zeros((4, 3))), "with 2 units"),
        (lambda: forward_with(Wy=np.zeros((2, 3), int)), "must be floats"),
        (
            lambda: scratch.backward(np.ones((1, 2, 3)), forward_with()[1]),
            r"dlogits is \(1, 2, 3\); logits: \(1, 1, 3\)",
        ),
        (lambda: scratch.SGD(math.nan), "learning_rate is nan"),
        (lambda: scratch.SGD(0.1).step({"a": np.ones(2)}, {"b": np.ones(2)}), "but weights are"),
        (lambda: scratch.agreement("w", np.ones(2), np.ones(3)), "w: gradients of shapes"),
        (lambda: scratch.clip_by_value({"a": np.ones(2)}, 0), "max_value is 0"),
        (lambda: scratch.clip_by_global_norm({"a": np.ones(2)}, -1.0), "max_norm is -1.0"),
        (
            lambda: scratch.forward(
                scratch.init_weights(RNN, 3, 2, 2),
                RNN,
                np.zeros((1, 1), int),
                (np.zeros((1, 1, 2)),),
            ),
            "state is for 1 layers; the network has 2",
        ),
    ],
)
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Fourth proof: the complex step

COMPLEX_ABSOLUTE, COMPLEX_RELATIVE = 1e-14, 1e-11


@pytest.mark.parametrize("floats", [True, False], ids=["floats", "ids"])
@pytest.mark.parametrize("sizes", SIZES[:3], ids=str)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_backward_agrees_with_complex_steps_almost_to_the_last_digit(cell, sizes, floats):
    weights, x, targets, state = problem(cell, *sizes, floats)
    rows = scratch.complex_step_check(weights, cell, x, targets, state)
    by_differences = scratch.gradient_check(weights, cell, x, targets, state)
    assert [row[:2] for row in rows] == [row[:2] for row in by_differences]
    absolute, relative = worst(rows)
    assert absolute <= COMPLEX_ABSOLUTE
    assert relative <= COMPLEX_RELATIVE


def test_the_length_of_a_complex_step_does_not_matter():
    weights, x, targets, state = problem(LSTM, 2, 3, 4, 5, 1)
    for step in (1e-10, 1e-20, 1e-100):
        rows = scratch.complex_step_check(weights, LSTM, x, targets, state, step, most=5)
        assert worst(rows)[0] <= COMPLEX_ABSOLUTE
        assert {row.entries for row in rows} == {4, 5}
    # The error is of the order of step².
    large = scratch.complex_step_check(weights, LSTM, x, targets, state, 0.1, most=5)
    assert 1e-6 < worst(large)[0] < 1e-2


def test_complex_steps_change_nothing_and_mind_no_shared_memory():
    weights, ids, targets, _ = problem(LSTM, 2, 3, 4, 5, 2, floats=False)
    shared = np.zeros((2, 2, 5))
    weights["Wh0"].flags.writeable = False
    before = {name: w.copy() for name, w in weights.items()}
    rows = scratch.complex_step_check(weights, LSTM, ids, targets, (shared, shared))
    assert worst(rows)[0] <= COMPLEX_ABSOLUTE
    assert all(np.array_equal(weights[name], before[name]) for name in weights)
    assert not shared.any()


@pytest.mark.parametrize(("cell", "old", "new"), BROKEN)
def test_a_complex_step_finds_a_broken_backward(cell, old, new):
    module = broken_copy(old, new)
    weights, x, targets, state = problem(cell, 2, 3, 4, 5, 2)
    check = module.complex_step_check
    absolute, _ = worst(check(weights, module.CELLS[cell.name], x, targets, state, most=20))
    assert absolute > 1e9 * COMPLEX_ABSOLUTE


def test_complex_gradient_of_a_known_function_and_the_array_afterwards():
    a = np.array([[1.0, -2.0], [0.5, 3.0]], dtype=complex)
    gradient = scratch.complex_gradient(lambda: (a**3).sum(), a)
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, 3 * a.real**2, rtol=1e-15)
    assert a.tolist() == [[1, -2], [0.5, 3]]
    some = scratch.complex_gradient(lambda: np.tanh(a).sum(), a, entries=np.array([0, 3]))
    np.testing.assert_allclose(some, 1 / np.cosh([1, 3]) ** 2, rtol=1e-14)


def test_complex_gradient_puts_the_entry_back_when_the_function_fails():
    a = np.ones(2, dtype=complex)

    def fails():
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        scratch.complex_gradient(fails, a)
    assert a.tolist() == [1, 1]


def test_complex_gradient_says_what_it_cannot_do():
    a = np.ones(2, dtype=complex)
    with pytest.raises(ValueError, match="drops the imaginary part"):
        scratch.complex_gradient(lambda: np.abs(a).sum(), a)
    with pytest.raises(ValueError, match="step above 0, not complex128 and 0"):
        scratch.complex_gradient(lambda: a.sum(), a, step=0)
    for wrong in (np.ones(2), np.ones(2, np.complex64), a + 1j):
        with pytest.raises(ValueError, match="Give complex128 with imaginary parts 0"):
            scratch.complex_gradient(complex, wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_a_complex_step_proves_float64_alone(dtype):
    weights, x, targets, state = problem(RNN, 2, 3, 4, 5, 1)
    weights["Wh0"] = weights["Wh0"].astype(dtype)
    with pytest.raises(ValueError, match=rf"Wh0 is {np.dtype(dtype)}; only float64"):
        scratch.complex_step_check(weights, RNN, x, targets, state)


def test_log_softmax_of_floats_and_of_complex_numbers():
    logits = np.random.default_rng(0).normal(0, 300, (2, 3, 5))
    log_p = scratch.log_softmax(logits)
    reference = torch.log_softmax(torch.tensor(logits), -1).numpy()
    np.testing.assert_allclose(log_p, reference, atol=1e-12)
    assert np.array_equal(scratch.log_softmax(logits + 0j).real, log_p)
    # The largest real part is subtracted, whatever the imaginary parts are.
    np.testing.assert_allclose(
        scratch.log_softmax(np.array([1e3 + 1e-20j, 1e3 - 1e-20j])).imag, [1e-20, -1e-20]
    )
    assert scratch.log_softmax(logits.astype(np.float32)).dtype == np.float32
