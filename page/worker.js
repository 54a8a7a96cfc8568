"use strict";
/* The training, in a Web Worker of its own, so that the page never waits for it.

   It takes messages {kind, …} and sends some; what each kind means is said at `TAKE` and `post`. One
   run, or two from the same seed that take each step together. */

const SLICE = 40; // milliseconds of training between two looks at what has come in
const TEXT_EVERY = 1000; // milliseconds
const TEXT_LENGTH = 240; // characters that are written
const VALID_EVERY = 50; // steps
const VALID_LENGTH = 8000; // characters of the held-out text that are measured
const NO_NETWORK = "There is no network yet.";
const MOST_NUMBERS = 60e6; // of a network with all it needs: 240 MB

let compiled = null; // the bytes of kernel.wasm
let source = null; // the text: {name, tokens, train, valid, baseline, first}; own: as it is without the model's characters
let model = null; // {name, weights, …} of the file from which the runs began, if they did
let settings = null;
let streams = null;
let runs = []; // {network, broken}
let snapshots = []; // {step, parts}, the oldest first
let step = 0;
let aside = null; // {state, by}: the run that the last beginning took away, until the new one takes a step; by "text": also longer
let whyNone = ""; // what was said when the first network was refused
let running = false;
let lastText = 0;
let unsent = []; // rows of steps, which count from 1
let asked = 0; // the number of the message that is being answered

function post(kind, more, transfer = []) {
  postMessage({ kind, id: asked, ...more }, transfer);
}

/** What the page may ask for. Whatever is refused leaves all as it was: it is built beside the run that stands. */
const TAKE = {
  begin({ bytes }) {
    compiled = bytes;
  },
  /** Take a text; begin again with it, and train on it at once where it `goes`. */
  async text({ text, bytes, name, settings: wanted, pair, goes }) {
    const read = bytes ? decodeText(new Uint8Array(bytes), name) : text;
    const its = sourceOf(read, name, tokensOf(read), wanted);
    if (!runs.length) source = its; // it waits for a network that fits
    await begin({ its, wanted, pair, by: goes ? "text" : "reset" });
    if (!goes) return;
    post("trains");
    TAKE.run();
  },
  /** Begin again: with the weights of the model that was loaded, or with new ones of the seed. */
  async reset({ settings: wanted, pair, leaves }) {
    if (!source) return;
    const keeps = model && !leaves && ["cell", "layers", "units", "seed"].every((name) => wanted[name] === settings[name]);
    if (keeps) await begin({ its: source, wanted, pair, from: model });
    else await begin({ its: source.own ?? source, wanted, pair });
  },
  /** Set a second run beside the first, both from step 0; or take it away. */
  async pair({ settings: wanted, pair }) {
    if (!source) return;
    if (!pair) return aside?.by === "pair" ? bringBack() : trainAlone();
    const hadSteps = step > 0;
    await begin({ its: source, wanted, pair, from: model, by: "pair" });
    if (hadSteps) post("aside", { step: aside.state.step });
  },
  /** Bring back the run that the last beginning took away. */
  undo() {
    if (aside) bringBack();
  },
  /** Change what may change while it runs. */
  change({ changes }) {
    if (!settings) return;
    Object.assign(settings, changes);
    if (!running) look();
  },
  run() {
    if (running) return;
    needRun();
    running = true;
    post("running", { is: true });
    goOn();
  },
  pause() {
    stop();
    look();
  },
  step() {
    running = false;
    needRun();
    takeStep();
    sendRows();
    look();
  },
  /** Go back to where so many steps are taken, or to the nearest earlier place that is kept. */
  back({ to }) {
    stop();
    goBack(to);
  },
  save() {
    needNetwork();
    const bytes = modelFile(runs[0].network, source.tokens);
    post("file", { bytes: bytes.buffer, step }, [bytes.buffer]);
  },
  /** Go on from a model of a file, with its cell, sizes and characters. */
  async load({ bytes, name, settings: wanted, pair }) {
    const read = { ...readModel(new Uint8Array(bytes), name), name };
    const own = source.own ?? source;
    const { cell, layers, units } = read;
    const sized = { ...wanted, cell, layers, units };
    const its = { ...sourceOf(own.text, own.name, read.tokens, sized, name), own };
    await begin({ its, wanted: sized, pair, from: read });
    post("loaded", { name, unknown: its.unknown });
  },
};

// One after the other: what is asked for while a text is being read waits until it is.
let taken = Promise.resolve();
onmessage = ({ data }) => {
  taken = taken.then(() => take(data));
};

async function take(data) {
  asked = data.id ?? asked;
  try {
    await TAKE[data.kind](data);
  } catch (error) {
    if (error instanceof InputError) refuse(error.message);
    else breakDown(error);
  }
}

/** Say why something was refused, and what stands: the page shows that. */
function refuse(message) {
  if (!runs.length && !message.startsWith(NO_NETWORK)) whyNone = message;
  post("refused", { message, settings, pair: runs.length > 1, running });
}

/** Stop, and let the page hear of an error: a rejected promise would not reach it. */
function breakDown(error) {
  running = false;
  setTimeout(() => {
    throw error;
  });
}

function stop() {
  running = false;
  post("running", { is: false });
}

function needNetwork() {
  if (runs.length) return;
  throw new InputError(`${NO_NETWORK} ${whyNone}`.trim());
}

/** Throw InputError unless there is a run that can take a step. */
function needRun() {
  needNetwork();
  if (!runs.every(({ broken }) => broken)) return;
  throw new InputError(
    "From here no step can be taken: the loss would be no number again. Go back 10 or 100 steps, and clip or lower the rate; or press Reset.",
  );
}

/** Encode a text and measure its baselines; throw InputError if it is too short to train on.
 *
 * Where the characters are those of a model, `of` is its name.
 */
function sourceOf(text, name, tokens, wanted, of = null) {
  const { ids, unknown } = encode(text, tokens);
  const { train, valid } = split(ids);
  const its = { text, name, tokens, train, valid: valid.subarray(0, VALID_LENGTH), first: ids[0], unknown, size: ids.length };
  if (of) checkKnown(its, wanted, of);
  checkLength(its, wanted);
  if (tokens.length < 2) throw new InputError(`${name} is one character over and over: there is nothing to learn, and nothing has changed.`);
  const loss = (order) => ngramLoss(train, its.valid, order, tokens.length);
  return { ...its, baseline: loss(Math.min(5, train.length)), unigram: loss(1) };
}

/** Return how many characters a text must have. */
function neededFor({ streams: N, length: T }) {
  return Math.max(Math.ceil((N * T + 1) / 0.9), 200);
}

/** Throw InputError if a text is too short to train on with such streams. */
function checkLength({ name, size }, wanted) {
  if (size >= neededFor(wanted)) return;
  throw new InputError(
    `${name} has ${size} characters, and ${wanted.streams} streams of ${wanted.length} need ` +
      `${neededFor(wanted)}: nothing has changed. Give a longer text, or fewer or shorter streams.`,
  );
}

/** Throw InputError if a model knows too few characters of a text. */
function checkKnown({ name, size, unknown }, wanted, of) {
  if (!unknown.length || size >= neededFor(wanted)) return;
  throw new InputError(
    `${of} cannot be loaded: of ${name.replace(/^The/, "the")} it knows ${size} characters, and ${wanted.streams} streams of ` +
      `${wanted.length} need ${neededFor(wanted)}. Train on a text of its own characters first, then load it. The network stays as it is.`,
  );
}

/** Make runs anew on a text, from a model or from the seed. All is built before anything is changed, so that what
 * is refused changes nothing, and what trains meanwhile trains on. */
async function begin({ its, wanted, pair, from = null, by = "reset" }) {
  checkLength(its, wanted);
  const shape = { ...wanted, tokens: its.tokens.length };
  const made = [await makeRun(shape)];
  if (pair) made.push(await makeRun(shape));
  for (const { network } of made) {
    if (from) setWeights(network, from.weights);
    else network.initialize(wanted.seed);
  }
  const left = model && !from ? model.name : null;
  const state = { source: its, model: from, settings: { ...wanted }, runs: made, snapshots: [], step: 0 };
  state.streams = new Streams(its.train, wanted.streams, wanted.length);
  putAside(by);
  stand(state);
  post("began", { ...whatStands(), left, kept: aside?.state.step ?? 0, holds: aside?.by === "text" });
  look();
}

function setWeights(network, weights) {
  for (const [name, values] of Object.entries(weights)) network.weight(name).set(values);
  network.forget();
}

/** Keep the run that stands, if it has taken a step, until the next one takes one. */
function putAside(by) {
  if (step) aside = { state: { source, model, settings, streams, runs, snapshots, step }, by };
  else if (aside && by !== "pair") aside.by = by; // the second run is no longer what took it away
}

function stand(state) {
  running = false;
  unsent = [];
  ({ source, model, settings, streams, runs, snapshots, step } = state);
}

/** Return what the page has to know of the runs and their text. */
function whatStands() {
  const { name, tokens, baseline, unigram, unknown, size, train } = source;
  return {
    kernel: runs[0].network.kernel.name,
    settings,
    pair: runs.length > 1,
    step,
    model: model?.name ?? null,
    weights: runs[0].network.plan.weights,
    text: { name, size, train: train.length, baseline, unigram, unknown, tokens: tokens.length, guessing: Math.log(tokens.length) },
  };
}

function bringBack() {
  const { state, by } = aside;
  aside = null;
  // What was moved while the second run stood beside it was moved for this run, too.
  const { rate, clip, limit, temperature } = settings;
  stand(by === "pair" ? { ...state, settings: { ...state.settings, rate, clip, limit, temperature } } : state);
  post("returned", { ...whatStands(), saturation: saturationOf(runs) });
  look();
}

function saturationOf(all) {
  return all.map(({ network }) => network.saturation());
}

async function makeRun(shape) {
  const { total } = planOf(shape);
  const what =
    `With ${shape.tokens} different characters, ${shape.layers} × ${shape.units} units and ` +
    `${shape.streams} × ${shape.length} characters a step, this needs ${Math.round((4 * total) / 1e6)} MB; `;
  if (total > MOST_NUMBERS) {
    throw new InputError(`${what}${(4 * MOST_NUMBERS) / 1e6} MB are the most. Take fewer units or a smaller batch.`);
  }
  try {
    return { network: new Network(await makeKernel(total), shape), broken: false };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(`${what}the browser does not give as much. Take fewer units or a smaller batch.`);
  }
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

/** Take the second run away, and go on with the first one. */
function trainAlone() {
  snapshots = snapshots.map(({ step: at, parts }) => ({ step: at, parts: parts.slice(0, 1) }));
  runs = runs.slice(0, 1);
  running &&= !runs[0].broken;
  post("alone", { running, saturation: saturationOf(runs) });
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
  try {
    const end = performance.now() + SLICE;
    do takeStep();
    while (running && performance.now() < end);
    sendRows();
    if (!running) stop();
    if (!running || performance.now() - lastText > TEXT_EVERY) look();
    nextTurn();
  } catch (error) {
    breakDown(error);
  }
}

// A timer waits 4 ms and more, in a tab in the background a second; a message does not.
const turns = new MessageChannel();
let isWaiting = false; // for a turn: who pauses and starts at once must not get two of them
turns.port1.onmessage = () => {
  isWaiting = false;
  goOn();
};
function nextTurn() {
  if (!isWaiting) turns.port2.postMessage(null);
  isWaiting = true;
}

/** Take a step of each run that can. One after which none could is not taken: its text would be of the step before. */
function takeStep() {
  const parts = runs.map(({ network, broken }) => ({ ...network.snapshot(), broken }));
  const row = { step: step + 1, runs: runs.map(stepOfRun) };
  if (runs.every(({ broken }) => broken)) {
    running = false;
    return;
  }
  if (aside?.by !== "text") aside = null; // its steps come at once, before a reader could ask for the run before
  keepSnapshot(parts);
  step += 1;
  if (step % VALID_EVERY === 0) {
    row.valid = runs.map(({ network, broken }) => (broken ? null : network.evaluate(source.valid)));
  }
  unsent.push(row);
}

/** Take a step of one run: [loss, norm, clipped]. A run whose numbers are none any more stands still. */
function stepOfRun(run, k) {
  if (run.broken) return null;
  streams.give(run.network, step);
  const its = settingsOfRun(k);
  const { loss, norm, clipped } = run.network.trainStep({ ...clippingAt(its, step), rate: its.rate });
  if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
    run.broken = true;
    sendRows(); // first what was before it
    post("broken", { run: k, step: step + 1 });
    return null;
  }
  return [loss, norm, clipped];
}

function sendRows() {
  if (!unsent.length) return;
  post("rows", { rows: unsent, step, saturation: saturationOf(runs) });
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
function keepSnapshot(parts) {
  snapshots.push({ step, parts });
  snapshots = snapshots.filter(({ step: each }) => {
    const age = step - each;
    return each < 40 || age < 10 || (each % 10 === 0 && age < 100) || each % 100 === 0;
  });
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
