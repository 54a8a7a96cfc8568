import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.vocab import END, PAD, START, UNK, Vocab, VocabError

SPECIALS = (PAD, START, END, UNK)


@given(st.text(min_size=1))
def test_round_trip(text):
    vocab = Vocab.from_text(text, SPECIALS)
    ids = vocab.encode(text)
    assert (ids.dtype, ids.shape) == (np.int64, (len(text),))
    assert vocab.decode(ids) == text
    assert Vocab.from_json(vocab.to_json()) == vocab


def test_specials_come_first_then_characters_in_order():
    vocab = Vocab.from_text("bca€\n", SPECIALS)
    assert vocab.tokens == (*SPECIALS, "\n", "a", "b", "c", "€")
    assert [vocab.id_of(t) for t in vocab.tokens] == list(range(len(vocab)))


def test_same_ids_in_every_process():
    code = "from lstmlib.vocab import Vocab; print(Vocab(set('hello wörld')).to_json())"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert runs == {(Vocab("hello wörld").to_json() + "\n").encode()}


def test_unknown_character_is_named():
    with pytest.raises(VocabError, match=r"'é' \(U\+00E9\), 'ü' \(U\+00FC\), first at position 1"):
        Vocab("abc").encode("aéüé")


def test_many_unknown_characters_are_counted():
    with pytest.raises(VocabError, match="and 5 more"):
        Vocab("a").encode("0123456789")


def test_unknown_character_skipped_or_mapped():
    vocab = Vocab("abc", SPECIALS)
    assert vocab.decode(vocab.encode("aéb", unknown="skip")) == "ab"
    assert vocab.decode(vocab.encode("aéb", unknown="unk")) == "a.unkb"
    assert vocab.decode(vocab.encode("aéb", unknown="unk"), keep_specials=False) == "ab"


@pytest.mark.parametrize("unknown", ["ignore", None, np.array(["skip", "unk"]), ["skip"]])
def test_what_to_do_with_unknown_characters_is_one_of_three(unknown):
    with pytest.raises(ValueError, match="unknown is .*; choose one of error, skip, unk"):
        Vocab("abc").encode("a", unknown)


def test_unknown_to_unk_needs_unk():
    with pytest.raises(VocabError, match=r"\.unk"):
        Vocab("abc").encode("é", unknown="unk")


def test_encoding_does_not_change_the_table():
    vocab = Vocab("abc", SPECIALS)
    vocab.encode("é", unknown="unk")
    assert "é" not in vocab
    with pytest.raises(VocabError):
        vocab.encode("é")


@given(st.text())
def test_a_frame_is_the_text_between_start_and_end(text):
    vocab = Vocab(text, SPECIALS)
    ids = vocab.frame(text)
    assert (ids.dtype, ids.shape) == (np.int64, (len(text) + 2,))
    assert ids[1:-1].tolist() == vocab.encode(text).tolist()
    assert vocab.decode(ids) == f".start{text}.end"


def test_a_frame_by_hand():
    assert Vocab("ab", SPECIALS).frame("ba").tolist() == [1, 5, 4, 2]
    assert Vocab("ab", (END, START)).frame("").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vocab("ab").frame("a"), r"'\.start' is not in the vocabulary"),
        (lambda: Vocab("ab", (START,)).frame("a"), r"'\.end' is not in the vocabulary"),
        (lambda: Vocab("ab", SPECIALS).frame("ac"), r"'c' \(U\+0063\), first at position 1"),
        (lambda: Vocab.from_text(""), "empty"),
        (lambda: Vocab(["ab"]), "'ab' is not one character"),
        (lambda: Vocab("a", (PAD, PAD)), "repeats"),
        (lambda: Vocab("a", ("p",)), "two characters"),
        (lambda: Vocab("abc").decode([3]), "0 … 2"),
        (lambda: Vocab("abc").decode([-1]), "0 … 2"),
        (lambda: Vocab("abc").id_of("d"), "'d'"),
        (lambda: Vocab.from_json("{}"), "not a vocabulary"),
        (lambda: Vocab.from_json("[1]"), "not a vocabulary"),
        (lambda: Vocab.from_json("{'"), "not a vocabulary"),
        (lambda: Vocab.from_json('{"specials": ' + "[" * 9999), "not a vocabulary"),
        (lambda: Vocab.from_json("9" * 5000), "not a vocabulary"),
        (lambda: Vocab.from_json('{"specials": [], "characters": {"a": 1}}'), "not a vocabulary"),
        (lambda: Vocab.from_json('{"specials": "pad", "characters": "a"}'), "not a vocabulary"),
        (lambda: Vocab.from_json('{"specials": [], "characters": ["a", 5]}'), "5 is not one char"),
        (lambda: Vocab.from_json('{"specials": [[]], "characters": "a"}'), "two characters"),
        (lambda: Vocab.from_json(b"\xff"), "not a vocabulary"),
        (lambda: Vocab(5), "characters is 5"),
        (lambda: Vocab([["a"]]), "is not one character"),
        (lambda: Vocab("a", 5), "specials is 5"),
        (lambda: Vocab("a", [5]), "two characters"),
        (lambda: Vocab("a", [".\ud800"]), "half of a surrogate pair"),
        (lambda: Vocab.from_text(np.array([1, 2])), "A text is a string, not ndarray"),
        (lambda: Vocab("abc").encode(0), "A text is a string, not int"),
        (lambda: Vocab("abc").encode(b"abc"), "A text is a string, not bytes"),
        (lambda: Vocab("abc").id_of(["a"]), r"\['a'\] is not in the vocabulary"),
        (lambda: Vocab("abc").decode("x"), "must be integers"),
        (lambda: Vocab("abc").decode(None), "must be integers"),
        (lambda: Vocab("abc").decode([0.5]), "must be integers"),
        (lambda: Vocab("abc").decode([[0], [1, 2]]), "must be integers"),
        (lambda: Vocab("abc").decode([10**30]), "must be integers"),
        (lambda: Vocab("abc").decode(np.array([2**63], np.uint64)), "0 … 2"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(VocabError, match=message):
        make()


def test_bad_policy_is_named():
    with pytest.raises(ValueError, match="error, skip, unk"):
        Vocab("a").encode("a", unknown="ignore")


def test_file_round_trip(tmp_path):
    vocab = Vocab("a“\n\ud800", SPECIALS)
    vocab.save(tmp_path / "v.json")
    assert Vocab.load(tmp_path / "v.json") == vocab


@given(st.text(alphabet=st.characters(categories=["Cs"]), min_size=1))
def test_halves_of_surrogate_pairs_survive_as_json(text):
    vocab = Vocab.from_text(text + "\udbff\udc00")
    assert Vocab.from_json(vocab.to_json()) == vocab


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"", "holds no vocabulary"),
        (b"\x85", "holds no vocabulary: 'utf-8' codec"),
        (b'{"specials": []', "holds no vocabulary"),
    ],
)
def test_a_file_that_holds_no_vocabulary_is_named_in_full(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(VocabError, match=f"{tmp_path}/v.json {message}"):
        Vocab.load("v.json")


@pytest.mark.parametrize("path", [".", "v\0.json"])
def test_a_path_that_is_no_file(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VocabError, match=f"{tmp_path}.*(Is a directory|holds no vocabulary)"):
        Vocab.load(path)
