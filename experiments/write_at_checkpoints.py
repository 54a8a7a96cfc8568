"""Train a network on a text, and let it write many texts at some of its steps.

    .venv/bin/python -m experiments.write_at_checkpoints runs/five-checkpoints

In the folder's config.json, "clean" holds arguments of `clean`, "model" those of `CharRNN` and
"training" those of `TrainingConfig`. "write_at" lists the steps at which the network writes. Each
text goes on from a piece of the validation text, and is kept without it. So it begins at any place,
as a piece cut from a book does.

The program writes texts.json (step -> texts), history.jsonl and result.json into the folder. While
it trains, step-….safetensors holds the whole run. After a break the same command goes on from
there.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from experiments.common import (
    check_model,
    check_whole,
    note_settings,
    read_json,
    read_settings,
    remove_unfinished,
    run_program,
    stop_if_interrupted,
    write_json,
)
from experiments.train_text import begin, made_of, write_history
from lstmlib.batching import split
from lstmlib.checkpoints import Checkpoints
from lstmlib.generation import generate
from lstmlib.history import History
from lstmlib.models import CharRNN, count_parameters
from lstmlib.settings import TrainingConfig
from lstmlib.training import evaluate, fit
from lstmlib.vocab import Vocab

READ = 100
"""Characters of the validation text that the network reads before it writes."""


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        corpus: a name that `load_corpus` knows, or the path of a file.
        clean: arguments of `lstmlib.cleaning.clean`.
        model: arguments of CharRNN beside the size of the vocabulary.
        training: see TrainingConfig.
        write_at: the steps at which the network writes. The last step of the training is always
            one more, if it is not among them.
        texts: how many texts it writes each time.
        written: characters of each.
        temperature: of the texts.
        seed: of the weights, of what training draws, of the places to go on from, and of the texts.
    """

    corpus: str
    clean: dict
    model: dict
    training: TrainingConfig
    write_at: list
    texts: int
    written: int
    temperature: float
    seed: int

    def __post_init__(self) -> None:
        check_whole(self, "texts", "written")
        check_whole(self, "seed", least=0)
        check_model(self.model)
        if not all(isinstance(step, int) and step > 0 for step in self.write_at):
            raise ValueError(f"write_at is {self.write_at}; it must list steps, each 1 or more.")

    @property
    def steps(self) -> list[int]:
        """All steps at which the network writes, in order."""
        last = self.training.steps
        return sorted({*(step for step in self.write_at if step < last), last})


class Writer:
    """Lets the network write when it is time to, and keeps the texts in a file that grows.

    Args:
        model: the network that `fit` trains.
        vocab: the vocabulary of the text.
        valid_ids: the validation text.
        settings: of the run.
        path: where the texts are, and are added to.
    """

    def __init__(
        self, model: CharRNN, vocab: Vocab, valid_ids: np.ndarray, settings: Settings, path: Path
    ) -> None:
        self.model, self.vocab, self.valid_ids, self.path = model, vocab, valid_ids, path
        self.settings = settings
        self.kept = read_json(path) if path.exists() else {}
        read = min(READ, len(valid_ids) // 2)
        places = np.random.default_rng(settings.seed).integers(
            0, len(valid_ids) - read, settings.texts
        )
        self.prompts = [vocab.decode(valid_ids[place : place + read]) for place in places]

    def __call__(self, history: History) -> None:
        """Write, if this is a step to write at. The same step writes the same texts again."""
        step, settings = len(history), self.settings
        if step not in settings.steps:
            return
        samples = generate(
            self.model,
            self.vocab,
            self.prompts,
            settings.written,
            settings.temperature,
            seed=settings.seed,
        )
        self.kept[str(step)] = {
            "valid_loss": evaluate(self.model, self.valid_ids),
            "texts": [sample.new for sample in samples],
        }
        write_json(self.path, self.kept)


def main(folder: Path) -> None:
    """Train what a folder's config says, to its end, and write what is kept of it.

    Raises:
        ValueError: a config without meaning, or not that of the run that was begun.
        SystemExit: it was interrupted.
    """
    settings = read_settings(folder, Settings)
    text, vocab, model = begin(folder, settings)
    train_ids, valid_ids = split(vocab.encode(text))
    checkpoints = Checkpoints(folder, vocab, keep=1)
    note_settings(checkpoints, asdict(settings))
    writer = Writer(model, vocab, valid_ids, settings, folder / "texts.json")
    history = fit(
        model, train_ids, valid_ids, settings.training, on_step=writer, checkpoints=checkpoints
    )
    stop_if_interrupted(history, folder)
    write_history(folder, history)
    result = {
        "steps": settings.steps,
        "valid_losses": [writer.kept[str(step)]["valid_loss"] for step in settings.steps],
        "parameters": count_parameters(model),
        "training_seconds": round(history.rows[-1]["seconds"], 1),
    } | made_of(text, history)
    write_json(folder / "result.json", result)
    remove_unfinished(folder)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    run_program(main, __doc__, "runs/five-checkpoints")
