"""Compiled steps are the steps of the model, but for 16 bits; without Numba all else works."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lstmlib.cleaning import clean
from lstmlib.corpora import load_corpus
from lstmlib.generation import generate, has_fast, steps, stream
from lstmlib.inference import FusedDecoder, ModelDecoder, prefill
from lstmlib.models import CharRNN
from lstmlib.sampling import SamplingConfig, apply_temperature, draw_within, log_softmax
from lstmlib.serialization import load_model
from lstmlib.vocab import END, START, Vocab

pytest.importorskip("numba")
from lstmlib import generation, quantized
from lstmlib.quantized import CompiledDecoder

ROOT = Path(__file__).resolve().parents[2]
V = 11
ABC = Vocab("abcdefghijk")
TIE = 0.01
"""Nats between two log-probabilities of the float32 network, below which they count as equal. The
probabilities of the compiled steps are off by less: by 0.007 at most over 5000 held-out
characters, in those that are hardly ever drawn."""


def network(tokens=V, **settings):
    torch.manual_seed(0)
    model = CharRNN(tokens, **({"hidden_size": 24, "num_layers": 2, "dropout": 0.3} | settings))
    for weight in model.parameters():
        nn.init.normal_(weight, std=1 / model.config["hidden_size"] ** 0.5)
    return model


NETWORKS = [
    {},
    {"num_layers": 1},
    {"num_layers": 3, "embedding_size": 7},
    {"hidden_size": 300},
    {"cell": "cifg"},
    {"cell": "rnn", "num_layers": 3},
    {"output_norm": True, "embedding_size": 5},
    {"cell": "rnn", "output_norm": True, "num_layers": 1},
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_compiled_steps_compute_what_the_plain_ones_compute(settings, dtype):
    model = network(**settings).to(dtype)
    rng = np.random.default_rng(0)
    contexts = [rng.integers(V, size=n) for n in (4, 1, 9)]
    _, state = prefill(model, contexts)
    compiled, plain = CompiledDecoder(model, state), FusedDecoder(model, state)
    for t in range(60):
        ids = rng.integers(V, size=len(compiled.memory.h[0]))
        ours, theirs = compiled.step(ids), plain.step(ids)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-3)
        if t in (20, 40):  # a text ends
            kept = np.array([0, 2] if t == 20 else [1])
            compiled.select(kept)
            plain.select(kept)


def test_sums_of_products_never_pass_32_bits():
    rng = np.random.default_rng(0)
    signs = rng.choice([-1, 1], size=600)
    matrix = torch.from_numpy(np.stack([signs, signs * rng.random(600), np.zeros(600)], axis=1))
    rows, scales = quantized._whole_numbers(matrix)
    rows = np.ascontiguousarray(rows.numpy())
    code = (signs * quantized.TOP).astype(np.int16)  # the state with the largest sum
    exact = rows.astype(np.int64) @ code.astype(np.int64)
    assert 2**30 < exact[0] < 2**31 and np.abs(rows[1]).max() > 500
    out = np.empty(3, np.float32)
    quantized._multiply(rows, scales.astype(np.float32), code, out)
    np.testing.assert_allclose(out, exact * scales, rtol=1e-6)
    np.testing.assert_allclose(out, [600, np.abs(matrix[:, 1].numpy()).sum(), 0], rtol=2e-3)


def test_tanh_is_tanh():
    x = np.linspace(-20, 20, 4001).astype(np.float32)
    ours = np.array([quantized._tanh(value) for value in x])
    np.testing.assert_allclose(ours, np.tanh(x.astype(float)), rtol=5e-7, atol=5e-7)


# The network of chapter 07


@pytest.fixture(scope="module")
def help_pages():
    """Its model and vocabulary, and text that it was not trained on."""
    folder = ROOT / "runs" / "help-pages"
    model, vocab = load_model(folder / "model.safetensors")
    settings = json.loads((folder / "config.json").read_text())["clean"]
    text, _ = clean(load_corpus("python-docs").text, **settings)
    known = "".join(character for character in text[-4000:] if character in vocab)
    return model, vocab, known


def test_held_out_text_has_the_probabilities_of_32_bits(help_pages):
    model, vocab, text = help_pages
    ids = vocab.encode(text)
    _, state = prefill(model, [ids[:1]])
    decoders = CompiledDecoder(model, state), FusedDecoder(model, state)
    ours, plain = (
        log_softmax(np.concatenate([decoder.step(ids[t : t + 1]) for t in range(1, len(ids))]))
        for decoder in decoders
    )
    divergence = (np.exp(plain) * (plain - ours)).sum(-1)  # nats for each character
    assert len(divergence) > 3000 and divergence.mean() < 1e-6  # 3e-8 was measured


@pytest.mark.parametrize("prompt", ["The ", "import ", "def f("])
def test_a_greedy_text_is_that_of_32_bits_up_to_a_tie(help_pages, prompt):
    model, vocab, _ = help_pages
    sampling = SamplingConfig(0.0)
    ours, plain = (
        list(steps(model, vocab, [prompt], 500, sampling, [0], fast)) for fast in (True, False)
    )
    for one, other in zip(ours, plain, strict=True):
        if one.ids != other.ids:  # all that follows has another beginning
            log_p = other.log_before[0]
            assert log_p[other.ids[0]] - log_p[one.ids[0]] < TIE
            break


# Texts


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0, 1e-300])
def test_a_draw_is_that_of_the_same_random_number(temperature):
    model, sampling = network(), SamplingConfig(temperature)
    ours = list(steps(model, ABC, ["a"], 130, sampling, [3], True))
    plain = list(steps(model, ABC, ["a"], 130, sampling, [3]))
    assert len(ours) == len(plain) == 130
    for one, other in zip(ours, plain, strict=True):
        assert one.uniforms == other.uniforms
        assert draw_within(one.log_after, one.uniforms) == one.ids
        np.testing.assert_allclose(
            np.exp(one.log_after), np.exp(apply_temperature(one.logits, temperature)), atol=1e-12
        )
    same = [one.ids == other.ids for one, other in zip(ours, plain, strict=True)]
    # The first step is the same computation; behind it 1 draw in a hundred differs at most.
    assert same[0] and (same.index(False) if False in same else 130) > 10


def ending():
    """A network with `.start` and `.end` that ends a text now and then."""
    vocab = Vocab("abcdefghi", specials=[START, END])
    return network(len(vocab)), vocab


def test_texts_that_end_are_the_texts_that_are_written_alone():
    model, vocab = ending()
    seeds, taus = [5, 6, 7, 8, 9, 10], [0.8, 1.0, 1.2, 0.5, 1.0, 2.0]
    together = generate(model, vocab, "", 200, taus, seeds, fast=True)
    assert len({len(sample.new) for sample in together}) > 3  # they end at different times
    for sample, seed, tau in zip(together, seeds, taus, strict=True):
        alone = generate(model, vocab, "", 200, tau, seed, fast=True)
        assert alone.tokens == sample.tokens and alone.ended == sample.ended
        np.testing.assert_allclose(alone.p_after, sample.p_after, rtol=1e-5)
    parts = list(stream(model, vocab, "", 200, taus, seeds, fast=True))
    for k, sample in enumerate(together):
        assert "".join(part[k] for part in parts) == sample.new


@pytest.mark.parametrize(
    "settings", [{"top_k": 3}, {"top_p": 0.8}, {"repetition_penalty": 1.3}, {"redraw_once": True}]
)
def test_other_settings_act_as_they_do_without_it(settings):
    model = network()
    ours = generate(model, ABC, "abc", 60, 0.9, seed=1, fast=True, **settings)
    plain = generate(model, ABC, "abc", 60, 0.9, seed=1, **settings)
    pairs = zip(ours.tokens, plain.tokens, strict=True)
    count = next((t for t, (one, other) in enumerate(pairs) if one != other), 60)
    assert count > 10
    np.testing.assert_allclose(ours.p_after[:count], plain.p_after[:count], atol=0.01)


def test_lengths_of_no_step_and_of_one():
    model = network()
    for length in (0, 1):
        ours = generate(model, ABC, "a", length, seed=1, fast=True)
        assert ours.text == generate(model, ABC, "a", length, seed=1).text


def test_what_is_not_faster_compiled_is_left_to_the_others():
    model, gru = network(), network(cell="gru")
    state = prefill(model, [np.array([1])] * (quantized.FEW + 1))[1]
    assert type(generation._compiled(model, state)) is FusedDecoder
    few = tuple(part[:, 1:] for part in state)
    assert type(generation._compiled(model, few)) is CompiledDecoder
    assert type(generation._compiled(gru, prefill(gru, [np.array([1])])[1])) is ModelDecoder


def test_broken_weights_are_said():
    model = network()
    _, state = prefill(model, [np.array([1])])
    with torch.no_grad():
        model.layers.weight_hh_l1[0, 0] = float("nan")
    with pytest.raises(ValueError, match="weights are broken"):
        CompiledDecoder(model, state)


# Numba


def test_without_numba_all_else_works(monkeypatch):
    assert has_fast()
    monkeypatch.delitem(sys.modules, "lstmlib.quantized")
    monkeypatch.delattr("lstmlib.quantized")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not has_fast()
    with pytest.raises(ImportError, match="pip install numba, or leave fast=True out"):
        generate(network(), ABC, "a", 5, fast=True)
    assert len(generate(network(), ABC, "a", 5).new) == 5


def test_fast_is_true_or_false():
    with pytest.raises(ValueError, match="fast"):
        generate(network(), ABC, "a", 5, fast="yes")


def test_what_is_compiled_is_kept_in_the_users_cache_and_not_in_the_course(tmp_path):
    course, home = tmp_path / "course", tmp_path / "home"
    course.mkdir()
    (course / "small.py").write_text(
        "from numba import njit\nfrom lstmlib.quantized import _kept\n\n\n"
        "@_kept(njit)\ndef double(x):\n    return 2 * x\n\n\nprint(double(21))\n"
        "print(sum(double.stats.cache_hits.values()))\n"
    )
    known = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    known |= {"XDG_CACHE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home)}
    known |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    for hits in (0, 1):  # the second process finds what the first compiled
        run = [sys.executable, "-c", "import small"]
        said = subprocess.run(run, cwd=course, env=known, capture_output=True, text=True)
        assert said.stdout.split() == ["42", str(hits)], said.stderr
    assert [path.name for path in course.iterdir()] == ["small.py"]
    if sys.platform == "linux":
        assert list((home / "lstmlib" / "numba").rglob("*.nbi"))


def test_a_reader_is_told_how_long_the_compiler_took(monkeypatch, capsys):
    model = network()
    decoder = CompiledDecoder(model, prefill(model, [np.array([1])])[1])
    capsys.readouterr()
    quantized._compile(decoder)
    assert capsys.readouterr().err == ""  # this process has compiled
    misses = {}

    def compiled(*arguments):
        misses["signature"] = 1
        return 0

    compiled.stats = SimpleNamespace(cache_misses=misses, cache_path="a/folder")
    monkeypatch.setattr(quantized, "_write", compiled)
    quantized._compile(decoder)
    assert capsys.readouterr().err.endswith(" s. They are kept in a/folder.\n")
