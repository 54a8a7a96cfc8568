"""The folder: whole or not at all, and never two models in one."""

import errno
import json
import os
import re

import pytest
import torch
from trained_book import changed, trained

from lstmlib import publishing
from lstmlib.publishing import PublishingError, check_published, publish
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
    with pytest.raises(PublishingError, match="so that nothing of yours is lost"):
        publish(tmp_path / "book", trained()[0])
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
    with pytest.raises(PublishingError, match=r"notes.txt is missing, changed or strange"):
        publish(folder, trained()[0])
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
    with pytest.raises(PublishingError, match="is no published folder that is whole"):
        check_published(tmp_path / "missing")


def test_weights_that_are_not_finite_are_not_published(tmp_path):
    import copy

    model = copy.deepcopy(trained()[0].model)
    model.output.bias.data[0] = float("nan")
    with pytest.raises(ValueError):
        publish(tmp_path / "book", changed(model=model))
    assert not list(tmp_path.iterdir())
