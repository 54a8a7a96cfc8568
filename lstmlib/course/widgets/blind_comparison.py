"""A panel that shows two texts without their names, and keeps which one its reader prefers."""

import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from reprlib import repr as short
from typing import NamedTuple

import ipywidgets
import numpy as np

from lstmlib.course.widgets.controls import Panel, row_of
from lstmlib.course.widgets.rendering import as_html
from lstmlib.preferences import Choice, rank
from lstmlib.runtime import output_folder
from lstmlib.serialization import atomic_write
from lstmlib.validation import check_whole, is_whole

ENOUGH = 10
"""Choices before there is a ranking."""
_LONG = 1500
"""Characters from which on a text may have to be scrolled, and can be reached by the Tab key."""


class BlindComparison(Panel):
    """A panel that shows two texts of two different names as A and B, and asks for the better one.

    The reader presses a button, or types a, b or c into the field beside the buttons, and sees the
    next two. Each pair of names is shown about as often as each other one, A and B are in random
    order, and a text is shown again only after all texts of its name. From ten choices on, the
    reader may see the ranking, which uncovers the names.

    Choices are kept on this machine alone, in a file with a line for each, and the panel goes on
    from this file after the kernel was restarted. A pair that was passed, as one cannot say, is no
    choice: after a restart it may come again. A line is

        {"preferred": name, "other": name, "texts": [index, index], "place": which was left}

    with the index of the preferred text, then of the other one, and "preferred" or "other". A last
    line that was cut off is not counted, and a message says so. Where nothing can be written, the
    panel says that choices are not kept, and goes on without.

    Args:
        texts: name -> its texts; two names or more, one text or more of each.
        keep: the file of the choices; choices.jsonl in `output_folder()` if None.
        seed: of the order in which the texts are shown.

    Attributes:
        prefer_a, prefer_b, cannot_say, undo, show_ranking, start_again, yes, no: the buttons;
            `yes` and `no` are seen when `start_again` asks.
        key: the field for a, b or c.
        texts: two ipywidgets.HTML, A and B.
        progress, message, ranking: ipywidgets.HTML with the number of choices and where they are
            kept, what went wrong, and the ranking once it was asked for.
        names: the names, in the order of `texts`.
        path: of the file, or None.

    Raises:
        ValueError: fewer than two names, no text of a name, or something that is no text; or the
            file cannot be read, or its choices are not between these texts. It stays as it is.
    """

    def __init__(
        self,
        texts: Mapping[str, Sequence[str]],
        keep: str | Path | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        with self._building():
            self._build(texts, keep, seed)

    def _build(
        self, texts: Mapping[str, Sequence[str]], keep: str | Path | None, seed: int
    ) -> None:
        """Read the choices that are kept, make the controls, and show the first pair."""
        self._all_texts, self.names = _checked(texts), list(texts)
        self.seed = check_whole("seed", seed, at_least=0)
        self._passed, self._unwritten, self._not_kept = [], [], ""
        self.path = self._place(keep)
        self.message, self.progress, self.ranking = (ipywidgets.HTML() for _ in range(3))
        self._records, broken = self._read()
        self.prefer_a = _button("I prefer A", lambda: self._prefer(0))
        self.prefer_b = _button("I prefer B", lambda: self._prefer(1))
        self.cannot_say = _button("Cannot say, another pair", self._pass)
        self.undo = _button("Undo the last choice", self._undo)
        self.show_ranking = _button("", self._rank)
        self.start_again = _button("Start again", self._ask)
        self.yes, self.no = _button("", self._start_again), _button("No, go on", self._show)
        self.key = ipywidgets.Text(
            description="Or type",
            placeholder="a, b, or c: cannot say",
            layout={"width": "18em", "max_width": "98%"},
            style={"description_width": "4.5em"},
        )
        self.key.observe(lambda change: self._typed(change["new"]), "value")
        self.texts = ipywidgets.HTML(), ipywidgets.HTML()
        self._question = row_of(self.yes, self.no)
        self._pair = self._draw()
        self._show()
        if broken:
            self._say(_cut_off(self.path))
        columns = [
            ipywidgets.VBox(pair, layout={"flex": "1 1 18em", "padding": "0 0.7em 0 0"})
            for pair in zip((self.prefer_a, self.prefer_b), self.texts, strict=True)
        ]
        self.children = [
            self.progress,
            ipywidgets.HBox(columns, layout={"flex_flow": "row wrap"}),
            row_of(self.cannot_say, self.key),
            row_of(self.undo, self.show_ranking, self.start_again),
            self._question,
            self.message,  # down here, so that it moves no button
            self.ranking,
        ]

    def _description(self) -> str:
        return f"{len(self.names)} names"

    @property
    def choices(self) -> list[Choice]:
        """The choices so far, by the numbers of the names."""
        return [_numbers(record, self.names) for record in self._records]

    # What the reader does

    def _prefer(self, place: int) -> None:
        """Keep that the reader prefers A (0) or B (1), and show the next pair."""
        (preferred, other), texts = self._pair.names, self._pair.texts
        if place:
            preferred, other, texts = other, preferred, texts[::-1]
        record = _Record(preferred, other, texts, "other" if place else "preferred")
        self._records.append(record)
        self._unwritten.append(record)
        self._write()
        self._pair = self._draw()
        self._show()

    def _pass(self) -> None:
        """Show another pair."""
        self._passed.append(self._pair)
        self._pair = self._draw()
        self._show()

    def _typed(self, typed: str) -> None:
        """Do what a key stands for, and empty the field for the next one."""
        if not typed:
            return
        self.key.value = ""
        key = typed.strip().lower()
        if key == "c":
            self._pass()
        elif key in ("a", "b"):
            self._prefer("ab".index(key))
        elif key:
            self._say(f"{short(typed)} is none of the keys: a, b, or c where you cannot say.")

    def _undo(self) -> None:
        """Take back the last choice, and show its pair again."""
        if not self._records:
            return
        record = self._records.pop()
        if self._unwritten:
            self._unwritten.pop()
        elif self.path:
            self._try(lambda: _take_out(self.path, record), "the choice that you undid is in it")
        self._pair = record.pair
        self._show()

    def _ask(self) -> None:
        """Ask whether all choices shall be deleted."""
        self.yes.description = f"Yes, delete {_count(len(self._records))}"
        self._question.layout.display = None

    def _start_again(self) -> None:
        """Delete all choices, and show the first pair."""
        if self.path:
            self._try(
                lambda: self.path.unlink(missing_ok=True), "the choices that you deleted are in it"
            )
        self._records, self._passed, self._unwritten = [], [], []
        self._pair = self._draw()
        self._show()

    def _rank(self) -> None:
        """Show the ranking, if there are choices enough."""
        if len(self._records) >= ENOUGH:
            self.ranking.value = ranking_table(self.choices, self.names)

    # What the reader sees

    def _draw(self) -> "_Pair":
        """Return the next pair: of the names that met least often, texts that were shown least.

        It depends on nothing but the seed and what was shown before.
        """
        shown = [record.pair for record in self._records] + self._passed
        rng = np.random.default_rng([self.seed, len(shown)])
        met = Counter(frozenset(pair.names) for pair in shown)
        names = _one_of_the_rarest(
            list(combinations(self.names, 2)), lambda pair: met[frozenset(pair)], rng
        )
        names = names[:: 1 if rng.random() < 0.5 else -1]
        seen = Counter(each for pair in shown for each in zip(*pair, strict=True))
        texts = [
            _one_of_the_rarest(range(len(self._all_texts[n])), lambda i, n=n: seen[n, i], rng)
            for n in names
        ]
        return _Pair(names, tuple(texts))

    def _show(self) -> None:
        """Show the pair, and what can be done now."""
        pieces = zip("AB", self.texts, *self._pair, strict=True)
        for letter, html, name, index in pieces:
            html.value = _text_as_html(self._all_texts[name][index], letter)
        count, enough = len(self._records), len(self._records) >= ENOUGH
        kept = self._not_kept or f"kept in {as_html(str(self.path))}"
        self.progress.value = (
            '<div role="status" style="line-height:1.4;overflow-wrap:anywhere"><b>'
            f"Pair {count + len(self._passed) + 1}: which of the two do you prefer?</b> "
            f"So far {_count(count)}, {kept}.</div>"
        )
        self.show_ranking.description = "Show the ranking" + f" (from {ENOUGH} choices on)" * (
            not enough
        )
        self.show_ranking.disabled, self.undo.disabled = not enough, not count
        self.start_again.disabled = not count
        self._question.layout.display = "none"
        self.ranking.value = self.message.value = ""

    def _say(self, sentence: str) -> None:
        self.message.value = f'<div role="alert"><b>{as_html(sentence)}</b></div>'

    # The file

    def _place(self, keep: str | Path | None) -> Path | None:
        """Return where the choices are kept; note why they are not, if nothing can be written."""
        try:
            path = Path(keep if keep is not None else output_folder() / "choices.jsonl").absolute()
        except OSError as error:
            self._not_kept = _not_kept(error)
            return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Really opened, since permissions do not show a read-only disk. Nothing is changed.
            probe = path if path.exists() else path.with_name(f"{path.name}.{os.getpid()}.part")
            with open(probe, "ab"):
                pass
            if probe != path:
                probe.unlink()
        except OSError as error:
            self._not_kept = _not_kept(error)
        return path

    def _read(self) -> tuple[list["_Record"], bool]:
        """Return the choices in the file, and whether its last line was cut off.

        Raises:
            ValueError: they are not between these texts.
        """
        if self.path is None:
            return [], False
        records, broken = _read(self.path, self.names)
        for record in records:
            for name, index in zip(record[:2], record.texts, strict=True):
                if index >= len(self._all_texts[name]):
                    raise ValueError(
                        f"{self.path} speaks of text {index} of {short(name)}, which has "
                        f"{len(self._all_texts[name])} here; give keep= another file."
                    )
        return records, broken

    def _write(self) -> None:
        """Add what is not written yet to the file."""
        if self.path:
            self._try(lambda: _append(self.path, self._unwritten), "")
            if not self._not_kept:
                self._unwritten = []

    def _try(self, change: Callable[[], None], otherwise: str) -> None:
        """Change the file, or note why it cannot be changed."""
        try:
            change()
            self._not_kept = ""
        except OSError as error:
            self._not_kept = _not_kept(error, otherwise)


class _Pair(NamedTuple):
    """What is shown: the names, left and right, and the indices of their texts."""

    names: tuple[str, str]
    texts: tuple[int, int]


class _Record(NamedTuple):
    """A choice as it is kept."""

    preferred: str
    other: str
    texts: tuple[int, int]
    place: str

    @property
    def pair(self) -> _Pair:
        """The two as they were shown."""
        step = 1 if self.place == "preferred" else -1
        return _Pair((self.preferred, self.other)[::step], self.texts[::step])


def _checked(texts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return name -> texts, or raise ValueError."""
    if not isinstance(texts, Mapping) or not all(isinstance(name, str) for name in texts):
        raise ValueError("The texts must be name -> list of texts, each name a str.")
    if len(texts) < 2:
        raise ValueError(f"There are texts of {len(texts)} names; a comparison needs two or more.")
    checked = {}
    for name, own in texts.items():
        own = list(own) if isinstance(own, Iterable) and not isinstance(own, str) else [None]
        if not all(isinstance(text, str) for text in own):
            raise ValueError(f"The texts of {short(name)} must be a list of str.")
        if not own:
            raise ValueError(f"There is no text of {short(name)}.")
        checked[name] = own
    return checked


def _one_of_the_rarest(
    things: Sequence, times: Callable[[object], int], rng: np.random.Generator
) -> object:
    """Return one of the things that were shown least often."""
    fewest = min(map(times, things))
    rarest = [thing for thing in things if times(thing) == fewest]
    return rarest[rng.integers(len(rarest))]


# What a reader sees


def _button(description: str, act: Callable[[], None]) -> ipywidgets.Button:
    button = ipywidgets.Button(description=description, layout={"width": "auto"})
    button.on_click(lambda _: act())
    return button


def _text_as_html(text: str, letter: str) -> str:
    """Return a text as HTML that shows it as it is, in a box that is as high as most texts need."""
    style = (
        "white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace;line-height:1.4;"
        "border:1px solid #8888;padding:0.5em;min-height:21em;max-height:36em;overflow:auto"
    )
    reached = ' tabindex="0"' if len(text) > _LONG else ""
    inside = as_html(text) if text.strip() else "<i>(nothing but blanks)</i>"
    return f'<div role="region" aria-label="Text {letter}"{reached} style="{style}">{inside}</div>'


def _count(number: int) -> str:
    return f"{number} choice" + "s" * (number != 1)


def _not_kept(error: OSError, otherwise: str = "") -> str:
    """Return as HTML that choices are not kept, and why."""
    reason = error.strerror or str(error)
    more = f"; {otherwise} still, and will be read again after a restart" * bool(otherwise)
    return (
        f"<b>not kept</b> beyond this session, as the file cannot be written ({as_html(reason)})"
        f"{as_html(more)}"
    )


def ranking_table(choices: Sequence[Choice], names: Sequence[str]) -> str:
    """Return the ranking of names by a reader's choices as an HTML table.

    Args:
        choices: between the names' numbers, as `read_choices` returns; at least one.
        names: two or more.

    Raises:
        ValueError: as `lstmlib.preferences.rank`.
    """
    ranking = rank(choices, len(names))
    won = Counter(choice.preferred for choice in choices)
    met = won + Counter(choice.other for choice in choices)
    cell = 'style="text-align:left;padding:0.1em 1em 0.1em 0;overflow-wrap:anywhere"'
    heads = ("name", "score", f"{100 * ranking.level:g} % interval", "preferred")
    rows = ["".join(f'<th scope="col" {cell}>{head}</th>' for head in heads)]
    for i in ranking.order:
        score, low, high = (f"{number:+.2f}".replace("-", "−") for number in ranking.intervals[i])
        values = score, f"{low} to {high}", f"{won[i]} of {met[i]} times"
        cells = "".join(f"<td {cell}>{value}</td>" for value in values)
        rows.append(f'<th scope="row" {cell}>{as_html(names[i])}</th>{cells}')
    return (
        f'<div style="line-height:1.4"><b>The ranking after {_count(len(choices))}</b>'
        f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        "The scores are Bradley and Terry's, with mean 0: a text of a name whose score is higher "
        "by d is preferred with probability 1 / (1 + e<sup>−d</sup>). An interval says how far "
        "another draw of these choices would move a score. It says nothing of other readers, and "
        "is too narrow where one name was preferred every time.</div>"
    )


# The file of choices


def read_choices(path: str | Path, names: Sequence[str]) -> list[Choice]:
    """Return the choices that a reader made in a panel, by the numbers of the names.

    A last line that was cut off, as a kill leaves it, is not counted, and a warning says so. Where
    there is no file, there is no choice.

    Raises:
        ValueError: the file cannot be read, a line is no choice, or is one between other names.
    """
    names = list(names)
    records, broken = _read(Path(path).absolute(), names)
    if broken:
        warnings.warn(_cut_off(path), stacklevel=2)
    return [_numbers(record, names) for record in records]


def _numbers(record: _Record, names: list[str]) -> Choice:
    return Choice(names.index(record.preferred), names.index(record.other))


def _cut_off(path: str | Path | None) -> str:
    return f"The last line of {path} was cut off: this choice is not counted."


def _read(path: Path, names: list[str]) -> tuple[list[_Record], bool]:
    """Return the choices in a file, and whether its last line was cut off.

    Raises:
        ValueError: as `read_choices`.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return [], False
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        raise ValueError(f"{path} cannot be read ({error}).") from error
    lines = list(_lines(data))
    records = []
    for number, (_, parsed) in enumerate(lines, 1):
        if parsed is None and number == len(lines):
            return records, True
        record = _record(parsed)
        if record is None:
            raise ValueError(
                f"Line {number} of {path} is no choice of this panel; give another file."
            )
        strangers = [name for name in record[:2] if name not in names]
        if strangers:
            raise ValueError(
                f"{path} holds choices of {short(strangers[0])}, and the names here are "
                f"{', '.join(map(short, names))}; give another file."
            )
        records.append(record)
    return records, False


def _lines(data: bytes) -> Iterator[tuple[bytes, object]]:
    """Yield the lines that are not blank, and what each says, or None where it is not JSON."""
    for line in data.split(b"\n"):
        if line.strip():
            try:
                yield line, json.loads(line)
            except (ValueError, RecursionError):
                yield line, None


def _record(parsed: object) -> _Record | None:
    """Return a choice as it was kept, or None if it is none."""
    if not isinstance(parsed, dict) or set(parsed) != set(_Record._fields):
        return None
    preferred, other, texts, place = (parsed[name] for name in _Record._fields)
    names = isinstance(preferred, str) and isinstance(other, str) and preferred != other
    indices = isinstance(texts, list) and len(texts) == 2
    if not (names and indices and all(is_whole(i) and i >= 0 for i in texts)):
        return None
    if place not in ("preferred", "other"):
        return None
    return _Record(preferred, other, tuple(texts), place)


def _append(path: Path, records: Sequence[_Record]) -> None:
    """Add choices to a file, whole lines at once; a last line that was cut off makes room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = "".join(json.dumps(record._asdict()) + "\n" for record in records).encode()
    with open(path, "a+b", buffering=0) as file:
        file.seek(0)
        data = file.read()
        lines = list(_lines(data))
        if lines and lines[-1][1] is None:
            data = data[: data.rindex(lines[-1][0])]
            file.truncate(len(data))
        if data and not data.endswith(b"\n"):
            new = b"\n" + new
        if file.write(new) < len(new):
            file.truncate(len(data))
            raise OSError("the disk is full")


def _take_out(path: Path, record: _Record) -> None:
    """Take a choice out of a file: the last one of its kind, if there is one."""
    lines = list(_lines(path.read_bytes())) if path.exists() else []
    places = [k for k, (_, parsed) in enumerate(lines) if _record(parsed) == record]
    if places:
        del lines[places[-1]]
        kept = [line + b"\n" for line, parsed in lines if parsed is not None]
        atomic_write(path, b"".join(kept))
