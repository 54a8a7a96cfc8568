"""Let the networks of recorded runs write texts, and measure these beside held-out text.

    .venv/bin/python -m experiments.measure_systems runs/five-systems

In the folder's config.json, "systems" names runs that lie beside the folder. Each run's own
config.json says which text it was trained on; the last tenth (of reviews, the test reviews) is what
the network never saw. This text is cut into blocks. A network reads the beginnings of some of them
and writes on. Other blocks are the real text beside it. A third lot is real text that the real text
is compared with. Nothing is trained.

The program writes texts.json (system -> temperature -> texts) and result.json into the folder. As
long as it runs, step-….json holds a system that is done. After a break the same command goes on
behind it. Of a run whose model is not kept, the texts that it recorded are measured, as far as they
reach.
"""

import json
import re
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from experiments import record_diagnostics, train_numpy, train_sequences, train_windows
from experiments.common import (
    check_whole,
    corpus_text,
    describe,
    read_done,
    read_json,
    read_settings,
    remove_unfinished,
    rounded,
    run_program,
    versions,
    write_json,
)
from lstmlib import validation
from lstmlib.cleaning import clean
from lstmlib.conversion import from_numpy
from lstmlib.generation import generate
from lstmlib.metrics import (
    Interval,
    WordValidity,
    bootstrap_interval,
    distinct_n,
    mean_interval,
    self_bleu_of_each,
    word_validity,
    words,
)
from lstmlib.models import CharRNN
from lstmlib.serialization import load_model, load_scratch
from lstmlib.suffixes import Matches, longest_matches
from lstmlib.two_sample import (
    classifier_test,
    compressed_bits,
    divergence_ceiling,
    ngram_divergence,
)
from lstmlib.vocab import START, Vocab

KINDS = ("windows", "numpy", "reviews", "recorded")
"""Which program made a run: train_windows, train_numpy, train_sequences; or record_diagnostics,
which keeps texts and no model."""
DIGITS = 4
GROUPS = 8
"""Groups of texts that are compressed, each as a whole: one text alone is too short."""
GIVEN = 200_000
"""The last characters of the training text, which the compressor reads first."""
RUN_LENGTH = 10
"""Novelty is of runs of so many characters."""
ROUNDS = 8
"""How often texts are written anew in the place of reviews that ended too soon."""
LATEST = 5
"""How many of the texts that a run recorded are measured: the last ones."""


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        systems: name -> {"run": a folder beside this one, or a folder in it, "kind": one of KINDS}.
        texts: how many texts each network writes at each temperature, and how many real ones.
        read: characters that a network reads before it writes.
        written: characters of a text.
        temperatures: of the texts.
        permutations: of the classifier's p-value.
        seed: of which blocks are taken, of the texts, and of the measures.
    """

    systems: dict
    texts: int
    read: int
    written: int
    temperatures: list
    permutations: int
    seed: int

    def __post_init__(self) -> None:
        check_whole(self, "texts", "read", "written", "permutations")
        check_whole(self, "seed", least=0)
        if not self.systems or not self.temperatures:
            raise ValueError("Name at least one system and one temperature.")
        for name, system in self.systems.items():
            if not isinstance(system, dict) or set(system) != {"run", "kind"}:
                raise ValueError(f'System {name} is {system!r}; it must have "run" and "kind".')
            validation.check_choice("kind", system["kind"], KINDS)


@dataclass(frozen=True)
class Source:
    """What a run was trained on, and what it never saw.

    Attributes:
        training: the training text.
        held_out: the held-out text, in one or more parts that do not go on from each other.
    """

    training: str
    held_out: list[str]


@dataclass(frozen=True)
class Blocks:
    """The held-out text in blocks, each of `read` + `written` characters.

    Attributes:
        prompts: the beginnings that a network goes on from.
        real: whole blocks; of each, what comes behind its beginning is real text.
        control: the same from other places.
        others: all held-out text but `real`; its words are those that real text has.
        read: characters of a beginning.
    """

    prompts: list[str]
    real: list[str]
    control: list[str]
    others: str
    read: int

    def pieces(self, which: str) -> list[str]:
        """Return the real text of the blocks "real" or "control", without the beginnings."""
        return [block[self.read :] for block in getattr(self, which)]


def read_source(run: Path, kind: str) -> Source:
    """Return the text of a run, cleaned and parted as its program does it.

    Raises:
        ValueError: the run's config has no meaning, or its text is not here.
    """
    if kind == "reviews":
        variants = train_sequences.read_config(run.parent)
        reviews = train_sequences.Reviews(variants[run.name].data)
        return Source("\n".join(reviews.train), reviews.test)
    if kind == "windows":
        text = train_windows.load_text(read_settings(run, train_windows.Settings))
    elif kind == "numpy":
        settings = read_settings(run, train_numpy.Settings)
        text = clean(corpus_text(settings.corpus))[0]
    else:
        settings = record_diagnostics.read_config(run.parent)[run.name]
        text = clean(corpus_text(settings.corpus), ascii_only=settings.ascii_only)[0]
        text = text[: settings.characters]
    cut = len(text) - round(len(text) * 0.1)
    return Source(text[:cut], [text[cut:]])


def read_network(run: Path, kind: str) -> tuple[CharRNN, Vocab]:
    """Return the network that a run left, in 32 bits, ready to write."""
    path = run / "model.safetensors"
    if kind == "numpy":
        weights, cell, vocab = load_scratch(path)
        return from_numpy(weights, cell).float().eval(), vocab
    model, vocab = load_model(path)
    return model.float().eval(), vocab


def cut(source: Source, vocab: Vocab | None, settings: Settings) -> Blocks:
    """Return the held-out text in blocks, as many of each kind as there are texts.

    None of them has a character that the vocabulary lacks. Without a vocabulary there are texts
    already, and the blocks are as many as the held-out text allows.

    Raises:
        ValueError: there are fewer than three blocks for each text that is asked for.
    """
    size = settings.read + settings.written
    known = None if vocab is None else set(vocab.tokens)
    blocks = []
    for part in source.held_out:
        blocks += [part[k : k + size] for k in range(0, len(part) - size + 1, size)]
    usable = [block for block in blocks if known is None or set(block) <= known]
    n = settings.texts if known else min(settings.texts, len(usable) // 3)
    if len(usable) < 3 * n or not n:
        raise ValueError(
            f"The held-out text has {len(usable)} blocks of {size} characters, and each text "
            "needs three: ask for fewer texts, or for shorter ones."
        )
    order = np.random.default_rng(settings.seed).permutation(len(usable))
    prompts, real, control = ([usable[k] for k in order[i * n : (i + 1) * n]] for i in range(3))
    others = outside(source.held_out, size, set(real))
    return Blocks([b[: settings.read] for b in prompts], real, control, others, settings.read)


def outside(parts: Sequence[str], size: int, taken: Set[str]) -> str:
    """Return what is left of a text without some of its blocks of `size` characters.

    A block may begin and end inside a word. What is left of such a word is no word, and goes.
    """
    kept = []
    for part in parts:
        blocks = [part[k : k + size] for k in range(0, len(part), size)]
        runs = "".join("\0" if block in taken else block for block in blocks).split("\0")
        runs[1:] = [re.sub(r"^\w+", "", run) for run in runs[1:]]
        runs[:-1] = [re.sub(r"\w+$", "", run) for run in runs[:-1]]
        kept += runs
    return "\n".join(kept)


@torch.no_grad()
def losses(model: CharRNN, vocab: Vocab, blocks: Sequence[str], read: int) -> dict[str, list]:
    """Return the mean loss of each block behind its beginning, in nats per character.

    "loss" is of the characters as they stand, (T,). "lower_cased" is of the same characters without
    their case: the probability of a letter is the sum of those of its small and its capital form.
    """
    start = [vocab.id_of(START)] if START in vocab else []
    ids = np.stack([np.concatenate([start, vocab.encode(b)]).astype(int) for b in blocks])  # (T, P)
    log_p = model(torch.from_numpy(ids[:, :-1]))[0].double().log_softmax(-1)  # (T, P - 1, V)
    at = torch.from_numpy(ids[:, 1:])  # (T, P - 1)
    # (V,): the id of each token's small form, so that both forms fall on one place.
    small = [
        vocab.id_of(t.lower()) if t.lower() in vocab else i for i, t in enumerate(vocab.tokens)
    ]
    folded = torch.zeros_like(log_p).index_add_(-1, torch.tensor(small), log_p.exp())
    small = torch.tensor(small)[at]
    nats = -log_p.gather(-1, at[..., None])[..., 0]
    nats_small = -folded.gather(-1, small[..., None])[..., 0].log()
    behind = slice(read + len(start) - 1, None)  # place k predicts character k + 1
    return {
        "loss": nats[:, behind].mean(1).tolist(),
        "lower_cased": nats_small[:, behind].mean(1).tolist(),
    }


def write(
    model: CharRNN, vocab: Vocab, prompts: Sequence[str], temperature: float, settings: Settings
) -> tuple[list[str], list[float]]:
    """Return as many texts as there are prompts, and the mean loss of each under its own network.

    A review may end before it has all its characters, or have a character that stands for rare
    ones. It is left out, and another one is written.

    Raises:
        ValueError: hardly any text has all its characters.
    """
    texts, own = [], []
    for k in range(ROUNDS):
        seed = settings.seed + 1000 * k
        samples = generate(model, vocab, prompts, settings.written, temperature, seed=seed)
        for sample in samples:
            if len(sample.new) == len(sample.tokens) == settings.written:
                texts.append(sample.new)
                own.append(float(-np.log(sample.p_before).mean()))
        if len(texts) >= len(prompts):
            return texts[: len(prompts)], own[: len(prompts)]
    raise ValueError(f"Of {ROUNDS * len(prompts)} texts, {len(texts)} have all characters.")


def measure(texts: Sequence[str], source: Source, others: str, seed: int) -> dict:
    """Return the measures of texts against a training text, each as [value, low, high].

    A measure that the texts are too short for is None.

    Args:
        texts: T texts of one length.
        source: what the network was trained on.
        others: held-out text; a word that it has is a real one.
        seed: of the intervals.
    """
    seen, real = set(words(source.training)), set(words(others))
    valid = [each for each in (_validity(text, seen, real) for text in texts) if sum(each)]
    figures = {
        name: _interval(bootstrap_interval(_share(k), valid, seed=seed)) if len(valid) > 1 else None
        for k, name in enumerate(("seen", "unseen", "invented"))
    }
    # An endless row of one letter is one word, and has no pair of words.
    pairs = [distinct_n(words(text), 2) if len(words(text)) > 1 else 0.0 for text in texts]
    lengths, sources = _matches(texts, source.training)
    each = [Matches(*place) for place in zip(lengths, sources, strict=True)]
    new = [matches.novelty(RUN_LENGTH)[-1] for matches in each]
    longest = [int(matches.lengths.max()) for matches in each]
    groups = np.array_split(np.array(texts, dtype=object), min(GROUPS, len(texts)))
    given = source.training[-GIVEN:]
    bits = [compressed_bits("\n".join(group), given) for group in groups]
    return figures | {
        "distinct_2": _mean(pairs, seed),
        "self_bleu": _mean(self_bleu_of_each(texts, "words"), seed),
        f"novelty_{RUN_LENGTH}": _mean(new, seed),
        "longest_copy": _mean(longest, seed),
        "longest_copy_of_all": max(longest),
        "without_words": len(texts) - len(valid),
        "compressed_bits": _mean(bits, seed),
    }


def _validity(text: str, seen: set[str], real: set[str]) -> WordValidity:
    """Count the whole words of a text by their kinds; an endless row of one letter has none."""
    # A text begins in mid-word, as a piece cut from a book does: the rest of that word goes.
    whole = re.sub(r"^\w+", "", text)
    return word_validity(whole, seen, real) if len(words(whole)) > 1 else WordValidity(0, 0, 0)


def _share(k: int) -> Callable[[list[WordValidity]], float]:
    """Return a measure of several texts' words: the share of the k-th kind in all of them."""

    def share(counts: list[WordValidity]) -> float:
        return WordValidity(*map(sum, zip(*counts, strict=True))).shares[k]

    return share


def _matches(texts: Sequence[str], training: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the longest matches of each text; all are looked up at once."""
    between = "\uffff"  # stands in no clean text, so that no match reaches over it
    found = longest_matches(between.join(texts), training)
    ends = np.cumsum([len(text) + 1 for text in texts])
    places = [slice(end - len(text) - 1, end - 1) for text, end in zip(texts, ends, strict=True)]
    return [found.lengths[p] for p in places], [found.sources[p] for p in places]


def _interval(found: Interval) -> list[float]:
    return [found.value, found.low, found.high]


def _mean(values: Sequence[float], seed: int) -> list[float] | None:
    """Return the mean of values with its interval; None where a text is too short to have one."""
    return _interval(mean_interval(values, seed=seed)) if np.isfinite(values).all() else None


def compare(real: Sequence[str], texts: Sequence[str], settings: Settings) -> dict:
    """Return how near texts are to real ones: the divergence of 3-grams, and a classifier."""
    told = classifier_test(real, texts, permutations=settings.permutations, seed=settings.seed)
    return {
        "divergence": ngram_divergence(real, texts, 3),
        "classifier": [told.accuracy, told.low, told.high],
        "classifier_p": told.p_value,
    }


def measure_network(run: Path, kind: str, settings: Settings) -> tuple[dict, dict]:
    """Return the figures of a run's network, and its texts: temperature -> texts."""
    source, (model, vocab) = read_source(run, kind), read_network(run, kind)
    blocks = cut(source, vocab, settings)
    real, control, seed = blocks.pieces("real"), blocks.pieces("control"), settings.seed
    of_blocks = losses(model, vocab, blocks.real, settings.read)
    ceiling = divergence_ceiling([*real, *control], 3, seed=seed)
    figures = {name: _mean(each, seed) for name, each in of_blocks.items()}
    figures["real"] = measure(real, source, blocks.others, seed)
    figures["real"] |= compare(real, control, settings) | {"ceiling": _interval(ceiling)}
    figures["written"], written = {}, {}
    for temperature in settings.temperatures:
        texts, own = write(model, vocab, blocks.prompts, temperature, settings)
        found = measure(texts, source, blocks.others, seed) | compare(real, texts, settings)
        found["own_loss"] = _mean(own, seed)
        figures["written"][str(temperature)], written[str(temperature)] = found, texts
    return figures, written


def measure_recorded(run: Path, settings: Settings) -> tuple[dict, dict]:
    """Return the figures of the last texts that a run recorded, and these texts.

    They are fewer and shorter. So the real text beside them is cut as short, and what changes with
    the number of texts is left out. The loss of the network cannot be measured any more.
    """
    source = read_source(run, "recorded")
    own = record_diagnostics.read_config(run.parent)[run.name]
    samples = [text[len(own.prompt) :] for text in read_json(run / "samples.json").values()]
    texts = samples[-LATEST:]
    blocks = cut(source, None, settings)
    real = [piece[: len(texts[0])] for piece in blocks.pieces("real")]
    found, beside = (measure(each, source, blocks.others, settings.seed) for each in (texts, real))
    for name in ("self_bleu", "compressed_bits", "longest_copy_of_all"):
        del found[name], beside[name]
    at = str(own.temperature)
    return {"real": beside, "written": {at: found}}, {at: texts}


def take(name: str, folder: Path, settings: Settings) -> dict:
    """Measure one system, or read it if it is done.

    Raises:
        ValueError: it was measured with other settings.
    """
    path = folder / f"step-{name}.json"
    if path.exists():
        step = read_json(path)
        if step["settings"] != asdict(settings):
            raise ValueError(f"{path} is of other settings; delete step-*.json to measure anew.")
        return step
    began = time.perf_counter()
    system = settings.systems[name]
    run = folder.parent / system["run"]
    if system["kind"] == "recorded":
        figures, texts = measure_recorded(run, settings)
    else:
        figures, texts = measure_network(run, system["kind"], settings)
    figures |= {"seconds": round(time.perf_counter() - began, 1)}
    step = {"settings": asdict(settings), "figures": rounded(figures, DIGITS), "texts": texts}
    write_json(path, step)
    return step


def main(folder: Path) -> None:
    """Measure all systems of a folder's config.

    Raises:
        ValueError: a config without meaning, or what is done is of other settings.
    """
    settings = read_settings(folder, Settings)
    result = read_done(folder, asdict(settings))
    if result is None:
        steps = {name: take(name, folder, settings) for name in settings.systems}
        figures = {name: step["figures"] for name, step in steps.items()}
        result = {
            "settings": asdict(settings),
            "systems": figures,
            "measuring_seconds": round(sum(each["seconds"] for each in figures.values()), 1),
            "machine": describe(torch.device("cpu")),
            "threads": torch.get_num_threads(),
            "versions": versions(),
        }
        write_json(folder / "texts.json", {name: step["texts"] for name, step in steps.items()})
        write_json(folder / "result.json", result)
        remove_unfinished(folder)
    print(json.dumps(result["systems"], indent=2))


if __name__ == "__main__":
    run_program(main, __doc__, "runs/five-systems")
