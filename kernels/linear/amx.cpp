// Products on Intel's AMX tiles: 16 x 16 outputs at a time, eight to sixteen times the arithmetic of AVX-512.
//
// The packed words (linear.cpp) are what a tile wants as its second operand: rows of words along K, a lane per output. So
// bfloat16 and int8 weights are read from where they lie; uint4 becomes bfloat16 panel by panel.
//
// Three forms, all accumulating in 32 bits:
// - SPLIT: bfloat16 weights; x = high + low, both bfloat16 (16 bits of mantissa: 8e-6 of a value is lost), two products.
// - ROUNDED: bfloat16 weights, or uint4 ones rounded to bfloat16; x rounded to bfloat16, one product: for many rows.
// - INTEGER: int8 weights and x in 16 bits as in integer.cpp, and the same sums: bit for bit its results.
// A row's result does not depend on the other rows: a tile only adds along K, 16 words after 16 words. One row of SPLIT
// goes through AVX-512, which reads memory faster, in the order of a tile's additions: the same bits (tests hold it to that).
//
// x as tiles: [row tile][step][high, low][16 rows][64 bytes]; a step is 16 words of K, or a whole block where that is less.
#include "linear.h"

#include "../cpu/amx.h"

#include <algorithm>
#include <cstring>
#include <vector>

#if DOVETAIL_AMX

DOVETAIL_AMX_BEGIN

#define DOVETAIL_ISA amx
#define DOVETAIL_WIDTH 16
#include "../cpu/vector.h"

namespace dovetail {
namespace {

constexpr int STEP_WORDS = 16;
constexpr int64_t PASS_K = 256;        // K at a time where all of x would not stay in the L2 cache
constexpr int64_t X_BYTES = 1 << 18;    // of x that do
constexpr int64_t MAX_PANELS = 8;       // of a chunk: their sums stay in L2 as well
enum Form { SPLIT, ROUNDED, INTEGER };

struct AmxCall {
  LinearCall in;
  Form form;
  bool single;  // row, through AVX-512
  int64_t words_k, panels, per_chunk;  // gated: panels of the result
  int64_t tiles, rows;           // row tiles, and rows of each but the last
  int64_t steps, steps_per_pass, step_words, step_k;
  int64_t blocks;                // integer: groups of weights in K
  uint8_t* x;
  float* x_sums;                 // [tile][block][2][rows]
};

// The high 16 bits of each value; those of the rest, rounded, are its low part.
__m512 high_part(__m512 value) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(value), _mm512_set1_epi32(-65536)));
}

__m256i low_part(__m512 value) { return (__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(value, high_part(value))); }

__m512 sixteen(const float* from, int64_t count) {
  return _mm512_maskz_loadu_ps(count >= 16 ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1), from);
}

void lay_out_one(const AmxCall& c) {
  float* to = reinterpret_cast<float*>(c.x);
  for (int64_t i = 0; i < c.in.k; i += 16, to += 32) {
    const __m512 value = sixteen(c.in.x + i, c.in.k - i), high = high_part(value);
    const __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(low_part(value)), 16));
    // Pairs of high parts and pairs of low parts in turn.
    const __m512i front = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), back = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
    _mm512_storeu_pd(to, _mm512_permutex2var_pd(_mm512_castps_pd(high), front, _mm512_castps_pd(low)));
    _mm512_storeu_pd(to + 16, _mm512_permutex2var_pd(_mm512_castps_pd(high), back, _mm512_castps_pd(low)));
  }
}

// 32 values from `from` on as bfloat16, zeros from `count` on.
void lay_out_step(const float* from, int64_t count, uint8_t* to, bool split) {
  for (int half = 0; half < 2; ++half, from += 16, to += 32, count -= 16) {
    const __m512 value = sixteen(from, count);
    __m256i bits = (__m256i)_mm512_cvtneps_pbh(value);
    if (split) {
      bits = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(value), 16));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + TILE_BYTES), low_part(value));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits);
  }
}

void lay_out_row(void* context, int64_t row) {
  const AmxCall& c = *static_cast<const AmxCall*>(context);
  if (c.single) return lay_out_one(c);
  const int64_t parts = c.form == ROUNDED ? 1 : 2, tile = row / c.rows, in_tile = row % c.rows;
  uint8_t* to = c.x + tile * c.steps * parts * TILE_BYTES + in_tile * 64;
  const float* from = c.in.x + row * c.in.x_stride;
  if (c.form == INTEGER) {
    const UnitPlaces places{1, TILE_BYTES / 4, 2 * TILE_BYTES / 4, c.step_words == 8 ? 3 : 4};
    integer_lay_out(c.in.kind, from, c.in.k, c.in.block, reinterpret_cast<float*>(to), places,
                    c.x_sums + tile * c.blocks * 2 * c.rows, c.rows, in_tile);
    return;
  }
  for (int64_t step = 0; step < c.steps; ++step)
    lay_out_step(from + step * c.step_k, c.in.k - step * c.step_k, to + step * parts * TILE_BYTES, c.form == SPLIT);
}

// One or two row tiles by the two halves of a panel, over some steps. `words` a row of them: PANEL words.
template <int TILES, int PARTS>
void float_tiles(const uint8_t* x, int64_t x_tile, const uint32_t* words, int64_t steps, float* total, int64_t rows,
                 bool first) {
  float* second = total + rows * PANEL;
  _tile_loadd(0, total, 128);
  _tile_loadd(1, total + 16, 128);
  if (TILES == 2) {
    _tile_loadd(2, second, 128);
    _tile_loadd(3, second + 16, 128);
  }
  for (int64_t step = 0; step < steps; ++step, words += STEP_WORDS * PANEL) {
    if (first)
      for (int i = 0; i < STEP_WORDS; ++i) prefetch(words + i * PANEL);
    _tile_loadd(6, words, 128);
    _tile_loadd(7, words + 16, 128);
    for (int part = 0; part < PARTS; ++part, x += TILE_BYTES) {
      _tile_loadd(4, x, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if (TILES == 2) {
        _tile_loadd(5, x + x_tile, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
  _tile_stored(0, total, 128);
  _tile_stored(1, total + 16, 128);
  if (TILES == 2) {
    _tile_stored(2, second, 128);
    _tile_stored(3, second + 16, 128);
  }
}

// One row tile by the two halves of a panel, over some blocks of int8. x_sums: [blocks][2][rows], see integer.cpp.
void integer_tile(const AmxCall& c, const uint8_t* x, const float* x_sums, const uint32_t* words, const uint32_t* params,
                  int64_t params_step, int64_t steps, float* total, bool first) {
  alignas(64) int32_t high[ROW_TILE][PANEL], low[ROW_TILE][PANEL];
  const int64_t per_block = c.in.block / c.step_k;
  for (int64_t done = 0; done < steps; done += per_block, x_sums += 2 * c.rows, params += params_step) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const int64_t count = std::min(per_block, steps - done);
    for (int64_t step = 0; step < count; ++step, words += c.step_words * PANEL, x += 2 * TILE_BYTES) {
      if (first)
        for (int i = 0; i < c.step_words; ++i) prefetch(words + i * PANEL);
      _tile_loadd(4, x, 64);
      _tile_loadd(6, words, 128);
      _tile_loadd(7, words + 16, 128);
      _tile_loadd(5, x + TILE_BYTES, 64);
      _tile_dpbssd(0, 4, 6);
      _tile_dpbssd(1, 4, 7);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, high[0], 128);
    _tile_stored(1, high[0] + 16, 128);
    _tile_stored(2, low[0], 128);
    _tile_stored(3, low[0] + 16, 128);
    for (int lane = 0; lane < PANEL; lane += 16) {
      const __m512 scale = _mm512_loadu_ps(reinterpret_cast<const float*>(params) + lane);
      for (int64_t r = 0; r < c.rows; ++r) {
        const __m512i top = _mm512_slli_epi32(_mm512_load_si512(high[r] + lane), 8);
        const __m512i products = _mm512_add_epi32(top, _mm512_load_si512(low[r] + lane));
        const __m512 unit = _mm512_mul_ps(scale, _mm512_set1_ps(x_sums[r]));
        float* to = total + r * PANEL + lane;
        _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), unit, _mm512_loadu_ps(to)));
      }
    }
  }
}

// What float_tiles<.., 2> computes, for one row and in the same order: the even and the odd weights of a step's 16 words as a
// chain of fused multiply-adds each, their sum added to the total, first for the high halves of x and then for the low ones.
// x: [step][word][high even, high odd, low even, low odd].
void one_row(const float* x, const uint32_t* words, int64_t steps, float* total) {
  const unsigned control = _mm_getcsr();
  _mm_setcsr(control | 0x8040);  // tiles know no denormal numbers
  const __m512i odd = _mm512_set1_epi32(-65536);
  for (int64_t step = 0; step < steps; ++step) {
    __m512 acc[4][2];
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) acc[part][0] = acc[part][1] = _mm512_setzero_ps();
    for (int word = 0; word < STEP_WORDS; ++word, words += PANEL, x += 4) {
      prefetch(words);
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const __m512i w = _mm512_loadu_si512(words + 16 * v);
        const __m512 value[2] = {_mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), _mm512_castsi512_ps(_mm512_and_si512(w, odd))};
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part)
          acc[part][v] = _mm512_fmadd_ps(value[part % 2], _mm512_set1_ps(x[part]), acc[part][v]);
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const __m512 high = _mm512_add_ps(acc[0][v], acc[1][v]), low = _mm512_add_ps(acc[2][v], acc[3][v]);
      float* to = total + 16 * v;
      _mm512_storeu_ps(to, _mm512_add_ps(_mm512_add_ps(_mm512_loadu_ps(to), high), low));
    }
  }
  _mm_setcsr(control);
}

// uint4 weights to words of two bfloat16. `first`: number of the first word within its panel.
void nibbles_to_bfloat16(const AmxCall& c, const uint32_t* words, const uint32_t* params, int64_t params_step, int64_t first,
                         int64_t count, uint32_t* to) {
  const __m512 table = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i mask = _mm512_set1_epi32(-65536);
  // 0, 16, 1, 17, ...: from all even and all odd weights to pairs.
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i pairs = _mm512_or_si512(lanes, _mm512_slli_epi32(_mm512_add_epi32(lanes, _mm512_set1_epi32(16)), 16));
  const int64_t per_block = c.in.block / 8;
  for (int64_t i = 0; i < count; ++i, words += PANEL, to += 4 * PANEL) {
    prefetch(words + 512);
    for (int lane = 0; lane < PANEL; lane += 16) {
      const __m512i w = _mm512_loadu_si512(words + lane);
      const __m512i p = _mm512_loadu_si512(params + (first + i) / per_block * params_step + lane);
      const __m512 scale = _mm512_castsi512_ps(_mm512_slli_epi32(p, 16));
      const __m512 offset = _mm512_castsi512_ps(_mm512_and_si512(p, mask));
#pragma GCC unroll 4
      for (int pair = 0; pair < 4; ++pair) {
        const __m512 even = _mm512_permutexvar_ps(_mm512_srli_epi32(w, 8 * pair), table);
        const __m512 odd = _mm512_permutexvar_ps(_mm512_srli_epi32(w, 8 * pair + 4), table);
        const __m512bh apart = _mm512_cvtne2ps_pbh(_mm512_fmadd_ps(odd, scale, offset), _mm512_fmadd_ps(even, scale, offset));
        const __m512i both = _mm512_permutexvar_epi16(pairs, (__m512i)apart);
        _mm512_storeu_si512(to + pair * PANEL + lane, both);
      }
    }
  }
}

// Adds the products of some steps of one panel to `total`. `room`: for words that cannot be used where they lie.
void run_pass(const AmxCall& c, int64_t panel, int64_t step, int64_t steps, uint32_t* room, float* total) {
  const int64_t spread = c.in.kind == INT4 ? 4 : 1, first = step * c.step_words / spread;
  const int64_t count = std::min(steps * c.step_words / spread, c.words_k - first);
  const uint32_t* words = c.in.words + (panel * c.words_k + first) * PANEL;
  const int64_t params_step = c.in.params_per_panel > 1 ? PANEL : 0;
  const uint32_t* params = c.in.params == nullptr ? nullptr : c.in.params + panel * c.in.params_per_panel * PANEL;
  const bool moved = spread > 1 || count < steps * c.step_words;
  if (moved) {
    if (spread == 1) memcpy(room, words, count * PANEL * 4);
    else nibbles_to_bfloat16(c, words, params, params_step, first, count, room);
    std::fill(room + count * spread * PANEL, room + steps * c.step_words * PANEL, 0u);
    words = room;
  }
  if (c.single) return one_row(reinterpret_cast<const float*>(c.x) + step * STEP_WORDS * 4, words, steps, total);
  const int64_t parts = c.form == ROUNDED ? 1 : 2, x_tile = c.steps * parts * TILE_BYTES;
  for (int64_t tile = 0; tile < c.tiles;) {
    const uint8_t* x = c.x + tile * x_tile + step * parts * TILE_BYTES;
    float* to = total + tile * c.rows * PANEL;
    const bool ahead = tile == 0 && !moved, two = tile + 1 < c.tiles && c.form != INTEGER;
    if (c.form == INTEGER) {
      const int64_t block = step * c.step_k / c.in.block;
      const float* sums = c.x_sums + (tile * c.blocks + block) * 2 * c.rows;
      integer_tile(c, x, sums, words, params + block * params_step, params_step, steps, to, ahead);
    } else if (c.form == SPLIT) {
      (two ? float_tiles<2, 2> : float_tiles<1, 2>)(x, x_tile, words, steps, to, c.rows, ahead);
    } else {
      (two ? float_tiles<2, 1> : float_tiles<1, 1>)(x, x_tile, words, steps, to, c.rows, ahead);
    }
    tile += two ? 2 : 1;
  }
}

// Sixteen of silu(gate) * up, as kernels/silu_mul computes it.
__m512 gated(const float* gate, const float* up) {
  const __m512 value = _mm512_loadu_ps(gate);
  const amx::Vec rest = amx::exponential((amx::Vec)_mm512_sub_ps(_mm512_setzero_ps(), value)) + 1.0f;
  return _mm512_mul_ps(_mm512_div_ps(value, (__m512)rest), _mm512_loadu_ps(up));
}

// The sums of some outputs to y, row by row: neighbouring panels are one stretch of memory.
void write_out(const AmxCall& c, int64_t low, int64_t high, const float* totals) {
  const int64_t sums = c.tiles * c.rows * PANEL, n = c.in.gated ? c.in.n / 2 : c.in.n, end = std::min(n, high * PANEL);
  for (int64_t r = 0; r < c.in.m; ++r) {
    float* to = c.in.y + r * n + low * PANEL;
    const float* from = totals + r * PANEL;
    for (int64_t first = low * PANEL; first < end; first += PANEL, to += PANEL, from += sums) {
      if (c.in.gated) {
        for (int lane = 0; lane < PANEL; lane += 16)
          _mm512_storeu_ps(to + lane, gated(from + lane, from + (high - low) * sums + lane));
        continue;
      }
      const int64_t lanes = std::min<int64_t>(PANEL, end - first);
      for (int64_t i = 0; i < lanes; ++i) to[i] = from[i] + (c.in.bias == nullptr ? 0.0f : c.in.bias[first + i]);
    }
  }
}

void run_chunk(void* context, int64_t chunk) {
  const AmxCall& c = *static_cast<const AmxCall*>(context);
  const int64_t low = chunk * c.per_chunk, high = std::min(c.panels, low + c.per_chunk), count = high - low;
  static thread_local std::vector<uint32_t> words_room;
  static thread_local std::vector<float> totals_room;
  const int64_t sums = c.tiles * c.rows * PANEL, used = c.in.gated ? 2 * count : count;
  words_room.resize(c.steps_per_pass * c.step_words * PANEL);
  totals_room.assign(used * sums, 0.0f);
  if (!c.single) configure_tiles(c.rows, c.step_words);
  for (int64_t step = 0; step < c.steps; step += c.steps_per_pass)
    for (int64_t i = 0; i < used; ++i)  // gated: the gates' panels, then those of the other half
      run_pass(c, i < count ? low + i : c.panels + low + i - count, step, std::min(c.steps_per_pass, c.steps - step),
               words_room.data(), totals_room.data() + i * sums);
  if (!c.single) _tile_release();
  write_out(c, low, high, totals_room.data());
}

void run_slab(const LinearCall& in, Form form) {
  static thread_local std::vector<uint8_t> x_room;
  static thread_local std::vector<float> sums_room;
  AmxCall c{};
  c.in = in, c.form = form;
  c.words_k = (in.k + PER_WORD[in.kind] - 1) / PER_WORD[in.kind];
  c.panels = in.gated ? in.n / 2 / PANEL : (in.n + PANEL - 1) / PANEL;
  c.tiles = (in.m + ROW_TILE - 1) / ROW_TILE;
  c.rows = (in.m + c.tiles - 1) / c.tiles;
  c.step_k = form == INTEGER ? std::min<int64_t>(64, in.block) : 32;
  c.step_words = form == INTEGER ? c.step_k / 4 : STEP_WORDS;
  c.steps = (in.k + c.step_k - 1) / c.step_k;
  c.blocks = (in.k + in.block - 1) / in.block;
  c.single = form == SPLIT && in.m == 1;
  const int64_t parts = form == ROUNDED ? 1 : 2, tile_bytes = c.tiles * c.steps * parts * TILE_BYTES;
  const int64_t bytes = c.single ? c.steps * STEP_WORDS * 16 : tile_bytes;
  c.steps_per_pass = bytes > X_BYTES || in.kind == INT4 ? PASS_K / c.step_k : c.steps;
  x_room.resize(bytes + 64);
  c.x = x_room.data() + (64 - reinterpret_cast<uintptr_t>(x_room.data()) % 64) % 64;
  memset(c.x, 0, bytes);
  sums_room.assign(form == INTEGER ? c.tiles * c.blocks * 2 * c.rows : 0, 0.0f);
  c.x_sums = sums_room.data();
  run_parallel(in.m * in.k < 65536 ? 1 : in.threads, in.m, lay_out_row, &c);
  // Some 4 microseconds: the larger of reading a panel's words and multiplying with them.
  const int64_t cost = std::max(c.words_k * PANEL * 4 / 8, in.m * in.k * PANEL / 256);
  c.per_chunk = std::clamp<int64_t>(std::min(12000 / (cost + 1), c.panels / (4 * in.threads)), 1, MAX_PANELS);
  if (c.steps_per_pass < c.steps || c.single) c.per_chunk = std::clamp<int64_t>(c.panels / (4 * in.threads), 1, in.gated ? MAX_PANELS / 2 : MAX_PANELS);
  run_parallel(cost * c.panels < 12000 ? 1 : in.threads, (c.panels + c.per_chunk - 1) / c.per_chunk, run_chunk, &c);
}

}  // namespace

bool amx_linear(const LinearCall& in) {
  Form form;
  if (in.m == 0 || in.kind == FLOAT32) return false;
  // Fewer rows leave the gate to kernels/silu_mul: their results must not depend on who computes them.
  if (in.gated && (in.m <= SAME_BITS_BFLOAT16 || in.n % (2 * PANEL) != 0 || in.bias != nullptr)) return false;
  if (in.kind == BFLOAT16) {
    form = in.m <= SAME_BITS_BFLOAT16 ? SPLIT : ROUNDED;
  } else if (in.kind == INT8) {
    if (in.m <= integer_rows(INT8)) return false;
    form = INTEGER;
  } else {
    if (in.m <= SAME_BITS_INT4) return false;
    form = ROUNDED;
  }
  const int64_t slabs = (in.m + 511) / 512;
  for (int64_t slab = 0; slab < slabs; ++slab) {
    LinearCall part = in;
    const int64_t first = in.m * slab / slabs;
    part.m = in.m * (slab + 1) / slabs - first;
    part.x += first * in.x_stride, part.y += first * (in.gated ? in.n / 2 : in.n);
    run_slab(part, form);
  }
  return true;
}

}  // namespace dovetail

DOVETAIL_AMX_END

#else

namespace dovetail {

bool amx_linear(const LinearCall&) { return false; }

}  // namespace dovetail

#endif
