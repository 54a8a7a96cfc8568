"""The rules of the house: imports in one direction, notebooks in form, one list of dependencies."""

import ast
import copy
import io
import json
import re
import runpy
import subprocess
import sys
import tokenize
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lstmlib.course import check
from lstmlib.course.check.exercises import hints_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = [
    "validation",
    "findings",
    "runtime",
    "decoding",
    "markup",
    "epub",
    "boilerplate",
    "readers",
    "corpora",
    "books",
    "languages",
    "cleaning",
    "annotations",
    "vocab",
    "batching",
    "grammars",
    "ngram",
    "scratch",
    "models",
    "conversion",
    "serialization",
    "checkpoints",
    "precision",
    "settings",
    "clipping",
    "history",
    "internals",
    "reach",
    "diagnostics",
    "distributed",
    "sources",
    "run_state",
    "training",
    "throughput",
    "inference",
    "quantized",
    "sampling",
    "generation",
    "metrics",
    "suffixes",
    "thermometer",
    "calibration",
    "two_sample",
    "preferences",
    "report",
    "grammar_eval",
    "probes",
    "interventions",
    "audit",
    "book_run",
    "model_card",
    "explorer",
    "publishing",
]
LONGEST = 350
"""Lines of code of a file in lstmlib, comments and docstrings not counted."""
IGNORED = "nbval-ignore-output"
CHECK_LIST = "12_your_own_book"
"""The one chapter without exercises: it has a list that ticks itself, which a test here holds."""


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def said_by(cell):
    """Return what nbval compares of a cell: its text, and what it shows of the last value."""
    texts = [o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return "\n".join(texts)


REPRS = (
    r"\b(in|out)_(features|channels)=|\belementwise_affine\b|\bbatch_first=",
    r"\b(Linear|LayerNorm|Embedding|Dropout|LSTM|GRU|RNN|CharRNN|Module\w*|Sequential)\(",
    r"\b(tensor|array|Parameter|Size|Series|Index|DataFrame|Timestamp)\(",
    r"\btorch\.(b?float|u?int|bool|half|double|long|Size|device|Tensor)\w*|\b(np|numpy|pd|pandas)\.\w",
    r"\bdtype\b|\bdevice\(|\bgrad_fn\b",
    r"^(float|complex|bfloat)\d+$|\bu?int\d+\b",  # print(x.dtype)
    r"\[ *-?\d+(\.\d*)?(e[+-]\d+)?( +-?\d+(\.\d*)?(e[+-]\d+)?)+ *\]?|\[ *-?\d*\.\]",  # [0. 1.]
    r"^ *\[\[|\]\]$|\[('[^']*' )+'",  # arrays of more dimensions, arrays of strings
    r"\[\d+ rows x \d+ columns\]",
)


def reprs_in(text):
    """Return the pieces of a text that are a library's way to write its objects."""
    return [m.group() for pattern in REPRS for m in re.finditer(pattern, text, re.MULTILINE)]


@pytest.mark.parametrize(
    "text",
    [
        "CharRNN(\n  (embedding): Embedding(88, 128)",
        "  (norm): LayerNorm((256,), eps=1e-05, elementwise_affine=True, bias=True)",
        "Linear(in_features=2, out_features=1, bias=True)",
        "tensor([[1., 2.]])",
        "torch.Size([2, 3])",
        "in torch.float32",
        "int64 and as long",
        "device(type='cpu')",
        "{'a': np.float64(0.5)}",
        "array([1, 2])",
        "[-0.1  0.1]",
        "[0. 0. 1.]",
        "(()) becomes [1 4 4 5 5 2]",
        "[['.start' '(']\n ['a' 'b']]",
        "dtype: float64",
    ],
)
def test_the_repr_of_a_library_is_seen(text):
    assert reprs_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "float32:  True",
        "(16, 64) (16, 64)",
        "values: [0.0, 1.25]",
        "weight_ih_l0 (20, 4)",
        "Vocab(characters: 68, special tokens: 1) makes 38 50",
        "precision          bfloat16",
        "torch.compile: no gain: ok",
        "{'b': (0.13, 0.06)}",
        "<Figure size 880x440 with 1 Axes>",
        "2 LSTM layers of 256",
    ],
)
def test_our_own_words_are_no_repr(text):
    assert not reprs_in(text)


# lstmlib


def test_the_list_of_modules_is_the_folder():
    modules = {p.stem for p in (ROOT / "lstmlib").glob("*.py")} - {"__init__"}
    packages = {p.parent.name for p in (ROOT / "lstmlib").glob("*/__init__.py")} - {"course"}
    assert modules | packages == set(MODULES)
    package = ast.get_docstring(ast.parse((ROOT / "lstmlib/__init__.py").read_text()))
    assert re.findall(r"^    (\w+)  ", package, re.M) == MODULES
    readme = (ROOT / "lstmlib/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]*\| (`\w+`(?:, `\w+`)*) \|", readme.partition("# Where")[0], re.M)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_modules_above_it(module):
    for path in files_of(module):
        imported = {name.split(".")[1] for name in imports(path) if name.startswith("lstmlib.")}
        own = {module} if path.parent.name == module else set()  # the parts of a package
        assert imported <= {*MODULES[: MODULES.index(module)], *own}, path


def test_the_library_imports_nothing_of_the_course():
    for module in MODULES:
        for path in files_of(module):
            assert not any(name.startswith("lstmlib.course") for name in imports(path)), path


# What is drawn and checked may look at all of the library; a chapter's file at no other chapter's.
PARTS = {
    "plots": ("style", "training"),
    "check": ("facts", "watch", "exercises"),
    "widgets": ("rendering", "controls"),
}


@pytest.mark.parametrize("package", PARTS)
def test_a_file_of_a_chapter_imports_none_of_another_chapter(package):
    folder = ROOT / "lstmlib/course" / package
    here, shared = f"lstmlib.course.{package}.", PARTS[package]
    for path in folder.glob("*.py"):
        if path.stem == "__init__":
            continue
        own = {n.removeprefix(here).split(".")[0] for n in imports(path) if n.startswith(here)}
        allowed = shared[: shared.index(path.stem)] if path.stem in shared else shared
        assert own <= set(allowed), path


def test_only_panels_import_another_part_of_the_course():
    for path in (ROOT / "lstmlib/course").rglob("*.py"):
        part = path.relative_to(ROOT / "lstmlib/course").parts[0]
        others = {n.split(".")[2] for n in imports(path) if n.startswith("lstmlib.course.")}
        assert others - {part} <= ({"plots"} if part == "widgets" else set()), path


def test_no_file_of_the_library_is_long():
    for path in sorted((ROOT / "lstmlib").rglob("*.py")):
        assert lines_of_code(path) <= LONGEST, path


def files_of(module):
    """Return the files of a module, or of a package of that name."""
    file = ROOT / "lstmlib" / f"{module}.py"
    return [file] if file.exists() else sorted((ROOT / "lstmlib" / module).rglob("*.py"))


def imports(path):
    """Return the modules that a file imports, also within functions: "lstmlib.models", "numpy"."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in ("lstmlib", "lstmlib.course"):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def lines_of_code(path):
    """Count the lines of a file that are code: neither blank nor comment nor docstring."""
    source = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    lines, prose = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            prose.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (*nothing, tokenize.ENDMARKER):
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - prose)


def test_what_trains_on_a_gpu_needs_only_what_such_a_machine_has():
    """A bare machine has torch, NumPy, tqdm and safetensors, and none of the other dependencies."""
    pytest.importorskip("torch")
    names = re.findall(r'^    "([\w-]+)[>=]', (ROOT / "pyproject.toml").read_text(), re.M)
    imported_as = {"charset-normalizer": "charset_normalizer"}
    blocked = {imported_as.get(name, name) for name in names} | {"IPython"}
    assert {"lxml", "pooch", "matplotlib", "jupyterlab", "pytest"} < blocked
    # PyTorch itself depends on filelock.
    blocked -= {"torch", "numpy", "tqdm", "safetensors", "filelock", "setuptools"}
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(blocked)!r}))\n"
    code += "import lstmlib.generation, lstmlib.throughput, lstmlib.training\n"
    code += "import benchmarks.measure_speed\n"
    code += "from experiments import leaderboard, train_distributed, train_windows"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# The folders beside it

OUTSIDE = {"experiments", "benchmarks", "tools", "tests"}
"""Folders of programs; a program of tools/ or tests/ may also be imported by its bare name."""


def imported_by(source):
    """Return the first part of the name of each module that a source imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[0] for name in names}


def programs(*folders):
    return {path.stem for folder in folders for path in (ROOT / folder).glob("*.py")}


def test_what_a_source_imports_is_seen():
    source = "import a.b, c\nfrom d.e import f\nfrom . import g\ndef h():\n    import i\n"
    assert imported_by(source) == {"a", "c", "d", "i"}


def test_lstmlib_imports_no_program():
    for path in (ROOT / "lstmlib").rglob("*.py"):
        assert not imported_by(path.read_text()) & OUTSIDE, path.name


def test_experiments_import_lstmlib_and_each_other_alone():
    beside = OUTSIDE - {"experiments"} | programs("tools", "benchmarks")
    for path in (ROOT / "experiments").rglob("*.py"):
        assert not imported_by(path.read_text()) & beside, path.name


def test_runs_are_data_alone():
    assert not list((ROOT / "runs").rglob("*.py"))


def test_notebooks_import_lstmlib_and_what_is_installed():
    ours = OUTSIDE | programs("experiments", "benchmarks", "tools")
    for path in NOTEBOOKS:
        source = "\n".join(c.source for c in code_cells(path) if not c.source.startswith("%%"))
        lines = [line for line in source.splitlines() if not line.startswith(("%", "!"))]
        assert not imported_by("\n".join(lines)) & ours, path.name


# Notebooks


def test_there_are_notebooks_numbered_without_a_gap():
    assert [int(p.name[:2]) for p in NOTEBOOKS] == list(range(14))


def test_a_chapter_leads_to_the_next_one_and_back():
    """All but chapter 13, which is read after 05, or never."""
    line = [path for path in NOTEBOOKS if not path.name.startswith("13")]
    ends = {p.name: nbformat.read(p, as_version=4).cells[-1].source for p in line}
    for before, after in pairwise([path.name for path in line]):
        assert f"({after})" in ends[before] and f"({before})" in ends[after], after


def is_folded(cell):
    return cell.metadata.get("jupyter", {}).get("source_hidden", False)


def only_checks(source):
    """Say whether a cell does nothing but check."""
    calls = [n.value for n in ast.parse(source).body if isinstance(n, ast.Expr)]
    return len(calls) == len(ast.parse(source).body) and all(
        ast.unparse(call).startswith("check.") for call in calls
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
class TestNotebook:
    def test_is_committed_with_outputs_of_one_run(self, path):
        counts = [c.execution_count for c in code_cells(path)]
        assert counts == list(range(1, len(counts) + 1))
        assert any(c.outputs for c in code_cells(path))

    def test_holds_nothing_of_the_machine_it_ran_on(self, path):
        text = path.read_text(encoding="utf-8")
        notebook = json.loads(text)
        assert "widgets" not in notebook["metadata"]
        assert not re.search(r"/(home|root|tmp|work|Users)/", text)

    def test_is_tidy_and_small_enough_for_code_hosts(self, path):
        notebook = nbformat.read(path, as_version=4)
        tidied = copy.deepcopy(notebook)
        runpy.run_path(str(ROOT / "tools" / "execute_notebooks.py"))["tidy"](tidied)
        is_tidy = tidied == notebook
        assert is_tidy, "run: make notebooks NB=--tidy-only"
        assert path.stat().st_size < 1_000_000

    def test_runs_in_any_working_directory_and_writes_where_it_may(self, path):
        """Paths come from course_folder() and output_folder() in lstmlib.runtime."""
        for cell in code_cells(path):
            # A path that goes on from such a folder may: course / "runs/…".
            relative = r"""(?<!/ )(?<!/ f)["'](\.\./|(output|runs|benchmarks|tools)/)"""
            assert not re.search(relative, cell.source)
            assert not re.search(r"""Path\(f?["']""", cell.source)

    def test_holds_no_error_and_no_warning(self, path):
        for cell in code_cells(path):
            for output in cell.outputs:
                assert output.output_type != "error"
                assert "Warning" not in output.get("text", "")

    def test_an_ignored_output_is_followed_by_a_checked_one(self, path):
        cells = code_cells(path)
        for cell, following in zip(cells, [*cells[1:], None], strict=True):
            if IGNORED in tags(cell):
                assert following is not None, cell.source
                assert IGNORED not in tags(following), cell.source
                said = "".join(o.get("text", "") for o in following.outputs)
                assert ": ok" in said, f"no checked fact after:\n{cell.source}"

    def test_a_checked_output_holds_no_repr_of_a_library(self, path):
        """PyTorch, NumPy and pandas change theirs from version to version."""
        for cell in code_cells(path):
            if IGNORED not in tags(cell):
                found = reprs_in(said_by(cell))
                assert not found, f"{found}; print facts of our own in\n{cell.source}"

    def test_opens_and_closes_as_the_others_do(self, path):
        cells = nbformat.read(path, as_version=4).cells
        opening = cells[0].source
        for part in ("**You will be able to**", "**You need**", "**Measured time**"):
            assert part in opening
        rest = "\n".join(c.source for c in cells[1:] if c.cell_type == "markdown")
        work = ("## Check list",) if path.stem == CHECK_LIST else ("## Exercises", "## Solutions")
        for part in ("## Summary", *work, "(../README.md#chapters)"):
            assert part in rest

    def test_cells_are_small(self, path):
        lengths = sorted(len(c.source.splitlines()) for c in code_cells(path))
        assert lengths[len(lengths) // 2] <= 6
        assert lengths[-1] <= 12

    def test_solutions_stand_between_markers_and_are_right(self, path):
        solutions = [c for c in code_cells(path) if "solution" in tags(c)]
        assert bool(solutions) == (path.stem != CHECK_LIST)
        for cell in solutions:
            assert cell.source.startswith("### BEGIN SOLUTION\n# "), "begin with a sentence on why"
            assert cell.source.endswith("\n### END SOLUTION")
            assert is_folded(cell)
            said = "".join(o.text for o in cell.outputs).split("\n")
            assert set(said) == {"right", ""}

    def test_every_exercise_has_a_stub_a_check_a_hint_and_a_solution(self, path):
        chapter = f"ch{path.name[:2]}"
        hints = hints_of(chapter)
        assert len(hints) >= 6 or (path.stem == CHECK_LIST and not hints)
        cells = [c for c in code_cells(path) if "exercise" in tags(c)]
        solutions = [c for c in code_cells(path) if "solution" in tags(c)]
        for name in hints:
            of = [c for c in cells if f"check.{name}(" in c.source]
            assert len(of) == 1, name
            assert f'# check.hint("{chapter}.{name}")' in of[0].source
            assert said_by(of[0]).strip() == "not attempted yet"
            assert sum(f"check.{name}(" in c.source for c in solutions) == 1, name
        assert len(cells) == len(solutions) == len(hints)

    def test_an_answer_to_what_is_to_be_tried_is_folded(self, path):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
        answers = re.findall(r"<details>\s*<summary>Answer", text)
        assert len(answers) == len(re.findall(r"\*To try\.\*", text)) >= 1

    def test_checks_do_not_stand_between_a_reader_and_the_text(self, path):
        """Cells that only check are folded; at most one in eight that can be seen checks."""
        cells = code_cells(path)
        checking = [c for c in cells if re.search(r"\bcheck\.(fact|band|enough_text)\(", c.source)]
        for cell in checking:
            if only_checks(cell.source):
                assert is_folded(cell) and "hide-input" in tags(cell), cell.source
        for cell in cells:
            if is_folded(cell):
                assert cell in checking or "solution" in tags(cell), cell.source
        seen = [c for c in checking if not is_folded(c)]
        assert len(seen) <= len(cells) / 8, f"{len(seen)} of {len(cells)} that are seen check"

    def test_every_figure_says_in_words_what_it_shows(self, path):
        texts = [
            output.metadata.get("image/png", output.metadata).get("alt", "")
            for cell in code_cells(path)
            for output in cell.outputs
            if "image/png" in output.get("data", {})
        ]
        assert all(len(text) >= 40 for text in texts), texts
        assert len(set(texts)) == len(texts)

    def test_links_lead_somewhere(self, path):
        text = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells)
        links = re.findall(r"\]\(([^):]+)\)", text)
        assert links
        for link in links:
            target, _, anchor = link.partition("#")
            assert (path.parent / target).exists(), link
            page = (path.parent / target).read_text("utf-8")
            heads = re.findall(r"^#+ (.*)$", page, re.M)
            assert not anchor or anchor in [head.lower().replace(" ", "-") for head in heads], link
            # JupyterLab keeps a heading's capitals. There, such a heading needs a mark of its own.
            marks = re.findall(r'<a id="(.*?)">', page)
            assert not anchor or anchor in marks + [head.replace(" ", "-") for head in heads], link

    def test_measured_times_are_the_recorded_ones(self, path):
        tool = runpy.run_path(str(ROOT / "tools" / "execute_notebooks.py"))
        times = json.loads((ROOT / "notebooks" / "times.json").read_text())[path.name]
        assert {"ci", "cpu"} <= set(times)
        opening = nbformat.read(path, as_version=4).cells[0].source
        assert tool["times_line"](times) in opening
        row = " | ".join(tool["duration"](times.get(p)) for p in ("ci", "cpu", "gpu"))
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        assert re.search(rf"\(notebooks/{path.name}\).*\| {re.escape(row)} \|$", readme, re.M)


def test_the_chapter_without_exercises_has_a_list_that_is_ticked():
    """Its cells tell the list what they made, and the committed run has done all that is on it."""
    cells = code_cells(ROOT / "notebooks" / f"{CHECK_LIST}.ipynb")
    names = [item.name for item in check.CheckList().items]
    assert len(names) >= 10
    noted = {
        keyword.arg
        for cell in cells
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "todo.note"
        for keyword in node.keywords
    }
    assert noted == check.CheckList.KNOWN
    (shown,) = [said_by(cell) for cell in cells if cell.source == "todo.show()"]
    assert re.findall(r"^\[x\] ([^:]+): ", shown, re.M) == names


def test_chapter_00_promises_no_more_of_its_larger_network_than_was_measured():
    cells = nbformat.read(NOTEBOOKS[0], as_version=4).cells
    opening = next(c.source for c in cells if "`cpu`" in c.source)
    assert "its loss came no lower than that of `cpu`" in opening
    text = (ROOT / "lstmlib/course/bands/ch00.toml").read_text(encoding="utf-8")
    bands = tomllib.loads(text)
    measured = bands["00.validation_loss"]["measured"]
    assert measured["gpu"][0] >= measured["cpu"][0]


# README, environment.yml


def test_readme_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert len(links) >= len(NOTEBOOKS)
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_text_in_the_readme_was_written_by_the_network_that_it_names():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    sample, path = re.search(
        r"((?:^    .*\n)+)\n\*Written, .*\n.*\(([^)]+)\)\)\.\*", text, re.M
    ).groups()
    lines = "\n".join(line.removeprefix("    ") for line in sample.splitlines())
    assert lines in (ROOT / path).read_text(encoding="utf-8").partition("temperature 1.0")[0]


def test_readme_names_every_notebook():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"(notebooks/{path.name})" in text for path in NOTEBOOKS)


def pip_lines():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, section = environment["dependencies"]
    assert python == "python=3.11"
    assert pip == "pip"
    return section["pip"]


def test_environment_yml_has_no_dependency_of_its_own():
    assert pip_lines() == ["-c constraints.txt", "-e ."]


def test_environment_yml_asks_for_the_environment_that_make_built(tmp_path):
    """conda writes the pip lines to a file beside environment.yml and hands it to pip; so do we.

    Without an index pip can only succeed if all that is asked for is installed here already.
    """
    pytest.importorskip("torch")
    requirements = ROOT / "condaenv.test.requirements.txt"
    requirements.write_text("\n".join(pip_lines()) + "\n")
    try:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index"]
        command += ["--no-build-isolation", "--report", str(tmp_path / "report.json")]
        command += ["-r", requirements.name]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    finally:
        requirements.unlink()
    assert run.returncode == 0, run.stdout + run.stderr
    installs = json.loads((tmp_path / "report.json").read_text())["install"]
    assert [i["metadata"]["name"] for i in installs] == ["lstmlib"]


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared_pythons():
    """Return the Pythons that the classifiers name: "3.10", "3.11", …"""
    heads = [line.split(" :: ") for line in project()["classifiers"]]
    return [parts[-1] for parts in heads if parts[:2] == ["Programming Language", "Python"]]


def pins(python):
    """Return the pins that count on a Linux machine with this Python: name -> version."""
    machine = {"python_version": python, "python_full_version": f"{python}.0"}
    machine |= {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"}
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin = None if line.lstrip().startswith("#") else Requirement(line)
        if pin and (pin.marker is None or pin.marker.evaluate(machine)):
            assert pin.name not in found, f"{pin.name} is pinned twice on Python {python}"
            found[pin.name] = str(pin.specifier).removeprefix("==")
    return found


def test_every_place_that_names_the_pythons_names_the_same():
    first, last = declared_pythons()[0], declared_pythons()[-1]
    numbers = [int(python.removeprefix("3.")) for python in declared_pythons()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert project()["requires-python"] == f">={first},<3.{numbers[-1] + 1}"
    finder = (ROOT / "tools" / "find_python.sh").read_text()
    assert f"(3, {numbers[0]}) <= sys.version_info < (3, {numbers[-1] + 1})" in finder
    assert set(re.findall(r"python(3\.\d+)", finder)) == set(declared_pythons())
    for path in ("README.md", "tools/find_python.sh"):
        assert f"Python {first} to {last}" in (ROOT / path).read_text(encoding="utf-8")
    tested = re.search(r"test_pythons.py (.*)", (ROOT / "Makefile").read_text())[1].split()
    assert sorted([*tested, "3.11"]) == declared_pythons()


@pytest.mark.parametrize("python", declared_pythons())
def test_every_pin_installs_on_every_declared_python(python):
    """What is installed here says on which Pythons it may be; each pin holds from the .0 on."""
    checked = 0
    for name, version in pins(python).items():
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue  # for another Python or another system
        if installed.version.partition("+")[0] == version:
            wanted = SpecifierSet(installed.metadata["Requires-Python"] or "")
            assert f"{python}.0" in wanted, f"{name}=={version}"
            checked += 1
    assert checked > 50


@pytest.mark.parametrize("python", declared_pythons())
def test_every_dependency_is_pinned(python):
    wanted = project()["dependencies"] + project()["optional-dependencies"]["dev"]
    machine = {"python_version": python, "python_full_version": f"{python}.0"}
    wanted = [Requirement(line) for line in wanted]
    asked = {w.name for w in wanted if w.marker is None or w.marker.evaluate(machine)}
    assert asked <= set(pins(python))


def test_the_pins_with_hashes_are_the_pins():
    """All but PyTorch and what it brings: its builds differ, and so do their hashes."""
    plain = (ROOT / "constraints.txt").read_text().splitlines()
    hashed = (ROOT / "constraints-hashes.txt").read_text()
    pinned = [line.removesuffix(" \\") for line in hashed.splitlines() if "==" in line]
    brought = r"torch|triton|cuda-|nvidia-|fsspec|mpmath|networkx|sympy"
    assert pinned == [line for line in plain if "==" in line and not re.match(brought, line)]
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", hashed)) > 2 * len(pinned)
