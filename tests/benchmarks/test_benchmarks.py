"""The benchmarks compare what they say they compare, and their ratios follow from their figures."""

import json
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lstmlib.batching import windows
from lstmlib.course.widgets.controls import temperature_slider
from lstmlib.models import CharRNN, count_parameters
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import flops_per_character

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"


def script(name):
    return runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="script")


def result(name):
    return json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))


def small_model():
    torch.manual_seed(1)
    return CharRNN(7, 5, 2, embedding_size=4)


# All programs

LOAD = """
import runpy, sys
from pathlib import Path
path = sys.path[1:]
for program in map(Path, sys.argv[1:]):
    as_module = f"-m benchmarks.{program.stem}" in program.read_text(encoding="utf-8")
    sys.path[:] = [str(program.parents[1] if as_module else program.parent), *path]
    sys.modules.pop("chromium", None), sys.modules.pop("lab", None)  # found by an earlier one
    runpy.run_path(str(program), run_name="loaded")
"""


def test_every_program_finds_what_it_imports_where_pytest_does_not_help():
    programs = set(BENCHMARKS.glob("*.py")) - {BENCHMARKS / "keras_windows_peer.py"}  # needs Keras
    command = [sys.executable, "-c", LOAD, *sorted(map(str, programs))]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr


# character_loop


def test_the_character_loop_has_the_loss_gradient_and_state_of_the_whole_sequence():
    x, y = torch.randint(7, (2, 3, 6))
    loop, whole = small_model(), small_model()
    _, state = whole(torch.randint(7, (3, 4)))
    state = tuple(part.detach() for part in state)
    loop_loss, loop_state = script("character_loop")["by_character"](loop, x, y, state)
    logits, whole_state = whole(x, state)
    whole_loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
    assert loop_loss.item() == pytest.approx(whole_loss.item(), rel=1e-6)
    torch.testing.assert_close(loop_state, whole_state)
    loop_loss.backward()
    whole_loss.backward()
    for a, b in zip(loop.parameters(), whole.parameters(), strict=True):
        assert b.grad.abs().max() > 0
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7)


def test_the_character_loop_takes_the_steps_of_fit():
    """Past the end of the text, too, where the state starts at zero again."""
    ids = np.arange(3 * 5 * 4 + 1) ** 2 % 7
    config = TrainingConfig(9, 3, 5, learning_rate=0.05, clip_norm=None)
    loop, whole = small_model(), small_model()
    both = script("character_loop")
    losses, ends = both["train_by_character"](loop, ids, config)
    expected, expected_ends = both["train_by_chunk"](whole, ids, config)
    assert len(losses) == len(ends) == len(expected_ends) == 9
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert losses[-1] < losses[0] - 0.1


def test_a_speed_is_that_of_the_median_step_after_the_first_ones():
    both = script("character_loop")
    assert both["WARM_UP"] == 2
    config = TrainingConfig(5, 4, 10)
    turns = [[9.0, 30.0, 32.0, 34.0, 36.0], [1.0, 50.0, 52.0, 54.0, 99.0]]
    assert both["characters_per_second"](turns, config) == 4 * 10 / 2


@pytest.mark.parametrize("memory", ["given back", "kept"])
def test_character_loop_json_agrees_with_itself(memory):
    said = result("character_loop")[f"freed memory {memory}"]
    constants = script("character_loop")
    speed = said["characters_per_second"]
    assert said["ratio"] == pytest.approx(speed["fit()"] / speed["character loop"], rel=2e-3)
    ceiling = said["ceiling"]
    model = CharRNN(65, constants["CEILING_HIDDEN"], 1)
    assert ceiling["flops_per_character"] == {
        "counted": flops_per_character(model),
        "six_per_parameter": 6 * count_parameters(model),
    }
    shapes = [(row["batch_size"], row["seq_len"]) for row in ceiling["shapes"]]
    assert shapes == list(constants["CEILING_SHAPES"])
    for row in ceiling["shapes"]:
        for name, operations in ceiling["flops_per_character"].items():
            needed = row["characters_per_second"] * operations
            share = needed / ceiling["product_operations_per_second"]
            assert row["share"][name] == pytest.approx(share, abs=1e-3)
            assert 0 < row["share"][name] < 1


# keras_windows


def test_the_peer_reads_the_windows_of_the_course():
    peer = script("keras_windows_peer")
    ids = np.random.default_rng(0).integers(9, size=200)
    x, y = peer["one_hot_windows"](ids, 9, 30)
    assert x.dtype == y.dtype == bool
    assert (x.sum(-1) == 1).all() and (y.sum(-1) == 1).all()
    expected_x, expected_y = windows(ids, peer["LENGTH"], peer["STEP"])
    np.testing.assert_array_equal(x.argmax(-1), expected_x[:30])
    np.testing.assert_array_equal(y.argmax(-1), expected_y[:30])


def test_both_sides_have_the_same_sizes():
    ours, peer = script("keras_windows"), script("keras_windows_peer")
    for name in ("HIDDEN", "BATCH_SIZE", "LENGTH", "LEARNING_RATE"):
        assert ours[name] == peer[name]


def test_the_peer_runs_on_the_tested_pytorch_and_numpy():
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    listed = (BENCHMARKS / "keras_windows.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z]+==[\d.]+", line) for line in listed)
    for name in ("numpy", "torch"):
        pin = next(line for line in listed if line.startswith(f"{name}=="))
        assert any(line.partition(";")[0].strip() == pin for line in constraints)


def test_a_read_character_counts_for_each_place_of_a_window():
    said = script("keras_windows")["summary"]([1.0, 10.0, 12.0], [4000.0, 900.0, 8000.0])
    assert said["predicted_per_second"] == {"keras windows": 10, "fit()": 4000}
    assert said["ratio_predicted"] == 400
    assert said["read_per_second"]["keras windows"] == 10 * 40
    assert said["ratio_read"] == 10


def test_keras_windows_json_agrees_with_itself():
    said = result("keras_windows")
    for kind in ("predicted", "read"):
        speed = said[f"{kind}_per_second"]
        ratio = speed["fit()"] / speed["keras windows"]
        assert said[f"ratio_{kind}"] == pytest.approx(ratio, rel=0.01)
    versions = (BENCHMARKS / "keras_windows.txt").read_text()
    keras, torch_version = re.search(r"Keras (\S+) on torch ([\d.]+)", said["versions"]).groups()
    assert f"keras=={keras}\n" in versions
    assert f"torch=={torch_version}\n" in versions


# generation


@pytest.fixture
def written(monkeypatch):
    """The script, its small network, and all loops but the compiled one."""

    def no_compiler(module):
        raise RuntimeError("There is no compiler.\nInstall one.")

    monkeypatch.setattr(torch, "compile", no_compiler)
    ours = script("generation")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit.trace is an old way
        model = ours["make_model"](12, torch.device("cpu"))
        yield ours, model, *ours["make_loops"](model)


def test_every_loop_writes_what_generate_writes(written):
    ours, model, loops, left_out = written
    ours["check"](model, loops, 40)
    assert left_out == {"nn.LSTMCell, torch.compile": "RuntimeError: There is no compiler."}
    ids = [3, 1, 4]
    for loop in loops.values():
        assert len(ours["write"](loop, ids, 5, 1.0)) == 5
        assert ours["write"](loop, ids, 30, 0) == ours["write"](loop, ids, 30, 0)  # starts anew


def test_the_loop_apart_is_timed(written):
    assert 0 < written[0]["time_loop"](8, 5) < 5


def test_a_draw_follows_the_probabilities(written):
    _, _, loops, _ = written
    p = np.array([0.05, 0.6, 0.0, 0.35], dtype=np.float32)
    expected = p**2 / (p**2).sum()
    with np.errstate(divide="ignore"):
        logits = np.log(p) + np.float32(7)
    torch.manual_seed(0)
    for name, given in (
        ("nn.LSTM, freed memory kept", torch.from_numpy(logits)),
        ("NumPy", logits),
    ):
        drawn = [loops[name].choose(given, 0.5) for _ in range(4000)]
        np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, expected, atol=0.03)
        assert 2 not in drawn and loops[name].choose(given, 0) == 1


def test_a_loop_of_another_network_is_found_out(written):
    ours, model, loops, _ = written
    loops["nn.LSTMCell"].run.cells[1].weight_hh[0] += 1
    with pytest.raises(ValueError, match="nn.LSTMCell gives a text log p"):
        ours["check"](model, loops, 40)


def test_a_loop_that_chooses_otherwise_is_found_out(written):
    ours, model, loops, _ = written
    loops["NumPy"].choose = lambda logits, temperature: int(logits.argmin())
    with pytest.raises(ValueError, match="NumPy writes another greedy text"):
        ours["check"](model, loops, 40)


def test_the_nine_temperatures_count_for_nine_texts():
    ours = script("generation")
    assert len(ours["TEMPERATURES"]) == len(set(ours["TEMPERATURES"])) == 9
    said = ours["summary"]({"nn.LSTM": 2000, "generate()": 8000, ours["NINE"]: 32000.4})
    assert said["characters_per_second"][ours["NINE"]] == 32000
    assert said["ratio"] == {"nn.LSTM": 1, "generate()": 4, ours["NINE"]: 16}
    assert said["ratio_of_nine_temperatures_to_one"] == 4
    assert "ratio_of_fast_to_plain" not in said  # where Numba is not installed
    said = ours["summary"]({"nn.LSTM": 1, "generate()": 2, ours["NINE"]: 3, ours["FAST"]: 7})
    assert said["ratio_of_fast_to_plain"] == 3.5


def test_generation_json_has_every_way_and_agrees_with_itself(written):
    ours, model, loops, left_out = written
    said, speed = result("generation"), result("generation")["characters_per_second"]
    ours["measure"].__globals__["write_apart"] = lambda hidden_size, length: 1.0
    ways = ours["measure"](model, loops, 3, 1).keys() | left_out.keys()
    # It may have been recorded where Numba is not installed, or this may be such a place.
    assert speed.keys() | said["left_out"].keys() | {ours["FAST"]} == ways | {ours["FAST"]}
    assert said["ratio"].keys() == speed.keys()
    for name, ratio in said["ratio"].items():
        assert ratio == pytest.approx(speed[name] / speed["nn.LSTM"], rel=2e-3)
    nine = speed["generate(), nine temperatures"] / speed["generate()"]
    assert said["ratio_of_nine_temperatures_to_one"] == pytest.approx(nine, rel=2e-3)
    fast = speed[ours["FAST"]] / speed["generate()"]
    assert said["ratio_of_fast_to_plain"] == pytest.approx(fast, rel=2e-3) and fast > 2
    first = said["seconds_of_first_fast_call"]
    assert first["nothing compiled before"] > first["compiled before"] > 0
    assert f"2x{ours['HIDDEN']} LSTM, 65 characters" in said["model"]


# The parts of a step


def test_every_part_of_a_step_is_found_and_none_counts_twice(monkeypatch):
    program = script("step_profile")
    for name, value in {"HIDDEN": 16, "STEPS": 3, "WARM_UP": 2}.items():
        monkeypatch.setitem(program["train"].__globals__, name, value)
    for precision in ("float32", "bfloat16"):
        recorder = program["train"](4, 8, precision, fused=False, profiled=True)
        parts = program["parts_of"](recorder, seconds=10.0)
        # What counts twice makes the rest of the operations less than nothing.
        assert recorder.seconds > 0 and all(ms > 0 for ms in parts.values()), parts
        called = {event.key: event.count for event in recorder.profiler.key_averages()}
        assert called["clipping"] == called["aten::mkldnn_rnn_layer_backward"] == 3


def test_the_recorded_parts_of_a_step_make_up_its_time():
    for said in result("step_profile")["steps"].values():
        *_, last = said["ms"].values()
        assert sum(said["parts_ms"].values()) == pytest.approx(last, rel=0.05)


def test_the_slider_that_is_pressed_has_the_name_of_the_panels_slider():
    assert script("slider_latency")["LABEL"] == temperature_slider(0.5).description


# The others


def test_the_other_ratios_follow_from_their_figures():
    speed = result("training_overhead")["characters_per_second"]
    ratio = speed["fit()"] / speed["bare loop"]
    assert result("training_overhead")["ratio"] == pytest.approx(ratio, rel=2e-3)
    watched = speed["fit() with diagnostics"] / speed["fit()"]
    assert result("training_overhead")["ratio_with_diagnostics"] == pytest.approx(watched, rel=2e-3)
    times = result("compiled_step")["milliseconds_per_step"]
    for name, ratio in result("compiled_step")["speed_over_plain"].items():
        assert ratio == pytest.approx(times["plain"] / times[name], rel=2e-3)
    speed = result("numpy_cifg")["characters_per_second"]
    for shape, ratio in result("numpy_cifg")["ratio_to_loop"].items():
        assert ratio == pytest.approx(speed[f"scratch, {shape}"] / speed["loop"], rel=0.02)


# reading


def test_reading_measures_files_of_the_sizes_it_names_that_are_read_whole(tmp_path):
    reading = script("reading")
    texts = {}
    for kind, (write, suffix, _) in reading["KINDS"].items():
        path = tmp_path / f"{len(texts)}{suffix}"
        write(path, 200_000)
        texts[kind] = reading["read"](path)
        assert suffix == ".epub" or path.stat().st_size == pytest.approx(200_000, rel=0.1)
    assert min(map(len, texts.values())) > 30_000
    assert len(texts["HTML"]) > 150_000
    assert texts["plain text"].count("“") == texts["plain text, read and cleaned"].count("“") > 300
    assert "“" in texts["plain text of an encoding that is guessed"]
    assert "GUTENBERG" not in texts["plain text"]
    assert texts["HTML"] == texts["EPUB of one document"] == texts["EPUB in chapters"]
    assert texts["HTML, hardly anything but tags"].count("a b\nc") > 4_000


def test_reading_takes_a_time_that_grows_with_size():
    reading, found = script("reading"), result("reading")
    kinds = reading["all_kinds"]()
    assert found["seconds"].keys() == kinds.keys()
    assert max(reading["SIZES"]) == 20_000_000
    for kind, seconds in found["seconds"].items():
        assert list(map(int, seconds)) == kinds[kind][-1]
        small, *_, large = (value / int(size) for size, value in seconds.items())
        ratio = found["time_per_byte_largest_over_smallest"][kind]
        assert ratio == pytest.approx(large / small, abs=0.01)
        assert ratio < 2


# novelty


def test_novelty_is_measured_both_ways_on_the_same_texts():
    novelty, text = script("novelty"), "the cat sat on the mat, and the dog sat on the cat. " * 30
    text += text[::-1]
    half = len(text) // 2
    by_sets = novelty["by_sets"](text[half:], text[:half])
    by_matches = novelty["longest_matches"](text[half:], text[:half])
    assert by_matches.novelty(novelty["LENGTH"])[-1] == pytest.approx(by_sets) and by_sets > 0
    times = novelty["measure"](text, rounds=1, sizes=[100, 1000])
    assert all(len(each) == 2 and min(each) > 0 for each in times.values())


def test_the_time_for_two_million_characters_is_near_linear():
    novelty, found = script("novelty"), result("novelty")
    assert found["characters"] == novelty["SIZES"] and max(found["characters"]) == 2_000_000
    seconds = found["seconds"]
    assert seconds["longest_matches"][-1] < 5
    for name, each in seconds.items():
        growth = (each[-1] / found["characters"][-1]) / (each[0] / found["characters"][0])
        assert found["time_of_a_character_grows_by"][name] == pytest.approx(growth, rel=0.02)
    assert found["time_of_a_character_grows_by"]["longest_matches"] < 2
    ratio = seconds["longest_matches"][-1] / seconds["sets of 20-grams"][-1]
    assert found["all_lengths_over_one"] == pytest.approx(ratio, abs=0.01)
