"use strict";
/* The controls of the explosion lab, and what they show. The training runs in worker.js. */

const FIXED = ["cell", "layers", "units", "optimizer", "streams", "length", "seed", "from"]; // a change begins again
const PER_CHARACTER = 120; // milliseconds, while the drawing of the cell reads the text
const GRASP = 20; // pixels: as near to the line in the plot a pointer takes hold of it
const NAME_OF_LINE = 100; // pixels from the right of the plot
const LONGEST_PASTE = 5e6; // characters
const LONGEST_KEPT = 2e6; // characters; a browser keeps some 5 MB
const UNITS_OF_MODELS = [1, 512]; // a link may have the sizes of a model that was loaded
const NUMBERS = ["layers", "units", "streams", "length", "seed", "from", "rate", "limit", "temperature"];
const CLIP_SAYS = {
  none: "The gradient stays as long as it is.",
  norm: "A longer gradient is shortened to this norm. Drag ↕ in the plot, too.",
  value: "Each entry of the gradient is cut to this value.",
};
const NO_WORKER =
  "This browser does not let the page start a Worker, in which its networks train: nothing here can run. Open the " +
  "page as a file of its own, or from a web address, or in another browser.";

const builtIn = JSON.parse(element("built-in-text").textContent);

let settings = { ...DEFAULTS }; // of the runs that stand; while there are none, of those that are wanted
let preset = Object.keys(PRESETS)[0]; // the experiment of these settings
let asked = []; // requests for other runs that are not answered: {id, settings, preset, late: what was moved since}
let sent = 0; // messages to the worker
let text = null; // what the worker has said of it: {name, baseline, guessing, …}
let model = null; // the name of the file from which the runs began
let history = []; // a RunHistory of each run
let step = 0;
let running = false;
let scales = null; // of the gradient plot, for dragging
let speed = { since: 0, steps: 0, value: 0 };
let texts = []; // of each run: {characters, gates}
let textsCell = null; // the cell that wrote them
let reading = 0; // the character at which the drawing of the cell is
let aside = null; // {history, said, step, preset} of the run that the last beginning took away; holds: for more than a step
let typing = null; // the field in which something stands that was not taken yet
let linked = null; // the settings of the link that is shown
let drawn = false; // a drawing is on its way
let said = { events: new Set() };

let worker = startWorker(); // null where the browser forbids it

/** Start the worker from the sources in this page; no file is asked for. Return null where there may be none. */
function startWorker() {
  let heard = false;
  let started;
  try {
    const address = URL.createObjectURL(new Blob([element("worker").textContent], { type: "text/javascript" }));
    started = new Worker(address);
  } catch {
    return null;
  }
  started.onmessage = ({ data }) => {
    heard = true;
    HEAR[data.kind](data);
  };
  started.onerror = ({ message }) => {
    asked = [];
    setRunning(false);
    if (!heard && !message) worker = null; // it was never let run
    say(worker ? `Something broke in the training: ${message}. Press Reset, or reload the page.` : NO_WORKER, true);
  };
  return started;
}

/** Send the worker a message; return its number. */
function send(kind, more = {}, transfer = []) {
  sent += 1;
  if (worker) worker.postMessage({ kind, id: sent, settings, pair: element("pair").checked, ...more }, transfer);
  else say(NO_WORKER, true);
  return sent;
}

/** Ask for other runs. They may be refused: until the answer is here, those that stand are what the page speaks of. */
function ask(kind, { settings: its = wanted(), ...more } = {}, transfer = []) {
  const id = send(kind, { settings: its, ...more }, transfer);
  if (worker) asked.push({ id, settings: its, preset: element("preset").value, late: {} });
}

/** Ask for something of the run on the screen, unless another one may take its place before the answer. */
function ofWhatStands(kind, more = () => ({})) {
  if (asked.length) say("Another run is being made ready. Press again when it is there.");
  else send(kind, more());
}

/** Return the settings that were asked for last. */
function wanted() {
  const last = asked.at(-1);
  return last ? { ...last.settings, ...last.late } : settings;
}

/** Return the request that an answer is to, if there is one. */
function requestOf(id) {
  const request = asked.find((each) => each.id === id);
  asked = asked.filter((each) => each.id > id);
  return request;
}

/** Take over what stands now, with what was moved since it was asked for. */
function adopt(its, request) {
  settings = { ...settings, ...its.settings, ...request?.late };
  ({ text, model, step } = its);
  Object.assign(said, { kernel: its.kernel, weights: its.weights });
  preset = request?.preset ?? preset;
  if (!asked.length) showStanding(its.pair);
  setRunning(false);
  showUndo();
  showNumbers();
  draw();
}

/** Let the controls say what stands. */
function showStanding(pair) {
  element("pair").checked = pair;
  if (element("preset").value !== preset) showPreset(preset);
  showSettings();
}

// What the worker says

const HEAR = {
  began({ id, left, kept, holds, ...its }) {
    if (step) aside = { history, said, step, preset };
    if (aside) aside.holds = holds;
    const request = requestOf(id);
    history = Array.from({ length: its.pair ? 2 : 1 }, () => new RunHistory());
    said = { events: new Set(), clips: its.settings.clip !== "none", isSwitched: false };
    adopt(its, request);
    showSaturation(null);
    said.of = left ? ` ${left} was left, and the network is new: load the file again to go on with it.` : "";
    if (model) said.of = ` ${its.pair ? "Both runs begin" : "The run begins"} from the weights of ${model}.`;
    const again = kept ? ` The run before, at step ${kept}, is kept until the next step.` : "";
    say(`${inWords(text)}${said.of}${again}`);
  },
  returned({ id, saturation, ...its }) {
    const before = aside;
    ({ history, said } = before);
    aside = null;
    adopt(its, { ...requestOf(id), preset: before.preset });
    noteSwitch();
    showNumbers();
    showSaturation(saturation);
    say(`The run is back at step ${step}.`);
  },
  rows({ rows, step: now, saturation }) {
    for (const row of rows) takeRow(row);
    step = now;
    if (!aside?.holds) aside = null;
    showUndo();
    measureSpeed(rows.length);
    showNumbers();
    showSaturation(saturation);
    draw();
  },
  aside({ step: left }) {
    say(`Both runs begin at step 0. Take the tick away before they do, and the run is back at step ${left}.`);
  },
  alone({ id, running: isRunning, saturation }) {
    requestOf(id);
    history = history.slice(0, 1);
    setRunning(isRunning);
    showNumbers();
    showSaturation(step ? saturation : null);
    draw();
    if (!asked.length) showStanding(false);
    if (history[0] && !history[0].brokenAt) say(`The ${nameOfRun(0)} run goes on alone.`);
  },
  texts({ texts: written, cell }) {
    [texts, textsCell] = [written, cell];
    showTexts();
  },
  running({ is }) {
    setRunning(is);
  },
  broken({ run, step: at }) {
    history[run].brokenAt = at;
    if (history.every(({ brokenAt }) => brokenAt)) setRunning(false);
    showNumbers();
    const which = history.length > 1 ? ` of the ${nameOfRun(run)} run` : "";
    say(
      `At step ${at} the loss${which} was no number any more: the weights are beyond what 32 bits hold. ` +
        "Go back 10 or 100 steps, and clip or lower the rate; or press Reset.",
      true,
    );
  },
  back({ step: to }) {
    setRunning(false);
    for (const run of history) run.cut(to);
    step = to;
    if (to === 0) said.isSwitched = false;
    noteSwitch();
    said.events.clear();
    showNumbers();
    showSaturation(null); // it was that of a later step
    draw();
    say(`Back at step ${to}: what you change now, changes what comes.`);
  },
  refused({ id, message, settings: its, pair, running: isRunning }) {
    say(message, true);
    setRunning(isRunning);
    const request = requestOf(id);
    if (!request || asked.length) return;
    settings = { ...(its ?? request.settings), ...request.late };
    if (!its) preset = request.preset;
    showStanding(its ? pair : element("pair").checked);
    draw();
  },
  file({ bytes, step: at }) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes]));
    link.download = `lab-${settings.cell}-${at}.safetensors`;
    link.click();
    say(`The model of step ${at} was saved as ${link.download}: load_model of the course reads it.`);
  },
  loaded({ name, unknown }) {
    const left = unknown.length ? ` It does not know ${unknown.length} characters of the text, which are left out.` : "";
    say(`${name} is loaded, and trains on from here.${left}`);
  },
  trains() {
    setRunning(true);
    const again = aside ? ` The run before, at step ${aside.step}, can be had back.` : "";
    say(`Trains on ${inWords(text).replace(/^The/, "the")}${said.of}${again}`);
    element("start").focus({ preventScroll: true });
    const part = element("run-part");
    if (part.getBoundingClientRect().top < 0) part.scrollIntoView();
  },
};

function takeRow({ step: at, runs, valid }) {
  runs.forEach((row, k) => {
    if (!row) return;
    history[k].add(at, row);
    if (valid && Number.isFinite(valid[k])) history[k].addValid(at, valid[k]);
    announce(k, at, row[0], row[1]);
  });
}

/** Say how long a text is. */
function inWords({ name, size, tokens, unknown }) {
  const left = unknown.length ? ` ${unknown.length} of its characters are left out.` : "";
  return `${name}: ${size.toLocaleString("en")} characters, ${tokens} different ones.${left}`;
}

/** Say once of each run when its loss leaps, and when its text has died. */
function announce(k, at, loss, norm) {
  const { watch } = history[k];
  const which = history.length > 1 ? ` The ${nameOfRun(k)} run:` : "";
  if (watch.leaptAt === at - 1 && once(`leap${k}`)) {
    say(`Step ${at}:${which} the loss has leapt to ${lossInWords(loss)}. The gradient norm is ${shortNumber(norm)}.`);
  } else if (at % 50 === 0 && watch.isDead(text.unigram) && once(`dead${k}`)) {
    say(
      `Step ${at}:${which} the text is dead. The network is hardly better than one that only knows how often ` +
        `each character comes, ${text.unigram.toFixed(2)}.`,
    );
  }
}

function lossInWords(loss) {
  return loss < 1000 ? loss.toFixed(2) : shortNumber(loss);
}

/** Return whether an event is new. */
function once(event) {
  const isNew = !said.events.has(event);
  said.events.add(event);
  return isNew;
}

/** Return what a run is called: as it began, so that what is said of its past stays true. */
function nameOfRun(k) {
  return `${said.isSwitched ? "at first " : ""}${said.clips === (k === 0) ? "clipped" : "not clipped"}`;
}

/** Take note that a run which was clipped is not any more, or the other way round. */
function noteSwitch() {
  const clips = settings.clip !== "none";
  if (step === 0) said.clips = clips;
  else if (clips !== said.clips) said.isSwitched = true;
}

function measureSpeed(count) {
  const now = performance.now();
  speed.steps += count;
  if (now - speed.since < 1000) return;
  const seconds = (now - speed.since) / 1000;
  if (seconds < 3) speed.value = Math.round((speed.steps * settings.streams * settings.length * history.length) / seconds);
  speed = { since: now, steps: 0, value: speed.value };
}

// What is shown

function say(message, isWrong = false) {
  element("message").textContent = message;
  element("message").classList.toggle("wrong", isWrong);
  element("message-part").classList.toggle("wrong", isWrong);
}

/** Show the way back to the run that the last beginning took away. */
function showUndo() {
  const button = element("undo");
  if (!aside && document.activeElement === button) element("start").focus({ preventScroll: true });
  button.hidden = !aside;
  if (aside) button.textContent = `Back to step ${aside.step}`;
}

function showNumbers() {
  if (!text) return;
  const parts = history.map(({ losses, valid, norms, brokenAt }, k) => {
    const name = titleOfRun(k);
    if (brokenAt) return `${name}no number since step ${brokenAt}`;
    if (!losses.length) return `${name}not trained yet`;
    const held = valid.length ? `, held out ${lossInWords(valid.at(-1)[1])}` : "";
    return `${name}loss ${lossInWords(losses.at(-1)[1])}${held}, norm ${shortNumber(norms.at(-1)[1])}`;
  });
  const pace = running && speed.value ? ` · ${speed.value.toLocaleString("en")} characters a second` : "";
  element("numbers").textContent = `Step ${step} · ${parts.join(" · ")}${pace}`;
  showFigures();
  element("made").textContent = `${said.weights.toLocaleString("en")} weights, computed in ${said.kernel}.`;
}

/** Show the figures of all runs, and those of the one step that is asked for, or of the last. */
function showFigures() {
  element("figures").replaceChildren(...history.map(rowOfFigures));
  const at = readAt();
  const cannot = !(at >= 1 && at <= step);
  if (cannot && document.activeElement === element("before")) element("at").focus();
  element("before").disabled = cannot;
  const parts = history.map((run, k) => {
    if (cannot || at > run.steps) return `${titleOfRun(k)}was not taken`;
    const row = run.rowAt(at);
    if (!row) return `${titleOfRun(k)}is too long ago: the last ${EXACT.toLocaleString("en")} are kept one by one`;
    return `${titleOfRun(k)}loss ${figure(row[0])}, norm ${figure(row[1])}${row[2] ? ", clipped" : ""}`;
  });
  element("at-says").textContent = at ? parts.join(" · ") : "No step was taken yet.";
}

/** Return the step that the field asks for, or the last one where it asks for none. */
function readAt() {
  const { value, valueAsNumber } = element("at");
  return value === "" ? step : valueAsNumber;
}

function rowOfFigures({ figures: { first, highest, longest, recent, clipped, steps } }, k) {
  const row = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = nameOfRun(k);
  row.append(name);
  const values = first && [
    figure(first.loss),
    `${figure(highest.loss)} at ${highest.step}`,
    figure(meanOf(recent)),
    figure(first.norm),
    `${figure(longest.norm)} at ${longest.step}`,
    Number.isFinite(clipped) ? percent(clipped / steps) : "–",
  ];
  for (const value of values ?? Array(6).fill("–")) row.insertCell().textContent = value;
  return row;
}

/** Return a number with three digits. */
function figure(x) {
  return Math.abs(x) < 1000 ? String(Number(x.toPrecision(3))) : shortNumber(x);
}

/** Return how a run's part of a line begins where there are two. */
function titleOfRun(k) {
  return history.length > 1 ? `${nameOfRun(k)}: ` : "";
}

/** Show how many gates are saturated, or that it was not measured, which is so before a step. */
function showSaturation(saturation) {
  const isRnn = settings.cell === "rnn";
  const kind = isRnn ? "units (beyond ±0.99)" : "gates (below 0.05 / above 0.95)";
  const words = saturation?.map((gates, k) => {
    const shares = gates.map(([gate, low, high]) =>
      isRnn ? percent(low + high) : `${gate} ${Math.round(100 * low)} / ${percent(high)}`,
    );
    return titleOfRun(k) + shares.join(", ");
  });
  const isPair = saturation?.length > 1;
  element("saturation").textContent = `Saturated ${kind}:${isPair ? "\n" : " "}${words?.join("\n") ?? "not yet known"}`;
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** Draw both plots with the next frame, once, however often it is asked for. */
function draw() {
  if (drawn || !text) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    const steps = Math.max(step, 50);
    const losses = history.map(({ losses: points, valid }) => ({ points, valid }));
    drawLoss(element("loss-plot"), { curves: losses, steps, ...text });
    const norms = history.map(({ norms: points, clipped }) => ({ points, clipped }));
    const limit = hasLine() ? settings.limit : null;
    scales = drawNorms(element("norm-plot"), { curves: norms, steps, limit });
    describePlots();
  });
}

/** Return whether a run is clipped by its norm: then the limit is a line in the plot of norms. */
function hasLine() {
  return settings.clip === "norm" || (settings.clip === "none" && history.length > 1);
}

/** Say in words what the plots show, for who does not see them. */
function describePlots() {
  const last = (pairs) => (pairs.length ? shortNumber(pairs.at(-1)[1]) : "not yet measured");
  const of = (name) => history.map((run) => last(run[name])).join(" and ");
  element("loss-plot").ariaLabel =
    `Loss by step, now at step ${step}: training ${of("losses")}, held out ${of("valid")}; 5-gram ` +
    `${text.baseline.toFixed(2)}, guessing ${text.guessing.toFixed(2)}`;
  element("norm-plot").ariaLabel =
    `Gradient norm by step on a log axis, now ${of("norms")}; clipped steps: ${history.map((run) => run.figures.clipped).join(" and ")}`;
}

const isStill = matchMedia("(prefers-reduced-motion: reduce)");

function showTexts() {
  element("text-1").hidden = texts.length < 2;
  element("text-part").classList.toggle("paired", texts.length > 1);
  texts.forEach((_, k) => showReading(k));
  showCell();
}

/** Show a text with the character marked at which the drawing of the cell is. */
function showReading(k) {
  const { characters } = texts[k];
  const box = element(`text-${k}`);
  if (isStill.matches || k > 0) {
    box.textContent = characters.join("");
    return;
  }
  const mark = document.createElement("mark");
  mark.textContent = characters[reading] ?? "";
  box.replaceChildren(characters.slice(0, reading).join(""), mark, characters.slice(reading + 1).join(""));
}

/** Draw the cell of the first run at the marked character, or its mean where nothing is to move. */
function showCell() {
  if (!texts.length) return;
  const { gates } = texts[0];
  const mean = gates[0].map((_, gate) => gates.reduce((sum, values) => sum + values[gate], 0) / gates.length);
  const values = isStill.matches ? mean : gates[reading];
  drawCell(element("cell-plot"), textsCell, values);
  const words = GATE_NAMES[textsCell].map((name, k) => `${name} ${mean[k].toFixed(2)}`).join(", ");
  element("cell-plot").ariaLabel = `The cell: how far its gates are open on average over this text: ${words}`;
}

function readOn() {
  if (!texts.length || isStill.matches || document.hidden || !running) return;
  reading = (reading + 1) % texts[0].characters.length;
  showReading(0);
  showCell();
}

// Settings

/** Put all settings into their controls. */
function showSettings() {
  for (const name of ["cell", "layers", "units", "optimizer", "streams", "length", "seed", "from", "clip"]) {
    if (name === typing) continue; // an answer does not write over what is being typed
    element(name).value = settings[name];
    element(name).removeAttribute("aria-invalid");
  }
  for (const name of ["rate", "limit"]) element(name).value = Math.log10(settings[name]);
  element("temperature").value = settings.temperature;
  showValues();
}

function showValues() {
  element("the-link").hidden = linked !== linkOf(); // it has what the settings were
  for (const name of ["rate", "limit"]) {
    const label = shortNumber(settings[name]);
    element(`${name}-value`).textContent = label;
    element(name).ariaValueText = label;
  }
  element("temperature-value").textContent = settings.temperature.toFixed(2);
  element("limit").disabled = settings.clip === "none" && !element("pair").checked;
  element("limit-says").textContent = CLIP_SAYS[settings.clip];
  element("pair-label").textContent = `Beside it: ${settings.clip === "none" ? "clipped" : "not clipped"}`;
}

/** Return the number in a field, or null after saying what is wrong with it. */
function readWhole(name) {
  const field = element(name);
  const [value, low, high] = [field.valueAsNumber, Number(field.min), Number(field.max)];
  const fits = Number.isInteger(value) && value >= low && value <= high;
  field.setAttribute("aria-invalid", String(!fits));
  if (!fits) say(`${field.labels[0].textContent} must be a whole number from ${low} to ${high}.`, true);
  return fits ? value : null;
}

/** Take a change of what is fixed while a network trains: begin again. */
function fixedChanged(name) {
  const value = element(name).type === "number" ? readWhole(name) : element(name).value;
  if (value === null) return;
  ask("reset", { settings: { ...wanted(), [name]: name === "layers" ? Number(value) : value } });
}

/** Take a change of what may change while it runs. The others keep what they are, which may lie between two
 * places of their sliders. */
function liveChanged(name) {
  const { value } = element(name);
  const changes = { [name]: { rate: 10 ** value, limit: 10 ** value, temperature: Number(value), clip: value }[name] };
  for (const { late } of asked) Object.assign(late, changes);
  Object.assign(settings, changes);
  noteSwitch();
  showValues();
  showNumbers();
  draw();
  send("change", { changes });
}

function choosePreset(name) {
  element("pair").checked = false;
  showPreset(name);
  ask("reset", { settings: settingsOf(name), leaves: true });
}

function showPreset(name) {
  element("preset").value = name;
  element("preset-says").textContent = PRESETS[name].says;
  element("figures-part").open = Boolean(PRESETS[name].figures);
}

// The line in the gradient plot

/** Return how far below the line a pointer takes hold of it, or null where it does not.
 *
 * A finger does so at the name of the line alone: elsewhere it scrolls the page.
 */
function gripOf({ clientX, clientY }, isFinger) {
  if (!scales || !hasLine()) return null;
  const { top, right } = element("norm-plot").getBoundingClientRect();
  const below = clientY - top - scales.y(settings.limit);
  return Math.abs(below) > GRASP || (isFinger && right - clientX > NAME_OF_LINE) ? null : below;
}

function dragLimit({ clientY }, grip) {
  const { top } = element("norm-plot").getBoundingClientRect();
  element("limit").value = Math.log10(scales.valueAt(clientY - top - grip));
  liveChanged("limit");
}

function watchDragging() {
  const plot = element("norm-plot");
  let grip = null;
  plot.addEventListener("pointerdown", (event) => {
    grip = event.button === 0 ? gripOf(event, event.pointerType === "touch") : null;
    if (grip !== null) plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointermove", (event) => {
    if (plot.hasPointerCapture(event.pointerId) && grip !== null) dragLimit(event, grip);
    else plot.classList.toggle("drags", gripOf(event, false) !== null);
  });
  plot.addEventListener("lostpointercapture", () => (grip = null));
  // A finger that drags the line must not scroll the page, too; only this event can say so.
  const keepStill = (event) => {
    if (event.touches.length === 1 && gripOf(event.touches[0], true) !== null) event.preventDefault();
  };
  plot.addEventListener("touchstart", keepStill, { passive: false });
}

// Texts, models, the address

function trainOn(name, more, transfer = []) {
  say(`Reading: ${name} …`);
  ask("text", { name, ...more }, transfer);
}

/** Hand a file to the worker as its bytes. */
async function takeFile(input, kind) {
  const [file] = input.files;
  if (!file) return;
  if (file.size > 200e6) {
    say(`${file.name} has ${Math.round(file.size / 1e6)} MB, which is too large for this page: nothing was loaded.`, true);
  } else {
    await sendFile(file, kind);
  }
  input.value = ""; // so that the same file can be chosen again
}

async function sendFile(file, kind) {
  say(`Reading: ${file.name} …`);
  let bytes;
  try {
    bytes = await file.arrayBuffer();
  } catch {
    say(`${file.name} cannot be read: nothing was loaded. Is it still there, and are you allowed to read it?`, true);
    return;
  }
  ask(kind, { name: file.name, bytes }, [bytes]);
}

function usePasted() {
  const pasted = element("own-text").value;
  if (pasted.length > LONGEST_PASTE) say(`The text has ${pasted.length} characters; ${LONGEST_PASTE} are the most: nothing has changed.`, true);
  else trainOn("The pasted text", { text: pasted, goes: true });
}

/** Keep what was pasted while the tab lives: a phone reloads a page that was long out of sight. */
function keepPasted() {
  const pasted = element("own-text");
  try {
    pasted.value = sessionStorage.getItem("own-text") ?? "";
    pasted.addEventListener("change", keep);
  } catch {
    // A frame may be forbidden to keep anything: then the field begins empty.
  }
}

function keep({ target }) {
  try {
    sessionStorage.setItem("own-text", target.value.length > LONGEST_KEPT ? "" : target.value);
  } catch {
    say("The browser keeps no more for this page: the text that was pasted is gone when the page is reloaded.");
  }
}

/** Return all settings as an address has them, exactly. */
function linkOf() {
  const all = Object.keys(DEFAULTS).map((name) => [name, String(settings[name])]);
  return String(new URLSearchParams([...all, ["preset", preset], ["pair", element("pair").checked ? 1 : 0]]));
}

/** Put all settings into the address of the page, which can then be sent to others. */
function makeLink() {
  linked = linkOf();
  const without = model ? `A text is not in it, nor are the weights of ${model}.` : "A text is not in it.";
  say(`${putIntoAddress(new URLSearchParams(linked))} ${without}`);
}

/** Show the experiment of the address; return its settings, as far as they are ones. */
function readLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  const named = link.get("preset");
  const name = named && Object.hasOwn(PRESETS, named) ? named : Object.keys(PRESETS)[0];
  showPreset(name);
  element("pair").checked = link.get("pair") === "1";
  const its = settingsOf(name);
  for (const each of Object.keys(DEFAULTS)) {
    if (link.has(each) && fitsLink(each, link.get(each))) {
      its[each] = NUMBERS.includes(each) ? Number(link.get(each)) : link.get(each);
    }
  }
  return its;
}

/** Return whether a control can hold what an address says. */
function fitsLink(name, value) {
  const field = element(name);
  if (field.tagName === "SELECT") return Array.from(field.options, (option) => option.value).includes(value);
  const number = field.type === "range" && name !== "temperature" ? Math.log10(Number(value)) : Number(value);
  const isWhole = field.type === "range" || Number.isInteger(number);
  const [low, high] = name === "units" ? UNITS_OF_MODELS : [Number(field.min), Number(field.max)];
  const rounded = 1e-9; // the end of a slider may come back from its logarithm a little beyond
  return value !== "" && isWhole && number >= low - rounded && number <= high + rounded;
}

// Events

function setRunning(goes) {
  running = goes;
  speed = { since: performance.now(), steps: 0, value: 0 };
  element("start").textContent = goes ? "Pause" : "Start";
}

function start() {
  for (const [key, { name }] of Object.entries(PRESETS)) element("preset").add(new Option(name, key));
  element("preset").addEventListener("change", () => choosePreset(element("preset").value));
  for (const name of FIXED) {
    element(name).addEventListener("input", () => (typing = name));
    for (const kind of ["change", "blur"]) element(name).addEventListener(kind, () => (typing = null), true);
    element(name).addEventListener("change", () => fixedChanged(name));
  }
  for (const name of ["rate", "limit", "temperature", "clip"]) element(name).addEventListener("input", () => liveChanged(name));
  element("pair").addEventListener("change", () => {
    showValues();
    ask("pair");
  });
  element("start").addEventListener("click", () => {
    send(running ? "pause" : "run");
    if (worker) setRunning(!running);
  });
  element("step").addEventListener("click", () => {
    setRunning(false);
    send("step");
  });
  element("reset").addEventListener("click", () => ask("reset"));
  element("undo").addEventListener("click", () => send("undo"));
  element("again").addEventListener("click", () => choosePreset(element("preset").value));
  for (const button of document.querySelectorAll("[data-back]")) {
    button.addEventListener("click", () => ofWhatStands("back", () => ({ to: step - Number(button.dataset.back) })));
  }
  element("at").addEventListener("input", showFigures);
  element("before").addEventListener("click", () => ofWhatStands("back", () => ({ to: readAt() - 1 })));
  element("use-text").addEventListener("click", usePasted);
  element("built-in").addEventListener("click", () => trainOn("The built-in text", { text: builtIn }));
  element("text-file").addEventListener("change", ({ target }) => takeFile(target, "text"));
  element("model-file").addEventListener("change", ({ target }) => takeFile(target, "load"));
  element("save-model").addEventListener("click", () => ofWhatStands("save"));
  element("make-link").addEventListener("click", makeLink);
  element("copy-link").addEventListener("click", async () => say(await copyLink()));
  whenAddressChanges(() => ask("reset", { settings: readLink(), leaves: true }));
  watchSliders();
  addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  watchDragging();
  keepPasted();
  setInterval(readOn, PER_CHARACTER);
  settings = readLink();
  preset = element("preset").value;
  showSettings();
  const kernel = Uint8Array.from(atob(element("kernel").textContent), (character) => character.charCodeAt(0));
  send("begin", { bytes: kernel });
  trainOn("The built-in text", { text: builtIn });
}

function redraw() {
  draw();
  showCell();
}

start();
