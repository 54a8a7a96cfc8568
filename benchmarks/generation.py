"""How fast is text written, one character at a time: by a loop as people write it, by generate()?

    .venv/bin/python benchmarks/generation.py [--device cuda]

The loop calls nn.LSTM with a one-hot vector and draws from softmax(logits / T). It runs in a
process of its own, as a script would run it: at every call PyTorch asks the system for the memory
of a copy of the weights, and gives it back. In the process of all others freed memory is kept
(lstmlib.throughput), which doubles the loop's speed. There run the loop again; the same with cells,
also traced and compiled (or, on a GPU, captured as a CUDA graph); the steps of lstmlib.inference by
NumPy alone; generate(), which also notes probabilities and entropies; the same with fast=True, if
Numba is installed; the same by calls of the model; and nine temperatures in one batch. All have one
network's weights. First it is checked that they write the same greedy text and give a text the same
probabilities. Then they write at temperature 1, in turns. A speed is that of the median turn, and
the ratios are to the loop. Writes generation.json beside this file, or generation_gpu.json. (On a
GPU there are neither NumPy nor Numba nor traced and compiled cells, generate() calls the model in
any case, and no process is apart.)

The first call with fast=True is timed in processes of their own: with a cache folder that is empty,
as on a machine where Numba has compiled nothing yet, and with one that the first has filled.

torch.compile needs a C++ compiler. Where it fails, the result says so, and the rest is measured.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lstmlib import generation
from lstmlib.generation import generate, has_fast
from lstmlib.inference import FusedDecoder, ModelDecoder, prefill
from lstmlib.models import CharRNN
from lstmlib.sampling import log_softmax
from lstmlib.throughput import keep_freed_memory
from lstmlib.vocab import Vocab

ROUNDS, LENGTH, CHECKED = 9, 1000, 300
HIDDEN, VOCAB, PROMPT = 256, Vocab(map(chr, range(33, 33 + 65))), "LSTM"
TEMPERATURES = [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8]
LOOP, KEPT = "nn.LSTM", "nn.LSTM, freed memory kept"
ONE, NINE = "generate()", "generate(), nine temperatures"
FAST = "generate(), fast"


def make_model(hidden_size, device):
    """Return a network of random weights, large enough that its greedy text is no single letter."""
    torch.manual_seed(0)
    model = CharRNN(len(VOCAB), hidden_size, num_layers=2)
    for weight in model.parameters():
        nn.init.normal_(weight, std=2 / hidden_size**0.5)
    return model.to(device).eval()


# Networks that take a character and return the logits of the next, and loops around them


class Layers:
    """nn.LSTM and nn.Linear, a sequence of one character at a time."""

    def __init__(self, model):
        self.lstm, self.output, self.V = model.layers, model.output, model.vocab_size
        self.device = model.output.weight.device

    def start(self, ids):
        """Read a prompt from a state of zeros."""
        self.reset()
        for id_ in ids:
            logits = self.step(id_)
        return logits

    def reset(self):
        self.state = None

    def step(self, id_):
        x = F.one_hot(torch.tensor([[id_]], device=self.device), self.V).float()  # (1, 1, V)
        hidden, self.state = self.lstm(x, self.state)
        return self.output(hidden[0, 0])  # (V,)

    def choose(self, logits, temperature):
        if temperature == 0:
            return logits.argmax().item()
        return torch.multinomial(F.softmax(logits / temperature, dim=-1), 1).item()


class CellStep(nn.Module):
    """The step of two cells and the output layer: x (1, V) and states (1, H) to logits, states."""

    def __init__(self, model):
        super().__init__()
        self.output, weights = model.output, model.layers.state_dict()
        sizes = model.vocab_size, model.config["hidden_size"]
        self.cells = nn.ModuleList([nn.LSTMCell(*sizes), nn.LSTMCell(sizes[1], sizes[1])])
        for k, cell in enumerate(self.cells):
            cell.load_state_dict({name: weights[f"{name}_l{k}"] for name in cell.state_dict()})
        self.to(model.output.weight.device)

    def forward(self, x, h0, c0, h1, c1):
        h0, c0 = self.cells[0](x, (h0, c0))
        h1, c1 = self.cells[1](h0, (h1, c1))
        return self.output(h1), h0, c0, h1, c1


class Cells(Layers):
    """A CellStep, as it is, traced or compiled."""

    def __init__(self, model, prepare=lambda step, _: step):
        super().__init__(model)
        sizes = [self.V] + [model.config["hidden_size"]] * 4
        first = [torch.zeros(1, size, device=self.device) for size in sizes]
        self.zeros = first[1:]
        self.run = prepare(CellStep(model), tuple(first))
        self.start([0, 0])  # what is compiled is compiled now

    def reset(self):
        self.state = self.zeros

    def step(self, id_):
        x = F.one_hot(torch.tensor([id_], device=self.device), self.V).float()  # (1, V)
        logits, *self.state = self.run(x, *self.state)
        return logits[0]


class Graph(Layers):
    """A CellStep captured as a CUDA graph, which reads and writes the same arrays every time."""

    def __init__(self, model):
        super().__init__(model)
        H = model.config["hidden_size"]
        # Kept, since a graph has addresses alone: the weights must live as long as it does.
        self.cell_step = step = CellStep(model)
        self.one_hot = torch.eye(self.V, device=self.device)
        self.x = self.one_hot[:1].clone()
        self.state = [torch.zeros(1, H, device=self.device) for _ in range(4)]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step(self.x, *self.state)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            self.logits, *new = step(self.x, *self.state)
            for part, new_part in zip(self.state, new, strict=True):
                part.copy_(new_part)

    def reset(self):
        for part in self.state:
            part.zero_()

    def step(self, id_):
        self.x.copy_(self.one_hot[id_ : id_ + 1])
        self.graph.replay()
        return self.logits[0]


class NumPyDecoder(FusedDecoder):
    """The layout of FusedDecoder, with NumPy's matrix product in place of torch.addmm."""

    def _start(self, state):
        super()._start(state)
        self.parts = [
            tuple(part.numpy() for part in parts)
            for parts in zip(self.matrices, self.biases, self.products, strict=True)
        ]

    def step(self, ids):
        below = self.table[ids]
        for k, (matrix, bias, product) in enumerate(self.parts):
            np.add(below, self.own[k], out=self.z)
            np.tanh(self.z, out=self.z)
            self._remember(self.c[k], self.h_views[k])
            np.matmul(self.h_views[k], matrix, out=product)
            product += bias
            below = self.above[k]
        return below.copy()


class NumPy:
    """A loop around NumPyDecoder, with a draw by NumPy."""

    def __init__(self, model):
        self.model, self.rng = model, np.random.default_rng(0)

    def start(self, ids):
        logits, state = prefill(self.model, [np.array(ids)])
        self.steps = NumPyDecoder(self.model, state)
        return logits[0]

    def step(self, id_):
        return self.steps.step(np.array([id_]))[0]

    def choose(self, logits, temperature):
        if temperature == 0:
            return int(logits.argmax())
        sums = np.exp((logits - logits.max()) / temperature).cumsum()
        return int(sums.searchsorted(self.rng.random() * sums[-1], side="right"))


def write(loop, ids, length, temperature):
    """Return the ids that follow those of a prompt."""
    logits, written = loop.start(ids), []
    for _ in range(length):
        written.append(loop.choose(logits, temperature))
        logits = loop.step(written[-1])
    return written


def log_probability(loop, ids, following):
    """Return the mean log-probability of the ids that follow those of a prompt."""
    logits, total = loop.start(ids), 0.0
    for id_ in following:
        total += log_softmax(logits)[id_]
        logits = loop.step(id_)
    return total / len(following)


def by_calls(*args, **kwargs):
    """Call generate(), which calls the model for each step."""
    with patch.object(generation, "make_decoder", ModelDecoder):
        return generate(*args, **kwargs)


def make_loops(model):
    """Return the loops for a device, by name, and why one is left out."""
    loops, left_out = {KEPT: Layers(model), "nn.LSTMCell": Cells(model)}, {}
    if model.output.weight.device.type == "cuda":
        try:
            loops["nn.LSTMCell, CUDA graph"] = Graph(model)
        except Exception as error:  # what cannot be captured raises errors of many kinds
            left_out["nn.LSTMCell, CUDA graph"] = f"{type(error).__name__}: {error}".split("\n")[0]
        return loops, left_out
    loops["nn.LSTMCell, torch.jit.trace"] = Cells(model, torch.jit.trace)
    try:
        loops["nn.LSTMCell, torch.compile"] = Cells(model, lambda step, _: torch.compile(step))
    except Exception as error:  # of many kinds, where there is no compiler
        left_out["nn.LSTMCell, torch.compile"] = f"{type(error).__name__}: {error}".split("\n")[0]
    return loops | {"NumPy": NumPy(model)}, left_out


# Checked, then measured


def check(model, loops, length):
    """Raise ValueError unless all write one greedy text, and give a drawn one one probability."""
    prompt = VOCAB.encode(PROMPT).tolist()
    drawn = generate(model, VOCAB, PROMPT, length, seed=0)
    greedy = generate(model, VOCAB, PROMPT, length, temperature=0).new
    expected = np.log(drawn.p_before).mean()
    texts = {"generate() by calls": by_calls(model, VOCAB, PROMPT, length, temperature=0).new}
    if model.output.weight.device.type == "cpu" and has_fast():
        texts[FAST] = generate(model, VOCAB, PROMPT, length, temperature=0, fast=True).new
    for name, loop in loops.items():
        texts[name] = VOCAB.decode(write(loop, prompt, length, 0))
        log_p = log_probability(loop, prompt, VOCAB.encode(drawn.new))
        if not abs(log_p - expected) < 1e-4:
            raise ValueError(f"{name} gives a text log p {log_p:.6f}, generate() {expected:.6f}.")
    for name, text in texts.items():
        if text != greedy:
            raise ValueError(f"{name} writes another greedy text than generate().")


def write_apart(hidden_size, length):
    """Return the seconds of the loop in a process of its own, which ends with it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(time_loop, (hidden_size, length))


def time_loop(hidden_size, length):
    """Return the seconds that the loop takes, after a warm-up."""
    with torch.no_grad():
        loop = Layers(make_model(hidden_size, "cpu"))
        write(loop, VOCAB.encode(PROMPT).tolist(), length // 5, 1.0)
        return timed(lambda: write(loop, VOCAB.encode(PROMPT).tolist(), length, 1.0))


def first_calls(hidden_size):
    """Return the seconds of the first call with fast=True: on a new machine, and in a new process.

    Each is the first in a process, and counts the import of Numba.
    """
    named = os.environ.get("NUMBA_CACHE_DIR")
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["NUMBA_CACHE_DIR"] = folder
            seconds = []
            for _ in range(2):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    seconds.append(round(pool.apply(time_first_call, (hidden_size,)), 1))
    finally:
        os.environ.pop("NUMBA_CACHE_DIR")
        os.environ |= {} if named is None else {"NUMBA_CACHE_DIR": named}
    return dict(zip(["nothing compiled before", "compiled before"], seconds, strict=True))


def time_first_call(hidden_size):
    """Return the seconds of the first call of all with fast=True."""
    model = make_model(hidden_size, "cpu")
    generate(model, VOCAB, PROMPT, 2)  # PyTorch's own first call is no part of it
    return timed(lambda: generate(model, VOCAB, PROMPT, 2, fast=True))


def timed(program):
    """Return the seconds of a program, which ends with a number on the CPU: a GPU has done all."""
    start = time.perf_counter()
    program()
    return time.perf_counter() - start


def measure(model, loops, length, rounds, apart=None):
    """Return the characters a second of all ways, by name; the first round warms up.

    On a CPU the first loop runs in a process apart, unless `apart` says otherwise.
    """
    if apart is None:
        apart = model.output.weight.device.type == "cpu"
    prompt = VOCAB.encode(PROMPT).tolist()
    programs = {
        name: lambda loop=loop: write(loop, prompt, length, 1.0) for name, loop in loops.items()
    }
    programs["generate(), calls of the model"] = lambda: by_calls(model, VOCAB, PROMPT, length)
    programs[ONE] = lambda: generate(model, VOCAB, PROMPT, length)
    if model.output.weight.device.type == "cpu" and has_fast():
        programs[FAST] = lambda: generate(model, VOCAB, PROMPT, length, fast=True)
    programs[NINE] = lambda: generate(model, VOCAB, PROMPT, length, TEMPERATURES)
    seconds = {name: [] for name in [LOOP, *programs]}
    for round_ in range(rounds + 1):
        times = {name: timed(program) for name, program in programs.items()}
        times[LOOP] = write_apart(model.config["hidden_size"], length) if apart else times[KEPT]
        for name in seconds if round_ else ():
            seconds[name].append(times[name])
    written = {name: length * (len(TEMPERATURES) if name == NINE else 1) for name in seconds}
    return {name: written[name] / float(np.median(times)) for name, times in seconds.items()}


def summary(speed):
    """Return speeds and ratios as they are written."""
    said = {
        "characters_per_second": {name: round(value) for name, value in speed.items()},
        "ratio": {name: round(value / speed[LOOP], 3) for name, value in speed.items()},
        "ratio_of_nine_temperatures_to_one": round(speed[NINE] / speed[ONE], 3),
    }
    # On a GPU, and without Numba, there is no such speed.
    return said | (
        {"ratio_of_fast_to_plain": round(speed[FAST] / speed[ONE], 3)} if FAST in speed else {}
    )


def run_on_gpu(device, length, rounds, checked, hidden_size=HIDDEN):
    """Return the result for a GPU; on a CPU it rehearses that, with the loops that both have."""
    cudnn, before = torch.backends.cudnn, torch.backends.cudnn.allow_tf32
    cudnn.allow_tf32 = False  # all compute in whole float32
    try:
        model = make_model(hidden_size, device)
        with torch.no_grad():
            if device.type == "cpu":
                loops, left_out = {KEPT: Layers(model), "nn.LSTMCell": Cells(model)}, {}
            else:
                loops, left_out = make_loops(model)
            check(model, loops, checked)
            result = summary(measure(model, loops, length, rounds, apart=False))
    finally:
        cudnn.allow_tf32 = before
    named = f"2x{hidden_size} LSTM, {len(VOCAB)} characters, {length} written in a turn"
    return result | {"rounds": rounds, "left_out": left_out, "model": named}


def main():
    parser = argparse.ArgumentParser(description="Measure the writing of text.")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    device = torch.device(parser.parse_args().device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here.")
    torch.backends.cudnn.allow_tf32 = False  # all compute in whole float32
    keep_freed_memory()
    model = make_model(HIDDEN, device)
    with torch.no_grad():
        loops, left_out = make_loops(model)
        check(model, loops, CHECKED)
        result = summary(measure(model, loops, LENGTH, ROUNDS))
    if device.type == "cpu" and has_fast():
        result["seconds_of_first_fast_call"] = first_calls(HIDDEN)
    result |= {
        "left_out": left_out,
        "model": f"2x{HIDDEN} LSTM, {len(VOCAB)} characters, {LENGTH} written in a turn",
        "machine": f"{device.type}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, "
        f"PyTorch {torch.__version__}, NumPy {np.__version__}",
    }
    print(json.dumps(result, indent=2))
    name = "generation.json" if device.type == "cpu" else "generation_gpu.json"
    Path(__file__).with_name(name).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
