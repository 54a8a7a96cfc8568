"""Check of the exercise of chapter 05 that repairs a training loop."""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.course.check.exercises import Slip, call_answer, grade, number
from lstmlib.models import CharRNN, detach


def finish_step(answer: Callable | None) -> None:
    """Check a function (model, loss, state, optimizer, limit) -> (loss, state): the end of a step.

    It trains the model in place; it returns the loss as a number, and the state for the next batch.
    """
    rng = np.random.default_rng(0)
    batches = [
        tuple(torch.from_numpy(rng.integers(0, 5, (3, T))) for _ in range(2)) for T in (4, 4, 5, 2)
    ]

    def find_slip() -> str | None:
        def step(model: CharRNN, loss: Tensor, state: tuple, *rest: object) -> tuple:
            kept = [part.detach().clone() for part in state]
            try:
                got = call_answer(answer, model, loss, state, *rest)
            except RuntimeError as error:
                for said, slip in _GRAPH_ERRORS.items():
                    if said in str(error):
                        raise Slip(slip) from None
                raise
            if not all(map(torch.equal, state, kept)):
                raise Slip("your function changed the state it was given; return it, cut off.")
            if not isinstance(got, tuple | list) or len(got) != 2:
                raise Slip("return two things: the loss as a number, and the state to hand on.")
            if isinstance(got[0], tuple | list):
                raise Slip("return the loss first, then the state.")
            two = got[1] if isinstance(got[1], tuple | list) else ()
            shapes = [part.shape if torch.is_tensor(part) else None for part in two]
            if got[1] is not None and shapes != [part.shape for part in state]:
                raise Slip("the state to hand on is a pair of tensors, (h, c), each (1, B, H).")
            return _loss_number(got[0]), got[1]

        def equal(a: tuple, b: tuple) -> bool:
            return np.allclose(a[0], b[0], atol=1e-5) and all(
                torch.allclose(p, q, atol=1e-5) for p, q in zip(a[1], b[1], strict=True)
            )

        got = _train(batches, 0.1, step)
        slips = {
            "gradients of the batches before are still in `.grad`, and this one is added to them: "
            "set them to zero in every step.": [
                {"zero": False, "clip": clip} for clip in ("after", "before", None)
            ],
            "the gradient is not clipped at `limit`, which is no number of your own. Before "
            "`backward` there is nothing to clip yet; after `optimizer.step()` it is too late.": [
                {"clip": None}
            ],
            "every batch starts from a state of zeros; hand on the state of the one before.": [
                {"carry": False, "clip": clip} for clip in ("after", None)
            ],
            "every array is clipped by itself; the limit is for all of them together.": [
                {"clip": "each"}
            ],
            "clipping by value cuts every entry by itself, and turns the gradient; `limit` is one "
            "of the norm.": [{"clip": "value"}],
            "only some of the gradients are clipped; hand over all of `model.parameters()`.": [
                {"clip": kept} for kept in ("layers", "output", "matrices")
            ],
            "the state is (h, c), in this order; yours comes back as (c, h).": [{"swapped": True}],
            "the weights move twice in a step: call `optimizer.step()` once.": [
                {"steps": 2, "clip": clip} for clip in ("after", None)
            ],
        }
        if all(map(torch.equal, got[1], _start().parameters())):
            return "no weight moves: `optimizer.step()` finds no gradient, or is not called."
        for slip, variants in slips.items():
            for variant in variants:
                if equal(got, _train(batches, 0.1, functools.partial(_finish_step, **variant))):
                    return slip
        if not equal(got, _train(batches, 0.1, _finish_step)):
            return (
                "losses or weights differ from those of the right loop: gradient to zero, "
                "backward, clip, step; the state handed on, cut from its graph."
            )
        if not equal(_train(batches, 1e6, step), _train(batches, 1e6, _finish_step)):
            return "use `limit`: a gradient that is shorter than it stays as it is."
        adam = functools.partial(torch.optim.Adam, lr=0.03)
        if not equal(_train(batches, 0.1, step, adam), _train(batches, 0.1, _finish_step, adam)):
            return "with Adam the weights move otherwise: step with the `optimizer` that is given."
        return None

    grade(answer, find_slip)


def _loss_number(loss: object) -> float:
    """Return the loss that an answer gives, which must be a number.

    Raises:
        Slip: it is a tensor with a graph, a method, None or another thing.
    """
    said = "return the loss as a number, loss.item()"
    if torch.is_tensor(loss) and loss.requires_grad:
        raise Slip(f"{said}: a tensor keeps its graph.")
    if callable(loss):
        raise Slip(f"{said}: with brackets, which call it.")
    try:
        return number(loss)
    except Slip:
        raise Slip(f"{said}: yours is {loss!r}.") from None


_GRAPH_ERRORS = {
    "second time": "the backward pass of the second batch runs back into the first, whose graph is "
    "gone: cut the state from it with detach(state).",
    "inplace operation": "the backward pass of the second batch still runs back into the first, "
    "whose weights the optimizer has changed since. `retain_graph=True` does not help: cut the "
    "state from it with detach(state).",
}
"""What PyTorch says where a graph goes on into the batch before: part of it -> the slip."""


_SGD = functools.partial(torch.optim.SGD, lr=0.5)


def _train(
    batches: list,
    limit: float,
    finish: Callable,
    make_optimizer: Callable = _SGD,
) -> tuple[list[float], list[Tensor]]:
    """Return losses and weights of a loop whose steps end with `finish`."""
    model, losses, state = _start(), [], None
    optimizer = make_optimizer(model.parameters())
    for x, y in batches:
        logits, state = model(x, state)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        loss, state = finish(model, loss, state, optimizer, limit)
        losses.append(loss)
    return losses, [p.detach() for p in model.parameters()]


def _finish_step(
    model: CharRNN,
    loss: Tensor,
    state: tuple,
    optimizer: torch.optim.Optimizer,
    limit: float,
    zero: bool = True,
    clip: str | None = "after",
    carry: bool = True,
    swapped: bool = False,
    steps: int = 1,
) -> tuple[float, tuple | None]:
    """End a step, rightly or with known faults."""
    if zero:
        optimizer.zero_grad()
    if clip == "before":
        nn.utils.clip_grad_norm_(model.parameters(), limit)
    loss.backward()
    everything = list(model.parameters())
    groups = {
        "after": [everything],
        "each": [[p] for p in everything],
        "layers": [model.layers.parameters()],
        "output": [model.output.parameters()],
        "matrices": [[p for p in everything if p.ndim > 1]],
    }
    for group in groups.get(clip, []):
        nn.utils.clip_grad_norm_(group, limit)
    if clip == "value":
        nn.utils.clip_grad_value_(everything, limit)
    for _ in range(steps):
        optimizer.step()
    h, c = detach(state)
    return loss.item(), (((c, h) if swapped else (h, c)) if carry else None)


def _start() -> CharRNN:
    """Return a small network whose weights are the same at every call."""
    with torch.random.fork_rng(devices=[]):
        model = CharRNN(5, 6, num_layers=1)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for weight in model.parameters():
            uniform = rng.uniform(-1, 1, weight.shape) / math.sqrt(6)
            weight.copy_(torch.from_numpy(uniform))
    return model
