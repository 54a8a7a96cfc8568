"""What does fit() cost over a bare PyTorch loop, and what do its diagnostics? All in turns.

    .venv/bin/python benchmarks/training_overhead.py

Prints the ratio of fit()'s speed to the bare loop's, and of fit() with diagnostics at every step to
fit() without, and writes training_overhead.json beside it. `compare`, for tools/gpu_speed.py, sets
fit() beside a loop for a GPU: all on the device, the fused Adam, and no number ever fetched. There
the clock runs after the first steps, from one moment at which the device has done all to another.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F

from lstmlib import training
from lstmlib.batching import Streams
from lstmlib.diagnostics import Diagnostics
from lstmlib.models import CharRNN, detach
from lstmlib.precision import autocast
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import synchronize
from lstmlib.training import fit
from lstmlib.vocab import Vocab

ROUNDS, STEPS, BATCH_SIZE, SEQ_LEN, HIDDEN = 12, 60, 16, 64, 384


def bare_loop(model, ids):
    """Train as a tutorial would: stateful truncated BPTT, Adam, PyTorch's own clipping."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    state = None
    for x, y in list(Streams(ids, BATCH_SIZE, SEQ_LEN))[:STEPS]:
        logits, state = model(torch.from_numpy(x), state)
        loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(y).flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        state = detach(state)


def with_fit(model, ids, diagnostics=None):
    """Train the same steps with fit(), progress bar and history included."""
    config = TrainingConfig(STEPS, BATCH_SIZE, SEQ_LEN)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        fit(model, ids, None, config, diagnostics=diagnostics)


def watched(model, ids):
    """Train the same steps with fit(), and record all that it can at each of them."""
    with_fit(model, ids, Diagnostics())


# On any device, without the setting-up

BARE, FIT, WAITING = "bare loop", "fit()", "fit(), waiting at every step"


def steady_loop(model, ids, config, first):
    """Return the seconds of the steps behind the first ones, in a loop that never waits."""
    model.train()
    device = next(model.parameters()).device
    fused = {"fused": True} if device.type == "cuda" else {}
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, **fused)
    streams, state = Streams(ids, config.batch_size, config.seq_len), None
    x_all, y_all = (torch.from_numpy(part).to(device) for part in (streams.x, streams.y))
    for step in range(config.steps):
        if step == first:
            synchronize(device)
            start = time.perf_counter()
        columns = slice(step * config.seq_len, (step + 1) * config.seq_len)
        with autocast(config.precision, device):
            logits, state = model(x_all[:, columns], state)
        loss = F.cross_entropy(logits.float().flatten(0, 1), y_all[:, columns].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        state = detach(state)
    synchronize(device)
    return time.perf_counter() - start


def steady_fit(model, ids, config, first):
    """Return the seconds of the steps behind the first ones in fit(), its history fetched."""
    device, start = next(model.parameters()).device, []

    def on_step(history):
        if len(history) == first:
            synchronize(device)
            start.append(time.perf_counter())

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        history = fit(model, ids, None, config, on_step)
    if len(history.rows) != config.steps or history.skipped:
        raise ValueError("fit() did not take all steps.")
    synchronize(device)
    return time.perf_counter() - start[0]


def steady_fit_that_waits(model, ids, config, first):
    """Do as `steady_fit`, where fit() fetches loss and norm at every step, as it must on a CPU."""
    with patch.object(training, "_defers", lambda *_: False):
        return steady_fit(model, ids, config, first)


def compare(device, hidden_size, config, first, seconds, vocab_size=96):
    """Return the row of one model: seconds a step and ratios of speed, by medians of rounds.

    Args:
        device: where all of them train.
        hidden_size: of one layer.
        config: TrainingConfig with the steps of a turn.
        first: steps of a turn that are not timed.
        seconds: begin no more rounds after so many; three are taken in any case, and a first one
            that only warms up.
        vocab_size: of the random text.
    """
    programs = {BARE: steady_loop, FIT: steady_fit, WAITING: steady_fit_that_waits}
    length = config.batch_size * config.seq_len * config.steps + 1
    ids = np.random.default_rng(0).integers(vocab_size, size=length)
    times, begin = {name: [] for name in programs}, time.perf_counter()
    while len(times[BARE]) < 4 or time.perf_counter() - begin < seconds:
        # Each comes first as often as the others: a GPU's clock moves within a round.
        turn = len(times[BARE]) % len(programs)
        for name in [*programs, *programs][turn : turn + len(programs)]:
            train = programs[name]
            torch.manual_seed(0)
            model = CharRNN(vocab_size, hidden_size, num_layers=1, dropout=0.2).to(device)
            times[name].append(train(model, ids, config, first) / (config.steps - first))
    step = {name: float(np.median(each[1:])) for name, each in times.items()}
    return {
        "hidden_size": hidden_size,
        "precision": config.precision,
        "rounds": len(times[BARE]) - 1,
        "milliseconds_per_step": {name: float(f"{1000 * s:.4g}") for name, s in step.items()},
        "ratio": {name: round(step[BARE] / s, 3) for name, s in step.items() if name != BARE},
    }


def main():
    from lstmlib.corpora import load_corpus

    text = load_corpus("python-docs").text
    vocab = Vocab.from_text(text)
    ids = vocab.encode(text)
    programs = {"bare loop": bare_loop, "fit()": with_fit, "fit() with diagnostics": watched}
    seconds = {name: [] for name in programs}
    for round_ in range(ROUNDS + 1):
        for name, train in programs.items():
            torch.manual_seed(0)
            model = CharRNN(len(vocab), HIDDEN, num_layers=1, dropout=0.2)
            start = time.perf_counter()
            train(model, ids)
            if round_:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    characters = STEPS * BATCH_SIZE * SEQ_LEN
    speed = {name: characters / sorted(times)[ROUNDS // 2] for name, times in seconds.items()}
    result = {
        "characters_per_second": {name: round(value) for name, value in speed.items()},
        "ratio": round(speed["fit()"] / speed["bare loop"], 3),
        "ratio_with_diagnostics": round(speed["fit() with diagnostics"] / speed["fit()"], 3),
        "model": f"1x{HIDDEN}, batch {BATCH_SIZE}, sequence {SEQ_LEN}",
        "machine": f"{os.cpu_count()} CPU cores, PyTorch {torch.__version__}",
    }
    for name, value in speed.items():
        print(f"{name:<22} {value:>9,.0f} characters per second (median of {ROUNDS})")
    print(f"fit() runs at {result['ratio']:.3f} times the speed of the bare loop")
    print(f"with diagnostics it runs at {result['ratio_with_diagnostics']:.3f} times that speed")
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
