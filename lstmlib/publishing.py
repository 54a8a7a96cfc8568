"""A folder ready to publish: model, card, explorer page, report and settings.

It is written whole or not at all, and a second time into the same folder does not mix two models.
"""

import copy
import hashlib
import json
import os
import platform
import shutil
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
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if settings["format"] != _FORMAT:
            raise ValueError("it is of another format")
        expected = settings["files"]
        found = {path.name for path in folder.iterdir()} - {SETTINGS, *_LEFT_BY_SYSTEMS}
        wrong = sorted(found ^ expected.keys())
        wrong += [n for n in expected if n in found and _digest(folder / n) != expected[n]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise PublishingError(
            f"{folder} is no published folder that is whole ({error}). Publish it again."
        ) from error
    if wrong:
        raise PublishingError(
            f"{folder} is not as it was published: {', '.join(wrong[:5])} is missing, changed or "
            "strange to it. Publish it again into another folder."
        )
    return settings


def _write(stage: Path, trained: TrainedBook) -> None:
    """Write all files into a folder of their own."""
    save_model(stage / MODEL, trained.model, trained.vocab)
    texts = {CARD: model_card(trained), PAGE: _page(trained), REPORT: trained.report.html()}
    for name, text in texts.items():
        _write_text(stage / name, text)
    files = {name: _digest(stage / name) for name in (MODEL, *texts)}
    _write_text(stage / SETTINGS, json.dumps(_settings(trained) | {"files": files}, indent=1))


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
        "why": trained.why,
        "text_sha256": trained.book.sha256,
        "clean_text_sha256": sha256(trained.text),
        "files_read": [asdict(part) for part in trained.book.parts],
        "cleaning": [step.name for step in trained.cleaning.steps],
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
    try:
        check_published(folder)
    except PublishingError as error:
        raise PublishingError(
            f"{folder} is not empty, and not as `publish` wrote it. Move it away or choose another "
            f"folder, so that nothing of yours is lost. ({error})"
        ) from error


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
