"""What must hold on a GPU: the same numbers as on the CPU, up to rounding, and the same runs.

Without CUDA these tests are skipped. With LSTMLIB_REHEARSE_CUDA=1 in the environment the same
bodies compare the CPU with itself, so that they are known to work before a GPU is at hand
(tools/gpu_right.py --rehearse does that). What a test measures it records, for right.json.

Tolerances. A GPU adds the same products in another order, and has a tanh of its own. Over some
dozens of steps that makes a relative difference of tens of roundings: about 1e-6 in float32 (a
rounding is 6e-8), and 1e-15 in float64. A wrong gate, bias or state makes one above 1e-2. The
limits lie between: 1e-4 and 1e-10. What is trained is compared in float64, since Adam divides a
gradient by its own size, so that its rounding counts in full.
"""

import contextlib
import math
import os
import signal
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from lstmlib import training
from lstmlib.batching import PaddedBatches
from lstmlib.checkpoints import Checkpoints
from lstmlib.clipping import adaptive_clip, clip_by_global_norm, clip_by_value
from lstmlib.diagnostics import Diagnostics
from lstmlib.generation import generate
from lstmlib.history import TrainingDiverged
from lstmlib.inference import FusedDecoder, ModelDecoder, make_decoder, prefill, read_through
from lstmlib.internals import gate_values, gradient_by_lag, recurrent_jacobians, states_along
from lstmlib.models import LAYERS, CharRNN
from lstmlib.precision import autocast, has_bfloat16
from lstmlib.serialization import load_model, save_model
from lstmlib.settings import TrainingConfig
from lstmlib.training import evaluate, fit
from lstmlib.vocab import Vocab

REHEARSED = bool(os.environ.get("LSTMLIB_REHEARSE_CUDA"))
DEVICE = torch.device("cuda" if torch.cuda.is_available() and not REHEARSED else "cpu")
pytestmark = pytest.mark.skipif(DEVICE.type == "cpu" and not REHEARSED, reason="needs CUDA")

TEXT = "the quick brown fox jumps over the lazy dog. " * 12
VOCAB = Vocab.from_text(TEXT)
IDS = VOCAB.encode(TEXT)
TRAIN, VALID = IDS[: 4 * 8 * 12 + 1], IDS[400:]  # 12 batches of 4 × 8 make an epoch
LIMIT = {torch.float32: 1e-4, torch.float64: 1e-10}
STEPS = 16


@pytest.fixture(autouse=True)
def whole_float32():
    """Compute products in whole float32: TF32 keeps 10 of its 23 bits."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.fixture
def differ(record_property):
    """Return a function that records the largest relative difference of tensors, and returns it."""

    def record(name, ours, theirs):
        pairs = list(zip(ours, theirs, strict=True))
        assert pairs
        found = max(relative(a, b) for a, b in pairs)
        record_property(f"relative difference, {name}", found)
        return found

    return record


def relative(a, b):
    """Return the largest difference of two tensors, as a share of the largest number."""
    a, b = (torch.as_tensor(each).detach().cpu().double() for each in (a, b))
    assert a.shape == b.shape and a.isfinite().all() and b.isfinite().all()
    return ((a - b).abs().max() / a.abs().max().clamp(min=1e-30)).item()


def make(device, cell="lstm", dtype=torch.float64, size=24, scale=None, **settings):
    """Return the network that the same call makes on another device, too."""
    torch.manual_seed(0)
    model = CharRNN(len(VOCAB), size, 2, cell=cell, **settings).to(dtype)
    if scale is not None:  # so that its greedy text is no single letter
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=scale / size**0.5)
    return model.to(device)


def both(**settings):
    """Return one network on the CPU, and the same on the other device."""
    return make("cpu", **settings), make(DEVICE, **settings)


def batch(device="cpu"):
    """Return x and y, (4, 40)."""
    pairs = torch.from_numpy(IDS[: 4 * 41].reshape(4, 41)).to(device)
    return pairs[:, :-1], pairs[:, 1:]


def loss_and_logits(model):
    """Return logits and loss of the batch, with the gradient in the weights."""
    x, y = batch(model.output.weight.device)
    model.train()  # cuDNN has no backward pass in evaluation mode; there is no dropout here
    logits, state = model(x)
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
    loss.backward()
    return logits, loss, state


def rows(history, names=("loss", "grad_norm", "clipped_norm", "valid_loss")):
    """Return what a run says of its steps, as numbers; NaN where it says nothing."""
    return np.array([[row[name] for name in names] for row in history.rows], dtype=float)


def assert_same_run(history, other, rtol=1e-6):
    """Hold two runs to the same steps, with the same numbers up to rounding."""
    assert history.ended == other.ended
    exact = ("step", "epoch", "characters", "learning_rate", "skipped")
    for row, expected in zip(history.rows, other.rows, strict=True):
        assert [row[name] for name in exact] == [expected[name] for name in exact]
    np.testing.assert_allclose(rows(history), rows(other), rtol=rtol, atol=1e-12)


def assert_same_weights(model, other, limit=1e-6):
    weights, others = model.state_dict(), other.state_dict()
    assert all(relative(weights[name], others[name]) < limit for name in others)


# The same numbers


@pytest.mark.parametrize("dtype", LIMIT, ids=str)
@pytest.mark.parametrize("cell", LAYERS)
def test_logits_and_gradients_are_those_of_the_cpu(cell, dtype, differ):
    ours, theirs = both(cell=cell, dtype=dtype)
    (a, loss, state), (b, their_loss, their_state) = (loss_and_logits(m) for m in (ours, theirs))
    assert b.device.type == DEVICE.type and b.dtype == dtype
    kind = f"{cell}, {str(dtype).removeprefix('torch.')}"
    assert differ(f"{kind}, logits", [a], [b]) < LIMIT[dtype]
    assert differ(f"{kind}, state", state, their_state) < LIMIT[dtype]
    assert relative(loss, their_loss) < LIMIT[dtype]
    gradients = ([p.grad for p in model.parameters()] for model in (ours, theirs))
    assert differ(f"{kind}, gradients", *gradients) < LIMIT[dtype]


@pytest.mark.parametrize("settings", [{"embedding_size": 5}, {"output_norm": True}], ids=str)
def test_embedding_and_layer_norm_are_those_of_the_cpu(settings):
    models = both(**settings)
    a, b = (loss_and_logits(model)[0] for model in models)
    assert relative(a, b) < LIMIT[torch.float64]
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        assert relative(ours.grad, theirs.grad) < LIMIT[torch.float64]


@pytest.mark.parametrize("cell", LAYERS)
def test_tf32_and_bfloat16_stay_near_float32(cell, differ):
    """Both keep 8 or 11 bits of a number: a hundredth or so, in logits of two layers."""
    (ours, theirs), kind = both(cell=cell, dtype=torch.float32), f"{cell}, "
    in_bfloat16 = has_bfloat16(DEVICE)
    with torch.no_grad():
        expected = ours(batch()[0])[0]
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        x = batch(DEVICE)[0]
        assert differ(kind + "TF32, logits", [expected], [theirs(x)[0]]) < 0.02
        if in_bfloat16:
            with autocast("bfloat16", DEVICE):
                logits = theirs(x)[0]
            assert differ(kind + "bfloat16, logits", [expected], [logits]) < 0.1


@pytest.mark.parametrize("cell", LAYERS)
def test_greedy_and_drawn_texts_are_those_of_the_cpu(cell):
    ours, theirs = both(cell=cell, scale=2, size=48)
    for settings in ({"temperature": 0}, {"seed": 3}, {"temperature": [0, 0.5, 2], "seed": 1}):
        a, b = (generate(model, VOCAB, "the ", 50, **settings) for model in (ours, theirs))
        for one, other in zip(*(s if isinstance(s, list) else [s] for s in (a, b)), strict=True):
            assert one.text == other.text
            np.testing.assert_allclose(one.p_before, other.p_before, rtol=1e-6)
    assert len(set(generate(theirs, VOCAB, "the ", 50, temperature=0).new)) >= 3


@pytest.mark.parametrize("cell", LAYERS)
def test_greedy_text_in_float32_is_that_of_the_cpu(cell):
    ours, theirs = both(cell=cell, scale=2, size=48, dtype=torch.float32)
    a, b = (generate(model, VOCAB, "the ", 40, temperature=0) for model in (ours, theirs))
    assert a.text == b.text


def test_stepping_reads_what_the_cpu_reads():
    ours, theirs = both(scale=2)
    contexts = [IDS[:30], IDS[50:55], IDS[:30]]
    (a, state), (b, their_state) = (prefill(model, contexts) for model in (ours, theirs))
    np.testing.assert_allclose(b, a, rtol=1e-8)
    steppers = [FusedDecoder(ours, state), make_decoder(theirs, their_state)]
    assert isinstance(steppers[1], ModelDecoder) or REHEARSED
    for ids in ([1, 2, 3], [4, 5, 6]):
        a, b = (decoder.step(np.array(ids)) for decoder in steppers)
        np.testing.assert_allclose(b, a, rtol=1e-8)
    for decoder in steppers:
        decoder.select(np.array([2, 0]))
    a, b = (decoder.step(np.array([7, 8])) for decoder in steppers)
    np.testing.assert_allclose(b, a, rtol=1e-8)
    read_all = [read_through(model, IDS[:90]) for model in (ours, theirs)]
    np.testing.assert_allclose(read_all[1], read_all[0], rtol=1e-8)


def sequences():
    rng = np.random.default_rng(0)
    return [rng.integers(1, len(VOCAB), size=length) for length in (5, 9, 9, 3, 7, 12, 6, 2)]


@pytest.mark.parametrize("cell", LAYERS)
def test_evaluate_finds_what_the_cpu_finds(cell):
    ours, theirs = both(cell=cell)
    for ids in (VALID, PaddedBatches(sequences(), 30, 0)):
        assert relative(evaluate(ours, ids, 50), evaluate(theirs, ids, 50)) < LIMIT[torch.float64]


@pytest.mark.parametrize("clip", [clip_by_global_norm, clip_by_value, adaptive_clip])
@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_clipping_is_that_of_the_cpu(clip, limit):
    models = both()
    for model in models:
        loss_and_logits(model)
    norms = [clip(model.parameters(), limit) for model in models]
    np.testing.assert_allclose(*[[float(norm) for norm in each] for each in norms], rtol=1e-9)
    assert (float(norms[0][1]) < float(norms[0][0])) == (limit == 1e-3)
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        assert relative(ours.grad, theirs.grad) < LIMIT[torch.float64]


@pytest.mark.parametrize("cell", ["lstm", "cifg"])
def test_gates_states_and_jacobians_are_those_of_the_cpu(cell):
    found = []
    for model in both(cell=cell, size=6):
        ids = torch.from_numpy(IDS[:5]).to(next(model.parameters()).device)
        jacobians = recurrent_jacobians(model, ids)
        gates = gate_values(model, ids[None])
        lags = torch.from_numpy(gradient_by_lag(jacobians))
        found.append([jacobians, lags, *gates.values(), *states_along(model, ids)])
    for ours, theirs in zip(*found, strict=True):
        assert relative(ours, theirs) < LIMIT[torch.float64]


# Files


@pytest.mark.parametrize("cell", LAYERS)
def test_a_model_saved_on_one_device_is_loaded_on_the_other(cell, tmp_path):
    ours, theirs = both(cell=cell)
    for name, model in (("cpu", ours), ("other", theirs)):
        save_model(tmp_path / name, model, VOCAB)
    assert (tmp_path / "cpu").read_bytes() == (tmp_path / "other").read_bytes()
    expected = ours(batch()[0])[0]
    for name, device in (("cpu", DEVICE), ("other", "cpu"), ("other", DEVICE)):
        model, vocab = load_model(tmp_path / name, device)
        assert vocab.tokens == VOCAB.tokens
        assert next(model.parameters()).device.type == torch.device(device).type
        logits = model(batch(device)[0])[0]
        assert relative(expected, logits) < LIMIT[torch.float64]


# Training

RUNS = {
    "adam": {},
    "adamw by a cosine": {"optimizer": "adamw", "schedule": "cosine", "warmup": 4},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 1e-3},
    "sgd in one cycle": {"optimizer": "sgd", "learning_rate": 0.5, "schedule": "one-cycle"},
    "sgd with momentum": {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "optimizer_options": {"momentum": 0.9},
    },
    "not clipped": {"clip_norm": None},
    "clipped by value": {"clip_norm": None, "clip_value": 0.003},
    "clipped by unit": {"clip_norm": None, "agc_factor": 0.01},
    "accumulated": {"accumulate": 2},
    "ended early": {"learning_rate": 0.3, "patience": 1, "eval_every": 2},
}
if "rotate_streams" in TrainingConfig.__dataclass_fields__:
    RUNS["streams rotated"] = {"rotate_streams": True}
if "label_smoothing" in TrainingConfig.__dataclass_fields__:
    RUNS["targets smoothed"] = {"label_smoothing": 0.1, "accumulate": 2}


def config(**settings):
    plain = {"learning_rate": 1e-2, "clip_norm": 0.3, "eval_every": 5}
    return TrainingConfig(**{"steps": STEPS, "batch_size": 4, "seq_len": 8, **plain, **settings})


def trained(device, settings=None, cell="lstm", **arguments):
    """Return a model after a run on a device, and the history."""
    model = make(device, cell)
    history = fit(model, TRAIN, VALID, config(**(settings or {})), progress=False, **arguments)
    return model, history


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_that_of_the_cpu(name):
    (ours, history), (theirs, other) = (trained(d, RUNS[name]) for d in ("cpu", DEVICE))
    assert history.rows[-1]["loss"] < history.rows[0]["loss"]
    assert_same_run(other, history)
    assert_same_weights(theirs, ours)


@pytest.mark.parametrize("cell", LAYERS)
def test_every_cell_trains_as_on_the_cpu(cell):
    (ours, history), (theirs, other) = (trained(d, cell=cell) for d in ("cpu", DEVICE))
    assert_same_run(other, history)
    assert_same_weights(theirs, ours)


def test_whole_sequences_train_as_on_the_cpu():
    found = []
    for device in ("cpu", DEVICE):
        model, batches = make(device), PaddedBatches(sequences(), 30, 0)
        found.append((fit(model, batches, batches, config(), progress=False), model))
    (history, ours), (other, theirs) = found
    assert_same_run(other, history)
    assert_same_weights(theirs, ours)


def test_dropout_is_drawn_on_the_device_and_learned_with():
    model = make(DEVICE, dtype=torch.float32, dropout=0.3)
    history = fit(model, TRAIN, VALID, config(steps=40, learning_rate=2e-2), progress=False)
    assert history.rows[-1]["loss"] < 0.9 * history.rows[0]["loss"]


def test_bfloat16_trains_and_stays_near_float32(record_property):
    if not has_bfloat16(DEVICE):
        pytest.skip("this device cannot train in bfloat16")
    losses, steps = {}, 10 if REHEARSED else 40  # a CPU takes long over its first ones
    for precision in ("float32", "bfloat16"):
        model, settings = (
            make(DEVICE, dtype=torch.float32),
            config(steps=steps, precision=precision),
        )
        history = fit(model, TRAIN, None, settings, progress=False)
        assert history.precision == precision and history.skipped == 0
        assert all(p.dtype == torch.float32 for p in model.parameters())
        losses[precision] = history.column("loss")[1]
    difference = float(abs(losses["bfloat16"] - losses["float32"]).max())
    record_property("bfloat16, largest difference of the training loss in nats", difference)
    assert difference < 0.15
    assert losses["bfloat16"][-1] < 0.95 * losses["bfloat16"][0]


def test_diagnostics_are_those_of_the_cpu():
    found = []
    for device in ("cpu", DEVICE):
        found.append(trained(device, diagnostics=Diagnostics())[1])
    for ours, theirs in zip(*(run.rows for run in found), strict=True):
        assert ours["diagnostics"].keys() == theirs["diagnostics"].keys()
        for name, parts in ours["diagnostics"].items():
            assert theirs["diagnostics"][name] == pytest.approx(parts, rel=1e-6)


def test_text_written_after_a_step_changes_nothing():
    model, texts = make(DEVICE), []

    def on_step(history):
        texts.append(generate(model, VOCAB, "the ", 5, seed=0).text)

    history = fit(model, TRAIN, VALID, config(), on_step, progress=False)
    assert len(texts) == STEPS
    assert_same_run(history, trained("cpu")[1])


@pytest.mark.skipif(DEVICE.type != "cuda", reason="only a GPU is waited for")
def test_how_often_a_run_waits_for_the_gpu(record_property):
    """Once a step, or far less often where the run defers what it reads (training._defers)."""
    counts, before = {}, torch.cuda.get_sync_debug_mode()
    for steps in (20, 120):
        model = make(DEVICE, dtype=torch.float32)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                fit(model, TRAIN, None, config(steps=steps), progress=False)
            finally:
                torch.cuda.set_sync_debug_mode(before)
        counts[steps] = sum("synchroniz" in str(warning.message) for warning in said)
    each = (counts[120] - counts[20]) / 100
    record_property("waits for the GPU in a step", each)
    if hasattr(training, "_defers"):
        assert each < 0.5


# Steps that are not finite


def explode_at(model, step, found):
    """Make the gradient of one step infinite, and note the weights that it was computed with."""
    calls = []

    def hook(gradient):
        calls.append(1)
        if len(calls) != step:
            return gradient
        found.update({name: p.detach().clone() for name, p in model.named_parameters()})
        return gradient * math.inf

    model.output.bias.register_hook(hook)


@pytest.mark.parametrize("name", ["adam", "adamw by a cosine", "rmsprop", "sgd with momentum"])
def test_an_infinite_gradient_leaves_the_weights_and_is_counted_and_said(name, capsys):
    histories = []
    for device in ("cpu", DEVICE):
        model, before = make(device), {}
        explode_at(model, 3, before)

        def on_step(history, model=model, before=before):
            if len(history) == 3:
                assert before
                assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())

        settings = RUNS[name]
        histories.append(fit(model, TRAIN, VALID, config(**settings), on_step, progress=False))
        said = capsys.readouterr().out
        assert "Step 3 skipped" in said and "Skipped so far: 1." in said
        assert all(p.isfinite().all() for p in model.parameters())
    history, other = histories
    assert [row["step"] for row in other.rows if row["skipped"]] == [3]
    assert other.skipped == 1 and other.rows[2]["loss"] > 0
    assert other.rows[2]["grad_norm"] is None
    assert_same_run(other, history)


@pytest.mark.parametrize("name", ["adam", "sgd in one cycle", "rmsprop", "accumulated"])
def test_a_batch_without_a_finite_loss_is_skipped_with_its_state(name):
    """A character whose embedding is infinite, once in an epoch; the state starts at zero again."""
    train, rare = TRAIN.copy(), len(VOCAB) - 1
    train[train == rare] = 0
    train[20] = rare  # in the first row, so in the third batch of an epoch
    histories = []
    for device in ("cpu", DEVICE):
        model = make(device, embedding_size=6)
        with torch.no_grad():
            model.embedding.weight[rare] = math.inf
        histories.append(fit(model, train, None, config(**RUNS[name]), progress=False))
        finite = [p for n, p in model.named_parameters() if n != "embedding.weight"]
        assert all(p.isfinite().all() for p in finite)
    history, other = histories
    assert [row["step"] for row in other.rows if row["skipped"]] == [3, 15]
    assert other.rows[2]["loss"] is None
    assert_same_run(other, history)


def test_a_broken_weight_stops_the_run_with_a_word_and_the_history():
    model = make(DEVICE)
    weights = {}

    def on_step(history):
        if len(history) == 4:
            with torch.no_grad():
                model.output.weight[0, 0] = math.nan
            weights.update({name: p.detach().clone() for name, p in model.named_parameters()})

    with pytest.raises(TrainingDiverged, match="10 steps in a row") as error:
        fit(model, TRAIN, None, config(steps=200), on_step, progress=False)
    assert error.value.history.skipped >= 10
    assert not any(row["skipped"] for row in error.value.history.rows[:4])
    for name, p in model.named_parameters():
        assert torch.equal(p.nan_to_num(7.0), weights[name].nan_to_num(7.0))


# Runs that go on


class _Killed(Exception):
    """What ends a run in the middle."""


def part_of_a_run(folder, device, settings, on_step=None):
    """Train in a folder, as a cell would that is run again; return model and history."""
    kept = Checkpoints(folder, VOCAB, every=3)
    return trained(device, settings, checkpoints=kept, on_step=on_step)


def killed_at(step):
    def on_step(history):
        if len(history) == step:
            raise _Killed

    return on_step


@pytest.mark.parametrize("name", ["adamw by a cosine", "sgd with momentum", "rmsprop"])
@pytest.mark.parametrize(
    "devices", [(DEVICE, DEVICE), (DEVICE, "cpu"), ("cpu", DEVICE)], ids=["stays", "to", "from"]
)
def test_a_run_goes_on_where_it_was_killed_on_either_device(name, devices, tmp_path):
    with contextlib.suppress(_Killed):
        part_of_a_run(tmp_path, devices[0], RUNS[name], killed_at(8))
    newest = Checkpoints(tmp_path, VOCAB).paths[-1]
    kinds = {name.rpartition(".")[2] for name in load_file(newest) if name.startswith("random")}
    assert torch.device(devices[0]).type in kinds
    model, history = part_of_a_run(tmp_path, devices[1], RUNS[name])
    assert next(model.parameters()).device.type == torch.device(devices[1]).type
    whole, expected = trained("cpu", RUNS[name])
    assert_same_run(history, expected)
    assert_same_weights(model, whole)


def test_saved_on_one_device_loaded_on_another(tmp_path):
    for device, steps in ((DEVICE, 4), ("cpu", 8), (DEVICE, 12)):
        model, history = part_of_a_run(tmp_path, device, {"steps": steps})
        assert len(history) == steps
        weights = load_file(tmp_path / f"step-{steps:08}.safetensors")
        for name, weight in model.state_dict().items():
            assert weight.device.type == torch.device(device).type
            assert torch.equal(weight.cpu(), weights[f"model.{name}"])


def test_an_interrupted_run_goes_on(tmp_path):
    def interrupt(history):
        if len(history) == 7:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        history = part_of_a_run(tmp_path, DEVICE, {}, interrupt)[1]
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.ended == "interrupted" and len(history) in (7, 8)
    model, history = part_of_a_run(tmp_path, DEVICE, {})
    whole, expected = trained("cpu")
    assert_same_run(history, expected)
    assert_same_weights(model, whole)
