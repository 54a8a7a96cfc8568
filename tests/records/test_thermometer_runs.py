"""The thermometer's records: whole, made by its recipe, and as good as is said of them."""

import json
import re
from pathlib import Path

import pytest

from experiments.common import read_json, read_settings, sha256
from experiments.fit_thermometer import DATA, as_features, beyond, fit, judge, read_runs, summary
from experiments.thermometer_texts import Settings
from lstmlib.thermometer import measure_features, predict_loss, recipe
from lstmlib.vocab import Vocab

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "runs/thermometer"
RESULT = read_json(FOLDER / "result.json")
FEATURES = read_json(FOLDER / "features.json")
SETTINGS = read_settings(FOLDER, Settings)


@pytest.fixture(scope="module")
def runs():
    return read_runs(FOLDER)[0]


@pytest.fixture(scope="module")
def found(runs):
    longer = read_runs(FOLDER)[1]
    return summary(judge(runs)) | {"beyond": beyond(longer, fit(runs))}


def close(one, other, share):
    """Say whether two values of JSON are alike, their numbers but for a share."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[n], other[n], share) for n in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other, [share] * len(one)))
    if isinstance(one, str):
        return one == other
    return one == pytest.approx(other, rel=share, abs=share)


def test_values_that_differ_are_not_close():
    value = {"a": [1.0, {"b": 2.0}]}
    assert close(value, {"a": [1.0001, {"b": 2.0}]}, 1e-3)
    assert not close(value, {"a": [1.1, {"b": 2.0}]}, 1e-3)
    assert not close(value, {"a": [1.0]}, 1e-3) and not close(value, {"b": 1}, 1e-3)


def test_intervals_cover_what_they_say_on_texts_that_the_fit_has_not_seen(found):
    assert found["all"]["runs"] + len(found["beyond"]) == len(RESULT["runs"])
    assert 0.7 <= found["all"]["covered"] <= 0.9
    assert found["all"]["median_error"] <= 0.05


def test_longer_runs_end_in_the_wide_interval_that_a_fit_outside_of_its_records_gives(found):
    """Both lie above the prediction, so it must not be narrower there."""
    assert len(found["beyond"]) == 2
    for row in found["beyond"]:
        assert row["low"] < row["predicted"] < row["loss"] < row["high"]
        assert row["high"] - row["low"] > 2 * found["all"]["median_width"]


def test_a_prediction_is_better_than_what_a_5_gram_alone_says(found):
    every = found["all"]
    assert every["median_error"] < every["five_gram_less_error"] < every["five_gram_error"]


def test_chapter_00_quotes_these_figures():
    judged = read_json(FOLDER / "judged.json")["all"]
    texts = {name.rsplit(" ", 1)[0] for name in RESULT["runs"]}
    cells = read_json(ROOT / "notebooks/00_start_here.ipynb")["cells"]
    prose = " ".join("".join(cell["source"]) for cell in cells).replace("\n", " ")
    assert f"on {len(texts)} texts of many kinds, in {judged['runs']} runs" in prose
    assert f"the interval held {judged['covered']:.0%} of".replace("%", " %") in prose


def test_the_recorded_judgement_is_that_of_these_runs(found):
    assert close(found, read_json(FOLDER / "judged.json"), 2e-3)


def test_the_library_reads_what_is_fitted_to_these_runs(runs):
    """The fit goes through a solver, so its numbers are compared by what they predict."""
    here, recorded = fit(runs), read_json(DATA)
    assert close(here["range"], recorded["range"], 1e-5)
    assert here["made_of"] == recorded["made_of"] and here["ridge"] == recorded["ridge"]
    for run in runs:
        ours, theirs = (predict_loss(run.features, run.characters, f) for f in (here, recorded))
        for name in ("loss", "low", "high"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=2e-3)


def test_the_texts_are_many_and_of_many_kinds():
    texts = [name.rsplit(" ", 1)[0] for name in RESULT["runs"]]
    assert set(texts) <= set(SETTINGS.pieces)
    packages = {SETTINGS.source_of(name).package for name in texts}
    kinds = {SETTINGS.source_of(name).kind for name in texts}
    assert len(packages) >= 25 and len(set(texts)) >= 40
    assert {"prose", "verse", "play", "code", "markup", "table"} <= kinds
    assert {"Russian", "Greek", "Arabic", "Chinese", "Japanese", "German"} <= kinds
    sizes = [RESULT["texts"][name]["characters"] for name in texts]
    assert min(sizes) <= 3_000 and max(sizes) >= 2_000_000
    alphabets = [RESULT["texts"][name]["alphabet"] for name in texts]
    assert min(alphabets) < 50 and max(alphabets) > 1_000


def test_every_text_says_where_it_is_from():
    for name, source in SETTINGS.by_source.items():
        assert source.licence and source.kind, name
        assert source.registry == "course" or (source.version and source.files), name
    for text in RESULT["texts"].values():
        assert re.fullmatch("[0-9a-f]{64}", text["sha256"])
    config = (FOLDER / "config.json").read_text(encoding="utf-8")
    assert "://" not in config  # packages by their names alone


def test_every_text_has_its_features():
    assert set(FEATURES) == {name.rsplit(" ", 1)[0] for name in RESULT["runs"]}
    for name, values in FEATURES.items():
        features = as_features(values)
        assert features.size == RESULT["texts"][name]["characters"]
        assert features.alphabet == RESULT["texts"][name]["alphabet"]
        assert len(features.losses) == len(features.losses_of_less) == 7


def test_every_run_of_the_config_is_there_and_none_twice():
    wanted = {f"{n} {c}" for n, piece in SETTINGS.pieces.items() for c in piece.budgets}
    assert wanted == set(RESULT["runs"])
    read = [(name.rsplit(" ", 1)[0], run["characters"]) for name, run in RESULT["runs"].items()]
    assert len(set(read)) == len(read)


def test_every_run_is_that_of_the_recipe():
    for name, run in RESULT["runs"].items():
        text, budget = name.rsplit(" ", 1)
        size, alphabet = (RESULT["texts"][text][n] for n in ("characters", "alphabet"))
        model, training = recipe(size, alphabet, int(budget))
        read = training.steps * training.batch_size * training.seq_len
        assert (run["characters"], run["hidden_size"]) == (read, model["hidden_size"]), name
        assert run["dropout"] == model["dropout"], name
        assert run["valid_loss"] <= run["last_loss"] and run["best_at"] <= read


@pytest.mark.parametrize("name", ["shakespeare-3k", "david-copperfield-10k", "shakespeare-30k"])
def test_a_text_of_the_course_is_the_one_that_was_trained_on(name, tmp_path):
    try:
        text = SETTINGS.text_of(name, tmp_path)
    except ValueError as error:
        pytest.skip(str(error))
    assert sha256(text) == RESULT["texts"][name]["sha256"]
    vocab = Vocab.from_text(text)
    features = measure_features(vocab.encode(text), len(vocab))
    recorded = as_features(FEATURES[name])
    assert features.losses == pytest.approx(recorded.losses, rel=1e-4)
    assert features.losses_of_less == pytest.approx(recorded.losses_of_less, rel=1e-4)
    assert features.copied == pytest.approx(recorded.copied, abs=1e-4)


def test_what_is_recorded_is_small():
    sizes = [path.stat().st_size for path in FOLDER.iterdir() if not path.name.startswith(".")]
    assert sum(sizes) < 120_000
    json.loads(DATA.read_text())
    assert DATA.stat().st_size < 10_000


def test_every_run_says_where_it_was_trained_and_the_readme_what_that_means():
    gpu = {name for name, run in RESULT["runs"].items() if "device" in run}
    assert gpu and RESULT["machine"] and RESULT["versions"]
    for name in gpu:
        assert RESULT["runs"][name]["versions"].keys() == RESULT["versions"].keys(), name
    prose = " ".join((ROOT / "runs/README.md").read_text(encoding="utf-8").split())
    seconds = sum(RESULT["runs"][name]["training_seconds"] for name in gpu)
    (device,) = {RESULT["runs"][name]["device"] for name in gpu}
    assert f"{seconds:.0f} s of the training time on an {device}" in prose
    (budget,) = {int(name.rsplit(" ", 1)[1]) for name in gpu}
    assert f"the two whose budget is {budget:,} characters".replace(",", " ") in prose
    assert len(gpu) == 2
