"""What a run of `fit` is made of, and how a checkpoint keeps it: packed, checked, unpacked."""

import inspect
import json
import math
import reprlib
import time
import weakref
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache

import torch
from torch import Tensor

from lstmlib.checkpoints import (
    INSTEAD,
    CheckpointError,
    Checkpoints,
    check_random_states,
    optimizer_tensors,
    random_states,
    set_optimizer_tensors,
    set_random_states,
)
from lstmlib.distributed import DistributedContext
from lstmlib.history import COLUMNS, History, check_row, is_json_number
from lstmlib.models import CharRNN, State, check_vocab
from lstmlib.serialization import check_shapes
from lstmlib.settings import MEANINGLESS, TrainingConfig
from lstmlib.sources import SequenceSource, TextSource, WindowSource

_NOTES = {
    "settings": dict,
    "texts": list,
    "rows": list,
    "ended": str,
    "skipped_in_a_row": int,
    "best": list,
    "seconds": float,
}
"""Of every checkpoint that `fit` writes."""
_RENAMED = {"clip_ratio": "agc_factor", "budget": "max_tokens"}
"""Settings that had another name -> their name now."""
_BEGUN = weakref.WeakKeyDictionary()
"""Models of this process -> the sketch of the weights that their run with checkpoints began with.

So a cell that was interrupted can be run again by itself, with the model as the break left it.
"""


@dataclass
class Best:
    """The lowest validation loss so far.

    Attributes:
        loss: in nats per character.
        step: where it was; 0 before the first one.
        waited: validations since then.
        weights: those of that step, kept only where the run may end with them.
    """

    loss: float = math.inf
    step: int = 0
    waited: int = 0
    weights: dict[str, Tensor] | None = None


@dataclass
class RunState:
    """All of a run that its steps change.

    Attributes:
        model: the network, without a wrapper.
        optimizer: with its averages.
        history: the rows so far.
        hidden: the state that the next batch begins with, of this process's rows of the batch, each
            part (num_layers, B, H); None begins with zeros.
        skipped_in_a_row: newest steps that were skipped.
        best: the lowest validation loss.
        started: when the run began, as `time.perf_counter` tells it, breaks left out.
    """

    model: CharRNN
    optimizer: torch.optim.Optimizer
    history: History = field(default_factory=History)
    hidden: State | None = None
    skipped_in_a_row: int = 0
    best: Best = field(default_factory=Best)
    started: float = field(default_factory=time.perf_counter)

    @property
    def step(self) -> int:
        """The last step that was taken, from 1; 0 before the first one."""
        return len(self.history)

    def seconds(self) -> float:
        """Return the seconds since the run began."""
        return time.perf_counter() - self.started


class Keeper:
    """Keeps a run in checkpoints, and goes on from the newest of them.

    Args:
        checkpoints: where they are.
        state: the run.
        config: its settings.
        source: where its batches come from.
        texts: the fingerprints of its texts.
        processes: those that train it; the first one reads and writes.
        precision: what the forward passes are computed in here.

    Raises:
        ValueError: the vocabulary of the checkpoints is not of the model's size.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        state: RunState,
        config: TrainingConfig,
        source: TextSource | SequenceSource | WindowSource,
        texts: list[str | None],
        processes: DistributedContext,
        precision: str,
    ) -> None:
        check_vocab(state.model, checkpoints.vocab)
        self.checkpoints, self.state, self.config = checkpoints, state, config
        self.source, self.texts, self.processes = source, texts, processes
        weight = next(state.model.parameters())
        self.device, self.dtype, self.precision = weight.device, weight.dtype, precision
        settings = {**state.model.config, "dtype": str(self.dtype), **asdict(config)}
        # As JSON gives it back, so that it can be compared with what a checkpoint holds.
        self.settings = json.loads(json.dumps(settings | source.settings))
        self.initial = sketch(state.model.state_dict())

    def save_if_due(self) -> None:
        """Write a checkpoint where one is due, then the model if it is a new best."""
        step, state = self.state.step, self.state
        new_best = step == state.best.step
        if state.history.ended or new_best or step % self.checkpoints.every == 0:
            packed = self.pack()
            self.processes.on_first(lambda: self.checkpoints.save(step, *packed))
        if new_best:
            self.processes.on_first(lambda: self.checkpoints.save_best(state.model))

    def pack(self) -> tuple[dict[str, Tensor], dict]:
        """Return (tensors, notes): everything that the steps to come depend on, and the history."""
        state, best = self.state, self.state.best
        tensors = {f"model.{name}": t for name, t in state.model.state_dict().items()}
        tensors |= {f"optimizer.{n}": t for n, t in optimizer_tensors(state.optimizer).items()}
        hidden = tuple(part.cpu() for part in state.hidden or ())
        for i, parts in enumerate(zip(*self.processes.gather(hidden), strict=True)):
            tensors[f"state.{i}"] = torch.cat(parts, dim=1)  # (num_layers, whole batch, H)
        notes = {
            "settings": self.settings,
            "texts": self.texts,
            "initial": self.initial,
            "rows": state.history.rows,
            "ended": state.history.ended,
            "skipped_in_a_row": state.skipped_in_a_row,
            "best": [best.loss, best.step, best.waited],
            "seconds": state.seconds(),
        }
        # Dropout draws in every process from a generator of its own.
        for rank, randoms in enumerate(self.processes.gather(random_states(self.device))):
            tensors |= {f"{_random(rank)}.{name}": t for name, t in randoms[0].items()}
            notes[_random(rank)] = randoms[1]
        return tensors, notes

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one, and if it is of this run.

        Raises:
            CheckpointError: it is of another run, or it contradicts itself.
        """
        kept = self.checkpoints
        loaded, paths = self.processes.on_first(lambda: (kept.load(), kept.paths))
        if loaded is not None:
            try:
                self._check_notes(loaded[1])
                self._check_same_run(loaded[1])
                self._check_tensors(*loaded)
                self._check_same_start(*loaded)
                self._unpack(*loaded)
            except MEANINGLESS as error:
                kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
                raise CheckpointError(
                    f"{paths[-1]} contradicts itself: {kind}{error}. {INSTEAD}"
                ) from error
        _BEGUN[self.state.model] = self.initial

    def _check_notes(self, notes: dict) -> None:
        """Raise ValueError unless the notes are such as `pack` writes."""
        for name, kind in _NOTES.items():
            if not isinstance(notes.get(name), kind) or isinstance(notes[name], bool):
                raise ValueError(f"its {name} is {reprlib.repr(notes.get(name))}")
        rows = notes["rows"]
        _check_rows(rows)
        steps = notes["settings"].get("steps")
        if not isinstance(steps, int) or len(rows) > steps:
            raise ValueError(f"it has {len(rows)} of {reprlib.repr(steps)} steps")
        loss, step, waited = notes["best"]
        whole = isinstance(step, int) and isinstance(waited, int)
        if not (whole and is_json_number(loss) and 0 <= step <= len(rows) and waited >= 0):
            raise ValueError(f"its best is {reprlib.repr(notes['best'])}")
        skipped, most = notes["skipped_in_a_row"], self.config.most_skipped
        if not (0 <= skipped < most and 0 <= notes["seconds"] < math.inf):
            raise ValueError("its count of skipped steps or of seconds is none")
        if notes["ended"] not in ("", "all steps", "early", "interrupted"):
            raise ValueError(f"its end is {reprlib.repr(notes['ended'])}")

    def _check_same_run(self, notes: dict) -> None:
        """Raise CheckpointError unless the checkpoint is of the same model, texts and settings.

        A setting that the checkpoint does not know, since it is newer, had its default value.
        """
        folder, saved = self.checkpoints.folder, _defaults() | _by_todays_names(notes["settings"])
        if notes["texts"] != self.texts:
            raise CheckpointError(
                f"{folder} holds a run on other texts. Use another folder, or the texts that it "
                "began with, split in the same way."
            )
        unknown = sorted(saved.keys() - self.settings.keys())
        if unknown:
            raise CheckpointError(
                f"{folder} holds a run of another version of lstmlib, with settings that this one "
                f"does not know: {', '.join(unknown)}. Use that version, or another folder."
            )
        may_grow = self.config.schedule in ("constant", "step")
        for name, here in self.settings.items():
            grown = name == "steps" and may_grow and here > saved[name]
            there = saved.get(name)  # a run on a text notes nothing of windows
            if there != here and not grown:
                raise CheckpointError(
                    f"{folder} holds a run with {name} = {there}, not {here}. "
                    f"Use another folder, or {name} = {there} to go on with that run."
                )

    def _check_tensors(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Raise an error unless the tensors are of this model, before anything is changed."""
        ranks = {name for name in notes if name.startswith("random")}
        groups = {name.partition(".")[0] for name in tensors}
        if "random" not in ranks or not groups - ranks <= {"model", "optimizer", "state"}:
            raise ValueError(f"it holds {', '.join(sorted(groups))}")
        weights = _named(tensors, "model.")
        check_shapes(weights, self.state.model.state_dict())
        if any(weight.dtype != self.dtype for weight in weights.values()):
            raise ValueError(f"its weights are not all {self.dtype}")
        for name in ranks:
            check_random_states(_named(tensors, f"{name}."), notes[name])
        self._check_hidden(_named(tensors, "state."))

    def _check_hidden(self, hidden: dict[str, Tensor]) -> None:
        """Raise ValueError unless a hidden state is one of this model and batch."""
        config = self.state.model.config
        parts = ["0", "1"] if config["cell"] in ("lstm", "cifg") else ["0"]  # (h, c), or h alone
        if hidden and not (self.source.goes_on and sorted(hidden) == parts):
            raise ValueError(f"its state has the parts {', '.join(sorted(hidden))}")
        shape = (config["num_layers"], self.config.batch_size, config["hidden_size"])
        # Under autocast a state is of 16 bits, on CUDA float16.
        halves = {torch.bfloat16, torch.float16} if self.config.precision == "bfloat16" else set()
        for part in hidden.values():
            if part.shape != shape or part.dtype not in {self.dtype, *halves}:
                raise ValueError(f"its state is {part.dtype} {tuple(part.shape)}, not {shape}")

    def _check_same_start(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Raise CheckpointError if the model is not the one that the run began with.

        It may also have gone on from there: in this process, or as the newest checkpoint or the
        best model has it. What a checkpoint of an earlier version began with is not known.
        """
        began, given = notes.get("initial"), self.initial
        if began is not None and not (
            _alike(began, given)
            or _alike(began, _BEGUN.get(self.state.model, {}))
            or _alike(given, sketch(_named(tensors, "model.")))
            or _alike(given, self.processes.on_first(self._sketch_best))
        ):
            folder, best = self.checkpoints.folder, self.checkpoints.best_path
            also = f"; load_model({str(best)!r}) goes on with it, too" if best.exists() else ""
            raise CheckpointError(
                f"{folder} holds a run that began with other weights, as of another seed. Use "
                f"another folder, or make the model with the seed that the run began with{also}."
            )
        self.initial = began

    def _sketch_best(self) -> dict[str, list[float]]:
        """Return the sketch of the best model, empty if there is none."""
        try:
            return sketch(self.checkpoints.load_best())
        except CheckpointError:
            return {}

    def _unpack(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Set everything that `pack` returned."""
        state = self.state
        set_optimizer_tensors(state.optimizer, _named(tensors, "optimizer."))
        state.model.load_state_dict(_named(tensors, "model."))
        state.hidden = self._usable(_named(tensors, "state."))
        state.history.rows = notes["rows"]
        done = state.step == self.config.steps or notes["ended"] == "early"
        state.history.ended = notes["ended"] if done else ""
        state.skipped_in_a_row = notes["skipped_in_a_row"]
        state.started -= notes["seconds"]
        self._unpack_best(Best(*notes["best"]))
        # Last, since a model that is loaded draws random weights first.
        mine = _random(self.processes.rank)
        if mine in notes:  # else fewer processes wrote the checkpoint
            set_random_states(_named(tensors, f"{mine}."), notes[mine], self.device)

    def _usable(self, hidden: dict[str, Tensor]) -> State | None:
        """Return this process's rows of a hidden state, (num_layers, B, H) each, on the device."""
        if self.precision == "float32":  # also where the run began in 16 bits, on another device
            hidden = {name: part.to(self.dtype) for name, part in hidden.items()}
        elif self.device.type == "cpu":  # whose autocast knows no float16
            hidden = {n: p.bfloat16() if p.dtype == torch.float16 else p for n, p in hidden.items()}
        rows = self.source.rows
        return tuple(hidden[n][:, rows].to(self.device) for n in sorted(hidden)) or None

    def _unpack_best(self, best: Best) -> None:
        """Set the best loss; read its weights where the run may end with them."""
        self.state.best = best
        if self.state.step == best.step:  # a kill may have come before this was written
            self.processes.on_first(lambda: self.checkpoints.save_best(self.state.model))
        if self.config.patience is not None and best.step:
            best.weights = self.processes.on_first(self.checkpoints.load_best)
            check_shapes(best.weights, self.state.model.state_dict())


def _by_todays_names(settings: dict) -> dict:
    """Return settings as they are called now; a checkpoint may be of an earlier version."""
    return {_RENAMED.get(name, name): value for name, value in settings.items()}


def _check_rows(rows: list) -> None:
    """Raise ValueError unless these are the rows of a run from its first step on."""
    for row, before in zip(rows, [None, *rows], strict=False):
        check_row(row, before)
    if [row["step"] for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError("its history is not whole")
    if not (rows and rows[0].keys() >= COLUMNS and rows[-1]["characters"] is not None):
        raise ValueError("its history has not all columns")


def sketch(weights: dict[str, Tensor]) -> dict[str, list[float]]:
    """Return of each weight its norm, and its product with a fixed wave: every number counts.

    It tells one seed from another. A hash would be simpler, but the last bits of new weights
    depend on the processor, and a run may go on on another one.
    """
    sketches = {}
    for name, weight in weights.items():
        flat = weight.detach().cpu().double().flatten()  # (numbers,)
        wave = torch.cos(torch.arange(len(flat), dtype=torch.float64))  # (numbers,)
        sketches[name] = [flat.norm().item(), (flat @ wave).item()]
    return sketches


def _alike(one: dict[str, list[float]], other: dict[str, list[float]]) -> bool:
    """Say whether two sketches are of the same weights, but for rounding."""
    return one.keys() == other.keys() and all(
        abs(a - b) <= 1e-4 * one[name][0]
        for name in one
        for a, b in zip(one[name], other[name], strict=True)
    )


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of a group, by what follows on its prefix."""
    return {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}


def _random(rank: int) -> str:
    """Return the name in a checkpoint of a process's random states."""
    return f"random{rank or ''}"


@cache
def _defaults() -> dict:
    """Return the settings of a run that need not be given, as JSON has them."""
    arguments = inspect.signature(CharRNN).parameters
    defaults = {n: a.default for n, a in arguments.items() if a.default is not a.empty}
    defaults |= {"dtype": str(torch.float32), "optimizer_options": {}}
    return defaults | {f.name: f.default for f in fields(TrainingConfig) if f.default != MISSING}
