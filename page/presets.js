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
  from: 0, // the step from which the gradient is clipped
  temperature: 0.7,
};

/** Presets: their settings where they differ from DEFAULTS, and what is to be seen. */
const PRESETS = {
  learns: {
    name: "It learns",
    settings: { units: 128 },
    says: "An LSTM learns to write, clipped by its norm: loss down, text better.",
  },
};

/** Return all settings of a preset. */
function settingsOf(preset) {
  return { ...DEFAULTS, ...PRESETS[preset].settings };
}

/** Return the limit that acts at a step: none before clipping begins. */
function clippingAt({ clip, limit, from }, step) {
  return { clip: step < from ? "none" : clip, limit };
}

// What happens to a loss

const LEAP = 1; // nats above the lowest mean of ten losses so far: the loss has leapt
const DEAD_AFTER = 150; // steps

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
    return this.steps >= DEAD_AFTER && !(meanOf(this.recent) < unigram - 0.3);
  }
}

function meanOf(numbers) {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}
