# Make .venv in the folder of the course, or bring it up to date; say what comes, and how much.
#     sh tools/install.sh [dev]      dev: what the checks need, too
#     HASHES=1                       take only files whose SHA-256 is in constraints-hashes.txt
set -eu
cd "$(dirname "$0")/.."
PY=.venv/bin/python
CPU_INDEX=https://download.pytorch.org/whl/cpu

say() { printf '\n=== %s\n' "$1"; }

pip_install() { "$PY" -m pip install --disable-pip-version-check "$@"; }

# PyTorch's own index has a build without NVIDIA's libraries. Ask for it where they would be of no
# use, where nobody has told pip of other places, and where the index answers.
wants_cpu_build() {
    [ "$(uname)" = Linux ] || return 1
    ! command -v nvidia-smi > /dev/null || return 1
    ! [ -e /proc/driver/nvidia ] && ! [ -e /usr/lib/wsl/lib/nvidia-smi ] || return 1
    ! "$PY" -m pip config list | grep -E 'index-url|find-links|no-index' > /dev/null || return 1
    timeout 10 "$PY" -c "import urllib.request; urllib.request.urlopen('$CPU_INDEX/', timeout=5)" \
        > /dev/null 2>&1
}

if ! mkdir -p .venv 2> /dev/null || ! [ -w .venv ]; then
    {
        echo "Nothing can be written in $PWD, so the environment cannot be made here."
        echo "Start the course from a copy of yours:"
        echo "    cp -r '$PWD' ~/lstm-course && chmod -R u+w ~/lstm-course && make -C ~/lstm-course lab"
    } >&2
    exit 1
fi

if ! "$PY" -m pip --version > /dev/null 2>&1; then
    python=$(sh tools/find_python.sh)
    say "An environment of its own, in .venv, with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

pinned=$(sed -n 's/^torch==//p' constraints.txt)
installed=$("$PY" -c "import importlib.metadata as m; print(m.version('torch').split('+')[0])" \
    2> /dev/null) || installed=none
if [ "$installed" != "$pinned" ]; then
    say "PyTorch $pinned: 0.2 GB to download for the CPU alone, 2.8 GB with NVIDIA's libraries"
    if wants_cpu_build; then
        echo "This machine has no NVIDIA driver: the build for the CPU."
        pip_install --extra-index-url "$CPU_INDEX" -c constraints.txt torch
    else
        pip_install -c constraints.txt torch
    fi
fi

if [ -n "${HASHES:-}" ]; then
    say "The other packages, each with the SHA-256 that constraints-hashes.txt lists: 0.2 GB"
    pip_install --require-hashes --no-deps -r constraints-hashes.txt
    pip_install --no-deps --no-build-isolation -e .
elif [ "${1:-}" = dev ]; then
    say "What the checks need, too: pytest, Playwright, Ruff: 0.1 GB"
    pip_install -c constraints.txt -e '.[dev]'
else
    say "JupyterLab, matplotlib and what else the notebooks need: 0.1 GB"
    pip_install -c constraints.txt -e .
fi
