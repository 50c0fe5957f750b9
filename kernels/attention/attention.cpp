// Attention of the last few rows of each sequence over the paged cache, in place: no key or value is copied.
//
// One task is a sequence and a key head. It walks over the keys in pieces of 64 (their block table looked up once), and
// for all rows that share the key head computes scores, the running softmax and the weighted sum of values. Positions that
// a row may not see get weight 0; slots that the sequence does not own are never read.
#ifndef DOVETAIL_ISA

#include "attention.h"

#include "../cpu/exports.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace dovetail {

constexpr int PIECE = 64;  // keys at a time: with 64 floats each, keys and values are 32 KiB
constexpr int TILE = 4;    // rows at a time
constexpr int FEW_ROWS = 32;  // of a sequence, see native.py

// Some rows' running softmax: `total` is the sum of exp(score - top), `sum` the values weighted with it.
struct Rows {
  const float* q[TILE];
  float* sum[TILE];
  float* top;
  float* total;
  int64_t low[TILE], high[TILE];  // of this piece, which keys each row sees
};

}  // namespace dovetail

#define DOVETAIL_SOURCE "../attention/attention.cpp"
#include "../cpu/every_isa.h"

namespace dovetail {
namespace {

void run_head(void* context, int64_t index) {
  const Attention& a = *static_cast<const Attention*>(context);
  const int64_t* sequence = a.sequences + 4 * (index / a.kv_heads);
  const int64_t head = index % a.kv_heads, group = a.heads / a.kv_heads;
  const int64_t* table = a.tables + sequence[0] * a.table_width;
  const int64_t first_row = sequence[1], queries = sequence[2], end = sequence[3], rows = queries * group;
  static thread_local std::vector<float> room;
  room.assign(rows * (a.width + 2), 0.0f);
  float* sums = room.data();
  float* tops = sums + rows * a.width;
  float* totals = tops + rows;
  std::fill(tops, tops + rows, -std::numeric_limits<float>::infinity());
  const auto run = DOVETAIL_PICK(run_tile);
  // Row r is query r / group (rows of one query together); query i sits at position end - queries + i.
  // Pieces begin at multiples of their length: a row's sums do not depend on which rows come with it.
  const int64_t start = a.window > 0 ? std::max<int64_t>(0, end - queries + 1 - a.window) / PIECE * PIECE : 0;
  for (int64_t from = start; from < end; from += PIECE) {
    const int keys = static_cast<int>(std::min<int64_t>(PIECE, end - from));
    const float* k[PIECE];
    const float* v[PIECE];
    for (int i = 0; i < keys; ++i) {
      const int64_t slot = table[(from + i) / a.block_size] * a.block_size + (from + i) % a.block_size;
      k[i] = a.keys + (slot * a.kv_heads + head) * a.width;
      v[i] = a.values + (slot * a.kv_heads + head) * a.width;
    }
    for (int64_t row = 0; row < rows; row += TILE) {
      const int count = static_cast<int>(std::min<int64_t>(TILE, rows - row));
      Rows tile{};
      bool any = false;
      for (int i = 0; i < TILE; ++i) {
        const int64_t r = row + std::min(i, count - 1), query = r / group, position = end - queries + query;
        tile.q[i] = a.q + (first_row + query) * a.q_stride + (head * group + r % group) * a.width;
        tile.sum[i] = sums + r * a.width;
        tile.low[i] = a.window > 0 ? std::max<int64_t>(0, position - a.window + 1 - from) : 0;
        tile.high[i] = std::min<int64_t>(keys, position + 1 - from);
        any = any || tile.low[i] < tile.high[i];
      }
      tile.top = tops + row;
      tile.total = totals + row;
      if (any) run(tile, count, k, v, keys, a.width, a.scale, a.softcap);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t h = head * group + r % group;
    float* to = a.out + ((first_row + r / group) * a.heads + h) * a.width;
    if (a.sinks != nullptr) totals[r] += std::exp(a.sinks[h] - tops[r]);
    for (int64_t d = 0; d < a.width; ++d) to[d] = sums[r * a.width + d] / totals[r];
  }
}

}  // namespace
}  // namespace dovetail

// Every query row sees at least itself: context >= query rows >= 1. window: positions a row sees, itself included; 0: all.
// rounded: sequences with more than FEW_ROWS rows may go through tiles of bfloat16, where there are some; these know neither
// softcap nor sinks.
DOVETAIL_EXPORT void dovetail_attention(float* out, const float* q, int64_t q_stride, const float* keys, const float* values,
                                        const int64_t* tables, int64_t table_width, const int64_t* sequences, int64_t count,
                                        int64_t heads, int64_t kv_heads, int64_t width, int64_t block_size, int64_t window,
                                        float scale, float softcap, const float* sinks, int rounded, int threads) {
  using namespace dovetail;
  const bool tiles = rounded != 0 && softcap == 0 && sinks == nullptr && prompt_attention_fits(width);
  std::vector<int64_t> parts[2];  // sequences with few rows, and with many
  int64_t work = 0;               // of the few, multiply-adds
  for (int64_t i = 0; i < count; ++i) {
    const int64_t* sequence = sequences + 4 * i;
    const bool many = tiles && sequence[2] > FEW_ROWS;
    parts[many].insert(parts[many].end(), sequence, sequence + 4);
    if (!many) work += 2 * sequence[2] * sequence[3] * heads * width;
  }
  Attention a{out, q, keys, values, tables, parts[0].data(), static_cast<int64_t>(parts[0].size()) / 4, table_width, q_stride,
              heads, kv_heads, width, block_size, window, scale, softcap, sinks};
  run_parallel(work < 200000 ? 1 : threads, a.count * kv_heads, run_head, &a);
  if (parts[1].empty()) return;
  a.sequences = parts[1].data(), a.count = static_cast<int64_t>(parts[1].size()) / 4;
  prompt_attention(a, threads);
}

DOVETAIL_EXPORT int dovetail_attention_tiles(int64_t width) { return dovetail::prompt_attention_fits(width) ? 1 : 0; }

#else  // the vector code, once per instruction set

namespace DOVETAIL_ISA {

using namespace dovetail;

// What one pass holds: with 16 registers, fewer.
constexpr int MOST = W == 16 ? 4 : 2;     // rows
constexpr int COLUMNS = W == 16 ? 4 : 2;  // vectors of a value

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

template <int R>
static void tile_of(const Rows& rows, const float* const* k, const float* const* v, int keys, int64_t width, float scale,
                    float softcap) {
  float weights[TILE][PIECE];
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
    for (int j = low; j < high; ++j) top = weights[r][j] > top ? weights[r][j] : top;
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

static void run_tile(const Rows& rows, int count, const float* const* k, const float* const* v, int keys, int64_t width,
                     float scale, float softcap) {
  if (MOST < TILE && count > MOST) {
    Rows rest = rows;
    for (int r = MOST; r < TILE; ++r) {
      rest.q[r - MOST] = rows.q[r], rest.sum[r - MOST] = rows.sum[r];
      rest.low[r - MOST] = rows.low[r], rest.high[r - MOST] = rows.high[r];
    }
    rest.top += MOST, rest.total += MOST;
    run_tile(rest, count - MOST, k, v, keys, width, scale, softcap);
    count = MOST;
  }
  if (count == 1) return tile_of<1>(rows, k, v, keys, width, scale, softcap);
  if (count == 2) return tile_of<2>(rows, k, v, keys, width, scale, softcap);
  if (count == 3) return tile_of<MOST == 4 ? 3 : 2>(rows, k, v, keys, width, scale, softcap);
  tile_of<MOST>(rows, k, v, keys, width, scale, softcap);
}

}  // namespace DOVETAIL_ISA

#endif
