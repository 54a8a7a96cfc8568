/* The arithmetic of the pages, for WebAssembly: 32-bit floats, four at a time.

   kernel.js has the same functions in JavaScript, and gives the same numbers, bit by bit: every sum
   is taken in the same order there, and no product is fused with a sum (-ffp-contract=off).

   build_kernel.sh makes kernel.wasm of it. Arrays are rows of numbers, row after row. Sizes in
   comments: rows, H units, G·H columns of gates, V tokens. */

typedef float four __attribute__((vector_size(16), aligned(4)));

#define EXPORT(name) __attribute__((export_name(#name)))
#define PANEL 8 /* columns that are multiplied together */
#define STRIP 32 /* the same where A has one row alone */

static inline four load(const float *at) { return *(const four *)at; }
static inline void store(float *at, four x) { *(four *)at = x; }
static inline four all(float x) { return (four){x, x, x, x}; }

// Products of matrices

/* Copy B (K, N) into panels of 8 columns, (panels, K, 8), with zeros where the last has fewer.

   A product reads a panel from one end to the other, so it is never far from the cache. B[k][n] lies
   at B[k * down + n * right]: the transpose of a matrix is the matrix with both exchanged. */
EXPORT(pack) void pack(float *packed, const float *B, int K, int N, int down, int right) {
  for (int n = 0; n < N; n += PANEL)
    for (int k = 0; k < K; k++)
      for (int j = 0; j < PANEL; j++)
        *packed++ = n + j < N ? B[k * down + (n + j) * right] : 0;
}

/* Add columns of a sum to a row of C, of which the last panel may have fewer than 8. */
static inline void take(float *C, four left, four right, int columns) {
  if (columns >= PANEL) {
    store(C, left);
    store(C + 4, right);
    return;
  }
  float sums[PANEL];
  store(sums, left);
  store(sums + 4, right);
  for (int j = 0; j < columns; j++) C[j] = sums[j];
}

/* Read a row of C, with zeros beyond its last column. */
static inline void give(const float *C, four *left, four *right, int columns) {
  if (columns >= PANEL) {
    *left = load(C);
    *right = load(C + 4);
    return;
  }
  float sums[PANEL] = {0};
  for (int j = 0; j < columns; j++) sums[j] = C[j];
  *left = load(sums);
  *right = load(sums + 4);
}

/* Four rows times one panel: eight registers of sums, so no addition waits for the one before. */
static void four_rows(float *C, const float *A, const float *panel, int K, int N, int columns,
                      int down, int right) {
  four s[8];
  for (int m = 0; m < 4; m++) give(C + m * N, &s[2 * m], &s[2 * m + 1], columns);
  for (int k = 0; k < K; k++, panel += PANEL, A += right) {
    four b0 = load(panel), b1 = load(panel + 4);
    four a0 = all(A[0]), a1 = all(A[down]), a2 = all(A[2 * down]), a3 = all(A[3 * down]);
    s[0] += a0 * b0;
    s[1] += a0 * b1;
    s[2] += a1 * b0;
    s[3] += a1 * b1;
    s[4] += a2 * b0;
    s[5] += a2 * b1;
    s[6] += a3 * b0;
    s[7] += a3 * b1;
  }
  for (int m = 0; m < 4; m++) take(C + m * N, s[2 * m], s[2 * m + 1], columns);
}

/* One row times one panel. */
static void one_row(float *C, const float *A, const float *panel, int K, int columns, int right) {
  four s0, s1;
  give(C, &s0, &s1, columns);
  for (int k = 0; k < K; k++, panel += PANEL, A += right) {
    four a = all(*A);
    s0 += a * load(panel);
    s1 += a * load(panel + 4);
  }
  take(C, s0, s1, columns);
}

/* One row times four whole panels that follow each other: again eight registers of sums. */
static void wide_row(float *C, const float *A, const float *panel, int K, int right) {
  const float *p0 = panel, *p1 = p0 + PANEL * K, *p2 = p1 + PANEL * K, *p3 = p2 + PANEL * K;
  four s[8];
  for (int j = 0; j < 8; j++) s[j] = load(C + 4 * j);
  for (int k = 0, at = 0; k < K; k++, at += PANEL, A += right) {
    four a = all(*A);
    s[0] += a * load(p0 + at);
    s[1] += a * load(p0 + at + 4);
    s[2] += a * load(p1 + at);
    s[3] += a * load(p1 + at + 4);
    s[4] += a * load(p2 + at);
    s[5] += a * load(p2 + at + 4);
    s[6] += a * load(p3 + at);
    s[7] += a * load(p3 + at + 4);
  }
  for (int j = 0; j < 8; j++) store(C + 4 * j, s[j]);
}

/* Add A B to C (M, N), for A (M, K), of which A[m][k] lies at A[m * down + k * right], and B (K, N)
   in panels. Each entry of C is a sum from k = 0 up, that begins with what C held. */
EXPORT(multiply) void multiply(float *C, const float *A, const float *packed, int M, int K, int N,
                               int down, int right) {
  int m = 0;
  if (M >= 4) {
    for (int n = 0; n < N; n += PANEL)
      for (m = 0; m + 4 <= M; m += 4)
        four_rows(C + m * N + n, A + m * down, packed + n * K, K, N, N - n, down, right);
  }
  for (; m < M; m++) {
    int n = 0;
    for (; n + 4 * PANEL <= N; n += 4 * PANEL)
      wide_row(C + m * N + n, A + m * down, packed + n * K, K, right);
    for (; n < N; n += PANEL)
      one_row(C + m * N + n, A + m * down, packed + n * K, K, N - n, right);
  }
}

/* Add a B to c (N), for a (K) and B (K, N) in strips of 32 columns, (strips, K, 32), of which the
   last is filled up with any numbers, and so is c. B is read once from one end to the other: it is
   too large for the nearer caches, so this is what takes the time. */
EXPORT(multiply_row) void multiply_row(float *c, const float *a, const float *strips, int K, int N) {
  for (int n = 0; n < N; n += STRIP, c += STRIP) {
    four s[8];
    for (int j = 0; j < 8; j++) s[j] = load(c + 4 * j);
    for (int k = 0; k < K; k++, strips += STRIP) {
      four x = all(a[k]);
      for (int j = 0; j < 8; j++) s[j] += x * load(strips + 4 * j);
    }
    for (int j = 0; j < 8; j++) store(c + 4 * j, s[j]);
  }
}

// Functions of one number

/* e^x, for x from -87 to 88: 2^n e^r with |r| ≤ ln 2 / 2, and a polynomial for e^r (Cephes). */
static inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  float n = __builtin_floorf(x * 1.44269504f + 0.5f);
  float r = x - n * 0.693359375f; // ln 2 in two parts, of which the first times n is exact
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r;
  union { int bits; float number; } power = {((int)n + 127) << 23}; // 2^n, by its exponent
  return (p + 1.0f) * power.number;
}

/* tanh x: a quotient of two polynomials, within a few last bits (Eigen's). Beyond ±9 it is ±1. */
#define RETURN_TANGENT(numbers, x)                             \
  numbers s = x * x;                                           \
  numbers p = s * -2.76076847742355e-16f + 2.00018790482477e-13f; \
  p = p * s + -8.60467152213735e-11f;                          \
  p = p * s + 5.12229709037114e-08f;                           \
  p = p * s + 1.48572235717979e-05f;                           \
  p = p * s + 6.37261928935436e-04f;                           \
  p = p * s + 4.89352455891786e-03f;                           \
  numbers q = s * 1.19825839466702e-06f + 1.18534705686654e-04f; \
  q = q * s + 2.26843463243900e-03f;                           \
  q = q * s + 4.89352518554385e-03f;                           \
  return x * p / q

static inline float tangent(float x) {
  x = x < -9.0f ? -9.0f : x;
  x = x > 9.0f ? 9.0f : x;
  RETURN_TANGENT(float, x);
}

static inline float sigmoid(float z) { return 0.5f * tangent(0.5f * z) + 0.5f; }

/* Of four numbers, two times as fast: pmax and pmin are one instruction of the processor each, and
   the compiler takes max and min, which are many. */
static inline four tangents(four x) {
  x = __builtin_wasm_pmax_f32x4(x, all(-9.0f));
  x = __builtin_wasm_pmin_f32x4(x, all(9.0f));
  RETURN_TANGENT(four, x);
}

static inline four sigmoids(four z) { return 0.5f * tangents(0.5f * z) + 0.5f; }

// The input of the first layer: one-hot vectors, so that a product with W is a row of W

/* Write row ids[m] of W (V, N), plus b (N), into row m of z (M, N). */
EXPORT(look_up) void look_up(float *z, const float *W, const float *b, const float *ids, int M,
                             int N) {
  for (int m = 0; m < M; m++, z += N) {
    const float *row = W + (int)ids[m] * N;
    for (int n = 0; n < N; n++) z[n] = row[n] + b[n];
  }
}

/* Add row m of dz (M, N) to row ids[m] of dW (V, N). */
EXPORT(add_rows) void add_rows(float *dW, const float *dz, const float *ids, int M, int N) {
  for (int m = 0; m < M; m++, dz += N) {
    float *row = dW + (int)ids[m] * N;
    for (int n = 0; n < N; n++) row[n] = row[n] + dz[n];
  }
}

/* Write b (N) into every row of z (M, N). */
EXPORT(spread) void spread(float *z, const float *b, int M, int N) {
  for (int m = 0; m < M; m++, z += N)
    for (int n = 0; n < N; n++) z[n] = b[n];
}

/* Add every row of dz (M, N) to db (N). */
EXPORT(add_up) void add_up(float *db, const float *dz, int M, int N) {
  for (int m = 0; m < M; m++, dz += N)
    for (int n = 0; n < N; n++) db[n] = db[n] + dz[n];
}

// Cells, one step for M sequences: z becomes the values of the gates, which the way back needs

EXPORT(rnn_forward) void rnn_forward(float *z, float *h, int M, int H) {
  for (int k = 0; k < M * H; k++) h[k] = z[k] = tangent(z[k]);
}

EXPORT(rnn_backward) void rnn_backward(float *dz, const float *dh, const float *z, int M, int H) {
  for (int k = 0; k < M * H; k++) dz[k] = dh[k] * (1.0f - z[k] * z[k]);
}

/* Four units of lstm_forward. */
static inline void four_units(float *z, const float *c_old, float *c, float *tc, float *h, int H) {
  four i = sigmoids(load(z)), f = sigmoids(load(z + H));
  four g = tangents(load(z + 2 * H)), o = sigmoids(load(z + 3 * H));
  four sum = f * load(c_old) + i * g, t = tangents(sum);
  store(z, i);
  store(z + H, f);
  store(z + 2 * H, g);
  store(z + 3 * H, o);
  store(c, sum);
  store(tc, t);
  store(h, o * t);
}

/* z (M, 4H): i, f, g, o. c = f c_old + i g, h = o tanh c; tc is tanh c. */
EXPORT(lstm_forward) void lstm_forward(float *z, const float *c_old, float *c, float *tc, float *h,
                                       int M, int H) {
  for (int m = 0; m < M; m++, z += 4 * H, c_old += H, c += H, tc += H, h += H) {
    int j = 0;
    for (; j + 4 <= H; j += 4) four_units(z + j, c_old + j, c + j, tc + j, h + j, H);
    for (; j < H; j++) {
      for (int gate = 0; gate < 4; gate++)
        z[gate * H + j] = gate == 2 ? tangent(z[gate * H + j]) : sigmoid(z[gate * H + j]);
      c[j] = z[H + j] * c_old[j] + z[j] * z[2 * H + j];
      tc[j] = tangent(c[j]);
      h[j] = z[3 * H + j] * tc[j];
    }
  }
}

/* dc is the gradient of c from later steps, and becomes that of c_old. */
EXPORT(lstm_backward) void lstm_backward(float *dz, const float *dh, float *dc, const float *z,
                                         const float *c_old, const float *tc, int M, int H) {
  for (int m = 0; m < M; m++, z += 4 * H, dz += 4 * H, c_old += H, dc += H, tc += H, dh += H) {
    for (int j = 0; j < H; j++) {
      float i = z[j], f = z[H + j], g = z[2 * H + j], o = z[3 * H + j];
      float d = dc[j] + dh[j] * o * (1.0f - tc[j] * tc[j]);
      dz[j] = d * g * i * (1.0f - i);
      dz[H + j] = d * c_old[j] * f * (1.0f - f);
      dz[2 * H + j] = d * i * (1.0f - g * g);
      dz[3 * H + j] = dh[j] * tc[j] * o * (1.0f - o);
      dc[j] = d * f;
    }
  }
}

/* z (M, 3H): i, g, o, with f = 1 - i. */
EXPORT(cifg_forward) void cifg_forward(float *z, const float *c_old, float *c, float *tc, float *h,
                                       int M, int H) {
  for (int m = 0; m < M; m++, z += 3 * H, c_old += H, c += H, tc += H, h += H) {
    for (int j = 0; j < H; j++) z[j] = sigmoid(z[j]);
    for (int j = H; j < 2 * H; j++) z[j] = tangent(z[j]);
    for (int j = 2 * H; j < 3 * H; j++) z[j] = sigmoid(z[j]);
    for (int j = 0; j < H; j++) {
      c[j] = (1.0f - z[j]) * c_old[j] + z[j] * z[H + j];
      tc[j] = tangent(c[j]);
      h[j] = z[2 * H + j] * tc[j];
    }
  }
}

EXPORT(cifg_backward) void cifg_backward(float *dz, const float *dh, float *dc, const float *z,
                                         const float *c_old, const float *tc, int M, int H) {
  for (int m = 0; m < M; m++, z += 3 * H, dz += 3 * H, c_old += H, dc += H, tc += H, dh += H) {
    for (int j = 0; j < H; j++) {
      float i = z[j], g = z[H + j], o = z[2 * H + j];
      float d = dc[j] + dh[j] * o * (1.0f - tc[j] * tc[j]);
      dz[j] = (d * g - d * c_old[j]) * i * (1.0f - i);
      dz[H + j] = d * i * (1.0f - g * g);
      dz[2 * H + j] = dh[j] * tc[j] * o * (1.0f - o);
      dc[j] = d * (1.0f - i);
    }
  }
}

/* z (M, 3H) holds what r, u and n read of the input, a (M, 3H) what they read of h_old, with n's
   second bias in it. n = tanh(z + r a), h = (1 - u) n + u h_old, as in PyTorch. */
EXPORT(gru_forward) void gru_forward(float *z, const float *a, const float *h_old, float *h, int M,
                                     int H) {
  for (int m = 0; m < M; m++, z += 3 * H, a += 3 * H, h_old += H, h += H) {
    for (int j = 0; j < 2 * H; j++) z[j] = sigmoid(z[j] + a[j]);
    for (int j = 0; j < H; j++) {
      float u = z[H + j], n = tangent(z[2 * H + j] + z[j] * a[2 * H + j]);
      z[2 * H + j] = n;
      h[j] = (1.0f - u) * n + u * h_old[j];
    }
  }
}

/* da (M, 3H) is the gradient of a. dh becomes the share of it that h_old has through u alone. */
EXPORT(gru_backward) void gru_backward(float *dz, float *da, float *dh, const float *z,
                                       const float *a, const float *h_old, int M, int H) {
  for (int m = 0; m < M; m++, z += 3 * H, a += 3 * H, dz += 3 * H, da += 3 * H, h_old += H, dh += H) {
    for (int j = 0; j < H; j++) {
      float r = z[j], u = z[H + j], n = z[2 * H + j];
      float dn = dh[j] * (1.0f - u) * (1.0f - n * n);
      da[j] = dz[j] = dn * a[2 * H + j] * r * (1.0f - r);
      da[H + j] = dz[H + j] = dh[j] * (h_old[j] - n) * u * (1.0f - u);
      dz[2 * H + j] = dn;
      da[2 * H + j] = dn * r;
      dh[j] = dh[j] * u;
    }
  }
}

// The loss

/* Turn logits (M, V) into probabilities. `said` (M, 2) gets, for each row, the sum of the powers
   and the logit of the target below the largest: their logarithm and difference are -ln p. */
EXPORT(softmax) void softmax(float *logits, const float *targets, float *said, int M, int V) {
  for (int m = 0; m < M; m++, logits += V, said += 2) {
    float largest = logits[0], sum = 0;
    for (int v = 1; v < V; v++) largest = logits[v] > largest ? logits[v] : largest;
    said[1] = logits[(int)targets[m]] - largest;
    for (int v = 0; v < V; v++) logits[v] = exponential(logits[v] - largest);
    for (int v = 0; v < V; v++) sum = sum + logits[v];
    for (int v = 0; v < V; v++) logits[v] = logits[v] / sum;
    said[0] = sum;
  }
}

/* Turn probabilities (M, V) into the gradient of the mean loss by the logits. */
EXPORT(loss_gradient) void loss_gradient(float *p, const float *targets, int M, int V) {
  for (int m = 0; m < M; m++, p += V) {
    p[(int)targets[m]] = p[(int)targets[m]] - 1.0f;
    for (int v = 0; v < V; v++) p[v] = p[v] / (float)M;
  }
}

// Clipping and optimizers, over all weights as one row of n numbers

/* The sum of squares, in 64 bits: four sums side by side, and then their sum. */
EXPORT(squares) double squares(const float *g, int n) {
  double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  int k = 0;
  for (; k + 4 <= n; k += 4) {
    s0 += (double)g[k] * g[k];
    s1 += (double)g[k + 1] * g[k + 1];
    s2 += (double)g[k + 2] * g[k + 2];
    s3 += (double)g[k + 3] * g[k + 3];
  }
  for (; k < n; k++) s0 += (double)g[k] * g[k];
  return s0 + s1 + s2 + s3;
}

EXPORT(scale) void scale(float *g, int n, float factor) {
  for (int k = 0; k < n; k++) g[k] = g[k] * factor;
}

EXPORT(cut) void cut(float *g, int n, float limit) {
  for (int k = 0; k < n; k++) {
    float x = g[k] < -limit ? -limit : g[k];
    g[k] = x > limit ? limit : x;
  }
}

EXPORT(add) void add(float *a, const float *b, int n) {
  for (int k = 0; k < n; k++) a[k] = a[k] + b[k];
}

EXPORT(sgd) void sgd(float *w, const float *g, int n, float rate) {
  for (int k = 0; k < n; k++) w[k] = w[k] - rate * g[k];
}

EXPORT(rmsprop) void rmsprop(float *w, const float *g, float *s, int n, float rate) {
  for (int k = 0; k < n; k++) {
    s[k] = 0.99f * s[k] + 0.01f * (g[k] * g[k]);
    w[k] = w[k] - rate * (g[k] / (__builtin_sqrtf(s[k]) + 1e-8f));
  }
}

/* first and second are 1 - β₁ᵗ and 1 - β₂ᵗ at step t. */
EXPORT(adam) void adam(float *w, const float *g, float *m, float *s, int n, float rate, float first,
                       float second) {
  for (int k = 0; k < n; k++) {
    m[k] = 0.9f * m[k] + 0.1f * g[k];
    s[k] = 0.999f * s[k] + 0.001f * (g[k] * g[k]);
    w[k] = w[k] - rate * (m[k] / first / (__builtin_sqrtf(s[k] / second) + 1e-8f));
  }
}
