"""What does a Python loop over the characters cost, and how near is fit() to the machine's ceiling?

    .venv/bin/python benchmarks/character_loop.py

Programs in the style of char-rnn.pytorch call the network once for every character of a chunk, add
up the losses, and take one step per chunk. fit() hands the whole chunk to the fused layers. Both
train the same network on the same batches, with the same losses, in turns; the sizes of the batch
are the defaults of that program. The ratio is that of the characters trained on per second.

Then fit() against the ceiling, also in turns: the floating-point operations a second that its
matrix products need, as a share of those of one 1024³ product in float32. Once as
lstmlib.throughput.flops_per_character counts them, and once as 6 for every parameter.

A step's time is the median over all turns, without the first steps of each. All of it is measured
twice: as Python starts, and with `lstmlib.throughput.keep_freed_memory`, which large batches gain
from.
Writes character_loop.json beside this file.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lstmlib.batching import Streams
from lstmlib.corpora import load_corpus
from lstmlib.models import CharRNN, count_parameters, detach
from lstmlib.settings import TrainingConfig
from lstmlib.throughput import flops_per_character, keep_freed_memory, matmul_throughput
from lstmlib.training import fit
from lstmlib.vocab import Vocab

TURNS, WARM_UP = 5, 2
HIDDEN, LAYERS, BATCH_SIZE, CHUNK, STEPS = 128, 2, 100, 200, 6
CEILING_HIDDEN, CEILING_CHARACTERS = 384, 2**15  # at least so many characters in a turn
CEILING_SHAPES = ((16, 64), (64, 128), (256, 64))  # batch_size, seq_len


def settings(batch_size, seq_len, steps):
    return TrainingConfig(steps, batch_size, seq_len, clip_norm=None)


def by_character(model, x, y, state):
    """Return (mean loss, state) of a chunk (B, T), with one call of the model per character."""
    loss = 0.0
    for c in range(x.shape[1]):
        logits, state = model(x[:, c : c + 1], state)
        loss = loss + F.cross_entropy(logits[:, 0], y[:, c])
    return loss / x.shape[1], state


def train_by_character(model, ids, config):
    """Train as fit() would, but character by character; return each step's (losses, ends)."""
    model.train()
    optimizer = config.make_optimizer(model.parameters())
    streams = Streams(ids, config.batch_size, config.seq_len)
    losses, ends, state = [], [], None
    for step in range(config.steps):
        k = step % len(streams)
        x, y = (torch.from_numpy(part) for part in streams.batch(k))
        loss, state = by_character(model, x, y, state if k else None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        state = detach(state)
        ends.append(time.perf_counter())
    return losses, ends


def train_by_chunk(model, ids, config):
    """Train with fit(); return each step's (losses, ends)."""
    history = fit(model, ids, None, config, progress=False)
    return history.column("loss")[1], history.column("seconds")[1]


def characters_per_second(turns, config):
    """Return the speed of the median step, from the ends of each turn's steps in seconds."""
    seconds = np.concatenate([np.diff(ends)[WARM_UP - 1 :] for ends in turns])
    return config.batch_size * config.seq_len / np.median(seconds)


def against_loop(ids, vocab_size):
    """Return the speeds of the loop and of fit(), and their ratio."""
    config = settings(BATCH_SIZE, CHUNK, STEPS + WARM_UP)
    ways = {"character loop": train_by_character, "fit()": train_by_chunk}
    turns = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, train in ways.items():
            torch.manual_seed(0)
            model = CharRNN(vocab_size, HIDDEN, LAYERS, embedding_size=HIDDEN)
            turns[name].append(train(model, ids, config)[1])
    speed = {name: characters_per_second(ends, config) for name, ends in turns.items()}
    return {
        "characters_per_second": {name: round(value) for name, value in speed.items()},
        "ratio": round(speed["fit()"] / speed["character loop"], 3),
        "model": f"{LAYERS}x{HIDDEN}, embedding {HIDDEN}, batch {BATCH_SIZE}, chunk {CHUNK}",
    }


def against_ceiling(ids, vocab_size):
    """Return fit()'s speeds at several shapes, and their shares of the matrix product's speed."""
    configs = {
        (b, t): settings(b, t, max(CEILING_CHARACTERS // (b * t), 2) + WARM_UP)
        for b, t in CEILING_SHAPES
    }
    turns, products = {shape: [] for shape in configs}, []
    for _ in range(TURNS):
        for shape, config in configs.items():
            torch.manual_seed(0)
            model = CharRNN(vocab_size, CEILING_HIDDEN, 1)
            turns[shape].append(train_by_chunk(model, ids, config)[1])
            products.append(matmul_throughput(torch.device("cpu")))
    operations = {
        "counted": flops_per_character(model),
        "six_per_parameter": 6 * count_parameters(model),
    }
    peak, rows = float(np.median(products)), []
    for (batch_size, seq_len), config in configs.items():
        speed = characters_per_second(turns[batch_size, seq_len], config)
        row = {"batch_size": batch_size, "seq_len": seq_len, "characters_per_second": round(speed)}
        row["share"] = {name: round(speed * n / peak, 3) for name, n in operations.items()}
        rows.append(row)
    return {
        "model": f"1x{CEILING_HIDDEN}, one-hot",
        "product_operations_per_second": round(peak),
        "flops_per_character": operations,
        "shapes": rows,
    }


def measure(ids, vocab_size):
    """Return both comparisons."""
    return against_loop(ids, vocab_size) | {"ceiling": against_ceiling(ids, vocab_size)}


def main():
    text = load_corpus("shakespeare").text
    vocab = Vocab.from_text(text)
    ids = vocab.encode(text)
    result = {"freed memory given back": measure(ids, len(vocab))}
    if keep_freed_memory():
        result["freed memory kept"] = measure(ids, len(vocab))
    result["machine"] = (
        f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, "
        f"PyTorch {torch.__version__}"
    )
    print(json.dumps(result, indent=2))
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
