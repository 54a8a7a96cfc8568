"""Figures of chapter 01."""

from matplotlib.figure import Figure

from lstmlib.course.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    YELLOW,
    in_words,
    monospace_fonts,
    new_figure,
    plain_log_labels,
    visible,
    with_alt,
)


def character_counts(before: dict[str, int], after: dict[str, int]) -> Figure:
    """Draw how often each character occurs, raw text above clean text, most frequent first.

    What the clean text has no longer is orange. Of more than 150 characters, those that are most
    frequent.
    """
    figure, axes = new_figure(2, 1, 11, 5.6, sharey=True)
    most = 150
    width = min(max(len(before), len(after)), most)
    for axis, counts, name in zip(axes, (before, after), ("raw", "clean"), strict=True):
        items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
        colors = [BLUE if c in after else ORANGE for c, _ in items]
        axis.bar(range(len(items)), [n for _, n in items], color=colors)
        if any(n > 0 for _, n in items):
            axis.set_yscale("log")
            plain_log_labels(axis)
        axis.set_xticks(range(len(items)), [visible(c) for c, _ in items], fontsize=9)
        for label in axis.get_xticklabels():
            label.set_rotation(90 if len(label.get_text()) > 2 else 0)  # code points take room
        axis.set_xlim(-1, width)
        axis.grid(axis="x", visible=False)
        shown = f"; the {most} most frequent" if len(counts) > most else ""
        title = f"{name}: {len(counts)} distinct characters{shown}"
        axis.set(title=title, ylabel="count (log scale)")
    axes[-1].set_xlabel("character, most frequent first (orange: not in the clean text)")
    gone = [visible(c) for c in before if c not in after]
    return with_alt(
        figure,
        f"Bars of the count of each character: above, the {len(before)} of the raw text; below, "
        f"the {len(after)} of the clean text. {len(gone)} of the raw text, drawn in orange, are "
        f"not in the clean one{': ' * bool(gone)}{' '.join(gone[:20])}.",
    )


def windows_and_streams(text: str, length: int, step: int, batch_size: int, seq_len: int) -> Figure:
    """Draw, on a short text, which characters `windows` and `Streams` put into which example.

    Raises:
        ValueError: a size is below 1; the text is too short for one window and one batch of
            streams, or longer than 100 characters.
    """
    sizes = {"length": length, "step": step, "batch_size": batch_size, "seq_len": seq_len}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}; it must be 1 or more.")
    needed = max(length, batch_size * seq_len) + 1
    if not needed <= len(text) <= 100:
        raise ValueError(
            f"The text has {len(text)} characters; give from {needed}, for one window and one "
            "batch of streams, to 100."
        )
    figure, (left, right) = new_figure(1, 2, 11, 3.4, width_ratios=[3, 2])
    for axis in (left, right):
        axis.grid(visible=False)
        axis.set_yticks([])
    count = (len(text) - length - 1) // step + 1
    for row in range(count):
        start = row * step
        _cells(left, text[start : start + length], start, -row, SKY)
        _cells(left, text[start + length], start + length, -row, ORANGE)
    left.set(
        xlim=(-0.5, len(text) - 0.5),
        ylim=(-count + 0.3, 0.7),
        xticks=range(0, len(text), 2),
        title=f"windows of {length}, step {step}: blue is read, orange predicted",
        xlabel="position in the text",
    )
    batches = (len(text) - 1) // (batch_size * seq_len)
    columns = batches * seq_len
    for row in range(batch_size):
        for k in range(batches):
            start = row * columns + k * seq_len
            color = (GREEN, YELLOW, PINK)[k % 3]
            _cells(right, text[start : start + seq_len], k * seq_len, -row, color)
        _cells(right, text[(row + 1) * columns], columns, -row, "white")
    right.set(
        xlim=(-0.5, columns + 0.5),
        ylim=(-batch_size + 0.3, 0.7),
        xticks=range(0, columns + 1, 2),
        title=f"streams: {batch_size} rows, a colour for each batch",
        xlabel="position in the row; each predicts the next",
    )
    return with_alt(
        figure,
        f"Left: {count} windows of {length} characters, each begun {step} further on, so that they "
        "overlap; blue characters are read, the orange one behind each is predicted. Right: "
        f"{batch_size} rows that follow one another in the text, each cut into {batches} batches "
        f"of {seq_len}, one colour for each; every character predicts the one at its right. The "
        "white one behind each row is only predicted.",
    )


def _cells(axis: object, text: str, x: float, y: float, color: str) -> None:
    """Draw characters in coloured boxes, from x to the right."""
    for i, character in enumerate(text):
        axis.text(
            x + i,
            y,
            visible(character),
            ha="center",
            va="center",
            family=monospace_fonts(),
            bbox={
                "facecolor": color,
                "edgecolor": "0.7" if color == "white" else "white",
                "alpha": 0.6,
                "pad": 2.5,
            },
        )


def ngram_losses(train: list[float], valid: list[float]) -> Figure:
    """Draw the loss of n-gram models against their order, on text they saw and on held-out text."""
    figure, axis = new_figure(1, 1, 7, 3.8)
    orders = range(1, max(len(train), len(valid)) + 1)
    axis.plot(orders[: len(train)], train, "s--", color=SKY, label="on the text it was counted on")
    axis.plot(orders[: len(valid)], valid, "o-", color=RED, label="on held-out text")
    axis.set(
        title="What counting alone achieves",
        xlabel="order n (characters, the predicted one included)",
        ylabel="loss (nats per character)",
        xticks=list(orders),
        ylim=(0, None),
    )
    axis.legend()
    parts = [in_words("on its own text the loss goes", train), in_words("on held-out text", valid)]
    return with_alt(figure, f"Loss of n-gram models by order: {'; '.join(filter(None, parts))}.")
