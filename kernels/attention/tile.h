// A few rows against a piece of keys: scores, the running softmax, and the weighted sum of values. Included once per instruction
// set (see ../cpu/every_isa.h), so there is no include guard.
namespace DOVETAIL_ISA {

using namespace dovetail;

// What one pass holds: with 16 registers, fewer.
constexpr int MOST = W == 16 ? 4 : 2;     // rows
constexpr int COLUMNS = W == 16 ? 4 : 2;  // vectors of a value

// The largest of a piece's scores and of `top`.
DOVETAIL_INLINE float largest(const float* scores, float top) {
  Vec most = splat(top);
  for (int j = 0; j < PIECE; j += W) {
    const Vec some = load(scores + j);
    const Words more = (Words)(some > most);
    most = (Vec)(((Words)some & more) | ((Words)most & ~more));
  }
#if DOVETAIL_WIDTH == 16
  return _mm512_reduce_max_ps((__m512)most);
#else
  float lanes[W];
  store(lanes, most);
  for (int i = 0; i < W; ++i) top = lanes[i] > top ? lanes[i] : top;
  return top;
#endif
}

template <int R, int C>
DOVETAIL_INLINE void add_values(const Rows& rows, const float* const* v, int keys, int64_t d, float (*weights)[PIECE],
                                const float* keep) {
  Vec acc[R][C];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) acc[r][c] = load(rows.sum[r] + d + c * W) * splat(keep[r]);
  for (int j = 0; j < keys; ++j) {
    Vec value[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) value[c] = load(v[j] + d + c * W);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) acc[r][c] += value[c] * splat(weights[r][j]);
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) store(rows.sum[r] + d + c * W, acc[r][c]);
}

// Scores, key by key: a vector runs along the width.
template <int R>
DOVETAIL_INLINE void score_by_keys(const Rows& rows, const float* const* k, int keys, int64_t width, float scale,
                                   float (*weights)[PIECE]) {
  const int64_t whole = width - width % W;
  for (int j = 0; j < keys; j += 4) {
    const float* key[4];
    for (int i = 0; i < 4; ++i) key[i] = k[j + i < keys ? j + i : keys - 1];
    Vec dots[R][4] = {};
    for (int64_t d = 0; d < whole; d += W) {
      Vec query[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) query[r] = load(rows.q[r] + d);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const Vec part = load(key[i] + d);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) dots[r][i] += query[r] * part;
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      float* scores = weights[r] + j;
      sum_four(dots[r], scores);
      for (int i = 0; i < 4; ++i) {
        for (int64_t d = whole; d < width; ++d) scores[i] += rows.q[r][d] * key[i][d];
        scores[i] *= scale;
      }
    }
  }
}

#if DOVETAIL_WIDTH == 16
// Sixteen floats of sixteen keys, transposed.
DOVETAIL_INLINE void turn_square(const float* const* key, int64_t d, float* turned) {
  __m512 a[16], b[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    const __m512 even = _mm512_loadu_ps(key[i] + d), odd = _mm512_loadu_ps(key[i + 1] + d);
    a[i] = _mm512_unpacklo_ps(even, odd);
    a[i + 1] = _mm512_unpackhi_ps(even, odd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const __m512d low = _mm512_castps_pd(a[i + h]), high = _mm512_castps_pd(a[i + 2 + h]);
      b[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      b[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  // b[4 g + c]: of the keys 4 g to 4 g + 3, floats c, c + 4, c + 8 and c + 12, four lanes each.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512 low01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x44), high01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xee);
    const __m512 low23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x44), high23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xee);
    _mm512_storeu_ps(turned + c * PIECE, _mm512_shuffle_f32x4(low01, low23, 0x88));
    _mm512_storeu_ps(turned + (c + 4) * PIECE, _mm512_shuffle_f32x4(low01, low23, 0xdd));
    _mm512_storeu_ps(turned + (c + 8) * PIECE, _mm512_shuffle_f32x4(high01, high23, 0x88));
    _mm512_storeu_ps(turned + (c + 12) * PIECE, _mm512_shuffle_f32x4(high01, high23, 0xdd));
  }
}
#endif

// Keys as [width][PIECE], the last one in every place behind it.
static void transpose(const float* const* k, int keys, int64_t width, float* turned) {
  const float* key[PIECE];
  for (int j = 0; j < PIECE; ++j) key[j] = k[j < keys ? j : keys - 1];
#if DOVETAIL_WIDTH == 16
  for (int64_t d = 0; d < width; d += 16)
    for (int j = 0; j < PIECE; j += 16) turn_square(key + j, d, turned + d * PIECE + j);
#else
  for (int j = 0; j < PIECE; ++j)
    for (int64_t d = 0; d < width; ++d) turned[d * PIECE + j] = key[j][d];
#endif
}

// A vector of keys for each of R rows.
template <int R>
struct Block {
  Vec at[R] = {};
};

template <int R>
DOVETAIL_INLINE Block<R> operator+(const Block<R>& a, const Block<R>& b) {
  Block<R> both;
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) both.at[r] = a.at[r] + b.at[r];
  return both;
}

// What lane `lane` of the sums along the width holds in score_by_keys.
template <int R>
DOVETAIL_INLINE Block<R> lane_of(const float* const* q, const float* turned, int64_t width, int64_t lane) {
  Block<R> dots;
  for (int64_t d = lane; d < width; d += W) {
    const Vec key = load(turned + d * PIECE);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) dots.at[r] += splat(q[r][d]) * key;
  }
  return dots;
}

// sum_four, first half: the sum of the lanes `lane`, `lane` + 4, ...
template <int R>
DOVETAIL_INLINE Block<R> lanes_of(const float* const* q, const float* turned, int64_t width, int64_t lane) {
  const auto one = [&](int64_t l) __attribute__((always_inline)) { return lane_of<R>(q, turned, width, l); };
#if DOVETAIL_WIDTH == 16
  return (one(lane) + one(lane + 8)) + (one(lane + 4) + one(lane + 12));
#elif DOVETAIL_WIDTH == 8
  return one(lane) + one(lane + 4);
#else
  return one(lane);
#endif
}

// Scores from transposed keys, bit for bit those of score_by_keys where the width is whole vectors: a vector runs along the keys.
template <int R>
DOVETAIL_INLINE void score_turned(const Rows& rows, const float* turned, int64_t width, float scale,
                                  float (*weights)[PIECE]) {
  for (int j = 0; j < PIECE; j += W) {
    const auto part = [&](int64_t lane) __attribute__((always_inline)) { return lanes_of<R>(rows.q, turned + j, width, lane); };
#if DOVETAIL_WIDTH == 4
    const Block<R> dots = (part(0) + part(2)) + (part(1) + part(3));
#else
    const Block<R> dots = (part(0) + part(1)) + (part(2) + part(3));
#endif
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) store(weights[r] + j, dots.at[r] * scale);
  }
}

template <int R>
static void tile_of(const Rows& rows, const float* const* k, const float* const* v, const float* turned, int keys,
                    int64_t width, float scale, float softcap) {
  float weights[TILE][PIECE];
  const int64_t whole = width - width % W;
  if (turned == nullptr) {
    score_by_keys<R>(rows, k, keys, width, scale, weights);
  } else {
    score_turned<R>(rows, turned, width, scale, weights);
  }
  if (softcap != 0) {
    const Vec cap = splat(softcap), twice = splat(2.0f / softcap);
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < PIECE; j += W)
        store(weights[r] + j, cap - cap * 2.0f / (exponential(load(weights[r] + j) * twice) + 1.0f));
  }
  float keep[TILE];  // factor on what a row has summed so far
  for (int r = 0; r < R; ++r) {
    const int low = static_cast<int>(rows.low[r]), high = static_cast<int>(rows.high[r]);
    float top = rows.top[r];
    if (low == 0 && high == PIECE) {
      top = largest(weights[r], top);
    } else {
      for (int j = low; j < high; ++j) top = weights[r][j] > top ? weights[r][j] : top;
    }
    if (low >= high) {
      keep[r] = 1.0f;
      for (int j = 0; j < PIECE; ++j) weights[r][j] = 0.0f;
      continue;
    }
    for (int j = 0; j < low; ++j) weights[r][j] = 0.0f;
    for (int j = high; j < PIECE; ++j) weights[r][j] = 0.0f;
    for (int j = 0; j < PIECE; j += W) store(weights[r] + j, exponential(load(weights[r] + j) - splat(top)));
    for (int j = 0; j < low; ++j) weights[r][j] = 0.0f;
    for (int j = high; j < PIECE; ++j) weights[r][j] = 0.0f;
    Vec total = Vec{};
    for (int j = 0; j < PIECE; j += W) total += load(weights[r] + j);
    keep[r] = rows.total[r] == 0.0f ? 0.0f : std::exp(rows.top[r] - top);
    rows.total[r] = rows.total[r] * keep[r] + sum(total);
    rows.top[r] = top;
  }
  int64_t d = 0;
  for (; d + COLUMNS * W <= whole; d += COLUMNS * W) add_values<R, COLUMNS>(rows, v, keys, d, weights, keep);
  for (; d < whole; d += W) add_values<R, 1>(rows, v, keys, d, weights, keep);
  for (; d < width; ++d) {
    for (int r = 0; r < R; ++r) {
      float total = rows.sum[r][d] * keep[r];
      for (int j = 0; j < keys; ++j) total += v[j][d] * weights[r][j];
      rows.sum[r][d] = total;
    }
  }
}

static void run_tile(const Rows& rows, int count, const float* const* k, const float* const* v, const float* turned, int keys,
                     int64_t width, float scale, float softcap) {
  if (MOST < TILE && count > MOST) {
    Rows rest = rows;
    for (int r = MOST; r < TILE; ++r) {
      rest.q[r - MOST] = rows.q[r], rest.sum[r - MOST] = rows.sum[r];
      rest.low[r - MOST] = rows.low[r], rest.high[r - MOST] = rows.high[r];
    }
    rest.top += MOST, rest.total += MOST;
    run_tile(rest, count - MOST, k, v, turned, keys, width, scale, softcap);
    count = MOST;
  }
  if (count == 1) return tile_of<1>(rows, k, v, turned, keys, width, scale, softcap);
  if (count == 2) return tile_of<2>(rows, k, v, turned, keys, width, scale, softcap);
  if (count == 3) return tile_of<MOST == 4 ? 3 : 2>(rows, k, v, turned, keys, width, scale, softcap);
  tile_of<MOST>(rows, k, v, turned, keys, width, scale, softcap);
}

}  // namespace DOVETAIL_ISA
