"""How fast the explosion lab trains, beside public browser programs that train a character LSTM.

    npm install --prefix /tmp/peers @tensorflow/tfjs @tensorflow/tfjs-backend-wasm
    git clone https://github.com/karpathy/recurrentjs /tmp/peers/recurrentjs
    .venv/bin/python benchmarks/page_peers.py /tmp/peers

TensorFlow.js is the library of its own `lstm-text-generation` example, recurrentjs the one behind
Karpathy's "Deep Recurrent Nets character generation demo". Neither is part of the course. They all
train one LSTM layer of 128 units on 8 sequences of 40 characters of the lab's text, and learn to
predict each next character; recurrentjs takes the sequences one after the other, as its demo does.
The optimizer is RMSprop, and the lab's Adam. In turns, in one Chromium, each on one thread. Writes
page_peers.json. A peer that is not in the folder is recorded as not measured.
"""

import base64
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))
from chromium import browser
from page_presets import open_sources
from page_speed import STEPS
from playwright.sync_api import Page

ROUNDS = 5
SIZES = {"units": 128, "streams": 8, "length": 40}
TFJS = "node_modules/@tensorflow/tfjs"
WASM = "node_modules/@tensorflow/tfjs-backend-wasm"
RECURRENT = "recurrentjs"
# A batch as the lab's first preset has it: (streams, length) ids, and those that follow them.
BATCH = """
window.batchOf = (k) => {
    const { streams: N, length: T } = sizes;
    const columns = Math.floor((train.length - 1) / N);
    const from = (k * T) % (columns - T);
    const rows = (shift) => Array.from({ length: N }, (_, n) =>
        Array.from(train.subarray(n * columns + from + shift, n * columns + from + shift + T)));
    return [rows(0), rows(1)];
};
"""
MAKE_TFJS = """async ([backend, files]) => {
    if (backend === "wasm") {
        const paths = Object.fromEntries(Object.entries(files).map(([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            return [name, URL.createObjectURL(new Blob([bytes], { type: "application/wasm" }))];
        }));
        tf.wasm.setWasmPaths(paths);
        tf.wasm.setThreadsCount(1);
    }
    await tf.setBackend(backend);
    await tf.ready();
    const V = tokens.length;
    const model = tf.sequential();
    const shape = [sizes.length, V];
    model.add(tf.layers.lstm({ units: sizes.units, inputShape: shape, returnSequences: true }));
    model.add(tf.layers.dense({ units: V, activation: "softmax" }));
    model.compile({ optimizer: tf.train.rmsprop(0.01), loss: "categoricalCrossentropy" });
    window.takeTfjs = async (k) => {
        const [x, y] = batchOf(k).map((rows) =>
            tf.tidy(() => tf.oneHot(tf.tensor2d(rows, undefined, "int32"), V).toFloat()));
        const loss = await model.trainOnBatch(x, y);
        tf.dispose([x, y]);
        return loss;
    };
    await takeTfjs(0);
    return tf.getBackend();
}"""
MAKE_RECURRENT = """() => {
    const V = tokens.length;
    const model = R.initLSTM(V, [sizes.units], V);
    model.Wil = new R.RandMat(V, V, 0, 0.08);
    const solver = new R.Solver();
    window.takeRecurrent = async (k) => {
        const [xs, ys] = batchOf(k);
        let loss = 0;
        for (let n = 0; n < xs.length; n++) {
            const G = new R.Graph();
            let before = {};
            for (let t = 0; t < xs[n].length; t++) {
                const x = G.rowPluck(model.Wil, xs[n][t]);
                before = R.forwardLSTM(G, model, [sizes.units], x, before);
                const p = R.softmax(before.o);
                loss -= Math.log(p.w[ys[n][t]]);
                before.o.dw = p.w;
                before.o.dw[ys[n][t]] -= 1;
            }
            G.backward();
            solver.step(model, 0.01, 0, 5);
        }
        return loss / (sizes.streams * sizes.length);
    };
    return takeRecurrent(0);
}"""
TIME = """async ([name, count]) => {
    const before = performance.now();
    let loss = 0;
    for (let k = 1; k <= count; k++) loss = await window[name](k);
    const rate = 1000 * count * sizes.streams * sizes.length / (performance.now() - before);
    return [rate, loss];
}"""


def version_of(folder: Path) -> dict:
    """Return version and licence of a peer, from its own files."""
    package = folder / "package.json"
    if package.exists():
        said = json.loads(package.read_text(encoding="utf-8"))
        return {"version": said["version"], "licence": said["license"]}
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {"version": commit, "licence": "MIT"}


def prepared(started) -> Page:
    """Return a page that has the lab's sources, its text, and batches of it."""
    page = started.new_page()
    open_sources(page)
    page.evaluate(f"() => {{ window.sizes = {json.dumps(SIZES)}; {BATCH} }}")
    return page


def open_tfjs(started, folder: Path, backend: str) -> Page:
    """Return a page in which TensorFlow.js trains."""
    page = prepared(started)
    page.add_script_tag(path=folder / TFJS / "dist" / "tf.min.js")
    files = {}
    if backend == "wasm":
        page.add_script_tag(path=folder / WASM / "dist" / "tf-backend-wasm.min.js")
        paths = (folder / WASM / "dist").glob("*.wasm")
        files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in paths}
    assert page.evaluate(MAKE_TFJS, [backend, files]) == backend
    return page


def open_recurrent(started, folder: Path) -> Page:
    """Return a page in which recurrentjs trains."""
    page = prepared(started)
    page.add_script_tag(path=folder / RECURRENT / "src" / "recurrent.js")
    page.evaluate(MAKE_RECURRENT)
    return page


def peers_in(started, folder: Path) -> dict:
    """Return of each peer that is there: its page, its function, steps a turn, its version."""
    found = {}
    if (folder / TFJS).exists():
        said = version_of(folder / TFJS)
        page = open_tfjs(started, folder, "cpu")
        found["TensorFlow.js, JavaScript"] = (page, "takeTfjs", 1, said)
    if (folder / WASM).exists():
        page = open_tfjs(started, folder, "wasm")
        found["TensorFlow.js, WebAssembly"] = (page, "takeTfjs", 10, version_of(folder / WASM))
    if (folder / RECURRENT).exists():
        page = open_recurrent(started, folder)
        found["recurrentjs"] = (page, "takeRecurrent", 2, version_of(folder / RECURRENT))
    return found


def measure(started, folder: Path) -> dict:
    """Return characters a second of the lab and of each peer, the best of turns, and the ratios."""
    own, peers = prepared(started), peers_in(started, folder)
    speeds = {name: [] for name in peers} | {"lab": []}
    ratios = {name: [] for name in peers}
    losses = {}
    for _ in range(ROUNDS):
        for name, (page, function, count, _) in peers.items():
            speeds["lab"].append(own.evaluate(STEPS, [True, 20]))
            rate, losses[name] = page.evaluate(TIME, [function, count])
            speeds[name].append(rate)
            ratios[name].append(speeds["lab"][-1] / rate)
    return {
        "lab": {"characters_per_second": round(max(speeds["lab"]))},
        "peers": {
            name: {
                **said,
                "characters_per_second": round(max(speeds[name])),
                "lab_is_faster_by": round(statistics.median(ratios[name]), 1),
                "last_loss": round(losses[name], 2),
            }
            for name, (*_, said) in peers.items()
        },
    }


def main(folder: Path) -> None:
    """Measure, print and write."""
    load = os.getloadavg()[0]
    with browser() as started:
        result = {
            **SIZES,
            **measure(started, folder),
            "browser": started.version,
            "machine": f"{os.cpu_count()} CPU cores",
            "load_before": round(load, 1),
            "date": time.strftime("%Y-%m-%d"),
        }
    names = ("TensorFlow.js, JavaScript", "TensorFlow.js, WebAssembly", "recurrentjs")
    for name in names:
        result["peers"].setdefault(name, "not measured")
    text = json.dumps(result, indent=1) + "\n"
    Path(__file__).with_suffix(".json").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("Say in which folder the peers are, see the head of this file.")
    main(Path(sys.argv[1]))
