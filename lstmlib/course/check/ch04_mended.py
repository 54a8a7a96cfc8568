"""Checks of the exercises of chapter 04 that mend a function."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lstmlib.course.check.exercises import Slip, call_answer, entries, grade, index
from lstmlib.models import CharRNN, State, detach


def _network(dropout: float = 0.0, scale: float = 1.0, num_layers: int = 1) -> CharRNN:
    """Return a small network of float64 with large weights, always the same, in training mode.

    The weights of its output layer are `scale` times as large.
    """
    with torch.random.fork_rng(devices=[]):
        model = CharRNN(6, 16, num_layers=num_layers, dropout=dropout).double()
    generator = torch.Generator().manual_seed(1)  # one whose texts are varied
    for parameter in model.parameters():
        parameter.data.uniform_(-2, 2, generator=generator)
    model.output.bias.data.zero_()
    model.output.weight.data *= scale
    return model


def _stepped(
    model: CharRNN,
    x: Tensor,
    y: Tensor,
    state: State | None,
    clear: bool = True,
    turn: bool = False,
) -> State:
    """Make a step of SGD, with or without faults of the exercise; return the state."""
    logits, state = model(x, state)
    if clear:
        model.zero_grad()
    F.cross_entropy(logits.flatten(0, 1), (y.T if turn else y).flatten()).backward()
    for parameter in model.parameters():
        parameter.data -= 0.5 * parameter.grad
    return detach(state)


def repaired(answer: Callable | None) -> None:
    """Check a function (model, optimizer, x, y, state) -> state, which is one step of training.

    x and y are ids, (B, T) each; the check calls it with batches that follow each other.
    """

    def vector(model: CharRNN) -> Tensor:
        return torch.nn.utils.parameters_to_vector(model.parameters()).detach()

    def find_slip() -> str | None:
        # The norm of the gradient is above 5, so that clipping shows; and the state has two layers.
        loud = {"scale": 8.0, "num_layers": 2}
        mine, state, modes = _network(**loud), None, []
        mine.register_forward_hook(lambda module, *_: modes.append(module.training))
        optimizer = torch.optim.SGD(mine.parameters(), lr=0.5)
        faults = [(clear, turn) for clear in (True, False) for turn in (False, True)]
        models = {fault: _network(**loud) for fault in faults}
        states, stateless = dict.fromkeys(models), _network(**loud)
        cut = (
            "the state still hangs on the graph of this batch: the next `backward` would go back "
            "into it. Cut h and c."
        )
        ids = torch.from_numpy(np.random.default_rng(0).integers(6, size=(3, 21)))
        for k, end in ((0, 5), (5, 10), (10, 11), (11, 20)):
            x, y, before = ids[:, k:end], ids[:, k + 1 : end + 1], vector(mine)
            given = [part.clone() for part in (x, y, *(state or ()))]
            old = given[2:] and tuple(part.clone() for part in given[2:])
            uncut = any(part.requires_grad for part in old)
            try:
                state = call_answer(answer, mine, optimizer, *given[:2], old or None)
            except Slip as slip:
                if callable(answer):
                    return f"{slip} Or do you return the state from before the batch?"
                raise
            except RuntimeError:
                if uncut:
                    return cut
                raise
            if not all([*modes, mine.training]):
                return "the network trains without dropout: leave it in training mode."
            if not (torch.equal(given[0], x) and torch.equal(given[1], y)):
                return "your function changed the batch that it was given."
            if not all(map(torch.equal, old, given[2:])):
                return "your function changed the state that it was given."
            two = state if isinstance(state, tuple | list) else ()
            if [getattr(part, "ndim", 0) for part in two] != [3, 3]:
                return "return the state, (h, c), and nothing else."
            if any(getattr(part, "dtype", None) != torch.float64 for part in state):
                return "h and c stay tensors, of the type that they have."
            for (clear, turn), model in models.items():
                states[clear, turn] = _stepped(model, x, y, states[clear, turn], clear, turn)
            _stepped(stateless, x, y, None)
            fits = {key: torch.allclose(vector(mine), vector(m)) for key, m in models.items()}
            if fits[True, False]:
                if not all(map(torch.allclose, state, states[True, False])):
                    return "the state that comes back is not the one after this batch."
                continue
            if torch.equal(vector(mine), before):
                return "no weight has changed. Is there a step, and no gradient cleared before it?"
            if fits[False, False]:
                return "each step still uses the gradients of all steps before: clear them first."
            if fits[True, True] or fits[False, True]:
                return (
                    "the logits go through the first row, then the second; the targets go through "
                    "the first column, so most stand beside the wrong logits."
                )
            if uncut:
                return cut
            if torch.allclose(vector(mine), vector(stateless)):
                return "the state of the batch before is lost: give it to the model with x."
            moved, wanted = vector(mine) - before, vector(models[True, False]) - before
            times = float(moved.norm() / wanted.norm())
            if torch.cosine_similarity(moved, wanted, dim=0) > 1 - 1e-6:
                why = "do not clip" if times < 1 else "the loss is the mean over all characters"
                return (
                    f"the step goes the right way, but it is {times:.2g} times as long: {why}, and "
                    "step with the `optimizer` that is given, as it is."
                )
            return "after this step the weights are others; change no more than the faults."
        return None

    grade(answer, find_slip)


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
        return [index(each) for each in entries(got, "a list of ids is asked for")]

    def slip_of(ids: list[int], n: int) -> str | None:
        model, calls, given = _network(dropout=0.5), [], list(ids)

        def listen(module: CharRNN, inputs: tuple, named: dict, _: object) -> None:
            state = named.get("state", inputs[1] if len(inputs) > 1 else None)
            x = inputs[0] if inputs else named["x"]
            calls.append((x.flatten().tolist(), module.training, state is not None))

        model.register_forward_hook(listen, with_kwargs=True)
        got = written(model, given, n)
        right = reference(_network(), ids, n)
        if given != ids:
            return "your function changed the list that it was given; build another."
        if any(training for _, training, _ in calls):
            return "the network wrote with dropout on: `model.eval()` first."
        if n and got == ids + right:
            return "return the new ids alone, without those that were given."
        if len(got) != n:
            return f"{n} new ids are asked for, and yours are {len(got)}."
        if n == 0:
            return None
        slip = _slip_of_reading(ids, got, [each for fed, *_ in calls for each in fed])
        if slip or got == right:
            return slip or _slip_of_length(ids, n, calls)
        if any(len(fed) > 1 for fed, *_ in calls[1:]):
            if not any(stated for *_, stated in calls):
                return (
                    "each call begins without a state, and so knows only what it reads: carry the "
                    "state, and feed only the last character."
                )
            return (
                "the state knows the text already, and gets it once more: after the first call, "
                "feed only the last character."
            )
        if written(model, list(ids), n) != got:
            return "a second call writes another text: do not draw, take the most probable one."
        if got == reference(_network(), ids, n, position=0):
            return "the next character is predicted at the last position, `logits[0, -1]`."
        if n > 1 and got[:-1] == right[1:]:
            return "each id stands one place too early: the first one is missing."
        if sorted(got) == sorted(right):
            return "these are the right ids, in another order."
        if got[0] != right[0]:
            return "the first id is not the most probable one after the text: the argmax is."
        return "from the second id on it goes wrong: feed the id just written, and the state."

    def find_slip() -> str | None:
        tasks = (([2, 0, 4, 5], 12), ([3], 9), ([1, 1, 2, 5, 0, 3, 4], 1), ([4, 0], 0))
        return next(filter(None, (slip_of(*task) for task in tasks)), None)

    grade(answer, find_slip)


def _slip_of_length(ids: list[int], n: int, calls: list[tuple]) -> str | None:
    """Say that the right ids were written, but with more reading than is needed."""
    read, text = sum(len(fed) for fed, *_ in calls), len(ids) + n
    if read <= text:
        return None
    return (
        f"the ids are right, but {read} were read for a text of {text}: carry the state, and read "
        "each once."
    )


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
    return None
