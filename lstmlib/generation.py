"""Texts from a network: one, a batch, or a stream, a character at a time.

Sizes in comments: N texts of a batch, of which M have not ended; P ids of a prompt; W recent ids; K
drawn characters in all; V tokens.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lstmlib.inference import FusedDecoder, ModelDecoder, is_plain, make_decoder, prefill
from lstmlib.models import CharRNN, State, check_vocab, unwrap
from lstmlib.sampling import (
    SamplingConfig,
    checked_temperature,
    draw_within,
    entropy,
    is_list,
    log_softmax,
)
from lstmlib.validation import check_flag, check_whole, is_whole, quoted
from lstmlib.vocab import END, START, Vocab

if TYPE_CHECKING:
    from lstmlib.quantized import CompiledDecoder

MEMORY = 2**31
"""The most bytes that a batch may take while it is written."""
KEPT = 10**7
"""The most characters that `generate` returns, each with its figures in about 150 bytes."""
AHEAD = 2**16
"""How many random numbers are drawn at once."""
AT_ONCE = 50
"""How many steps a compiled decoder takes at once."""


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
    sampling: SamplingConfig,
    seeds: Sequence[int | None],
    fast: bool = False,
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
        fast: as for `generate`.

    Raises:
        ValueError, VocabError, ImportError: as `generate`, when this function is called.
    """
    model = unwrap(model)
    check_vocab(model, vocab)
    check_flag("fast", fast)
    taus = sampling.temperature
    if not len(seeds) == len(prompts) == (len(taus) if is_list(taus) else len(prompts)):
        raise ValueError(
            f"{len(prompts)} prompts need as many seeds, and one temperature or as many."
        )
    check_whole("length", length, 0, sys.maxsize)
    _check_count(model, len(prompts))
    # A prompt that many texts share is encoded once.
    encoded = {prompt: _context(vocab, prompt) for prompt in dict.fromkeys(prompts)}
    contexts = [encoded[prompt] for prompt in prompts]  # N arrays of ids, (P,) each
    # (N, V), and the state that all later steps go on from.
    logits, state = prefill(model, contexts)
    # Before the longest prompt there is no character, however long the window is.
    window = min(sampling.penalty_window, max(map(len, contexts)))
    recent = np.stack([_last(ids, window) for ids in contexts])  # (N, window)
    end = vocab.id_of(END) if END in vocab else None
    # The prompt's logits give the first character, so a length of 1 needs no step.
    decoder = (_compiled if fast else make_decoder)(model, state) if length > 1 else None
    # A function with `yield` runs nothing before its first step. This one has no `yield`, so that
    # errors come when it is called.
    return _steps(decoder, logits, recent, _uniforms(seeds, int(length)), sampling, end)


def has_fast() -> bool:
    """Say whether `generate` can be asked to be fast: whether Numba can be imported."""
    try:
        import lstmlib.quantized  # noqa: F401
    except ImportError:
        return False
    return True


def _compiled(model: CharRNN, state: State) -> "CompiledDecoder | FusedDecoder | ModelDecoder":
    """Return the decoder for `fast=True`, state parts (L, N, H).

    Raises:
        ImportError: Numba cannot be imported.
    """
    try:
        # Not at the top: it takes a second, and Numba may not be installed.
        from lstmlib.quantized import FEW, CompiledDecoder
    except ImportError as error:
        raise ImportError(
            f"fast=True needs Numba, which cannot be imported here ({error}). Install it by "
            "pip install numba, or leave fast=True out: all else stays as it is."
        ) from error
    few = state[0].shape[1] <= FEW
    return (CompiledDecoder if few and is_plain(model) else make_decoder)(model, state)


def _check_count(model: CharRNN, count: int) -> None:
    """Raise ValueError if a model cannot write that many texts at once in `MEMORY`."""
    layers, H = model.config["num_layers"], model.config["hidden_size"]
    # A text takes states, gates and work space in 32 bits, distributions in 64, and a generator.
    each = 4 * 20 * layers * H + 8 * 10 * model.vocab_size + 2000  # bytes
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
    # AHEAD numbers in all, so that the memory does not grow with the number of texts.
    ahead = max(1, AHEAD // len(generators))
    for start in range(0, length, ahead):
        count = min(ahead, length - start)
        yield from np.stack([each.random(count) for each in generators], axis=1)  # (count, N)


def _steps(
    decoder: "CompiledDecoder | FusedDecoder | ModelDecoder | None",
    logits: np.ndarray,
    recent: np.ndarray,
    uniforms: Iterator[np.ndarray],
    sampling: SamplingConfig,
    end: int | None,
) -> Iterator[Step]:
    """Yield the steps of `steps`.

    Args:
        decoder: reads a character and gives the next logits; None if there is one step at most.
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
            logits = decoder.step(ids)  # (M,) -> (M, V)
        # Numbers of ended texts are passed over, so that the others keep the ones of their seeds.
        u = numbers[rows]  # (M,)
        weights = sampling.process_logits(logits, recent)  # (M, V)
        ids = draw_within(weights, u)  # (M,)
        yield Step(rows, logits, weights, u, ids)
        if sampling.repetition_penalty != 1:
            # (M, W): the new id comes in at the right, and the oldest goes at the left.
            recent = np.concatenate([recent, ids[:, None]], axis=1)[:, -sampling.penalty_window :]
        kept = _going_on(ids, end)
        if kept is not None:
            # M becomes len(kept). `rows` still tells which text of the batch each row is.
            rows, ids, recent = rows[kept], ids[kept], recent[kept]
            sampling = sampling.of(kept)
            if decoder is not None:
                # The state loses the same rows, or a text would go on with another one's.
                decoder.select(kept)
        if not len(rows):
            return
        if hasattr(decoder, "write") and _only_temperature(sampling):
            yield from _steps_at_once(decoder, rows, ids, uniforms, sampling, end)
            return


def _steps_at_once(
    decoder: "CompiledDecoder",
    rows: np.ndarray,
    ids: np.ndarray,
    uniforms: Iterator[np.ndarray],
    sampling: SamplingConfig,
    end: int | None,
) -> Iterator[Step]:
    """Yield the steps that follow a first one, in which the texts of rows (M,) drew ids (M,)."""
    while numbers := list(islice(uniforms, AT_ONCE)):
        u = np.stack(numbers)[:, rows]  # (K, M)
        temperatures = np.full(rows.shape, sampling.temperature, float)  # (M,)
        logits, weights, drawn = decoder.write(ids, u, temperatures, end)  # (k, M, …), k ≤ K
        yield from map(Step, repeat(rows), logits, weights, u, drawn)
        # A text ended before all numbers were used: the others go on with the rest.
        uniforms = chain(numbers[len(drawn) :], uniforms)
        ids = drawn[-1]
        kept = _going_on(ids, end)
        if kept is not None:
            if not len(kept):
                return
            rows, ids, sampling = rows[kept], ids[kept], sampling.of(kept)
            decoder.select(kept)


def _only_temperature(sampling: SamplingConfig) -> bool:
    """Say whether a temperature is all that acts between the logits and the draw."""
    window = sampling.penalty_window  # without a penalty it has no effect
    return replace(sampling, temperature=1.0) == SamplingConfig(penalty_window=window)


def _going_on(ids: np.ndarray, end: int | None) -> np.ndarray | None:
    """Return the places among M texts of those that did not draw `.end`; None if none drew it."""
    if end is None or not (ids == end).any():  # texts that ended cost no further step
        return None
    return np.flatnonzero(ids != end)


def _context(vocab: Vocab, prompt: str) -> np.ndarray:
    """Return the ids that a network reads before it writes, (P,) int64.

    Where the vocabulary has `.start`, it is the first of them.

    Raises:
        ValueError: there is no id to read.
        VocabError: a character of the prompt is not in the vocabulary.
    """
    start = [vocab.id_of(START)] if START in vocab else []
    # An empty list would be float64, and make all ids floats: hence the dtype.
    ids = np.concatenate([np.array(start, dtype=np.int64), vocab.encode(prompt)])
    if not len(ids):
        raise ValueError("The prompt is empty; give at least one character to write on from.")
    return ids


def _last(ids: np.ndarray, count: int) -> np.ndarray:
    """Return the last `count` ids, (count,); -1 stands in front where there are fewer."""
    # (count + P,), then the last of them. count is 1 or more: [-0:] would be everything.
    return np.concatenate([np.full(count, -1), ids])[-count:]


def generate(
    model: CharRNN,
    vocab: Vocab,
    prompt: str | Sequence[str],
    length: int = 500,
    temperature: float | Sequence[float] = 1.0,
    seed: int | Sequence[int] | None = None,
    *,
    fast: bool = False,
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
        fast: whether compiled steps write the text, at several times the speed. It needs Numba
            (`pip install numba`), which compiles once, for some seconds. The weights are rounded to
            16 bits, so that probabilities differ by some 1e-4, and a text with the same seed is the
            same but where a draw falls between the two. Batches of more than 8 texts, other cells
            and other devices are written as without it.
        settings: top_k, top_p, min_p, redraw_once, repetition_penalty, penalty_window, see
            `SamplingConfig`.

    Returns:
        A sample, or a list of samples for a batch.

    Raises:
        ImportError: fast is asked for, and Numba cannot be imported.
        TypeError: a setting has another name, or a prompt is no text.
        ValueError: a prompt is empty, the length is not 0 or more, or a setting is outside its
            bounds; lists of different lengths are given; the vocabulary is not the model's; the
            batch would take more than `MEMORY`; or more than `KEPT` characters are asked for and no
            `.end` can end the texts earlier.
        VocabError: a character of a prompt is not in the vocabulary.
    """
    batch = _batch(model, prompt, temperature, seed)
    sampling = SamplingConfig(batch.temperature, **settings)
    _check_kept(vocab, length, len(batch.prompts))
    # The prompts have been read. The steps are taken when `_figures` asks for them.
    taken = steps(model, vocab, batch.prompts, length, sampling, batch.seeds, fast)
    # A hundred steps at once, or fewer where their distributions would take much memory.
    at_once = min(100, max(1, 10**6 // (len(batch.prompts) * len(vocab))))
    rows, ids, figures = _figures(taken, at_once)  # (K,), (K,), (K, 4)
    # The steps hold the characters in order of time. A stable sort by text keeps that order within
    # each text, and puts the texts one behind the other.
    by_text = np.argsort(rows, kind="stable")  # (K,)
    ends = np.cumsum(np.bincount(rows, minlength=len(batch.prompts)))  # (N,)
    samples = [
        _sample(text, [vocab.tokens[i] for i in ids[places]], figures[places])
        for text, places in zip(batch.prompts, np.split(by_text, ends[:-1]), strict=True)
    ]
    return samples if batch.several else samples[0]


def _check_kept(vocab: Vocab, length: int, count: int) -> None:
    """Raise ValueError if texts of a length are certain to have more characters than KEPT."""
    if END not in vocab and is_whole(length) and length * count > KEPT:
        raise ValueError(
            f"length is {quoted(length)}, for {count} text{'s' if count > 1 else ''}: generate() "
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
        # k characters of up to at_once steps: rows and ids (k,), logits and weights (k, V).
        rows, logits, weights, _, ids = (np.concatenate(part) for part in zip(*some, strict=True))
        before, after = log_softmax(logits), log_softmax(weights)  # (k, V) each
        at = np.arange(len(ids)), ids  # picks the drawn id of each row: (k, V) -> (k,)
        figures = np.exp(before[at]), np.exp(after[at]), entropy(before), entropy(after)
        # Four of (k,) become (k, 4). The distributions themselves are not kept.
        pieces.append((rows, ids, np.stack(figures, axis=1)))
    return tuple(np.concatenate(part) for part in zip(*pieces, strict=True))


def _sample(prompt: str, tokens: list[str], figures: np.ndarray) -> Sample:
    """Return the sample of a prompt, its drawn tokens, and their figures (n, 4)."""
    ended = tokens[-1:] == [END]  # a slice, since there may be no token
    count = len(tokens) - ended  # n; True counts as 1
    # Transposed (4, n), the four rows are the sample's four arrays.
    return Sample(prompt, tuple(tokens[:count]), *figures[:count].T, ended)


def stream(
    model: CharRNN,
    vocab: Vocab,
    prompt: str | Sequence[str],
    length: int = 500,
    temperature: float | Sequence[float] = 1.0,
    seed: int | Sequence[int] | None = None,
    *,
    fast: bool = False,
    **settings: object,
) -> Iterator[str] | Iterator[list[str]]:
    """Yield the characters that `generate` would add, each as soon as it is drawn.

    A batch yields a list at every step, with "" for each text that has ended. The arguments and the
    errors are those of `generate`. Errors are raised when this function is called. The bound `KEPT`
    does not hold here, since no character is kept.
    """
    batch = _batch(model, prompt, temperature, seed)
    sampling = SamplingConfig(batch.temperature, **settings)
    taken = steps(model, vocab, batch.prompts, length, sampling, batch.seeds, fast)
    # As in `steps`: the errors above come at the call, not at the first character.
    return _characters(taken, vocab, batch)


def _characters(taken: Iterator[Step], vocab: Vocab, batch: "_Batch") -> Iterator[str | list[str]]:
    """Yield the characters of each step: a list for a batch, else a single character."""
    for step in taken:
        new = [""] * len(batch.prompts)
        # M tokens go to their places among the N texts; ended ones keep their "".
        for row, token in zip(step.rows, step.ids, strict=True):
            new[row] = "" if vocab.tokens[token] == END else vocab.tokens[token]
        # A step in which all that were left have ended shows nothing.
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
    # What is no list serves all texts, so it does not say how many there are.
    counts = {name: _count(value) for name, value in given.items() if is_list(value)}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        numbers = " and ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(f"A batch needs one of each for every text, but there are {numbers}.")
    size = next(iter(counts.values()), 1)  # all lists are of one length here
    _check_count(unwrap(model), size)  # before a list of that length is made
    prompts, temperature, seeds = given.values()
    prompts = list(prompts) if "prompts" in counts else [prompts] * size
    for text in prompts:
        if not isinstance(text, str):
            raise TypeError(f"A prompt is {quoted(text)}; it must be a text.")
    seeds = list(seeds) if "seeds" in counts else [seeds]
    # Python's own numbers do not overflow when a row is added below.
    seeds = [
        each if each is None else check_whole("seed", each, 0, hint=", or None") for each in seeds
    ]
    if "seeds" not in counts:
        # With one seed for all, texts of one prompt would be copies of each other.
        seeds = [None if seeds[0] is None else seeds[0] + row for row in range(size)]
    return _Batch(prompts, checked_temperature(temperature), seeds, bool(counts))


def _count(values: Sequence) -> int:
    """Return the number of values, or sys.maxsize for a range that is too long for len()."""
    try:
        return len(values)
    except OverflowError:
        return sys.maxsize
