"""The check list of chapter 12: each line is ticked by what was done, and by nothing else."""

import copy
from dataclasses import replace

import pytest
import torch
from trained_book import changed, trained

from lstmlib.checkpoints import Checkpoints
from lstmlib.course import check
from lstmlib.history import History
from lstmlib.publishing import publish

LINES = [
    "text read and audited",
    "text cleaned",
    "validation part untouched",
    "planned before training",
    "trained to the end",
    "loss inside the interval, or explained",
    "nothing infinite, no NaN",
    "samples written",
    "memorisation looked at",
    "licence stated",
    "folder written",
]


@pytest.fixture
def notes(tmp_path):
    """Return what a check list is told of a book that all was done with."""
    return trained()[1] | {"folder": publish(tmp_path / "book", trained()[0])}


FILLED_IN = ("title", "licence", "language", "why")


def list_of(notes):
    """Return a list that was told of these, but for what the reader fills in."""
    filled_in = {name: notes.get(name, getattr(trained()[0], name)) for name in FILLED_IN}
    todo = check.CheckList(lambda: filled_in)
    todo.note(**{name: made for name, made in notes.items() if name not in FILLED_IN})
    return todo


def test_all_is_ticked_where_all_was_done(notes, capsys):
    todo = list_of(notes)
    assert [item.name for item in todo.items] == LINES and todo.left == ()
    todo.show()
    said = capsys.readouterr().out.splitlines()
    assert all(line.startswith("[x] ") for line in said[:-1]) and said[-1] == "11 of 11 done"


def test_an_empty_list_says_what_to_do(capsys):
    todo = check.CheckList()
    assert list(todo.left) == LINES
    todo.show()
    said = capsys.readouterr().out
    assert "[ ] text read and audited: run section 1, Audit" in said and "0 of 11 done" in said


def test_another_name_is_refused():
    with pytest.raises(TypeError, match="knows no lose; it knows book, audit"):
        check.CheckList().note(lose=1.0)


def other_text(notes):
    return {"text": notes["text"] + "x"}


def stopped(notes):
    history = History(notes["history"].rows[:3])
    history.ended = "interrupted"
    return {"history": history}


def skipped(notes):
    rows = [dict(row) for row in notes["history"].rows]
    rows[1]["skipped"] = True
    history = History(rows)
    history.ended = "all steps"
    return {"history": history}


def moved(model):
    model = copy.deepcopy(model)
    model.output.bias.data[0] += 1
    return model


def broken(notes):
    model = copy.deepcopy(notes["model"])
    model.output.bias.data[0] = float("inf")
    return {"model": model}


FAULTS = {
    "an audit of another text": (
        lambda n: {"audit": replace(n["audit"], sha256="0" * 64)},
        {"text read and audited": "run section 1 again"},
    ),
    "a text that was not cleaned": (
        other_text,
        {
            "text cleaned": "run section 2 again",
            "validation part untouched": "the vocabulary is of another text",
            "planned before training": "is the plan of another text",
            "folder written": "with another clean text sha256; run section 8",
        },
    ),
    "a text that was changed after the run": (
        lambda n: {"text": n["text"] + "e"},
        {
            "text cleaned": "run section 2 again",
            "validation part untouched": "the run was on other texts",
            "planned before training": "is the plan of another text",
            "folder written": "with another clean text sha256; run section 8",
        },
    ),
    "another plan than the run's": (
        lambda n: {"plan": replace(n["plan"], minutes=9.0)},
        {
            "planned before training": "train with plan.model",
            "folder written": "with another plan; run section 8",
        },
    ),
    "a run that was stopped": (stopped, {"trained to the end": "it goes on"}),
    "a loss above, without a word": (
        lambda n: {"loss": n["plan"].high + 1, "why": " "},
        {"loss inside the interval, or explained": "is above the interval; write into why"},
    ),
    "a loss that is no number": (
        lambda n: {"loss": float("nan")},
        {"loss inside the interval, or explained": "write into why"},
    ),
    "a step that was skipped": (skipped, {"nothing infinite, no NaN": "1 steps were not finite"}),
    "a weight that is not finite": (broken, {"nothing infinite, no NaN": "a weight is not finite"}),
    "a sample of the prompt alone": (
        lambda n: {"samples": {"τ = 1": "The "}},
        {"samples written": "run section 6 again", "folder written": "another README; run"},
    ),
    "no sample at all": (
        lambda n: {"samples": {}},
        {"samples written": "run section 6 again", "folder written": "There is no sample"},
    ),
    "a title that was changed after the folder": (
        lambda n: {"title": "Another book"},
        {"folder written": "with another title; run section 8"},
    ),
    "a language that was stated after the folder": (
        lambda n: {"language": "de"},
        {"folder written": "with another language; run section 8"},
    ),
    "a language that is none": (
        lambda n: {"language": "xx"},
        {"folder written": "another language"},
    ),
    "another prompt": (
        lambda n: {"prompt": "Th"},
        {"folder written": "with another explorer; run section 8"},
    ),
    "a network that was trained on": (
        lambda n: {"model": moved(n["model"])},
        {"folder written": "with another model, explorer; run section 8"},
    ),
    "a report on another text": (
        lambda n: {"written": n["written"] + "!"},
        {"memorisation looked at": "the report is of another text"},
    ),
    "a licence of a question mark": (
        lambda n: {"licence": "?"},
        {"licence stated": "write into licence", "folder written": "licence; run section 8"},
    ),
    "a cause that was written after the folder": (
        lambda n: {"why": "another cause"},
        {"folder written": "with another why; run section 8"},
    ),
    "no licence": (
        lambda n: {"licence": ""},
        {"licence stated": "write into licence", "folder written": "licence; run section 8"},
    ),
}


IN_FOLDER = {name for name in FAULTS if "loss" in name} | {"a run that was stopped"}
IN_FOLDER |= {"a step that was skipped", "a weight that is not finite"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_takes_its_tick_away(notes, fault):
    changes, expected = FAULTS[fault]
    todo = list_of(notes | changes(notes))
    said = {item.name: item.said for item in todo.items if not item.done}
    # The folder has the other loss, the whole run, the network that is whole.
    also = {"folder written"} if fault in IN_FOLDER else set()
    assert set(said) - also == set(expected), said
    for name, words in expected.items():
        assert words in said[name]


def test_a_folder_that_was_changed_is_not_ticked(notes):
    (notes["folder"] / "README.md").write_text("mine")
    assert list_of(notes).left == ("folder written",)


def test_without_checkpoints_nothing_of_the_run_is_ticked(notes, tmp_path):
    todo = list_of(notes | {"run": tmp_path / "empty"})
    assert set(todo.left) == {"validation part untouched", "planned before training"}
    kept = Checkpoints(notes["run"], notes["vocab"]).paths[-1]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / kept.name).write_bytes(kept.read_bytes()[:500])
    todo = list_of(notes | {"run": tmp_path / "broken"})
    said = {item.name: item.said for item in todo.items if not item.done}
    assert "the checkpoints cannot be read" in said["validation part untouched"]


def test_a_run_on_all_of_the_text_is_found_out(notes, tmp_path):
    """A run that was trained on the validation part as well has another fingerprint."""
    from lstmlib.book_run import kept_plan
    from lstmlib.models import CharRNN
    from lstmlib.training import fit

    vocab, text = notes["vocab"], notes["text"]
    plan = kept_plan(tmp_path, text, vocab, notes["minutes"])
    ids = vocab.encode(text)
    torch.manual_seed(0)
    model = CharRNN(len(vocab), **plan.model)
    short = replace(plan.training, steps=2, warmup=0, eval_every=2)
    fit(model, ids, ids[-600:], short, checkpoints=Checkpoints(tmp_path, vocab), progress=False)
    todo = list_of(notes | {"run": tmp_path, "plan": plan})
    assert "validation part untouched" in todo.left


def test_the_folder_is_of_this_loss(notes, tmp_path):
    folder = publish(tmp_path / "other", changed(loss=9.9))
    assert list_of(notes | {"folder": folder}).left == ("folder written",)


def test_what_was_written_before_the_training_went_on_is_not_ticked(notes):
    history = notes["history"]
    todo = list_of(notes | {"history": History(history.rows[:1])})
    todo.note(history=history)
    said = {item.name: item.said for item in todo.items if not item.done}
    assert said == {
        "samples written": "the training went on after that; run section 6 again",
        "memorisation looked at": "the training went on after that; run section 7 again",
    }


def test_what_the_reader_fills_in_is_looked_up_anew_each_time(notes):
    filled_in = {name: getattr(trained()[0], name) for name in FILLED_IN}
    todo = check.CheckList(lambda: filled_in)
    todo.note(**notes)
    assert todo.left == ()
    filled_in["title"] = "Another"
    assert todo.left == ("folder written",)
    folder = publish(notes["folder"], replace(trained()[0], **filled_in))
    todo.note(folder=folder)
    assert todo.left == ()
