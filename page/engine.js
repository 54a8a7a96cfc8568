"use strict";
/* A recurrent network and its training: truncated BPTT with carried state, clipping, optimizers.

   The formulas, names and shapes are those of lstmlib/scratch; the GRU is PyTorch's. Sizes in
   comments: N sequences, T steps, H units, G blocks of H columns, V characters. Rows of a batch are
   in the order of time: the N rows of step 0, those of step 1, … All arrays lie in the kernel's
   memory, and stand here as the index at which they begin. */

const GATES = { rnn: 1, lstm: 4, cifg: 3, gru: 3 };
const MEMORIES = { sgd: 0, rmsprop: 1, adam: 2 }; // arrays that an optimizer keeps, as large as all weights
const KEPT_SNAPSHOTS = 64e6; // numbers in all snapshots together: 256 MB

/** Return the names and shapes of all weights, in the order in which they lie. */
function weightShapes({ cell, layers, units, tokens }) {
  const [H, width] = [units, GATES[cell] * units];
  const shapes = [];
  for (let k = 0; k < layers; k++) {
    shapes.push([`Wx${k}`, [k ? H : tokens, width]], [`Wh${k}`, [H, width]], [`b${k}`, [width]]);
    // In a GRU, r stands between what n reads of the input and of the state: two biases.
    if (cell === "gru") shapes.push([`bn${k}`, [H]]);
  }
  return [...shapes, ["Wy", [H, tokens]], ["by", [tokens]]];
}

function sizeOf(shape) {
  return shape.reduce((product, side) => product * side, 1);
}

/** Return where everything lies in the memory: {at: name -> index, weights, total}. */
function planOf(shape) {
  const at = {};
  let total = 0;
  const place = (name, size) => {
    at[name] = total;
    total += size;
  };
  for (const [name, sides] of weightShapes(shape)) place(name, sizeOf(sides));
  const weights = total;
  place("gradient", weights);
  for (let k = 0; k < MEMORIES[shape.optimizer]; k++) place(`memory${k}`, weights);
  placePacked(shape, place);
  placeActivations(shape, place);
  return { at, weights, total };
}

/** Weights as `multiply` wants them; they change only when a step was taken. */
function placePacked({ cell, layers, units: H, tokens: V }, place) {
  const width = GATES[cell] * H;
  for (let k = 0; k < layers; k++) {
    place(`packed.Wh${k}`, packedSize(H, width));
    place(`packed.WhT${k}`, packedSize(width, H));
    if (k) place(`packed.Wx${k}`, packedSize(H, width));
    if (k) place(`packed.WxT${k}`, packedSize(width, H));
  }
  place("packed.Wy", packedSize(H, V));
  place("packed.WyT", packedSize(V, H));
}

function placeActivations({ cell, layers, units: H, tokens: V, streams: N, length: T }, place) {
  const width = GATES[cell] * H;
  for (let k = 0; k < layers; k++) {
    place(`z${k}`, T * N * width);
    if (cell === "gru") place(`a${k}`, T * N * width);
    place(`h${k}`, (T + 1) * N * H);
    place(`c${k}`, (T + 1) * N * H);
    place(`tc${k}`, T * N * H);
    for (const part of ["h", "c"]) place(`carried.${part}${k}`, N * H);
  }
  for (const part of ["h", "c"]) place(`before.${part}`, layers * N * H); // of the others: one text, a check
  place("dz", T * N * width);
  place("da", cell === "gru" ? T * N * width : 0);
  place("dhs", T * N * H);
  for (const name of ["dh", "dc"]) place(name, N * H);
  place("zeros", width);
  place("p", T * N * V);
  place("said", 2 * T * N);
  for (const name of ["x", "y"]) place(name, T * N);
  place("packed.rows", packedSize(T * N, Math.max(width, V)));
}

/** A network in a kernel's memory. */
class Network {
  /** shape: {cell, layers, units, tokens, optimizer, streams, length}; kernel: with planOf(shape).total numbers. */
  constructor(kernel, shape) {
    const { cell, layers, units, tokens, optimizer, streams, length } = shape;
    Object.assign(this, { kernel, cell, layers, units, tokens, optimizer, streams, length });
    this.plan = planOf(shape);
    this.at = this.plan.at;
    this.width = GATES[this.cell] * this.units;
    this.hasMemory = this.cell === "lstm" || this.cell === "cifg"; // a c beside its h
    this.steps = 0;
    this.isPacked = false;
    this.carried = this.statesAt("carried.h", "carried.c", this.streams);
    this.other = this.carried.map((_, k) => {
      const skip = k * this.streams * this.units;
      return { h: this.at["before.h"] + skip, c: this.at["before.c"] + skip };
    });
  }

  statesAt(h, c) {
    return Array.from({ length: this.layers }, (_, k) => ({ h: this.at[h + k], c: this.at[c + k] }));
  }

  /** Return a view of a weight, by its name. */
  weight(name) {
    const [, sides] = weightShapes(this).find(([each]) => each === name);
    return this.kernel.memory.subarray(this.at[name], this.at[name] + sizeOf(sides));
  }

  /** Return a view of the gradient of a weight. */
  gradient(name) {
    const view = this.weight(name);
    const from = this.at.gradient + this.at[name];
    return this.kernel.memory.subarray(from, from + view.length);
  }

  /** Draw new weights as lstmlib.scratch.init_weights does: uniform in ±1/√H, forget biases 1. */
  initialize(seed) {
    const random = randomNumbers(seed);
    const bound = 1 / Math.sqrt(this.units);
    for (const [name] of weightShapes(this)) {
      const view = this.weight(name);
      if (name.startsWith("W")) for (let k = 0; k < view.length; k++) view[k] = bound * (2 * random() - 1);
      else view.fill(0);
      if (this.cell === "lstm" && /^b\d/.test(name)) view.fill(1, this.units, 2 * this.units);
    }
    this.forget();
  }

  /** Forget what training has gathered, but the weights. */
  forget() {
    this.steps = 0;
    this.isPacked = false;
    for (let k = 0; k < MEMORIES[this.optimizer]; k++) this.fill(`memory${k}`, this.plan.weights);
    this.zero(this.carried, this.streams);
  }

  fill(name, size, value = 0) {
    this.kernel.memory.fill(value, this.at[name], this.at[name] + size);
  }

  /** Make a state of N sequences zero. */
  zero(state, N) {
    for (const { h, c } of state) {
      for (const from of [h, c]) this.kernel.memory.fill(0, from, from + N * this.units);
    }
  }

  /** Bring the weights into the form in which they are multiplied. */
  pack() {
    if (this.isPacked) return;
    const { at, units: H, width, tokens: V } = this;
    const both = (name, K, N) => {
      const [base, layer] = [name.slice(0, 2), name.slice(2)];
      this.kernel.pack(at[`packed.${base}${layer}`], at[name], K, N, N, 1);
      this.kernel.pack(at[`packed.${base}T${layer}`], at[name], N, K, 1, N);
    };
    for (let k = 0; k < this.layers; k++) {
      both(`Wh${k}`, H, width);
      if (k) both(`Wx${k}`, H, width);
    }
    both("Wy", H, V);
    this.isPacked = true;
  }

  // Forwards

  /** Read T steps of N sequences, the ids at "x"; leave logits at "p", and change the state. */
  forward(T, N, state) {
    this.pack();
    const { at, units: H, tokens: V, kernel } = this;
    for (let k = 0; k < this.layers; k++) this.layerForward(k, T, N, state[k]);
    kernel.spread(at.p, at.by, T * N, V);
    const top = at[`h${this.layers - 1}`] + N * H;
    kernel.multiply(at.p, top, at["packed.Wy"], T * N, H, V, H, 1);
  }

  /** Run one layer over T steps: z from the input for all steps at once, then step by step. */
  layerForward(k, T, N, state) {
    const { at, units: H, width, kernel } = this;
    const [z, h, c] = [at[`z${k}`], at[`h${k}`], at[`c${k}`]];
    if (k === 0) {
      kernel.look_up(z, at.Wx0, at.b0, at.x, T * N, width);
    } else {
      kernel.spread(z, at[`b${k}`], T * N, width);
      const below = at[`h${k - 1}`] + N * H;
      kernel.multiply(z, below, at[`packed.Wx${k}`], T * N, H, width, H, 1);
    }
    this.copy(h, state.h, N * H);
    this.copy(c, state.c, N * H);
    for (let t = 0; t < T; t++) this.cellForward(k, t, N);
    this.copy(state.h, h + T * N * H, N * H);
    this.copy(state.c, c + T * N * H, N * H);
  }

  copy(to, from, size) {
    this.kernel.memory.copyWithin(to, from, from + size);
  }

  /** Return where what a layer keeps of step t begins. */
  placesOf(k, t, N) {
    const { at, units: H, width } = this;
    const [narrow, wide] = [t * N * H, t * N * width];
    return {
      z: at[`z${k}`] + wide,
      a: at[`a${k}`] + wide,
      tc: at[`tc${k}`] + narrow,
      h: at[`h${k}`] + narrow,
      c: at[`c${k}`] + narrow,
      next: N * H,
    };
  }

  cellForward(k, t, N) {
    const { units: H, width, kernel } = this;
    const { z, a, tc, h, c, next } = this.placesOf(k, t, N);
    // A GRU's n multiplies what it reads of h by r before it adds it, so the two are kept apart.
    const sum = this.cell === "gru" ? a : z;
    if (this.cell === "gru") this.beginGru(a, k, N);
    kernel.multiply(sum, h, this.at[`packed.Wh${k}`], N, H, width, H, 1);
    if (this.cell === "rnn") kernel.rnn_forward(z, h + next, N, H);
    else if (this.cell === "gru") kernel.gru_forward(z, a, h, h + next, N, H);
    else kernel[`${this.cell}_forward`](z, c, c + next, tc, h + next, N, H);
  }

  /** Write the bias of n, and zeros for r and u, into N rows. */
  beginGru(a, k, N) {
    const { at, units: H, kernel } = this;
    this.copy(at.zeros + 2 * H, at[`bn${k}`], H);
    kernel.spread(a, at.zeros, N, this.width);
  }

  /** Return the mean loss of the targets at "y" in nats, and turn the logits into probabilities. */
  loss(T, N) {
    const { at, kernel } = this;
    kernel.softmax(at.p, at.y, at.said, T * N, this.tokens);
    let total = 0;
    for (let row = 0, from = at.said; row < T * N; row++, from += 2) {
      total += Math.log(kernel.memory[from]) - kernel.memory[from + 1];
    }
    return total / (T * N);
  }

  // Backwards

  /** Compute the gradient of the loss by all weights, after `forward` and `loss`. */
  backward(T, N) {
    const { at, units: H, tokens: V, kernel } = this;
    this.fill("gradient", this.plan.weights);
    kernel.loss_gradient(at.p, at.y, T * N, V);
    const top = at[`h${this.layers - 1}`] + N * H;
    this.weightGradient("Wy", top, at.p, T * N, H, V);
    kernel.add_up(at.gradient + at.by, at.p, T * N, V);
    this.fill("dhs", T * N * H);
    kernel.multiply(at.dhs, at.p, at["packed.WyT"], T * N, V, H, V, 1);
    for (let k = this.layers - 1; k >= 0; k--) this.layerBackward(k, T, N);
  }

  /** Add A^T d to the gradient of a weight, for A (rows, K) and d (rows, N): a sum over all rows. */
  weightGradient(name, A, d, rows, K, N) {
    const packed = this.at["packed.rows"];
    this.kernel.pack(packed, d, rows, N, N, 1);
    this.kernel.multiply(this.at.gradient + this.at[name], A, packed, K, rows, N, 1, K);
  }

  layerBackward(k, T, N) {
    const { at, units: H, width, kernel } = this;
    this.fill("dh", N * H);
    this.fill("dc", N * H);
    for (let t = T - 1; t >= 0; t--) this.cellBackward(k, t, N);
    const fromState = this.cell === "gru" ? at.da : at.dz;
    this.weightGradient(`Wh${k}`, at[`h${k}`], fromState, T * N, H, width);
    kernel.add_up(at.gradient + at[`b${k}`], at.dz, T * N, width);
    if (this.cell === "gru") this.secondBias(k, T * N);
    if (k === 0) {
      kernel.add_rows(at.gradient + at.Wx0, at.dz, at.x, T * N, width);
      return;
    }
    this.weightGradient(`Wx${k}`, at[`h${k - 1}`] + N * H, at.dz, T * N, H, width);
    this.fill("dhs", T * N * H);
    kernel.multiply(at.dhs, at.dz, at[`packed.WxT${k}`], T * N, width, H, width, 1);
  }

  /** h is used by the layer above and by the next step: both gradients add. */
  cellBackward(k, t, N) {
    const { at, units: H, width, kernel } = this;
    const { z, a, tc, h, c } = this.placesOf(k, t, N);
    const [dz, da] = [at.dz + t * N * width, at.da + t * N * width];
    kernel.add(at.dh, at.dhs + t * N * H, N * H);
    if (this.cell === "rnn") kernel.rnn_backward(dz, at.dh, z, N, H);
    else if (this.cell === "gru") kernel.gru_backward(dz, da, at.dh, z, a, h, N, H);
    else kernel[`${this.cell}_backward`](dz, at.dh, at.dc, z, c, tc, N, H);
    if (this.cell !== "gru") this.fill("dh", N * H); // a GRU's h_old has a share through u as well
    const from = this.cell === "gru" ? da : dz;
    kernel.multiply(at.dh, from, at[`packed.WhT${k}`], N, width, H, width, 1);
  }

  secondBias(k, rows) {
    const { at, units: H, width, kernel } = this;
    const sums = at["packed.rows"]; // nothing else needs it now
    kernel.memory.fill(0, sums, sums + width);
    kernel.add_up(sums, at.da, rows, width);
    this.copy(at.gradient + at[`bn${k}`], sums + 2 * H, H);
  }

  // A step of training

  /** Set the ids that are read and those that follow, each in the order of time. */
  setBatch(x, y) {
    this.kernel.memory.set(x, this.at.x);
    this.kernel.memory.set(y, this.at.y);
  }

  /** Compute loss and gradient of the batch; return {loss, norm}. */
  measure() {
    this.forward(this.length, this.streams, this.carried);
    const loss = this.loss(this.length, this.streams);
    this.backward(this.length, this.streams);
    return { loss, norm: Math.sqrt(this.kernel.squares(this.at.gradient, this.plan.weights)) };
  }

  /** Shorten the gradient, by its norm or entry by entry; return whether it has changed. */
  clip({ clip, limit }, norm) {
    const { kernel, at, plan } = this;
    if (clip === "norm" && norm > limit) {
      kernel.scale(at.gradient, plan.weights, limit / norm);
      return true;
    }
    if (clip === "value") {
      kernel.cut(at.gradient, plan.weights, limit);
      return kernel.squares(at.gradient, plan.weights) < norm * norm;
    }
    return false;
  }

  /** Move the weights along the gradient. */
  update(rate) {
    const { kernel, at } = this;
    const n = this.plan.weights;
    this.steps += 1;
    this.isPacked = false;
    if (this.optimizer === "sgd") kernel.sgd(0, at.gradient, n, rate);
    if (this.optimizer === "rmsprop") kernel.rmsprop(0, at.gradient, at.memory0, n, rate);
    if (this.optimizer === "adam") {
      const [first, second] = [1 - 0.9 ** this.steps, 1 - 0.999 ** this.steps];
      kernel.adam(0, at.gradient, at.memory0, at.memory1, n, rate, first, second);
    }
  }

  /** Take one step of truncated BPTT; return {loss, norm, clipped}. Where the loss or the norm is no
   * finite number, the weights stay as they are. */
  trainStep(settings) {
    const { loss, norm } = this.measure();
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) return { loss, norm, clipped: false };
    const clipped = this.clip(settings, norm);
    this.update(settings.rate);
    return { loss, norm, clipped };
  }

  // Going back

  /** Return all that training needs to go on from here. */
  snapshot() {
    const from = this.at[`memory0`] ?? 0;
    const memory = this.kernel.memory;
    return {
      steps: this.steps,
      weights: memory.slice(0, this.plan.weights),
      memories: memory.slice(from, from + MEMORIES[this.optimizer] * this.plan.weights),
      carried: this.carried.map(({ h, c }) => [h, c].map((at) => this.slice(at))),
    };
  }

  slice(at) {
    return this.kernel.memory.slice(at, at + this.streams * this.units);
  }

  restore({ steps, weights, memories, carried }) {
    const memory = this.kernel.memory;
    this.steps = steps;
    this.isPacked = false;
    memory.set(weights, 0);
    if (memories.length) memory.set(memories, this.at.memory0);
    carried.forEach(([h, c], k) => {
      memory.set(h, this.carried[k].h);
      memory.set(c, this.carried[k].c);
    });
  }

  // What it has learned

  /** Return the mean loss over a text (ids), read as `streams` pieces side by side, each from zeros. */
  evaluate(ids) {
    const N = Math.min(this.streams, ids.length - 1);
    const columns = Math.floor((ids.length - 1) / N);
    let [total, read] = [0, 0];
    this.zero(this.other, N);
    for (let start = 0; start < columns; start += this.length) {
      const T = Math.min(this.length, columns - start);
      this.setColumns(ids, N, columns, start, T);
      this.forward(T, N, this.other);
      total += this.loss(T, N) * T;
      read += T;
    }
    return total / read;
  }

  /** Put columns start … start + T of N rows, which are pieces of a text, into the batch. */
  setColumns(ids, N, columns, start, T) {
    const { memory } = this.kernel;
    for (let t = 0, k = 0; t < T; t++) {
      for (let n = 0; n < N; n++, k++) {
        const from = n * columns + start + t;
        memory[this.at.x + k] = ids[from];
        memory[this.at.y + k] = ids[from + 1];
      }
    }
  }

  /** Read one id of one text, and return its probabilities of the next one, from the logits. */
  read(id) {
    this.kernel.memory[this.at.x] = id;
    this.forward(1, 1, this.other);
    return this.kernel.memory.subarray(this.at.p, this.at.p + this.tokens);
  }

  /** Write a text of `count` ids after a first one: {ids, gates}, of each id the mean values of the
   * top layer's gates, in the cell's order, where they decide on it. */
  write(first, count, temperature, random) {
    this.zero(this.other, 1);
    const [ids, gates] = [[], []];
    let id = first;
    for (let k = 0; k < count; k++) {
      const logits = this.read(id);
      id = drawFrom(logits, temperature, random());
      ids.push(id);
      gates.push(this.meanGates());
    }
    return { ids, gates };
  }

  /** Return the mean over the units of each gate's value in the step read last, for the top layer. */
  meanGates() {
    const [H, z] = [this.units, this.at[`z${this.layers - 1}`]];
    return Array.from({ length: GATES[this.cell] }, (_, gate) => {
      const values = this.kernel.memory.subarray(z + gate * H, z + (gate + 1) * H);
      return values.reduce((sum, x) => sum + Math.abs(x), 0) / H;
    });
  }

  /** Return, for each gate of σ in the last batch, the share of values below 0.05 and above 0.95. Of an RNN,
   * which has none, the shares of its units below -0.99 and above 0.99. */
  saturation() {
    const names = { lstm: ["i", "f", null, "o"], cifg: ["i", null, "o"], gru: ["r", "u", null] };
    if (this.cell === "rnn") return [["h", ...this.shares(0, -0.99, 0.99)]];
    return names[this.cell].flatMap((name, gate) => (name ? [[name, ...this.shares(gate, 0.05, 0.95)]] : []));
  }

  shares(gate, shut, open) {
    const { memory } = this.kernel;
    const [H, N, T] = [this.units, this.streams, this.length];
    const z = this.at[`z${this.layers - 1}`] + (T - 1) * N * this.width + gate * H; // of the last step
    let [low, high] = [0, 0];
    for (let n = 0; n < N; n++) {
      for (let j = 0; j < H; j++) {
        const value = memory[z + n * this.width + j];
        if (value < shut) low += 1;
        else if (value > open) high += 1;
      }
    }
    return [low / (N * H), high / (N * H)];
  }
}

/** Draw an id from logits at a temperature, with u from 0 up to but not 1; 0 takes the largest. */
function drawFrom(logits, temperature, u) {
  const largest = logits.reduce((a, b) => (b > a ? b : a), -Infinity);
  if (!Number.isFinite(largest)) return 0; // a network of which nothing is left
  if (temperature === 0) return logits.indexOf(largest);
  const powers = Array.from(logits, (x) => Math.exp((x - largest) / temperature));
  let left = u * powers.reduce((a, b) => a + b, 0);
  for (let id = 0; id < powers.length; id++) {
    left -= powers[id];
    if (left < 0) return id;
  }
  return logits.indexOf(largest); // the sum was rounded: the last step below it
}

/** Return what gives numbers from 0 up to but not 1; the same seed gives the same (mulberry32). */
function randomNumbers(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A text as N parallel streams of T characters a step, as lstmlib.batching.Streams has them. */
class Streams {
  /** Throws RangeError if the text is too short for one batch. */
  constructor(ids, N, T) {
    const batches = Math.floor((ids.length - 1) / (N * T));
    if (batches < 1) throw new RangeError(`${ids.length} characters are too few for ${N} × ${T}`);
    Object.assign(this, { ids, N, T, batches, columns: batches * T });
  }

  /** Put batch k into a network, and begin with zeros where the text begins again. */
  give(network, k) {
    if (k % this.batches === 0) network.zero(network.carried, this.N);
    network.setColumns(this.ids, this.N, this.columns, (k % this.batches) * this.T, this.T);
  }
}
