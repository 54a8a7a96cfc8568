"use strict";
/* The network and the draw. Everything here is computed from its arguments alone: no page, no clock.

   A distribution is a Float64Array of natural-log probabilities, one for each token; a token that
   is ruled out has -Infinity. The transforms are those of lstmlib/sampling.py, in its order. */

// Weights

/** Return the bytes of a base64 text, which may hold line breaks. */
function decodeBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Return the number whose 16 bits, as IEEE 754 binary16 has them, are these. */
function decodeHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  // Below 2^-14 the fraction has no leading 1.
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
}

/** Return the weights by their names in PyTorch, each a Float32Array, row after row. */
function decodeArrays(header, base64) {
  const bytes = decodeBase64(base64);
  const view = new DataView(bytes.buffer);
  const read =
    header.bytesPerWeight === 2
      ? (k) => decodeHalf(view.getUint16(2 * k, true))
      : (k) => view.getFloat32(4 * k, true);
  const arrays = {};
  let start = 0;
  for (const [name, size] of header.arrays) {
    arrays[name] = Float32Array.from({ length: size }, (_, k) => read(start + k));
    start += size;
  }
  return arrays;
}

/** Return the network as `step` reads it, of a page's header and weights. */
function makeNetwork(header, base64) {
  const arrays = decodeArrays(header, base64);
  const H = header.hiddenSize;
  const V = header.tokens.length;
  const layers = [];
  for (let k = 0; k < header.numLayers; k++) {
    const [Wx, Wh] = [arrays[`layers.weight_ih_l${k}`], arrays[`layers.weight_hh_l${k}`]];
    const twoBiases = [arrays[`layers.bias_ih_l${k}`], arrays[`layers.bias_hh_l${k}`]];
    const bias = Float64Array.from(twoBiases[0], (b, row) => b + twoBiases[1][row]);
    layers.push({ Wx, Wh, bias });
  }
  const network = {
    tokens: header.tokens,
    hiddenSize: H,
    layers,
    table: inputTable(V, layers[0], arrays["embedding.weight"]),
    norm: header.normEps === null ? null : [arrays["norm.weight"], arrays["norm.bias"]],
    normEps: header.normEps,
    output: { W: arrays["output.weight"], bias: arrays["output.bias"] },
  };
  return { ...network, ...plainProducts(network) };
}

/** Return what the network computes with, in JavaScript; `useKernel` puts faster ones in its place.
 *
 * Numbers are the arrays of a state; advance(state, token) changes the state, and returns h of the last layer;
 * logits(h) are the next token's, in an array that may be written over by the next step.
 */
function plainProducts({ layers, table, output }) {
  const advance = (state, token) => {
    let below = null;
    layers.forEach(({ Wx, Wh, bias }, k) => {
      const { h, c } = state[k];
      const z = k === 0 ? table[token].slice() : bias.slice();
      if (k > 0) addProduct(z, Wx, below);
      addProduct(z, Wh, h);
      applyGates(z, h, c);
      below = h;
    });
    return below;
  };
  return { Numbers: Float64Array, advance, logits: (h) => multiply(output.W, h, output.bias) };
}

/** Return W x + b of the first layer for every token: V arrays of 4H.
 *
 * What it reads depends on the token alone, so that nothing of it needs to be computed twice. A
 * one-hot vector times W is one column of W.
 */
function inputTable(V, { Wx, bias }, embedding) {
  const D = Wx.length / bias.length;
  const table = [];
  for (let token = 0; token < V; token++) {
    if (embedding) {
      table.push(multiply(Wx, embedding.subarray(token * D, (token + 1) * D), bias));
    } else {
      table.push(bias.map((b, row) => b + Wx[row * D + token]));
    }
  }
  return table;
}

/** Return W x + b, for W (R, C) row after row, x (C) and b (R): a Float64Array of R. */
function multiply(W, x, b) {
  const C = x.length;
  const product = new Float64Array(b.length);
  for (let row = 0, at = 0; row < b.length; row++) {
    let sum = b[row];
    for (let k = 0; k < C; k++) sum += W[at++] * x[k];
    product[row] = sum;
  }
  return product;
}

// The network

/** Return a state of zeros: h and c of each layer. */
function zeroState({ layers, hiddenSize, Numbers }) {
  return layers.map(() => ({ h: new Numbers(hiddenSize), c: new Numbers(hiddenSize) }));
}

/** Read one token: change the state, and return the logits of the next token. */
function step(network, state, token) {
  const h = network.advance(state, token);
  return network.logits(network.norm ? layerNorm(h, network.norm, network.normEps) : h);
}

/** Add W x to z, for W (4H, C) row after row, x (C) and z (4H). Nearly all the time goes here.
 *
 * Rows j, H + j, 2H + j and 3H + j of W belong to the gates i, f, g and o of unit j. Their four sums
 * grow side by side, since a processor that waits for one addition can begin the next.
 */
function addProduct(z, W, x) {
  const [H, C] = [z.length / 4, x.length];
  const gate = H * C;
  for (let j = 0; j < H; j++) {
    let [i, f, g, o] = [0, 0, 0, 0];
    for (let k = 0, at = j * C; k < C; k++, at++) {
      const value = x[k];
      i += W[at] * value;
      f += W[at + gate] * value;
      g += W[at + 2 * gate] * value;
      o += W[at + 3 * gate] * value;
    }
    z[j] += i;
    z[H + j] += f;
    z[2 * H + j] += g;
    z[3 * H + j] += o;
  }
}

/** Let kernel.wasm do the products and gates of a network, where there is WebAssembly, in 32 bits. */
async function useKernel(network, base64) {
  const { hiddenSize: H, layers, output } = network;
  const [V, width] = [output.bias.length, 4 * H];
  const at = { h: 0, c: H, tanhC: 2 * H, z: 3 * H };
  const strips = at.z + stripsSize(1, Math.max(width, V));
  const size = strips + 2 * layers.length * stripsSize(H, width) + stripsSize(H, V);
  try {
    const kernel = await compiledKernel(decodeBase64(base64), size);
    Object.assign(network, compiledProducts(network, kernel, at, packInto(kernel, strips, H)));
  } catch {
    // they stay in JavaScript
  }
}

/** Return what packs a matrix (rows, H), and returns what adds its product with a vector to a sum. */
function packInto(kernel, strips, H) {
  let next = strips;
  return (matrix) => {
    const [from, rows] = [next, matrix.length / H];
    for (let n = 0; n < rows; n += STRIP) {
      for (let k = 0; k < H; k++) {
        for (let j = n; j < n + STRIP; j++) kernel.memory[next++] = j < rows ? matrix[j * H + k] : 0;
      }
    }
    return (sum, vector) => kernel.multiply_row(sum, vector, from, H, rows);
  };
}

/** Return what `plainProducts` returns; vectors lie at `at` in the kernel's memory. */
function compiledProducts({ hiddenSize: H, layers, table, output }, kernel, at, place) {
  const { memory } = kernel;
  const rows = table.map((row) => Float32Array.from(row)); // copied faster than 64 bits are
  const added = layers.map(({ Wx, Wh, bias }, k) => ({
    bias: Float32Array.from(bias),
    Wx: k > 0 ? place(Wx) : null,
    Wh: place(Wh),
  }));
  const advance = (state, token) => {
    added.forEach(({ bias, Wx, Wh }, k) => {
      const { h, c } = state[k];
      memory.set(k === 0 ? rows[token] : bias, at.z);
      if (Wx) Wx(at.z, at.h); // h of the layer below
      memory.set(h, at.h);
      memory.set(c, at.c);
      Wh(at.z, at.h);
      kernel.lstm_forward(at.z, at.c, at.c, at.tanhC, at.h, 1, H);
      h.set(memory.subarray(at.h, at.h + H));
      c.set(memory.subarray(at.c, at.c + H));
    });
    return state.at(-1).h;
  };
  const addOutput = place(output.W);
  const bias = Float32Array.from(output.bias);
  const said = memory.subarray(at.z, at.z + bias.length);
  const logits = (h) => {
    memory.set(h, at.h);
    memory.set(bias, at.z);
    addOutput(at.z, at.h);
    return said;
  };
  return { Numbers: Float32Array, advance, logits };
}

/** Change h and c (H) of an LSTM layer by what its gates read, z (4H): i, f, g, o. */
function applyGates(z, h, c) {
  const H = h.length;
  for (let j = 0; j < H; j++) {
    const [i, f, g, o] = [z[j], z[H + j], z[2 * H + j], z[3 * H + j]];
    c[j] = sigmoid(f) * c[j] + sigmoid(i) * Math.tanh(g);
    h[j] = sigmoid(o) * Math.tanh(c[j]);
  }
}

function sigmoid(z) {
  return 1 / (1 + Math.exp(-z));
}

/** Return h with mean 0 and variance 1, times the weight, plus the bias (Ba et al. 2016). */
function layerNorm(h, [weight, bias], eps) {
  const mean = sumOf(h) / h.length;
  let squares = 0;
  for (let k = 0; k < h.length; k++) squares += (h[k] - mean) ** 2;
  const root = Math.sqrt(squares / h.length + eps);
  const made = new Float64Array(h.length);
  for (let k = 0; k < h.length; k++) made[k] = ((h[k] - mean) / root) * weight[k] + bias[k];
  return made;
}

function sumOf(array) {
  let sum = 0;
  for (let k = 0; k < array.length; k++) sum += array[k];
  return sum;
}

// Transforms of a distribution

/** Return the largest number; a call with all of them as arguments takes ten times as long. */
function largestOf(array) {
  let largest = -Infinity;
  for (let k = 0; k < array.length; k++) if (array[k] > largest) largest = array[k];
  return largest;
}

/** Return log p of logits, or of log-probabilities that no longer sum to 1. */
function logSoftmax(logits) {
  const largest = largestOf(logits);
  let total = 0;
  for (let k = 0; k < logits.length; k++) total += Math.exp(logits[k] - largest);
  const less = Math.log(total);
  const made = new Float64Array(logits.length);
  for (let k = 0; k < logits.length; k++) made[k] = logits[k] - largest - less;
  return made;
}

/** Return the tokens from the most probable to the least; of equals, the first one first. */
function byProbability(logP) {
  const tokens = [];
  for (let token = 0; token < logP.length; token++) tokens.push(token);
  // -Infinity minus itself is NaN, which sort takes for 0: equal.
  return tokens.sort((a, b) => logP[b] - logP[a]);
}

/** Return log f_τ(p), with f_τ(p)_i = p_i^(1/τ) / Σ_j p_j^(1/τ): log p over τ, made to sum to 1.
 *
 * τ = 0 is the limit: all mass on the largest, the first of them if several are equal.
 */
function applyTemperature(logP, temperature) {
  const largest = largestOf(logP);
  if (temperature === 0) {
    const best = logP.indexOf(largest);
    return logP.map((_, token) => (token === best ? 0 : -Infinity));
  }
  // With 0 at the largest and a divisor that is not too small, nothing overflows.
  const divisor = Math.max(temperature, 1e-290);
  const scaled = new Float64Array(logP.length);
  for (let k = 0; k < logP.length; k++) scaled[k] = (logP[k] - largest) / divisor;
  return logSoftmax(scaled);
}

/** Rule out all tokens but some. */
function keepOnly(logP, tokens) {
  const kept = new Float64Array(logP.length).fill(-Infinity);
  for (const token of tokens) kept[token] = logP[token];
  return logSoftmax(kept);
}

/** Rule out all but the k most probable (Fan et al. 2018). */
function keepTopK(logP, k) {
  return keepOnly(logP, byProbability(logP).slice(0, k));
}

/** Keep the nucleus: the fewest, most probable first, that have a share of the probability
 * (Holtzman et al. 2020). The most probable one always stays.
 */
function keepTopP(logP, share) {
  const kept = [];
  let sum = 0;
  for (const token of byProbability(logP)) {
    const p = Math.exp(logP[token]);
    sum += p;
    if (sum - p < share) kept.push(token);
  }
  return keepOnly(logP, kept);
}

/** Rule out tokens with less than a share of the largest probability (Nguyen et al. 2025). */
function keepMinP(logP, share) {
  const threshold = largestOf(logP) + Math.log(share);
  return logSoftmax(logP.map((x) => (x >= threshold ? x : -Infinity)));
}

/** Return the distribution that is drawn from: temperature, top-k, top-p, min-p, in this order.
 *
 * A top-k of null, a top-p of 1 and a min-p of 0 keep all.
 */
function transform(logP, { temperature, topK, topP, minP = 0 }) {
  if (temperature !== 1) logP = applyTemperature(logP, temperature);
  if (topK !== null) logP = keepTopK(logP, topK);
  if (topP < 1) logP = keepTopP(logP, topP);
  if (minP > 0) logP = keepMinP(logP, minP);
  return logP;
}

// The draw

/** Return tokens by falling probability, and for each the sum of its own and those before it. */
function cumulate(logP) {
  const order = byProbability(logP);
  let sum = 0;
  return { order, sums: order.map((token) => (sum += Math.exp(logP[token]))) };
}

/** Draw a token: walk down from the most probable until the sum passes u times the whole.
 *
 * The same u, 0 ≤ u < 1, at a lower temperature never gives a less probable token. Two temperatures
 * with the same numbers so differ by the temperature alone (common random numbers).
 */
function draw(logP, u) {
  // In the order of `cumulate`, of which only one token is needed: numbers alone sort faster.
  const rising = logP.slice().sort();
  let [at, sum] = [rising.length, 0];
  for (let k = at - 1; k >= 0; k--) sum += Math.exp(rising[k]);
  const passes = u * sum;
  for (sum = 0; sum <= passes; ) sum += Math.exp(rising[--at]);
  let token = logP.indexOf(rising[at]);
  // Of equal ones the first comes first.
  for (let k = at + 1; rising[k] === rising[at]; k++) token = logP.indexOf(rising[at], token + 1);
  return token;
}

/** Return count numbers from 0 up to but not 1; the same seed gives the same ones.
 *
 * This is the generator mulberry32. Its numbers are not NumPy's: with one seed, this page and
 * lstmlib write different texts.
 */
function uniformNumbers(seed, count) {
  let state = seed;
  return Float64Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  });
}

// Texts

/** Read a text, one token or more, from a state of zeros: {state, logits of the next token}. */
function readContext(network, tokens) {
  const state = zeroState(network);
  let logits = null;
  for (const token of tokens) logits = step(network, state, token);
  return { state, logits: logits.slice() };
}

/** Write on from what was read, a token for each number of u, fewer if `.end` is drawn.
 *
 * Yields for each token {token, u, logBefore, logAfter}: the distribution of the model, and the one
 * that the token was drawn from.
 */
function* write(network, context, u, settings) {
  const state = context.state.map(({ h, c }) => ({ h: h.slice(), c: c.slice() }));
  const end = network.tokens.indexOf(".end");
  let logits = context.logits;
  for (let t = 0; t < u.length; t++) {
    const logBefore = logSoftmax(logits);
    const logAfter = transform(logBefore, settings);
    const token = draw(logAfter, u[t]);
    yield { token, u: u[t], logBefore, logAfter };
    if (token === end) return;
    if (t + 1 < u.length) logits = step(network, state, token);
  }
}
