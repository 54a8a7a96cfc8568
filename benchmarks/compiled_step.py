"""Does torch.compile, or on a GPU a CUDA graph, make a training step of the LSTM faster?

    .venv/bin/python benchmarks/compiled_step.py

The plain step and the others in one run, in turns. Writes compiled_step.json beside this file, or
compiled_step_gpu.json.
torch.compile needs a C++ compiler. By default it leaves nn.LSTM as it is, a fused call already, and
compiles what stands around it.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lstmlib.models import CharRNN
from lstmlib.serialization import atomic_write
from lstmlib.throughput import synchronize

COMPILED, GRAPH = "torch.compile", "CUDA graph"
ROUNDS, STEPS, BATCH_SIZE, SEQ_LEN, HIDDEN, VOCAB = 9, 10, 16, 64, 384, 96
if os.environ.get("LSTMLIB_TINY_STEP"):  # as tools/gpu_speed.py rehearses it
    ROUNDS, STEPS, BATCH_SIZE, SEQ_LEN, HIDDEN = 3, 2, 2, 4, 8


def make_step(device, compiled, capturable=False):
    """Return a function that takes one training step; its loss goes from ids to a number."""
    torch.manual_seed(0)
    model = CharRNN(VOCAB, HIDDEN, 1).to(device)
    ids = torch.randint(VOCAB, (BATCH_SIZE, SEQ_LEN + 1), device=device)
    options = {"fused": True, "capturable": capturable} if device.type == "cuda" else {}
    optimizer = torch.optim.Adam(model.parameters(), **options)

    def loss_of(x, y):
        return F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten())

    run = torch.compile(loss_of) if compiled else loss_of

    def step():
        optimizer.zero_grad()
        run(ids[:, :-1], ids[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


def in_a_graph(step):
    """Return the same step, captured once as a CUDA graph and replayed."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())  # the weights are made there
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()

    def replay():
        graph.replay()

    replay.step = step  # a graph has addresses alone: weights and ids must live as long as it does
    return replay


def tried(step):
    """Return a step that has run once: torch.compile compiles only then."""
    step()
    return step


def add(steps, left_out, name, make):
    """Add a step, or say why it is left out: without a compiler, errors are of many kinds."""
    try:
        steps[name] = make()
    except Exception as error:
        left_out[name] = f"{type(error).__name__}: {error}".split("\n")[0]


def measure(steps, device):
    """Return the median seconds of each step, by name, all in turns."""
    seconds = {name: [] for name in steps}
    for round_ in range(ROUNDS + 2):
        for name, step in steps.items():
            synchronize(device)
            start = time.perf_counter()
            for _ in range(STEPS):
                step()
            synchronize(device)
            if round_ > 1:  # the first rounds compile and warm up
                seconds[name].append((time.perf_counter() - start) / STEPS)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def summary(median, left_out, device):
    """Return what the result file holds."""
    return {
        "milliseconds_per_step": {name: float(f"{1000 * m:.4g}") for name, m in median.items()},
        "speed_over_plain": {name: round(median["plain"] / m, 3) for name, m in median.items()},
        "left_out": left_out,
        "model": f"1x{HIDDEN}, batch {BATCH_SIZE}, sequence {SEQ_LEN}",
        "machine": f"{device.type}, {os.cpu_count()} CPU cores, PyTorch {torch.__version__}",
    }


def write(path, result):
    atomic_write(path, (json.dumps(result, indent=2) + "\n").encode())


def main():
    parser = argparse.ArgumentParser(description="Measure a training step, plain and compiled.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="file; else compiled_step(_gpu).json beside this")
    parser.add_argument(
        "--limit", help="note this limit, in words, until torch.compile is measured"
    )
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    name = "compiled_step.json" if device.type == "cpu" else "compiled_step_gpu.json"
    path, left_out = arguments.out or Path(__file__).with_name(name), {}
    steps = {"plain": make_step(device, False)}
    if device.type == "cuda":
        add(steps, left_out, GRAPH, lambda: in_a_graph(make_step(device, False, capturable=True)))
    if arguments.limit:  # what stands if whoever started this ends it then
        not_yet = left_out | {COMPILED: f"took longer than {arguments.limit}"}
        write(path, summary(measure(steps, device), not_yet, device))
    add(steps, left_out, COMPILED, lambda: tried(make_step(device, True)))
    result = summary(measure(steps, device), left_out, device)
    print(json.dumps(result, indent=2))
    write(path, result)


if __name__ == "__main__":
    main()
