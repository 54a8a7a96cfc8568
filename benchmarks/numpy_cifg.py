"""How fast does scratch.py train case B's network, two CIFG layers of 100, and how well in minutes?

    .venv/bin/python benchmarks/numpy_cifg.py [--minutes 5]

Beside it stands an unbatched loop over single steps, written as case B describes its program: one
sequence of 100, one product for each gate and step, one-hot vectors, gradients summed by outer
products. Both run in turns. Then the machine's ceiling: how many floating-point operations the
matrix products of a character take, and what this machine does at best. With --minutes, both also
train on Shakespeare for that long. Writes numpy_cifg.json beside this file.
"""

import argparse
import json
import math
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lstmlib import scratch
from lstmlib.batching import Streams, split
from lstmlib.corpora import load_corpus
from lstmlib.scratch import CIFG
from lstmlib.vocab import Vocab

HIDDEN, LAYERS, ROUNDS = 100, 2, 7
SHAPES = [(1, 100), (16, 50), (32, 100), (64, 100)]  # batch_size, seq_len
TRAIN_SHAPE = (16, 50)


class StepLoop:
    """Two CIFG layers, one sequence, a Python loop over steps, gates, and nothing batched."""

    def __init__(self, vocab_size):
        rng = np.random.default_rng(0)
        self.V, self.w = vocab_size, {}
        for k in range(LAYERS):
            D = HIDDEN if k else vocab_size
            for gate in "igo":
                self.w[f"W{gate}{k}"] = self.uniform(rng, HIDDEN, D)
                self.w[f"U{gate}{k}"] = self.uniform(rng, HIDDEN, HIDDEN)
                self.w[f"b{gate}{k}"] = np.zeros(HIDDEN, np.float32)
        self.w["Wy"], self.w["by"] = (
            self.uniform(rng, vocab_size, HIDDEN),
            np.zeros(vocab_size, np.float32),
        )
        self.optimizer = scratch.Adam(0.003)
        self.reset()

    @staticmethod
    def uniform(rng, rows, columns):
        return rng.uniform(-0.1, 0.1, (rows, columns)).astype(np.float32)

    def reset(self):
        self.state = [(np.zeros(HIDDEN, np.float32),) * 2 for _ in range(LAYERS)]

    def forward_step(self, x):
        kept, w = [], self.w
        for k, (h, c) in enumerate(self.state):
            i = 1 / (1 + np.exp(-(w[f"Wi{k}"] @ x + w[f"Ui{k}"] @ h + w[f"bi{k}"])))
            g = np.tanh(w[f"Wg{k}"] @ x + w[f"Ug{k}"] @ h + w[f"bg{k}"])
            o = 1 / (1 + np.exp(-(w[f"Wo{k}"] @ x + w[f"Uo{k}"] @ h + w[f"bo{k}"])))
            c_new = (1 - i) * c + i * g
            kept.append((x, h, c, i, g, o, c_new))
            x = o * np.tanh(c_new)
            self.state[k] = (x, c_new)
        logits = w["Wy"] @ x + w["by"]
        p = np.exp(logits - logits.max())
        return kept, x, p / p.sum()

    def train(self, x, y):
        """One iteration over ids (T,): forwards, backwards step by step, clip, Adam."""
        steps, loss, one_hot = [], 0.0, np.eye(self.V, dtype=np.float32)
        for id_, target in zip(x, y, strict=True):
            steps.append(self.forward_step(one_hot[id_]))
            loss -= math.log(max(steps[-1][2][target], 1e-30))
        d = {name: np.zeros_like(a) for name, a in self.w.items()}
        later = [(np.zeros(HIDDEN, np.float32),) * 2 for _ in range(LAYERS)]
        for (kept, h, p), target in zip(reversed(steps), reversed(y), strict=True):
            dlogits = p - one_hot[target]
            d["Wy"] += np.outer(dlogits, h)
            d["by"] += dlogits
            dx = self.w["Wy"].T @ dlogits
            for k in reversed(range(LAYERS)):
                dx = self.backward_step(k, kept[k], dx, later, d)
        self.optimizer.step(self.w, {name: np.clip(g, -1, 1) for name, g in d.items()})
        return loss / len(x)

    def backward_step(self, k, kept, dh, later, d):
        (x, h, c, i, g, o, c_new), (dh_next, dc_next), w = kept, later[k], self.w
        dh, tanh_c = dh + dh_next, np.tanh(c_new)
        dc = dc_next + dh * o * (1 - tanh_c**2)
        dz = {
            "i": dc * (g - c) * i * (1 - i),
            "g": dc * i * (1 - g**2),
            "o": dh * tanh_c * o * (1 - o),
        }
        dx, dh_before = 0, 0
        for gate, change in dz.items():
            d[f"W{gate}{k}"] += np.outer(change, x)
            d[f"U{gate}{k}"] += np.outer(change, h)
            d[f"b{gate}{k}"] += change
            dx = dx + w[f"W{gate}{k}"].T @ change
            dh_before = dh_before + w[f"U{gate}{k}"].T @ change
        later[k] = (dh_before, dc * (1 - i))
        return dx

    def evaluate(self, ids):
        self.reset()
        total = 0.0
        for id_, target in pairwise(ids):
            _, _, p = self.forward_step(np.eye(self.V, dtype=np.float32)[id_])
            total -= math.log(max(p[target], 1e-30))
        return total / (len(ids) - 1)


class Scratch:
    """The same network by scratch.py, batched."""

    def __init__(self, vocab_size):
        self.weights = scratch.init_weights(CIFG, vocab_size, HIDDEN, LAYERS)
        self.optimizer, self.state = scratch.Adam(0.005), None

    def reset(self):
        self.state = None

    def train(self, x, y):
        loss, self.state = scratch.train_step(
            self.weights, CIFG, x, y, self.state, self.optimizer, unit_norm
        )
        return loss


def unit_norm(gradients):
    return scratch.clip_by_global_norm(gradients, 1.0)[0]


def flops_per_character(V):
    """Floating-point operations in matrix products: once forwards, twice backwards."""
    products = (
        HIDDEN * 3 * HIDDEN * (2 * LAYERS - 1) + HIDDEN * V
    )  # Wh of all, Wx of all but one, Wy
    return 2 * (3 * products + V * 3 * HIDDEN)  # and the first Wx's gradient, a one-hot product


def ceiling():
    """Return the operations a second of a 1024³ float32 product."""
    a, times = np.ones((1024, 1024), np.float32), []
    for _ in range(20):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / np.median(times)


def speeds(V, ids):
    """Return characters a second of the loop and of each batch shape, measured in turns."""
    seconds = {"loop": []} | {shape: [] for shape in SHAPES}
    loop, nets = StepLoop(V), {shape: Scratch(V) for shape in SHAPES}
    for round_ in tqdm(range(ROUNDS + 1)):
        for name in seconds:
            batch, length = (1, 100) if name == "loop" else name
            x, y = Streams(ids, batch, length).batch(round_)
            start = time.perf_counter()
            for _ in range(5):
                loop.train(x[0], y[0]) if name == "loop" else nets[name].train(x, y)
            if round_:  # the first round warms up
                seconds[name].append((time.perf_counter() - start) / 5 / (batch * length))
    return {name: 1 / np.median(times) for name, times in seconds.items()}


def train_for(net, streams, seconds, one_sequence):
    """Train until the time is up; the batched network's learning rate falls along a cosine."""
    start, k, peak = time.perf_counter(), 0, net.optimizer.learning_rate
    while (done := (time.perf_counter() - start) / seconds) < 1:
        if k % len(streams) == 0:
            net.reset()
        x, y = streams.batch(k % len(streams))
        if not one_sequence:
            warm = min(1.0, (k + 1) / 200)
            net.optimizer.learning_rate = peak * warm * 0.5 * (1 + math.cos(math.pi * done))
        net.train(x[0], y[0]) if one_sequence else net.train(x, y)
        k += 1
    return k * streams.batch_size * streams.seq_len


def losses(V, train_ids, valid_ids, minutes):
    """Train both for some minutes; return validation loss and characters seen of each."""
    loop, net = StepLoop(V), Scratch(V)
    seen = {"loop": train_for(loop, Streams(train_ids, 1, 100), 60 * minutes, True)}
    seen["scratch"] = train_for(net, Streams(train_ids, *TRAIN_SHAPE), 60 * minutes, False)
    valid = {"loop": loop.evaluate(valid_ids)}
    valid["scratch"] = scratch.evaluate(net.weights, CIFG, valid_ids)
    return {"minutes": minutes, "valid_loss": valid, "characters": seen}


def main():
    parser = argparse.ArgumentParser(description="Measure the NumPy CIFG.")
    parser.add_argument("--minutes", type=float, help="also train both for so long")
    minutes = parser.parse_args().minutes
    text = load_corpus("shakespeare").text
    vocab = Vocab.from_text(text)
    V, (train_ids, valid_ids) = len(vocab), split(vocab.encode(text), 0.1)
    speed = speeds(V, train_ids)
    loop, best, peak = speed.pop("loop"), max(speed, key=speed.get), ceiling()
    share = speed[best] * flops_per_character(V) / peak
    result = {
        "characters_per_second": {"loop": round(loop)}
        | {f"scratch, batch {n}, sequence {t}": round(value) for (n, t), value in speed.items()},
        "ratio_to_loop": {
            f"batch {n}, sequence {t}": round(v / loop, 1) for (n, t), v in speed.items()
        },
        "flops_per_character": flops_per_character(V),
        "gigaflops_of_1024_cubed": round(peak / 1e9, 1),
        "share_of_ceiling_at_best_shape": round(share, 3),
        "machine": f"{os.cpu_count()} CPU cores, NumPy {np.__version__}",
    }
    if minutes:
        result["trained"] = losses(V, train_ids, valid_ids, minutes)
    print(json.dumps(result, indent=2))
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
