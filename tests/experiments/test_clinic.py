"""The clinic's runs: sweeps over clip values, networks that are watched, and what was recorded."""

import json
import sys
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from experiments import record_diagnostics, sweep, train_windows
from experiments.common import read_settings
from lstmlib.diagnostics import series, suggest_clip
from lstmlib.history import History
from lstmlib.training import fit

RUNS = Path(__file__).resolve().parents[2] / "runs"
sys.path.insert(0, str(RUNS.parent / "tools"))  # the tools stand beside each other, in no package

from thin_records import rule_of  # noqa: E402

SWEEPS = sorted(path.parent for path in RUNS.glob("clip-*/result.json"))
SMALL = {
    "characters": 2000,
    "model": {"hidden_size": 6, "num_layers": 1},
    "training": {"steps": 8, "batch_size": 4, "seq_len": 10, "eval_every": 4},
}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def text(tmp_path, monkeypatch):
    """A corpus of the test's own, as LSTMLIB_DATA finds it."""
    path = tmp_path / "book.txt"
    path.write_text("the cat sat on the mat, and the rat ran to the hat. " * 60, encoding="utf-8")
    return str(path)


def write(folder, config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


# Sweeps


@pytest.fixture
def swept(tmp_path, text):
    vary = {"clip_norm": [0.1, None]}
    return {"what": "a test", "corpus": text, "seeds": [1, 2], "vary": vary} | deepcopy(SMALL)


def test_a_sweep_notes_every_value_and_seed_and_goes_on(tmp_path, swept, monkeypatch):
    folder = write(tmp_path / "sweep", swept)
    train, trained = sweep.train, []

    def stops_at_the_third(settings, run, texts):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(run)
        return train(settings, run, texts)

    monkeypatch.setattr(sweep, "train", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        sweep.main(folder)
    first = read(folder / "result.json")["runs"]
    monkeypatch.setattr(sweep, "train", train)
    sweep.main(folder)
    runs = read(folder / "result.json")["runs"]
    assert list(runs) == [f"clip_norm-{v}_seed-{s}" for v in ("0.1", "none") for s in (1, 2)]
    assert {name: runs[name] for name in first} == first and len(first) == 2
    assert runs["clip_norm-0.1_seed-1"]["clipped_share"] == 1
    assert runs["clip_norm-none_seed-1"]["clipped_share"] == 0
    assert len({run["valid_loss"] for run in runs.values()}) == 4
    assert not any("norms" in run for run in runs.values())


def test_an_interrupted_run_is_not_noted_as_done(tmp_path, swept, monkeypatch):
    def interrupted(model, train_ids, valid_ids, config, progress):
        history = fit(model, train_ids, valid_ids, config, progress=False)
        history.ended = "interrupted"
        return history

    folder = write(tmp_path / "sweep", swept)
    monkeypatch.setattr(sweep, "fit", interrupted)
    with pytest.raises(SystemExit, match="start again to go on"):
        sweep.main(folder)
    assert not (folder / "result.json").exists()


def test_what_the_probe_suggests_is_trained_from_every_seed(tmp_path, swept):
    swept |= {"probe": {"steps": 25, "learning_rate": 1e-4, "clip_norm": None}}
    folder = write(tmp_path / "sweep", swept)
    sweep.main(folder)
    result = read(folder / "result.json")
    probe = result["runs"]["probe"]
    assert probe["training"]["learning_rate"] == 1e-4 and len(probe["norms"]) == 25
    limit = suggest_clip(probe["norms"])
    assert result["suggested_clip_norm"] == limit
    for seed in (1, 2):
        run = result["runs"][f"suggested_seed-{seed}"]
        assert run["training"]["clip_norm"] == limit and run["seed"] == seed


def test_a_run_that_diverges_is_noted_as_such(tmp_path, swept):
    swept["training"] |= {"optimizer": "sgd", "learning_rate": 3e38, "steps": 20}
    swept["vary"] = {"clip_norm": [None]}
    folder = write(tmp_path / "sweep", swept)
    sweep.main(folder)
    run = read(folder / "result.json")["runs"]["clip_norm-none_seed-1"]
    assert run["diverged"] is True and run["valid_loss"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": None}, "lacks seeds"),
        ({"sedes": [1]}, "has sedes, which means nothing here"),
        ({"vary": {"clip_norm": [-1]}}, "clip_norm is -1; it must be a number, above 0"),
        ({"probe": {"steps": 0}}, "steps is 0"),
        ({"probe": {"steps": 19}}, "19 steps; it needs at least 20"),
        ({"seeds": []}, "need a list of values"),
        ({"vary": [0.1]}, "must be an object of names"),
        ({"vary": {"clip_norm": 0.1}}, "need a list of values"),
        ({"model": {"hidden_size": 0}}, "hidden_size is 0"),
        ({"corpus": "no-such-book.txt"}, "no-such-book.txt"),
    ],
)
def test_a_sweep_without_meaning_gets_one_message(tmp_path, swept, change, message):
    config = {name: value for name, value in (swept | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        sweep.main(write(tmp_path / "sweep", config))


def test_a_sweep_of_other_settings_is_refused(tmp_path, swept):
    folder = write(tmp_path / "sweep", swept)
    sweep.main(folder)
    swept["model"]["hidden_size"] = 9
    write(folder, swept)
    with pytest.raises(ValueError, match="with other settings; delete it"):
        sweep.main(folder)


# Recorded diagnostics


@pytest.fixture
def watched(text):
    extra = {"record_every": 2, "sample_every": 4, "prompt": "the ", "temperature": 0.5, "seed": 1}
    config = {
        "what": "a test",
        "published": {},
        "corpus": text,
        "ascii_only": True,
        **deepcopy(SMALL),
    }
    variants = {"plain": {}, "clipped": {"training": {"clip_norm": 0.01}}}
    return config | extra | {"variants": variants}


def test_a_recorded_network_leaves_losses_diagnostics_and_samples(tmp_path, watched):
    folder = write(tmp_path / "recorded", watched)
    record_diagnostics.main(folder)
    rows = History.load(folder / "clipped" / "history.jsonl").rows
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert [row["step"] for row in rows if "diagnostics" in row] == [2, 4, 6, 8]
    assert all(row["clipped_norm"] == 0.01 < row["grad_norm"] for row in rows)
    steps, parts = series(rows, "gradient")
    whole = np.sqrt(sum(values**2 for values in parts.values()))
    np.testing.assert_allclose(whole, [rows[k - 1]["grad_norm"] for k in steps], rtol=1e-3)
    samples = read(folder / "plain" / "samples.json")
    assert list(samples) == ["4", "8"] and samples["4"].startswith("the ")
    assert len(samples["8"]) == len("the ") + record_diagnostics.WRITTEN
    results = read(folder / "result.json")["runs"]
    assert results["plain"]["clipped_share"] == 0 and results["clipped"]["clipped_share"] == 1
    assert len(results["plain"]["valid_losses"]) == 2
    assert not list(folder.glob("*/*.safetensors"))


def test_a_killed_variant_goes_on_where_it_was(tmp_path, watched, monkeypatch):
    whole = write(tmp_path / "whole", watched)
    record_diagnostics.main(whole)
    sample = record_diagnostics.Recorder.__call__

    def killed(self, history):
        sample(self, history)
        if len(history) == 7:
            raise MemoryError

    monkeypatch.setattr(record_diagnostics, "CHECKPOINT_EVERY", 3)
    monkeypatch.setattr(record_diagnostics.Recorder, "__call__", killed)
    folder = write(tmp_path / "killed", watched)
    with pytest.raises(MemoryError):
        record_diagnostics.main(folder)
    assert len(list(folder.glob("plain/step-*"))) == 1
    monkeypatch.setattr(record_diagnostics.Recorder, "__call__", sample)
    record_diagnostics.main(folder)
    for name in ("history.jsonl", "samples.json"):
        for variant in watched["variants"]:
            assert (folder / variant / name).read_text() == (whole / variant / name).read_text()


def test_a_variant_that_diverges_at_once_is_noted(tmp_path, watched):
    watched["training"] |= {"optimizer": "sgd", "learning_rate": 3e38, "steps": 40}
    watched["training"] |= {"clip_norm": None, "eval_every": 40}
    folder = write(tmp_path / "recorded", watched | {"variants": {"plain": {}}})
    for _ in range(2):  # the second time it is read
        record_diagnostics.main(folder)
        assert read(folder / "result.json")["runs"]["plain"]["diverged"] is True


def test_a_variant_may_have_a_seed_of_its_own(tmp_path, watched):
    watched["variants"] = {"plain": {}, "same": {"seed": 1}, "other": {"seed": 2}}
    folder = write(tmp_path / "recorded", watched)
    record_diagnostics.main(folder)
    runs = read(folder / "result.json")["runs"]
    assert [run["seed"] for run in runs.values()] == [1, 1, 2]
    assert runs["plain"]["valid_losses"] == runs["same"]["valid_losses"]
    assert runs["plain"]["valid_losses"] != runs["other"]["valid_losses"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": None}, "lacks prompt"),
        ({"prompts": "a"}, "has prompts"),
        ({"prompt": "Q"}, "Not in the vocabulary: 'Q'"),
        ({"prompt": ""}, "prompt is empty"),
        ({"variants": []}, "a name for each variant"),
        ({"variants": {"a": {"model": {}}}}, "Variant a changes model, which all variants have in"),
        ({"record_every": 0}, "record_every is 0"),
        ({"model": {"hidden_size": 0}}, "hidden_size is 0"),
        ({"variants": {"a": {"training": {"learning_rate": -1}}}}, "learning_rate is -1;"),
        ({"variants": {"a": {"seed": "1"}}}, "seed is '1'; it must be a whole number, 0 or more"),
    ],
)
def test_recorded_diagnostics_without_meaning_gets_one_message(tmp_path, watched, change, message):
    config = {name: value for name, value in (watched | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        record_diagnostics.main(write(tmp_path / "recorded", config))


def test_a_variant_of_other_settings_is_refused(tmp_path, watched):
    folder = write(tmp_path / "recorded", watched)
    record_diagnostics.main(folder)
    watched["characters"] = 1500
    write(folder, watched)
    with pytest.raises(ValueError, match="a run of other settings .*; delete it"):
        record_diagnostics.main(folder)


# What was recorded


def test_case_d_at_full_size_is_as_published():
    config = read(RUNS / "case-d-full" / "config.json")
    read_settings(RUNS / "case-d-full", train_windows.Settings)
    published = {"hidden_size": 512, "num_layers": 3, "dropout": 0.5, "length": 30, "step": 3}
    published |= {"batch_size": 128, "learning_rate": 0.005, "clip_norm": 5.0, "epochs": 50}
    published |= {"optimizer": "adam", "predict": "last", "windows_share": 1.0}
    assert {name: config[name] for name in published} == published


@pytest.mark.parametrize("folder", SWEEPS, ids=lambda p: p.name)
def test_a_recorded_sweep_is_whole_and_of_its_config(folder):
    config, result = read(folder / "config.json"), read(folder / "result.json")
    expected = read_settings(folder, sweep.Settings).runs()
    assert expected.keys() <= result["runs"].keys() and len(expected) == 18
    for name, settings in expected.items():
        run = result["runs"][name]
        assert {key: run[key] for key in settings} == settings
        assert run["diverged"] or np.isfinite(run["valid_loss"])
    if "probe" in config:
        limit = suggest_clip(result["runs"]["probe"]["norms"])
        assert limit == pytest.approx(result["suggested_clip_norm"])
        suggested = [run for name, run in result["runs"].items() if name.startswith("suggested")]
        assert len(suggested) == 3
        assert all(run["training"]["clip_norm"] == limit for run in suggested)


def test_there_is_a_sweep_with_a_probe():
    assert {"clip-adam", "clip-by-unit", "clip-sgd"} <= {folder.name for folder in SWEEPS}
    assert "probe" in read(RUNS / "clip-sgd" / "config.json")


WATCHED = ("case-d-cpu", "spike-two-layers")
VARIANTS = [variant for name in WATCHED for variant in sorted((RUNS / name).glob("*/"))]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda p: f"{p.parent.name} {p.name}")
def test_a_recorded_variant_is_whole_and_of_its_config(variant):
    config, result = read(variant.parent / "config.json"), read(variant / "result.json")
    settings = asdict(record_diagnostics.read_config(variant.parent)[variant.name])
    assert {name: result[name] for name in settings} == settings
    history, every = History.load(variant / "history.jsonl"), config["record_every"]
    rows, steps = history.rows, config["training"]["steps"]
    keep = rule_of(f"{variant.parent.name}/{variant.name}")
    assert (rows[0]["step"], rows[-1]["step"]) == (1, steps)
    assert keep.stretches or len(rows) == steps
    recorded = [row["step"] for row in rows if row.get("diagnostics")]
    assert recorded == ([] if keep.diagnostics == () else list(range(every, steps + 1, every)))
    samples = read(variant / "samples.json")
    sampled = range(config["sample_every"], steps + 1, config["sample_every"])
    assert list(samples) == [str(step) for step in sampled]
    assert history.column("grad_norm")[1].max() == pytest.approx(result["largest_norm"], rel=1e-3)
    if "valid_loss" not in keep.without:
        losses = history.column("valid_loss")[1]
        np.testing.assert_allclose(losses, result["valid_losses"], rtol=1e-3)
    if "clipped_norm" not in keep.without:
        assert history.clipped_share == pytest.approx(result["clipped_share"])


@pytest.mark.parametrize("name", WATCHED)
def test_every_variant_is_recorded(name):
    folder = RUNS / name
    assert {path.parent.name for path in folder.glob("*/result.json")} == set(
        read(folder / "config.json")["variants"]
    )
