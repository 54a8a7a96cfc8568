"""From logits to the next character, and from characters to texts: one, a batch, a stream.

A distribution is an array of natural-log probabilities, (…, V) float64, whatever the type of the
model's logits. So nothing overflows near temperature 0, and a character that is ruled out has -inf.

Sizes in comments: N texts of a batch, of which M have not ended; V tokens.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from torch import Tensor

from lstmlib.inference import FusedSteps, ModelSteps, read, stepper_for
from lstmlib.models import CharRNN, check_vocab, unwrap
from lstmlib.validation import check_flag, check_number, check_whole, is_whole, shown
from lstmlib.vocab import END, START, Vocab

MEMORY = 2**31
"""The most bytes that a batch may take while it is written."""
KEPT = 10**7
"""The most characters that `generate` returns, each with its figures in about 150 bytes."""

AHEAD = 2**16
"""How many random numbers are drawn at once."""

# Transforms of a distribution


def log_softmax(logits: np.ndarray | Tensor) -> np.ndarray:
    """Return log-probabilities ln p, (…, V) float64.

    Args:
        logits: (…, V), of any floating type. Log-probabilities that do not sum to 1 serve too.

    Raises:
        ValueError: a logit is NaN, or the largest is infinite.
    """
    # ln p = x - m - ln Σ e^(x - m), with m the largest logit. m cancels, so any m gives the same p.
    # With the largest, no power exceeds e^0 = 1, and nothing overflows.
    shifted = _below_largest(logits)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _below_largest(logits: np.ndarray | Tensor) -> np.ndarray:
    """Return each distribution's logits minus their largest, (…, V) float64.

    Raises:
        ValueError: a logit is NaN, or the largest is infinite.
    """
    if isinstance(logits, Tensor):
        logits = logits.detach().cpu().double().numpy()
    logits = np.asarray(logits, dtype=np.float64)
    largest = logits.max(-1, keepdims=True)  # (…, 1)
    # One sum looks at all: it is not finite if one of the largest is not, and max() passes NaN on.
    if not math.isfinite(largest.sum()):
        raise ValueError(
            "The logits hold NaN or infinity: the model's weights are broken. Train it again."
        )
    return logits - largest


def apply_temperature(
    logits: np.ndarray | Tensor, temperature: float | Sequence[float]
) -> np.ndarray:
    """Return log f_τ(p), where f_τ(p)_i = p_i^(1/τ) / Σ_j p_j^(1/τ).

    Logits are log p plus a constant, and a constant changes no probability. So it is enough to
    divide the logits by τ. τ = 0 stands for the limit: the largest logit gets probability 1, and of
    several equal ones the first.

    Args:
        logits: (…, V), logits or log-probabilities, of any floating type.
        temperature: one τ ≥ 0 for all distributions; or N of them, for logits (…, N, V).

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: a temperature is negative, infinite or not a number; a logit is NaN; or the
            largest logit is infinite.
    """
    return log_softmax(_tempered(logits, _checked_temperature(temperature)))


def _tempered(logits: np.ndarray | Tensor, temperature: float | tuple[float, ...]) -> np.ndarray:
    """Return (logits - largest) / τ, (…, V) float64."""
    # The largest is subtracted before the division. It is 0 then, and stays 0 at any temperature;
    # all others are negative, and can only overflow to -inf, which is a probability of 0.
    shifted = _below_largest(logits)
    tau = np.asarray(temperature)[..., None]  # (1,) or (N, 1)
    with np.errstate(over="ignore"):
        scaled = shifted / np.maximum(tau, 1e-290)
    if tau.all():
        return scaled
    # τ = 0: 0 for the first of the largest, -inf for all others.
    first = np.arange(shifted.shape[-1]) == shifted.argmax(-1)[..., None]  # (…, V) bool
    return np.where(tau > 0, scaled, np.where(first, 0.0, -np.inf))


def keep_top_k(log_p: np.ndarray, k: int) -> np.ndarray:
    """Rule out all but the k most probable tokens (Fan et al. 2018).

    Of equally probable tokens the first ones stay.

    Args:
        log_p: log-probabilities (…, V).
        k: how many tokens stay, 1 or more. A k of V or more rules out none.

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: k is not a whole number, 1 or more.
    """
    _check_top_k(k)
    kept = np.full_like(log_p, -np.inf)
    best = np.argsort(-log_p, axis=-1, kind="stable")[..., :k]
    np.put_along_axis(kept, best, np.take_along_axis(log_p, best, -1), -1)
    return log_softmax(kept)


def keep_top_p(log_p: np.ndarray, share: float) -> np.ndarray:
    """Rule out all tokens outside the nucleus (Holtzman et al. 2020).

    The nucleus is the smallest set of tokens, most probable first, whose probabilities sum to the
    share or more. The token that reaches the share belongs to it, so it is never empty.

    Args:
        log_p: log-probabilities (…, V).
        share: the share of the probability that stays, 0 < share ≤ 1.

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: the share is outside these bounds.
    """
    _check_top_p(share)
    order = np.argsort(-log_p, axis=-1, kind="stable")  # (…, V), most probable first
    ordered = np.take_along_axis(log_p, order, -1)
    p = np.exp(ordered)
    before = p.cumsum(-1) - p  # the sum of all more probable tokens
    kept = np.empty_like(log_p)
    np.put_along_axis(kept, order, np.where(before < share, ordered, -np.inf), -1)
    return log_softmax(kept)


def keep_min_p(log_p: np.ndarray, share: float) -> np.ndarray:
    """Rule out tokens with less than a share of the largest probability (Nguyen et al. 2025).

    Args:
        log_p: log-probabilities (…, V).
        share: the share of the largest probability that a token needs, 0 ≤ share ≤ 1.

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: the share is outside these bounds.
    """
    _check_min_p(share)
    threshold = log_p.max(-1, keepdims=True) + (math.log(share) if share else -math.inf)
    return log_softmax(np.where(log_p >= threshold, log_p, -np.inf))


def penalize_repetition(log_p: np.ndarray, recent: np.ndarray, penalty: float) -> np.ndarray:
    """Make recent tokens less probable: p becomes p^penalty before the sum is made 1 again.

    Keskar et al. (2019, CTRL) divide the logit of a recent token by the penalty. The result of that
    division depends on a constant that can be added to all logits without changing a probability.
    Log-probabilities leave no such choice. They are never above 0, so multiplying them by the
    penalty always makes them smaller.

    Args:
        log_p: log-probabilities (…, V).
        recent: ids of the recent tokens, (…, W). -1 stands for no token.
        penalty: above 0. 1 changes nothing, and a larger penalty makes repetition rarer.

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: the penalty is not a finite number above 0.
    """
    penalty = min(_checked_penalty(penalty), 1e300)  # a larger one overflows, and rules out no more
    seen = np.zeros((*log_p.shape[:-1], log_p.shape[-1] + 1), dtype=bool)  # (…, V + 1)
    np.put_along_axis(seen, recent, True, -1)  # -1 sets the last column, which is left out below
    return log_softmax(np.where(seen[..., :-1], penalty * log_p, log_p))


def redraw_once(log_p: np.ndarray) -> np.ndarray:
    """Return the distribution of case B, which draws a second time, as log-probabilities (…, V).

    Case B draws a token. If that is not the most probable one, case B draws once more and takes the
    second draw. Let m be the largest probability. It becomes m + (1 - m) m, since the first or the
    second draw may give it. Any other probability p becomes (1 - m) p.
    """
    best = log_p.argmax(-1)[..., None]  # (…, 1)
    m = np.exp(np.take_along_axis(log_p, best, -1))
    with np.errstate(divide="ignore"):  # m = 1: the others get ln 0 = -inf
        redrawn = log_p + np.log1p(-m)
    np.put_along_axis(redrawn, best, np.log(m + (1 - m) * m), -1)
    return log_softmax(redrawn)


def entropy(log_p: np.ndarray) -> np.ndarray:
    """Return the entropies -Σ p ln p in nats, (…), of log-probabilities (…, V)."""
    # p ln p is 0 at p = 0, but 0 times -inf is NaN. So -inf is replaced by a finite number.
    return (np.exp(log_p) * np.minimum(-log_p, 1e300)).sum(-1)


@dataclass(frozen=True)
class Sampling:
    """The settings of the transforms between the model's distribution and the draw.

    The defaults change nothing. The transforms act in this order: repetition penalty, temperature,
    top-k, top-p, min-p (as in the Hugging Face library), and the second draw of case B.

    Attributes:
        temperature: τ ≥ 0, see `apply_temperature`; 0 is greedy. A tuple has one for each text of a
            batch.
        top_k: how many characters stay, see `keep_top_k`; None keeps all.
        top_p: the share of the probability that stays, 0 < top_p ≤ 1, see `keep_top_p`.
        min_p: the share of the largest probability that a character needs, 0 ≤ min_p ≤ 1, see
            `keep_min_p`.
        redraw_once: whether a draw is repeated once if it is not the most probable character, see
            `redraw_once`.
        repetition_penalty: above 1, recent characters become rarer, see `penalize_repetition`.
        penalty_window: how many characters before the next one are recent, prompt included.

    Raises:
        ValueError: a setting is outside its bounds.
    """

    temperature: float | tuple[float, ...] = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    redraw_once: bool = False
    repetition_penalty: float = 1.0
    penalty_window: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", _checked_temperature(self.temperature))
        if self.top_k is not None:
            _check_top_k(self.top_k)
        _check_top_p(self.top_p)
        _check_min_p(self.min_p)
        _checked_penalty(self.repetition_penalty)
        check_whole("penalty_window", self.penalty_window)
        check_flag("redraw_once", self.redraw_once)

    def transform(
        self, logits: np.ndarray | Tensor, recent: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the log-probabilities to draw from, (…, V) float64.

        Args:
            logits: the model's logits or log-probabilities, (…, V), of any floating type.
            recent: ids of the characters before, (…, W), of which the last `penalty_window` count;
                -1 stands for no character. Only the repetition penalty reads them. With None there
                is no penalty.
        """
        return log_softmax(self.weigh(logits, recent))

    def weigh(
        self, logits: np.ndarray | Tensor, recent: np.ndarray | None = None
    ) -> np.ndarray | Tensor:
        """Return the log-probabilities of `transform` up to a constant, (…, V).

        `draw` needs no more, and a sum of exponentials at every step is saved. The arguments are
        those of `transform`.
        """
        if self.repetition_penalty != 1 and recent is not None:
            window = np.asarray(recent)[..., -self.penalty_window :]
            logits = penalize_repetition(log_softmax(logits), window, self.repetition_penalty)
        if self.temperature != 1:
            logits = _tempered(logits, self.temperature)
        if self.top_k is not None:
            logits = keep_top_k(log_softmax(logits), self.top_k)
        if self.top_p < 1:
            logits = keep_top_p(log_softmax(logits), self.top_p)
        if self.min_p > 0:
            logits = keep_min_p(log_softmax(logits), self.min_p)
        return redraw_once(log_softmax(logits)) if self.redraw_once else logits

    def of(self, rows: np.ndarray) -> "Sampling":
        """Return the settings for some texts of a batch; rows (M,) holds their numbers."""
        if not isinstance(self.temperature, tuple):
            return self
        return replace(self, temperature=tuple(self.temperature[row] for row in rows))


def _check_top_k(k: int) -> None:
    """Raise ValueError unless top_k is a whole number, 1 or more."""
    check_whole("top_k", k)


def _check_top_p(share: float) -> None:
    """Raise ValueError unless top_p is a share above 0."""
    check_number("top_p", share, above=0, at_most=1)


def _check_min_p(share: float) -> None:
    """Raise ValueError unless min_p is a share."""
    check_number("min_p", share, at_least=0, at_most=1)


def _checked_penalty(penalty: float) -> float:
    """Return a repetition penalty as a float; raise ValueError unless it is finite and above 0."""
    return check_number("repetition_penalty", penalty, above=0, hint="; 1 changes nothing")


def _checked_temperature(temperature: float | Sequence[float]) -> float | tuple[float, ...]:
    """Return a temperature as a float, or several as a tuple of floats.

    Raises:
        ValueError: a temperature is not a finite number, 0 or more.
    """
    if isinstance(temperature, np.ndarray):
        temperature = temperature.tolist()
    if _several(temperature):
        return tuple(check_number("temperature", tau, at_least=0) for tau in temperature)
    return check_number("temperature", temperature, at_least=0)


def _several(value: object) -> bool:
    """Say whether a value is a list, a tuple or an array, and not one text or number."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def draw(logits: np.ndarray | Tensor, uniform: np.ndarray | float) -> np.ndarray:
    """Draw ids from distributions, each by one random number u.

    The probabilities are added up, the largest first. The id at which the sum passes u is drawn. So
    the same u never gives a less probable character at a lower temperature. Texts at two
    temperatures, written with the same numbers, differ by the temperature alone (common random
    numbers).

    Args:
        logits: logits or log-probabilities, (…, V).
        uniform: a u for each distribution, (…), 0 ≤ u < 1.

    Returns:
        ids, (…) int64.

    Raises:
        ValueError: a logit is NaN, the largest is infinite, or a u is outside [0, 1).
    """
    uniform = np.asarray(uniform, dtype=np.float64)
    wrong = uniform[~((uniform >= 0) & (uniform < 1))]
    if wrong.size:
        raise ValueError(f"u is {wrong[0]}; it must be 0 or more, and below 1.")
    return _draw(logits, uniform)


def _draw(logits: np.ndarray | Tensor, uniform: np.ndarray) -> np.ndarray:
    """Draw as `draw` does, without a look at the random numbers."""
    shifted = _below_largest(logits)  # (…, V)
    *shape, V = shifted.shape
    flat = shifted.reshape(-1, V)  # (K, V)
    rows = np.arange(len(flat))
    order = (-flat).argsort(axis=1, kind="stable")  # (K, V), most probable first
    # The powers are not divided by their sum; u is multiplied by it instead, once for each row.
    sums = np.exp(flat)[rows[:, None], order].cumsum(axis=1)  # (K, V)
    # A character that is ruled out stands last and adds 0, so its sum is the whole sum. u times the
    # whole sum is below it, rounded too: such a character is never drawn.
    passed = sums <= np.reshape(uniform, (-1, 1)) * sums[:, -1:]
    return order[rows, passed.sum(axis=1)].reshape(shape)


# Texts


@dataclass(frozen=True, eq=False)
class Sample:
    """A text that a model wrote, with the probability of each of its characters.

    Attributes:
        prompt: the text that the model went on from.
        tokens: the n characters (or special tokens) that the model added, without `.end`.
        p_before: the model's probability of each token, (n,) float64.
        p_after: the probability of each token after the transforms, from which it was drawn, (n,)
            float64.
        entropy_before, entropy_after: the entropies in nats of the distributions before and after
            the transforms, (n,) float64.
        ended: True if the model drew `.end`, False if the text reached its length.
    """

    prompt: str
    tokens: tuple[str, ...]
    p_before: np.ndarray = field(repr=False)
    p_after: np.ndarray = field(repr=False)
    entropy_before: np.ndarray = field(repr=False)
    entropy_after: np.ndarray = field(repr=False)
    ended: bool

    @property
    def new(self) -> str:
        """The text without the prompt."""
        return "".join(self.tokens)

    @property
    def text(self) -> str:
        """The prompt and the text behind it."""
        return self.prompt + self.new

    def __str__(self) -> str:
        return self.text


class Step(NamedTuple):
    """One step of a batch: a character for each of the M texts that have not ended.

    Attributes:
        rows: the numbers of these texts in the batch, (M,) int64.
        logits: the model's logits, (M, V).
        weights: the log-probabilities after the transforms, up to a constant, (M, V).
        uniforms: the random numbers, (M,) float64.
        ids: the ids that were drawn, (M,) int64.
    """

    rows: np.ndarray
    logits: np.ndarray
    weights: np.ndarray
    uniforms: np.ndarray
    ids: np.ndarray

    @property
    def log_before(self) -> np.ndarray:
        """The model's log-probabilities, (M, V) float64."""
        return log_softmax(self.logits)

    @property
    def log_after(self) -> np.ndarray:
        """The log-probabilities after the transforms, (M, V) float64."""
        return log_softmax(self.weights)


def steps(
    model: CharRNN,
    vocab: Vocab,
    prompts: Sequence[str],
    length: int,
    sampling: Sampling,
    seeds: Sequence[int | None],
) -> Iterator[Step]:
    """Yield the steps in which `generate` goes on from several prompts at once.

    The prompts are read when this function is called, equal prompts once. `.end` is drawn like any
    token; a text that has drawn it is missing from the steps that follow. No step is kept, so the
    memory does not grow with the length.

    Args:
        model, vocab: as for `generate`.
        prompts: N texts.
        length: the most steps, 0 or more.
        sampling: the settings, with one temperature for all texts or N of them.
        seeds: N seeds; None stands for a new one each time.

    Raises:
        ValueError, VocabError: as `generate`, when this function is called.
    """
    model = unwrap(model)
    check_vocab(model, vocab)
    taus = sampling.temperature
    if not len(seeds) == len(prompts) == (len(taus) if _several(taus) else len(prompts)):
        raise ValueError(
            f"{len(prompts)} prompts need as many seeds, and one temperature or as many."
        )
    check_whole("length", length, 0, sys.maxsize)
    _check_count(model, len(prompts))
    encoded = {prompt: _context(vocab, prompt) for prompt in dict.fromkeys(prompts)}
    contexts = [encoded[prompt] for prompt in prompts]
    logits, state = read(model, contexts)  # (N, V), and the state that all later steps go on from
    # Before the longest prompt there is no character, however long the window is.
    window = min(sampling.penalty_window, max(map(len, contexts)))
    recent = np.stack([_last(ids, window) for ids in contexts])  # (N, window)
    end = vocab.id_of(END) if END in vocab else None
    # The prompt's logits give the first character, so a length of 1 needs no step.
    stepper = stepper_for(model, state) if length > 1 else None
    return _steps(stepper, logits, recent, _uniforms(seeds, int(length)), sampling, end)


def _check_count(model: CharRNN, count: int) -> None:
    """Raise ValueError if a model cannot write that many texts at once in `MEMORY`."""
    layers, H = model.config["num_layers"], model.config["hidden_size"]
    # A text takes states, gates and work space in 32 bits, distributions in 64, and a generator.
    each = 4 * 20 * layers * H + 8 * 10 * model.vocab_size + 2000
    if count * each > MEMORY:
        raise ValueError(
            f"A batch of {count} texts would take {count * each / 2**30:.0f} GiB of memory; "
            f"with this model, write {MEMORY // each} or fewer at once."
        )


def _uniforms(seeds: Sequence[int | None], length: int) -> Iterator[np.ndarray]:
    """Yield the random numbers of each step, (N,) float64, for N seeds.

    They are drawn for many steps at once, since each call of a generator has its overhead. A
    generator gives the same numbers all at once and in pieces. Each text has a generator of its
    own, so that its characters do not depend on the other texts of the batch.
    """
    generators = [np.random.default_rng(seed) for seed in seeds]
    ahead = max(1, AHEAD // len(generators))
    for start in range(0, length, ahead):
        count = min(ahead, length - start)
        yield from np.stack([each.random(count) for each in generators], axis=1)  # (count, N)


def _steps(
    stepper: FusedSteps | ModelSteps | None,
    logits: np.ndarray,
    recent: np.ndarray,
    uniforms: Iterator[np.ndarray],
    sampling: Sampling,
    end: int | None,
) -> Iterator[Step]:
    """Yield the steps of `steps`.

    Args:
        stepper: reads a character and gives the next logits; None if there is one step at most.
        logits: those of the first character, (N, V).
        recent: ids of the characters before, (N, W); -1 stands for none.
        uniforms: the random numbers of each step, (N,) each.
        sampling: the settings.
        end: the id of `.end`; None if the vocabulary has none.
    """
    rows = np.arange(len(logits))  # of the M texts that have not ended; M = N at first
    ids = None
    for numbers in uniforms:
        if ids is not None:  # the network reads the character that it drew last
            logits = stepper.step(ids)  # (M,) -> (M, V)
        u = numbers[rows]  # (M,)
        weights = sampling.weigh(logits, recent)  # (M, V)
        ids = _draw(weights, u)  # (M,)
        yield Step(rows, logits, weights, u, ids)
        if sampling.repetition_penalty != 1:
            recent = np.concatenate([recent, ids[:, None]], axis=1)[:, -sampling.penalty_window :]
        if end is not None and (ids == end).any():  # texts that ended cost no further step
            kept = np.flatnonzero(ids != end)
            if not len(kept):
                return
            rows, ids, recent = rows[kept], ids[kept], recent[kept]
            sampling = sampling.of(kept)
            if stepper is not None:
                stepper.select(kept)


def _context(vocab: Vocab, prompt: str) -> np.ndarray:
    """Return the ids that a network reads before it writes, (P,) int64.

    Where the vocabulary has `.start`, it is the first of them.

    Raises:
        ValueError: there is no id to read.
        VocabError: a character of the prompt is not in the vocabulary.
    """
    start = [vocab.id_of(START)] if START in vocab else []
    ids = np.concatenate([np.array(start, dtype=np.int64), vocab.encode(prompt)])
    if not len(ids):
        raise ValueError("The prompt is empty; give at least one character to write on from.")
    return ids


def _last(ids: np.ndarray, count: int) -> np.ndarray:
    """Return the last `count` ids, (count,); -1 stands in front where there are fewer."""
    return np.concatenate([np.full(count, -1), ids])[-count:]


def generate(
    model: CharRNN,
    vocab: Vocab,
    prompt: str | Sequence[str],
    length: int = 500,
    temperature: float | Sequence[float] = 1.0,
    seed: int | Sequence[int] | None = None,
    **settings: object,
) -> Sample | list[Sample]:
    """Write on from a prompt, or from several at once.

        sample = generate(model, vocab, "The ", length=200, temperature=0.8, seed=1)
        print(sample.text)

    A list of prompts, temperatures or seeds makes a batch. An argument that is not a list serves
    all texts of the batch. Each text of a batch is the text that would be written alone, but for
    rounding. Where the vocabulary has `.start`, each text begins with it, so the prompt may be
    empty. The model's mode and the global random generators are not changed.

    Args:
        model: a trained network.
        vocab: the vocabulary that the network was trained with.
        prompt: one character or more, all of them in the vocabulary.
        length: how many characters to add. A text ends earlier if the model draws `.end`.
        temperature: τ ≥ 0, see `apply_temperature`. 0 always takes the most probable character.
        seed: the same seed gives the same text; None gives another text each time. One seed for a
            batch gives text k the seed + k. Equal seeds in a list give their texts the same random
            numbers.
        settings: top_k, top_p, min_p, redraw_once, repetition_penalty, penalty_window, see
            `Sampling`.

    Returns:
        A sample, or a list of samples for a batch.

    Raises:
        TypeError: a setting has another name, or a prompt is no text.
        ValueError: a prompt is empty, the length is not 0 or more, or a setting is outside its
            bounds; lists of different lengths are given; the vocabulary is not the model's; the
            batch would take more than `MEMORY`; or more than `KEPT` characters are asked for and no
            `.end` can end the texts earlier.
        VocabError: a character of a prompt is not in the vocabulary.
    """
    batch = _batch(model, prompt, temperature, seed)
    sampling = Sampling(batch.temperature, **settings)
    _check_kept(vocab, length, len(batch.prompts))
    taken = steps(model, vocab, batch.prompts, length, sampling, batch.seeds)
    # A hundred steps at once, or fewer where their distributions would take much memory.
    at_once = min(100, max(1, 10**6 // (len(batch.prompts) * len(vocab))))
    rows, ids, figures = _figures(taken, at_once)  # (K,), (K,), (K, 4)
    # The steps hold the characters in order of time. A stable sort by text keeps that order within
    # each text, and puts the texts one behind the other.
    by_text = np.argsort(rows, kind="stable")
    ends = np.cumsum(np.bincount(rows, minlength=len(batch.prompts)))
    samples = [
        _sample(text, [vocab.tokens[i] for i in ids[places]], figures[places])
        for text, places in zip(batch.prompts, np.split(by_text, ends[:-1]), strict=True)
    ]
    return samples if batch.several else samples[0]


def _check_kept(vocab: Vocab, length: int, count: int) -> None:
    """Raise ValueError if texts of a length are certain to have more characters than KEPT."""
    if END not in vocab and is_whole(length) and length * count > KEPT:
        raise ValueError(
            f"length is {shown(length)}, for {count} text{'s' if count > 1 else ''}: generate() "
            f"keeps every character with its probabilities, {KEPT} at most in all. Write less, "
            "or use stream(), which keeps none."
        )


def _figures(taken: Iterator[Step], at_once: int) -> tuple[np.ndarray, ...]:
    """Return rows (K,), ids (K,) and figures (K, 4) of all K characters that the steps drew.

    The figures are the two probabilities and the two entropies of a `Sample`. They are computed for
    many steps at once, which is faster than step by step.
    """
    # Arrays of 0 characters come first, so that no step at all is no special case.
    pieces = [(np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros((0, 4)))]
    while some := list(islice(taken, at_once)):
        rows, logits, weights, _, ids = (np.concatenate(part) for part in zip(*some, strict=True))
        before, after = log_softmax(logits), log_softmax(weights)  # (k, V) each
        at = np.arange(len(ids)), ids
        figures = np.exp(before[at]), np.exp(after[at]), entropy(before), entropy(after)
        pieces.append((rows, ids, np.stack(figures, axis=1)))
    return tuple(np.concatenate(part) for part in zip(*pieces, strict=True))


def _sample(prompt: str, tokens: list[str], figures: np.ndarray) -> Sample:
    """Return the sample of a prompt, its drawn tokens, and their figures (n, 4)."""
    ended = tokens[-1:] == [END]
    count = len(tokens) - ended
    return Sample(prompt, tuple(tokens[:count]), *figures[:count].T, ended)


def stream(
    model: CharRNN,
    vocab: Vocab,
    prompt: str | Sequence[str],
    length: int = 500,
    temperature: float | Sequence[float] = 1.0,
    seed: int | Sequence[int] | None = None,
    **settings: object,
) -> Iterator[str] | Iterator[list[str]]:
    """Yield the characters that `generate` would add, each as soon as it is drawn.

    A batch yields a list at every step, with "" for each text that has ended. The arguments and the
    errors are those of `generate`. Errors are raised when this function is called. The bound `KEPT`
    does not hold here, since no character is kept.
    """
    batch = _batch(model, prompt, temperature, seed)
    sampling = Sampling(batch.temperature, **settings)
    taken = steps(model, vocab, batch.prompts, length, sampling, batch.seeds)
    return _characters(taken, vocab, batch)


def _characters(taken: Iterator[Step], vocab: Vocab, batch: "_Batch") -> Iterator[str | list[str]]:
    """Yield the characters of each step: a list for a batch, else a single character."""
    for step in taken:
        new = [""] * len(batch.prompts)
        for row, token in zip(step.rows, step.ids, strict=True):
            new[row] = "" if vocab.tokens[token] == END else vocab.tokens[token]
        if any(new):
            yield new if batch.several else new[0]


class _Batch(NamedTuple):
    """The texts to write.

    Attributes:
        prompts: N prompts.
        temperature: one for all, or N.
        seeds: N seeds.
        several: whether the caller gave a list, and gets one.
    """

    prompts: list[str]
    temperature: float | tuple[float, ...]
    seeds: list[int | None]
    several: bool


def _batch(
    model: CharRNN,
    prompt: str | Sequence[str],
    temperature: float | Sequence[float],
    seed: int | Sequence[int] | None,
) -> _Batch:
    """Return the batch that the arguments of `generate` describe."""
    given = {"prompts": prompt, "temperatures": temperature, "seeds": seed}
    for name, value in given.items():
        given[name] = value.tolist() if isinstance(value, np.ndarray) else value
    counts = {name: _count(value) for name, value in given.items() if _several(value)}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        numbers = " and ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(f"A batch needs one of each for every text, but there are {numbers}.")
    size = next(iter(counts.values()), 1)
    _check_count(unwrap(model), size)  # before a list of that length is made
    prompts, temperature, seeds = given.values()
    prompts = list(prompts) if "prompts" in counts else [prompts] * size
    for text in prompts:
        if not isinstance(text, str):
            raise TypeError(f"A prompt is {shown(text)}; it must be a text.")
    seeds = list(seeds) if "seeds" in counts else [seeds]
    # Python's own numbers do not overflow when a row is added below.
    seeds = [
        each if each is None else check_whole("seed", each, 0, hint=", or None") for each in seeds
    ]
    if "seeds" not in counts:
        seeds = [None if seeds[0] is None else seeds[0] + row for row in range(size)]
    return _Batch(prompts, _checked_temperature(temperature), seeds, bool(counts))


def _count(values: Sequence) -> int:
    """Return the number of values, or sys.maxsize for a range that is too long for len()."""
    try:
        return len(values)
    except OverflowError:
        return sys.maxsize
