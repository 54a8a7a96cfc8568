"""Which language a text is in: sure, not certain, two of them, or as its reader states it."""

import inspect
import random

import pytest
from own_texts import CHINESE, ENGLISH, GERMAN, RUSSIAN, chinese, sentences

from lstmlib import batching, languages, models, ngram, training
from lstmlib.corpora import load_corpus
from lstmlib.languages import Languages, languages_of, stated_languages


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
    assert str(found).startswith("not certain: English is nearest")
    assert len(languages_of(sentences(ENGLISH, 7_000)).parts) == 4


def test_sure_means_that_four_of_five_parts_agree():
    assert Languages("English", "Latin", 8, ("English",) * 8 + ("",) * 2, "").sure
    assert not Languages("English", "Latin", 7, ("English",) * 7 + ("",) * 3, "").sure


def test_chinese_without_kana_is_not_japanese():
    assert languages_of(CHINESE * 200).main == "Chinese"


def names(count):
    """Return a list of invented names, hundreds of them, a line each."""
    draw, parts = random.Random(0), ["Mar", "Jo", "An", "El", "Ka", "Ro", "Li", "Be", "Te", "Wi"]
    ends = ["ta", "han", "nes", "la", "rin", "bert", "sa", "na", "odor", "lm", "mann", "son"]
    made = [f"{draw.choice(parts)}{draw.choice(ends)}{draw.choice(ends)}" for _ in range(2 * count)]
    return "".join(f"{a} {b}\n" for a, b in zip(made[::2], made[1::2], strict=True))


def table(rows):
    """Return a table of names and numbers, with hundreds of distinct words."""
    draw = random.Random(0)
    return "id,name,city,value\n" + "".join(
        f"{k},{name.lower().replace(' ', ',')},{draw.random():.4f}\n"
        for k, name in enumerate(names(rows).splitlines())
    )


def code():
    """Return code without its comments."""
    source = "".join(inspect.getsource(m) for m in (batching, models, ngram, training))
    lines = [line.partition("#")[0] for line in source.splitlines()]
    return "\n".join(line for line in lines if any(sign in line for sign in "()[]=:"))


NOT_CERTAIN = {
    "a line again and again": (
        "It was a fine day and the sun shone on the town.\n" * 400,
        "only 11",
    ),
    "a page again and again": (sentences(ENGLISH, 300) * 60, "distinct words"),
    "one word": ("tulip rose " * 4000, "only 2 distinct words"),
    "one character": ("家" * 9000, "only 1 distinct characters"),
    "numbers": (" ".join(map(str, range(9000))), "no letters"),
    "names": (names(2000), "as in a list of names"),
    "a table": (table(2000), "digits and signs, as of code or a table"),
    "code": (code(), "digits and signs, as of code or a table"),
}


@pytest.mark.parametrize("name", NOT_CERTAIN)
def test_where_letters_do_not_tell_no_language_is_certain(name):
    text, why = NOT_CERTAIN[name]
    found = languages_of(text)
    assert not found.sure and found.code == "" and not found.second
    assert why in found.doubt and why in str(found) and str(found).startswith("not ")


def test_a_script_of_one_language_tells_it_in_however_few_words():
    for text, main in (("안녕 " * 3000, "Korean"), ("ねこ " * 3000, "Japanese")):
        assert languages_of(text).main == main and languages_of(text).sure


def test_another_script_is_another_language_in_code_as_well():
    comments = "".join(f"x[{k}] = f({k})  # {CHINESE[:30]}\n" for k in range(900))
    found = languages_of(code() * 2 + comments)
    assert "Chinese" in {found.main, found.second} and not found.sure


@pytest.mark.parametrize(
    ("stated", "name", "code"),
    [
        ("de", "German", "de"),
        ("DE", "German", "de"),
        ("German", "German", "de"),
        ("  old   ENGLISH ", "Old English", "ang"),
        ("Deutsch", "German", "de"),
        ("中文", "Chinese", "zh"),
        ("deu", "German", "de"),
        ("pt-BR", "Portuguese (Brazil)", "pt-BR"),
        ("zh_hant_TW", "Chinese (Traditional, Taiwan)", "zh-Hant-TW"),
        ("de-1901", "German (Traditional German orthography)", "de-1901"),
        ("Schwyzerdütsch", "Schwyzerdütsch", ""),
        ("Plattdeutsch (Holstein)", "Plattdeutsch (Holstein)", ""),
    ],
)
def test_a_language_is_stated_by_a_tag_or_a_name(stated, name, code):
    assert stated_languages(stated) == (languages.Stated(name, code),)


def test_several_languages_are_stated_with_commas():
    assert [each.code for each in stated_languages("de, en,")] == ["de", "en"]
    assert stated_languages("") == stated_languages("  ") == ()
    assert str(stated_languages("de")[0]) == "German (de)"
    assert "no code is known" in str(stated_languages("Elvish")[0])


@pytest.mark.parametrize(
    "stated", ["xx", "en-UK", "en-english", "e", "12", "<b>", "de-", "?", "x-y"]
)
def test_what_is_no_language_is_refused_in_one_sentence(stated):
    with pytest.raises(
        ValueError, match=r'^language is ".*", which is neither .* give one of'
    ) as e:
        stated_languages(f"de, {stated}")
    assert f'"{stated}"' in str(e.value)
    with pytest.raises(ValueError, match="^language is None; give a code"):
        stated_languages(None)
