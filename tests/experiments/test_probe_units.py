"""What is asked of a recorded network's states, and what was recorded of it."""

import json
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from experiments import probe_units
from experiments.common import read_settings, sha256, write_json
from experiments.probe_units import KINDS, Claim, between, passage, speeches, statements
from lstmlib.annotations import prose_labels, python_labels
from lstmlib.batching import split
from lstmlib.cleaning import clean
from lstmlib.corpora import CorpusError, load_corpus
from lstmlib.internals import unit_states
from lstmlib.models import CharRNN, count_parameters
from lstmlib.serialization import load_model, save_model
from lstmlib.training import evaluate
from lstmlib.vocab import Vocab

ROOT = Path(__file__).resolve().parents[2]
RUNS = ("inside-python", "inside-shakespeare")
SOURCES = ("subprocess", "argparse", "typing", "ast", "textwrap", "calendar", "tempfile")

SMALL = {"SEEDS": (1, 2), "READ": 40_000, "PLACES": 5, "PASSAGE": (100, 40_000)}


def recorded(name):
    return json.loads((ROOT / "runs" / name / "probes.json").read_text(encoding="utf-8"))


# The program


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of a small network, not trained, on a few modules; and small sizes."""
    lib = Path(sysconfig.get_path("stdlib"))
    text = "".join((lib / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES)
    monkeypatch.setattr(probe_units, "corpus_text", lambda name: text)
    for name, value in SMALL.items():
        monkeypatch.setattr(probe_units, name, value)
    config = json.loads((ROOT / "runs/inside-python/config.json").read_text(encoding="utf-8"))
    config["model"] |= {"hidden_size": 6, "embedding_size": 6}
    write_json(tmp_path / "config.json", config)
    vocab = Vocab.from_text(clean(text, **config["clean"])[0])
    torch.manual_seed(0)
    save_model(tmp_path / "model.safetensors", CharRNN(len(vocab), **config["model"]), vocab)
    return tmp_path


def test_a_network_is_probed_and_set(folder):
    probe_units.main(folder)
    result = json.loads((folder / "probes.json").read_text(encoding="utf-8"))
    assert result["text"]["read"] == 40_000 and result["text"]["fitted"] == 24_000
    _, wanted, claims = KINDS["python-source"]
    assert tuple(result["labels"]) == wanted
    for found in result["labels"].values():
        for name in ("probe", "unit", "untrained", "shuffled", "projection", "last_characters"):
            assert len(found[name]) == 2
            assert all(low <= high and value <= 1 for value, low, high in found[name])
        assert not found["learnt"]  # it is not: the network was not trained
    assert [entry["label"] for entry in result["interventions"]] == [c.label for c in claims]
    for entry in result["interventions"]:
        for side in ("falls", "rises"):
            ways = entry[side].keys() - {"places"}
            assert ways == ({"at once", "held"} if entry[side]["places"] >= 5 else set())
            for way in ways:
                assert entry[side][way]["unit"].keys() == {"before", "change", "control", "clears"}
    python_labels((folder / "passage.txt").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="is probed already; delete its probes.json"):
        probe_units.main(folder)


def test_what_cannot_be_probed_is_refused(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", config | {"corpus": "python-docs"})
    with pytest.raises(ValueError, match="The labels of python-docs are not known, only of shakes"):
        probe_units.main(folder)
    write_json(folder / "config.json", config)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="has no network yet: run experiments.train_text on it"):
        probe_units.main(folder)
    assert not (folder / "probes.json").exists() and not (folder / "passage.txt").exists()


def test_what_a_claim_counts_as_present():
    claim = Claim("depth", ")", between(1, 9), between(0, 0))
    depth = np.array([0.0, 1, 9, 10, 0])
    assert claim.present(depth).tolist() == [False, True, True, False, False]
    assert claim.absent(depth).tolist() == [True, False, False, False, True]


# The passage


def test_statements_begin_with_their_decorators():
    text = '"""A module."""\nimport re\n\n@first\n@second\ndef f():\n    pass\n\n# a note\nx = 1\n'
    pieces = [text[a:][:8] for a in statements(text)]
    assert pieces == ['"""A mod', "import r", "@first\n@", "x = 1\n"]


def test_speeches_begin_after_empty_lines():
    text = "First:\nNo.\n\nSecond:\nYes.\n\n"
    assert [text[k:][:6] for k in speeches(text)] == ["Second", ""]


def test_a_passage_is_the_piece_with_most_changes(monkeypatch):
    monkeypatch.setattr(probe_units, "PASSAGE", (8, 12))
    text = "aaaaaaaaaa\n\nb c d e f\n\nbbbbbb bbb\n\n"
    assert passage(text, [0, *speeches(text)], prose_labels) == "b c d e f\n\n"
    with pytest.raises(ValueError, match="has no piece of 8 to 12 characters"):
        passage(text, [0], prose_labels)


# What was recorded


def text_of(name):
    """Return the settings, the clean text and the result of a recorded run; skip without a text."""
    folder = ROOT / "runs" / name
    settings = read_settings(folder, probe_units.Settings)
    try:
        text, _ = clean(load_corpus(settings.corpus).text, **settings.clean)
    except CorpusError:
        pytest.skip(f"{settings.corpus} is on no disk here, and there is no network")
    return settings, text, json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_network_has_its_loss(name):
    """On another Python the source differs: there the loss is only near."""
    settings, text, result = text_of(name)
    model, vocab = load_model(ROOT / "runs" / name / "model.safetensors")
    assert {key: model.config[key] for key in settings.model} == settings.model
    assert result["parameters"] == count_parameters(model)
    loss = evaluate(model.float(), split(vocab.encode(text))[1])
    same = sha256(text) == result["text_sha256"]
    assert loss == pytest.approx(result["valid_loss"], abs=1e-3 if same else 0.05)
    assert loss < result["five_gram_loss"] - 0.1


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_passage_has_labels_of_its_own(name):
    text = (ROOT / "runs" / name / "passage.txt").read_text(encoding="utf-8")
    annotate, wanted, _ = KINDS[read_settings(ROOT / "runs" / name, probe_units.Settings).corpus]
    labels = annotate(text)
    assert 1500 <= len(text) <= 2500
    for label in (labels[each] for each in wanted):
        assert label.min() < label.max()


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_verdict_follows_from_the_intervals(name):
    for found in recorded(name)["labels"].values():
        low = {control: min(i[1] for i in each) for control, each in found["over"].items()}
        assert found["learnt"] == (low["untrained"] > 0 and low["shuffled"] > 0)
        assert found["remembered"] == (low["last_characters"] > 0)
        assert found["in_one_unit"] == (low["projection"] > 0 and low["untrained_unit"] > 0)
    for entry in recorded(name)["interventions"]:
        for side in ("falls", "rises"):
            for way in entry[side].keys() - {"places"}:
                for what in entry[side][way].values():
                    pairs = zip(what["change"], what["control"], strict=True)
                    assert what["clears"] == all(c[1] > max(o[2], 0) for c, o in pairs)


@pytest.mark.parametrize("name", RUNS)
def test_the_best_units_that_are_recorded_have_their_score(name):
    """On another Python the source differs, and the score with it: there it is only near."""
    record, (settings, text, _) = recorded(name), text_of(name)
    model, vocab = load_model(ROOT / "runs" / name / "model.safetensors")
    begin = len(split(vocab.encode(text))[0])
    read = slice(begin, begin + record["text"]["read"])
    states = unit_states(model.float(), torch.as_tensor(vocab.encode(text[read])))
    labels = KINDS[settings.corpus][0](text)
    scored = slice(record["text"]["fitted"] + 500, None)
    same = sha256(text) == record["text"]["sha256"]
    for label, found in record["labels"].items():
        true = labels[label][read][scored]
        for (part, layer, number), (value, low, high) in zip(
            found["best"], found["unit"], strict=True
        ):
            unit = states["hc".index(part)][scored, layer, number].numpy()
            assert low - 1e-3 <= value <= high + 1e-3
            if true.dtype == bool:
                area = roc_auc_score(true, unit)
                assert max(area, 1 - area) == pytest.approx(value, abs=3e-3 if same else 0.1)
            elif same:  # a line that is fitted elsewhere explains no more than the best one
                assert np.corrcoef(unit, true)[0, 1] ** 2 >= value - 3e-3
