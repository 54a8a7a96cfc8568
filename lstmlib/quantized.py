"""Steps of generation compiled by Numba, from weights of 16 bits: the fast way for a few texts.

The module is an extra (`pip install "lstmlib[fast]"`). `generation` imports it where `fast=True`
asks for it. benchmarks/generation.json holds its speed beside that of `generate()` without it.

Two things cost time in a step of `FusedDecoder` with one text: each of its weights passes through
the processor's cache in 32 bits, and each call of Python costs about as much as what it calls
computes. Here the weights have 16 bits, and one call takes many steps. A row of a matrix is whole
numbers times a scale of its own, and so is a hidden state. Their product is a sum of whole numbers,
which a processor computes several at a time. It is exact: all rounding is in the weights and
in the state.

The first call on a machine compiles, which takes seconds, and says so. What was compiled is kept in
the user's cache folder, or in the folder that $NUMBA_CACHE_DIR names.

Sizes in comments: N texts, H units, L layers, V tokens, G·H gates of a layer, K steps.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pooch
import torch
from numba import njit
from torch import Tensor

from lstmlib.inference import FusedDecoder
from lstmlib.models import CharRNN, State

TOP = 2**13 - 1
"""The whole number that stands for 1 in a hidden state."""
FEW = 8
"""Up to so many texts these steps are the faster ones. For more, `FusedDecoder` reads each weight
once for all texts."""
f32, i32 = np.float32, np.int32


class Network(NamedTuple):
    """A network's weights, as the steps read them; all but `rows` in float32.

    Attributes:
        table: the first layer's input product of each token, (V, G·H).
        rows: of each layer, the rows that read its h for itself, and then those that read it for
            the layer above, (L, 2·G·H, H) int16. The last layer has zeros in place of the latter.
        scales: what a whole number of each row stands for, times what it stands for in h, (L,
            2·G·H).
        bias: of the layer above each, (L, G·H).
        output, shift: the output layer, (V, H) and (V,).
        eps: the constant of the norm before the output layer; 0 stands for no norm.
        is_lstm: False for an RNN, which has no gates.
    """

    table: np.ndarray
    rows: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    output: np.ndarray
    shift: np.ndarray
    eps: float
    is_lstm: bool


class Memory(NamedTuple):
    """What a step leaves for the next, float32.

    Attributes:
        own: each layer's h times its recurrent matrix, (L, N, G·H).
        h, c: the state, (L, N, H) each.
    """

    own: np.ndarray
    h: np.ndarray
    c: np.ndarray


def _kept(compiler: Callable) -> Callable:
    """Return a decorator that compiles a function by Numba, and keeps the result for later."""

    def decorate(function: Callable) -> Callable:
        # Numba would keep it beside this file. A folder of a course is no place for that, and may
        # be read-only. Numba asks for the folder when a function is decorated, and only then.
        named = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = named or str(Path(pooch.os_cache("lstmlib")) / "numba")
        try:
            return compiler(cache=True)(function)
        except RuntimeError:  # no folder can be written: it is compiled in every process
            return compiler()(function)
        finally:
            numba.config.CACHE_DIR = named

    return decorate


def _sums(**options: object) -> Callable:
    """Compile for sums in any order, several terms at a time; no division is checked for a 0."""
    return njit(fastmath=True, error_model="numpy", **options)


@_kept(_sums)
def _tanh(x: float) -> float:
    """Return tanh x by additions, products and divisions, which a processor does for many x.

    A continued fraction of Lambert gives tanh(x/4): y / (1 + y² / (3 + y² / (5 + y² / 7))), here
    as one division. tanh 2y = 2 tanh y / (1 + tanh² y) gives tanh x, off by 2e-7 at most.
    """
    y = f32(0.25) * min(max(x, f32(-9)), f32(9))  # beyond 9, tanh is 1 in 32 bits
    s = y * y
    t = y * (f32(105) + f32(10) * s) / (f32(105) + s * (f32(45) + s))
    t = f32(2) * t / (f32(1) + t * t)
    return f32(2) * t / (f32(1) + t * t)


@_kept(_sums)
def _add_up(
    H: int, rows: np.ndarray, scales: np.ndarray, code: np.ndarray, out: np.ndarray
) -> None:
    """Do what `_multiply` says; H is the length of the state."""
    for r in range(len(out)):
        row, total = rows[r], i32(0)
        for j in range(H):
            # Numba adds in 64 bits. The cast back lets the processor stay in 32.
            total = i32(total + i32(row[j]) * i32(code[j]))
        out[r] = scales[r] * f32(total)


@_kept(_sums)
def _multiply(rows: np.ndarray, scales: np.ndarray, code: np.ndarray, out: np.ndarray) -> None:
    """Write the products of rows (R, H) and a state in whole numbers (H,) into out (R,)."""
    # A number of terms that the compiler knows makes a loop faster. These two are the course's.
    if len(code) == 256:
        _add_up(256, rows, scales, code, out)
    elif len(code) == 128:
        _add_up(128, rows, scales, code, out)
    else:
        _add_up(len(code), rows, scales, code, out)


@_kept(_sums)
def _remember(z: np.ndarray, h: np.ndarray, c: np.ndarray, is_lstm: bool) -> None:
    """Write the next h and c, (H,) each; z (G·H,) is as in `FusedDecoder._remember`."""
    H = len(h)
    if not is_lstm:
        h[:] = z
        return
    i, f, o, g = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H :]
    half = f32(0.5)
    for j in range(H):
        c[j] = (half + half * f[j]) * c[j] + (half + half * i[j]) * g[j]
        h[j] = (half + half * o[j]) * _tanh(c[j])


@_kept(_sums)
def _read_out(net: Network, h: np.ndarray, logits: np.ndarray) -> None:
    """Write the logits (V,) that follow from the last layer's h (H,)."""
    H, mean, scale = len(h), f32(0), f32(1)
    if net.eps > 0:
        mean = h.sum() / f32(H)
        variance = f32(0)
        for j in range(H):
            variance += (h[j] - mean) ** 2
        scale = f32(1) / np.sqrt(variance / f32(H) + f32(net.eps))
    for v in range(len(logits)):
        row, total = net.output[v], f32(0)
        for j in range(H):
            total += row[j] * (h[j] - mean)
        logits[v] = total * scale + net.shift[v]


@_kept(_sums)
def _step(net: Network, memory: Memory, ids: np.ndarray, logits: np.ndarray) -> None:
    """Read one character of each text, ids (N,); write the logits of the next, (N, V)."""
    L, N, H = memory.h.shape
    width = memory.own.shape[2]  # G·H
    above, code = np.empty(width, f32), np.empty(H, np.int16)
    for n in range(N):
        below = net.table[ids[n]]
        for k in range(L):
            z, h = memory.own[k, n], memory.h[k, n]
            for j in range(width):
                z[j] = _tanh(z[j] + below[j])
            _remember(z, h, memory.c[k, n], net.is_lstm)
            for j in range(H):
                # Rounded: a cast cuts off, and is faster than rint where all are above 0.
                code[j] = i32(h[j] * f32(TOP) + f32(TOP + 0.5)) - TOP
            _multiply(net.rows[k, :width], net.scales[k, :width], code, z)  # for the next step
            if k + 1 < L:
                _multiply(net.rows[k, width:], net.scales[k, width:], code, above)
                for j in range(width):
                    above[j] += net.bias[k, j]
                below = above
        _read_out(net, memory.h[L - 1, n], logits[n])


@_kept(njit)
def _temper(logits: np.ndarray, temperature: float, weights: np.ndarray) -> None:
    """Write what `sampling.apply_temperature` returns, up to a constant, into weights (V,)."""
    largest = logits.max()
    if temperature == 0:
        weights[:] = -np.inf
        weights[logits.argmax()] = 0
        return
    for v in range(len(logits)):
        weights[v] = (np.float64(logits[v]) - largest) / max(temperature, 1e-290)


@_kept(njit)
def _draw(weights: np.ndarray, u: float) -> int:
    """Return the id that `sampling.draw` draws from weights (V,), of which the largest is 0."""
    order = np.argsort(-weights, kind="mergesort")  # most probable first; stable
    powers = np.exp(weights)
    total = 0.0
    for v in order:
        total += powers[v]
    passed = 0.0
    for v in order:
        passed += powers[v]
        if passed > u * total:
            return v
    return order[0]  # never: u is below 1


@_kept(njit)
def _write(
    net: Network,
    memory: Memory,
    ids: np.ndarray,
    uniforms: np.ndarray,
    temperatures: np.ndarray,
    end: int,
    results: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> int:
    """Take up to K steps; return how many were taken. A text that draws `end` stops them all.

    The arguments are those of `CompiledDecoder.write`. It returns what is written into `results`.
    """
    logits, weights, drawn = results
    for t in range(len(uniforms)):
        _step(net, memory, ids, logits[t])
        ended = False
        for n in range(len(ids)):
            _temper(logits[t, n], temperatures[n], weights[t, n])
            ids[n] = drawn[t, n] = _draw(weights[t, n], uniforms[t, n])
            ended = ended or ids[n] == end
        if ended:
            return t + 1
    return len(uniforms)


class CompiledDecoder:
    """Steps of generation of a few texts, by an LSTM, a CIFG or an RNN on the CPU.

    The weights are those that the model has when this is made. A step computes in 32 bits what
    `FusedDecoder` computes, but for the rounding of weights and states to whole numbers.

    Args:
        model: a network that `inference.is_plain` allows.
        state: the state to start from, parts (L, N, H).

    Raises:
        ValueError: a weight is not a finite number.
    """

    def __init__(self, model: CharRNN, state: State) -> None:
        plain = FusedDecoder(model, state)
        self.net = _network(plain)
        parts = (plain.own, plain.h_views, plain.c)
        self.memory = Memory(*(np.stack(part).astype(f32) for part in parts))
        _compile(self)

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Read one character of each text, ids (N,); return the logits of the next, (N, V)."""
        logits = np.empty((len(ids), len(self.net.shift)), f32)
        _step(self.net, self.memory, ids, logits)
        return logits

    def write(
        self, ids: np.ndarray, uniforms: np.ndarray, temperatures: np.ndarray, end: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take K steps, each of which reads the characters that the step before drew.

        Args:
            ids: the characters that the first step reads, (N,).
            uniforms: the random numbers, (K, N) float64.
            temperatures: one for each text, (N,) float64.
            end: the id of `.end`; None if there is none. The step in which a text draws it is the
                last.

        Returns:
            logits: (k, N, V), k ≤ K.
            weights: the log-probabilities at the temperatures up to a constant, (k, N, V) float64.
            drawn: the ids, (k, N).
        """
        shape = (*uniforms.shape, len(self.net.shift))  # (K, N, V)
        logits, weights = np.empty(shape, f32), np.empty(shape)
        drawn = np.empty(uniforms.shape, np.int64)
        last = -1 if end is None else end
        # A copy of the ids, since every step writes its own over them.
        parts = np.array(ids, np.int64), uniforms, temperatures, last, (logits, weights, drawn)
        count = _write(self.net, self.memory, *parts)
        return logits[:count], weights[:count], drawn[:count]

    def select(self, rows: np.ndarray) -> None:
        """Go on with some of the texts only; rows (M,) holds their numbers."""
        # A copy of its own: the steps were compiled for arrays without gaps.
        self.memory = Memory(*(np.ascontiguousarray(part[:, rows]) for part in self.memory))


def _network(plain: FusedDecoder) -> Network:
    """Return the weights of a decoder, those of the recurrent matrices as whole numbers."""
    L, width = len(plain.matrices), plain.table.shape[1]
    rows = torch.zeros(L, 2 * width, plain.hidden_size, dtype=torch.int16)
    scales, bias = np.zeros((L, 2 * width), f32), np.zeros((L, width), f32)
    for k, matrix in enumerate(plain.matrices):
        # The last layer's columns for the layer above are the output layer's, which stay as they
        # are.
        count = width if k == L - 1 else 2 * width
        rows[k, :count], scales[k, :count] = _whole_numbers(matrix[:, :count])
        if k < L - 1:
            bias[k] = plain.biases[k][width:]
    if plain.eps is None:
        output, shift = plain.matrices[-1][:, width:], plain.biases[-1][width:]
    else:
        output, shift = plain.output, plain.output_bias
    output, shift = np.ascontiguousarray(output.numpy().T, f32), shift.numpy().astype(f32)
    table = np.ascontiguousarray(plain.table, f32)
    return Network(
        table, rows.numpy(), scales, bias, output, shift, plain.eps or 0.0, plain.is_lstm
    )


def _whole_numbers(matrix: Tensor) -> tuple[Tensor, np.ndarray]:
    """Return rows of whole numbers (R, H) for the columns of a matrix (H, R), and scales (R,)."""
    work = matrix.abs()  # the one array of that size that is made here: a new one costs time
    sums = work.sum(0)  # (R,)
    if not sums.isfinite().all():
        raise ValueError("A weight is NaN or infinite: the model's weights are broken.")
    # No sum of products may pass 2³¹ - 1, whatever the state: Σ |w| TOP stays below. Rounding adds
    # half to each |w| at most. And no weight may pass 16 bits.
    most = (2**31 - 1) / TOP - len(matrix) / 2
    scale = torch.maximum(work.amax(0) / (2**15 - 1), sums / most)
    scale.clamp_(min=torch.finfo(torch.float32).tiny)  # a column of zeros
    whole = torch.div(matrix, scale, out=work).round_().to(torch.int16)
    return whole.T, (scale / TOP).numpy()


def _compile(decoder: CompiledDecoder) -> None:
    """Compile what a decoder calls, unless this process or one before has done it.

    It takes no step. A reader who waits for the compiler is told for how long.
    """
    missed, start = sum(_write.stats.cache_misses.values()), time.perf_counter()
    texts = decoder.memory.h.shape[1]
    decoder.write(np.zeros(texts, np.int64), np.zeros((0, texts)), np.ones(texts), None)
    if sum(_write.stats.cache_misses.values()) > missed:
        seconds = time.perf_counter() - start
        kept = _write.stats.cache_path
        told = f"They are kept in {kept}." if kept else "They cannot be kept for the next start."
        print(f"Numba compiled the fast steps in {seconds:.0f} s. {told}", file=sys.stderr)
