"use strict";
/* The training, in a Web Worker of its own, so that the page never waits for it.

   It takes messages {kind, …} and sends some; what each kind means is said at `TAKE` and `post`. One
   run, or two from the same seed that take each step together. */

const SLICE = 40; // milliseconds of training between two looks at what has come in
const TEXT_EVERY = 1000; // milliseconds
const TEXT_LENGTH = 240; // characters that are written
const VALID_EVERY = 50; // steps
const VALID_LENGTH = 8000; // characters of the held-out text that are measured
const MOST_NUMBERS = 60e6; // of a network with all it needs: 240 MB

let compiled = null; // the bytes of kernel.wasm
let source = null; // the text: {name, tokens, train, valid, baseline, first}
let settings = null;
let streams = null;
let runs = []; // {network, settings, broken}
let snapshots = []; // {step, parts}, the oldest first
let step = 0;
let aside = null; // {runs, snapshots, step} before a second run was set beside it, until both take a step
let running = false;
let lastText = 0;
let unsent = []; // rows of steps, which count from 1

function post(kind, more, transfer = []) {
  postMessage({ kind, ...more }, transfer);
}

/** What the page may ask for. */
const TAKE = {
  begin({ bytes }) {
    compiled = bytes;
  },
  /** Take a text; begin again with it, and train on it at once where it `goes`. */
  async text({ text, bytes, name, settings: wanted, pair, goes }) {
    const read = bytes ? decodeText(new Uint8Array(bytes), name) : text;
    const taken = sourceOf(read, name, tokensOf(read), wanted);
    source = taken;
    await begin(wanted, pair);
    if (!goes) return;
    post("trains");
    TAKE.run();
  },
  /** Begin again: new weights of the seed. */
  reset({ settings: wanted, pair }) {
    return begin(wanted, pair);
  },
  /** Set a second run beside the first, both from step 0; or take it away. */
  async pair({ settings: wanted, pair }) {
    const before = { runs, snapshots, step };
    if (!pair) return trainAlone();
    await begin(wanted, true);
    if (!before.step) return;
    aside = before;
    post("aside", { step: before.step });
  },
  /** Change what may change while it runs. */
  change({ settings: wanted }) {
    if (!settings) return;
    const { rate, clip, limit, from, temperature } = wanted;
    Object.assign(settings, { rate, clip, limit, from, temperature });
    if (!running) look();
  },
  run() {
    if (!runs.length || running) return;
    running = true;
    post("running", { is: true });
    goOn();
  },
  pause() {
    running = false;
    post("running", { is: false });
  },
  step() {
    running = false;
    takeStep();
    sendRows();
    look();
  },
  /** Go back to where so many steps are taken, or to the nearest earlier place that is kept. */
  back({ to }) {
    running = false;
    goBack(to);
  },
  save() {
    const bytes = modelFile(runs[0].network, source.tokens);
    post("file", { bytes: bytes.buffer, step }, [bytes.buffer]);
  },
  async load({ bytes, name, settings: wanted, pair }) {
    const model = readModel(new Uint8Array(bytes), name);
    await loadModel(model, name, wanted, pair);
  },
};

// One after the other: what is asked for while a text is being read waits until it is.
let taken = Promise.resolve();
onmessage = ({ data }) => {
  taken = taken.then(() => take(data));
};

async function take(data) {
  try {
    await TAKE[data.kind](data);
  } catch (error) {
    if (error instanceof InputError) post("refused", { message: error.message });
    else setTimeout(() => throwOn(error)); // a rejected promise would not reach the page
  }
}

function throwOn(error) {
  throw error;
}

/** Encode a text and measure its baselines; throw InputError if it is too short to train on. */
function sourceOf(text, name, tokens, wanted) {
  const { ids, unknown } = encode(text, tokens);
  const { train, valid } = split(ids);
  const needed = Math.ceil((wanted.streams * wanted.length + 1) / 0.9);
  if (ids.length < needed || valid.length < 20) {
    const least = Math.max(needed, 200);
    throw new InputError(
      `${name} has ${ids.length} characters, and ${wanted.streams} streams of ${wanted.length} need ` +
        `${least}: nothing has changed. Give a longer text, or fewer or shorter streams.`,
    );
  }
  if (tokens.length < 2) throw new InputError(`${name} is one character over and over: there is nothing to learn, and nothing has changed.`);
  const measured = valid.subarray(0, VALID_LENGTH);
  const unigram = ngramLoss(train, measured, 1, tokens.length);
  const baseline = ngramLoss(train, measured, Math.min(5, train.length), tokens.length);
  return { text, name, tokens, train, valid: measured, baseline, unigram, first: ids[0], unknown, size: ids.length };
}

/** Make the runs anew. */
async function begin(wanted, pair) {
  if (!source) return;
  const shapes = shapeOf(wanted);
  const made = [await makeRun(shapes)];
  if (pair) made.push(await makeRun(shapes));
  for (const { network } of made) network.initialize(wanted.seed);
  streams = streamsOf(wanted);
  start(wanted, made);
}

function streamsOf(wanted) {
  try {
    return new Streams(source.train, wanted.streams, wanted.length);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(`The text is too short for ${wanted.streams} streams of ${wanted.length}: give fewer, or shorter ones.`);
  }
}

function shapeOf(wanted) {
  return { ...wanted, tokens: source.tokens.length };
}

async function makeRun(shape) {
  const { total } = planOf(shape);
  if (total > MOST_NUMBERS) {
    throw new InputError(
      `With ${shape.tokens} different characters, ${shape.layers} × ${shape.units} units and ` +
        `${shape.streams} × ${shape.length} characters a step, this needs ${Math.round((4 * total) / 1e6)} MB; ` +
        `${(4 * MOST_NUMBERS) / 1e6} MB are the most. Take fewer units or a smaller batch.`,
    );
  }
  return { network: new Network(await makeKernel(total), shape), broken: false };
}

/** Return the compiled kernel, or the plain one where WebAssembly is not to be had. */
async function makeKernel(total) {
  if (compiled && typeof WebAssembly === "object") {
    try {
      return await compiledKernel(compiled, total);
    } catch {
      compiled = null; // what the browser refuses once, it refuses again
    }
  }
  return plainKernel(total);
}

function start(wanted, made) {
  running = false;
  [settings, runs, snapshots, unsent, step, aside] = [{ ...wanted }, made, [], [], 0, null];
  const { name, tokens, baseline, unigram, unknown, size, train } = source;
  post("began", {
    kernel: runs[0].network.kernel.name,
    settings,
    pair: runs.length > 1,
    weights: runs[0].network.plan.weights,
    text: { name, size, train: train.length, baseline, unigram, unknown, tokens: tokens.length, guessing: Math.log(tokens.length) },
  });
  look();
}

/** Take the second run away: go back to the run before it, or on with the first one. */
function trainAlone() {
  const isBack = aside !== null;
  if (isBack) ({ runs, snapshots, step } = aside);
  else snapshots = snapshots.map(({ step: at, parts }) => ({ step: at, parts: parts.slice(0, 1) }));
  runs = runs.slice(0, 1);
  aside = null;
  running &&= !runs.every(({ broken }) => broken);
  post("alone", { step, isBack, isRunning: running, saturation: runs.map(({ network }) => network.saturation()) });
  look();
}

/** The second run clips where the first does not, and the other way round. */
function settingsOfRun(k) {
  if (k === 0) return settings;
  return { ...settings, from: 0, clip: settings.clip === "none" ? "norm" : "none" };
}

/** Train for a while, say what came of it, and let messages in. */
function goOn() {
  if (!running) return;
  const end = performance.now() + SLICE;
  do takeStep();
  while (running && performance.now() < end);
  sendRows();
  if (performance.now() - lastText > TEXT_EVERY) look();
  nextTurn(goOn);
}

// A timer waits 4 ms and more, in a tab in the background a second; a message does not.
const turns = new MessageChannel();
let afterTurn = null;
turns.port1.onmessage = () => afterTurn();
function nextTurn(call) {
  afterTurn = call;
  turns.port2.postMessage(null);
}

function takeStep() {
  aside = null;
  keepSnapshot();
  const row = { step: step + 1, runs: runs.map(stepOfRun) };
  step += 1;
  if (step % VALID_EVERY === 0) {
    row.valid = runs.map(({ network, broken }) => (broken ? null : network.evaluate(source.valid)));
  }
  unsent.push(row);
  if (runs.every(({ broken }) => broken)) running = false;
}

/** Take a step of one run: [loss, norm, clipped]. A run whose numbers are none any more stands still. */
function stepOfRun(run, k) {
  if (run.broken) return null;
  streams.give(run.network, step);
  const its = settingsOfRun(k);
  const { loss, norm, clipped } = run.network.trainStep({ ...clippingAt(its, step), rate: its.rate });
  if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
    run.broken = true;
    post("broken", { run: k, step: step + 1 });
    return null;
  }
  return [loss, norm, clipped];
}

function sendRows() {
  if (!unsent.length) return;
  const saturation = runs.map(({ network }) => network.saturation());
  post("rows", { rows: unsent, step, saturation });
  unsent = [];
}

/** Write a text of each run, always with the same random numbers: only the network changes it. */
function look() {
  lastText = performance.now();
  if (!runs.length) return;
  const texts = runs.map(({ network }) => {
    const random = randomNumbers(7);
    const { ids, gates } = network.write(source.first, TEXT_LENGTH, settings.temperature, random);
    return { characters: ids.map((id) => source.tokens[id]), gates };
  });
  post("texts", { texts, step, cell: settings.cell });
}

// Going back

/** Keep what this step begins from: the first 40, the last 10, every 10th of the last 100, every 100th. */
function keepSnapshot() {
  snapshots.push({ step, parts: runs.map(({ network, broken }) => ({ ...network.snapshot(), broken })) });
  snapshots = snapshots.filter(({ step: each }) => {
    const age = step - each;
    return each < 40 || age < 10 || (each % 10 === 0 && age < 100) || each % 100 === 0;
  });
  const [{ parts }] = snapshots;
  const size = parts.length * (parts[0].weights.length + parts[0].memories.length);
  while (snapshots.length > 2 && snapshots.length * size > KEPT_SNAPSHOTS) snapshots.splice(1, 1);
}

function goBack(wanted) {
  if (!snapshots.length) return;
  const goal = snapshots.findLast((each) => each.step <= wanted) ?? snapshots[0];
  snapshots = snapshots.filter((each) => each.step < goal.step);
  runs.forEach((run, k) => {
    run.network.restore(goal.parts[k]);
    run.broken = goal.parts[k].broken;
  });
  [step, unsent] = [goal.step, []];
  post("back", { step });
  look();
}

/** Go on from a model of a file, with its cell, sizes and characters. */
async function loadModel({ cell, layers, units, tokens, weights }, name, wanted, pair) {
  const its = { ...wanted, cell, layers, units };
  const before = source;
  source = sourceOf(before.text, before.name, tokens, its);
  try {
    const made = [await makeRun(shapeOf(its))];
    if (pair) made.push(await makeRun(shapeOf(its)));
    for (const { network } of made) {
      for (const [each, values] of Object.entries(weights)) network.weight(each).set(values);
      network.forget();
    }
    streams = streamsOf(its);
    start(its, made);
    post("loaded", { name, unknown: source.unknown });
  } catch (error) {
    source = before;
    throw error;
  }
}
