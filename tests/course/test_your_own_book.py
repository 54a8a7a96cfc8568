"""Chapter 12 as a program, from its first cell to its last, on small texts of the tests' making."""

import json
import signal
import warnings
from pathlib import Path

import nbformat
import pytest
import yaml
from own_texts import (
    ENGLISH,
    GERMAN,
    RUSSIAN,
    chinese,
    epub,
    many_characters,
    sentences,
    verse,
)

from lstmlib.course import check, plots
from lstmlib.publishing import check_published
from lstmlib.serialization import load_model

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "12_your_own_book.ipynb"
LOSS = "loss inside the interval, or explained"


def cells():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def run_all(source, monkeypatch, tmp_path, change=lambda cell: cell):
    """Run every cell on a text, in the profile ci; return all names that they made."""
    monkeypatch.setenv("LSTMLIB_CORPUS", str(source))
    monkeypatch.setenv("LSTMLIB_PROFILE", "ci")
    monkeypatch.setenv("LSTMLIB_OUTPUT", str(tmp_path / "output"))
    names: dict = {"__name__": "chapter"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No font of this machine")
        for cell in cells():
            exec(compile(change(cell), "cell", "exec"), names)
    return names


TEXTS = {
    "кириллица.txt": sentences(RUSSIAN, 30_000),
    "中文.txt": chinese(20_000),
    "verse.txt": verse(20_000),
    "short.txt": sentences(ENGLISH, 3_000),
    "mixed.txt": sentences(ENGLISH, 20_000) + sentences(GERMAN, 20_000),
    "six thousand.txt": many_characters(6_000, 30_000),
}
FINDINGS = {
    "short.txt": "3,001 characters are very few",
    "mixed.txt": "Parts of it are in",
    "six thousand.txt": "6,000 distinct characters",
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_whole_line_on_a_text(name, monkeypatch, tmp_path, capsys):
    (tmp_path / name).write_text(TEXTS[name], encoding="utf-8")
    made = run_all(tmp_path / name, monkeypatch, tmp_path)
    said = capsys.readouterr().out
    assert made["book"].text == TEXTS[name] and "not checked" in said
    # The licence is the reader's to state, and a loss outside of the interval to explain.
    left = set(made["todo"].left)
    assert {"licence stated"} <= left <= {"licence stated", LOSS}
    assert "[ ] licence stated: not stated; write into licence" in said
    assert FINDINGS.get(name, "") in " ".join(made["found"].verdict)
    assert made["text"].count("\n") == TEXTS[name].count("\n")
    settings = check_published(made["folder"])
    assert settings["title"] == name and settings["loss"] == made["loss"]
    _, vocab = load_model(made["folder"] / "model.safetensors")
    assert set(made["text"]) == set(vocab.characters)
    card = made["card"]
    assert "Licence of the text: not stated." in card and made["book"].sha256 in card
    front = yaml.safe_load(card.split("---\n")[1])
    language = {"кириллица.txt": ["ru"], "中文.txt": ["zh"], "verse.txt": ["en"]}.get(name)
    assert "license" not in front and (language is None or front["language"] == language)
    page = (made["folder"] / "explorer.html").read_text(encoding="utf-8")
    assert all(str(tmp_path).encode() not in p.read_bytes() for p in made["folder"].iterdir())
    assert json.dumps(made["prompt"])[1:-1].replace("<", "\\u003c") in page


def test_a_folder_of_an_epub_a_page_and_what_cannot_be_read(monkeypatch, tmp_path, capsys):
    folder = tmp_path / "my books"
    folder.mkdir()
    paragraphs = "".join(f"<p>{p}</p>" for p in sentences(ENGLISH, 6_000).split("\n\n"))
    epub(folder / "1.epub", paragraphs)
    (folder / "2.html").write_text(f"<html><body>{paragraphs[:3000]}</p></body></html>")
    (folder / "3.pdf").write_bytes(b"%PDF-1.7\n...")
    stated = ('language = ""', 'language = "en-GB"')
    made = run_all(folder, monkeypatch, tmp_path, lambda cell: cell.replace(*stated))
    assert [part.name for part in made["book"].parts] == ["1.epub", "2.html"]
    card, said = made["card"], capsys.readouterr().out
    assert "3.pdf" not in card and "Not all that lay in its folder is part of it" in card
    assert str(tmp_path) not in card
    assert "Passed over: 3.pdf is a PDF file" in said
    assert "you state        English (United Kingdom) (en-GB)" in said
    assert yaml.safe_load(card.split("---\n")[1])["language"] == ["en-GB"]
    assert "folder written" not in made["todo"].left
    # The reader fills in what is left, runs that cell and the list, and not section 8.
    exec('title, licence = "My letters", "they are mine"', made)
    exec(cells()[-2], made)
    said = capsys.readouterr().out
    assert "[x] licence stated: they are mine" in said
    assert "[ ] folder written: the folder was written with another title, licence; run" in said


def test_what_is_no_language_is_refused_before_the_training(monkeypatch, tmp_path):
    (tmp_path / "a.txt").write_text(sentences(ENGLISH, 3_000), encoding="utf-8")
    with pytest.raises(ValueError, match='language is "xx"'):
        run_all(
            tmp_path / "a.txt",
            monkeypatch,
            tmp_path,
            lambda cell: cell.replace('language = ""', 'language = "xx"'),
        )
    assert not list(tmp_path.glob("output/**/*.safetensors"))


def test_the_reader_stops_the_training_and_the_same_cell_goes_on(monkeypatch, tmp_path, capsys):
    """The stop button sends SIGINT; here it comes in the middle of the cell, once."""
    (tmp_path / "a.txt").write_text(sentences(ENGLISH, 20_000), encoding="utf-8")
    stops = iter([True])

    class StopButton:
        def __init__(self, every, baselines):
            self.pressed = next(stops, False)

        def __call__(self, history):
            if self.pressed and len(history) == 3:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(plots, "LivePlot", StopButton)
    seen = []

    def change(cell):
        """Run the cell of the training twice, and look at the list in between."""
        if not cell.startswith("seed_everything(0)"):
            return cell
        return f"{cell}\nfirst = history\nlook(todo)\n{cell}"

    monkeypatch.setattr(check.CheckList, "seen", seen, raising=False)
    look = "look = lambda todo: todo.seen.append(dict((i.name, i.said) for i in todo.items))\n"
    made = run_all(tmp_path / "a.txt", monkeypatch, tmp_path, lambda c: look + change(c))
    steps = made["plan"].training.steps
    assert made["first"].ended == "interrupted" and len(made["first"]) == 3 < steps
    assert f"stopped after 3 of {steps:,} steps; run the cell" in seen[0]["trained to the end"]
    history = made["history"]
    assert history.ended in ("all steps", "early")
    assert [row["loss"] for row in history.rows[:3]] == [row["loss"] for row in made["first"].rows]
    assert "trained to the end" not in made["todo"].left


def test_a_second_run_on_a_text_replaces_its_folder_and_does_not_train_again(monkeypatch, tmp_path):
    (tmp_path / "a.txt").write_text(sentences(ENGLISH, 8_000), encoding="utf-8")
    first = run_all(tmp_path / "a.txt", monkeypatch, tmp_path)
    card, written = first["card"], first["checkpoints"].paths[-1].stat().st_mtime_ns
    again = run_all(tmp_path / "a.txt", monkeypatch, tmp_path)
    assert again["plan"] == first["plan"] and again["folder"] == first["folder"]
    assert again["checkpoints"].paths[-1].stat().st_mtime_ns == written
    assert again["loss"] == first["loss"] and again["card"] == card
