import gzip
import io
import json
import shutil
import subprocess
import tarfile
import zipfile

import pytest

from experiments import thermometer_texts
from experiments.thermometer_texts import (
    CLIENTS,
    FORMS,
    Piece,
    Settings,
    Source,
    cut,
    fetch,
    main,
    members,
    text_of,
    whole_text,
)

PROSE = "The price of bread was high, and I was hungry.\n"


def source(**changed):
    given = {"kind": "prose", "registry": "npm", "package": "books", "version": "1.0"}
    return Source(**{**given, "files": ["package/*.txt"], "licence": "MIT", **changed})


def tarball(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_files_are_joined_in_the_order_of_their_names_and_unpacked(tmp_path):
    files = {
        "package/b.txt": b"second",
        "package/a.txt": gzip.compress("\x1b[32mfirst é\x1b[m".encode()),
        "package/a.json": b"{}",
    }
    assert text_of(source(), tarball(tmp_path / "books.tgz", files)) == "first é\nsecond"
    with pytest.raises(ValueError, match=r"^books.tgz has no file package/\*\.md\.$"):
        text_of(source(files=["package/*.md"]), tmp_path / "books.tgz")
    latin = tarball(tmp_path / "latin.tgz", {"package/a.txt": "é".encode("latin-1")})
    with pytest.raises(ValueError, match="utf-8"):
        text_of(source(), latin)


def test_a_wheel_and_a_package_of_debian_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "books.whl", "w") as archive:
        archive.writestr("package/a.txt", "in a wheel")
    assert text_of(source(registry="pypi"), tmp_path / "books.whl") == "in a wheel"
    if not shutil.which("dpkg-deb"):
        pytest.skip("there is no dpkg-deb here")
    (tmp_path / "tree" / "DEBIAN").mkdir(parents=True)
    control = "Package: books\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: b\n"
    (tmp_path / "tree" / "DEBIAN" / "control").write_text(control)
    (tmp_path / "tree" / "package").mkdir()
    (tmp_path / "tree" / "package" / "a.txt").write_text("of Debian")
    command = ["dpkg-deb", "--build", str(tmp_path / "tree"), str(tmp_path / "books.deb")]
    subprocess.run(command, check=True, capture_output=True)
    assert dict(members(tmp_path / "books.deb")) == {"package/a.txt": b"of Debian"}


@pytest.mark.parametrize(
    ("form", "content", "texts"),
    [
        ("text", "all of it", ["all of it"]),
        ("json", '[{"text": "a", "v": [{"text": "b", "translation": "c"}]}]', ["a", "b"]),
        ("json translations", '[{"text": "a", "v": [{"translation": "c"}]}]', ["c"]),
        (
            "po",
            'msgid ""\nmsgstr "head\\n"\n\nmsgid "a"\nmsgstr ""\n"α "\n"β\\n"\n\nmsgid "b"\n'
            'msgid_plural "c"\nmsgstr[0] "γ"\nmsgstr[1] ""\n',
            ["α β\n", "γ"],
        ),
        ("docstrings", '"""One."""\ndef f():\n    """Two."""\n    return "no"\n', ["One.", "Two."]),
        ("strings", f"a = {'x' * 81!r}\nb = 'short'\n", ["x" * 81]),
    ],
)
def test_what_is_taken_of_a_file(form, content, texts):
    assert list(FORMS[form](content)) == texts


def test_a_piece_is_cut_and_cleaned():
    text = "“Bread!”\r\n" * 3000
    assert cut(text, Piece("a", "b", [9])) == '"Bread!"\n' * 3000
    assert cut(text, Piece("a", "b", [9], start=10, length=10)) == '"Bread!"\n'
    with pytest.raises(ValueError, match="^The source of a ends after 30000 characters"):
        cut(text, Piece("a", "b", [9], start=29_000, length=2_000))


def test_a_package_is_fetched_once_with_its_registry_s_client(tmp_path, monkeypatch):
    asked = []

    def run(command, cwd, **given):
        asked.append(command)
        tarball(cwd / "books-1.0.tgz", {"package/a.txt": PROSE.encode()})
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(thermometer_texts.subprocess, "run", run)
    for _ in range(2):
        assert fetch(source(), tmp_path).name == "books-1.0.tgz"
    assert asked == [["npm", "pack", "--silent", "books@1.0"]]
    assert CLIENTS["debian"]("a", "1")[-1] == "a=1" and CLIENTS["pypi"]("a", "1")[-1] == "a==1"
    assert whole_text("all", source(), tmp_path) == PROSE
    (tmp_path / "packages").rename(tmp_path / "gone")
    assert whole_text("all", source(), tmp_path) == PROSE  # the text itself is kept


def test_what_a_registry_does_not_bring_is_one_sentence(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "npm error 404 not found")
    monkeypatch.setattr(thermometer_texts.subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(ValueError, match=r"^npm pack .* brought nothing \(npm error 404 not found"):
        fetch(source(), tmp_path)

    def none(*arguments, **given):
        raise FileNotFoundError

    monkeypatch.setattr(thermometer_texts.subprocess, "run", none)
    with pytest.raises(ValueError, match=r"^There is no npm here to fetch books\.$"):
        fetch(source(), tmp_path)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"budgets": []}, "budgets is []; give one or more"),
        ({"budgets": [0]}, "budgets is [0]; give one or more"),
        ({"source": "z"}, 'The text "a" is of "z", which is no source.'),
        ({"start": -1}, "start is -1"),
        ({"length": 0}, "length is 0"),
    ],
)
def test_settings_without_meaning_are_refused(changed, words):
    text = {"name": "a", "source": "s", "budgets": [9]} | changed
    with pytest.raises(ValueError) as error:
        Settings(seed=1, sources={"s": vars(source())}, texts=[text])
    assert words in str(error.value)


def test_a_source_without_meaning_is_refused():
    text = {"name": "a", "source": "s", "budgets": [9]}
    with pytest.raises(ValueError, match='The source "s" lacks files, licence, package, version'):
        Settings(seed=1, sources={"s": {"kind": "a", "registry": "npm"}}, texts=[text])
    with pytest.raises(ValueError, match="registry is 'ftp'; choose one of debian, npm, pypi, cou"):
        source(registry="ftp")


def test_each_text_is_there_another_one_or_missing(tmp_path, capsys):
    (tmp_path / "book.txt").write_text(PROSE * 20, encoding="utf-8")
    book = vars(source(registry="course", package=str(tmp_path / "book.txt"), files=[]))
    gone = book | {"package": str(tmp_path / "gone.txt")}
    texts = [{"name": n, "source": n[0], "budgets": [9]} for n in ("same", "other", "none")]
    config = {"seed": 1, "sources": {"s": book, "o": book, "n": gone}, "texts": texts}
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings = Settings(**config)
    same = thermometer_texts.sha256(settings.text_of("same", tmp_path))
    hashes = {"same": {"sha256": same}, "other": {"sha256": "0"}, "none": {"sha256": "0"}}
    (tmp_path / "result.json").write_text(json.dumps({"texts": hashes}))
    main(tmp_path, tmp_path / "texts")
    said = capsys.readouterr().out.splitlines()
    assert said[0].split(maxsplit=1) == ["same", "as recorded"]
    assert said[1].split(maxsplit=1) == ["other", "another text than the one that was trained on"]
    assert "gone.txt" in said[2] and said[3] == "1 of 3 texts are as recorded."
