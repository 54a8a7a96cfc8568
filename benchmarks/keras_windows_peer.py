"""The peer of keras_windows.py, run by it in an environment of its own: Keras's windowed example.

    keras_windows_peer.py IDS.npy VOCAB_SIZE WARM_UP_BATCHES BATCHES

One LSTM layer of 128 reads windows of 40 one-hot characters, every third one of the text, and
predicts the character after each; batches of 128, RMSprop at 0.01. Prints one line of JSON.
"""

import json
import sys
import time

import numpy as np

LENGTH, STEP, HIDDEN, BATCH_SIZE, LEARNING_RATE = 40, 3, 128, 128, 0.01


def one_hot_windows(ids, vocab_size, count):
    """Return x (count, 40, V) and y (count, V), bool: windows and the character after each."""
    one_hot = np.eye(vocab_size, dtype=bool)
    starts = STEP * np.arange(count)
    return one_hot[ids[starts[:, None] + np.arange(LENGTH)]], one_hot[ids[starts + LENGTH]]


def make_model(vocab_size):
    import keras  # here, so that the windows can be tested where Keras is not installed

    layers = [
        keras.Input(shape=(LENGTH, vocab_size)),
        keras.layers.LSTM(HIDDEN),
        keras.layers.Dense(vocab_size, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.RMSprop(learning_rate=LEARNING_RATE)
    model.compile(loss="categorical_crossentropy", optimizer=optimizer)
    return model


def main(path, vocab_size, warm_up, batches):
    import keras
    import torch

    model = make_model(vocab_size)
    x, y = one_hot_windows(np.load(path), vocab_size, BATCH_SIZE * (warm_up + batches))
    first = BATCH_SIZE * warm_up
    model.fit(x[:first], y[:first], batch_size=BATCH_SIZE, verbose=0)
    start = time.perf_counter()
    model.fit(x[first:], y[first:], batch_size=BATCH_SIZE, verbose=0)
    result = {
        "windows_per_second": BATCH_SIZE * batches / (time.perf_counter() - start),
        "threads": torch.get_num_threads(),
        "versions": f"Keras {keras.__version__} on {keras.backend.backend()} {torch.__version__}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
