"""What the programs of experiments/ share, and that every recorded config is still one of a run."""

import dataclasses
import importlib
import io
import json
import re
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from experiments import common
from experiments.common import read_settings, read_variants
from lstmlib.checkpoints import Checkpoints
from lstmlib.corpora import registry
from lstmlib.history import History, TrainingDiverged
from lstmlib.settings import TrainingConfig
from lstmlib.vocab import Vocab

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs"


def write(folder, config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


# Settings


@dataclasses.dataclass(frozen=True)
class Plain:
    seed: int
    corpus: str = "a book"
    training: TrainingConfig = dataclasses.field(default_factory=lambda: TrainingConfig(1))

    def __post_init__(self):
        common.check_whole(self, "seed")
        common.check_choices(self, {"corpus": ("a book", "two")})


@dataclasses.dataclass(frozen=True)
class Flat:
    seed: int
    training: TrainingConfig = dataclasses.field(metadata=common.flat("steps", "clip_norm"))


def test_settings_are_read_and_notes_left_out(tmp_path):
    config = {"what": "a test", "published": {"loss": 1}, "seed": 3, "training": {"steps": 5}}
    assert read_settings(write(tmp_path, config), Plain) == Plain(3, training=TrainingConfig(5))


def test_settings_beside_the_others_are_gathered(tmp_path):
    folder = write(tmp_path, {"seed": 3, "steps": 5, "clip_norm": None})
    assert read_settings(folder, Flat) == Flat(3, TrainingConfig(5, clip_norm=None))
    with pytest.raises(ValueError, match=r"config\.json lacks clip_norm\."):
        read_settings(write(tmp_path, {"seed": 3, "steps": 5}), Flat)
    with pytest.raises(ValueError, match=r"config\.json has training, which means nothing here"):
        read_settings(
            write(tmp_path, {"seed": 3, "steps": 5, "clip_norm": 1, "training": {}}), Flat
        )
    with pytest.raises(ValueError, match="steps is 0; it must be"):
        read_settings(write(tmp_path, {"seed": 3, "steps": 0, "clip_norm": 1}), Flat)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "config.json lacks seed."),
        ({"seed": 1, "sede": 2}, "config.json has sede, which means nothing here: correct or"),
        ({"seed": 0}, "seed is 0; it must be a whole number, 1 or more"),
        ({"seed": True}, "seed is True; it must be a whole number"),
        ({"seed": 1, "corpus": 2}, "corpus is 2; it must be a text."),
        ({"seed": 1, "corpus": "three"}, "corpus is 'three'; choose one of a book, two."),
        ({"seed": 1, "training": {}}, '"training" lacks steps.'),
        ({"seed": 1, "training": {"steps": 1, "rate": 2}}, '"training" has rate, which means'),
        ({"seed": 1, "training": {"steps": 1, "what": 2}}, '"training" has what, which means'),
        ({"seed": 1, "training": 5}, '"training" is 5; it must be an object'),
        ([1], "config.json must hold an object"),
    ],
    ids=str,
)
def test_settings_without_meaning_get_one_message(tmp_path, config, message):
    with pytest.raises(ValueError) as error:
        read_settings(write(tmp_path, config), Plain)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (bool, [True, False], [1, None, "true"]),
        (float, [1, 0.5], [True, None, "0.5"]),
        (dict, [{}], [[], None]),
        (list, [[]], [{}, "ab"]),
        (str, [""], [5, None]),
        (int, [1, "left to the settings themselves"], []),
    ],
)
def test_a_setting_of_another_type_is_refused(kind, right, wrong):
    for value in right:
        common.check_type("it", value, kind)
    for value in wrong:
        with pytest.raises(ValueError, match="^it is .*; it must be "):
            common.check_type("it", value, kind)


def test_settings_become_a_config_again():
    @dataclasses.dataclass(frozen=True)
    class Some:
        seed: int
        model: dict = dataclasses.field(metadata=common.flat("hidden_size", "dropout"))
        rates: list = dataclasses.field(default_factory=lambda: [1, 2])
        limit: int | None = None

    config = {"seed": 3, "hidden_size": 4, "dropout": 0.0}
    for more in ({}, {"limit": 5}, {"rates": [2, 1]}):
        settings = common.make_settings(Some, config | more, "config.json")
        assert common.as_config(settings) == config | more
    given = config | {"rates": [1, 2], "limit": None}  # what is at its default is left out
    assert common.as_config(common.make_settings(Some, given, "config.json")) == config


@pytest.mark.parametrize("threads", [None, 1])
def test_a_program_gets_the_folder_and_its_options(tmp_path, monkeypatch, one_thread, threads):
    given = {}
    options = {"--text": {"type": Path}, "--device": {"default": "cpu"}}
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), "--text", "book.txt"])
    common.run_program(lambda **each: given.update(each), "What.", "runs/a", threads, options)
    assert given == {"folder": tmp_path, "text": Path("book.txt"), "device": "cpu"}


def test_a_network_that_cannot_be_is_refused():
    common.check_model({"hidden_size": 4})
    with pytest.raises(ValueError, match="does not take: .*hiden_size"):
        common.check_model({"hiden_size": 4})


def test_a_variant_replaces_settings_one_by_one(tmp_path):
    training = {"steps": 5, "clip_norm": 2.0}
    variants = {"base": {}, "other": {"training": {"clip_norm": None}, "seed": 4}}
    config = {"what": "a test", "seed": 3, "training": training, "variants": variants}
    assert read_variants(write(tmp_path, config), Plain) == {
        "base": Plain(3, training=TrainingConfig(5, clip_norm=2.0)),
        "other": Plain(4, training=TrainingConfig(5, clip_norm=None)),
    }


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (None, '"variants" must have a name for each variant'),
        ({}, '"variants" must have a name for each variant'),
        ({"a": 1}, "Variant a is 1; it must say which settings it changes"),
        ({"a": {"sede": 1}}, "Variant a has sede, which means nothing here"),
        ({"a": {"corpus": "two"}}, "Variant a changes corpus, which all variants have in common"),
        ({"a": {}, "b": {"seed": 0}}, "seed is 0"),
    ],
    ids=str,
)
def test_variants_without_meaning_get_one_message(tmp_path, variants, message):
    folder = write(tmp_path, {"seed": 3} | ({} if variants is None else {"variants": variants}))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_variants(folder, Plain, shared=["corpus"])


# Texts


def test_a_corpus_is_read_by_name_or_path(tmp_path):
    (tmp_path / "book.txt").write_text(PROSE, encoding="utf-8")
    assert common.corpus_text(str(tmp_path / "book.txt")) == PROSE
    assert len(common.corpus_text("messy-book")) > 1000
    with pytest.raises(ValueError, match="no-such-book"):
        common.corpus_text("no-such-book")


def test_a_bare_machine_reads_a_file(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lstmlib.corpora", None)
    (tmp_path / "book.txt").write_text(PROSE, encoding="utf-8")
    assert common.corpus_text(str(tmp_path / "book.txt")) == PROSE
    with pytest.raises(ValueError, match="There is no file shakespeare, and no corpus can be read"):
        common.corpus_text("shakespeare")


def test_the_first_characters_of_a_corpus_are_split(tmp_path):
    (tmp_path / "book.txt").write_text("é" + "ab" * 500, encoding="utf-8")
    vocab, train_ids, valid_ids = common.load_ids(str(tmp_path / "book.txt"), 100, True)
    text = vocab.decode(train_ids) + vocab.decode(valid_ids)
    assert (len(train_ids), len(valid_ids)) == (90, 10)
    assert text == ("e" + "ab" * 500)[:100]


# Resuming


def test_a_run_that_is_done_is_read_or_refused(tmp_path):
    settings = {"seed": 3, "max_tokens": None}
    assert common.read_done(tmp_path, settings) is None
    for result in (settings | {"loss": 1}, {"settings": settings, "loss": 1}):
        (tmp_path / "step-00000001.safetensors").touch()
        common.write_json(tmp_path / "result.json", result)
        assert common.read_done(tmp_path, settings) == result
        assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
        with pytest.raises(ValueError, match="a run of other settings .seed.; delete it"):
            common.read_done(tmp_path, settings | {"seed": 4})


def test_what_was_begun_with_other_settings_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path, Vocab.from_text("ab"))
    common.note_settings(checkpoints, {"seed": 3})
    common.note_settings(checkpoints, {"seed": 4})  # nothing was trained yet
    checkpoints.save(1, {}, {})
    common.note_settings(checkpoints, {"seed": 4})
    with pytest.raises(ValueError, match="a run of other settings, begun"):
        common.note_settings(checkpoints, {"seed": 3})
    common.remove_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())


# What is written


def test_numbers_are_rounded_wherever_they_stand():
    value = {"a": [1.23456, {"b": 12345.6}], "c": 7, "d": None, "e": "0.123456"}
    assert common.rounded(value, 3) == {"a": [1.23, {"b": 12300.0}], "c": 7, "d": None} | {
        "e": "0.123456"
    }


def test_texts_stand_under_their_titles(tmp_path):
    common.write_texts(tmp_path / "a.txt", [("one", "A\nB"), ("two", "é")])
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "--- one\nA\nB\n\n--- two\né\n"


@pytest.mark.parametrize("error", common.ERRORS, ids=lambda kind: kind.__name__)
def test_what_is_to_be_expected_is_one_line(error):
    with pytest.raises(SystemExit, match=f"{error.__name__}: what"), common.errors_in_one_line():
        raise error("what is wrong", *[History()] * (error is TrainingDiverged))


def test_ctrl_c_is_one_line():
    said = pytest.raises(SystemExit, match="^Interrupted; the same command goes on.$")
    with said, common.errors_in_one_line():
        raise KeyboardInterrupt


def test_what_is_not_to_be_expected_is_not_hidden():
    with pytest.raises(ZeroDivisionError), common.errors_in_one_line():
        raise ZeroDivisionError


# Every recorded config

CONFIGS = sorted(path.parent for path in RUNS.glob("**/config.json"))
README = (RUNS / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^\| `([\w-]+)` .*-m experiments\.(\w+) runs/\1\b", README, re.M))
"""Folder -> the program that makes its run, as the README says."""
TINY = {
    **{"hidden_size": 6, "embedding_size": 6, "batch_size": 2, "seq_len": 10, "length": 10},
    **{"steps": 2, "warmup": 1, "epochs": 1, "windows_share": 0.1, "step": 400},
    **{"eval_every": 1, "log_every": 1, "record_every": 1, "look_every": 1, "measure_every": 1},
    **{"sample_every": 1, "checkpoint_every": 1, "characters": 2000, "min_count": 1},
    **{"valid_windows": 2, "valid_characters": 50, "sample_length": 5, "sample_characters": 5},
    **{"strings": 60, "samples": 2},
    **{"texts": 6, "read": 10, "written": 20, "permutations": 3},
    **{"parameters": 40_000, "places": 8, "longest": 5, "pieces": 4, "orders": 3},
}
"""Of every setting that has one of these names, the size at which two steps take no time."""
CONSTANTS = {"COUNTED": 4, "HELD_OUT": 10, "LONGEST": 40, "RARE": 3, "ROUNDS": 200, "WRITTEN": 5}
"""Of the programs that have them: what is counted, drawn and written."""
PROSE = "The price of bread was high, and I was hungry: a cat sat on the mat, and a rat ran. "


def tiny(config, replaced, name=""):
    """Return a config with the sizes of TINY, and with what is given in the place of its data."""
    if isinstance(config, dict):
        return {each: tiny(value, replaced, each) for each, value in config.items()}
    return config if config is None else replaced.get(name, TINY.get(name, config))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A book and reviews of the test's own, in the place of corpora that may not be here."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "book.txt").write_text(PROSE * 250, encoding="utf-8")
    for name, times in (("reviews", 1), ("long_reviews", 12)):
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            for k in range(20):
                member = tarfile.TarInfo(f"aclImdb/train/pos/{k:03}_9.txt")
                text = f"{PROSE[: 40 + k] * times} {k:03}".encode()
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
    paths = {name: str(folder / f"{name}.tar.gz") for name in ("reviews", "long_reviews")}
    return {"corpus": str(folder / "book.txt")} | paths


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def start(program, folder, monkeypatch):
    """Run a program on a folder, as its command does."""
    for name, value in CONSTANTS.items():
        if hasattr(program, name):
            monkeypatch.setattr(program, name, value)
    options = getattr(program, "OPTIONS", {})
    device = ["--device", "cpu"] * ("--device" in options)
    monkeypatch.setattr(sys, "argv", ["", str(folder), *device])
    common.run_program(program.main, program.__doc__, "runs/case", options=options)


def test_the_readme_names_a_program_for_every_config():
    assert COMMANDS.keys() == {folder.name for folder in CONFIGS} and len(CONFIGS) >= 20
    for name in COMMANDS.values():
        assert (ROOT / "experiments" / f"{name}.py").is_file()


def make_runs(systems, folder, data, monkeypatch):
    """Make the runs of systems anew beside each other, at tiny sizes, by their own programs."""
    named = {}  # folder -> the variants that are measured
    for system in systems:
        name, _, variant = system["run"].partition("/")
        named.setdefault(name, set()).add(variant)
    for name, variants in named.items():
        config = json.loads((RUNS / name / "config.json").read_text(encoding="utf-8"))
        small = tiny(config, data | {"reviews": data["long_reviews"]})
        if "variants" in small:
            small["variants"] = {each: small["variants"][each] for each in variants}
        if "data" in small:  # a held-out review has room for a prompt and a text
            small["samples"] = TINY["samples"]
            small["training"] |= {"batch_size": 16, "seq_len": 200}
        program = importlib.import_module(f"experiments.{COMMANDS[name]}")
        start(program, write(folder / name, small), monkeypatch)


def one_source(config, corpus):
    """Return what makes of a config with texts of many sources one with a book alone."""
    source = next(s for s in config["sources"].values() if s["registry"] == "course")
    text = {"name": "book", "source": "book", "length": 2000, "budgets": [2000]}
    return {"sources": {"book": source | {"package": corpus}}, "texts": [text]}


@pytest.mark.parametrize("folder", CONFIGS, ids=lambda path: path.name)
def test_a_recorded_config_takes_two_steps(folder, tmp_path, data, one_thread, monkeypatch):
    """At tiny sizes, on a text of the test's own, by the program that made the run."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # Longer than every string, and less than all of them together.
    small = tiny(config, data | {"max_tokens": 300})
    if "data" in small:
        small.setdefault("samples", TINY["samples"])
    if "probe" in small:
        small["probe"]["steps"] = 20  # the fewest that a clip value is read from
    if "sources" in config:  # packages of registries, of which none is fetched here
        small |= one_source(config, data["corpus"])
    copy = write(tmp_path / folder.name, small)
    if "systems" in config:  # it trains nothing: the runs that it measures take the two steps
        make_runs(config["systems"].values(), tmp_path, data, monkeypatch)
    program = importlib.import_module(f"experiments.{COMMANDS[folder.name]}")
    start(program, copy, monkeypatch)
    result = json.loads((copy / "result.json").read_text(encoding="utf-8"))
    assert result and not list(copy.rglob("step-*"))
    if "systems" in config:
        assert result["systems"].keys() == config["systems"].keys()
        return
    if "seeds" in config or "sources" in config:  # many runs keep no history
        assert all(run["valid_loss"] > 0 for run in result["runs"].values())
        return
    histories = [History.load(path).rows for path in copy.rglob("history.jsonl")]
    assert len(histories) == len(result.get("runs", [copy]))
    assert all(rows[-1]["step"] >= 2 for rows in histories)


@pytest.mark.parametrize("folder", CONFIGS, ids=lambda path: path.name)
def test_the_corpus_of_a_recorded_config_is_registered(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "systems" in config:
        assert all((RUNS / s["run"] / "result.json").exists() for s in config["systems"].values())
        return
    if "sources" in config:
        course = [s for s in config["sources"].values() if s["registry"] == "course"]
        assert course and all(source["package"] in registry() for source in course)
        return
    config = config.get("settings", config)
    name = config.get("corpus") or config["data"].get("reviews")
    assert name is None or name in registry()


@pytest.mark.parametrize("name", sorted({*COMMANDS.values()}))
def test_a_program_reports_a_wrong_config_in_one_line(name, tmp_path, monkeypatch):
    program = importlib.import_module(f"experiments.{name}")
    with pytest.raises(SystemExit, match=r"^ValueError: [^\n]+$") as error:
        start(program, write(tmp_path, {"seed": 1}), monkeypatch)
    assert "lacks" in str(error.value) or '"variants" must have' in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
