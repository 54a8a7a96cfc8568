"""The folder that is carried to a bare GPU machine, and the rehearsal of that machine."""

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # the scripts stand beside each other, in no package

import gpu_pack  # noqa: E402
from gpu_pack import (  # noqa: E402
    PackError,
    build,
    check_pack,
    closure,
    code_hash,
    install,
    unmet,
)
from gpu_rehearsal import PYTHON, carried, make_environment, make_pack, variables  # noqa: E402

LINUX = {"sys_platform": "linux", "python_version": "3.12", "python_full_version": "3.12.0"}
TEXT = b"A book.\n"
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def make_wheel(folder, name, version="1.0", requires=()):
    """Write a wheel of one module that says its version."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {
        f"{module}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Make a small course in git, a shelf of wheels in place of the registry, and one text."""
    root, shelf = tmp_path / "course", tmp_path / "shelf"
    make_wheel(shelf, "nb-client", requires=["kernel>=2", 'colour; sys_platform == "win32"'])
    make_wheel(shelf, "kernel", "2.0", requires=["numpy", "debugpy"])
    (root / "lstmlib").mkdir(parents=True)
    (root / "lstmlib" / "models.py").write_text("one = 1\n")
    (root / ".gitignore").write_text("gpu-pack/\n")
    (root / "pyproject.toml").write_text("[project]\ndependencies = ['nb-client', 'jupyterlab']\n")
    (root / "constraints.txt").write_text("# pins\nnb-client==1.0\nkernel==2.0\n")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A course")
    (tmp_path / "book.txt").write_bytes(TEXT)

    def from_the_shelf(wanted, folder, python_version):
        for name, _, version in (line.partition("==") for line in wanted):
            shutil.copy(shelf / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", folder)

    sha = gpu_pack._sha256(tmp_path / "book.txt")
    monkeypatch.setattr(gpu_pack, "TEXTS", ("book",))
    monkeypatch.setattr(gpu_pack, "_EXECUTES", ())
    monkeypatch.setattr(gpu_pack, "bare_machine", lambda: {"numpy": "2.5.2", "torch": None})
    monkeypatch.setattr(gpu_pack, "download", from_the_shelf)
    monkeypatch.setattr(gpu_pack, "find_text", lambda name: tmp_path / f"{name}.txt")
    monkeypatch.setattr(gpu_pack, "text_file", lambda name, root=None: ("book.txt", sha))
    return root


# Which packages go along


def followed(roots, bare, packages, left_out=()):
    """Return the closure, where `packages` says what each needs, and what was described."""
    described = []

    def describe(names):
        described.extend(names)
        return {name: packages[name] for name in names}

    found = closure(roots, bare, LINUX, describe, left_out)
    assert sorted(described) == found  # each once
    return found


def test_requirements_are_followed_to_what_the_machine_has():
    packages = {"a": ["B>=1", "numpy"], "b": ["c_d"], "c-d": ["a"]}
    assert followed(["a"], {"numpy": None}, packages) == ["a", "b", "c-d"]


def test_markers_are_those_of_the_machine_and_extras_count_where_they_are_asked_for():
    packages = {
        "a": ['w; sys_platform == "win32"', 'old; python_version < "3.11"', "b[more]"],
        "b": ['m; extra == "more"', 'n; extra == "other"'],
        "m": [],
    }
    assert followed(["a", 'z; sys_platform == "darwin"'], {}, packages) == ["a", "b", "m"]


def test_an_extra_that_is_asked_for_later_is_followed_too():
    packages = {"a": ["b", "c"], "b": ['m; extra == "more"'], "c": ["b[more]"], "m": []}
    assert followed(["a"], {}, packages) == ["a", "b", "c", "m"]


def test_what_the_machine_has_too_old_goes_along():
    packages = {"a": ["numpy>=3", "torch>=9"], "numpy": []}
    assert followed(["a"], {"numpy": "2.5.2", "torch": None}, packages) == ["a", "numpy"]


def test_what_is_left_out_is_not_followed():
    assert followed(["a"], {}, {"a": ["debugpy"]}, {"debugpy"}) == ["a"]


def test_the_list_of_the_machine_is_read():
    bare = gpu_pack.bare_machine()
    assert bare["torch"] == "2.11.0"
    assert bare["numpy"] == "2.5.2"
    assert bare["matplotlib"] is None
    assert {"lxml", "pip", "pytest", "safetensors", "tqdm"} < bare.keys()
    assert "ipykernel" not in bare


def test_machine_and_pack_have_what_the_course_depends_on():
    names = {re.match(r"[\w-]+", line)[0] for line in gpu_pack.roots()}
    assert {"torch", "pooch", "nbclient"} < names
    there = {*gpu_pack.bare_machine(), *carried()}
    assert names - there - {"tomli"} == {"jupyterlab"}
    assert {"ipykernel", "pyzmq", "ipywidgets", "filelock"} < set(carried())


@pytest.mark.parametrize("name", ["torch", "numpy", "jupyterlab", "debugpy", "widgetsnbextension"])
def test_what_the_machine_has_or_nobody_needs_there_stays(name):
    assert name not in carried()


def test_pins_are_those_of_the_machines_python():
    assert "tomli" in gpu_pack.pins("3.10")
    assert "tomli" not in gpu_pack.pins("3.12")
    assert set(carried()) - {"tomli"} <= gpu_pack.pins(PYTHON).keys()


def test_texts_that_the_chapters_name_go_along():
    registry = tomllib.loads((ROOT / "datasets" / "registry.toml").read_text())
    to_be_had = {name for name, entry in registry.items() if "sha256" in entry}
    named = set()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                tree = ast.walk(ast.parse("".join(cell["source"])))
                named |= {n.value for n in tree if isinstance(n, ast.Constant)} & to_be_had
    assert named and named <= set(gpu_pack.TEXTS)
    assert {"shakespeare", "david-copperfield"} <= set(gpu_pack.TEXTS)


# Building


def test_a_pack_has_wheels_texts_and_says_what_they_are(course):
    pack = build(course / "gpu-pack", root=course)
    assert list(pack["files"]) == [
        "texts/book.txt",
        "wheels/kernel-2.0-py3-none-any.whl",
        "wheels/nb_client-1.0-py3-none-any.whl",
    ]
    assert pack["python"] == "3.12"
    assert pack["commit"] == git(course, "rev-parse", "HEAD").strip()
    assert pack["code"] == code_hash(course)
    assert pack["bare"] == ["numpy==2.5.2", "torch"]
    assert check_pack(course / "gpu-pack", course) == pack
    assert sorted(p.name for p in (course / "gpu-pack").iterdir()) == [
        "pack.json",
        "texts",
        "wheels",
    ]


def test_a_pack_takes_the_place_of_an_earlier_one(course):
    build(course / "gpu-pack", root=course)
    (course / "gpu-pack" / "wheels" / "old-1.0-py3-none-any.whl").touch()
    pack = build(course / "gpu-pack", root=course)
    assert len(list((course / "gpu-pack").rglob("*.*"))) == len(pack["files"]) + 1


def test_a_folder_of_something_else_is_left_alone(course, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(PackError, match="is not empty, and no pack"):
        build(tmp_path / "mine", root=course)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_too_many_bytes_are_refused_with_the_size_and_the_largest(course):
    earlier = build(course / "gpu-pack", root=course)
    (course / "large.bin").write_bytes(bytes(3 * 2**20))  # neither tracked nor ignored
    said = r"\(0\.0 MiB\) and the working tree \(3\.0 MiB\) are 3\.0 MiB together, and 2\.0 MiB may"
    with pytest.raises(PackError, match=rf"{said} travel\. .* large\.bin \(3\.0 MiB\), "):
        build(course / "gpu-pack", root=course, limit=2 * 2**20)
    assert check_pack(course / "gpu-pack") == earlier


def test_what_git_ignores_does_not_travel(course):
    (course / ".gitignore").write_text("gpu-pack/\n*.bin\n")
    (course / "large.bin").write_bytes(bytes(3 * 2**20))
    build(course / "gpu-pack", root=course, limit=2 * 2**20)
    assert "large.bin" not in gpu_pack.working_tree(course)
    assert {".gitignore", "lstmlib/models.py"} < gpu_pack.working_tree(course).keys()


def test_an_earlier_pack_counts_once_where_git_does_not_ignore_it(course, tmp_path):
    (tmp_path / "book.txt").write_bytes(bytes(2**20))
    sha = gpu_pack._sha256(tmp_path / "book.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_pack, "text_file", lambda name, root=None: ("book.txt", sha))
        for _ in range(2):
            build(course / "packed", root=course, limit=3 * 2**19)


def test_a_package_without_a_pinned_version_is_refused(course):
    (course / "constraints.txt").write_text("nb-client==1.0\n")
    with pytest.raises(PackError, match=r"no version of kernel for Python 3\.12\. Run: make pins"):
        build(course / "gpu-pack", root=course)
    assert not (course / "gpu-pack").exists()


def test_a_text_that_is_not_at_hand_is_refused(monkeypatch, tmp_path):
    from lstmlib import corpora, decoding

    def not_at_hand(name):
        raise decoding.CorpusUnavailable(f"{name} is on no disk.")

    monkeypatch.setattr(corpora, "find_corpus", not_at_hand)
    with pytest.raises(PackError, match=r"needs the text 'shakespeare'\. shakespeare is on no"):
        gpu_pack.copy_texts(tmp_path / "texts")


def test_a_text_that_was_changed_is_refused(course, tmp_path):
    (tmp_path / "book.txt").write_bytes(b"Another book.\n")
    with pytest.raises(PackError, match="'book' is not the one in datasets/registry.toml"):
        build(course / "gpu-pack", root=course)


def test_no_git_checkout_is_refused(course):
    shutil.rmtree(course / ".git")
    with pytest.raises(PackError, match="built in a git checkout"):
        build(course / "gpu-pack", root=course)


def test_wheels_that_are_not_to_be_had_are_refused_with_pips_words(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(PackError, match=r"Python 3\.12 are not to be had\. ERROR: No matching"):
        gpu_pack.download(["no-such-package-of-ours==1.0"], tmp_path, "3.12")


def test_wheels_for_another_python_and_linux_are_fetched(monkeypatch, tmp_path):
    shelf = tmp_path / "shelf"
    wheel = make_wheel(shelf, "ours")
    for tag in ("cp312-cp312-manylinux_2_28_x86_64", "cp310-cp310-win_amd64"):
        wheel.with_name(f"built-1.0-{tag}.whl").write_bytes(wheel.read_bytes())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    gpu_pack.download(["ours==1.0"], tmp_path / "got", "3.12")
    assert [p.name for p in (tmp_path / "got").iterdir()] == [wheel.name]


# Checking


@pytest.fixture
def pack(course):
    build(course / "gpu-pack", root=course, python_version=PYTHON)
    return course / "gpu-pack"


def test_no_pack_is_refused(tmp_path):
    with pytest.raises(PackError, match="is no pack: it has no pack.json"):
        check_pack(tmp_path)


@pytest.mark.parametrize(
    "said", [b"", b'{"python": "3.12"', b"[]", b"\xff", b'{"python": "3.12"}', b"null"]
)
def test_a_damaged_pack_json_is_refused(pack, said):
    (pack / "pack.json").write_bytes(said)
    with pytest.raises(PackError, match="pack.json is damaged"):
        check_pack(pack)


@pytest.mark.parametrize(("key", "value"), [("files", []), ("files", {"a": 1}), ("code", None)])
def test_a_pack_json_of_another_form_is_refused(pack, key, value):
    said = json.loads((pack / "pack.json").read_text())
    (pack / "pack.json").write_text(json.dumps(said | {key: value}))
    with pytest.raises(PackError, match="pack.json is damaged"):
        check_pack(pack)


@pytest.mark.parametrize("name", ["texts/book.txt", "wheels/kernel-2.0-py3-none-any.whl"])
def test_a_missing_and_a_changed_file_are_refused(pack, name):
    with (pack / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(PackError, match=f"{name} is not as it was built"):
        check_pack(pack)
    (pack / name).unlink()
    with pytest.raises(PackError, match=f"{name} is missing"):
        check_pack(pack)


def test_a_pack_without_a_text_is_refused(pack):
    said = json.loads((pack / "pack.json").read_text())
    del said["files"]["texts/book.txt"]
    (pack / "pack.json").write_text(json.dumps(said))
    with pytest.raises(PackError, match=r"lacks the text 'book' \(book.txt\)"):
        check_pack(pack)


def test_a_pack_of_another_commit_is_noticed(pack, course):
    (course / "lstmlib" / "models.py").write_text("one = 2\n")
    check_pack(pack)
    with pytest.raises(PackError, match="was built for other code, at commit [0-9a-f]{12}"):
        check_pack(pack, course)


# Installing


def test_wheels_are_installed_without_an_index(pack, tmp_path):
    install(pack, tmp_path / "site")
    code = "import kernel, nb_client; print(kernel.version, nb_client.version)"
    path = variables(PYTHONPATH=str(tmp_path / "site"))
    run = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True)
    assert run.stdout == "2.0 1.0\n"


def test_a_pack_for_another_python_is_not_installed(course, tmp_path):
    build(course / "gpu-pack", root=course, python_version="3.99")
    with pytest.raises(PackError, match=rf"for Python 3\.99, and this is Python {PYTHON}\. Build"):
        install(course / "gpu-pack", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_wheel_that_pip_refuses_is_named(pack, tmp_path):
    wheel = pack / "wheels" / "kernel-2.0-py3-none-any.whl"
    wheel.write_bytes(b"not a wheel")
    said = json.loads((pack / "pack.json").read_text())
    said["files"][f"wheels/{wheel.name}"] = gpu_pack._sha256(wheel)
    (pack / "pack.json").write_text(json.dumps(said))
    with pytest.raises(PackError, match=f"could not be installed into .* ERROR: .*{wheel.name}"):
        install(pack, tmp_path / "site")


def test_stages_are_given_whole_paths(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = gpu_pack.variables(Path("site"), Path("gpu-pack"))
    assert given == {
        "PYTHONPATH": f"{ROOT}:{tmp_path}/site",
        "LSTMLIB_DATA": f"{tmp_path}/gpu-pack/texts",
        "JUPYTER_PATH": f"{tmp_path}/site/share/jupyter",
    }


def test_what_the_machine_has_too_old_is_said(monkeypatch, tmp_path):
    needs = ["numpy>=99", "no-such-package-of-ours", "torch", "debugpy", "kernel>=2"]
    monkeypatch.setattr(gpu_pack, "roots", lambda: ["numpy"])
    for wheel in (make_wheel(tmp_path, "a", requires=needs), make_wheel(tmp_path, "kernel")):
        zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    said = unmet(tmp_path / "site")
    assert re.fullmatch(r"a needs numpy>=99; here is \d.*", said[0])
    assert said[1] == "a needs no-such-package-of-ours; here is none"
    assert said[-1] == "a needs kernel>=2; here is 1.0"


# Which code is this?


@pytest.fixture
def tree(tmp_path):
    """Copy the shape of the course: a file of each kind that counts, and some that do not."""
    notebook = {"cells": [{"cell_type": "markdown", "source": "Hello."}]}
    notebook["cells"] += [{"cell_type": "code", "source": ["a = 1\n", "a"], "outputs": []}]
    files = {
        "lstmlib/models.py": "one = 1\n",
        "lstmlib/course/bands/ch00.toml": "a = 1\n",
        "tools/gpu_speed.py": "",
        "experiments/train_text.py": "",
        "runs/case-d/config.json": "{}",
        "runs/leaderboard/entries.json": "[]",
        "benchmarks/measure_speed.py": "",
        "notebooks/00_start.ipynb": json.dumps(notebook),
        "tools/mutate.py": "",
        "runs/case-d/result.json": "{}",
        "benchmarks/speed.json": "{}",
        "README.md": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


COUNTS = [
    "lstmlib/models.py",
    "tools/gpu_speed.py",
    "experiments/train_text.py",
    "runs/case-d/config.json",
    "runs/leaderboard/entries.json",
    "benchmarks/measure_speed.py",
]


@pytest.mark.parametrize("name", COUNTS)
def test_a_change_of_code_or_settings_is_another_code(tree, name):
    before = code_hash(tree)
    assert code_hash(tree) == before
    (tree / name).write_text((tree / name).read_text() + "\n")
    after = code_hash(tree)
    assert after != before
    (tree / name).rename(tree / name.replace(".", "2."))
    assert code_hash(tree) not in (before, after)


def test_results_and_prose_are_not_code(tree):
    before = code_hash(tree)
    for name in ("tools/mutate.py", "runs/case-d/result.json", "benchmarks/speed.json"):
        (tree / name).write_text("other")
    (tree / "README.md").write_text("other")
    (tree / "lstmlib" / "course" / "bands" / "ch00.toml").write_text("a = 2\n")
    (tree / "tools" / "gpu_machine.txt").write_text("other")
    assert code_hash(tree) == before


def test_a_notebooks_code_cells_are_code_and_nothing_else_of_it(tree):
    before, path = code_hash(tree), tree / "notebooks" / "00_start.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["source"] = "Another opening."
    notebook["cells"][1] |= {"source": "a = 1\na", "outputs": [{"text": "1"}]}
    path.write_text(json.dumps(notebook, indent=1))
    assert code_hash(tree) == before
    notebook["cells"][1]["source"] = "a = 2\na"
    path.write_text(json.dumps(notebook))
    assert code_hash(tree) != before
    path.write_text("{")
    with pytest.raises(PackError, match=r"00_start\.ipynb is not a notebook"):
        code_hash(tree)


def test_the_code_of_the_course_is_known_without_git(tmp_path):
    assert re.fullmatch("[0-9a-f]{64}", code_hash(ROOT))
    for name in ("lstmlib", "experiments", "tools", "runs", "benchmarks", "notebooks"):
        keep = shutil.ignore_patterns("*.safetensors", "*.jsonl", "*.png", "output", ".venv")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=keep)
    assert code_hash(tmp_path) == code_hash(ROOT)


# How it is called


def test_git_ignores_what_is_carried_and_what_stages_write():
    for name in ("gpu-pack/pack.json", "gpu-work/right/stage.json"):
        git(ROOT, "check-ignore", "--quiet", name)


def test_the_command_says_what_it_built_and_what_is_wrong(course, monkeypatch, capsys):
    monkeypatch.setattr(
        gpu_pack, "build", lambda out, python: build(out, python_version=python, root=course)
    )
    monkeypatch.setattr(gpu_pack, "working_tree", lambda root=ROOT: {"a": 2**20})
    monkeypatch.setattr(sys, "argv", ["gpu_pack.py", "--out", str(course / "gpu-pack")])
    gpu_pack.main()
    said = capsys.readouterr().out
    assert "MiB  wheels/kernel-2.0-py3-none-any.whl\n" in said
    assert "3 files for Python 3.12, 0.0 MiB; with the working tree 1.0 MiB of 64.0 MiB." in said
    (course / "constraints.txt").write_text("")
    with pytest.raises(SystemExit, match="no version of nb-client"):
        gpu_pack.main()


def test_make_names_it():
    makefile = (ROOT / "Makefile").read_text()
    assert "\ngpu-pack: $(FOR_CHECKS)\n\t$(PY) tools/gpu_pack.py\n" in makefile
    assert '@echo "make gpu-pack ' in makefile


# The rehearsal of the machine


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """Make the environment once: the bare machine's packages, and the pack's."""
    return make_environment(tmp_path_factory.mktemp("rehearsal") / "machine")


def say(python, code, **more):
    command = [str(python), "-c", code]
    return subprocess.run(command, env=variables(**more), capture_output=True, text=True)


def test_the_rehearsal_has_what_the_machine_and_the_pack_have(rehearsal):
    pytest.importorskip("torch")
    names = "torch, nbclient, ipykernel, ipywidgets, pooch, matplotlib, lxml, pytest, hypothesis"
    code = f"import {names}, lstmlib.corpora\n"
    code += "from lstmlib.course import check, plots, widgets\n"
    code += "import sys; print(sys.prefix, lstmlib.__file__)"
    run = say(rehearsal, code)
    assert run.stdout.split() == [str(rehearsal.parents[1]), str(ROOT / "lstmlib/__init__.py")], run


@pytest.mark.parametrize("name", ["nbval", "jupyterlab", "nbconvert", "debugpy", "playwright"])
def test_the_rehearsal_has_nothing_else(rehearsal, name):
    if name != "nbval":
        pytest.importorskip(name)
    assert f"No module named '{name}'" in say(rehearsal, f"import {name}").stderr


def test_the_rehearsal_has_no_lstmlib_but_the_one_it_is_pointed_to(rehearsal, tmp_path):
    command = [rehearsal, "-c", "import lstmlib"]
    run = subprocess.run(
        command, cwd=tmp_path, env=variables(PYTHONPATH=""), capture_output=True, text=True
    )
    assert "No module named 'lstmlib'" in run.stderr


NOTEBOOK = """
import nbformat
from nbclient import NotebookClient

cells = [
    "import sys, lstmlib, ipywidgets; print(sys.executable, lstmlib.__file__)",
    "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()",
    "ipywidgets.IntSlider()",
]
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
NotebookClient(book, kernel_name="python3", timeout=100).execute()
first, second, third = book.cells
print(first.outputs[0].text.strip())
assert "image/png" in second.outputs[0].data
assert "application/vnd.jupyter.widget-view+json" in third.outputs[0].data
"""


def test_a_notebook_runs_in_the_rehearsal_with_its_own_kernel(rehearsal):
    run = say(rehearsal, NOTEBOOK)
    assert run.stdout.split() == [str(rehearsal), str(ROOT / "lstmlib/__init__.py")], run.stderr


def test_a_notebook_runs_on_the_bare_machine_once_the_pack_is_installed(tmp_path, monkeypatch):
    """The way that it goes there: check, install, and then the stages' variables."""
    monkeypatch.setattr(gpu_pack, "TEXTS", ())  # they are not at hand everywhere
    make_pack(tmp_path / "pack")
    bare = make_environment(tmp_path / "machine", with_pack=False)
    assert "No module named 'nbclient'" in say(bare, "import nbclient").stderr
    site = tmp_path / "site"
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r})\n"
    code += f"import gpu_pack, pathlib; gpu_pack.TEXTS = (); site = pathlib.Path({str(site)!r})\n"
    code += f"gpu_pack.install(pathlib.Path({str(tmp_path / 'pack')!r}), site)\n"
    code += "print([line for line in gpu_pack.unmet(site) if 'torch' not in line])"
    run = say(bare, code)
    assert run.stdout == "[]\n", run
    run = say(bare, NOTEBOOK, **gpu_pack.variables(site, tmp_path / "pack"))
    assert run.stdout.split() == [str(bare), str(ROOT / "lstmlib/__init__.py")], run.stderr
