import dataclasses
import json

import numpy as np
import pytest

from experiments import fit_thermometer
from experiments.fit_thermometer import (
    GROWING,
    Run,
    as_features,
    figures,
    fit,
    judge,
    left_out,
    main,
    ridge,
    summary,
)
from lstmlib.thermometer import Features, predict_loss

FREE = np.full(3, np.inf)


def data(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal([1, 5, -3], [1, 10, 0.1], (n, 3))
    return x, 2 + x @ [0.5, -0.03, 4] + 0.01 * rng.normal(size=n)


def runs(n=12, noise=0.05, seed=0):
    """Return runs whose loss follows from their text and length, but for noise."""
    rng, made = np.random.default_rng(seed), []
    for k in range(n):
        size, level = int(10 ** rng.uniform(4, 6.3)), rng.uniform(1.2, 2)
        losses = tuple(level * np.array([2, 1.6, 1.25, 1.05, 1, 1.02, 1.05]))
        less = tuple(np.array(losses) + rng.uniform(0.1, 0.3))
        features = Features(size, int(rng.integers(40, 120)), losses, less, 0.0, False)
        for budget in (400_000, 1_600_000):
            read = min(budget, 36 * size)
            loss = level * (1.25 - 0.08 * np.log(read / 400_000)) + noise * rng.normal()
            made.append(Run(f"t{k}", f"p{k // 2}", "prose", budget, read, loss, features))
    return made


def test_a_weak_ridge_is_least_squares():
    x, y = data()
    wanted, *_ = np.linalg.lstsq(np.c_[np.ones(len(y)), x], y, rcond=None)
    np.testing.assert_allclose(ridge(x, y, 1e-9, FREE, rounds=1), wanted, rtol=1e-5, atol=1e-5)


def test_a_ridge_is_the_one_of_scikit_learn():
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = data()
    model = make_pipeline(StandardScaler(), Ridge(3.0)).fit(x, y)
    constant, *weights = ridge(x, y, 3.0, FREE, rounds=1)
    np.testing.assert_allclose(constant + x @ weights, model.predict(x), rtol=1e-6)


def test_one_run_that_is_unlike_all_others_does_not_bend_the_fit():
    x, y = data()
    wanted = ridge(x, y, 1e-6, FREE)
    y[7] += 50
    bent, robust = (ridge(x, y, 1e-6, FREE, rounds) for rounds in (1, 20))
    assert np.abs(robust - wanted)[1:].max() < 0.1 < np.abs(bent - wanted)[1:].max()


def test_a_bounded_weight_is_0_where_it_would_be_above():
    x, y = data()
    _, *weights = ridge(x, y, 1e-6, np.array([0.0, 0.0, np.inf]))
    assert weights[0] == pytest.approx(0, abs=1e-9) and weights[1] < 0 < weights[2]


def test_an_error_is_that_of_a_fit_which_has_not_seen_the_group():
    x, y = data(12)
    groups = np.repeat(np.arange(4), 3)
    errors = left_out(x, y, groups, 0.5, FREE)
    for group in range(4):
        out = groups == group
        constant, *weights = ridge(x[~out], y[~out], 0.5, FREE)
        np.testing.assert_allclose(errors[out], y[out] - constant - x[out] @ weights)


def test_what_falls_with_the_characters_has_no_weight_above_0():
    fitted = fit(runs())
    assert all(fitted["weights"][name] <= 1e-9 for name in GROWING)
    assert fitted["made_of"] == {"runs": 24, "packages": 6}
    # What predict_loss reads, it reads from JSON.
    expected = predict_loss(runs()[0].features, 10**6, json.loads(json.dumps(fitted)))
    assert expected.low < expected.loss < expected.high


def test_nothing_of_a_package_is_in_the_fit_that_predicts_it():
    """A package whose losses are changed by far is predicted as before."""
    plain = runs()
    changed = [dataclasses.replace(r, loss=r.loss + 9 * (r.package == "p3")) for r in plain]
    for before, after in zip(judge(plain), judge(changed), strict=True):
        alike = [before[name] == after[name] for name in ("predicted", "low", "high")]
        assert all(alike) == (before["text"] in ("t6", "t7")), before["text"]


def test_an_interval_is_as_wide_as_errors_are():
    quiet, loud = (figures(judge(runs(40, noise))) for noise in (0.01, 0.1))
    assert quiet["median_error"] < 0.02 < loud["median_error"]
    assert quiet["median_width"] < loud["median_width"]
    assert 0.65 < loud["covered"] < 0.95


def test_figures_are_those_of_a_count_by_hand():
    runs = [
        {"loss": 1.0, "predicted": 1.1, "low": 0.9, "high": 1.3, "five_gram": 1.5},
        {"loss": 2.0, "predicted": 2.3, "low": 2.1, "high": 2.5, "five_gram": 2.6},
    ]
    runs = [run | {"kind": "prose", "budget": 4, "five_gram_less": 1.0} for run in runs]
    wanted = {"runs": 2, "median_error": 0.2, "covered": 0.5, "median_width": 0.4}
    wanted |= {"five_gram_error": 0.55, "five_gram_less_error": 0.5}
    assert figures(runs) == pytest.approx(wanted)
    parts = summary([*runs, runs[0] | {"kind": "verse", "budget": 9}])
    assert parts["kind"]["prose"] == pytest.approx(wanted)
    assert parts["budget"]["9"]["runs"] == 1 and parts["all"]["runs"] == 3


def test_features_come_back_from_json():
    features = runs()[0].features
    assert as_features(json.loads(json.dumps(dataclasses.asdict(features)))) == features


def test_the_program_measures_fits_and_judges(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.txt").write_text("a cat sat on the mat, and a rat ran. " * 60)
    (tmp_path / "b.txt").write_text("no price of bread is as high as it was. " * 60)
    (tmp_path / "c.txt").write_text("I was hungry, and so was the old dog. " * 60)
    source = {"kind": "prose", "registry": "course", "version": "", "files": [], "licence": ""}
    sources = {n: source | {"package": str(tmp_path / f"{n}.txt")} for n in "abc"}
    texts = [{"name": n, "source": n, "budgets": [9]} for n in "abc"]
    config = {"seed": 1, "sources": sources, "texts": texts}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = {
        f"{n} {c}": {"characters": c, "valid_loss": 9e3 / c} for n in "abc" for c in (5000, 9000)
    }
    (tmp_path / "result.json").write_text(json.dumps({"runs": done}))
    monkeypatch.setattr(fit_thermometer, "DATA", tmp_path / "fit.json")
    main(tmp_path, tmp_path)
    assert set(json.loads((tmp_path / "features.json").read_text())) == {"a", "b", "c"}
    assert json.loads((tmp_path / "fit.json").read_text())["made_of"]["runs"] == 6
    judged = json.loads((tmp_path / "judged.json").read_text())
    assert judged["all"]["runs"] == 6 and "covered" in capsys.readouterr().out


def test_too_few_packages_are_refused():
    with pytest.raises(ValueError, match="^The runs are of fewer than 3 packages: train on more"):
        judge(runs(4))
