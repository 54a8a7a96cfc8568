"""Which language a text is in: sure, not sure, two of them."""

import pytest
from own_texts import CHINESE, ENGLISH, GERMAN, RUSSIAN, chinese, sentences

from lstmlib.corpora import load_corpus
from lstmlib.languages import Languages, languages_of


@pytest.mark.parametrize(
    ("text", "main", "script", "code"),
    [
        (sentences(ENGLISH, 40_000), "English", "Latin", "en"),
        (sentences(GERMAN, 40_000), "German", "Latin", "de"),
        (sentences(RUSSIAN, 40_000), "Russian", "Cyrillic", "ru"),
        (chinese(20_000), "Chinese", "Han", "zh"),
        ("오늘은 날씨가 좋아서 산책을 했다 " * 900, "Korean", "Hangul", "ko"),
        ("ひらがなとカタカナと漢字で書いた文章です。" * 900, "Japanese", "Han", "ja"),
    ],
)
def test_one_language(text, main, script, code):
    found = languages_of(text)
    assert (found.main, found.script, found.code) == (main, script, code)
    assert found.sure and not found.second
    assert str(found).startswith(f"{main} ({script} letters; ")


def test_a_real_text_is_english():
    found = languages_of(load_corpus("python-docs").text)
    assert found.main == "English" and found.sure and found.agreeing == len(found.parts) == 20


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize(("words", "name"), [(GERMAN, "German"), (RUSSIAN, "Russian")])
def test_two_languages_one_after_the_other(words, name, share):
    size = 60_000
    first = sentences(ENGLISH, int(size * (1 - share)))
    found = languages_of(first + sentences(words, int(size * share)))
    assert {found.main, found.second} == {"English", name}
    assert str(found).startswith("mixed: ")
    change = [part == "English" for part in found.parts].index(False)
    assert abs(change / len(found.parts) - (1 - share)) < 0.1
    assert found.code in ("", "en" if found.main == "English" else found.code)


def test_languages_of_files_that_take_turns_are_two():
    parts = [sentences(words, 4_000, k) for k in range(5) for words in (ENGLISH, GERMAN)]
    assert {languages_of("".join(parts)).main, languages_of("".join(parts)).second} == {
        "English",
        "German",
    }


def test_a_word_of_another_script_changes_nothing():
    text = sentences(RUSSIAN + " TensorFlow import print", 40_000)
    assert languages_of(text).main == "Russian"


@pytest.mark.parametrize("text", ["", "   ", "12 34, 56! " * 900, "ok"])
def test_what_has_no_language_has_none(text):
    found = languages_of(text)
    assert not found.sure and found.code == "" and not found.second
    assert str(found).startswith("not ")


def test_few_parts_are_never_sure():
    found = languages_of(sentences(ENGLISH, 2_500))
    assert len(found.parts) < 4 and not found.sure
    assert str(found).startswith("not sure: English is nearest")
    assert len(languages_of(sentences(ENGLISH, 7_000)).parts) == 4


def test_sure_means_that_four_of_five_parts_agree():
    assert Languages("English", "Latin", 8, ("English",) * 8 + ("",) * 2, "").sure
    assert not Languages("English", "Latin", 7, ("English",) * 7 + ("",) * 3, "").sure


def test_chinese_without_kana_is_not_japanese():
    assert languages_of(CHINESE * 200).main == "Chinese"
