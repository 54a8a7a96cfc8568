"""Train a network in several variants, and record diagnostics of its steps and what it writes.

    .venv/bin/python -m experiments.record_diagnostics runs/case-d-cpu

In the folder's config.json, "model" holds arguments of `CharRNN` and "training" those of
`TrainingConfig`. "variants" says what each variant changes: in "training", or its "seed".

Each variant has a folder. The program writes into it history.jsonl (every step; diagnostics every
"record_every" steps), samples.json (step -> text, every "sample_every" steps) and result.json. The
result.json above them lists all variants.

While a variant trains, step-….safetensors in its folder holds the whole run. After a break the same
command goes on from there.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from experiments.common import (
    check_model,
    check_whole,
    describe,
    load_ids,
    make_settings,
    read_done,
    read_json,
    read_variants,
    remove_unfinished,
    rounded,
    run_program,
    stop_if_interrupted,
    write_json,
)
from lstmlib.checkpoints import Checkpoints
from lstmlib.diagnostics import Diagnostics
from lstmlib.generation import generate
from lstmlib.history import History, TrainingDiverged
from lstmlib.models import CharRNN, count_parameters
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit
from lstmlib.vocab import Vocab

WRITTEN = 300
"""Characters of each sample."""
DIGITS = 4
"""Of the numbers that are written."""
CHECKPOINT_EVERY = 500
"""Steps between checkpoints."""
MAY_CHANGE = ("training", "seed")
"""What a variant may change."""
COLUMNS = ("step", "loss", "grad_norm", "clipped_norm", "learning_rate", "valid_loss", "skipped")
"""Of the history that is kept, beside the diagnostics."""


@dataclass(frozen=True)
class Settings:
    """All that a variant is trained with.

    Attributes:
        corpus: a name that `load_corpus` knows, or the path of a file.
        characters: the first ones of the text, which are used.
        ascii_only: clean the text to ASCII.
        model: arguments of CharRNN beside the size of the vocabulary.
        training: settings of TrainingConfig.
        seed: of the weights, of what training draws, and of the samples.
        record_every: steps from one row with diagnostics to the next.
        sample_every: steps from one sample to the next.
        prompt: what the samples go on from.
        temperature: of the samples.
    """

    corpus: str
    characters: int
    ascii_only: bool
    model: dict
    training: dict
    seed: int
    record_every: int
    sample_every: int
    prompt: str
    temperature: float

    def __post_init__(self) -> None:
        check_whole(self, "characters", "record_every", "sample_every")
        check_whole(self, "seed", least=0)
        if not self.prompt:
            raise ValueError("The prompt is empty; give at least one character to write on from.")
        check_model(self.model)
        make_settings(TrainingConfig, self.training, '"training"')


def read_config(folder: Path) -> dict[str, Settings]:
    """Return the variants of a folder's config.json: name -> settings."""
    shared = Settings.__annotations__.keys() - MAY_CHANGE
    return read_variants(folder, Settings, shared)


class Recorder:
    """What is kept of a variant beside its history: its samples, in a file that grows.

    Args:
        model: the network that `fit` trains.
        settings: of the variant.
        vocab: the vocabulary of the texts.
        path: where the samples are, and are added to.
    """

    def __init__(self, model: CharRNN, settings: Settings, vocab: Vocab, path: Path) -> None:
        self.model, self.settings, self.vocab, self.path = model, settings, vocab, path
        self.samples = read_json(path) if path.exists() else {}

    def __call__(self, history: History) -> None:
        """Write a sample if it is time to, and drop the diagnostics that are not kept."""
        step, row, settings = len(history), history.rows[-1], self.settings
        if step % settings.record_every:
            row["diagnostics"] = None
        else:
            row["diagnostics"] = rounded(row["diagnostics"], DIGITS)
        if step % settings.sample_every == 0:
            sample = generate(
                self.model,
                self.vocab,
                settings.prompt,
                WRITTEN,
                settings.temperature,
                seed=settings.seed,
            )
            self.samples[str(step)] = sample.text
            write_json(self.path, self.samples)


def train(settings: Settings, texts: tuple, folder: Path) -> dict:
    """Train one variant to its end, or read it if it is done; return its figures.

    Raises:
        ValueError: what is done is a variant of other settings.
        SystemExit: it was interrupted.
    """
    result = read_done(folder, asdict(settings))
    if result is not None:
        return result
    vocab, train_ids, valid_ids = texts
    torch.manual_seed(settings.seed)
    model = CharRNN(len(vocab), **settings.model)
    recorder = Recorder(model, settings, vocab, folder / "samples.json")
    checkpoints, diverged = Checkpoints(folder, vocab, CHECKPOINT_EVERY, keep=1), False
    training = TrainingConfig(**settings.training)
    try:
        history = fit(
            model, train_ids, valid_ids, training, recorder, checkpoints, diagnostics=Diagnostics()
        )
    except TrainingDiverged as error:
        history, diverged = error.history, True
    stop_if_interrupted(history, folder)
    History(compact(history.rows)).save(folder / "history.jsonl")
    _, valid_losses = history.column("valid_loss")
    result = asdict(settings) | {
        "valid_losses": valid_losses.tolist(),
        "largest_norm": max(history.column("grad_norm")[1], default=None),
        "clipped_share": history.clipped_share,
        "diverged": diverged,
        "parameters": count_parameters(model),
        "training_seconds": round(history.rows[-1]["seconds"], 1),
        "machine": describe(torch.device("cpu")),
        "precision": history.precision,
    }
    write_json(folder / "result.json", result)
    remove_unfinished(folder)
    return result


def compact(rows: list[dict]) -> list[dict]:
    """Leave out of a history what can be computed, and round what is left."""
    short = [rounded({name: row[name] for name in COLUMNS}, DIGITS) for row in rows]
    for row, whole in zip(short, rows, strict=True):
        if whole["diagnostics"]:
            row["diagnostics"] = whole["diagnostics"]
    return short


def main(folder: Path) -> None:
    """Train all variants of a folder's config, and list them."""
    variants, results = read_config(folder), {}
    settings = next(iter(variants.values()))
    texts = load_ids(settings.corpus, settings.characters, settings.ascii_only)
    texts[0].encode(settings.prompt)  # a prompt that cannot be written on from is refused now
    for name, settings in variants.items():
        results[name] = train(settings, texts, folder / name)
        print(f"{name:<24} validation losses at the end {results[name]['valid_losses'][-3:]}")
    write_json(folder / "result.json", {"runs": results})


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # a network that died has gradients so small that they are slow
    run_program(main, __doc__, "runs/case-d-cpu")
