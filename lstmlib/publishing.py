"""A folder ready to publish: model, card, explorer page, report and settings.

It is written whole or not at all, and a second time into the same folder does not mix two models.
"""

import copy
import hashlib
import json
import os
import platform
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

import lstmlib
from lstmlib.books import sha256
from lstmlib.explorer import explorer_page
from lstmlib.model_card import TrainedBook, model_card
from lstmlib.serialization import save_model

MODEL, CARD, PAGE = "model.safetensors", "README.md", "explorer.html"
REPORT, SETTINGS = "report.html", "settings.json"
_FORMAT = "lstmlib-published-1"
SHOWN = 5
"""The most files of a changed folder that are named."""
_LEFT_BY_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What a look at a folder in macOS or Windows leaves in it."""


class PublishingError(Exception):
    """A folder cannot be written or is not whole; the message says why, and what to do."""


def publish(folder: str | Path, trained: TrainedBook) -> Path:
    """Write a folder that is ready to publish, and return its path.

        model.safetensors  the network, as `load_model` reads it
        README.md          its card, under the name that model hubs read
        explorer.html      a page with the network in it, weights rounded to 16 bits
        report.html        the report on what it wrote
        settings.json      all settings, versions, and the SHA-256 of the other files

    All is written into a folder beside it first, which then takes its name. Where a folder of an
    earlier call stands there, it is replaced.

    Args:
        folder: its parent is made if need be.
        trained: what was done with a book.

    Raises:
        PublishingError: the folder cannot be written, then nothing is changed; or something stands
            there that `publish` did not write.
        ValueError: as `model_card` and `explorer_page`.
    """
    folder = Path(folder).expanduser().absolute()
    _tidy_up(folder)
    _check_free(folder)
    stage = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        stage.mkdir(parents=True)
        _write(stage, trained)
        _put_in_place(stage, folder)
    except OSError as error:
        raise PublishingError(
            f"{folder} could not be written ({error}). Nothing that stood there was changed. Make "
            "room, or choose another folder, and run the cell again."
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return folder


def check_published(folder: str | Path) -> dict:
    """Return the settings of a published folder, if it is whole.

    Raises:
        PublishingError: it is missing, a file of it is missing or changed, or there are others.
    """
    folder = Path(folder)
    settings, fault = _look_at(folder)
    if not settings:
        raise PublishingError(f"{folder} is no published folder: {fault}. Publish it again.")
    if fault:
        raise PublishingError(
            f"{folder} is not as it was published: {fault}. Publish it again into another folder."
        )
    return settings


def changed_since(folder: str | Path, trained: TrainedBook) -> tuple[str, ...]:
    """Return what a published folder holds otherwise than it would if it were published now.

    These are the names of settings, such as "title" or "loss"; where all are as they were, the
    names of files. () is a folder that is up to date.

    Args:
        folder: as `publish` wrote it.
        trained: what was done with the book, as it is now.

    Raises:
        PublishingError: the folder is not whole, or there is no room to write its files anew.
        ValueError: as `publish`.
    """
    settings = check_published(folder)
    # What JSON makes of tuples, it makes of them on both sides.
    now = json.loads(json.dumps(_settings(trained)))
    changed = tuple(name for name, value in now.items() if settings.get(name) != value)
    if changed:
        return changed
    try:
        with tempfile.TemporaryDirectory() as stage:
            files = _write(Path(stage), trained)
    except OSError as error:
        raise PublishingError(f"{folder} could not be compared ({error}). Make room.") from error
    return tuple(name for name, digest in files.items() if settings["files"][name] != digest)


def _look_at(folder: Path) -> tuple[dict, str]:
    """Return the settings of a folder, {} if it is none of ours, and what is wrong with it."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if settings["format"] != _FORMAT:
            raise ValueError("it is of another format")
        expected = settings["files"]
        found = {path.name for path in folder.iterdir()} - {SETTINGS, *_LEFT_BY_SYSTEMS}
        wrong = sorted(found ^ expected.keys())
        wrong += [n for n in expected if n in found and _digest(folder / n) != expected[n]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        return {}, str(error)
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    listed = ", ".join(wrong[:SHOWN]) + more
    return settings, f"{listed} is missing, changed or strange to it" if wrong else ""


def _write(stage: Path, trained: TrainedBook) -> dict[str, str]:
    """Write all files into a folder of their own; return their SHA-256, but for the settings'."""
    save_model(stage / MODEL, trained.model, trained.vocab)
    texts = {CARD: model_card(trained), PAGE: _page(trained), REPORT: trained.report.html()}
    for name, text in texts.items():
        _write_text(stage / name, text)
    files = {name: _digest(stage / name) for name in (MODEL, *texts)}
    _write_text(stage / SETTINGS, json.dumps(_settings(trained) | {"files": files}, indent=1))
    return files


def _page(trained: TrainedBook) -> str:
    """Return the explorer of this network; 16 bits make it half as large."""
    half = copy.deepcopy(trained.model).cpu().half()
    about = f"It was trained on {trained.name}."
    return explorer_page(half, trained.vocab, about, trained.prompt)


def _settings(trained: TrainedBook) -> dict:
    """Return everything that one needs to do the same again."""
    plan = asdict(trained.plan)
    return {
        "format": _FORMAT,
        "title": trained.name,
        "licence": trained.licence,
        "language": trained.language,
        "why": trained.why,
        "text_sha256": trained.book.sha256,
        "clean_text_sha256": sha256(trained.text),
        "files_read": [asdict(part) for part in trained.book.parts],
        "cleaning": [step.name for step in trained.cleaning.steps],
        "vanished": trained.cleaning.vanished,
        "model": trained.model.config,
        "plan": plan,
        "loss": trained.loss,
        "ended": trained.history.ended,
        "steps": len(trained.history),
        "versions": {
            "lstmlib": lstmlib.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _write_text(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tidy_up(folder: Path) -> None:
    """Remove what a call that was killed left behind; put back the folder that it moved away."""
    for left in folder.parent.glob(f".{folder.name}.*.old"):
        if folder.exists():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.rename(folder)
    for left in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(left, ignore_errors=True)


def _check_free(folder: Path) -> None:
    """Raise PublishingError if something stands at the place that `publish` did not write."""
    if not folder.exists():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    settings, fault = _look_at(folder)
    if fault:
        what = f"`publish` wrote it, but {fault}" if settings else "`publish` did not write it"
        raise PublishingError(
            f"{folder} holds something of yours ({what}): move it away or choose another folder, "
            "so that nothing of yours is lost."
        )


def _put_in_place(stage: Path, folder: Path) -> None:
    """Give a whole folder its name; what stood there goes only when that has worked."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    stood = folder.exists()
    if stood:
        folder.rename(old)
    try:
        stage.rename(folder)
    except OSError:
        if stood:
            old.rename(folder)
        raise
    if stood:
        shutil.rmtree(old, ignore_errors=True)
