"""How far back a network looks: by its gradient, by a foreign past, and by its forget gates.

Each measure reads a held-out text in evaluation mode, in one pass with carried state, and asks at
places spread evenly over it.

Sizes in comments: N ids, P places, K characters back, L layers, H units, V tokens.
"""

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lstmlib.internals import gate_values
from lstmlib.models import CharRNN, State
from lstmlib.ngram import NGramModel
from lstmlib.validation import check_ids, check_number, check_whole

_CHUNK = 4096
"""Characters of a pass over a text that are read at once."""
_ROWS = 256
"""Places that are measured at once."""


class PastLosses(NamedTuple):
    """Losses with a past that is true only for the last k characters, in nats per character.

    Attributes:
        full: the mean loss over the whole text, whose whole past is true.
        excess: (P, K+1) float64. Entry [p, k] is the loss of one character after k true ones, minus
            the loss of the same character with its whole past.
    """

    full: float
    excess: np.ndarray


def loss_by_past(
    model: CharRNN, ids: np.ndarray, longest: int = 300, places: int = 1000
) -> PastLosses:
    """Replace the text before the last k characters by another one, and measure the loss.

    At each place the network has read the text half a text away, and then k = 0 … K characters of
    this place. `full + excess.mean(axis=0)` is the loss over k; it falls to `full`.
    `metrics.mean_interval(excess[:, k])` gives its interval. Loss and excess are of the same
    character, so what is easy or hard about it does not add to the noise. Khandelwal et al. (2018)
    ask so of language models of words, by shuffling, replacing and dropping the far past
    (https://doi.org/10.18653/v1/P18-1027).

    Places lie close together, and an interval takes them as independent. Measured on an LSTM and
    4 000 places, 14 characters apart: the standard error over stretches of 40 places was 0.9 to 1.2
    times that over single places.

    The network is not told that its past is foreign. For small k its loss can lie far above that of
    a model that counts and sees k characters.

    Args:
        model: a network with any cell.
        ids: a text that the network was not trained on, (N,) integers.
        longest: K, the largest number of true characters.
        places: P, the most places; a short text has fewer.

    Raises:
        ValueError: longest or places has no meaning; an id is not in the vocabulary; or the text
            has under 4K + 3 characters, so that the foreign past would overlap the true one.
    """
    check_whole("longest", longest)
    check_whole("places", places, at_least=2)
    ids = _checked(model, ids, 4 * longest + 3, longest)
    # The first place has a past of K characters, the last one K characters to read after it.
    at = _spread(longest, len(ids) - 1 - longest, places)  # (P,)
    with _evaluating(model):
        losses, states = _read(model, ids, at)  # (N-1,), parts (L, P, H)
        # The state of the place that lies half of all places further on, round the end.
        foreign = tuple(part.roll(-(len(at) // 2), dims=1) for part in states)
        # x[s] … x[s+K] of each place s: what is read, and what is predicted.
        read = torch.from_numpy(ids)[at[:, None] + np.arange(longest + 1)]  # (P, K+1)
        measured = [
            _losses_from(model, read[rows], tuple(part[:, rows] for part in foreign))
            for rows in _slices(len(at))
        ]
    true = losses[at[:, None] - 1 + np.arange(longest + 1)]  # (P, K+1); losses[0] is that of x[1]
    return PastLosses(float(losses.mean()), np.concatenate(measured) - true)


def loss_by_order(
    train_ids: np.ndarray, ids: np.ndarray, vocab_size: int, longest: int = 8
) -> np.ndarray:
    """Return the loss of models that count, which see exactly k = 0 … K characters: (K+1,) float64.

    Entry k is that of the n-gram model of order k + 1 (`NGramModel`), in nats per character. What a
    network has learned to do with its past, this has by construction; so it is the ruler beside the
    curve of `loss_by_past`.

    Args:
        train_ids: the text that is counted, (M,) integers.
        ids: the text that is predicted, (N,) integers; its first character is given.
        vocab_size: number of tokens V.
        longest: K.

    Raises:
        ValueError: longest has no meaning, or as `NGramModel` and its `nats_per_char`.
    """
    check_whole("longest", longest, at_least=0)
    orders = range(1, longest + 2)
    return np.array([NGramModel(train_ids, n, vocab_size).nats_per_char(ids) for n in orders])


def gradient_by_distance(
    model: CharRNN, ids: np.ndarray, longest: int = 300, places: int = 500
) -> np.ndarray:
    """Return how strongly the loss of one character depends on each input before it.

    Entry [p, k] is the L2 norm of the gradient of a character's loss, in nats, by the embedding of
    the input k characters before the last one that was read; k = 0 is that last one. Where there is
    no embedding it is the gradient by the one-hot vector. Norms of two networks compare by their
    fall over k, not by their height: another scale of the embedding has another height. The
    gradient falls as products of Jacobians do (Pascanu et al. 2013).

    Args:
        model: a network with any cell.
        ids: a text that the network was not trained on, (N,) integers.
        longest: K, the largest distance.
        places: P, the most places; a short text has fewer.

    Returns:
        (P, K+1) float64. `np.quantile(norms, [0.1, 0.5, 0.9], axis=0)` sums it up.

    Raises:
        ValueError: longest or places has no meaning; an id is not in the vocabulary; or the text
            has under 2K + 3 characters.
    """
    check_whole("longest", longest)
    check_whole("places", places)
    ids = _checked(model, ids, 2 * longest + 3, longest)
    at = _spread(longest, len(ids) - 2 - longest, places)  # (P,)
    with _evaluating(model):
        _, states = _read(model, ids, at)  # parts (L, P, H)
        # K+1 inputs, and the character after them.
        pieces = torch.from_numpy(ids)[at[:, None] + np.arange(longest + 2)]  # (P, K+2)
        norms = [
            _gradient_norms(model, pieces[rows], tuple(part[:, rows] for part in states))
            for rows in _slices(len(at))
        ]
    return np.concatenate(norms)[:, ::-1]  # the last input first


def reach(excess: np.ndarray, tolerance: float = 0.01) -> int | None:
    """Return how many characters a network needs, for a loss like that with its whole past.

    Args:
        excess: the mean excess of the loss after k = 0 … K true characters, (K+1,), in nats per
            character, such as `loss_by_past(…).excess.mean(axis=0)`.
        tolerance: what counts as alike, in nats per character.

    Returns:
        The smallest k from which on every excess lies within the tolerance; None if the last one
        does not.

    Raises:
        ValueError: the excess is not (K+1,) finite numbers; or the tolerance is below 0.
    """
    excess = np.asarray(excess, dtype=np.float64)
    check_number("tolerance", tolerance, at_least=0)
    if excess.ndim != 1 or not excess.size or not np.isfinite(excess).all():
        raise ValueError(
            f"excess has the shape {excess.shape}; give finite numbers (K+1,), one for each number "
            "of true characters: of the places, take the mean."
        )
    beyond = np.flatnonzero(np.abs(excess) > tolerance)
    first = int(beyond[-1]) + 1 if len(beyond) else 0
    return first if first < len(excess) else None


# Forget gates as time constants


def forget_gates(model: CharRNN, ids: np.ndarray) -> np.ndarray:
    """Return the forget gates of an LSTM or CIFG that reads a text from zeros: (N, L, H) float64.

    In a CIFG the forget gate is 1 - input gate.

    Raises:
        ValueError: the cell is another one, or an id is not in the vocabulary.
    """
    ids = _checked(model, ids, 1)
    device, coupled = next(model.parameters()).device, model.config["cell"] == "cifg"
    values = gate_values(model, torch.from_numpy(ids)[None].to(device))
    gate = "input gate" if coupled else "forget gate"
    layers = [values[f"layer {k + 1} · {gate}"][0] for k in range(model.config["num_layers"])]
    gates = torch.stack(layers, dim=1).cpu().double().numpy()  # (N, L, H)
    return 1 - gates if coupled else gates


def time_constant(forget: np.ndarray | float) -> np.ndarray:
    """Return how long a cell with this forget gate remembers: -1/ln f, in characters.

    A gate that stays at f leaves the share fᵗ = exp(-t/τ) of a cell's content after t characters,
    and so 1/e, about a third, after τ. For f near 1, τ is about 1/(1 - f) (Tallec & Ollivier 2018,
    https://arxiv.org/abs/1804.11188). A forget bias of 1, as Jozefowicz et al. (2015) start with,
    is f = 0.73 and τ = 3.2.

    A gate that moves has no such constant: give its mean or a quantile over a text. With the
    geometric mean, exp(mean(ln f)), it is that of what is left in the end, since the gates of all
    steps are multiplied.

    Args:
        forget: values of forget gates from 0 to 1, of any shape.

    Returns:
        The same shape, float64; inf where f is 1, and 0 where it is 0.

    Raises:
        ValueError: a value is outside 0 … 1, or NaN.
    """
    forget = np.asarray(forget, dtype=np.float64)
    if not ((forget >= 0) & (forget <= 1)).all():
        raise ValueError(
            "A forget gate lies from 0 to 1, and not all of these values do: give what comes out "
            "of the sigmoid, not what goes in."
        )
    with np.errstate(divide="ignore"):  # ln 0 and 1/0 have the right limits
        return 1 / np.abs(np.log(forget))


def memory_worth(
    model: CharRNN, ids: np.ndarray, length: int = 300, places: int = 20
) -> np.ndarray:
    """Take the memory of one unit after the other away, and measure how far the loss rises.

    A unit's cell is set to its mean over all pieces after every step. So it still takes in the
    character at hand, but carries nothing from one character to the next.

    Args:
        model: a network with the cell "lstm" or "cifg".
        ids: a text that the network was not trained on, (N,) integers.
        length: characters T of each piece that is predicted.
        places: S, the most pieces; a short text has fewer. Pieces do not overlap.

    Returns:
        (S, L, H) float64: the rise of the loss of each piece without the memory of each unit, in
        nats per character. `metrics.mean_interval(worth[:, k, j])` sums it up.

    Raises:
        ValueError: the cell is another one; length or places has no meaning; an id is not in the
            vocabulary; or the text has under 2T + 1 characters.
    """
    if model.config["cell"] not in ("lstm", "cifg"):
        raise ValueError(f"The cell is {model.config['cell']!r}; only LSTM and CIFG have a memory.")
    check_whole("length", length)
    check_whole("places", places)
    ids = _checked(model, ids, 2 * length + 1, length)
    # From 1, since a place has a character before it.
    at = _spread(1, len(ids) - 1 - length, min(places, (len(ids) - 2) // length))  # (S,)
    pieces = torch.from_numpy(ids)[at[:, None] + np.arange(length + 1)]  # (S, T+1)
    with _evaluating(model), torch.no_grad():
        _, states = _read(model, ids, at)  # parts (L, S, H)
        plain, mean = _read_with_memory(model, pieces, states)  # (S,), (L, H)
        L, H = mean.shape
        worth = np.empty((len(at), L, H))
        for s in range(len(at)):
            start = tuple(part[:, s : s + 1] for part in states)
            worth[s] = _read_without_memory(model, pieces[s], start, mean) - plain[s]
    return worth


def _read_with_memory(model: CharRNN, pieces: Tensor, state: State) -> tuple[np.ndarray, Tensor]:
    """Return the mean loss of each piece (S, T+1): (S,), and the mean of each cell: (L, H)."""
    loss, total, steps = 0.0, 0.0, pieces.shape[1] - 1
    for x, y in zip(pieces[:, :-1].T, pieces[:, 1:].T, strict=True):  # (S,) each
        loss_now, state = _step(model, x, y, state)  # (S,)
        loss, total = loss + loss_now, total + state[1].mean(dim=1)  # (L, H)
    return loss.cpu().numpy() / steps, total / steps


def _read_without_memory(model: CharRNN, piece: Tensor, state: State, mean: Tensor) -> np.ndarray:
    """Return the mean loss of a piece (T+1,) without the memory of each unit: (L, H)."""
    L, H = mean.shape
    # A copy of the stream for each unit: row r is without that of layer r // H, unit r % H.
    rows = torch.arange(L * H, device=mean.device)
    state = tuple(part.repeat(1, L * H, 1) for part in state)  # (L, L·H, H)
    loss = 0.0
    for x, y in pairwise(piece):
        state[1][rows // H, rows, rows % H] = mean.flatten()  # (L·H,)
        loss_now, state = _step(model, x.expand(L * H), y.expand(L * H), state)
        loss = loss + loss_now
    return loss.cpu().numpy().reshape(L, H) / (len(piece) - 1)


def _step(model: CharRNN, x: Tensor, y: Tensor, state: State) -> tuple[Tensor, State]:
    """Read x (B,) and return the loss of y (B,), in float64, and the state after x."""
    device = state[0].device
    logits, state = model(x[:, None].to(device), state)  # (B, 1, V)
    return F.cross_entropy(logits[:, 0].double(), y.to(device), reduction="none"), state


# A text in one pass


def _checked(model: CharRNN, ids: np.ndarray, least: int, longest: int = 0) -> np.ndarray:
    """Return ids (N,) int64; raise ValueError if they do not fit, or are too few."""
    ids = check_ids("the text", np.asarray(ids), model.vocab_size)
    if ids.ndim != 1:
        raise ValueError(f"ids have the shape {ids.shape}; give the ids of one text, (N,).")
    if len(ids) < least:
        what = f"looking {longest} characters back: look less far, or" if longest else "this:"
        raise ValueError(
            f"A text of {len(ids)} characters is too short for {what} give {least} or more."
        )
    return ids.astype(np.int64)


def _spread(first: int, last: int, most: int) -> np.ndarray:
    """Return so many whole numbers from first to last at most, evenly spread: (P,) int64."""
    return np.linspace(first, last, min(most, last - first + 1)).round().astype(np.int64)


def _slices(count: int) -> list[slice]:
    """Return slices of _ROWS rows that cover so many rows."""
    return [slice(begin, begin + _ROWS) for begin in range(0, count, _ROWS)]


@contextlib.contextmanager
def _evaluating(model: CharRNN) -> Iterator[None]:
    """Keep a network in evaluation mode, without dropout, and bring its mode back."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@torch.no_grad()
def _read(model: CharRNN, ids: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, State]:
    """Read a text in one pass.

    Args:
        model: in evaluation mode.
        ids: (N,) int64.
        places: (P,) sorted, from 1 to N - 1.

    Returns:
        The loss of each character after the first, (N-1,) float64; and the state before each place,
        which has read ids[:place], parts (L, P, H).
    """
    device, state = next(model.parameters()).device, None
    ends = np.union1d(places, np.append(np.arange(_CHUNK, len(ids) - 1, _CHUNK), len(ids) - 1))
    losses, states, wanted, begin = [], [], set(places.tolist()), 0
    for end in ends.tolist():
        x, y = (torch.from_numpy(ids[k + begin : k + end]).to(device) for k in (0, 1))
        logits, state = model(x[None], state)  # (1, end - begin, V)
        losses.append(F.cross_entropy(logits[0].double(), y, reduction="none").cpu().numpy())
        if end in wanted:
            states.append(state)
        begin = end
    return np.concatenate(losses), tuple(
        torch.cat(parts, dim=1) for parts in zip(*states, strict=True)
    )


@torch.no_grad()
def _losses_from(model: CharRNN, read: Tensor, state: State) -> np.ndarray:
    """Return the losses of characters (B, K+1) that a state, parts (L, B, H), goes on to read."""
    read = read.to(state[0].device)
    # The first one is predicted from the state alone: the last layer's h is its output.
    first = model.output(model.norm(state[0][-1]))[:, None]  # (B, 1, V)
    later, _ = model(read[:, :-1], state)  # (B, K, V)
    logits = torch.cat([first, later], dim=1).double()
    losses = F.cross_entropy(logits.flatten(0, 1), read.flatten(), reduction="none")
    return losses.view_as(read).cpu().numpy()  # (B, K+1)


def _gradient_norms(model: CharRNN, pieces: Tensor, state: State) -> np.ndarray:
    """Return the norm of the gradient of the last character's loss by each input: (B, K+1).

    Args:
        model: in evaluation mode.
        pieces: (B, K+2) int64.
        state: before the pieces, parts (L, B, H).
    """
    pieces = pieces.to(state[0].device)
    x = model.embed(pieces[:, :-1]).detach().requires_grad_()  # (B, K+1, D)
    only_h = model.config["cell"] in ("gru", "rnn")  # PyTorch takes their h not in a tuple
    # cuDNN has no backward pass in evaluation mode; PyTorch's own layers have.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        hidden, _ = model.layers(x, state[0] if only_h else state)  # (B, K+1, H)
        logits = model.output(model.norm(hidden[:, -1]))  # (B, V)
        # A sum: the rows do not act on each other, so each gets the gradient of its own loss.
        loss = F.cross_entropy(logits, pieces[:, -1], reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
    return gradient.double().norm(dim=-1).cpu().numpy()
