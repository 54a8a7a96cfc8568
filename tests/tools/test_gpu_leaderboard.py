"""The stage "leaderboard" of the run on a GPU, rehearsed on a CPU with all parts of the recipe."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import leaderboard
from experiments.common import describe
from experiments.recipes import WeightDropLSTM
from lstmlib import training
from lstmlib.serialization import load_model
from lstmlib.training import fit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import gpu_leaderboard as stage  # noqa: E402

BOARD = "runs/leaderboard/gpu"


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """What a rehearsal sets in the two programs is set back."""
    for name in ("ENTRIES", "FOLDER", "KIND", "SECONDS", "DEVICE"):
        monkeypatch.setattr(leaderboard, name, getattr(leaderboard, name))
    monkeypatch.setattr(stage, "RECORDED", stage.RECORDED)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def result(out):
    return json.loads((out / BOARD / "recipe-1.json").read_text())


def test_a_rehearsal_leaves_all_that_a_run_does(tmp_path, capsys):
    recipe = json.loads(leaderboard.ENTRIES.read_text())["gpu"]["recipe"]["changes"]
    stage.rehearse(tmp_path, 10)
    assert {path.name for path in (tmp_path / BOARD).iterdir()} == {
        "steps.json",
        "recipe-1.json",
        "history.jsonl",
        "model.safetensors",
        "samples.txt",
    }
    model, _ = load_model(tmp_path / BOARD / "model.safetensors")
    first = result(tmp_path)
    assert model.config["hidden_size"] == stage.SMALL["hidden_size"] and first["steps"] > 10
    assert first["settings"] == recipe | stage.SMALL
    assert f"{first['valid_loss']:.4f}" in capsys.readouterr().out.splitlines()[-1]


def test_the_next_seed_is_the_lowest_that_neither_place_has(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "RECORDED", tmp_path / "repository")
    out = tmp_path / "out"
    assert stage.next_seed(out) == 1
    for place, seed in ((stage.RECORDED / "gpu", 1), (out / BOARD, 2), (out / BOARD, 4)):
        leaderboard.write_json(place / f"recipe-{seed}.json", {})
    assert stage.next_seed(out) == 3


def test_a_killed_run_is_trained_anew_at_the_speed_of_its_own_call(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(leaderboard, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            stage.rehearse(tmp_path, 10)
    assert {path.name for path in (tmp_path / BOARD).iterdir()} == {"steps.json"}
    monkeypatch.setattr(leaderboard, "measure_speed", at_a_speed(1 / 16))
    stage.rehearse(tmp_path, 10)
    assert result(tmp_path)["seed"] == 1
    assert result(tmp_path)["planned_steps"] == result(tmp_path)["steps"] == 14


def at_a_speed(seconds):
    """Stand in for the measurement of the recipe's speed, in seconds a step."""
    return lambda text, names: {name: {"seconds_per_step": seconds, "steps": 1} for name in names}


def test_what_is_recorded_of_the_same_device_is_not_planned_with(tmp_path, monkeypatch):
    """Two machines with one kind of GPU took 6.2 and 9.5 ms for a step."""
    device = describe(torch.device(leaderboard.DEVICE))
    fast = {"device": device, "entries": {"recipe": {"seconds_per_step": 0.006, "steps": 27_000}}}
    out, repository = tmp_path / "out", tmp_path / "repository"
    for place in (out / BOARD, repository / "gpu"):
        leaderboard.write_json(place / "steps.json", fast)
    monkeypatch.setattr(stage, "RECORDED", repository)
    monkeypatch.setattr(leaderboard, "KIND", "gpu")
    monkeypatch.setattr(leaderboard, "SECONDS", 180)
    monkeypatch.setattr(leaderboard, "FOLDER", out / stage.BOARD)
    monkeypatch.setattr(leaderboard, "measure_speed", at_a_speed(0.0095))
    planned = []

    def train(entry, seed, text, steps, limit):
        planned.append(steps)
        return {"ended": "all steps", "steps": steps, "seconds": 1.0, "valid_loss": 1.0}

    monkeypatch.setattr(leaderboard, "train", train)
    stage.run(out, "", time.perf_counter() + 190)
    assert planned == [int(0.92 * 180 / 0.0095)]
    newer = json.loads((out / BOARD / "steps.json").read_text())["entries"]["recipe"]
    assert newer["seconds_per_step"] == 0.0095


def test_without_a_gpu_with_a_small_one_or_with_too_little_time_it_says_so(
    tmp_path, monkeypatch, capsys
):
    def main(*arguments):
        monkeypatch.setattr(sys, "argv", ["stage", "--out", str(tmp_path), *arguments])
        stage.main()

    monkeypatch.setattr(leaderboard, "DEVICE", "cpu")
    with pytest.raises(SystemExit, match="No GPU"):
        main()
    monkeypatch.setattr(leaderboard, "DEVICE", "cuda")
    with pytest.raises(SystemExit, match="100 s are too few"):
        main("--seconds", "100")

    class Small:
        total_memory = 2**31

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Small)
    main()
    assert "Left out: the GPU has 2.0 GiB" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_start_that_took_too_long_is_not_trained_after(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "measure", lambda *_: {"seconds_per_step": 0.01})
    with pytest.raises(SystemExit, match="88 s are left for the training; it is to have 150"):
        stage.run(tmp_path, "", time.perf_counter() + 100)


def test_the_recipe_is_what_the_gpu_needs_it_to_be():
    settings = json.loads(leaderboard.ENTRIES.read_text())["gpu"]["recipe"]["changes"]
    model, config = leaderboard.prepare(settings, 65, 100)
    sizes = [weight.numel() for weight in model.state_dict().values()]
    assert 2 * sum(sizes) < 11.5 * 2**20  # bytes of the model file, in half precision
    layers = model.layers
    assert isinstance(layers, WeightDropLSTM)
    # Sizes that tensor cores take.
    assert layers.hidden_size % 128 == layers.input_size % 16 == config.batch_size % 8 == 0
    optimizer = config.make_optimizer(model.parameters())
    assert optimizer.defaults["fused"] and optimizer._step_supports_amp_scaling
    decays = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    decay = settings["optimizer_options"]["weight_decay"]
    assert decays.keys() == {decay, 0.0} and decay > 0
    assert all(weight.ndim == 2 for weight in decays[decay]) and len(decays[decay]) == 4
    assert all(weight.ndim == 1 for weight in decays[0.0]) and len(decays[0.0]) == 5


def test_the_recipe_trains_as_a_gpu_would_without_waiting(monkeypatch):
    """On the device's own path of `fit`, all parts on, the same run as step by step."""
    recipe = json.loads(leaderboard.ENTRIES.read_text())["gpu"]["recipe"]["changes"]
    ids, losses = np.random.default_rng(0).integers(9, size=2000), []
    for defers in (False, True):
        monkeypatch.setattr(training, "_defers", lambda *_, defers=defers: defers)
        torch.manual_seed(0)
        model, config = leaderboard.prepare(recipe | stage.SMALL, 9, 60)
        average, on_step = leaderboard.averaging(model, recipe, config.steps)
        lengths = []

        def watch(history, on_step=on_step, lengths=lengths):
            on_step(history)
            lengths.append(len(history))

        history = fit(model, ids, None, config, watch, progress=False)
        losses.append([row["loss"] for row in history.rows])
        assert lengths == list(range(1, 61)) and average.taken == 18
        assert history.rows[-1]["epoch"] == 1  # the streams were laid out anew
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)
