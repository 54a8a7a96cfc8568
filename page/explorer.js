"use strict";
/* The controls. What they show is computed in network.js. */

const MOST_PROBABLE = 12; // bars
const CONTEXT = 12; // characters before the one that the bars are about
const LONGEST_PROMPT = 500; // characters
const AT_ONCE = 50; // milliseconds of writing before the browser gets its turn
const PER_CHARACTER = 500; // milliseconds, while it plays
const OF_TEXT = ["prompt", "temperature", "top-k", "top-p", "min-p", "length", "seed"]; // they make a text
const FIELDS = [...OF_TEXT, "keep"];
const IN_ADDRESS = [...FIELDS, "character", "kept"]; // also which character is looked at, and the settings of the kept text
const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i; // other than "0x10", " " or "Infinity", which Number takes, too
const PER_LINE = 25; // characters from one newline to the next, for which a text's box has room
const NAMED = 3; // of the address's names that are no settings
const SHORT = 30; // characters of what is quoted from the address
const UNLIKELY = 0.001; // the probability that is shaded fully, as all below it
const VISIBLE = { " ": "␣", "\n": "↵", "\t": "⇥" };
const SPOKEN = { " ": "space", "\n": "newline", "\t": "tab" };
const LIMITS = {
  temperature: {
    fits: (x) => x >= 0 && x <= 2 && Math.abs(20 * x - Math.round(20 * x)) < 1e-9,
    message: "Temperature must be from 0 to 2, in steps of 0.05.",
  },
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
  character: {
    fits: (x) => Number.isInteger(x) && x >= 1 && x <= 1000,
    message: "Character must be a whole number, at most the length.",
  },
  keep: { fits: (x) => x === 0 || x === 1, message: "Keep must be 1, for yes, or 0." },
};

const header = JSON.parse(element("header").textContent);
const network = makeNetwork(header, element("weights").textContent);
const idOf = new Map(header.tokens.map((token, id) => [token, id]));

const usable = {}; // what each field held when it could last be used
let shown = { prompt: "", steps: [] }; // the text on the page
let selected = 0; // which of its characters the bars are about
let goal = null; // the one that the address asks for
let lastRead = {}; // the prompt that was read last, {prompt, context}
let running = false; // a text is being written
let wanted = false; // and another one will be, since something changed meanwhile
let kept = null; // the text that is kept
let keptWanted = null; // and the settings of one that the address asks for
let playing = null; // the timer that goes from one character to the next

// Settings

/** A field holds what cannot be used; the message is for people. */
class SettingError extends Error {
  constructor(id, message) {
    super(message);
    this.id = id;
  }
}

/** Return what a field holds, as text. */
function textIn(id) {
  const field = element(id);
  if (id === "keep") return field.checked ? "1" : "0";
  return field.validity.badInput ? "no number" : field.value; // a browser gives "" for letters in a number's field
}

/** Return the setting that a text stands for; throw SettingError if it cannot be used. */
function read(id, text) {
  if (id === "prompt") return tokensOf(text);
  if (id === "top-k" && text === "") return null;
  const number = NUMBER.test(text) ? Number(text) : NaN;
  if (!LIMITS[id].fits(number)) throw new SettingError(id, LIMITS[id].message);
  return number;
}

/** Return the error of a text that cannot be used as a setting, or null. */
function problemOf(id, text) {
  try {
    read(id, text);
    return null;
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    return error;
  }
}

/** Return all settings, and the errors of fields that cannot be used; for those stands what was there last.
 *
 * So there is always a text to look at, and the other settings go on working.
 */
function readSettings() {
  const problems = [];
  for (const id of FIELDS) {
    const problem = problemOf(id, textIn(id));
    if (problem) problems.push(problem);
    else usable[id] = textIn(id);
  }
  return { settings: settingsOf(usable), problems };
}

/** Return the settings of a text, of texts that can be used: {prompt, "top-k", …}. */
function settingsOf(texts) {
  const value = (id) => read(id, texts[id]);
  return {
    texts: Object.fromEntries(OF_TEXT.map((id) => [id, texts[id]])),
    prompt: texts.prompt,
    tokens: value("prompt"),
    temperature: value("temperature"),
    topK: value("top-k"),
    topP: value("top-p"),
    minP: value("min-p"),
    length: value("length"),
    seed: value("seed"),
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

/** Say what is used in the place of what cannot be. */
function staysOf(id) {
  if (id === "character") return "";
  if (id === "prompt") return "The text goes on from the last prompt that could be used.";
  return `It stays ${usable[id] === "" ? "empty" : usable[id]}.`;
}

/** Mark the fields of errors, and show the messages under one of them: where the reader is, or else the first. */
function showMessage(problems) {
  const message = element("message");
  const { id } = problems.find((each) => each.id === document.activeElement.id) ?? problems[0] ?? {};
  const field = id ? element(id) : null;
  const isElsewhere = message.previousElementSibling !== field;
  if (field && isElsewhere) field.after(message);
  else if (!field) element("settings").append(message);
  for (const each of document.querySelectorAll("[aria-errormessage]")) {
    each.setAttribute("aria-invalid", String(problems.some((problem) => problem.id === each.id)));
  }
  const said = problems.map((each) => `${each.message} ${staysOf(each.id)}`).join(" ");
  if (message.textContent === said) return; // a text written anew is no news
  message.textContent = said;
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

/** Write a text and show it, and the one that is to be kept, and show what is wrong with the settings. */
async function writeText() {
  const { settings, problems } = readSettings();
  showMessage(problems);
  const steps = await stepsOf(settings);
  showText({ ...settings, steps });
  if (keptWanted === null) return;
  const other = settingsOf(keptWanted);
  keptWanted = null;
  keepText({ ...other, steps: await stepsOf(other) });
}

/** Write the text of some settings. */
async function stepsOf(settings) {
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
  return steps;
}

/** Return what the network has read of the prompt, which is read again only if it has changed. */
function contextOf({ prompt, tokens }) {
  if (lastRead.prompt !== prompt) lastRead = { prompt, context: readContext(network, tokens) };
  return lastRead.context;
}

// The text

/** Show a text, and select the place in it that was selected before. */
function showText(text) {
  const isOfOtherSize = text.prompt !== shown.prompt || text.length !== shown.length;
  shown = text;
  element("prompt-shown").textContent = text.prompt;
  element("text").replaceChildren(...text.steps.map(characterOf));
  if (isOfOtherSize) makeRoom(); // it takes a while
  markParting();
  select(Math.min(goal ?? selected, text.steps.length - 1));
  if (goal !== null) reveal(selected);
  goal = null;
  const surprise = text.steps.reduce((sum, step) => sum - step.logBefore[step.token], 0);
  element("summary").textContent =
    `${text.steps.length} characters at temperature ${text.temperature.toFixed(2)}. ` +
    `Mean −ln p under the model: ${(surprise / text.steps.length).toFixed(2)} nats.`;
}

/** Give the text's box a height that hangs on the settings alone, so that another text moves nothing below it.
 *
 * It holds a newline every PER_LINE characters; in a text with more of them it scrolls.
 */
function makeRoom() {
  const box = element("text-box");
  const columns = box.clientWidth / (0.61 * parseFloat(getComputedStyle(box).fontSize)); // 0.6 and a little are a character
  const { prompt, length = 1 } = shown;
  const inPrompt = prompt.split("\n").length - 1;
  const lines = Math.ceil((prompt.length + length) / columns) + Math.ceil(length / PER_LINE) + inPrompt;
  element("text-part").style.setProperty("--lines", lines);
}

/** Bring a character into sight, within its box alone. */
function reveal(index) {
  const [box, place] = [element("text-box"), element("text").children[index]];
  const [around, inner] = [box.getBoundingClientRect(), place.getBoundingClientRect()];
  if (inner.top < around.top) box.scrollTop -= around.top - inner.top + inner.height;
  if (inner.bottom > around.bottom) box.scrollTop += inner.bottom - around.bottom + inner.height;
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
  if (!step) return; // not yet written
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
  showEnds();
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

/** Show which of the buttons lead nowhere. They are not disabled, since the focus would be lost. */
function showEnds() {
  const isLast = selected >= shown.steps.length - 1;
  element("previous").setAttribute("aria-disabled", String(selected === 0));
  element("next").setAttribute("aria-disabled", String(isLast));
}

/** Go to a character of the text, if there is one. */
function go(index) {
  if (!shown.steps[index]) return;
  select(index);
  reveal(index);
}

/** Show the most probable tokens, and the one that was drawn, if it is none of them. */
function showBars(step) {
  const tokens = byProbability(step.logBefore).slice(0, MOST_PROBABLE);
  if (!tokens.includes(step.token)) tokens.push(step.token);
  element("bars").replaceChildren(...tokens.map((token) => barsOf(token, step)));
  element("spare").hidden = tokens.length > MOST_PROBABLE; // so that the table is as high with one more
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

/** Go on by itself from one character to the next, from the first if this is the last; or stop. */
function play(goesOn) {
  clearInterval(playing);
  if (goesOn && selected >= shown.steps.length - 1) go(0);
  playing = goesOn ? setInterval(playOn, PER_CHARACTER) : null;
  element("play").setAttribute("aria-pressed", String(goesOn));
  element("play").textContent = goesOn ? "Pause" : "Play";
}

function playOn() {
  if (selected + 1 >= shown.steps.length) play(false);
  else go(selected + 1);
}

// A text to compare with, and an address

/** Keep a text below the one that changes. */
function keepText(text) {
  if (text.steps.length === 0) return; // not yet written
  kept = text;
  const characters = text.steps.map((step) => {
    const made = document.createElement("span");
    made.textContent = header.tokens[step.token];
    made.style.backgroundColor = shade(step.logBefore[step.token]);
    return made;
  });
  element("kept-text").replaceChildren(text.prompt, ...characters);
  element("kept-title").textContent = `Kept: temperature ${text.temperature.toFixed(2)}, seed ${text.seed}.`;
  element("kept").hidden = element("drop-text").hidden = false;
  markParting();
}

/** Take the text that is kept away. */
function dropText() {
  kept = null;
  element("kept").hidden = element("drop-text").hidden = true;
  element("keep-text").focus(); // the button that had the focus is gone
  markParting();
}

/** Mark in both texts the first character in which they differ, and say which it is. */
function markParting() {
  for (const marked of document.querySelectorAll(".parting")) marked.classList.remove("parting");
  if (kept === null) return;
  const [ours, others] = [element("text").children, element("kept-text").children];
  let at = 0;
  while (at < Math.min(ours.length, others.length) && ours[at].textContent === others[at].textContent) at += 1;
  for (const each of [ours[at], others[at]]) each?.classList.add("parting");
  const parts = at < Math.max(ours.length, others.length);
  const said = parts ? `The texts part at character ${at + 1}.` : "The texts are the same.";
  element("parts").textContent = kept.prompt === shown.prompt ? said : "They go on from different prompts.";
}

/** Put all that is set into the address of the page, which can then be sent to others. */
function makeLink() {
  readSettings();
  const settings = new URLSearchParams(FIELDS.map((id) => [id, usable[id]]));
  settings.set("character", selected + 1);
  if (kept) settings.set("kept", new URLSearchParams(kept.texts));
  element("link-made").textContent = putIntoAddress(settings);
}

/** Return what stands in the address: for each name its last value, and how often it is there. */
function inAddress() {
  const found = new Map();
  const hash = location.hash.slice(1);
  if (element(hash)) return found; // a place in the page
  for (const [name, value] of new URLSearchParams(hash)) {
    found.set(name, { value, times: (found.get(name)?.times ?? 0) + 1 });
  }
  return found;
}

/** Take what the address has, and say what of it cannot be used. */
function readLink() {
  const found = inAddress();
  const refused = IN_ADDRESS.filter((id) => found.has(id)).flatMap((id) => takeSetting(id, found.get(id)));
  const unknown = [...found.keys()].filter((name) => !IN_ADDRESS.includes(name));
  for (const name of unknown.slice(0, NAMED)) refused.push([name, "There is no setting of this name."]);
  if (unknown.length > NAMED) refused.push(["…", `${unknown.length - NAMED} more names are no settings.`]);
  showRefused(refused);
}

/** Take a setting of the address, or leave what there is; return what is to be said of it: [[what, why], …]. */
function takeSetting(id, { value, times }) {
  const said = times > 1 ? [[id, `It is there ${times} times; the last one counts.`]] : [];
  if (id === "kept") return [...said, ...takeKept(value)];
  const text = trimmed(id, value);
  const problem = problemOf(id, text);
  if (problem) return [...said, [`${id}=${value}`, `${problem.message} ${staysOf(id)}`]];
  if (id !== "character") putIntoField(id, text);
  else if (Number(text) <= Number(textIn("length"))) goal = Number(text) - 1;
  else said.push([`${id}=${value}`, LIMITS[id].message]);
  return said;
}

/** Return a setting of the address as its field has it. */
function trimmed(id, value) {
  return id === "prompt" ? value.replace(/\r\n?/g, "\n") : value.trim();
}

/** Take the settings of a text to keep, all of them or none; return what is to be said. */
function takeKept(value) {
  const found = new URLSearchParams(value);
  const texts = Object.fromEntries(OF_TEXT.map((id) => [id, trimmed(id, found.get(id) ?? "")]));
  const problems = OF_TEXT.map((id) => problemOf(id, texts[id])).filter((each) => each);
  if (problems.length > 0) return [[`kept=${value}`, `${problems.map((each) => each.message).join(" ")} No text is kept.`]];
  keptWanted = texts;
  return [];
}

/** Put a setting that can be used into its field. */
function putIntoField(id, text) {
  if (id === "keep") element(id).checked = Number(text) === 1;
  else element(id).value = id === "prompt" || text === "" ? text : String(Number(text));
}

/** Show what of the address cannot be used, where it is seen first; nothing, if all of it can. */
function showRefused(refused) {
  const rows = refused.map(([what, why]) => {
    const row = document.createElement("li");
    const start = Array.from(what.slice(0, 2 * SHORT)).slice(0, SHORT).join("");
    row.append(code(start.length < what.length ? `${start}…` : start), ` ${why}`);
    return row;
  });
  element("refused").replaceChildren(...rows);
  element("address-part").hidden = rows.length === 0;
  if (rows.length > 0) window.scrollTo(0, 0); // it is the first of the page, whose frame stays where it is
}

// Events

/** Take a change of a setting. */
function changed(event) {
  const { id } = event.target;
  if (!(id in LIMITS) && id !== "prompt") return; // no setting
  // The link stays where it is, or all below it would move.
  if (!element("the-link").hidden) element("link-made").textContent = "It has the settings before the last change.";
  showTemperature();
  if (id === "keep") return; // it says what the next change does
  if (!element("keep").checked && id !== "seed" && !problemOf(id, textIn(id))) drawSeed();
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
  for (const id of FIELDS) usable[id] = textIn(id);
  document.addEventListener("input", changed);
  element("new-seed").addEventListener("click", () => {
    drawSeed();
    changed({ target: element("seed") });
  });
  const text = element("text");
  text.addEventListener("keydown", keyPressed);
  text.addEventListener("click", (event) => focusOn(indexOf(event) ?? -1));
  text.addEventListener("mouseover", (event) => showReadout(indexOf(event) ?? selected));
  text.addEventListener("mouseleave", () => showReadout(selected));
  element("previous").addEventListener("click", () => go(selected - 1));
  element("next").addEventListener("click", () => go(selected + 1));
  element("play").addEventListener("click", () => play(playing === null));
  element("keep-text").addEventListener("click", () => keepText(shown));
  element("drop-text").addEventListener("click", dropText);
  element("close").addEventListener("click", () => {
    element("address-part").hidden = true;
    element("temperature").focus({ preventScroll: true });
  });
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
  new ResizeObserver(makeRoom).observe(element("text-part"));
  useKernel(network, element("kernel").textContent).then(refresh);
}

start();
