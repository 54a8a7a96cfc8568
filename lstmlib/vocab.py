"""Characters <-> ids.

Special tokens have the first ids. The characters follow in the order of their code points. So the
same text gives the same ids in every process and on every machine.
"""

import json
import os
import reprlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lstmlib.validation import check_choice, check_ids

PAD, START, END, UNK = ".pad", ".start", ".end", ".unk"
UNKNOWN = ("error", "skip", "unk")


LEAVE_OUT = "Leave it out, or use Vocab.encode with unknown='skip'."
"""What a program can do with a character that is not in the vocabulary."""


class VocabError(ValueError):
    """A character is not in the vocabulary, or the vocabulary itself is not valid."""


class Vocab:
    """A fixed, ordered set of special tokens and characters.

    Args:
        characters: the characters; order and repeats do not matter.
        specials: special tokens such as ".pad", in the order of their ids, from 0.

    Raises:
        VocabError: an entry of characters is not one character; or a special token is not a string
            of two characters or more, occurs twice, or holds half of a surrogate pair.
    """

    def __init__(self, characters: Iterable[str], specials: Iterable[str] = ()) -> None:
        characters, self.specials = _listed("characters", characters), _listed("specials", specials)
        wrong = [c for c in characters if not isinstance(c, str) or len(c) != 1]
        if wrong:
            raise VocabError(f"{_shown(wrong[0])} is not one character.")
        if any(not isinstance(token, str) or len(token) < 2 for token in self.specials):
            raise VocabError("A special token needs two characters or more, such as '.pad'.")
        if any("\ud800" <= c <= "\udfff" for token in self.specials for c in token):
            raise VocabError("A special token holds half of a surrogate pair; spell it in letters.")
        if len(set(self.specials)) != len(self.specials):
            raise VocabError(f"A special token repeats in {_shown(self.specials)}.")
        self.characters = tuple(sorted(set(characters)))
        self.tokens = self.specials + self.characters
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        # Code point -> id, -1 where there is none: (0x110000,). One look-up in it encodes a whole
        # text, and takes far less time than a loop over the characters.
        self._table = np.full(0x110000, -1, dtype=np.int64)
        codes = [ord(c) for c in self.characters]
        self._table[codes] = np.arange(len(self.specials), len(self.tokens))

    @classmethod
    def from_text(cls, text: str, specials: Iterable[str] = ()) -> "Vocab":
        """Return the vocabulary of the distinct characters of a text.

        Raises:
            VocabError: the text is empty, or is no string.
        """
        _check_text(text)
        if not text:
            raise VocabError("The text is empty, so it has no characters to number.")
        return cls(set(text), specials)

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocab) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def __repr__(self) -> str:
        return f"Vocab(characters: {len(self.characters)}, special tokens: {len(self.specials)})"

    def id_of(self, token: str) -> int:
        """Return the id of one character or special token.

        Raises:
            VocabError: it is not in the vocabulary.
        """
        if not isinstance(token, str) or token not in self._ids:
            raise VocabError(f"{_shown(token)} is not in the vocabulary ({self!r}).")
        return self._ids[token]

    def encode(self, text: str, unknown: str = "error") -> np.ndarray:
        """Return the ids of a text's characters, shape (len(text),), int64.

        Args:
            text: any text.
            unknown: "error" raises at a character that is not in the vocabulary. "skip" leaves the
                character out. "unk" gives the id of the special token ".unk".

        Raises:
            VocabError: a character is unknown under "error"; the vocabulary lacks ".unk" under
                "unk"; or the text is no string.
            ValueError: unknown is none of the three words.
        """
        _check_text(text)
        check_choice("unknown", unknown, UNKNOWN)
        # UTF-32 is one number of 32 bits for each character: its code point.
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        ids = self._table[codes]
        missing = ids < 0
        if not missing.any():
            return ids
        if unknown == "skip":
            return ids[~missing]
        if unknown == "unk":
            ids[missing] = self.id_of(UNK)
            return ids
        strangers = sorted({text[i] for i in np.flatnonzero(missing)})
        shown = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in strangers[:5])
        more = f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""
        raise VocabError(
            f"Not in the vocabulary: {shown}{more}, first at position {int(missing.argmax())}. "
            + LEAVE_OUT
        )

    def frame(self, text: str, unknown: str = "error") -> np.ndarray:
        """Return the ids of `.start`, a text and `.end`, (len(text) + 2,) int64.

        Args:
            text: any text; it may be empty.
            unknown: as for `encode`.

        Raises:
            VocabError: as `encode`, or the vocabulary lacks `.start` or `.end`.
        """
        start, end = self.id_of(START), self.id_of(END)
        return np.concatenate([[start], self.encode(text, unknown), [end]])

    def decode(self, ids: Iterable[int], keep_specials: bool = True) -> str:
        """Return the text of ids.

        Args:
            ids: integers in any shape; they are read row by row.
            keep_specials: whether special tokens are spelled out. If not, they are left out.

        Raises:
            VocabError: an id is outside the vocabulary, or is no integer.
        """
        try:
            ids = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids))
        except (TypeError, ValueError) as error:
            raise VocabError(f"ids must be integers in rows, not {_shown(ids)}.") from error
        check_ids("ids", ids, len(self), VocabError)
        ids = ids.astype(np.int64, copy=False)
        if not keep_specials:
            ids = ids[ids >= len(self.specials)]
        return "".join(self.tokens[i] for i in ids.ravel())

    def to_json(self) -> str:
        """Return the vocabulary as JSON, which `from_json` turns back into an equal one.

        The characters stand in one string. Two halves of a surrogate pair that met in it would be
        read back as one character. In that case the characters stand in a list.
        """
        characters = "".join(self.characters)
        if json.loads(json.dumps(characters)) != characters:
            characters = self.characters
        return json.dumps({"specials": self.specials, "characters": characters})

    @classmethod
    def from_json(cls, text: str) -> "Vocab":
        """Return the vocabulary of a JSON text that `to_json` wrote.

        Raises:
            VocabError: the text is anything else.
        """
        try:
            data = json.loads(text)
            characters, specials = data["characters"], data["specials"]
        # RecursionError: too deep. ValueError: too long a number, or bytes that are no text.
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise VocabError("This is not a vocabulary as Vocab.to_json writes it.") from error
        if not isinstance(characters, (str, list)) or not isinstance(specials, list):
            raise VocabError("This is not a vocabulary as Vocab.to_json writes it.")
        return cls(characters, specials)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as a JSON file."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Vocab":
        """Read a vocabulary that `save` wrote.

        Raises:
            VocabError: the file cannot be read, or holds no vocabulary.
        """
        where = os.path.abspath(path)
        try:
            return cls.from_json(Path(where).read_text(encoding="utf-8"))
        except OSError as error:
            raise VocabError(f"{where} cannot be read: {error.strerror}.") from error
        except ValueError as error:  # VocabError, bytes that are not UTF-8, or NUL in the path
            raise VocabError(f"{where} holds no vocabulary: {error}") from error


def _listed(name: str, tokens: Iterable[str]) -> tuple[str, ...]:
    """Return tokens as a tuple; raise VocabError, with the argument's name, if they are no list."""
    try:
        return tuple(tokens)
    except TypeError as error:
        raise VocabError(f"{name} is {_shown(tokens)}; it must be strings.") from error


def _check_text(text: str) -> None:
    """Raise VocabError unless the argument is a string."""
    if not isinstance(text, str):
        raise VocabError(f"A text is a string, not {type(text).__name__}.")


def _shown(thing: object) -> str:
    """Return a thing as a message shows it, cut where it is long or deep, as in a broken file."""
    return reprlib.repr(thing)
