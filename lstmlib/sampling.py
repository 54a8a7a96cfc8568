"""Logits -> the next character, again and again.

A distribution is an array of natural-log probabilities, (…, V) float64, whatever type the model's
logits are of: near temperature 0 nothing overflows, and a character that is ruled out has -inf.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from torch import Tensor

from lstmlib.inference import FusedSteps, ModelSteps, read, stepper_for
from lstmlib.models import CharRNN, check_vocab, unwrap
from lstmlib.vocab import END, START, Vocab

MEMORY = 2**31
"""Bytes that a batch may take while it is written."""
KEPT = 10**7
"""Characters that `generate` keeps at most: each with its figures takes about 150 bytes."""

AHEAD = 2**16
"""Random numbers that are drawn at once."""

# Transforms of a distribution


def log_softmax(logits: np.ndarray | Tensor) -> np.ndarray:
    """Return log p of logits, or of log-probabilities that do not sum to 1: (…, V) float64.

    Raises:
        ValueError: a logit is NaN, or the largest is infinite.
    """
    shifted = _below_largest(logits)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _below_largest(logits: np.ndarray | Tensor) -> np.ndarray:
    """Return logits (…, V) less the largest of each, float64; raise ValueError if it is none."""
    if isinstance(logits, Tensor):
        logits = logits.detach().cpu().double().numpy()
    logits = np.asarray(logits, dtype=np.float64)
    largest = logits.max(-1, keepdims=True)
    if not math.isfinite(largest.sum()):
        raise ValueError(
            "The logits hold NaN or infinity: the model's weights are broken. Train it again."
        )
    return logits - largest


def apply_temperature(
    logits: np.ndarray | Tensor, temperature: float | Sequence[float]
) -> np.ndarray:
    """Return log f_τ(p), where f_τ(p)_i = p_i^(1/τ) / Σ_j p_j^(1/τ).

    Since log p and the logits differ by a constant, log p^(1/τ) is the logits over τ up to a
    constant. τ = 0 is the limit: all mass on the largest (the first of them, if several are equal).

    Args:
        logits: (…, V), logits or log-probabilities, any floating type.
        temperature: τ ≥ 0, one for all; or several, (N,), for logits (…, N, V).

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: a temperature is negative, infinite or not a number; a logit is NaN, or the
            largest is infinite.
    """
    return log_softmax(_tempered(logits, _checked_temperature(temperature)))


def _tempered(logits: np.ndarray | Tensor, temperature: float | tuple[float, ...]) -> np.ndarray:
    """Return logits over τ, less the largest, (…, V) float64."""
    shifted = _below_largest(logits)  # 0 at the largest, whatever it is divided by
    tau = np.asarray(temperature)[..., None]
    with np.errstate(over="ignore"):  # what overflows to -inf is as improbable as that
        scaled = shifted / np.maximum(tau, 1e-290)
    if tau.all():
        return scaled
    first = np.arange(shifted.shape[-1]) == shifted.argmax(-1)[..., None]
    return np.where(tau > 0, scaled, np.where(first, 0.0, -np.inf))


def keep_top_k(log_p: np.ndarray, k: int) -> np.ndarray:
    """Rule out all but the k most probable (Fan et al. 2018); of equals, the first ones stay.

    Args:
        log_p: (…, V).
        k: 1 or more; from V on, nothing is ruled out.
    """
    _check_top_k(k)
    kept = np.full_like(log_p, -np.inf)
    best = np.argsort(-log_p, axis=-1, kind="stable")[..., :k]
    np.put_along_axis(kept, best, np.take_along_axis(log_p, best, -1), -1)
    return log_softmax(kept)


def keep_top_p(log_p: np.ndarray, share: float) -> np.ndarray:
    """Keep the nucleus: the fewest, most probable first, that have a share of the probability.

    Nucleus sampling is of Holtzman et al. (2020). The most probable one always stays.

    Args:
        log_p: (…, V).
        share: 0 < share ≤ 1.
    """
    _check_top_p(share)
    order = np.argsort(-log_p, axis=-1, kind="stable")
    ordered = np.take_along_axis(log_p, order, -1)
    p = np.exp(ordered)
    before = p.cumsum(-1) - p  # what the more probable ones have together
    kept = np.empty_like(log_p)
    np.put_along_axis(kept, order, np.where(before < share, ordered, -np.inf), -1)
    return log_softmax(kept)


def keep_min_p(log_p: np.ndarray, share: float) -> np.ndarray:
    """Rule out what has less than a share of the largest probability (Nguyen et al. 2025).

    Args:
        log_p: (…, V).
        share: 0 ≤ share ≤ 1.
    """
    _check_min_p(share)
    threshold = log_p.max(-1, keepdims=True) + (math.log(share) if share else -math.inf)
    return log_softmax(np.where(log_p >= threshold, log_p, -np.inf))


def penalize_repetition(log_p: np.ndarray, recent: np.ndarray, penalty: float) -> np.ndarray:
    """Raise p to the power of the penalty where the token is among the recent ones.

    Keskar et al. (2019, CTRL) divide its logit by the penalty. Logits have no zero: adding a
    constant to all changes no probability, but changes what a division does. Log-probabilities
    have one, and are never above 0, so here they are multiplied.

    Args:
        log_p: (…, V).
        recent: ids (…, W); -1 stands for none.
        penalty: 1 changes nothing, more makes repetition rarer.
    """
    penalty = min(_checked_penalty(penalty), 1e300)  # more overflows, and rules out no more
    seen = np.zeros((*log_p.shape[:-1], log_p.shape[-1] + 1), dtype=bool)
    np.put_along_axis(seen, recent, True, -1)  # -1 falls into the column that is left out
    return log_softmax(np.where(seen[..., :-1], penalty * log_p, log_p))


def redraw_once(log_p: np.ndarray) -> np.ndarray:
    """Return what a draw follows that is repeated once if it is not the most probable one (case B).

    With m the largest probability, it becomes m + (1 - m) m, and any other p becomes (1 - m) p.
    """
    best = log_p.argmax(-1)[..., None]
    m = np.exp(np.take_along_axis(log_p, best, -1))
    with np.errstate(divide="ignore"):
        redrawn = log_p + np.log1p(-m)
    np.put_along_axis(redrawn, best, np.log(m + (1 - m) * m), -1)
    return log_softmax(redrawn)


def entropy(log_p: np.ndarray) -> np.ndarray:
    """Return the entropy -Σ p ln p of distributions (…, V), in nats: (…)."""
    # p ln p is 0 at p = 0, where -inf times 0 would be NaN.
    return (np.exp(log_p) * np.minimum(-log_p, 1e300)).sum(-1)


@dataclass(frozen=True)
class Sampling:
    """How the model's distribution is transformed before a character is drawn from it.

    The defaults change nothing. What is set acts in this order: repetition penalty, temperature,
    top-k, top-p, min-p (as in the Hugging Face library), and the second draw.

    Attributes:
        temperature: τ ≥ 0, see `apply_temperature`; 0 is greedy. One for each text of a batch, if a
            tuple.
        top_k: keep that many characters, see `keep_top_k`; None keeps all.
        top_p: keep that share of the probability, 0 < top_p ≤ 1, see `keep_top_p`.
        min_p: rule out what has less than that share of the largest probability, 0 ≤ min_p ≤ 1.
        redraw_once: draw again, once, if it was not the most probable one (case B).
        repetition_penalty: above 1 makes characters rarer that are among the last `penalty_window`
            ones, prompt included, see `penalize_repetition`.
        penalty_window: how far back repetition counts, in characters.

    Raises:
        ValueError: a setting has no meaning.
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
        if not (_whole(self.penalty_window) and self.penalty_window >= 1):
            raise ValueError(
                f"penalty_window is {_shown(self.penalty_window)}; it must be a whole number, "
                "1 or more."
            )
        if not isinstance(self.redraw_once, bool | np.bool_):
            raise ValueError(
                f"redraw_once is {_shown(self.redraw_once)}; it must be True or False."
            )

    def transform(
        self, logits: np.ndarray | Tensor, recent: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the log-probabilities that are drawn from, (…, V) float64.

        Args:
            logits: the model's, (…, V), or its log-probabilities; any floating type.
            recent: ids (…, W) of the characters before, of which the last `penalty_window` count;
                -1 stands for none. Only the repetition penalty looks at them, and without them it
                does nothing.
        """
        return log_softmax(self.weigh(logits, recent))

    def weigh(
        self, logits: np.ndarray | Tensor, recent: np.ndarray | None = None
    ) -> np.ndarray | Tensor:
        """Return what `transform` does, before the exponentials are divided by their sum."""
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
        """Return the settings of some texts of a batch."""
        if not isinstance(self.temperature, tuple):
            return self
        return replace(self, temperature=tuple(self.temperature[row] for row in rows))


def _check_top_k(k: int) -> None:
    """Raise ValueError if that is no number of characters to keep."""
    if not (_whole(k) and k >= 1):
        raise ValueError(f"top_k is {_shown(k)}; it must be a whole number, 1 or more.")


def _check_top_p(share: float) -> None:
    """Raise ValueError if that is no share to keep."""
    if not (_number(share) and 0 < share <= 1):
        raise ValueError(f"top_p is {_shown(share)}; it must be above 0 and at most 1.")


def _check_min_p(share: float) -> None:
    """Raise ValueError if that is no share of the largest probability."""
    if not (_number(share) and 0 <= share <= 1):
        raise ValueError(f"min_p is {_shown(share)}; it must lie between 0 and 1.")


def _checked_penalty(penalty: float) -> float:
    """Return a repetition penalty; raise ValueError if it is none."""
    if not (_number(penalty) and 0 < penalty < math.inf):
        raise ValueError(
            f"repetition_penalty is {_shown(penalty)}; it must be a finite number above 0, and is "
            "1 where nothing is to change."
        )
    return float(penalty)


def _checked_temperature(temperature: float | Sequence[float]) -> float | tuple[float, ...]:
    """Return a temperature, or several as a tuple; raise ValueError if one is none."""
    if isinstance(temperature, np.ndarray):
        temperature = temperature.tolist()
    for tau in temperature if _several(temperature) else [temperature]:
        if not (_number(tau) and 0 <= tau < math.inf):
            raise ValueError(
                f"temperature is {_shown(tau)}; it must be a finite number, 0 or more."
            )
    if _several(temperature):
        return tuple(float(tau) for tau in temperature)
    return float(temperature)


def _several(value: object) -> bool:
    """Say whether a value is a list, a tuple or an array, and not one text or number."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def _number(value: object) -> bool:
    """Say whether a value is a real number that a float can hold, and not NaN."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:  # 10**400 is a number to Python, but to no float
        return False


def _whole(value: object) -> bool:
    """Say whether a value is a whole number."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """Return a value as a message quotes it, and no more of it than one can read."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:50]}… ({len(text)} characters)"


def draw(logits: np.ndarray | Tensor, uniform: np.ndarray | float) -> np.ndarray:
    """Draw ids from distributions: walk down from the most probable until the sum passes u.

    The same u at a lower temperature never gives a less probable character. Two temperatures with
    the same numbers so differ by the temperature alone (common random numbers).

    Args:
        logits: (…, V), logits or log-probabilities.
        uniform: u, (…), 0 ≤ u < 1.

    Returns:
        ids, (…) int64.

    Raises:
        ValueError: a logit is NaN, or the largest is infinite; u is below 0, or 1 or more.
    """
    uniform = np.asarray(uniform, dtype=np.float64)
    wrong = uniform[~((uniform >= 0) & (uniform < 1))]
    if wrong.size:
        raise ValueError(f"u is {wrong[0]}; it must be 0 or more, and below 1.")
    return _draw(logits, uniform)


def _draw(logits: np.ndarray | Tensor, uniform: np.ndarray) -> np.ndarray:
    """Do what `draw` does, for random numbers that are known to be such."""
    shifted = _below_largest(logits)
    *shape, V = shifted.shape
    flat = shifted.reshape(-1, V)
    rows = np.arange(len(flat))
    order = (-flat).argsort(axis=1, kind="stable")
    sums = np.exp(flat)[rows[:, None], order].cumsum(axis=1)
    # What is ruled out adds nothing and stands last. Its sum is that of all, and u times that is
    # less, also rounded: it is never drawn.
    passed = sums <= np.reshape(uniform, (-1, 1)) * sums[:, -1:]
    return order[rows, passed.sum(axis=1)].reshape(shape)


# Texts


@dataclass(frozen=True, eq=False)
class Sample:
    """A text that a model wrote, with what it believed while writing.

    Attributes:
        prompt: what it wrote on from.
        tokens: the n characters (or special tokens) that it added, `.end` left out.
        p_before: probability of each under the model, (n,).
        p_after: probability of each when it was drawn, after the transform, (n,).
        entropy_before, entropy_after: entropies of the two distributions, in nats, (n,).
        ended: whether the text ended with `.end`, and not at the length.
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
    """One step of a batch, of the M texts that have not ended.

    Attributes:
        rows: which texts of the batch they are, (M,).
        logits: the model's, (M, V).
        weights: logarithms of what was drawn from, up to a constant, (M, V).
        uniforms: the random numbers, (M,).
        ids: the ids drawn, (M,).
    """

    rows: np.ndarray
    logits: np.ndarray
    weights: np.ndarray
    uniforms: np.ndarray
    ids: np.ndarray

    @property
    def log_before(self) -> np.ndarray:
        """Log-probabilities under the model, (M, V) float64."""
        return log_softmax(self.logits)

    @property
    def log_after(self) -> np.ndarray:
        """Log-probabilities that were drawn from, (M, V) float64."""
        return log_softmax(self.weights)


def steps(
    model: CharRNN,
    vocab: Vocab,
    prompts: Sequence[str],
    length: int,
    sampling: Sampling,
    seeds: Sequence[int | None],
) -> Iterator[Step]:
    """Write on from several prompts at once, one step at a time; see `generate`.

    The prompts are read when this is called, each different one once. `.end` is drawn as other
    tokens are, and its text is missing from the steps that follow. Nothing is kept of a step that
    is over, so that the memory does not grow with the length.

    Args:
        prompts: N texts.
        length: steps, at most.
        sampling: with one temperature, or N.
        seeds: N of them.

    Raises:
        ValueError, VocabError: as `generate`, at once.
    """
    model = unwrap(model)
    check_vocab(model, vocab)
    taus = sampling.temperature
    if not len(seeds) == len(prompts) == (len(taus) if _several(taus) else len(prompts)):
        raise ValueError(
            f"{len(prompts)} prompts need as many seeds, and one temperature or as many."
        )
    if not (_whole(length) and 0 <= length <= sys.maxsize):
        raise ValueError(
            f"length is {_shown(length)}; it must be a whole number from 0 to {sys.maxsize}."
        )
    _check_count(model, len(prompts))
    encoded = {prompt: _context(vocab, prompt) for prompt in dict.fromkeys(prompts)}
    contexts = [encoded[prompt] for prompt in prompts]
    logits, state = read(model, contexts)
    # What is further back than the longest prompt is nothing, however long the window.
    window = min(sampling.penalty_window, max(map(len, contexts)))
    recent = np.stack([_last(ids, window) for ids in contexts])
    end = vocab.id_of(END) if END in vocab else None
    stepper = stepper_for(model, state) if length > 1 else None  # the first needs no step
    return _steps(stepper, logits, recent, _uniforms(seeds, int(length)), sampling, end)


def _check_count(model: CharRNN, count: int) -> None:
    """Raise ValueError if a model cannot write that many texts at once in `MEMORY`."""
    layers, H = model.config["num_layers"], model.config["hidden_size"]
    # States, gates and their work space, in 32 bits; distributions; a random generator.
    each = 4 * 20 * layers * H + 8 * 10 * model.vocab_size + 2000
    if count * each > MEMORY:
        raise ValueError(
            f"A batch of {count} texts would take {count * each / 2**30:.0f} GiB of memory; "
            f"with this model, write {MEMORY // each} or fewer at once."
        )


def _uniforms(seeds: Sequence[int | None], length: int) -> Iterator[np.ndarray]:
    """Yield the random numbers (N,) of each step, for N seeds.

    They are drawn many steps ahead. A generator gives the same numbers whether it is asked
    for all at once or in pieces.
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
    """Yield the steps of `steps`; logits (N, V), recent (N, W), uniforms (N,) for each step."""
    rows = np.arange(len(logits))
    ids = None
    for numbers in uniforms:
        if ids is not None:  # what was drawn last is read
            logits = stepper.step(ids)
        u = numbers[rows]
        weights = sampling.weigh(logits, recent)
        ids = _draw(weights, u)
        yield Step(rows, logits, weights, u, ids)
        if sampling.repetition_penalty != 1:
            recent = np.concatenate([recent, ids[:, None]], axis=1)[:, -sampling.penalty_window :]
        if end is not None and (ids == end).any():
            kept = np.flatnonzero(ids != end)
            if not len(kept):
                return
            rows, ids, recent = rows[kept], ids[kept], recent[kept]
            sampling = sampling.of(kept)
            if stepper is not None:
                stepper.select(kept)


def _context(vocab: Vocab, prompt: str) -> np.ndarray:
    """Return the ids that a network reads before it writes, `.start` first where there is one.

    Raises:
        ValueError: there are none.
        VocabError: a character of the prompt is not in the vocabulary.
    """
    start = [vocab.id_of(START)] if START in vocab else []
    ids = np.concatenate([np.array(start, dtype=np.int64), vocab.encode(prompt)])
    if not len(ids):
        raise ValueError("The prompt is empty; give at least one character to write on from.")
    return ids


def _last(ids: np.ndarray, count: int) -> np.ndarray:
    """Return the last ids, with -1 in front where there are fewer."""
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

    Several prompts, temperatures or seeds make a batch; what is given once serves all its texts. A
    text of a batch is the one that would be written alone, but for rounding. Where the vocabulary
    has `.start`, a text begins with it, so that the prompt may be empty. The model's mode and the
    global random generators are left as they were.

    Args:
        model: a trained network.
        vocab: the vocabulary it was trained with.
        prompt: one character or more, all of them in the vocabulary.
        length: characters to add; a text ends before if the model draws `.end`.
        temperature: τ ≥ 0, see `apply_temperature`; 0 always takes the most probable character.
        seed: the same seed gives the same text; None gives another each time. One seed for a batch
            gives text k the seed + k; equal seeds in a list give texts the same random numbers.
        settings: top_k, top_p, min_p, redraw_once, repetition_penalty, penalty_window, see
            `Sampling`.

    Returns:
        A sample, or a list of them for a batch.

    Raises:
        TypeError: a setting of another name, or a prompt that is no text.
        ValueError: an empty prompt, a negative length, settings without meaning, numbers of
            prompts, temperatures and seeds that differ, or a vocabulary that is not the model's;
            a batch larger than `MEMORY` allows; or more than `KEPT` characters, where no `.end`
            can make them fewer.
        VocabError: a character of the prompt is not in the vocabulary.
    """
    batch = _batch(model, prompt, temperature, seed)
    sampling = Sampling(batch.temperature, **settings)
    _check_kept(vocab, length, len(batch.prompts))
    taken = steps(model, vocab, batch.prompts, length, sampling, batch.seeds)
    # A hundred, or fewer where the distributions of a hundred steps are large.
    at_once = min(100, max(1, 10**6 // (len(batch.prompts) * len(vocab))))
    rows, ids, figures = _figures(taken, at_once)
    by_text = np.argsort(rows, kind="stable")
    ends = np.cumsum(np.bincount(rows, minlength=len(batch.prompts)))
    samples = [
        _sample(text, [vocab.tokens[i] for i in ids[places]], figures[places])
        for text, places in zip(batch.prompts, np.split(by_text, ends[:-1]), strict=True)
    ]
    return samples if batch.several else samples[0]


def _check_kept(vocab: Vocab, length: int, count: int) -> None:
    """Raise ValueError if so many texts of a length are surely more than `generate` keeps."""
    if END not in vocab and _whole(length) and length * count > KEPT:
        raise ValueError(
            f"length is {_shown(length)}, for {count} text{'s' if count > 1 else ''}: generate() "
            f"keeps every character with its probabilities, {KEPT} at most in all. Write less, "
            "or use stream(), which keeps none."
        )


def _figures(taken: Iterator[Step], at_once: int) -> tuple[np.ndarray, ...]:
    """Return of all characters drawn: row (K,), id (K,), and their figures in a Sample (K, 4).

    They are computed for so many steps at once, which is faster than for each.
    """
    found = [(np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros((0, 4)))]
    while some := list(islice(taken, at_once)):
        rows, logits, weights, _, ids = (np.concatenate(part) for part in zip(*some, strict=True))
        before, after = log_softmax(logits), log_softmax(weights)
        at = np.arange(len(ids)), ids
        figures = np.exp(before[at]), np.exp(after[at]), entropy(before), entropy(after)
        found.append((rows, ids, np.stack(figures, axis=1)))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _sample(prompt: str, tokens: list[str], figures: np.ndarray) -> Sample:
    """Return a sample of the tokens that were drawn, and of the four figures of each."""
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

    For a batch, yield a list at every step, with "" for a text that has ended. Arguments and errors
    are those of `generate`, but for its bound on characters, since nothing is kept here; errors
    are raised at once.
    """
    batch = _batch(model, prompt, temperature, seed)
    sampling = Sampling(batch.temperature, **settings)
    taken = steps(model, vocab, batch.prompts, length, sampling, batch.seeds)
    return _characters(taken, vocab, batch)


def _characters(taken: Iterator[Step], vocab: Vocab, batch: "_Batch") -> Iterator[str | list[str]]:
    """Yield the characters of steps, of the whole batch each time."""
    for step in taken:
        new = [""] * len(batch.prompts)
        for row, token in zip(step.rows, step.ids, strict=True):
            new[row] = "" if vocab.tokens[token] == END else vocab.tokens[token]
        if any(new):
            yield new if batch.several else new[0]


class _Batch(NamedTuple):
    """Prompts, a temperature for all or for each, a seed for each; whether a list is asked for."""

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
    """Return the batch that is meant, where each may be given once or for each text."""
    given = {"prompts": prompt, "temperatures": temperature, "seeds": seed}
    for name, value in given.items():
        given[name] = value.tolist() if isinstance(value, np.ndarray) else value
    counts = {name: _count(value) for name, value in given.items() if _several(value)}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        said = " and ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(f"A batch needs one of each for every text, but there are {said}.")
    size = next(iter(counts.values()), 1)
    _check_count(unwrap(model), size)  # before a list of that length is made
    prompts, temperature, seeds = given.values()
    prompts = list(prompts) if "prompts" in counts else [prompts] * size
    for text in prompts:
        if not isinstance(text, str):
            raise TypeError(f"A prompt is {_shown(text)}; it must be a text.")
    seeds = list(seeds) if "seeds" in counts else [seeds]
    for each in seeds:
        if each is not None and not (_whole(each) and each >= 0):
            raise ValueError(
                f"seed is {_shown(each)}; it must be a whole number, 0 or more, or None."
            )
    # As Python's numbers, which do not overflow when a row is added.
    seeds = [None if each is None else int(each) for each in seeds]
    if "seeds" not in counts:
        seeds = [None if seeds[0] is None else seeds[0] + row for row in range(size)]
    return _Batch(prompts, _checked_temperature(temperature), seeds, bool(counts))


def _count(values: Sequence) -> int:
    """Return how many values there are; of a range with more than Python counts, the most."""
    try:
        return len(values)
    except OverflowError:
        return sys.maxsize
