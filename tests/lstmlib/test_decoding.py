import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmlib.decoding import CorpusError, decode, decode_as

FRENCH = "Le garçon est allé à la fenêtre où il était naïve. « Ça va ? »\n"
ENGLISH = "“I can’t,” she said—and didn’t. The mill stood still.\n" * 20
RUSSIAN = "Мама мыла раму, а кошка спала на окне. Ещё «раз».\n"
# Letters that are no ASCII, and none that other encodings write as two characters.
texts = st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=["Cs"]))


def decoded(data, declared=None):
    """Return (text, encoding, what the warnings said)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        text, encoding = decode(data, "a.txt", declared)
    return text, encoding, " ".join(str(w.message) for w in caught)


# UTF-8


@given(texts)
def test_any_text_in_utf8_comes_back(text):
    assert decoded(text.encode()) == (text, "utf-8", "")
    # A mark before nothing announces an empty text.
    assert decoded(text.encode("utf-8-sig")) == (text, "utf-8-sig", "")


@given(st.text("aé“”語🙂", min_size=2), st.data())
def test_cut_anywhere_it_comes_back_but_for_the_cut_character(text, data):
    whole = text.encode()
    start = data.draw(st.integers(0, len(whole)), "start")
    end = data.draw(st.integers(start, len(whole)), "end")
    kept = whole[start:end].decode("utf-8", "ignore")
    if kept.isascii():
        return  # what is left has no character that tells UTF-8 from other encodings
    got, encoding, said = decoded(whole[start:end])
    assert (got, encoding) == (kept, "utf-8")
    cut = len(kept.encode()) < end - start
    assert ("is utf-8, but broken" in said) == cut


@given(st.lists(st.integers(0, 400), min_size=1, max_size=5), st.sampled_from(b"\xe9\x80\xff\xc3"))
def test_a_few_stray_bytes_leave_the_rest_as_it_is(places, byte):
    whole = (ENGLISH * 5).encode()
    for place in sorted(places, reverse=True):
        whole = whole[: 10 * place] + bytes([byte]) + whole[10 * place :]
    got, encoding, said = decoded(whole)
    assert encoding == "utf-8"
    assert "utf-8, but broken" in said
    # Each stray byte may have broken the character that it fell into.
    assert abs(got.count("“") - ENGLISH.count("“") * 5) <= len(places)


def test_the_warning_names_the_place():
    data = "one\r\n“two”\n".encode()
    cut = decoded(data + "…".encode()[:2])
    assert cut[0] == "one\r\n“two”\n"
    assert f"cut off at byte {len(data)} (line 3), is left out" in cut[2]
    front = decoded("’".encode()[1:] + data)
    assert front[0] == "one\r\n“two”\n"
    assert "its first 2 bytes (line 1), the end of a character, are left out" in front[2]
    stray = decoded(data + b"caf\xe9 \n")
    assert stray[0] == "one\r\n“two”\ncaf\ufffd \n"
    assert f"one place, at byte {len(data) + 3} (line 3), became U+FFFD" in stray[2]
    two = decoded(data * 2 + b"\xe9\n\xe9\n")
    assert f"2 places, the first at byte {2 * len(data)} (line 5), became U+FFFD" in two[2]


def test_a_mark_of_someone_elses_is_no_broken_place():
    text = "it broke \ufffd here, and “there”"
    assert decoded(text.encode()) == (text, "utf-8", "")
    got, _, said = decoded(text.encode()[:-1])
    assert got == text[:-1]
    assert "U+FFFD" not in said


def test_two_bytes_of_a_cut_character_tell_enough():
    assert decoded(b"all ASCII " + "…".encode()[:2])[:2] == ("all ASCII ", "utf-8")
    assert decoded(b"Encore du caf\xe9")[:2] == ("Encore du café", "cp1252")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", FRENCH),
        ("cp1252", ENGLISH),
        ("cp1252", "She had £20,000 a year.\n"),
        ("cp1251", RUSSIAN),
        ("koi8_r", RUSSIAN.replace("«", "").replace("»", "")),
        ("cp866", RUSSIAN.replace("«", "").replace("»", "")),
        ("cp932", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"),
        ("euc_jp", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n" * 2),
        ("gb18030", "人工智能是计算机科学的一个分支，它企图了解智能的实质。一二三。\n"),
        ("big5", "人工智慧是電腦科學的一個分支，它企圖了解智能的實質。\n"),
        ("cp949", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.\n"),
        ("cp874", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ\n"),
        ("mac_roman", "Le garçon est allé à la fenêtre où il était naïve. Ça “va” — bien.\n"),
    ],
)
@pytest.mark.parametrize("copies", [1, 3, 50])
def test_other_encodings_are_not_taken_for_broken_utf8(encoding, text, copies):
    data = (text * copies).encode(encoding)
    assert decoded(data)[:2] == (text * copies, encoding)
    assert "a guess" in decoded(data)[2]
    # A declaration that the bytes contradict is weighed, and found wanting.
    for wrong in ("UTF-8", "klingon", "none"):
        got, used, said = decoded(data, wrong)
        assert (got, used) == (text * copies, encoding)
        assert f"declares the encoding '{wrong}'" in said


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [FRENCH, RUSSIAN, "第一章 天下大勢，分久必合\n一二三\n"])
def test_utf16_and_utf32_without_a_mark_are_read_with_a_warning(encoding, text):
    got, used, said = decoded(text.encode(encoding))
    assert (got, used) == (text, encoding)
    assert "has no byte-order mark" in said


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_text_with_a_mark_may_be_cut_too(encoding, cut):
    data = "a line\nnot the end 🙂".encode(encoding)
    got, used, said = decoded(data[:-cut])
    assert (got, used) == ("a line\nnot the end ", encoding)
    assert "(line 2), is left out" in said


# Declarations


@pytest.mark.parametrize(
    ("declared", "data", "text", "encoding"),
    [
        ("ISO-8859-1", b"\x93I can\x92t,\x94 caf\xe9", "“I can’t,” café", "cp1252"),
        ("latin1", b"caf\xe9", "café", "cp1252"),
        ("windows-1251", "Мама".encode("cp1251"), "Мама", "cp1251"),
        ("KOI8-R", "Мама".encode("koi8-r"), "Мама", "koi8-r"),
        ("gb2312", "镕基".encode("gbk"), "镕基", "gb18030"),  # beyond GB 2312, as often
        ("Shift_JIS", "①猫".encode("cp932"), "①猫", "cp932"),
        ("ks_c_5601-1987", "똠방".encode("cp949"), "똠방", "cp949"),
        ("windows-1254", "ığüşöç ĞÜŞİÖÇ".encode("cp1254"), "ığüşöç ĞÜŞİÖÇ", "cp1254"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_names_are_browsers_names(declared, data, text, encoding):
    assert decode(data, "a.txt", declared) == (text, encoding)


def test_japanese_in_seven_bits_is_no_ascii():
    data = "吾輩は猫である".encode("iso2022_jp")
    assert data.isascii()
    assert decoded(data) == ("吾輩は猫である", "iso2022_jp", "")


def test_ascii_with_more_is_said():
    got, used, said = decoded(b"\xa320,000 a year", "ASCII")
    assert (got, used) == ("£20,000 a year", "cp1252")
    assert "declares ASCII, and holds more" in said


@pytest.mark.parametrize("declared", ["ISO Latin-1", "CP-1252", "Codepage 1252", "none", "utf-16"])
def test_an_unknown_name_gives_way_to_a_guess(declared):
    got, used, said = decoded(FRENCH.encode("cp1252"), declared)
    assert (got, used) == (FRENCH, "cp1252")
    assert f"declares the encoding '{declared}', a name that is not known" in said


def test_a_declaration_that_makes_gibberish_gives_way_to_a_guess():
    got, used, said = decoded(RUSSIAN.encode("cp1251"), "ISO-8859-1")
    assert (got, used) == (RUSSIAN, "cp1251")
    assert "declares the encoding 'ISO-8859-1', which does not fit its bytes" in said


def test_utf8_that_declares_another_encoding_is_utf8():
    assert decoded(ENGLISH.encode(), "ISO-8859-1") == (ENGLISH, "utf-8", "")
    assert decoded(ENGLISH.encode()[1:], "ISO-8859-1")[:2] == (ENGLISH[1:], "utf-8")


def test_a_late_accent_decides_on_the_encoding_of_a_long_book():
    text = "Nothing but ASCII stands here.\n" * 30_000 + RUSSIAN * 3
    assert decoded(text.encode("cp1251"))[:2] == (text, "cp1251")


# What is no text, and what the caller knows


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one\0two\0", "holds NUL bytes, 2, the first at byte 3"),
        (bytes(range(128, 256)) * 8 + bytes(range(1, 32)) * 8, "no encoding that could be"),
        (b"\xff\xfe" + b"\x00\xd8" * 9, "begins with the byte-order mark of utf-16"),
    ],
)
def test_what_is_no_text_is_refused(data, message):
    with pytest.raises(CorpusError, match=message):
        decode(data, "a.txt")


@pytest.mark.parametrize("encoding", ["klingon", "a\0b", "hex", "", 3, b"utf-8"])
def test_a_name_that_python_does_not_know_is_refused(encoding):
    with pytest.raises(CorpusError, match="Python does not know the encoding"):
        decode_as(b"abc", encoding, "a.txt")


def test_utf8_that_is_asked_for_may_be_broken_too():
    with pytest.warns(UserWarning, match="cut off at byte"):
        assert decode_as(ENGLISH.encode() + b"\xe2\x80", "UTF8", "a") == (ENGLISH, "UTF8")
    with pytest.raises(CorpusError, match="does not decode as utf-8"):
        decode_as(FRENCH.encode("cp1252"), "utf-8", "a")


def test_the_warning_stands_at_the_callers_line(tmp_path):
    from lstmlib.corpora import load_corpus

    (tmp_path / "a.txt").write_bytes(FRENCH.encode("cp1252"))
    with pytest.warns(UserWarning) as caught:
        decode(FRENCH.encode("cp1252"), "a")
        load_corpus(tmp_path / "a.txt")
    assert [w.filename for w in caught] == [__file__] * 2


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xe9 " * 10**6, None),  # any guess is as good as another
        ("é".encode() * 10**6 + b"\xc3", "é" * 10**6),
        (b" " * 10**6 + b"\xff", None),
    ],
    ids=["guessed", "cut off", "one byte that is none"],
)
def test_megabytes_are_decoded(data, expected):
    """benchmarks/reading.py measures the time."""
    text, _, _ = decoded(data)
    assert expected is None or text == expected
