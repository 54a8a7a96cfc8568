"""Logits -> the next character, again and again."""

import math

import torch
from torch import Tensor

from lstmlib.models import CharRNN, check_vocab
from lstmlib.vocab import Vocab


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Return f_τ(p)_i = p_i^(1/τ) / Σ_j p_j^(1/τ), the next-character distribution at τ.

    Since log p and the logits differ by a constant, p^(1/τ) is exp(logits / τ) up to scale. The
    largest logit is subtracted first, so no τ overflows. τ = 0 is the limit: all mass on the
    largest (the first of them, if several are equal).

    Args:
        logits: (..., V), any floating type.
        temperature: τ ≥ 0.

    Returns:
        Probabilities, (..., V) float64.

    Raises:
        ValueError: τ is negative, infinite or not a number, or a logit is not a number.
    """
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature is {temperature}; it must be a number, 0 or more.")
    logits = logits.double()
    if logits.isnan().any():
        raise ValueError("The logits hold NaN: the model's weights are broken. Train it again.")
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).double()
    shifted = logits - logits.max(-1, keepdim=True).values
    return torch.softmax(shifted / temperature, dim=-1)


def draw(probabilities: Tensor, generator: torch.Generator) -> int:
    """Draw one id from a distribution (V,): invert its cumulative sum at a uniform number."""
    cumulative = probabilities.cumsum(-1)
    u = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1]
    return int(torch.searchsorted(cumulative, u, right=True).clamp(max=len(probabilities) - 1))


@torch.no_grad()
def generate(
    model: CharRNN,
    vocab: Vocab,
    prompt: str,
    length: int = 500,
    temperature: float = 1.0,
    seed: int | None = None,
) -> str:
    """Write on from a prompt.

    The model's mode and the global random generators are left as they were.

    Args:
        model: a trained network.
        vocab: the vocabulary it was trained with.
        prompt: one character or more, all of them in the vocabulary.
        length: characters to add.
        temperature: τ ≥ 0, see `apply_temperature`; 0 always takes the most probable character.
        seed: the same seed gives the same text; None gives another each time.

    Returns:
        The prompt and the text behind it.

    Raises:
        ValueError: an empty prompt, a negative length, a temperature that is none, or a vocabulary
            that is not the model's.
        VocabError: a character of the prompt is not in the vocabulary.
    """
    check_vocab(model, vocab)
    if not prompt:
        raise ValueError("The prompt is empty; give at least one character to write on from.")
    if length < 0:
        raise ValueError(f"length is {length}; it must be 0 or more.")
    device = next(model.parameters()).device
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    was_training = model.training
    model.eval()
    ids, state, new = torch.from_numpy(vocab.encode(prompt)), None, []
    try:
        for _ in range(length):
            logits, state = model(ids[None].to(device), state)
            probabilities = apply_temperature(logits[0, -1].cpu(), temperature)
            new.append(draw(probabilities, generator))
            ids = torch.tensor(new[-1:])
    finally:
        model.train(was_training)
    return prompt + vocab.decode(new)
