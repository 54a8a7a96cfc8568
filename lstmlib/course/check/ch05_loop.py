"""Check of the exercise of chapter 05 that repairs a training loop."""

import functools
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmlib.course.check.exercises import Slip, call_answer, drawn, grade, number
from lstmlib.models import CharRNN, detach


class _Loop(NamedTuple):
    """A training loop whose steps an answer ends.

    sizes: arguments of CharRNN. weights: how far the first ones reach, in units of 1 / √H.
    optimizers: a class and its options. groups: whether biases are a group of their own, at half
    the rate. batches: (x, y), each (B, T). said: of an answer with another slip than the known.
    seen: what is added to any message, the loop in words.
    """

    batches: list
    limit: float
    said: str
    optimizer: tuple = (torch.optim.SGD, {"lr": 0.5})
    sizes: dict = MappingProxyType({"vocab_size": 5, "hidden_size": 6})
    dtype: torch.dtype = torch.float32
    groups: bool = False
    weights: float = 1.0
    seen: str = ""


def finish_step(answer: Callable | None) -> None:
    """Check a function (model, loss, state, optimizer, limit) -> (loss, state): the end of a step.

    It trains the model in place; it returns the loss as a number, and the state for the next batch.
    """

    cut = True  # the state that the batch before handed on

    def step(model: CharRNN, loss: Tensor, state: tuple, *rest: object) -> tuple:
        nonlocal cut
        kept = [part.detach().clone() for part in state]
        try:
            got = call_answer(answer, model, loss, state, *rest)
        except RuntimeError as error:
            for said, (of_state, of_this_batch) in _GRAPH_ERRORS.items():
                if said in str(error):
                    raise Slip(of_this_batch if cut else of_state) from None
            raise
        if not all(map(torch.equal, state, kept)):
            raise Slip("your function changed the state it was given; return it, cut off.")
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Slip("return two things: the loss as a number, and the state to hand on.")
        if isinstance(got[0], tuple | list):
            raise Slip("return the loss first, then the state.")
        two = got[1] if isinstance(got[1], tuple | list) else ()
        kinds = [(p.shape, p.dtype) if torch.is_tensor(p) else None for p in two]
        if got[1] is not None and kinds != [(p.shape, p.dtype) for p in state]:
            raise Slip(
                "the state to hand on is a pair of tensors, (h, c), each (1, B, H), of the dtype "
                "that they came in."
            )
        cut = not any(part.requires_grad for part in got[1] or ())
        return _loss_number(got[0]), got[1]

    def find_slip() -> str | None:
        for loop, wanted in _loops_and_results():
            got = _train(loop, step)
            if _equal(got, wanted):
                continue
            if all(map(torch.equal, got[1], _start(loop).parameters())):
                return "no weight moves: `optimizer.step()` finds no gradient, or is not called."
            for slip, variants in _SLIPS.items():
                for variant in variants:
                    if _equal(got, _train(loop, functools.partial(_finish_step, **variant))):
                        return slip + loop.seen
            return loop.said + loop.seen
        return None

    grade(answer, find_slip)


def _equal(a: tuple, b: tuple) -> bool:
    """Say whether two runs have the same losses, weights and last state."""
    return (
        np.allclose(a[0], b[0], atol=1e-5)
        and len(a[1]) == len(b[1])
        and all(torch.allclose(p, q, atol=1e-5) for p, q in zip(a[1], b[1], strict=True))
    )


_SLIPS = {
    "gradients of the batches before are still in `.grad`, and this one is added to them: set them "
    "to zero in every step.": [{"zero": False, "clip": clip} for clip in ("after", "before", None)],
    "the gradient is not clipped at `limit`, which is no number of your own. Before `backward` "
    "there is nothing to clip yet; after `optimizer.step()` it is too late.": [{"clip": None}],
    "every batch starts from a state of zeros; hand on the state of the one before.": [
        {"carry": carry, "clip": clip} for carry in (None, 0.0) for clip in ("after", None)
    ],
    "every array is clipped by itself; the limit is for all of them together.": [{"clip": "each"}],
    "clipping by value cuts every entry by itself, and turns the gradient; `limit` is one of the "
    "norm.": [{"clip": "value"}],
    "only some of the gradients are clipped; hand over all of `model.parameters()`.": [
        {"clip": kept} for kept in ("layers", "output", "matrices", "first group", "two parts")
    ],
    "the norm is the L2 norm, which `clip_grad_norm_` takes unless `norm_type` is another.": [
        {"clip": kind} for kind in (1.0, math.inf)
    ],
    "the state is (h, c), in this order; yours comes back as (c, h).": [{"swapped": True}],
    "the weights move twice as far: in a step call `optimizer.step()` once, and `loss.backward()` "
    "once, on the loss as it is.": [{"steps": 2, "clip": clip} for clip in ("after", None)],
    "the weights move otherwise than with the `optimizer` that is given, which is not always SGD: "
    "call its `step()`.": [{"steps": 0}],
    "the `optimizer` that is given keeps something from step to step, such as Adam's means: call "
    "its `step()`, and make no new one.": [{"fresh": True}],
}
"""What may be wrong: the slip -> the arguments of `_finish_step` that make the same fault."""


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
    "second time": (
        "the backward pass of the second batch runs back into the first, whose graph is gone: cut "
        "the state from it, h and c both, and hand on what detach(state) returns.",
        "`backward` is called twice on one loss: once is enough, before the clipping.",
    ),
    "inplace operation": (
        "the backward pass of the second batch still runs back into the first, whose weights the "
        "optimizer has changed since. `retain_graph=True` does not help: cut the state from it, h "
        "and c both, and hand on what detach(state) returns.",
        "`optimizer.step()` has changed the weights that this loss was computed with: `backward` "
        "comes before it.",
    ),
}
"""What PyTorch says where a graph is gone or changed: part of it -> two slips, where the state is
not cut from the batch before, and where it is."""


@functools.cache
def _loops_and_results() -> list[tuple[_Loop, tuple]]:
    return [(loop, _train(loop, _finish_step)) for loop in _loops() + drawn(0, 10, _loop)]


def _loops() -> list[_Loop]:
    """Return the loops whose messages are made by hand; the first is for the faults of the task."""
    rng = np.random.default_rng(0)
    batches = [
        tuple(torch.from_numpy(rng.integers(0, 5, (3, T))) for _ in range(2)) for T in (4, 4, 5, 2)
    ]
    usual = _Loop(batches, 0.1, _DIFFERS)
    return [
        usual,
        usual._replace(
            limit=1e6, said="use `limit`: a gradient that is shorter than it stays as it is."
        ),
        usual._replace(limit=1.05, weights=8.0, seen=" Seen with longer gradients, limit 1.05."),
        usual._replace(
            groups=True, seen=" Seen where `optimizer.param_groups` are two, at different rates."
        ),
        usual._replace(optimizer=(torch.optim.Adam, {"lr": 0.03}), seen=" Seen with Adam."),
    ]


_DIFFERS = (
    "losses, weights or the last state differ from those of the right loop: gradient to zero, "
    "backward, clip, step; the state handed on, cut from its graph."
)
_OPTIMIZERS = [
    (torch.optim.SGD, {"lr": 0.3}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (torch.optim.AdamW, {"lr": 0.03, "weight_decay": 0.5}),
    (torch.optim.RMSprop, {"lr": 0.01}),
]


def _loop(rng: np.random.Generator) -> _Loop:
    """Draw a loop of three batches: a network, an optimizer, and a limit."""
    V, H, B = (int(rng.integers(*ends)) for ends in ((2, 7), (1, 8), (1, 5)))
    sizes = {"vocab_size": V, "hidden_size": H, "output_norm": bool(rng.random() < 0.3)}
    sizes["embedding_size"] = int(rng.integers(1, 5)) if rng.random() < 0.5 else None
    optimizer = _OPTIMIZERS[rng.integers(len(_OPTIMIZERS))]
    ids = [torch.from_numpy(rng.integers(0, V, (2, B, T))) for T in rng.integers(1, 6, 3)]
    loop = _Loop(
        [tuple(each) for each in ids],
        1.0,
        _DIFFERS,
        optimizer,
        sizes,
        torch.float64,
        groups=bool(rng.random() < 0.5),
        weights=float(rng.choice([1, 8])),
    )
    model = _start(loop)
    if loop.weights > 1:  # sure, and mostly right: its gradient may be longer than its loss is high
        loop = loop._replace(batches=[(x, model(x)[0].argmax(-1)) for x, _ in loop.batches])
    limit = _limit(loop.batches[0], model, rng)
    made, options = (", ".join(f"{k}={v}" for k, v in of.items()) for of in (sizes, optimizer[1]))
    seen = f" Seen with {optimizer[0].__name__}({options}), CharRNN({made}), limit {limit:.3g}."
    return loop._replace(limit=limit, seen=seen)


def _limit(batch: tuple, model: CharRNN, rng: np.random.Generator) -> float:
    """Draw a limit that is not near the norm, and often between it and what may be taken for it."""
    x, y = batch
    loss = F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten())
    loss.backward()
    norms = [p.grad.norm().item() for p in model.parameters()]
    norm, others = math.hypot(*norms), [max(norms), loss.item()]
    if norm < 0.1:  # PyTorch adds 1e-6 to the norm
        return 1.0
    between = [math.sqrt(norm * other) for other in others if other < 0.9 * norm]
    return float(rng.choice([*between * 2, *(norm * np.array([0.3, 0.93, 3]))]))


def _train(loop: _Loop, finish: Callable) -> tuple[list[float], list[Tensor]]:
    """Return the losses of a loop whose steps end with `finish`, its weights and last state."""
    model, losses, state = _start(loop), [], None
    make, options = loop.optimizer
    parts = [{"params": list(model.parameters())}]
    if loop.groups:
        biases = [p for p in model.parameters() if p.ndim == 1]
        matrices = [p for p in model.parameters() if p.ndim > 1]
        parts = [{"params": matrices}, {"params": biases, "lr": options["lr"] / 2}]
    optimizer = make(parts, **options)
    for x, y in loop.batches:
        logits, state = model(x, state)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        loss, state = finish(model, loss, state, optimizer, loop.limit)
        losses.append(loss)
    return losses, [p.detach() for p in (*model.parameters(), *(state or ()))]


def _finish_step(
    model: CharRNN,
    loss: Tensor,
    state: tuple,
    optimizer: torch.optim.Optimizer,
    limit: float,
    zero: bool = True,
    clip: str | float | None = "after",
    carry: float | None = 1.0,
    swapped: bool = False,
    steps: int = 1,
    fresh: bool = False,
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
        "two parts": [[*model.layers.parameters(), *model.output.parameters()]],
        "first group": [optimizer.param_groups[0]["params"]],
    }
    for group in groups.get(clip, []):
        nn.utils.clip_grad_norm_(group, limit)
    if isinstance(clip, float):
        nn.utils.clip_grad_norm_(everything, limit, norm_type=clip)
    if clip == "value":
        nn.utils.clip_grad_value_(everything, limit)
    if fresh:
        optimizer.state.clear()
    for _ in range(steps):
        optimizer.step()
    if not steps:  # as SGD, by hand
        with torch.no_grad():
            for p in everything:
                p -= optimizer.param_groups[0]["lr"] * p.grad
    h, c = detach(state)
    handed = (c, h) if swapped else (h, c)
    return loss.item(), carry if carry is None else tuple(carry * part for part in handed)


def _start(loop: _Loop) -> CharRNN:
    """Return the network of a loop, whose weights are the same at every call."""
    with torch.random.fork_rng(devices=[]):
        model = CharRNN(**loop.sizes, num_layers=1).to(loop.dtype)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for weight in model.parameters():
            uniform = rng.uniform(-1, 1, weight.shape) / math.sqrt(loop.sizes["hidden_size"])
            weight.copy_(torch.from_numpy(loop.weights * uniform))
    return model
