"""Which loss can be reached on a text in so much time, before any training? Is a loss any good?"""

import math

from lstmlib.settings import TrainingConfig

EPOCHS = 40
"""The most epochs of a plan: with more, a network learns nothing new of so small a text."""
LARGER = 3_000_000
"""Trained characters from which the larger network is worth its time."""


def recipe(size: int, vocab_size: int, characters: int) -> tuple[dict, TrainingConfig]:
    """Return the network and the settings for a text and so many characters to be trained on.

    Args:
        size: characters N of the whole text, of which the last tenth is for validation.
        vocab_size: number of tokens V.
        characters: to be trained on; EPOCHS times the training text at most.

    Returns:
        The arguments of CharRNN beside the vocabulary's size, and the settings for `fit`.
    """
    train, valid = size - round(size / 10), round(size / 10)
    characters = min(characters, EPOCHS * train)
    epochs = characters / train
    # One layer: with so few steps, a second one costs more time than it brings.
    model = {"hidden_size": 256 if characters >= LARGER else 128, "num_layers": 1}
    if vocab_size > 150:  # a one-hot vector would make the first product the largest one
        model["embedding_size"] = 64
    # What is read once cannot be learnt by heart; what is read often is, without dropout.
    model["dropout"] = round(min(max(0.15 * math.log2(epochs / 1.5), 0.0), 0.5), 2)
    seq_len = 32 if characters < 1_000_000 else 64
    # Many small steps where there are few characters, large batches where there are many.
    wanted = 750 * math.sqrt(characters / 400_000)
    batch_size = 4
    while batch_size < 64 and characters / (2 * batch_size * seq_len) >= wanted:
        batch_size *= 2
    steps = max(characters // (batch_size * seq_len), 1)
    rate = 8e-3 if characters < 1_000_000 else 6e-3 if characters < LARGER else 4e-3
    # Validation may take a tenth of the time: it reads a character in about half the time.
    looks = min(max(round(0.2 * characters / max(valid, 1)), 1), 16)
    return model, TrainingConfig(
        steps=steps,
        batch_size=batch_size,
        seq_len=seq_len,
        learning_rate=rate,
        optimizer="adamw",
        optimizer_options={"weight_decay": 0.1 if epochs > 10 else 0.01},
        schedule="cosine",
        warmup=steps // 20,
        clip_norm=1.0,
        eval_every=math.ceil(steps / looks),
        patience=4,
        precision="bfloat16",
        rotate_streams=True,
    )
