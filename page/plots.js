"use strict";
/* What is drawn: two plots and a cell. Each function draws all of one canvas, from its arguments. */

const MARGIN = { left: 46, right: 8, top: 18, bottom: 20 };
/** The gates of each cell in the engine's order, and in the order in which they act. */
const GATE_NAMES = { rnn: ["h"], lstm: ["i", "f", "g", "o"], cifg: ["i", "g", "o"], gru: ["r", "u", "n"] };
const DRAWN_GATES = { rnn: ["h"], lstm: ["f", "i", "g", "o"], cifg: ["f", "i", "g", "o"], gru: ["u", "r", "n"] };
const GATE_MEANINGS = { i: "lets in", f: "keeps", g: "candidate", o: "lets out", r: "lets in", u: "keeps", n: "candidate", h: "new state" };
const LETS_IN = { i: "g", r: "n" }; // gates that act on a candidate, not on the memory

/** Return the colours of the page, as the scheme has them now. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["first", "second", "held", "mark", "ink", "faint", "line", "soft", "part"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Make a canvas as sharp as the screen; return its context and its size in CSS pixels. */
function prepared(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  return { context, width, height };
}

/** Return the scales of a plot: x of a step, y of a value, and the value of a y. */
function scalesOf({ width, height }, steps, [low, high], isLog) {
  const [from, to] = isLog ? [Math.log10(low), Math.log10(high)] : [low, high];
  const span = height - MARGIN.top - MARGIN.bottom;
  const across = width - MARGIN.left - MARGIN.right;
  const inside = (value) => Math.min(1, Math.max(0, value)); // what is beyond lies on the edge
  return {
    x: (step) => MARGIN.left + (step / Math.max(steps, 1)) * across,
    y: (value) => {
      const share = ((isLog ? Math.log10(value) : value) - from) / (to - from);
      return MARGIN.top + (1 - inside(share)) * span;
    },
    valueAt: (y) => {
      // A little beyond the edge, too: what is drawn next reaches farther, so that the line can be pulled out.
      const share = Math.min(1.1, Math.max(-0.1, 1 - (y - MARGIN.top) / span));
      const value = from + share * (to - from);
      return isLog ? 10 ** value : value;
    },
  };
}

/** Draw a frame with ticks; `title` stands above it. */
function drawFrame({ context, width, height }, scales, colour, { title, ticks, steps }) {
  context.strokeStyle = colour.line;
  context.fillStyle = colour.faint;
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const [value, label] of ticks) {
    const y = Math.round(scales.y(value)) + 0.5;
    line(context, MARGIN.left, y, width - MARGIN.right, y);
    context.fillText(label, MARGIN.left - 4, y);
  }
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  context.fillStyle = colour.ink;
  context.fillText(title, MARGIN.left, 12);
  context.fillStyle = colour.faint;
  context.fillText("step 0", MARGIN.left, height - 5);
  context.textAlign = "right";
  context.fillText(String(steps), width - MARGIN.right, height - 5);
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

/** Draw a curve through many points: of each column of pixels, the lowest and the highest. A single point is a dot. */
function drawCurve(context, scales, points, colour, width = 1.2) {
  if (points.length === 1) {
    const [[step, value]] = points;
    context.fillStyle = colour;
    const side = 4 + Math.ceil(width); // it is seen on a line, too
    const [x, y] = [scales.x(step), scales.y(value)].map((at) => Math.round(at - side / 2));
    context.fillRect(x, y, side, side);
    return;
  }
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  let [column, low, high, begun] = [null, 0, 0, false];
  const flush = () => {
    if (column === null) return;
    if (begun) context.lineTo(column, high);
    else context.moveTo(column, high);
    context.lineTo(column, low);
    begun = true;
  };
  for (const [step, value] of points) {
    const [x, y] = [Math.round(scales.x(step)), scales.y(value)];
    if (x === column) {
      [low, high] = [Math.max(low, y), Math.min(high, y)];
      continue;
    }
    flush();
    [column, low, high] = [x, y, y];
  }
  flush();
  context.stroke();
}

/** Draw a line across at a value, with its name. */
function drawLevel({ context, width }, scales, value, name, [colour, ground], dash = [5, 4]) {
  const y = scales.y(value);
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.setLineDash(dash);
  line(context, MARGIN.left, y, width - MARGIN.right, y);
  context.setLineDash([]);
  context.textAlign = "right";
  context.textBaseline = "bottom";
  // A curve may be where the name stands: it is dimmed there, and not hidden.
  const across = context.measureText(name).width;
  context.globalAlpha = 0.7;
  context.fillStyle = ground;
  context.fillRect(width - MARGIN.right - 4 - across, y - 15, across + 4, 14);
  context.globalAlpha = 1;
  context.fillStyle = colour;
  context.fillText(name, width - MARGIN.right - 2, y - 1);
}

/** Draw the losses: curves is [{name, points, valid}], levels are {baseline, guessing}. */
function drawLoss(canvas, { curves, steps, baseline, guessing }) {
  const [made, colour] = [prepared(canvas), colours()];
  const values = curves.flatMap(({ points }) => points.map(([, loss]) => loss));
  const highest = Math.min(2 * guessing, Math.max(1.1 * guessing, values.reduce((a, b) => Math.max(a, b), 0)));
  const lowest = Math.max(0, Math.floor(2 * Math.min(baseline, values.reduce((a, b) => Math.min(a, b), 9)) - 0.4) / 2);
  const scales = scalesOf(made, steps, [lowest, highest], false);
  const ticks = [];
  const gap = highest - lowest > 4 ? 2 : 1;
  for (let value = Math.ceil(lowest / gap) * gap; value <= highest; value += gap) ticks.push([value, String(value)]);
  drawFrame(made, scales, colour, { title: "loss, nats (thick: held out; top edge: beyond it)", ticks, steps });
  curves.forEach(({ points, valid }, k) => {
    drawCurve(made.context, scales, points, k ? colour.second : colour.first);
    drawCurve(made.context, scales, valid, k ? colour.second : colour.held, 2.5);
  });
  drawLevel(made, scales, guessing, `guessing ${guessing.toFixed(2)}`, [colour.faint, colour.part]);
  drawLevel(made, scales, baseline, `5-gram ${baseline.toFixed(2)}`, [colour.faint, colour.part], [2, 3]);
  return scales;
}

/** Draw the gradient norms on a log axis, steps that were clipped, and the line of the limit. */
function drawNorms(canvas, { curves, steps, limit }) {
  const [made, colour] = [prepared(canvas), colours()];
  const values = curves.flatMap(({ points }) => points.map(([, norm]) => norm)).filter((norm) => norm > 0);
  if (limit !== null) values.push(limit);
  const low = 10 ** Math.floor(Math.log10(values.reduce((a, b) => Math.min(a, b), 0.1)));
  const high = 10 ** Math.ceil(Math.log10(values.reduce((a, b) => Math.max(a, b), 10)));
  const scales = scalesOf(made, steps, [low, high], true);
  const decades = Math.round(Math.log10(high / low));
  const every = Math.ceil(decades / 6);
  const ticks = [];
  for (let k = 0; k <= decades; k += every) ticks.push([low * 10 ** k, shortNumber(low * 10 ** k)]);
  drawFrame(made, scales, colour, { title: "gradient norm, log axis (marks: clipped)", ticks, steps });
  curves.forEach(({ points, clipped }, k) => {
    drawCurve(made.context, scales, points.filter(([, norm]) => norm > 0), k ? colour.second : colour.first);
    drawMarks(made, scales, clipped, k, colour.mark);
  });
  if (limit !== null) drawLevel(made, scales, limit, `↕ clip at ${shortNumber(limit)}`, [colour.mark, colour.part], []);
  return scales;
}

/** Mark clipped steps below the curve. */
function drawMarks({ context, height }, scales, steps, k, colour) {
  context.fillStyle = colour;
  const y = height - MARGIN.bottom - 5 - 6 * k;
  let last = -1;
  for (const step of steps) {
    const x = Math.round(scales.x(step));
    if (x === last) continue;
    context.fillRect(x, y, 1.5, 5);
    last = x;
  }
}

/** Return a number as a label has it. */
function shortNumber(x) {
  if (x !== 0 && (Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3)) return x.toExponential(0).replace("e+", "e");
  return String(Number(x.toPrecision(2)));
}

/** Draw the cell: the line of its memory, and of each gate its mean value, from 0 to 1. */
function drawCell(canvas, cell, values) {
  const made = prepared(canvas);
  const { context, width, height } = made;
  const colour = colours();
  const valueOf = Object.fromEntries(GATE_NAMES[cell].map((name, k) => [name, values[k] ?? 0]));
  if (cell === "cifg") valueOf.f = 1 - valueOf.i; // its forget gate is no gate of its own
  const names = DRAWN_GATES[cell];
  const [top, bottom] = [0.24 * height, height - 20];
  const xOf = (name) => ((names.indexOf(name) + 1) / (names.length + 1)) * width;
  context.textBaseline = "alphabetic";
  drawMemory(made, top, colour, cell);
  for (const name of names) {
    const at = { x: xOf(name), to: xOf(LETS_IN[name] ?? name), top, bottom };
    drawGate(context, at, name, valueOf[name], colour);
  }
}

function drawMemory({ context, width }, y, colour, cell) {
  context.strokeStyle = colour.faint;
  context.fillStyle = colour.faint;
  context.lineWidth = 3;
  line(context, 8, y, width - 14, y);
  context.beginPath();
  context.moveTo(width - 6, y);
  context.lineTo(width - 16, y - 5);
  context.lineTo(width - 16, y + 5);
  context.fill();
  const hasMemory = cell === "lstm" || cell === "cifg";
  context.textAlign = "left";
  context.fillText(hasMemory ? "c before" : "h before", 8, y - 14);
  context.textAlign = "right";
  context.fillText(hasMemory ? "h = o tanh c" : "h after", width - 8, y - 14);
}

/** Draw a gate: a pipe to where it acts, as wide as it is open, and a gauge with its mean. */
function drawGate(context, { x, to, top, bottom }, name, value, colour) {
  const gauge = { top: top + 26, height: bottom - top - 40, width: 34 };
  context.strokeStyle = colour.first;
  context.lineWidth = 1 + 9 * value;
  if (to === x) line(context, x, top, x, gauge.top);
  else line(context, x, gauge.top, to - 12, top + 14);
  if (to === x) drawNode(context, x, top, "gnh".includes(name) ? "+" : "×", colour);
  context.textAlign = "center";
  context.fillStyle = colour.soft;
  context.fillRect(x - gauge.width / 2, gauge.top, gauge.width, gauge.height);
  context.fillStyle = colour.first;
  const filled = gauge.height * Math.min(1, value);
  context.fillRect(x - gauge.width / 2, gauge.top + gauge.height - filled, gauge.width, filled);
  context.fillStyle = colour.ink;
  context.fillText(`${name} ${value.toFixed(2)}`, x, bottom);
  context.fillText(GATE_MEANINGS[name], x, bottom + 14);
}

function drawNode(context, x, y, sign, colour) {
  context.fillStyle = colour.part;
  context.strokeStyle = colour.ink;
  context.lineWidth = 1.2;
  context.beginPath();
  context.arc(x, y, 10, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
  context.fillStyle = colour.ink;
  context.textAlign = "center";
  context.fillText(sign, x, y + 4);
}
