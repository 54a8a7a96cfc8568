"""From bytes to text. A declared encoding is held against the bytes, and not simply trusted.

The first of these decides: a byte-order mark; UTF-8, if the bytes are UTF-8 or very nearly so; the
declared encoding, if it fits the bytes; a guess. A warning reports every doubt.

Until UTF-8 fails, the module imports Python's own library alone. So UTF-8 can be read on a machine
that has nothing but PyTorch.
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
# Pages declare the encoding on the left and use the larger one on the right, which browsers read.
_LARGER = {"shift_jis": "cp932", "euc-kr": "cp949", "gbk": "gb18030", "big5": "big5hkscs"}
# ISO-2022-JP consists of ASCII bytes. This sequence switches it to Japanese.
_SEVEN_BIT = re.compile(rb"\x1b\$[@B]")
# The encodings to guess from. With a longer list, a short text could be taken for almost any.
_GUESSED = [
    *(f"cp125{k}" for k in range(9)),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "cp437", "cp850", "cp866", "cp874"),
    *("iso8859_2", "iso8859_15", "koi8_r", "koi8_u", "mac_roman"),
]
_EAST_ASIAN = {"gb18030", "big5", "big5hkscs", "cp932", "euc_jp", "cp949"}
SAMPLE = 2**16
"""The number of bytes that a guess is made from."""


class CorpusError(Exception):
    """A corpus cannot be loaded; the message says why, and what to do next."""


class CorpusUnavailable(CorpusError):
    """The corpus is not on disk, and cannot be downloaded now."""


def warn(message: str) -> None:
    """Warn at the line outside lstmlib that asked for a text."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("lstmlib."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def decode(data: bytes, name: str, declared: str | None = None) -> tuple[str, str]:
    """Decode the bytes of a text whose encoding the caller does not know.

    Args:
        data: the bytes.
        name: the name of the text in messages, such as the file's path.
        declared: the encoding that the text itself declares; None if it declares none.

    Returns:
        (text, encoding). A byte-order mark is not part of the text.

    Raises:
        CorpusError: the bytes are no text, or their encoding is not recognised.
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
        lenient = _decode_leniently(data, "utf-8")
        if lenient.convinces:
            _warn_of_broken(data, "utf-8", lenient, name)
            return lenient.text, "utf-8"
    return _decode_as_declared(data, name, declared) or _decode_by_guess(data, name, declared)


def decode_as(data: bytes, encoding: str, name: str) -> tuple[str, str]:
    """Decode the bytes of a text whose encoding the caller knows; return (text, encoding).

    UTF-8 with a few broken places is read with a warning, as in `decode`.

    Raises:
        CorpusError: Python does not know the encoding, or the bytes are not in it.
    """
    try:
        return data.decode(encoding), encoding
    except UnicodeError as error:
        if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
            lenient = _decode_leniently(data, "utf-8")
            if lenient.convinces:
                _warn_of_broken(data, "utf-8", lenient, name)
                return lenient.text, encoding
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
    """A text that was decoded in spite of broken places.

    Attributes:
        text: the text. U+FFFD stands for each broken place within it.
        front: number of bytes left out at the start, the rest of a character that was cut off.
        tail: number of bytes left out at the end, the beginning of a character that was cut off.
        broken: number of places that became U+FFFD.
        whole: number of characters beyond ASCII that are not broken.
    """

    text: str
    front: int
    tail: int
    broken: int
    whole: int

    @property
    def convinces(self) -> bool:
        """Whether the bytes are in this encoding: at least two whole characters a broken place.

        Read as UTF-8, a text in another encoding has more than two broken places for each character
        that is whole by chance. Chinese in GBK comes near to two, other encodings have far more.
        """
        # One byte at the end may be the last letter of another encoding. Two or three hardly are.
        only_cut = self.tail > 1 and not self.front and not self.broken
        return self.whole >= max(2 * self.broken, 1) or only_cut


def _decode_leniently(data: bytes, encoding: str) -> _Lenient:
    """Decode bytes in an encoding, whatever is broken in them."""
    front = re.match(rb"[\x80-\xbf]{0,3}", data).end() if encoding == "utf-8" else 0
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(data[front:])
    shown = text.count("\ufffd")
    # The bytes may hold U+FFFD themselves, from an earlier program that found broken places.
    before = data.count("\ufffd".encode()) if encoding.startswith("utf-8") else 0
    whole = len(text) - len(text.encode("ascii", "ignore")) - shown
    return _Lenient(text, front, len(decoder.getstate()[0]), shown - before, whole)


def _decode_marked(data: bytes, encoding: str, name: str) -> str:
    """Decode bytes that begin with a byte-order mark; warn where they are broken."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        lenient = _decode_leniently(data, encoding)
        if 2 * lenient.broken > len(lenient.text):
            raise CorpusError(
                f"{name} begins with the byte-order mark of {encoding}, and does not decode as "
                f"that: {error}. Copy it again, or give encoding=… if you know it."
            ) from error
    _warn_of_broken(data, encoding, lenient, name)
    return lenient.text


def _warn_of_broken(data: bytes, encoding: str, lenient: _Lenient, name: str) -> None:
    """Warn of bytes that are not in the encoding: where they are, and what became of them."""
    damage = []
    if lenient.front:
        damage.append(
            f"its first {lenient.front} bytes (line 1), the end of a character, are left out"
        )
    if lenient.broken:
        body = data[lenient.front : len(data) - lenient.tail]
        try:
            body.decode(encoding)
        except UnicodeDecodeError as error:
            place = _place(data, lenient.front + error.start, encoding)
        many = f"{lenient.broken:,} places, the first" if lenient.broken > 1 else "one place,"
        damage.append(f"{many} at {place}, became U+FFFD")
    if lenient.tail:
        place = _place(data, len(data) - lenient.tail, encoding)
        damage.append(f"its last character, cut off at {place}, is left out")
    warn(f"{name} is {encoding.removesuffix('-sig')}, but broken: {'; '.join(damage)}.")


def _place(data: bytes, offset: int, encoding: str) -> str:
    """Return the words of a message for a place in bytes."""
    before = data[:offset].decode(encoding, "replace")
    line = before.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    return f"byte {offset:,} (line {line:,})"


def _decode_wide(data: bytes, name: str) -> tuple[str, str]:
    """Decode UTF-16 or UTF-32 without a byte-order mark, with a warning.

    Raises:
        CorpusError: the bytes are neither. Other bytes with NUL are no text.
    """
    readings = []
    for encoding in _WITHOUT_MARK:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _NO_TEXT.search(text):
            # Read in the wrong byte order, spaces and line ends become other characters.
            readings.append((text.count(" ") + text.count("\n"), text, encoding))
    spaces, text, encoding = max(readings, default=(0, "", ""))
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
    """Return Python's name of the encoding that browsers read under a label; None if unknown.

    ISO-8859-1 and ASCII are Windows-1252, for example, by the WHATWG Encoding Standard.
    """
    import webencodings

    known = webencodings.lookup(label)
    # A declaration that can be read in bytes of ASCII is not in UTF-16, whatever it declares.
    if known is None or known.name.startswith("utf-16"):
        return None
    return _LARGER.get(known.name, known.codec_info.name)


def _decode_as_declared(data: bytes, name: str, declared: str | None) -> tuple[str, str] | None:
    """Decode as declared; return None where the bytes do not fit, so that a guess follows."""
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
    """Say whether bytes look like a text in this encoding.

    A text that the detector does not know passes too, if no other encoding makes it look like a
    language.
    """
    from charset_normalizer import from_bytes

    sample = _sample(data)
    if from_bytes(sample, cp_isolation=[codec]):
        return True
    other = from_bytes(sample, cp_isolation=_GUESSED).best()
    # Letter frequencies show the language. Scripts of thousands of characters have none to compare.
    recognised = other and (other.coherence > 0.2 or other.encoding in _EAST_ASIAN)
    return not (recognised and other.chaos < 0.1)


def _sample(data: bytes) -> bytes:
    """Return about SAMPLE bytes to guess from.

    Of a long text, these come from lines with bytes beyond ASCII. A long English book may have its
    first accent far behind its beginning.
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
    """Decode by a guess, with a warning. Of several that fit, take the commonest, Windows-1252."""
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
