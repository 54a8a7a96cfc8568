"""What all programs of this package share: how a run is configured, resumed, described and written.

A run is a folder with a config.json, written by hand. A program reads it into a frozen dataclass
that checks itself, trains, and writes its results beside it. Started again, it goes on.

    @dataclass(frozen=True)
    class Settings:
        corpus: str
        training: TrainingConfig

    def main(folder: Path) -> None:
        settings = read_settings(folder, Settings)
        ...

    if __name__ == "__main__":
        run_program(main, __doc__, "runs/help-pages")

This module needs only PyTorch, NumPy, tqdm and safetensors; reading a corpus needs more.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, get_type_hints

import numpy as np
import torch

from lstmlib import validation
from lstmlib.batching import split
from lstmlib.checkpoints import CheckpointError, Checkpoints
from lstmlib.cleaning import clean
from lstmlib.decoding import CorpusError
from lstmlib.history import History, TrainingDiverged
from lstmlib.models import CharRNN
from lstmlib.readers import read_book
from lstmlib.serialization import ModelFileError, atomic_write
from lstmlib.vocab import Vocab

Settings = TypeVar("Settings")
NOTES = {"what", "published"}
"""Parts of a config.json that are for its reader alone."""
KINDS = {
    bool: (bool, "true or false"),
    dict: (dict, "an object of names and values"),
    float: ((int, float), "a number"),
    list: (list, "a list"),
    str: (str, "a text"),
}
"""What JSON may hold for a field of each type, and how the messages call it."""
ERRORS = (
    OSError,
    TypeError,
    ValueError,
    FloatingPointError,
    CheckpointError,
    CorpusError,
    ModelFileError,
    TrainingDiverged,
)
"""What a program may run into, with a message that says what to do."""


# Settings


def read_config(folder: Path) -> dict:
    """Return what a folder's config.json holds, without the notes."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError("config.json must hold an object: names, each with its setting.")
    return {name: value for name, value in config.items() if name not in NOTES}


def read_settings(folder: Path, kind: type[Settings]) -> Settings:
    """Return the settings of a folder's config.json.

    Raises:
        ValueError: as `make_settings`.
    """
    return make_settings(kind, read_config(folder), "config.json")


def flat(*names: str) -> dict:
    """Return the metadata of a field whose parts stand in config.json beside the other settings."""
    return {"flat": names}


def make_settings(kind: type[Settings], values: dict, where: str) -> Settings:
    """Return a dataclass of settings.

    Args:
        kind: a dataclass, which checks itself as it is made. A field that is a dataclass as well,
            such as TrainingConfig, is made from an object, or from the names that `flat` gives.
        values: name -> setting, as JSON has them.
        where: what holds them, in words, for the messages.

    Raises:
        ValueError: a name is missing or unknown, or a setting has no meaning.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where} is {values!r}; it must be an object of names and settings.")
    required, allowed = set(), set()
    for each in fields(kind):
        allowed |= set(_names_of(each))
        if each.default is MISSING and each.default_factory is MISSING:
            required |= set(_names_of(each))
    check_names(values, required, allowed, where)
    types, arguments = get_type_hints(kind), {}
    for each in fields(kind):
        if "flat" in each.metadata:
            value = {name: values[name] for name in _names_of(each)}
        elif each.name in values:
            value = values[each.name]
        else:
            continue  # the dataclass has a default
        if is_dataclass(types[each.name]):
            value = make_settings(types[each.name], value, f'"{each.name}"')
        check_type(each.name, value, types[each.name])
        arguments[each.name] = value
    return kind(**arguments)


def as_config(settings: object) -> dict:
    """Return what config.json holds of settings, without those that are at their default.

    This is `make_settings` the other way round, for settings whose parts are objects of JSON.
    """
    config = {}
    for each in fields(settings):
        value, default = getattr(settings, each.name), each.default
        if each.default_factory is not MISSING:
            default = each.default_factory()
        if "flat" in each.metadata:
            config |= value
        elif value != default:
            config[each.name] = value
    return config


def _names_of(each: Field) -> tuple[str, ...]:
    """Return under which names the setting of a field stands in config.json."""
    return each.metadata.get("flat", (each.name,))


def check_type(name: str, value: object, kind: type) -> None:
    """Raise ValueError unless a setting is of its kind; kinds that are not in KINDS all pass."""
    accepted, words = KINDS.get(kind, (object, ""))
    if not isinstance(value, accepted) or (kind is float and isinstance(value, bool)):
        raise ValueError(f"{name} is {value!r}; it must be {words}.")


def check_names(values: Collection[str], required: set[str], allowed: set[str], where: str) -> None:
    """Raise ValueError if a required name is missing, or one is there that is not allowed."""
    if required - set(values):
        raise ValueError(f"{where} lacks {', '.join(sorted(required - set(values)))}.")
    if set(values) - allowed:
        unknown = ", ".join(sorted(set(values) - allowed))
        raise ValueError(f"{where} has {unknown}, which means nothing here: correct or remove it.")


def check_whole(settings: object, *names: str, least: int = 1) -> None:
    """Raise ValueError unless these settings are whole numbers that are not below the least."""
    for name in names:
        validation.check_whole(name, getattr(settings, name), least)


def check_choices(settings: object, choices: dict[str, Collection[str]]) -> None:
    """Raise ValueError unless each of these settings is one of its choices."""
    for name, allowed in choices.items():
        validation.check_choice(name, getattr(settings, name), allowed)


def check_model(arguments: dict) -> None:
    """Raise ValueError unless `CharRNN` takes these arguments beside the size of a vocabulary."""
    try:
        CharRNN(2, **arguments)
    except TypeError as error:
        raise ValueError(
            f'"model" is {arguments}, which CharRNN does not take: {error}.'
        ) from error


def read_variants(
    folder: Path, kind: type[Settings], shared: Collection[str] = ()
) -> dict[str, Settings]:
    """Return the variants of a run: name -> all settings of that variant.

    In config.json, "variants" says of each which settings it changes. What a variant gives for an
    object, such as "training", replaces the object's settings one by one.

    Args:
        folder: with config.json.
        kind: the dataclass of a variant's settings.
        shared: names of settings that no variant may change.

    Raises:
        ValueError: there are no variants, or as `make_settings`.
    """
    config = read_config(folder)
    variants = config.pop("variants", None)
    if not (isinstance(variants, dict) and variants):
        raise ValueError('"variants" must have a name for each variant, with what it changes.')
    make_settings(kind, config, "config.json")
    settings = {}
    for name, changes in variants.items():
        if not isinstance(changes, dict):
            raise ValueError(
                f"Variant {name} is {changes!r}; it must say which settings it changes."
            )
        if set(changes) & set(shared):
            common = ", ".join(sorted(set(changes) & set(shared)))
            raise ValueError(f"Variant {name} changes {common}, which all variants have in common.")
        settings[name] = make_settings(kind, _changed(config, changes), f"Variant {name}")
    return settings


def _changed(config: dict, changes: dict) -> dict:
    """Return a config with changes: those of an object one by one, all others as a whole."""
    merged = {
        name: config[name] | value
        for name, value in changes.items()
        if isinstance(value, dict) and isinstance(config.get(name), dict)
    }
    return config | changes | merged


# Texts


def corpus_text(name: str) -> str:
    """Return the text of a corpus by its name, or of a file by its path, as `load_corpus` does.

    Where lstmlib.corpora cannot be imported, for lack of the packages that it needs, a file is all
    that can be read.

    Raises:
        ValueError: there is no such corpus or file, or it cannot be read here.
    """
    try:
        from lstmlib.corpora import load_corpus
    except ImportError as error:
        if not Path(name).is_file():
            raise ValueError(
                f"There is no file {name}, and no corpus can be read here ({error}): give --text."
            ) from error
        load_corpus = None
    try:
        return load_corpus(name).text if load_corpus else read_book(name)[0]
    except CorpusError as error:
        raise ValueError(str(error)) from error


def load_ids(
    corpus: str, characters: int, ascii_only: bool
) -> tuple[Vocab, np.ndarray, np.ndarray]:
    """Return the vocabulary, training ids and validation ids of the first characters of a corpus.

    Raises:
        ValueError: as `corpus_text`, or the text is too short.
    """
    text = clean(corpus_text(corpus), ascii_only=ascii_only)[0][:characters]
    vocab = Vocab.from_text(text)
    return vocab, *split(vocab.encode(text), 0.1)


def sha256(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


# Resuming


def read_done(folder: Path, settings: dict) -> dict | None:
    """Return the result of a run that is done, or None; its settings are in it, or are part of it.

    Raises:
        ValueError: what is done is a run of other settings.
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    result = read_json(path)
    recorded = result.get("settings", result)
    others = [name for name, value in settings.items() if recorded.get(name) != value]
    if others:
        raise ValueError(
            f"{folder} holds a run of other settings ({', '.join(others)}); delete it to run anew."
        )
    remove_unfinished(folder)  # a kill may have come before this was done
    return result


def note_settings(checkpoints: Checkpoints, settings: dict) -> None:
    """Write what a run is begun with beside its checkpoints, which do not know all of it.

    Raises:
        ValueError: there are checkpoints already, of other settings.
    """
    path = checkpoints.folder / "step-config.json"
    if checkpoints.paths and path.exists() and read_json(path) != settings:
        raise ValueError(
            f"{checkpoints.folder} holds a run of other settings, begun; "
            "delete its step-* files to run anew."
        )
    write_json(path, settings)


def stop_if_interrupted(history: History, folder: Path) -> None:
    """End the program after Ctrl-C; the checkpoint is written."""
    if history.ended == "interrupted":
        raise SystemExit(f"{folder} goes on from step {len(history)} when started again.")


def remove_unfinished(folder: Path) -> None:
    """Remove what a run leaves in its folder only while it trains."""
    for name in ("step-*", "best.safetensors", "*.part"):
        for path in folder.glob(name):
            path.unlink()


# What is written


def describe(device: torch.device) -> str:
    """Return a device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores, {platform.machine()}"


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def rounded(value: object, digits: int) -> object:
    """Round the numbers in nested dicts and lists to so many digits, so that files stay small."""
    if isinstance(value, dict):
        return {name: rounded(entry, digits) for name, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry, digits) for entry in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def read_json(path: Path) -> object:
    """Return what a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all."""
    atomic_write(path, (json.dumps(content, indent=2) + "\n").encode())


def write_texts(path: Path, texts: list[tuple[str, str]]) -> None:
    """Write texts to one file, each under its title."""
    parts = [f"--- {title}\n{text}\n" for title, text in texts]
    atomic_write(path, "\n".join(parts).encode())


# The command


@contextlib.contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End the program with one line after Ctrl-C, or an error that is to be expected."""
    try:
        yield
    except ERRORS as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    except KeyboardInterrupt as error:
        raise SystemExit("Interrupted; the same command goes on.") from error


def run_program(
    program: Callable[..., None],
    doc: str,
    example: str,
    threads: int | None = None,
    options: Mapping[str, dict] = MappingProxyType({}),
) -> None:
    """Run a program on the folder that the command line names.

    Args:
        program: does it all, from a folder and the options by their names.
        doc: the docstring of the program's module; its first line is the help.
        example: a folder that is recorded.
        threads: of PyTorch; None lets the command line say.
        options: what the command line may say beside these: name, such as "--text" -> arguments of
            `argparse.ArgumentParser.add_argument`.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("folder", type=Path, help=f"such as {example}")
    if threads is None:
        parser.add_argument("--threads", type=int, help="threads of PyTorch")
    for name, keywords in options.items():
        parser.add_argument(name, **keywords)
    arguments = vars(parser.parse_args())
    threads = threads or arguments.pop("threads", None)
    if threads:
        torch.set_num_threads(threads)
    with errors_in_one_line():
        program(**arguments)
