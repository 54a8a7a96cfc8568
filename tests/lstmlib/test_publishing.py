"""The folder: whole or not at all, and never two models in one."""

import errno
import json
import os
import re

import pytest
import torch
from trained_book import changed, trained

from lstmlib import publishing
from lstmlib.cleaning import CleaningReport
from lstmlib.publishing import PublishingError, changed_since, check_published, publish
from lstmlib.serialization import load_model

FILES = ["README.md", "explorer.html", "model.safetensors", "report.html", "settings.json"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_has_all_that_is_needed(tmp_path):
    book = trained()[0]
    folder = publish(tmp_path / "deep" / "book", book)
    assert names(folder) == FILES and names(folder.parent) == ["book"]
    model, vocab = load_model(folder / "model.safetensors")
    assert vocab == book.vocab
    for a, b in zip(model.parameters(), book.model.parameters(), strict=True):
        assert torch.equal(a, b)
    page = (folder / "explorer.html").read_text(encoding="utf-8")
    assert "It was trained on A book." in page and '"prompt": "The "' in page
    assert re.search(r'"bytesPerWeight": 2\b', page) and "src=" not in page
    assert book.report.html() == (folder / "report.html").read_text(encoding="utf-8")
    settings = check_published(folder)
    assert settings["loss"] == book.loss and settings["licence"] == "CC0-1.0"
    assert settings["plan"]["training"]["steps"] == book.plan.training.steps
    assert sorted([*settings["files"], "settings.json"]) == FILES
    assert next(book.model.parameters()).dtype == torch.float32  # the model itself is untouched


def test_a_second_run_replaces_the_first(tmp_path):
    folder = publish(tmp_path / "book", trained()[0])
    publish(tmp_path / "book", changed(title="Another"))
    assert "Another" in (folder / "README.md").read_text(encoding="utf-8")
    assert names(folder) == FILES and names(tmp_path) == ["book"]


def test_an_empty_folder_may_be_taken(tmp_path):
    (tmp_path / "book").mkdir()
    assert names(publish(tmp_path / "book", trained()[0])) == FILES


@pytest.mark.parametrize("strange", ["notes.txt", "settings.json"])
def test_what_is_not_ours_is_left_alone(tmp_path, strange):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / strange).write_text("mine")
    with pytest.raises(PublishingError, match="`publish` did not write it") as error:
        publish(tmp_path / "book", trained()[0])
    advice = re.findall(r"(?i)publish it|move it|choose another|run the cell", str(error.value))
    assert advice == ["move it", "choose another"] and str(error.value).count(". ") == 0
    assert names(tmp_path) == ["book"] and (tmp_path / "book" / strange).read_text() == "mine"


def test_what_a_look_at_the_folder_leaves_in_it_is_no_file_of_the_readers(tmp_path):
    folder = publish(tmp_path / "book", trained()[0])
    (folder / ".DS_Store").write_bytes(b"\0")
    assert check_published(folder)
    publish(folder, trained()[0])
    assert check_published(folder)


def test_a_file_added_by_hand_or_changed_keeps_the_folder(tmp_path):
    folder = publish(tmp_path / "book", trained()[0])
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(PublishingError, match=r"notes.txt is missing, changed or strange") as error:
        publish(folder, trained()[0])
    assert "Publish it again" not in str(error.value) and "move it away" in str(error.value)
    (folder / "notes.txt").unlink()
    with open(folder / "README.md", "a", encoding="utf-8") as card:
        card.write("My own words.\n")
    with pytest.raises(PublishingError, match="README.md is missing, changed or strange"):
        publish(folder, trained()[0])
    assert "My own words." in (folder / "README.md").read_text(encoding="utf-8")


def test_a_file_in_its_place_is_left_alone(tmp_path):
    (tmp_path / "book").write_text("mine")
    with pytest.raises(PublishingError):
        publish(tmp_path / "book", trained()[0])
    assert (tmp_path / "book").read_text() == "mine"


@pytest.mark.parametrize("written", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("before", [False, True])
def test_a_disk_that_is_full_changes_nothing(tmp_path, monkeypatch, written, before):
    """It is full at the first, second, … flush to the disk."""
    if before:
        publish(tmp_path / "book", changed(title="Before"))
    flushes = iter(range(99))
    fsync = os.fsync

    def full(file):
        if next(flushes) == written:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PublishingError, match="No space left on device.*Make room"):
        publish(tmp_path / "book", trained()[0])
    monkeypatch.undo()
    assert names(tmp_path) == ["book"] * before
    if before:
        assert check_published(tmp_path / "book")["title"] == "Before"
    assert names(publish(tmp_path / "book", trained()[0])) == FILES


@pytest.mark.parametrize("renames", [1, 2])
def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch, renames):
    publish(tmp_path / "book", changed(title="Before"))
    path, count = type(tmp_path), iter(range(1, 99))
    rename = path.rename

    def fail(self, target):
        if next(count) == renames:
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(path, "rename", fail)
    with pytest.raises(PublishingError, match="Permission denied"):
        publish(tmp_path / "book", trained()[0])
    assert names(tmp_path) == ["book"]
    assert check_published(tmp_path / "book")["title"] == "Before"


def test_what_a_killed_call_left_is_tidied_up(tmp_path):
    folder = publish(tmp_path / "book", changed(title="Before"))
    (tmp_path / ".book.123.part").mkdir()
    (tmp_path / ".book.123.part" / "half").touch()
    folder.rename(tmp_path / ".book.123.old")  # killed between two renames
    publish(tmp_path / "book", trained()[0])
    assert names(tmp_path) == ["book"]
    (tmp_path / ".book.124.old").mkdir()
    assert publishing.publish(tmp_path / "book", trained()[0]) and names(tmp_path) == ["book"]


def test_a_folder_of_another_format_is_not_ours(tmp_path):
    folder = publish(tmp_path / "book", trained()[0])
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"format": "other"}))
    with pytest.raises(PublishingError, match="it is of another format"):
        check_published(folder)
    with pytest.raises(PublishingError, match="is no published folder: .*No such file"):
        check_published(tmp_path / "missing")


def test_weights_that_are_not_finite_are_not_published(tmp_path):
    import copy

    model = copy.deepcopy(trained()[0].model)
    model.output.bias.data[0] = float("nan")
    with pytest.raises(ValueError):
        publish(tmp_path / "book", changed(model=model))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ()),
        ({"title": "Another"}, ("title",)),
        ({"licence": ""}, ("licence",)),
        ({"language": "de"}, ("language",)),
        ({"why": "", "loss": 9.9}, ("why", "loss")),
        ({"samples": {"τ = 1": "The other"}}, ("README.md",)),
        ({"written": "in another way"}, ("README.md",)),
        ({"prompt": "He "}, ("explorer.html",)),
    ],
)
def test_what_was_changed_since_is_named(tmp_path, changes, found):
    folder = publish(tmp_path / "book", trained()[0])
    assert changed_since(folder, changed(**changes)) == found
    assert changed_since(publish(folder, changed(**changes)), changed(**changes)) == ()
    assert names(tmp_path) == ["book"]


def test_a_network_that_was_trained_on_is_not_the_one_of_the_folder(tmp_path):
    import copy

    folder = publish(tmp_path / "book", trained()[0])
    model = copy.deepcopy(trained()[0].model)
    model.output.bias.data[0] += 1
    assert changed_since(folder, changed(model=model)) == ("model.safetensors", "explorer.html")
    (folder / "README.md").unlink()
    with pytest.raises(PublishingError, match="README.md is missing"):
        changed_since(folder, trained()[0])


def test_of_many_strange_files_some_are_named_and_all_are_counted(tmp_path):
    folder = publish(tmp_path / "book", trained()[0])
    for k in range(9):
        (folder / f"{k}.txt").touch()
    with pytest.raises(PublishingError, match=r"4.txt and 4 more is missing, changed or strange"):
        check_published(folder)


def test_the_settings_hold_all_that_vanished_in_cleaning(tmp_path):
    cleaning = CleaningReport(trained()[0].cleaning.steps, {"é": 7, "\ud800": 1})
    book = changed(cleaning=cleaning)
    folder = publish(tmp_path / "book", book)
    assert check_published(folder)["vanished"] == cleaning.vanished
    assert changed_since(folder, book) == ()
