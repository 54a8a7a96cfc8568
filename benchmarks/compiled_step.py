"""Does torch.compile, or on a GPU a CUDA graph, make a training step of the LSTM faster?

    .venv/bin/python benchmarks/compiled_step.py

The plain step and the others in one run, in turns. Writes compiled_step.json beside this file.
torch.compile needs a C++ compiler. By default it leaves nn.LSTM as it is, a fused call already, and
compiles what stands around it.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lstmlib.models import CharRNN
from lstmlib.speed import synchronize

ROUNDS, STEPS, BATCH_SIZE, SEQ_LEN, HIDDEN, VOCAB = 9, 10, 16, 64, 384, 96


def make_step(device, compiled):
    """Return a function that takes one training step; its loss goes from ids to a number."""
    torch.manual_seed(0)
    model = CharRNN(VOCAB, HIDDEN, 1).to(device)
    ids = torch.randint(VOCAB, (BATCH_SIZE, SEQ_LEN + 1), device=device)
    optimizer = torch.optim.Adam(model.parameters(), capturable=device.type == "cuda")

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
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay


def main():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = {"plain": make_step(device, False), "torch.compile": make_step(device, True)}
    if device.type == "cuda":
        steps["CUDA graph"] = in_a_graph(make_step(device, False))
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
    median = {name: float(np.median(times)) for name, times in seconds.items()}
    result = {
        "milliseconds_per_step": {name: round(1000 * m, 2) for name, m in median.items()},
        "speed_over_plain": {name: round(median["plain"] / m, 3) for name, m in median.items()},
        "model": f"1x{HIDDEN}, batch {BATCH_SIZE}, sequence {SEQ_LEN}",
        "machine": f"{device.type}, {os.cpu_count()} CPU cores, PyTorch {torch.__version__}",
    }
    print(json.dumps(result, indent=2))
    name = "compiled_step.json" if device.type == "cpu" else "compiled_step_gpu.json"
    Path(__file__).with_name(name).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
