"""Dynamic evaluation (Krause et al. 2018): a network goes on learning from the text it predicts.

Every piece of the text is predicted first. Its loss counts as it is, and then its gradient changes
the weights with which the next piece is predicted. So no character is learned from before its
prediction has counted.

    squares = mean_squares(model, train_ids)
    loss = dynamic_loss(model, valid_ids, squares, DynamicEvaluation(rate=2e-5))
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lstmlib.batching import IGNORE, Streams
from lstmlib.models import CharRNN, State, detach
from lstmlib.validation import check_number, check_whole


@dataclass(frozen=True)
class DynamicEvaluation:
    """How a network goes on learning while it reads.

    Attributes:
        rate: η, by which a weight moves where its gradient is as large as in training.
        decay: λ, the share by which a weight of mean gradient goes back towards its trained value
            after each piece.
        floor: ε, added to the root of the mean square, which divides the gradient.
        seq_len: characters of a piece, T.

    Raises:
        ValueError: a value has no meaning; the message says which.
    """

    rate: float
    decay: float = 0.0
    floor: float = 1e-5
    seq_len: int = 20

    def __post_init__(self) -> None:
        check_number("rate", self.rate, at_least=0)
        check_number("decay", self.decay, at_least=0, at_most=1)
        check_number("floor", self.floor, above=0)
        check_whole("seq_len", self.seq_len)


def mean_squares(
    model: CharRNN, ids: np.ndarray, rows: int = 32, seq_len: int = 64, batches: int = 100
) -> list[Tensor]:
    """Return the mean squares of the gradients over the first batches of a text.

    Krause et al. 2018, equation 5: the gradients are those of the trained network, without dropout.

    Args:
        model: a trained network; it stays as it is.
        ids: the text that it trained on, (N,).
        rows: B, streams through the text.
        seq_len: T, characters of each row of a batch.
        batches: the first ones, or all if the text has fewer.

    Returns:
        For each weight that is trained an array of its shape, in the order of `parameters()`.
    """
    model = without_dropout(model)
    weights = trained_weights(model)
    sums, taken, state = [torch.zeros_like(w) for w in weights], 0, None
    for x, y in Streams(ids, rows, seq_len):
        if taken == batches:
            break
        loss, state = _loss(model, x, y, state)
        gradients = torch.autograd.grad(loss / y.size, weights)
        torch._foreach_addcmul_(sums, gradients, gradients)
        taken += 1
    return [each / taken for each in sums]


def dynamic_loss(
    model: CharRNN,
    ids: np.ndarray,
    squares: list[Tensor],
    settings: DynamicEvaluation,
) -> float:
    """Return the mean loss over a text that the network goes on learning from as it reads.

    After each piece (Krause et al. 2018, equations 6 to 9), with g the gradient of the piece's mean
    loss, MS the mean squares, and θ₀ the trained weights:

        θ ← θ + λ √MS / mean(√MS) (θ₀ - θ) - η g / (√MS + ε)

    where no share of the way back is above 1.

    Args:
        model: a trained network; it stays as it is.
        ids: the text, (N,), read in one pass with a carried state.
        squares: what `mean_squares` returns.
        settings: how it learns.

    Returns:
        The mean over every character but the first, in nats.
    """
    model = without_dropout(model)
    weights = trained_weights(model)
    trained = [w.detach().clone() for w in weights]
    roots = [each.sqrt() for each in squares]
    mean = sum(root.sum() for root in roots) / sum(root.numel() for root in roots)
    rates = [settings.rate / (root + settings.floor) for root in roots]
    back = [(settings.decay * root / mean).clamp(max=1) for root in roots]
    losses, count, state = [], 0, None
    for x, y in Streams(ids, 1, min(settings.seq_len, len(ids) - 1), drop_last=False):
        loss, state = _loss(model, x, y, state)
        known = int((y != IGNORE).sum())
        losses.append(loss.detach())  # of the weights before this piece changes them
        count += known
        gradients = torch.autograd.grad(loss / known, weights)
        with torch.no_grad():
            torch._foreach_lerp_(weights, trained, back)
            torch._foreach_addcmul_(weights, gradients, rates, value=-1)
    return torch.stack(losses).double().sum().item() / count


def without_dropout(model: CharRNN) -> CharRNN:
    """Return a copy of a network that computes in training as it does in evaluation.

    cuDNN gives gradients of an LSTM only in training, where the network would drop units.
    """
    with torch.random.fork_rng(devices=[]):  # a new network draws its weights
        copy = CharRNN(**model.config | {"dropout": 0.0})
    copy.to(next(model.parameters()))  # the device, and the type
    copy.load_state_dict(model.state_dict())
    for weight, original in zip(copy.parameters(), model.parameters(), strict=True):
        weight.requires_grad_(original.requires_grad)
    return copy.train()


def trained_weights(model: CharRNN) -> list[Tensor]:
    """Return the weights that training changes."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def _loss(
    model: CharRNN, x: np.ndarray, y: np.ndarray, state: State | None
) -> tuple[Tensor, State]:
    """Return the summed loss of a batch, ids (B, T), padding left out; and the state after it."""
    device = next(model.parameters()).device
    logits, state = model(torch.from_numpy(x).to(device), state)  # (B, T, V)
    target = torch.from_numpy(y).to(device).flatten()  # (B * T,)
    loss = F.cross_entropy(logits.flatten(0, 1), target, ignore_index=IGNORE, reduction="sum")
    return loss, detach(state)
