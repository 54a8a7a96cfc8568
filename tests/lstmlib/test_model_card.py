"""The model card: what it says, where its numbers come from, and that no text can break it."""

import math
import re
from dataclasses import replace

import pytest
import yaml
from trained_book import changed, trained

from lstmlib.books import Book, sha256
from lstmlib.model_card import licence_fields, model_card
from lstmlib.models import count_parameters
from lstmlib.report import Report


def parts_of(card):
    """Return a card's front matter, and its sections: head -> body."""
    begin, front, body = card.split("---\n", 2)
    assert begin == ""
    sections = re.split(r"^## (.+)$", body, flags=re.M)
    heads, bodies = sections[1::2], sections[2::2]
    return yaml.safe_load(front), dict(zip(heads, bodies, strict=True))


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
    for caveat in book.plan.caveats:
        assert caveat in sections["Caveats"].replace("\\", "")
    for finding in book.audit.verdict:
        assert " ".join(finding.split()) in sections["Caveats"].replace("\\", "")


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
    assert "do not publish this folder" in sections["Training data"]


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
    large = replace(book.book, whole=20_000_000, remarks=("A sample was taken.",))
    history = type(book.history)(book.history.rows)
    history.ended = "interrupted"
    sections = parts_of(model_card(changed(book=large, history=history)))[1]
    assert "(a sample of 20,000,000)" in sections["Training data"]
    assert "A sample was taken." in sections["Training data"]
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
