"""Checks of the exercises of chapter 04 that mend a function."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lstmlib.course.check.exercises import (
    Slip,
    call_answer,
    called,
    drawn,
    entries,
    grade,
    index,
)
from lstmlib.course.check.watch import INFERENCE, TO_THE_PROCESSOR, moves_to_processor
from lstmlib.models import CharRNN, State, detach


def _network(
    scale: float = 1.0,
    vocab_size: int = 6,
    hidden_size: int = 16,
    num_layers: int = 1,
    dtype: torch.dtype = torch.float64,
    remembers: bool = False,
    **settings: object,
) -> CharRNN:
    """Return a small network with large weights, always the same, in training mode.

    The weights of its output layer are `scale` times as large. One that remembers has forget gates
    near 1, and forgets little of hundreds of characters. The settings are CharRNN's.
    """
    with torch.random.fork_rng(devices=[]):
        model = CharRNN(vocab_size, hidden_size, num_layers, **settings).to(dtype)
    generator = torch.Generator().manual_seed(1)  # one whose texts are varied
    for parameter in model.parameters():
        parameter.data.uniform_(-2, 2, generator=generator)
    model.output.bias.data.zero_()
    if remembers:
        model.layers.weight_hh_l0.data *= 0.05
        model.layers.bias_ih_l0.data[hidden_size : 2 * hidden_size] = 9
    model.output.weight.data *= scale
    return model


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run small networks on one thread: more would mostly wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Course(NamedTuple):
    """A short training: a network, an optimizer, and (x, y) of batches; `begins` lists epochs."""

    network: Callable[[], CharRNN]
    optimizer: Callable[..., torch.optim.Optimizer]
    batches: list[tuple[Tensor, Tensor]]
    begins: tuple[int, ...] = (0,)


def _trained(
    course: _Course, clear: str = "always", turn: bool = False, carry: bool = True
) -> Iterator[tuple[Tensor, State]]:
    """Yield the weights and the state after each batch, trained with or without faults.

    The gradients are cleared "always", "never", or "later", not where a text begins.
    """
    model = course.network()
    optimizer, state = course.optimizer(model.parameters()), None
    for n, (x, y) in enumerate(course.batches):
        begins = n in course.begins
        logits, state = model(x, None if begins or not carry else state)
        if clear == "always" or (clear == "later" and not begins):
            optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), (y.T if turn else y).flatten()).backward()
        optimizer.step()
        state = detach(state)
        yield _vector(model), state


def _vector(model: CharRNN) -> Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def _courses() -> list[_Course]:
    """Return trainings that begin anew, with networks and optimizers of several kinds."""
    SGD, Adam = torch.optim.SGD, torch.optim.Adam
    optimizers = (
        partial(SGD, lr=0.5),
        partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
        partial(Adam, lr=8e-3),
        partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
        partial(torch.optim.RMSprop, lr=0.01),
    )

    def make(rng: np.random.Generator) -> _Course:
        V, H, L, B = map(int, rng.integers((2, 1, 1, 1), (9, 8, 4, 5)))
        settings = {"vocab_size": V, "hidden_size": H, "num_layers": L}
        settings["cell"] = str(rng.choice(["lstm", "cifg"]))
        settings["embedding_size"] = (None, 3)[rng.integers(2)]
        # With 32 bits an optimizer that divides by the gradient's size would show the rounding.
        dtype = (torch.float32, torch.float64)[rng.integers(2)]
        optimizer = optimizers[rng.integers(1 if dtype == torch.float32 else len(optimizers))]
        sizes = [(2, B, T) for T in rng.integers(1, 5, 4).tolist()]
        batches = [tuple(torch.from_numpy(rng.integers(V, size=size))) for size in sizes]
        return _Course(partial(_network, dtype=dtype, **settings), optimizer, batches, (0, 2))

    # The norm of the first's gradient is above 5, so that clipping shows.
    ids = torch.from_numpy(np.random.default_rng(0).integers(6, size=(3, 21)))
    batches = [
        (ids[:, k:end].clone(), ids[:, k + 1 : end + 1].clone())
        for k, end in ((0, 5), (5, 10), (10, 11), (11, 20))
    ]
    # Its dropout drops nothing, and one that is switched off is seen.
    loud = partial(_network, scale=8.0, num_layers=2, dropout=1e-12)
    default = partial(_network, num_layers=2, dtype=torch.float32)
    return [
        _Course(loud, optimizers[0], batches),
        _Course(partial(_network, scale=500.0), optimizers[0], batches[:1]),
        _Course(loud, optimizers[2], batches, (0, 2)),
        _Course(default, optimizers[0], batches, (0, 2)),
        *drawn(4, 7, make),
    ]


def repaired(answer: Callable | None) -> None:
    """Check a function (model, optimizer, x, y, state) -> state, which is one step of training.

    x and y are ids, (B, T) each; the check calls it with batches that follow each other.
    """

    def slip_of(course: _Course) -> str | None:
        mine, state, modes = course.network(), None, []
        mine.register_forward_hook(lambda module, *_: modes.append(module.training))
        optimizer = course.optimizer(mine.parameters())
        for n, (wanted, wanted_state) in enumerate(_trained(course)):
            before, batch = _vector(mine), course.batches[n]
            old = () if n in course.begins else tuple(part.clone() for part in state)
            given = [*map(_sliced, batch), *(part.clone() for part in old)]
            uncut = any(part.requires_grad for part in old)
            try:
                state = called(answer, mine, optimizer, *given[:2], tuple(given[2:]) or None)
            except RuntimeError:
                if uncut:
                    return _UNCUT
                raise
            if state is None:
                return (
                    "your function returns nothing: did you forget `return`? Or do you return the "
                    "state from before the batch?"
                )
            if not all([*modes, mine.training]):
                return "the network trains without dropout: leave it in training mode."
            if not all(map(torch.equal, batch, given[:2])):
                return "your function changed the batch that it was given."
            if not all(map(torch.equal, old, given[2:])):
                return "your function changed the state that it was given."
            two = state if isinstance(state, tuple | list) else ()
            if [getattr(part, "ndim", 0) for part in two] != [3, 3]:
                return "return the state, (h, c), and nothing else."
            if any(getattr(part, "dtype", None) != before.dtype for part in state):
                return "h and c stay tensors, of the type that they have."
            if any(map(torch.is_inference, state)):
                return INFERENCE
            if not _near(_vector(mine), wanted):
                return _slip_of_step(course, n, before, _vector(mine), uncut)
            if not all(map(_near, state, wanted_state)):
                return "the state that comes back is not the one after this batch."
        return None

    def find_slip() -> str | None:
        slip = next(filter(None, map(slip_of, _courses())), None)
        if slip:
            return slip
        model = _network().to("meta")  # stands in for a GPU; numbers are nowhere there
        x = torch.zeros(2, 3, dtype=torch.long, device="meta")
        arguments = model, torch.optim.SGD(model.parameters()), x, x, None
        return TO_THE_PROCESSOR if moves_to_processor(answer, *arguments) else None

    with _one_thread():
        grade(answer, find_slip)


def _sliced(ids: Tensor) -> Tensor:
    """Return ids (B, T) as a slice of longer rows, as `Streams` gives them: no `view` reads it."""
    return torch.cat([ids, ids], dim=1)[:, : ids.shape[1]]


def _near(a: Tensor, b: Tensor) -> bool:
    near = 1e-4 if a.dtype == torch.float32 else 1e-7
    return a.shape == b.shape and torch.allclose(a, b, atol=near)


_UNCUT = (
    "the state still hangs on the graph of this batch: the next `backward` would go back into it. "
    "Cut h and c."
)


def _slip_of_step(
    course: _Course, n: int, before: Tensor, weights: Tensor, uncut: bool
) -> str | None:
    """Say why the weights are wrong after step n; `uncut`: the state given to it had its graph."""

    def after(**fault: object) -> Tensor:
        return list(islice(_trained(course, **fault), n + 1))[-1][0]

    def fits(**fault: object) -> bool:
        return _near(weights, after(**fault))

    if torch.equal(weights, before):
        return "no weight has changed. Is there a step, and no gradient cleared before it?"
    if fits(clear="never"):
        return "each step still uses the gradients of all steps before: clear them first."
    if fits(clear="later"):
        return (
            "where a text begins anew and the state is None, the gradients of the step before are "
            "still there: clear them at every step."
        )
    if fits(turn=True) or fits(clear="never", turn=True):
        return (
            "the logits go through the first row, then the second; the targets go through "
            "the first column, so most stand beside the wrong logits."
        )
    if uncut:
        return _UNCUT
    if fits(carry=False):
        return "the state of the batch before is lost: give it to the model with x."
    moved, wanted = weights - before, after() - before
    times = float(moved.norm() / wanted.norm())
    if abs(times - 1) > 0.01 and torch.cosine_similarity(moved, wanted, dim=0) > 1 - 1e-6:
        clips = "" if times > 1 else ", which nothing clips"
        once = " once" * (abs(times - 2) < 1e-3)
        return (
            f"the step goes the right way, but it is {times:.2g} times as long. The loss is the "
            f"mean over all characters; step{once} with its gradient{clips}, and with the "
            "`optimizer` that is given, as it is."
        )
    kind = type(course.optimizer([Tensor()])).__name__
    return (
        "after this step the weights are others: change no more than the faults, and step with "
        f"the `optimizer` that is given, here {kind}."
    )


def continued(answer: Callable | None) -> None:
    """Check a function (model, ids, n) -> the n most probable ids that follow, one by one.

    Every character is read once.
    """

    def reference(model: CharRNN, ids: list[int], n: int, position: int = -1) -> list[int]:
        new, state = [], None
        for _ in range(n):
            logits, state = model(torch.tensor([new[-1:] or ids]), state)
            new.append(int(logits[0, position].argmax()))
        return new

    def written(model: CharRNN, ids: list[int], n: int) -> list[int]:
        got = call_answer(answer, model, ids, n, any_mode=True)
        if isinstance(got, tuple | list) and any(isinstance(part, list | tuple) for part in got):
            raise Slip("return the list of the new ids alone: nothing beside it, none around it.")
        return [index(each) for each in entries(got, "a list of ids is asked for")]

    def make(rng: np.random.Generator) -> tuple[list[int], int, dict, bool]:
        V, H, L, n = map(int, rng.integers((2, 4, 1, 1), (13, 17, 4, 13)))
        settings = {"vocab_size": V, "hidden_size": H, "num_layers": L}
        settings["embedding_size"] = (None, 3)[rng.integers(2)]
        settings["scale"] = (1.0, 1e-4)[rng.integers(2)]  # the less, the closer the logits lie
        ids = rng.integers(V, size=int(10 ** rng.uniform(0, 2))).tolist()
        return ids, n, settings, bool(rng.integers(3))

    def slip_of(
        ids: list[int], n: int, settings: dict | None = None, training: bool = True
    ) -> str | None:
        # Of float32, as a reader's networks are: no two logits lie so near that rounding shows.
        network = partial(_network, dtype=torch.float32, **(settings or {}))
        model, calls, given = network(dropout=0.5), [], list(ids)
        model.train(training)

        def listen(module: CharRNN, inputs: tuple, named: dict, _: object) -> None:
            state = named.get("state", inputs[1] if len(inputs) > 1 else None)
            x = inputs[0] if inputs else named["x"]
            calls.append((x.flatten().tolist(), _drops(module), state is not None))

        model.register_forward_hook(listen, with_kwargs=True)
        got = written(model, given, n)
        right = reference(network(), ids, n)
        if not torch.equal(_vector(model), _vector(network())):
            return "your function changed the weights of the network."
        if given != ids:
            return "your function changed the list that it was given; build another."
        if any(drops for _, drops, _ in calls):
            return "the network wrote as it is trained, with dropout on: `model.eval()` first."
        if n and got == ids + right:
            return "return the new ids alone, without those that were given."
        if len(got) != n:
            return f"{n} new ids are asked for, and yours are {len(got)}."
        if n == 0:
            return None
        slip = _slip_of_reading(ids, got, [each for fed, *_ in calls for each in fed])
        if slip or got == right:
            return slip or _slip_of_length(ids, got, calls)
        if not any(stated for *_, stated in calls) and len(calls) > 1:
            return (
                "each call begins without a state, and so knows only what it reads: carry the "
                "state, and feed only the last character."
            )
        if not all(stated for *_, stated in calls[1:]):
            return _FORGOTTEN
        if any(len(fed) > 1 for fed, *_ in calls[1:]):
            return (
                "the state knows the text already, and gets it once more: after the first call, "
                "feed only the last character."
            )
        if written(model, list(ids), n) != got:
            return (
                "a second call with the same writes another text: do not draw, take the most "
                "probable one; and keep no state from one call to the next."
            )
        if got == reference(network(), ids, n, position=0):
            return "the next character is predicted at the last position, `logits[0, -1]`."
        if n > 1 and got[:-1] == right[1:]:
            return "each id stands one place too early: the first one is missing."
        if got in (right[::-1], sorted(right)):
            return "these are the right ids, in another order."
        if got[0] != right[0]:
            return "the first id is not the most probable one after the text: the argmax is."
        return (
            "from the second id on it goes wrong: each comes from the last logits of a new call, "
            "which reads the id just written, and the state."
        )

    def find_slip() -> str | None:
        tasks = [([2, 0, 4, 5], 12), ([3], 9), ([1, 1, 2, 5, 0, 3, 4], 1), ([4, 0], 0)]
        long = np.random.default_rng(0).integers(6, size=300).tolist()
        tasks += [(long, 2), ([5], 60)]
        tasks += [(long[k:] + long[:k], 12, {"remembers": True}) for k in (0, 70, 140, 210)]
        tasks += drawn(4, 10, make)
        return next(filter(None, (slip_of(*task) for task in tasks)), None)

    with _one_thread():
        grade(answer, find_slip)


_FORGOTTEN = "a call after the first has no state: what was read before it is forgotten."


def _drops(model: CharRNN) -> bool:
    """Say whether dropout acts anywhere: behind the last layer, or between layers."""
    behind = model.dropout.training and model.dropout.p > 0
    between = model.config["num_layers"] > 1 and model.layers.training
    return behind or (between and model.layers.dropout > 0)


def _slip_of_length(ids: list[int], got: list[int], calls: list[tuple]) -> str | None:
    """Say that the right ids were written, but with more reading than is needed, or less."""
    text, read = ids + got, [each for fed, *_ in calls for each in fed]
    if len(read) > len(text):
        return (
            f"the ids are right, but {len(read)} were read for a text of {len(text)}: carry the "
            "state, and read each once."
        )
    if read and read not in (text, text[:-1]):  # none are heard from parts of the network
        return (
            f"the ids are right, but of a text of {len(text)} not all were read, in their order: "
            "read each once."
        )
    return None if all(stated for *_, stated in calls[1:]) else _FORGOTTEN


def _slip_of_reading(ids: list[int], got: list[int], read: list[int]) -> str | None:
    """Say what of a text was not read, or read twice, before the new ids."""

    def reads(start: list[int]) -> bool:
        """Say whether the start was read, and the new ids after it, but perhaps the last."""
        return read in (start + got, start + got[:-1])

    if reads(ids):
        return None
    if reads([*ids, ids[-1]]):
        return f"{len(ids) + 1} were read for a text of {len(ids)}: the last one of the text twice."
    if reads(ids[-1:]):
        return "only the last id of the text was read; the state must know all of it."
    if reads(ids[:-1]):
        return "the last id of the text was not read; the new ones come after it."
    if reads(ids[1:]):
        return "the first id of the text was not read; the state must know all of it."
    if reads(ids[:1]):
        return "only the first id of the text was read; the state must know all of it."
    for most in range(2, len(ids) - 1):
        if reads(ids[-most:]):
            return f"of a text of {len(ids)} only the last {most} were read; read all of it."
        if reads(ids[:most]):
            return f"of a text of {len(ids)} only the first {most} were read; read all of it."
    return None
