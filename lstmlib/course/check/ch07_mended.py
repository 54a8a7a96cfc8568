"""Checks of the exercises of chapter 07 that mend a program."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from lstmlib.course.check.exercises import Slip, call_answer, grade, index
from lstmlib.generation import generate
from lstmlib.models import CharRNN
from lstmlib.sampling import SamplingConfig, draw
from lstmlib.vocab import Vocab


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _id(got: object, size: int) -> int:
    """Return an answer as one of `size` ids; raises Slip if it is none."""
    try:
        i = index(got)
    except Slip:
        i = -1
    if not 0 <= i < size:
        raise Slip(f"return one id, a whole number from 0 to {size - 1}, and not {got!r}.")
    return i


def mended_sampler(answer: Callable | None) -> None:
    """Check a function (logits (V,), τ, k, u) -> id, which draws after temperature and top-k."""
    uniform = np.arange(0.5, 1000) / 1000  # (1000,)

    def ids(logits: np.ndarray, tau: float, k: int, numbers: Sequence[float]) -> list[int]:
        """Return the ids that the numbers draw."""
        given, drawn_ids = logits.copy(), []
        with np.errstate(all="ignore"):
            for u in numbers:
                got = call_answer(answer, given, tau, k, float(u))
                drawn_ids.append(_id(got, len(logits)))
        if not np.array_equal(given, logits):
            raise Slip(
                "your function changes the logits that it is given, so that who calls it has lost "
                "them; work on a copy."
            )
        return drawn_ids

    def shares(logits: np.ndarray, tau: float, k: int) -> np.ndarray:
        """Return how often each id is drawn, (V,)."""
        drawn_ids = ids(logits, tau, k, uniform)
        return np.bincount(drawn_ids, minlength=len(logits)) / len(uniform)

    def find_slip() -> str | None:
        logits = np.array([1.0, 2.0, 0.5, 0.0])
        for case in ((logits, 1.0, 2), (logits, 0.5, 3)):
            got, wanted = shares(*case), _after_top_k(*case)
            if got[wanted == 0].any():
                return _ruled_out_and_drawn(got, wanted, _after_top_k(*case[:2], len(logits)))
            if np.abs(got - wanted).max() > 2e-3:
                return (
                    f"at τ = {case[1]:g} and k = {case[2]} the ids are drawn in shares of "
                    f"{_listed(got)}; they should be {_listed(wanted)}."
                )
        cold = (np.array([-3.0, 1.0, 2.0, 1.998, 1.0]), 0.001, 4)
        large = (np.array([900.0, 901.0, -900.0]), 1.0, 3)
        small = (np.array([-900.0, -902.0, -901.0]), 1.0, 2)
        for case in (large, small, cold):
            got, wanted = shares(*case), _after_top_k(*case)
            if np.abs(got - wanted).max() > 2e-3:
                if got[0] == 0 and case is cold:
                    return _cold_slip(got, 0.002, case[1])
                return (
                    f"at τ = {case[1]:g} and logits of {_listed(case[0])} the exponentials are "
                    "infinite or all 0. Subtract the largest logit first."
                )
        many = np.random.default_rng(0).normal(size=19)
        for case in ((many, 2.0, 19), (many, 0.7, 1), (many, 1.3, 7)):
            if np.abs(shares(*case) - _after_top_k(*case)).max() > 2e-3:
                return f"it fails for {len(many)} logits, τ = {case[1]:g} and k = {case[2]}."
        if np.count_nonzero(shares(np.array([1.0, 2.0, 1.0, 1.0]), 1.0, 2)) != 2:
            return "of the logits (1, 2, 1, 1) k = 2 leaves two ids: of equal ones only the first."
        return at_the_ends()

    def at_the_ends() -> str | None:
        """Say what is wrong at the smallest and the largest u, with the first or last ruled out."""
        if ids(np.array([0.0, 2.0, 1.0]), 1.0, 2, [0.0]) == [0]:
            return (
                "at u = 0 id 0 of the logits (0, 2, 1) is drawn, and k = 2 has ruled it out: the "
                "sum must be above u, so side='right'."
            )
        rng, u = np.random.default_rng(0), float(np.nextafter(1, 0))
        for logits in (np.zeros(10), *rng.normal(size=(40, 30))):
            if ids(np.append(logits, -9.0), 1.0, len(logits), [u]) == [len(logits)]:
                return (
                    f"both bugs are mended. But at u = {u} the last id is drawn, and top-k has "
                    "ruled it out: the sums end below 1 by a rounding. Divide them by the last sum."
                )
        return None

    grade(answer, find_slip)


def _cold_slip(got: np.ndarray, gap: float, tau: float) -> str:
    """Say what is wrong with shares (V,) at a small τ, where two logits lie a small gap apart."""
    second, first = np.sort(got)[-2:]
    if second < 1e-3:
        return (
            f"at τ = {tau:g}, two logits that are {gap:g} apart still share the draws; argmax is "
            "the limit at 0 alone."
        )
    like = gap / math.log(first / second) if first > second else math.inf
    if like > 1.2 * tau:
        return (
            f"at τ = {tau:g} yours does what a τ of {like:.2g} does: it is held at a limit. With "
            "the largest logit subtracted none is needed."
        )
    return f"at τ = {tau:g} and logits {gap:g} apart yours draws in shares of {_listed(got)}."


def _after_top_k(logits: np.ndarray, tau: float, k: int) -> np.ndarray:
    """Return the probabilities (V,) after temperature and top-k."""
    return np.exp(SamplingConfig(temperature=tau, top_k=k).transform(logits))


def _ruled_out_and_drawn(got: np.ndarray, wanted: np.ndarray, uncut: np.ndarray) -> str:
    """Say why an id is drawn that is ruled out; all are shares, (V,), uncut those without top-k."""
    i = int(np.flatnonzero((got > 0) & (wanted == 0))[0])
    of_whole = np.abs(got - uncut)[wanted > 0].max() < 2e-3 and i == len(got) - 1
    why = (
        "Do the weights that are left sum to 1?"
        if of_whole
        else "The cut keeps the wrong ids: the k largest logits stay, and no other."
    )
    return f"id {i} is drawn in {got[i]:.0%} of the draws, and top-k has ruled it out. {why}"


LOST = {
    "all": "the state is still lost: each prediction comes from one character alone.",
    "text": "each call gets the state after the prompt; it must get that of the last one.",
    "c": "the state is two things: hand on both h and c, as the model returns them.",
    "h": "the state is two things: hand on both h and c, as the model returns them.",
    "place": "the next character is predicted at the last position of the prompt, logits[0, -1].",
}
"""What a writer may lose at each step, and what to say to it."""


def mended_writer(answer: Callable | None) -> None:
    """Check a function (model, vocab, prompt, length, seed) -> prompt and text behind it."""

    def find_slip() -> str | None:
        vocab = Vocab("abcdef")
        model = _small_network(len(vocab))
        cases = (("a", 60, 0), ("badcafe", 31, 1), ("fee", 0, 2), ("d", 300, 3))
        cases += tuple((prompt, 20, 4) for prompt in ("bad", "cab", "fade", "decaf"))
        for prompt, length, seed in cases:
            got, seen = _listened_to(answer, model, vocab, prompt, length, seed)
            wanted = generate(model, vocab, prompt, length, seed=seed).text
            if got == wanted:
                continue
            if not isinstance(got, str):
                return f"a text is asked for, and yours is {type(got).__name__!r}."
            if prompt + got == wanted:
                return "right, but return the prompt, too."
            if len(got) != len(wanted):
                return (
                    f"with a prompt of {len(prompt)} and a length of {length} the text should have "
                    f"{len(wanted)} characters; yours has {len(got)}."
                )
            for lost, why in LOST.items():
                if got == _forgetful(model, vocab, prompt, length, seed, lost):
                    return why
            if _knew_all(model, vocab, got, len(prompt), seen):
                return (
                    "the state is right, but the draw is not: use `draw(logits, rng.random())`, "
                    "with one generator of this seed for the whole text."
                )
            return (
                "the state is wrong: each character must be read once, in order, with the state "
                "that the call before returned, from the first character on."
            )
        return None

    grade(answer, find_slip)


def _listened_to(
    answer: Callable, model: CharRNN, *arguments: object
) -> tuple[object, list[torch.Tensor]]:
    """Return what an answer writes, and the last logits (V,) of each call of the model."""
    seen = []
    hook = model.register_forward_hook(lambda _, given, out: seen.append(out[0][0, -1].detach()))
    try:
        return call_answer(answer, model, *arguments), seen
    finally:
        hook.remove()


@torch.no_grad()
def _knew_all(model: CharRNN, vocab: Vocab, text: str, start: int, seen: list) -> bool:
    """Say whether the logits seen, (V,) each, are those of a model that read all of the text."""
    logits, _ = model(torch.from_numpy(vocab.encode(text))[None])  # (1, T, V)
    wanted = logits[0, start - 1 : -1]  # (length, V)
    seen = seen[: len(wanted)]  # some read the last character, too
    return len(seen) == len(wanted) and torch.allclose(torch.stack(seen), wanted, atol=1e-3)


def _small_network(size: int) -> CharRNN:
    """Return a small network whose predictions depend on what it read before."""
    with torch.random.fork_rng(devices=[]):  # the notebook's random numbers stay where they are
        model = CharRNN(size, hidden_size=12, num_layers=2)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.from_numpy(rng.normal(0, 1.5, weight.shape)))
    return model.eval()


@torch.no_grad()
def _forgetful(model: CharRNN, vocab: Vocab, prompt: str, length: int, seed: int, lost: str) -> str:
    """Return what a network writes that loses its state or its place (see LOST)."""
    rng, text = np.random.default_rng(seed), prompt
    logits, state = model(torch.from_numpy(vocab.encode(prompt))[None])  # (1, T, V)
    of_prompt = state
    for _ in range(length):
        h, c = state
        zero = torch.zeros_like(h)
        given = {"all": None, "text": of_prompt, "c": (h, zero), "h": (zero, c)}.get(lost, state)
        i = int(draw(logits[0, 0 if lost == "place" else -1], rng.random()))
        text += vocab.tokens[i]
        logits, state = model(torch.tensor([[i]]), given)
    return text
