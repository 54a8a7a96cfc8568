"""A book that a tiny network was really trained on: what a card and a folder are made from."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from unittest.mock import patch

import torch
from own_texts import ENGLISH, sentences

from lstmlib import thermometer
from lstmlib.audit import audit
from lstmlib.batching import split
from lstmlib.book_run import kept_plan, run_folder
from lstmlib.books import load_book
from lstmlib.checkpoints import Checkpoints
from lstmlib.cleaning import clean
from lstmlib.generation import generate
from lstmlib.model_card import TrainedBook
from lstmlib.models import CharRNN
from lstmlib.report import measure_text
from lstmlib.training import evaluate, fit
from lstmlib.vocab import Vocab

MINUTES, SPEED = 0.01, 60_000.0
"""Minutes, and characters a second: the plan is the same on a slow machine and on a fast one."""


@cache
def trained() -> tuple[TrainedBook, dict]:
    """Return what was done with a small book, and what a check list is told of it."""
    folder = Path(mkdtemp())
    (folder / "a book.txt").write_text(sentences(ENGLISH, 6_000), encoding="utf-8")
    book = load_book(folder / "a book.txt")
    found = audit(book.text)
    text, cleaning = clean(book.text)
    vocab = Vocab.from_text(text)
    train, valid = split(vocab.encode(text))
    run = run_folder(folder, book.name, text, MINUTES)
    with patch.object(thermometer, "measure_speed", return_value=SPEED):
        plan = kept_plan(run, text, vocab, MINUTES)
    torch.manual_seed(0)
    model = CharRNN(len(vocab), **plan.model)
    checkpoints = Checkpoints(run, vocab, every=100)
    history = fit(model, train, valid, plan.training, checkpoints=checkpoints, progress=False)
    loss = evaluate(model, valid)
    samples = {"τ = 0.5": generate(model, vocab, "The ", 100, 0.5, seed=1).text}
    written = "\n".join(s.new for s in generate(model, vocab, ["The "] * 8, 300, 0.8, seed=2))
    written += text[1000:1080]  # as a network does that knows its text by heart
    report = measure_text(written, text[: len(train)], text[len(train) :])
    parts = (
        book,
        found,
        text,
        cleaning,
        plan,
        history,
        model,
        vocab,
        loss,
        samples,
        "The ",
        report,
    )
    result = TrainedBook(*parts, title="A book", licence="CC0-1.0", why="it is a test")
    names = ("book", "audit", "text", "cleaning", "plan", "history", "model", "vocab", "loss")
    names += ("samples", "prompt", "report")
    notes = dict(zip(names, parts, strict=True))
    notes |= {"written": written, "run": run, "minutes": MINUTES, "trained": result}
    return result, notes


def changed(**changes: object) -> TrainedBook:
    """Return that book with some things otherwise."""
    return replace(trained()[0], **changes)
