"""How many predictions does a second of training learn from: fit(), and Keras's windowed example?

    .venv/bin/python benchmarks/keras_windows.py

Keras's LSTM text generation example reads a window of 40 characters to learn from one prediction,
that of the character after it. fit() learns from the prediction at every position. Both train one
LSTM layer of 128 on the same text with RMSprop, and batches of 128 × 40 characters, in turns and on
as many threads; the example runs on Keras's PyTorch backend.

`ratio_predicted` compares what the losses are made of: predictions learned from per second.
`ratio_read` compares the characters that the LSTM steps through per second, 40 for each window, and
so leaves out the advantage of predicting everywhere: it compares the programs alone. The
predictions are not of one kind: in the example the gradient of each reaches back 40 characters,
with nothing before them; in fit() it reaches back between 1 and 40, and the state is carried on.

The first run sets up benchmarks/.venv with what keras_windows.txt lists; the course's own
environment stays as it is. Writes keras_windows.json beside this file.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import torch

from lstmlib.corpora import load_corpus
from lstmlib.models import CharRNN
from lstmlib.settings import TrainingConfig
from lstmlib.training import fit
from lstmlib.vocab import Vocab

HERE = Path(__file__).resolve().parent
ENVIRONMENT, REQUIREMENTS = HERE / ".venv", HERE / "keras_windows.txt"
TURNS, WARM_UP, KERAS_BATCHES, OUR_BATCHES = 3, 10, 50, 100
HIDDEN, BATCH_SIZE, LENGTH, LEARNING_RATE = 128, 128, 40, 0.01


def peer_python():
    """Return the interpreter of Keras's environment, which is made if it is not as listed."""
    python, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / REQUIREMENTS.name
    wanted = REQUIREMENTS.read_text()
    if not (stamp.exists() and stamp.read_text() == wanted):
        print(f"Setting up {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
        stamp.write_text(wanted)
    return python


def keras_turn(python, ids_path, vocab_size):
    """Return what the peer prints: windows per second, threads and versions."""
    command = [python, HERE / "keras_windows_peer.py", ids_path, vocab_size, WARM_UP, KERAS_BATCHES]
    variables = {"KERAS_BACKEND": "torch", "KERAS_HOME": str(ENVIRONMENT / "keras")}
    variables["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    run = subprocess.run(
        [str(part) for part in command],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def our_turn(ids, vocab_size):
    """Return the characters per second that fit() predicts, and learns from."""
    torch.manual_seed(0)
    config = TrainingConfig(
        WARM_UP + OUR_BATCHES,
        BATCH_SIZE,
        LENGTH,
        LEARNING_RATE,
        optimizer="rmsprop",
        optimizer_options={"alpha": 0.9},  # Keras's default
        clip_norm=None,
    )
    history = fit(CharRNN(vocab_size, HIDDEN, 1), ids, None, config, progress=False)
    ends = history.column("seconds")[1]
    return OUR_BATCHES * BATCH_SIZE * LENGTH / (ends[-1] - ends[WARM_UP - 1])


def summary(windows, ours):
    """Return the figures and ratios, from each turn's speeds."""
    windows, ours = float(np.median(windows)), float(np.median(ours))
    return {
        "predicted_per_second": {"keras windows": round(windows), "fit()": round(ours)},
        "read_per_second": {"keras windows": round(windows * LENGTH), "fit()": round(ours)},
        "ratio_predicted": round(ours / windows, 1),
        "ratio_read": round(ours / (windows * LENGTH), 2),
    }


def main():
    text = load_corpus("shakespeare").text
    vocab = Vocab.from_text(text)
    ids, python = vocab.encode(text), peer_python()
    keras, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids.npy"
        np.save(path, ids)
        for _ in range(TURNS):
            keras.append(keras_turn(python, path, len(vocab)))
            ours.append(our_turn(ids, len(vocab)))
    threads = {turn["threads"] for turn in keras} | {torch.get_num_threads()}
    if len(threads) > 1:
        sys.exit(f"The two ran on different numbers of threads, {sorted(threads)}.")
    result = summary([turn["windows_per_second"] for turn in keras], ours)
    result["model"] = f"1x{HIDDEN}, batch {BATCH_SIZE}, length {LENGTH}"
    result["versions"] = f"{keras[0]['versions']}; fit() on PyTorch {torch.__version__}"
    result["machine"] = f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads"
    print(json.dumps(result, indent=2))
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
