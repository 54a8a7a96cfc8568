"use strict";
/* What the page keeps of a run: curves that stay short, the last steps one by one, and its figures. */

const MOST_POINTS = 8000; // of a curve, before it is thinned
const EXACT = 1e5; // steps, the last ones, of which all is kept

/** Return a curve with fewer points: of each group of neighbours the lowest and the highest, so that a spike stays. */
function thinned(points) {
  const gap = gapOf(points.at(-1)[0]);
  const kept = [];
  let [group, low, high] = [null, null, null];
  const flush = () => {
    if (low === null) return;
    if (low === high) kept.push(low);
    else kept.push(...(low[0] < high[0] ? [low, high] : [high, low]));
  };
  for (const point of points) {
    const its = Math.floor(point[0] / gap);
    if (its !== group) {
      flush();
      [group, low, high] = [its, point, point];
    }
    if (point[1] < low[1]) low = point;
    if (point[1] > high[1]) high = point;
  }
  flush();
  return kept;
}

/** Return steps with fewer of them: the first of each group of neighbours. */
function thinnedSteps(steps) {
  const gap = gapOf(steps.at(-1));
  return steps.filter((step, k) => k === 0 || Math.floor(step / gap) > Math.floor(steps[k - 1] / gap));
}

/** Return how many steps a group has, so that two points of each are at most half of MOST_POINTS. Groups only
 * ever join to larger ones, or extremes would be lost. */
function gapOf(last) {
  return 2 ** Math.max(0, Math.ceil(Math.log2((4 * last) / MOST_POINTS)));
}

/** A run as the page knows it; its steps count from 1. */
class RunHistory {
  constructor() {
    [this.losses, this.norms, this.valid] = [[], [], []]; // pairs of step and value
    this.clipped = []; // steps
    this.brokenAt = null; // the step at which its loss was no number
    this.steps = 0;
    Object.assign(this, watchers());
    // All of the steps after `past.figures.steps`: loss and norm, which is negative where it was clipped.
    this.past = watchers();
    this.exact = new Float64Array(2048);
  }

  add(step, [loss, norm, clipped]) {
    this.steps = step;
    this.keepExact(step, loss, clipped ? -norm : norm);
    this.losses.push([step, loss]);
    this.norms.push([step, norm]);
    if (clipped) this.clipped.push(step);
    follow(this, step, loss, norm, clipped);
    if (this.losses.length > MOST_POINTS) this.losses = thinned(this.losses);
    if (this.norms.length > MOST_POINTS) this.norms = thinned(this.norms);
    if (this.clipped.length > MOST_POINTS) this.clipped = thinnedSteps(this.clipped);
  }

  addValid(step, loss) {
    this.valid.push([step, loss]);
    if (this.valid.length > MOST_POINTS) this.valid = thinned(this.valid);
  }

  keepExact(step, loss, norm) {
    const lost = step - EXACT;
    if (lost > this.past.figures.steps) follow(this.past, lost, ...this.rowAt(lost));
    if (2 * step > this.exact.length && this.exact.length < 2 * EXACT) this.grow();
    this.exact.set([loss, norm], 2 * ((step - 1) % EXACT));
  }

  grow() {
    const larger = new Float64Array(Math.min(2 * this.exact.length, 2 * EXACT));
    larger.set(this.exact);
    this.exact = larger;
  }

  /** Return [loss, norm, clipped] of a step, or null where it was not taken or is not kept any more. */
  rowAt(step) {
    if (!(step > this.past.figures.steps && step <= this.steps)) return null;
    const [loss, norm] = this.exact.subarray(2 * ((step - 1) % EXACT));
    return [loss, Math.abs(norm), norm < 0];
  }

  /** Forget all steps after one, which is gone back to. */
  cut(to) {
    if (this.brokenAt > to) this.brokenAt = null;
    if (to >= this.steps) return;
    for (const name of ["losses", "norms", "valid"]) this[name] = this[name].filter(([at]) => at <= to);
    this.clipped = this.clipped.filter((at) => at <= to);
    if (to < this.past.figures.steps) this.past = this.guessedAt(to);
    const before = copied(this.past);
    for (let at = before.figures.steps + 1; at <= to; at++) follow(before, at, ...this.rowAt(at));
    Object.assign(this, before, { steps: to });
  }

  /** Return watchers of a step so long ago that only its curves are left. */
  guessedAt(to) {
    const { watch, figures } = watchers();
    for (const [, loss] of this.losses) watch.add(loss);
    Object.assign(watch, { steps: to, leaptAt: this.watch.leaptAt < to ? this.watch.leaptAt : null });
    for (const [at, loss] of this.losses) figures.add(at, loss, -Infinity, false);
    for (const [at, norm] of this.norms) figures.addNorm(at, norm);
    Object.assign(figures, { first: this.figures.first, steps: to, clipped: to ? NaN : 0 });
    return { watch, figures };
  }
}

function watchers() {
  return { watch: new LossWatch(), figures: new RunFigures() };
}

function follow({ watch, figures }, step, loss, norm, clipped) {
  watch.add(loss);
  figures.add(step, loss, norm, clipped);
}

function copied({ watch, figures }) {
  const copy = (each) => Object.assign(Object.create(Object.getPrototypeOf(each)), structuredClone({ ...each }));
  return { watch: copy(watch), figures: copy(figures) };
}
