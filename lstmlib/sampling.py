"""From logits to the next character: temperature and its kin, and the draw.

A distribution is an array of natural-log probabilities, (…, V) float64, whatever the type of the
model's logits. So nothing overflows near temperature 0, and a character that is ruled out has -inf.

Sizes in comments: V tokens, N texts of a batch, W recent tokens, K distributions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from lstmlib.validation import check_flag, check_number, check_whole


def log_softmax(logits: np.ndarray | Tensor) -> np.ndarray:
    """Return log-probabilities ln p, (…, V) float64.

    Args:
        logits: (…, V), of any floating type. Log-probabilities that do not sum to 1 serve too.

    Raises:
        ValueError: a logit is NaN, or the largest is infinite.
    """
    # ln p = x - m - ln Σ e^(x - m), with m the largest logit. m cancels, so any m gives the same p.
    # With the largest, no power exceeds e^0 = 1, and nothing overflows.
    shifted = _below_largest(logits)  # (…, V)
    # keepdims leaves the sum (…, 1), so that each distribution gets its own.
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _below_largest(logits: np.ndarray | Tensor) -> np.ndarray:
    """Return each distribution's logits minus their largest, (…, V) float64.

    Raises:
        ValueError: a logit is NaN, or the largest is infinite.
    """
    if isinstance(logits, Tensor):
        # double() before numpy(), since NumPy has no bfloat16.
        logits = logits.detach().cpu().double().numpy()
    logits = np.asarray(logits, dtype=np.float64)  # (…, V)
    largest = logits.max(-1, keepdims=True)  # (…, 1)
    # One sum looks at all: it is not finite if one of the largest is not, and max() passes NaN on.
    if not math.isfinite(largest.sum()):
        raise ValueError(
            "The logits hold NaN or infinity: the model's weights are broken. Train it again."
        )
    return logits - largest  # (…, V), at most 0


def apply_temperature(
    logits: np.ndarray | Tensor, temperature: float | Sequence[float]
) -> np.ndarray:
    """Return log f_τ(p), where f_τ(p)_i = p_i^(1/τ) / Σ_j p_j^(1/τ).

    Logits are log p plus a constant, and a constant changes no probability. So it is enough to
    divide the logits by τ. τ = 0 stands for the limit: the largest logit gets probability 1, and of
    several equal ones the first.

    Args:
        logits: (…, V), logits or log-probabilities, of any floating type.
        temperature: one τ ≥ 0 for all distributions; or N of them, for logits (…, N, V).

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: a temperature is negative, infinite or not a number; a logit is NaN; or the
            largest logit is infinite.
    """
    return log_softmax(_tempered(logits, checked_temperature(temperature)))


def _tempered(logits: np.ndarray | Tensor, temperature: float | tuple[float, ...]) -> np.ndarray:
    """Return (logits - largest) / τ, (…, V) float64."""
    # The largest is subtracted before the division. It is 0 then, and stays 0 at any temperature;
    # all others are negative, and can only overflow to -inf, which is a probability of 0.
    shifted = _below_largest(logits)  # (…, V)
    tau = np.asarray(temperature)[..., None]  # (1,) or (N, 1)
    # τ = 0 would divide 0 by 0 here, which is NaN. With 1e-290 the largest stays 0, and the rows of
    # τ = 0 are replaced below.
    with np.errstate(over="ignore"):
        scaled = shifted / np.maximum(tau, 1e-290)
    if tau.all():
        return scaled
    # τ = 0: 0 for the first of the largest, -inf for all others.
    first = np.arange(shifted.shape[-1]) == shifted.argmax(-1)[..., None]  # (…, V) bool
    # τ is (N, 1) for a batch, so each text gets the rule of its own τ.
    return np.where(tau > 0, scaled, np.where(first, 0.0, -np.inf))


def keep_top_k(log_p: np.ndarray, k: int) -> np.ndarray:
    """Rule out all but the k most probable tokens (Fan et al. 2018).

    Of equally probable tokens the first ones stay.

    Args:
        log_p: log-probabilities (…, V).
        k: how many tokens stay, 1 or more. A k of V or more rules out none.

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: k is not a whole number, 1 or more.
    """
    _check_top_k(k)
    kept = np.full_like(log_p, -np.inf)  # (…, V)
    # Ids, (…, k). A stable sort keeps equal tokens in the order of their ids.
    best = np.argsort(-log_p, axis=-1, kind="stable")[..., :k]
    # In each distribution, the values at these ids are copied; the others stay -inf.
    np.put_along_axis(kept, best, np.take_along_axis(log_p, best, -1), -1)
    return log_softmax(kept)  # what stays sums to 1 again


def keep_top_p(log_p: np.ndarray, share: float) -> np.ndarray:
    """Rule out all tokens outside the nucleus (Holtzman et al. 2020).

    The nucleus is the smallest set of tokens, most probable first, whose probabilities sum to the
    share or more. The token that reaches the share belongs to it, so it is never empty.

    Args:
        log_p: log-probabilities (…, V).
        share: the share of the probability that stays, 0 < share ≤ 1.

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: the share is outside these bounds.
    """
    _check_top_p(share)
    order = np.argsort(-log_p, axis=-1, kind="stable")  # (…, V), most probable first
    ordered = np.take_along_axis(log_p, order, -1)  # (…, V)
    p = np.exp(ordered)  # (…, V)
    before = p.cumsum(-1) - p  # the sum of all more probable tokens
    kept = np.empty_like(log_p)  # (…, V), of which each entry is written
    # `before` leaves out the token itself, so the one that reaches the share stays as well. Each
    # value goes back to the place that its token had before the sort.
    np.put_along_axis(kept, order, np.where(before < share, ordered, -np.inf), -1)
    return log_softmax(kept)


def keep_min_p(log_p: np.ndarray, share: float) -> np.ndarray:
    """Rule out tokens with less than a share of the largest probability (Nguyen et al. 2025).

    Args:
        log_p: log-probabilities (…, V).
        share: the share of the largest probability that a token needs, 0 ≤ share ≤ 1.

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: the share is outside these bounds.
    """
    _check_min_p(share)
    # (…, 1). ln (share · p) = ln share + ln p; a share of 0 rules out none.
    threshold = log_p.max(-1, keepdims=True) + (math.log(share) if share else -math.inf)
    return log_softmax(np.where(log_p >= threshold, log_p, -np.inf))


def penalize_repetition(log_p: np.ndarray, recent: np.ndarray, penalty: float) -> np.ndarray:
    """Make recent tokens less probable: p becomes p^penalty before the sum is made 1 again.

    Keskar et al. (2019, CTRL) divide the logit of a recent token by the penalty. The result of that
    division depends on a constant that can be added to all logits without changing a probability.
    Log-probabilities leave no such choice. They are never above 0, so multiplying them by the
    penalty always makes them smaller.

    Args:
        log_p: log-probabilities (…, V).
        recent: ids of the recent tokens, (…, W). -1 stands for no token.
        penalty: above 0. 1 changes nothing, and a larger penalty makes repetition rarer.

    Returns:
        Log-probabilities, (…, V) float64.

    Raises:
        ValueError: the penalty is not a finite number above 0.
    """
    penalty = min(_checked_penalty(penalty), 1e300)  # a larger one overflows, and rules out no more
    seen = np.zeros((*log_p.shape[:-1], log_p.shape[-1] + 1), dtype=bool)  # (…, V + 1)
    np.put_along_axis(seen, recent, True, -1)  # -1 sets the last column, which is left out below
    # p^penalty is penalty · ln p. A token counts once, however often it occurred: CTRL's rule.
    return log_softmax(np.where(seen[..., :-1], penalty * log_p, log_p))


def redraw_once(log_p: np.ndarray) -> np.ndarray:
    """Return the distribution of case B, which draws a second time, as log-probabilities (…, V).

    Case B draws a token. If that is not the most probable one, case B draws once more and takes the
    second draw. Let m be the largest probability. It becomes m + (1 - m) m, since the first or the
    second draw may give it. Any other probability p becomes (1 - m) p.
    """
    best = log_p.argmax(-1)[..., None]  # (…, 1)
    m = np.exp(np.take_along_axis(log_p, best, -1))  # (…, 1)
    # ln ((1 - m) p) = ln p + ln (1 - m). log1p keeps the digits of an m near 0.
    with np.errstate(divide="ignore"):  # m = 1: the others get ln 0 = -inf
        redrawn = log_p + np.log1p(-m)  # (…, V)
    np.put_along_axis(redrawn, best, np.log(m + (1 - m) * m), -1)
    return log_softmax(redrawn)


def entropy(log_p: np.ndarray) -> np.ndarray:
    """Return the entropies -Σ p ln p in nats, (…), of log-probabilities (…, V)."""
    # p ln p is 0 at p = 0, but 0 times -inf is NaN. So -inf is replaced by a finite number.
    return (np.exp(log_p) * np.minimum(-log_p, 1e300)).sum(-1)


@dataclass(frozen=True)
class SamplingConfig:
    """The settings of the transforms between the model's distribution and the draw.

    The defaults change nothing. The transforms act in this order: repetition penalty, temperature,
    top-k, top-p, min-p (as in the Hugging Face library), and the second draw of case B.

    Attributes:
        temperature: τ ≥ 0, see `apply_temperature`; 0 is greedy. A tuple has one for each text of a
            batch.
        top_k: how many characters stay, see `keep_top_k`; None keeps all.
        top_p: the share of the probability that stays, 0 < top_p ≤ 1, see `keep_top_p`.
        min_p: the share of the largest probability that a character needs, 0 ≤ min_p ≤ 1, see
            `keep_min_p`.
        redraw_once: whether a draw is repeated once if it is not the most probable character, see
            `redraw_once`.
        repetition_penalty: above 1, recent characters become rarer, see `penalize_repetition`.
        penalty_window: how many characters before the next one are recent, prompt included.

    Raises:
        ValueError: a setting is outside its bounds.
    """

    temperature: float | tuple[float, ...] = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    redraw_once: bool = False
    repetition_penalty: float = 1.0
    penalty_window: int = 32

    def __post_init__(self) -> None:
        # A frozen dataclass has no assignment. This is the way around it, for a plain float.
        object.__setattr__(self, "temperature", checked_temperature(self.temperature))
        if self.top_k is not None:
            _check_top_k(self.top_k)
        _check_top_p(self.top_p)
        _check_min_p(self.min_p)
        _checked_penalty(self.repetition_penalty)
        check_whole("penalty_window", self.penalty_window)
        check_flag("redraw_once", self.redraw_once)

    def transform(
        self, logits: np.ndarray | Tensor, recent: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the log-probabilities to draw from, (…, V) float64.

        Args:
            logits: the model's logits or log-probabilities, (…, V), of any floating type.
            recent: ids of the characters before, (…, W), of which the last `penalty_window` count;
                -1 stands for no character. Only the repetition penalty reads them. With None there
                is no penalty.
        """
        return log_softmax(self.process_logits(logits, recent))

    def process_logits(
        self, logits: np.ndarray | Tensor, recent: np.ndarray | None = None
    ) -> np.ndarray | Tensor:
        """Return the log-probabilities of `transform` up to a constant, (…, V).

        `draw` needs no more, and a sum of exponentials at every step is saved. The arguments are
        those of `transform`.
        """
        # What would change nothing is left out, since each step of each text comes by here.
        if self.repetition_penalty != 1 and recent is not None:
            window = np.asarray(recent)[..., -self.penalty_window :]  # (…, W)
            logits = penalize_repetition(log_softmax(logits), window, self.repetition_penalty)
        if self.temperature != 1:  # a tuple is never equal to 1
            logits = _tempered(logits, self.temperature)
        if self.top_k is not None:
            logits = keep_top_k(log_softmax(logits), self.top_k)
        # After the temperature, which decides how many tokens make up a share.
        if self.top_p < 1:
            logits = keep_top_p(log_softmax(logits), self.top_p)
        if self.min_p > 0:
            logits = keep_min_p(log_softmax(logits), self.min_p)
        # Last, since case B draws twice from what all the others have left.
        return redraw_once(log_softmax(logits)) if self.redraw_once else logits

    def of(self, rows: np.ndarray) -> "SamplingConfig":
        """Return the settings for some texts of a batch; rows (M,) holds their numbers."""
        if not isinstance(self.temperature, tuple):
            return self
        # M temperatures, in the order of the texts that go on.
        return replace(self, temperature=tuple(self.temperature[row] for row in rows))


def _check_top_k(k: int) -> None:
    """Raise ValueError unless top_k is a whole number, 1 or more."""
    check_whole("top_k", k)


def _check_top_p(share: float) -> None:
    """Raise ValueError unless top_p is a share above 0."""
    check_number("top_p", share, above=0, at_most=1)


def _check_min_p(share: float) -> None:
    """Raise ValueError unless min_p is a share."""
    check_number("min_p", share, at_least=0, at_most=1)


def _checked_penalty(penalty: float) -> float:
    """Return a repetition penalty as a float; raise ValueError unless it is finite and above 0."""
    return check_number("repetition_penalty", penalty, above=0, hint="; 1 changes nothing")


def checked_temperature(temperature: float | Sequence[float]) -> float | tuple[float, ...]:
    """Return a temperature as a float, or several as a tuple of floats.

    Raises:
        ValueError: a temperature is not a finite number, 0 or more.
    """
    if isinstance(temperature, np.ndarray):
        temperature = temperature.tolist()
    if is_list(temperature):
        return tuple(check_number("temperature", tau, at_least=0) for tau in temperature)
    return check_number("temperature", temperature, at_least=0)


def is_list(value: object) -> bool:
    """Say whether a value is a list, a tuple or an array, and not one text or number."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def draw(logits: np.ndarray | Tensor, uniform: np.ndarray | float) -> np.ndarray:
    """Draw ids from distributions, each by one random number u.

    The probabilities are added up, the largest first. The id at which the sum passes u is drawn. So
    the same u never gives a less probable character at a lower temperature. Texts at two
    temperatures, written with the same numbers, differ by the temperature alone (common random
    numbers).

    Args:
        logits: logits or log-probabilities, (…, V).
        uniform: a u for each distribution, (…), 0 ≤ u < 1.

    Returns:
        ids, (…) int64.

    Raises:
        ValueError: a logit is NaN, the largest is infinite, or a u is outside [0, 1).
    """
    uniform = np.asarray(uniform, dtype=np.float64)  # (…)
    # Not `(u < 0) | (u >= 1)`, which is False for NaN and would let it pass.
    wrong = uniform[~((uniform >= 0) & (uniform < 1))]
    if wrong.size:
        raise ValueError(f"u is {wrong[0]}; it must be 0 or more, and below 1.")
    return draw_within(logits, uniform)


def draw_within(logits: np.ndarray | Tensor, uniform: np.ndarray) -> np.ndarray:
    """Draw as `draw` does, without a look at the random numbers."""
    shifted = _below_largest(logits)  # (…, V)
    *shape, V = shifted.shape
    flat = shifted.reshape(-1, V)  # (K, V)
    rows = np.arange(len(flat))  # (K,)
    order = (-flat).argsort(axis=1, kind="stable")  # (K, V), most probable first
    # The powers are not divided by their sum; u is multiplied by it instead, once for each row.
    sums = np.exp(flat)[rows[:, None], order].cumsum(axis=1)  # (K, V)
    # A character that is ruled out stands last and adds 0, so its sum is the whole sum. u times the
    # whole sum is below it, rounded too: such a character is never drawn.
    passed = sums <= np.reshape(uniform, (-1, 1)) * sums[:, -1:]  # (K, V) bool
    # Sums grow from left to right, so the number that u has passed, (K,), is the place of the drawn
    # id in the order.
    return order[rows, passed.sum(axis=1)].reshape(shape)
