"""The model card: what it says, where its numbers come from, and that no text can break it."""

import math
import re
from dataclasses import replace

import pytest
import yaml
from trained_book import changed, trained

from lstmlib.book_run import check_up
from lstmlib.books import Book, sha256
from lstmlib.cleaning import CleaningReport
from lstmlib.model_card import licence_fields, model_card
from lstmlib.models import count_parameters
from lstmlib.report import Report
from lstmlib.thermometer import Features, predict_loss


def parts_of(card):
    """Return a card's front matter, and its sections: head -> body."""
    begin, front, body = card.split("---\n", 2)
    assert begin == ""
    sections = re.split(r"^## (.+)$", body, flags=re.M)
    heads, bodies = sections[1::2], sections[2::2]
    return yaml.safe_load(front), dict(zip(heads, bodies, strict=True))


@pytest.mark.slow
def test_every_number_of_the_card_is_the_measured_one():
    book = trained()[0]
    front, sections = parts_of(model_card(book))
    assert front["license"] == "cc0-1.0" and front["pipeline_tag"] == "text-generation"
    assert front["library_name"] == "lstmlib" and "lstm" in front["tags"]
    details, data = sections["Model details"], sections["Training data"]
    assert f"{count_parameters(book.model):,} weights" in details
    assert f"{book.history.rows[-1]['characters']:,} characters in {len(book.history):,}" in details
    assert f"`{book.book.sha256}`" in data and f"`{sha256(book.text)}`" in data
    assert (
        "title: A book" in data
        and f"{len(book.book.text):,} characters from 1 file (utf-8)" in data
    )
    results = sections["Metrics and results"]
    for loss in (book.loss, book.plan.loss, book.plan.five_gram, math.log(len(book.vocab))):
        assert f"| {loss:.3f} |" in results
    assert f"{book.plan.low:.3f} to {book.plan.high:.3f}" in results
    assert "says: it is a test" in results and f"{len(book.history)} steps" in results
    for row in book.report.rows:
        assert row.measure.name in sections["Measures beside held-out text"]
    assert book.samples["τ = 0.5"].rstrip() in sections["Samples"]
    for caveat in book.plan.expected.caveats:
        assert caveat in sections["Caveats"].replace("\\", "")
    for finding in book.audit.findings.values():
        assert " ".join(finding.fact.split()) in sections["Caveats"].replace("\\", "")


ADVICE = (
    r"[Aa]dd texts|[Tt]ake (?:the copies|an)|Keep one|Cut out|cut it off|[Ll]ook (?:for|whether)|"
    r"[Hh]alve|clip lower|[Rr]un the cell|it goes on|yourself|give more|[Ww]rite into|Passed over|"
    r"reading it more often|of the [\d.]+ minutes"
)


def worst():
    """Return a book of which all that can be found was found."""
    book = trained()[0]
    languages = replace(book.audit.languages, parts=("",) * 5, agreeing=0, second="")
    repeats = replace(book.audit.repeats, long=0.6, held_out=0.5)
    audit = replace(book.audit, languages=languages, repeats=repeats, distinct=600, five_gram=6.3)
    audit = replace(audit, marks=((7, "Copyright 1999"),), mark_count=3)
    expected = replace(book.plan.expected, caveats=tuple(every_caveat()))
    rows = [dict(row) for row in book.history.rows]
    rows[1] |= {"skipped": True}
    history = type(book.history)(rows)
    history.ended = "interrupted"
    remarks = ("Passed over: /home/me/secret.pdf is a PDF file. Save its text as .txt first.",)
    read = replace(book.book, remarks=remarks, source="/home/me/books")
    plan = replace(book.plan, expected=expected, read_enough=True)
    return changed(book=read, audit=audit, plan=plan, history=history, licence="", why="")


def every_caveat():
    """Return every sentence that the thermometer has on a text and a training."""
    losses = (0.1,) * 7
    features = Features(2_000, 1, losses, losses, copied=0.5, sampled=True)
    return predict_loss(features, 1_000).caveats


@pytest.mark.parametrize("loss", [0.0, 0.5, 1.0, 9.0])
def test_a_card_holds_facts_for_whoever_gets_the_model_and_no_advice_for_its_trainer(loss):
    book = worst()
    plan = replace(book.plan, expected=replace(book.plan.expected, low=0.4, high=0.6))
    card = model_card(replace(book, plan=plan, loss=loss, samples={"τ = 1": "x"}))
    card = card.replace("\\", "")
    assert not re.search(ADVICE, card), re.search(ADVICE, card)
    assert "/home" not in card and "secret.pdf" not in card
    assert len(book.plan.expected.caveats) == 8 and len(book.audit.findings) == 7
    everything = " ".join(map(str, (*book.audit.verdict, *plan.caveats, check_up(book.history))))
    assert len(re.findall(ADVICE, everything)) > 8
    for fact in ("nearly all of it is repeated", "held-out copies", "not finite: 1.", "Copyright"):
        assert fact in card
    assert "stopped by hand." in card and "do not pass this model on" in card


def test_the_headings_are_those_that_a_reader_of_cards_expects():
    heads = list(parts_of(model_card(trained()[0]))[1])
    assert heads[:3] == ["Model details", "Intended use", "Training data"]
    assert heads[-1] == "Caveats"


def test_memorised_passages_are_shown_or_said_not_to_be_there():
    book = trained()[0]
    body = parts_of(model_card(book))[1]["Memorised passages"]
    assert book.report.passages
    for passage in book.report.passages[:5]:
        assert f"- {passage.length:,} characters" in body
        assert passage.beginning[:100].rstrip() in body
    rule = replace(book.report.passages[0], beginning="-----+----- 12345", length=999)
    report = replace(book.report, passages=(rule, *book.report.passages))
    with_rule = parts_of(model_card(changed(report=report)))[1]["Memorised passages"]
    assert "999 characters" not in with_rule and "1 of rules, digits and blanks" in with_rule
    assert "left out here" not in body
    nothing = Report("", ("",), (), (), book.report.curve, (), "Nothing of it stands there.")
    body = parts_of(model_card(changed(report=nothing)))[1]["Memorised passages"]
    assert "Nothing of it stands there." in body and "```" not in body


@pytest.mark.parametrize("licence", ["", "  \n"])
def test_a_licence_that_is_not_stated_is_said_not_to_be(licence):
    front, sections = parts_of(model_card(changed(licence=licence)))
    assert "license" not in front and "license_name" not in front
    assert "Licence of the text: not stated." in sections["Training data"]
    assert "do not pass this model on" in sections["Training data"]


@pytest.mark.parametrize(
    ("licence", "fields"),
    [
        ("MIT", {"license": "mit"}),
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("the letters are ours", {"license": "other", "license_name": "the letters are ours"}),
        ("", {}),
    ],
)
def test_a_licence_is_written_as_hubs_know_it(licence, fields):
    assert licence_fields(licence) == fields


@pytest.mark.parametrize(
    ("stated", "codes", "words"),
    [
        ("pt-BR", ["pt-BR"], "Portuguese (Brazil) (pt-BR), as stated by whoever trained"),
        ("German, en", ["de", "en"], "German (de) and English (en), as stated"),
        ("Elvish", None, "Elvish (no code is known for this name), as stated"),
    ],
)
def test_a_language_that_is_stated_counts_before_the_one_that_was_found(stated, codes, words):
    languages = replace(trained()[0].audit.languages, second="Finnish")
    audit = replace(trained()[0].audit, languages=languages)
    assert "Finnish" in model_card(changed(audit=audit))
    card = model_card(changed(audit=audit, language=stated))
    front, sections = parts_of(card)
    assert front.get("language") == codes and "Finnish" not in card
    assert f"language: {words}" in sections["Training data"].replace("\\", "")


def test_a_language_that_is_not_stated_is_the_one_that_was_found():
    front, sections = parts_of(model_card(trained()[0]))
    assert front["language"] == ["en"] and trained()[0].stated == ()
    assert "language: English (Latin letters" in sections["Training data"]
    with pytest.raises(ValueError, match='language is "xx"'):
        model_card(changed(language="xx"))


def test_what_cleaning_took_out_is_counted():
    steps = trained()[0].cleaning.steps
    assert "dropped or replaced" not in model_card(changed(cleaning=CleaningReport(steps, {})))
    card = model_card(changed(cleaning=CleaningReport(steps, {"é": 1200, "ß": 3})))
    assert "1,203 characters of 2 kinds, listed in `settings.json`" in card


NASTY = 'A "title": with | bars, <b>tags</b>, `ticks`\n---\n# and # more: [x](y) \\'


def test_no_title_and_no_sample_breaks_the_card():
    samples = {"τ = 1": "The ```` fence\n```\n---\n## Caveats\n"}
    card = model_card(changed(title=NASTY, licence=NASTY, why=NASTY, samples=samples))
    front, sections = parts_of(card)
    assert front["license_name"] == " ".join(NASTY.split())
    assert samples["τ = 1"].rstrip() in card and "`````text\n" in card
    assert next(iter(sections)) == "Model details" and "<b>" not in card.split("---\n", 2)[2]
    table = [line for line in card.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {4, 5}


def test_what_was_sampled_and_what_was_stopped_is_said():
    book = trained()[0]
    sample = ("A sample was taken.",)
    large = replace(book.book, whole=20_000_000, remarks=("a.txt is broken.",), facts=sample)
    history = type(book.history)(book.history.rows)
    history.ended = "interrupted"
    sections = parts_of(model_card(changed(book=large, history=history)))[1]
    assert "(a sample of 20,000,000)" in sections["Training data"]
    assert "A sample was taken." in sections["Training data"]
    assert "a.txt" not in sections["Training data"]
    assert "stopped by hand before its end" in sections["Model details"]
    assert "stopped by hand" in sections["Caveats"]


def test_the_name_of_the_file_stands_for_a_title():
    book = Book("my novel.txt", "x", (), "", (), 1)
    assert changed(title="", book=book).name == "my novel.txt"


def test_a_loss_outside_the_interval_is_said_to_be():
    book = trained()[0]
    high = changed(loss=book.plan.high + 1, why="")
    assert not high.inside and "says:" not in model_card(high)
    assert changed(loss=book.plan.loss).inside


def test_there_is_no_card_of_nothing():
    with pytest.raises(ValueError, match="of a finite one"):
        model_card(changed(loss=math.nan))
    with pytest.raises(ValueError, match="no sample"):
        model_card(changed(samples={}))
