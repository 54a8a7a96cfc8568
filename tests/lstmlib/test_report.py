"""The report on any text: measures beside those of held-out text, copied passages, the page."""

import random
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from lxml import html

from lstmlib import suffixes
from lstmlib.metrics import Interval, bleu, distinct_n, self_bleu, words
from lstmlib.report import meanings, measure_text, measures, measuring
from lstmlib.report.__main__ import main
from lstmlib.report.copies import CURVE, match_all, novelty_curve
from lstmlib.report.measures import _bleu, _pieces, cut
from lstmlib.report.page import Passage, visible
from lstmlib.suffixes import longest_matches
from lstmlib.two_sample import TwoSampleResult, classifier_test, cut_alike

WORDS = words("the a man house went saw old river of and in to was again never light water")


def guess(real, generated, **options):
    """Stand in for the classifier, which would take most of the time."""
    return TwoSampleResult(0.5, 0.4, 0.6, 0.5, 19)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(measures, "classifier_test", guess)
    monkeypatch.setattr(measures, "HALVES", 2)


def prose(seed, size, vocabulary=WORDS):
    """Return lines of random words, of more than `size` characters."""
    rng, lines = random.Random(seed), []
    while sum(map(len, lines)) < size:
        lines.append(" ".join(rng.choices(vocabulary, k=10)) + ".\n")
    return "".join(lines)


TRAINING, HELD_OUT = prose(1, 6000), prose(2, 3000)
SMALL = {"length": 100, "pieces": 10}


def report_on(generated, training=TRAINING, held_out=HELD_OUT, **options):
    return measure_text(generated, training, held_out, **{**SMALL, **options})


def row(report, name):
    return next(row for row in report.rows if row.measure.name == name)


@pytest.fixture(scope="module")
def copied():
    """A report on text of the same source, with 300 characters of the training text in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "classifier_test", guess)
        patch.setattr(measures, "HALVES", 2)
        own = prose(3, 3000)
        # "<" and "&" around it, so that neither end of the copy goes on by chance.
        return report_on(own[:1000] + "<" + TRAINING[2000:2300] + "&" + own[1000:])


# Values


def test_every_row_says_all_that_it_has_to(copied):
    names = [row.measure.name for row in copied.rows]
    assert len(names) == len(set(names)) == 14
    for each in copied.rows:
        assert all(each.measure[k] for k in (0, 3, 4, 5)) and each.verdict
        assert isinstance(each.generated, Interval)
        low, high = each.generated[1:]
        assert low <= each.generated.value <= high
        assert isinstance(each.held_out, Interval) or each.measure.name.startswith("Accuracy")


def test_values_are_those_of_the_measures_on_the_pieces():
    generated = prose(3, 3000)
    report = report_on(generated)
    texts = measures.Texts(generated, TRAINING, HELD_OUT, TRAINING, False)
    sample = cut(texts, 100, 10, 0)
    assert len(sample.generated) == len(sample.held_out) == 10
    for side, column in ((sample.generated, "generated"), (sample.held_out, "held_out")):
        value = {r.measure.name: getattr(r, column) for r in report.rows}
        mean = np.mean([distinct_n(words(piece), 2) for piece in side])
        assert value["Distinct-2"].value == pytest.approx(mean)
        assert value["Self-BLEU"].value == pytest.approx(self_bleu(side, "words"))
        against = bleu(side, sample.training, "words")
        assert value["BLEU against the training text"].value == pytest.approx(against)
        each = [longest_matches(piece, TRAINING) for piece in side]
        new = np.mean([matches.novelty(20)[-1] for matches in each])
        assert value["Novelty at 20 characters"].value == pytest.approx(new)
        longest = np.mean([matches.lengths.max() for matches in each])
        assert value["Longest copied passage of a piece"].value == longest


def test_pieces_are_as_cut_alike_cuts_them():
    text = "".join(map(chr, range(1000, 3050)))  # no character twice, so a place is a character
    places = [ord(piece[0]) - 1000 for piece in _pieces(text, 100, 8, [0])]
    assert len(places) == 8 and all(b - a >= 100 for a, b in pairwise(places))
    everything = cut_alike([text], [text], 100)[0]
    assert len(_pieces(text, 100, 99, [0])) == len(everything) == 19
    assert _pieces(text, 100, 8, [0]) != _pieces(text, 100, 8, [1])


def test_the_bootstrap_of_bleu_is_over_pieces():
    """One piece is a copy, so draws without it have less."""
    pieces = [TRAINING[:100]] + [prose(k, 100, ["x", "y", "z"])[:100] for k in range(5)]
    sample = measures.Sample(100, 0, pieces, pieces, [TRAINING[:100]], (1000, 1000))
    value, low, high = _bleu(sample)[0]
    assert 0 <= low < value < high < 1


def test_words_are_seen_real_or_invented():
    generated = "the river qqq new. " * 200
    report = report_on(generated, held_out=HELD_OUT + " new new. " * 9)
    names = ("Words that the training text has", "Real words that the training text lacks")
    shares = [row(report, name).generated.value for name in (*names, "Invented words")]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.02)


def test_a_held_out_text_does_not_vouch_for_its_own_words():
    held_out = " ".join(f"w{k}" for k in range(900))
    report = report_on(prose(3, 3000), held_out=held_out)
    assert row(report, "Invented words").held_out.value == 1
    # No piece has a known word, and yet the next one might: the interval has a width.
    known = row(report, "Words that the training text has").held_out
    assert known.value == known.low == 0 < known.high < 0.4


def test_a_difference_is_said_in_words():
    report = report_on("the old man went. " * 300)
    repeated = row(report, "Repetition")
    assert repeated.verdict == "more repetition than held-out text"
    assert repeated.generated.low > repeated.held_out.high
    assert "=> more repetition than held-out text" in report.text()
    assert "<strong>more repetition than held-out text</strong>" in report.html()
    same = report_on(prose(3, 3000))
    assert row(same, "Repetition").verdict == "no difference that the intervals show"


def test_the_classifier_is_asked_about_the_pieces(monkeypatch):
    monkeypatch.setattr(measures, "classifier_test", classifier_test)
    monkeypatch.setattr(measures, "PERMUTATIONS", 19)
    other = report_on(prose(3, 3000, ["zu", "ze", "zi"]))
    accuracy = row(other, "Accuracy of a classifier")
    assert accuracy.generated.value == 1
    assert accuracy.verdict == "told apart from held-out text (p = 0.050)"
    assert "<strong>told apart" in other.html()


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        ((0.9, 0.8, 0.95, 0.01), "told apart from held-out text (p = 0.010)"),
        ((0.6, 0.51, 0.7, 0.2), "not told apart (p = 0.200)"),
        ((0.5, 0.4, 0.6, 0.04), "not told apart (p = 0.040)"),
        ((0.1, 0.0, 0.3, 1.0), "below chance: do the same passages stand in both texts?"),
    ],
)
def test_a_classifier_needs_both_its_interval_and_its_p_value(monkeypatch, result, verdict):
    answer = TwoSampleResult(*result, 19)
    monkeypatch.setattr(measures, "classifier_test", lambda *sides, **options: answer)
    pieces = [prose(k, 100)[:100] for k in range(5)]
    sample = measures.Sample(100, 0, pieces, pieces, pieces, (1000, 1000))
    assert measures._classifier(sample).verdict.startswith(verdict)


@pytest.mark.parametrize(
    ("generated", "held_out", "verdict"),
    [
        ((0.5, 0.4, 0.6), (0.2, 0.1, 0.3), meanings.REPETITION.more),
        ((0.2, 0.1, 0.3), (0.5, 0.4, 0.6), meanings.REPETITION.less),
        ((0.5, 0.3, 0.7), (0.2, 0.1, 0.35), "no difference that the intervals show"),
        ((0.2, 0.1, 0.35), (0.5, 0.3, 0.7), "no difference that the intervals show"),
    ],
)
def test_a_difference_is_one_of_intervals(generated, held_out, verdict):
    both = Interval(*generated), Interval(*held_out)
    assert measures._verdict(meanings.REPETITION, *both) == verdict
    assert measures._verdict(meanings.REPETITION, "too short", both[1]) == "not compared"


def test_the_same_command_gives_the_same_report():
    generated = prose(3, 3000)
    first, second = report_on(generated), report_on(generated)
    assert first.text() == second.text() and first.html() == second.html()
    assert report_on(generated, seed=1).text() != first.text()


# Copied passages


def test_a_copied_passage_has_its_places_in_both_texts(copied):
    first = copied.passages[0]
    assert (first.start, first.length, first.source) == (1001, 300, 2000)
    assert first.source_line == TRAINING[:2000].count("\n") + 1
    assert first.share == 2000 / len(TRAINING)
    assert first.beginning == TRAINING[2000:2300] and first.end == ""
    assert first.before.endswith("<") and first.after.startswith("&")
    assert len(copied.passages) == 10
    lengths = [passage.length for passage in copied.passages]
    assert lengths == sorted(lengths, reverse=True)
    longest = longest_matches(HELD_OUT, TRAINING).lengths.max()
    assert f"stands in the training text has {longest} characters" in copied.yardstick
    for passage in copied.passages:
        assert ("Longer than any" in passage.note) == (passage.length > longest)


def test_a_phrase_that_comes_again_and_again_is_listed_once():
    phrase = TRAINING[2000:2040] + "|"
    report = report_on(phrase * 60 + TRAINING[500:530] + "|" + TRAINING[900:925])
    listed = [(passage.start, passage.length) for passage in report.passages[:3]]
    assert listed == [(0, 40), (60 * 41, 30), (60 * 41 + 31, 25)]


def test_a_long_passage_is_shortened_and_says_by_how_much():
    report = report_on(TRAINING[:2500])
    passage = report.passages[0]
    assert passage.length == 2500
    assert passage.shortened(80) == (
        TRAINING[:60], "[2,420 characters left out]", TRAINING[2480:2500]
    )  # fmt: skip
    assert "[2,420 characters left out]" in report.text()
    assert "[2,100 characters left out]" in report.html()
    short = Passage(0, 1, 90, 0, 1, 0.0, "", "", "x" * 90, "", "")
    assert short.shortened(80) == ("x" * 60, "[10 characters left out]", "x" * 20)
    assert short.shortened(90) == ("x" * 90, "", "")


def test_all_copied_is_said():
    report = report_on(TRAINING)
    assert "All of the generated text stands in the training text" in report.text()
    assert row(report, "Novelty at 40 characters").generated.value == 0
    twice = report_on(TRAINING[3000:] + "|" + TRAINING[:3000])
    assert "Nearly all of the generated text is copied" in twice.text()


def test_training_text_equal_to_the_generated_one_where_its_end_is_held_out():
    report = measure_text(TRAINING, TRAINING, **SMALL)
    assert "All of the generated text stands in the training text" in report.text()
    assert report.passages[0].length == len(TRAINING)


def test_pieces_of_large_texts_give_what_the_whole_gives(monkeypatch):
    text = prose(5, 900) + TRAINING[100:900] + prose(6, 500)
    whole = longest_matches(text, TRAINING)
    monkeypatch.setattr(suffixes, "PIECE", 500)
    monkeypatch.setattr(suffixes, "REACH", 100)
    counts, spans = match_all(text, TRAINING, len(TRAINING))
    assert novelty_curve(counts, len(text)) == pytest.approx(whole.novelty(CURVE))
    assert spans[0] == whole.spans(1)[0] and spans[0].length >= 800


def test_a_copy_out_of_the_held_out_tenth_is_found_but_is_new_to_the_rest():
    training = prose(1, 5400) + "".join(prose(2, 600, ["zu", "ze", "zi"]))
    start = len(training) - 400
    report = measure_text(prose(3, 900) + training[start : start + 300], training, **SMALL)
    assert report.passages[0].source == start
    assert "stands in the part that is held out" in report.passages[0].note
    assert report.curve[0, 39] > 0.2  # the share of the copy
    assert "The last tenth of the training text was held out" in report.text()
    assert "has seen it" in report.text()


def test_a_held_out_text_that_stands_in_the_training_text_is_warned_of():
    within = report_on(prose(3, 3000), held_out=TRAINING[1000:4000])
    assert "Warning: most of the held-out text stands in the training text" in within.text()
    assert "Warning" not in report_on(prose(3, 3000)).text()


def test_a_long_matching_is_announced(monkeypatch):
    said = []
    report_on(prose(3, 900), say=said.append)
    assert not said
    monkeypatch.setattr("lstmlib.report.copies.SECONDS", 0.01)
    report_on(prose(3, 900), say=said.append)
    assert re.fullmatch(r"The matching .*: about \d+ minutes\.", said[0])


# Odd texts


@pytest.mark.parametrize("generated", ["a", "\n", "the", "the old man " * 20])
def test_what_is_too_short_says_how_long_it_would_have_to_be(generated):
    report = report_on(generated)
    assert len(report.rows) == 14
    for each in report.rows:
        needed = 600 if each.measure.name.startswith("Accuracy") else 300
        assert each.generated == (
            f"too short: {len(generated)} characters; at this length of a piece it needs {needed}"
        )
        assert each.verdict == "not compared"
    assert isinstance(row(report, "Repetition").held_out, Interval)
    assert "too short" in report.html()


def test_a_short_held_out_text_leaves_the_generated_one_its_measures():
    report = report_on(prose(3, 3000), held_out="the old house")
    assert isinstance(row(report, "Repetition").generated, Interval)
    assert row(report, "Repetition").held_out.startswith("too short: 13 characters")
    assert "held-out text is too short" in row(report, "Likeness of n-grams").generated
    assert "held-out text is too short" in row(report, "Accuracy of a classifier").generated


@pytest.mark.parametrize(
    "generated",
    [
        "same " * 1000,
        "x" * 3000,
        "\n" * 3000,
        "…—" * 1500,
        prose(1, 3000, ["река", "дом", "свет"]),
        "".join(chr(0x4E00 + k % 500) for k in range(3000)),
        "".join(map(chr, np.random.default_rng(0).integers(0, 256, 3000))),
        "".join(map(chr, np.random.default_rng(0).integers(0xD800, 0xE000, 3000))),
    ],
    ids=["word", "letter", "blank", "no-words", "cyrillic", "chinese", "noise", "surrogates"],
)
@pytest.mark.slow
def test_any_text_gets_a_whole_report(generated):
    report = report_on(generated)
    assert len(report.rows) == 14
    report.text().encode()
    page = html.fromstring(report.html().encode(), parser=html.HTMLParser(encoding="utf-8"))
    assert len(page.xpath("//tbody/tr")) == 28
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f]", report.text() + report.html())


def test_no_copy_is_said_too():
    report = report_on("река " * 600)
    assert not report.passages
    assert "no passage of 10 characters or more stands there" in report.yardstick


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"generated": ""}, "The generated text is empty."),
        ({"training": ""}, "The training text is empty."),
        ({"held_out": ""}, "The held-out text is empty."),
        ({"training": "abc", "held_out": None}, "too short to split"),
        ({"pieces": 0}, "pieces is 0"),
        ({"pieces": -3}, "pieces is -3"),
        ({"pieces": 1}, "pieces is 1"),
        ({"length": 1}, "length is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"pieces": measuring.MOST}, "2,000,000 together"),
    ],
)
def test_bad_arguments_are_refused(change, match):
    asked = {
        "generated": "abc" * 100,
        "training": TRAINING,
        "held_out": HELD_OUT,
        **SMALL,
        **change,
    }
    with pytest.raises(ValueError, match=match):
        measure_text(**asked)


@pytest.mark.parametrize("options", [{"pieces": 3}, {"length": 2}, {"length": 30}])
def test_small_pieces_and_few_of_them(options):
    report = report_on(prose(3, 3000), **options)
    if "pieces" in options:
        assert "needs 5 pieces" in row(report, "Accuracy of a classifier").generated
    if options.get("length") == 30:
        said = "too short: a piece has 30 characters"
        assert row(report, "Novelty at 40 characters").generated == said


# The page


def test_the_page_says_what_the_rows_say(copied):
    page = html.fromstring(copied.html().encode(), parser=html.HTMLParser(encoding="utf-8"))
    heads = page.xpath("//tbody/tr[not(@class)]")
    assert len(heads) == len(copied.rows)
    for tr, each in zip(heads, copied.rows, strict=True):
        said = [cell.text_content().strip() for cell in tr]
        assert said == [each.measure.name, *each.cells(), each.verdict]
        below = tr.getnext().text_content().strip()
        assert below == f"{each.measure.meaning} Blind to: {each.measure.blind}"
    assert [li.text_content() for li in page.xpath("//ul/li")] == list(copied.notes)
    for li, passage in zip(page.xpath("//ol/li"), copied.passages, strict=True):
        assert passage.places in li.text_content()
        assert passage.beginning in li.xpath(".//mark")[0].text_content()
    picture = page.xpath("//*[@role='img']")[0]
    assert "20 characters: generated" in picture.get("aria-label")
    assert len(page.xpath("//polyline")) == 2


def test_the_page_needs_nothing_else(copied):
    page = html.fromstring(copied.html().encode(), parser=html.HTMLParser(encoding="utf-8"))
    assert not page.xpath("//script | //link | //img | //iframe | //@src | //@href")
    assert "url(" not in copied.html() and "@import" not in copied.html()
    assert "prefers-color-scheme: dark" in copied.html() and "@media print" in copied.html()


def test_markup_in_a_text_stays_text():
    nasty = "<script>alert('&amp;')</script></mark><b>\"x\"\x1b[31m\u202e"
    report = report_on(prose(3, 900) + nasty, training=TRAINING + nasty)
    source = report.html()
    page = html.fromstring(source.encode(), parser=html.HTMLParser(encoding="utf-8"))
    assert not page.xpath("//script | //b") and "<script" not in source
    marks = [mark.text_content() for mark in page.xpath("//mark")]
    assert visible(nasty) in "".join(marks)
    for said in (source, report.text()):
        assert "\x1b" not in said and "\u202e" not in said and "␛[31m" in said


# The program


@pytest.fixture
def files(tmp_path):
    for name, text in (("own", prose(3, 1500)), ("book", TRAINING), ("other", HELD_OUT)):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def arguments(files, *more):
    return [str(files / "own.txt"), "--training", str(files / "book.txt"), "--length", "100", *more]


def test_the_program_prints_what_it_writes(files, capsys):
    out = files / "report.html"
    more = ["--held-out", str(files / "other.txt"), "--html", str(out), "--pieces", "10"]
    assert main(arguments(files, *more)) == 0
    said, errors = capsys.readouterr()
    expected = report_on(prose(3, 1500))
    assert said == expected.text() and not errors
    assert out.read_text(encoding="utf-8") == expected.html()


def test_the_training_text_may_be_a_corpus(files, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("lstmlib.report.__main__.measure_text", lambda *a, **k: asked.append(a))
    with pytest.raises(AttributeError):  # nothing is measured here
        main([str(files / "own.txt"), "--training", "python-docs"])
    assert len(asked[0][1]) > 100_000 and asked[0][2] is None


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("absent.txt", None, "is not there"),
        ("", None, "is a folder"),
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b" \n\n", "holds no text"),
        ("noise.txt", bytes(random.Random(0).choices(range(256), k=5000)), ""),
        ("packed.txt", b"%PDF-1.4 ...", "PDF"),
    ],
)
def test_a_file_that_is_no_text_is_one_sentence_and_status_2(files, capsys, name, data, said):
    if data is not None:
        (files / name).write_bytes(data)
    for command in (
        [str(files / name), "--training", str(files / "book.txt")],
        [str(files / "own.txt"), "--training", str(files / name)],
        arguments(files, "--held-out", str(files / name)),
    ):
        assert main(command) == 2
        out, error = capsys.readouterr()
        assert not out and error.count("\n") == 1 and said in error


@pytest.mark.parametrize(
    "more",
    [
        ["--pieces", "0"],
        ["--pieces", "-5"],
        ["--length", "0"],
        ["--html", "absent/report.html"],
        ["--html", "."],
    ],
)
def test_bad_options_are_one_sentence_and_status_2(files, capsys, monkeypatch, more):
    monkeypatch.chdir(files)
    assert main(arguments(files, *more)) == 2
    out, error = capsys.readouterr()
    assert not out and error.count("\n") == 1 and more[0].strip("-") in error


def test_the_module_is_a_program(files):
    command = [sys.executable, "-m", "lstmlib.report", str(files / "absent"), "--training", "x"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2 and not run.stdout
    assert re.fullmatch(r".*absent' is not there\.\n", run.stderr)
