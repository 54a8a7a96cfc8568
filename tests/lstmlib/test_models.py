import copy
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lstmlib import scratch
from lstmlib.conversion import from_numpy, fused_layers, to_numpy
from lstmlib.models import LAYERS, CharRNN, CoupledLSTM, count_parameters, detach, lstm_by_steps
from lstmlib.serialization import (
    ModelFileError,
    atomic_write,
    load_model,
    load_scratch,
    save_model,
    save_scratch,
    to_bytes,
)
from lstmlib.vocab import Vocab


@pytest.mark.parametrize("embedding_size", [None, 5])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("cell", LAYERS)
def test_shapes(cell, embedding_size, num_layers):
    model = CharRNN(7, 11, num_layers, embedding_size, cell=cell)
    logits, state = model(torch.zeros(2, 4, dtype=torch.long))
    assert logits.shape == (2, 4, 7)
    assert len(state) == (2 if cell in ("lstm", "cifg") else 1)
    assert {part.shape for part in state} == {(num_layers, 2, 11)}


@pytest.mark.parametrize("cell", LAYERS)
def test_carried_state_equals_one_long_call(cell, vocab, ids):
    model = CharRNN(len(vocab), 16, 2, dropout=0.3, cell=cell).eval()
    x = torch.from_numpy(ids[:24])[None]
    whole, _ = model(x)
    first, state = model(x[:, :10])
    second, _ = model(x[:, 10:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)


def test_detached_state_passes_no_gradient(model, ids):
    x = torch.from_numpy(ids[:8])[None]
    _, state = model(x)
    assert state[0].requires_grad
    assert not any(part.requires_grad for part in detach(state))


def test_forget_bias_is_the_sum_of_both_biases():
    model = CharRNN(5, 4, 2, forget_bias=1.5)
    for layer in range(2):
        biases = [getattr(model.layers, f"bias_{k}_l{layer}")[4:8] for k in ("ih", "hh")]
        assert (sum(biases) == 1.5).all()


@pytest.mark.parametrize(
    ("cell", "blocks", "biases"), [("lstm", 4, 2), ("gru", 3, 2), ("rnn", 1, 2), ("cifg", 3, 1)]
)
def test_parameter_count_by_hand(cell, blocks, biases):
    v, h = 7, 11
    layers = blocks * (h * v + h * h + biases * h) + blocks * (h * h + h * h + biases * h)
    assert count_parameters(CharRNN(v, h, 2, cell=cell)) == layers + v * h + v


def test_an_unknown_cell():
    with pytest.raises(ValueError, match="cell is 'LSTM'; choose one of lstm, gru, rnn, cifg"):
        CharRNN(5, 4, cell="LSTM")


# The CIFG as the fused LSTM


def test_forget_gates_of_a_new_cifg():
    bias = CharRNN(5, 4, 2, forget_bias=1.5, cell="cifg").layers.lstm_weights()["bias_ih_l1"]
    assert (bias[4:8] == 1.5).all()
    assert (bias[:4] == -1.5).all()


def test_the_gradient_of_the_cifg_is_that_of_the_numpy_cell():
    rng = np.random.default_rng(0)
    weights = scratch.init_weights(scratch.CIFG, 5, 4, 2, dtype=np.float64)
    x, y = rng.integers(0, 5, (2, 3, 6))
    (logits, _), cache = scratch.forward(weights, scratch.CIFG, x)
    gradients, _, _ = scratch.backward(scratch.softmax_cross_entropy(logits, y)[1], cache)
    model = from_numpy(weights, scratch.CIFG)
    theirs, _ = model(torch.tensor(x))
    F.cross_entropy(theirs.flatten(0, 1), torch.tensor(y).flatten()).backward()
    names = {"Wx": "weight_ih", "Wh": "weight_hh", "b": "bias_ih"}
    for ours, name in names.items():
        for k in range(2):
            grad = getattr(model.layers, f"{name}_l{k}").grad.numpy().T
            assert np.abs(gradients[f"{ours}{k}"] - grad).max() < 1e-15


def test_dropout_between_the_layers_of_a_cifg_follows_the_mode():
    layers = CoupledLSTM(3, 50, 2, dropout=0.5)
    x = torch.randn(2, 4, 3)
    assert not torch.equal(layers(x)[0], layers(x)[0])
    layers.eval()
    assert torch.equal(layers(x)[0], layers(x)[0])
    assert len(list(layers.parameters())) == 6


def test_a_cifg_can_be_copied_and_moved(tmp_path):
    model = CharRNN(5, 4, 2, cell="cifg")
    twin, x = copy.deepcopy(model), torch.zeros(1, 3, dtype=torch.long)
    torch.nn.init.zeros_(model.layers.weight_hh_l0)
    assert not torch.equal(model(x)[0], twin(x)[0])
    assert twin.double()(x)[0].dtype == torch.float64


# To and from NumPy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", scratch.CELLS.values(), ids=scratch.CELLS)
def test_from_numpy_computes_the_same_and_goes_back(cell, dtype):
    weights = scratch.init_weights(cell, 5, 4, 3, dtype=dtype)
    x = np.random.default_rng(0).integers(0, 5, (2, 6))
    model = from_numpy(weights, cell)
    theirs, their_state = model(torch.tensor(x))
    (logits, state), _ = scratch.forward(weights, cell, x)
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    assert theirs.dtype == torch.from_numpy(logits).dtype
    assert np.abs(theirs.detach().numpy() - logits).max() < tolerance
    for a, b in zip(state, their_state, strict=True):
        assert np.abs(a - b.detach().numpy()).max() < tolerance
    back, same_cell = to_numpy(model)
    assert same_cell is cell
    assert all(np.array_equal(back[name], weights[name]) for name in weights | back)
    back["Wy"][:] = 0  # a copy: the model's own weights stay
    assert model.output.weight.any()


@pytest.mark.parametrize("cell", scratch.CELLS)
def test_to_numpy_adds_the_biases_and_folds_the_embedding_in(cell):
    model = CharRNN(5, 4, 2, embedding_size=3, dropout=0.5, cell=cell).double().eval()
    weights, numpy_cell = to_numpy(model)
    x = np.random.default_rng(0).integers(0, 5, (2, 6))
    (logits, _), _ = scratch.forward(weights, numpy_cell, x)
    assert np.abs(model(torch.tensor(x))[0].detach().numpy() - logits).max() < 1e-14


def test_networks_that_cannot_be_turned_into_the_other_kind():
    with pytest.raises(ValueError, match="no gru in lstmlib.scratch"):
        to_numpy(CharRNN(5, 4, cell="gru"))
    with pytest.raises(ValueError, match="no layer norm in lstmlib.scratch"):
        to_numpy(CharRNN(5, 4, output_norm=True))
    weights = scratch.init_weights(scratch.RNN, 5, 4)
    with pytest.raises(ValueError, match="not one of your own"):
        from_numpy(weights, scratch.RNN._replace(name="mine"))
    with pytest.raises(ValueError, match="reads 2 tokens and predicts 5"):
        from_numpy(weights | {"Wx0": weights["Wx0"][:2]}, scratch.RNN)


@pytest.mark.parametrize(
    "sizes",
    [(0, 1, 1), (5, 0, 1), (5, 4, 0), (5, 4, 1, 0), (5, 4, 1, None, 1.0), (5, 4, 1, 2, -0.1)],
)
def test_sizes_without_meaning(sizes):
    with pytest.raises(ValueError, match="1 or more|0 or more and below 1"):
        CharRNN(*sizes)


def test_what_predicts_is_normed_before_the_dropout():
    model = CharRNN(5, 40, 2, dropout=0.5, output_norm=True)
    normed, read = [], []
    model.dropout.register_forward_pre_hook(lambda _, inputs: normed.append(inputs[0]))
    model.output.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    model(torch.tensor([[0, 1, 2]]))
    assert normed[0].mean(dim=-1).abs().max() < 1e-6
    assert (normed[0].var(dim=-1, correction=0) - 1).abs().max() < 1e-2  # PyTorch adds 1e-5 to it
    kept = read[0] != 0
    assert 0 < kept.sum() < kept.numel()
    torch.testing.assert_close(read[0][kept], 2 * normed[0][kept])


# Files


@pytest.mark.parametrize("output_norm", [False, True])
@pytest.mark.parametrize("cell", LAYERS)
def test_file_round_trip(tmp_path, cell, output_norm, vocab, ids):
    model = CharRNN(len(vocab), 16, 2, 5, 0.3, cell=cell, output_norm=output_norm)
    save_model(tmp_path / "deep" / "m.safetensors", model, vocab)
    loaded, loaded_vocab = load_model(tmp_path / "deep" / "m.safetensors")
    assert loaded_vocab == vocab
    assert not loaded.training
    x = torch.from_numpy(ids[:20])[None]
    assert torch.equal(loaded(x)[0], model.eval()(x)[0])


def test_saving_with_a_foreign_vocabulary_writes_nothing(tmp_path, model):
    with pytest.raises(ValueError, match="the model was built for"):
        save_model(tmp_path / "m.safetensors", model, Vocab("ab"))
    assert list(tmp_path.iterdir()) == []


def test_the_dtype_of_a_model_is_kept(tmp_path, model, vocab, ids):
    save_model(tmp_path / "m", model.double(), vocab)
    loaded, _ = load_model(tmp_path / "m")
    x = torch.from_numpy(ids[:20])[None]
    assert torch.equal(loaded(x)[0], model.eval()(x)[0])


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_truncated_file(tmp_path, model, vocab, keep):
    path = tmp_path / "m.safetensors"
    save_model(path, model, vocab)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ModelFileError, match="not a whole safetensors file"):
        load_model(path)


def test_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="There is no file"):
        load_model(tmp_path / "m.safetensors")


def test_file_of_another_kind(tmp_path):
    (tmp_path / "a").write_bytes(b"\x80\x04\x95pickled?" * 10)
    with pytest.raises(ModelFileError, match="not a whole safetensors"):
        load_model(tmp_path / "a")
    save_file({"w": torch.zeros(2)}, tmp_path / "b")
    with pytest.raises(ModelFileError, match="not one that save_model wrote"):
        load_model(tmp_path / "b")


def rewrite(path, weights=None, **changes):
    """Write a model file again with some of its metadata changed, and a checksum of all of it."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    path.write_bytes(to_bytes(weights or load_file(path), metadata | changes))


def test_vocabulary_in_the_file_does_not_fit(tmp_path, model, vocab):
    path = tmp_path / "m.safetensors"
    save_model(path, model, vocab)
    rewrite(path, vocab=Vocab("ab").to_json())
    with pytest.raises(ModelFileError, match="contradicts itself.*2 tokens"):
        load_model(path)


BIG = 10**15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 8}, r"is \(64,\), where the sizes ask for \(32,\)"),
        ({"hidden_size": BIG}, "is 1000000000000000, but it holds 10 arrays of"),
        ({"hidden_size": 2**62}, "but it holds"),
        ({"hidden_size": 10**400}, "but it holds"),
        ({"hidden_size": -1}, "hidden_size is -1"),
        ({"hidden_size": 16.0}, "hidden_size is 16.0"),
        ({"hidden_size": [16]}, r"hidden_size is \[16\]"),
        ({"num_layers": 10**5}, "num_layers is 100000, but it holds 10 arrays"),
        ({"num_layers": 10**9}, "num_layers is 1000000000, but it holds 10 arrays"),
        ({"num_layers": 10**400}, "num_layers is 1000.*, but it holds 10 arrays"),
        ({"num_layers": 1e9}, "num_layers is 1000000000.0"),
        ({"num_layers": 3}, "missing or unknown: layers.bias_hh_l2"),
        ({"num_layers": True}, "num_layers is True"),
        ({"embedding_size": BIG}, "but it holds"),
        ({"embedding_size": 3}, "missing or unknown: embedding.weight"),
        ({"embedding_size": "2"}, "embedding_size is '2'"),
        ({"vocab_size": BIG}, "but it holds"),
        ({"dropout": "0"}, "dropout is '0'"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"forget_bias": None}, "forget_bias is None"),
        ({"cell": ["lstm"]}, r"cell is \['lstm'\]"),
        ({"cell": "gru"}, "where the sizes ask for"),
        ({"output_norm": 1}, "output_norm is 1"),
        ({"output_norm": True}, "missing or unknown: norm.bias, norm.weight"),
        ({"depth": 3}, "TypeError.*depth"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_sizes_are_not_believed_before_the_weights_are_looked_at(
    tmp_path, model, vocab, changes, message
):
    path = tmp_path / "m.safetensors"
    save_model(path, model, vocab)
    rewrite(path, config=json.dumps(model.config | changes))
    with pytest.raises(ModelFileError, match=f"m.safetensors contradicts itself: .*{message}"):
        load_model(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"config": "[1, 2]"},
        {"config": "5"},
        {"config": "{}"},
        {"config": ""},
        {"config": "[" * 10**5},
        {"config": "9" * 5000},
        {"vocab": "[" * 10**5},
        {"vocab": "{}"},
    ],
    ids=lambda metadata: str(metadata)[:20],
)
def test_metadata_that_is_none(tmp_path, model, vocab, metadata):
    path = tmp_path / "m.safetensors"
    save_model(path, model, vocab)
    rewrite(path, **metadata)
    with pytest.raises(ModelFileError, match="contradicts itself"):
        load_model(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w | {"output.bias": w["output.bias"].double()}, "floats of one kind"),
        (lambda w: {n: v.to(torch.int32) for n, v in w.items()}, "floats of one kind"),
        (lambda w: {n: v.to(torch.float8_e4m3fn) for n, v in w.items()}, "floats of one kind"),
        (lambda w: {n: v.to(torch.complex64) for n, v in w.items()}, "floats of one kind"),
        (lambda w: w | {"output.bias": w["output.bias"] * float("nan")}, "infinite or not a num"),
        (lambda w: w | {"output.bias": w["output.bias"] + float("inf")}, "infinite or not a num"),
        (lambda w: w | {"output.bias": w["output.bias"][:0]}, r"output.bias is \(0,\)"),
        (lambda w: w | {"more": w["output.bias"].clone()}, "missing or unknown: more"),
        (
            lambda w: {"more": w["output.bias"]},
            "num_layers is 2, but it holds 1 arrays of 28 numbers",
        ),
    ],
)
def test_weights_that_are_not_those_of_a_network(tmp_path, model, vocab, spoil, message):
    path = tmp_path / "m.safetensors"
    save_model(path, model, vocab)
    rewrite(path, spoil(load_file(path)))
    with pytest.raises(ModelFileError, match=f"contradicts itself: .*{message}"):
        load_model(path)


def test_a_network_that_is_not_finite_is_not_saved(tmp_path, model, vocab):
    torch.nn.init.constant_(model.output.bias, float("nan"))
    with pytest.raises(ValueError, match="output.bias has weights that are infinite or not a num"):
        save_model(tmp_path / "m", model, vocab)
    assert list(tmp_path.iterdir()) == []


def test_sizes_from_numpy_can_be_saved(tmp_path, vocab):
    model = CharRNN(np.int64(len(vocab)), np.int32(4), 1, dropout=0, forget_bias=np.float32(1))
    save_model(tmp_path / "m", model, vocab)
    assert load_model(tmp_path / "m")[0].config == model.config


def small_files(folder):
    """Return (path, its reader) of a small model file and of a small file of a NumPy network."""
    torch.manual_seed(0)
    save_model(folder / "model", CharRNN(2, 1, 1), Vocab("ab"))
    weights = scratch.init_weights(scratch.RNN, 2, 1)
    save_scratch(folder / "scratch", weights, scratch.RNN, Vocab("ab"))
    return [(folder / "model", load_model), (folder / "scratch", load_scratch)]


def content(loaded):
    """Return all that a reader returned, in a form that can be compared."""
    first, *rest = loaded
    weights = first.state_dict() if isinstance(first, CharRNN) else first
    sizes = first.config if isinstance(first, CharRNN) else None
    return sizes, {name: weight.tolist() for name, weight in weights.items()}, rest


@pytest.mark.parametrize("kind", [0, 1], ids=["model", "scratch"])
def test_every_flipped_bit_is_found_or_changes_nothing(tmp_path, kind):
    path, load = small_files(tmp_path)[kind]
    data, expected, harmless = path.read_bytes(), content(load(path)), set()
    for k in range(len(data)):  # a bit of every byte, since all of them take half a minute
        flipped = bytearray(data)
        flipped[k] ^= 1 << k % 8
        path.write_bytes(flipped)
        try:
            assert content(load(path)) == expected, f"byte {k} changes the network unseen"
            harmless.add(k)
        except ModelFileError:
            pass
    assert not harmless


def test_damage_to_the_checksums_name_and_to_a_weight_is_found(tmp_path):
    for path, load in small_files(tmp_path):
        data = bytearray(path.read_bytes())
        data[data.index(b"sha256")] ^= 1
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match="is damaged"):
            load(path)


def test_files_without_a_checksum_as_earlier_versions_wrote_them_are_read(tmp_path):
    for path, load in small_files(tmp_path):
        expected = content(load(path))
        with safe_open(path, framework="pt") as file:
            metadata = {n: note for n, note in file.metadata().items() if n != "sha256"}
        save_file(load_file(path), path, metadata)
        assert b"sha256" not in path.read_bytes()
        assert content(load(path)) == expected


SAVE_AGAIN = """
from lstmlib.serialization import load_model, load_scratch, save_model, save_scratch
for k in range(4):
    save_model(f"model {k}", *load_model("model"))
    weights, cell, vocab = load_scratch("scratch")
    save_scratch(f"scratch {k}", dict(reversed(weights.items())), cell, vocab)
"""


@pytest.mark.slow
def test_equal_models_are_equal_files_in_every_process(tmp_path):
    for path, _ in small_files(tmp_path):
        assert path.stat().st_size < 1500
    # The hash tables of safetensors are in another order at each call and in each process.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", SAVE_AGAIN], check=True, cwd=tmp_path, env=environment)
    for name in ("model", "scratch"):
        data = (tmp_path / name).read_bytes()
        assert [(tmp_path / f"{name} {k}").read_bytes() == data for k in range(4)] == [True] * 4


@pytest.mark.parametrize("load", [load_model, load_scratch])
def test_a_path_that_is_no_file_is_named_in_full(tmp_path, monkeypatch, load):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in ("there/is/none", "pipe", "nul\0", "~/model"):
        with pytest.raises(ModelFileError, match=f"There is no file {tmp_path}/{path}"):
            load(path)
    with pytest.raises(ModelFileError, match=f"{tmp_path}/folder is a folder"):
        load("folder")


def test_a_file_that_may_not_be_read(tmp_path, model, vocab, monkeypatch):
    save_model(tmp_path / "m", model, vocab)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")  # root, as here, may read all

    monkeypatch.setattr("lstmlib.serialization.safe_open", refuse)
    with pytest.raises(ModelFileError, match=f"{tmp_path}/m cannot be read .*Permission denied"):
        load_model(tmp_path / "m")


def test_written_files_have_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    atomic_write(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic_write(path, b"old")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# Networks of scratch.py


@pytest.mark.parametrize("cell", scratch.CELLS.values(), ids=scratch.CELLS)
def test_scratch_file_round_trip(tmp_path, cell, vocab, ids):
    weights = scratch.init_weights(cell, len(vocab), 6, 2)
    weights["Wh1"] = np.asfortranarray(weights["Wh1"])
    save_scratch(tmp_path / "m.safetensors", weights, cell, vocab)
    loaded, loaded_cell, loaded_vocab = load_scratch(tmp_path / "m.safetensors")
    assert loaded_cell is cell
    assert loaded_vocab == vocab
    assert loaded.keys() == weights.keys()
    assert all(np.array_equal(loaded[name], weights[name]) for name in weights)
    scratch.SGD(0.1).step(loaded, weights)  # what was loaded can be trained on


def test_scratch_refuses_to_save_what_could_not_be_loaded(tmp_path, vocab):
    weights = scratch.init_weights(scratch.RNN, len(vocab), 6)
    with pytest.raises(ValueError, match="2 tokens"):
        save_scratch(tmp_path / "m", weights, scratch.RNN, Vocab("ab"))
    own = scratch.RNN._replace(name="my rnn")
    with pytest.raises(ValueError, match="not one of your own"):
        save_scratch(tmp_path / "m", weights, own, vocab)
    with pytest.raises(ValueError, match="not one of your own"):
        fused_layers(weights, own)
    short = weights | {"Wx0": weights["Wx0"][:2]}
    with pytest.raises(ValueError, match="reads 2 and predicts"):
        save_scratch(tmp_path / "m", short, scratch.RNN, vocab)
    del weights["b0"]
    with pytest.raises(ValueError, match="in the weights: b0"):
        save_scratch(tmp_path / "m", weights, scratch.RNN, vocab)
    assert list(tmp_path.iterdir()) == []


def test_scratch_files_that_are_none(tmp_path, model, vocab):
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelFileError, match="There is no file"):
        load_scratch(path)
    save_model(path, model, vocab)
    with pytest.raises(ModelFileError, match="not one that save_scratch wrote"):
        load_scratch(path)
    weights = scratch.init_weights(scratch.LSTM, len(vocab), 6)
    save_scratch(path, weights, scratch.LSTM, vocab)
    for changes in ({"cell": "rnn"}, {"cell": "gru"}, {"vocab": Vocab("ab").to_json()}):
        save_scratch(path, weights, scratch.LSTM, vocab)
        rewrite(path, **changes)
        with pytest.raises(ModelFileError, match="contradicts itself"):
            load_scratch(path)
    for spoil, message in (
        (lambda w: torch.full_like(w, float("inf")), "infinite or not a number"),
        (lambda w: w.to(torch.float8_e4m3fn), "TypeError"),
        (lambda w: w.to(torch.int32), "dtype"),
        (lambda w: w[:0], ""),
        (lambda w: w.sum(), ""),
    ):
        for name in weights:
            save_scratch(path, weights, scratch.LSTM, vocab)
            arrays = load_file(path)
            rewrite(path, arrays | {name: spoil(arrays[name])})
            with pytest.raises(ModelFileError, match=f"contradicts itself: .*{message}"):
                load_scratch(path)
    save_scratch(path, weights, scratch.LSTM, vocab)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelFileError, match="not a whole safetensors"):
        load_scratch(path)


def test_fused_layers_have_the_kind_and_the_dtype_of_the_weights():
    for cell, kind in ((scratch.RNN, torch.nn.RNN), (scratch.CIFG, torch.nn.LSTM)):
        layers = fused_layers(scratch.init_weights(cell, 3, 4, 2), cell)
        assert type(layers) is kind
        assert {p.dtype for p in layers.parameters()} == {torch.float32}
        assert not layers.bias_hh_l1.any()


# The LSTM in steps


def weights_of(layers):
    if isinstance(layers, CoupledLSTM):
        return layers.lstm_weights()
    return dict(layers.named_parameters())


@pytest.mark.parametrize("cell", ["lstm", "cifg"])
def test_the_lstm_in_steps_is_the_fused_one(cell):
    torch.manual_seed(0)
    layers = LAYERS[cell](3, 5, 2).double()
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    state = tuple(torch.randn(2, 4, 5, dtype=torch.float64) for _ in range(2))
    for start in (None, state):
        outputs, after = x, []
        for k in range(2):
            before = None if start is None else tuple(part[k] for part in start)
            outputs, last, gates = lstm_by_steps(outputs, before, weights_of(layers), k)
            after.append(last)
            assert len(gates) == 7
            assert all(part.shape == (4, 5) for step in gates for part in step)
        expected, (h, c) = layers(x, start)
        torch.testing.assert_close(outputs, expected)
        torch.testing.assert_close(torch.stack([last[0] for last in after]), h)
        torch.testing.assert_close(torch.stack([last[1] for last in after]), c)


def test_gradients_flow_through_the_lstm_in_steps():
    torch.manual_seed(0)
    layers = LAYERS["lstm"](3, 5, 1).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn(2, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    inputs = [x, *state, *layers.parameters()]
    outputs, (h, c), _ = lstm_by_steps(x, state, weights_of(layers))
    gradients = torch.autograd.grad(outputs.square().sum() + (h * c).sum(), inputs)
    outputs, (h, c) = layers(x, tuple(part[None] for part in state))
    expected = torch.autograd.grad(outputs.square().sum() + (h * c).sum(), inputs)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other)


def test_the_gates_of_the_lstm_in_steps_are_those_that_made_its_state():
    torch.manual_seed(0)
    layers, x = LAYERS["lstm"](3, 5, 1), torch.randn(2, 4, 3)
    calls = []

    def gate(z):
        calls.append(z)
        return (0.2 * z + 0.5).clamp(0, 1)

    outputs, _, gates = lstm_by_steps(x, None, weights_of(layers), gate=gate)
    assert len(calls) == 3 * 4  # three gates a step, and never the candidate
    c = torch.zeros(2, 5)
    for t, (i, f, g, o) in enumerate(gates):
        c = f * c + i * g
        torch.testing.assert_close(outputs[:, t], o * c.tanh())
    for step, z in zip(gates, zip(*[iter(calls)] * 3, strict=True), strict=True):
        i, f, _, o = step
        for value, before in zip((i, f, o), z, strict=True):
            torch.testing.assert_close(value, (0.2 * before + 0.5).clamp(0, 1))
