"""Texts of recorded networks, and how they are measured beside held-out text."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import measure_systems
from experiments.measure_systems import Settings, Source
from lstmlib.metrics import words
from lstmlib.models import CharRNN
from lstmlib.vocab import END, START, Vocab

RUNS = Path(__file__).resolve().parents[2] / "runs"
SYSTEMS = {"A": {"run": "a", "kind": "windows"}}
PROSE = "The price of bread was high, and I was hungry: a cat sat on the mat, and a rat ran. "


def settings(**changes):
    plain = {"texts": 4, "read": 5, "written": 15, "temperatures": [1.0], "permutations": 5}
    return Settings(**({"systems": SYSTEMS, "seed": 0} | plain | changes))


# The blocks


def test_blocks_do_not_overlap_and_cover_only_what_is_held_out():
    held_out = "".join(chr(0x2500 + k) for k in range(260))  # signs, of which no word is made
    blocks = measure_systems.cut(Source("", [held_out]), Vocab(held_out), settings())
    prompts = list(blocks.prompts)
    pieces = [*prompts, *blocks.real, *blocks.control]
    assert [len(p) for p in prompts] == [5] * 4 and {len(b) for b in blocks.real} == {20}
    assert len(set("".join(pieces))) == len("".join(pieces))  # no character twice
    assert all(piece in held_out for piece in pieces)
    assert blocks.pieces("real") == [block[5:] for block in blocks.real]
    assert not set("".join(blocks.real)) & set(blocks.others) - {"\n"}
    assert set("".join(blocks.control)) <= set(blocks.others)


def test_blocks_lie_within_a_part_and_within_the_vocabulary():
    parts = ["ab" * 15, "a" * 19, "ab" * 200, "xb" * 40]
    blocks = measure_systems.cut(Source("", parts), Vocab("ab"), settings())
    assert {len(set(block)) for block in blocks.real + blocks.control} == {2}
    assert "x" not in "".join([*blocks.prompts, *blocks.real, *blocks.control])
    assert "xb" in blocks.others and "a" * 19 in blocks.others  # but their words are real


def test_too_little_held_out_text_is_said():
    with pytest.raises(
        ValueError, match="has 11 blocks of 20 characters, and each text needs three"
    ):
        measure_systems.cut(Source("", ["ab" * 115]), Vocab("ab"), settings())


def test_recorded_texts_are_measured_beside_as_many_blocks_as_there_are():
    blocks = measure_systems.cut(Source("", ["ab" * 75]), None, settings())
    assert len(blocks.real) == 2  # a third of 7


# The losses


def test_a_word_that_a_block_cuts_is_no_word_of_what_is_left():
    parts = ["the cat sat down, and the dog ran off", "cats"]
    # Blocks of 10: "the cat sa" "t down, an" "d the dog " "ran off".
    left = measure_systems.outside(parts, 10, {"t down, an"})
    assert words(left) == ["the", "cat", "the", "dog", "ran", "off", "cats"]
    assert words(measure_systems.outside(parts, 10, set())) == words("\n".join(parts))


def test_the_loss_without_case_adds_both_forms():
    torch.manual_seed(0)
    vocab = Vocab("aAb ")
    model = CharRNN(len(vocab), 6).eval()
    text = "b aA Ab aA"
    found = measure_systems.losses(model, vocab, [text, text[::-1]], read=3)
    with torch.no_grad():
        logits = model(torch.from_numpy(vocab.encode(text))[None])[0][0]
    p = logits.double().softmax(-1).numpy()  # place k predicts character k + 1
    cased, lower = [], []
    for k in range(3, len(text)):
        cased.append(-math.log(p[k - 1, vocab.id_of(text[k])]))
        forms = [t for t in vocab.tokens if t.lower() == text[k].lower()]
        lower.append(-math.log(sum(p[k - 1, vocab.id_of(t)] for t in forms)))
    assert found["loss"][0] == pytest.approx(np.mean(cased))
    assert found["lower_cased"][0] == pytest.approx(np.mean(lower))
    assert found["lower_cased"][0] < found["loss"][0]
    assert len(found["loss"]) == 2


def test_a_network_of_whole_texts_reads_start_first():
    torch.manual_seed(0)
    vocab = Vocab("ab", (START, END))
    model = CharRNN(len(vocab), 6).eval()
    found = measure_systems.losses(model, vocab, ["abba"], read=1)["loss"]
    ids = np.concatenate([[vocab.id_of(START)], vocab.encode("abba")])
    with torch.no_grad():
        log_p = model(torch.from_numpy(ids)[None])[0][0].double().log_softmax(-1)
    assert found == [pytest.approx(-float(np.mean([log_p[k, ids[k + 1]] for k in (1, 2, 3)])))]


# The texts


def test_texts_that_ended_too_soon_are_written_anew():
    torch.manual_seed(0)
    vocab = Vocab("ab", (START, END))
    model = CharRNN(len(vocab), 4).eval()
    texts, own = measure_systems.write(model, vocab, ["a", "b", "ab"], 1.0, settings(written=3))
    assert len(texts) == len(own) == 3 and all(len(t) == 3 and set(t) <= set("ab") for t in texts)
    with torch.no_grad():
        model.output.bias[vocab.id_of(END)] = 50
    with pytest.raises(ValueError, match="Of 24 texts, 0 have all characters"):
        measure_systems.write(model, vocab, ["a", "b", "ab"], 1.0, settings(written=3))


# The measures


def test_a_copy_and_noise_are_told_apart():
    training = "".join(f"{word} and {k} more. " for k, word in enumerate(words(PROSE * 20)))
    copies = [training[k : k + 60] for k in (7, 300, 900)]
    noise = ["xq zzv kkw qqj " * 4, "jjq vvx wwz kkq " * 4, "qzx vkw jqz xxv " * 4]
    of_copies, of_noise = (
        measure_systems.measure(texts, Source(training, []), "zzv", 0) for texts in (copies, noise)
    )
    assert of_copies["seen"] == [1, 1, 1] and of_copies["invented"] == [0, 0, 0]
    assert of_copies["novelty_10"] == [0, 0, 0] and of_copies["longest_copy_of_all"] == 60
    assert of_noise["novelty_10"] == [1, 1, 1] and of_noise["seen"][0] == 0
    assert 0 < of_noise["unseen"][0] < 0.2  # zzv, in the first text alone
    assert of_copies["compressed_bits"][0] < of_noise["compressed_bits"][0]
    assert of_copies["without_words"] == 0


def test_a_text_without_words_counts_as_one():
    training = PROSE * 20
    found = measure_systems.measure(
        [training[:60], training[60:120], "a" * 60], Source(training, []), "", 0
    )
    assert found["without_words"] == 1 and found["seen"] == [1, 1, 1]
    found = measure_systems.measure(["a" * 8, "b" * 8], Source(training, []), "", 0)
    assert found["seen"] is None and found["novelty_10"] is None and found["without_words"] == 2


# The program


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": {}}, "at least one system"),
        ({"temperatures": []}, "one temperature"),
        ({"texts": 0}, "texts is 0"),
        ({"systems": {"A": {"run": "a"}}}, 'must have "run" and "kind"'),
        ({"systems": {"A": {"run": "a", "kind": "window"}}}, "kind is 'window'"),
        ({"seed": -1}, "seed is -1"),
    ],
    ids=str,
)
def test_settings_without_meaning_get_one_message(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)


def test_what_is_done_of_a_run_is_not_measured_again(tmp_path, monkeypatch):
    """After a break, systems that have a step are read; with other settings they are refused."""
    config = {"systems": {name: {"run": name, "kind": "numpy"} for name in ("A", "B")}}
    config |= {"texts": 1, "read": 1, "written": 1, "temperatures": [1.0], "permutations": 1}
    (tmp_path / "config.json").write_text(json.dumps(config | {"seed": 3}))
    measured = []

    def measure_network(run, kind, settings):
        if run.name == "B" and len(measured) == 1:
            measured.append("broken off")
            raise KeyboardInterrupt
        measured.append(run.name)
        return {"loss": 1.23456}, {"1.0": [run.name]}

    monkeypatch.setattr(measure_systems, "measure_network", measure_network)
    with pytest.raises(KeyboardInterrupt):
        measure_systems.main(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "step-A.json"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"seed": 4}))
    with pytest.raises(ValueError, match=r"step-A\.json is of other settings"):
        measure_systems.main(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"seed": 3}))
    measure_systems.main(tmp_path)
    assert measured == ["A", "broken off", "B"]
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "result.json", "texts.json"}
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["systems"]) == ["A", "B"] and result["systems"]["A"]["loss"] == 1.235
    measure_systems.main(tmp_path)
    assert len(measured) == 3


# What is recorded


def test_the_record_has_every_system_with_its_texts():
    config, result, texts = (
        json.loads((RUNS / f"five-systems/{name}.json").read_text(encoding="utf-8"))
        for name in ("config", "result", "texts")
    )
    assert {name: config[name] for name in result["settings"]} == result["settings"]
    assert list(result["systems"]) == list(texts) == list(config["systems"])
    for name, system in config["systems"].items():
        recorded = result["systems"][name]
        assert recorded["written"].keys() == texts[name].keys()
        if system["kind"] == "recorded":
            assert all(len(each) == measure_systems.LATEST for each in texts[name].values())
            continue
        for each in texts[name].values():
            assert len(each) == config["texts"] and {len(t) for t in each} == {config["written"]}
        low, high = recorded["loss"][1:]
        assert low <= recorded["loss"][0] <= high
