"""The check of chapter 04 of the state that a batch starts with."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lstmlib.course.check.exercises import called, drawn, grade
from lstmlib.course.check.watch import (
    INFERENCE,
    TO_THE_PROCESSOR,
    described,
    moves_to_processor,
)
from lstmlib.models import State, detach


def next_state(answer: Callable | None) -> None:
    """Check a function (state, k) -> the state to start batch k with; the state is (h, c)."""

    def make(rng: np.random.Generator) -> tuple[Tensor, list[int]]:
        dtype = (torch.float32, torch.float64)[rng.integers(2)]
        values = rng.normal(size=(2, *rng.integers(1, (4, 6, 7))))
        batches = {0, *rng.integers(1, 6, 2).tolist(), *rng.integers(1, 3000, 2).tolist()}
        return torch.tensor(values, dtype=dtype), rng.permutation(list(batches)).tolist()

    def slip_of(values: Tensor, batches: list[int]) -> str | None:
        grown, given = values.requires_grad_(), []
        for epoch in (batches, batches[:5]):
            got, wanted = {}, {}
            for k in epoch:
                state = tuple((len(given) + 2) * part for part in grown)  # (h, c), always others
                wanted[k] = detach(tuple(part.clone() for part in state))
                given.append(wanted[k])
                got[k] = called(answer, state, k)
                if any(part.grad_fn is None for part in state):
                    return (
                        "your function cut the caller's state; `detach`, without `_`, returns a "
                        "new one."
                    )
                if not all(map(torch.equal, state, wanted[k])):
                    return "your function changed the caller's state; leave its numbers alone."
            slip = _slip_of_states(got, wanted, given)
            if slip:
                return slip
        return None

    def find_slip() -> str | None:
        tasks = [(1.3 + torch.arange(48.0).reshape(2, 2, 3, 4), [*range(101), 1000, 1024, 10_000])]
        tasks += drawn(4, 30, make)
        slips = (slip_of(*task) for task in tasks)
        return next(filter(None, slips), None) or _slip_of_device(answer)

    grade(answer, find_slip)


def _elsewhere(state: State | None, part: Tensor) -> bool:
    return any(getattr(each, "device", part.device) != part.device for each in state or ())


def _follows(answer: Callable, state: State, k: int) -> bool:
    """Say whether an answer gives a state where the given one is, which `torch.tensor(h)` does."""
    there = tuple(part.detach().to("meta").requires_grad_() for part in state)
    try:
        return not _elsewhere(called(answer, tuple(p.view_as(p) for p in there), k), there[0])
    except Exception:  # it wants the numbers, which are on the GPU
        return False


def _slip_of_device(answer: Callable) -> str | None:
    """Say which state would stand on the processor if the one given stood on a GPU.

    No GPU is needed: here the state is on the processor, and what is made without a word about its
    device is elsewhere, on "meta", whose tensors are shapes alone.
    """
    part = torch.rand(2, 3, 4, requires_grad=True)
    if moves_to_processor(answer, (part.to("meta"), part.to("meta")), 3):
        return TO_THE_PROCESSOR
    for k, whose in ((0, "the zeros of batch 0"), (3, "h and c")):
        state = (part.view_as(part), part.view_as(part))
        try:
            with torch.device("meta"):
                got = called(answer, state, k)
        except Exception:  # such as a move away from "meta", where there are no numbers to move
            continue
        if _elsewhere(got, part) and not _follows(answer, state, k):
            return (
                f"right on a processor; but where the state is on a GPU, {whose} must be there, "
                "too: `torch.zeros_like` and `detach` stay where the state is."
            )
    return None


def _slip_of_states(
    got: dict[int, object], wanted: dict[int, State], given: list[State]
) -> str | None:
    """Say what is wrong with states of batches, batch -> state; all but the first are wanted.

    `given` are the states of all batches so far, those of an epoch before as well.
    """

    def is_zero(state: State | None) -> bool:
        return state is None or all(not part.any() for part in state)

    def on_a_graph(state: State) -> bool:
        return any(part.grad_fn is not None for part in state)

    first, later = got[0], {k: state for k, state in got.items() if k}
    for state in later.values():
        if state is not None and (not isinstance(state, tuple | list) or len(state) != 2):
            return f"the LSTM wants a pair, (h, c), and yours is {described(state)}."
        kinds = [getattr(part, "dtype", None) for part in state or ()]
        if state is not None and kinds != [part.dtype for part in wanted[0]]:
            return "h and c stay tensors, of the type that they have."
    zeros = first if isinstance(first, tuple | list) else ()
    shapes = [getattr(part, "shape", None) for part in zeros]
    if first is not None and not (all(map(torch.is_tensor, zeros)) and len(zeros) == 2):
        return "what batch 0 gets must be a pair, (h, c), of zeros; or None."
    if zeros and [part.dtype for part in zeros] != [part.dtype for part in wanted[0]]:
        return "the zeros of batch 0 are tensors of the type that the state has; or give None."
    if any(torch.is_inference(part) for state in got.values() for part in state or ()):
        return INFERENCE
    if all(map(is_zero, later.values())):
        if not is_zero(first):
            return "the other way round: batch 0 begins anew, all others go on."
        forgot = " (is there a `return`?)" * all(state is None for state in got.values())
        return (
            f"no batch gets a state{forgot}: every piece of text is read as if nothing came "
            "before it."
        )
    for k, state in later.items():
        if is_zero(state):
            return "batch 0 alone begins anew; every other one goes on."
        if any(a.shape != b.shape for a, b in zip(state, wanted[k], strict=True)):
            return "h and c keep their shape, (L, B, H): every layer goes on."
        if not all(map(torch.equal, state, wanted[k])):
            if any(all(map(torch.equal, state, other)) for other in given):
                return "each batch goes on from the state that is given; yours is an older one."
            return "the numbers must stay as they are, h first, then c."
        if on_a_graph(state):
            return (
                "it still hangs on the graph of the batch before, and `backward` would walk back "
                "into it: detach h and c."
            )
    if not is_zero(first):
        return "batch 0 begins the text anew: None, or zeros."
    if first is not None and shapes != [part.shape for part in wanted[0]]:
        return "zeros for batch 0 must be a pair, (h, c), of the shapes of the state; or None."
    if first is not None and on_a_graph(first):
        return "0 times the state has its graph, too; None or `torch.zeros_like` has none."
    return None
