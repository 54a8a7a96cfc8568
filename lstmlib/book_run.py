"""A run on a reader's own text: a plan that is made once and kept, and a look at the run after it.

The plan is of `lstmlib.thermometer`. It measures this machine's speed, so a second plan would have
other steps, and a run that was interrupted could not go on with it. `kept_plan` therefore writes
it beside the run's checkpoints, and reads it from there the next time.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from lstmlib.books import sha256
from lstmlib.checkpoints import CheckpointError
from lstmlib.diagnostics import find_spikes
from lstmlib.findings import Finding
from lstmlib.history import History
from lstmlib.serialization import atomic_write
from lstmlib.settings import TrainingConfig
from lstmlib.thermometer import Expectation, Plan, plan
from lstmlib.validation import check_number
from lstmlib.vocab import Vocab

_PLAN = "plan.json"
_FORMAT = "lstmlib-plan-1"
SPAN = 100
"""Steps whose losses and norms tell what is usual for the next one."""


def run_folder(parent: str | Path, name: str, text: str, minutes: float) -> Path:
    """Return the folder of the run on a text with so many minutes; other texts have another one.

    Args:
        parent: the folder for all runs.
        name: the book's name, for whoever looks into the folder.
        text: the clean text.
        minutes: the time for training.

    Raises:
        ValueError: minutes is no finite number above 0.
    """
    check_number("minutes", minutes, above=0)
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(name).stem)[:40]
    return Path(parent) / f"{plain}-{sha256(text)[:10]}-{minutes:g}min"


def kept_plan(
    folder: str | Path,
    text: str,
    vocab: Vocab,
    minutes: float,
    device: torch.device | None = None,
) -> Plan:
    """Return the plan of a run: the one that its folder has, or a new one, which is kept there.

    Args:
        folder: the run's folder, see `run_folder`.
        text: the clean text, all of it; its last tenth is for validation.
        vocab: its vocabulary.
        minutes: the time for training.
        device: where it will be trained; None is the CPU.

    Raises:
        ValueError: as `lstmlib.thermometer.plan`.
        CheckpointError: the folder cannot be written; or it holds the plan or the checkpoints of
            another run.
    """
    path, key = Path(folder) / _PLAN, [sha256(text), float(minutes)]
    if path.exists():
        return _read_plan(path, key)
    if any(Path(folder).glob("step-*.safetensors")):
        raise CheckpointError(
            f"{folder} holds checkpoints, and no plan that was made before them. Choose another "
            "folder, so that the plan comes first."
        )
    made = plan(text, vocab, minutes, device)
    notes = {"format": _FORMAT, "key": key, "plan": asdict(made)}
    try:
        atomic_write(path, json.dumps(notes, indent=1).encode())
    except OSError as error:
        raise CheckpointError(
            f"The plan {path} could not be written ({error}). Make room, or choose another folder."
        ) from error
    return made


def _read_plan(path: Path, key: list) -> Plan:
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
        if notes["format"] != _FORMAT:
            raise ValueError("it is of another format")
        kept, values = notes["key"], notes["plan"]
        expected = values["expected"]
        expected["caveats"] = tuple(expected["caveats"])
        values["training"] = TrainingConfig(**values["training"])
        found = Plan(**values | {"expected": Expectation(**expected)})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{path} is no plan that one could go on with ({error!r}). Delete the folder to begin "
            "again, or choose another one."
        ) from error
    if kept != key:
        raise CheckpointError(
            f"{path} is the plan of another text or of {kept[1]:g} minutes. Choose another folder."
        )
    return found


@dataclass(frozen=True)
class Checkup:
    """What the tools of the clinic find in a run (chapter 06).

    Attributes:
        steps: steps taken, those that were skipped included.
        ended: how the run ended, see `History.ended`.
        skipped: steps whose loss or gradient was not finite.
        spikes: steps whose loss lies far above those before it, see `find_spikes`.
        bursts: steps whose gradient norm does.
        clipped: share of the steps whose gradient was clipped.
        norm: median of the gradient norm before clipping.
        largest: the largest gradient norm.
        best_step: the step of the lowest validation loss; 0 without validations.
        rise: how far the last validation loss lies above the lowest, in nats per character.
    """

    steps: int
    ended: str
    skipped: int
    spikes: tuple[int, ...]
    bursts: tuple[int, ...]
    clipped: float
    norm: float
    largest: float
    best_step: int
    rise: float

    @property
    def healthy(self) -> bool:
        """Whether no step was skipped and no loss leapt."""
        return not self.skipped and not self.spikes

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, and what to do about it."""
        return tuple(_findings(self))

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


def check_up(history: History) -> Checkup:
    """Look at a run with the tools of the clinic.

    Raises:
        ValueError: the run took no step.
    """
    if not len(history):
        raise ValueError("The run has no steps yet. Train first.")
    steps, losses = history.column("loss")
    at_norm, norms = history.column("grad_norm")
    at, valid = history.column("valid_loss")
    best = int(np.argmin(valid)) if len(valid) else 0
    return Checkup(
        len(history),
        history.ended,
        history.skipped,
        tuple(int(steps[k]) for k in find_spikes(losses, SPAN)),
        tuple(int(at_norm[k]) for k in find_spikes(norms, SPAN)),
        history.clipped_share,
        float(np.median(norms)) if len(norms) else float("nan"),
        float(norms.max(initial=0.0)),
        int(at[best]) if len(valid) else 0,
        float(valid[-1] - valid[best]) if len(valid) else 0.0,
    )


def _findings(found: Checkup) -> list[Finding]:
    """Return what was found, and what to do about it."""
    ends = {"all steps": "all steps were taken", "early": "it ended early, as planned"}
    ends["interrupted"] = "it was stopped by hand"
    again = (
        "Run the cell of the training again: it goes on." if found.ended == "interrupted" else ""
    )
    said = [Finding(f"{found.steps:,} steps: {ends.get(found.ended, 'it has not ended')}.", again)]
    if found.skipped:
        skipped = "Steps that were skipped, since a loss or gradient was not finite"
        said.append(
            Finding(f"{skipped}: {found.skipped}.", "Halve the learning rate, or clip lower.")
        )
    else:
        said.append(Finding("Every loss and every gradient was finite."))
    if found.spikes:
        first = ", ".join(map(str, found.spikes[:5]))
        more = len(found.spikes) - 5
        others = f" and {more} more" if more > 0 else ""
        said.append(Finding(f"Spikes of the loss: {len(found.spikes)}, at steps {first}{others}."))
    else:
        said.append(Finding("No spike of the loss."))
    norms = f"gradient norm {found.norm:.2g} in the middle, {found.largest:.2g} at most"
    said.append(Finding(f"Clipped: {found.clipped:.1%} of the steps; {norms}."))
    if found.rise > 0.05:
        said.append(
            Finding(
                f"The validation loss was lowest at step {found.best_step:,} and rose by "
                f"{found.rise:.2f} after it: the network learnt its text by heart. The weights of "
                "its best step are kept."
            )
        )
    return said
