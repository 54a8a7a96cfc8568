"""One step of an RNN, an LSTM and a CIFG, forwards and backwards."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Weights = dict[str, np.ndarray]
"""Name -> array; `lstmlib.scratch` lists names and shapes."""
State = tuple[np.ndarray, ...]
"""(h,) or (h, c), each (N, H) for a layer and (L, N, H) for a network."""


class Cell(NamedTuple):
    """One step of a recurrent layer, forwards and backwards.

    Attributes:
        name: the cell's name in files and messages.
        gates: G, the number of blocks of H columns in z, Wx, Wh and b.
        states: the number of arrays in a state: 1 for (h,), 2 for (h, c).
        forward: (z, state) -> (new state, cache), with z = x Wx + h Wh + b, (N, G·H).
        backward: (gradient of the new state, cache) -> (dz, rest). dz is the gradient of z. rest is
            (gradient of the old c,), or () for a cell without c. The loop over time adds the
            gradient of the old h, since a step reads the old h through z alone.
    """

    name: str
    gates: int
    states: int
    forward: Callable
    backward: Callable


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return σ(z) = 1 / (1 + e^-z), of the shape and dtype of z."""
    # σ(z) = (1 + tanh(z/2)) / 2 is the same function. In float32 e^-z overflows at z = -89.
    return 0.5 * np.tanh(0.5 * z) + 0.5


def _rnn_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    h = np.tanh(z)  # (N, H); Elman's only equation, since z holds x Wx + h Wh + b
    return (h,), (h,)  # the new state, and the cache


def _rnn_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (dh,), (h,) = dstate, cache  # (N, H) each
    # tanh'(z) = 1 - tanh²(z): the output is enough, so z itself was not kept.
    return dh * (1 - h * h), ()


def _lstm_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    # Four arrays (N, H). The order i, f, g, o is PyTorch's, so weights can be copied as they are.
    # Weights from a library with another order have the same shapes, and give a wrong network.
    i, f, g, o = np.split(z, 4, axis=1)
    return _remember(sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o), state)


def _lstm_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (di, df, dg, do), dc_old = _remember_backward(dstate, cache)
    i, f, g, o, _, _ = cache
    dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)]
    # σ' = σ (1 - σ) for the gates, tanh' = 1 - tanh² for the candidate, in the order of the split.
    return np.concatenate(dz, axis=1), (dc_old,)  # (N, 4H), (N, H)


def _cifg_forward(z: np.ndarray, state: State) -> tuple[State, tuple]:
    i, g, o = np.split(z, 3, axis=1)  # (N, H) each
    i = sigmoid(i)  # also stands for the forget gate, f = 1 - i: three blocks instead of four
    return _remember(i, 1 - i, np.tanh(g), sigmoid(o), state)


def _cifg_backward(dstate: State, cache: tuple) -> tuple[np.ndarray, State]:
    (di, df, dg, do), dc_old = _remember_backward(dstate, cache)  # (N, H) each
    i, _, g, o, _, _ = cache
    # i acts twice: as itself, and as f = 1 - i, whose derivative by i is -1. Hence di - df.
    dz = [(di - df) * i * (1 - i), dg * (1 - g * g), do * o * (1 - o)]
    return np.concatenate(dz, axis=1), (dc_old,)  # (N, 3H), (N, H)


def _remember(
    i: np.ndarray, f: np.ndarray, g: np.ndarray, o: np.ndarray, state: State
) -> tuple[State, tuple]:
    """Return the new (h, c) and a cache: c = f·c + i·g, h = o·tanh(c).

    Args:
        i, f, g, o: the values of the input gate, forget gate, candidate and output gate, (N, H).
        state: the old (h, c), (N, H) each.
    """
    c_old = state[1]  # (N, H)
    # A sum, not a product with a matrix: through it a gradient reaches c_old multiplied by f alone.
    c = f * c_old + i * g  # (N, H)
    tanh_c = np.tanh(c)  # c is not bounded, but h stays within -1 and 1
    # The second tuple is the cache: with these values the way back computes nothing again.
    return (o * tanh_c, c), (i, f, g, o, c_old, tanh_c)


def _remember_backward(
    dstate: State, cache: tuple
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Return the gradients of the gates' values (i, f, g, o), and of the old c."""
    (dh, dc), (i, f, g, o, c_old, tanh_c) = dstate, cache  # (N, H) each
    # c is used twice: in this step's h, and in the next step's c. The two gradients add.
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    # (N, H) each. In a product, the gradient of a factor is that of the product times the other
    # factor. For c_old that is f: with f near 1 its gradient is as long as that of c.
    return (dc * g, dc * c_old, dc * i, dh * tanh_c), dc * f


RNN = Cell("rnn", 1, 1, _rnn_forward, _rnn_backward)
"""h = tanh(z) (Elman 1990)."""

LSTM = Cell("lstm", 4, 2, _lstm_forward, _lstm_backward)
"""Blocks i, f, g, o, as in PyTorch: c = f·c + i·g, h = o·tanh(c) (Gers et al. 2000)."""

CIFG = Cell("cifg", 3, 2, _cifg_forward, _cifg_backward)
"""Blocks i, g, o: the LSTM with f = 1 - i, coupled input and forget gates (Greff et al. 2017)."""

CELLS = {cell.name: cell for cell in (RNN, LSTM, CIFG)}
