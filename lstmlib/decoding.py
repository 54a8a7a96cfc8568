"""Bytes -> text, by what the bytes themselves show; a declared encoding is weighed, not trusted.

What decides, in this order: a byte-order mark; the bytes, if they are UTF-8 or very nearly so; the
encoding that is declared, if it fits the bytes; a guess. Whatever is not certain is said in a
warning.

Nothing outside Python's own library is imported until UTF-8 fails, so that a machine with nothing
but PyTorch reads UTF-8 too.
"""

import codecs
import re
import sys
import warnings
from typing import NamedTuple

_BOMS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_WITHOUT_MARK = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_NO_TEXT = re.compile(r"[\0-\x08\x0e-\x1f\x7f\ufffe\uffff]")
# Browsers give these names to the larger encodings that were in use under them.
_LARGER = {"shift_jis": "cp932", "euc-kr": "cp949", "gbk": "gb18030", "big5": "big5hkscs"}
# What switches ISO-2022-JP, all of whose bytes are ASCII, to Japanese.
_SEVEN_BIT = re.compile(rb"\x1b\$[@B]")
# What texts are in that do not say so. Of more, a guess at a short text makes any.
_GUESSED = [
    *(f"cp125{k}" for k in range(9)),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "cp437", "cp850", "cp866", "cp874"),
    *("iso8859_2", "iso8859_15", "koi8_r", "koi8_u", "mac_roman"),
]
_EAST_ASIAN = {"gb18030", "big5", "big5hkscs", "cp932", "euc_jp", "cp949"}
SAMPLE = 2**16
"""Bytes that a guess looks at."""


class CorpusError(Exception):
    """A corpus could not be had; the message says what was wrong and what to do next."""


class CorpusUnavailable(CorpusError):
    """The corpus is neither on disk nor to be downloaded now."""


def warn(message: str) -> None:
    """Warn at the line outside lstmlib that asked for a text."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("lstmlib."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def decode(data: bytes, name: str, declared: str | None = None) -> tuple[str, str]:
    """Decode the bytes of a text whose encoding nobody gave.

    Args:
        data: the bytes.
        name: what messages call them, such as the file's path.
        declared: the encoding that the text itself states, None if it states none.

    Returns:
        (text, the encoding it was decoded from); a byte-order mark is not part of the text.

    Raises:
        CorpusError: no text, or in no encoding that could be recognised.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _decode_marked(data, encoding, name), encoding
    if b"\0" in data:
        return _decode_wide(data, name)
    if data.isascii() and _SEVEN_BIT.search(data):
        declared = "iso-2022-jp"
        return _decode_as_declared(data, name, declared) or _decode_by_guess(data, name, declared)
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        found = _decode_leniently(data, "utf-8")
        if found.convinces:
            _warn_of_broken(data, "utf-8", found, name)
            return found.text, "utf-8"
    return _decode_as_declared(data, name, declared) or _decode_by_guess(data, name, declared)


def decode_as(data: bytes, encoding: str, name: str) -> tuple[str, str]:
    """Decode the bytes of a text in the encoding that the caller knows: (text, encoding).

    UTF-8 with a few broken places is read as `decode` reads it.

    Raises:
        CorpusError: Python does not know the encoding, or the bytes are not in it.
    """
    try:
        return data.decode(encoding), encoding
    except UnicodeError as error:
        if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
            found = _decode_leniently(data, "utf-8")
            if found.convinces:
                _warn_of_broken(data, "utf-8", found, name)
                return found.text, encoding
        raise CorpusError(
            f"{name} does not decode as {encoding}: {error}. "
            "Was it cut off? If it is in another encoding, give encoding=…."
        ) from error
    except (LookupError, TypeError, ValueError) as error:  # no name at all, or one with a NUL
        raise CorpusError(
            f"{name}: Python does not know the encoding {encoding!r}. Give the right name as "
            "encoding=…, or save the file as UTF-8."
        ) from error


class _Lenient(NamedTuple):
    """A text decoded in spite of broken places, U+FFFD standing for each that is not at an end.

    Attributes:
        text: the text.
        front: bytes left out at its start, the rest of a character that was cut.
        tail: bytes left out at its end, the beginning of one.
        broken: the number of places that became U+FFFD.
        whole: the number of characters beyond ASCII that are as they should be.
    """

    text: str
    front: int
    tail: int
    broken: int
    whole: int

    @property
    def convinces(self) -> bool:
        """Whether the bytes are in this encoding: of its broken places, one on two whole ones.

        A text in another encoding has more than twice as many places that are broken UTF-8 as it
        has bytes that look like a character of it by chance (Chinese in GBK; elsewhere far more).
        """
        # One byte at the end may be the last letter of another encoding; two or three hardly are.
        only_cut = self.tail > 1 and not self.front and not self.broken
        return self.whole >= max(2 * self.broken, 1) or only_cut


def _decode_leniently(data: bytes, encoding: str) -> _Lenient:
    front = re.match(rb"[\x80-\xbf]{0,3}", data).end() if encoding == "utf-8" else 0
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(data[front:])
    shown = text.count("\ufffd")
    # Some may have stood there before: a mark of someone else's broken places.
    before = data.count("\ufffd".encode()) if encoding.startswith("utf-8") else 0
    whole = len(text) - len(text.encode("ascii", "ignore")) - shown
    return _Lenient(text, front, len(decoder.getstate()[0]), shown - before, whole)


def _decode_marked(data: bytes, encoding: str, name: str) -> str:
    """Decode what begins with a byte-order mark, with a warning where it is broken."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        found = _decode_leniently(data, encoding)
        if 2 * found.broken > len(found.text):
            raise CorpusError(
                f"{name} begins with the byte-order mark of {encoding}, and does not decode as "
                f"that: {error}. Copy it again, or give encoding=… if you know it."
            ) from error
    _warn_of_broken(data, encoding, found, name)
    return found.text


def _warn_of_broken(data: bytes, encoding: str, found: _Lenient, name: str) -> None:
    """Say which bytes are not in the encoding, what became of them, and where they are."""
    said = []
    if found.front:
        said.append(f"its first {found.front} bytes (line 1), the end of a character, are left out")
    if found.broken:
        body = data[found.front : len(data) - found.tail]
        try:
            body.decode(encoding)
        except UnicodeDecodeError as error:
            place = _place(data, found.front + error.start, encoding)
        many = f"{found.broken:,} places, the first" if found.broken > 1 else "one place,"
        said.append(f"{many} at {place}, became U+FFFD")
    if found.tail:
        place = _place(data, len(data) - found.tail, encoding)
        said.append(f"its last character, cut off at {place}, is left out")
    warn(f"{name} is {encoding.removesuffix('-sig')}, but broken: {'; '.join(said)}.")


def _place(data: bytes, offset: int, encoding: str) -> str:
    before = data[:offset].decode(encoding, "replace")
    line = before.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    return f"byte {offset:,} (line {line:,})"


def _decode_wide(data: bytes, name: str) -> tuple[str, str]:
    """Decode UTF-16 or UTF-32 without a mark, with a warning: what else holds NUL is no text."""
    found = []
    for encoding in _WITHOUT_MARK:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _NO_TEXT.search(text):
            # In the wrong order of bytes, a space is another character, and so is a line end.
            found.append((text.count(" ") + text.count("\n"), text, encoding))
    spaces, text, encoding = max(found, default=(0, "", ""))
    if spaces:
        warn(
            f"{name} has no byte-order mark; it is read as {encoding}, since it makes sense as "
            "that. If letters look wrong, give encoding=…."
        )
        return text, encoding
    first = data.index(b"\0")
    raise CorpusError(
        f"{name} is a binary file (it holds NUL bytes, {data.count(0):,}, the first at byte "
        f"{first:,}), or UTF-16 without its mark. Give a .txt, .html or .epub file, or save the "
        "text as UTF-8."
    )


def _codec(label: str) -> str | None:
    """Return Python's name of the encoding that browsers know under a label, None if there is none.

    So ISO-8859-1 and ASCII are Windows-1252, as in the WHATWG Encoding Standard.
    """
    import webencodings

    found = webencodings.lookup(label)
    # UTF-16 declared in letters of one byte each is not true.
    if found is None or found.name.startswith("utf-16"):
        return None
    return _LARGER.get(found.name, found.codec_info.name)


def _decode_as_declared(data: bytes, name: str, declared: str | None) -> tuple[str, str] | None:
    """Decode as declared if the bytes fit; else return None, for a guess."""
    if declared is None:
        return None
    codec = _codec(declared)
    try:
        text = data.decode(codec) if codec else None
    except UnicodeDecodeError:
        text = None
    if text is None or not _is_plausible(data, codec):
        return None
    if "ascii" in declared.lower():
        warn(f"{name} declares {declared}, and holds more; it is read as {codec}, as browsers do.")
    return text, codec


def _is_plausible(data: bytes, codec: str) -> bool:
    """Return whether bytes read as this look like a text, or at least like no other language's."""
    from charset_normalizer import from_bytes

    sample = _sample(data)
    if from_bytes(sample, cp_isolation=[codec]):
        return True
    other = from_bytes(sample, cp_isolation=_GUESSED).best()
    # A language is recognised by its letters' frequencies; Chinese has too many letters for that.
    recognised = other and (other.coherence > 0.2 or other.encoding in _EAST_ASIAN)
    return not (recognised and other.chaos < 0.1)


def _sample(data: bytes) -> bytes:
    """Return bytes that a guess can be made of: the beginning of lines beyond ASCII, if it is long.

    A long English book may hold its first accent behind what a guess looks at.
    """
    if len(data) <= SAMPLE:
        return data
    kept, size = [], 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            at = re.search(rb"[\x80-\xff]", line).start()
            piece = line[max(0, at - 200) : at + 2000]
            kept.append(piece)
            size += len(piece)
            if size > SAMPLE:
                break
    return b"".join(kept)


def _decode_by_guess(data: bytes, name: str, declared: str | None) -> tuple[str, str]:
    """Decode by a guess, and warn; of several that fit, take Windows-1252, the commonest."""
    from charset_normalizer import from_bytes

    matches = from_bytes(_sample(data), cp_isolation=_GUESSED)
    best = matches.best()
    close = [m for m in matches if m.chaos <= best.chaos and m.coherence > best.coherence - 0.2]
    names = {n for m in close for n in (m.encoding, *m.could_be_from_charset)}
    first = ["cp1252"] if "cp1252" in names else []
    last = [] if _NO_TEXT.search(data.decode("latin-1")) else ["cp1252"]
    for encoding in [*first, *(m.encoding for m in matches), *last]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if declared is None:
            states = "does not say its encoding"
        elif _codec(declared) is None:
            states = f"declares the encoding {declared!r}, a name that is not known"
        else:
            states = f"declares the encoding {declared!r}, which does not fit its bytes"
        warn(
            f"{name} {states}; it is read as {encoding}, a guess. "
            "If letters look wrong, give encoding=…."
        )
        return text, encoding
    raise CorpusError(
        f"{name} is in no encoding that could be recognised. If it is text and you know its "
        "encoding, give encoding=…; if it is no text, use another file."
    )
