"""The rules of the house: imports in one direction, notebooks in form, one list of dependencies."""

import ast
import json
import re
import runpy
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = [
    "profile",
    "decoding",
    "markup",
    "boilerplate",
    "readers",
    "corpora",
    "cleaning",
    "vocab",
    "batching",
    "grammars",
    "scratch",
    "models",
    "checkpoints",
    "diagnostics",
    "distributed",
    "training",
    "speed",
    "inference",
    "sampling",
    "metrics",
    "plots",
    "widgets",
    "check",
]
IGNORED = "nbval-ignore-output"


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


# lstmlib


def test_the_list_of_modules_is_the_folder():
    found = {p.stem for p in (ROOT / "lstmlib").glob("*.py")} - {"__init__"}
    assert found == set(MODULES)
    package = ast.get_docstring(ast.parse((ROOT / "lstmlib/__init__.py").read_text()))
    assert re.findall(r"^    (\w+)  ", package, re.M) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_modules_above_it(module):
    tree = ast.parse((ROOT / "lstmlib" / f"{module}.py").read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lstmlib"):
            names = node.module.split(".")[1:] or [alias.name for alias in node.names]
            imported.update(names)
        elif isinstance(node, ast.Import):
            imported.update(a.name.split(".")[1] for a in node.names if "lstmlib." in a.name)
    assert imported <= set(MODULES[: MODULES.index(module)])


def test_what_trains_on_a_gpu_needs_only_what_such_a_machine_has():
    """A bare machine has torch, NumPy, tqdm and safetensors, and none of the other dependencies."""
    names = re.findall(r'^    "([\w-]+)[>=]', (ROOT / "pyproject.toml").read_text(), re.M)
    imported_as = {"charset-normalizer": "charset_normalizer"}
    blocked = {imported_as.get(name, name) for name in names} | {"IPython", "pydoc_data"}
    assert {"lxml", "pooch", "matplotlib", "jupyterlab", "pytest"} < blocked
    blocked -= {"torch", "numpy", "tqdm", "safetensors", "setuptools"}
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(blocked)!r}))\n"
    code += "import lstmlib.sampling, lstmlib.speed, lstmlib.training"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# Notebooks


def test_there_are_notebooks_numbered_without_a_gap():
    assert [int(p.name[:2]) for p in NOTEBOOKS] == list(range(len(NOTEBOOKS)))
    assert len(NOTEBOOKS) >= 2


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

    def test_opens_and_closes_as_the_others_do(self, path):
        cells = nbformat.read(path, as_version=4).cells
        opening = cells[0].source
        for part in ("**You will be able to**", "**You need**", "**Measured time**"):
            assert part in opening
        rest = "\n".join(c.source for c in cells[1:] if c.cell_type == "markdown")
        for part in ("## Summary", "## Exercises", "## Solutions", "(../README.md)"):
            assert part in rest

    def test_cells_are_small(self, path):
        lengths = sorted(len(c.source.splitlines()) for c in code_cells(path))
        assert lengths[len(lengths) // 2] <= 6
        assert lengths[-1] <= 12

    def test_solutions_stand_between_markers_and_are_right(self, path):
        solutions = [c for c in code_cells(path) if "solution" in tags(c)]
        assert solutions
        for cell in solutions:
            assert cell.source.startswith("### BEGIN SOLUTION\n")
            assert cell.source.endswith("\n### END SOLUTION")
            assert cell.metadata["jupyter"]["source_hidden"]
            said = "".join(o.text for o in cell.outputs).split("\n")
            assert set(said) == {"right", ""}

    def test_links_lead_somewhere(self, path):
        text = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells)
        links = re.findall(r"\]\(([^):]+)\)", text)
        assert links
        for link in links:
            target, _, anchor = link.partition("#")
            assert (path.parent / target).exists(), link
            heads = re.findall(r"^#+ (.*)$", (path.parent / target).read_text("utf-8"), re.M)
            assert not anchor or anchor in [head.lower().replace(" ", "-") for head in heads], link

    def test_measured_times_are_the_recorded_ones(self, path):
        tool = runpy.run_path(str(ROOT / "tools" / "execute_notebooks.py"))
        times = json.loads((ROOT / "notebooks" / "times.json").read_text())[path.name]
        assert {"ci", "cpu"} <= set(times)
        opening = nbformat.read(path, as_version=4).cells[0].source
        assert tool["times_line"](times) in opening
        row = " | ".join(tool["duration"](times.get(p)) for p in ("ci", "cpu", "gpu"))
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        assert re.search(rf"\(notebooks/{path.name}\).*\| {re.escape(row)} \|$", readme, re.M)


# README, environment.yml


def test_readme_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert len(links) >= len(NOTEBOOKS)
    for link in links:
        assert (ROOT / link).exists(), link


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
    assert pip_lines() == ["-c constraints.txt", "-e .[dev]"]


def test_environment_yml_asks_for_the_environment_that_make_built(tmp_path):
    """conda writes the pip lines to a file beside environment.yml and hands it to pip; so do we.

    Without an index pip can only succeed if all that is asked for is installed here already.
    """
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


def test_every_pin_installs_on_every_declared_python():
    """A pin counts on 3.10 and later, with a marker on 3.11 and later, each from its .0 on."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin = re.fullmatch(r"([a-z0-9-]+)==(\S+?)(; python_version (<|>=) \"3\.11\")?", line)
        if not pin or pin[4] == "<":
            continue
        try:
            installed = distribution(pin[1])
        except PackageNotFoundError:
            continue  # for another Python or another system
        pythons = ["3.11.0", "3.12.0", "3.13.0"] + ([] if pin[3] else ["3.10.0"])
        wanted = SpecifierSet(installed.metadata["Requires-Python"] or "")
        assert all(python in wanted for python in pythons), line


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "constraints.txt").read_text(), re.M))
    assert {re.match(r"[a-z0-9-]+", line).group() for line in wanted} <= pinned
