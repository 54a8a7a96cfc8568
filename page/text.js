"use strict";
/* Texts and model files: characters and ids, the 5-gram model, safetensors. */

const LARGEST_TEXT = 5e6; // bytes of a file
const FORMATS = { model: "lstmlib-model-2", scratch: "lstmlib-scratch-1" };
const MOST_UNITS = 512;
const MOST_LAYERS = 3;

/** Something of the reader's cannot be used; the message is for people. */
class InputError extends Error {}

/** Return the text of a file's bytes; throw InputError if they are none. */
function decodeText(bytes, name) {
  if (bytes.length > LARGEST_TEXT) {
    const size = (bytes.length / 1e6).toFixed(1);
    throw new InputError(
      `${name} has ${size} MB, and this page takes texts of up to ${LARGEST_TEXT / 1e6} MB: nothing ` +
        "was loaded. Cut a part out of it.",
    );
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text.replace(/\r\n?/g, "\n");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  throw new InputError(`${name} is no text in UTF-8: nothing was loaded. Save it as UTF-8 first.`);
}

/** Return the distinct characters of a text, by code point, as lstmlib.vocab.Vocab has them. */
function tokensOf(text) {
  return [...new Set(text)].sort((a, b) => a.codePointAt(0) - b.codePointAt(0));
}

/** Return the ids of a text's characters that have one, and which have none. */
function encode(text, tokens) {
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const [ids, unknown] = [[], new Set()];
  for (const character of text) {
    const id = idOf.get(character);
    if (id === undefined) unknown.add(character);
    else ids.push(id);
  }
  return { ids: Float32Array.from(ids), unknown: [...unknown] };
}

/** Split ids into what is trained on and, the last tenth of it, what is held out. */
function split(ids) {
  const cut = Math.floor(0.9 * ids.length);
  return { train: ids.subarray(0, cut), valid: ids.subarray(cut) };
}

// Counting: lstmlib.ngram.NGramModel, with Witten and Bell's smoothing

/** Return the mean loss of a text under an n-gram model of another, in nats per character.
 *
 * A context is known by a number: that of the context without its last character, times V, plus
 * the last character, looked up in a table. So no number grows beyond what a double holds.
 */
function ngramLoss(train, valid, order, V) {
  const models = [];
  let [places, wanted] = [new Float64Array(train.length), new Float64Array(valid.length)];
  for (let n = 1; n <= order; n++) {
    const counted = countGrams(train, places, n, V);
    models.push({ ...counted, wanted });
    const found = (ids, from) =>
      from.map((place, k) => (k + 1 < n ? -1 : counted.numbers.get(place * V + ids[k]) ?? -1));
    [places, wanted] = [shifted(found(train, places)), shifted(found(valid, wanted))];
  }
  return lossOf(models, valid, V);
}

/** Return places one to the right: the context of a character ends with the one before it. */
function shifted(places) {
  const moved = new Float64Array(places.length).fill(-1);
  moved.set(places.subarray(0, places.length - 1), 1);
  return moved;
}

/** Count n-grams, given the number of the context of every place: counts, and of each context N and T. */
function countGrams(ids, places, n, V) {
  const [numbers, counts, totals, kinds] = [new Map(), [], new Map(), new Map()];
  for (let k = n - 1; k < ids.length; k++) {
    const code = places[k] * V + ids[k];
    let number = numbers.get(code);
    if (number === undefined) {
      number = counts.push(0) - 1;
      numbers.set(code, number);
      kinds.set(places[k], (kinds.get(places[k]) ?? 0) + 1);
    }
    counts[number] += 1;
    totals.set(places[k], (totals.get(places[k]) ?? 0) + 1);
  }
  return { numbers, counts, totals, kinds };
}

function lossOf(models, valid, V) {
  let sum = 0;
  for (let k = 1; k < valid.length; k++) {
    let p = 1 / V;
    models.forEach(({ numbers, counts, totals, kinds, wanted }, below) => {
      const place = wanted[k];
      if (k < below || !totals.has(place)) return;
      const number = numbers.get(place * V + valid[k]);
      const seen = number === undefined ? 0 : counts[number];
      p = (seen + kinds.get(place) * p) / (totals.get(place) + kinds.get(place));
    });
    sum -= Math.log(p);
  }
  return sum / (valid.length - 1);
}

// Model files

/** Return the bytes of a file that lstmlib.serialization.load_model reads. */
function modelFile(network, tokens) {
  const arrays = torchArrays(network);
  const config = {
    vocab_size: network.tokens,
    hidden_size: network.units,
    num_layers: network.layers,
    embedding_size: null,
    dropout: 0,
    forget_bias: 1,
    cell: network.cell,
    output_norm: false,
  };
  const specials = tokens.filter((token) => Array.from(token).length > 1);
  const characters = tokens.filter((token) => Array.from(token).length === 1);
  const vocab = JSON.stringify({ specials, characters });
  return safetensors(arrays, { format: FORMATS.model, config: JSON.stringify(config), vocab });
}

/** Return [name, shape, numbers] of PyTorch's arrays: its matrices are transposed, its biases two. */
function torchArrays(network) {
  const { cell, layers, units: H, width, tokens: V } = network;
  const arrays = [];
  for (let k = 0; k < layers; k++) {
    const inputs = k ? H : V;
    const bias = network.weight(`b${k}`);
    const other = new Float32Array(width);
    if (cell === "gru") other.set(network.weight(`bn${k}`), 2 * H);
    const Wx = transposed(network.weight(`Wx${k}`), inputs, width);
    arrays.push([`layers.weight_ih_l${k}`, [width, inputs], Wx]);
    arrays.push([`layers.weight_hh_l${k}`, [width, H], transposed(network.weight(`Wh${k}`), H, width)]);
    arrays.push([`layers.bias_ih_l${k}`, [width], bias]);
    if (cell !== "cifg") arrays.push([`layers.bias_hh_l${k}`, [width], other]);
  }
  arrays.push(["output.weight", [V, H], transposed(network.weight("Wy"), H, V)]);
  return [...arrays, ["output.bias", [V], network.weight("by")]];
}

/** Return the transpose (columns, rows) of a matrix (rows, columns). */
function transposed(matrix, rows, columns) {
  const made = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) made[c * rows + r] = matrix[r * columns + c];
  }
  return made;
}

function safetensors(arrays, metadata) {
  const header = { __metadata__: metadata };
  let end = 0;
  for (const [name, shape, numbers] of arrays) {
    const start = end;
    end += 4 * numbers.length;
    header[name] = { dtype: "F32", shape, data_offsets: [start, end] };
  }
  let text = new TextEncoder().encode(JSON.stringify(header));
  const padded = new Uint8Array(8 * Math.ceil(text.length / 8)).fill(32);
  padded.set(text);
  const bytes = new Uint8Array(8 + padded.length + end);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, padded.length, true);
  bytes.set(padded, 8);
  let at = 8 + padded.length;
  for (const [, , numbers] of arrays) {
    for (const x of numbers) {
      view.setFloat32(at, x, true);
      at += 4;
    }
  }
  return bytes;
}

/** Read a model file: {cell, layers, units, tokens, weights: name -> numbers, as the engine names them}.
 *
 * Throws InputError where it is none, is broken, or holds what this page cannot train.
 */
function readModel(bytes, name) {
  const broken = (why) => new InputError(`${name} cannot be loaded: ${why} The network stays as it is.`);
  let parts;
  try {
    parts = readSafetensors(bytes);
  } catch {
    throw broken("it is not a whole safetensors file.");
  }
  const { metadata, arrays } = parts;
  if (!Object.values(FORMATS).includes(metadata.format)) {
    throw broken("it was not written by save_model or save_scratch of the course.");
  }
  try {
    const model = metadata.format === FORMATS.scratch ? ofScratch(metadata, arrays) : ofTorch(metadata, arrays);
    check(model);
    return model;
  } catch (error) {
    throw broken(error instanceof InputError ? error.message : "its parts contradict each other.");
  }
}

/** The kinds of numbers that a file may hold: bytes of one, and what reads it. */
const NUMBERS_OF = {
  F16: { width: 2, read: (view, at) => halfOf(view.getUint16(at, true)) },
  BF16: { width: 2, read: (view, at) => upperHalfOf(view.getUint16(at, true)) },
  F32: { width: 4, read: (view, at) => view.getFloat32(at, true) },
  F64: { width: 8, read: (view, at) => view.getFloat64(at, true) },
};

function readSafetensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = view.getUint32(0, true);
  if (view.getUint32(4, true) !== 0 || size > bytes.length - 8) throw new RangeError("cut off");
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + size));
  const { __metadata__: metadata, ...entries } = JSON.parse(text);
  const arrays = {};
  let last = 0;
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(entries)) {
    const count = sizeOf(shape);
    const { width, read: readAt } = NUMBERS_OF[dtype];
    const from = 8 + size + start;
    if (end - start !== count * width || 8 + size + end > bytes.length) throw new RangeError(name);
    last = Math.max(last, end);
    const read = (k) => readAt(view, from + width * k);
    arrays[name] = { shape, values: Float32Array.from({ length: count }, (_, k) => read(k)) };
  }
  if (8 + size + last !== bytes.length) throw new RangeError("more than its arrays");
  return { metadata: metadata ?? {}, arrays };
}

/** Return the number whose 16 bits, as IEEE 754 binary16 has them, are these. */
function halfOf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return NaN;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
}

/** Return the number of 32 bits whose upper 16 are these, as bfloat16 has them. */
function upperHalfOf(bits) {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
}

function vocabOf(metadata) {
  const { specials, characters } = JSON.parse(metadata.vocab);
  return [...specials, ...characters];
}

function ofScratch(metadata, arrays) {
  checkCell(metadata.cell);
  const weights = Object.fromEntries(Object.entries(arrays).map(([name, { values }]) => [name, values]));
  const layers = Object.keys(arrays).filter((name) => name.startsWith("Wx")).length;
  const units = arrays.Wy.shape[0];
  return { cell: metadata.cell, layers, units, tokens: vocabOf(metadata), weights };
}

function ofTorch(metadata, arrays) {
  const { cell, num_layers: layers, hidden_size: H, output_norm: norm } = JSON.parse(metadata.config);
  if (norm) throw new InputError("it has a layer norm before its output layer, which this page does not train.");
  checkCell(cell);
  const tokens = vocabOf(metadata);
  const V = tokens.length;
  checkNames(arrays, torchNames(layers));
  const weights = { Wy: transposed(arrays["output.weight"].values, V, H), by: arrays["output.bias"].values };
  const width = GATES[cell] * H;
  for (let k = 0; k < layers; k++) {
    const bias = arrays[`layers.bias_ih_l${k}`].values.slice();
    const other = arrays[`layers.bias_hh_l${k}`]?.values ?? new Float32Array(width);
    // Both biases add, but for n of a GRU, whose second one is a weight of its own.
    const joined = cell === "gru" ? 2 * H : width;
    for (let j = 0; j < joined; j++) bias[j] += other[j];
    const { values, shape } = arrays[`layers.weight_ih_l${k}`];
    const Wx = transposed(values, width, shape[1]);
    weights[`Wx${k}`] = k === 0 ? behindEmbedding(Wx, arrays["embedding.weight"], V, width) : Wx;
    weights[`Wh${k}`] = transposed(arrays[`layers.weight_hh_l${k}`].values, width, H);
    weights[`b${k}`] = bias;
    if (cell === "gru") weights[`bn${k}`] = other.slice(2 * H);
  }
  return { cell, layers, units: H, tokens, weights };
}

function torchNames(layers) {
  const parts = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
  const names = Array.from({ length: layers }, (_, k) => parts.map((part) => `layers.${part}_l${k}`));
  return [...names.flat(), "embedding.weight", "output.weight", "output.bias"];
}

/** Throw InputError if there are arrays that nothing here would use. */
function checkNames(arrays, known) {
  const unknown = Object.keys(arrays).filter((name) => !known.includes(name));
  if (unknown.length) throw new InputError(`it holds what its network does not have: ${unknown.slice(0, 3).join(", ")}.`);
}

/** An embedding (V, E) and then Wx (E, N) is one table (V, N): the same network without it. */
function behindEmbedding(Wx, embedding, V, N) {
  if (!embedding) return Wx;
  const E = embedding.shape[1];
  const table = new Float32Array(V * N);
  for (let v = 0; v < V; v++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let e = 0; e < E; e++) sum += embedding.values[v * E + e] * Wx[e * N + n];
      table[v * N + n] = sum;
    }
  }
  return table;
}

function checkCell(cell) {
  if (!Object.hasOwn(GATES, cell)) throw new InputError(`its cell is “${cell}”, which this page does not know.`);
}

/** Throw unless a model is one that the engine can train, with all weights there and finite. */
function check({ cell, layers, units, tokens, weights }) {
  checkCell(cell);
  if (!(layers >= 1 && layers <= MOST_LAYERS && units >= 1 && units <= MOST_UNITS)) {
    throw new InputError(`it has ${layers} layers of ${units} units; this page takes ${MOST_LAYERS} of ${MOST_UNITS}.`);
  }
  if (new Set(tokens).size < tokens.length) throw new InputError("a character stands twice in its vocabulary.");
  const shapes = weightShapes({ cell, layers, units, tokens: tokens.length });
  checkNames(weights, shapes.map(([name]) => name));
  for (const [name, sides] of shapes) {
    if (weights[name]?.length !== sizeOf(sides)) throw new RangeError(name);
    if (!weights[name].every(Number.isFinite)) {
      throw new InputError("its weights are infinite or not a number, so there is nothing left to train.");
    }
  }
}
