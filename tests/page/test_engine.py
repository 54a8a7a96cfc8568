"""The engine of the explosion lab, in Chromium: its gradients and its steps are those of Python."""

import base64
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from chromium import browser, needs_chromium

from lstmlib import scratch
from lstmlib.batching import Streams

FOLDER = Path(__file__).resolve().parents[2] / "page"
KERNEL = FOLDER / "kernel.wasm"
CASES = 200
RELATIVE = 1e-6
"""How far a gradient in 64 bits may be from lstmlib's, as a share of the array's largest entry."""
ROUNDED = 2e-5
"""The same for 32 bits, in which the page trains. NumPy's own float32 comes as near as 2e-6."""

# Of one network: its kernel, its weights, a batch and carried states.
MAKE = """
async function networkOf({ kind, shape, weights, x, y, carried }) {
    const size = planOf(shape).total;
    const kernel = kind === "compiled"
        ? await compiledKernel(Uint8Array.from(atob(window.wasm), (c) => c.charCodeAt(0)), size)
        : plainKernel(size, kind);
    const network = new Network(kernel, shape);
    for (const [name, values] of Object.entries(weights)) network.weight(name).set(values);
    network.forget();
    carried.forEach((parts, k) => ["h", "c"].forEach((part, i) => {
        if (parts[i]) kernel.memory.set(parts[i], network.carried[k][part]);
    }));
    network.setBatch(x, y);
    return network;
}
"""


@pytest.fixture(scope="module")
def engine():
    """A page that has the engine's sources, and nothing else."""
    with browser() as started:
        page = started.new_page()
        for name in ("kernel.js", "engine.js"):
            page.add_script_tag(content=(FOLDER / name).read_text(encoding="utf-8"))
        page.add_script_tag(content=MAKE)
        page.evaluate(
            "wasm => { window.wasm = wasm; }", base64.b64encode(KERNEL.read_bytes()).decode()
        )
        yield page


def drawn(rng, size, shape):
    """Return normal numbers that 32 bits hold, too: what differs then is the arithmetic alone."""
    return rng.normal(0, size, shape).astype(np.float32).astype(float)


def time_first(ids):
    """(N, T) -> N·T ids in the order of time, as the page has them."""
    return ids.T.ravel().tolist()


def shapes_of(cell, V, H, layers):
    gates = {"rnn": 1, "lstm": 4, "cifg": 3, "gru": 3}[cell]
    shapes = {}
    for k in range(layers):
        shapes |= {
            f"Wx{k}": (H if k else V, gates * H),
            f"Wh{k}": (H, gates * H),
            f"b{k}": gates * H,
        }
        shapes |= {f"bn{k}": H} if cell == "gru" else {}
    return shapes | {"Wy": (H, V), "by": V}


def first_weights(cell, V, H, layers):
    """Return the weights that a curve begins with: lstmlib's, and those of a GRU of their size."""
    if cell == "gru":
        rng = np.random.default_rng(3)
        shapes = shapes_of(cell, V, H, layers)
        return {name: drawn(rng, H**-0.5 / 2, shape) for name, shape in shapes.items()}
    weights = scratch.init_weights(scratch.CELLS[cell], V, H, layers, 3)
    return {name: w.astype(float) for name, w in weights.items()}


def random_case(rng, cells=("rnn", "lstm", "cifg")):
    """Return a network of random sizes, as the page takes it, and as arrays."""
    cell, layers = rng.choice(cells), int(rng.integers(1, 3))
    V, H, N, T = (int(rng.integers(low, high)) for low, high in ((2, 14), (1, 13), (1, 7), (1, 8)))
    shapes = shapes_of(cell, V, H, layers)
    weights = {name: drawn(rng, 0.7, shape) for name, shape in shapes.items()}
    states = 2 if cell in ("lstm", "cifg") else 1
    state = tuple(drawn(rng, 0.5, (layers, N, H)) for _ in range(states))
    x, y = rng.integers(V, size=(2, N, T))
    shape = {"cell": str(cell), "layers": layers, "units": H, "tokens": V}
    shape |= {"optimizer": "sgd", "streams": N, "length": T}
    return shape, weights, state, x, y


def for_page(kind, shape, weights, state, x, y):
    return {
        "kind": kind,
        "shape": shape,
        "weights": {name: w.ravel().tolist() for name, w in weights.items()},
        "x": time_first(x),
        "y": time_first(y),
        "carried": [[part[k].ravel().tolist() for part in state] for k in range(shape["layers"])],
    }


def gradients_of_page(engine, cases):
    """Return (loss, gradients, last h of the top layer) of each case."""
    code = """async (cases) => {
        const found = [];
        for (const each of cases) {
            const network = await networkOf(each);
            const { loss } = network.measure();
            const gradients = weightShapes(network).map(([name]) =>
                [name, Array.from(network.gradient(name))]);
            const h = Array.from(network.slice(network.carried.at(-1).h));
            found.push([loss, Object.fromEntries(gradients), h]);
        }
        return found;
    }"""
    return engine.evaluate(code, cases)


def distance(found, expected):
    """Return the largest difference, as a share of the largest entry."""
    return np.abs(np.ravel(found) - np.ravel(expected)).max() / max(np.abs(expected).max(), 1e-12)


def gradients_of_scratch(shape, weights, state, x, y):
    cell = scratch.CELLS[shape["cell"]]
    (logits, after), cache = scratch.forward(weights, cell, x, state)
    loss, dlogits = scratch.softmax_cross_entropy(logits, y)
    return loss, scratch.backward(dlogits, cache)[0], after[0][-1]


def gradients_of_torch(*case):
    """The same of a GRU, which lstmlib.scratch does not have."""
    loss, gradients, after = pass_of_gru(*case)
    return loss, gradients, after[-1]


def pass_of_gru(shape, weights, state, x, y):
    """Return loss, gradients and the last h of all layers."""
    H, V, L = shape["units"], shape["tokens"], shape["layers"]
    gru = torch.nn.GRU(V, H, L, batch_first=True, dtype=torch.float64)
    output = torch.nn.Linear(H, V, dtype=torch.float64)
    for k in range(L):
        hidden = np.concatenate([np.zeros(2 * H), weights[f"bn{k}"]])
        arrays = {"weight_ih": weights[f"Wx{k}"].T, "weight_hh": weights[f"Wh{k}"].T}
        arrays |= {"bias_ih": weights[f"b{k}"], "bias_hh": hidden}
        for name, array in arrays.items():
            getattr(gru, f"{name}_l{k}").data.copy_(torch.from_numpy(array.copy()))
    output.weight.data.copy_(torch.from_numpy(weights["Wy"].T.copy()))
    output.bias.data.copy_(torch.from_numpy(weights["by"]))
    inputs = torch.nn.functional.one_hot(torch.from_numpy(x), V).double()
    outputs, after = gru(inputs, torch.from_numpy(state[0]))
    logits = output(outputs).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y).flatten())
    loss.backward()
    gradients = {"Wy": output.weight.grad.T, "by": output.bias.grad}
    for k in range(L):
        gradients[f"Wx{k}"] = getattr(gru, f"weight_ih_l{k}").grad.T
        gradients[f"Wh{k}"] = getattr(gru, f"weight_hh_l{k}").grad.T
        gradients[f"b{k}"] = getattr(gru, f"bias_ih_l{k}").grad
        gradients[f"bn{k}"] = getattr(gru, f"bias_hh_l{k}").grad[2 * H :]
    return loss.item(), {n: g.numpy() for n, g in gradients.items()}, after.detach().numpy()


def assert_agrees(found, expected, tolerance):
    loss, gradients, h = found
    assert loss == pytest.approx(expected[0], rel=tolerance)
    assert gradients.keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert distance(gradients[name], gradient) < tolerance, name
    assert distance(h, expected[2]) < tolerance


@needs_chromium
@pytest.mark.parametrize(
    ("kind", "tolerance"), [(64, RELATIVE), ("compiled", ROUNDED)], ids=["64 bits", "32 bits"]
)
def test_gradients_are_those_of_the_library(engine, kind, tolerance):
    rng = np.random.default_rng(0)
    cases = [random_case(rng) for _ in range(CASES)]
    cases += [random_case(rng, ("gru",)) for _ in range(CASES // 4)]
    found = gradients_of_page(engine, [for_page(kind, *case) for case in cases])
    for case, each in zip(cases, found, strict=True):
        of_python = gradients_of_torch if case[0]["cell"] == "gru" else gradients_of_scratch
        assert_agrees(each, of_python(*case), tolerance)


@needs_chromium
def test_both_kernels_give_the_same_numbers_bit_by_bit(engine):
    """Sizes that fill panels and rows, and sizes that do not; losses far from 0, too."""
    rng = np.random.default_rng(1)
    cases = [random_case(rng, ("rnn", "lstm", "cifg", "gru")) for _ in range(40)]
    cases += [
        (s, {n: 20 * w for n, w in weights.items()}, *rest) for s, weights, *rest in cases[:8]
    ]
    both = [gradients_of_page(engine, [for_page(k, *c) for c in cases]) for k in ("compiled", 32)]
    assert both[0] == both[1]


@needs_chromium
def test_a_product_with_one_row_is_that_of_many_bit_by_bit(engine):
    """In strips, compiled and plain, beside the product in panels."""
    code = """async ([K, N, a, B, c]) => {
        const bytes = Uint8Array.from(atob(window.wasm), (each) => each.charCodeAt(0));
        const [width, strips] = [STRIP * Math.ceil(N / STRIP), stripsSize(K, N)];
        const inStrips = new Float32Array(strips);
        for (let k = 0; k < K; k++) {
            for (let n = 0; n < N; n++) {
                inStrips[(n - (n % STRIP)) * K + k * STRIP + (n % STRIP)] = B[k * N + n];
            }
        }
        const found = [];
        const size = K + width + 2 * strips;
        for (const kernel of [await compiledKernel(bytes, size), plainKernel(size)]) {
            const [C, from, rest] = [K, K + width, K + width + strips];
            const { memory } = kernel;
            memory.set(a);
            memory.set(c, C);
            memory.set(inStrips, from);
            kernel.multiply_row(C, 0, from, K, N);
            found.push(Array.from(memory.subarray(C, C + N)));
            memory.set(c, C);
            memory.set(B, from);
            kernel.pack(rest, from, K, N, N, 1);
            kernel.multiply(C, 0, rest, 1, K, N, K, 1);
            found.push(Array.from(memory.subarray(C, C + N)));
        }
        return found;
    }"""
    rng = np.random.default_rng(2)
    for K, N in ((1, 1), (7, 31), (5, 32), (40, 33), (64, 256)):
        a, B, c = (rng.normal(size=size).astype(np.float32) for size in (K, (K, N), N))
        first, *others = engine.evaluate(code, [K, N, a.tolist(), B.ravel().tolist(), c.tolist()])
        assert all(other == first for other in others)
        np.testing.assert_allclose(first, c + a @ B, rtol=1e-4, atol=1e-4)


def settings_of(optimizer, clip, rate, limit=1.0):
    return {"optimizer": optimizer, "clip": clip, "rate": rate, "limit": limit}


def curve_of_page(engine, kind, case, ids, steps, settings):
    code = """async ([made, ids, steps, settings]) => {
        const network = await networkOf(made);
        const streams = new Streams(ids, made.shape.streams, made.shape.length);
        const rows = [];
        for (let k = 0; k < steps; k++) {
            streams.give(network, k);
            const { loss, norm, clipped } = network.trainStep(settings);
            rows.push([loss, norm, clipped ? 1 : 0]);
        }
        return rows;
    }"""
    return np.array(engine.evaluate(code, [for_page(kind, *case), ids.tolist(), steps, settings]))


def curve_of_python(case, ids, steps, settings):
    """The same in 64 bits, with lstmlib.scratch, and a GRU's gradients by PyTorch."""
    shape, weights, *_ = case
    weights, cell = {n: w.copy() for n, w in weights.items()}, scratch.CELLS.get(shape["cell"])
    optimizer = scratch.OPTIMIZERS[settings["optimizer"]](settings["rate"])
    streams, state, rows = Streams(ids, shape["streams"], shape["length"]), None, []

    def clip(gradients):
        clipped, norm = scratch.clip_by_global_norm(gradients, settings["limit"])
        if settings["clip"] == "value":
            clipped = scratch.clip_by_value(gradients, settings["limit"])
        if settings["clip"] == "none":
            clipped = gradients
        changed = any((clipped[name] != gradients[name]).any() for name in gradients)
        rows.append([norm, changed])
        return clipped

    def step_of_gru(batch, state):
        zeros = np.zeros((shape["layers"], shape["streams"], shape["units"]))
        loss, gradients, after = pass_of_gru(shape, weights, state or (zeros,), *batch)
        optimizer.step(weights, clip(gradients))
        return loss, (after,)

    for n in range(steps):
        k = n % len(streams)
        state, batch = None if k == 0 else state, streams.batch(k)
        if cell is None:
            loss, state = step_of_gru(batch, state)
        else:
            loss, state = scratch.train_step(weights, cell, *batch, state, optimizer, clip)
        rows[-1].insert(0, loss)
    return np.array(rows, dtype=float)


@needs_chromium
@pytest.mark.parametrize("kind", [64, "compiled"], ids=["64 bits", "32 bits"])
@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        ("rnn", settings_of("sgd", "norm", 0.3, 0.2)),
        ("lstm", settings_of("adam", "norm", 3e-3)),
        ("lstm", settings_of("rmsprop", "value", 3e-4, 0.01)),
        ("cifg", settings_of("adam", "none", 3e-3)),
        ("gru", settings_of("adam", "norm", 3e-3, 0.3)),
    ],
)
def test_the_losses_of_200_steps_are_those_of_python(engine, text, vocab, cell, settings, kind):
    layers, H, N, T = 2, 12, 4, 10
    ids = vocab.encode(text)
    weights = first_weights(cell, len(vocab), H, layers)
    shape = {"cell": cell, "layers": layers, "units": H, "tokens": len(vocab), "streams": N}
    shape |= {"length": T, "optimizer": settings["optimizer"]}
    nothing = np.zeros((N, T), dtype=int)
    case = (shape, weights, (), nothing, nothing)
    found = curve_of_page(engine, kind, case, ids, 200, settings)
    expected = curve_of_python(case, ids, 200, settings)
    np.testing.assert_allclose(found[:, 0], expected[:, 0], atol=1e-4)
    if kind == 64:
        np.testing.assert_allclose(found[:, 1], expected[:, 1], rtol=1e-5)
        np.testing.assert_array_equal(found[:, 2], expected[:, 2])
    assert expected[-1, 0] < expected[0, 0] - 0.2
    assert settings["clip"] == "none" or expected[:, 2].sum() > 0


@needs_chromium
def test_a_step_that_was_gone_back_to_is_taken_again(engine):
    rng = np.random.default_rng(5)
    shape, weights, state, x, y = random_case(rng, ("lstm",))
    case = (shape | {"optimizer": "adam"}, weights, state, x, y)
    code = """async (made) => {
        const network = await networkOf(made);
        const settings = { clip: "norm", limit: 0.5, rate: 0.01 };
        const take = () => [1, 2, 3].map(() => network.trainStep(settings).loss);
        take();
        const kept = network.snapshot();
        const first = take();
        network.restore(kept);
        return [first, take(), network.steps];
    }"""
    first, again, steps = engine.evaluate(code, for_page("compiled", *case))
    assert first == again and len(set(first)) == 3 and steps == 6


@needs_chromium
def test_a_text_is_evaluated_as_python_reads_it(engine):
    """In one stream; carried states are left alone."""
    rng = np.random.default_rng(6)
    shape, weights, _, x, y = random_case(rng, ("cifg",))
    shape |= {"streams": 1, "length": 7}
    ids = rng.integers(shape["tokens"], size=60)
    code = """async ([made, ids]) => {
        const network = await networkOf(made);
        const before = Array.from(network.slice(network.carried[0].h));
        const loss = network.evaluate(ids);
        return [loss, before, Array.from(network.slice(network.carried[0].h))];
    }"""
    state = tuple(rng.normal(size=(shape["layers"], 1, shape["units"])) for _ in range(2))
    case = (shape, weights, state, x[:1], y[:1])
    nothing = np.zeros((1, 7), dtype=int)
    loss, before, after = engine.evaluate(
        code, [for_page(64, *case[:3], nothing, nothing), ids.tolist()]
    )
    assert loss == pytest.approx(scratch.evaluate(weights, scratch.CIFG, ids), rel=1e-9)
    assert before == after and np.any(before)


@needs_chromium
def test_new_weights_are_as_the_library_draws_them_and_a_seed_gives_the_same(engine):
    code = """(seeds) => seeds.map((seed) => {
        const shape = { cell: "lstm", layers: 2, units: 16, tokens: 9, optimizer: "sgd",
                        streams: 1, length: 1 };
        const network = new Network(plainKernel(planOf(shape).total), shape);
        network.initialize(seed);
        return Object.fromEntries(
            weightShapes(network).map(([name]) => [name, Array.from(network.weight(name))]));
    })"""
    first, again, other = engine.evaluate(code, [1, 1, 2])
    assert first == again != other
    of_python = scratch.init_weights(scratch.LSTM, 9, 16, 2)
    for name, array in of_python.items():
        found = np.array(first[name])
        assert found.size == array.size
        if name.startswith("W"):
            assert np.abs(found).max() < 0.25 and abs(found.mean()) < 0.04
            assert found.std() == pytest.approx(0.5 / np.sqrt(12), rel=0.15)
        else:
            np.testing.assert_array_equal(found, array)


@pytest.mark.skipif(
    not (shutil.which("clang") and shutil.which("wasm-ld")),
    reason="there is no clang or no wasm-ld: install Debian's packages clang and lld",
)
def test_the_kernel_is_what_the_compiler_makes_of_its_source(tmp_path):
    out = tmp_path / "kernel.wasm"
    subprocess.run(["sh", str(FOLDER / "build_kernel.sh"), str(out)], check=True)
    version = subprocess.run(["clang", "--version"], capture_output=True, text=True).stdout
    if "14.0.6" not in version:
        pytest.skip("another clang makes other bytes; kernel.wasm is of Debian's 14.0.6")
    assert out.read_bytes() == KERNEL.read_bytes()
