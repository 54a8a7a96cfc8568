"use strict";
/* The controls. What they show is computed in network.js. */

const MOST_PROBABLE = 12; // bars
const CONTEXT = 12; // characters before the one that the bars are about
const LONGEST_PROMPT = 500; // characters
const AT_ONCE = 50; // milliseconds of writing before the browser gets its turn
const PER_CHARACTER = 500; // milliseconds, while it plays
const IN_ADDRESS = ["prompt", "temperature", "top-k", "top-p", "min-p", "length", "seed"];
const UNLIKELY = 0.001; // the probability that is shaded fully, as all below it
const VISIBLE = { " ": "␣", "\n": "↵", "\t": "⇥" };
const SPOKEN = { " ": "space", "\n": "newline", "\t": "tab" };
const LIMITS = {
  "top-k": {
    fits: (x) => Number.isInteger(x) && x >= 1,
    message: "Top-k must be a whole number, 1 or more. Leave it empty to keep all characters.",
  },
  "top-p": { fits: (x) => x > 0 && x <= 1, message: "Top-p must be above 0 and at most 1." },
  "min-p": { fits: (x) => x >= 0 && x <= 1, message: "Min-p must be from 0 to 1; 0 keeps all characters." },
  length: {
    fits: (x) => Number.isInteger(x) && x >= 1 && x <= 1000,
    message: "Length must be a whole number from 1 to 1000.",
  },
  seed: {
    fits: (x) => Number.isInteger(x) && x >= 0 && x < 2 ** 32,
    message: "Seed must be a whole number from 0 to 4294967295.",
  },
};

const header = JSON.parse(element("header").textContent);
const network = makeNetwork(header, element("weights").textContent);
const idOf = new Map(header.tokens.map((token, id) => [token, id]));

let shown = { prompt: "", steps: [] }; // the text on the page
let selected = 0; // which of its characters the bars are about
let lastRead = {}; // the prompt that was read last, {prompt, context}
let running = false; // a text is being written
let wanted = false; // and another one will be, since something changed meanwhile
let keptTitle = ""; // of the text that is kept
let playing = null; // the timer that goes from one character to the next

// Settings

/** A field holds what cannot be used; the message is for people. */
class SettingError extends Error {
  constructor(id, message) {
    super(message);
    this.id = id;
  }
}

/** Return the number in a field; throw SettingError if it is none, or outside its limits. */
function readNumber(id) {
  const field = element(id);
  if (field.value === "" || !LIMITS[id].fits(Number(field.value))) {
    throw new SettingError(id, LIMITS[id].message);
  }
  return Number(field.value);
}

/** Return all settings; throw SettingError at the first that cannot be used. */
function readSettings() {
  const topK = element("top-k");
  const keepsAll = topK.value === "" && !topK.validity.badInput;
  return {
    prompt: element("prompt").value,
    tokens: tokensOf(element("prompt").value),
    temperature: Number(element("temperature").value),
    topK: keepsAll ? null : readNumber("top-k"),
    topP: readNumber("top-p"),
    minP: readNumber("min-p"),
    length: readNumber("length"),
    seed: readNumber("seed"),
  };
}

/** Return the ids that the network reads of a prompt, `.start` first where there is one. */
function tokensOf(prompt) {
  const characters = Array.from(prompt); // whole characters, where a string has UTF-16 units
  const unknown = [...new Set(characters)].filter((character) => !idOf.has(character));
  if (unknown.length > 0) {
    const named = unknown.slice(0, 5).map((c) => `“${c}” (U+${hexOf(c)})`);
    const more = unknown.length > 5 ? ` and ${unknown.length - 5} more` : "";
    throw new SettingError(
      "prompt",
      `The model does not know ${named.join(", ")}${more}. Leave it out of the prompt.`,
    );
  }
  if (characters.length > LONGEST_PROMPT) {
    throw new SettingError(
      "prompt",
      `The prompt has ${characters.length} characters; it may have ${LONGEST_PROMPT}.`,
    );
  }
  const tokens = [".start", ...characters].filter((token) => idOf.has(token));
  if (tokens.length === 0) {
    throw new SettingError(
      "prompt",
      "The prompt is empty. Give at least one character to write on from.",
    );
  }
  return tokens.map((token) => idOf.get(token));
}

function hexOf(character) {
  return character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

/** Show the message of an error under its field, and mark the field; null takes both away. */
function showMessage(error) {
  const message = element("message");
  const field = error && element(error.id);
  const isElsewhere = message.previousElementSibling !== field?.parentElement;
  if (field && isElsewhere) field.parentElement.after(message);
  else if (!field) element("settings").append(message);
  message.textContent = error ? error.message : "";
  for (const each of document.querySelectorAll("[aria-errormessage]")) {
    each.setAttribute("aria-invalid", String(each === field));
  }
  if (field && field === document.activeElement) message.scrollIntoView({ block: "nearest" });
}

// Writing

/** Write a text of the settings as they are now, unless one is being written: then afterwards.
 *
 * However many changes come meanwhile, only one more text is written.
 */
async function refresh() {
  wanted = true;
  element("text").setAttribute("aria-busy", "true");
  if (running) return;
  running = true;
  await null; // until the event is handled, but not until the next frame
  while (wanted) {
    wanted = false;
    await writeText();
    if (!wanted) element("text").setAttribute("aria-busy", "false");
    await nextTurn(); // changes that came meanwhile are taken together
  }
  running = false;
}

// A timer waits up to 4 ms; a message does not.
const turns = new MessageChannel();
const afterTurn = [];
turns.port1.onmessage = () => afterTurn.shift()();

/** Let the browser draw and take input. */
function nextTurn() {
  return new Promise((resolve) => {
    afterTurn.push(resolve);
    turns.port2.postMessage(null);
  });
}

/** Write a text and show it, or show what is wrong with the settings and leave the last text. */
async function writeText() {
  let settings;
  try {
    settings = readSettings();
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    showMessage(error);
    return;
  }
  showMessage(null);
  const steps = [];
  let pause = performance.now() + AT_ONCE;
  const u = uniformNumbers(settings.seed, settings.length);
  for (const step of write(network, contextOf(settings), u, settings)) {
    steps.push(step);
    if (performance.now() > pause) {
      await nextTurn();
      pause = performance.now() + AT_ONCE;
    }
  }
  showText({ ...settings, steps });
}

/** Return what the network has read of the prompt, which is read again only if it has changed. */
function contextOf({ prompt, tokens }) {
  if (lastRead.prompt !== prompt) lastRead = { prompt, context: readContext(network, tokens) };
  return lastRead.context;
}

// The text

/** Show a text, and select the place in it that was selected before. */
function showText(text) {
  shown = text;
  element("prompt-shown").textContent = text.prompt;
  element("text").replaceChildren(...text.steps.map(characterOf));
  markParting();
  select(Math.min(selected, text.steps.length - 1));
  const surprise = text.steps.reduce((sum, step) => sum - step.logBefore[step.token], 0);
  element("summary").textContent =
    `${text.steps.length} characters at temperature ${text.temperature.toFixed(2)}. ` +
    `Mean −ln p under the model: ${(surprise / text.steps.length).toFixed(2)} nats.`;
}

/** Return the element of one character. */
function characterOf(step, index) {
  const token = header.tokens[step.token];
  const made = document.createElement("span");
  made.setAttribute("role", "option");
  made.setAttribute("aria-label", `${SPOKEN[token] ?? token}: ${probabilitiesOf(step)}`);
  made.dataset.index = index;
  made.tabIndex = -1;
  made.textContent = token;
  made.classList.toggle("newline", token === "\n");
  made.style.backgroundColor = shade(step.logBefore[step.token]);
  return made;
}

/** Return the background of a character: orange, the more of it the larger -ln p. */
function shade(logP) {
  return `rgb(var(--shade) / ${Math.min(1, logP / Math.log(UNLIKELY)).toFixed(3)})`;
}

function probabilitiesOf(step) {
  const [before, after] = [step.logBefore[step.token], step.logAfter[step.token]];
  return `${percent(before)} before, ${percent(after)} after`;
}

/** Return the probability of a log-probability in words. */
function percent(logP) {
  const p = Math.exp(logP);
  return p > 0 && p < 0.0005 ? "<0.1 %" : `${(100 * p).toFixed(1)} %`;
}

/** Return a text with its spaces made visible. */
function visible(text) {
  return Array.from(text, (character) => VISIBLE[character] ?? character).join("");
}

/** Return a code element that holds a text. */
function code(text) {
  const made = document.createElement("code");
  made.textContent = visible(text);
  return made;
}

function showReadout(index) {
  const step = shown.steps[index];
  element("readout").replaceChildren(
    code(header.tokens[step.token]),
    ` ${probabilitiesOf(step)}`,
  );
}

// One character

/** Show the distribution that a character was drawn from. */
function select(index) {
  const options = element("text").children;
  for (const at of [selected, index]) {
    options[at]?.setAttribute("aria-selected", String(at === index));
    if (options[at]) options[at].tabIndex = at === index ? 0 : -1;
  }
  selected = index;
  const step = shown.steps[index];
  element("position").textContent = `${index + 1} of ${shown.steps.length}`;
  element("previous").disabled = index === 0;
  element("next").disabled = index === shown.steps.length - 1;
  const written = shown.steps.slice(0, index).map((each) => header.tokens[each.token]);
  const text = Array.from(shown.prompt + written.join(""));
  element("context").replaceChildren(
    "What comes after ",
    code((text.length > CONTEXT ? "…" : "") + text.slice(-CONTEXT).join("")),
  );
  showReadout(index);
  showBars(step);
  showDraw(step);
}

/** Show the most probable tokens, and the one that was drawn, if it is none of them. */
function showBars(step) {
  const tokens = byProbability(step.logBefore).slice(0, MOST_PROBABLE);
  if (!tokens.includes(step.token)) tokens.push(step.token);
  element("bars").replaceChildren(...tokens.map((token) => barsOf(token, step)));
}

/** Return the row of one token: its name, two bars, two numbers. */
function barsOf(token, { token: taken, logBefore, logAfter }) {
  const row = document.createElement("tr");
  row.classList.toggle("taken", token === taken);
  const name = document.createElement("th");
  name.scope = "row";
  name.append(visible(header.tokens[token]));
  name.setAttribute("aria-label", SPOKEN[header.tokens[token]] ?? header.tokens[token]);
  const bars = row.insertCell();
  bars.className = "bars";
  row.prepend(name);
  for (const [kind, logP] of Object.entries({ before: logBefore[token], after: logAfter[token] })) {
    const bar = document.createElement("div");
    bar.className = `bar ${kind}`;
    bar.style.width = `${100 * Math.exp(logP)}%`;
    bars.append(bar);
    const number = row.insertCell();
    number.className = "number";
    number.textContent = percent(logP);
  }
  return row;
}

/** Show how u chose the token: pieces of a line from 0 to 1, one for each probability. */
function showDraw({ token, u, logAfter }) {
  const { order, sums } = cumulate(logAfter);
  const at = order.indexOf(token);
  const pieces = order.map((each, k) => {
    const piece = document.createElement("span");
    const share = sums[k] - (sums[k - 1] ?? 0);
    piece.style.width = `${100 * share}%`;
    piece.textContent = share > 0.05 ? visible(header.tokens[each]) : "";
    piece.classList.toggle("taken", k === at);
    return piece;
  });
  const mark = document.createElement("i");
  mark.style.left = `${100 * u}%`;
  element("strip").replaceChildren(...pieces, mark);
  element("drawn").replaceChildren(
    `The random number was u = ${u.toFixed(4)}. From the most probable down, the probabilities ` +
      `after the transform add up to ${(sums[at - 1] ?? 0).toFixed(4)} before `,
    code(header.tokens[token]),
    ` and to ${sums[at].toFixed(4)} with it.`,
  );
}

/** Go on by itself from one character to the next, or stop. */
function play(goesOn) {
  clearInterval(playing);
  playing = goesOn ? setInterval(playOn, PER_CHARACTER) : null;
  element("play").setAttribute("aria-pressed", String(goesOn));
  element("play").textContent = goesOn ? "Pause" : "Play";
}

function playOn() {
  if (selected + 1 >= shown.steps.length) play(false);
  else select(selected + 1);
}

// A text to compare with, and an address

/** Keep the text that is shown below the one that changes. */
function keepText() {
  const characters = shown.steps.map((step) => {
    const made = document.createElement("span");
    made.textContent = header.tokens[step.token];
    made.style.backgroundColor = shade(step.logBefore[step.token]);
    return made;
  });
  element("kept-text").replaceChildren(shown.prompt, ...characters);
  keptTitle = `Kept: temperature ${shown.temperature.toFixed(2)}, seed ${shown.seed}`;
  element("kept").hidden = false;
  markParting();
}

/** Mark in both texts the first character in which they differ, and say which it is. */
function markParting() {
  for (const marked of document.querySelectorAll(".parting")) marked.classList.remove("parting");
  if (element("kept").hidden) return;
  const [ours, kept] = [element("text").children, element("kept-text").children];
  let at = 0;
  while (at < Math.min(ours.length, kept.length) && ours[at].textContent === kept[at].textContent) at += 1;
  for (const each of [ours[at], kept[at]]) each?.classList.add("parting");
  const parts = at < Math.max(ours.length, kept.length);
  element("kept-title").textContent = `${keptTitle}. ${parts ? `The texts part at character ${at + 1}` : "The texts are the same"}.`;
}

/** Put the settings into the address of the page, which can then be sent to others. */
function makeLink() {
  const settings = new URLSearchParams(IN_ADDRESS.map((id) => [id, element(id).value]));
  element("link-made").textContent = putIntoAddress(settings);
}

/** Take the settings that the address has. What a field cannot hold, the message will say. */
function readLink() {
  for (const [id, value] of new URLSearchParams(location.hash.slice(1))) {
    if (IN_ADDRESS.includes(id)) element(id).value = value;
  }
}

// Events

/** Take a change of a setting. */
function changed(event) {
  const { id } = event.target;
  element("link-made").textContent = "";
  element("the-link").hidden = true;
  showTemperature();
  if (id === "keep") return; // it says what the next change does
  if (!element("keep").checked && id !== "seed") drawSeed();
  refresh();
}

function showTemperature() {
  const temperature = Number(element("temperature").value).toFixed(2);
  element("temperature-value").textContent = temperature;
}

/** Put another seed into its field. */
function drawSeed() {
  const seed = element("seed");
  const last = seed.value;
  while (seed.value === last) seed.value = Math.floor(1e6 * Math.random());
}

/** Go to a character of the text, and keep the keyboard's focus on it. */
function focusOn(index) {
  if (index < 0 || index >= shown.steps.length) return;
  select(index);
  element("text").children[index].focus();
}

function keyPressed(event) {
  const goals = {
    ArrowLeft: selected - 1,
    ArrowRight: selected + 1,
    Home: 0,
    End: shown.steps.length - 1,
  };
  if (!(event.key in goals) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  focusOn(goals[event.key]);
}

/** Return the index of the character that an event is about, or null. */
function indexOf(event) {
  const index = event.target.dataset.index;
  return index === undefined ? null : Number(index);
}

function showLegend() {
  const samples = [1, 0.3, 0.1, 0.03, 0.01, UNLIKELY].map((p) => {
    const sample = document.createElement("b");
    sample.textContent = p === UNLIKELY ? `p ≤ ${p}` : `p = ${p}`;
    sample.style.backgroundColor = shade(Math.log(p));
    return sample;
  });
  element("legend").replaceChildren(...samples);
}

function start() {
  element("prompt").value = header.prompt;
  document.addEventListener("input", changed);
  element("new-seed").addEventListener("click", () => {
    drawSeed();
    refresh();
  });
  const text = element("text");
  text.addEventListener("keydown", keyPressed);
  text.addEventListener("click", (event) => focusOn(indexOf(event) ?? -1));
  text.addEventListener("mouseover", (event) => showReadout(indexOf(event) ?? selected));
  text.addEventListener("mouseleave", () => showReadout(selected));
  element("previous").addEventListener("click", () => select(selected - 1));
  element("next").addEventListener("click", () => select(selected + 1));
  element("play").addEventListener("click", () => play(playing === null));
  element("keep-text").addEventListener("click", keepText);
  element("drop-text").addEventListener("click", () => (element("kept").hidden = true));
  element("make-link").addEventListener("click", makeLink);
  element("presets").addEventListener("click", ({ target }) => {
    if (!target.dataset.temperature) return;
    element("temperature").value = target.dataset.temperature;
    changed({ target: element("temperature") });
  });
  element("copy-link").addEventListener("click", async () => (element("link-made").textContent = await copyLink()));
  watchSliders();
  whenAddressChanges(() => {
    readLink();
    showTemperature();
    refresh();
  });
  readLink();
  showTemperature();
  showLegend();
  useKernel(network, element("kernel").textContent).then(refresh);
}

start();
