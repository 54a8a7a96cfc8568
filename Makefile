# Two commands: `make lab` opens the course, `make test` checks all of it. Each sets up what it needs.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# The settings turn off JupyterLab's questions about news and updates, which need a network.
LAB_FLAGS := --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
	--LabApp.app_settings_dir=tools/lab_settings
PYTEST := env LSTMLIB_PROFILE=ci JUPYTER_PREFER_ENV_PATH=1 $(PY) -m pytest --nbval --nbval-current-env \
	--nbval-sanitize-with tests/nbval_sanitize.cfg

.PHONY: help lab test test-offline notebooks format clean

help:
	@echo "make lab           open JupyterLab on the first notebook"
	@echo "make test          run every check: style, tests, every notebook under nbval"
	@echo "make test-offline  what uses real books (corpora, runs, chapters 01, 03), with no data and no network"
	@echo "make notebooks     execute every notebook in place (NB=path for one, PROFILE=ci|cpu|gpu)"
	@echo "make format        format code and notebooks"
	@echo "make clean         remove the environment and caches"

# Reinstalled only when the list of dependencies or the tested versions change.
$(STAMP): pyproject.toml constraints.txt
	@python=$$(sh tools/find_python.sh) && $$python -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

# Root needs leave to start JupyterLab; a machine without a screen gets the URL instead of a browser.
lab: $(STAMP)
	@flags="$(LAB_FLAGS)"; \
	if [ "$$(id -u)" = 0 ]; then flags="$$flags --allow-root"; fi; \
	if [ "$$(uname)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY$$BROWSER" ]; then flags="$$flags --no-browser"; fi; \
	JUPYTER_PREFER_ENV_PATH=1 $(PY) -m jupyter lab $$flags

test: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PYTEST) tests notebooks

# A proxy that is not there: every download fails at once.
test-offline: $(STAMP)
	env -u LSTMLIB_DATA HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 \
		$(PYTEST) tests/test_corpora.py tests/test_cleaning.py tests/test_runs.py tests/test_patients.py \
		notebooks/01_data_cleaning.ipynb notebooks/03_lstm_from_scratch.ipynb

PROFILE ?= cpu
notebooks: $(STAMP)
	$(PY) tools/execute_notebooks.py --profile $(PROFILE) $(NB)

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) benchmarks/.venv .pytest_cache .ruff_cache .hypothesis *.egg-info
