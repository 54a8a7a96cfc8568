"""The check list of chapter 12, which is ticked by what was really done."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import torch

from lstmlib.batching import split
from lstmlib.book_run import kept_plan
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.cleaning import drop_control
from lstmlib.model_card import TrainedBook
from lstmlib.publishing import PublishingError, changed_since
from lstmlib.sources import fingerprint
from lstmlib.vocab import VocabError

WIDE = 1.0
"""Nats: an interval that is wider says nothing of a loss."""
_SECTIONS = {
    **dict.fromkeys(("book", "audit"), "1, Audit"),
    **dict.fromkeys(("text", "cleaning", "vocab"), "2, Cleaning"),
    **dict.fromkeys(("plan", "minutes", "run"), "3, Plan"),
    **dict.fromkeys(("history", "model", "loss"), "4, Training"),
    **dict.fromkeys(("samples", "prompt"), "6, Sampling"),
    **dict.fromkeys(("written", "report"), "7, Report"),
    **dict.fromkeys(("trained", "folder"), "8, Card and folder"),
}
"""What is noted -> the section that makes it."""
_IN_FOLDER = {field.name for field in fields(TrainedBook)} & _SECTIONS.keys() - {"written"}
"""Of these, what the folder is made from. There "written" is how a text was written, in words."""


class _Line(NamedTuple):
    """A line of the list: what is asked for, whether it is done, what was found or is to do."""

    name: str
    done: bool
    said: str


class _Missing(Exception):
    """Something is not done yet; the message says what to do."""


class CheckList:
    """What there is to do between a text and a folder that may be published.

    Nothing is ticked because a cell was run. Each line is looked up in what that cell made: the
    text, the checkpoints on disk, the history, the folder.

    todo = CheckList(lambda: {"title": title, "licence": licence, "language": "", "why": ""})
    todo.note(book=book, audit=found)
    todo.show()

    Args:
        filled_in: returns what the reader filled in, by the names title, licence, language, why. It
            is asked each time, so that a change is seen at once. A name that is missing is empty.
    """

    KNOWN = frozenset(_SECTIONS)
    """The names of what may be noted."""

    def __init__(self, filled_in: Callable[[], dict[str, str]] = dict) -> None:
        self.filled_in = filled_in
        self._made: dict[str, object] = {}
        self._trained: dict[str, int] = {}  # what was written -> steps that were trained before

    def note(self, **made: object) -> None:
        """Keep what a section of the chapter has made.

        Args:
            made: by their names book, audit, text, cleaning, vocab, plan, minutes, run, history,
                model, loss, samples, prompt, written, report, trained, folder.

        Raises:
            TypeError: another name, which no line of the list would ever look at.
        """
        strange = sorted(made.keys() - self.KNOWN)
        if strange:
            raise TypeError(
                f"The list knows no {', '.join(strange)}; it knows {', '.join(_SECTIONS)}."
            )
        self._made.update(made)
        if self._made.get("history") is not None:
            steps = len(self._made["history"])
            self._trained |= dict.fromkeys({"samples", "written"} & made.keys(), steps)

    def check_fresh(self, name: str) -> None:
        """Raise _Missing if the training went on after something was written."""
        if self._trained.get(name) != len(self["history"]):
            section = _SECTIONS[name].partition(",")[0]
            raise _Missing(f"the training went on after that; run section {section} again")

    @property
    def items(self) -> list[_Line]:
        """All lines of the list, each looked up anew."""
        return [self._look_up(name, line) for name, line in _LINES.items()]

    @property
    def left(self) -> tuple[str, ...]:
        """The names of the lines that are not done."""
        return tuple(item.name for item in self.items if not item.done)

    def show(self) -> None:
        """Print the list."""
        items = self.items
        for item in items:
            print(f"[{'x' if item.done else ' '}] {item.name}: {item.said}")
        print(f"{sum(item.done for item in items)} of {len(items)} done")

    def _look_up(self, name: str, line: Callable[["CheckList"], str]) -> _Line:
        try:
            return _Line(name, True, line(self))
        except _Missing as missing:
            return _Line(name, False, str(missing))

    def __getitem__(self, name: str) -> object:
        if self._made.get(name) is None:
            raise _Missing(f"run section {_SECTIONS[name]}")
        return self._made[name]

    def notes_of_run(self) -> dict:
        """Return what the newest checkpoint of the run says of it."""
        try:
            loaded = Checkpoints(Path(self["run"]), self["vocab"]).load()
        except CheckpointError as error:
            raise _Missing(f"the checkpoints cannot be read: {error}") from error
        if loaded is None:
            raise _Missing("there is no checkpoint yet; run section 4, Training")
        return loaded[1]


def _read(list_: CheckList) -> str:
    book, audit = list_["book"], list_["audit"]
    if audit.sha256 != book.sha256:
        raise _Missing("the audit is of another text; run section 1 again from its first cell")
    return f"{len(book.text):,} characters, {len(audit.verdict)} findings"


def _cleaned(list_: CheckList) -> str:
    text, report = list_["text"], list_["cleaning"]
    whole = report.before.characters == len(list_["book"].text)
    if not (whole and report.after.characters == len(text) and drop_control(text) == text):
        raise _Missing("the clean text is not of this book; run section 2 again")
    return f"{len(text):,} characters are left, {report.after.distinct:,} distinct"


def _apart(list_: CheckList) -> str:
    try:
        train, valid = split(list_["vocab"].encode(list_["text"]))
    except VocabError as error:
        raise _Missing("the vocabulary is of another text; run section 2 again") from error
    if list_.notes_of_run()["texts"] != fingerprint(train, valid):
        raise _Missing("the run was on other texts; hand fit the two parts that split returned")
    return f"the checkpoint is of a run on the first {len(train):,} characters"


def _planned(list_: CheckList) -> str:
    plan, run = list_["plan"], Path(list_["run"])
    try:
        kept = kept_plan(run, list_["text"], list_["vocab"], list_["minutes"])
    except (CheckpointError, ValueError) as error:
        raise _Missing(str(error)) from error
    settings = list_.notes_of_run()["settings"]
    agreed = {"steps": plan.training.steps, **plan.model}
    if kept != plan or any(settings.get(name) != value for name, value in agreed.items()):
        raise _Missing("the run does not follow the plan; train with plan.model and plan.training")
    return f"{plan.loss:.2f} nats per character, {plan.low:.2f} to {plan.high:.2f}"


def _trained(list_: CheckList) -> str:
    history = list_["history"]
    if history.ended not in ("all steps", "early"):
        steps = list_["plan"].training.steps
        raise _Missing(
            f"stopped after {len(history):,} of {steps:,} steps; run the cell of the training "
            "again, it goes on"
        )
    return f"{len(history):,} steps"


def _explained(list_: CheckList) -> str:
    loss, plan = list_["loss"], list_["plan"]
    inside = plan.low <= loss <= plan.high
    if inside and plan.high - plan.low <= WIDE:
        return f"{loss:.2f} is inside"
    side = "below" if loss < plan.low else "above"
    if inside:
        side = "inside, but of an interval so wide that it says nothing"
    why = list_.filled_in().get("why", "").strip()
    if not why or not math.isfinite(loss):
        raise _Missing(
            f"{loss:.2f} is {side if inside else f'{side} the interval'}; write into why what you "
            "think the cause is"
        )
    return f"{loss:.2f} is {side}, and explained"


def _finite(list_: CheckList) -> str:
    history, model = list_["history"], list_["model"]
    if history.skipped:
        raise _Missing(f"{history.skipped} steps were not finite; chapter 06 says what to do")
    if not all(torch.isfinite(weight).all() for weight in model.parameters()):
        raise _Missing("a weight is not finite; train again, as chapter 06 says")
    return "every loss, gradient and weight is finite"


def _sampled(list_: CheckList) -> str:
    samples, prompt = list_["samples"], list_["prompt"]
    list_.check_fresh("samples")
    whole = [
        text for text in samples.values() if text.startswith(prompt) and len(text) > len(prompt)
    ]
    if not samples or len(whole) < len(samples):
        raise _Missing("a sample is empty, or does not begin with the prompt; run section 6 again")
    return f"{len(samples)} texts"


def _looked_at(list_: CheckList) -> str:
    report, written, text = list_["report"], list_["written"], list_["text"]
    list_.check_fresh("written")
    if f" {len(written):,} characters" not in report.texts[0]:
        raise _Missing("the report is of another text; run section 7 again")
    if not report.passages:
        return "nothing of 10 characters or more was copied"
    longest = report.passages[0]
    copied = written[longest.start : longest.start + longest.length]
    if copied not in text:
        raise _Missing("the report is of another training text; run section 7 again")
    return f"the longest copied passage has {longest.length:,} characters"


def _licensed(list_: CheckList) -> str:
    licence = list_.filled_in().get("licence", "").strip()
    if not any(map(str.isalpha, licence)):
        raise _Missing("not stated; write into licence what you know of the text's rights")
    return licence


def _published(list_: CheckList) -> str:
    folder, made = list_["folder"], list_._made
    parts = {name: made[name] for name in _IN_FOLDER & made.keys()}
    now = replace(list_["trained"], **parts, **list_.filled_in())
    try:
        changed = changed_since(folder, now)
    except (PublishingError, ValueError) as error:
        raise _Missing(f"{error}") from error
    if changed:
        names = ", ".join(name.partition(".")[0].replace("_", " ") for name in changed)
        raise _Missing(f"the folder was written with another {names}; run section 8 again")
    return "whole, and as it would be written now"


_LINES: dict[str, Callable[[CheckList], str]] = {
    "text read and audited": _read,
    "text cleaned": _cleaned,
    "validation part untouched": _apart,
    "planned before training": _planned,
    "trained to the end": _trained,
    "loss inside the interval, or explained": _explained,
    "nothing infinite, no NaN": _finite,
    "samples written": _sampled,
    "memorisation looked at": _looked_at,
    "licence stated": _licensed,
    "folder written": _published,
}
"""The lines of the list, in order: the name, and the look at what was done."""
