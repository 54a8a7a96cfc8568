"""Checks of the exercises of chapter 00."""

import math
from collections.abc import Callable

import numpy as np

from lstmlib.course.check.exercises import Slip, array, call_answer, grade, number

"""Of each exercise: a question to ask oneself, the idea, the line."""

_IN_PLACE = "your function changed what it was given; work on a copy, for others read it, too."


def _arrays(got: object, names: tuple[str, ...]) -> list[np.ndarray]:
    """Return an answer's parts as arrays, one for each name; raises Slip if there are others."""
    parts = got if isinstance(got, tuple | list | np.ndarray) else ()
    if len(parts) != len(names):
        raise Slip(f"return two arrays: {', and '.join(names)}.")
    arrays = [array(part) for part in parts]
    if any(part.ndim != 1 for part in arrays):
        shapes = " and ".join(str(part.shape) for part in arrays)
        raise Slip(f"two arrays (N - 1,) are asked for; yours have the shapes {shapes}.")
    return arrays


def pairs(answer: Callable | None) -> None:
    """Check a function ids (N,) -> (inputs, targets), the targets one character ahead."""

    def find_slip() -> str | None:
        for ids in (np.array([3, 1, 4, 1, 5, 9]), np.array([2, 7]), np.arange(101)[::-1].copy()):
            given = ids.copy()
            x, y = _arrays(call_answer(answer, given), ("all the inputs", "all the targets"))
            if not np.array_equal(given, ids):
                return _IN_PLACE
            if len(x) != len(y):
                return "inputs and targets differ in length; the last character has no successor."
            if np.array_equal(x, y):
                return "the targets are the inputs; they must be shifted by one character."
            if np.array_equal(x, ids[1:-1]) and np.array_equal(y, ids[2:]):
                return "the first pair is missing: the first character is an input, too."
            if np.array_equal(x, ids[:-2]) and np.array_equal(y, ids[1:-1]):
                return "the last pair is missing: the last character is a target, too."
            if len(y) and len(ids) > 2 and np.array_equal(y[: len(ids) - 2], ids[2:]):
                return "the targets are shifted by two; the network would skip a character."
            if len(x) == len(ids):
                return "the last character has no successor, so there are N - 1 pairs, not N."
            if np.array_equal(x, ids[1:]) and np.array_equal(y, ids[:-1]):
                return "that predicts the character before; swap inputs and targets."
            if not (np.array_equal(x, ids[:-1]) and np.array_equal(y, ids[1:])):
                return "target i must be the character that follows input i."
        return None

    grade(answer, find_slip)


def bits_per_character(answer: float | None, nats: float) -> None:
    """Check a loss in nats turned into bits."""
    reference = nats / math.log(2)

    def find_slip() -> str | None:
        value = number(answer)

        def equals(other: float) -> bool:
            return math.isclose(value, other, rel_tol=1e-3)

        if equals(reference):
            return None
        if equals(nats):
            return "that is the loss in nats; a bit is ln 2 nats."
        if equals(nats * math.log(2)):
            return "you multiplied by ln 2; a bit is smaller than a nat, so there are more of them."
        if equals(math.exp(nats)):
            return "that is the perplexity, e to the loss; bits are the loss in another unit."
        if nats > 0 and equals(math.log2(nats)):
            return "that is the logarithm of the loss; the loss is one already, in another unit."
        if equals(nats / math.log(10)):
            return "that is the loss in decimal digits; divide by ln 2, not by ln 10."
        if math.isclose(value, reference, rel_tol=1e-2):
            return "right method, but rounded too early: use math.log(2), and keep the decimals."
        return "that is another number; a bit is ln 2 nats, so how many bits are in the loss?"

    grade(answer, find_slip)


def network_parameters(answer: Callable | None) -> None:
    """Check a function (V, H) -> the number of weights of an LSTM layer and its output layer."""

    # How often the answer counts V·H, H·H, H, V and V·V.
    slips = {
        (2, 1, 2, 1, 0): "a gate's weights are counted once; there are four such parts.",
        (4, 3, 6, 1, 0): "that counts three parts: three gates, and the candidate is missing.",
        (5, 4, 4, 1, 0): "each of the four parts has two bias vectors in PyTorch, not one.",
        (5, 4, 0, 1, 0): "the bias vectors of the LSTM are missing.",
        (5, 4, 0, 0, 0): "no bias vector is counted.",
        (5, 4, 8, 0, 0): "the bias of the output layer is missing: one number a character, V.",
        (5, 4, 9, 0, 0): "the output layer's bias is added to the logits: V numbers, not H.",
        (4, 4, 8, 0, 0): "that is the LSTM alone; the output layer turns H numbers into V.",
        (5, 0, 8, 1, 0): "the weights from the state of the step before are missing, (H, H).",
        (5, 0, 1, 8, 4): "V and H are swapped; V is the vocabulary, H the hidden state.",
        (8, 4, 8, 4, 0): "the output layer is counted four times; only the LSTM has four parts.",
        (5, 4, 2, 1, 0): "each of the four parts has its own two biases: count these four times.",
        (5, 0, 8, 1, 4): "you counted V · V; the matrix for the state before is (H, H).",
        (1, 8, 8, 1, 0): "you counted H · H for the one-hot vector; that matrix is (H, V).",
        (0, 0, 21, 6, 0): "the size of a matrix is a product: (H, V) holds H · V numbers.",
    }

    def count_of(V: int, H: int, times: tuple[int, ...] = (5, 4, 8, 1, 0)) -> int:
        return int(np.dot(times, (V * H, H * H, H, V, V * V)))

    def find_slip() -> str | None:
        cases = [(3, 5), (5, 3), (1, 1), (88, 384)]
        got = [number(call_answer(answer, *case)) for case in cases]
        for times, slip in slips.items():
            if got == [count_of(*case, times) for case in cases]:
                return slip
        for (V, H), count in zip(cases, got, strict=True):
            if count != count_of(V, H):
                return f"V = {V} and H = {H} make {count_of(V, H):,}; yours are {count:,g}."
        return None

    grade(answer, find_slip)


def loss_of_probabilities(answer: Callable | None) -> None:
    """Check a function p (N,) -> the mean of −ln p, in nats per character."""

    # 5003 is a prime number: no batches of equal size make it up.
    long = np.exp(-9 * np.random.default_rng(0).random(5003))
    cases = [np.array(p) for p in ([0.5, 0.25], [1.0, 0.1, 0.7], [0.3], [0.9, 0.02, 0.0001])]
    tiny = np.array([0.5, 1e-30])

    slips = {
        "that is the logarithm of the mean; swap the two.": lambda p: -np.log(p.mean()),
        "that is the sum over the text; the loss is its mean.": lambda p: -np.log(p).sum(),
        "a loss is not negative, but ln p is; so change its sign.": lambda p: np.log(p).mean(),
        "that is in bits; nats need the natural logarithm.": lambda p: -np.log2(p).mean(),
        "that is in decimal digits; use the natural logarithm.": lambda p: -np.log10(p).mean(),
        "that is the perplexity; the loss is its ln.": lambda p: np.exp(-np.log(p).mean()),
        "that is one minus the mean of p; the loss is the mean of −ln p.": lambda p: 1 - p.mean(),
    }

    def mean_of(p: np.ndarray) -> float:
        """Call the answer with a copy, and return its number; raises Slip if it is none."""
        given = p.copy()
        got = call_answer(answer, given)
        if not np.array_equal(given, p):
            raise Slip(_IN_PLACE)
        size = np.size(got)
        if np.ndim(got) and 1 < size == len(p):
            raise Slip("that is one number a character; take the mean.")
        if np.ndim(got):
            raise Slip(f"one number is asked for; yours is an array of {size}.")
        return number(got, infinite=True)

    def of_many() -> str | None:
        """Say what is wrong with an answer that is right for a few characters."""
        means = np.cumsum(-np.log(long)) / np.arange(1, len(long) + 1)
        try:
            got = mean_of(long)
        except (ValueError, ArithmeticError):  # the logarithm of 0, or a division by it
            got = math.inf
        if math.isclose(got, means[-1], rel_tol=1e-6):
            return None
        first = np.flatnonzero(np.isclose(means, got, rtol=1e-9, atol=0))
        if len(first):
            return f"of {len(long)} characters that is the mean of the first {first[0] + 1} alone."
        if math.isclose(got, means[-1], rel_tol=0.1):
            return "nearly: in a mean of means of batches, some characters count more."
        return "right for a few; but the product of 5003 of them is 0. Take the logarithms first."

    def find_slip() -> str | None:
        got = [mean_of(p) for p in cases]

        def equals(wrong: Callable) -> bool:
            return np.allclose(got, [wrong(p) for p in cases], rtol=1e-6)

        if equals(lambda p: -np.log(p).mean()):
            cost, right = mean_of(tiny), -np.log(tiny).mean()
            if math.isclose(cost, right, rel_tol=1e-6):
                return of_many()
            return (
                f"for p = (0.5, 1e-30) the loss is {right:.3f}; yours is {cost:.3f}. Add nothing "
                "to p, and cut nothing off: that hides how bad a prediction was."
            )
        for slip, wrong in slips.items():
            if equals(wrong):
                return slip
        for p, value in zip(cases, got, strict=True):
            loss = -np.log(p).mean()
            if not math.isclose(value, loss, rel_tol=1e-6, abs_tol=1e-8):
                break
        shown = ", ".join(f"{one:g}" for one in p)
        near = np.allclose(got, [-np.log(each).mean() for each in cases], rtol=0.02)
        why = " Add nothing to p, and round nothing." if near else ""
        return f"for p = ({shown}) the loss is {loss:.6f}; yours is {value:.6f}.{why}"

    grade(answer, find_slip)


def cooled(answer: tuple[float, float, float] | None) -> None:
    """Check the distribution (0.5, 0.3, 0.2) at τ = 0.5: three numbers, to three places."""
    p = np.array([0.5, 0.3, 0.2])

    def share(powers: np.ndarray) -> np.ndarray:
        return powers / powers.sum()

    slips = {
        "those are the probabilities as they were, which is τ = 1.": p,
        "that is τ = 2: the exponent is 1/τ, not τ; cold favours the favourite.": share(p**0.5),
        "right powers, but they sum to 0.38: divide each by that sum.": p**2,
        "you divided by the largest; divide by the sum, so that they sum to 1.": p**2 / 0.25,
        "the softmax of p/τ takes p for logits; raise p to the power 1/τ.": share(np.exp(p / 0.5)),
        "the softmax takes p for logits, and τ is missing; raise p to 1/τ.": share(np.exp(p)),
        "you multiplied by τ; it belongs in the exponent: raise p to the power 1/τ.": p * 0.5,
        "you divided by τ; it belongs in the exponent: raise p to the power 1/τ.": p / 0.5,
        "that is τ = 0, where only the favourite is left.": [1, 0, 0],
    }

    def find_slip() -> str | None:
        got = array(answer, "three numbers are asked for")
        if got.shape != (3,) or not np.isfinite(got).all():
            return "three numbers are asked for, one for each character, in the order given."

        def equals(values: object) -> bool:
            return np.allclose(got, values, rtol=0, atol=1.5e-3)

        if equals(share(p**2)):
            return None
        if np.allclose(got, share(p**2), rtol=0, atol=6e-3):
            return "nearly right, but rounded too early: give three decimal places."
        for slip, values in slips.items():
            if equals(values):
                return slip
        if np.allclose(np.sort(got), np.sort(share(p**2)), rtol=0, atol=6e-3):
            return "right numbers in another order: the likeliest character stays the likeliest."
        if math.isclose(got.sum(), 1, abs_tol=3e-3):
            return "they sum to 1, but p_i to the power 1/τ, divided by their sum, is another."
        return f"probabilities sum to 1, and yours to {got.sum():.3f}: divide by the sum."

    grade(answer, find_slip)


class _Recorder:
    """A network whose gradients are given, and which writes down what is asked of it."""

    def __init__(self, gradients: list[np.ndarray]) -> None:
        self.gradients, self.asked, self.steps = gradients, [], []

    def zero_state(self) -> int:
        return 0

    def gradient(self, x: np.ndarray, y: np.ndarray, state: int) -> tuple[float, np.ndarray, int]:
        """Return the loss, the gradient and the state after batch k, which is the number k."""
        self.asked.append((np.array(x), np.array(y), state))
        k = len(self.asked)
        return 10 / (k + 2), self.gradients[(k - 1) % len(self.gradients)].copy(), k

    def step(self, gradient: np.ndarray) -> None:
        self.steps.append(np.array(gradient, dtype=float))


def clipped_epoch(answer: Callable | None) -> None:
    """Check a function (network, batches, limit) -> losses, which trains as section 5 says."""
    flat = ([3.0, -4.0], [0.3, 0.4], [0.0, 0.0], [0.0, -2.0])
    gradients = [*map(np.array, flat), np.array([[6.0, 0.0, 3.0], [-8.0, 1.0, 0.0]])]

    def find_slip() -> str | None:
        tries = ((1.0, 5), (2.5, 5), (100.0, 3), (1.0, 0))
        return next(filter(None, (try_once(*each) for each in tries)), None)

    def try_once(limit: float, count: int) -> str | None:
        network, rng = _Recorder(gradients), np.random.default_rng(0)
        batches = [tuple(rng.integers(9, size=(2, 2, 3))) for _ in range(count)]
        given = [(x.copy(), y.copy()) for x, y in batches]
        try:
            losses = call_answer(answer, network, given, limit)
        except ZeroDivisionError:
            return "your code fails for a gradient of length 0 (ZeroDivisionError): 0 may come."
        same = [np.array_equal(a, b) for a, b in zip(given, batches, strict=False)]
        if len(given) != count or not all(same):
            return _IN_PLACE
        if len(network.asked) != count or len(network.steps) != count:
            asked, steps = len(network.asked), len(network.steps)
            return f"of {count} batches yours took {asked} gradients and {steps} steps."
        for (x, y), (read, target, _) in zip(batches, network.asked, strict=True):
            if not np.array_equal(read, x):
                return "the network must read x of each batch."
            if np.array_equal(target, x):
                return "the target is x itself, so the network learns to copy; it must be y."
            if not np.array_equal(target, y):
                return "the target of a batch must be its y."
        states = [state for *_, state in network.asked]
        if states != list(range(count)):
            if states == [0] * count:
                return "each batch starts from zeros; it must go on where the last one ended."
            return "a batch must start from the state that the batch before it returned."
        kept = [np.array_equal(*two) for two in zip(gradients, network.steps, strict=False)]
        longer = [np.linalg.norm(raw) > limit for raw in gradients[:count]]
        if any(longer) and all(np.compress(longer, kept)) and not all(kept):
            return "turned round: short gradients are changed. Is it `<` for `>`, `max` for `min`?"
        for raw, used in zip(gradients, network.steps, strict=False):
            slip = wrong_step(raw, used, limit)
            if slip:
                return slip
        wanted = [10 / (k + 3) for k in range(count)]
        if np.ndim(losses) == 0:
            return "return the loss of each batch, in a list; yours is one number."
        if len(losses) != count:
            return f"return the loss of each batch: {count} numbers, and yours are {len(losses)}."
        if np.allclose(losses, wanted):
            return None
        if np.allclose(np.sort(losses), np.sort(wanted)):
            return "return the loss of each batch, in order, in a list."
        return "the losses of the list must be those that `network.gradient` returned, unchanged."

    def wrong_step(raw: np.ndarray, used: np.ndarray, limit: float) -> str | None:
        length = float(np.linalg.norm(raw))
        wanted = raw * min(1, limit / length) if length else raw
        if used.shape == raw.shape and np.allclose(used, wanted):
            return None
        if not np.isfinite(used).all():
            return "a gradient of length 0 became NaN: 0 / 0. Leave short gradients as they are."
        if length <= limit:
            return (
                f"a gradient of length {length:g} was changed; only one that is longer is clipped."
            )
        if used.shape == raw.shape and np.allclose(used, raw):
            return f"the step took a gradient of length {length:g} as it came; clip it before."
        if raw.ndim > 1:
            return "a (2, 3) gradient has one length, too: np.linalg.norm without an axis."
        if np.allclose(used, np.clip(raw, -limit, limit)):
            return "that cuts each entry by itself, which turns the gradient; scale it as a whole."
        wrong = f"yours has the length {np.linalg.norm(used):.3g}"
        if used.shape != raw.shape or not np.allclose(used * length, raw * np.linalg.norm(used)):
            wrong += " and another direction"
        return f"a clipped gradient must keep its direction and have the length {limit:g}; {wrong}."

    grade(answer, find_slip)


def fed_back(answer: Callable | None) -> None:
    """Check a function (predict, draw, prompt, n) -> the ids of the prompt and of n more."""

    def find_slip() -> str | None:
        long = np.random.default_rng(0).integers(4, size=300).tolist()
        tries = (([2, 0, 1], 6), ([3], 4), ([1, 1], 1), ([0, 2], 0), (long, 3))
        return next(filter(None, (try_once(*each) for each in tries)), None)

    def try_once(prompt: list[int], n: int) -> str | None:
        read, told, seen, drawn = [], [], [], []

        def predict(ids: list[int]) -> np.ndarray:
            """Return a distribution over 4 ids that depends on all that was read."""
            ids = ids if isinstance(ids, list | tuple) else np.ravel(ids)
            if any(np.size(one) != 1 or one != int(one) for one in ids):
                raise Slip("the list must hold ids: append what `draw` returns, no probabilities.")
            read.append([int(one) for one in ids])
            weights = np.roll(1 + np.arange(4) * (1 + sum(read[-1]) % 3), len(read))
            told.append((weights + len(read)) / (weights + len(read)).sum())
            return told[-1].copy()

        def draw(p: np.ndarray) -> int:
            seen.append(np.array(p))
            drawn.append((7 * len(drawn) + 3 * len(prompt)) % 4)
            return drawn[-1]

        given = list(prompt)
        got = np.atleast_1d(call_answer(answer, predict, draw, given, n)).tolist()
        best = [int(p.argmax()) for p in told]
        if given != prompt:
            return _IN_PLACE
        if len(drawn) != n or len(read) != n:
            if n and not drawn and got[-n:] == best[-n:]:
                return "no character was drawn: the most probable one each time is no draw."
            if n and not drawn:
                return "drawn, but not with `draw`: that is the function to draw with."
            return f"of {n} characters, {len(read)} were predicted and {len(drawn)} were drawn."
        wanted = [prompt + drawn[:k] for k in range(n)]
        if read != wanted:
            if all(ids == prompt for ids in read):
                return "each prediction reads the prompt alone; feed the drawn character back in."
            if read == [ids[-1:] for ids in wanted]:
                return "each prediction reads the last character alone; give it all ids so far."
            if read == [prompt + best[:k] for k in range(n)]:
                return "the drawn id was thrown away: append what `draw` returns, not the argmax."
            most = len(read[0])
            if most < len(prompt) and read == [ids[-most:] for ids in wanted]:
                return f"each prediction reads the last {most} ids alone; give it all ids so far."
            return "each prediction must read the prompt and all that was drawn so far, in order."
        if not all(map(np.array_equal, seen, told)):
            return "`draw` must be given what `predict` has returned, and that unchanged."
        if got == drawn and n:
            return "the prompt is missing in what you return."
        right = got == prompt + drawn
        return None if right else "return the prompt, then what was drawn, in order."

    grade(answer, find_slip)
