"""Texts of the tests' own making, such as a reader may bring: scripts, verse, faults."""

import random
import zipfile
from pathlib import Path

# A word that stands three times is drawn three times as often. Of few words, letters
# are not as frequent as the language has them.
ENGLISH = 3 * (
    "the old man went slowly through the street and thought of the time when he was still young it "
    "had been a fine day and the sun shone on every roof of that little town nobody spoke with him "
    "but he did not feel alone there were other things to be done before night came with its cold "
) + (
    "he had told her that they would see this house where their mother lived as child came door "
    "morning said late she an hour no one who could have shown them which way take then both out "
    "because what wanted most hear wind look at stones shore asked if all world given only laughed"
)
GERMAN = 3 * (
    "der alte Mann ging langsam durch die Straße und dachte an die Zeit als er noch jung gewesen "
    "war es war ein schöner Tag und die Sonne schien auf jedes Dach der kleinen Stadt niemand "
    "sprach mit ihm aber er fühlte sich nicht allein es gab noch andere Dinge die zu tun waren "
) + (
    "er hatte ihr gesagt dass sie Haus sehen würden in dem ihre Mutter als Kind lebte kam Morgen "
    "Tür spät sei schon eine Stunde dort keiner konnte ihnen den Weg zeigen dann gingen beide "
    "Meer weil vor allem Wind hören auf Steine Ufer schauen wollte fragte ob alles was Welt gegeben"
)
RUSSIAN = 3 * (
    "старик медленно шёл по улице и думал о том времени когда он был ещё молод это был прекрасный "
    "день и солнце светило на каждую крышу маленького города никто с ним не говорил но он не "
    "чувствовал себя одиноким были и другие дела которые надо было сделать до холодной ночи "
) + (
    "сказал ей они увидят дом в котором её мать жила ребёнком вот утром она подошла к двери уже "
    "поздно там целый час мог показать им дорогу потом оба вышли морю потому больше всего хотел "
    "слышать ветер смотреть камни берега спросила всё ли дал мир только засмеялся взял за руку"
)
CHINESE = (
    "老人慢慢地走过街道想着自己年轻的时候那是一个美好的日子阳光照在小城的屋顶上没有人和他说话但他并不觉得孤单"
    "天黑以前还有别的事情要做山上有一座庙里住着三个和尚他们每天到河边去挑水后来村里的人修了一条路"
)
EMOJI = "🙂🌧🚲👩‍🚀🏳️‍🌈👍🏽"


def sentences(words: str, characters: int, seed: int = 0) -> str:
    """Return sentences of words drawn at random, ten to a paragraph, so many characters."""
    words = words.split()
    draw, paragraphs, size = random.Random(seed), [], 0
    while size < characters:
        lines = []
        for _ in range(10):
            said = " ".join(draw.choices(words, k=draw.randint(4, 14)))
            lines.append(said[0].upper() + said[1:] + draw.choice(".?!"))
        paragraphs.append(" ".join(lines))
        size += len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs)[:characters] + "\n"


def verse(characters: int, seed: int = 0) -> str:
    """Return stanzas of four short lines."""
    draw, lines, size = random.Random(seed), [], 0
    while size < characters:
        line = " ".join(draw.choices(ENGLISH.split(), k=draw.randint(3, 8))).capitalize()
        lines += [line] if len(lines) % 5 != 3 else [f"{line}.", ""]
        size += len(line) + 1
    return "\n".join(lines) + "\n"


def chinese(characters: int, seed: int = 0) -> str:
    """Return Chinese sentences, with an emoji behind some."""
    draw, parts, size = random.Random(seed), [], 0
    while size < characters:
        said = "".join(draw.choices(CHINESE, k=draw.randint(6, 20)))
        # Some emoji are several code points with a joiner between them.
        marks = ["。", "。", "，", "！" + draw.choice(EMOJI[:3]), "。" + EMOJI[3:6] + "\n"]
        mark = draw.choice(marks)
        parts.append(said + mark)
        size += len(parts[-1])
    return "".join(parts) + "\n"


def many_characters(distinct: int, characters: int, seed: int = 0) -> str:
    """Return a text of so many distinct letters from the block of Han characters."""
    draw = random.Random(seed)
    letters = [chr(0x4E00 + k) for k in range(distinct - 2)]
    weights = [1 / (k + 1) for k in range(len(letters))]  # as words and characters are (Zipf 1949)
    drawn = [*letters, *draw.choices(letters, weights, k=max(characters - len(letters), 0))]
    draw.shuffle(drawn)
    lines = ["".join(drawn[k : k + 30]) + "。" for k in range(0, len(drawn), 30)]
    return "\n".join(lines) + "\n"


def page_again_and_again(times: int = 40) -> str:
    """Return one page, repeated."""
    return sentences(ENGLISH, 2000) * times


def epub(path: Path, body: str, more: dict[str, bytes] | None = None) -> Path:
    """Write an EPUB of one document, and of other members."""
    container = (
        '<?xml version="1.0"?><container version="1.0" '
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
        'full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="2.0">'
        '<manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/></spine></package>'
    )
    page = f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'
    members = {"META-INF/container.xml": container, "book.opf": package, "a.xhtml": page}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        for name, content in (members | (more or {})).items():
            archive.writestr(name, content)
    return path


def protected_epub(path: Path) -> Path:
    """Write an EPUB whose document is named among the encrypted ones."""
    encryption = (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
        'xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:EncryptionMethod '
        'Algorithm="http://www.w3.org/2001/04/xmlenc#aes256-cbc"/><enc:CipherData>'
        '<enc:CipherReference URI="a.xhtml"/></enc:CipherData></enc:EncryptedData></encryption>'
    )
    return epub(path, "<p>x</p>", {"META-INF/encryption.xml": encryption.encode()})
