"""The temperature explorer of a network: one HTML file that holds the page and the network.

The page needs no kernel, no server and no network. It computes in JavaScript what the model
computes in evaluation mode, from its very weights. Its sources lie in the course's folder page/,
and `page/build.py` builds the course's own with the functions here.
"""

import base64
import hashlib
import html
import json

import numpy as np
import torch
from torch import nn

from lstmlib.models import CharRNN, CoupledLSTM, count_parameters
from lstmlib.runtime import course_folder
from lstmlib.vocab import START, Vocab

PROMPT = "The "
LONGEST_PROMPT = 500
"""As in explorer.js, which could show no text with a longer one."""
CELLS = {"lstm": "LSTM", "cifg": "CIFG"}
SCRIPTS = ("kernel.js", "network.js", "shared.js", "explorer.js")


def arrays_of(model: CharRNN) -> dict[str, np.ndarray]:
    """Return the weights as the page reads them, in the model's order.

    They are float16 where all of the model's are, and else float32, with the names that PyTorch
    gives them. A CIFG is written as the LSTM that it is, see `CoupledLSTM`.

    Raises:
        ValueError: a weight is not finite.
    """
    coupled = isinstance(model.layers, CoupledLSTM)
    layers = model.layers.lstm_weights() if coupled else model.layers.state_dict()
    named = {f"layers.{name}": weight for name, weight in layers.items()}
    for part in ("embedding", "norm", "output"):
        module = getattr(model, part) or nn.Identity()  # a network on one-hot inputs has none
        named |= {f"{part}.{name}": weight for name, weight in module.state_dict().items()}
    halves = all(weight.dtype == torch.float16 for weight in named.values())
    dtype = torch.float16 if halves else torch.float32
    arrays = {name: weight.detach().to(dtype).numpy() for name, weight in named.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"The weights {name} hold NaN or infinity. Train the model again.")
    return arrays


def header_of(
    model: CharRNN, vocab: Vocab, prompt: str, arrays: dict[str, np.ndarray]
) -> dict[str, object]:
    """Return what the page must know besides the weights themselves."""
    return {
        "tokens": vocab.tokens,
        "hiddenSize": model.config["hidden_size"],
        "numLayers": model.config["num_layers"],
        "normEps": model.norm.eps if model.config["output_norm"] else None,
        "bytesPerWeight": next(iter(arrays.values())).itemsize,
        "arrays": [[name, array.size] for name, array in arrays.items()],
        "prompt": prompt,
    }


def description_of(model: CharRNN, vocab: Vocab, about: str) -> str:
    """Say in words what a model is."""
    layers, H = model.config["num_layers"], model.config["hidden_size"]
    numerals = {1: "one", 2: "two", 3: "three", 4: "four"}
    said = (
        f"{numerals.get(layers, layers)} {CELLS[model.config['cell']]} "
        f"layer{'s' if layers > 1 else ''} of {H} units with {count_parameters(model):,} weights, "
        f"to predict the next character, one of {len(vocab.characters)}."
    )
    return f"The model: {said} {about}".strip()


def way_back(address: str | None) -> str:
    """Return a link to the course, or nothing where there is no address."""
    if not address:
        return ""
    return f'<p><a href="{html.escape(address)}">The course that this page belongs to</a></p>'


def explorer_page(
    model: CharRNN, vocab: Vocab, about: str, prompt: str = PROMPT, back: str | None = None
) -> str:
    """Return the page: one HTML file that holds the network, for any browser, without a network.

    Args:
        model: an LSTM or a CIFG, of any size.
        vocab: its vocabulary.
        about: a sentence on what it was trained on.
        prompt: what stands in the prompt's field at first.
        back: the address of the course, for a link to it.

    Raises:
        ValueError: another cell, weights that are not finite, no prompt to write on from, or one
            that the page's field cannot hold.
        VocabError: a character of the prompt is not in the vocabulary.
        FileNotFoundError: the folder of the course, which holds the page's sources, is not there.
    """
    cell = model.config["cell"]
    if cell not in CELLS:
        raise ValueError(f"The model's cell is {cell!r}; the page has {' and '.join(CELLS)} only.")
    vocab.encode(prompt)
    if not prompt and START not in vocab:
        raise ValueError("The prompt is empty; give at least one character to write on from.")
    if len(prompt) > LONGEST_PROMPT or "\r" in prompt:
        raise ValueError(
            f"The prompt may have {LONGEST_PROMPT} characters, and no carriage return."
        )
    arrays = arrays_of(model)
    # In a script element only "<" could end or disturb the data, and JSON can do without it.
    header = json.dumps(header_of(model, vocab, prompt, arrays)).replace("<", "\\u003c")
    weights = b"".join(a.astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays.values())
    style, *scripts = (f"\n{_source(name)}" for name in ("page.css", *SCRIPTS))
    kernel = (course_folder() / "page" / "kernel.wasm").read_bytes()
    parts = {
        "<!-- policy -->": policy_of(scripts, style),
        "<!-- description -->": html.escape(description_of(model, vocab, about)),
        "<!-- back -->": way_back(back),
        '<link rel="stylesheet" href="page.css">': f"<style>{style}</style>",
        "<!-- header -->": header,
        "<!-- weights -->": base64.encodebytes(weights).decode(),
        "<!-- kernel -->": base64.b64encode(kernel).decode(),
    }
    for name, script in zip(SCRIPTS, scripts, strict=True):
        parts[f'<script src="{name}"></script>'] = f"<script>{script}</script>"
    page = _source("page.html")
    for mark, part in parts.items():
        before, found, after = page.partition(mark)
        assert found, f"page.html lacks {mark}"
        page = before + part + after
    return page


def policy_of(scripts: list[str], style: str) -> str:
    """Return the page's Content-Security-Policy: these scripts, their WebAssembly and this style.

    A script or style is known by the SHA-256 of all that stands between its tags. A `style`
    attribute in the page would not be applied; what a script sets in `element.style` is.
    """

    def hashes(texts: list[str]) -> str:
        digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in texts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes(scripts)} 'wasm-unsafe-eval'; "
        f"style-src {hashes([style])}; "
        "img-src data:; form-action 'none'; base-uri 'none'"
    )


def _source(name: str) -> str:
    return (course_folder() / "page" / name).read_text(encoding="utf-8")
