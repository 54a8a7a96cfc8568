"use strict";
/* The settings, their limits, and the cases that the page begins with. */

const DEFAULTS = {
  cell: "lstm",
  layers: 1,
  units: 64,
  optimizer: "adam",
  streams: 16,
  length: 40,
  seed: 1,
  clip: "norm",
  limit: 1,
  rate: 0.005,
  from: 0, // the step after which the gradient is clipped
  temperature: 0.7,
};

const LEAPING = { cell: "rnn", optimizer: "sgd", rate: 1.3, clip: "none", limit: 0.3 };
const DYING = { layers: 2, units: 48, rate: 0.3, clip: "none" };

/** Presets: their settings where they differ from DEFAULTS, how a run of 300 steps ends, as
 * benchmarks/page_presets.py measures it, what is to be seen, and whether its figures are to be looked at. */
const PRESETS = {
  learns: {
    name: "It learns",
    settings: { units: 128, streams: 8, rate: 0.006 },
    end: "lives",
    says: "An LSTM learns to write, clipped by its norm: the loss falls, the text gets better.",
  },
  leaps: {
    name: "The loss that leaps",
    settings: LEAPING,
    end: "bursts",
    says: "An RNN at a bold rate: it learns for some steps, then the gradient bursts, and the loss with it.",
  },
  cured: {
    name: "Cured by clipping",
    settings: { ...LEAPING, clip: "norm" },
    end: "lives",
    says: "The same RNN, seed and rate. Only the length of a step has a limit now.",
  },
  late: {
    name: "Clipped too late",
    settings: { ...LEAPING, clip: "norm", from: 100 },
    end: "dies",
    says: "Clipping begins after step 100. By then the weights are spoiled: short steps do not bring them back by step 300.",
  },
  dies: {
    name: "The text that dies",
    settings: DYING,
    end: "dies",
    says: "Two LSTM layers, Adam at a far too high rate: no burst, but the text never becomes one.",
  },
  lower: {
    name: "A lower rate",
    settings: { ...DYING, rate: 0.01 },
    end: "lives",
    says: "The same network at a thirtieth of the rate, still not clipped. Clipping was not what it lacked.",
  },
  chapter06: {
    name: "Chapter 06, section 1",
    settings: { cell: "rnn", units: 256, length: 50, optimizer: "sgd", rate: 1, clip: "none", limit: 1 },
    end: "bursts",
    says: "The RNN of the chapter, its rate, its text: not clipped, it bursts. The box below sets it beside the same one, clipped at 1.",
    figures: true,
  },
};

/** Return all settings of a preset. */
function settingsOf(preset) {
  return { ...DEFAULTS, ...PRESETS[preset].settings };
}

/** Return the limit that acts when so many steps are taken: none before clipping begins. */
function clippingAt({ clip, limit, from }, step) {
  return { clip: step < from ? "none" : clip, limit };
}

// What happens to a loss

const LEAP = 1; // nats above the lowest mean of ten losses so far: the loss has leapt
const DEAD_AFTER = 150; // steps

/** Follows the figures of a run that the lab names; steps count from 1. */
class RunFigures {
  constructor() {
    this.first = null; // {loss, norm}
    this.highest = { loss: -Infinity, step: 0 };
    this.longest = { norm: -Infinity, step: 0 };
    this.recent = []; // the last 20 losses
    [this.steps, this.clipped] = [0, 0];
  }

  add(step, loss, norm, clipped) {
    this.first ??= { loss, norm };
    if (loss > this.highest.loss) this.highest = { loss, step };
    this.addNorm(step, norm);
    this.recent.push(loss);
    if (this.recent.length > 20) this.recent.shift();
    this.steps += 1;
    if (clipped) this.clipped += 1;
  }

  addNorm(step, norm) {
    if (norm > this.longest.norm) this.longest = { norm, step };
  }
}

/** Follows the losses of a run: has the loss leapt, has the text died? */
class LossWatch {
  constructor() {
    this.recent = [];
    this.lowest = Infinity;
    this.steps = 0;
    this.leaptAt = null; // the step of the first leap
  }

  add(loss) {
    if (this.leaptAt === null && !(loss < this.lowest + LEAP)) this.leaptAt = this.steps;
    this.steps += 1;
    this.recent.push(loss);
    if (this.recent.length > 50) this.recent.shift();
    if (this.recent.length >= 10) this.lowest = Math.min(this.lowest, meanOf(this.recent.slice(-10)));
  }

  /** Return whether the network is no better than one that only knows how often a character comes. */
  isDead(unigram) {
    // Of a text that is easily told, a tenth: there may be no 0.3 nats to win.
    return this.steps >= DEAD_AFTER && !(meanOf(this.recent) < unigram - Math.min(0.3, unigram / 10));
  }
}

function meanOf(numbers) {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}
