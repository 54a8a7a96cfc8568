"""Where does the time of a training step go?

    .venv/bin/python benchmarks/step_profile.py

fit() trains one layer of 512, in batches of 16 × 64 and of 64 × 128, in float32 and, where the
processor has it, in bfloat16. PyTorch's profiler says how long each operation takes. They are added
up by parts of a step: the layer forwards and backwards, clipping, the optimizer, and all other
operations: output layer, loss, copies. What is left of the time that a run without the profiler
takes is Python; where the two runs differ by more than that, it is 0. With each step stands how
long its matrix products would take at the ceiling, the speed of a 1024³ product in the same type.

Two parts can be avoided, and are measured in turns with and without: freed memory that is given
back to the system and cleared again (`keep_freed_memory`), and an optimizer that does its steps in
several operations instead of one ("fused"). Each turn is a process of its own. The figures of a
step are medians over the turns.
Writes step_profile.json beside this file.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from lstmlib import training
from lstmlib.history import History
from lstmlib.models import CharRNN
from lstmlib.precision import has_bfloat16
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import flops_per_character, keep_freed_memory, matmul_throughput
from lstmlib.training import fit

TURNS, WARM_UP, STEPS = 3, 4, 12
HIDDEN, VOCAB_SIZE = 512, 65
SHAPES = ((16, 64), (64, 128))  # batch_size, seq_len
WAYS = {
    "as it is": {},
    "freed memory kept": {"keep": True},
    "and a fused optimizer": {"keep": True, "fused": True},
}
"""What is avoided, one thing after the other."""
LAYER = {
    "layer, forwards": "aten::mkldnn_rnn_layer",
    "layer, backwards": "aten::mkldnn_rnn_layer_backward",
}
"""Part -> the operation that it is."""
RANGES = {"clipping": "clipping", "optimizer": "Optimizer.step"}
"""Part -> the name of all that it does."""


class Recorder:
    """Called by fit() after every step: profiles those after the warm-up, and notes the clock."""

    def __init__(self, profiled: bool) -> None:
        self.profiler = profile(activities=[ProfilerActivity.CPU]) if profiled else None
        self.begun = self.seconds = 0.0

    def __call__(self, history: History) -> None:
        if len(history) == WARM_UP:
            if self.profiler:
                self.profiler.start()
            self.begun = time.perf_counter()
        if len(history) == WARM_UP + STEPS:
            self.seconds = (time.perf_counter() - self.begun) / STEPS
            if self.profiler:
                self.profiler.stop()


def train(batch_size: int, seq_len: int, precision: str, fused: bool, profiled: bool) -> Recorder:
    """Train some steps with fit(); return what recorded them."""
    ids = np.random.default_rng(0).integers(VOCAB_SIZE, size=batch_size * (seq_len * 8 + 1))
    torch.manual_seed(0)
    model = CharRNN(VOCAB_SIZE, HIDDEN, num_layers=1)
    config = TrainingConfig(
        WARM_UP + STEPS,
        batch_size,
        seq_len,
        precision=precision,
        optimizer="adamw",
        optimizer_options={"fused": fused},
    )
    recorder, clip = Recorder(profiled), training.clip

    def named_clip(*arguments):
        with record_function("clipping"):
            return clip(*arguments)

    with patch.object(training, "clip", named_clip):
        fit(model, ids, None, config, recorder, progress=False)
    return recorder


def parts_of(recorder: Recorder, seconds: float) -> dict[str, float]:
    """Return the milliseconds of each part of a step that takes some seconds without a profiler."""
    events = recorder.profiler.key_averages()
    per_step = 1000 * STEPS  # of the profiler's microseconds, in all steps
    # In bfloat16 an operation is called within one of its own name, and its time stands in both.
    of_layer = {
        part: sum(e.self_cpu_time_total for e in events if is_called(e.key, name))
        for part, name in LAYER.items()
    }
    ranges = {
        part: sum(e.cpu_time_total for e in events if is_called(e.key, name))
        for part, name in RANGES.items()
    }
    parts = {part: time / per_step for part, time in (of_layer | ranges).items()}
    known = sum(e.self_cpu_time_total for e in events) / per_step
    parts["output layer, loss, copies"] = known - sum(parts.values())
    parts["Python"] = max(1000 * seconds - known, 0.0)
    return {part: round(ms, 3) for part, ms in parts.items()}


def is_called(key: str, name: str) -> bool:
    """Say whether the profiler's key is a name, or begins with it and a #."""
    return key == name or key.startswith(f"{name}#")


def one_turn(keep: bool, fused: bool) -> dict:
    """Return the milliseconds of a step in each shape and precision, and its parts."""
    device, steps = torch.device("cpu"), {}
    if keep:
        keep_freed_memory()
    flops = flops_per_character(CharRNN(VOCAB_SIZE, HIDDEN, num_layers=1))
    for batch_size, seq_len in SHAPES:
        for precision in ("float32", "bfloat16") if has_bfloat16(device) else ("float32",):
            shape = batch_size, seq_len, precision
            seconds = train(*shape, fused, profiled=False).seconds
            ceiling = matmul_throughput(device, dtype=getattr(torch, precision))
            steps[f"{batch_size} × {seq_len}, {precision}"] = {
                "ms": 1000 * seconds,
                "parts_ms": parts_of(train(*shape, fused, profiled=True), seconds),
                "ms_at_ceiling": 1000 * flops * batch_size * seq_len / ceiling,
            }
    return steps


def in_a_process(way: dict[str, bool]) -> dict:
    """Return what one turn says in a process of its own, since memory is kept for good."""
    command = [sys.executable, __file__, *(f"--{name}" for name in way), "--turn"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(shape: str, turns: dict[str, list[dict]]) -> dict:
    """Return what is written of a shape: the milliseconds of all ways, the last one's parts."""
    of_shape = {way: [turn[shape] for turn in each] for way, each in turns.items()}
    *_, last = of_shape.values()
    everything = [step for each in of_shape.values() for step in each]
    return {
        "ms": {way: round(median(each["ms"] for each in of_shape[way]), 2) for way in WAYS},
        "parts_ms": {
            part: round(median(each["parts_ms"][part] for each in last), 3)
            for part in last[0]["parts_ms"]
        },
        "ms_at_ceiling": round(median(each["ms_at_ceiling"] for each in everything), 2),
    }


def main() -> None:
    """Measure in turns, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turn", action="store_true", help="one turn, in this process")
    parser.add_argument("--keep", action="store_true", help="keep freed memory")
    parser.add_argument("--fused", action="store_true", help="with a fused optimizer")
    asked = parser.parse_args()
    if asked.turn:
        print(json.dumps(one_turn(asked.keep, asked.fused)))
        return
    turns = {way: [] for way in WAYS}
    for _ in range(TURNS):
        for way, settings in WAYS.items():
            turns[way].append(in_a_process(settings))
    shapes = list(turns["as it is"][0])
    result = {
        "model": f"1x{HIDDEN}, one-hot",
        "steps": {shape: row(shape, turns) for shape in shapes},
        "machine": (
            f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, "
            f"PyTorch {torch.__version__}"
        ),
    }
    print(json.dumps(result, indent=2))
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
