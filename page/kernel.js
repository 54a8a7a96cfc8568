"use strict";
/* The arithmetic of the pages, two times: kernel.wasm, which four numbers at a time make fast, and
   the same in JavaScript, for a browser in which WebAssembly is switched off.

   Both give the same numbers, bit by bit. A kernel is {name, memory, functions…}: `memory` is one
   array for all that a network needs, and an array is named by the index at which it begins. What
   each function does is said in kernel.c; the order of every sum is the same here. */

const PANEL = 8; // columns that are multiplied together
const STRIP = 32; // the same where the left matrix is one row
const RESERVED = 65536; // bytes at the beginning of the memory that belong to the compiled code
const PAGE_BYTES = 65536; // WebAssembly's memory grows in pages of this size

/** Of each function: "a" an array, "n" a number. */
const FUNCTIONS = {
  pack: "aannnn",
  multiply: "aaannnnn",
  multiply_row: "aaann",
  look_up: "aaaann",
  add_rows: "aaann",
  spread: "aann",
  add_up: "aann",
  rnn_forward: "aann",
  rnn_backward: "aaann",
  lstm_forward: "aaaaann",
  lstm_backward: "aaaaaann",
  cifg_forward: "aaaaann",
  cifg_backward: "aaaaaann",
  gru_forward: "aaaann",
  gru_backward: "aaaaaann",
  softmax: "aaann",
  loss_gradient: "aann",
  squares: "an",
  scale: "ann",
  cut: "ann",
  add: "aan",
  sgd: "aann",
  rmsprop: "aaann",
  adam: "aaaannnn",
};

/** Return how many numbers B (K, N) takes in panels. */
function packedSize(K, N) {
  return K * PANEL * Math.ceil(N / PANEL);
}

/** Return how many numbers B (K, N) takes in strips. */
function stripsSize(K, N) {
  return K * STRIP * Math.ceil(N / STRIP);
}

/** Return a kernel of kernel.wasm with a memory of `size` numbers.
 *
 * Throws what the browser throws where WebAssembly, its SIMD or so much memory is not to be had.
 */
async function compiledKernel(bytes, size) {
  const pages = Math.ceil((RESERVED + 4 * size) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages });
  const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
  const kernel = { name: "WebAssembly", memory: new Float32Array(memory.buffer, RESERVED, size) };
  for (const [name, kinds] of Object.entries(FUNCTIONS)) {
    kernel[name] = withAddresses(instance.exports[name], kinds);
  }
  return kernel;
}

/** Return a compiled function that takes indices of the memory, where it has addresses in bytes. */
function withAddresses(compiled, kinds) {
  const isArray = Array.from(kinds, (kind) => kind === "a");
  return (...values) => {
    for (let k = 0; k < values.length; k++) if (isArray[k]) values[k] = RESERVED + 4 * values[k];
    return compiled(...values);
  };
}

/** Return the kernel in JavaScript. Its numbers have 32 bits as those of kernel.wasm, or 64. */
function plainKernel(size, bits = 32) {
  return bits === 32
    ? { name: "JavaScript", ...plainFunctions(new Float32Array(size), Math.fround, exp32(), tanh32) }
    : { name: "64 bits", ...plainFunctions(new Float64Array(size), (x) => x, Math.exp, Math.tanh) };
}

/** Return e^x in 32 bits as kernel.c computes it. */
function exp32() {
  const f = Math.fround;
  // 2^n from its exponent's bits, for n from -126 to 127.
  const powers = Float32Array.from({ length: 254 }, (_, k) => 2 ** (k - 126));
  const coefficients = [
    1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
    5.0000001201e-1,
  ];
  const [p0, p1, p2, p3, p4, p5] = coefficients.map(f);
  const [perLog, high, low] = [f(1.44269504), f(0.693359375), f(-2.1219444e-4)];
  return (value) => {
    let x = value < -87 ? -87 : value;
    x = x > 88 ? 88 : x;
    const n = Math.floor(f(f(x * perLog) + 0.5));
    let r = f(x - f(n * high));
    r = f(r - f(n * low));
    let p = f(f(p0 * r) + p1);
    p = f(f(p * r) + p2);
    p = f(f(p * r) + p3);
    p = f(f(p * r) + p4);
    p = f(f(p * r) + p5);
    p = f(f(p * f(r * r)) + r);
    return f(f(p + 1) * powers[(n | 0) + 126]);
  };
}

/** The coefficients of tanh in kernel.c, from the highest power down. */
const TANH_ABOVE = Float32Array.of(
  -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-8,
  1.48572235717979e-5, 6.37261928935436e-4, 4.89352455891786e-3,
);
const TANH_BELOW = Float32Array.of(
  1.19825839466702e-6, 1.18534705686654e-4, 2.268434632439e-3, 4.89352518554385e-3,
);

/** Return tanh x in 32 bits as kernel.c computes it. */
function tanh32(value) {
  const f = Math.fround;
  let x = value < -9 ? -9 : value;
  x = x > 9 ? 9 : x;
  const s = f(x * x);
  let p = TANH_ABOVE[0];
  for (let k = 1; k < 7; k++) p = f(f(p * s) + TANH_ABOVE[k]);
  let q = TANH_BELOW[0];
  for (let k = 1; k < 4; k++) q = f(f(q * s) + TANH_BELOW[k]);
  return f(f(x * p) / q);
}

/** Return the functions of a kernel, on a memory, with what rounds a number to its precision. */
function plainFunctions(memory, f, exp, tanh) {
  return {
    memory,
    ...products(memory, f),
    ...rowProduct(memory, f),
    ...rows(memory, f),
    ...cells(memory, f, tanh),
    ...losses(memory, f, exp),
    ...optimizers(memory, f),
  };
}

function products(m, f) {
  return {
    pack(packed, B, K, N, down, right) {
      for (let n = 0; n < N; n += PANEL) {
        for (let k = 0; k < K; k++) {
          for (let j = 0; j < PANEL; j++) {
            m[packed++] = n + j < N ? m[B + k * down + (n + j) * right] : 0;
          }
        }
      }
    },
    multiply(C, A, packed, M, K, N, down, right) {
      for (let n = 0; n < N; n += 4) {
        const panel = packed + (n - (n % PANEL)) * K + (n % PANEL);
        for (let row = 0; row < M; row++) fourColumns(C + row * N + n, A + row * down, panel, N - n);
      }

      /** Four entries of C side by side, as far as the row goes. */
      function fourColumns(c, a, panel, left) {
        let s0 = m[c];
        let s1 = left > 1 ? m[c + 1] : 0;
        let s2 = left > 2 ? m[c + 2] : 0;
        let s3 = left > 3 ? m[c + 3] : 0;
        for (let k = 0, b = panel; k < K; k++, b += PANEL, a += right) {
          const x = m[a];
          s0 = f(s0 + f(x * m[b]));
          s1 = f(s1 + f(x * m[b + 1]));
          s2 = f(s2 + f(x * m[b + 2]));
          s3 = f(s3 + f(x * m[b + 3]));
        }
        m[c] = s0;
        if (left > 1) m[c + 1] = s1;
        if (left > 2) m[c + 2] = s2;
        if (left > 3) m[c + 3] = s3;
      }
    },
  };
}

/** The product with one row. */
function rowProduct(m, f) {
  return {
    multiply_row(c, a, strips, K, N) {
      for (let n = 0; n < N; n++) {
        let sum = m[c + n];
        for (let k = 0, b = strips + (n - (n % STRIP)) * K + (n % STRIP); k < K; k++, b += STRIP) {
          sum = f(sum + f(m[a + k] * m[b]));
        }
        m[c + n] = sum;
      }
    },
  };
}

function rows(m, f) {
  return {
    look_up(z, W, b, ids, M, N) {
      for (let row = 0; row < M; row++, z += N) {
        const from = W + m[ids + row] * N;
        for (let n = 0; n < N; n++) m[z + n] = f(m[from + n] + m[b + n]);
      }
    },
    add_rows(dW, dz, ids, M, N) {
      for (let row = 0; row < M; row++, dz += N) {
        const to = dW + m[ids + row] * N;
        for (let n = 0; n < N; n++) m[to + n] = f(m[to + n] + m[dz + n]);
      }
    },
    spread(z, b, M, N) {
      for (let row = 0; row < M; row++) m.copyWithin(z + row * N, b, b + N);
    },
    add_up(db, dz, M, N) {
      for (let row = 0; row < M; row++, dz += N) {
        for (let n = 0; n < N; n++) m[db + n] = f(m[db + n] + m[dz + n]);
      }
    },
  };
}

function cells(m, f, tanh) {
  const sigmoid = (z) => f(f(0.5 * tanh(f(0.5 * z))) + 0.5);
  // 1 - x², and x (1 - x) after a first factor: the slopes of tanh and σ by their values.
  const below = (x) => f(1 - f(x * x));
  const sloped = (d, x) => f(f(d * x) * f(1 - x));
  return {
    rnn_forward(z, h, M, H) {
      for (let k = 0; k < M * H; k++) m[h + k] = m[z + k] = tanh(m[z + k]);
    },
    rnn_backward(dz, dh, z, M, H) {
      for (let k = 0; k < M * H; k++) m[dz + k] = f(m[dh + k] * below(m[z + k]));
    },
    lstm_forward(z, cOld, c, tc, h, M, H) {
      for (let row = 0; row < M; row++, z += 4 * H, cOld += H, c += H, tc += H, h += H) {
        for (let j = 0; j < 4 * H; j++) {
          m[z + j] = j >= 2 * H && j < 3 * H ? tanh(m[z + j]) : sigmoid(m[z + j]);
        }
        for (let j = 0; j < H; j++) {
          m[c + j] = f(f(m[z + H + j] * m[cOld + j]) + f(m[z + j] * m[z + 2 * H + j]));
          m[tc + j] = tanh(m[c + j]);
          m[h + j] = f(m[z + 3 * H + j] * m[tc + j]);
        }
      }
    },
    lstm_backward(dz, dh, dc, z, cOld, tc, M, H) {
      for (let row = 0; row < M; row++) {
        for (let j = 0; j < H; j++) {
          const [i, g, o] = [m[z + j], m[z + 2 * H + j], m[z + 3 * H + j]];
          const forget = m[z + H + j];
          const d = f(m[dc + j] + f(f(m[dh + j] * o) * below(m[tc + j])));
          m[dz + j] = sloped(f(d * g), i);
          m[dz + H + j] = sloped(f(d * m[cOld + j]), forget);
          m[dz + 2 * H + j] = f(f(d * i) * below(g));
          m[dz + 3 * H + j] = sloped(f(m[dh + j] * m[tc + j]), o);
          m[dc + j] = f(d * forget);
        }
        [z, dz, cOld, dc, tc, dh] = [z + 4 * H, dz + 4 * H, cOld + H, dc + H, tc + H, dh + H];
      }
    },
    cifg_forward(z, cOld, c, tc, h, M, H) {
      for (let row = 0; row < M; row++, z += 3 * H, cOld += H, c += H, tc += H, h += H) {
        for (let j = 0; j < 3 * H; j++) {
          m[z + j] = j >= H && j < 2 * H ? tanh(m[z + j]) : sigmoid(m[z + j]);
        }
        for (let j = 0; j < H; j++) {
          m[c + j] = f(f(f(1 - m[z + j]) * m[cOld + j]) + f(m[z + j] * m[z + H + j]));
          m[tc + j] = tanh(m[c + j]);
          m[h + j] = f(m[z + 2 * H + j] * m[tc + j]);
        }
      }
    },
    cifg_backward(dz, dh, dc, z, cOld, tc, M, H) {
      for (let row = 0; row < M; row++) {
        for (let j = 0; j < H; j++) {
          const [i, g, o] = [m[z + j], m[z + H + j], m[z + 2 * H + j]];
          const d = f(m[dc + j] + f(f(m[dh + j] * o) * below(m[tc + j])));
          m[dz + j] = sloped(f(f(d * g) - f(d * m[cOld + j])), i);
          m[dz + H + j] = f(f(d * i) * below(g));
          m[dz + 2 * H + j] = sloped(f(m[dh + j] * m[tc + j]), o);
          m[dc + j] = f(d * f(1 - i));
        }
        [z, dz, cOld, dc, tc, dh] = [z + 3 * H, dz + 3 * H, cOld + H, dc + H, tc + H, dh + H];
      }
    },
    gru_forward(z, a, hOld, h, M, H) {
      for (let row = 0; row < M; row++, z += 3 * H, a += 3 * H, hOld += H, h += H) {
        for (let j = 0; j < 2 * H; j++) m[z + j] = sigmoid(f(m[z + j] + m[a + j]));
        for (let j = 0; j < H; j++) {
          const u = m[z + H + j];
          const n = tanh(f(m[z + 2 * H + j] + f(m[z + j] * m[a + 2 * H + j])));
          m[z + 2 * H + j] = n;
          m[h + j] = f(f(f(1 - u) * n) + f(u * m[hOld + j]));
        }
      }
    },
    gru_backward(dz, da, dh, z, a, hOld, M, H) {
      for (let row = 0; row < M; row++) {
        for (let j = 0; j < H; j++) {
          const [r, u, n] = [m[z + j], m[z + H + j], m[z + 2 * H + j]];
          const dn = f(f(m[dh + j] * f(1 - u)) * below(n));
          m[da + j] = m[dz + j] = sloped(f(dn * m[a + 2 * H + j]), r);
          m[da + H + j] = m[dz + H + j] = sloped(f(m[dh + j] * f(m[hOld + j] - n)), u);
          m[dz + 2 * H + j] = dn;
          m[da + 2 * H + j] = f(dn * r);
          m[dh + j] = f(m[dh + j] * u);
        }
        [z, a, dz, da, hOld, dh] = [z + 3 * H, a + 3 * H, dz + 3 * H, da + 3 * H, hOld + H, dh + H];
      }
    },
  };
}

function losses(m, f, exp) {
  return {
    softmax(logits, targets, said, M, V) {
      for (let row = 0; row < M; row++, logits += V, said += 2) {
        let largest = m[logits];
        for (let v = 1; v < V; v++) largest = m[logits + v] > largest ? m[logits + v] : largest;
        m[said + 1] = f(m[logits + m[targets + row]] - largest);
        let sum = 0;
        for (let v = 0; v < V; v++) {
          const power = exp(f(m[logits + v] - largest));
          m[logits + v] = power;
          sum = f(sum + power);
        }
        for (let v = 0; v < V; v++) m[logits + v] = f(m[logits + v] / sum);
        m[said] = sum;
      }
    },
    loss_gradient(p, targets, M, V) {
      for (let row = 0; row < M; row++, p += V) {
        m[p + m[targets + row]] = f(m[p + m[targets + row]] - 1);
        for (let v = 0; v < V; v++) m[p + v] = f(m[p + v] / M);
      }
    },
  };
}

function optimizers(m, f) {
  const [epsilon, beta1, rest1] = [f(1e-8), f(0.9), f(0.1)];
  const [beta2, rest2, rho, restRho] = [f(0.999), f(0.001), f(0.99), f(0.01)];
  return {
    squares(g, n) {
      let [s0, s1, s2, s3, k] = [0, 0, 0, 0, 0];
      for (; k + 4 <= n; k += 4) {
        s0 += m[g + k] * m[g + k];
        s1 += m[g + k + 1] * m[g + k + 1];
        s2 += m[g + k + 2] * m[g + k + 2];
        s3 += m[g + k + 3] * m[g + k + 3];
      }
      for (; k < n; k++) s0 += m[g + k] * m[g + k];
      return s0 + s1 + s2 + s3;
    },
    scale(g, n, factor) {
      const by = f(factor);
      for (let k = 0; k < n; k++) m[g + k] = f(m[g + k] * by);
    },
    cut(g, n, limit) {
      const most = f(limit);
      for (let k = 0; k < n; k++) {
        const x = m[g + k] < -most ? -most : m[g + k];
        m[g + k] = x > most ? most : x;
      }
    },
    add(a, b, n) {
      for (let k = 0; k < n; k++) m[a + k] = f(m[a + k] + m[b + k]);
    },
    sgd(w, g, n, rate) {
      const eta = f(rate);
      for (let k = 0; k < n; k++) m[w + k] = f(m[w + k] - f(eta * m[g + k]));
    },
    rmsprop(w, g, s, n, rate) {
      const eta = f(rate);
      for (let k = 0; k < n; k++) {
        const x = m[g + k];
        m[s + k] = f(f(rho * m[s + k]) + f(restRho * f(x * x)));
        m[w + k] = f(m[w + k] - f(eta * f(x / f(f(Math.sqrt(m[s + k])) + epsilon))));
      }
    },
    adam(w, g, mean, s, n, rate, first, second) {
      const [eta, c1, c2] = [f(rate), f(first), f(second)];
      for (let k = 0; k < n; k++) {
        const x = m[g + k];
        m[mean + k] = f(f(beta1 * m[mean + k]) + f(rest1 * x));
        m[s + k] = f(f(beta2 * m[s + k]) + f(rest2 * f(x * x)));
        const root = f(Math.sqrt(f(m[s + k] / c2)));
        m[w + k] = f(m[w + k] - f(eta * f(f(m[mean + k] / c1) / f(root + epsilon))));
      }
    },
  };
}
