"""What does fit() cost over a bare PyTorch loop, and what do its diagnostics? All in turns.

    .venv/bin/python benchmarks/training_overhead.py

Prints the ratio of fit()'s speed to the bare loop's, and of fit() with diagnostics at every step to
fit() without, and writes training_overhead.json beside it.
"""

import contextlib
import json
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from lstmlib.batching import Streams
from lstmlib.corpora import load_corpus
from lstmlib.diagnostics import Diagnostics
from lstmlib.models import CharRNN, detach
from lstmlib.training import TrainingConfig, fit
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


def main():
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
