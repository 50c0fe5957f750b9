// y[M, N] = x[M, K] . w[N, K]^T + bias for few rows M, with float32 activations and weights stored in 32 to 4 bits.
//
// Layout ("words", linear/packed.py): outputs come in panels of 32, a panel is a matrix of 32-bit words [words_k][32],
// and a word holds 1 float, 2 bfloat16, 4 int8 or 8 uint4 weights of one output, consecutive in K, the first in the low
// bits. Lanes are outputs, so there is no sum across a vector, no tail in K, and reading a panel is one forward stream. A
// weight is converted once and used by every row of a tile; each converted vector meets x as a broadcast.
//
// Every output is the same chain of fused multiply-adds over a block of K and then over the blocks, whatever M, the tile
// or the number of threads: a row's result does not depend on what shares its step (nor on AVX2 or AVX-512).
//
// Parameters of the stored types, one word per panel, block and lane: int8: float32 scale; uint4: bfloat16 scale in the
// low half and bfloat16 offset in the high half, weight = scale * q + offset.
#ifndef DOVETAIL_ISA

#include "linear.h"

#include "../cpu/exports.h"

#include <algorithm>
#include <vector>

#define DOVETAIL_SOURCE "../linear/linear.cpp"
#include "../cpu/every_isa.h"

namespace dovetail {
namespace {

struct Call {
  float* y;
  const uint32_t* words;
  const uint32_t* params;
  const float* bias;
  int64_t m, n, words_k, panels, params_per_panel, block, per_chunk;
  int kind, params_step, tiles;
  bool integer;
  int64_t x_block;            // 4-byte units of x per block and row
  const float* x[MAX_TILES];  // of each tile, as its kernel wants it
  const float* x_sums[MAX_TILES];
  int first_row[MAX_TILES + 1];
  const TileKernel* kernels;  // [MAX_ROWS + 1]
};

void run_panels(const Call& c, int64_t panel, int count) {
  const int64_t per_block = c.block / PER_WORD[c.kind], blocks = (c.words_k + per_block - 1) / per_block;
  float total[2 * MAX_SLAB * PANEL];
  std::fill(total, total + count * c.m * PANEL, 0.0f);
  // Several passes over the same weights (tiles, or halves of a panel) go block by block, about 8 KiB, through the L1 cache.
  const bool once = c.tiles == 1 && c.kernels[c.m].lanes == PANEL;
  const int64_t step = once ? blocks : std::max<int64_t>(1, 64 / per_block);
  for (int64_t block = 0; block < blocks; block += step) {
    for (int t = 0; t < c.tiles; ++t) {
      const int rows = c.first_row[t + 1] - c.first_row[t];
      TileArgs a;
      a.words = c.words + (panel * c.words_k + block * per_block) * PANEL;
      a.panel_words = c.words_k * PANEL;
      a.words_per_block = per_block;
      a.words_total = c.words_k - block * per_block;
      a.params = c.params == nullptr ? nullptr
                                     : c.params + (panel * c.params_per_panel + block * c.params_step) * PANEL;
      a.panel_params = c.params_per_panel * PANEL;
      a.params_step = c.params_step * PANEL;
      a.blocks = std::min(step, blocks - block);
      a.x = c.x[t] + block * c.x_block * rows;
      a.x_sums = c.x_sums[t] + block * rows * (c.integer ? 2 : 1);
      a.total = total + count * c.first_row[t] * PANEL;
      const bool pair = count == 2 && c.kernels[rows].panels == 2;
      const TileKernel& kernel = c.kernels[pair ? rows + MAX_ROWS + 1 : rows];
      for (int p = 0; p < (pair ? 1 : count); ++p) {
        for (int lane = 0; lane < PANEL; lane += kernel.lanes) kernel.run(a, lane);
        a.words += a.panel_words;
        a.params += a.params == nullptr ? 0 : a.panel_params;
        a.total += rows * PANEL;
      }
    }
  }
  for (int t = 0; t < c.tiles; ++t) {
    const int rows = c.first_row[t + 1] - c.first_row[t];
    for (int p = 0; p < count; ++p) {
      const int64_t first = (panel + p) * PANEL, lanes = std::min<int64_t>(PANEL, c.n - first);
      for (int r = 0; r < rows; ++r) {
        const float* from = total + (count * c.first_row[t] + p * rows + r) * PANEL;
        float* to = c.y + (c.first_row[t] + r) * c.n + first;
        for (int64_t i = 0; i < lanes; ++i) to[i] = from[i] + (c.bias != nullptr ? c.bias[first + i] : 0.0f);
      }
    }
  }
}

void run_chunk(void* context, int64_t chunk) {
  const Call& c = *static_cast<const Call*>(context);
  const int64_t end = std::min(c.panels, (chunk + 1) * c.per_chunk);
  for (int64_t panel = chunk * c.per_chunk; panel < end; panel += 2)
    run_panels(c, panel, static_cast<int>(std::min<int64_t>(2, end - panel)));
}

// Lays the rows out as the tiles want them, padded with zeros to a whole number of words, and sums the blocks.
void lay_out(Call& c, const float* x, int64_t x_stride, int64_t k, std::vector<float>& room) {
  const int64_t padded = c.words_k * PER_WORD[c.kind], blocks = (padded + c.block - 1) / c.block;
  const bool direct = !c.integer && c.m == 1 && padded == k, sums = c.kind == INT4;
  const int64_t units = c.integer ? c.words_k * 2 : padded, sum_units = blocks * (c.integer ? 2 : 1);
  room.resize(c.m * (units + sum_units) + 1);
  for (int t = 0; t < c.tiles; ++t) {
    const int64_t rows = c.first_row[t + 1] - c.first_row[t], first = c.first_row[t];
    float* laid = room.data() + first * units;
    float* totals = room.data() + c.m * units + first * sum_units;
    c.x[t] = direct ? x : laid;
    c.x_sums[t] = totals;
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = x + (first + r) * x_stride;
      if (c.integer) {
        const UnitPlaces places{c.kind == INT8 ? 2 * rows : rows, rows, 0, 62};
        integer_lay_out(c.kind, row, k, c.block, laid + r, places, totals, rows, r);
        continue;
      }
      for (int64_t i = 0; i < k && !direct; ++i) laid[i * rows + r] = row[i];
      for (int64_t i = k; i < padded && !direct; ++i) laid[i * rows + r] = 0.0f;
      for (int64_t b = 0; b < blocks && sums; ++b) {
        float total = 0.0f;
        for (int64_t i = b * c.block; i < std::min(k, (b + 1) * c.block); ++i) total += row[i];
        totals[b * rows + r] = total;
      }
    }
  }
}

}  // namespace
}  // namespace dovetail

// x: rows of k floats, x_stride apart; y: [m, n], dense; bias: [n] or null. block: weights in K that share a parameter,
// or the length of partial sums where params_per_panel is not the number of blocks.
DOVETAIL_EXPORT void dovetail_linear(float* y, const float* x, int64_t x_stride, const uint32_t* words,
                                     const uint32_t* params, const float* bias, int64_t m, int64_t n, int64_t k, int kind,
                                     int64_t block, int64_t params_per_panel, int threads) {
  using namespace dovetail;
  const LinearCall call{y, x, x_stride, words, params, bias, m, n, k, kind, block, params_per_panel, threads, false};
  if (isa_level() == 4 && amx_linear(call)) return;
  static thread_local std::vector<float> room;
  Call c{};
  c.words = words, c.params = params, c.bias = bias, c.n = n, c.kind = kind, c.block = block;
  c.words_k = (k + PER_WORD[kind] - 1) / PER_WORD[kind];
  c.panels = (n + PANEL - 1) / PANEL;
  c.params_per_panel = params_per_panel;
  c.params_step = params_per_panel > 1 ? 1 : 0;
  const TileKernel* integer = kind >= INT8 && isa_level() >= 3 ? integer_kernels(kind) : nullptr;
  c.integer = integer != nullptr;
  c.kernels = c.integer ? integer : DOVETAIL_PICK(kernels)(kind);
  c.x_block = c.integer ? block / PER_WORD[kind] * 2 : block;
  // Many rows go in slabs: each reads all weights again, but with 48 rows that is a small part of the arithmetic.
  const int64_t most = c.integer ? integer_rows(kind) : DOVETAIL_PICK(MOST_ROWS);
  const int64_t slabs = (m + MAX_SLAB - 1) / MAX_SLAB;
  for (int64_t slab = 0; slab < slabs; ++slab) {
    const int64_t first = m * slab / slabs;
    c.m = m * (slab + 1) / slabs - first;
    c.y = y + first * n;
    c.tiles = static_cast<int>((c.m + most - 1) / most);
    for (int t = 0; t <= c.tiles; ++t) c.first_row[t] = static_cast<int>(c.m * t / c.tiles);
    lay_out(c, x + first * x_stride, x_stride, k, room);
    // Some 100,000 multiply-adds are 2 to 5 microseconds: less is not worth waking another thread for. Chunks are as long as
    // sharing allows: at its beginning each waits for memory.
    const int64_t work = c.words_k * PER_WORD[kind] * PANEL * (c.m + 1);
    c.per_chunk = std::max<int64_t>(2, std::min<int64_t>(2097152 / work, c.panels / (4 * threads)) & ~int64_t{1});
    const int wanted = work * c.panels < 131072 ? 1 : threads;
    run_parallel(wanted, (c.panels + c.per_chunk - 1) / c.per_chunk, run_chunk, &c);
  }
}

// y: [m, n / 2], silu of the first half of the outputs times the second half. Returns 0, with nothing done, where computing
// the two one after the other is as good.
DOVETAIL_EXPORT int dovetail_gated_linear(float* y, const float* x, int64_t x_stride, const uint32_t* words,
                                          const uint32_t* params, const float* bias, int64_t m, int64_t n, int64_t k, int kind,
                                          int64_t block, int64_t params_per_panel, int threads) {
  using namespace dovetail;
  const LinearCall call{y, x, x_stride, words, params, bias, m, n, k, kind, block, params_per_panel, threads, true};
  return isa_level() == 4 && amx_linear(call) ? 1 : 0;
}

namespace dovetail {
namespace {

struct UnpackCall {
  float* out;
  const uint32_t* words;
  const uint32_t* params;
  int64_t first, end, k, words_k, block, params_per_panel;
  int kind;
  void (*run)(float*, const uint32_t*, const uint32_t*, int);
};

// One panel: rows first .. end - 1 of the matrix that lie in it.
void unpack_panel(void* context, int64_t index) {
  const UnpackCall& c = *static_cast<const UnpackCall*>(context);
  const int64_t panel = c.first / PANEL + index, per_word = PER_WORD[c.kind];
  const int64_t low = std::max(c.first, panel * PANEL), high = std::min(c.end, (panel + 1) * PANEL);
  constexpr int STEP = 16;  // words of one output at a time: the buffer stays in L1
  float buffer[8 * STEP * PANEL];
  for (int64_t word = 0; word < c.words_k; word += STEP) {
    const int count = static_cast<int>(std::min<int64_t>(STEP, c.words_k - word));
    for (int i = 0; i < count; ++i) {
      const int64_t b = c.params_per_panel > 1 ? (word + i) * per_word / c.block : 0;
      const uint32_t* params = c.params == nullptr ? nullptr : c.params + (panel * c.params_per_panel + b) * PANEL;
      c.run(buffer + i * per_word * PANEL, c.words + (panel * c.words_k + word + i) * PANEL, params, c.kind);
    }
    const int64_t columns = std::min(count * per_word, c.k - word * per_word);
    for (int64_t row = low; row < high; ++row) {
      const float* from = buffer + (row - panel * PANEL);
      float* to = c.out + (row - c.first) * c.k + word * per_word;
      for (int64_t i = 0; i < columns; ++i) to[i] = from[i * PANEL];
    }
  }
}

}  // namespace
}  // namespace dovetail

// out: [end - first, k], dense: the rows first .. end - 1 of the weights as float32.
DOVETAIL_EXPORT void dovetail_unpack(float* out, const uint32_t* words, const uint32_t* params, int64_t first, int64_t end,
                                     int64_t k, int kind, int64_t block, int64_t params_per_panel, int threads) {
  using namespace dovetail;
  if (first >= end) return;
  UnpackCall c{out, words, params, first, end, k, (k + PER_WORD[kind] - 1) / PER_WORD[kind], block, params_per_panel, kind,
               DOVETAIL_PICK(unpack_words)};
  run_parallel(threads, (end - 1) / PANEL - first / PANEL + 1, unpack_panel, &c);
}

// out: [count, k], dense: the rows numbered `index` as float32. One word of one output at a time: this is for embeddings.
// Returns 0, or 1 where a number is not in 0 .. n - 1.
DOVETAIL_EXPORT int dovetail_rows(float* out, const int64_t* index, int64_t count, const uint32_t* words,
                                  const uint32_t* params, int64_t n, int64_t k, int kind, int64_t block, int64_t params_per_panel) {
  using namespace dovetail;
  const int64_t per_word = PER_WORD[kind], words_k = (k + per_word - 1) / per_word;
  for (int64_t row = 0; row < count; ++row) {
    if (index[row] < 0 || index[row] >= n) return 1;
    const int64_t panel = index[row] / PANEL, lane = index[row] % PANEL;
    float* to = out + row * k;
    for (int64_t i = 0; i < k; ++i) {
      const uint32_t word = words[(panel * words_k + i / per_word) * PANEL + lane];
      const int j = static_cast<int>(i % per_word);
      uint32_t bits = kind == BFLOAT16 ? word >> (16 * j) << 16 : word, param = 0;
      if (params != nullptr)
        param = params[(panel * params_per_panel + (params_per_panel > 1 ? i / block : 0)) * PANEL + lane];
      float scale, offset;
      const uint32_t low = param << 16, high = param & 0xffff0000u;
      memcpy(&scale, kind == INT8 ? &param : &low, 4);
      memcpy(&offset, &high, 4);
      if (kind == INT8) to[i] = static_cast<float>(static_cast<int8_t>(word >> (8 * j))) * scale;
      else if (kind == INT4) to[i] = static_cast<float>(word >> (4 * j) & 15) * scale + offset;
      else memcpy(to + i, &bits, 4);
    }
  }
  return 0;
}

#else  // the vector code, once per instruction set

namespace DOVETAIL_ISA {

using namespace dovetail;

// The j-th weight of each word, as stored: scale and offset come later.
template <int KIND>
DOVETAIL_INLINE Vec weight(Words w, int j) {
  if constexpr (KIND == FLOAT32) return (Vec)w;
  if constexpr (KIND == BFLOAT16) return j == 0 ? (Vec)(w << 16) : (Vec)(w & 0xffff0000u);
  if constexpr (KIND == INT8) return to_float((Ints)(w << (24 - 8 * j)) >> 24);
#if DOVETAIL_WIDTH == 16
  // A lookup instead of mask and conversion: permutexvar looks at the low four bits of an index only.
  const __m512 table = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  return (Vec)_mm512_permutexvar_ps((__m512i)(w >> (4 * j)), table);
#else
  return to_float((Ints)((w >> (4 * j)) & 15u));
#endif
}

// R rows by V vectors of each of P panels, over some blocks of K.
template <int KIND, int R, int V, int P>
static void tile(const TileArgs& a, int lane) {
  const uint32_t* words = a.words + lane;
  const uint32_t* params = a.params == nullptr ? nullptr : a.params + lane;
  const float* x = a.x;
  const float* x_sums = a.x_sums;
  int64_t left = a.words_total;
  for (int64_t block = 0; block < a.blocks; ++block) {
    const int64_t count = left < a.words_per_block ? left : a.words_per_block;
    left -= count;
    Vec acc[R][P * V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < P * V; ++v) acc[r][v] = Vec{};
    for (int64_t i = 0; i < count; ++i) {
      if (lane == 0)
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p) prefetch(words + p * a.panel_words);
      Words w[P * V];
#pragma GCC unroll 16
      for (int v = 0; v < P * V; ++v) w[v] = load_words(words + (v / V) * a.panel_words + (v % V) * W);
      words += PANEL;
#pragma GCC unroll 8
      for (int j = 0; j < PER_WORD[KIND]; ++j) {
        Vec value[P * V];
#pragma GCC unroll 16
        for (int v = 0; v < P * V; ++v) value[v] = weight<KIND>(w[v], j);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const Vec broadcast = splat(x[r]);
#pragma GCC unroll 16
          for (int v = 0; v < P * V; ++v) acc[r][v] += value[v] * broadcast;
        }
        x += R;
      }
    }
#pragma GCC unroll 16
    for (int v = 0; v < P * V; ++v) {
      float* total = a.total + (v / V) * R * PANEL + lane + (v % V) * W;
      const Words p = KIND < INT8 ? Words{} : load_words(params + (v / V) * a.panel_params + (v % V) * W);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        Vec sum = load(total + r * PANEL);
        if constexpr (KIND < INT8) sum += acc[r][v];
        if constexpr (KIND == INT8) sum += (Vec)p * acc[r][v];
        if constexpr (KIND == INT4) {
          sum += (Vec)(p << 16) * acc[r][v];
          sum += (Vec)(p & 0xffff0000u) * splat(x_sums[r]);
        }
        store(total + r * PANEL, sum);
      }
    }
    if (KIND >= INT8) params += a.params_step;
    x_sums += R;
  }
}

// With 32 registers, six rows of two panels: two streams of memory at once. With 16, twelve rows of one vector.
constexpr int64_t MOST_ROWS = W == 16 ? 6 : 12;

// As many vectors of a panel at a time as the accumulators leave room for: 12 of 16 registers, or 24 of 32.
template <int KIND, int R>
constexpr TileKernel kernel(bool pair) {
  constexpr int registers = W == 16 ? 24 : 12, all = PANEL / W;
  constexpr int V = R * all <= registers ? all : R * (all / 2) <= registers ? all / 2 : R * (all / 4) <= registers ? all / 4 : 1;
  constexpr int P = 2 * R * all <= (W == 16 ? registers : 8) ? 2 : 1;
  return pair ? TileKernel{tile<KIND, R, V, P>, V * W, P} : TileKernel{tile<KIND, R, V, 1>, V * W, P};
}

template <int KIND>
static const TileKernel* kernels_of() {
  static const TileKernel table[2 * (MAX_ROWS + 1)] = {
      {nullptr, PANEL, 1},      kernel<KIND, 1>(false), kernel<KIND, 2>(false),  kernel<KIND, 3>(false),
      kernel<KIND, 4>(false),   kernel<KIND, 5>(false), kernel<KIND, 6>(false),  kernel<KIND, 7>(false),
      kernel<KIND, 8>(false),   kernel<KIND, 9>(false), kernel<KIND, 10>(false), kernel<KIND, 11>(false),
      kernel<KIND, 12>(false),  {nullptr, PANEL, 1},    kernel<KIND, 1>(true),   kernel<KIND, 2>(true),
      kernel<KIND, 3>(true),    kernel<KIND, 4>(true),  kernel<KIND, 5>(true),   kernel<KIND, 6>(true),
      kernel<KIND, 7>(true),    kernel<KIND, 8>(true),  kernel<KIND, 9>(true),   kernel<KIND, 10>(true),
      kernel<KIND, 11>(true),   kernel<KIND, 12>(true),
  };
  return table;
}

static const TileKernel* kernels(int kind) {
  return kind == FLOAT32    ? kernels_of<FLOAT32>()
         : kind == BFLOAT16 ? kernels_of<BFLOAT16>()
         : kind == INT8     ? kernels_of<INT8>()
                            : kernels_of<INT4>();
}

template <int KIND>
DOVETAIL_INLINE void unpack(float* out, const uint32_t* words, const uint32_t* params) {
  for (int lane = 0; lane < PANEL; lane += W) {
    const Words w = load_words(words + lane), p = KIND < INT8 ? Words{} : load_words(params + lane);
#pragma GCC unroll 8
    for (int j = 0; j < PER_WORD[KIND]; ++j) {
      Vec value = weight<KIND>(w, j);
      if constexpr (KIND == INT8) value = value * (Vec)p;
      if constexpr (KIND == INT4) value = value * (Vec)(p << 16) + (Vec)(p & 0xffff0000u);
      store(out + j * PANEL + lane, value);
    }
  }
}

// out: [weights per word][PANEL].
static void unpack_words(float* out, const uint32_t* words, const uint32_t* params, int kind) {
  if (kind == FLOAT32) return unpack<FLOAT32>(out, words, params);
  if (kind == BFLOAT16) return unpack<BFLOAT16>(out, words, params);
  if (kind == INT8) return unpack<INT8>(out, words, params);
  unpack<INT4>(out, words, params);
}

}  // namespace DOVETAIL_ISA

#endif
