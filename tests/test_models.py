import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lstmlib import scratch
from lstmlib.models import (
    CharRNN,
    ModelFileError,
    count_parameters,
    detach,
    fused_layers,
    load_model,
    load_scratch,
    save_model,
    save_scratch,
    write_whole,
)
from lstmlib.vocab import Vocab


@pytest.mark.parametrize("embedding_size", [None, 5])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_shapes(embedding_size, num_layers):
    model = CharRNN(7, 11, num_layers, embedding_size)
    logits, (h, c) = model(torch.zeros(2, 4, dtype=torch.long))
    assert logits.shape == (2, 4, 7)
    assert h.shape == c.shape == (num_layers, 2, 11)


def test_carried_state_equals_one_long_call(model, ids):
    model.eval()
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
        biases = [getattr(model.lstm, f"bias_{k}_l{layer}")[4:8] for k in ("ih", "hh")]
        assert (sum(biases) == 1.5).all()


def test_parameter_count_by_hand():
    v, h = 7, 11
    gates = 4 * (h * v + h * h + 2 * h) + 4 * (h * h + h * h + 2 * h)
    assert count_parameters(CharRNN(v, h, 2)) == gates + v * h + v


@pytest.mark.parametrize(
    "sizes",
    [(0, 1, 1), (5, 0, 1), (5, 4, 0), (5, 4, 1, 0), (5, 4, 1, None, 1.0), (5, 4, 1, 2, -0.1)],
)
def test_sizes_without_meaning(sizes):
    with pytest.raises(ValueError, match="1 or more|probability"):
        CharRNN(*sizes)


# Files


def test_file_round_trip(tmp_path, model, vocab, ids):
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


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_truncated_file(tmp_path, model, vocab, keep):
    path = tmp_path / "m.safetensors"
    save_model(path, model, vocab)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ModelFileError, match="not a whole safetensors file"):
        load_model(path)


def test_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="no model file"):
        load_model(tmp_path / "m.safetensors")


def test_file_of_another_kind(tmp_path):
    (tmp_path / "a").write_bytes(b"\x80\x04\x95pickled?" * 10)
    with pytest.raises(ModelFileError, match="not a whole safetensors"):
        load_model(tmp_path / "a")
    save_file({"w": torch.zeros(2)}, tmp_path / "b")
    with pytest.raises(ModelFileError, match="not one that save_model wrote"):
        load_model(tmp_path / "b")


def rewrite(path, weights=None, **changes):
    """Write a model file again with some of its metadata changed."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(weights or load_file(path), path, {**metadata, **changes})


def test_vocabulary_in_the_file_does_not_fit(tmp_path, model, vocab):
    path = tmp_path / "m.safetensors"
    save_model(path, model, vocab)
    rewrite(path, vocab=Vocab("ab").to_json())
    with pytest.raises(ModelFileError, match="contradicts itself.*2 tokens"):
        load_model(path)


def test_weights_in_the_file_do_not_fit(tmp_path, model, vocab):
    path = tmp_path / "m.safetensors"
    save_model(path, model, vocab)
    rewrite(path, config=json.dumps({**model.config, "hidden_size": 8}))
    with pytest.raises(ModelFileError, match="contradicts itself"):
        load_model(path)


def test_written_files_have_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_whole(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
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
    with pytest.raises(ModelFileError, match="no model file"):
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
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelFileError, match="not a whole safetensors"):
        load_scratch(path)


def test_fused_layers_have_the_kind_and_the_dtype_of_the_weights():
    for cell, kind in ((scratch.RNN, torch.nn.RNN), (scratch.CIFG, torch.nn.LSTM)):
        layers = fused_layers(scratch.init_weights(cell, 3, 4, 2), cell)
        assert type(layers) is kind
        assert {p.dtype for p in layers.parameters()} == {torch.float32}
        assert not layers.bias_hh_l1.any()
