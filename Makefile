# `make lab` opens the course. Like every other command, it sets up what it needs.

VENV := .venv
PY := $(VENV)/bin/python
# What is done, tools/course.py does, which also runs where there is no make. It sees whether there is
# anything to install. The environment's Python runs it, or, as long as there is none, another.
SETUP := python=$$($(PY) -c 'print("$(PY)")' 2> /dev/null || sh tools/find_python.sh) && "$$python" tools/course.py
# for instructors
# `make test` checks all of it.
FOR_CHECKS := installed-for-checks
PYTEST := $(PY) tools/course.py test
# In several processes, each with whole files; tests/conftest.py says how many. WORKERS=0: in one.
WORKERS ?= logical
.PHONY: test test-fast bench test-offline test-oldest test-pythons notebooks format pins gpu-pack student instructor assignment grade release book report slides poster installed-for-checks
# for all

.PHONY: help lab clean

help:
	@echo "make lab           open JupyterLab on the first notebook"
# for instructors
	@echo "make test          run every check: style, tests, every notebook under nbval"
	@echo "make bench         measure all speeds again, on a quiet machine, into benchmarks/README.md (PAGE=1: the page alone)"
	@echo "make test-fast     style, rules and quick tests of lstmlib, in a minute; no notebook, no browser"
	@echo "make test-offline  what uses real books (corpora, runs, chapters 01, 03), with no data and no network"
	@echo "make test-oldest   every notebook again, computed as the oldest processors compute"
	@echo "make test-pythons  what needs no PyTorch, on each Python that is on this machine"
	@echo "make notebooks     execute every notebook in place (NB=path for one, PROFILE=ci|cpu|gpu)"
	@echo "make report        execute chapters beside the course; one page on what came of them"
	@echo "                   (PROFILE=ci|cpu|gpu, CORPUS=name or file, CHAPTERS=\"00 03\", OUT=folder)"
	@echo "make slides        slides of every chapter, for a browser without a network (OUT=folder)"
	@echo "make poster        the whole line on one page, as PDF and SVG (OUT=folder)"
	@echo "make student       write the course for a class: no solutions, no answers (OUT=folder)"
	@echo "make instructor    write the whole course with an answer key (OUT=folder)"
	@echo "make assignment    write exercises as a course of nbgrader (CHAPTERS=\"02 03\", OUT=folder;"
	@echo "                   HOMEWORK=1: those of the teaching plan; EXERCISES=\"02:1,3,4\": these alone)"
	@echo "make grade         grade what lies in its submitted/, and say how the class did (COURSE=folder)"
	@echo "make book          build one offline site of all chapters, and a PDF of it (OUT=folder)"
	@echo "                   with all solutions; EDITION=student: the book for a class, without them"
	@echo "make release       both, the stand-alone pages, and what was built, in one archive with checksums (OUT=folder)"
	@echo "make format        format code and notebooks"
	@echo "make pins          bring constraints.txt up to date (UPGRADE= keeps what is pinned)"
	@echo "make gpu-pack      build the folder to carry to a bare GPU machine (tools/gpu.py says what runs there)"
# for all
	@echo "make clean         remove the environment and caches"

lab:
	@$(SETUP) lab

# for instructors
installed-for-checks:
	@$(SETUP) install checks

test:
	@$(SETUP) test

# For every day: style, the rules of the house, and of lstmlib what is quick. `make test` has the rest.
test-fast: $(FOR_CHECKS)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	env WORKERS=$(WORKERS) $(PYTEST) -q -m "not slow" tests/test_house.py tests/lstmlib

# A proxy that is not there: every download fails at once.
test-offline: $(FOR_CHECKS)
	env -u LSTMLIB_DATA HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 \
		$(PYTEST) tests/lstmlib/test_corpora.py tests/lstmlib/test_cleaning.py tests/records/test_runs.py tests/experiments/test_patients.py \
		notebooks/01_data_cleaning.ipynb notebooks/03_lstm_from_scratch.ipynb

# What compares speeds: one program after the other, on a quiet machine. PAGE=1: the page alone.
bench: $(FOR_CHECKS)
	$(PY) -m benchmarks.$(if $(PAGE),page,bench)

# PyTorch and oneDNN compute as on a processor without any instruction set since SSE4.1.
test-oldest: $(FOR_CHECKS)
	env ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1 WORKERS=$(WORKERS) $(PYTEST) notebooks

# Python 3.11 has PyTorch, and runs everything in `make test`.
test-pythons: $(FOR_CHECKS)
	$(PY) tools/test_pythons.py 3.10 3.12 3.13 3.14

PROFILE ?= cpu
notebooks: $(FOR_CHECKS)
	$(PY) tools/execute_notebooks.py --profile $(PROFILE) $(NB)

# Nothing in the course is changed, and no bytecode is left in it.
report: $(FOR_CHECKS)
	env JUPYTER_PREFER_ENV_PATH=1 PYTHONDONTWRITEBYTECODE=1 $(PY) tools/rerun_report.py --profile $(PROFILE) \
		$(if $(CORPUS),--corpus "$(CORPUS)") $(if $(CHAPTERS),--chapters $(CHAPTERS)) $(if $(OUT),--out "$(OUT)")

# reveal.js and MathJax come from npm, once.
slides poster: $(FOR_CHECKS)
	$(PY) tools/$@.py $(if $(OUT),--out "$(OUT)")

format: $(FOR_CHECKS)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# PyTorch stays: a new one is a decision, for all measured numbers may move.
UPGRADE ?= --upgrade
PINS := uv pip compile --quiet --universal --python-version 3.10 --extra dev --no-annotate \
	--custom-compile-command "make pins" pyproject.toml
BY_PYTORCH := torch fsspec mpmath networkx sympy
pins: $(FOR_CHECKS)
	$(PY) -m pip install --quiet uv
	grep '^torch==' constraints.txt > $(VENV)/torch.txt
	$(PY) -m $(PINS) $(UPGRADE) -c $(VENV)/torch.txt -o constraints.txt
	echo "torch; sys_platform == 'none'" > $(VENV)/no-torch.txt
	$(PY) -m $(PINS) --generate-hashes -c constraints.txt --override $(VENV)/no-torch.txt \
		$(addprefix --no-emit-package ,$(BY_PYTORCH)) -o constraints-hashes.txt

# What a machine with a GPU and no network lacks: wheels and texts. Then: tools/gpu.py
gpu-pack: $(FOR_CHECKS)
	$(PY) tools/gpu_pack.py

# Into editions/, or into OUT: written whole or not at all.
student instructor: $(FOR_CHECKS)
	$(PY) tools/editions.py $@ $(if $(OUT),--out "$(OUT)")

# A course folder of nbgrader: exercises go out, and what comes back is graded.
COURSE ?= editions/assignment
assignment: $(FOR_CHECKS)
	$(PY) tools/assignment.py $(CHAPTERS) $(if $(EXERCISES),--exercises $(EXERCISES)) $(if $(HOMEWORK),--homework) $(if $(OUT),--out "$(OUT)")

grade: $(FOR_CHECKS)
	$(PY) tools/grading_run.py "$(COURSE)" $(CHAPTERS)

# Nothing is executed: it shows what was committed. Into book/_build (EDITION=student: book/_build-student), or into OUT.
book: $(FOR_CHECKS)
	$(PY) tools/build_book.py $(if $(EDITION),--edition "$(EDITION)") $(if $(OUT),--out "$(OUT)")

release: $(FOR_CHECKS)
	$(PY) tools/release.py $(if $(OUT),--out "$(OUT)")
# for all

clean:
	rm -rf $(VENV) .venv-pythons .venv-drift benchmarks/.venv .pytest_cache .ruff_cache .hypothesis gpu-pack book/_build book/_build-student *.egg-info
