"""A model card: what a network was trained on, how good it is, what it may be used for.

The headings are those of Mitchell et al. 2019, *Model Cards for Model Reporting*. The card is
Markdown with the YAML front matter that model hubs read. Every number in it comes from what was
measured, and what was not stated is said not to be. It is written for whoever gets the model, so it
holds facts and caveats, and nothing of what the one who trained it could have done.
"""

import json
import math
import re
from dataclasses import dataclass, field

from lstmlib.audit import Audit
from lstmlib.book_run import Checkup, check_up
from lstmlib.books import Book, sha256
from lstmlib.cleaning import CleaningReport
from lstmlib.history import History
from lstmlib.languages import Stated, stated_languages
from lstmlib.models import CharRNN, count_parameters
from lstmlib.report import Report
from lstmlib.thermometer import Plan, verdict_on
from lstmlib.vocab import Vocab

LICENCES = (
    *("mit", "apache-2.0", "bsd-3-clause", "cc0-1.0", "unlicense", "pddl", "gfdl"),
    *("cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "cc-by-nc-4.0"),
    *("cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0"),
)
"""Identifiers that model hubs know. Any other licence is written as "other", with its name."""
PASSAGES = 5
"""The most memorised passages that a card shows."""
EXCERPT = 200
"""The most characters of such a passage."""


@dataclass(frozen=True)
class TrainedBook:
    """All that a card and a published folder are made from: what was done with a book.

    Attributes:
        book: the text as it was read.
        audit: what was measured of it.
        text: the clean text; the network was trained on all but its last tenth.
        cleaning: the report of the cleaning.
        plan: the plan, made before training.
        history: the run.
        model: the trained network, with its best weights.
        vocab: its vocabulary.
        loss: its loss on the last tenth, in nats per character.
        samples: what it wrote: a name such as "τ = 0.5" -> the text, prompt included.
        prompt: what the samples begin with.
        report: the report on a longer text that it wrote, beside held-out text.
        written: how that text was written, in words.
        title: the book's title; the file's name if it is "".
        licence: the licence or the state of the text's rights, as the reader gives it; "" if it is
            not stated.
        language: the text's language, as `stated_languages` reads it; "" for what the audit found.
        why: the reader's own words on a loss outside of the plan's interval; "" if there are none.
    """

    book: Book
    audit: Audit
    text: str = field(repr=False)
    cleaning: CleaningReport = field(repr=False)
    plan: Plan
    history: History = field(repr=False)
    model: CharRNN = field(repr=False)
    vocab: Vocab
    loss: float
    samples: dict[str, str] = field(repr=False)
    prompt: str
    report: Report = field(repr=False)
    written: str = ""
    title: str = ""
    licence: str = ""
    language: str = ""
    why: str = ""

    @property
    def stated(self) -> tuple[Stated, ...]:
        """The languages that the reader states, () if they are as the audit found them.

        Raises:
            ValueError: what is stated is no language.
        """
        return stated_languages(self.language)

    @property
    def name(self) -> str:
        """The title in one line; the book's name if there is no title."""
        return " ".join((self.title or self.book.name).split())

    @property
    def inside(self) -> bool:
        """Whether the loss lies in the interval of the plan."""
        return self.plan.low <= self.loss <= self.plan.high


def model_card(trained: TrainedBook) -> str:
    """Return the card: YAML front matter, and Markdown.

    Raises:
        ValueError: the loss is not a finite number, there is no sample, or what is stated as the
            language is none.
    """
    if not math.isfinite(trained.loss):
        raise ValueError(f"The loss is {trained.loss}; a card is written of a finite one.")
    if not trained.samples:
        raise ValueError("There is no sample. Let the network write before its card is.")
    sections = {
        "Model details": _details(trained),
        "Intended use": _use(trained),
        "Training data": _data(trained),
        "Metrics and results": _results(trained),
        "Samples": _samples(trained),
        "Memorised passages": _memorised(trained),
        "Measures beside held-out text": _measures(trained),
        "Caveats": _caveats(trained),
    }
    parts = [_front_matter(trained), f"# {_plain(trained.name)}: a character-level LSTM"]
    parts += [f"## {head}\n\n{body}" for head, body in sections.items()]
    return "\n\n".join(parts) + "\n"


def licence_fields(licence: str) -> dict[str, str]:
    """Return what the front matter says of a licence: an identifier that hubs know, or a name.

    No licence, no field: then a hub shows that none is stated.
    """
    stated = " ".join(licence.split())
    if not stated:
        return {}
    identifier = stated.lower().replace(" ", "-")
    if identifier in LICENCES:
        return {"license": identifier}
    return {"license": "other", "license_name": stated}


def _front_matter(trained: TrainedBook) -> str:
    fields: dict[str, object] = dict(licence_fields(trained.licence))
    if codes := _language_codes(trained):
        fields["language"] = codes
    fields |= {"library_name": "lstmlib", "pipeline_tag": "text-generation"}
    fields["tags"] = ["character-level", "lstm", "text-generation"]
    # Each value as JSON, which is YAML, too: no title can break it.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _language_codes(trained: TrainedBook) -> list[str]:
    """Return the codes of the text's languages, [] if they are not known for sure."""
    if trained.stated:
        return [language.code for language in trained.stated if language.code]
    found = trained.audit.languages
    return [found.code] if found.code and not found.second else []


def _language(trained: TrainedBook) -> str:
    if not trained.stated:
        return f"{trained.audit.languages}, by the frequencies of its letters"
    return f"{_named(trained)}, as stated by whoever trained the model"


def _named(trained: TrainedBook) -> str:
    """Return the stated languages in words."""
    return _plain(" and ".join(map(str, trained.stated)))


def _details(trained: TrainedBook) -> str:
    config, run = trained.model.config, trained.plan.training
    row, layers = trained.history.rows[-1], config["num_layers"]
    return _list(
        f"{layers} {config['cell'].upper()} layer{'s' if layers > 1 else ''} of "
        f"{config['hidden_size']} units, {count_parameters(trained.model):,} weights, "
        f"dropout {config['dropout']:g}",
        f"it predicts the next character, one of {len(trained.vocab.characters):,}",
        f"trained by `lstmlib` on {row['characters']:,} characters in {len(trained.history):,} "
        f"steps of {run.batch_size} × {run.seq_len}, {row['seconds'] / 60:.1f} minutes "
        f"({_ended(trained.history)})",
        f"{run.optimizer}, learning rate {run.learning_rate:g}, schedule {run.schedule}, "
        f"gradient clipped at norm {run.clip_norm}",
        "all settings stand in `settings.json`",
    )


def _ended(history: History) -> str:
    ends = {"all steps": "to the end", "early": "ended early, at no better validation loss"}
    ends["interrupted"] = "stopped by hand before its end"
    return ends.get(history.ended, "not to its end")


def _use(trained: TrainedBook) -> str:
    return (
        "To play with, to teach and to learn how a small network writes: `explorer.html` opens in "
        "any browser. What it writes has the look of its text and no meaning. It is no source of "
        "facts, and not for anything that somebody relies on."
    )


def _data(trained: TrainedBook) -> str:
    book, audit = trained.book, trained.audit
    encodings = ", ".join(dict.fromkeys(part.encoding or "text in memory" for part in book.parts))
    whole = f" (a sample of {book.whole:,})" if book.whole > len(book.text) else ""
    rows = [
        f"title: {_plain(trained.name)}",
        f"size: {len(book.text):,} characters{whole} from {len(book.parts)} file"
        f"{'s' if len(book.parts) > 1 else ''} ({encodings}); {len(trained.text):,} after cleaning",
        f"SHA-256 of the text as read (UTF-8): `{book.sha256}`",
        f"SHA-256 of the clean text: `{sha256(trained.text)}`",
        f"language: {_language(trained)}",
        f"distinct characters: {audit.distinct:,} as read, {len(trained.vocab.characters):,} after "
        f"cleaning ({', '.join(step.name for step in trained.cleaning.steps[1:])})",
        *_vanished(trained.cleaning),
        "split: the last tenth was for validation, and not trained on",
        *(_plain(fact) for fact in book.facts),
    ]
    return f"{_licence(trained.licence)}\n\n{_list(*rows)}"


def _vanished(cleaning: CleaningReport) -> list[str]:
    """Return what the network cannot read or write, since cleaning took it out of the text."""
    kinds, count = len(cleaning.vanished), sum(cleaning.vanished.values())
    if not kinds:
        return []
    return [
        f"dropped or replaced in cleaning: {count:,} characters of {kinds:,} "
        f"kind{'s' if kinds > 1 else ''}, listed in `settings.json`; the network knows none of them"
    ]


def _licence(licence: str) -> str:
    stated = " ".join(licence.split())
    if stated:
        return f"**Licence of the text, as stated by whoever trained the model:** {_plain(stated)}."
    return (
        "**Licence of the text: not stated.** A model that was trained on a text under copyright "
        "can repeat parts of it. Until the licence is known, do not pass this model on."
    )


def _results(trained: TrainedBook) -> str:
    plan, found = trained.plan, check_up(trained.history)
    rows = [
        ("this network", trained.loss, "measured on the last tenth"),
        (
            "planned before training",
            plan.loss,
            f"80 % interval {plan.low:.3f} to {plan.high:.3f}",
        ),
        (
            "5-gram model",
            plan.five_gram,
            "counts on the same split; of a long text, on samples",
        ),
        ("knows nothing", math.log(len(trained.vocab)), "every character equally likely"),
    ]
    table = ["| | nats per character | |", "|---|---|---|"]
    table += [f"| {name} | {loss:.3f} | {note} |" for name, loss, note in rows]
    verdict = verdict_on(trained.loss, plan).fact
    if trained.why:
        verdict += f" The one who trained it says: {_plain(trained.why)}"
    return "\n".join([*table, "", verdict, "", _health(found)])


def _health(found: Checkup) -> str:
    return " ".join(finding.fact for finding in found.findings)


def _samples(trained: TrainedBook) -> str:
    said = "Each begins with the prompt, and is as the network wrote it, not chosen."
    return "\n\n".join([said, *(f"{n}:\n\n{_fenced(t)}" for n, t in trained.samples.items())])


def _memorised(trained: TrainedBook) -> str:
    report = trained.report
    parts = [f"Looked for in {_plain(trained.written or 'a longer text that it wrote')}."]
    parts.append(_plain(report.yardstick))
    worded = [passage for passage in report.passages if _is_worded(passage.beginning)]
    if len(worded) < len(report.passages):
        count = len(report.passages) - len(worded)
        parts.append(f"Of the longest, {count} of rules, digits and blanks are left out here.")
    for passage in worded[:PASSAGES]:
        head, left_out, tail = passage.shortened(EXCERPT)
        shown = f"{head}{f' {left_out} ' if left_out else ''}{tail}"
        note = f" {passage.note}" if passage.note else ""
        parts.append(f"- {passage.length:,} characters, {passage.share:.0%} into the text.{note}")
        parts.append(_fenced(shown))
    return "\n\n".join(parts)


def _is_worded(passage: str) -> bool:
    """Say whether a passage is of letters, for the most part, and not the rule of a table."""
    return sum(character.isalpha() for character in passage) >= len(passage) / 2


def _measures(trained: TrainedBook) -> str:
    table = ["| measure | this network | held-out text | |", "|---|---|---|---|"]
    for row in trained.report.rows:
        cells = [row.measure.name, *row.cells(), row.verdict]
        table.append("| " + " | ".join(_plain(cell) for cell in cells) + " |")
    said = (
        "In brackets: the 95 % interval over pieces. `report.html` says what each measure means "
        "and what it cannot see."
    )
    return "\n".join([*table, "", said])


def _caveats(trained: TrainedBook) -> str:
    standing = [
        "One run with one seed: another seed gives another loss, and other texts.",
        "`explorer.html` holds the weights rounded to 16 bits.",
    ]
    if trained.history.ended == "interrupted":
        standing.insert(0, "The training was stopped by hand before its end.")
    found = {name: finding.fact for name, finding in trained.audit.findings.items()}
    if trained.stated:  # the reader knows better than the letters
        found.pop("language", None)
    planned = [f"On the planned loss: {caveat}" for caveat in trained.plan.expected.caveats]
    return _list(*map(_plain, [*planned, *found.values()]), *standing)


def _list(*items: str) -> str:
    return "\n".join(f"- {item}" for item in items)


def _plain(words: object) -> str:
    """Return words in one line in which Markdown and HTML find nothing of theirs."""
    return re.sub(r"([\\`*_|<>\[\]#])", r"\\\1", " ".join(str(words).split()))


def _fenced(text: str) -> str:
    """Return a text as a block of code, with a fence longer than any in it."""
    runs = [len(run) for run in re.findall(r"`+", text)]
    fence = "`" * max(3, *(run + 1 for run in runs)) if runs else "```"
    return f"{fence}text\n{text.rstrip()}\n{fence}"
